"""`pathway-billing demo`: a year of patients through a real Kafka, live, and checked at the end."""

import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console
from sqlalchemy import select

from projections.current_decisions import CurrentDecisions, InconsistentLogError
from projections.decision_log import DecisionLog
from projections.ledger.database import open_for_reading
from projections.ledger.tables import claim_lines
from projections.topic_reader import LogUnavailableError, TopicReader
from streams.adjudication.days import iso
from streams.adjudication.facts import Fact, ProviderAgreement
from streams.commands.project import ledger_problems
from streams.demo.check import Expectation, differences, expect, refused_fact
from streams.demo.scoreboard import Scoreboard
from streams.demo.screen import LiveScreen, PlainScreen, Screen
from streams.demo.stage import Stage
from streams.display import dollars
from streams.generator import history
from streams.policy_files import load_policy
from streams.publisher import Publisher, PublishError
from streams.settings import ProblemError, Settings, settings_options
from streams.topics import DEAD_LETTERS

SOURCE = "/pathway-billing/demo"
YEAR_SECONDS = 12.0  # without --rate: a month a second
_TICK_SECONDS = 0.1
_FACTS_PER_TICK = 1_000
_IDLE_SECONDS = 20.0  # with nothing new for that long, what is missing will not come any more
_SHOWN_DIFFERENCES = 10


@click.command("demo")
@click.option("--patients", "-n", type=click.IntRange(min=1), default=200, show_default=True, help="How many patients.")
@click.option(
    "--seed", "-s", type=click.IntRange(min=0), default=1, show_default=True, help="Another seed, another year."
)
@click.option("--rate", type=click.FloatRange(min=1), help="Facts per second.  [default: the year in 12 seconds]")
@click.option("--fast", is_flag=True, help="As fast as Kafka takes the facts.")
@click.option("--keep", is_flag=True, help="Leave everything running at the end, until Ctrl-C.")
@settings_options("bootstrap_servers", "partitions", "replication_factor", "app_id", "request_timeout_seconds")
def command(patients: int, seed: int, rate: float | None, fast: bool, keep: bool, settings: Settings) -> None:
    """Watch a year of orders, treatment starts and claims go through Kafka and come out decided.

    Starts an embedded Apache Kafka in a temporary folder (or uses the one named with --bootstrap-servers), a worker, a projector
    and the console, and says where they listen. Publishes a made-up year, shows the decisions as they come, and compares them
    at the end with an offline fold of the same facts.
    Exit code 0: all is right; 1: something differs, or could not be finished.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    facts = list(history(patients, seed))
    expected = expect(facts, load_policy())
    per_second = math.inf if fast else rate or len(facts) / YEAR_SECONDS
    with Stage(settings, console.print) as stage:
        try:
            _perform(stage, facts, expected, per_second, console, keep)
        except (PublishError, LogUnavailableError, InconsistentLogError) as error:
            stage.check_alive()  # says more, when that is why
            raise ProblemError(str(error)) from error
        except KeyboardInterrupt:
            console.print("\nStopping what was started.")
            raise
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # stopping already, and it takes a few seconds at most


def _perform(
    stage: Stage, facts: list[Fact], expected: Expectation, per_second: float, console: Console, keep: bool
) -> None:
    """The whole play. Raises ProblemError when what came out of Kafka is not what should have."""
    given = stage.settings.bootstrap_servers
    opening = f"Using the Kafka on {given}." if given else "Starting Apache Kafka."
    console.print(f"A year of {len(expected.patients):,} patients: {len(facts):,} facts. {opening}")
    stage.open_kafka()
    servers, timeout_seconds = stage.bootstrap_servers, stage.settings.request_timeout_seconds
    with (
        Publisher(servers, source=SOURCE, timeout_seconds=timeout_seconds) as publisher,
        DecisionLog(servers, timeout_seconds=timeout_seconds) as decisions,
        TopicReader(servers, DEAD_LETTERS, timeout_seconds=timeout_seconds) as dead_letters,
    ):
        for _ in dead_letters.read_to_end():
            pass  # of others, or of an earlier demonstration on this Kafka
        agreements = [fact for fact in facts if isinstance(fact, ProviderAgreement)]
        # before the worker starts: it reads all agreements that are there, and then decides
        publisher.publish_all(agreements)
        console.print(
            f"Kafka is ready on {servers}, with {len(agreements)} provider agreements. Starting worker, projector and console."
        )
        stage.start_worker()
        stage.start_projector()
        stage.start_console()
        for line in _addresses(stage):
            console.print(line, markup=False, soft_wrap=True)  # to be clicked, or copied

        board = Scoreboard(len(facts), expected)
        board.published = len(agreements)
        with _screen(console) as screen:
            _play(stage, facts, per_second, board, publisher, decisions, dead_letters, screen)
        _take_refused(board, dead_letters.read_to_end())
    _check(stage, board)
    _check_ledger(stage, board)
    if not keep:
        stage.stop_worker()
    console.print(
        _verdict(board), style="bold green" if console.is_terminal else None, soft_wrap=not console.is_terminal
    )
    console.print(_try_next(board, stage, keep), markup=False, soft_wrap=True)  # to be copied
    if keep:
        _keep_running(stage)


def _play(
    stage: Stage,
    facts: list[Fact],
    per_second: float,
    board: Scoreboard,
    publisher: Publisher,
    decisions: DecisionLog,
    dead_letters: TopicReader,
    screen: Screen,
) -> None:
    """Publish the facts and show what comes of them, until all that is expected is there or nothing comes any more."""
    began = changed = time.monotonic()
    first = board.published
    while not board.complete and time.monotonic() - changed < _IDLE_SECONDS:
        before = (board.published, board.decisions, board.refused.total())
        due = min(len(facts), board.published + _FACTS_PER_TICK, first + 1 + _due(began, per_second))
        if board.published < due:
            publisher.publish_all(facts[board.published : due])
            board.published = due
        for decision in decisions.poll(_TICK_SECONDS):
            board.decided(decision)
        _take_refused(board, dead_letters.poll(0))
        now = time.monotonic()
        if before != (board.published, board.decisions, board.refused.total()):
            changed = now
        board.tick(now)
        screen.show(board)
        stage.check_alive()


def _due(began_seconds: float, per_second: float) -> int:
    passed = (time.monotonic() - began_seconds) * per_second
    return sys.maxsize // 2 if math.isinf(passed) else int(passed)


def _take_refused(board: Scoreboard, records: Iterable[Any]) -> None:
    """Count the dead letters of this demonstration's patients."""
    for record in records:
        if record.key is not None and record.key.decode(errors="replace") in board.expected.patients:
            board.refused[refused_fact(record)] += 1


