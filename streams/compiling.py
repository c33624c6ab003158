"""Makes the compiled build (compiled.py): needs mypy and setuptools, as `make install` brings them, and a C compiler.

    python -m streams.compiling [--trained]

With --trained, which takes three times as long and needs gcc, it is made twice: a build that counts decides a generated history
(training.py), then gcc lays the code out by what it has seen. The way from a record to its outputs and the patient's value
takes a tenth less time.
"""

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from streams.compiled import BESIDE_THE_RULES, BUILDS, CODECS, ROOT, STREAMS, build_folder

_VALUES = ("facts.py", "decisions.py")
"""Hold nothing but named tuples, which are written in C already; their type hints, which mypyc drops, decode the patient state."""

_FLAGS = ("--config-file=", "--ignore-missing-imports", "--follow-imports=silent")
"""What is not compiled is not checked here: `make types` does that."""


def _rules() -> list[Path]:
    return sorted(
        path for path in (STREAMS / "adjudication").glob("*.py") if path.name not in ("__init__.py", *_VALUES)
    )


def build(*, trained: bool = False) -> Path:
    """Compile the source as it is, unless that has been done. Raises ImportError without mypy, SystemExit without a compiler."""
    target = build_folder(trained=trained)
    if target.is_dir():
        return target
    if trained and not _is_gcc():
        raise SystemExit(
            "error: Python's C compiler here is not gcc, which a trained build needs; the plain one does without"
        )
    from mypyc.build import mypycify

    with tempfile.TemporaryDirectory(prefix="pathway-billing-") as name:
        work = Path(name)
        for package in ("streams", "schemas"):
            shutil.copytree(ROOT / package, work / package, ignore=shutil.ignore_patterns(BUILDS.name, "__pycache__"))
        (work / "streams" / "__init__.py").write_text("")
        (work / "streams" / f"{CODECS}.py").write_text(_codecs_module(), "utf-8")
        modules = [
            *(f"streams/adjudication/{path.name}" for path in _rules()),
            *BESIDE_THE_RULES,
            f"streams/{CODECS}.py",
        ]
        os.chdir(work)  # mypyc names modules by their paths from here, and gcc its counts
        extensions = mypycify([*_FLAGS, *modules], opt_level="2" if trained else "3", debug_level="0")
        if trained:
            _compile(extensions, ["--inplace"], "-fprofile-generate")
            _train(work)
        _compile(extensions, ["--build-lib", "out"], *(["-fprofile-use", "-Wno-missing-profile"] if trained else []))
        os.chdir(ROOT)
        BUILDS.mkdir(exist_ok=True)  # builds of other source stay: a process may be running on one
        shutil.copytree(work / "out", target.with_suffix(".new"))
        target.with_suffix(".new").rename(target)  # all of it, or nothing
    return target


def _is_gcc() -> bool:
    """Whether the C compiler that Python's extensions are made with is gcc: only its counts are known here."""
    command = [*str(sysconfig.get_config_var("CC")).split(), "--version"]
    if shutil.which(command[0]) is None:
        return False
    said = subprocess.run(  # noqa: S603 - the compiler that builds Python's extensions here
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    ).stdout
    return b"Free Software Foundation" in said


def _compile(extensions: list[Any], where: list[str], *flags: str) -> None:
    from setuptools import setup

    for extension in extensions:
        given = [flag for flag in extension.extra_compile_args if not flag.startswith("-fprofile-")]
        extension.extra_compile_args = [*given, *flags]
        extension.extra_link_args = list(flags)
    arguments = ["--quiet", "build_ext", "--force", "--build-temp", "temp", *where]
    setup(name="pathway-billing-compiled", ext_modules=extensions, script_args=arguments)


def _train(work: Path) -> None:
    """Run the counting build. Its modules stand beside the source's copy, where Python takes them first; one hash seed, as what is
    counted must not differ between two runs."""
    path = os.pathsep.join([str(work), *sys.path[1:]])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-m", "streams.training"], cwd=work, env=environment, check=True)


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
        "from schemas.codec import Malformed, count, day, finish, long, put_number, put_text, short, text_end, texts",
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trained", action="store_true", help="lay the code out by what a run does")
    print(f"compiled the rules and the codec: {build(trained=parser.parse_args().trained)}")  # noqa: T201


if __name__ == "__main__":
    main()
