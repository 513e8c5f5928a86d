"""Every SQL statement of the worker, one function a call, named as the routine that it calls.

Connections are in autocommit mode: a call is a transaction, and none is open while a job works.
"""

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import class_row, dict_row

from worker.assignment import OTHER_PHASE, Assignment, Job, Model, Period
from worker.deadlines import deadline

SCHEMA_VERSION = 3
INSTALL_LOCK = 0x6D6C  # advisory lock that installers take, "ml" in ASCII

Connection = psycopg.Connection[tuple[Any, ...]]

# Errors after which a new connection may help: it broke, or the server has become a standby.
LOST = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)


class SupersededError(psycopg.DatabaseError):
    """ML001: the attempt no longer holds its job; what it made must be discarded."""

    sqlstate = "ML001"


class UnsuitableDatabaseError(Exception):
    """The database cannot be worked with; the message says why and what to do."""


def connect(url: str, role: str | None = None, timeout: float = 10) -> Connection:
    """Open a connection in autocommit mode, with the rights of ``role`` alone if one is given.

    Raises:
        psycopg.OperationalError: the server cannot be reached.
        UnsuitableDatabaseError: ``url`` is none, the role is missing, or this login may not use it.
    """
    _check_url(url)
    connection = psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=max(2, int(timeout)),
        application_name="ml-worker",
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=25_000,  # keepalives say nothing while sent data waits for an answer
    )
    if role is not None:
        try:
            with deadline(connection, timeout):
                connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
                if role == "ml_worker":
                    # Nobody else's operators and functions, even where everybody may create some in public.
                    connection.execute("SET search_path TO pg_catalog, pg_temp")
                # Columns without a time zone are read as UTC, wherever the worker runs.
                connection.execute("SET TimeZone TO 'UTC'")
        except (psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedObject) as error:
            connection.close()
            raise UnsuitableDatabaseError(f"the role {role} is missing; run: ml-worker install") from error
        except psycopg.errors.InsufficientPrivilege as error:
            user = connection.info.user
            connection.close()
            raise UnsuitableDatabaseError(
                f'the login {user} may not work here; as an administrator run: GRANT {role} TO "{user}"'
            ) from error
    return connection


def connect_reader(url: str, timeout: float = 10) -> Connection:
    """Open a connection that only reads, as whatever login ``url`` has; ``ml_reader`` suffices.

    Raises:
        psycopg.OperationalError: the server cannot be reached.
        UnsuitableDatabaseError: the login may not read, or the schema is missing, older or newer.
    """
    connection = connect(url, timeout=timeout)
    try:
        with deadline(connection, timeout):
            connection.execute("SET default_transaction_read_only TO on")
            check_version(connection, to_read=True)
            connection.execute("SELECT FROM public.ml_queue LIMIT 0")
    except psycopg.errors.InsufficientPrivilege as error:
        user = connection.info.user
        connection.close()
        raise UnsuitableDatabaseError(
            f'the login {user} may not read here; as an administrator run: GRANT ml_reader TO "{user}"'
        ) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _check_url(url: str) -> None:
    """Refuse a connection string that libpq would take apart wrongly, and then show parts of a password."""
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        given = {"host": "@"}
    ports = str(given.get("port") or "").replace(",", "")
    if "@" in str(given.get("host")) or not (ports.isdigit() or ports == ""):
        raise UnsuitableDatabaseError(
            "DATABASE_URL is not a connection string like postgresql://user:password@host:5432/dbname; "
            "in a password, write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and % as %25"
        ) from None


def ping(connection: Connection) -> None:
    """See that the server answers. Raises psycopg.OperationalError."""
    connection.execute("SELECT")


def name_and_host(url: str) -> tuple[str, str]:
    """What a connection string leads to, in words that a user knows it by."""
    given = conninfo_to_dict(url)
    return str(given.get("dbname") or given.get("user") or ""), str(given.get("host") or "localhost")


# ── Installing ──────────────────────────────────────────────────────────────────────────────────────


def installed_version(connection: Connection) -> int | None:
    """Version of the schema in this database; None if there is none."""
    if _value(connection, "SELECT to_regclass('ml.schema_version')") is None:
        return None
    version: int | None = _value(connection, "SELECT max(version) FROM ml.schema_version")
    return version


