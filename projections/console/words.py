"""Names and advice for people: of each reason, adjustment code and kind of event, in our words.

What would change a decision follows from the rules alone (docs/spec/rules.md): a later fact, a replacement, or nothing. A test
holds the list against the edits.
"""

from typing import Final, NamedTuple


class ReasonWords(NamedTuple):
    """How a person calls a reason, and what would change a line that has it; empty where nothing is wrong."""

    name: str
    change: str = ""


# the decision's own date was right when it was decided; a line that was paid since may have closed it
_A_LATER_SERVICE: Final = (
    "a service far enough from all that is paid; from when on, as things are on record now, stands below"
)

REASONS: Final = {
    "PAID": ReasonWords("Payable"),
    "VOIDED": ReasonWords("Void or replaced"),
    "INVALID_UNITS": ReasonWords("No unit billed", "a replacement claim (frequency 7) with one unit or more"),
    "INVALID_CHARGE": ReasonWords("No charge billed", "a replacement claim (frequency 7) with a charge above zero"),
    "INVALID_SERVICE_DATE": ReasonWords(
        "More than one service date on a line", "a replacement claim (frequency 7) with one service date on each line"
    ),
    "DOS_AFTER_RECEIPT": ReasonWords(
        "Billed before the service", "a replacement claim (frequency 7) with the right date, sent after the service"
    ),
    "INVALID_ORIGINAL_REFERENCE": ReasonWords(
        "The replacement names no claim that it may replace",
        "a replacement that names the payer's number of a claim of the same patient and billing provider, itself no void",
    ),
    "DUPLICATE": ReasonWords(
        "Exact duplicate",
        "a replacement claim (frequency 7), if another service was meant; else nothing: it counts once",
    ),
    "NOT_ELIGIBLE": ReasonWords(
        "The member is not covered", "an eligibility record whose span of the plan covers the service date"
    ),
    "UNTIMELY": ReasonWords(
        "Filed too late",
        "nothing that the provider can send; the limit is the agreement's, counted from the service date",
    ),
    "NOT_IN_NETWORK": ReasonWords(
        "The billing provider is not in network",
        "an agreement of the billing provider that covers the service date, and then a re-adjudication",
    ),
    "AUTH_MISMATCH": ReasonWords(
        "The cited order is not on record", "that order's arrival, or a replacement that cites another order or none"
    ),
    "NO_PATHWAY_AT_DOS": ReasonWords(
        "No pathway order on the service date", "a pathway order that is in effect on the service date"
    ),
    "OFF_PATHWAY": ReasonWords(
        "Regimen off the pathway", "an order for a regimen on the pathway that governs the service date"
    ),
    "AWAIT_TREATMENT_START": ReasonWords(
        "Waits for the treatment start",
        "the order's treatment start; when the time to wait runs out, the line is denied",
    ),
    "NO_TREATMENT_START": ReasonWords("No treatment start came", "the order's treatment start: it is not too late"),
    "BEFORE_ONSET": ReasonWords(
        "Before the treatment started", "a corrected treatment start, or a service from the start on"
    ),
    "AFTER_SPAN": ReasonWords(
        "After the order's last day", "a version of the order with a later last day, or a later order"
    ),
    "ORDERING_NOT_IN_NETWORK": ReasonWords(
        "The ordering provider is not in network",
        "an agreement of the ordering provider that covers the service date, and then a re-adjudication",
    ),
    "S0353_ONCE": ReasonWords("S0353 is paid already", "a void of the S0353 that was paid; it is paid once"),
    "WITHIN_30_OF_S0353": ReasonWords("Too close to a paid S0353", _A_LATER_SERVICE),
    "WITHIN_30_OF_S0354": ReasonWords("Too close to a paid S0354", _A_LATER_SERVICE),
    "CALENDAR_MONTH": ReasonWords("An S0354 of that month is paid", "a service in another calendar month"),
    "MAX_MONTHS": ReasonWords(
        "All months of the order are used", "a version of the order with more months, or another order"
    ),
    # why an event was refused
    "UNREADABLE": ReasonWords("cannot be read"),
    "INVALID": ReasonWords("has an invalid value"),
    "KEY_MISMATCH": ReasonWords("is under another patient's key, or in another partition than its key's"),
    "WRONG_PAYER": ReasonWords("is for another payer"),
    "CONFLICT": ReasonWords("contradicts an earlier event of the same version"),
    "TOO_LARGE": ReasonWords("is too large"),
}

GROUPS: Final = {
    "CO": "the provider writes it off",
    "PI": "the provider writes it off",
    "OA": "nobody owes it",
    "PR": "the member owes it",
}
"""Who bears an adjustment, by its group code."""

_ADJUSTMENTS: Final = {
    "1": "deductible",
    "2": "coinsurance",
    "3": "copay",
    "16": "something on the claim is missing or wrong",
    "18": "an exact duplicate",
    "26": "before the coverage began",
    "27": "after the coverage ended",
    "29": "filed after the limit",
    "31": "no coverage on record",
    "45": "above the agreed fee",
    "97": "part of what is paid otherwise",
    "110": "billed before the service",
    "119": "more than the plan pays in that time",
    "149": "paid once, and it is paid",
    "197": "no pathway order",
    "198": "more months than the order has",
    "200": "between two coverages",
    "234": "not paid by itself",
    "242": "the billing provider is not in network",
    "243": "the ordering provider is not in network",
    "272": "the program's conditions are not met",
    "284": "the cited order is not on record",
    "302": "after the order's last day",
}

_REMARKS: Final = {
    "M15": "bundled",
    "M52": "the service date",
    "M53": "the units",
    "M79": "the charge",
    "M86": "one was paid in that time",
    "N117": "once in a lifetime",
    "N152": "the claim that it replaces",
    "N351": "outside the approved treatment",
    "N357": "too close to another service",
    "N362": "one unit is payable",
    "N390": "not paid by itself",
    "N472": "another provider was paid",
    "N640": "too many",
}

EVENTS: Final = {
    "pathway-selected": "order",
    "treatment-started": "treatment start of order",
    "claim-received": "claim",
    "member-eligibility": "eligibility",
    "pend-expired": "end of the wait of claim",
    "readjudication-requested": "request to decide again",
    "provider-agreement": "agreement of provider",
}
"""What an event of a topic is; the order, the claim or the NPI that it names follows."""


def reason_name(code: str) -> str:
    """A reason as a person reads it. One that this program does not know keeps its code."""
    return REASONS[code].name if code in REASONS else code


def reason_change(code: str) -> str:
    """What would change a line that has this reason; empty for nothing."""
    return REASONS[code].change if code in REASONS else ""


def reasons_like(text: str) -> tuple[str, ...]:
    """The reasons of lines that a person may mean: the code itself, else all whose code or name has every word typed."""
    code = text.upper().replace(" ", "_")
    if code in REASONS:
        return (code,)
    words = text.casefold().split()
    if not words or len("".join(words)) < 3:
        return ()
    return tuple(
        code
        for code, known in REASONS.items()
        if all(word in f"{code} {code.replace('_', ' ')} {known.name}".casefold() for word in words)
    )


def adjustment_words(group: str, carc: str, rarcs: tuple[str, ...]) -> str:
    """What an adjustment takes off, and who bears it."""
    remarks = [_REMARKS[code] for code in rarcs if code in _REMARKS]
    what = "more than one unit" if "N362" in rarcs else _ADJUSTMENTS.get(carc, f"adjustment {carc}")
    said = f"{what} ({', '.join(remarks)})" if remarks else what
    return f"{said}: {GROUPS.get(group, 'see the group code')}"
