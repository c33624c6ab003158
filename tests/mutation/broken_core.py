"""A core with one module broken, in a process of its own, and whether the checks notice.

Nothing is written to disk: the broken module is imported from its text, and the process that did so ends afterwards. The
first check that fails ends it. A process that hangs or eats memory counts as noticed.
"""

import ast
import difflib
import gc
import importlib
import importlib.abc
import importlib.util
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple, Protocol

os.environ["PATHWAY_BILLING_COMPILED"] = "0"  # what is broken is the source

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "streams.adjudication"
CPU_SECONDS = (
    90  # for each check; the longest takes a third of it. Of the processor, not of the clock: others may be at work
)
MEMORY_BYTES = 2 << 30

NOTICED = "noticed"
HUNG = "hung"  # noticed, too: a check was not done in CPU_SECONDS
UNNOTICED = "NOT NOTICED"
NO_BREAK = "no break"  # only annotations differ: the code does the same

Check = Callable[[], None]


class Break(Protocol):
    """A module of the core with other text."""

    @property
    def title(self) -> str: ...
    @property
    def module(self) -> str:
        """Without the package: edits, live ..."""
        ...

    def text(self) -> str:
        """The module's text, broken."""
        ...


class Verdict(NamedTuple):
    """What came of a break."""

    title: str
    module: str
    was: str  # the lines that differ, before and after
    became: str
    outcome: str
    by: str = ""  # the check that noticed, and how


def source_path(module: str) -> Path:
    return ROOT / "streams" / "adjudication" / f"{module}.py"


def source_of(module: str) -> str:
    """The text of a module of the core as it is."""
    return source_path(module).read_text("utf-8")


def try_out(
    breaks: Iterable[Break],
    quick: Sequence[Check],
    jobs: int,
    thorough: Sequence[Check] = (),
    known_survivor: Callable[[Verdict], bool] = lambda _: False,
) -> Iterator[Verdict]:
    """The verdicts, as they come in. Known survivors are spared the thorough checks.

    The checks are inherited by fork: what they have prepared is not prepared again.
    """
    global _trial
    _trial = _Trial(quick, thorough, known_survivor)
    importlib.import_module("tests.core")  # for what it needs beside the core: schemas, codecs
    for name in [name for name in sys.modules if _rests_on_core(name)]:
        del sys.modules[name]
    gc.freeze()  # the processes share what is prepared; collecting it there would copy it
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=1) as pool:
        yield from pool.imap_unordered(_try_out, breaks)


class _Trial(NamedTuple):
    quick: Sequence[Check]
    thorough: Sequence[Check]
    known_survivor: Callable[[Verdict], bool]


_trial = _Trial((), (), lambda _: False)


class _TookTooLong(BaseException):
    """Not an Exception, so that nothing under test can swallow it."""


def _try_out(broken: Break) -> Verdict:
    source, text = source_of(broken.module), broken.text()
    verdict = Verdict(broken.title, broken.module, *_difference(source, text), UNNOTICED)
    if source != text and _without_annotations(source) == _without_annotations(text):
        return verdict._replace(outcome=NO_BREAK)

    hung = False

    def too_long(*_: object) -> None:
        nonlocal hung
        hung = True
        raise _TookTooLong

    signal.signal(signal.SIGVTALRM, too_long)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    sys.meta_path.insert(0, _BrokenModule(broken.module, text))
    for check in (*_trial.quick, *(() if _trial.known_survivor(verdict) else _trial.thorough)):
        signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
        try:
            check()
        except (Exception, SystemExit, _TookTooLong) as error:  # noqa: BLE001 - whatever it is, the check noticed
            by = f"{check.__name__}: {type(error).__name__}: {error}".splitlines()[0][:200]
            return verdict._replace(outcome=HUNG if hung else NOTICED, by=by)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return verdict


def _difference(source: str, text: str) -> tuple[str, str]:
    differing = list(difflib.unified_diff(source.splitlines(), text.splitlines(), lineterm="", n=0))[2:]
    was = " ".join(line[1:].strip() for line in differing if line[0] == "-")
    became = " ".join(line[1:].strip() for line in differing if line[0] == "+")
    return was, became


def _without_annotations(source: str) -> str:
    """What a module does, without what it says of types."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return "broken syntax"
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    return ast.dump(tree)


def _rests_on_core(name: str) -> bool:
    own = ("tests.mutation", "tests.oracle", "tests.strategies", "tests.facts")
    return name.startswith(("streams", "tests.")) and not name.startswith(own)


class _BrokenModule(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports one module from a text; leaves all others alone."""

    def __init__(self, module: str, text: str) -> None:
        self._name = f"{PACKAGE}.{module}"
        self._path = str(source_path(module))
        self._text = text

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        spec = importlib.util.spec_from_loader(fullname, self, origin=self._path)
        if spec is not None:
            spec.has_location = True  # the module has a `__file__`, by which the program tells source from compiled
        return spec

    def get_source(self, fullname: str) -> str:
        return self._text

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._text, self._path, "exec")