def check_version(connection: Connection, *, to_read: bool = False) -> None:
    """Refuse a database that this worker was not made for.

    Raises:
        UnsuitableDatabaseError: the schema is missing, older or newer, or the server is a standby, which is
            good enough to read.
    """
    if not to_read and _value(connection, "SELECT pg_is_in_recovery()"):
        raise UnsuitableDatabaseError(
            f"the server {connection.info.host} is a standby and takes no changes; connect to the primary"
        )
    version = installed_version(connection)
    if version is None:
        raise UnsuitableDatabaseError(
            f"the database {connection.info.dbname} has no ML schema; run: ml-worker install"
        )
    if version < SCHEMA_VERSION:
        raise UnsuitableDatabaseError(
            f"the database {connection.info.dbname} has schema version {version}, this worker needs "
            f"{SCHEMA_VERSION}; run: ml-worker install"
        )
    if version > SCHEMA_VERSION:
        raise UnsuitableDatabaseError(
            f"the database {connection.info.dbname} has schema version {version}, newer than this worker's "
            f"{SCHEMA_VERSION}; install the newer ml-worker"
        )


def check_notifications(connection: Connection, url: str, timeout: float) -> None:
    """Refuse a pooler that hands a session's server on between transactions: notifications would be lost.

    Raises:
        UnsuitableDatabaseError: a notification did not reach this connection while it was idle.
    """
    if _value(connection, "SELECT pg_backend_pid()") == connection.info.backend_pid:
        return  # no pooler: it gives numbers of its own
    channel = f"ml_probe_{secrets.token_hex(8)}"
    connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
    with connect(url) as sender:
        sender.execute(sql.SQL("NOTIFY {}").format(sql.Identifier(channel)))
    if not any(True for _ in connection.notifies(timeout=timeout, stop_after=1)):
        raise UnsuitableDatabaseError(
            f"the server {connection.info.host} is a connection pooler in transaction mode, which loses "
            "notifications; connect to PostgreSQL itself, or to a pool in session mode"
        )
    connection.execute(sql.SQL("UNLISTEN {}").format(sql.Identifier(channel)))


def install(connection: Connection, upgrades: Mapping[int, str], files: Iterable[str]) -> None:
    """Apply what is missing of ``sql/upgrades/``, then the files of ``sql/``, in one transaction.

    One installer at a time; it waits for those who read or write, and they for it.
    """
    with connection.transaction():
        connection.execute("SET LOCAL client_min_messages = warning")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [INSTALL_LOCK])
        if (installed := installed_version(connection)) is not None:
            _keep_everybody_out(connection)
            for version in range(installed + 1, SCHEMA_VERSION + 1):
                connection.execute(upgrades[version].encode())
        for text in files:
            connection.execute(text.encode())


def _keep_everybody_out(connection: Connection) -> None:
    """Lock our tables and views, also against those who read: to replace a view needs that.

    It takes all of them within half a second or lets go of all: somebody may hold one and wait for another,
    and PostgreSQL looks for deadlocks after a second. With ml_jobs first, those who write mostly finish.
    """
    names = _value(
        connection,
        """
        SELECT string_agg(format('public.%I', c.relname), ', ' ORDER BY c.relname <> 'ml_jobs', c.relname)
        FROM pg_catalog.pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')
            AND c.relname LIKE 'ml\\_%'
            AND c.relname NOT IN ('ml_metric_columns', 'ml_dim_features')  -- they read the catalog
            AND pg_catalog.pg_has_role(c.relowner, 'USAGE')
        """,
    )
    while names is not None:
        try:
            with connection.transaction():
                connection.execute("SET LOCAL statement_timeout = '500ms'")
                connection.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE".encode())
                connection.execute("SET LOCAL statement_timeout TO DEFAULT")
        except psycopg.errors.QueryCanceled:
            time.sleep(0.1)
        else:
            return


def ensure_database(connection: Connection, name: str) -> None:
    """Create the database if it is not there."""
    if connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def recreate_database(connection: Connection, name: str) -> None:
    """Drop the database if it is there and create it empty."""
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


