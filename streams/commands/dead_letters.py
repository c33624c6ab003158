"""`pathway-billing dead-letters`: look at the records that could not be used, send them again, or discard them."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click
from prometheus_client import generate_latest

from schemas.json_form import rfc3339_from_micros
from streams import metrics
from streams.adjudication.facts import Fact
from streams.commands.options import user_name
from streams.commands.textfile import textfile_option, write_textfile
from streams.committed_log import CommittedLog
from streams.dead_letters import (
    OPEN,
    STATES,
    Content,
    DeadLetterDesk,
    DoneBeforeError,
    Letter,
    Place,
    content,
    letters,
)
from streams.display import masked
from streams.events import (
    BadEvent,
    BadLine,
    Unreadable,
    action_to_json,
    fact_to_json,
    read_jsonl,
    topic_of,
    unchecked_fact_from_avro,
)
from streams.runtime.dead_letters import Reason
from streams.settings import ProblemError, Settings, UsageError, kafka_options, resolve_bootstrap_servers
from streams.topics import INPUT_TOPICS

_SHOWN_BYTES = 4_096


class _Letter(click.ParamType):
    """topic/partition@offset"""

    name = "letter"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:
        if isinstance(value, Place):
            return value
        try:
            return Place.parse(str(value))
        except ValueError:
            self.fail(f"{value!r} is not of the form topic/partition@offset, such as claim-received/3@17.", param, ctx)


class Filter(NamedTuple):
    """Which letters are meant; what is not given does not matter."""

    reasons: tuple[str, ...]
    topics: tuple[str, ...]
    partition: int | None
    offset: int | None
    event_id: str | None
    since: datetime | None
    until: datetime | None
    states: tuple[str, ...]

    def matches(self, letter: Letter) -> bool:
        at = datetime.fromtimestamp(letter.refused_at_ms / 1000, UTC)
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.topics or letter.place.topic in self.topics)
            and (self.partition is None or letter.place.partition == self.partition)
            and (self.offset is None or letter.place.offset == self.offset)
            and (self.event_id is None or letter.event_id == self.event_id)
            and (self.since is None or at >= self.since.replace(tzinfo=UTC))
            and (self.until is None or at < self.until.replace(tzinfo=UTC))
            and (not self.states or letter.state in self.states)
        )


_TIME = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%SZ"])
_FILTERS = (
    click.option(
        "--reason", "reasons", type=click.Choice([r.value for r in Reason]), multiple=True, help="Of this reason."
    ),
    click.option("--topic", "topics", type=click.Choice(INPUT_TOPICS), multiple=True, help="Refused from this topic."),
    click.option("--partition", type=click.IntRange(min=0), help="Refused from this partition."),
    click.option("--offset", type=click.IntRange(min=0), help="Refused at this offset."),
    click.option("--event-id", metavar="ID", help="With this event id in its headers."),
    click.option("--since", type=_TIME, help="Refused at this time (UTC) or later."),
    click.option("--until", type=_TIME, help="Refused before this time (UTC)."),
)


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def _acting(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        (
            click.argument("places", type=_Letter(), nargs=-1, metavar="[LETTER]..."),
            click.option("--all", "every", is_flag=True, help="All open ones, or those that the filters name."),
            click.option("--because", required=True, metavar="TEXT", help="Why, for the record; no patient's data."),
            click.option("--by", "acted_by", metavar="NAME", help="Who, for the record.  [default: the user's name]"),
            click.option("--again", is_flag=True, help="Also where something was done about it already."),
            click.option("--yes", is_flag=True, help="Do not ask for confirmation."),
            click.option("--json", "as_json", is_flag=True, help="Print each action as a JSON line."),
        )
    ):
        command = option(command)
    return command


@click.group("dead-letters")
def command() -> None:
    """Records that could not be used: list them, look at one, send it again (corrected or as it is), or discard it.

    A letter is named by where the refused record stands, such as claim-received/3@17. Nothing is ever deleted: what is done is
    published to dead-letter-actions, with who, when and why.
    """


@command.command("list")
@_filters
@click.option("--state", "states", type=click.Choice(STATES), multiple=True, help="How it stands.  [default: any]")
@click.option("--json", "as_json", is_flag=True, help="JSONL, with what was done about each.")
@kafka_options
def list_command(as_json: bool, settings: Settings, **named: Any) -> None:
    """List dead letters and how they stand. No content is shown, ids alone."""
    wanted = Filter(**named)
    counted: Counter[str] = Counter()
    with _log(settings)[1] as log:
        for letter in letters(log):
            if not wanted.matches(letter):
                continue
            counted[letter.state] += 1
            click.echo(json.dumps(_json(letter), ensure_ascii=False) if as_json else _row(letter))
    if not as_json:
        told = ", ".join(f"{counted[state]:,} {state.lower()}" for state in STATES)
        click.echo(f"{counted.total():,} dead letters: {told}", err=True)


@command.command("count")
@_filters
@click.option("--json", "form", flag_value="json", help="Print one JSON object.")
@click.option(
    "--prometheus", "form", flag_value="prometheus", help="In Prometheus' text format, for a textfile collector."
)
@textfile_option
@kafka_options
def count_command(form: str | None, textfile: Path | None, settings: Settings, **named: Any) -> None:
    """Count dead letters by state, reason and topic."""
    if textfile is not None and any(value not in (None, ()) for value in named.values()):
        raise UsageError("--textfile tells how all dead letters stand. Leave the filters out.")
    wanted = Filter(**named, states=())
    with _log(settings)[1] as log:
        counted = Counter(
            (letter.state, letter.reason, letter.place.topic) for letter in letters(log) if wanted.matches(letter)
        )
    if form == "prometheus" or textfile is not None:
        _measure(counted)
    if textfile is not None:
        write_textfile(textfile, metrics.DEAD_LETTER_COUNT_REGISTRY)
    if form == "json":
        rows = [{"state": s, "reason": r, "topic": t, "letters": n} for (s, r, t), n in sorted(counted.items())]
        click.echo(json.dumps({"letters": counted.total(), "open": _of_state(counted, OPEN), "by": rows}))
    elif form == "prometheus":
        click.echo(generate_latest(metrics.DEAD_LETTER_COUNT_REGISTRY).decode(), nl=False)
    else:
        for (state, reason, topic), count in sorted(counted.items()):
            click.echo(f"{count:>8,}  {state:<9}  {reason:<12}  {topic}")
        click.echo(f"{counted.total():>8,}  dead letters, {_of_state(counted, OPEN):,} of them open")


def _measure(counted: Counter[tuple[str, str, str]]) -> None:
    """How letters stand, as metrics. What none is open of is shown as 0: an absent number would say that nobody counted."""
    for reason in Reason:
        for topic in INPUT_TOPICS:
            metrics.DEAD_LETTERS_NOW.labels(OPEN, reason.value, topic).set(0)
    for names, count in counted.items():
        metrics.DEAD_LETTERS_NOW.labels(*names).set(count)
    metrics.DEAD_LETTERS_TIMESTAMP_SECONDS.set_to_current_time()


@command.command("show")
@click.argument("place", type=_Letter(), metavar="LETTER")
@click.option("--reveal", is_flag=True, help="Show its key and content too; they may tell of a patient.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@kafka_options
def show_command(place: Place, reveal: bool, as_json: bool, settings: Settings) -> None:
    """Show one dead letter, and what was done about it. Key and content only with --reveal."""
    with _log(settings)[1] as log:
        letter = _find(log, [place])[0]
        came = content(log, letter)
    shown = _json(letter) | {"value_bytes": letter.value_bytes}
    key = came.key.decode(errors="replace") if came.key else None
    shown["key"] = key if reveal or key is None else masked(key)
    if reveal:
        shown |= _content(place.topic, came)
    if as_json:
        click.echo(json.dumps(shown, ensure_ascii=False))
        return
    for name, value in shown.items():
        if name == "actions":
            for action in letter.actions:
                click.echo(f"{'done':<14}{_told(action_to_json(action))}")
        elif value is not None:
            click.echo(f"{name:<14}{value if isinstance(value, str | int) else json.dumps(value, ensure_ascii=False)}")


@command.command("redrive")
@_acting
@_filters
@click.option("--edit", is_flag=True, help="Correct the one letter in $EDITOR, as JSON, before it is sent.")
@click.option(
    "--with",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Send the one fact (JSON) of FILE instead.",
)
@kafka_options
def redrive_command(
    places: tuple[Place, ...], every: bool, edit: bool, file: Path | None, settings: Settings, **options: Any
) -> None:
    """Send dead letters to their topics again: as they came, or one of them corrected (--edit, --with).

    A corrected fact is checked as `publish` does. The record and the event that says so are one transaction. If it is refused
    again, that is a new dead letter which names this one.
    """
    if edit and file:
        raise UsageError(
            "--edit and --with exclude each other: one takes the correction from you, the other from a file."
        )
    if (edit or file) and len(places) != 1:
        raise UsageError("a correction is for one letter: name it, such as claim-received/3@17.")

    def act(desk: DeadLetterDesk, letter: Letter, log: CommittedLog, again: bool) -> Any:
        desk.check(letter, again=again)  # before somebody edits in vain
        corrected = _edited(letter, content(log, letter)) if edit else _fact_of(file, letter) if file else None
        return desk.redrive(letter, corrected=corrected, again=again)

    _act("redrive", act, places, every, settings, **options)


@command.command("discard")
@_acting
@_filters
@kafka_options
def discard_command(places: tuple[Place, ...], every: bool, settings: Settings, **options: Any) -> None:
    """Say of dead letters that nothing will be done about them. They stay where they are."""
    _act(
        "discard",
        lambda desk, letter, _log, again: desk.discard(letter, again=again),
        places,
        every,
        settings,
        **options,
    )


def _act(
    what: str,
    act: Callable[[DeadLetterDesk, Letter, CommittedLog, bool], Any],
    places: tuple[Place, ...],
    every: bool,
    settings: Settings,
    *,
    because: str,
    acted_by: str | None,
    again: bool,
    yes: bool,
    as_json: bool,
    **named: Any,
) -> None:
    wanted = Filter(**named, states=() if again else (OPEN,))
    filtered = wanted != Filter((), (), None, None, None, None, None, wanted.states)
    if bool(places) == (every or filtered):
        raise UsageError(f"name the letters to {what}, or choose them with filters, or with --all.")
    if not because.strip():
        raise UsageError("--because must say why.")
    servers, opened = _log(settings)
    acted, refused = 0, 0
    with opened as log:
        chosen = _find(log, places) if places else [letter for letter in letters(log) if wanted.matches(letter)]
        if not places and not yes and chosen:
            if not sys.stdin.isatty():
                raise UsageError(
                    f"this would {what} {len(chosen):,} dead letters, and nobody is here to confirm it: say --yes."
                )
            click.confirm(f"{what} {len(chosen):,} dead letters?", abort=True, err=True)
        with DeadLetterDesk(
            servers,
            log,
            acted_by=acted_by or user_name(),
            because=because.strip(),
            timeout_seconds=settings.request_timeout_seconds,
        ) as desk:
            for letter in chosen:
                try:
                    action = act(desk, letter, log, again)
                except DoneBeforeError as error:
                    click.echo(f"error: {error.format_message()}", err=True)
                    refused += 1
                    continue
                except ProblemError as error:
                    before = f" {acted:,} of {len(chosen):,} were done before." if len(chosen) > 1 else ""
                    raise type(error)(f"{error.format_message()}{before}") from error
                acted += 1
                shown = action_to_json(action)
                click.echo(json.dumps(shown, ensure_ascii=False) if as_json else f"{letter.place}: {_told(shown)}")
    click.echo(f"{acted:,} of {len(chosen):,} dead letters: {what} done", err=True)
    if refused:
        raise ProblemError(f"{refused:,} of {len(chosen):,} were left as they are.")


def _log(settings: Settings) -> tuple[str, CommittedLog]:
    servers = resolve_bootstrap_servers(settings)
    return servers, CommittedLog(servers, settings.request_timeout_seconds)


def _find(log: CommittedLog, places: Iterable[Place]) -> list[Letter]:
    wanted = dict.fromkeys(places)
    found = {letter.place: letter for letter in letters(log) if letter.place in wanted}
    if missing := [str(place) for place in wanted if place not in found]:
        raise UsageError(f"there is no dead letter {', '.join(missing)}; `pathway-billing dead-letters list` has all.")
    return [found[place] for place in wanted]


def _edited(letter: Letter, came: Content) -> Fact:
    """What the person made of the fact in an editor; asks again until it is right or given up."""
    shown = _content(letter.place.topic, came)
    if "fact" not in shown:
        raise UsageError(
            f"{letter.place} cannot be read as a fact, so there is nothing to edit; send one with --with FILE."
        )
    text = json.dumps(shown["fact"], ensure_ascii=False, indent=1) + "\n"
    while True:
        try:
            edited = click.edit(text, extension=".json")
        except click.ClickException as error:
            raise ProblemError(
                f"{letter.place}: the editor failed, so nothing is sent ({error.format_message()}). Set EDITOR to one that works."
            ) from None
        if edited is None or edited == text:
            raise ProblemError(f"{letter.place}: nothing was changed, so nothing is sent.")
        try:
            return _fact(edited, letter)
        except BadEvent as error:
            click.echo(f"error: {error}", err=True)
            click.confirm("Edit again?", default=True, abort=True, err=True)
            text = edited


def _fact_of(file: Path, letter: Letter) -> Fact:
    try:
        return _fact(file.read_text(encoding="utf-8"), letter)
    except (BadEvent, UnicodeDecodeError) as error:
        sentence = error if isinstance(error, BadEvent) else "is not UTF-8"
        raise UsageError(f"{file}: {sentence}. Nothing was sent.") from error


def _fact(text: str, letter: Letter) -> Fact:
    """The one fact of a text, of the letter's type. Raises BadEvent."""
    try:
        joined = json.dumps(json.loads(text))
    except (ValueError, RecursionError):
        joined = text  # the reader of lines says what is wrong with it
    try:
        facts = [fact for _, fact in read_jsonl(joined.splitlines())]
    except BadLine as error:
        raise BadEvent(error.field, error.sentence) from None
    if len(facts) != 1:
        raise BadEvent("", "must be one JSON object")
    if topic_of(facts[0]) != letter.place.topic:
        raise BadEvent("type", f"must be {letter.place.topic}: a letter goes to its own topic again")
    return facts[0]


