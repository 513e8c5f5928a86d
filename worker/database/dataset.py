"""What a child reads: the rows."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, LiteralString

from psycopg import sql

from worker.child import labels
from worker.child.assignment import COIN_METRICS, Period, Source
from worker.child.fields import DECODED
from worker.child.labels import Label
from worker.database.connection import Connection, fetch_value
from worker.database.copying import Batch, read

_HALVINGS = 8  # of a period, to find where half of its rows lie


def rehearse(connection: Connection) -> None:
    """Ask once, of no job, what every job asks: a new session reads the catalog for that."""
    epoch = datetime.fromtimestamp(0, UTC)
    estimate_rows(connection, Period(epoch, epoch), None)


def estimate_rows(
    connection: Connection, period: Period, phases: Sequence[int] | None, source: Source = COIN_METRICS
) -> int:
    """Rows of the source in the period and these phases, as the planner sees it."""
    return int(_plan(connection, period, phases, source)["Plan Rows"])


def count_rows(connection: Connection, period: Period, phases: Sequence[int] | None, source: Source) -> int:
    """Rows of the source in the period and these phases, which takes as long as to read them."""
    query = sql.SQL("SELECT count(*) FROM {} m WHERE {}").format(
        _sql(source.relation), is_within(period, phases, source)
    )
    return int(fetch_value(connection, query))


def _plan(
    connection: Connection, period: Period, phases: Sequence[int] | None, source: Source
) -> dict[str, Any]:
    query = sql.SQL("EXPLAIN (FORMAT JSON) SELECT FROM {} m WHERE {}").format(
        _sql(source.relation), is_within(period, phases, source)
    )
    plan: dict[str, Any] = fetch_value(connection, query)[0]["Plan"]
    return plan


def no_rows_text(
    connection: Connection, period: Period, phases: Sequence[int] | None, source: Source = COIN_METRICS
) -> str:
    """That the period has no rows of these phases, and when there are some."""
    query: LiteralString = """
        SELECT ml_internal.no_rows_text(%s, %s, %s, r.first_at, r.last_at, %s)
        FROM ml_internal.metrics_range(%s) r
    """
    csv = None if phases is None else ",".join(map(str, phases))
    name = source.name
    return str(fetch_value(connection, query, [period.start, period.end, csv, name, name]))


@dataclass(frozen=True)
class Stream:
    """Rows of a period, in any order.

    Each row has its coin (text), its time (timestamptz, sent as an int8), where labels are wanted what its
    target says (boolean), where the kind of label asks for numbers the target, the goal and perhaps the stop
    (numeric), and the features. All but coin and time may be NULL.

    With a horizon a label may be read from a row of whichever phase. Then rows of other phases come, too, but
    without their features.

    Attributes:
        period_end: the first moment of which nothing is known.
        types: types of the features.
        has_label: whether labels are wanted.
        num_numbers: how many numbers each row has for its label.
        has_other_phases: behind what the target says each row has whether it is of the chosen phases
            (boolean).
        source: name of what they are of.
        batches: the rows.
    """

    period_end: datetime
    types: tuple[str, ...]
    has_label: bool
    num_numbers: int
    has_other_phases: bool
    batches: Iterator[Batch]
    source: str = COIN_METRICS.name


def stream_dataset(
    connections: Sequence[Connection],
    label: Label | None,
    features: Sequence[str],
    period: Period,
    phases: Sequence[int] | None,
    *,
    source: Source = COIN_METRICS,
) -> Stream:
    """Read the rows of a period by one connection, or a half by each of two, as of one moment.

    To sort, to number the coins, to look ahead and to turn numeric into floating point is left to
    :func:`worker.child.dataset.decode`: the server would take longer for it than for all the rest.
    """
    named = [label.target, label.base or label.target] if label else []
    types = _types(connections[0], [*named, *features], source)
    has_other_phases = label is not None and label.future_minutes is not None and phases is not None
    parts = [period] if len(connections) == 1 else _halves(connections[0], period, phases, source)
    copies = [
        (
            connection,
            _query(label, types, features, part, phases, source=source, has_other_phases=has_other_phases),
        )
        for connection, part in zip(connections, parts, strict=True)
    ]
    return Stream(
        period_end=period.end,
        types=tuple(types[feature] or "float8" for feature in features),
        has_label=label is not None,
        num_numbers=len(_numbers(label, types)) if label else 0,
        has_other_phases=has_other_phases,
        batches=_read_at_one_moment(copies),
        source=source.name,
    )


def _read_at_one_moment(copies: Sequence[tuple[Connection, sql.Composed]]) -> Iterator[Batch]:
    (first, _), *others = copies
    with ExitStack() as stack:
        if others:
            stack.enter_context(first.transaction())
            first.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            snapshot = sql.Literal(fetch_value(first, "SELECT pg_export_snapshot()"))
            for connection, _ in others:
                stack.enter_context(connection.transaction())
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(snapshot))
        yield from read(copies)


def can_split(connection: Connection, period: Period, phases: Sequence[int] | None, source: Source) -> bool:
    """Whether two connections, a half each, read less than one would twice.

    Of a table always. A view may have to be made as a whole for either half, and what another server sends is
    not of one moment.
    """
    if source.is_counted:
        return True
    whole = _plan(connection, period, phases, source)
    if "Foreign Scan" in _node_types(whole):
        return False
    halves = _halves(connection, period, phases, source)
    cost = sum(float(_plan(connection, half, phases, source)["Total Cost"]) for half in halves)
    return cost < 1.5 * float(whole["Total Cost"])


def _node_types(plan: dict[str, Any]) -> Iterator[str]:
    yield plan["Node Type"]
    for below in plan.get("Plans", ()):
        yield from _node_types(below)


def _halves(
    connection: Connection, period: Period, phases: Sequence[int] | None, source: Source
) -> list[Period]:
    """A period in two parts of about as many rows each, as far as the planner can tell."""
    half = estimate_rows(connection, period, phases, source) / 2
    low, high = period.start, period.end
    for _ in range(_HALVINGS):
        middle = low + (high - low) / 2
        if estimate_rows(connection, Period(period.start, middle), phases, source) < half:
            low = middle
        else:
            high = middle
    return [Period(period.start, high), Period(high, period.end)]


def _types(connection: Connection, names: Sequence[str], source: Source) -> dict[str, str | None]:
    """Types of columns by their names, None for one that is not known here, which the server has to cast."""
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("SELECT {} FROM {} LIMIT 0").format(columns, _sql(source.relation)))
        found = [connection.adapters.types.get(column.type_code) for column in cursor.description or []]
    known = [info.name if info and info.name in DECODED else None for info in found]
    return dict(zip(names, known, strict=True))


def _query(
    label: Label | None,
    types: dict[str, str | None],
    features: Sequence[str],
    period: Period,
    phases: Sequence[int] | None,
    *,
    source: Source,
    has_other_phases: bool,
) -> sql.Composed:
    is_chosen = _is_of(phases, source)

    def value_of(feature: str) -> sql.Composed:
        value = sql.SQL("m.{}" if types[feature] else "m.{}::float8").format(sql.Identifier(feature))
        return sql.SQL("CASE WHEN {} THEN {} END").format(is_chosen, value) if has_other_phases else value

    fields = [
        _sql(source.key),
        _sql(source.moment),
        *([_says(label, types)] if label else []),
        *([is_chosen] if has_other_phases else []),
        *(_numbers(label, types) if label else []),
        *map(value_of, features),
    ]
    return sql.SQL(
        """
        COPY (
            SELECT {fields}
            FROM {relation} m
            WHERE {where}
        ) TO STDOUT (FORMAT binary)
        """
    ).format(
        fields=sql.SQL(", ").join(fields),
        relation=_sql(source.relation),
        where=is_within(period, None if has_other_phases else phases, source),
    )


def _numeric(column: str, types: dict[str, str | None]) -> sql.Composed:
    """A column of a row ``m`` as numeric. No boolean is cast to that at once."""
    cast = "::integer::numeric" if types[column] == "bool" else "::numeric"
    return sql.SQL("m.{}{}").format(sql.Identifier(column), sql.SQL(cast))


def _says(label: Label, types: dict[str, str | None]) -> sql.Composed:
    """What the server says of a row's target; where it sends numbers, nothing is left to say."""
    if not labels.load(label.kind).COMPARED_BY_SERVER:
        return sql.SQL("NULL::boolean").format()
    return sql.SQL("ml_internal.is_positive({}, nullif({}, 'NaN'), {})").format(
        label.operator, _numeric(label.target, types), Decimal(label.value)
    )


