"""Breaks made on purpose, each with a name: every edit left out, every boundary moved by one, the order of settling, the rounding.

`python -m tests.mutation.deliberate` tries them out against the worked cases, our own and random histories (half a minute).
"""

import re
import sys
from typing import NamedTuple

from tests.mutation.broken_core import HUNG, NOTICED, UNNOTICED, source_of, try_out
from tests.mutation.checks import fast_checks


class Patch(NamedTuple):
    """One piece of text in a module of the core, and what it is broken into."""

    title: str
    module: str
    text: str
    broken: str


PATCHES: tuple[Patch, ...] = (
    # edit 1
    Patch("units: 0 is enough", "edits", "billed.line.units < 1", "billed.line.units < 0"),
    Patch("charge: 0 is enough", "edits", "billed.line.charge_cents <= 0", "billed.line.charge_cents < 0"),
    Patch(
        "service after receipt: the day of receipt too",
        "edits",
        "billed.line.service_date > billed.claim.received_date",
        "billed.line.service_date >= billed.claim.received_date",
    ),
    Patch(
        "service after receipt: a day of grace",
        "edits",
        "billed.line.service_date > billed.claim.received_date",
        "billed.line.service_date > billed.claim.received_date + 1",
    ),
    Patch(
        "bad reference: a void's denies nothing, an original's is not asked for",
        "edits",
        "and billed.claim.frequency_code == REPLACEMENT",
        "and billed.claim.frequency_code != REPLACEMENT",
    ),
    # edit 2
    Patch(
        "duplicate: modifiers in any order",
        "edits",
        "        line.modifiers,\n",
        "        tuple(sorted(line.modifiers)),\n",
    ),
    Patch("duplicate: whatever the charge", "edits", "        line.charge_cents,\n    )", "    )"),
    Patch("duplicate: whatever the units", "edits", "        line.units,\n", ""),
    Patch(
        "duplicate: of a denied line too",
        "settlement",
        "if finding.outcome != DENIED or finding.edit > 10:",
        "if True:",
    ),
    Patch(
        "duplicate: not of a line denied by edits 11 to 14",
        "settlement",
        "if finding.outcome != DENIED or finding.edit > 10:",
        "if finding.outcome != DENIED:",
    ),
    # edit 3
    Patch(
        "eligibility: the first day is outside",
        "edits",
        "if any(span.effective_from <= day and",
        "if any(span.effective_from < day and",
    ),
    Patch(
        "eligibility: the last day is outside",
        "edits",
        "(span.effective_to is None or day <= span.effective_to) for span in spans):",
        "(span.effective_to is None or day < span.effective_to) for span in spans):",
    ),
    Patch(
        "eligibility: any plan's span",
        "edits",
        "[span for span in record.spans if span.plan_id == billed.claim.plan_id]",
        "list(record.spans)",
    ),
    # edits 4 and 5
    Patch(
        "filing limit: the last day is late",
        "edits",
        "billed.claim.received_date - billed.line.service_date > limit",
        "billed.claim.received_date - billed.line.service_date >= limit",
    ),
    Patch(
        "filing limit: a day more",
        "edits",
        "billed.claim.received_date - billed.line.service_date > limit",
        "billed.claim.received_date - billed.line.service_date > limit + 1",
    ),
    Patch(
        "agreement span: the first day is outside",
        "agreements",
        "and span.effective_from <= day",
        "and span.effective_from < day",
    ),
    Patch(
        "agreement span: the last day is outside", "agreements", "day <= span.effective_to", "day < span.effective_to"
    ),
    Patch("agreement span: a day more", "agreements", "day <= span.effective_to", "day <= span.effective_to + 1"),
    Patch("agreement span: of any plan", "agreements", "span.plan_id == plan_id", "True"),
    Patch("agreements: the last to arrive stands", "agreements", "standing.version < agreement.version", "True"),
    # edits 6 and 7
    Patch(
        "order: not in effect on its first day",
        "edits",
        "if order.effective_from > day:\n        return False",
        "if order.effective_from >= day:\n        return False",
    ),
    Patch(
        "order: in effect on the day of its withdrawal",
        "edits",
        "order.withdrawn_from <= day)",
        "order.withdrawn_from < day)",
    ),
    Patch(
        "order: a date of withdrawal counts whatever the status",
        "edits",
        "order.status == WITHDRAWN and order.withdrawn_from is not None",
        "order.withdrawn_from is not None",
    ),
    Patch(
        "onset: not started on the day itself",
        "edits",
        "c.onset is not None and c.onset <= day]",
        "c.onset is not None and c.onset < day]",
    ),
    Patch(
        "onset: a cancelled start counts", "edits", "start is not None and start.status == STARTED", "start is not None"
    ),
    Patch(
        "governing order: the earliest onset",
        "edits",
        "max(started, key=lambda c: (c.onset,",
        "min(started, key=lambda c: (c.onset,",
    ),
    Patch(
        "governing order: by effect alone",
        "edits",
        "key=lambda c: (c.onset, *_by_effect(c.order))",
        "key=lambda c: _by_effect(c.order)",
    ),
    Patch(
        "none started: the earliest order says if off-pathway",
        "edits",
        "latest = max((c.order for c in candidates), key=_by_effect)",
        "latest = min((c.order for c in candidates), key=_by_effect)",
    ),
    Patch("pend: an expiry is not looked at", "edits", "if billed.claim.claim_id in settling.expired:", "if False:"),
    Patch(
        "before onset: payable from the latest onset",
        "edits",
        "onset = min(c.onset for c in candidates",
        "onset = max(c.onset for c in candidates",
    ),
    # edits 8 to 10
    Patch(
        "order span: the last day is outside",
        "edits",
        "billed.line.service_date > order.effective_to",
        "billed.line.service_date >= order.effective_to",
    ),
    Patch(
        "order span: a day more",
        "edits",
        "billed.line.service_date > order.effective_to",
        "billed.line.service_date > order.effective_to + 1",
    ),
    # edits 11 to 14
    Patch(
        "S0353 once: another provider is not named",
        "edits",
        'if before.billing_npi == billed.claim.billing_npi else ("N117", "N472")',
        'if before.billing_npi == billed.claim.billing_npi else ("N117",)',
    ),
    Patch(
        "gap: 29 days are enough",
        "edits",
        "blocking = settling.counted_within(code, day, gap_days)\n    if",
        "blocking = settling.counted_within(code, day, gap_days - 1)\n    if",
    ),
    Patch(
        "gap: 31 days are needed",
        "edits",
        "blocking = settling.counted_within(code, day, gap_days)\n    if",
        "blocking = settling.counted_within(code, day, gap_days + 1)\n    if",
    ),
    Patch(
        "gap: 30 days after are not enough",
        "settling",
        "_first_from(counted, day - gap_days + 1)",
        "_first_from(counted, day - gap_days)",
    ),
    Patch(
        "gap: 30 days before are not enough",
        "settling",
        "_first_from(counted, day + gap_days)",
        "_first_from(counted, day + gap_days + 1)",
    ),
    Patch(
        "gap: later lines do not block",
        "settling",
        "return counted[_first_from(counted, day - gap_days + 1) : _first_from(counted, day + gap_days)]",
        "return [\n            line\n            for line in counted[_first_from(counted, day - gap_days + 1) :]\n"
        "            if line.service_date <= day\n        ]",
    ),
    Patch(
        "gap: the next payable date is a day early",
        "edits",
        "for counted in next_blocking) + gap_days",
        "for counted in next_blocking) + gap_days - 1",
    ),
    Patch("months: one more", "edits", "< order.max_months:", "<= order.max_months:"),
    Patch(
        "months: of the patient, not of the order",
        "settling",
        "self._months[counted.order_id] = self._months.get(counted.order_id, 0) + 1",
        "self._months = {order_id: self._months.get(order_id, 0) + 1 for order_id in self.orders}",
    ),
    # price
    Patch(
        "rounding: down", "pricing", "(2 * numerator + denominator) // (2 * denominator)", "numerator // denominator"
    ),
    Patch(
        "rounding: up", "pricing", "(2 * numerator + denominator) // (2 * denominator)", "-(-numerator // denominator)"
    ),
    Patch(
        "rounding: half-down",
        "pricing",
        "(2 * numerator + denominator) // (2 * denominator)",
        "(2 * numerator + denominator - 1) // (2 * denominator)",
    ),
    Patch(
        "rounding: half to even",
        "pricing",
        "(2 * numerator + denominator) // (2 * denominator)",
        "round(numerator / denominator)",
    ),
    Patch("fee: not the lesser of", "pricing", "allowed = min(unit, fee_cents)", "allowed = max(unit, fee_cents)"),
    Patch(
        "cost share: copay after the deductible",
        "pricing",
        "copay = min(max(cost_share.copay_cents, 0), allowed)\n"
        "    deductible = min(max(deductible_left_cents, 0), allowed - copay)",
        "deductible = min(max(deductible_left_cents, 0), allowed)\n"
        "    copay = min(max(cost_share.copay_cents, 0), allowed - deductible)",
    ),
    Patch(
        "cost share: coinsurance on the allowed amount",
        "pricing",
        "half_up(rest * max(cost_share.coinsurance_bp, 0), 10_000)",
        "half_up(allowed * max(cost_share.coinsurance_bp, 0), 10_000)",
    ),
    Patch(
        "cost share: the deductible anew for each line",
        "settlement",
        "deductible_used[claim_id] = used + priced.deductible_used_cents",
        "deductible_used[claim_id] = 0",
    ),
    Patch(
        "cost share: the deductible in settling order",
        "settlement",
        "decided = sorted(decided, key=_claim_and_line)",
        "pass",
    ),
    # live claims and settling order
    Patch(
        "live: a void takes nothing out",
        "live",
        "for named_id, takers in voids.items():",
        "for named_id, takers in ():",
    ),
    Patch(
        "live: a replacement takes nothing out",
        "live",
        "out[named_id] = Taken(REPLACED_BY, _last(takers).claim_id)",
        "pass",
    ),
    Patch("live: all replacements of a claim stand", "live", "if rival is not last:", "if False:"),
    Patch(
        "live: the first replacement of a claim stands",
        "live",
        "        last = _last(rivals)",
        "        last = _first(rivals)",
    ),
    Patch("live: a reference to itself counts", "live", "if claim.original_claim_id == claim.claim_id:", "if False:"),
    Patch("live: a reference to a void counts", "live", "if named.frequency_code == VOID:", "if False:"),
    Patch(
        "live: a reference across billing providers counts",
        "live",
        "if named.billing_npi != claim.billing_npi:",
        "if False:",
    ),
    Patch(
        "settling order: a replacement in its own place",
        "live",
        "_first_in_chain(claim, claims, bad, firsts) if claim.frequency_code == REPLACEMENT else claim",
        "claim",
    ),
    Patch(
        "settling order: S0354 before S0353",
        "settlement",
        "        (billed.line.procedure_code, *place, billed.line.line_number, claim_id, billed)",
        '        ("" if billed.line.procedure_code != S0353 else "S", *place, billed.line.line_number, claim_id, billed)',
    ),
    Patch(
        "settling order: one pass for both codes",
        "settlement",
        "        (billed.line.procedure_code, *place, billed.line.line_number, claim_id, billed)",
        '        ("", *place, billed.line.line_number, claim_id, billed)',
    ),
    Patch(
        "settling order: by claim id alone",
        "live",
        "places[claim.claim_id] = (first.received_date, first.claim_id)",
        "places[claim.claim_id] = (0, first.claim_id)",
    ),
    Patch(
        "settling order: by receipt alone",
        "live",
        "places[claim.claim_id] = (first.received_date, first.claim_id)",
        'places[claim.claim_id] = (first.received_date, "")',
    ),
    Patch(
        "settling order: line numbers backwards",
        "settlement",
        "(billed.line.procedure_code, *place, billed.line.line_number, claim_id, billed)",
        "(billed.line.procedure_code, *place, -billed.line.line_number, claim_id, billed)",
    ),
    Patch(
        "settling order: ties by the higher claim id",
        "settlement",
        "    queue.sort(key=lambda entry: entry[:5])",
        "    queue.sort(key=lambda entry: (*entry[:4], *(-ord(letter) for letter in entry[4])))",
    ),
    # what is taken in
    Patch(
        "intake: any payer",
        "fold",
        "if policy.on(claim.received_date).plans.get(claim.plan_id) != claim.payer_id:",
        "if False:",
    ),
    Patch("intake: a conflict is a repeat", "fold", "if content(known) == content(fact):", "if True:"),
    Patch(
        "intake: a repeat is a conflict where the event id differs",
        "fold",
        "if content(known) == content(fact):",
        "if known == fact:",
    ),
    Patch("intake: a lower order version stands", "record", "standing.order_version > order.order_version", "False"),
    Patch("intake: a lower start version stands", "record", "standing.version > start.version", "False"),
    Patch(
        "intake: a lower eligibility version stands",
        "record",
        "self.eligibility.version > eligibility.version",
        "False",
    ),
    # the short way
    Patch(
        "short way: for a claim that settles in between",
        "settlement",
        "(settlement.last_place is not None and (claim.received_date, claim.claim_id) <= settlement.last_place)",
        "False",
    ),
    Patch("short way: for a claim that is named", "settlement", "or claim.claim_id in record.named", ""),
    Patch(
        "short way: for a counted S0353",
        "settlement",
        "if finding.outcome == PAID and billed.line.procedure_code == S0353 and settlement.gaps_measured:",
        "if False:",
    ),
    Patch(
        "short way: for a counted S0353 after S0354 that were denied",
        "settlement",
        "if finding.edit > 10 and billed.line.procedure_code == S0354:",
        "if finding.outcome == PAID and billed.line.procedure_code == S0354:",
    ),
    Patch(
        "short way: the first claim where it is no original",
        "settlement",
        "or claim.frequency_code != ORIGINAL",
        "or (claim.frequency_code != ORIGINAL and len(record.claims) > 1)",
    ),
    Patch("short way: for a replacement", "settlement", "or claim.frequency_code != ORIGINAL", ""),
)


