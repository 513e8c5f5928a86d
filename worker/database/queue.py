"""The supervisor's calls on the queue, each named as the routine that it calls."""

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from worker.database.connection import Connection, fetch_value
from worker.protocol import Job

BYTES_A_SECOND = 5e6  # of a model's numbers, that a busy server records: 20e6 is usual
# What this worker knows beside the kinds of job: older ones do not get such jobs.
KNOWS = ["+sources", "+splits"]


class SupersededError(psycopg.DatabaseError):
    """ML001: the attempt no longer holds its job; what it made must be discarded."""

    sqlstate = "ML001"


def limit_lock_waits(connection: Connection, wait: timedelta) -> None:
    """Give up on a row that another session has locked after this time, with LockNotAvailable."""
    connection.execute(
        "SELECT set_config('lock_timeout', %s, false)", [str(int(wait.total_seconds() * 1000))]
    )


def listen(connection: Connection, note: Callable[[], None]) -> None:
    """Be told when there is something to look at in the queue.

    ``note`` is called for each notification that a call finds on the connection; none is kept. For those that
    come between two calls see :func:`was_notified`.
    """
    connection.add_notify_handler(lambda _notification: note())
    connection.execute("LISTEN ml_jobs")


def was_notified(connection: Connection) -> bool:
    """Take the notifications that the server has sent unasked, without waiting; whether there was any.

    They may lie behind the last answer, already read: then the socket does not become readable for them. A
    connection that broke shows here, too: at once what the server said last, and then that it is gone.
    """
    connection.pgconn.consume_input()
    connection.pgconn.consume_input()
    found = False
    while connection.pgconn.notifies() is not None:
        found = True
    return found


def folder_name(connection: Connection) -> str:
    """Name of this database's folder in that of the model files."""
    return str(fetch_value(connection, "SELECT ml_internal.folder_name()"))


def claim_job(
    connection: Connection,
    worker_id: str,
    lease: timedelta,
    kinds: Collection[str],
    but: Collection[int] = (),
) -> Job | None:
    """Take the next job of these kinds, but none of these ids; None if none waits."""
    with connection.cursor(row_factory=class_row(Job)) as cursor:
        cursor.execute(
            """
            SELECT j.id, j.attempt, j.job_type, date_part('epoch', j.started_at - j.created_at) AS waited,
                j.max_minutes::float8 AS max_minutes
            FROM ml_internal.claim_job(%s, %s, %s, %s) j
            """,
            [worker_id, lease, [*sorted(kinds), *KNOWS], list(but)],
        )
        return cursor.fetchone()


def assignment(connection: Connection, job: Job) -> dict[str, Any]:
    """All that a claimed job asks for, see :func:`worker.child.assignment.read`."""
    told: dict[str, Any] = fetch_value(connection, "SELECT ml_internal.assignment(%s)", [job.id])
    return told


def record_progress(
    connection: Connection, job: Job, progress: float, message: str | None, lease: timedelta
) -> None:
    """Show progress and renew the lease.

    Raises:
        SupersededError: the attempt no longer holds the job.
    """
    _call(connection, "record_progress", job, round(progress, 2), message, lease)


def record_failure(connection: Connection, job: Job, message: str) -> str:
    """End the job as FAILED. Raises SupersededError."""
    return str(_call(connection, "record_failure", job, message))


def record_loss(connection: Connection, job: Job, message: str) -> str:
    """Report that the attempt died; returns the job's new status. Raises SupersededError."""
    return str(_call(connection, "record_loss", job, message))


def release_job(connection: Connection, job: Job, message: str) -> str:
    """Give the job back unharmed. Raises SupersededError."""
    return str(_call(connection, "release_job", job, message))


def record_sign(  # noqa: PLR0917
    connection: Connection,
    worker_id: str,
    concurrency: int,
    alive_for: timedelta,
    reason: str | None,
    kinds: Collection[str],
) -> None:
    """Send a heartbeat: this worker polls the queue, and will again within this time.

    Beside it says what it lacks, and which kinds of job it does.
    """
    values = [worker_id, concurrency, alive_for, reason, sorted(kinds)]
    connection.execute("SELECT ml_internal.record_sign(%s, %s, %s, %s, %s)", values)


