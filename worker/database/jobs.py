"""What a client does: load data, insert jobs, look at them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, LiteralString

from psycopg import sql
from psycopg.rows import dict_row

from worker.database.connection import Connection, fetch_value

# Queries on results, as a user would type them.
EXAMPLES = (
    """SELECT rank_by_f1, name, test_f1 AS f1, test_roc_auc AS roc_auc,
       test_average_precision AS avg_precision
FROM ml_leaderboard
LIMIT 10;""",
    """SELECT m.name, t.tp, t.fp, t.fn, t.tn,
       split_part(t.feature_importance_csv, ';', 1) AS most_important
FROM ml_test_results t
JOIN ml_models m ON m.id = t.model_id
ORDER BY t.id DESC
LIMIT 5;""",
    """SELECT a.name AS a, c.a_f1, b.name AS b, c.b_f1, w.name AS winner
FROM ml_comparisons c
JOIN ml_models a ON a.id = c.model_a_id
JOIN ml_models b ON b.id = c.model_b_id
LEFT JOIN ml_models w ON w.id = c.winner_id
ORDER BY c.id DESC
LIMIT 1;""",
    """SELECT verdict FROM ml_comparisons ORDER BY id DESC LIMIT 1;""",
)

_ASK: LiteralString = """SELECT (c).mint, (c).timestamp, round(ml.predict({}, c)::numeric, 4) AS chance
FROM (
    SELECT DISTINCT ON (c.mint) c
    FROM coin_metrics c
    WHERE c.timestamp > (SELECT max(timestamp) FROM coin_metrics) - interval '1 hour'
    ORDER BY c.mint, c.timestamp DESC
) AS newest
ORDER BY chance DESC
LIMIT 5;"""


def question_text(connection: Connection, model_id: int) -> str:
    """Which of the coins, asked of a model, as a user would type it."""
    name = fetch_value(connection, "SELECT name FROM public.ml_models WHERE id = %s", [model_id])
    return sql.SQL(_ASK).format(sql.Literal(name)).as_string(connection)


def insert_job_text(connection: Connection, fields: Mapping[str, Any]) -> str:
    """The INSERT of :func:`insert_job`, as a user would type it."""
    return (
        sql.SQL("INSERT INTO ml_jobs ({})\nVALUES ({});")
        .format(
            sql.SQL(", ").join(map(sql.Identifier, fields)),
            sql.SQL(", ").join(map(sql.Literal, fields.values())),
        )
        .as_string(connection)
        .replace('"', "")
    )


def insert_job(connection: Connection, fields: Mapping[str, Any]) -> int:
    """Insert a job; returns its id.

    Raises:
        psycopg.IntegrityError: the job was refused; ``diag`` has the message and the hint.
    """
    query = sql.SQL("INSERT INTO ml_jobs ({}) VALUES ({}) RETURNING id").format(
        sql.SQL(", ").join(map(sql.Identifier, fields)),
        sql.SQL(", ").join([sql.SQL("%s")] * len(fields)),
    )
    row = connection.execute(query, list(fields.values())).fetchone()
    assert row is not None  # noqa: S101  # RETURNING gives a row
    return int(row[0])


def fetch_jobs(connection: Connection, ids: Sequence[int]) -> list[dict[str, Any]]:
    """State of these jobs, each with the name of its model."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            SELECT j.id, j.job_type, j.status, j.progress, j.progress_msg, j.error_msg, j.completed_at,
                j.model
            FROM ml.jobs j
            WHERE j.id = ANY (%s)
            ORDER BY j.id
            """,
            [list(ids)],
        ).fetchall()


def fetch_model_ids(connection: Connection, job_ids: Sequence[int]) -> list[int]:
    """Ids of the models that these jobs have made."""
    query = "SELECT result_model_id FROM ml_jobs WHERE id = ANY (%s) ORDER BY id"
    return [model_id for (model_id,) in connection.execute(query, [list(job_ids)])]


def fetch_best_model_ids(connection: Connection, among: Sequence[int], number: int) -> list[int]:
    """Ids of the models that lead among these."""
    query = """
        SELECT id FROM ml_leaderboard WHERE id = ANY (%s) GROUP BY id ORDER BY min(rank_by_f1), id LIMIT %s
    """
    return [model_id for (model_id,) in connection.execute(query, [list(among), number])]


def has_metrics(connection: Connection) -> bool:
    """Whether ``coin_metrics`` has any row."""
    return bool(fetch_value(connection, "SELECT EXISTS (SELECT FROM public.coin_metrics)"))


def count_metrics(connection: Connection, start: str, end: str) -> int:
    """Rows of ``coin_metrics`` in a period, the end not included."""
    query = """SELECT count(*) FROM public.coin_metrics WHERE "timestamp" >= %s AND "timestamp" < %s"""
    return int(fetch_value(connection, query, [start, end]))


def copy_metrics(connection: Connection, columns: Sequence[str], blocks: Iterable[bytes]) -> int:
    """Load CSV with a header line into ``coin_metrics``, all of it or nothing; returns the rows loaded.

    Raises:
        psycopg.DataError, psycopg.IntegrityError: a line is bad; ``diag.context`` names it.
    """
    query = sql.SQL("COPY public.coin_metrics ({}) FROM STDIN (FORMAT csv, HEADER true)").format(
        sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with connection.transaction(), connection.cursor() as cursor:
        with cursor.copy(query) as copy:
            for block in blocks:
                copy.write(block)
        rows = cursor.rowcount
    connection.execute("ANALYZE public.coin_metrics")  # the planner should know of them at once
    return rows
