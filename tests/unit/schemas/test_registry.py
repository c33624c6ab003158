"""What the registry's client sends and believes, what its cache outlives, and how strangers' schemas are read."""

import io
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import catalog, wire
from schemas.codec import Malformed
from schemas.foreign import DoesNotResolve, compile_foreign_reader
from schemas.registry import NotRegistered, RegistryClient, RegistrySchemas, RegistrySettingsError, access_to
from schemas.wire import SchemasUnavailable, Unreadable, WireReader
from tests.certificates import Certificates
from tests.unit import any_event

PREFIX = "PATHWAY_BILLING_SCHEMA_REGISTRY_"


class FakeRegistry(ThreadingHTTPServer):
    """Answers what a test says, and notes what it was asked."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_port}"
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[str] = []
        self.authorizations: list[str | None] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not believe us, or whom we do not, is what a test is about."""


class _Handler(BaseHTTPRequestHandler):
    server: FakeRegistry

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(self.path)
        self.server.authorizations.append(self.headers.get("Authorization"))
        status, answer = self.server.answers.get(self.path, (404, "<html>no such page</html>"))
        body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET  # noqa: N815 - the names that the server looks for

    def log_message(self, *arguments: object) -> None:
        """Nobody reads it."""


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[FakeRegistry]:
    with FakeRegistry(tls) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def bundled_afterwards() -> Iterator[None]:
    yield
    wire.use(None)


def schemas_of(registry: FakeRegistry, cache: Path | None = None, **environment: str) -> RegistrySchemas:
    variables = {PREFIX + name: value for name, value in environment.items()}
    return RegistrySchemas(RegistryClient(access_to(registry.url, {PREFIX + "TIMEOUT": "2", **variables})), cache)


BODY = wire.encode("pend-expired", ("e-1", "pt-1", "A"))[5:]
PEND = json.loads(catalog.text("pend-expired.avsc"))
SUBJECT = "/subjects/pend-expired-value"


class TestIds:
    def test_a_record_bears_the_registrys_id_and_an_old_one_stays_readable(self, registry: FakeRegistry) -> None:
        registry.answers[SUBJECT] = (200, {"id": 7, "version": 1, "subject": "pend-expired-value", "schema": "..."})
        registry.answers["/schemas/ids/7"] = (200, {"schema": json.dumps(PEND)})
        before = wire.encode("pend-expired", ("e-1", "pt-1", "A"))
        wire.use(schemas_of(registry))
        value = wire.encode("pend-expired", ("e-1", "pt-1", "A"))
        assert (value[:5], value[5:]) == (b"\0\0\0\0\7", before[5:])
        reader = WireReader()
        for _ in range(3):
            assert reader.decode("pend-expired", value) == reader.decode("pend-expired", before) == ("e-1", "pt-1", "A")
        wire.encode("pend-expired", ("e-2", "pt-1", "A"))
        assert registry.asked == [SUBJECT, "/schemas/ids/7"], "each was asked for once"

    def test_what_is_not_registered_is_said_with_the_cure(self, registry: FakeRegistry) -> None:
        registry.answers[SUBJECT] = (404, {"error_code": 40401, "message": "Subject not found"})
        with pytest.raises(NotRegistered, match="pathway-billing schemas register"):
            schemas_of(registry).id_of("pend-expired")

    def test_an_id_outlives_the_process_but_not_another_registry(self, registry: FakeRegistry, tmp_path: Path) -> None:
        registry.answers[SUBJECT] = (200, {"id": 7, "version": 1})
        assert schemas_of(registry, tmp_path).id_of("pend-expired") == 7
        registry.answers[SUBJECT] = (503, "")
        assert schemas_of(registry, tmp_path).id_of("pend-expired") == 7
        registry.answers[SUBJECT] = (200, {"id": 8, "version": 1})
        with pytest.raises(SchemasUnavailable, match="another registry"):
            schemas_of(registry, tmp_path).id_of("pend-expired")

    def test_a_spoiled_cache_is_only_a_copy(self, registry: FakeRegistry, tmp_path: Path) -> None:
        registry.answers["/schemas/ids/7"] = (200, {"schema": json.dumps(PEND)})
        assert schemas_of(registry, tmp_path).schema_of(7) == PEND
        (file,) = tmp_path.rglob("7.avsc")
        file.write_text('{"type": "rec')
        registry.answers[SUBJECT] = (200, {"id": 7, "version": 1})
        assert schemas_of(registry, tmp_path).id_of("pend-expired") == 7
        (file,) = tmp_path.rglob("*.id.json")
        file.write_text('{"id": 7}')
        assert schemas_of(registry, tmp_path).id_of("pend-expired") == 7
        assert schemas_of(registry, tmp_path).schema_of(7) == PEND
        del registry.answers["/schemas/ids/7"]
        assert schemas_of(registry, tmp_path).schema_of(7) == PEND


