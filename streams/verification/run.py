"""Verification of a running system: a consistent cut through the topics of each partition, then the comparison.

How the cut is taken, partition by partition, so that it holds while workers run:

1. The changelog is read, read_committed. Every transaction of a lane ends with the lane's position there, so what lies before
   the last position is the table after a whole transaction, and the position says which input it covers.
2. Only then the outputs' ends are asked for: everything that those transactions published lies before them. Transactions
   that are open there are waited for; one that does not end is an anomaly.
3. Then the inputs' ends: whatever caused an output before (2) was in its topic before. The facts up to the position are folded;
   of those behind it only the ids are kept, to tell outputs that came after the cut from outputs that nothing accounts for.
4. The agreements are read to their ends last, so that every version that a decision names is among them.

At rest nothing waits behind the position, and every output counts.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from streams.adjudication.policy import Policy
from streams.committed_log import CommittedLog, LogStuckError
from streams.long_lived import long_lived
from streams.runtime.position import POSITION_KEY, Position
from streams.runtime.processor import InputRecord
from streams.topics import (
    INPUT_TOPICS,
    OUTPUT_TOPICS,
    PROVIDER_AGREEMENT,
    changelog_topic,
    declared_topics,
)
from streams.verification.anomalies import Anomaly, Findings, Kind
from streams.verification.inputs import AgreementHistory
from streams.verification.partition import Counts, PartitionCheck, PartitionLog
from streams.verification.refold import claims_last

OnRecords = Callable[[int, float], None]  # records read since the last call; how much of all partitions is done, 0 to 1


class Report(NamedTuple):
    """The outcome of a verification."""

    findings: Findings
    counts: Counts
    awaiting: list[str]  # patient ids, the first ones

    @property
    def ok(self) -> bool:
        return not len(self.findings)


class Table(NamedTuple):
    """The changelog's compacted view at the last position in it."""

    values: dict[bytes, bytes]
    position: Position | None  # None: no lane has committed anything here
    left_over: int  # records behind the last position


KEEP_AWAITING = 1_000


def verify(
    log: CommittedLog,
    app_id: str,
    policy: Policy,
    *,
    keep_anomalies: int = 20,
    on_records: OnRecords = lambda records, part: None,  # noqa: ARG005
) -> Report:
    """Compare everything that the workers of `app_id` have committed with what the facts lead to."""
    counts_of = log.partitions(topic.name for topic in declared_topics(app_id))
    verification = _Verification(log, app_id, policy, Findings(keep_anomalies), counts_of, on_records)
    partitions = max(counts_of[topic] for topic in INPUT_TOPICS)
    with long_lived():
        for partition in range(partitions):
            verification.check(partition, partitions)
            on_records(0, (partition + 1) / partitions)
    return Report(verification.findings, verification.counts, verification.awaiting)


