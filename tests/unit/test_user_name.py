"""Who acts, for the record, where the machine has no name for the user: a container with a uid of its own."""

import getpass
from contextlib import nullcontext
from typing import Any

import pytest
from click.testing import CliRunner

from streams.commands import dead_letters
from streams.commands.options import user_name


@pytest.fixture(params=[KeyError, OSError])  # the one until Python 3.12, the other since
def nameless(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise request.param("uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", unknown)


def test_a_user_without_a_name_is_an_operator(nameless: None) -> None:
    assert user_name() == "operator"


def test_a_user_with_one_is_called_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ann")
    assert user_name() == "ann"


@pytest.mark.parametrize("what", ["redrive", "discard"])
def test_such_a_user_acts_on_dead_letters(nameless: None, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    acted_by: list[str] = []

    def desk(*_: Any, **named: Any) -> nullcontext[None]:
        acted_by.append(named["acted_by"])
        return nullcontext()

    monkeypatch.setattr(dead_letters, "_log", lambda _settings: ("nowhere:9092", nullcontext()))
    monkeypatch.setattr(dead_letters, "letters", lambda _log: [])
    monkeypatch.setattr(dead_letters, "DeadLetterDesk", desk)
    done = CliRunner().invoke(dead_letters.command, [what, "--all", "--yes", "--because", "a test"])
    assert done.exit_code == 0, done.output
    assert acted_by == ["operator"]
