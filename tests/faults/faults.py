"""The faults. Each is a context: on entering it strikes, inside the system has to recover, on leaving it is cleared away.

`system.struck()` marks the moment from which recovery is counted; `system.injected[...]` counts what really happened, and a run
that injected nothing fails.
"""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from streams.topics import CLAIM_RECEIVED
from tests.broker.harness import wait_until
from tests.faults.system import System, WorkerSlot
from tests.faults.traffic import every_kind_of_poison
from tests.faults.worker import DIED, STEPS, Orders

TAKEN_OVER = "was taken over by another worker"  # what a fenced worker says

Inject = Callable[[System, random.Random], AbstractContextManager[None]]


class Fault(NamedTuple):
    """A fault by its name in the results."""

    name: str
    inject: Inject
    interrupts: bool = True  # whether there is a recovery to be measured
    lasting: bool = False  # from the run's beginning to its end, while others come and go


# -- a worker's process --------------------------------------------------------------------------------------------------


@contextmanager
def killed(system: System, rnd: random.Random) -> Iterator[None]:
    """kill -9; started again at once."""
    slot = system.running(rnd)
    slot.kill()
    system.struck()
    system.injected["kill -9"] += 1
    yield


@contextmanager
def killed_for_good(system: System, rnd: random.Random) -> Iterator[None]:
    """kill -9, and nobody starts it again until the others have taken over."""
    slot = system.running(rnd)
    slot.wanted = False
    slot.kill()
    system.struck()
    system.injected["kill -9, taken over"] += 1
    yield
    _start(slot)


@contextmanager
def terminated(system: System, rnd: random.Random) -> Iterator[None]:
    """SIGTERM: a clean stop with exit code 0, then a start."""
    slot = system.running(rnd)
    system.struck()
    _stop_cleanly(system, slot)
    _start(slot)
    system.injected["SIGTERM"] += 1
    yield


def _stop_cleanly(system: System, slot: WorkerSlot) -> None:
    """A worker that was cut off before may be learning in the same moment that others have its partitions: it then stops for
    that reason, and says so."""
    code = slot.stop_cleanly()
    if code == 1:
        assert TAKEN_OVER in system.note_end(slot).cause, f"a clean stop ends with exit code 0: {system.logs()}"
    else:
        assert code == 0, f"a clean stop ends with exit code 0, not {code}: {system.logs()}"


@contextmanager
def paused(system: System, rnd: random.Random) -> Iterator[None]:
    """SIGSTOP until the others have taken over, then SIGCONT: what it still holds must not be published."""
    slot = system.running(rnd)
    assert slot.process is not None
    paused_process = slot.process
    slot.signal(signal.SIGSTOP)
    system.struck()
    system.injected["SIGSTOP"] += 1
    try:
        yield
    finally:
        paused_process.process.send_signal(signal.SIGCONT)
    wait_until(
        lambda: slot.process is not paused_process or len(paused_process.ready_lines) > 1 or _took_over(slot),
        60,
        f"the paused worker stops or gets partitions anew: {paused_process.log[-3_000:]}",
    )


def _took_over(slot: WorkerSlot) -> bool:
    """The command prints only its first ready line; the log has them all."""
    return slot.process is not None and slot.process.log.count("ready: ") > 1


def dying_at(step: str) -> Inject:
    """The process ends by itself at the nth pass of a step of the lane."""

    @contextmanager
    def inject(system: System, rnd: random.Random) -> Iterator[None]:
        slot = system.running(rnd)
        slot.wanted = False
        slot.kill()
        process = slot.start(Orders(die_at=step, at_time=1 if step == "claimed" else rnd.randint(1, 12)))
        code = process.wait(60)
        system.struck()
        assert code == DIED, f"it dies at '{step}': {system.logs()}"
        _start(slot)
        system.injected[f"died: {step}"] += 1
        yield

    return inject


