"""Incremental fetches (KIP-227) for aiokafka, which sends and gets every partition with every fetch.

A worker of 12 partitions has 84 in each of some hundred fetches a second, nine in ten of them without anything new. In a session
the broker remembers what was asked for: a request names the partitions that stand elsewhere than at the last one, an answer
those with something new (docs/adr/0011).

After an answer with news the next request waits a little, so that the records that are published meanwhile come together: each
fetch costs the worker a walk over all partitions and the broker a request, and each lane that it wakes a batch. A fetch after one
without news goes out at once and waits at the broker, so what comes after a pause is not held back.

aiokafka's fetcher goes on making complete requests, and takes an answer that lacks partitions as one without news of them. What
is wrong with a session is never more than a fetch that is made again: positions stay the fetcher's, and the lanes check that
their input is unbroken.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.errors import FetchSessionIdNotFound, InvalidFetchSessionEpoch, NoError, for_code
from aiokafka.protocol.fetch import FetchRequest, FetchRequestStruct

Topics = list[tuple[str, list[tuple[int, int, int]]]]
"""By topic: partition number, offset to fetch from, most bytes."""

_FIRST_VERSION = 7  # of Fetch that has sessions; a broker before 1.1 gets complete requests
_LAST_EPOCH = (1 << 31) - 1
_FORGOTTEN = (
    FetchSessionIdNotFound,
    InvalidFetchSessionEpoch,
)  # by the broker: it was restarted, or has no room for it


class FetchSessions:
    """The sessions of one client, one with each broker. Puts itself between the client and whoever sends by it."""

    def __init__(self, client: Any, linger_seconds: float) -> None:
        self._linger_seconds = linger_seconds
        self._send: Callable[..., Awaitable[Any]] = client.send
        self._sessions: dict[int, _Session] = {}
        client.send = self.send

    def forget(self) -> None:
        """Ask for every partition again. After a rebalance: aiokafka keeps nothing of what it knew of a partition, not even
        where its log ends, and a broker does not repeat itself."""
        for session in self._sessions.values():
            session.forget()

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        """The client's own `send`; the answer to a fetch may lack partitions."""
        if not isinstance(request, FetchRequest):
            return await self._send(node_id, request, **options)
        session = self._sessions.setdefault(node_id, _Session())
        if session.had_news:
            await asyncio.sleep(self._linger_seconds)
        asked = session.next(request)
        try:
            response = await self._send(node_id, asked, **options)
        except BaseException:
            session.forget()  # whether it arrived is not known
            raise
        return session.answered(asked, response)


class IncrementalFetch(FetchRequest):  # type: ignore[misc]
    """A fetch in a session; complete for a broker that knows no sessions."""

    def __init__(
        self, whole: FetchRequest, session_id: int, epoch: int, changed: Topics, forgotten: dict[str, list[int]]
    ) -> None:
        super().__init__(
            whole._max_wait_ms, whole._min_bytes, whole._max_bytes, whole._isolation_level, changed, whole._rack_id
        )
        self.epoch = epoch
        self._whole = whole
        self._session_id = session_id
        self._forgotten = forgotten

    def build(self, request_struct_class: type[FetchRequestStruct]) -> FetchRequestStruct:
        """The request as the broker's version has it."""
        if request_struct_class.API_VERSION < _FIRST_VERSION:
            return self._whole.build(request_struct_class)
        request: Any = super().build(request_struct_class)
        request.session_id = self._session_id
        request.session_epoch = self.epoch
        request.forgotten_topics_data = list(self._forgotten.items())
        return request


class _Session:
    """What the broker remembers. There is one request at a time, as the fetcher makes them."""

    def __init__(self) -> None:
        self.had_news = False  # in its last answer
        self._id = 0  # none
        self._epoch = 0  # the next request is complete, and begins a session in place of the one with this id
        self._asked: dict[tuple[str, int], tuple[int, int, int]] = {}
        self._running: IncrementalFetch | None = None

    def forget(self) -> None:
        self._epoch, self._running = 0, None

    def next(self, whole: FetchRequest) -> IncrementalFetch:
        before = self._asked if self._epoch else {}
        self._asked = {(topic, wanted[0]): wanted for topic, partitions in whole.topics for wanted in partitions}
        changed: dict[str, list[tuple[int, int, int]]] = {}
        for place, wanted in self._asked.items():
            if before.get(place) != wanted:
                changed.setdefault(place[0], []).append(wanted)
        forgotten: dict[str, list[int]] = {}
        for topic, partition in before.keys() - self._asked.keys():
            forgotten.setdefault(topic, []).append(partition)
        self._running = IncrementalFetch(whole, self._id, self._epoch, list(changed.items()), forgotten)
        return self._running

    def answered(self, asked: IncrementalFetch, response: Any) -> Any:
        """Raises the error of an answer as a whole, but where the session alone is at fault: then nothing was fetched."""
        self.had_news = bool(response.topics)
        if response.API_VERSION < _FIRST_VERSION:
            return response
        error = for_code(response.error_code)
        if error is not NoError:
            self.forget()
            if error not in _FORGOTTEN:
                raise error
            self._id = 0
            response.topics = []
            return response
        if asked.epoch == 0:
            self._id = response.session_id  # 0 where the broker keeps no more sessions
        if self._running is asked:  # else `forget` was called meanwhile
            self._epoch = 0 if self._id == 0 else 1 if asked.epoch == _LAST_EPOCH else asked.epoch + 1
        return response