class TestAnswers:
    def test_only_the_registrys_own_word_makes_a_record_unreadable(self, registry: FakeRegistry) -> None:
        wire.use(schemas_of(registry))
        reader = WireReader()
        value = b"\0\0\0\0\x09rest"
        # an address that is wrong, a proxy that answers, a registry in trouble: nothing is known about the record
        for status, answer in [
            (404, "<html>"),
            (200, "<html>"),
            (200, []),
            (200, {"schema": None}),
            (401, {}),
            (403, {}),
            (500, {}),
            (200, "x" * 5_000_000),
        ]:
            registry.answers["/schemas/ids/9"] = (status, answer)
            with pytest.raises(SchemasUnavailable, match=r"127\.0\.0\.1"):
                reader.decode("pend-expired", value)
            assert reader.unknown([("pend-expired", value)]) == {("pend-expired", value[:5])}
        registry.answers["/schemas/ids/9"] = (404, {"error_code": 40403, "message": "Schema 9 not found"})
        with pytest.raises(
            Unreadable, match="schema id 9 is not one of this contract and the schema registry does not have it"
        ):
            reader.decode("pend-expired", value)
        assert reader.unknown([("pend-expired", value)]) == set(), "not asked for every record"

    @pytest.mark.parametrize("answer", [[], {}, {"id": "7", "version": 1}, {"id": 7}, "null"])
    def test_an_answer_that_no_registry_gives_is_no_id(self, registry: FakeRegistry, answer: Any) -> None:
        registry.answers[SUBJECT] = (200, answer)
        registry.answers[f"{SUBJECT}/versions"] = (200, [answer])
        schemas = schemas_of(registry)
        for ask in (lambda: schemas.id_of("pend-expired"), lambda: schemas.client.register("pend-expired-value", "{}")):
            with pytest.raises(SchemasUnavailable, match="answers, but not like a schema registry"):
                ask()

    @pytest.mark.parametrize(
        "spoiled",
        [
            {"schema": "not json"},
            {"schema": "{}", "references": [{"name": "x"}]},
            {"schema": "{}", "references": [{"name": "x", "subject": "spoiled", "version": 1}]},
            {"schema": "[" * 100_000},
        ],
    )
    def test_a_schema_that_cannot_be_parsed_is_the_records_fault(self, registry: FakeRegistry, spoiled: Any) -> None:
        registry.answers["/schemas/ids/7"] = (200, spoiled)
        registry.answers["/subjects/spoiled/versions/1"] = (200, {"schema": "not json"})
        with pytest.raises(Unreadable, match="schema id 7 is not JSON in the registry"):
            schemas_of(registry).schema_of(7)

    def test_a_schema_that_is_registered_later_is_found(
        self, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wire.use(schemas_of(registry))
        reader = WireReader()
        value = b"\0\0\0\0\x09" + BODY
        head = {("pend-expired", value[:5])}
        registry.answers["/schemas/ids/9"] = (404, {"error_code": 40403, "message": "Schema 9 not found"})
        reader.learn(head)
        registry.answers["/schemas/ids/9"] = (200, {"schema": json.dumps(PEND)})
        monkeypatch.setattr(wire, "_ASK_AGAIN_SECONDS", 0)
        assert reader.unknown([("pend-expired", value)]) == head
        reader.learn(head)
        assert reader.decode("pend-expired", value) == ("e-1", "pt-1", "A")

    def test_the_next_address_is_tried(self, registry: FakeRegistry) -> None:
        registry.answers["/schemas/ids/7"] = (200, {"schema": json.dumps(PEND)})
        access = access_to(f"http://127.0.0.1:9, {registry.url}/", {})
        assert RegistrySchemas(RegistryClient(access)).schema_of(7) == PEND

    def test_other_kinds_of_schemas_are_named(self, registry: FakeRegistry) -> None:
        registry.answers["/schemas/ids/7"] = (200, {"schema": "syntax=...", "schemaType": "PROTOBUF"})
        with pytest.raises(Unreadable, match="PROTOBUF, not Avro"):
            schemas_of(registry).schema_of(7)

    def test_what_a_schema_refers_to_is_fetched(self, registry: FakeRegistry) -> None:
        claim = json.loads(catalog.text("claim-received.avsc"))
        lines = next(field for field in claim["fields"] if field["name"] == "lines")
        line, lines["type"]["items"] = lines["type"]["items"], "pathway_billing.events.ClaimLine"
        reference = {"name": "pathway_billing.events.ClaimLine", "subject": "line", "version": 3}
        line["namespace"] = "pathway_billing.events"
        registry.answers["/schemas/ids/7"] = (200, {"schema": json.dumps(claim), "references": [reference]})
        registry.answers["/subjects/line/versions/3"] = (200, {"schema": json.dumps(line)})
        found = schemas_of(registry).schema_of(7)
        compile_foreign_reader(found, "claim-received", {})
        assert next(field for field in found["fields"] if field["name"] == "lines")["type"]["items"] == line


class TestWhoWeAre:
    def test_basic(self, registry: FakeRegistry, tmp_path: Path) -> None:
        (tmp_path / "password").write_text("open sesame\n")
        schemas = schemas_of(registry, USER="ali", PASSWORD_FILE=str(tmp_path / "password"))
        with pytest.raises(SchemasUnavailable) as error:
            schemas.schema_of(7)
        assert registry.authorizations[-1] == "Basic YWxpOm9wZW4gc2VzYW1l"
        assert "sesame" not in str(error.value) + repr(schemas.client.access)

    def test_a_token_is_read_again(self, registry: FakeRegistry, tmp_path: Path) -> None:
        token = tmp_path / "token"
        token.write_text("one")
        schemas = schemas_of(registry, TOKEN_FILE=str(token))
        for text in ("one", "two"):
            token.write_text(text)
            with pytest.raises(SchemasUnavailable):
                schemas.schema_of(7)
            assert registry.authorizations[-1] == f"Bearer {text}"
        for spoil in (lambda: token.write_text(""), token.unlink):  # whoever replaces it is between two steps
            spoil()
            with pytest.raises(SchemasUnavailable, match=r"TOKEN_FILE: .* (is empty|cannot be used)"):
                schemas.schema_of(7)

    @pytest.mark.parametrize(
        ("urls", "variables", "sentence"),
        [
            ("registry:8081", {}, "is no address of a schema registry"),
            ("https://ali:sesame@registry", {}, "holds a user; set"),
            (" , ", {}, "no address"),
            ("http://r", {"USER": "ali"}, "belong together"),
            ("http://r", {"TOKEN": "t", "USER": "ali", "PASSWORD": "sesame"}, "are both set"),
            ("http://r", {"TOKEN": "t", "TOKEN_FILE": "/f"}, "are both set"),
            ("http://r", {"TOKEN_FILE": "/no/such"}, "cannot be used"),
            ("http://r", {"TIMEOUT": "soon"}, "number of seconds"),
            ("https://r", {"CA_FILE": "/no/such"}, r"CA_FILE: /no/such cannot be used \(No such file"),
            (
                "https://r",
                {"CERTIFICATE_FILE": "/no/such"},
                r"CERTIFICATE_FILE: /no/such cannot be used \(No such file",
            ),
            ("https://r", {"KEY_FILE": "/k"}, "KEY_FILE needs .*CERTIFICATE_FILE"),
            ("http://r", {"CA_FILE": "/c", "KEY_PASSWORD": "sesame"}, "CA_FILE, .*KEY_PASSWORD: without effect"),
        ],
    )
    def test_wrong_settings_are_named_without_secrets(
        self, urls: str, variables: dict[str, str], sentence: str
    ) -> None:
        with pytest.raises(RegistrySettingsError, match=sentence) as error:
            access_to(urls, {PREFIX + name: value for name, value in variables.items()})
        assert "sesame" not in str(error.value)


class TestTls:
    """Against a server of Python's own, that asks for certificates; tests/broker/test_registry.py has a real registry."""

    @pytest.fixture
    def ours(self, tmp_path: Path) -> Certificates:
        return Certificates(tmp_path / "ours")

    @pytest.fixture
    def others(self, tmp_path: Path) -> Certificates:
        return Certificates(tmp_path / "others")

    @pytest.fixture
    def mutual(self, ours: Certificates) -> Iterator[FakeRegistry]:
        """It takes whoever has a certificate of ours."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ours.ca_file)
        context.load_cert_chain(ours.server_file)
        context.verify_mode = ssl.CERT_REQUIRED
        with serving(context) as server:
            server.answers["/schemas/ids/7"] = (200, {"schema": json.dumps(PEND)})
            yield server

    def test_a_certificate_of_ours_is_believed(self, mutual: FakeRegistry, ours: Certificates, tmp_path: Path) -> None:
        whole = ours.client_file("worker")
        locked = ours.client_file("locked", key_password="open sesame")
        (tmp_path / "password").write_text("open sesame\n")
        files = {"CA_FILE": str(ours.ca_file)}
        for named in (
            {"CERTIFICATE_FILE": str(whole)},
            {"CERTIFICATE_FILE": str(whole), "KEY_FILE": str(whole)},
            {"CERTIFICATE_FILE": str(locked), "KEY_PASSWORD_FILE": str(tmp_path / "password")},
        ):
            assert schemas_of(mutual, **files, **named).schema_of(7) == PEND

    @pytest.mark.parametrize("password", ["sesame", ""])
    def test_a_wrong_password_of_a_key_is_said_at_once(self, ours: Certificates, password: str) -> None:
        named = {"CERTIFICATE_FILE": ours.client_file("locked", key_password="open sesame"), "KEY_PASSWORD": password}
        with pytest.raises(RegistrySettingsError, match=r"CERTIFICATE_FILE: .*locked\.pem cannot be used") as error:
            access_to("https://r", {PREFIX + name: str(value) for name, value in named.items()})
        assert "sesame" not in str(error.value)

    def test_who_is_not_believed_is_told_apart(
        self, mutual: FakeRegistry, registry: FakeRegistry, ours: Certificates, others: Certificates
    ) -> None:
        right = {"CA_FILE": ours.ca_file, "CERTIFICATE_FILE": ours.client_file("worker")}
        localhost = mutual.url.replace("127.0.0.1", "localhost")
        for url, changed, sentence in (
            (mutual.url, {"CA_FILE": others.ca_file}, "is not believed .self-signed certificate.* with .*_CA_FILE"),
            (mutual.url, {"CA_FILE": ""}, "is not believed"),
            (localhost, {}, "is not believed .Hostname mismatch"),
            (mutual.url, {"CERTIFICATE_FILE": ""}, "it may want a certificate of ours that it believes"),
            (mutual.url, {"CERTIFICATE_FILE": others.client_file("worker")}, "it may want a certificate of ours"),
            (registry.url.replace("http:", "https:"), {}, "no TLS connection comes about .*it may want http"),
        ):
            variables = {PREFIX + name: str(value) for name, value in {**right, **changed}.items()}
            client = RegistryClient(access_to(url, variables))
            with pytest.raises(SchemasUnavailable, match=sentence):
                client.schema(7)
        assert mutual.asked == registry.asked == []
        with pytest.raises(SchemasUnavailable, match="it may want https"):
            RegistryClient(access_to(mutual.url.replace("https:", "http:"), {})).schema(7)


CLAIM = json.loads(catalog.text("claim-received.avsc"))


def with_type(name: str, kind: Any) -> Any:
    return {**CLAIM, "fields": [{**f, "type": kind} if f["name"] == name else f for f in CLAIM["fields"]]}


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        ({"type": "record", "name": "Order", "fields": []}, "the record is a Order, not a ClaimReceived"),
        ({**CLAIM, "fields": CLAIM["fields"][1:]}, "field event_id is missing, and has no default"),
        (with_type("claim_id", "long"), "field claim_id is of type long, not string"),
        (
            with_type("received_date", {"type": "long", "logicalType": "timestamp-millis"}),
            "received_date is of type long",
        ),
        ("string", "the record is of type string"),
        ({"type": "unheard-of"}, "not a valid Avro schema"),
        (
            {**CLAIM, "fields": [*CLAIM["fields"], {"name": "x", "type": {"type": "array", "items": "null"}}]},
            "field x is a list of nothing",
        ),
    ],
)
def test_a_schema_that_is_of_no_use_is_said_once(schema: Any, sentence: str) -> None:
    with pytest.raises(DoesNotResolve, match=sentence):
        compile_foreign_reader(schema, "claim-received", {})


NOTHING = {"type": "record", "name": "Nothing", "fields": [{"name": "of", "type": {"type": "null"}}]}


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ({"type": "array", "items": "null"}, "x"),
        ({"type": "array", "items": {"type": "null"}}, "x"),
        ({"type": "array", "items": {"type": "record", "name": "Empty", "fields": []}}, "x"),
        ({"type": "array", "items": NOTHING}, "x"),
        ({"type": "array", "items": {"type": "fixed", "name": "None", "size": 0}}, "x"),
        (["null", {"type": "array", "items": NOTHING}], "x"),
        ({"type": "map", "values": {"type": "array", "items": "null"}}, r"x\[\]"),
        ({"type": "array", "items": {"type": "array", "items": "null"}}, r"x\[\]"),
        (
            {"type": "record", "name": "Outer", "fields": [{"name": "y", "type": {"type": "array", "items": "null"}}]},
            "x.y",
        ),
        (
            {
                "type": "record",
                "name": "Twice",
                "fields": [
                    {"name": "one", "type": NOTHING},
                    {"name": "y", "type": {"type": "array", "items": "Nothing"}},
                ],
            },
            "x.y",
        ),
    ],
)
def test_a_list_of_nothing_is_refused_at_any_depth(kind: Any, path: str) -> None:
    """Five bytes of such a list can say that a million millions of items follow."""
    schema = {**CLAIM, "fields": [*CLAIM["fields"], {"name": "x", "type": kind}]}
    with pytest.raises(DoesNotResolve, match=f"field {path} is a list of nothing"):
        compile_foreign_reader(schema, "claim-received", {})


@pytest.mark.parametrize(
    "kind",
    [
        {"type": "array", "items": ["null", "int"]},
        {"type": "array", "items": {"type": "enum", "name": "Color", "symbols": ["RED"]}},
        {"type": "map", "values": "null"},
        {"type": "record", "name": "Chain", "fields": [{"name": "next", "type": ["null", "Chain"]}]},
        NOTHING,
    ],
)
def test_other_lists_are_taken(kind: Any) -> None:
    compile_foreign_reader({**CLAIM, "fields": [*CLAIM["fields"], {"name": "x", "type": kind}]}, "claim-received", {})


def test_milliseconds_are_not_taken_for_microseconds() -> None:
    start = json.loads(catalog.text("treatment-started.avsc"))
    start["fields"][-1]["type"]["logicalType"] = "timestamp-millis"
    with pytest.raises(DoesNotResolve, match="recorded_at is a timestamp-millis, not a timestamp-micros"):
        compile_foreign_reader(start, "treatment-started", {})


FOREIGN = {
    **CLAIM,
    "fields": [
        {"name": "extra", "type": {"type": "map", "values": ["null", "double", "bytes"]}, "default": {}},
        *reversed(CLAIM["fields"]),
    ],
}
READ_FOREIGN = compile_foreign_reader(FOREIGN, "claim-received", {})


def named(schema: Any, value: Any) -> Any:
    if isinstance(schema, list):
        return None if value is None else named(schema[1], value)
    if isinstance(schema, dict) and schema["type"] == "record":
        return {f["name"]: named(f["type"], item) for f, item in zip(schema["fields"], value, strict=True)}
    if isinstance(schema, dict) and schema["type"] == "array":
        return [named(schema["items"], item) for item in value]
    return value


@given(any_event.claims)
def test_a_strangers_claim_is_read_as_ours(claim: tuple[Any, ...]) -> None:
    body = io.BytesIO()
    record = {**named(CLAIM, claim), "extra": {"a": 1.5, "b": b"x", "c": None}}
    fastavro.schemaless_writer(body, fastavro.parse_schema(FOREIGN), record)
    assert READ_FOREIGN(b"-----" + body.getvalue(), 5) == claim


@given(st.binary(max_size=300))
def test_any_bytes_are_a_strangers_record_or_malformed(body: bytes) -> None:
    with suppress(Malformed):
        READ_FOREIGN(body, 0)
