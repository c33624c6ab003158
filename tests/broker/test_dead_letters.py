"""`pathway-billing dead-letters` on a real Kafka with a real worker: listed, shown, sent again, discarded, and accounted for."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from streams.adjudication.facts import Claim
from streams.committed_log import CommittedLog
from streams.dead_letters import DeadLetterDesk, Letter, letters
from streams.events import fact_from_json, fact_to_avro
from streams.settings import ProblemError
from tests import facts
from tests.broker.billing_system import BillingSystem, billing_system
from tests.broker.harness import wait_until

pytestmark = pytest.mark.broker

BECAUSE = ("--because", "corrected with the clinic", "--by", "ann")
BAD_NPI = "1234567890"


def claim(number: int) -> dict[str, Any]:
    """A valid claim of a patient of its own, in JSON."""
    return facts.claim(f"C{number}", [facts.line(1, "S0353", "2024-01-08")], event_id=f"claim-{number}") | {
        "patient_id": f"patient-{number:04}"
    }


def invalid(number: int) -> tuple[bytes, bytes]:
    """Key and value of a claim that the rules cannot work with: its NPI fails the check digit."""
    good = fact_from_json(claim(number))
    assert isinstance(good, Claim)
    _, key, value = fact_to_avro(good._replace(billing_npi=BAD_NPI))
    return key, value


@pytest.fixture(scope="module")
def system() -> Iterator[BillingSystem]:
    """A worker that has refused seven records."""
    with billing_system() as running:
        running.start_worker()
        with KafkaProducer(bootstrap_servers=running.broker.bootstrap_servers) as producer:
            for number in range(5):
                key, value = invalid(number)
                producer.send(
                    "claim-received", value, key, [("ce_id", f"claim-{number}".encode()), ("traceparent", b"00-1")]
                )
            producer.send("treatment-started", b"junk of patient-0009", b"patient-0009")
            key, value = invalid(6)
            producer.send("claim-received", fact_to_avro(fact_from_json(claim(6)))[2], b"another-key")
        wait_until(lambda: len(listed(running)) == 7, 60, "seven dead letters")
        yield running


def listed(system: BillingSystem, *filters: str) -> list[dict[str, Any]]:
    done = system.run("dead-letters", "list", "--json", *filters)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def of_event(system: BillingSystem, number: int) -> dict[str, Any]:
    return listed(system, "--event-id", f"claim-{number}")[0]


def refused(system: BillingSystem, number: int) -> Letter:
    with system.log() as log:
        return next(letter for letter in letters(log) if letter.event_id == f"claim-{number}")


def test_they_are_listed_by_what_is_known_of_them_and_no_content_is_told(system: BillingSystem) -> None:
    everything = listed(system)
    assert {letter["state"] for letter in everything} == {"OPEN"}
    assert {letter["reason"] for letter in everything} == {"INVALID", "UNREADABLE", "KEY_MISMATCH"}
    assert len(listed(system, "--reason", "INVALID")) == 5
    assert len(listed(system, "--topic", "treatment-started")) == 1
    assert len(listed(system, "--reason", "UNREADABLE", "--reason", "KEY_MISMATCH")) == 2
    assert listed(system, "--since", "2100-01-01") == []
    assert len(listed(system, "--since", "2000-01-01", "--until", "2100-01-01")) == 7
    one = everything[0]
    topic, _, place = one["letter"].partition("/")
    partition, _, offset = place.partition("@")
    assert [one] == listed(system, "--topic", topic, "--partition", partition, "--offset", offset)

    plain = system.run("dead-letters", "list")
    assert "7 dead letters: 7 open, 0 redriven, 0 discarded" in plain.stderr
    unreadable = listed(system, "--reason", "UNREADABLE")[0]["letter"]
    masked = system.run("dead-letters", "show", unreadable)
    assert "patient-" not in plain.stdout + json.dumps(everything) + masked.stdout
    revealed = json.loads(system.run("dead-letters", "show", unreadable, "--reveal", "--json").stdout)
    assert revealed["key"] == "patient-0009"
    assert bytes.fromhex(revealed["value"]) == b"junk of patient-0009"
    shown = json.loads(system.run("dead-letters", "show", of_event(system, 0)["letter"], "--reveal", "--json").stdout)
    assert shown["fact"]["billing_npi"] == BAD_NPI


def test_one_that_is_corrected_is_decided_and_a_second_time_is_noticed(system: BillingSystem, tmp_path: Path) -> None:
    letter = of_event(system, 0)["letter"]
    file = tmp_path / "fact.json"
    file.write_text(json.dumps(claim(0) | {"billing_npi": BAD_NPI}))
    wrong = system.run("dead-letters", "redrive", letter, "--with", str(file), *BECAUSE)
    assert wrong.returncode == 2
    assert "billing_npi" in wrong.stderr
    file.write_text(json.dumps({"type": "pend-expired", "event_id": "x", "patient_id": "p", "claim_id": "c"}))
    wrong = system.run("dead-letters", "redrive", letter, "--with", str(file), *BECAUSE)
    assert wrong.returncode == 2
    assert "type: must be claim-received" in wrong.stderr
    assert of_event(system, 0)["state"] == "OPEN"

    file.write_text(json.dumps(claim(0), indent=1))
    done = system.run("dead-letters", "redrive", letter, "--with", str(file), *BECAUSE, "--json")
    assert done.returncode == 0, done.stderr
    action = json.loads(done.stdout)
    assert (action["action"], action["acted_by"], action["corrected"]) == ("REDRIVEN", "ann", True)
    wait_until(lambda: [d for d in system.decisions() if d["claim_id"] == "C0"], 30, "its decision")
    assert [d["caused_by"] for d in system.decisions() if d["claim_id"] == "C0"] == ["claim-0"]

    again = system.run("dead-letters", "redrive", letter, "--with", str(file), *BECAUSE)
    assert again.returncode == 1
    assert "was redriven by ann already, because: corrected with the clinic" in again.stderr
    assert len(of_event(system, 0)["actions"]) == 1
    anyway = system.run("dead-letters", "redrive", letter, "--with", str(file), *BECAUSE, "--again")
    assert anyway.returncode == 0, anyway.stderr
    assert len(of_event(system, 0)["actions"]) == 2
    assert system.wait_decided().ok
    assert len([d for d in system.decisions() if d["claim_id"] == "C0"]) == 1, "a repeat has no effect"


def test_an_editor_corrects_one(system: BillingSystem, tmp_path: Path) -> None:
    editor = tmp_path / "editor.py"
    editor.write_text(
        "import pathlib, sys\nfile = pathlib.Path(sys.argv[1])\n"
        f"file.write_text(file.read_text().replace({BAD_NPI!r}, '1234567893'))\n"
    )
    letter = of_event(system, 1)["letter"]
    done = edit(system, letter, f"{sys.executable} {editor}")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: [d for d in system.decisions() if d["claim_id"] == "C1"], 30, "its decision")
    editor.write_text("")
    unchanged = edit(system, of_event(system, 2)["letter"], f"{sys.executable} {editor}")
    assert unchanged.returncode == 1
    assert "nothing was changed, so nothing is sent" in unchanged.stderr
    failed = edit(system, of_event(system, 2)["letter"], "false")
    assert failed.returncode == 1
    assert "the editor failed, so nothing is sent" in failed.stderr
    assert of_event(system, 2)["state"] == "OPEN"


def edit(system: BillingSystem, letter: str, editor: str) -> Any:
    from tests.broker import command_line

    return command_line.run(
        *("dead-letters", "redrive", letter, "--edit", *BECAUSE),
        home=system.home,
        PATHWAY_BILLING_BOOTSTRAP_SERVERS=system.broker.bootstrap_servers,
        EDITOR=editor,
        VISUAL=editor,
    )


def test_one_that_is_sent_as_it_came_is_refused_again_under_a_new_name(system: BillingSystem) -> None:
    letter = of_event(system, 3)
    done = system.run("dead-letters", "redrive", letter["letter"], *BECAUSE)
    assert done.returncode == 0, done.stderr
    both = wait_until(lambda: len(found := listed(system, "--event-id", "claim-3")) == 2 and found, 30, "a new letter")
    states = {found["letter"]: (found["state"], found["redriven_from"]) for found in both}
    assert states.pop(letter["letter"]) == ("REDRIVEN", None)
    assert list(states.values()) == [("OPEN", letter["letter"])]
    shown = [
        json.loads(system.run("dead-letters", "show", found["letter"], "--reveal", "--json").stdout) for found in both
    ]
    assert shown[0]["fact"] == shown[1]["fact"]
    assert all(found["headers"]["traceparent"] == "00-1" for found in shown), "what came with it is kept"


def test_many_are_discarded_by_a_filter_and_counted(system: BillingSystem) -> None:
    asked = system.run("dead-letters", "discard", "--reason", "UNREADABLE", *BECAUSE)
    assert asked.returncode == 2
    assert "say --yes" in asked.stderr
    done = system.run(
        "dead-letters", "discard", "--reason", "UNREADABLE", "--reason", "KEY_MISMATCH", "--yes", *BECAUSE
    )
    assert done.returncode == 0, done.stderr
    assert len(listed(system, "--state", "DISCARDED")) == 2
    counted = json.loads(system.run("dead-letters", "count", "--json").stdout)
    assert counted["letters"] == len(listed(system))
    assert counted["open"] == len(listed(system, "--state", "OPEN"))
    textfile = system.home / "dead-letters.prom"
    metrics = system.run("dead-letters", "count", "--prometheus", "--textfile", str(textfile)).stdout
    labels = 'reason="UNREADABLE",state="{}",topic="treatment-started"'
    for state, count in (("DISCARDED", 1), ("OPEN", 0)):  # what none is open of is said, too
        assert f"pathway_billing_dead_letters_now{{{labels.format(state)}}} {count}.0" in metrics.splitlines()
    assert textfile.read_text() == metrics


def test_of_two_who_work_at_once_one_is_told(system: BillingSystem) -> None:
    letter = refused(system, 4)

    def desk(log: CommittedLog, who: str) -> DeadLetterDesk:
        return DeadLetterDesk(system.broker.bootstrap_servers, log, acted_by=who, because="x", timeout_seconds=10)

    with system.log() as one, system.log() as other, desk(one, "ann") as first, desk(other, "bob") as second:
        second.discard(letter)
        with pytest.raises(ProblemError, match="somebody else works on the dead letters"):
            first.redrive(letter)
    found = of_event(system, 4)
    assert [(action["action"], action["acted_by"]) for action in found["actions"]] == [("DISCARDED", "bob")]


def test_wrong_calls_are_said(system: BillingSystem) -> None:
    for arguments, sentence in (
        (("redrive", *BECAUSE), "name the letters to redrive"),
        (("redrive", "claim-received/0@999999", *BECAUSE), "there is no dead letter claim-received/0@999999"),
        (("redrive", "claim-received", *BECAUSE), "topic/partition@offset"),
        (("discard", "claim-received/0@1"), "--because"),
        (("redrive", "--all", "--edit", *BECAUSE), "a correction is for one letter"),
    ):
        done = system.run("dead-letters", *arguments)
        assert done.returncode == 2, done.stderr
        assert sentence in done.stderr


def test_verification_still_accounts_for_every_letter(system: BillingSystem) -> None:
    report = system.wait_decided()
    assert report.ok, report.findings.first
    assert report.counts.dead_letters == len(listed(system))
