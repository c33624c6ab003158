"""The compiled build: the rules and the codec from the same source, compiled by mypyc (docs/adr/0009).

`python -m streams.compiling` makes a build, with `--trained` one that gcc lays out by what a run of it did, which is taken first.
It lies in a folder that bears the hash of everything it was made from. A source that was changed since has another hash, so its
build is not found and the source runs as it is: a stale build is never used. `PATHWAY_BILLING_COMPILED=0` runs the source in any
case, as the tests and the mutation check do by default.
"""

import hashlib
import os
import sys
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

STREAMS = Path(__file__).parent
ROOT = STREAMS.parent
BUILDS = STREAMS / "__compiled__"
VARIABLE = "PATHWAY_BILLING_COMPILED"

BESIDE_THE_RULES = (
    *("schemas/codec.py", "schemas/wire.py", "streams/events.py"),  # between bytes and values
    *(f"streams/agents/{name}.py" for name in ("adjudicator", "intake", "patient_state", "tally")),
    "streams/runtime/inbox.py",
    "streams/partitioner.py",
)
"""What runs for every fact and is compiled with the rules."""

TRAINED = "-trained"  # at the end of a folder's name
CODECS = "made_codecs"  # the codec's functions, one for each schema, as a module of `streams`


def mode() -> str:
    """How the rules and the codec run in this process: `interpreted`, `compiled`, or `compiled, trained`."""
    import streams.adjudication.edits

    file = str(streams.adjudication.edits.__file__)
    return "interpreted" if file.endswith(".py") else f"compiled{', trained' if TRAINED in file else ''}"


def use() -> None:
    """From now on import the compiled modules, where there is a build of exactly this source. Called before their first import."""
    if os.environ.get(VARIABLE) == "0" or not BUILDS.is_dir():
        return
    build = next((folder for folder in (build_folder(trained=True), build_folder()) if folder.is_dir()), None)
    if build is None:
        return
    import schemas
    import streams.adjudication
    import streams.agents
    import streams.runtime

    sys.path.append(str(build))  # the library that the modules of a build share
    for package in (schemas, streams, streams.adjudication, streams.agents, streams.runtime):
        package.__path__.insert(0, str(build.joinpath(*package.__name__.split("."))))


def codecs() -> dict[str, Callable[..., Any]]:
    """The compiled functions of the codec, by the digest of their text; none where the source runs as it is."""
    if mode() == "interpreted":
        return {}
    from importlib import import_module

    functions: dict[str, Callable[..., Any]] = import_module(f"streams.{CODECS}").FUNCTIONS
    return functions


def build_folder(*, trained: bool = False) -> Path:
    """The folder of a build of the source as it is, for this Python."""
    return BUILDS / f"{_digest()}{TRAINED if trained else ''}"


@cache
def _digest() -> str:
    digest = hashlib.blake2b(f"{sys.version} {sysconfig.get_platform()}".encode(), digest_size=10)
    sources = [*(STREAMS / "adjudication").glob("*.py"), *(ROOT / "schemas").glob("*.avsc")]
    sources += [ROOT / name for name in BESIDE_THE_RULES]
    for path in sorted([*sources, STREAMS / "compiling.py", STREAMS / "training.py"]):
        digest.update(b"\0" + path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
