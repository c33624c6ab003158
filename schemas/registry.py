"""Schema ids from a registry that speaks the Confluent Schema Registry API, kept in memory and on disk.

An id means one schema for ever, so what was once learned is never asked again: a registry that is down stops nothing whose
schema is cached. Subjects follow TopicNameStrategy. Nothing is registered behind anybody's back: `pathway-billing schemas
register` does it.
"""

import base64
import hashlib
import json
import os
import ssl
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import urllib3

from schemas import catalog
from schemas.catalog import Schema
from schemas.wire import SchemasUnavailable, Unreadable

FULL_TRANSITIVE = "FULL_TRANSITIVE"

_MOST_BYTES = 4 * 1024 * 1024  # of an answer
_MOST_REFERENCES = 100
_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
_SCHEMA_NOT_FOUND = 40403
_NOT_FOUND = (40401, 40402, _SCHEMA_NOT_FOUND, 40408)  # subject, version, schema, subject's level


class NotRegistered(SchemasUnavailable):
    """The registry answers, and has not the schema that we write with."""


class RegistrySettingsError(ValueError):
    """A setting of the registry is missing, contradicts another or cannot be used. The message names it, never a secret."""


@dataclass(frozen=True)
class RegistryAccess:
    """Where the registry is and how it knows us."""

    urls: tuple[str, ...]  # tried in turn
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: Callable[[], str] | None = field(default=None, repr=False)  # asked at each request: tokens are short-lived
    ca_file: Path | None = None  # PEM; None: whom the operating system trusts
    certificate_file: Path | None = None  # PEM, with its chain: our own
    key_file: Path | None = None  # PEM; None: in the certificate's file
    timeout_seconds: float = 5.0  # of a connection, and of each answer
    attempts: int = 3  # at each URL

    @cached_property
    def ssl_context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer, names checked. Raises RegistrySettingsError where a file cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.certificate_file:
                context.load_cert_chain(self.certificate_file, self.key_file, lambda: "")
        except OSError as error:
            named = ", ".join(str(file) for file in (self.ca_file, self.certificate_file, self.key_file) if file)
            reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
            raise RegistrySettingsError(f"the registry's TLS files cannot be used ({named}): {reason}") from None
        return context


class Registered(NamedTuple):
    """A schema under a subject."""

    subject: str
    version: int
    id: int


