"""The resources that a claim's references may mean: those of its Bundle, and those of other files of the same export.

Of other files only what an import reads is kept, as JSON: identifiers, and of a patient the birth date and the names. So a bulk
export of patients and coverages fits into memory.
"""

import json
from collections.abc import Iterable
from typing import Any

from streams.importers.fhir_json import Place

MOST_RESOURCES = 1_000_000  # of other files: some 400 bytes are held of a patient with one identifier (measured)
_KEPT = {
    "Patient": ("identifier", "birthDate", "name"),
    "Coverage": ("identifier", "subscriberId", "relationship", "class", "payor"),
    "Organization": ("identifier",),
    "Practitioner": ("identifier",),
    "PractitionerRole": ("identifier", "practitioner", "organization"),
}


_SEARCHED = frozenset(
    ("Organization", "Practitioner", "PractitionerRole")
)  # by identifier, as Synthea writes references


class TooManyResources(Exception):
    """More resources than are held for references."""


class References:
    """Resources by the references that mean them."""

    def __init__(self, others: "References | None" = None) -> None:
        self._others = others
        self._by_reference: dict[str, Any] = {}
        self._with_url: set[str] = set()
        self._count = 0

    @classmethod
    def of_bundle(cls, entries: Iterable[Any], others: "References | None") -> "References":
        """The resources of a Bundle, and behind them those of other files."""
        found = cls(others)
        for entry in entries:
            if isinstance(entry, dict):
                found._know(entry.get("resource"), entry.get("fullUrl"))
        return found

    def keep_all(self, resource: dict[str, Any]) -> None:
        """Hold what is read of a resource, or of those in a Bundle. Raises TooManyResources."""
        entries = resource.get("entry") if resource.get("resourceType") == "Bundle" else [{"resource": resource}]
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict):
                self._keep(entry.get("resource"), entry.get("fullUrl"))

    def _keep(self, resource: Any, full_url: object) -> None:
        kind = resource.get("resourceType") if isinstance(resource, dict) else None
        kept = _KEPT.get(kind) if isinstance(kind, str) else None
        if kept is None:
            return
        self._count += 1
        if self._count > MOST_RESOURCES:
            raise TooManyResources(f"more than {MOST_RESOURCES:,} resources; give those that the claims refer to")
        read = {name: resource[name] for name in ("resourceType", "id", *kept) if name in resource}
        self._know(resource, full_url, json.dumps(read, default=str).encode())

    def _know(self, resource: Any, full_url: object, held: bytes | None = None) -> None:
        if not isinstance(resource, dict):
            return
        found = held or resource
        kind = resource.get("resourceType")
        if isinstance(resource.get("id"), str):
            name = f"{kind}/{resource['id']}"
            self._by_reference.setdefault(name, found)
            if isinstance(full_url, str):
                self._with_url.add(name)
        if isinstance(full_url, str):
            self._by_reference.setdefault(full_url, found)
        identifiers = resource.get("identifier")
        if isinstance(kind, str) and kind in _SEARCHED and isinstance(identifiers, list):
            for one in identifiers:
                if isinstance(one, dict) and isinstance(one.get("value"), str) and isinstance(one.get("system"), str):
                    self._by_reference.setdefault(f"{kind}?identifier={one['system']}|{one['value']}", found)

    def find(self, reference: str) -> Any:
        """The resource that a reference means: a fullUrl, Patient/1, a version of it, or Patient?identifier=system|value."""
        plain = reference.partition("/_history/")[0]
        found = self._by_reference.get(plain)
        if found is None and "://" in plain:  # of an export's server: its resources come without a fullUrl
            name = "/".join(plain.rsplit("/", 2)[-2:])
            found = None if name in self._with_url else self._by_reference.get(name)
        if found is None and self._others is not None:
            return self._others.find(reference)
        return json.loads(found) if isinstance(found, bytes) else found


def identifier_in(reference: Place) -> tuple[str, str]:
    """System and value of the identifier that a reference states itself, in the element for it or as a search
    (`Practitioner?identifier=system|value`); empty where it states none. Raises BadValue."""
    stated = reference.get("identifier")
    if value := stated.text("value"):
        return stated.text("system"), value
    _, searched, identifier = reference.text("reference").partition("?identifier=")
    if not searched:
        return "", ""
    system, bar, value = identifier.partition("|")
    return (system, value) if bar else ("", system)
