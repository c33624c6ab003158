"""What is known of one patient: all facts, and the current decision of each line."""

from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

from .decisions import Position
from .facts import Claim, MemberEligibility, PathwaySelection, ReadjudicationRequested, TreatmentStart

if TYPE_CHECKING:
    from .settlement import Settlement

LineKey = tuple[str, int]  # claim_id, line_number


@mypyc_attr(acyclic=True)
class PatientRecord:
    """All facts known of one patient, the current decision of each line, and what is derived from them.

    The fold owns the record that it is given and updates it in place: copying it for every fact would cost as much as its
    history is long (docs/adr/0002). The facts and decisions in it are frozen values.

    What stands (the highest versions) and who names whom are kept beside the facts as they arrive; `settlement` is what the last
    settling left behind for the next claim, or None where the patient has to be settled anew.
    """

    __slots__ = (
        "claims",
        "eligibility",
        "eligibility_versions",
        "expired",
        "named",
        "order_versions",
        "orders",
        "patient_id",
        "positions",
        "readjudications",
        "settlement",
        "start_versions",
        "starts",
    )

    def __init__(self, patient_id: str) -> None:
        self.patient_id = patient_id
        # facts: everything that was taken in
        self.order_versions: dict[str, dict[int, PathwaySelection]] = {}
        self.start_versions: dict[str, dict[int, TreatmentStart]] = {}
        self.eligibility_versions: dict[int, MemberEligibility] = {}
        self.claims: dict[str, Claim] = {}  # in order of arrival
        self.expired: set[str] = set()  # claim ids
        self.readjudications: dict[str, ReadjudicationRequested] = {}
        # decisions
        self.positions: dict[LineKey, Position] = {}
        # derived
        self.orders: dict[str, PathwaySelection] = {}  # standing versions
        self.starts: dict[str, TreatmentStart] = {}
        self.eligibility: MemberEligibility | None = None
        self.named: set[str] = set()  # claims that a replacement or a void names
        self.settlement: Settlement | None = None

    # Each of these takes a fact in and answers whether it is the one that stands now.

    def keep_order(self, order: PathwaySelection) -> bool:
        self.order_versions.setdefault(order.order_id, {})[order.order_version] = order
        standing = self.orders.get(order.order_id)
        if standing is not None and standing.order_version > order.order_version:
            return False
        self.orders[order.order_id] = order
        return True

    def keep_start(self, start: TreatmentStart) -> bool:
        self.start_versions.setdefault(start.order_id, {})[start.version] = start
        standing = self.starts.get(start.order_id)
        if standing is not None and standing.version > start.version:
            return False
        self.starts[start.order_id] = start
        return True

    def keep_eligibility(self, eligibility: MemberEligibility) -> bool:
        self.eligibility_versions[eligibility.version] = eligibility
        if self.eligibility is not None and self.eligibility.version > eligibility.version:
            return False
        self.eligibility = eligibility
        return True

    def keep_claim(self, claim: Claim) -> None:
        self.claims[claim.claim_id] = claim
        if claim.frequency_code != "1" and claim.original_claim_id is not None:
            self.named.add(claim.original_claim_id)