class RegistryClient:
    """The requests of the Confluent Schema Registry API that are needed here. May be used by several threads."""

    def __init__(self, access: RegistryAccess) -> None:
        self.access = access
        secure = any(url.startswith("https:") for url in access.urls)
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(access.timeout_seconds),
            retries=urllib3.Retry(
                total=access.attempts - 1,
                redirect=0,
                backoff_factor=0.2,
                status_forcelist=(429, 500, 502, 503, 504),
                allowed_methods=None,  # every request here may be repeated: registering twice gives the same id
                raise_on_status=False,
                respect_retry_after_header=False,  # who waits, and how long, is decided by the caller
            ),
            ssl_context=access.ssl_context if secure else None,
        )

    @property
    def name(self) -> str:
        return ", ".join(self.access.urls)

    def schema(self, schema_id: int) -> Mapping[str, Any] | None:
        """What the registry has under an id; None where it certainly has nothing."""
        found: Mapping[str, Any] | None = self._found("GET", f"/schemas/ids/{schema_id}")
        return found

    def version(self, subject: str, version: int | str) -> Mapping[str, Any] | None:
        """A version of a subject ("latest" for the newest)."""
        path = f"/subjects/{quote(subject, safe='')}/versions/{version}"
        found: Mapping[str, Any] | None = self._found("GET", path)
        return found

    def versions(self, subject: str) -> list[int]:
        """The versions of a subject; empty when there is no such subject."""
        return self._found("GET", f"/subjects/{quote(subject, safe='')}/versions") or []

    def registered(self, subject: str, schema: str) -> Registered | None:
        """Where this very schema stands under the subject."""
        found = self._found("POST", f"/subjects/{quote(subject, safe='')}", {"schema": schema})
        return None if found is None else Registered(subject, int(found["version"]), int(found["id"]))

    def register(self, subject: str, schema: str) -> int:
        """Register a schema, or find it registered: its id. Raises SchemasUnavailable also where the registry refuses it."""
        answer = self._ask("POST", f"/subjects/{quote(subject, safe='')}/versions", {"schema": schema})
        return int(answer["id"])

    def level(self, subject: str) -> str | None:
        """The subject's compatibility level, else the one that holds for all."""
        for path in (f"/config/{quote(subject, safe='')}", "/config"):
            found = self._found("GET", path)
            if found is not None:
                return str(found.get("compatibilityLevel"))
        return None

    def set_level(self, subject: str, level: str) -> None:
        self._ask("PUT", f"/config/{quote(subject, safe='')}", {"compatibility": level})

    def compatible(self, subject: str, schema: str) -> tuple[bool, list[str]]:
        """Whether the registry would take a schema after all versions of the subject, and its words if not."""
        path = f"/compatibility/subjects/{quote(subject, safe='')}/versions?verbose=true"
        found = self._found("POST", path, {"schema": schema})
        if found is None:
            return True, []  # a subject without versions takes anything
        return bool(found.get("is_compatible")), [str(message) for message in found.get("messages") or ()]

    def _found(self, method: str, path: str, body: Any = None) -> Any:
        return self._ask(method, path, body, none_for=_NOT_FOUND)

    def _ask(self, method: str, path: str, body: Any = None, none_for: tuple[int, ...] = ()) -> Any:
        """The registry's answer as JSON. None for one of these error codes; else an error raises SchemasUnavailable."""
        problems = []
        for url in self.access.urls:
            try:
                status, answer = self._request(method, url + path, body)
            except SchemasUnavailable as error:
                problems.append(str(error))
                continue
            if 200 <= status < 300:
                return answer
            code = answer.get("error_code") if isinstance(answer, dict) else None
            if code in none_for:
                return None
            said = f": {answer['message']}" if isinstance(answer, dict) and answer.get("message") else ""
            problems.append(f"{url} {_STATUS.get(status, f'answers with HTTP status {status}')}{said}")
        raise SchemasUnavailable("; ".join(problems))

    def _request(self, method: str, url: str, body: Any) -> tuple[int, Any]:
        headers = {"Accept": f"{_CONTENT_TYPE}, application/json", **self._authorization()}
        if body is not None:
            headers["Content-Type"] = _CONTENT_TYPE
        data = None if body is None else json.dumps(body).encode()
        try:
            response = self._pool.request(method, url, body=data, headers=headers, preload_content=False)
            with response:
                content = response.read(_MOST_BYTES + 1, decode_content=True)
        except urllib3.exceptions.HTTPError as error:
            raise SchemasUnavailable(
                f"no schema registry answers on {url.partition('?')[0]} ({_cause(error)})"
            ) from None
        if len(content) > _MOST_BYTES:
            raise SchemasUnavailable(f"{url} answers with more than {_MOST_BYTES} bytes")
        try:
            return response.status, json.loads(content)
        except ValueError:
            return (response.status if response.status >= 300 else _NOT_JSON), None

    def _authorization(self) -> dict[str, str]:
        access = self.access
        if access.token is not None:
            return {"Authorization": f"Bearer {access.token()}"}
        if access.user is not None:
            pair = f"{access.user}:{access.password or ''}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        return {}


_NOT_JSON = -1
_STATUS = {
    _NOT_JSON: "answers, but not like a schema registry; correct the address, for Apicurio it ends in /apis/ccompat/v7",
    401: "does not know us (HTTP status 401); correct the user and password, or the token",
    403: "does not let us (HTTP status 403); have it grant what is asked for",
    404: "has no such address (HTTP status 404); correct it, for Apicurio it ends in /apis/ccompat/v7",
}


