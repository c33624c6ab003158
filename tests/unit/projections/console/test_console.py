"""The console over a real ledger of a made-up year, through its own routes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from projections.console.access import Access, RevealLog, read_tokens
from projections.console.app import Console, Ledger
from projections.current_decisions import CurrentDecisions
from projections.ledger.database import open_database
from projections.ledger.projector import Projector
from projections.ledger.tables import decision_versions
from streams.adjudication.days import iso
from streams.adjudication.decisions import Decision
from streams.cli import cli
from streams.policy_files import load_policy
from tests.unit.projections.ledger.log import MemoryLog

TOKEN = "a-token-of-some-length"
HTML = {"accept": "text/html"}


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    return MemoryLog.of_year(patients=60, seed=7)


@pytest.fixture(scope="module")
def url(log: MemoryLog, tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'ledger.sqlite'}"
    with open_database(url) as database:
        Projector(database, log).project_to_end()  # type: ignore[arg-type]
    return url


@pytest.fixture(scope="module")
def current(log: MemoryLog) -> list[Decision]:
    current = CurrentDecisions()
    for decision in log.decisions:
        current.add(decision)
    return list(current)


def client_of(url: str, reveals: Path, access: Access = Access()) -> TestClient:  # noqa: B008 - frozen
    app = Console(Ledger(url), load_policy(), access, RevealLog(reveals)).app()
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
        assert "Equal. The patient" in answer.text or "Not equal." in answer.text
        assert "Not equal." not in answer.text, decision.reason
        if decision.outcome != "VOIDED":
            assert answer.text.count('aria-current="step"') == 1
        assert decision.patient_id not in answer.text


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
    assert "Not equal." in answer.text
    assert "reason is S0353_ONCE on record, and PAID by a fresh fold" in answer.text


@pytest.mark.parametrize("field", ["claim", "patient", "order", "provider", "reason"])
def test_search_finds_by(field: str, client: TestClient, current: list[Decision]) -> None:
    decision = next(decision for decision in current if decision.order_id)
    value = {
        "claim": decision.claim_id,
        "patient": decision.patient_id,
        "order": decision.order_id,
        "provider": decision.billing_npi,
        "reason": decision.reason,
    }[field]
    for where in (field, "all"):
        assert f"<b>{decision.claim_id}/{decision.line_number}</b>" in client.get(
            "/search", params={"q": value, "in": where}
        ).text or field in ("provider", "reason")
    assert "Nothing found." in client.get("/search", params={"q": "no such thing", "in": field}).text


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
    assert decision.patient_id not in client.get(page).text


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


def test_next_billable_is_json_and_never_asks_the_clock(client: TestClient, current: list[Decision]) -> None:
    decision = next(decision for decision in current if decision.outcome == "PAID")
    where = f"/patients/{decision.patient_id}/next-billable"
    asked = {"code": "S0354", "npi": decision.billing_npi, "from": iso(decision.service_date)}
    answer = client.get(where, params=asked).json()
    assert answer["payable_from"] is None or answer["payable_from"] > iso(decision.service_date)
    assert client.get(where, params={"code": "S0354", "npi": decision.billing_npi}).status_code == 400
    assert client.get(where, params={**asked, "npi": "1"}).status_code == 400


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


def test_the_command_refuses_an_open_address_without_authentication(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["console", "--host", "0.0.0.0", "--data", str(tmp_path)])
    assert result.exit_code == 2
    assert "will not listen on 0.0.0.0 without authentication" in result.output
    short = CliRunner().invoke(cli, ["console"], env={"PATHWAY_BILLING_CONSOLE_TOKENS": "anna:short"})
    assert short.exit_code == 2
    assert "short " not in short.output.replace("shorter", "")
