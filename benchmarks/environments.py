"""A virtual environment for each peer, made on first use in the cache folder from its pinned requirements.

Our own environment's packages stand behind the peer's (a .pth file): the core finds what it imports, and the peer's pins win.
"""

import hashlib
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from deploy.kafka_distribution import cache_folder

PEERS = Path(__file__).with_name("peers")


class PeerMissingError(Exception):
    """A peer cannot be installed or built here; the text says why, and the report repeats it."""


def python_of(peer: str) -> Path:
    """The interpreter of a peer's environment."""
    requirements = PEERS / peer / "requirements.txt"
    ours = sysconfig.get_path("purelib")
    identity = hashlib.sha256(requirements.read_bytes() + f"{sys.version}{ours}".encode()).hexdigest()[:8]
    folder = cache_folder() / "benchmark-peers" / f"{peer}-{identity}"
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        sys.stderr.write(f"installing the peer {peer} into {folder} (once)\n")
        shutil.rmtree(folder, ignore_errors=True)
        pip = ("-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check", "--no-deps")
        try:
            for command in (("-m", "venv", "--without-pip", str(folder)), (*pip, "-r", str(requirements))):
                subprocess.run((sys.executable, *command), check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            raise PeerMissingError(f"{peer}: {(error.stderr or '').strip().splitlines()[-1:]}") from error
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        (folder / "lib" / version / "site-packages" / "behind-the-peer.pth").write_text(f"{ours}\n")
        (folder / "installed").touch()
    return python