def _cause(error: Exception) -> str:
    """The innermost reason that urllib3 gives."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, Exception):
        return _cause(reason)
    return str(error).rpartition("object at ")[2].partition(">: ")[2] or str(reason or error)[:200]


class RegistrySchemas:
    """The ids and schemas of a registry, as `schemas.wire` asks for them, with a cache that outlives the process.

    The cache's folder is the registry's own, made from its address. A registry that was set up anew gives other ids: then
    remove the folder, as the error says.
    """

    def __init__(self, client: RegistryClient, cache_folder: Path | None = None) -> None:
        self.client = client
        self._folder = cache_folder and cache_folder / hashlib.sha256(client.name.encode()).hexdigest()[:16]
        self._schemas: dict[int, Schema] = {}
        self._lock = threading.Lock()  # the lanes of a worker ask once for what all of them need

    def id_of(self, event: str) -> int:
        """The registry's id of the schema that an event is written with; from the cache where the registry does not answer.

        Raises NotRegistered, or SchemasUnavailable where neither knows.
        """
        subject, text = catalog.subject(event), registered_form(catalog.NEWEST[event])
        name = f"{subject}.{hashlib.sha256(text.encode()).hexdigest()[:16]}.id.json"
        with self._lock:
            cached = self._load(name)
            try:
                found = self.client.registered(subject, text)
            except SchemasUnavailable:
                if cached is None:
                    raise
                return int(cached)
            if found is None:
                raise NotRegistered(
                    f"the schema registry {self.client.name} has not the schema of {event} (subject {subject}); "
                    "register it with `pathway-billing schemas register`"
                )
            if cached is not None and int(cached) != found.id:
                raise SchemasUnavailable(
                    f"the schema registry {self.client.name} gives {subject} the id {found.id}, but it was {cached} before: it is "
                    f"another registry, and what was written with its ids cannot be told apart. Bring the old one back, or, "
                    f"where nothing was written with it, remove {self._folder}"
                )
            self._store(name, found.id)
            return found.id

    def schema_of(self, schema_id: int) -> Schema | None:
        """The schema with an id, references resolved. Raises SchemasUnavailable, or Unreadable for one that is not Avro."""
        with self._lock:
            if schema_id not in self._schemas:
                name = f"{schema_id}.avsc"
                schema = self._load(name)
                if schema is None:
                    answer = self.client.schema(schema_id)
                    if answer is None:
                        return None
                    schema = self._resolved(schema_id, answer)
                    self._store(name, schema)
                self._schemas[schema_id] = schema
            return self._schemas[schema_id]

    def _resolved(self, schema_id: int, answer: Mapping[str, Any]) -> Schema:
        kind = answer.get("schemaType") or "AVRO"
        if kind != "AVRO":
            raise Unreadable(f"schema id {schema_id} is {kind}, not Avro; write the record in Avro")
        named: dict[str, Schema] = {}
        self._learn_references(answer, named)
        try:
            return _with_references(json.loads(answer["schema"]), named)
        except (ValueError, KeyError, TypeError):
            raise Unreadable(f"schema id {schema_id} is not JSON in the registry; register it again") from None

    def _learn_references(self, answer: Mapping[str, Any], named: dict[str, Schema]) -> None:
        """The schemas that a schema refers to by name, and those that they refer to."""
        for reference in answer.get("references") or ():
            if reference["name"] in named:
                continue
            if len(named) >= _MOST_REFERENCES:
                raise Unreadable(f"the schema refers to more than {_MOST_REFERENCES} others")
            found = self.client.version(reference["subject"], reference["version"])
            if found is None:
                raise Unreadable(f"the schema refers to {reference['subject']}, which the registry does not have")
            named[reference["name"]] = json.loads(found["schema"])
            self._learn_references(found, named)

    def _load(self, name: str) -> Any:
        if self._folder is None:
            return None
        try:
            return json.loads((self._folder / name).read_text("utf-8"))
        except (OSError, ValueError):
            return None  # not cached, or not whole: it is only a copy

    def _store(self, name: str, value: Any) -> None:
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._folder, suffix=".partial", delete=False) as partial:
                json.dump(value, partial)
            os.replace(partial.name, self._folder / name)
        except OSError as error:
            raise SchemasUnavailable(
                f"cannot keep a schema in {self._folder} ({error.strerror}); correct its permissions, or name another folder with "
                "PATHWAY_BILLING_SCHEMA_REGISTRY_CACHE"
            ) from None


def registered_form(version: catalog.SchemaVersion) -> str:
    """A schema's text as it is registered: its doc strings stay, blanks between do not."""
    return json.dumps(json.loads(catalog.text(version.file)), separators=(",", ":"))


