"""The worker's HTTP endpoint: `/metrics` for Prometheus, `/health/live` and `/health/ready` for whoever runs it.

Live: the event loop answers, the worker looks after its lanes and fetches, and nothing has failed. Not live: kill it, nothing
is lost. Ready: every assigned lane is open. Faust's own web server cannot tell: it answers before the tables are recovered.

=================  ==================  ==========================================================================
phase              live / ready        ready says
=================  ==================  ==========================================================================
waits for Kafka    nobody listens      the worker checks the topics before it listens
start, recovery    200 / 503           starting: ...; opening: 2 of 3 lanes are open
serves             200 / 200           ready; also without any partition, when there are more workers than partitions
rebalance          200 / 503           rebalancing: ...; opening: ...
shutdown           200 / 503           stopping; the address is closed when the lanes are
failure            503 / 503           stopping after a failure
=================  ==================  ==========================================================================
"""

import mode
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streams.runtime.failure import WorkerFailure
from streams.runtime.lanes import Lanes
from streams.runtime.service_log import service_log


class HealthServer(mode.Service):
    """Serves metrics and health of these lanes."""

    logger = service_log

    def __init__(self, lanes: Lanes, host: str, port: int) -> None:
        super().__init__()
        self._lanes = lanes
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None

    async def on_start(self) -> None:
        """Listen. Raises WorkerFailure when the address cannot be used."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/health/live", self._live),
                web.get("/health/ready", self._ready),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as exc:
            raise WorkerFailure(
                f"cannot serve metrics on {self._host}:{self._port} ({exc.strerror})",
                "Choose another --metrics-host or --metrics-port",
            ) from exc

    async def on_stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _live(self, _request: web.Request) -> web.Response:
        if self._lanes.is_alive:
            return web.Response(text="live")
        return web.Response(text=self._lanes.phase if self._lanes.fail.failure else "stalled", status=503)

    async def _ready(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._lanes.phase, status=200 if self._lanes.ready else 503)
