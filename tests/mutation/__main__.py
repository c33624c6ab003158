"""Mutation testing of the rules: `make mutants`.

    python -m tests.mutation [--jobs N] [--modules edits,pricing] [--limit N]

cosmic-ray finds the places in `streams/adjudication` that can be broken (an operator, a comparison, a number, a condition) and
breaks them, one at a time; each break is tried out in a process of its own (broken_core.py) on the worked cases, on random
histories against the oracle, and, where those notice nothing, on the project's own tests of the rules. The deliberate breaks
(deliberate.py) go first. What survives must be listed and explained in docs/mutation.md: a survivor that is not ends the
run with 1. So does an explained one that is noticed by now, to keep the list true.
"""

import argparse
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from tests.mutation.broken_core import (
    HUNG,
    NO_BREAK,
    NOTICED,
    ROOT,
    UNNOTICED,
    Verdict,
    source_of,
    source_path,
    try_out,
)
from tests.mutation.checks import fast_checks, suite
from tests.mutation.deliberate import as_it_is, deliberate_breaks

TOOL = ROOT / "build" / "mutants" / "cosmic-ray"
SURVIVORS = ROOT / "docs" / "mutation.md"
THOROUGH = (
    "tests/unit/adjudication",
    "tests/properties/test_switches.py",
    "tests/properties/test_decision_history.py",
    "tests/properties/test_invariants.py",
)

# Of cosmic-ray's operators, those that say something here. Left out: `is` for `==` (the same for small numbers), bits and
# powers (the rules have none; `|` only joins types), and the two that put in variables at random.
_ARITHMETIC = "Add|Sub|Mul|FloorDiv|Mod"
_ORDER = "Eq|NotEq|Lt|LtE|Gt|GtE"
OPERATORS = re.compile(
    rf"core/(ReplaceBinaryOperator_({_ARITHMETIC})_({_ARITHMETIC})"
    rf"|ReplaceComparisonOperator_({_ORDER})_({_ORDER})"
    r"|ReplaceComparisonOperator_(Is_IsNot|IsNot_Is)"
    r"|ReplaceUnaryOperator_.*|AddNot|ReplaceTrueWithFalse|ReplaceFalseWithTrue|ReplaceAndWithOr|ReplaceOrWithAnd"
    r"|ReplaceBreakWithContinue|ReplaceContinueWithBreak|NumberReplacer|ZeroIterationForLoop|ExceptionReplacer|RemoveDecorator)"
)


class Mutant(NamedTuple):
    """One place where one operator of cosmic-ray breaks a module."""

    module: str
    operator: str
    occurrence: int

    @property
    def title(self) -> str:
        return f"{self.module} {self.operator.removeprefix('core/')} {self.occurrence}"

    def text(self) -> str:
        from cosmic_ray.mutating import MutationVisitor  # type: ignore[import-not-found]
        from cosmic_ray.plugins import get_operator  # type: ignore[import-not-found]

        visitor = MutationVisitor(self.occurrence, get_operator(self.operator)())
        broken = visitor.walk(_tree(self.module))  # breaks this process's copy of the tree
        assert visitor.mutation_applied, "cosmic-ray broke fewer places than it found"
        return str(broken.get_code())


@lru_cache
def _tree(module: str) -> Any:
    """A module's syntax tree: parsed once, before the processes fork that break it."""
    from cosmic_ray.ast import get_ast  # type: ignore[import-not-found]

    return get_ast(source_of(module))


def install_tool() -> None:
    """Put cosmic-ray into a folder of its own at the end of the path, so that the project's own packages come first."""
    if not TOOL.exists():
        print("installing cosmic-ray into build/mutants ...", flush=True)
        requirements = ROOT / "tests" / "mutation" / "requirements.txt"
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-warn-conflicts"]
        subprocess.run([*pip, "--target", str(TOOL), "--requirement", str(requirements)], check=True)
    sys.path.append(str(TOOL))


def modules() -> list[str]:
    return sorted(path.stem for path in source_path("x").parent.glob("*.py") if path.stem != "__init__")


def mutants(module: str) -> Iterator[Mutant]:
    """Every place of a module that an operator breaks."""
    from cosmic_ray.plugins import get_operator, operator_names

    nodes = _nodes(_tree(module))
    for name in sorted(filter(OPERATORS.fullmatch, operator_names())):
        operator = get_operator(name)()
        places = sum(len(list(operator.mutation_positions(node))) for node in nodes)
        yield from (Mutant(module, name, occurrence) for occurrence in range(places))