def _with_references(schema: Schema, named: dict[str, Schema]) -> Schema:
    """The schema with each referenced name replaced by what it names, where it stands first; Avro knows it from there on."""
    placed: set[str] = set()

    def place(part: Schema) -> Schema:
        if isinstance(part, str) and part in named:
            if part in placed:
                return part
            placed.add(part)
            return place(named[part])
        if isinstance(part, list):
            return [place(branch) for branch in part]
        if not isinstance(part, dict):
            return part
        out = dict(part)
        for name in ("type", "items", "values"):
            if name in out and out[name] not in ("record", "array", "map", "enum", "fixed"):
                out[name] = place(out[name])
        if isinstance(out.get("fields"), list):
            out["fields"] = [place(inner) for inner in out["fields"]]
        return out

    return place(schema)


def access_to(urls: str, environment: Mapping[str, str]) -> RegistryAccess:
    """How to reach the registry at these addresses (separated by commas), by the variables PATHWAY_BILLING_SCHEMA_REGISTRY_*.

    Raises RegistrySettingsError.
    """
    given = _Given(environment)
    addresses = tuple(url.strip().rstrip("/") for url in urls.split(",") if url.strip())
    for url in addresses:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RegistrySettingsError(f"{url!r} is no address of a schema registry, such as https://registry:8081")
        if parts.username is not None:
            raise RegistrySettingsError(
                f"the address of the schema registry on {parts.hostname} holds a user; set {_PREFIX}USER and {_PREFIX}PASSWORD_FILE"
            )
    if not addresses:
        raise RegistrySettingsError("no address of a schema registry is given")
    user, password = given.secret("USER"), given.secret("PASSWORD")
    token = given.secret("TOKEN")
    if token is not None and user is not None:
        raise RegistrySettingsError(f"{_PREFIX}TOKEN and {_PREFIX}USER are both set; keep one")
    if (user is None) != (password is None):
        raise RegistrySettingsError(f"{_PREFIX}USER and {_PREFIX}PASSWORD (or {_PREFIX}PASSWORD_FILE) belong together")
    access = RegistryAccess(
        addresses,
        user=user,
        password=password,
        token=None if token is None else lambda: given.secret("TOKEN") or "",  # a file is read again
        ca_file=given.path("CA_FILE"),
        certificate_file=given.path("CERTIFICATE_FILE"),
        key_file=given.path("KEY_FILE"),
        timeout_seconds=given.number("TIMEOUT", RegistryAccess.timeout_seconds),
    )
    if any(url.startswith("https:") for url in addresses):
        _ = access.ssl_context  # files that cannot be used are said now, not at some later request
    return access


_PREFIX = "PATHWAY_BILLING_SCHEMA_REGISTRY_"


class _Given:
    """The registry's variables, by their names without the prefix. An empty one is as if it were not set."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str) -> str | None:
        return self._environment.get(_PREFIX + name) or None

    def path(self, name: str) -> Path | None:
        text = self.text(name)
        return Path(text) if text else None

    def number(self, name: str, default: float) -> float:
        text = self.text(name)
        try:
            number = float(text) if text else default
        except ValueError:
            number = 0.0
        if not 0.1 <= number <= 3600:
            raise RegistrySettingsError(f"{_PREFIX}{name} must be a number of seconds from 0.1 to 3600")
        return number

    def secret(self, name: str) -> str | None:
        """The variable, or what is in the file that `<NAME>_FILE` names (without the line's end)."""
        text, file = self.text(name), self.path(f"{name}_FILE")
        if file is None:
            return text
        if text is not None:
            raise RegistrySettingsError(
                f"{_PREFIX}{name} and {_PREFIX}{name}_FILE are both set; keep one, better the file"
            )
        try:
            found = file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise RegistrySettingsError(f"{_PREFIX}{name}_FILE: {file} cannot be used ({reason})") from None
        if not found:
            raise RegistrySettingsError(f"{_PREFIX}{name}_FILE: {file} is empty")
        return found
