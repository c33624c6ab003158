"""Fetch sessions against a broker that remembers, forgets and fails as Kafka does (KIP-227)."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, UnknownError
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v4, FetchRequest_v11

from streams.runtime.fetch_sessions import FetchSessions, Topics

ID_NOT_FOUND, INVALID_EPOCH = 70, 71


class Broker:
    """Answers with the partitions that a request names, and checks what a session allows."""

    def __init__(self, version: int = 11, slots: bool = True) -> None:
        self.requests: list[Any] = []
        self.error: int | BaseException | None = None
        self.session: tuple[int, int] | None = None  # id, and the epoch that must come next
        self._version = version
        self._slots = slots
        self._ids = iter(range(100, 200))

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        built = request.build(FetchRequest_v4 if self._version == 4 else FetchRequest_v11)
        self.requests.append(built)
        if isinstance(self.error, BaseException):
            raise self.error
        topics = [(topic, [(partition[0], 0, 5, b"") for partition in of_topic]) for topic, of_topic in built.topics]
        if self._version == 4:
            return SimpleNamespace(API_VERSION=4, topics=topics)
        error = self.error or self._enter(built)
        session_id = self.session[0] if self.session and not error else 0
        return SimpleNamespace(API_VERSION=11, error_code=error, session_id=session_id, topics=[] if error else topics)

    def _enter(self, request: Any) -> int:
        if request.session_epoch == 0:
            self.session = (next(self._ids), 1) if self._slots else None
            return 0
        if self.session is None or self.session[0] != request.session_id:
            return ID_NOT_FOUND
        if self.session[1] != request.session_epoch:
            return INVALID_EPOCH
        self.session = (request.session_id, request.session_epoch + 1)
        return 0


def fetch(**offsets: int) -> FetchRequest:
    """A complete request: a1=5 asks for partition 1 of topic a from offset 5."""
    topics: dict[str, list[tuple[int, int, int]]] = {}
    for place, offset in offsets.items():
        topics.setdefault(place[0], []).append((int(place[1:]), offset, 1_000))
    return FetchRequest(50, 1, 1_000_000, 1, list(topics.items()))


def places(topics: Topics) -> set[str]:
    return {f"{topic}{partition[0]}" for topic, partitions in topics for partition in partitions}


class Client:
    """What sends: aiokafka's client, as far as it counts here."""

    def __init__(self, broker: Broker) -> None:
        self.send = broker.send
        self.sessions = FetchSessions(self, linger_seconds=0.0)

    def fetch(self, node_id: int = 1, **offsets: int) -> set[str]:
        """What came back."""
        return places(asyncio.run(self.send(node_id, fetch(**offsets))).topics)


def test_after_the_first_request_only_what_moved_is_asked_for() -> None:
    broker = Broker()
    client = Client(broker)
    assert client.fetch(a0=1, a1=1, b0=1) == {"a0", "a1", "b0"}
    assert client.fetch(a0=1, a1=2, b0=1) == {"a1"}
    assert client.fetch(a0=1, a1=2, b0=1) == set()
    assert [(request.session_id, request.session_epoch) for request in broker.requests] == [(0, 0), (100, 1), (100, 2)]
    assert broker.requests[1].topics == [("a", [(1, -1, 2, -1, 1_000)])]
    request = broker.requests[1]
    assert (request.max_wait_time, request.min_bytes, request.max_bytes, request.isolation_level) == (
        50,
        1,
        1_000_000,
        1,
    )


def test_a_partition_that_is_left_out_is_forgotten_and_may_come_back() -> None:
    broker = Broker()
    client = Client(broker)
    client.fetch(a0=1, a1=1)
    client.fetch(a0=1)
    assert broker.requests[-1].forgotten_topics_data == [("a", [1])]
    assert client.fetch(a0=1, a1=1) == {"a1"}
    assert broker.requests[-1].forgotten_topics_data == []


@pytest.mark.parametrize("lost", [None, (100, 7), (150, 1)])
def test_a_session_that_the_broker_lost_is_begun_again(lost: tuple[int, int] | None) -> None:
    broker = Broker()
    client = Client(broker)
    client.fetch(a0=1, a1=1)
    broker.session = lost
    assert client.fetch(a0=2, a1=1) == set()  # nothing of it is news
    assert client.fetch(a0=2, a1=1) == {"a0", "a1"}
    assert client.fetch(a0=2, a1=2) == {"a1"}


