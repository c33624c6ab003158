"""Opaque member tokens: what a claim file calls a member, made into the `patient_id` of our events.

A member id, a name or a birth date never leaves the importer. The token is a keyed hash, so that whoever sees it cannot try
all member ids; and it is the same in every import with the same key, so that a member's claims meet. The portal and the EHR
must name the same patient by the same token: docs/importing.md has the formula for them.
"""

import hashlib
import hmac
import re
import unicodedata
from pathlib import Path

SMALLEST_KEY_BYTES = 16
_SCHEME = "pathway-billing member token 1"
_NOT_ID = re.compile(r"[^A-Z0-9]")
_NOT_LETTER = re.compile(r"[^A-Z]")


class BadKey(ValueError):
    """The key cannot be used. The message holds none of it."""


class MemberTokens:
    """Makes tokens with one key; without a key the member ids of the files are tokens already and are taken as they are."""

    def __init__(self, key: bytes | None) -> None:
        if key is not None and len(key) < SMALLEST_KEY_BYTES:
            raise BadKey(f"the key must have at least {SMALLEST_KEY_BYTES} bytes; make one with `openssl rand -hex 32`")
        self._key = key

    @classmethod
    def from_file(cls, path: Path) -> "MemberTokens":
        """With the key in a file, without the white space around it. Raises BadKey."""
        try:
            return cls(path.read_bytes().strip())
        except OSError as error:
            raise BadKey(f"{path} cannot be read ({error.strerror})") from None

    def subscriber(self, payer_id: str, member_id: str) -> str:
        """The token of the member whose own id this is. Empty where there is no id."""
        if self._key is None:
            return member_id
        normal = _NOT_ID.sub("", member_id.upper())
        return self._token(payer_id, normal) if normal else ""

    def dependent(self, payer_id: str, member_id: str, birth_date: str, first_name: str) -> str:
        """The token of a dependent, who has no member id in a claim: the subscriber's id, the birth date (YYYY-MM-DD) and the
        letters of the first name. Empty where one of them is missing, and where no key is there to hide them."""
        if self._key is None:
            return ""
        normal = _NOT_ID.sub("", member_id.upper())
        name = _NOT_LETTER.sub("", unicodedata.normalize("NFKD", first_name).upper())
        return self._token(payer_id, normal, birth_date, name) if normal and birth_date and name else ""

    def _token(self, *parts: str) -> str:
        assert self._key is not None, "only a key makes a token"
        message = "\x1f".join((_SCHEME, *parts)).encode()
        return "m-" + hmac.new(self._key, message, hashlib.sha256).hexdigest()[:32]