# ── The queue ───────────────────────────────────────────────────────────────────────────────────────


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
    connection that broke shows here, too.
    """
    connection.pgconn.consume_input()
    found = False
    while connection.pgconn.notifies() is not None:
        found = True
    return found


def claim_job(connection: Connection, worker_id: str, lease: timedelta) -> Job | None:
    """Take the next job; None if none waits."""
    with connection.cursor(row_factory=class_row(Job)) as cursor:
        cursor.execute(
            """
            SELECT j.id, j.attempt, j.job_type, date_part('epoch', j.started_at - j.created_at) AS waited
            FROM ml.claim_job(%s, %s) j
            """,
            [worker_id, lease],
        )
        return cursor.fetchone()


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


def record_sign(connection: Connection, worker_id: str, concurrency: int, alive_for: timedelta) -> None:
    """Tell that this worker looks at the queue, and will again within this time."""
    connection.execute("SELECT ml.record_sign(%s, %s, %s)", [worker_id, concurrency, alive_for])


def expire_leases(connection: Connection) -> int:
    """Take away every job whose lease has ended; returns how many."""
    return int(_value(connection, "SELECT ml.expire_leases()"))


def record_result(connection: Connection, job: Job, result: dict[str, Any]) -> int:
    """Record the result of a job, given as the arguments of its routine without their ``p_``.

    Returns:
        The id of the training run, test result or comparison.

    Raises:
        SupersededError: the attempt no longer holds the job.
    """
    routine = {"TRAIN": "record_training", "TEST": "record_test", "COMPARE": "record_comparison"}
    named = {f"p_{name}": value for name, value in result.items()}
    return int(_call(connection, routine[job.job_type], job, **named))


def held_jobs(connection: Connection, worker_id: str) -> list[Job]:
    """Jobs that the database takes for running on this worker."""
    with connection.cursor(row_factory=class_row(Job)) as cursor:
        return cursor.execute(
            "SELECT id, attempt, job_type FROM public.ml_jobs WHERE status = 'RUNNING' AND worker_id = %s",
            [worker_id],
        ).fetchall()


def living_workers(connection: Connection, host: str) -> list[str]:
    """Workers on this host that look at the queue."""
    rows = connection.execute("SELECT worker_id FROM public.ml_workers WHERE host = %s", [host])
    return [worker_id for (worker_id,) in rows]


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


# ── The model files ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Recorded:
    """A model's file as its training run recorded it."""

    model_id: int
    name: str
    path: str
    sha256: str


def recorded_files(connection: Connection) -> list[Recorded]:
    """Files of all models, also of deleted ones, which can be taken back."""
    with connection.cursor(row_factory=class_row(Recorded)) as cursor:
        return cursor.execute(
            """
            SELECT m.id AS model_id, m.name, r.artifact_path AS path, r.artifact_sha256 AS sha256
            FROM public.ml_training_runs r
            JOIN public.ml_models m ON m.id = r.model_id
            ORDER BY m.id
            """
        ).fetchall()


def running_attempts(connection: Connection) -> set[tuple[int, int]]:
    """Attempts that may be writing a file: (model id, attempt)."""
    rows = connection.execute(
        """
        SELECT m.id, j.attempt
        FROM public.ml_jobs j
        JOIN public.ml_models m ON m.train_job_id = j.id
        WHERE j.status = 'RUNNING'
        """
    )
    return {(model_id, attempt) for model_id, attempt in rows}


# ── The data of a job ───────────────────────────────────────────────────────────────────────────────

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
    if job.job_type == "TRAIN":
        models = [_fetch_model(connection, "train_job_id", job.id)]
    else:
        ids = [row["test_model_id"], row["compare_model_a_id"], row["compare_model_b_id"]]
        models = [_fetch_model(connection, "id", model_id) for model_id in ids if model_id is not None]
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
    plan = _value(
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

    To sort, to number the coins and to look ahead is left to :func:`worker.datasets.decode`: the server would
    take longer for it than for all the rest.
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


_OPERATORS: dict[str, LiteralString] = {">": ">", "<": "<", ">=": ">=", "<=": "<=", "=": "=", "!=": "<>"}


# ── Source data ─────────────────────────────────────────────────────────────────────────────────────


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


# ── What an operator sees ───────────────────────────────────────────────────────────────────────────


def count_queue(connection: Connection) -> list[dict[str, Any]]:
    """Jobs that wait or run by type and state, and the age in seconds of the oldest that waits.

    It reads those alone, by their index: jobs that have ended cost nothing.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            SELECT j.job_type, j.status, count(*) AS jobs,
                greatest(0, date_part('epoch', clock_timestamp() - min(j.created_at))) AS oldest
            FROM public.ml_jobs j
            WHERE j.status IN ('PENDING', 'RUNNING')
            GROUP BY j.job_type, j.status
            """
        ).fetchall()


