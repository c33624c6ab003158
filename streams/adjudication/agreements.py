"""Provider agreements: the reference data of the rules. Of one NPI the highest version stands (rules.md section 1)."""

from .days import Day
from .decisions import CONFLICT, Refusal
from .facts import AgreementSpan, ProviderAgreement, content


class Agreements:
    """All provider agreements known so far, every version of each."""

    def __init__(self) -> None:
        self._versions: dict[str, dict[int, ProviderAgreement]] = {}
        self._standing: dict[str, ProviderAgreement] = {}

    def admit(self, agreement: ProviderAgreement) -> Refusal | None:
        """Take a version in. Of conflicting contents of one version the first stands and the other is refused."""
        versions = self._versions.setdefault(agreement.npi, {})
        known = versions.setdefault(agreement.version, agreement)
        if content(known) != content(agreement):
            return Refusal(
                CONFLICT, f"version {agreement.version} of this provider agreement is on record with other content"
            )
        standing = self._standing.get(agreement.npi)
        if standing is None or standing.version < agreement.version:
            self._standing[agreement.npi] = agreement
        return None

    def standing(self, npi: str) -> ProviderAgreement | None:
        """The newest version of a provider's agreement."""
        return self._standing.get(npi)

    def version(self, npi: str, version: int) -> ProviderAgreement | None:
        """One version of a provider's agreement, as decisions name it."""
        return self._versions.get(npi, {}).get(version)

    def __len__(self) -> int:
        return len(self._standing)


def span_on(agreement: ProviderAgreement | None, plan_id: str, day: Day) -> AgreementSpan | None:
    """The span of a plan that covers a date: in network and participating on that date. Spans of one plan never overlap."""
    if agreement is not None:
        for span in agreement.spans:
            if (
                span.plan_id == plan_id
                and span.effective_from <= day
                and (span.effective_to is None or day <= span.effective_to)
            ):
                return span
    return None
