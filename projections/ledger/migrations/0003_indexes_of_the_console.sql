-- What the console's pages look for, newest service first, and the figures of its overview, without reading whole tables.

DROP INDEX claim_lines_by_provider;
DROP INDEX claim_lines_by_reason;
CREATE INDEX claim_lines_by_service ON claim_lines (service_date, claim_id, line_number);
CREATE INDEX claim_lines_by_provider ON claim_lines (billing_npi, service_date);
CREATE INDEX claim_lines_by_reason ON claim_lines (reason, service_date);
CREATE INDEX claim_lines_by_outcome ON claim_lines (outcome, service_date);
CREATE INDEX claim_lines_by_money ON claim_lines (outcome, reason, charge_cents, paid_cents);
CREATE INDEX facts_by_received ON facts (received_date) WHERE received_date IS NOT NULL;