def _numbers(label: Label, types: dict[str, str | None]) -> list[sql.Composed]:
    """The target of a row ``m``, what it is compared with, and what it must not reach before."""
    if labels.load(label.kind).COMPARED_BY_SERVER:
        return []
    levels = [Decimal(level) for level in (label.value, label.stop_value) if level is not None]
    if label.base is None:
        goals = [sql.SQL("{}::numeric").format(level) for level in levels]
    else:
        base = _numeric(label.base, types)
        goals = [sql.SQL("ml_internal.changed_by({}, {})").format(base, level) for level in levels]
    return [_numeric(label.target, types), *goals]


def is_within(period: Period, phases: Sequence[int] | None, source: Source) -> sql.Composed:
    """Condition that a row ``m`` is of the period and of these phases."""
    bound = _sql(source.bound)
    return sql.SQL("{moment} >= {start} AND {moment} < {end} AND {is_of}").format(
        moment=_sql(source.moment_column),
        start=bound.format(period.start),
        end=bound.format(period.end),
        is_of=_is_of(phases, source),
    )


def _is_of(phases: Sequence[int] | None, source: Source) -> sql.Composable:
    """Condition that a row ``m`` is of these phases."""
    if phases is None or source.phase is None:
        return sql.SQL("true")
    return sql.SQL("{} = ANY ({})").format(_sql(source.phase), list(phases))


def relation_of(source: Source) -> sql.SQL:
    """The relation of a source."""
    return _sql(source.relation)


def _sql(told: str) -> sql.SQL:
    """What ``ml_internal.describe_source`` tells is SQL, and has its names quoted."""
    return sql.SQL(told)
