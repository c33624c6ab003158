BEGIN TRANSACTION;
CREATE TABLE adjustments (
    decision_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    group_code TEXT NOT NULL,
    carc TEXT NOT NULL,
    rarcs TEXT NOT NULL,
    cents BIGINT NOT NULL,
    PRIMARY KEY (decision_id, number)
);
INSERT INTO "adjustments" VALUES('7490960e59fa00226f0bc25c6034eb69',1,'CO','284','',30000);
INSERT INTO "adjustments" VALUES('9f7cc3e49a324b511cbb0445db100a06',1,'CO','97','M15',30000);
INSERT INTO "adjustments" VALUES('056fbd407b566aa14bcbdd2818b8b93a',1,'CO','97','M15',32500);
INSERT INTO "adjustments" VALUES('d4bf29b435ec04ecb594cfb7e3a218c4',1,'PR','2','',3500);
INSERT INTO "adjustments" VALUES('025122cdcf3e2dc593d7c9990edbed8c',1,'PR','2','',3500);
INSERT INTO "adjustments" VALUES('c58fc63321cf69a22150ea12ae632827',1,'PR','2','',3500);
CREATE TABLE claim_lines (
    patient_id TEXT NOT NULL,
    claim_id TEXT NOT NULL,
    line_number BIGINT NOT NULL,
    version BIGINT NOT NULL,
    decision_id TEXT NOT NULL UNIQUE,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    procedure_code TEXT NOT NULL,
    service_date DATE NOT NULL,
    billing_npi TEXT NOT NULL,
    order_id TEXT,
    charge_cents BIGINT NOT NULL,
    allowed_cents BIGINT NOT NULL,
    paid_cents BIGINT NOT NULL,
    member_owes_cents BIGINT NOT NULL,
    next_payable_date DATE,
    explanation TEXT NOT NULL,
    decided_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (patient_id, claim_id, line_number)
);
INSERT INTO "claim_lines" VALUES('pt-0d0576fe74','25071200000201',1,1,'7490960e59fa00226f0bc25c6034eb69','DENIED','AUTH_MISMATCH','S0353','2025-07-02','1683258762',NULL,30000,0,0,0,NULL,'S0353 on 2025-07-02 cites order MOP-000002-1-X, and the patient has no such order.','2025-01-03T15:00:00.000Z');
INSERT INTO "claim_lines" VALUES('pt-6ecdfd44f5','25020600000101',1,1,'9f7cc3e49a324b511cbb0445db100a06','BUNDLED','OFF_PATHWAY','S0353','2025-01-24','1683258762','MOP-000001-1',30000,0,0,0,NULL,'S0353 on 2025-01-24 is bundled: the regimen of order MOP-000001-1 is not on the pathway.','2025-01-03T03:00:00.000Z');
INSERT INTO "claim_lines" VALUES('pt-6ecdfd44f5','25030700000102',1,1,'056fbd407b566aa14bcbdd2818b8b93a','BUNDLED','OFF_PATHWAY','S0354','2025-02-25','1683258762','MOP-000001-1',32500,0,0,0,NULL,'S0354 on 2025-02-25 is bundled: the regimen of order MOP-000001-1 is not on the pathway.','2025-01-03T05:00:00.000Z');
INSERT INTO "claim_lines" VALUES('pt-ab3cf0b7f3','25072000000301',1,1,'d4bf29b435ec04ecb594cfb7e3a218c4','PAID','PAID','S0353','2025-07-14','1237189547','MOP-000003-1',35000,35000,31500,3500,NULL,'S0353 on 2025-07-14 pays $315.00, the member owes $35.00: order MOP-000003-1, treatment since 2025-07-14, agreed fee $350.00.','2025-01-03T18:00:00.000Z');
INSERT INTO "claim_lines" VALUES('pt-ab3cf0b7f3','25081700000302',1,2,'83c5956c4c66ef12b46fae6d11520117','VOIDED','VOIDED','S0354','2025-08-14','1237189547',NULL,35000,0,0,0,NULL,'S0354 on 2025-08-14 is void: claim 25081700000302 was voided by claim 25090700000303.','2025-01-03T22:00:00.000Z');
INSERT INTO "claim_lines" VALUES('pt-ab3cf0b7f3','25100700000304',1,1,'c58fc63321cf69a22150ea12ae632827','PAID','PAID','S0354','2025-08-23','1237189547','MOP-000003-1',35000,35000,31500,3500,NULL,'S0354 on 2025-08-23 pays $315.00, the member owes $35.00: order MOP-000003-1, treatment since 2025-07-14, agreed fee $350.00.','2025-01-04T00:00:00.000Z');
INSERT INTO "claim_lines" VALUES('pt-49746a7172','25112600000401',1,1,'a522a47f8f1dbc8eecc0f886f6082a67','PENDED','AWAIT_TREATMENT_START','S0353','2025-11-24','1751472063',NULL,30000,0,0,0,NULL,'S0353 on 2025-11-24 waits for the treatment start of order MOP-000004-1.','2025-01-04T06:00:00.000Z');
CREATE TABLE dead_letters (
    kafka_topic TEXT NOT NULL,
    kafka_partition INTEGER NOT NULL,
    kafka_offset BIGINT NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE,
    record_key TEXT,
    value_bytes INTEGER,
    reason TEXT NOT NULL,
    sentence TEXT NOT NULL,
    source_topic TEXT,
    source_partition INTEGER,
    source_offset BIGINT,
    event_id TEXT,
    headers JSON NOT NULL,
    PRIMARY KEY (kafka_topic, kafka_partition, kafka_offset)
);
INSERT INTO "dead_letters" VALUES('dead-letters',1,0,'2025-01-04T08:00:00.000Z','pt��',7,'UNREADABLE','no magic byte','claim-received',1,0,NULL,'[["dlq_reason", "UNREADABLE"], ["dlq_sentence", "no magic byte"], ["dlq_topic", "claim-received"], ["dlq_partition", "1"], ["dlq_offset", "0"]]');
CREATE TABLE decision_versions (
    decision_id TEXT NOT NULL PRIMARY KEY,
    patient_id TEXT NOT NULL,
    claim_id TEXT NOT NULL,
    line_number BIGINT NOT NULL,
    version BIGINT NOT NULL,
    supersedes TEXT,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    procedure_code TEXT NOT NULL,
    service_date DATE NOT NULL,
    billing_npi TEXT NOT NULL,
    order_id TEXT,
    charge_cents BIGINT NOT NULL,
    allowed_cents BIGINT NOT NULL,
    paid_cents BIGINT NOT NULL,
    paid_before_cents BIGINT NOT NULL,
    change_cents BIGINT NOT NULL,
    member_owes_cents BIGINT NOT NULL,
    next_payable_date DATE,
    explanation TEXT NOT NULL,
    evidence JSON NOT NULL,
    policy_id TEXT NOT NULL,
    policy_version BIGINT NOT NULL,
    agreements JSON NOT NULL,
    caused_by TEXT NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE,
    kafka_topic TEXT NOT NULL,
    kafka_partition INTEGER NOT NULL,
    kafka_offset BIGINT NOT NULL,
    UNIQUE (patient_id, claim_id, line_number, version),
    UNIQUE (kafka_topic, kafka_partition, kafka_offset),
    CHECK (change_cents = paid_cents - paid_before_cents),
    CHECK (0 <= paid_cents AND paid_cents <= allowed_cents)
);
INSERT INTO "decision_versions" VALUES('7490960e59fa00226f0bc25c6034eb69','pt-0d0576fe74','25071200000201',1,1,NULL,'DENIED','AUTH_MISMATCH','S0353','2025-07-02','1683258762',NULL,30000,0,0,0,0,0,NULL,'S0353 on 2025-07-02 cites order MOP-000002-1-X, and the patient has no such order.','[{"kind": "order", "ref": "MOP-000002-1-X", "says": "not on record"}]','P0',1,'[{"npi": "1683258762", "version": 2}]','000002-004','2025-01-03T15:00:00.000Z','billing-decisions',0,0);
INSERT INTO "decision_versions" VALUES('9f7cc3e49a324b511cbb0445db100a06','pt-6ecdfd44f5','25020600000101',1,1,NULL,'BUNDLED','OFF_PATHWAY','S0353','2025-01-24','1683258762','MOP-000001-1',30000,0,0,0,0,0,NULL,'S0353 on 2025-01-24 is bundled: the regimen of order MOP-000001-1 is not on the pathway.','[{"kind": "order", "ref": "MOP-000001-1", "says": "regimen off the pathway, treatment since 2025-01-24"}]','P0',1,'[{"npi": "1683258762", "version": 2}]','000001-004','2025-01-03T03:00:00.000Z','billing-decisions',2,0);
INSERT INTO "decision_versions" VALUES('056fbd407b566aa14bcbdd2818b8b93a','pt-6ecdfd44f5','25030700000102',1,1,NULL,'BUNDLED','OFF_PATHWAY','S0354','2025-02-25','1683258762','MOP-000001-1',32500,0,0,0,0,0,NULL,'S0354 on 2025-02-25 is bundled: the regimen of order MOP-000001-1 is not on the pathway.','[{"kind": "order", "ref": "MOP-000001-1", "says": "regimen off the pathway, treatment since 2025-01-24"}]','P0',1,'[{"npi": "1683258762", "version": 2}]','000001-005','2025-01-03T05:00:00.000Z','billing-decisions',2,1);
INSERT INTO "decision_versions" VALUES('d4bf29b435ec04ecb594cfb7e3a218c4','pt-ab3cf0b7f3','25072000000301',1,1,NULL,'PAID','PAID','S0353','2025-07-14','1237189547','MOP-000003-1',35000,35000,31500,0,31500,3500,NULL,'S0353 on 2025-07-14 pays $315.00, the member owes $35.00: order MOP-000003-1, treatment since 2025-07-14, agreed fee $350.00.','[{"kind": "order", "ref": "MOP-000003-1", "says": "on the pathway, treatment since 2025-07-14"}, {"kind": "agreement", "ref": "1237189547", "says": "in network for plan PPO, fee $350.00"}]','P0',1,'[{"npi": "1237189547", "version": 1}, {"npi": "1436399459", "version": 1}]','000003-004','2025-01-03T18:00:00.000Z','billing-decisions',2,2);
INSERT INTO "decision_versions" VALUES('025122cdcf3e2dc593d7c9990edbed8c','pt-ab3cf0b7f3','25081700000302',1,1,NULL,'PAID','PAID','S0354','2025-08-14','1237189547','MOP-000003-1',35000,35000,31500,0,31500,3500,NULL,'S0354 on 2025-08-14 pays $315.00, the member owes $35.00: order MOP-000003-1, treatment since 2025-07-14, agreed fee $350.00.','[{"kind": "order", "ref": "MOP-000003-1", "says": "on the pathway, treatment since 2025-07-14"}, {"kind": "agreement", "ref": "1237189547", "says": "in network for plan PPO, fee $350.00"}]','P0',1,'[{"npi": "1237189547", "version": 1}, {"npi": "1436399459", "version": 1}]','000003-005','2025-01-03T20:00:00.000Z','billing-decisions',2,3);
INSERT INTO "decision_versions" VALUES('83c5956c4c66ef12b46fae6d11520117','pt-ab3cf0b7f3','25081700000302',1,2,'025122cdcf3e2dc593d7c9990edbed8c','VOIDED','VOIDED','S0354','2025-08-14','1237189547',NULL,35000,0,0,31500,-31500,0,NULL,'S0354 on 2025-08-14 is void: claim 25081700000302 was voided by claim 25090700000303.','[{"kind": "claim", "ref": "25090700000303", "says": "takes claim 25081700000302 out"}]','P0',1,'[]','000003-006','2025-01-03T22:00:00.000Z','billing-decisions',2,4);
INSERT INTO "decision_versions" VALUES('c58fc63321cf69a22150ea12ae632827','pt-ab3cf0b7f3','25100700000304',1,1,NULL,'PAID','PAID','S0354','2025-08-23','1237189547','MOP-000003-1',35000,35000,31500,0,31500,3500,NULL,'S0354 on 2025-08-23 pays $315.00, the member owes $35.00: order MOP-000003-1, treatment since 2025-07-14, agreed fee $350.00.','[{"kind": "order", "ref": "MOP-000003-1", "says": "on the pathway, treatment since 2025-07-14"}, {"kind": "agreement", "ref": "1237189547", "says": "in network for plan PPO, fee $350.00"}]','P0',1,'[{"npi": "1237189547", "version": 1}, {"npi": "1436399459", "version": 1}]','000003-007','2025-01-04T00:00:00.000Z','billing-decisions',2,5);
INSERT INTO "decision_versions" VALUES('a522a47f8f1dbc8eecc0f886f6082a67','pt-49746a7172','25112600000401',1,1,NULL,'PENDED','AWAIT_TREATMENT_START','S0353','2025-11-24','1751472063',NULL,30000,0,0,0,0,0,NULL,'S0353 on 2025-11-24 waits for the treatment start of order MOP-000004-1.','[{"kind": "order", "ref": "MOP-000004-1", "says": "in effect, no treatment start on record"}]','P0',1,'[{"npi": "1751472063", "version": 1}]','000004-003','2025-01-04T06:00:00.000Z','billing-decisions',2,7);
CREATE TABLE eligibility_notices (
    kafka_topic TEXT NOT NULL,
    kafka_partition INTEGER NOT NULL,
    kafka_offset BIGINT NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE,
    patient_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    order_version BIGINT NOT NULL,
    eligible BOOLEAN NOT NULL,
    reason TEXT NOT NULL,
    explanation TEXT NOT NULL,
    procedure_codes JSON NOT NULL,
    effective_from DATE NOT NULL,
    effective_to DATE,
    max_months BIGINT NOT NULL,
    s0353_fee_cents BIGINT,
    s0354_fee_cents BIGINT,
    policy_id TEXT NOT NULL,
    policy_version BIGINT NOT NULL,
    caused_by TEXT NOT NULL,
    PRIMARY KEY (kafka_topic, kafka_partition, kafka_offset)
);
INSERT INTO "eligibility_notices" VALUES('eligibility-notices',0,0,'2025-01-03T08:00:00.000Z','pt-0d0576fe74','MOP-000002-1',1,1,'ELIGIBLE','Order MOP-000002-1 is on the pathway: S0353 is payable once and S0354 for up to 12 months, from the onset of treatment, for services from 2025-06-25 to 2026-06-24.','["S0353", "S0354"]','2025-06-25','2026-06-24',12,37500,35000,'P0',1,'000002-002');
INSERT INTO "eligibility_notices" VALUES('eligibility-notices',2,0,'2025-01-03T00:00:00.000Z','pt-6ecdfd44f5','MOP-000001-1',1,0,'OFF_PATHWAY','Order MOP-000001-1 selects a regimen that is not on the pathway: the S-codes are bundled.','[]','2025-01-21','2026-01-20',6,37500,35000,'P0',1,'000001-002');
INSERT INTO "eligibility_notices" VALUES('eligibility-notices',2,1,'2025-01-03T12:00:00.000Z','pt-ab3cf0b7f3','MOP-000003-1',1,1,'ELIGIBLE','Order MOP-000003-1 is on the pathway: S0353 is payable once and S0354 for up to 6 months, from the onset of treatment, for services from 2025-07-06 to 2026-07-05.','["S0353", "S0354"]','2025-07-06','2026-07-05',6,35000,35000,'P0',1,'000003-002');
INSERT INTO "eligibility_notices" VALUES('eligibility-notices',2,2,'2025-01-04T04:00:00.000Z','pt-49746a7172','MOP-000004-1',1,1,'ELIGIBLE','Order MOP-000004-1 is on the pathway: S0353 is payable once and S0354 for up to 12 months, from the onset of treatment, for services from 2025-11-17 to 2026-11-16.','["S0353", "S0354"]','2025-11-17','2026-11-16',12,37500,35000,'P0',1,'000004-002');
CREATE TABLE facts (
    kafka_topic TEXT NOT NULL,
    kafka_partition INTEGER NOT NULL,
    kafka_offset BIGINT NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE,
    patient_id TEXT,
    event_id TEXT NOT NULL,
    ref TEXT,
    version BIGINT,
    status TEXT,
    from_date DATE,
    to_date DATE,
    received_date DATE,
    event JSON NOT NULL,
    PRIMARY KEY (kafka_topic, kafka_partition, kafka_offset)
);
INSERT INTO "facts" VALUES('claim-received',0,0,'2025-01-03T14:00:00.000Z','pt-0d0576fe74','000002-004','25071200000201',NULL,'ORIGINAL','2025-07-02','2025-07-02','2025-07-12','{"type": "claim-received", "event_id": "000002-004", "patient_id": "pt-0d0576fe74", "plan_id": "PPO", "payer_id": "HP001", "claim_id": "25071200000201", "frequency_code": "1", "original_claim_id": null, "patient_control_number": "PCN00000201", "billing_npi": "1683258762", "rendering_npi": "1499370876", "ordering_npi": "1499370876", "order_id": "MOP-000002-1-X", "received_date": "2025-07-12", "form_type": "CMS-1500", "cost_share": {"copay_cents": 0, "deductible_remaining_cents": 0, "coinsurance_bp": 0}, "lines": [{"line_number": 1, "procedure_code": "S0353", "modifiers": [], "service_date": "2025-07-02", "service_date_to": "2025-07-02", "units": 1, "charge_cents": 30000, "diagnosis_codes": ["C50111", "Z5111"], "place_of_service": "11"}]}');
INSERT INTO "facts" VALUES('treatment-started',0,0,'2025-01-03T10:00:00.000Z','pt-0d0576fe74','000002-003','MOP-000002-1',1,'STARTED','2025-07-02',NULL,NULL,'{"type": "treatment-started", "event_id": "000002-003", "patient_id": "pt-0d0576fe74", "order_id": "MOP-000002-1", "version": 1, "status": "STARTED", "onset_date": "2025-07-02", "recorded_at": "2025-07-02T12:23:01Z"}');
INSERT INTO "facts" VALUES('provider-agreement',0,0,'2025-01-01T06:00:00.000Z',NULL,'agreement-1597073182-1','1597073182',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1597073182-1", "npi": "1597073182", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 120, "s0353_fee_cents": 37500, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',0,1,'2025-01-01T08:00:00.000Z',NULL,'agreement-1360026623-1','1360026623',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1360026623-1", "npi": "1360026623", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 120, "s0353_fee_cents": 37500, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('member-eligibility',2,0,'2025-01-02T22:00:00.000Z','pt-6ecdfd44f5','000001-001',NULL,1,NULL,'2020-01-01',NULL,NULL,'{"type": "member-eligibility", "event_id": "000001-001", "patient_id": "pt-6ecdfd44f5", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null}]}');
INSERT INTO "facts" VALUES('member-eligibility',2,1,'2025-01-03T13:00:00.000Z','pt-ab3cf0b7f3','000003-001',NULL,1,NULL,'2020-01-01',NULL,NULL,'{"type": "member-eligibility", "event_id": "000003-001", "patient_id": "pt-ab3cf0b7f3", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null}]}');
INSERT INTO "facts" VALUES('member-eligibility',2,2,'2025-01-04T02:00:00.000Z','pt-49746a7172','000004-001',NULL,1,NULL,'2020-01-01',NULL,NULL,'{"type": "member-eligibility", "event_id": "000004-001", "patient_id": "pt-49746a7172", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null}]}');
INSERT INTO "facts" VALUES('pathway-selected',0,0,'2025-01-03T07:00:00.000Z','pt-0d0576fe74','000002-002','MOP-000002-1',1,'SELECTED','2025-06-25','2026-06-24',NULL,'{"type": "pathway-selected", "event_id": "000002-002", "patient_id": "pt-0d0576fe74", "plan_id": "PPO", "program_id": "MOP", "order_id": "MOP-000002-1", "order_version": 1, "status": "SELECTED", "withdrawn_from": null, "ordering_npi": "1499370876", "regimen_code": "BR-TCH", "on_pathway": true, "effective_from": "2025-06-25", "effective_to": "2026-06-24", "max_months": 12, "selected_at": "2025-06-25T15:58:19Z"}');
INSERT INTO "facts" VALUES('provider-agreement',0,2,'2025-01-01T10:00:00.000Z',NULL,'agreement-1036835860-1','1036835860',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1036835860-1", "npi": "1036835860", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 90, "s0353_fee_cents": 40000, "s0354_fee_cents": 36000}]}');
INSERT INTO "facts" VALUES('member-eligibility',0,0,'2025-01-03T09:00:00.000Z','pt-0d0576fe74','000002-001',NULL,1,NULL,'2020-01-01',NULL,NULL,'{"type": "member-eligibility", "event_id": "000002-001", "patient_id": "pt-0d0576fe74", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null}]}');
INSERT INTO "facts" VALUES('claim-received',2,0,'2025-01-03T02:00:00.000Z','pt-6ecdfd44f5','000001-004','25020600000101',NULL,'ORIGINAL','2025-01-24','2025-01-24','2025-02-06','{"type": "claim-received", "event_id": "000001-004", "patient_id": "pt-6ecdfd44f5", "plan_id": "PPO", "payer_id": "HP001", "claim_id": "25020600000101", "frequency_code": "1", "original_claim_id": null, "patient_control_number": "PCN00000101", "billing_npi": "1683258762", "rendering_npi": "1499370876", "ordering_npi": "1499370876", "order_id": null, "received_date": "2025-02-06", "form_type": "CMS-1500", "cost_share": {"copay_cents": 0, "deductible_remaining_cents": 0, "coinsurance_bp": 0}, "lines": [{"line_number": 1, "procedure_code": "S0353", "modifiers": [], "service_date": "2025-01-24", "service_date_to": "2025-01-24", "units": 1, "charge_cents": 30000, "diagnosis_codes": ["C50111", "Z5111"], "place_of_service": "11"}, {"line_number": 2, "procedure_code": "96413", "modifiers": [], "service_date": "2025-01-24", "service_date_to": "2025-01-24", "units": 1, "charge_cents": 42000, "diagnosis_codes": ["C50111", "Z5111"], "place_of_service": "11"}, {"line_number": 3, "procedure_code": "J9264", "modifiers": ["JZ"], "service_date": "2025-01-24", "service_date_to": "2025-01-24", "units": 220, "charge_cents": 330000, "diagnosis_codes": ["C50111", "Z5111"], "place_of_service": "11"}]}');
INSERT INTO "facts" VALUES('treatment-started',2,0,'2025-01-03T01:00:00.000Z','pt-6ecdfd44f5','000001-003','MOP-000001-1',1,'STARTED','2025-01-24',NULL,NULL,'{"type": "treatment-started", "event_id": "000001-003", "patient_id": "pt-6ecdfd44f5", "order_id": "MOP-000001-1", "version": 1, "status": "STARTED", "onset_date": "2025-01-24", "recorded_at": "2025-01-24T12:04:30Z"}');
INSERT INTO "facts" VALUES('pathway-selected',2,0,'2025-01-02T23:00:00.000Z','pt-6ecdfd44f5','000001-002','MOP-000001-1',1,'SELECTED','2025-01-21','2026-01-20',NULL,'{"type": "pathway-selected", "event_id": "000001-002", "patient_id": "pt-6ecdfd44f5", "plan_id": "PPO", "program_id": "MOP", "order_id": "MOP-000001-1", "order_version": 1, "status": "SELECTED", "withdrawn_from": null, "ordering_npi": "1499370876", "regimen_code": "BR-NABP", "on_pathway": false, "effective_from": "2025-01-21", "effective_to": "2026-01-20", "max_months": 6, "selected_at": "2025-01-21T16:03:08Z"}');
INSERT INTO "facts" VALUES('pathway-selected',2,1,'2025-01-03T11:00:00.000Z','pt-ab3cf0b7f3','000003-002','MOP-000003-1',1,'SELECTED','2025-07-06','2026-07-05',NULL,'{"type": "pathway-selected", "event_id": "000003-002", "patient_id": "pt-ab3cf0b7f3", "plan_id": "PPO", "program_id": "MOP", "order_id": "MOP-000003-1", "order_version": 1, "status": "SELECTED", "withdrawn_from": null, "ordering_npi": "1436399459", "regimen_code": "BR-TC", "on_pathway": true, "effective_from": "2025-07-06", "effective_to": "2026-07-05", "max_months": 6, "selected_at": "2025-07-06T12:50:35Z"}');
INSERT INTO "facts" VALUES('claim-received',2,1,'2025-01-03T04:00:00.000Z','pt-6ecdfd44f5','000001-005','25030700000102',NULL,'ORIGINAL','2025-02-25','2025-02-25','2025-03-07','{"type": "claim-received", "event_id": "000001-005", "patient_id": "pt-6ecdfd44f5", "plan_id": "PPO", "payer_id": "HP001", "claim_id": "25030700000102", "frequency_code": "1", "original_claim_id": null, "patient_control_number": "PCN00000102", "billing_npi": "1683258762", "rendering_npi": "1499370876", "ordering_npi": "1499370876", "order_id": null, "received_date": "2025-03-07", "form_type": "CMS-1500", "cost_share": {"copay_cents": 0, "deductible_remaining_cents": 0, "coinsurance_bp": 0}, "lines": [{"line_number": 1, "procedure_code": "S0354", "modifiers": [], "service_date": "2025-02-25", "service_date_to": "2025-02-25", "units": 1, "charge_cents": 32500, "diagnosis_codes": ["C50111", "Z5111"], "place_of_service": "11"}]}');
INSERT INTO "facts" VALUES('claim-received',2,2,'2025-01-03T06:00:00.000Z','pt-6ecdfd44f5','000001-005','25030700000102',NULL,'ORIGINAL','2025-02-25','2025-02-25','2025-03-07','{"type": "claim-received", "event_id": "000001-005", "patient_id": "pt-6ecdfd44f5", "plan_id": "PPO", "payer_id": "HP001", "claim_id": "25030700000102", "frequency_code": "1", "original_claim_id": null, "patient_control_number": "PCN00000102", "billing_npi": "1683258762", "rendering_npi": "1499370876", "ordering_npi": "1499370876", "order_id": null, "received_date": "2025-03-07", "form_type": "CMS-1500", "cost_share": {"copay_cents": 0, "deductible_remaining_cents": 0, "coinsurance_bp": 0}, "lines": [{"line_number": 1, "procedure_code": "S0354", "modifiers": [], "service_date": "2025-02-25", "service_date_to": "2025-02-25", "units": 1, "charge_cents": 32500, "diagnosis_codes": ["C50111", "Z5111"], "place_of_service": "11"}]}');
INSERT INTO "facts" VALUES('claim-received',2,3,'2025-01-03T17:00:00.000Z','pt-ab3cf0b7f3','000003-004','25072000000301',NULL,'ORIGINAL','2025-07-14','2025-07-14','2025-07-20','{"type": "claim-received", "event_id": "000003-004", "patient_id": "pt-ab3cf0b7f3", "plan_id": "PPO", "payer_id": "HP001", "claim_id": "25072000000301", "frequency_code": "1", "original_claim_id": null, "patient_control_number": "PCN00000301", "billing_npi": "1237189547", "rendering_npi": "1436399459", "ordering_npi": "1436399459", "order_id": null, "received_date": "2025-07-20", "form_type": "CMS-1500", "cost_share": {"copay_cents": 0, "deductible_remaining_cents": 0, "coinsurance_bp": 1000}, "lines": [{"line_number": 1, "procedure_code": "S0353", "modifiers": [], "service_date": "2025-07-14", "service_date_to": "2025-07-14", "units": 1, "charge_cents": 35000, "diagnosis_codes": ["C50412", "Z5111"], "place_of_service": "11"}, {"line_number": 2, "procedure_code": "96413", "modifiers": [], "service_date": "2025-07-14", "service_date_to": "2025-07-14", "units": 1, "charge_cents": 42000, "diagnosis_codes": ["C50412", "Z5111"], "place_of_service": "11"}, {"line_number": 3, "procedure_code": "J9171", "modifiers": ["JZ"], "service_date": "2025-07-14", "service_date_to": "2025-07-14", "units": 140, "charge_cents": 28000, "diagnosis_codes": ["C50412", "Z5111"], "place_of_service": "11"}, {"line_number": 4, "procedure_code": "J9075", "modifiers": ["JZ"], "service_date": "2025-07-14", "service_date_to": "2025-07-14", "units": 220, "charge_cents": 42000, "diagnosis_codes": ["C50412", "Z5111"], "place_of_service": "11"}]}');
INSERT INTO "facts" VALUES('claim-received',2,4,'2025-01-03T19:00:00.000Z','pt-ab3cf0b7f3','000003-005','25081700000302',NULL,'ORIGINAL','2025-08-14','2025-08-14','2025-08-17','{"type": "claim-received", "event_id": "000003-005", "patient_id": "pt-ab3cf0b7f3", "plan_id": "PPO", "payer_id": "HP001", "claim_id": "25081700000302", "frequency_code": "1", "original_claim_id": null, "patient_control_number": "PCN00000302", "billing_npi": "1237189547", "rendering_npi": "1436399459", "ordering_npi": "1436399459", "order_id": null, "received_date": "2025-08-17", "form_type": "UB-04", "cost_share": {"copay_cents": 0, "deductible_remaining_cents": 0, "coinsurance_bp": 1000}, "lines": [{"line_number": 1, "procedure_code": "S0354", "modifiers": [], "service_date": "2025-08-14", "service_date_to": "2025-08-14", "units": 1, "charge_cents": 35000, "diagnosis_codes": ["C50412", "Z5111"], "place_of_service": "19"}, {"line_number": 2, "procedure_code": "96413", "modifiers": [], "service_date": "2025-08-14", "service_date_to": "2025-08-14", "units": 1, "charge_cents": 42000, "diagnosis_codes": ["C50412", "Z5111"], "place_of_service": "19"}, {"line_number": 3, "procedure_code": "J9171", "modifiers": ["JZ"], "service_date": "2025-08-14", "service_date_to": "2025-08-14", "units": 140, "charge_cents": 28000, "diagnosis_codes": ["C50412", "Z5111"], "place_of_service": "19"}, {"line_number": 4, "procedure_code": "J9075", "modifiers": ["JZ"], "service_date": "2025-08-14", "service_date_to": "2025-08-14", "units": 220, "charge_cents": 42000, "diagnosis_codes": ["C50412", "Z5111"], "place_of_service": "19"}]}');
INSERT INTO "facts" VALUES('claim-received',2,5,'2025-01-03T21:00:00.000Z','pt-ab3cf0b7f3','000003-006','25090700000303',NULL,'VOID','2025-08-14','2025-08-14','2025-09-07','{"type": "claim-received", "event_id": "000003-006", "patient_id": "pt-ab3cf0b7f3", "plan_id": "PPO", "payer_id": "HP001", "claim_id": "25090700000303", "frequency_code": "8", "original_claim_id": "25081700000302", "patient_control_number": "PCN00000303", "billing_npi": "1237189547", "rendering_npi": "1436399459", "ordering_npi": "1436399459", "order_id": null, "received_date": "2025-09-07", "form_type": "UB-04", "cost_share": {"copay_cents": 0, "deductible_remaining_cents": 0, "coinsurance_bp": 1000}, "lines": [{"line_number": 1, "procedure_code": "S0354", "modifiers": [], "service_date": "2025-08-14", "service_date_to": "2025-08-14", "units": 1, "charge_cents": 35000, "diagnosis_codes": ["C50412", "Z5111"], "place_of_service": "19"}, {"line_number": 2, "procedure_code": "96413", "modifiers": [], "service_date": "2025-08-14", "service_date_to": "2025-08-14", "units": 1, "charge_cents": 42000, "diagnosis_codes": ["C50412", "Z5111"], "place_of_service": "19"}, {"line_number": 3, "procedure_code": "J9171", "modifiers": ["JZ"], "service_date": "2025-08-14", "service_date_to": "2025-08-14", "units": 140, "charge_cents": 28000, "diagnosis_codes": ["C50412", "Z5111"], "place_of_service": "19"}, {"line_number": 4, "procedure_code": "J9075", "modifiers": ["JZ"], "service_date": "2025-08-14", "service_date_to": "2025-08-14", "units": 220, "charge_cents": 42000, "diagnosis_codes": ["C50412", "Z5111"], "place_of_service": "19"}]}');
INSERT INTO "facts" VALUES('provider-agreement',2,0,'2025-01-01T01:00:00.000Z',NULL,'agreement-1528189461-1','1528189461',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1528189461-1", "npi": "1528189461", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 120, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',2,1,'2025-01-01T02:00:00.000Z',NULL,'agreement-1970410381-1','1970410381',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1970410381-1", "npi": "1970410381", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 120, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',2,2,'2025-01-01T04:00:00.000Z',NULL,'agreement-1499370876-1','1499370876',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1499370876-1", "npi": "1499370876", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 120, "s0353_fee_cents": 37500, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',2,3,'2025-01-01T15:00:00.000Z',NULL,'agreement-1568561017-1','1568561017',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1568561017-1", "npi": "1568561017", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 120, "s0353_fee_cents": 40000, "s0354_fee_cents": 36000}]}');
INSERT INTO "facts" VALUES('provider-agreement',2,4,'2025-01-01T17:00:00.000Z',NULL,'agreement-1220772622-1','1220772622',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1220772622-1", "npi": "1220772622", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 120, "s0353_fee_cents": 40000, "s0354_fee_cents": 36000}]}');
INSERT INTO "facts" VALUES('provider-agreement',1,0,'2025-01-01T00:00:00.000Z',NULL,'agreement-1856941723-1','1856941723',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1856941723-1", "npi": "1856941723", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 120, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',1,1,'2025-01-01T03:00:00.000Z',NULL,'agreement-1683258762-1','1683258762',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1683258762-1", "npi": "1683258762", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 120, "s0353_fee_cents": 37500, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('treatment-started',2,1,'2025-01-03T16:00:00.000Z','pt-ab3cf0b7f3','000003-003','MOP-000003-1',1,'STARTED','2025-07-14',NULL,NULL,'{"type": "treatment-started", "event_id": "000003-003", "patient_id": "pt-ab3cf0b7f3", "order_id": "MOP-000003-1", "version": 1, "status": "STARTED", "onset_date": "2025-07-14", "recorded_at": "2025-07-15T18:38:53Z"}');
INSERT INTO "facts" VALUES('pathway-selected',2,2,'2025-01-04T03:00:00.000Z','pt-49746a7172','000004-002','MOP-000004-1',1,'SELECTED','2025-11-17','2026-11-16',NULL,'{"type": "pathway-selected", "event_id": "000004-002", "patient_id": "pt-49746a7172", "plan_id": "PPO", "program_id": "MOP", "order_id": "MOP-000004-1", "order_version": 1, "status": "SELECTED", "withdrawn_from": null, "ordering_npi": "1598124679", "regimen_code": "LU-PEM", "on_pathway": true, "effective_from": "2025-11-17", "effective_to": "2026-11-16", "max_months": 12, "selected_at": "2025-11-17T09:31:18Z"}');
INSERT INTO "facts" VALUES('provider-agreement',0,3,'2025-01-01T11:00:00.000Z',NULL,'agreement-1488571898-1','1488571898',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1488571898-1", "npi": "1488571898", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 90, "s0353_fee_cents": 40000, "s0354_fee_cents": 36000}]}');
INSERT INTO "facts" VALUES('provider-agreement',0,4,'2025-01-01T14:00:00.000Z',NULL,'agreement-1510047396-1','1510047396',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1510047396-1", "npi": "1510047396", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 120, "s0353_fee_cents": 40000, "s0354_fee_cents": 36000}]}');
INSERT INTO "facts" VALUES('provider-agreement',1,2,'2025-01-01T05:00:00.000Z',NULL,'agreement-1730382060-1','1730382060',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1730382060-1", "npi": "1730382060", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 120, "s0353_fee_cents": 37500, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',1,3,'2025-01-01T07:00:00.000Z',NULL,'agreement-1673863316-1','1673863316',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1673863316-1", "npi": "1673863316", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 120, "s0353_fee_cents": 37500, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',1,4,'2025-01-01T09:00:00.000Z',NULL,'agreement-1048216810-1','1048216810',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1048216810-1", "npi": "1048216810", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 90, "s0353_fee_cents": 40000, "s0354_fee_cents": 36000}]}');
INSERT INTO "facts" VALUES('provider-agreement',0,5,'2025-01-01T18:00:00.000Z',NULL,'agreement-1752304273-1','1752304273',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1752304273-1", "npi": "1752304273", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 90, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',0,7,'2025-01-01T23:00:00.000Z',NULL,'agreement-1237189547-1','1237189547',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1237189547-1", "npi": "1237189547", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 180, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',1,5,'2025-01-01T12:00:00.000Z',NULL,'agreement-1623969973-1','1623969973',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1623969973-1", "npi": "1623969973", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 90, "s0353_fee_cents": 40000, "s0354_fee_cents": 36000}]}');
INSERT INTO "facts" VALUES('provider-agreement',1,7,'2025-01-01T13:00:00.000Z',NULL,'agreement-1427436658-1','1427436658',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1427436658-1", "npi": "1427436658", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 90, "s0353_fee_cents": 40000, "s0354_fee_cents": 36000}]}');
INSERT INTO "facts" VALUES('provider-agreement',1,8,'2025-01-01T16:00:00.000Z',NULL,'agreement-1705653420-1','1705653420',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1705653420-1", "npi": "1705653420", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 120, "s0353_fee_cents": 40000, "s0354_fee_cents": 36000}]}');
INSERT INTO "facts" VALUES('provider-agreement',1,9,'2025-01-01T19:00:00.000Z',NULL,'agreement-1238151157-1','1238151157',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1238151157-1", "npi": "1238151157", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 90, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',1,10,'2025-01-01T21:00:00.000Z',NULL,'agreement-1309509671-1','1309509671',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1309509671-1", "npi": "1309509671", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 90, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',1,11,'2025-01-02T02:00:00.000Z',NULL,'agreement-1183472137-1','1183472137',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1183472137-1", "npi": "1183472137", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 180, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',1,12,'2025-01-02T05:00:00.000Z',NULL,'agreement-1482769621-1','1482769621',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1482769621-1", "npi": "1482769621", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 120, "s0353_fee_cents": 37500, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',2,5,'2025-01-01T20:00:00.000Z',NULL,'agreement-1316919475-1','1316919475',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1316919475-1", "npi": "1316919475", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 90, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',2,7,'2025-01-01T22:00:00.000Z',NULL,'agreement-1032021770-1','1032021770',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1032021770-1", "npi": "1032021770", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 90, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',2,8,'2025-01-02T01:00:00.000Z',NULL,'agreement-1232986889-1','1232986889',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1232986889-1", "npi": "1232986889", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 180, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',2,9,'2025-01-02T04:00:00.000Z',NULL,'agreement-1684810850-1','1684810850',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1684810850-1", "npi": "1684810850", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 120, "s0353_fee_cents": 37500, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',2,10,'2025-01-02T06:00:00.000Z',NULL,'agreement-1689526667-1','1689526667',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1689526667-1", "npi": "1689526667", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 120, "s0353_fee_cents": 37500, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',2,11,'2025-01-02T08:00:00.000Z',NULL,'agreement-1751472063-1','1751472063',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1751472063-1", "npi": "1751472063", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 90, "s0353_fee_cents": 37500, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',2,12,'2025-01-02T10:00:00.000Z',NULL,'agreement-1598124679-1','1598124679',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1598124679-1", "npi": "1598124679", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 90, "s0353_fee_cents": 37500, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',2,13,'2025-01-02T12:00:00.000Z',NULL,'agreement-1528189461-2','1528189461',2,NULL,'2020-01-01','2025-06-30',NULL,'{"type": "provider-agreement", "event_id": "agreement-1528189461-2", "npi": "1528189461", "version": 2, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": "2025-06-30", "filing_limit_days": 120, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',2,15,'2025-01-02T13:00:00.000Z',NULL,'agreement-1970410381-2','1970410381',2,NULL,'2020-01-01','2025-06-30',NULL,'{"type": "provider-agreement", "event_id": "agreement-1970410381-2", "npi": "1970410381", "version": 2, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": "2025-06-30", "filing_limit_days": 120, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',0,8,'2025-01-02T00:00:00.000Z',NULL,'agreement-1436399459-1','1436399459',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1436399459-1", "npi": "1436399459", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 180, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',0,9,'2025-01-02T03:00:00.000Z',NULL,'agreement-1684734142-1','1684734142',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1684734142-1", "npi": "1684734142", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 180, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',0,10,'2025-01-02T07:00:00.000Z',NULL,'agreement-1905271320-1','1905271320',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1905271320-1", "npi": "1905271320", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 120, "s0353_fee_cents": 37500, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',0,11,'2025-01-02T17:00:00.000Z',NULL,'agreement-1752304273-2','1752304273',2,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1752304273-2", "npi": "1752304273", "version": 2, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": "2025-06-30", "filing_limit_days": 90, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}, {"plan_id": "PPO", "effective_from": "2025-07-01", "effective_to": null, "filing_limit_days": 90, "s0353_fee_cents": 36500, "s0354_fee_cents": 36000}]}');
INSERT INTO "facts" VALUES('provider-agreement',1,13,'2025-01-02T09:00:00.000Z',NULL,'agreement-1244066209-1','1244066209',1,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1244066209-1", "npi": "1244066209", "version": 1, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": null, "filing_limit_days": 90, "s0353_fee_cents": 37500, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',1,15,'2025-01-02T11:00:00.000Z',NULL,'agreement-1856941723-2','1856941723',2,NULL,'2020-01-01','2025-06-30',NULL,'{"type": "provider-agreement", "event_id": "agreement-1856941723-2", "npi": "1856941723", "version": 2, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": "2025-06-30", "filing_limit_days": 120, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}]}');
INSERT INTO "facts" VALUES('provider-agreement',2,16,'2025-01-02T15:00:00.000Z',NULL,'agreement-1499370876-2','1499370876',2,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1499370876-2", "npi": "1499370876", "version": 2, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": "2025-06-30", "filing_limit_days": 120, "s0353_fee_cents": 37500, "s0354_fee_cents": 35000}, {"plan_id": "PPO", "effective_from": "2025-07-01", "effective_to": null, "filing_limit_days": 120, "s0353_fee_cents": 39000, "s0354_fee_cents": 36000}]}');
INSERT INTO "facts" VALUES('provider-agreement',1,16,'2025-01-02T14:00:00.000Z',NULL,'agreement-1683258762-2','1683258762',2,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1683258762-2", "npi": "1683258762", "version": 2, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": "2025-06-30", "filing_limit_days": 120, "s0353_fee_cents": 37500, "s0354_fee_cents": 35000}, {"plan_id": "PPO", "effective_from": "2025-07-01", "effective_to": null, "filing_limit_days": 120, "s0353_fee_cents": 39000, "s0354_fee_cents": 36000}]}');
INSERT INTO "facts" VALUES('provider-agreement',1,17,'2025-01-02T16:00:00.000Z',NULL,'agreement-1730382060-2','1730382060',2,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1730382060-2", "npi": "1730382060", "version": 2, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": "2025-06-30", "filing_limit_days": 120, "s0353_fee_cents": 37500, "s0354_fee_cents": 35000}, {"plan_id": "PPO", "effective_from": "2025-07-01", "effective_to": null, "filing_limit_days": 120, "s0353_fee_cents": 39000, "s0354_fee_cents": 36000}]}');
INSERT INTO "facts" VALUES('provider-agreement',1,18,'2025-01-02T18:00:00.000Z',NULL,'agreement-1238151157-2','1238151157',2,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1238151157-2", "npi": "1238151157", "version": 2, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": "2025-06-30", "filing_limit_days": 90, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}, {"plan_id": "PPO", "effective_from": "2025-07-01", "effective_to": null, "filing_limit_days": 90, "s0353_fee_cents": 36500, "s0354_fee_cents": 36000}]}');
INSERT INTO "facts" VALUES('provider-agreement',1,19,'2025-01-02T20:00:00.000Z',NULL,'agreement-1309509671-2','1309509671',2,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1309509671-2", "npi": "1309509671", "version": 2, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": "2025-06-30", "filing_limit_days": 90, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}, {"plan_id": "PPO", "effective_from": "2025-07-01", "effective_to": null, "filing_limit_days": 90, "s0353_fee_cents": 36500, "s0354_fee_cents": 36000}]}');
INSERT INTO "facts" VALUES('claim-received',2,7,'2025-01-03T23:00:00.000Z','pt-ab3cf0b7f3','000003-007','25100700000304',NULL,'ORIGINAL','2025-08-23','2025-08-23','2025-10-07','{"type": "claim-received", "event_id": "000003-007", "patient_id": "pt-ab3cf0b7f3", "plan_id": "PPO", "payer_id": "HP001", "claim_id": "25100700000304", "frequency_code": "1", "original_claim_id": null, "patient_control_number": "PCN00000304", "billing_npi": "1237189547", "rendering_npi": "1436399459", "ordering_npi": "1436399459", "order_id": null, "received_date": "2025-10-07", "form_type": "CMS-1500", "cost_share": {"copay_cents": 0, "deductible_remaining_cents": 0, "coinsurance_bp": 1000}, "lines": [{"line_number": 1, "procedure_code": "S0354", "modifiers": [], "service_date": "2025-08-23", "service_date_to": "2025-08-23", "units": 1, "charge_cents": 35000, "diagnosis_codes": ["C50412", "Z5111"], "place_of_service": "11"}, {"line_number": 2, "procedure_code": "96413", "modifiers": [], "service_date": "2025-08-23", "service_date_to": "2025-08-23", "units": 1, "charge_cents": 42000, "diagnosis_codes": ["C50412", "Z5111"], "place_of_service": "11"}, {"line_number": 3, "procedure_code": "J9171", "modifiers": ["JZ"], "service_date": "2025-08-23", "service_date_to": "2025-08-23", "units": 140, "charge_cents": 28000, "diagnosis_codes": ["C50412", "Z5111"], "place_of_service": "11"}, {"line_number": 4, "procedure_code": "J9075", "modifiers": ["JZ"], "service_date": "2025-08-23", "service_date_to": "2025-08-23", "units": 220, "charge_cents": 42000, "diagnosis_codes": ["C50412", "Z5111"], "place_of_service": "11"}]}');
INSERT INTO "facts" VALUES('claim-received',2,8,'2025-01-04T01:00:00.000Z','pt-ab3cf0b7f3','000003-008','25100700000304',NULL,'ORIGINAL','2025-08-23','2025-08-23','2025-10-07','{"type": "claim-received", "event_id": "000003-008", "patient_id": "pt-ab3cf0b7f3", "plan_id": "PPO", "payer_id": "HP001", "claim_id": "25100700000304", "frequency_code": "1", "original_claim_id": null, "patient_control_number": "PCN00000304", "billing_npi": "1237189547", "rendering_npi": "1436399459", "ordering_npi": "1436399459", "order_id": null, "received_date": "2025-10-07", "form_type": "CMS-1500", "cost_share": {"copay_cents": 0, "deductible_remaining_cents": 0, "coinsurance_bp": 1000}, "lines": [{"line_number": 1, "procedure_code": "S0354", "modifiers": [], "service_date": "2025-08-23", "service_date_to": "2025-08-23", "units": 1, "charge_cents": 35000, "diagnosis_codes": ["C50412", "Z5111"], "place_of_service": "11"}, {"line_number": 2, "procedure_code": "96413", "modifiers": [], "service_date": "2025-08-23", "service_date_to": "2025-08-23", "units": 1, "charge_cents": 42000, "diagnosis_codes": ["C50412", "Z5111"], "place_of_service": "11"}, {"line_number": 3, "procedure_code": "J9171", "modifiers": ["JZ"], "service_date": "2025-08-23", "service_date_to": "2025-08-23", "units": 140, "charge_cents": 28000, "diagnosis_codes": ["C50412", "Z5111"], "place_of_service": "11"}, {"line_number": 4, "procedure_code": "J9075", "modifiers": ["JZ"], "service_date": "2025-08-23", "service_date_to": "2025-08-23", "units": 220, "charge_cents": 42000, "diagnosis_codes": ["C50412", "Z5111"], "place_of_service": "11"}]}');
INSERT INTO "facts" VALUES('claim-received',2,9,'2025-01-04T05:00:00.000Z','pt-49746a7172','000004-003','25112600000401',NULL,'ORIGINAL','2025-11-24','2025-11-24','2025-11-26','{"type": "claim-received", "event_id": "000004-003", "patient_id": "pt-49746a7172", "plan_id": "PPO", "payer_id": "HP001", "claim_id": "25112600000401", "frequency_code": "1", "original_claim_id": null, "patient_control_number": "PCN00000401", "billing_npi": "1751472063", "rendering_npi": "1244066209", "ordering_npi": "1598124679", "order_id": null, "received_date": "2025-11-26", "form_type": "CMS-1500", "cost_share": {"copay_cents": 2000, "deductible_remaining_cents": 0, "coinsurance_bp": 0}, "lines": [{"line_number": 1, "procedure_code": "S0353", "modifiers": [], "service_date": "2025-11-24", "service_date_to": "2025-11-24", "units": 1, "charge_cents": 30000, "diagnosis_codes": ["C3490", "Z5111"], "place_of_service": "11"}, {"line_number": 2, "procedure_code": "96413", "modifiers": [], "service_date": "2025-11-24", "service_date_to": "2025-11-24", "units": 1, "charge_cents": 42000, "diagnosis_codes": ["C3490", "Z5111"], "place_of_service": "11"}, {"line_number": 3, "procedure_code": "J9271", "modifiers": ["JZ"], "service_date": "2025-11-24", "service_date_to": "2025-11-24", "units": 200, "charge_cents": 1150000, "diagnosis_codes": ["C3490", "Z5111"], "place_of_service": "11"}]}');
INSERT INTO "facts" VALUES('provider-agreement',2,17,'2025-01-02T19:00:00.000Z',NULL,'agreement-1316919475-2','1316919475',2,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1316919475-2", "npi": "1316919475", "version": 2, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": "2025-06-30", "filing_limit_days": 90, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}, {"plan_id": "PPO", "effective_from": "2025-07-01", "effective_to": null, "filing_limit_days": 90, "s0353_fee_cents": 36500, "s0354_fee_cents": 36000}]}');
INSERT INTO "facts" VALUES('provider-agreement',2,18,'2025-01-02T21:00:00.000Z',NULL,'agreement-1032021770-2','1032021770',2,NULL,'2020-01-01',NULL,NULL,'{"type": "provider-agreement", "event_id": "agreement-1032021770-2", "npi": "1032021770", "version": 2, "spans": [{"plan_id": "PPO", "effective_from": "2020-01-01", "effective_to": "2025-06-30", "filing_limit_days": 90, "s0353_fee_cents": 35000, "s0354_fee_cents": 35000}, {"plan_id": "PPO", "effective_from": "2025-07-01", "effective_to": null, "filing_limit_days": 90, "s0353_fee_cents": 36500, "s0354_fee_cents": 36000}]}');
CREATE TABLE ledger_migrations (number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL);
INSERT INTO "ledger_migrations" VALUES(1,'ledger');
CREATE TABLE positions (
    kafka_topic TEXT NOT NULL,
    kafka_partition INTEGER NOT NULL,
    topic_id TEXT NOT NULL,
    next_offset BIGINT NOT NULL,
    PRIMARY KEY (kafka_topic, kafka_partition)
);
INSERT INTO "positions" VALUES('billing-decisions',0,'id-of-billing-decisions',2);
INSERT INTO "positions" VALUES('billing-decisions',1,'id-of-billing-decisions',0);
INSERT INTO "positions" VALUES('billing-decisions',2,'id-of-billing-decisions',9);
INSERT INTO "positions" VALUES('claim-received',0,'id-of-claim-received',2);
INSERT INTO "positions" VALUES('claim-received',1,'id-of-claim-received',2);
INSERT INTO "positions" VALUES('claim-received',2,'id-of-claim-received',11);
INSERT INTO "positions" VALUES('dead-letters',0,'id-of-dead-letters',0);
INSERT INTO "positions" VALUES('dead-letters',1,'id-of-dead-letters',2);
INSERT INTO "positions" VALUES('dead-letters',2,'id-of-dead-letters',0);
INSERT INTO "positions" VALUES('eligibility-notices',0,'id-of-eligibility-notices',2);
INSERT INTO "positions" VALUES('eligibility-notices',1,'id-of-eligibility-notices',0);
INSERT INTO "positions" VALUES('eligibility-notices',2,'id-of-eligibility-notices',4);
INSERT INTO "positions" VALUES('member-eligibility',0,'id-of-member-eligibility',2);
INSERT INTO "positions" VALUES('member-eligibility',1,'id-of-member-eligibility',0);
INSERT INTO "positions" VALUES('member-eligibility',2,'id-of-member-eligibility',4);
INSERT INTO "positions" VALUES('pathway-selected',0,'id-of-pathway-selected',2);
INSERT INTO "positions" VALUES('pathway-selected',1,'id-of-pathway-selected',0);
INSERT INTO "positions" VALUES('pathway-selected',2,'id-of-pathway-selected',4);
INSERT INTO "positions" VALUES('pend-expired',0,'id-of-pend-expired',0);
INSERT INTO "positions" VALUES('pend-expired',1,'id-of-pend-expired',0);
INSERT INTO "positions" VALUES('pend-expired',2,'id-of-pend-expired',0);
INSERT INTO "positions" VALUES('provider-agreement',0,'id-of-provider-agreement',13);
INSERT INTO "positions" VALUES('provider-agreement',1,'id-of-provider-agreement',21);
INSERT INTO "positions" VALUES('provider-agreement',2,'id-of-provider-agreement',20);
INSERT INTO "positions" VALUES('readjudication-requested',0,'id-of-readjudication-requested',0);
INSERT INTO "positions" VALUES('readjudication-requested',1,'id-of-readjudication-requested',0);
INSERT INTO "positions" VALUES('readjudication-requested',2,'id-of-readjudication-requested',0);
INSERT INTO "positions" VALUES('treatment-started',0,'id-of-treatment-started',2);
INSERT INTO "positions" VALUES('treatment-started',1,'id-of-treatment-started',0);
INSERT INTO "positions" VALUES('treatment-started',2,'id-of-treatment-started',3);
CREATE TABLE provider_months (
    billing_npi TEXT NOT NULL,
    posted_month TEXT NOT NULL,
    service_month TEXT NOT NULL,
    payments BIGINT NOT NULL,
    paid_cents BIGINT NOT NULL,
    take_backs BIGINT NOT NULL,
    taken_back_cents BIGINT NOT NULL,
    PRIMARY KEY (billing_npi, posted_month, service_month)
);
INSERT INTO "provider_months" VALUES('1237189547','2025-01','2025-07',1,31500,0,0);
INSERT INTO "provider_months" VALUES('1237189547','2025-01','2025-08',2,63000,1,31500);
CREATE INDEX facts_by_patient ON facts (patient_id, kafka_topic, ref);
CREATE INDEX facts_by_event ON facts (event_id);
CREATE INDEX facts_by_ref ON facts (ref);
CREATE INDEX decision_versions_by_claim ON decision_versions (claim_id, line_number);
CREATE INDEX decision_versions_by_time ON decision_versions (published_at);
CREATE INDEX decision_versions_by_cause ON decision_versions (caused_by);
CREATE INDEX claim_lines_by_claim ON claim_lines (claim_id, line_number);
CREATE INDEX claim_lines_by_order ON claim_lines (order_id);
CREATE INDEX claim_lines_by_provider ON claim_lines (billing_npi, outcome);
CREATE INDEX claim_lines_by_reason ON claim_lines (outcome, reason);
CREATE INDEX claim_lines_by_time ON claim_lines (decided_at);
CREATE INDEX eligibility_notices_by_order ON eligibility_notices (patient_id, order_id, order_version);
CREATE INDEX dead_letters_by_source ON dead_letters (source_topic, source_partition, source_offset);
CREATE INDEX dead_letters_by_key ON dead_letters (record_key);
CREATE VIEW patient_timeline AS
SELECT f.patient_id, f.kafka_topic AS kind, f.ref, f.version, f.status, f.from_date, f.to_date, f.received_date,
       d.reason AS refused, f.event_id, f.published_at, f.kafka_topic, f.kafka_partition, f.kafka_offset, f.event
FROM facts f
LEFT JOIN dead_letters d
    ON d.source_topic = f.kafka_topic AND d.source_partition = f.kafka_partition AND d.source_offset = f.kafka_offset
WHERE f.patient_id IS NOT NULL;
CREATE VIEW pends AS
SELECT l.patient_id, l.claim_id, l.line_number, l.procedure_code, l.service_date, l.billing_npi, l.charge_cents,
       l.version, l.decision_id, l.explanation, l.decided_at AS pended_at,
       (SELECT MIN(t.received_date) FROM patient_timeline t
        WHERE t.patient_id = l.patient_id AND t.kind = 'claim-received' AND t.ref = l.claim_id AND t.refused IS NULL)
           AS received_date
FROM claim_lines l
WHERE l.outcome = 'PENDED';
COMMIT;
