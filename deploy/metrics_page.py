"""docs/metrics.md, from the declarations: `python -m deploy.metrics_page` writes its tables anew."""

from pathlib import Path

from streams.metrics import DECLARED

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"
BEGIN, END = "<!-- tables: made by `make monitoring` -->", "<!-- end of the tables -->"

_PROGRAMS = {
    "worker": "The worker (`worker --metrics-port`)",
    "projector": "The projector (`project --follow --metrics-port`)",
    "verify": "The verifier (`verify --textfile`), at its last run",
    "sweep": "The sweep (`sweep --textfile`), at its last run",
    "dead-letters": "Dead letters (`dead-letters count --textfile`), at their last count",
}


def tables() -> str:
    """A table for each program."""
    parts = []
    for program, title in _PROGRAMS.items():
        parts += [f"\n### {title}\n", "| metric | kind | unit | labels | meaning |", "|---|---|---|---|---|"]
        parts += [
            f"| `{one.name}` | {one.kind} | {one.unit} | {', '.join(one.labels) or '-'} | {one.meaning} |"
            for one in DECLARED
            if one.program == program
        ]
    return "\n".join(parts) + "\n"


def page(text: str) -> str:
    """The page with its tables made anew."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
