"""The core stays pure: the standard library, its compiler's own types, and of the library nothing with a clock, a die or a door."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import streams.adjudication

CORE = Path(streams.adjudication.__file__).parent
MODULES = sorted(CORE.glob("*.py"))
COMPILERS_OWN = {"librt.strings", "mypy_extensions"}
IMPURE = {
    "asyncio",
    "io",
    "logging",
    "os",
    "pathlib",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "uuid",
}
IMPURE_CALLS = {"now", "today", "utcnow", "open", "print", "input", "urandom", "getenv"}


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Level (0 is absolute) and name of every module that is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_module_of_the_core_imports_the_pure_standard_library_and_its_neighbours_only(module: Path) -> None:
    for level, name in imported(ast.parse(module.read_text(encoding="utf-8"))):
        if level == 0:
            top = name.partition(".")[0]
            assert top in sys.stdlib_module_names or name in COMPILERS_OWN, f"{name} is not of the standard library"
            assert top not in IMPURE, f"{name} lets the world in"
        else:
            assert level == 1, f"{name} lies outside of the core"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_module_of_the_core_asks_neither_clock_nor_chance_nor_environment(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    called = {
        node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
    }
    assert not called & IMPURE_CALLS


def test_there_are_modules_to_look_at() -> None:
    assert {"edits.py", "fold.py", "pricing.py"} <= {path.name for path in MODULES}
