"""No call waits longer for the database than it may."""

import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg


class _Watchdog:
    """One thread for all deadlines: to start one for each takes as long as a small call."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[object, tuple[float, Callable[[], None]]] = {}
        self._wakes_at = math.inf
        self._thread: threading.Thread | None = None

    def watch(self, seconds: float, act: Callable[[], None]) -> object:
        """Call ``act`` after this time, unless :meth:`forget` comes first."""
        key, at = object(), time.monotonic() + seconds
        with self._changed:
            self._due[key] = at, act
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True, name="deadlines")
                self._thread.start()
            elif at < self._wakes_at:
                self._changed.notify()
        return key

    def extend(self, key: object, seconds: float) -> None:
        """Let the act come so much later."""
        with self._changed:
            if key in self._due:
                at, act = self._due[key]
                self._due[key] = at + seconds, act

    def forget(self, key: object) -> None:
        """After this the act is done or never will be."""
        with self._changed:
            self._due.pop(key, None)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for key, (at, act) in list(self._due.items()):
                    if at <= now:
                        del self._due[key]
                        act()
                self._wakes_at = min((at for at, _ in self._due.values()), default=math.inf)
                self._changed.wait(None if self._wakes_at == math.inf else self._wakes_at - now)


_watchdog = _Watchdog()


@contextmanager
def deadline(connection: psycopg.Connection[Any], seconds: float) -> Iterator[Callable[[float], None]]:
    """Close the connection's socket if the block takes longer; gives what lets it take so much longer.

    A black-holed connection looks healthy to libpq for minutes. With its socket shut down, the call in
    progress fails at once with ``psycopg.OperationalError``.
    """

    def shut_down() -> None:
        # It may have been closed at this very moment.
        with (
            suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(connection.fileno())) as duplicate,
        ):
            duplicate.shutdown(socket.SHUT_RDWR)

    watched = _watchdog.watch(seconds, shut_down)
    try:
        yield lambda more: _watchdog.extend(watched, more)
    finally:
        _watchdog.forget(watched)
