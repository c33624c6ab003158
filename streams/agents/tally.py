"""What the facts of a batch came to, kept until its transaction is committed and then counted in the metrics."""

from collections import Counter
from functools import cache

from streams import metrics
from streams.adjudication.decisions import BUNDLED, DENIED, OUTCOMES, PAID, PENDED, VOIDED, Decision, EligibilityNotice
from streams.adjudication.facts import S_CODES, Claim, PatientFact
from streams.adjudication.fold import Step
from streams.adjudication.policy import Policy
from streams.runtime.dead_letters import Reason
from streams.topics import FACT_TOPICS, INPUT_TOPICS

REASONS = {
    PAID: ("PAID",),
    DENIED: (
        *("INVALID_UNITS", "INVALID_CHARGE", "INVALID_SERVICE_DATE", "DOS_AFTER_RECEIPT", "INVALID_ORIGINAL_REFERENCE"),
        *("DUPLICATE", "NOT_ELIGIBLE", "UNTIMELY", "NOT_IN_NETWORK", "AUTH_MISMATCH", "NO_PATHWAY_AT_DOS"),
        *("NO_TREATMENT_START", "BEFORE_ONSET", "AFTER_SPAN", "ORDERING_NOT_IN_NETWORK", "S0353_ONCE"),
        *("WITHIN_30_OF_S0353", "WITHIN_30_OF_S0354", "CALENDAR_MONTH", "MAX_MONTHS"),
    ),
    BUNDLED: ("OFF_PATHWAY", "NO_PATHWAY_AT_DOS"),
    PENDED: ("AWAIT_TREATMENT_START",),
    VOIDED: ("VOIDED",),
}
"""Every reason that an outcome may have (rules.md section 3): the first of each is to be seen as an increase, too."""

NOTICE_REASONS = ("ELIGIBLE", "WITHDRAWN", "OFF_PATHWAY", "ORDERING_NOT_IN_NETWORK", "NOT_ELIGIBLE")


# `labels` takes a lock and writes its values as text; each of its few counters is asked for once
_decisions = cache(metrics.DECISIONS.labels)
_charged_cents = cache(metrics.CHARGED_CENTS.labels)
_taken_back_cents = cache(metrics.TAKEN_BACK_CENTS.labels)
_notices = cache(metrics.NOTICES.labels)


class _Sum:
    """What the decisions of one outcome and reason come to."""

    __slots__ = ("charged_cents", "decisions", "taken_back_cents")

    def __init__(self) -> None:
        self.decisions = 0
        self.charged_cents = 0
        self.taken_back_cents = 0


class BatchTally:
    """Collects while a batch is decided, which is the hot path, and adds up once, in `count`."""

    __slots__ = ("_claims", "_decisions", "_notices", "_repeats")

    def __init__(self) -> None:
        self._claims: list[Claim] = []  # that were taken in
        self._decisions: list[Decision] = []
        self._notices: list[EligibilityNotice] = []
        self._repeats: Counter[str] = Counter()

    def add(self, topic: str, fact: PatientFact, step: Step) -> None:
        """Note what a fact of this topic, which was not refused, led to."""
        if not step.changed:
            self._repeats[topic] += 1
            return
        if isinstance(fact, Claim):
            self._claims.append(fact)
        self._decisions += step.decisions
        self._notices += step.notices

    def count(self) -> None:
        """Add everything to the metrics."""
        sums: dict[tuple[str, str], _Sum] = {}  # by outcome and reason
        paid_cents = 0
        for decision in self._decisions:
            charge, change = decision.charge_cents, decision.change_cents
            kind = (decision.outcome, decision.reason)
            its_sum = sums.get(kind)
            if its_sum is None:
                its_sum = sums[kind] = _Sum()
            its_sum.decisions += 1
            if charge > 0:  # a charge below 0 is denied, and a counter only rises
                its_sum.charged_cents += charge
            if change > 0:
                paid_cents += change
            else:
                its_sum.taken_back_cents -= change
        charged_cents: dict[str, int] = {}  # by outcome
        taken_back_cents: dict[str, int] = {}
        for (outcome, reason), its_sum in sums.items():
            _decisions(outcome, reason).inc(its_sum.decisions)
            charged_cents[outcome] = charged_cents.get(outcome, 0) + its_sum.charged_cents
            taken_back_cents[outcome] = taken_back_cents.get(outcome, 0) + its_sum.taken_back_cents
        for outcome, cents in charged_cents.items():
            _charged_cents(outcome).inc(cents)
        for outcome, cents in taken_back_cents.items():
            if cents:
                _taken_back_cents(outcome).inc(cents)
        metrics.PAID_CENTS.inc(paid_cents)
        for reason, count in Counter([notice.reason for notice in self._notices]).items():
            _notices(reason).inc(count)
        metrics.PASSED_LINES.inc(
            sum([line.procedure_code not in S_CODES for claim in self._claims for line in claim.lines])
        )
        for topic, count in self._repeats.items():
            metrics.REPEATED_FACTS.labels(topic).inc(count)


def start_metrics(policy: Policy) -> None:
    """Show from the start what is known before the first fact, and that the rest stands at 0."""
    metrics.say_what_runs()
    for profile in policy.profiles:
        metrics.POLICY_INFO.labels(profile.ref.id, str(profile.ref.version)).set(1)
    metrics.start_at_zero(metrics.RECORDS, INPUT_TOPICS)
    metrics.start_at_zero(metrics.REPEATED_FACTS, FACT_TOPICS)
    metrics.start_at_zero(metrics.DEAD_LETTERS, [reason.value for reason in Reason])
    for outcome, reasons in REASONS.items():
        metrics.start_at_zero(metrics.DECISIONS, [outcome] * len(reasons), reasons)
    metrics.start_at_zero(metrics.NOTICES, NOTICE_REASONS)
    metrics.start_at_zero(metrics.CHARGED_CENTS, OUTCOMES)
    metrics.start_at_zero(metrics.TAKEN_BACK_CENTS, OUTCOMES)
