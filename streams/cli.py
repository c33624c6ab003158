"""The command line `pathway-billing`: every command lives in `streams/commands/<name>.py` as a click command `command`.

A command is imported when it is called, so that `adjudicate` starts without Faust and `--help` without anything.
"""

import errno
import importlib
import importlib.util
import logging
import os
import signal
import sys
from importlib.metadata import version
from typing import Any

import click

from streams import compiled

COMMANDS = {
    "demo": "Broker, worker, events and live decisions, checked at the end",
    "adjudicate": "Decide a file of facts, without Kafka",
    "generate": "Make believable facts to try things with",
    "broker": "Run the embedded Apache Kafka",
    "topics": "Make the topics, or check that they are as declared",
    "schemas": "Register our schemas with a registry, check or list them",
    "asyncapi": "Print the contract as an AsyncAPI 3 document",
    "worker": "Run a Faust worker that decides what is published",
    "publish": "Publish facts from a file",
    "import-837": "Make events of X12 837P claim files",
    "import-fhir": "Make events of FHIR R4 Claim resources",
    "decisions": "Read the decisions, or follow them",
    "project": "Write the ledger: decisions and facts as SQL tables",
    "next-billable": "From when an S-code can be billed, and what stands in the way",
    "console": "Web pages: why a line was paid or denied, and when to bill",
    "sweep": "Expire what has been pended for too long",
    "readjudicate": "Ask for patients to be decided again",
    "dead-letters": "List unusable records, send them again or discard them",
    "acls": "What each role must be allowed on a Kafka that asks",
    "verify": "Fold all facts again and compare with what was committed",
}
"""In the order in which a new person meets them."""

_INTERRUPTED = 128 + signal.SIGINT
_READER_GONE = 128 + signal.SIGPIPE


class _ReaderGone(Exception):
    """Who read our output, such as `head`, has seen enough."""


class _Commands(click.Group):
    """The commands of `COMMANDS`, imported when called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [name for name in COMMANDS if importlib.util.find_spec(_module(name))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(_module(cmd_name)).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # click would end with 1, which says that problems were found
            raise _ReaderGone from error


def _module(name: str) -> str:
    return f"streams.commands.{name.replace('-', '_')}"


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(
    version("pathway-billing"), prog_name="pathway-billing", message=f"%(prog)s %(version)s ({compiled.mode()})"
)
def cli() -> None:
    """Decides S0353/S0354 claim lines from events, exactly once, on Apache Kafka and Faust.

    Start with `pathway-billing demo`. Each setting is a flag and an environment variable PATHWAY_BILLING_<NAME>.
    """
    # What goes wrong is said in our own sentences, at the end of a wait; the client would repeat each try.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)


def main() -> None:
    """Run the command line; ends the process. Exit codes: 0 done, 1 found problems, 2 bad usage or input."""
    try:
        result = cli.main(prog_name="pathway-billing", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        if error.ctx:
            click.echo(error.ctx.get_usage(), err=True)
        click.echo(f"error: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(_INTERRUPTED)
    except (_ReaderGone, BrokenPipeError):
        _forget_output()
        sys.exit(_READER_GONE)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        _forget_output()
        click.echo(f"error: not all could be written ({error.strerror}): make room and run the command again", err=True)
        sys.exit(2)
    sys.exit(result if isinstance(result, int) else 0)


def _forget_output() -> None:
    """What waits to be written cannot be: keep the flush at the end of the process from trying."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