def listen_status(connection: Connection) -> None:
    """Be told when jobs come, start and end: the socket becomes readable. A standby tells nothing."""
    connection.add_notify_handler(lambda _notification: None)  # noted by then, and not kept
    with suppress(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("LISTEN ml_jobs")
        connection.execute("LISTEN ml_job_status")


# By index, however many jobs there are: what runs, the head of the queue, the latest that ended of each type.
_LIVELY_JOBS: LiteralString = """
    SELECT j.id, j.job_type, j.status, j.priority, j.progress::float8 AS progress, j.progress_msg,
        j.error_msg, j.attempt, j.worker_id,
        coalesce(j.train_model_name, t.name, a.name || ' / ' || b.name) AS model,
        date_part('epoch', coalesce(j.started_at, now()) - j.created_at) AS waiting,
        date_part('epoch', coalesce(j.completed_at, now()) - j.started_at) AS running,
        date_part('epoch', now() - j.completed_at) AS ended
    FROM (
        (SELECT * FROM public.ml_jobs WHERE status = 'RUNNING' ORDER BY started_at LIMIT %(limit)s)
        UNION ALL
        (
            SELECT * FROM public.ml_jobs
            WHERE status = 'PENDING' ORDER BY priority, created_at, id LIMIT %(limit)s
        )
        UNION ALL
        (
            SELECT e.*
            FROM (VALUES ('TRAIN'), ('TEST'), ('COMPARE')) y (job_type)
            CROSS JOIN LATERAL (
                SELECT * FROM public.ml_jobs x
                WHERE x.job_type = y.job_type AND x.completed_at IS NOT NULL
                ORDER BY x.completed_at DESC
                LIMIT %(limit)s
            ) e
            ORDER BY e.completed_at DESC
            LIMIT %(limit)s
        )
    ) j
    LEFT JOIN public.ml_models t ON t.id = j.test_model_id
    LEFT JOIN public.ml_models a ON a.id = j.compare_model_a_id
    LEFT JOIN public.ml_models b ON b.id = j.compare_model_b_id
    ORDER BY j.completed_at DESC NULLS FIRST, j.started_at, j.priority, j.created_at, j.id
"""
_LIVING_WORKERS: LiteralString = """
    SELECT w.worker_id, w.state, w.concurrency, w.running, w.job_ids,
        date_part('epoch', now() - w.started_at) AS up,
        date_part('epoch', now() - w.last_sign_at) AS seen
    FROM public.ml_workers w
"""


def fetch_overview(connection: Connection, limit: int) -> dict[str, list[dict[str, Any]]]:
    """What goes on now.

    Returns:
        ``counts`` as :func:`count_queue`, ``workers``, and ``jobs``: those that run, those that wait in their
        order, and the latest that ended; at most ``limit`` of each. Times are in seconds.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        return {
            "counts": count_queue(connection),
            "workers": cursor.execute(_LIVING_WORKERS).fetchall(),
            "jobs": cursor.execute(_LIVELY_JOBS, {"limit": limit}).fetchall(),
        }


# ── What a report shows ─────────────────────────────────────────────────────────────────────────────

_SHOWN: LiteralString = """
    (c.source = 'training' AND c.source_id = ANY (%(training)s::bigint[])
    OR c.source = 'test' AND c.source_id = ANY (%(test)s::bigint[]))
"""
_MODELS_OF_REPORT: LiteralString = """
    SELECT d.*, m.phases_csv, m.params_csv,
        (SELECT count(*) FROM public.ml_model_features f WHERE f.model_id = d.model_id) AS num_features
    FROM public.ml_dim_models d
    JOIN public.ml_models m ON m.id = d.model_id
    WHERE d.model_id = ANY (%s::bigint[])
"""
# The training run and the latest test of each model, as the leaderboard chooses it.
_MEASUREMENTS: LiteralString = """
    SELECT DISTINCT ON (s.model_id, s.source)
        s.*, r.holdout, r.num_coins, r.num_fitted, r.num_gap, r.warnings, t.overlap_note,
        coalesce(r.num_unlabelled, t.num_unlabelled) AS num_unlabelled
    FROM public.ml_measurements s
    LEFT JOIN public.ml_training_runs r ON s.source = 'training' AND r.id = s.source_id
    LEFT JOIN public.ml_test_results t ON s.source = 'test' AND t.id = s.source_id
    WHERE s.model_id = ANY (%s::bigint[])
    ORDER BY s.model_id, s.source, s.created_at DESC, s.source_id DESC
"""
_COMPARISONS: LiteralString = """
    SELECT c.* FROM public.ml_fact_comparisons c
    WHERE c.model_a_id = ANY (%(models)s::bigint[]) AND c.model_b_id = ANY (%(models)s::bigint[])
    ORDER BY c.created_at DESC, c.comparison_id DESC
"""
_CURVES: dict[str, LiteralString] = {
    "roc": """
        SELECT c.model_id, c.source, c.threshold, c.fpr AS x, c.tpr AS y FROM public.ml_roc_curve c
        WHERE {shown} AND c.fpr IS NOT NULL AND c.tpr IS NOT NULL ORDER BY c.threshold DESC NULLS LAST
    """,
    "pr": """
        SELECT c.model_id, c.source, c.threshold, c.recall AS x, c.precision_score AS y
        FROM public.ml_pr_curve c
        WHERE {shown} AND c.recall IS NOT NULL ORDER BY c.threshold DESC NULLS LAST
    """,
    "calibration": """
        SELECT c.model_id, c.source, c.bin_start, c.bin_end, c.mean_predicted AS x, c.share_positive AS y,
            c.num_samples
        FROM public.ml_calibration c WHERE {shown} AND c.num_samples > 0 ORDER BY c.bin
    """,
    "sweep": """
        SELECT DISTINCT ON (c.source, c.model_id) c.model_id, c.source, c.threshold, c.f1_score
        FROM public.ml_threshold_sweep c WHERE {shown}
        ORDER BY c.source, c.model_id, c.f1_score DESC NULLS LAST, abs(c.threshold - 0.5)
    """,
    "importances": """
        SELECT c.model_id, c.source, c.feature, c.importance FROM public.ml_fact_importances c
        WHERE {shown} ORDER BY c.rank
    """,
}


def fetch_report(connection: Connection, model_ids: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
    """All that a report on these models shows, as of one moment: rows of the views, by topic.

    Returns:
        ``models``, ``measurements`` (training run and latest test), their ``roc``, ``pr`` and ``calibration``
        as points x, y, ``sweep`` (the threshold of the best F1), ``importances``, and ``comparisons`` among
        the models.
    """
    ids = list(model_ids)
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        found = {
            "models": cursor.execute(_MODELS_OF_REPORT, [ids]).fetchall(),
            "measurements": cursor.execute(_MEASUREMENTS, [ids]).fetchall(),
            "comparisons": cursor.execute(_COMPARISONS, {"models": ids}).fetchall(),
        }
        shown = {
            source: [row["source_id"] for row in found["measurements"] if row["source"] == source]
            for source in ("training", "test")
        }
        return found | {
            topic: cursor.execute(sql.SQL(text).format(shown=sql.SQL(_SHOWN)), shown).fetchall()
            for topic, text in _CURVES.items()
        }


# ── What a client does ──────────────────────────────────────────────────────────────────────────────


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
                coalesce(j.train_model_name, t.name, a.name || ' / ' || b.name) AS model
            FROM ml_jobs j
            LEFT JOIN ml_models t ON t.id = j.test_model_id
            LEFT JOIN ml_models a ON a.id = j.compare_model_a_id
            LEFT JOIN ml_models b ON b.id = j.compare_model_b_id
            WHERE j.id = ANY (%s)
            ORDER BY j.id
            """,
            [list(ids)],
        ).fetchall()


