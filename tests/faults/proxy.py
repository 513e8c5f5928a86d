"""A TCP proxy between worker and server that does to connections what a network does.

Directions are ``up``, to the server, and ``down``, to the client. In a black hole nothing passes, neither
bytes nor the end of a connection, while all sockets stay open and new connections are taken. When it heals,
bytes that were caught in it are lost, and with them all that follows on the same connection; or they are
delivered late, as TCP does when it sends them again.
"""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Self

DIRECTIONS = ("up", "down")


class Proxy:
    """Runs in a thread of its own, on a port of 127.0.0.1."""

    def __init__(self, host: str, port: int) -> None:
        self.heard = bytearray()  # all that the server said
        self.struck = threading.Event()
        self._server = (host, port)
        self._loses = True
        self._trap: tuple[bytes, tuple[str, ...], bool] | None = None
        self._loop = asyncio.new_event_loop()
        self._is_open = {direction: asyncio.Event() for direction in DIRECTIONS}
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.heal()
        self._listening = self._wait(asyncio.start_server(self._connected, "127.0.0.1", 0))
        self.port = int(self._listening.sockets[0].getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._wait(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)

    def strike(self, *directions: str, late: bool = False) -> None:
        """Open a black hole; with ``late``, what is caught in it is delivered when it heals."""
        self._wait(self._strike(directions, late))

    def strike_at(self, words: bytes, *directions: str, late: bool = False) -> None:
        """Open a black hole as soon as a client sends these words, which are the first to be caught.

        Without directions all that this connection sends from then on is lost, and nothing of any other.
        """
        self._trap = (words, directions, late)

    def heal(self) -> None:
        """Let everything through again."""
        self._wait(self._heal())

    def _wait(self, todo: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(todo, self._loop).result(60)

    async def _end(self) -> None:
        self._listening.close()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _strike(self, directions: tuple[str, ...], late: bool) -> None:
        self._loses = not late
        for direction in directions:
            self._is_open[direction].clear()
        self.struck.set()

    async def _heal(self) -> None:
        self._trap = None
        self.struck.clear()
        for is_open in self._is_open.values():
            is_open.set()

    async def _connected(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            server, to_server = await asyncio.open_connection(*self._server)
            await asyncio.gather(self._pump("up", client, to_server), self._pump("down", server, to_client))
            to_server.close()
        finally:
            to_client.close()

    async def _pump(self, direction: str, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        is_lost = False
        with suppress(ConnectionError):
            while data := await source.read(1 << 16):
                if direction == "down":
                    self.heard += data
                elif self._trap and self._trap[0] in data:
                    (_, directions, late), self._trap = self._trap, None
                    await self._strike(directions, late)
                    is_lost |= not directions
                is_lost |= self._loses and not self._is_open[direction].is_set()
                await self._is_open[direction].wait()
                if not is_lost:
                    with suppress(ConnectionError):  # who does not listen any more may still have spoken
                        sink.write(data)
                        await sink.drain()
        await self._is_open[direction].wait()
        with suppress(OSError):
            sink.write_eof()
