"""Prometheus' own programs, and what its expressions are made of."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
_PACKAGES = {
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "prometheus-node-exporter": "prometheus-node-exporter",
}

_METRIC = re.compile(
    r"(?<![\w:.$\[])(?!by\b|on\b|ignoring\b|without\b|group_\w+\b)([A-Za-z_:][\w:]*)(\{[^}]*\})?(?!\s*\(|\w)"
)
"""A name that no bracket follows is a metric, or one of these words."""

_WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}
_LABEL_LIST = re.compile(r"\b(by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)")


def program(name: str) -> str:
    """Where a program is; a test that needs it fails with a sentence that says how to get it."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(
            f"{name} is not installed: apt-get install {_PACKAGES[name]} (Debian, Ubuntu), or put it on the PATH"
        )
    return found


def promtool(*arguments: str, given: str | None = None) -> str:
    """Run promtool in the folder of the rules; its output, and failure where it finds fault."""
    done = subprocess.run(
        (program("promtool"), *arguments),
        cwd=PROMETHEUS,
        input=given,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def selectors(expr: str) -> list[str]:
    """The metrics that an expression asks for, with their label matchers: every name in it that is nothing else."""
    found = _METRIC.findall(_LABEL_LIST.sub(" ", expr))
    return [name + matchers for name, matchers in found if name.lower() not in _WORDS]


def metric_names(expr: str) -> set[str]:
    return {selector.split("{")[0] for selector in selectors(expr)}