class _Verification:
    def __init__(
        self,
        log: CommittedLog,
        app_id: str,
        policy: Policy,
        findings: Findings,
        partition_counts: dict[str, int],
        on_records: OnRecords,
    ) -> None:
        self._log = log
        self._app_id = app_id
        self._policy = policy
        self._partition_counts = partition_counts
        self._on_records = on_records
        self._changelog = changelog_topic(app_id)
        self._history = AgreementHistory(partition_counts[PROVIDER_AGREEMENT])
        self._agreements_read: dict[int, int] = {}
        self._part_done = 0.0
        self.findings = findings
        self.counts = Counts()
        self.awaiting: list[str] = []

    def check(self, partition: int, partitions: int) -> None:
        """Take the cut through one partition and compare it."""
        self._part_done = partition / partitions
        group = self._log.group_offsets(self._app_id)
        try:
            table = self._read_table(partition)
            outputs = self._log.ends(OUTPUT_TOPICS, partition)
            begins = self._log.begins((*INPUT_TOPICS, *OUTPUT_TOPICS), partition)
            ends = self._log.ends(INPUT_TOPICS, partition)
            known = table.position.offsets if table.position is not None else {}
            positions = {topic: known.get(topic, begins[topic]) for topic in INPUT_TOPICS}
            self._check_group(partition, group, positions)
            self._follow_agreements()
            check = PartitionCheck(
                PartitionLog(
                    number=partition,
                    partitions=partitions,
                    positions=positions,
                    table_topic=self._changelog,
                    table=table.values,
                    facts=self._read_all(claims_last(INPUT_TOPICS), partition, begins, positions),
                    waiting=self._read_all(INPUT_TOPICS, partition, positions, ends),
                    decisions=self._read_all(OUTPUT_TOPICS[:1], partition, begins, outputs),
                    notices=self._read_all(OUTPUT_TOPICS[1:2], partition, begins, outputs),
                    dead_letters=self._read_all(OUTPUT_TOPICS[2:], partition, begins, outputs),
                ),
                self._history,
                self._policy,
                self.findings,
            )
            check.run()
        except LogStuckError as stuck:
            self.findings.add(Anomaly(Kind.TORN_TRANSACTION, stuck.topic, partition, _OPEN, stuck.offset))
            return
        self.counts.add(check.counts)
        self.awaiting.extend(check.awaiting[: KEEP_AWAITING - len(self.awaiting)])

    def _read_table(self, partition: int) -> Table:
        begin = self._log.begins((self._changelog,), partition)[self._changelog]
        end = self._log.ends((self._changelog,), partition)[self._changelog]
        table = read_table(self._read(self._changelog, partition, begin, end))
        # A transaction that reaches behind the end is left out, and its input waits. At rest there is none such.
        if table.left_over and end == self._log.ends((self._changelog,), partition)[self._changelog]:
            sentence = "the changelog ends with values that no lane's position covers"
            self.findings.add(Anomaly(Kind.TORN_TRANSACTION, self._changelog, partition, sentence))
        return table

    def _check_group(self, partition: int, group: dict[tuple[str, int], int], positions: dict[str, int]) -> None:
        """The group's offsets follow the changelog's position. They were read before it, so they cannot be ahead."""
        for topic, position in positions.items():
            if group.get((topic, partition), 0) > position:
                sentence = "the group's committed offset is ahead of the position in the changelog"
                self.findings.add(Anomaly(Kind.TORN_TRANSACTION, topic, partition, sentence, group[topic, partition]))

    def _follow_agreements(self) -> None:
        topic = PROVIDER_AGREEMENT
        for partition in range(self._partition_counts[topic]):
            end = self._log.ends((topic,), partition)[topic]
            begin = self._agreements_read.get(partition)
            if begin is None:
                begin = self._log.begins((topic,), partition)[topic]
            for record in self._read(topic, partition, begin, end):
                self._history.take(record)
            self._agreements_read[partition] = max(begin, end)

    def _read_all(
        self, topics: Iterable[str], partition: int, begins: dict[str, int], ends: dict[str, int]
    ) -> Iterator[InputRecord]:
        for topic in topics:
            yield from self._read(topic, partition, begins[topic], ends[topic])

    def _read(self, topic: str, partition: int, begin: int, end: int) -> Iterator[InputRecord]:
        count = 0
        for record in self._log.read(topic, partition, begin, end):
            count += 1
            if count == _REPORT_EVERY:
                self._on_records(count, self._part_done)
                count = 0
            yield record
        self._on_records(count, self._part_done)


_REPORT_EVERY = 1_000
_OPEN = "a transaction is still open: records behind this offset cannot be read"


def read_table(records: Iterable[InputRecord]) -> Table:
    """The table at the last position among the changelog's records. Records behind it belong to a transaction that is only
    partly among them."""
    values: dict[bytes, bytes] = {}
    transaction: list[InputRecord] = []
    position: Position | None = None
    for record in records:
        if record.key != POSITION_KEY:
            transaction.append(record)
            continue
        assert record.value is not None, "the position is never deleted"
        position = Position.decode(record.value)
        for change in transaction:
            assert change.key is not None, "the changelog's records have keys"
            if change.value is None:
                values.pop(change.key, None)
            else:
                values[change.key] = change.value
        transaction.clear()
    return Table(values, position, len(transaction))
