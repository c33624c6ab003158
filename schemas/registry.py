"""Schema ids from a registry that speaks the Confluent Schema Registry API, kept in memory and on disk.

An id means one schema for ever, so what was once learned is never asked again: a registry that is down stops nothing whose
schema is cached. Subjects follow TopicNameStrategy. Nothing is registered behind anybody's back: `pathway-billing schemas
register` does it.
"""

import base64
import hashlib
import json
import os
import re
import ssl
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast
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


class _NoSuchThing(SchemasUnavailable):
    """The registry knows no such subject, version or schema."""


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
    key_password: str | None = field(default=None, repr=False)
    timeout_seconds: float = 5.0  # of a connection, and of each answer
    attempts: int = 3  # at each URL

    @cached_property
    def ssl_context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer, names checked. Raises RegistrySettingsError where a file cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise _unusable("CA_FILE", self.ca_file, error) from None
        if self.certificate_file:
            try:
                # a function: with None OpenSSL would ask on the terminal for the password of an encrypted key
                context.load_cert_chain(self.certificate_file, self.key_file, lambda: self.key_password or "")
            except OSError as error:
                named = f"{self.certificate_file}{f' with {self.key_file}' if self.key_file else ''}"
                raise _unusable("CERTIFICATE_FILE", named, error) from None
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
        return self._found("GET", f"/schemas/ids/{schema_id}", has={"schema": str})

    def version(self, subject: str, version: int | str) -> Mapping[str, Any] | None:
        """A version of a subject ("latest" for the newest)."""
        path = f"/subjects/{quote(subject, safe='')}/versions/{version}"
        return self._found("GET", path, has={"schema": str})

    def registered(self, subject: str, schema: str) -> Registered | None:
        """Where this very schema stands under the subject."""
        path = f"/subjects/{quote(subject, safe='')}"
        found = self._found("POST", path, {"schema": schema}, has={"version": int, "id": int})
        return None if found is None else Registered(subject, found["version"], found["id"])

    def register(self, subject: str, schema: str) -> int:
        """Register a schema, or find it registered: its id. Raises SchemasUnavailable also where the registry refuses it."""
        path = f"/subjects/{quote(subject, safe='')}/versions"
        return cast(int, self._ask("POST", path, {"schema": schema}, has={"id": int})["id"])

    def level(self, subject: str) -> str | None:
        """The subject's compatibility level, else the one that holds for all."""
        for path in (f"/config/{quote(subject, safe='')}", "/config"):
            found = self._found("GET", path, has={"compatibilityLevel": str})
            if found is not None:
                return cast(str, found["compatibilityLevel"])
        return None

    def set_level(self, subject: str, level: str) -> None:
        self._ask("PUT", f"/config/{quote(subject, safe='')}", {"compatibility": level}, has={})

    def compatible(self, subject: str, schema: str) -> tuple[bool, list[str]]:
        """Whether the registry would take a schema after all versions of the subject, and its words if not."""
        path = f"/compatibility/subjects/{quote(subject, safe='')}/versions?verbose=true"
        found = self._found("POST", path, {"schema": schema}, has={"is_compatible": bool})
        if found is None:
            return True, []  # a subject without versions takes anything
        return found["is_compatible"], [str(message) for message in found.get("messages") or ()]

    def _found(self, method: str, path: str, body: Any = None, *, has: Mapping[str, type]) -> Mapping[str, Any] | None:
        """What `_ask` finds; None where the registry says that there is no such thing."""
        try:
            return self._ask(method, path, body, has=has)
        except _NoSuchThing:
            return None

    def _ask(self, method: str, path: str, body: Any = None, *, has: Mapping[str, type]) -> Mapping[str, Any]:
        """The registry's answer, a JSON object that has these members of these types.

        Raises _NoSuchThing where the registry knows that there is none, SchemasUnavailable for everything else: an answer
        that is not of this form came from somebody else.
        """
        problems = []
        for url in self.access.urls:
            try:
                status, answer = self._request(method, url + path, body)
            except SchemasUnavailable as error:
                problems.append(str(error))
                continue
            if 200 <= status < 300:
                if isinstance(answer, dict) and all(isinstance(answer.get(name), kind) for name, kind in has.items()):
                    return answer
                status = _NOT_A_REGISTRY
            code = answer.get("error_code") if isinstance(answer, dict) else None
            if code in _NOT_FOUND:
                raise _NoSuchThing(f"{url} has no such thing (error code {code})")
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
            raise SchemasUnavailable(_why_no_answer(url, error)) from None
        if len(content) > _MOST_BYTES:
            raise SchemasUnavailable(f"{url} answers with more than {_MOST_BYTES} bytes")
        try:
            return response.status, json.loads(content)
        except ValueError:
            return (response.status if response.status >= 300 else _NOT_A_REGISTRY), None

    def _authorization(self) -> dict[str, str]:
        access = self.access
        if access.token is not None:
            try:
                return {"Authorization": f"Bearer {access.token()}"}
            except RegistrySettingsError as error:  # its file is being replaced: there may be a token in a moment
                raise SchemasUnavailable(str(error)) from None
        if access.user is not None:
            pair = f"{access.user}:{access.password or ''}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        return {}


