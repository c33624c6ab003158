"""Whether a worker would take an event: the sender of a claim, who can correct it, learns it here, and not only operators later."""

from streams.adjudication.facts import Claim
from streams.adjudication.intake import InvalidFact, check
from streams.events import fact_to_avro
from streams.runtime.dead_letters import MAX_RECORD_BYTES


def why_refused(claim: Claim) -> str | None:
    """Why a worker would refuse an event as INVALID or TOO_LARGE; None if it would not."""
    try:
        check(claim)
    except InvalidFact as error:
        return f"the event's {error.field} {error.sentence}"
    _, key, value = fact_to_avro(claim)
    if len(key) + len(value) > MAX_RECORD_BYTES:
        return f"the event would have more than {MAX_RECORD_BYTES:,} bytes; a worker refuses it as TOO_LARGE"
    return None
