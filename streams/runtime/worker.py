"""Running a lane app as a process: signals, the bound on its stop, its exit code."""

import asyncio
import gc
import logging
import sys
from typing import NoReturn

import faust
import mode

from streams.runtime.failure import EXIT_FAILURE, describe
from streams.runtime.lane_app import LaneApp
from streams.runtime.service_log import service_log

log = logging.getLogger(__name__)

COLLECT_AFTER = 50_000
"""New objects between two garbage collections, of what is not `long_lived`: fetched records, which hold no cycles either. After
every 700, as by default, a tenth of the worker's time went there."""

_FOREIGN_LOGGERS = ("aiokafka", "asyncio", "faust", "kafka", "mode", "urllib3")


class LaneWorker(faust.Worker):
    """Faust's worker without banner, spinner and redirected output; a stop by signal ends in bounded time."""

    logger = service_log

    app: LaneApp

    def __init__(self, app: LaneApp, *services: mode.Service) -> None:
        super().__init__(app, *services, quiet=True, override_logging=False, redirect_stdouts=False)
        self.spinner = None

    def _flag_as_shutdown_by_signal(self) -> None:
        """Called for SIGINT and SIGTERM."""
        super()._flag_as_shutdown_by_signal()
        self.app.lanes.stop_deadline.start()

    def _setproctitle(self, info: str, *, ident: str = "") -> None:
        """Leave the process its name."""

    async def _sentinel_task(self) -> None:
        """Faust lets a second pass before it closes the event loop; a stop has waited for everything already."""


def configure_logging(level: str) -> None:
    """One line an event, on standard error. The libraries below speak only when something is wrong, or at level debug."""
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    if level.lower() == "debug":
        # it would write out each request and response: passwords, tokens, and every record with its patient
        logging.getLogger("aiokafka.conn").setLevel(logging.INFO)
        return
    for name in _FOREIGN_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def run_worker(app: LaneApp, *services: mode.Service) -> NoReturn:
    """Run until SIGINT or SIGTERM (exit code 0) or until something is in doubt (exit code 1).

    The services, such as the health server, start before the app and stop after it.
    """
    gc.set_threshold(COLLECT_AFTER)
    _use_uvloop()
    worker = LaneWorker(app, *services)
    try:
        worker.execute_from_commandline()
    except SystemExit as exc:
        failed = exc.code or app.lanes.fail.failure is not None
        # The lanes say why they stop; here is said what stopped the worker without them, such as Faust's own services
        if failed and app.lanes.fail.failure is None:
            cause = worker.crash_reason or exc.__context__
            log.error("worker stops: %s", describe(cause, "running the worker") if cause else "without a cause")  # noqa: TRY400
        raise SystemExit(EXIT_FAILURE if failed else 0) from None


def _use_uvloop() -> None:
    """Run the event loop on libuv, which exists for all systems but Windows.

    It takes no call from another thread but `call_soon_threadsafe`; there is none (`LaneConsumerClient`).

    A transaction is a dozen round trips of a few hundred bytes: at 1,000 facts a second and 12 partitions the median latency fell
    from 110 to 57 ms.
    """
    if sys.platform != "win32":
        import uvloop

        uvloop.install()
        asyncio.set_event_loop(uvloop.new_event_loop())