_NOT_A_REGISTRY = -1
_STATUS = {
    _NOT_A_REGISTRY: "answers, but not like a schema registry; correct the address, for Apicurio it ends in /apis/ccompat/v7",
    401: "does not know us (HTTP status 401); correct the user and password, or the token",
    403: "does not let us (HTTP status 403); have it grant what is asked for",
    404: "has no such address (HTTP status 404); correct it, for Apicurio it ends in /apis/ccompat/v7",
}


def _why_no_answer(url: str, error: Exception) -> str:
    """A sentence that tells apart who does not listen, whom we do not believe, and who does not believe us."""
    where = url.partition("?")[0]
    cause = _innermost(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"the certificate of the schema registry on {where} is not believed ({cause.verify_message}); name the authority "
            f"that signed it with {_PREFIX}CA_FILE, and the registry by a name that its certificate has"
        )
    if isinstance(cause, ssl.SSLError):
        reason = (cause.reason or "it ends the connection").replace("_", " ").lower()
        cure = (
            "correct the address: it may want http"
            if reason in _NOT_TLS
            else f"it may want a certificate of ours that it believes ({_PREFIX}CERTIFICATE_FILE)"
        )
        return f"no TLS connection comes about with the schema registry on {where} ({reason}); {cure}"
    said = _WHO_SAYS.sub("", str(cause))[:200]
    perhaps = "; it may want https" if url.startswith("http:") and isinstance(cause, ConnectionError) else ""
    return f"no schema registry answers on {where} ({said}){perhaps}"


_NOT_TLS = ("wrong version number", "record layer failure", "packet length too long", "http request")
_WHO_SAYS = re.compile(r"^HTTPS?Connection(Pool)?\([^)]*\): ")


def _innermost(error: BaseException) -> BaseException:
    """What urllib3 wraps: its errors have a reason, or the first cause as an argument, or as their context."""
    inner = getattr(error, "reason", None)
    if not isinstance(inner, BaseException):
        inner = next((argument for argument in error.args if isinstance(argument, BaseException)), None)
    return error if inner is None else _innermost(inner)


def _unusable(name: str, what: object, error: OSError) -> RegistrySettingsError:
    reason = error.strerror or type(error).__name__
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "not a PEM file that fits").replace("_", " ").lower()
    return RegistrySettingsError(f"{_PREFIX}{name}: {what} cannot be used ({reason})")


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
            cached = self._load(name, int)
            try:
                found = self.client.registered(subject, text)
            except SchemasUnavailable:
                if cached is None:
                    raise
                return cast(int, cached)
            if found is None:
                raise NotRegistered(
                    f"the schema registry {self.client.name} has not the schema of {event} (subject {subject}); "
                    "register it with `pathway-billing schemas register`"
                )
            if cached is not None and cached != found.id:
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
                schema = self._load(name, object)
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
        try:
            self._learn_references(answer, named)
            return _with_references(json.loads(answer["schema"]), named)
        except (ValueError, KeyError, TypeError, RecursionError):
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

    def _load(self, name: str, kind: type) -> Any:
        if self._folder is None:
            return None
        try:
            found = json.loads((self._folder / name).read_text("utf-8"))
        except (OSError, ValueError):
            return None  # not cached, or not whole: it is only a copy
        return found if isinstance(found, kind) else None

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
    given.only_if(any(url.startswith("https:") for url in addresses), _TLS_SETTINGS)
    access = RegistryAccess(
        addresses,
        user=user,
        password=password,
        token=None if token is None else lambda: given.secret("TOKEN") or "",  # a file is read again
        ca_file=given.path("CA_FILE"),
        certificate_file=given.path("CERTIFICATE_FILE"),
        key_file=given.path("KEY_FILE"),
        key_password=given.secret("KEY_PASSWORD"),
        timeout_seconds=given.number("TIMEOUT", RegistryAccess.timeout_seconds),
    )
    if access.certificate_file is None and (access.key_file or access.key_password):
        raise RegistrySettingsError(f"{_PREFIX}KEY_FILE needs {_PREFIX}CERTIFICATE_FILE, the certificate of that key")
    if any(url.startswith("https:") for url in addresses):
        _ = access.ssl_context  # files that cannot be used are said now, not at some later request
    return access


_PREFIX = "PATHWAY_BILLING_SCHEMA_REGISTRY_"
_TLS_SETTINGS = ("CA_FILE", "CERTIFICATE_FILE", "KEY_FILE", "KEY_PASSWORD", "KEY_PASSWORD_FILE")


class _Given:
    """The registry's variables, by their names without the prefix. An empty one is as if it were not set."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str) -> str | None:
        return self._environment.get(_PREFIX + name) or None

    def path(self, name: str) -> Path | None:
        text = self.text(name)
        return Path(text) if text else None

    def only_if(self, secure: bool, names: tuple[str, ...]) -> None:
        """A setting that would have no effect is a mistake that leaves somebody believing in a protection."""
        named = [_PREFIX + name for name in names if self.text(name)]
        if named and not secure:
            raise RegistrySettingsError(
                f"{', '.join(named)}: without effect, because the schema registry's address is not https; correct the address, or "
                "remove them"
            )

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
