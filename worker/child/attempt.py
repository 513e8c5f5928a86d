"""One attempt at a job: has its kind do it, and turns whatever happens into an outcome."""

import logging
import multiprocessing.dummy  # noqa: F401  # joblib would import it with the first job
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import joblib
import psycopg
from threadpoolctl import ThreadpoolController

from worker.child import assignment, kinds, models
from worker.child.progress import Report
from worker.child.task import Result, Task
from worker.database.connection import Connection, UnsuitableDatabaseError, connect, ping
from worker.database.dataset import fetch_assignment, rehearse
from worker.database.deadlines import deadline
from worker.errors import JobError
from worker.model_folder import FolderError
from worker.protocol import Completed, Failed, Lost, Order, Outcome

log = logging.getLogger("ml-worker.child")

AHEAD_SECONDS = 3.0  # at most to connect while there is no job, and to see whether that is still good


def get_ready(url: str) -> Connection | None:
    """Do ahead what every job needs: find the thread pools, and connect.

    Returns:
        A connection that has been used; None if there is none to be had, which is for the job to find out.
    """
    thread_pools()
    try:
        connection = connect(url, role="ml_worker", timeout=AHEAD_SECONDS)
    except (psycopg.Error, UnsuitableDatabaseError):
        return None
    try:
        with deadline(connection, AHEAD_SECONDS):
            rehearse(connection)
    except psycopg.Error:
        connection.close()
        return None
    return connection


@cache
def thread_pools() -> ThreadpoolController:
    """The thread pools of all libraries that jobs use, each of which is loaded for that."""
    kinds.preload()
    models.preload()
    return ThreadpoolController()


def _connected(url: str, ahead: Connection | None, has_changed: bool) -> Connection:
    """The connection that was made ahead if it is still good, else a new one."""
    if ahead is not None and not has_changed:
        with suppress(psycopg.Error), deadline(ahead, AHEAD_SECONDS):
            ping(ahead)
            return ahead
    if ahead is not None:
        ahead.close()
    return connect(url, role="ml_worker")


def attempt(order: Order, url: str, ahead: Connection | None, report: Report) -> Outcome:
    """Do the job.

    A failure is final, a loss is not: another attempt may succeed.

    Args:
        order: the job.
        url: where the database is.
        ahead: what :func:`get_ready` gave.
        report: is told of progress, as a share and in words.
    """
    try:
        threads = max(1, joblib.cpu_count() // order.concurrency)  # the cores are shared out among the jobs
        # One thread for the linear algebra of a neural network: more are slower, and sum in another order.
        with thread_pools().limit(limits={"openmp": threads, "blas": 1}):
            connection = _connected(url, ahead, order.has_changed)
            return Completed(_work(order, url, connection, threads, report))
    except JobError as error:
        return Failed(str(error))
    except Exception as error:
        log.exception("job=%s attempt=%s", order.job.id, order.job.attempt)
        if isinstance(error, psycopg.OperationalError | OSError):
            kind = "" if isinstance(error, FolderError) else f"{type(error).__name__}: "
            return Lost(f"{kind}{error}".strip())
        if isinstance(error, psycopg.Error):
            return Failed(f"reading its data failed: {str(error.diag.message_primary or error)[:300]}")
        if isinstance(error, MemoryError):
            return Failed("not enough memory for this job; choose a shorter period or fewer features")
        return Failed(f"internal error, see the worker's log: {type(error).__name__}: {error}")


def _work(order: Order, url: str, connection: Connection, threads: int, report: Report) -> Result:
    started = time.monotonic()
    with connection:  # the kind closes it earlier, before it begins what may take hours
        kind = kinds.load(order.job.job_type)
        return kind.run(
            Task(
                assignment=assignment.read(fetch_assignment(connection, order.job.id)),
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
