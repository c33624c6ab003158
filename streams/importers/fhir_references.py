"""The resources that a claim's references may mean: those of its Bundle, and those of other files of the same export.

Of each only what an import reads is kept: identifiers, and of a patient the birth date and the first given name. So a bulk
export of patients and coverages fits into memory.
"""

from collections.abc import Iterable
from typing import Any

from streams.importers.fhir_json import Place

MOST_RESOURCES = 1_000_000  # of other files: about 1 KB each is held of a patient or a coverage
_KEPT = {
    "Patient": ("identifier", "birthDate", "name"),
    "Coverage": ("identifier", "subscriberId", "relationship", "class", "payor"),
    "Organization": ("identifier",),
    "Practitioner": ("identifier",),
    "PractitionerRole": ("identifier", "practitioner", "organization"),
}


class TooManyResources(Exception):
    """More resources than are held for references."""


class References:
    """Resources by the references that mean them."""

    def __init__(self, others: "References | None" = None) -> None:
        self._others = others
        self._by_reference: dict[str, Any] = {}
        self._without_url: dict[str, Any] = {}
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
        self._know({name: resource[name] for name in ("resourceType", "id", *kept) if name in resource}, full_url)

    def _know(self, resource: Any, full_url: object) -> None:
        if not isinstance(resource, dict):
            return
        kind = resource.get("resourceType")
        if isinstance(resource.get("id"), str):
            self._by_reference.setdefault(f"{kind}/{resource['id']}", resource)
            if not full_url:
                self._without_url.setdefault(f"{kind}/{resource['id']}", resource)
        if isinstance(full_url, str):
            self._by_reference.setdefault(full_url, resource)
        identifiers = resource.get("identifier")
        if isinstance(kind, str) and kind in _KEPT and isinstance(identifiers, list):
            for one in identifiers:
                if isinstance(one, dict) and isinstance(one.get("value"), str) and isinstance(one.get("system"), str):
                    self._by_reference.setdefault(f"{kind}?identifier={one['system']}|{one['value']}", resource)

    def find(self, reference: str) -> Any:
        """The resource that a reference means: a fullUrl, Patient/1, a version of it, or Patient?identifier=system|value."""
        plain = reference.partition("/_history/")[0]
        found = self._by_reference.get(plain)
        if found is None and "://" in plain:  # of an export's server: its resources come without a fullUrl
            found = self._without_url.get("/".join(plain.rsplit("/", 2)[-2:]))
        if found is None and self._others is not None:
            return self._others.find(reference)
        return found


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
