"""What a client does: load data, insert jobs, look at them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from worker.database.connection import Connection

# Queries on results, as a user would type them.
EXAMPLES = (
    """SELECT rank, id, name, test_samples AS samples, test_accuracy AS accuracy,
       test_precision AS precision, test_recall AS recall, test_f1 AS f1, test_roc_auc AS roc_auc
FROM ml_leaderboard;""",
    """SELECT m.name, t.tp, t.fp, t.fn, t.tn, t.has_overlap, t.feature_importance_csv
FROM ml_test_results t
JOIN ml_models m ON m.id = t.model_id
ORDER BY t.id;""",
    """SELECT c.num_samples, a.name AS a, c.a_f1, c.a_accuracy, b.name AS b, c.b_f1, c.b_accuracy,
       w.name AS winner
FROM ml_comparisons c
JOIN ml_models a ON a.id = c.model_a_id
JOIN ml_models b ON b.id = c.model_b_id
LEFT JOIN ml_models w ON w.id = c.winner_id;""",
)


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


def fetch_model_ids(connection: Connection) -> list[int]:
    """Ids of all models."""
    return [model_id for (model_id,) in connection.execute("SELECT id FROM ml_models ORDER BY id")]


def fetch_best_model_ids(connection: Connection, number: int) -> list[int]:
    """Ids of the models that lead."""
    rows = connection.execute("SELECT id FROM ml_leaderboard ORDER BY rank, id LIMIT %s", [number])
    return [model_id for (model_id,) in rows]


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
