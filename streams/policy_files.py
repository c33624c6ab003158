"""Policy profiles as files (TOML). The form is that of adjudication/profiles/p0.toml, which is also the default."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from streams.adjudication.days import day_from_iso
from streams.adjudication.decisions import PolicyRef
from streams.adjudication.policy import Policy, PolicyProfile

_FIELDS: dict[str, type] = {
    "id": str,
    "version": int,
    "gap_after_s0353_days": int,
    "gap_between_s0354_days": int,
    "s0353_scope": str,
    "calendar_month_cap": bool,
    "s0353_uses_month": bool,
    "unknown_eligibility": str,
    "no_order_outcome": str,
    "ordering_provider_tested": bool,
    "default_filing_limit_days": int,
    "pend_limit_days": int,
    "plans": dict,
}


MAX_GAP_DAYS = 365
"""Of a gap between paid lines. It keeps next payable dates inside the calendar (intake leaves a year of room at its end)."""


class BadPolicy(ValueError):
    """A policy file that cannot be used; the message names the profile and the field."""


def load_policy(path: Path | None = None) -> Policy:
    """The policy in a file, or the bundled one (P0). Raises BadPolicy; a file that cannot be opened raises OSError."""
    if path is None:
        text = resources.files("streams.adjudication").joinpath("profiles/p0.toml").read_text(encoding="utf-8")
    else:
        text = _text_of(path)
    try:
        tables = tomllib.loads(text).get("profile", [])
    except tomllib.TOMLDecodeError as error:
        raise BadPolicy(f"not a TOML file: {error}") from error
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise BadPolicy("no [[profile]] table in it")
    try:
        return Policy(tuple(_profile(number, table) for number, table in enumerate(tables, start=1)))
    except BadPolicy:
        raise
    except ValueError as error:
        raise BadPolicy(str(error)) from error


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BadPolicy("not a TOML file: it is not UTF-8") from None


def _profile(number: int, table: dict[str, Any]) -> PolicyProfile:
    where = f"profile {number}"
    unknown = table.keys() - _FIELDS.keys() - {"effective_from"}
    if unknown:
        raise BadPolicy(f"{where}: unknown field {sorted(unknown)[0]}")
    for name, kind in _FIELDS.items():
        if name not in table:
            raise BadPolicy(f"{where}: {name} is missing")
        if type(table[name]) is not kind:
            raise BadPolicy(f"{where}: {name} must be of type {kind.__name__}")
        if kind is int and table[name] < 0:
            raise BadPolicy(f"{where}: {name} must not be negative")
        if name.startswith("gap_") and table[name] > MAX_GAP_DAYS:
            raise BadPolicy(f"{where}: {name} must not be more than {MAX_GAP_DAYS} days")
    if table["unknown_eligibility"] not in ("eligible", "deny"):
        raise BadPolicy(f"{where}: unknown_eligibility must be 'eligible' or 'deny'")
    if not all(isinstance(payer, str) and payer for payer in table["plans"].values()):
        raise BadPolicy(f"{where}: plans must map plan ids to payer ids")
    effective_from = table.get("effective_from")
    try:
        start = day_from_iso(str(effective_from)) if effective_from is not None else None
    except ValueError as error:
        raise BadPolicy(f"{where}: effective_from must be a date (YYYY-MM-DD)") from error
    return PolicyProfile(
        ref=PolicyRef(table["id"], table["version"]),
        effective_from=start,
        gap_after_s0353_days=table["gap_after_s0353_days"],
        gap_between_s0354_days=table["gap_between_s0354_days"],
        s0353_scope=table["s0353_scope"],
        calendar_month_cap=table["calendar_month_cap"],
        s0353_uses_month=table["s0353_uses_month"],
        unknown_eligibility_eligible=table["unknown_eligibility"] == "eligible",
        no_order_outcome=table["no_order_outcome"],
        ordering_provider_tested=table["ordering_provider_tested"],
        default_filing_limit_days=table["default_filing_limit_days"],
        pend_limit_days=table["pend_limit_days"],
        plans=dict(table["plans"]),
    )
