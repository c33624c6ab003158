"""`pathway-billing console`: the web pages that say why a line was paid, denied or bundled, and when it can be billed next."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from projections.console.access import Access, AccessError, RevealLog, check_address, read_proxies, read_tokens
from streams.commands.options import chosen_policy, listen, policy_option
from streams.settings import ENVIRONMENT_PREFIX, Settings, UsageError, environment_option, ledger_options

_TOKENS = ENVIRONMENT_PREFIX + "CONSOLE_TOKENS"


@click.command("console")
@environment_option(
    "CONSOLE_HOST",
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; another than loopback needs authentication.",
)
@environment_option(
    "CONSOLE_PORT",
    "--port",
    type=click.IntRange(0, 65535),
    default=8090,
    show_default=True,
    help="Port to listen on.",
)
@environment_option(
    "CONSOLE_TOKEN_FILE",
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"People's tokens, one NAME:TOKEN a line. Or in the environment: {_TOKENS}.",
)
@environment_option(
    "CONSOLE_TRUSTED_USER_HEADER",
    "--trusted-user-header",
    metavar="NAME",
    help="The header in which a proxy names the user, such as X-Forwarded-User.",
)
@environment_option(
    "CONSOLE_TRUSTED_PROXY",
    "--trusted-proxy",
    "trusted_proxies",
    metavar="ADDRESS",
    multiple=True,
    help="The proxy's address; the header counts from nowhere else. May be repeated.",
)
@environment_option(
    "CONSOLE_HTTPS",
    "--https",
    is_flag=True,
    help="People come by HTTPS (through a proxy): send the session cookie by HTTPS only.",
)
@environment_option(
    "CONSOLE_REVEAL_LOG",
    "--reveal-log",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Who had ids shown, JSONL.  [default: console/reveals.jsonl in the data folder]",
)
@policy_option()
@ledger_options
def command(
    host: str,
    port: int,
    token_file: Path | None,
    trusted_user_header: str | None,
    trusted_proxies: tuple[str, ...],
    https: bool,
    reveal_log: Path | None,
    policy_file: Path | None,
    settings: Settings,
) -> None:
    """Serve the console over the ledger, which `pathway-billing project --follow` keeps up to date. Ends with Ctrl-C or SIGTERM.

    It listens on this machine alone unless people have to say who they are: by a token of their own, or by the user header of a
    proxy that is named.
    """
    import uvicorn

    from projections.console.app import Console, Ledger, default_reveal_log
    from projections.console.lag import LagMeter
    from projections.ledger.database import ledger_url, shown
    from streams.commands.project import ledger_problems

    try:
        access = read_access(token_file, trusted_user_header, trusted_proxies, os.environ)
        check_address(host, access)
    except AccessError as error:
        raise UsageError(str(error)) from None
    with ledger_problems():
        ledger_url(settings.database_url)
    policy = chosen_policy(policy_file)
    reveals = RevealLog(reveal_log or default_reveal_log(settings.data_dir))
    console = Console(Ledger(settings.database_url), policy, access, reveals, LagMeter(settings))
    # no access log: its lines would hold what people search for
    listening = listen(host, port, "the console cannot listen", "--port")
    config = uvicorn.Config(
        console.app(https),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=3,
    )
    named = f"[{host}]" if ":" in host else host
    click.echo(
        f"console: http://{named}:{listening.getsockname()[1]}/  (ledger {shown(settings.database_url)}; Ctrl-C ends it)"
    )
    sys.stdout.flush()
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn stops, and then sends on the signal that it got
        signal.signal(number, lambda *_: sys.exit(0))
    uvicorn.Server(config).run(sockets=[listening])


def read_access(
    token_file: Path | None, user_header: str | None, trusted_proxies: tuple[str, ...], environment: Mapping[str, str]
) -> Access:
    """How people prove who they are, from a file, the environment and the flags. Raises AccessError."""
    tokens = read_tokens(environment.get(_TOKENS, ""))
    if token_file is not None:
        tokens += read_tokens(_text_of(token_file))
        if not tokens:
            raise AccessError(f"{token_file} has no NAME:TOKEN entry.")
    if bool(user_header) != bool(trusted_proxies):
        raise AccessError(
            "--trusted-user-header and --trusted-proxy belong together: name the header, and who may send it."
        )
    return Access(tokens, user_header or None, read_proxies(trusted_proxies))


def _text_of(token_file: Path) -> str:
    try:
        return token_file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise AccessError(f"{token_file} is not a text file in UTF-8 with one NAME:TOKEN a line.") from None
