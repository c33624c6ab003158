"""Which Python `make install` takes (deploy/choose-python)."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "deploy" / "choose-python"
OPTIMIZED, UNOPTIMIZED = "exit 0", 'case "$2" in *enable-optimizations*) exit 1;; esac'
SUITABLE, UNSUITABLE = "exit 0", "exit 1"


def _chosen(folder: Path, on_the_path: str, systems: str) -> str:
    """What is chosen where the two Pythons answer so."""
    for name, answer in (("python3", on_the_path), ("system-python", systems)):
        (folder / name).write_text(f"#!/bin/sh\n{answer}\n")
        (folder / name).chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "SYSTEM_PYTHON": str(folder / "system-python")}
    done = subprocess.run(("sh", str(SCRIPT)), env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip().replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("on_the_path", "systems", "chosen"),
    [
        (OPTIMIZED, SUITABLE, "python3"),
        (UNOPTIMIZED, SUITABLE, "system-python"),
        (UNOPTIMIZED, UNSUITABLE, "python3"),
        ("exit 127", SUITABLE, "system-python"),  # there is none on the path
        ("exit 127", UNSUITABLE, "python3"),  # and make says what is missing
    ],
)
def test_an_optimized_python_is_chosen(tmp_path: Path, on_the_path: str, systems: str, chosen: str) -> None:
    assert _chosen(tmp_path, on_the_path, systems) == chosen


def test_what_is_asked_of_the_systems_python(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    _chosen(tmp_path, UNOPTIMIZED, f'echo "$2" > {asked}')
    assert "(3, 11)" in asked.read_text()
    assert "Python.h" in asked.read_text()
