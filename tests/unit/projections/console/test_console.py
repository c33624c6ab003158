"""The console over a real ledger of a made-up year, through its own routes."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import date, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import event, text
from starlette.testclient import TestClient

import streams.adjudication.edits
from projections.console import reading
from projections.console.access import Access, AccessError, RevealLog, read_proxies, read_tokens
from projections.console.app import MOST_NEWS, Console, Ledger
from projections.console.lag import LagMeter
from projections.console.search import condition_of, lines
from projections.console.words import REASONS, adjustment_words
from projections.current_decisions import CurrentDecisions
from projections.ledger.database import LedgerUnavailableError, open_database, open_for_reading
from projections.ledger.projector import Projector
from projections.ledger.tables import decision_versions
from streams.adjudication.days import iso
from streams.adjudication.decisions import Decision
from streams.cli import cli
from streams.events import fact_from_json
from streams.policy_files import load_policy
from tests.facts import agreement, order, s_line, start
from tests.postgres import Postgres
from tests.unit.projections.ledger.log import MemoryLog

TOKEN = "a-token-of-some-length"
HTML = {"accept": "text/html"}


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    return MemoryLog.of_year(patients=60, seed=7)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, log: MemoryLog, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'ledger.sqlite'}"
    else:
        server: Postgres = request.getfixturevalue("postgres")
        url = server.new_database()
    with open_database(url) as database:
        Projector(database, log).project_to_end()  # type: ignore[arg-type]
    return url


@pytest.fixture(scope="module")
def current(log: MemoryLog) -> list[Decision]:
    current = CurrentDecisions()
    for decision in log.decisions:
        current.add(decision)
    return list(current)


class Behind(LagMeter):
    """A Kafka that has so many offsets more than the ledger."""

    def __init__(self, offsets: int) -> None:
        self._offsets = offsets

    def behind(self, positions: Any) -> int:
        return self._offsets


def client_of(
    url: str,
    reveals: Path,
    access: Access = Access(),  # noqa: B008 - frozen
    lag: LagMeter | None = None,
) -> TestClient:
    app = Console(Ledger(url), load_policy(), access, RevealLog(reveals), lag).app()
    return TestClient(app, follow_redirects=False)


@pytest.fixture
def client(url: str, tmp_path: Path) -> Iterator[TestClient]:
    with client_of(url, tmp_path / "reveals.jsonl") as client:
        yield client


def test_every_line_has_a_page_that_a_fresh_fold_agrees_with(client: TestClient, current: list[Decision]) -> None:
    by_reason = {decision.reason: decision for decision in current}
    assert len(by_reason) > 8
    for decision in by_reason.values():
        answer = client.get(f"/decisions/{decision.decision_id}")
        assert answer.status_code == 200
        assert "Equal. The patient" in answer.text, decision.reason
        assert "Not equal." not in answer.text, decision.reason
        if decision.outcome != "VOIDED":
            assert answer.text.count('aria-current="step"') == 1
        assert decision.patient_id not in answer.text


def test_a_date_that_was_right_when_it_was_decided_is_not_promised_any_more(tmp_path: Path) -> None:
    """The decision says from 2024-02-07 on; a line that was paid since keeps that day closed."""
    refused = s_line("B", "S0354", "2024-02-06", received_date="2024-02-10")
    paid = s_line("C", "S0354", "2024-02-07", received_date="2024-02-11")
    facts = [agreement(), order(), start(), s_line("A", "S0353", "2024-01-08"), refused, paid]
    log = MemoryLog.of_facts(fact_from_json(fact) for fact in facts)
    (decision,) = (it for it in log.decisions if it.claim_id == "B")
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    with open_database(url) as database:
        Projector(database, log.reader()).project_to_end()  # type: ignore[arg-type]
    with client_of(url, tmp_path / "r") as client:
        answer = client.get(f"/decisions/{decision.decision_id}")
    assert iso(decision.next_payable_date or 0) == "2024-02-07"
    assert "S0354 from</span> 2024-03-08" in answer.text
    assert "from when on, as things are on record now, stands below" in answer.text


def test_an_older_version_leads_to_the_line_and_says_so(client: TestClient, log: MemoryLog) -> None:
    second = next(decision for decision in log.decisions if decision.version > 1)
    answer = client.get(f"/decisions/{second.supersedes}")
    assert "You followed a link to version" in answer.text
    assert answer.text.count("at offset") >= 2


def test_a_ledger_that_was_tampered_with_is_not_equal(log: MemoryLog, current: list[Decision], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'other.sqlite'}"
    paid = next(decision for decision in current if decision.outcome == "PAID")
    with open_database(url) as database:
        Projector(database, log.reader()).project_to_end()  # type: ignore[arg-type]
        with database.write() as connection:
            changed = decision_versions.update().where(decision_versions.c.decision_id == paid.decision_id)
            connection.execute(changed.values(reason="S0353_ONCE"))
    with client_of(url, tmp_path / "r") as client:
        answer = client.get(f"/decisions/{paid.decision_id}")
        answer_while_behind = client_of(url, tmp_path / "r", lag=Behind(3)).get(f"/decisions/{paid.decision_id}")
    assert "Cannot be told yet." in answer_while_behind.text
    assert "Not equal." not in answer_while_behind.text
    assert "Not equal." in answer.text
    assert "reason is S0353_ONCE on record, and PAID by a fresh fold" in answer.text


@pytest.mark.parametrize("field", ["claim", "patient", "order", "provider", "reason"])
def test_search_finds_by(field: str, client: TestClient, current: list[Decision]) -> None:
    decision = next(decision for decision in current if decision.order_id)
    known = {
        "claim": (decision.claim_id, "claim_id"),
        "patient": (decision.patient_id, "patient_id"),
        "order": (decision.order_id, "order_id"),
        "provider": (decision.billing_npi, "billing_npi"),
        "reason": (decision.reason, "reason"),
    }
    value, name = known[field]
    there = {it.decision_id for it in current if getattr(it, name) == value}
    for where in (field, "all"):
        answer = client.post("/search", data={"q": f" {value} ", "in": where})
        assert answer.status_code == 303
        assert decisions_of(client, answer.headers["location"]) == there
    nothing = client.post("/search", data={"q": "no such thing", "in": field})
    assert "Nothing on record answers to that." in nothing.text


def decisions_of(client: TestClient, address: str) -> set[str]:
    """The decisions on the pages from an address on; that of one line is its own."""
    if address.startswith("/decisions/"):
        return {address.removeprefix("/decisions/")}
    found: set[str] = set()
    while address:
        text = client.get(address).text
        shown = re.findall(r'class="ref" href="/decisions/([0-9a-f]+)"', text)
        assert len(shown) == len(set(shown)), "no line twice"
        assert not found & set(shown), "no line on two pages"
        found |= set(shown)
        following = re.search(r'href="([^"]+)" rel="next"', text)
        address = unescape(following[1]) if following else ""
    return found


def test_addresses_and_titles_name_neither_patient_nor_claim_nor_order(
    client: TestClient, current: list[Decision]
) -> None:
    decision = next(it for it in current if it.order_id and sum(o.order_id == it.order_id for o in current) > 1)
    secrets = [decision.patient_id, decision.claim_id, str(decision.order_id)]
    for secret in secrets:
        address = client.post("/search", data={"q": secret}).headers["location"]
        text = client.get(address).text
        title = re.search(r"<title>(.*)</title>", text)
        assert title is not None
        links = [*re.findall(r'(?:href|action)="([^"]+)"', text), address, title[1]]
        assert not [link for link in links for hidden in secrets if hidden in link]
    in_address = client.get("/search", params={"by": "patient", "q": decision.patient_id}).text
    assert "Type it into the form." in in_address
    assert decision.patient_id not in in_address


def test_a_reason_is_found_by_a_word_of_its_name(client: TestClient, current: list[Decision]) -> None:
    late = {it.decision_id for it in current if it.reason == "UNTIMELY"}
    assert late
    assert decisions_of(client, client.post("/search", data={"q": "too late"}).headers["location"]) == late


def test_the_outcome_narrows_what_was_found(client: TestClient, current: list[Decision]) -> None:
    denied = {it.decision_id for it in current if it.outcome == "DENIED"}
    assert decisions_of(client, "/search?outcome=DENIED") == denied
    assert len(denied) > 10
    assert decisions_of(client, "/search") == {it.decision_id for it in current}


def test_every_reason_and_code_has_words(current: list[Decision]) -> None:
    edits = Path(streams.adjudication.edits.__file__).with_suffix(".py").read_text(encoding="utf-8")
    given = set(re.findall(r'(?:DENIED|BUNDLED|PENDED|outcome), "([A-Z0-9_]+)"', edits))
    assert {"UNTIMELY", "MAX_MONTHS", "DUPLICATE"} <= given
    assert given <= set(REASONS)
    assert {it.reason for it in current} <= set(REASONS)
    for decision in current:
        for cut in decision.adjustments:
            words = adjustment_words(cut.group, cut.carc, cut.rarcs)
            assert not words.startswith("adjustment "), cut
            assert "see the group code" not in words, cut


@pytest.mark.parametrize("condition", ["claim", "patient", "order", "provider", "reason", "outcome", "everything"])
def test_no_search_reads_the_whole_table(condition: str, url: str) -> None:
    with open_for_reading(url) as database, database.read() as connection:
        said: list[str] = []

        def explain(_c: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            if statement.startswith("SELECT claim_lines"):
                how = "EXPLAIN QUERY PLAN" if database.kind == "sqlite" else "EXPLAIN"
                said.extend(str(row[-1]) for row in cursor.execute(f"{how} {statement}", parameters))

        if database.kind == "postgresql":  # a table this small is read whole, unless that is made dear
            connection.execute(text("SET enable_seqscan = off"))
        event.listen(database.engine, "before_cursor_execute", explain)
        known = None if condition in ("outcome", "everything") else condition_of(condition, "x/1")
        lines(connection, known, "PENDED" if condition == "outcome" else "")
    assert said
    everything = condition == "everything"  # in the order of an index, from its end
    whole = [
        it for it in said if "Seq Scan" in it or (it.startswith("SCAN") and not (everything and "USING INDEX" in it))
    ]
    assert whole == []


def test_ids_are_masked_until_revealed_and_the_log_says_who(
    client: TestClient, current: list[Decision], tmp_path: Path
) -> None:
    decision = current[0]
    page = f"/decisions/{decision.decision_id}"
    assert client.post(f"{page}/reveal").headers["location"] == page
    assert decision.patient_id in client.get(page).text
    (entry,) = map(json.loads, (tmp_path / "reveals.jsonl").read_text().splitlines())
    assert (entry["who"], entry["decision_id"]) == ("local (no sign-in)", decision.decision_id)
    assert decision.patient_id not in (tmp_path / "reveals.jsonl").read_text()
    assert os.stat(tmp_path / "reveals.jsonl").st_mode & 0o077 == 0
    client.post(f"{page}/hide")
    hidden = client.get(page).text
    assert decision.patient_id not in hidden
    assert "Logged under the name local (no sign-in)." in hidden


def test_nothing_is_revealed_without_the_log(url: str, current: list[Decision], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    page = f"/decisions/{current[0].decision_id}"
    with client_of(url, tmp_path / "file" / "reveals.jsonl") as client:
        assert client.post(f"{page}/reveal").status_code == 503
        assert current[0].patient_id not in client.get(page).text


def test_raw_events_hide_who_the_patient_is(client: TestClient, log: MemoryLog) -> None:
    record = log.records("claim-received")[0]
    text = client.get(f"/events/claim-received/{record.partition}/{record.offset}").text
    assert record.key is not None
    assert record.key.decode() not in text
    assert "(hidden)" in text
    assert client.get("/events/claim-received/0/999999").status_code == 404


def test_an_event_leads_to_the_decisions_that_it_caused(client: TestClient, log: MemoryLog) -> None:
    second = next(decision for decision in log.decisions if decision.version > 1)
    text = client.get(f"/decisions/{second.decision_id}").text
    causes = re.findall(r'Caused by [^<]*<a href="(/events/[^"]+)"', text)
    assert causes
    assert any(f'href="/decisions/{second.decision_id}"' in client.get(place).text for place in causes)
    (published,) = set(re.findall(r'href="(/events/billing-decisions/[^"]+)"', text)) & {
        f"/events/billing-decisions/{it.partition}/{it.offset}"
        for it in log.records("billing-decisions")
        if second.decision_id.encode() in (it.value or b"")[:64]
    }
    assert f'href="/decisions/{second.decision_id}"' in client.get(published).text


def test_an_event_that_was_refused_says_why(client: TestClient, log: MemoryLog) -> None:
    letter = next(it for it in log.records("dead-letters") if dict(it.headers)["dlq_reason"] == b"WRONG_PAYER")
    named = {name: value.decode() for name, value in letter.headers}
    place = f"{named['dlq_topic']}/{named['dlq_partition']}/{named['dlq_offset']}"
    text = client.get(f"/events/{place}").text
    assert "Refused:</b> is for another payer" in text
    assert "What it led to" not in text


def test_next_billable_is_json_and_never_asks_the_clock(client: TestClient, current: list[Decision]) -> None:
    decision = next(decision for decision in current if decision.outcome == "PAID")
    where = f"/patients/{decision.patient_id}/next-billable"
    asked = {"code": "S0354", "npi": decision.billing_npi, "from": iso(decision.service_date)}
    answer = client.get(where, params=asked).json()
    assert answer["payable_from"] is None or answer["payable_from"] > iso(decision.service_date)
    assert client.get(where, params={"code": "S0354", "npi": decision.billing_npi}).status_code == 400
    for wrong in ({"npi": "1"}, {"from": "soon"}, {"from": "9999-01-01"}, {"code": "99213"}):
        refused = client.get(where, params=asked | wrong)
        assert refused.status_code == 400, wrong
        assert list(refused.json()) == ["error"]
        assert decision.patient_id not in refused.text
    slip = client.get(f"/patients/{decision.patient_id}x/next-billable", params=asked)
    assert slip.status_code == 404
    assert "check the token" in slip.json()["error"]


def test_the_api_and_the_command_answer_alike(client: TestClient, url: str, current: list[Decision]) -> None:
    said = set()
    for decision in current[::6]:
        for code in ("S0353", "S0354"):
            asked = {"code": code, "npi": decision.billing_npi, "from": iso(decision.service_date - 40)}
            by_http = client.get(f"/patients/{decision.patient_id}/next-billable", params=asked).json()
            words = ["--patient", decision.patient_id, *(f"--{name}={value}" for name, value in asked.items())]
            in_environment = {"PATHWAY_BILLING_DATABASE": url}  # it holds a password
            told = CliRunner().invoke(cli, ["next-billable", *words, "--ledger", "--json"], env=in_environment)
            assert told.exit_code == 0, told.output
            assert json.loads(told.stdout) == by_http
            said.add(by_http["payable_from"] is None)
    assert said == {True, False}


def test_the_overview_and_its_headers(client: TestClient) -> None:
    answer = client.get("/", params={"as_of": "2025-06-30"})
    assert "Money by outcome" in answer.text
    assert "'unsafe-inline'" not in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert "style=" not in answer.text
    assert client.get("/healthz").json() == {"ok": True}
    assert client.get("/", headers={"host": "elsewhere.example"}).status_code == 400


def test_without_a_ledger_every_page_says_what_to_do(tmp_path: Path) -> None:
    with client_of(f"sqlite:///{tmp_path / 'none.sqlite'}", tmp_path / "r") as client:
        answer = client.get("/")
        assert answer.status_code == 503
        assert "pathway-billing project" in answer.text
        assert client.get("/healthz").status_code == 503


def test_an_empty_ledger_says_what_to_do(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'empty.sqlite'}"
    open_database(url).close()
    with client_of(url, tmp_path / "r") as client:
        assert "No line is decided yet" in client.get("/").text


def test_a_token_lets_in_under_its_name(url: str, current: list[Decision], tmp_path: Path) -> None:
    access = Access(read_tokens(f"anna:{TOKEN}"))
    with client_of(url, tmp_path / "reveals", access) as client:
        assert client.get("/").status_code == 401
        assert client.get("/", headers=HTML).headers["location"] == "/sign-in"
        assert client.post("/sign-in", data={"token": "wrong"}).status_code == 401
        assert client.get("/", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
        client.post("/sign-in", data={"token": TOKEN})
        assert "anna" in client.get("/").text
        client.post(f"/decisions/{current[0].decision_id}/reveal")
        assert json.loads((tmp_path / "reveals").read_text())["who"] == "anna"
        assert client.post("/sign-out", headers={"origin": "http://evil.example"}).status_code == 403
        client.post("/sign-out")
        assert client.get("/").status_code == 401


def test_the_users_header_counts_from_the_proxy_alone(url: str, tmp_path: Path) -> None:
    for proxy, status in (("testclient", 200), ("10.0.0.1", 401)):
        access = Access(user_header="x-user", trusted_proxies=frozenset((proxy,)))
        with client_of(url, tmp_path / "r", access) as client:
            assert client.get("/", headers={"x-user": "ben"}).status_code == status
            twice = client.get("/", headers=[("x-user", "ben"), ("X-User", "chief")])
            assert twice.status_code == 401, "one of the two came from behind the proxy"


def test_what_one_person_revealed_is_hidden_from_the_next_in_the_same_browser(
    url: str, current: list[Decision], tmp_path: Path
) -> None:
    access = Access(user_header="x-user", trusted_proxies=frozenset(("testclient",)))
    page = f"/decisions/{current[0].decision_id}"
    with client_of(url, tmp_path / "r", access) as client:
        client.post(f"{page}/reveal", headers={"x-user": "anna"})
        assert current[0].patient_id in client.get(page, headers={"x-user": "anna"}).text
        assert current[0].patient_id not in client.get(page, headers={"x-user": "ben"}).text


def test_a_proxy_is_named_by_its_address() -> None:
    access = Access(user_header="x-user", trusted_proxies=read_proxies(("10.0.0.5",)))
    assert access.name_by_proxy("::ffff:10.0.0.5", ["ben"]) == "ben"
    assert access.name_by_proxy("10.0.0.6", ["ben"]) is None
    with pytest.raises(AccessError, match="'gateway' is none"):
        read_proxies(("gateway",))


def test_who_signs_in_comes_to_the_page_that_was_asked_for(url: str, current: list[Decision], tmp_path: Path) -> None:
    with client_of(url, tmp_path / "r", Access(read_tokens(f"anna:{TOKEN}"))) as client:
        page = f"/decisions/{current[0].decision_id}"
        assert client.get(page, headers=HTML).headers["location"] == "/sign-in"
        assert client.post("/sign-in", data={"token": TOKEN}).headers["location"] == page


def test_a_page_that_breaks_is_guarded_and_tells_nothing(
    url: str, current: list[Decision], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError(current[0].patient_id)

    monkeypatch.setattr(reading, "line_page", broken)
    console = Console(Ledger(url), load_policy(), Access(), RevealLog(tmp_path / "r"))
    with TestClient(console.app(https=True), raise_server_exceptions=False) as client:
        answer = client.get(f"/decisions/{current[0].decision_id}")
    assert answer.status_code == 500
    assert "try again" in answer.text
    assert current[0].patient_id not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


def test_static_files_are_kept_by_the_hash_in_their_address(client: TestClient) -> None:
    address = re.search(r'href="(/static/console.css[^"]+)"', client.get("/").text)
    assert address is not None
    assert "immutable" in client.get(address[1]).headers["cache-control"]
    assert client.get("/static/console.css").headers["cache-control"] == "no-store"


def test_a_ledger_that_was_deleted_and_made_again_is_noticed(log: MemoryLog, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with client_of(f"sqlite:///{path}", tmp_path / "r") as client:
        assert client.get("/").status_code == 503
        open_database(f"sqlite:///{path}").close()
        assert "No line is decided yet" in client.get("/").text
        for file in tmp_path.glob("ledger.sqlite*"):
            file.unlink()
        assert client.get("/").status_code == 503
        with open_database(f"sqlite:///{path}") as database:
            Projector(database, log.reader()).project_to_end()  # type: ignore[arg-type]
        assert "Top denial reasons" in client.get("/").text
        assert "No line is decided yet" not in client.get("/").text


def test_what_an_event_says_is_text_and_never_a_page(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'&"
    facts = [
        agreement(),
        order(order_id=f"O{evil}"),
        start(order_id=f"O{evil}"),
        {**s_line(f"A{evil}", "S0353", "2024-01-08"), "patient_control_number": evil},
        {**s_line(f"B{evil}", "S0354", "2024-01-20"), "order_id": f"X{evil}"},
        s_line(f"C{evil}", "S0354", "2024-02-20"),
    ]
    log = MemoryLog.of_facts(map(fact_from_json, facts))
    with open_database(f"sqlite:///{tmp_path / 'evil.sqlite'}") as database:
        Projector(database, log).project_to_end()  # type: ignore[arg-type]
    with client_of(f"sqlite:///{tmp_path / 'evil.sqlite'}", tmp_path / "r") as client:
        pages = ["/", "/search", *(f"/decisions/{it.decision_id}" for it in log.decisions)]
        pages += re.findall(r'href="(/events/[^"]+)"', "".join(client.get(page).text for page in pages))
        assert len(pages) > 8
        for page in pages:
            answer = client.get(page)
            assert answer.status_code == 200, page
            assert "<script>alert" not in answer.text, page
            assert len(re.findall(r"<script", answer.text)) == (page == "/"), page


def test_the_command_refuses_an_open_address_without_authentication(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["console", "--host", "0.0.0.0", "--data", str(tmp_path)])
    assert result.exit_code == 2
    assert "will not listen on 0.0.0.0 without authentication" in result.output
    short = CliRunner().invoke(cli, ["console"], env={"PATHWAY_BILLING_CONSOLE_TOKENS": "anna:short"})
    assert short.exit_code == 2
    assert "short " not in short.output.replace("shorter", "")


def test_a_token_file_that_is_no_text_is_bad_usage(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_bytes(b"\xff\xfe")
    refused = CliRunner().invoke(cli, ["console", "--port", "0", "--token-file", str(tmp_path / "tokens")])
    assert refused.exit_code == 2
    assert "is not a text file in UTF-8" in refused.output


def test_the_command_says_that_its_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(cli, ["console", "--port", str(port), "--data", str(tmp_path)])
    assert result.exit_code == 2
    assert f"cannot listen on 127.0.0.1:{port} (Address already in use). Choose another --port" in result.output


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_the_command_that_is_stopped_has_done_its_work(asked: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "streams.cli", "console", "--port", "0", "--data", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as console:
        assert console.stdout is not None
        address = console.stdout.readline().split()[1]
        with pytest.raises(urllib.error.HTTPError, match="503"):  # it serves: there is no ledger
            urllib.request.urlopen(f"{address}healthz", timeout=10)
        console.send_signal(asked)
        _, errors = console.communicate(timeout=10)
    assert (console.returncode, errors) == (0, "")


class Asking:
    """The part of a request that the feed looks at: the reader goes away after the first round."""

    def __init__(self, seen: str | None = None, header: str | None = None) -> None:
        self.query_params = {} if seen is None else {"seen": seen}
        self.headers = {} if header is None else {"last-event-id": header}
        self._rounds = 0

    async def is_disconnected(self) -> bool:
        self._rounds += 1
        return self._rounds > 1


def feed(url: str, tmp_path: Path, asking: Asking) -> list[dict[str, str]]:
    console = Console(Ledger(url), load_policy(), Access(), RevealLog(tmp_path / "r"))

    async def heard() -> list[str]:
        return [text async for text in console._feed(asking)]  # type: ignore[arg-type]

    events = [dict(it.split(": ", 1) for it in text.strip().split("\n")) for text in asyncio.run(heard())]
    return [event for event in events if "event" in event]


def test_the_feed_goes_on_where_a_reader_stood(
    url: str, log: MemoryLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.console.app.FEED_SECONDS", 0)
    (place,) = feed(url, tmp_path, Asking())
    assert place["event"] == "place", "who comes anew gets what comes from now on"
    ends = json.loads(place["id"])
    before_the_last = {**ends, "0": ends["0"] - 4}
    records = [it for it in log.records("billing-decisions") if it.partition == 0 and it.offset >= ends["0"] - 4]
    for asking in (Asking(seen=json.dumps(before_the_last)), Asking(header=json.dumps(before_the_last))):
        *decisions, place = feed(url, tmp_path, asking)
        assert len(decisions) == len(records) > 0
        assert {it["event"] for it in decisions} == {"decision"}
        assert json.loads(place["id"]) == ends
    all_of_it = feed(url, tmp_path, Asking(seen=json.dumps(dict.fromkeys(ends, 0))))
    assert len(all_of_it) == MOST_NEWS + 1, "the newest hundred"
    assert not any(decision.patient_id in it["data"] for it in all_of_it for decision in log.decisions[:50])


def test_a_feed_without_a_ledger_says_so(tmp_path: Path) -> None:
    (told,) = feed(f"sqlite:///{tmp_path / 'none.sqlite'}", tmp_path, Asking(seen="rubbish"))
    assert told["event"] == "away"


def test_pends_are_counted_by_their_age_up_to_the_policys_limit() -> None:
    as_of = date(2025, 3, 31)
    pended = [(as_of - timedelta(days=age), 100) for age in (-1, 0, 6, 7, 13, 14, 20, 21, 400)]
    assert reading._ages(pended, as_of, 20) == {
        "0 to 6 days": (2, 200),
        "7 to 13 days": (2, 200),
        "14 to 20 days": (2, 200),
        "more than 20 days, the limit": (2, 200),
    }
    assert list(reading._ages([], None, 0)) == ["0 to 0 days", "more than 0 days, the limit"]


def test_a_database_that_is_slow_to_say_nothing_is_waited_for_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, now = 0, 1000.0

    def silent(_url: str) -> None:
        nonlocal asked, now
        asked, now = asked + 1, now + 10
        raise LedgerUnavailableError("the ledger does not answer")

    monkeypatch.setattr("projections.console.app.open_for_reading", silent)
    monkeypatch.setattr("projections.console.app.time.monotonic", lambda: now)
    ledger = Ledger("postgresql://nowhere/ledger")
    for _ in range(3):
        with pytest.raises(LedgerUnavailableError, match="does not answer"):
            ledger.read()
    assert asked == 1
    now += 5
    with pytest.raises(LedgerUnavailableError):
        ledger.read()
    assert asked == 2