def _content(topic: str, came: Content) -> dict[str, Any]:
    """The content as a fact where it can be read, else its first bytes."""
    headers = {name: None if value is None else value.decode(errors="replace") for name, value in came.headers}
    shown: dict[str, Any] = {"headers": headers}
    try:
        return shown | {"fact": fact_to_json(unchecked_fact_from_avro(topic, came.value))}
    except (Unreadable, ValueError, OverflowError, KeyError, TypeError):
        return shown | {"value": (came.value or b"")[:_SHOWN_BYTES].hex()}


def _json(letter: Letter) -> dict[str, Any]:
    return {
        "letter": str(letter.place),
        "state": letter.state,
        "reason": letter.reason,
        "sentence": letter.sentence,
        "refused_at": rfc3339_from_micros(letter.refused_at_ms * 1000),
        "event_id": letter.event_id,
        "redriven_from": letter.redriven_from,
        "stands_at": f"dead-letters/{letter.partition}@{letter.offset}",
        "actions": [action_to_json(action) for action in letter.actions],
    }


def _row(letter: Letter) -> str:
    at = rfc3339_from_micros(letter.refused_at_ms * 1000)[:19]
    cells = (
        f"{letter.place!s:<28}",
        f"{letter.state:<9}",
        f"{letter.reason:<12}",
        at,
        f"{letter.event_id or '-':<16}",
        letter.sentence,
    )
    return "  ".join(cells)


def _told(action: dict[str, Any]) -> str:
    where = (
        f" to {action['topic']}/{action['sent_partition']}@{action['sent_offset']}"
        if action["sent_offset"] is not None
        else ""
    )
    how = " corrected" if action["corrected"] else ""
    return (
        f"{action['action']}{how}{where} by {action['acted_by']} at {action['acted_at']}, because: {action['because']}"
    )


def _of_state(counted: Counter[tuple[str, str, str]], state: str) -> int:
    return sum(count for (found, _, _), count in counted.items() if found == state)