def query(connection: Connection, text: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run a query that is shown to the user; returns names of the columns, and rows."""
    cursor = connection.execute(text.encode())
    return [column.name for column in cursor.description or ()], cursor.fetchall()


# ── Helpers ─────────────────────────────────────────────────────────────────────────────────────────


def _value(connection: Connection, query: LiteralString | sql.Composed) -> Any:
    row = connection.execute(query).fetchone()
    return row[0] if row else None


def _call(connection: Connection, routine: LiteralString, job: Job, *args: Any, **named: Any) -> Any:
    # PostgreSQL does not turn a double into a numeric argument by itself.
    values = [
        Decimal(str(value)) if isinstance(value, float) else value for value in (*args, *named.values())
    ]
    places: list[sql.Composable] = [sql.SQL("%s")] * (2 + len(args))
    places += [sql.SQL("{} => %s").format(sql.Identifier(name)) for name in named]
    query = sql.SQL("SELECT ml.{}({})").format(sql.Identifier(routine), sql.SQL(", ").join(places))
    try:
        row = connection.execute(query, [job.id, job.attempt, *values]).fetchone()
    except psycopg.DatabaseError as error:
        if error.sqlstate == SupersededError.sqlstate:
            raise SupersededError(str(error)) from error
        raise
    return row[0] if row else None


def _fetch_model(connection: Connection, key: LiteralString, value: int) -> Model:
    with connection.cursor(row_factory=class_row(Model)) as cursor:
        model = cursor.execute(sql.SQL(_MODEL).format(sql.Identifier(key)), [value]).fetchone()
    assert model is not None  # noqa: S101  # foreign keys hold
    return model
