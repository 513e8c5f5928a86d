"""What a child reads: its assignment, the model's hyperparameters, and the rows."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import LiteralString

from psycopg import sql
from psycopg.rows import class_row, dict_row

from worker.child.assignment import Assignment, Model, Period
from worker.child.labels.value import OTHER_PHASE
from worker.database.connection import Connection, fetch_value
from worker.protocol import Job

_JOB: LiteralString = """
    SELECT j.test_model_id, j.compare_model_a_id, j.compare_model_b_id,
        coalesce(j.train_start, j.test_start, j.compare_start) AS start,
        coalesce(j.train_end, j.test_end, j.compare_end) AS end
    FROM public.ml_jobs j
    WHERE j.id = %s
"""
_MODEL = """
    SELECT m.id, m.model_type, m.target_variable, m.target_operator, m.target_value, m.future_minutes,
        m.train_start, m.train_end, m.test_size::float8, m.random_state, m.features_csv, m.phases_csv,
        r.artifact_path, r.artifact_sha256
    FROM public.ml_models m
    LEFT JOIN public.ml_training_runs r ON r.model_id = m.id
    WHERE m.{} = %s
"""
_OPERATORS: dict[str, LiteralString] = {">": ">", "<": "<", ">=": ">=", "<=": "<=", "=": "=", "!=": "<>"}


def rehearse(connection: Connection) -> None:
    """Ask once, of no job, what every job asks: a new session reads the catalog for that, and makes plans."""
    connection.execute(_JOB, [0])
    for key in ("train_job_id", "id"):
        connection.execute(sql.SQL(_MODEL).format(sql.Identifier(key)), [0])
    fetch_params(connection, 0)
    epoch = datetime.fromtimestamp(0, UTC)
    estimate_rows(connection, Period(epoch, epoch), None)


def fetch_assignment(connection: Connection, job: Job) -> Assignment:
    """Read what a claimed job asks for."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_JOB, [job.id]).fetchone()
    assert row is not None  # noqa: S101  # jobs that were claimed are there
    columns = ("test_model_id", "compare_model_a_id", "compare_model_b_id")
    ids = [row[column] for column in columns if row[column] is not None]
    asked = [("id", model_id) for model_id in ids] or [("train_job_id", job.id)]
    models = [model for key, value in asked for model in _fetch_models(connection, key, value)]
    phases = [set(map(int, model.phases_csv.split(","))) for model in models if model.phases_csv]
    return Assignment(
        job=job,
        models=tuple(models),
        period=Period(row["start"], row["end"]),
        phases=tuple(sorted(set.intersection(*phases))) if phases else None,
    )


def fetch_params(connection: Connection, model_id: int) -> dict[str, tuple[str, str]]:
    """Every hyperparameter of the model's type: name to (kind, value as text)."""
    rows = connection.execute(
        "SELECT param, kind, value FROM public.ml_model_params WHERE model_id = %s", [model_id]
    )
    return {param: (kind, value) for param, kind, value in rows}


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


def stream_dataset(
    connection: Connection,
    model: Model,
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
    chosen_only = model.future_minutes is None or phases is None

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
                (CASE
                    WHEN nullif(m.{target}::numeric, 'NaN') IS NULL THEN -1
                    WHEN m.{target}::numeric {operator} {value} THEN 1
                    ELSE 0
                END - {less})::int2,
                {features}
            FROM public.coin_metrics m
            WHERE m."timestamp" >= {start} AND m."timestamp" < {end} AND {where}
        ) TO STDOUT (FORMAT binary)
        """
    ).format(
        padding=bytes(16),
        target=sql.Identifier(model.target_variable),
        operator=sql.SQL(_OPERATORS[model.target_operator]),
        value=model.target_value,
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


def _fetch_models(connection: Connection, key: str, value: int) -> list[Model]:
    with connection.cursor(row_factory=class_row(Model)) as cursor:
        return cursor.execute(sql.SQL(_MODEL).format(sql.Identifier(key)), [value]).fetchall()
