"""Who may look, and who has looked: sign-in by token or by a trusted proxy's header, and the log of reveals."""

import hashlib
import hmac
import json
import os
import re
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

SHORTEST_TOKEN = 16
NO_SIGN_IN = "local (no sign-in)"
_ENTRY = re.compile(r"([A-Za-z0-9._@-]{1,64}):(\S+)")


class AccessError(Exception):
    """The console would be open to people whom nobody knows. The message says what to set."""


class Access(NamedTuple):
    """How people prove who they are. Without tokens and without a header, whoever reaches this machine's loopback is let in."""

    tokens: tuple[tuple[str, bytes], ...] = ()  # (name, SHA-256 of the token)
    user_header: str | None = None
    trusted_proxies: frozenset[str] = frozenset()  # addresses whose user header is believed

    @property
    def required(self) -> bool:
        return bool(self.tokens or self.user_header)

    def name_of_token(self, token: str) -> str | None:
        """Whose token it is. Every token is compared, so that the time taken tells nothing."""
        offered, found = hashlib.sha256(token.encode()).digest(), None
        for name, known in self.tokens:
            if hmac.compare_digest(offered, known):
                found = name
        return found

    def name_by_proxy(self, peer: str | None, named: Sequence[str]) -> str | None:
        """The user that a trusted proxy names; a header from any other address says nothing.

        A request with the header twice names nobody: one of the two came from whoever is behind the proxy.
        """
        if not self.user_header or len(named) != 1 or _plain(peer or "") not in self.trusted_proxies:
            return None
        name = named[0].strip()
        return name if name.isprintable() and 0 < len(name) <= 256 else None


def read_proxies(addresses: Iterable[str]) -> frozenset[str]:
    """The addresses of trusted proxies. Raises AccessError for what is none: it would be believed from nowhere, or not be known."""
    for address in addresses:
        try:
            ip_address(address)
        except ValueError:
            raise AccessError(
                f"--trusted-proxy takes the address that the proxy connects from, such as 10.0.0.5; {address!r} is none."
            ) from None
    return frozenset(map(_plain, addresses))


def _plain(address: str) -> str:
    """An address in one way of writing: on a socket for both kinds an IPv4 peer is ::ffff:10.0.0.5."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped or parsed)


def read_tokens(text: str) -> tuple[tuple[str, bytes], ...]:
    """NAME:TOKEN entries, separated by white space; lines that begin with # are comments. Raises AccessError, without the token."""
    entries = [word for line in text.splitlines() if not line.lstrip().startswith("#") for word in line.split()]
    tokens = []
    for number, entry in enumerate(entries, start=1):
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise AccessError(f"entry {number} of the console's tokens is not of the form NAME:TOKEN.")
        if len(match[2]) < SHORTEST_TOKEN:
            raise AccessError(
                f"the token of {match[1]} is shorter than {SHORTEST_TOKEN} characters; make a longer one."
            )
        tokens.append((match[1], hashlib.sha256(match[2].encode()).digest()))
    return tuple(tokens)


def check_address(host: str, access: Access) -> None:
    """Raises AccessError for an address that others reach while nobody has to say who they are."""
    if is_loopback(host) or access.required:
        return
    raise AccessError(
        f"the console will not listen on {host} without authentication. Give people tokens (--token-file, or "
        "PATHWAY_BILLING_CONSOLE_TOKENS=name:token), or put a proxy in front (--trusted-user-header with --trusted-proxy), "
        "or leave --host at 127.0.0.1."
    )


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class RevealLog:
    """Who had ids shown, when, and for which decision: JSONL, appended and flushed to disk before anything is shown.

    It holds the decision's id, which the ledger leads back to the patient, and no id of a patient itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def write(self, who: str, decision_id: str, page: str) -> None:
        """Raises OSError when it cannot be written: then nothing may be shown."""
        entry = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "who": who,
            "decision_id": decision_id,
            "page": page,
        }
        line = json.dumps(entry, ensure_ascii=False) + "\n"
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, line.encode())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
