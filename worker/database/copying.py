"""Reads what COPY sends in its binary format, many rows at a time.

psycopg gives a row per call, each by way of a generator; for millions of rows that takes longer than all that
the client does with them. So libpq's own calls are made here.
"""

import selectors
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn

from worker.database.connection import Connection

_BATCH_BYTES = 1 << 22
_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_HEADER_BYTES = len(_SIGNATURE) + 8  # flags, and the length of an extension that there is not
_TRAILER_BYTES = 2
_MARGIN = bytes(1024)


@dataclass(frozen=True)
class Batch:
    """Rows in COPY's binary format. It is good until the next one is asked for.

    Attributes:
        data: the rows, and a margin of zeros behind them.
        starts: shape (rows,); where in ``data`` each begins.
    """

    data: memoryview
    starts: NDArray[np.intp]


def read(copies: Sequence[tuple[Connection, sql.Composed]]) -> Iterator[Batch]:
    """Run ``COPY … TO STDOUT (FORMAT binary)``, one on each connection, all at once.

    Gives some megabytes of rows at a time.

    Raises:
        psycopg.Error: what a server says, or that it is gone.
    """
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for connection, query in copies:
            stack.enter_context(stack.enter_context(connection.cursor()).copy(query))
            selector.register(connection.fileno(), selectors.EVENT_READ, _Reader(connection.pgconn))
        ready = list(selector.get_map().values())  # some rows have come with the answer to the query
        while ready:
            for key in ready:
                reader: _Reader = key.data
                if reader.take():
                    yield reader.batch()
                if reader.has_ended:
                    selector.unregister(key.fd)
            ready = [key for key, _ in selector.select()] if selector.get_map() else []


class _Reader:
    """Reads the rows of one connection: each message of the server has one, the header or the trailer."""

    def __init__(self, pgconn: PGconn) -> None:
        self._pgconn = pgconn
        self._buffer = BytesIO()  # is written over and over: new memory would take longer than the rows
        self._sizes = list[int]()
        self.has_ended = False

    def take(self) -> bool:
        """Take what has arrived; says whether that is a batch."""
        self._pgconn.consume_input()
        get, write, note = self._pgconn.get_copy_data, self._buffer.write, self._sizes.append
        size, row = get(1)
        while size > 0:
            note(write(row))
            size, row = get(1)
        if size < 0:
            self.has_ended = True
            _check(self._pgconn)
        return self.has_ended or self._buffer.tell() >= _BATCH_BYTES

    def batch(self) -> Batch:
        """What has been taken since the last batch."""
        sizes = np.array(self._sizes, np.intp)
        starts = np.cumsum(sizes) - sizes
        self._sizes.clear()
        self._buffer.write(_MARGIN)
        self._buffer.seek(0)
        data = self._buffer.getbuffer()
        if len(starts) and data[: len(_SIGNATURE)] == _SIGNATURE:  # and a row in the same message
            starts[0], sizes[0] = _HEADER_BYTES, sizes[0] - _HEADER_BYTES
        return Batch(data, starts[sizes > _TRAILER_BYTES])


def _check(pgconn: PGconn) -> None:
    """Raise what the server says at the end of a COPY. Then the connection is ready for another query."""
    for result in list(iter(pgconn.get_result, None)):
        if result.status != ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)