@contextmanager
def dying_through_all_steps(system: System, rnd: random.Random) -> Iterator[None]:
    """One death after the other, at each step, with no calm between them."""
    slot = system.running(rnd)
    slot.wanted = False
    slot.kill()
    for step in STEPS:
        code = slot.start(Orders(die_at=step, at_time=1 if step == "claimed" else rnd.randint(1, 4))).wait(60)
        assert code == DIED, f"it dies at '{step}': {system.logs()}"
        system.injected[f"died: {step}"] += 1
    system.struck()
    _start(slot)
    yield


@contextmanager
def clock_steps(system: System, rnd: random.Random) -> Iterator[None]:
    """A worker whose wall clock jumps by seconds to weeks, forward and back."""
    slot = system.running(rnd)
    slot.wanted = False
    _stop_cleanly(system, slot)
    system.struck()
    process = slot.start(Orders(clock_seed=rnd.getrandbits(30), clock_every_seconds=0.5))
    slot.wait_ready()
    steps = rnd.randint(4, 12)
    wait_until(lambda: process.log.count("clock off by") > steps, 30, "the clock was set")
    assert slot.is_running, f"clock steps stop no worker: {process.log[-3_000:]}"
    system.injected["clock step"] += process.log.count("clock off by")
    system.notes.add("clock: an injected one, never the machine's")
    _stop_cleanly(system, slot)
    system.struck()
    _start(slot)
    yield


@contextmanager
def raised_state_format(system: System, rnd: random.Random) -> Iterator[None]:
    """A rolling restart to a release with a newer state format over old state; the old release then refuses the new state."""
    for slot in system.slots:
        assert slot.stop_cleanly() == 0
        system.struck()
        slot.next_release = True
        _start(slot)
        slot.wait_ready()
        system.wait_recovered()
    system.injected["rolling restart to a newer state format"] += 1
    slot = rnd.choice(system.slots)
    _stop_cleanly(system, slot)
    slot.next_release = False
    old = slot.start()
    try:
        code = old.wait(60)
    finally:
        slot.next_release = True
    stops = [line for line in old.log.splitlines() if "worker stops" in line]
    assert code == 1, "the old release stops"
    assert "value of format 2, this version reads 1" in stops[0], stops
    system.injected["old release over newer state"] += 1
    system.struck()
    _start(slot)
    yield


# -- the broker and the way to it ----------------------------------------------------------------------------------------


@contextmanager
def broker_killed(system: System, rnd: random.Random) -> Iterator[None]:
    """kill -9 of Kafka, and its restart on the same data."""
    broker = system.broker.broker
    broker.kill()
    system.struck()
    system.injected["broker kill -9"] += 1
    broker.start()
    yield


@contextmanager
def broker_restarted(system: System, rnd: random.Random) -> Iterator[None]:
    """A clean restart of Kafka."""
    broker = system.broker.broker
    system.struck()
    broker.stop()
    system.injected["broker restart"] += 1
    broker.start()
    yield


@contextmanager
def network_hangs(system: System, rnd: random.Random) -> Iterator[None]:
    """Nothing passes between a worker and the broker for a while, shorter or longer than the session timeout."""
    slot = system.running(rnd)
    slot.proxy.hang()
    system.struck()
    system.injected["network cut, silent"] += 1
    try:
        time.sleep(rnd.uniform(1, system.longest_cut_seconds))  # the length of the cut is the dose
    finally:
        slot.proxy.mend()
    yield


@contextmanager
def network_reset(system: System, rnd: random.Random) -> Iterator[None]:
    """All connections of a worker end, and new ones are refused for a while."""
    slot = system.running(rnd)
    slot.proxy.reset()
    system.struck()
    system.injected["network cut, connections reset"] += 1
    try:
        time.sleep(rnd.uniform(0.2, system.longest_cut_seconds / 2))  # the length of the cut is the dose
    finally:
        slot.proxy.mend()
    yield


