"""The answers of a SCORE job, which are stored in parts, in the transaction that records its result."""

import struct
from collections.abc import Sequence
from typing import Any, LiteralString

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types.json import Jsonb

from worker.database.connection import Connection, fetch_value

# The server lets go of a session whose client was killed, or is gone without a word. Other systems than Linux
# cannot look for that while a statement runs.
_BEGIN: LiteralString = """
    BEGIN;
    SET LOCAL idle_in_transaction_session_timeout TO '10min';
    SELECT pg_catalog.set_config('client_connection_check_interval', '500ms', true)
    WHERE pg_catalog.version() OPERATOR(pg_catalog.~) 'linux'
"""
_STORE: LiteralString = "SELECT ml_internal.store_predictions(%s, %s, %s, %b, %b, %b)"


def find_scoring(connection: Connection, job_id: int, attempt: int) -> int | None:
    """The result of an attempt, if it is recorded."""
    query = "SELECT s.id FROM public.ml_scorings s WHERE s.job_id = %s AND s.attempt = %s"
    found = fetch_value(connection, query, [job_id, attempt])
    return None if found is None else int(found)


def begin(connection: Connection) -> None:
    """Begin the transaction; whatever fails, it ends with its connection."""
    for array, dumper in (
        (_Integers, _IntegersDumper),
        (_Moments, _MomentsDumper),
        (_Doubles, _DoublesDumper),
    ):
        connection.adapters.register_dumper(array, dumper)
    connection.execute(_BEGIN)


def store(
    connection: Connection,
    job_id: int,
    attempt: int,
    *,
    names: Sequence[str],
    coins: NDArray[np.int32],
    times: NDArray[np.int64],
    probabilities: NDArray[np.float64],
) -> None:
    """Store a part of the answers.

    Args:
        connection: is in the transaction.
        job_id: the job.
        attempt: number of the attempt that holds it.
        names: of the coins.
        coins: shape (rows,); number of each row's coin among the names, from 1.
        times: shape (rows,); microseconds since 2000-01-01 UTC.
        probabilities: shape (rows,).

    Raises:
        psycopg.DatabaseError: ML001, the attempt no longer holds the job.
    """
    arrays = (
        _Integers(_binary(coins, _IntegersDumper.element, ">i4")),
        _Moments(_binary(times, _MomentsDumper.element, ">i8")),
        _Doubles(_binary(probabilities, _DoublesDumper.element, ">f8")),
    )
    connection.execute(_STORE, [job_id, attempt, list(names), *arrays])


def commit(connection: Connection, job_id: int, attempt: int, result: dict[str, Any]) -> int:
    """Record the result and commit all; returns the id of the result.

    In one message: between two the job would stay locked by a client that is gone.
    """
    query = sql.SQL("SELECT ml_internal.record_result({}, {}, {}); COMMIT").format(
        job_id, attempt, Jsonb(result)
    )
    return int(fetch_value(connection, query))


class _Integers(bytes):
    """An ``integer[]`` in PostgreSQL's binary format."""


class _Moments(bytes):
    """A ``timestamptz[]`` in PostgreSQL's binary format."""


class _Doubles(bytes):
    """A ``double precision[]`` in PostgreSQL's binary format."""


class _Dumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        return obj


class _IntegersDumper(_Dumper):
    oid, element = 1007, 23


class _MomentsDumper(_Dumper):
    oid, element = 1185, 1184


class _DoublesDumper(_Dumper):
    oid, element = 1022, 701


def _binary(values: NDArray[Any], element: int, dtype: str) -> bytes:
    """An array in PostgreSQL's binary format: its header, and each value behind its length."""
    items = np.empty(len(values), np.dtype([("size", ">i4"), ("value", dtype)]))
    items["size"] = np.dtype(dtype).itemsize
    items["value"] = values
    return struct.pack(">iiIii", 1, 0, element, len(values), 1) + items.tobytes()
