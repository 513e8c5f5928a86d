"""One attempt at a job: has its kind do it, and turns whatever happens into an outcome."""

import errno
import logging
import multiprocessing.dummy  # noqa: F401  # joblib would import it with the first job
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import joblib
import psycopg
from threadpoolctl import ThreadpoolController

from worker.child import assignment, kinds, labels, memory, models
from worker.child.progress import Report
from worker.child.task import Result, Task
from worker.database import queue
from worker.database.connection import Connection, UnsuitableDatabaseError, connect, ping
from worker.database.dataset import rehearse
from worker.database.deadlines import deadline
from worker.errors import JobError, LackError
from worker.model_folder import FolderError
from worker.protocol import Completed, Failed, Lost, Order, Outcome, Recorded, Unable

log = logging.getLogger("ml-worker.child")

AHEAD_SECONDS = 10.0  # at most to connect while there is no job, and again to use that once
PING_SECONDS = 3.0  # at most to see whether a connection is still good
# Errors of the machine, which another may not have, or this one later.
_OF_MACHINE = {
    getattr(errno, name)
    for name in (
        "ENOSPC",
        "EDQUOT",
        "EROFS",
        "EMFILE",
        "ENFILE",
        "ENOMEM",
        "EIO",
        "ESTALE",
        "ENODEV",
        "ENOTCONN",
    )
    if hasattr(errno, name)
}


def get_ready(url: str) -> Connection | Unable:
    """Do ahead what every job needs: find the thread pools, and connect.

    Returns:
        A connection that has been used, or why there is none.
    """
    thread_pools()
    try:
        connection = connect(url, role="ml_worker", timeout=AHEAD_SECONDS)
    except (psycopg.Error, UnsuitableDatabaseError) as error:
        return _no_connection(error)
    try:
        with deadline(connection, AHEAD_SECONDS):
            rehearse(connection)
    except psycopg.Error as error:
        connection.close()
        return _no_connection(error)
    return connection


def _no_connection(error: Exception) -> Unable:
    reason = str(error).strip().partition("\n")[0]
    return Unable("connection", f"a job cannot connect to the database: {reason}")


@cache
def thread_pools() -> ThreadpoolController:
    """The thread pools of all libraries that jobs use, each of which is loaded for that."""
    kinds.preload()
    labels.preload()
    models.preload()
    return ThreadpoolController()


def _connected(url: str, ahead: Connection | None, has_changed: bool) -> Connection:
    """The connection that was made ahead if it is still good, else a new one.

    Raises:
        LackError: there is none to be had.
    """
    if ahead is not None and not has_changed:
        with suppress(psycopg.Error), deadline(ahead, PING_SECONDS):
            ping(ahead)
            return ahead
    if ahead is not None:
        ahead.close()
    try:
        return connect(url, role="ml_worker")
    except (psycopg.Error, UnsuitableDatabaseError) as error:
        raise LackError("connection", _no_connection(error).message) from error


def attempt(order: Order, url: str, ahead: Connection | None, report: Report) -> Outcome:
    """Do the job.

    A failure is final, a loss is not: another attempt may succeed.

    Args:
        order: the job.
        url: where the database is.
        ahead: the connection that :func:`get_ready` gave, if any.
        report: is told of progress, as a share and in words.
    """
    try:
        threads = max(1, joblib.cpu_count() // order.concurrency)  # the cores are shared out among the jobs
        # One thread for the linear algebra of a neural network: more are slower, and sum in another order.
        with thread_pools().limit(limits={"openmp": threads, "blas": 1}):
            connection = _connected(url, ahead, order.has_changed)
            done = _work(order, url, connection, threads, report)
            return done if isinstance(done, Recorded) else Completed(done)
    except JobError as error:
        return Failed(str(error))
    except LackError as error:
        return error.unable
    except Exception as error:
        log.exception("job=%s attempt=%s", order.job.id, order.job.attempt)
        return _end_of(error, url)


def _end_of(error: Exception, url: str) -> Outcome:
    """What an error means for the job: what would not come in a healthy worker costs it nothing."""
    match error:
        case FolderError():
            return Unable("folder", str(error), error.num_bytes)
        case MemoryError() if memory.has_others():
            return Unable("memory", "there was not enough memory for this job beside others")
        case psycopg.errors.AdminShutdown() if _is_away(url):
            return Unable("connection", "the server was stopped while the job read its rows")
        case OSError() if error.errno in _OF_MACHINE:
            return Unable("machine", f"{type(error).__name__}: {error}")
        case psycopg.OperationalError() | OSError():
            return Lost(f"{type(error).__name__}: {error}".strip())
    return Failed(_why(error))


def _why(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory for this job; choose a shorter period or fewer features"
    if isinstance(error, psycopg.Error):
        return f"reading its data failed: {str(error.diag.message_primary or error)[:300]}"
    return f"internal error, see the worker's log: {type(error).__name__}: {error}"


def _is_away(url: str) -> bool:
    """Whether there is no server now; one that only ended this session is there."""
    try:
        connect(url, timeout=PING_SECONDS).close()
    except (psycopg.Error, UnsuitableDatabaseError):
        return True
    return False


def _work(order: Order, url: str, connection: Connection, threads: int, report: Report) -> Result | Recorded:
    started = time.monotonic()
    with connection:  # most kinds close it earlier, before they begin what may take hours
        kind = kinds.load(order.job.job_type)
        told = order.assignment or queue.assignment(connection, order.job)
        return kind.run(
            Task(
                assignment=assignment.read(told),
                job_id=order.job.id,
                attempt=order.job.attempt,
                model_dir=Path(order.model_dir),
                token=order.token,
                threads=threads,
                report=report,
                connection=connection,
                connect=lambda: connect(url, role="ml_worker"),
                started=started,
            )
        )