@contextmanager
def network_slow(system: System, rnd: random.Random) -> Iterator[None]:
    """Every piece between a worker and the broker takes 20 to 150 ms more."""
    slot = system.running(rnd)
    slot.proxy.delay(rnd.uniform(0.02, 0.15))
    system.struck()
    system.injected["network delay"] += 1
    try:
        yield
    finally:
        slot.proxy.mend()


# -- the local store -----------------------------------------------------------------------------------------------------


@contextmanager
def store_deleted(system: System, rnd: random.Random) -> Iterator[None]:
    """The worker dies and its state folder is lost."""
    slot = _down(system, rnd)
    shutil.rmtree(slot.state_folder)
    system.injected["store deleted"] += 1
    _start(slot)
    yield


@contextmanager
def store_flipped(system: System, rnd: random.Random) -> Iterator[None]:
    """The worker dies and bits of its store's files are turned over."""
    slot = _down(system, rnd)
    files = [path for path in slot.state_folder.rglob("*") if path.is_file() and path.stat().st_size]
    for path in rnd.sample(files, min(len(files), rnd.randint(1, 4))):
        _flip_a_bit(path, rnd)
        system.injected["store bit flipped"] += 1
    _start(slot)
    yield


def _flip_a_bit(path: Path, rnd: random.Random) -> None:
    with path.open("r+b") as file:
        at = rnd.randrange(path.stat().st_size)
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes((byte ^ 1 << rnd.randrange(8),)))


@contextmanager
def disk_full(system: System, rnd: random.Random) -> Iterator[None]:
    """The store's disk runs full: the worker stops and says so, and goes on when there is space."""
    prefix, way = _mounted("size=256k", system), "a small tmpfs"
    if prefix is None:
        prefix, way = ("sh", "-c", 'ulimit -f 128 && exec "$@"', "limited"), "a limit on the size of files"
    system.notes.add(f"disk full: {way}")
    yield from _refused_disk(system, rnd, prefix, "disk full", code=1)


@contextmanager
def disk_read_only(system: System, rnd: random.Random) -> Iterator[None]:
    """The store's folder cannot be written: the worker stops and says so."""
    prefix = _mounted("ro", system)
    if prefix is not None:
        system.notes.add("read-only folder: a read-only tmpfs")
        yield from _refused_disk(system, rnd, prefix, "read-only folder", code=2)
        return
    assert os.getuid() != 0, "root may write everywhere, and mounting is not allowed here"
    system.notes.add("read-only folder: permissions")
    slot = system.running(rnd)
    _stop_cleanly(system, slot)
    system.struck()
    folders = [slot.state_folder, *(path for path in slot.state_folder.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o500)
    try:
        _stops_with_a_cause(system, slot, (), code=2)
    finally:
        for folder in folders:
            folder.chmod(0o700)
    system.injected["read-only folder"] += 1
    _start(slot)
    yield


def _refused_disk(
    system: System, rnd: random.Random, prefix: tuple[str, ...], name: str, *, code: int
) -> Iterator[None]:
    slot = system.running(rnd)
    _stop_cleanly(system, slot)
    system.struck()
    slot.state_folder.mkdir(exist_ok=True)
    prefix = tuple(part.replace("FOLDER", str(slot.state_folder)) for part in prefix)
    _stops_with_a_cause(system, slot, prefix, code=code)
    system.injected[name] += 1
    _start(slot)
    yield


def _stops_with_a_cause(system: System, slot: WorkerSlot, prefix: tuple[str, ...], *, code: int) -> None:
    """With 2 where it can tell at its start, and with 1 where it finds out at work."""
    process = slot.start(prefix=prefix)
    found = process.wait(120)
    ended = system.note_end(slot)
    assert found == code, f"exit code {found}: {process.log[-3_000:]}"
    assert "local store" in ended.cause or "state folder" in ended.cause, process.log[-3_000:]
    assert "Traceback" not in process.log, process.log[-3_000:]


def _mounted(options: str, system: System) -> tuple[str, ...] | None:
    """The prefix of a command for which a tmpfs with these options is mounted on FOLDER; None where that is not allowed."""
    mount = f'mount -t tmpfs -o {options} none "$0" && exec "$@"'
    prefix = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount)
    if not shutil.which("unshare"):
        return None
    tried = subprocess.run((*prefix, str(system.folder), "true"), capture_output=True, check=False)
    return None if tried.returncode else (*prefix, "FOLDER")