def notification_usage(connection: Connection) -> float:
    """How full the server's queue of notifications is, 0 to 1; the server frees what it can meanwhile."""
    return float(fetch_value(connection, "SELECT pg_notification_queue_usage()"))


def expire_leases(connection: Connection) -> int:
    """Take away every job whose lease has ended; returns how many. Those past their time it ends."""
    return int(fetch_value(connection, "SELECT ml_internal.expire_leases()"))


def record_result(connection: Connection, job: Job, result: dict[str, Any]) -> int:
    """Record the result of a job of any kind: columns of its result table, and rows of fact tables.

    Returns:
        The id of the row of the result table.

    Raises:
        SupersededError: the attempt no longer holds the job.
    """
    return int(_call(connection, "record_result", job, Jsonb(result)))


def record_numbers(connection: Connection, model_id: int, facts: dict[str, Any]) -> bool:
    """Record the numbers of a model that has none; False if another did so by now."""
    return bool(
        fetch_value(connection, "SELECT ml_internal.record_numbers(%s, %s)", [model_id, Jsonb(facts)])
    )


def seconds_to_record(result: dict[str, Any]) -> float:
    """How much longer than other calls the server may take for the rows of fact tables in a result."""
    sizes = (
        len(value)
        for rows in result.values()
        if isinstance(rows, list)
        for row in rows
        for value in row.values()
        if isinstance(value, str)
    )
    return sum(sizes) / BYTES_A_SECOND


def held_jobs(connection: Connection, worker_id: str) -> list[Job]:
    """Jobs that the database takes for running on this worker."""
    with connection.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(
            "SELECT id, attempt, job_type FROM public.ml_jobs WHERE status = 'RUNNING' AND worker_id = %s",
            [worker_id],
        ).fetchall()


def open_jobs(connection: Connection, ids: Collection[int]) -> dict[int, bool]:
    """Those of these jobs that have not ended, and whether each waits for a worker."""
    query = """
        SELECT id, status = 'PENDING' FROM public.ml_jobs
        WHERE id = ANY (%s) AND status IN ('PENDING', 'RUNNING')
        """
    return dict(connection.execute(query, [list(ids)]).fetchall())


def is_completed(connection: Connection, job: Job) -> bool:
    """Whether this attempt has completed its job."""
    query = "SELECT status = 'COMPLETED' AND attempt = %s FROM public.ml_jobs WHERE id = %s"
    return bool(fetch_value(connection, query, [job.attempt, job.id]))


def lost_jobs(connection: Connection, jobs: Sequence[Job]) -> set[int]:
    """Ids of those jobs that these attempts no longer hold: cancelled or taken over."""
    rows = connection.execute(
        """
        SELECT held.id
        FROM unnest(%s::bigint[], %s::integer[]) AS held (id, attempt)
        LEFT JOIN public.ml_jobs j ON j.id = held.id AND j.attempt = held.attempt AND j.status = 'RUNNING'
        WHERE j.id IS NULL
        """,
        [[job.id for job in jobs], [job.attempt for job in jobs]],
    )
    return {job_id for (job_id,) in rows}


def _call(connection: Connection, routine: LiteralString, job: Job, *args: Any) -> Any:
    # PostgreSQL does not turn a double into a numeric argument by itself.
    values = [Decimal(str(value)) if isinstance(value, float) else value for value in args]
    places = sql.SQL(", ").join([sql.SQL("%s")] * (2 + len(args)))
    query = sql.SQL("SELECT ml_internal.{}({})").format(sql.Identifier(routine), places)
    try:
        row = connection.execute(query, [job.id, job.attempt, *values]).fetchone()
    except psycopg.DatabaseError as error:
        if error.sqlstate == SupersededError.sqlstate:
            raise SupersededError(str(error)) from error
        raise
    return row[0] if row else None
