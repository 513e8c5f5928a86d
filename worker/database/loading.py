"""Loads rows into ``coin_metrics``: all of them or none, whatever the settings of the login or database."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, LiteralString

from psycopg import sql

from worker.database.connection import Connection, fetch_value

Existing = Literal["refuse", "skip", "update"]

# transaction_timeout is not known to every server.
_SETTINGS: LiteralString = """
SELECT set_config(s.name, wanted.setting, true)
FROM pg_catalog.pg_settings s
JOIN (
    VALUES
        ('TimeZone', 'UTC'),
        ('DateStyle', 'ISO, YMD'),
        ('statement_timeout', '0'),
        ('transaction_timeout', '0'),
        ('lock_timeout', '0'),
        ('idle_in_transaction_session_timeout', '0')
) wanted (name, setting) ON wanted.name = s.name
"""

_METRICS = sql.SQL("public.coin_metrics")
_NEW = sql.SQL("pg_temp.new_metrics")
STAGE_KEY = "new_metrics_pkey"
_SAME: LiteralString = '(m.mint, m."timestamp") = (n.mint, n."timestamp")'


@contextmanager
def _settled(connection: Connection) -> Iterator[None]:
    """A transaction that no setting of the login or the database changes the meaning of, or ends."""
    with connection.transaction():
        connection.execute("SET TRANSACTION READ WRITE")
        connection.execute(_SETTINGS)
        yield


@dataclass(frozen=True)
class Counts:
    """What became of the rows of a file: ``new`` ones and ``changed`` ones; the others were there already."""

    rows: int
    new: int
    changed: int


def fetch_column_types(connection: Connection) -> dict[str, str]:
    """The columns of ``coin_metrics`` in order, and the type below any domain; empty without the table."""
    query = """
        WITH RECURSIVE columns (name, number, type) AS (
            SELECT a.attname, a.attnum, a.atttypid
            FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = pg_catalog.to_regclass('public.coin_metrics')
                AND a.attnum > 0
                AND NOT a.attisdropped
            UNION ALL
            SELECT c.name, c.number, t.typbasetype
            FROM columns c
            JOIN pg_catalog.pg_type t ON t.oid = c.type AND t.typtype = 'd'
        )
        SELECT c.name, t.typname
        FROM columns c
        JOIN pg_catalog.pg_type t ON t.oid = c.type AND t.typtype <> 'd'
        ORDER BY c.number
        """
    return dict(connection.execute(query).fetchall())


def has_row(connection: Connection, mint: str, moment: str) -> bool:
    """Whether the table has a row of this coin at this moment."""
    query = """SELECT EXISTS (SELECT FROM public.coin_metrics WHERE mint = %s AND "timestamp" = %s)"""
    with _settled(connection):
        return bool(fetch_value(connection, query, [mint, moment]))


def load_metrics(
    connection: Connection,
    columns: Sequence[str],
    delimiter: str,
    blocks: Iterable[bytes],
    existing: Existing,
) -> Counts:
    """Load rows in COPY's text format, an empty field of which is NULL.

    Args:
        connection: of a login that may write.
        columns: that the fields of a row belong to.
        delimiter: what separates the fields.
        blocks: whole rows, in UTF-8. They are made in a thread, one block ahead.
        existing: what to do with rows whose coin and moment the table has already.

    Raises:
        psycopg.Error: a row is bad or exists; ``diag.context`` names it by its number.
    """
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    with _settled(connection):
        if existing == "refuse" and fetch_keys(connection):
            rows = _copy(connection, _METRICS, names, delimiter, blocks)
            counts = Counts(rows, rows, 0)
        else:
            connection.execute(
                sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(
                    _NEW, names, _METRICS
                )
            )
            connection.execute(
                sql.SQL('ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY (mint, "timestamp")').format(
                    _NEW, sql.Identifier(STAGE_KEY)
                )
            )
            rows = _copy(connection, _NEW, names, delimiter, blocks)
            connection.execute(sql.SQL("ANALYZE {}").format(_NEW))
            changed = _update(connection, columns) if existing == "update" else 0
            counts = Counts(rows, _insert(connection, names, keep=existing != "refuse"), changed)
    with _settled(connection):
        connection.execute("ANALYZE public.coin_metrics")  # the planner should know of them at once
    return counts


def fetch_keys(connection: Connection) -> list[str]:
    """Names of the indexes by which the table itself refuses a second row of a coin and moment."""
    query = """
        SELECT c.relname::text
        FROM pg_catalog.pg_index i
        JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
        WHERE i.indrelid = 'public.coin_metrics'::pg_catalog.regclass
            AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
            AND (
                SELECT pg_catalog.array_agg(a.attname::text ORDER BY a.attname)
                FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = i.indexrelid
            ) = '{mint,timestamp}'
        """
    return [name for (name,) in connection.execute(query)]


def _copy(
    connection: Connection, table: sql.SQL, names: sql.Composed, delimiter: str, blocks: Iterable[bytes]
) -> int:
    query = sql.SQL("COPY {} ({}) FROM STDIN (DELIMITER {}, NULL '', ENCODING 'UTF8')").format(
        table, names, sql.Literal(delimiter)
    )
    waiting = iter(blocks)
    with connection.cursor() as cursor, ThreadPoolExecutor(1) as thread:
        with cursor.copy(query) as copy:
            ahead = thread.submit(next, waiting, b"")
            while block := ahead.result():
                ahead = thread.submit(next, waiting, b"")
                copy.write(block)
        return cursor.rowcount


def _update(connection: Connection, columns: Sequence[str]) -> int:
    names = [name for name in columns if name not in ("mint", "timestamp")]
    if not names:
        return 0
    ours, theirs = (
        sql.SQL("ROW({})").format(sql.SQL(", ").join(sql.Identifier(table, name) for name in names))
        for table in ("m", "n")
    )
    query = sql.SQL("UPDATE {} m SET ({}) = {} FROM {} n WHERE {} AND {} IS DISTINCT FROM {}").format(
        _METRICS, sql.SQL(", ").join(map(sql.Identifier, names)), theirs, _NEW, sql.SQL(_SAME), ours, theirs
    )
    return connection.execute(query).rowcount


def _insert(connection: Connection, names: sql.Composed, *, keep: bool) -> int:
    """Insert the rows that are not there; unless ``keep``, all, and a row that is there is an error."""
    query = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} n").format(_METRICS, names, names, _NEW)
    there = sql.SQL("SELECT FROM {} m WHERE {}").format(_METRICS, sql.SQL(_SAME))
    if keep:
        query += sql.SQL(" WHERE NOT EXISTS ({}) ON CONFLICT DO NOTHING").format(there)
    else:
        found = sql.SQL('SELECT n.mint::text, n."timestamp"::text FROM {} n WHERE EXISTS ({}) LIMIT 1')
        row = connection.execute(found.format(_NEW, there)).fetchone()
        if row:
            raise ExistingRowError(*row)
    return connection.execute(query).rowcount


class ExistingRowError(Exception):
    """The table, which has no key, has a row of this coin and moment already."""
