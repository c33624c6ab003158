"""Deliberate bugs of the lanes: if the simulation does not find them, it would not find ours either.

Each replaces one piece of source in one function of the runtime. A piece that is not there any more fails at once, so the list
follows the code.

Not in the list, because 60 to 400 seeds did not find them (other safeguards stand behind most, but that is not proved here):
the log read before a fence (tests/broker/test_lanes_recovery.py looks at that alone), a stale session accepted by the lane, a lane
kept over a skipped generation, a seek while a fetch is under way, a store ahead of the log believed, recovery that stops below an
open transaction, a position that moves on before the commit, an idle lane that commits after its revocation.
"""

import contextlib
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest import mock

from streams.runtime import lane
from streams.runtime.inbox import Inbox
from streams.runtime.lane import Lane
from streams.runtime.producer import TransactionalProducer
from streams.runtime.transactions import Writer
from tests.simulation import clients


class Bug(NamedTuple):
    """What is broken where: `piece` of the function's source becomes `broken`."""

    name: str
    owner: Any
    function: str
    piece: str
    broken: str
    seeds: tuple[int, ...] = ()  # known to find it, tried first


_COMMIT_AND_STORE = """        changelog_end = await self._writer.commit(Part(self.partition, outputs, changes, offsets))
        held.store.apply(changes, changelog_end)
"""
_STORE_AND_COMMIT = """        held.store.apply(changes, held.store.next_offset)
        await self._writer.commit(Part(self.partition, outputs, changes, offsets))
"""

BUGS: tuple[Bug, ...] = (
    Bug(
        "skip the fence",
        clients.SimulatedClient,
        "_init_producer_id",
        "self._broker.init_producer_id(request.transactional_id, self)",
        "self._broker.epochs.setdefault(request.transactional_id, 1)",
    ),
    Bug(
        "claim without a fence of the former writer", Writer, "fence", "if former == self.transactional_id:", "if True:"
    ),
    Bug("write on what was given back", Lane, "begin_session", "if not self._position.writer:", "if False:"),
    Bug(
        "write under a name that was not claimed",
        Lane,
        "_write_claim",
        "end = await self._open.claim.write(position.encode())",
        "end = self._open.store.next_offset",
    ),
    Bug(
        "give a partition back and go on writing it",
        Lane,
        "release",
        "        await self.quiesce()\n",
        "",
    ),
    Bug(
        "lose a part that comes too late for a transaction",
        Writer,
        "_pack",
        "self._waiting and size < TRANSACTION_BYTES",
        "self._waiting and (size < TRANSACTION_BYTES or self._waiting.clear())",
        (114,),
    ),
    Bug("store before commit", Lane, "_commit", _COMMIT_AND_STORE, _STORE_AND_COMMIT),
    Bug(
        "drop the last record of a batch",
        Lane,
        "_decide",
        "self._process(held, table, batch.records)",
        "self._process(held, table, batch.records[:-1] if len(batch.records) > 1 else batch.records)",
    ),
    Bug(
        "forget a topic's offset",
        lane,
        "start_position",
        "offsets = dict(position.offsets)",
        "offsets = dict(list(position.offsets.items())[:-1])",
    ),
    Bug("no check of the chain", Inbox, "take", "if after.get(piece.topic) != piece.start:", "if False:"),
    Bug(
        "commit without the position",
        Lane,
        "_commit",
        "changes = {**changes, POSITION_KEY: position.encode()}",
        "changes = changes or {POSITION_KEY: position.encode()}",
    ),
    Bug(
        "commit behind a refused batch",
        TransactionalProducer,
        "_produce_to",
        "raise RefusedBatchError(tp) from error",
        "ends[tp] = self._sequences[tp]",
    ),
    Bug(
        "take for delivered what was not answered",
        TransactionalProducer,
        "_produce_to",
        "            await self._note(exc)\n",
        "            ends = {batch.tp: self._sequences[batch.tp] for batch in batches}\n",
    ),
    Bug(
        "number the record batches of a transaction alike",
        TransactionalProducer,
        "_packed",
        "self._sequences.get(tp, 0) + count",
        "self._sequences.get(tp, 0)",
    ),
    Bug(
        "go on after a failure",
        Lane,
        "_run",
        "                await self._run_batch(self._open)\n",
        "                with contextlib.suppress(Exception):\n                    await self._run_batch(self._open)\n"
        "                await asyncio.sleep(0)\n",
    ),
    Bug(
        "group offsets ahead of the position",
        Lane,
        "_commit",
        "{topic: position.offsets[topic] for topic",
        "{topic: position.offsets[topic] + 1 for topic",
    ),
    Bug(
        "do not settle before a rebalance",
        Lane,
        "quiesce",
        "        await self._idle.wait()\n",
        "",
    ),
)


@contextlib.contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """The runtime with this bug in it."""
    function: Any = getattr(bug.owner, bug.function)
    source = inspect.getsource(function)
    assert source.count(bug.piece) == 1, f"{bug.name}: its piece of {bug.function} has changed, look it up again"
    source = textwrap.dedent(source.replace(bug.piece, bug.broken))
    made: dict[str, Any] = {}
    exec(compile("from __future__ import annotations\n" + source, f"<{bug.name}>", "exec"), function.__globals__, made)
    with mock.patch.object(bug.owner, bug.function, made[bug.function]):
        yield
