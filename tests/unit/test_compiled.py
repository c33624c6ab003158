"""Which build of the rules is imported, and what the trained one is shown."""

import sys
from pathlib import Path

import pytest

import schemas
import streams
import streams.adjudication
import streams.agents
import streams.runtime
from streams import compiled, compiling, training


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of builds, and search paths that may be changed."""
    monkeypatch.setattr(compiled, "BUILDS", tmp_path)
    monkeypatch.delenv(compiled.VARIABLE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for package in (schemas, streams, streams.adjudication, streams.agents, streams.runtime):
        monkeypatch.setattr(package, "__path__", list(package.__path__))
    return tmp_path


def taken() -> str:
    """The first folder in which `streams` looks now."""
    compiled.use()
    return streams.__path__[0]


def test_a_build_of_this_source_is_taken_and_a_trained_one_first(builds: Path) -> None:
    source = streams.__path__[0]
    assert taken() == source
    (builds / "another-source").mkdir()
    assert taken() == source
    compiled.build_folder().mkdir()
    assert taken() == str(compiled.build_folder() / "streams")
    compiled.build_folder(trained=True).mkdir()
    assert taken() == str(compiled.build_folder(trained=True) / "streams")
    assert sys.path[-1] == str(compiled.build_folder(trained=True))
    assert schemas.__path__[0] == str(compiled.build_folder(trained=True) / "schemas")


def test_the_source_runs_where_that_is_asked_for(builds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled.build_folder().mkdir()
    monkeypatch.setenv(compiled.VARIABLE, "0")
    assert taken() != str(compiled.build_folder() / "streams")
    assert builds.is_dir()


def test_a_trained_build_says_that_it_needs_gcc(builds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling.sysconfig, "get_config_var", lambda _name: "a-compiler-that-is-not-there -pthread")
    with pytest.raises(SystemExit, match="not gcc"):
        compiling.build(trained=True)
    assert not list(builds.iterdir())


def test_the_training_decides_patients_that_it_holds_and_patients_that_it_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables: list[training.PatientTable] = []

    class Kept(training.PatientTable):
        def __init__(self) -> None:
            super().__init__()
            self.read = 0
            tables.append(self)

        def get(self, key: bytes) -> bytes | None:
            value = super().get(key)
            self.read += value is not None
            return value

    monkeypatch.setattr(training, "PatientTable", Kept)
    training.main()
    (table,) = tables
    assert len(table.values) >= training.PATIENTS
    assert table.read > 100, "patients that are not in the cache any more are read from the table"
