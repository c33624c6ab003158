"""The policy profile: every number and every choice of the rules that is not a law of arithmetic (rules.md section 7)."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Final, NamedTuple

from .days import Day
from .decisions import BUNDLED, DENIED, PolicyRef

PATIENT_SCOPE: Final = "patient"
ORDER_SCOPE: Final = "order"


class PolicyProfile(NamedTuple):
    """One version of a policy profile. The defaults are none: a profile file states every value (profiles/p0.toml)."""

    ref: PolicyRef
    effective_from: Day | None  # first received date that it decides; None: since ever
    gap_after_s0353_days: int
    gap_between_s0354_days: int
    s0353_scope: str  # PATIENT_SCOPE or ORDER_SCOPE
    calendar_month_cap: bool
    s0353_uses_month: bool
    unknown_eligibility_eligible: bool  # whether a member without any eligibility record is taken as eligible
    no_order_outcome: str  # DENIED or BUNDLED
    ordering_provider_tested: bool
    default_filing_limit_days: int  # where the billing provider has no agreement span
    pend_limit_days: int
    plans: Mapping[str, str]  # plan_id -> payer_id


class Policy:
    """The profiles of a program in the order of their dates: the one in effect on a claim's received date applies."""

    def __init__(self, profiles: tuple[PolicyProfile, ...]) -> None:
        if not profiles or profiles[0].effective_from is not None:
            raise ValueError("the first profile of a policy must be in effect since ever: it has no effective_from")
        self._starts: list[Day] = [profile.effective_from for profile in profiles if profile.effective_from is not None]
        if len(self._starts) != len(profiles) - 1 or any(a >= b for a, b in pairwise(self._starts)):
            raise ValueError("the profiles after the first must each have an effective_from, later than the one before")
        for profile in profiles:
            if profile.s0353_scope not in (PATIENT_SCOPE, ORDER_SCOPE) or profile.no_order_outcome not in (
                DENIED,
                BUNDLED,
            ):
                raise ValueError(
                    f"profile {profile.ref.id} version {profile.ref.version} has a switch with an unknown value"
                )
        self.profiles = profiles

    def on(self, received_date: Day) -> PolicyProfile:
        """The profile that decides a claim received on that date."""
        begun = 0
        for start in self._starts:  # a few at most
            if received_date < start:
                break
            begun += 1
        return self.profiles[begun]
