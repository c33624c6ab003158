"""Makes the compiled build (compiled.py): needs mypy and setuptools, as `make install` brings them, and a C compiler.

python -m streams.compiling
"""

import os
import shutil
import tempfile
from pathlib import Path

from streams.compiled import AGENTS, BUILDS, CODECS, EVENTS, ROOT, STREAMS, build_folder

_VALUES = ("facts.py", "decisions.py")
"""Hold nothing but named tuples, which are written in C already; their type hints, which mypyc drops, decode the patient state."""

_FLAGS = ("--config-file=", "--ignore-missing-imports", "--follow-imports=silent")
"""What is not compiled is not checked here: `make types` does that."""


def _rules() -> list[Path]:
    return sorted(
        path for path in (STREAMS / "adjudication").glob("*.py") if path.name not in ("__init__.py", *_VALUES)
    )


def build() -> Path:
    """Compile the source as it is, unless that has been done. Raises ImportError without mypy, SystemExit without a compiler."""
    target = build_folder()
    if target.is_dir():
        return target
    from mypyc.build import mypycify
    from setuptools import setup

    with tempfile.TemporaryDirectory(prefix="pathway-billing-") as name:
        work = Path(name)
        for package in ("streams", "schemas"):
            shutil.copytree(ROOT / package, work / package, ignore=shutil.ignore_patterns(BUILDS.name, "__pycache__"))
        (work / "streams" / "__init__.py").write_text("")
        (work / "streams" / f"{CODECS}.py").write_text(_codecs_module(), "utf-8")
        modules = [
            *(f"streams/adjudication/{path.name}" for path in _rules()),
            *(f"streams/agents/{name}" for name in AGENTS),
            *EVENTS,
            f"streams/{CODECS}.py",
        ]
        os.chdir(work)  # mypyc names modules by their paths from here
        setup(
            name="pathway-billing-compiled",
            ext_modules=mypycify([*_FLAGS, *modules], opt_level="3", debug_level="0"),
            script_args=["--quiet", "build_ext", "--build-lib", "out", "--build-temp", "temp"],
        )
        os.chdir(ROOT)
        BUILDS.mkdir(exist_ok=True)  # builds of other source stay: a process may be running on one
        shutil.copytree(work / "out", target.with_suffix(".new"))
        target.with_suffix(".new").rename(target)  # all of it, or nothing
    return target


def _codecs_module() -> str:
    """The text of a module with the functions that the codec makes for every schema."""
    from schemas import catalog, codec
    from streams.events import MAKERS

    makers = {name: maker for name, maker in MAKERS.items() if maker.__module__.startswith("streams.adjudication")}
    texts = {
        codec.reader_text(catalog.schema(version.file), catalog.newest_schema(version.event), makers)
        for version in catalog.VERSIONS
    } | {codec.writer_text(catalog.newest_schema(event)) for event in catalog.NEWEST}
    lines = [
        "from typing import Any",
        "from librt.strings import BytesWriter",
        "from mypy_extensions import i64",
        "from schemas.codec import Malformed, count, finish, long, put_number, put_text, text_end",
        *sorted({f"import {maker.__module__}" for maker in makers.values()}),
        "from typing import Final",
        # final: the functions know where they are and need not look them up by their names
        *sorted({f"{maker.__name__}: Final = {maker.__module__}.{maker.__name__}" for maker in makers.values()}),
        "new: Final = tuple.__new__",
        "FUNCTIONS: dict[str, Any] = {}",
    ]
    for text in sorted(texts):
        digest = codec.digest(text)
        lines.append(text.replace("(", f"_{digest}(", 1))
        lines.append(f"FUNCTIONS[{digest!r}] = {text[4 : text.index('(')]}_{digest}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(f"compiled the rules and the codec: {build()}")  # noqa: T201
