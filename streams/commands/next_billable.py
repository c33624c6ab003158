"""`pathway-billing next-billable`: from when an S-code can be billed for a patient."""

import json
from pathlib import Path
from typing import BinaryIO

import click

from streams.adjudication.days import iso
from streams.adjudication.facts import Fact
from streams.adjudication.next_billable import NextBillable
from streams.commands.options import Date, chosen_policy, policy_option
from streams.display import dollars
from streams.next_billable import BadQuestion, ask, to_json
from streams.settings import (
    ProblemError,
    Settings,
    UsageError,
    ledger_options,
    resolve_bootstrap_servers,
)


@click.command("next-billable")
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--patient", metavar="ID", required=True, help="The patient's token.")
@click.option(
    "--code", type=click.Choice(["S0353", "S0354"]), default="S0354", show_default=True, help="What is to be billed."
)
@click.option("--npi", metavar="NPI", required=True, help="Who is to bill it.")
@click.option(
    "--from", "asked_from", type=Date(), required=True, help="The first day that is asked about (YYYY-MM-DD)."
)
@click.option("--plan", metavar="ID", help="The claim's plan.  [default: the policy's, where it has one]")
@click.option("--ledger", is_flag=True, help="Ask the ledger (see --database) instead of Kafka.")
@policy_option()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@ledger_options
def command(
    file: BinaryIO | None,
    patient: str,
    code: str,
    npi: str,
    asked_from: int,
    plan: str | None,
    ledger: bool,
    policy_file: Path | None,
    as_json: bool,
    settings: Settings,
) -> None:
    """Say from when on a claim line would be paid, how many months are left, and what stands in the way until then.

    The facts come from FILE (JSONL; - is standard input), else from the ledger with --ledger, else from Kafka. The answer is
    that of the edits on a clean claim that is received on the day of service, but not before any claim on record; it is exact
    as things are on record now. Exit code 0, also when the answer is never.
    """
    policy = chosen_policy(policy_file)
    if file is not None and ledger:
        raise UsageError("name a FILE or --ledger, not both.")
    if file is not None:
        from streams.commands.adjudicate import read_facts

        facts = read_facts(file)[1]
    elif ledger:
        facts = _from_ledger(settings, patient, npi)
    else:
        facts = _from_kafka(settings, patient)
    try:
        answer = ask(
            facts, policy, patient_id=patient, procedure_code=code, billing_npi=npi, asked_from=asked_from, plan_id=plan
        )
    except BadQuestion as error:
        raise UsageError(f"{error}.") from None
    if as_json:
        click.echo(json.dumps(to_json(answer), ensure_ascii=False))
    else:
        _print(answer)


def _from_ledger(settings: Settings, patient_id: str, npi: str) -> list[Fact]:
    from projections.ledger.database import open_for_reading
    from projections.ledger.patients import patient_facts
    from streams.commands.project import ledger_problems

    with ledger_problems(), open_for_reading(settings.database_url) as database, database.read() as connection:
        return patient_facts(connection, patient_id, npi)


def _from_kafka(settings: Settings, patient_id: str) -> list[Fact]:
    from streams.agents.intake import Refused, accept
    from streams.committed_log import CommittedLog, LogStuckError
    from streams.topics import FACT_TOPICS, PROVIDER_AGREEMENT, partition_for

    facts: list[Fact] = []
    try:
        with CommittedLog(resolve_bootstrap_servers(settings), settings.request_timeout_seconds) as log:
            partitions = log.partitions((*FACT_TOPICS, PROVIDER_AGREEMENT))
            places = [(topic, partition_for(patient_id.encode(), partitions[topic])) for topic in FACT_TOPICS]
            places += [(PROVIDER_AGREEMENT, number) for number in range(partitions[PROVIDER_AGREEMENT])]
            for topic, partition in places:
                for record in log.read_all(topic, partition):
                    if topic == PROVIDER_AGREEMENT or record.key == patient_id.encode():
                        fact = accept(record, partitions[topic])
                        if not isinstance(fact, Refused):
                            facts.append(fact)
    except LogStuckError as error:
        raise ProblemError(f"{error}. Look after the broker, then ask again.") from error
    return facts


def _print(answer: NextBillable) -> None:
    if answer.payable_from is None:
        click.echo(
            f"{answer.procedure_code} is not payable on any day from {iso(answer.asked_from)} on, as things are on record."
        )
    else:
        assert answer.fee_cents is not None, "what is payable has a fee"
        click.echo(
            f"{answer.procedure_code} is payable from {iso(answer.payable_from)} under order {answer.order_id}; "
            f"agreed fee {dollars(answer.fee_cents)}."
        )
    if answer.months_left is not None:
        click.echo(f"Months left of order {answer.order_id}: {answer.months_left}.")
    if answer.denies:
        click.echo(
            f"Paid then, it would come too near to S0354 on claim line {', '.join(answer.denies)}: those are taken back."
        )
    for what in answer.missing:
        click.echo(f"Missing: {what}.")
    for obstacle in answer.obstacles:
        until = "on" if obstacle.to_date is None else f"to {iso(obstacle.to_date)}"
        when = f"from {iso(obstacle.from_date)} {until:<13}"
        click.echo(f"  {when}  {obstacle.outcome:<7}  {obstacle.reason:<24}  {obstacle.explanation}")
