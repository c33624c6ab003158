"""Where the embedded Apache Kafka comes from: jars of Maven Central, fetched once, checked and kept in the cache folder.

`kafka-jars.toml` pins every jar with its SHA-256, so that what runs is what was tested, and nothing has to be resolved
on a person's machine. To move to another Kafka: change `KAFKA_VERSION`, run `python -m deploy.kafka_distribution`, run
the broker tests.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

KAFKA_VERSION = "4.3.1"
MAVEN_CENTRAL = "https://repo.maven.apache.org/maven2"

JARS_VARIABLE = "PATHWAY_BILLING_KAFKA_JARS"
MIRROR_VARIABLE = "PATHWAY_BILLING_MAVEN_REPOSITORY"

# slf4j-simple matches Kafka's slf4j-api; without a binding Kafka prints a warning and then nothing at all
_ROOTS = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")
_LOCK_FILE = Path(__file__).with_name("kafka-jars.toml")
_PARALLEL_DOWNLOADS = 6
_TIMEOUT_SECONDS = 30
_CACHE_FOLDER_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


class DownloadError(Exception):
    """The jars are not in the cache and could not be fetched; the text says what was tried and what to do."""


def cache_folder() -> Path:
    """Where downloads are kept between runs: outside of any checkout, by the XDG convention."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pathway-billing"


def kafka_jars(announce: Callable[[str], None] = lambda _sentence: None) -> Path:
    """The folder that holds Kafka's jars, downloaded on first use.

    `announce` is told before a download starts. A download becomes visible only when it is whole and checked, and two
    processes may ask at once: one fetches, the other waits for it. Raises DownloadError, or OSError with the name of
    the cache folder where that is full or cannot be written.
    """
    if given := os.environ.get(JARS_VARIABLE):
        return _given_jars(Path(given))
    folder = cache_folder() / f"kafka-{KAFKA_VERSION}-{_fingerprint()}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock")):
        if not folder.is_dir():
            announce(f"downloading Apache Kafka {KAFKA_VERSION} from Maven Central into {folder.parent} (45 MB, once)")
            _download(folder)
    return folder


def _given_jars(folder: Path) -> Path:
    if not any(folder.glob("kafka_2.13-*.jar")):
        raise DownloadError(
            f"{JARS_VARIABLE} is set to {folder}, but no kafka_2.13-*.jar is there. "
            f"Set it to the libs folder of an unpacked Apache Kafka {KAFKA_VERSION}, or unset it."
        )
    return folder


def _download(folder: Path) -> None:
    for leftover in folder.parent.glob(f"{folder.name}.partial-*"):  # of a download that was killed: the lock is ours
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.partial-", dir=folder.parent) as partial:
        jars = Path(partial) / "jars"
        jars.mkdir()
        try:
            with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
                fetches = [pool.submit(_fetch, *jar, Path(partial), jars) for jar in _pinned_jars().items()]
                try:
                    for fetch in fetches:
                        fetch.result()
                finally:
                    pool.shutdown(cancel_futures=True)
        except (OSError, RuntimeError, ValueError) as error:  # requests' errors are OSErrors without a number
            if isinstance(error, OSError) and error.errno in _CACHE_FOLDER_ERRORS:
                raise OSError(error.errno, error.strerror, str(folder.parent)) from error
            raise DownloadError(_what_to_do(error, folder)) from error
        jars.rename(folder)


def _fetch(coordinate: str, sha256: str, partial: Path, jars: Path) -> None:
    from jgo.maven import MavenContext  # takes half a second to import: only where something is downloaded

    context = MavenContext(
        repo_cache=partial / "repository",
        remote_repos={"central": os.environ.get(MIRROR_VARIABLE) or MAVEN_CENTRAL},
        timeout=_TIMEOUT_SECONDS,
    )
    path = context.create_dependency(coordinate).artifact.resolve()
    if _sha256(path) != sha256:
        raise ValueError(f"{path.name} is not the file that was expected (its SHA-256 differs)")
    path.rename(jars / path.name)


def _what_to_do(error: Exception, folder: Path) -> str:
    source = os.environ.get(MIRROR_VARIABLE) or MAVEN_CENTRAL
    return (
        f"could not download Apache Kafka {KAFKA_VERSION} from {source}: {error}\n"
        "The embedded broker needs it once. You can\n"
        "  - give this machine access to Maven Central (HTTPS_PROXY is respected) and start again,\n"
        f"  - set {MIRROR_VARIABLE} to the address of a Maven mirror,\n"
        f"  - copy the folder {folder} from a machine that has it,\n"
        f"  - or set {JARS_VARIABLE} to the libs folder of an unpacked Apache Kafka {KAFKA_VERSION}."
    )


def _pinned_jars() -> dict[str, str]:
    jars: dict[str, str] = tomllib.loads(_LOCK_FILE.read_text())["jars"]
    return jars


def _fingerprint() -> str:
    return hashlib.sha256(_LOCK_FILE.read_bytes()).hexdigest()[:8]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write_lock_file() -> None:
    """Resolve Kafka's run-time dependencies anew and pin what Maven Central serves today."""
    from jgo.maven import MavenContext

    with tempfile.TemporaryDirectory() as repository:
        context = MavenContext(repo_cache=Path(repository), timeout=_TIMEOUT_SECONDS)
        roots, dependencies = context.resolver.resolve([context.create_dependency(root) for root in _ROOTS])
        lines = sorted(
            f'"{jar.groupId}:{jar.artifactId}:{jar.version}" = "{_sha256(jar.artifact.resolve())}"\n'
            for jar in (*roots, *dependencies)
        )
    head = _LOCK_FILE.read_text().partition("[jars]")[0]
    _LOCK_FILE.write_text(f"{head}[jars]\n{''.join(lines)}")
    sys.stderr.write(f"{_LOCK_FILE}: {len(lines)} jars of Apache Kafka {KAFKA_VERSION}\n")


if __name__ == "__main__":
    _write_lock_file()
