"""What a child reads: its assignment, and the rows."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, LiteralString

from psycopg import sql

from worker.child.assignment import Period
from worker.child.labels.value import OTHER_PHASE, Label
from worker.database.connection import Connection, fetch_value


def rehearse(connection: Connection) -> None:
    """Ask once, of no job, what every job asks: a new session reads the catalog for that, and makes plans."""
    fetch_value(connection, _ASSIGNMENT, [0])
    epoch = datetime.fromtimestamp(0, UTC)
    estimate_rows(connection, Period(epoch, epoch), None)


_ASSIGNMENT: LiteralString = "SELECT ml_internal.assignment(%s)"


def fetch_assignment(connection: Connection, job_id: int) -> dict[str, Any]:
    """All that a claimed job asks for, see :func:`worker.child.assignment.read`."""
    told: dict[str, Any] = fetch_value(connection, _ASSIGNMENT, [job_id])
    return told


def estimate_rows(connection: Connection, period: Period, phases: Sequence[int] | None) -> int:
    """Rows of ``coin_metrics`` in the period and these phases, as the planner sees it."""
    plan = fetch_value(
        connection,
        sql.SQL(
            """
            EXPLAIN (FORMAT JSON)
            SELECT FROM public.coin_metrics m WHERE m."timestamp" >= {} AND m."timestamp" < {} AND {}
            """
        ).format(period.start, period.end, _is_of(phases)),
    )
    return int(plan[0]["Plan"]["Plan Rows"])


def no_rows_text(connection: Connection, period: Period, phases: Sequence[int] | None) -> str:
    """That the period has no rows of these phases, and when there are some."""
    query: LiteralString = """
        SELECT ml_internal.no_rows_text(%s, %s, %s, r.first_at, r.last_at) FROM ml_internal.metrics_range() r
    """
    csv = None if phases is None else ",".join(map(str, phases))
    return str(fetch_value(connection, query, [period.start, period.end, csv]))


def stream_dataset(
    connection: Connection,
    label: Label,
    features: Sequence[str],
    period: Period,
    phases: Sequence[int] | None,
) -> Iterator[bytes | bytearray | memoryview]:
    """Read the rows of a period in COPY's binary format, in any order.

    Each row has a hash of its coin (int8) and the first 16 bytes of its name (bytea), its time (timestamptz),
    what its target says (int2: 1, 0, or -1 for NULL), and the features (float8, NaN for NULL). No field is
    ever NULL or of another length, so that all rows have one length.

    With a horizon a label may be read from a row of whichever phase. Rows of other phases come, too, then,
    but without their features, and what they say is less by ``OTHER_PHASE``.

    To sort, to number the coins and to look ahead is left to :func:`worker.child.dataset.decode`: the server
    would take longer for it than for all the rest.
    """
    is_chosen = _is_of(phases)
    chosen_only = label.future_minutes is None or phases is None

    def value_of(feature: str) -> sql.Composed:
        value = sql.SQL("coalesce(m.{}::float8, 'NaN')").format(sql.Identifier(feature))
        return (
            value if chosen_only else sql.SQL("CASE WHEN {} THEN {} ELSE 'NaN' END").format(is_chosen, value)
        )

    query = sql.SQL(
        """
        COPY (
            SELECT
                coalesce(hashtextextended(m.mint::text COLLATE "C", 0), 0),
                substring(coalesce(convert_to(m.mint::text, 'UTF8'), '') || {padding} FROM 1 FOR 16),
                m."timestamp"::timestamptz,
                (CASE ml_internal.is_positive({operator}, nullif(m.{target}::numeric, 'NaN'), {value})
                    WHEN true THEN 1
                    WHEN false THEN 0
                    ELSE -1
                END - {less})::int2,
                {features}
            FROM public.coin_metrics m
            WHERE m."timestamp" >= {start} AND m."timestamp" < {end} AND {where}
        ) TO STDOUT (FORMAT binary)
        """
    ).format(
        padding=bytes(16),
        target=sql.Identifier(label.target),
        operator=label.operator,
        value=Decimal(label.value),
        less=sql.Literal(0)
        if chosen_only
        else sql.SQL("CASE WHEN {} THEN 0 ELSE {} END").format(is_chosen, OTHER_PHASE),
        features=sql.SQL(", ").join(map(value_of, features)),
        start=period.start,
        end=period.end,
        where=is_chosen if chosen_only else sql.SQL("true"),
    )
    with connection.transaction():
        # Most of the time goes into turning numeric into float8, which parallel workers share. The planner
        # thinks that handing the rows over would cost more than that; and nothing here is worth compiling.
        connection.execute("SET LOCAL parallel_tuple_cost TO 0")
        connection.execute("SET LOCAL jit TO off")
        with connection.cursor() as cursor, cursor.copy(query) as copy:
            yield from copy


def _is_of(phases: Sequence[int] | None) -> sql.Composable:
    """Condition that a row ``m`` is of these phases."""
    if phases is None:
        return sql.SQL("true")
    return sql.SQL("m.phase_id_at_time = ANY ({})").format(list(phases))
