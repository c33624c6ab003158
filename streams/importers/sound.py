"""Whether a worker would take an event: the sender of a claim, who can correct it, learns it here, and not only operators later."""

from streams.adjudication.facts import Claim
from streams.adjudication.intake import InvalidFact, check
from streams.events import fact_to_avro

LARGEST_RECORD_BYTES = 512 * 1024  # of key and value: above it a worker refuses a record as TOO_LARGE


def why_refused(claim: Claim) -> str | None:
    """Why a worker would refuse an event as INVALID or TOO_LARGE; None if it would not."""
    try:
        check(claim)
    except InvalidFact as error:
        return f"the event's {error.field} {error.sentence}"
    _, key, value = fact_to_avro(claim)
    if len(key) + len(value) > LARGEST_RECORD_BYTES:
        return f"the event would have more than {LARGEST_RECORD_BYTES:,} bytes; a worker refuses it as TOO_LARGE"
    return None