def _nodes(tree: object) -> list[object]:
    from cosmic_ray.ast import Visitor

    found: list[object] = []

    class Collect(Visitor):  # type: ignore[misc]
        def visit(self, node: object) -> object:
            found.append(node)
            return node

    Collect().walk(tree)
    return found


class Explained(NamedTuple):
    """A row of the table in docs/mutation.md: survivors of one kind, `…` standing for any text."""

    module: str
    was: str
    became: str

    def covers(self, verdict: Verdict) -> bool:
        return self.module == verdict.module and _alike(self.was, verdict.was) and _alike(self.became, verdict.became)


def _alike(pattern: str, text: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("…"))), text) is not None


def explained() -> list[Explained]:
    """The survivors that docs/mutation.md lists and explains."""
    rows = re.findall(r"^\| (\w+) \| `(.*?)` \| `(.*?)` \| .+ \|$", SURVIVORS.read_text("utf-8"), re.MULTILINE)
    return [Explained(module, was.replace(r"\|", "|"), became.replace(r"\|", "|")) for module, was, became in rows]


def listed(verdict: Verdict) -> str:
    """A survivor as a row of the table in docs/mutation.md, to be explained there."""
    was, became = (line.replace("|", r"\|") for line in (verdict.was, verdict.became))
    return f"| {verdict.module} | `{was}` | `{became}` | why? |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Mutation testing of the rules.")
    parser.add_argument("--jobs", type=int, default=2, help="how many breaks are tried out at a time (default 2)")
    parser.add_argument(
        "--modules", default=",".join(modules()), help="modules of streams/adjudication, with commas between"
    )
    parser.add_argument("--limit", type=int, default=None, help="try out no more than this many mutants of each module")
    options = parser.parse_args()

    install_tool()
    quick, thorough = fast_checks(), (suite(*THOROUGH),)
    unbroken = next(try_out([as_it_is()], quick, 1, thorough))
    if unbroken.outcome in (NOTICED, HUNG):
        print(f"error: the checks fail on the core as it is: {unbroken.by}", file=sys.stderr)
        return 2

    chosen = options.modules.split(",")
    breaks = [broken for broken in deliberate_breaks() if broken.module in chosen]
    found = [mutant for module in chosen for mutant in list(mutants(module))[: options.limit]]
    print(f"{len(breaks)} deliberate breaks and {len(found)} mutants of {', '.join(chosen)}", flush=True)

    began = time.monotonic()
    counts: Counter[tuple[str, str]] = Counter()
    survivors = unexplained = 0
    known = explained()
    unused = {row for row in known if row.module in chosen}

    def known_survivor(verdict: Verdict) -> bool:
        return any(row.covers(verdict) for row in known)

    verdicts = try_out([*breaks, *found], quick, options.jobs, thorough, known_survivor)
    for done, verdict in enumerate(verdicts, start=1):
        counts[verdict.module, verdict.outcome] += 1
        if verdict.outcome == UNNOTICED:
            survivors += 1
            rows = [row for row in known if row.covers(verdict)]
            unused.difference_update(rows)
            if not rows:
                unexplained += 1
                print(listed(verdict), flush=True)
        if done % 100 == 0:
            rate = done / (time.monotonic() - began)
            left = (len(breaks) + len(found) - done) / rate
            print(f"# {done} tried, {survivors} not noticed; {rate:.1f}/s, {left / 60:.0f} min left", file=sys.stderr)

    print(f"\n{'module':12} {'noticed':>8} {'hung':>5} {'not noticed':>12} {'no break':>9}")
    for module in chosen:
        figures = [counts[module, outcome] for outcome in (NOTICED, HUNG, UNNOTICED, NO_BREAK)]
        print(f"{module:12} {figures[0]:8} {figures[1]:5} {figures[2]:12} {figures[3]:9}")
    outdated = unused if options.limit is None else set()
    for row in sorted(outdated):
        print(f"listed in docs/mutation.md, but noticed or gone by now: {row.module}: {row.was} -> {row.became}")
    print(f"{survivors} survivors, {unexplained} of them not explained in docs/mutation.md")
    return 1 if unexplained or outdated else 0


if __name__ == "__main__":
    sys.exit(main())
