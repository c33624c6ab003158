"""The provider agreements as every worker knows them, read from the whole of their topic (docs/adr/0003).

Each worker follows all partitions of `provider-agreement`; what each record came to is the same in all of them, because a
provider's versions lie in one partition, in order. The lane that owns the partition asks here for the records that could not be
used and publishes their dead letters, so that each appears once, however many workers read it.
"""

from streams.adjudication.agreements import Agreements
from streams.adjudication.facts import ProviderAgreement
from streams.agents.intake import Refused, accept
from streams.runtime.processor import InputRecord


class AgreementBook:
    """Agreements that stand, and what was refused, by partition and offset."""

    def __init__(self, partitions: int) -> None:
        """`partitions`: how many the topic has."""
        self._partitions = partitions
        self.agreements = Agreements()
        self._refused: dict[tuple[int, int], Refused] = {}

    def take(self, record: InputRecord) -> None:
        """One record of the topic, in the order of its partition."""
        fact = accept(record, self._partitions)
        if isinstance(fact, ProviderAgreement):
            refusal = self.agreements.admit(fact)
            if refusal is None:
                return
            fact = Refused.because(refusal)
        assert isinstance(fact, Refused), "the topic of agreements holds nothing but agreements"
        self._refused[record.partition, record.offset] = fact

    def refused(self, record: InputRecord) -> Refused | None:
        """Why a record of the topic could not be used, if so. The record must have been taken before."""
        return self._refused.get((record.partition, record.offset))