# -- what is published ---------------------------------------------------------------------------------------------------


@contextmanager
def repeated(system: System, rnd: random.Random) -> Iterator[None]:
    """For every ten facts, three that were published before are published again."""
    before = system.traffic.repeated
    system.traffic.repeated_share = 0.3
    wait_until(lambda: system.traffic.repeated > before + 50, 60, "facts were repeated")
    yield
    system.traffic.repeated_share = 0.0
    system.injected["fact repeated"] += system.traffic.repeated - before


@contextmanager
def replayed(system: System, rnd: random.Random) -> Iterator[None]:
    """Everything that was published to a topic so far is published again."""
    system.injected["fact replayed"] += system.traffic.replay(CLAIM_RECEIVED)
    yield


@contextmanager
def shuffled(system: System, rnd: random.Random) -> Iterator[None]:
    """Facts arrive in any order within a window, and some only at the end."""
    before = system.traffic.displaced
    system.traffic.shuffled_over, system.traffic.late_share = 300, 0.05
    wait_until(lambda: system.traffic.displaced > before + 50, 60, "facts were shuffled")
    yield
    system.traffic.shuffled_over, system.traffic.late_share = 0, 0.0
    system.injected["fact out of order"] += system.traffic.displaced - before


@contextmanager
def poisoned(system: System, rnd: random.Random) -> Iterator[None]:
    """A record of every kind that cannot be used, among the good ones."""
    system.struck()
    system.injected["poison record"] += system.traffic.ask(every_kind_of_poison(rnd, system.traffic.orders()))
    yield


def _down(system: System, rnd: random.Random) -> WorkerSlot:
    slot = system.running(rnd)
    slot.wanted = False
    slot.kill()
    system.struck()
    return slot


def _start(slot: WorkerSlot) -> None:
    with slot.lock:
        slot.start()
        slot.wanted = True


KILL = Fault("kill -9", killed)
TAKEOVER = Fault("kill -9, others take over", killed_for_good)
TERMINATE = Fault("SIGTERM", terminated)
PAUSE = Fault("SIGSTOP beyond the session timeout, SIGCONT", paused)
DIE_AT = {step: Fault(f"death at '{step}'", dying_at(step)) for step in STEPS}
DIE_AT_ALL = Fault("death at every step, in a row", dying_through_all_steps)
CLOCK = Fault("clock steps", clock_steps)
STATE_FORMAT = Fault("newer state format", raised_state_format)
BROKER_KILL = Fault("broker kill -9", broker_killed)
BROKER_RESTART = Fault("broker restart", broker_restarted)
NETWORK_HANG = Fault("network cut, silent", network_hangs)
NETWORK_RESET = Fault("network cut, reset", network_reset)
NETWORK_SLOW = Fault("network delay", network_slow)
STORE_DELETED = Fault("store deleted", store_deleted)
STORE_FLIPPED = Fault("store bits flipped", store_flipped)
DISK_FULL = Fault("disk full", disk_full)
READ_ONLY = Fault("read-only folder", disk_read_only)
REPEATED = Fault("30 % repeated", repeated, interrupts=False, lasting=True)
REPLAYED = Fault("topic replayed", replayed, interrupts=False)
SHUFFLED = Fault("shuffled and late", shuffled, interrupts=False, lasting=True)
POISON = Fault("poison of every kind", poisoned, interrupts=False)