def _screen(console: Console) -> Screen:
    return LiveScreen(console) if console.is_terminal else PlainScreen(console)


def _check(stage: Stage, board: Scoreboard) -> None:
    """Read everything that came out of Kafka anew and compare it. Raises ProblemError with the differences."""
    current = CurrentDecisions()
    published_change_cents = 0
    with DecisionLog(stage.bootstrap_servers, timeout_seconds=stage.settings.request_timeout_seconds) as log:
        for decision in log.read_to_end():
            if decision.patient_id in board.expected.patients:
                published_change_cents += decision.change_cents
                current.add(decision)
    found = list(differences(board.expected, current, published_change_cents, board.refused))
    if found:
        more = [f"and {len(found) - _SHOWN_DIFFERENCES:,} more"] if len(found) > _SHOWN_DIFFERENCES else []
        shown = "\n  ".join((*found[:_SHOWN_DIFFERENCES], *more))
        raise ProblemError(
            f"what came out of Kafka is not what an offline fold of the same facts gives:\n  {shown}\n{stage.worker_words()}"
        )


def _check_ledger(stage: Stage, board: Scoreboard) -> None:
    """Wait until the ledger has every current decision. Raises ProblemError when it does not get there."""
    wanted = {decision.decision_id for decision in board.current}
    deadline = time.monotonic() + _IDLE_SECONDS
    with ledger_problems(), open_for_reading(stage.settings.database_url) as ledger:
        while True:
            with ledger.read() as connection:
                missing = wanted - set(connection.scalars(select(claim_lines.c.decision_id)))
            if not missing:
                return
            stage.check_alive()
            if time.monotonic() > deadline:
                raise ProblemError(
                    f"the ledger has {len(missing):,} current decisions not, or otherwise: {min(missing)}, ..."
                )
            time.sleep(_TICK_SECONDS)


def _verdict(board: Scoreboard) -> str:
    refused = board.refused.total()
    return (
        f"\nChecked: the {len(board.current):,} current decisions on Kafka are those of an offline fold of the same "
        f"{board.facts:,} facts, line by line; the {refused:,} refused {'fact is' if refused == 1 else 'facts are'} in "
        f"the dead letters; all changes add up to the {dollars(board.current.paid_cents)} that are paid now; "
        "and the ledger's SQL tables say the same."
    )


def _try_next(board: Scoreboard, stage: Stage, keep: bool) -> str:
    program = _program()
    if not keep:
        return "\n".join(
            (
                "\nEverything is stopped. Try next:",
                f"  {program} demo --keep                    and look around",
                f"  {program} demo --patients 2000 --fast    ten times as much",
                f"  {program} generate --output facts.jsonl  the facts",
                f"  {program} adjudicate facts.jsonl         decided without Kafka",
            )
        )
    changed_most = max(board.current, key=lambda decision: decision.version)
    return "\n".join(
        (
            "\nEverything runs until Ctrl-C. In another terminal:",
            f"  export PATHWAY_BILLING_BOOTSTRAP_SERVERS={stage.bootstrap_servers}",
            f"  {program} decisions --current",
            f"  {program} decisions --patient {changed_most.patient_id}",
            f"  {program} decisions --follow",
            f"  {program} generate --patients 20 --seed 2 | {program} publish -",
            f"  {program} next-billable --patient {changed_most.patient_id} --npi {changed_most.billing_npi} "
            f"--from {iso(changed_most.service_date)}",
            *_addresses(stage),
            f"The ledger, as SQL tables (docs/ledger.md): {stage.settings.database_url}",
        )
    )


def _addresses(stage: Stage) -> tuple[str, ...]:
    """Where to look, from now until everything stops."""
    return (
        f"The console, in a browser (docs/console.md): {stage.console_url}",
        f"The worker's metrics (docs/metrics.md): {stage.metrics_url}",
        f"The projector's metrics: {stage.projector_metrics_url}",
    )


def _program() -> str:
    """How this command line was called, so that what is shown can be copied."""
    called = sys.argv[0]
    found = shutil.which("pathway-billing")
    if not os.path.isfile(called) or (found and os.path.samefile(found, called)):
        return "pathway-billing"
    return os.path.relpath(called)


def _keep_running(stage: Stage) -> None:
    """Until Ctrl-C, which is how this ends, or until something breaks."""
    try:
        while True:
            stage.check_alive()
            time.sleep(0.5)
    except KeyboardInterrupt:
        click.echo("\nStopping what was started.")
