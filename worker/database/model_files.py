"""The files of models that are kept in the database."""

from dataclasses import dataclass
from typing import LiteralString

from psycopg.rows import class_row

from worker.database.connection import Connection


@dataclass(frozen=True)
class Recorded:
    """A model's file as its training run recorded it, and whether the database has a copy."""

    model_id: int
    name: str
    job_id: int
    attempt: int
    path: str
    sha256: str
    num_bytes: int
    is_stored: bool
    threshold: float


_RECORDED: LiteralString = """
    SELECT m.id AS model_id, m.name, r.job_id, r.attempt,
        r.artifact_path AS path, r.artifact_sha256 AS sha256, r.artifact_bytes AS num_bytes,
        f.job_id IS NOT NULL AS is_stored, r.threshold
    FROM public.ml_training_runs r
    JOIN public.ml_models m ON m.id = r.model_id
    LEFT JOIN public.ml_model_files f ON f.job_id = r.job_id
"""


def recorded_files(connection: Connection) -> list[Recorded]:
    """Files of all models, also of deleted ones, which can be taken back."""
    with connection.cursor(row_factory=class_row(Recorded)) as cursor:
        return cursor.execute(_RECORDED + "ORDER BY m.id").fetchall()


def find(connection: Connection, model: str) -> Recorded | None:
    """File of a READY model by its name, or else its id."""
    with connection.cursor(row_factory=class_row(Recorded)) as cursor:
        return cursor.execute(
            _RECORDED
            + """
            WHERE m.name = %(model)s AND NOT m.is_deleted OR m.id::text = %(model)s
            ORDER BY m.name = %(model)s AND NOT m.is_deleted DESC
            LIMIT 1
            """,
            {"model": model},
        ).fetchone()


def most_bytes(connection: Connection) -> int:
    """Size of the largest file that the database keeps."""
    row = connection.execute("SELECT s.max_stored_model_bytes FROM public.ml_settings s").fetchone()
    return int(row[0]) if row else 0


def store(connection: Connection, job_id: int, attempt: int, content: bytes) -> None:
    """Keep the file of a model, before the result of the attempt or at any time after it."""
    query = "SELECT ml_internal.store_model_file(%s, %s, %b)"
    connection.execute(query, [job_id, attempt, content])


def fetch(connection: Connection, model_id: int) -> bytes | None:
    """The file of a model, None where the database has none."""
    with connection.cursor(binary=True) as cursor:
        row = cursor.execute(
            """
            SELECT f.content
            FROM public.ml_model_files f
            JOIN public.ml_models m ON m.train_job_id = f.job_id
            WHERE m.id = %s
            """,
            [model_id],
        ).fetchone()
    return bytes(row[0]) if row else None
