"""A TCP proxy between a worker and the broker, which the harness can cut, hang and slow down."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any

HOST = "127.0.0.1"
CHUNK_BYTES = 64 << 10


class Proxy:
    """Forwards connections on `port` to `target_port`. Runs in a thread of its own, with an event loop of its own."""

    def __init__(self) -> None:
        self.target_port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._flows = asyncio.Event()
        self._flows.set()
        self._refuses = False
        self._delay_seconds = 0.0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server = self._run(asyncio.start_server(self._serve, HOST, 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def hang(self) -> None:
        """Connections stay and nothing passes, as when a cable is out."""
        self._call(self._flows.clear)

    def reset(self) -> None:
        """All connections end at once, and new ones are refused."""
        self._call(self._end_all)

    def delay(self, seconds: float) -> None:
        """Every piece that passes waits for so long."""
        self._delay_seconds = seconds

    def mend(self) -> None:
        """Let everything through again; what hung meanwhile passes now."""
        self._refuses = False
        self._delay_seconds = 0.0
        self._call(self._flows.set)

    def close(self) -> None:
        """Stop listening and end the thread."""
        self._call(self._end_all)
        self._call(self._server.close)
        self._call(self._loop.stop)
        self._thread.join(5)

    def _call(self, function: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(function)

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(5)

    def _end_all(self) -> None:
        self._refuses = True
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        try:
            onward_reader, onward_writer = await asyncio.open_connection(HOST, self.target_port)
        except OSError:  # the broker is down
            writer.transport.abort()
            return
        ends = {writer, onward_writer}
        self._writers |= ends
        try:
            await asyncio.gather(self._pump(reader, onward_writer), self._pump(onward_reader, writer))
        finally:
            self._writers -= ends

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