def test_another_error_is_raised_and_the_next_request_is_complete() -> None:
    broker = Broker()
    client = Client(broker)
    client.fetch(a0=1, a1=1)
    broker.error = UnknownError.errno
    with pytest.raises(UnknownError):
        client.fetch(a0=2, a1=1)
    broker.error = None
    assert client.fetch(a0=2, a1=1) == {"a0", "a1"}


@pytest.mark.parametrize("failure", [KafkaConnectionError(), asyncio.CancelledError()])
def test_a_request_that_may_not_have_arrived_ends_the_session(failure: BaseException) -> None:
    broker = Broker()
    client = Client(broker)
    client.fetch(a0=1, a1=1)
    broker.error = failure
    with pytest.raises(type(failure)):
        client.fetch(a0=2, a1=1)
    broker.error = None
    assert client.fetch(a0=2, a1=1) == {"a0", "a1"}
    assert (broker.requests[-1].session_id, broker.requests[-1].session_epoch) == (100, 0)  # in place of the old one


@pytest.mark.parametrize("begun", [True, False])
def test_to_forget_counts_for_a_request_under_way(begun: bool) -> None:
    broker = Broker()
    client = Client(broker)
    if begun:
        client.fetch(a0=1, a1=1)
    answer = broker.send

    async def answer_late(*args: Any, **options: Any) -> Any:
        response = await answer(*args, **options)
        client.sessions.forget()
        return response

    client.sessions._send = answer_late
    client.fetch(a0=2, a1=1)
    client.sessions._send = answer
    assert client.fetch(a0=2, a1=1) == {"a0", "a1"}
    assert client.fetch(a0=2, a1=1) == set()


def test_a_broker_without_room_gets_complete_requests() -> None:
    client = Client(Broker(slots=False))
    assert client.fetch(a0=1, a1=1) == client.fetch(a0=1, a1=1) == {"a0", "a1"}


def test_a_broker_without_sessions_gets_complete_requests() -> None:
    broker = Broker(version=4)
    client = Client(broker)
    assert client.fetch(a0=1, a1=1) == client.fetch(a0=2, a1=1) == {"a0", "a1"}
    assert broker.requests[-1].topics == [("a", [(0, 2, 1_000), (1, 1, 1_000)])]


def test_each_broker_has_a_session_of_its_own() -> None:
    one, other = Broker(), Broker()
    client = Client(one)
    client.sessions._send = lambda node_id, request, **options: (one if node_id == 1 else other).send(node_id, request)
    assert client.fetch(1, a0=1) == {"a0"}
    assert client.fetch(2, a1=1) == {"a1"}
    assert client.fetch(1, a0=1) == client.fetch(2, a1=1) == set()


def test_the_epoch_begins_again_at_1_behind_the_last_one() -> None:
    broker = Broker()
    client = Client(broker)
    client.fetch(a0=1)
    last = (1 << 31) - 1
    client.sessions._sessions[1]._epoch = last
    broker.session = (100, last)
    client.fetch(a0=2)
    broker.session = (100, 1)
    assert client.fetch(a0=3) == {"a0"}
    assert broker.requests[-1].session_epoch == 1


def test_a_fetch_waits_for_company_only_after_one_that_brought_something(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    brokers = {1: Broker(), 2: Broker()}

    async def sleep(seconds: float) -> None:
        order.append(f"waited {seconds} s")

    async def send(node_id: int, request: Any, **options: Any) -> Any:
        order.append(f"asked {node_id}")
        return await brokers[node_id].send(node_id, request, **options)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    client = SimpleNamespace(send=send)
    FetchSessions(client, linger_seconds=0.005)

    async def fetches() -> None:
        await client.send(1, fetch(a0=1))
        await client.send(2, fetch(b0=1))
        await client.send(1, fetch(a0=1))  # answered without news
        await client.send(1, fetch(a0=2))
        await client.send(1, fetch(a0=3))

    asyncio.run(fetches())
    assert order == ["asked 1", "asked 2", "waited 0.005 s", "asked 1", "asked 1", "waited 0.005 s", "asked 1"]


def test_what_is_no_fetch_goes_through() -> None:
    async def send(node_id: int, request: object, **options: object) -> object:
        return (node_id, request, options)

    client = SimpleNamespace(send=send)
    FetchSessions(client, linger_seconds=0.0)
    assert asyncio.run(client.send(3, "metadata", group=1)) == (3, "metadata", {"group": 1})