class Deliberate(NamedTuple):
    """A break with its text at hand."""

    title: str
    module: str
    broken: str

    def text(self) -> str:
        return self.broken


def patched(patch: Patch) -> Deliberate:
    """The break of a patch. A patch whose text is gone, or is there twice, is out of date: that is an error, not a pass."""
    source = source_of(patch.module)
    if source.count(patch.text) != 1:
        raise LookupError(
            f"{patch.title}: {patch.module}.py holds {patch.text!r} {source.count(patch.text)} times, not once"
        )
    return Deliberate(patch.title, patch.module, source.replace(patch.text, patch.broken))


def edits_left_out() -> list[Deliberate]:
    """One break for each edit: it is taken out of the list of edits."""
    source = source_of("edits")
    listed = re.search(r"^EDITS: .*?= \(\n(.*?)^\)", source, re.MULTILINE | re.DOTALL)
    assert listed is not None, "edits.py lists its edits in EDITS"
    names = re.findall(r"^    (\w+),$", listed[1], re.MULTILINE)
    assert len(names) >= 15, f"EDITS lists {names}"
    start, end = listed.span(1)
    return [
        Deliberate(
            f"edit left out: {name}",
            "edits",
            source[:start] + listed[1].replace(f"    {name},\n", "") + source[end:],
        )
        for name in names
    ]


def deliberate_breaks() -> list[Deliberate]:
    return edits_left_out() + [patched(patch) for patch in PATCHES]


def as_it_is() -> Deliberate:
    """No break at all, to see that the checks pass without one."""
    return Deliberate("the core as it is", "edits", source_of("edits"))


def main() -> int:
    checks = fast_checks()
    unbroken = next(try_out([as_it_is()], checks, jobs=1))
    if unbroken.outcome in (NOTICED, HUNG):
        print(f"error: the checks fail on the core as it is: {unbroken.by}", file=sys.stderr)
        return 2
    unnoticed = 0
    for verdict in try_out(deliberate_breaks(), checks, jobs=2):
        unnoticed += verdict.outcome == UNNOTICED
        print(f"{verdict.outcome:12} {verdict.title:60} {verdict.by}")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
