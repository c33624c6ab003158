"""What a claim file does not say, and the plan has to: the terms under which claims are imported."""

import hashlib
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.adjudication.days import Day
from streams.adjudication.facts import CostShare
from streams.adjudication.intake import MAX_LINES
from streams.adjudication.policy import Policy
from streams.importers.member_tokens import MemberTokens

ASSIGNED = "assigned"
PATIENT_CONTROL_NUMBER = "patient-control-number"
MOST_LINES = MAX_LINES  # of a claim; the guide of the 837P allows 50. More are not read, so that memory is bounded
NO_COST_SHARE = CostShare(0, 0, 0)


@dataclass(frozen=True)
class Terms:
    """The same for all claims of an import, but for what is looked up in them."""

    tokens: MemberTokens
    policy: Policy  # knows the plans and their payers
    plan_id: str | None = None  # of all claims; None: by group, then by payer
    plan_of_group: Mapping[str, str] = field(default_factory=dict)  # group number -> plan_id
    received_date: Day | None = None  # of all claims; None: what the file says
    cost_share: CostShare = NO_COST_SHARE  # of all claims: neither an 837P nor a FHIR Claim carries one
    cost_share_of: Mapping[str, CostShare] = field(default_factory=dict)  # patient_id -> cost share, before cost_share
    claim_number: str = (
        ASSIGNED  # or PATIENT_CONTROL_NUMBER, where the gateway before us wrote the payer's number there
    )

    def plans(self, payer_id: str, group_number: str, received_date: Day) -> list[str]:
        """The plans that a claim can be of: one, or none where the policy does not know the payer, or several to choose from."""
        if self.plan_id:
            return [self.plan_id]
        if group_number in self.plan_of_group:
            return [self.plan_of_group[group_number]]
        return [plan for plan, payer in self.policy.on(received_date).plans.items() if payer == payer_id]


def number_of(*identity: str) -> str:
    """A claim number made of what identifies a claim at its sender: 80 bits of a hash, in letters and digits."""
    digest = hashlib.sha256("\x1f".join(identity).encode(errors="surrogatepass")).digest()
    return b32encode(digest[:10]).decode()
