"""Does one job: reads its data, computes, and turns whatever happens into an outcome."""

import logging
import multiprocessing.dummy  # noqa: F401  # joblib would import it with the first job
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import psycopg
from threadpoolctl import ThreadpoolController

from worker import artifacts, database, datasets, estimators, jobs, memory
from worker.assignment import Assignment, Order
from worker.deadlines import deadline
from worker.errors import JobError
from worker.folder import FolderError
from worker.jobs import Report, Result

log = logging.getLogger("ml-worker.child")

AHEAD_SECONDS = 3.0  # at most to connect while there is no job, and to see whether that is still good


def get_ready(url: str) -> database.Connection | None:
    """Do ahead what every job needs and takes long: find the thread pools, and connect.

    Returns:
        A connection that has been used; None if there is none to be had, which is for the job to find out.
    """
    _thread_pools()
    try:
        connection = database.connect(url, role="ml_worker", timeout=AHEAD_SECONDS)
    except (psycopg.Error, database.UnsuitableDatabaseError):
        return None
    try:
        with deadline(connection, AHEAD_SECONDS):
            database.rehearse(connection)
    except psycopg.Error:
        connection.close()
        return None
    return connection


@cache
def _thread_pools() -> ThreadpoolController:
    """The thread pools of all libraries, each of which is loaded by now."""
    return ThreadpoolController()


def _connected(url: str, ahead: database.Connection | None, has_changed: bool) -> database.Connection:
    """The connection that was made ahead if it is still good, else a new one."""
    if ahead is not None and not has_changed:
        with suppress(psycopg.Error), deadline(ahead, AHEAD_SECONDS):
            database.ping(ahead)
            return ahead
    if ahead is not None:
        ahead.close()
    return database.connect(url, role="ml_worker")


def attempt(order: Order, url: str, ahead: database.Connection | None, report: Report) -> dict[str, Any]:
    """Do the job; returns ``{"result": …}``, ``{"failure": message}`` or ``{"loss": message}``.

    A failure is final: the job would fail again. A loss is not: another attempt may succeed.

    Args:
        order: the job.
        url: where the database is.
        ahead: what :func:`get_ready` gave.
        report: is told of progress, as a share and in words.
    """
    try:
        threads = max(1, joblib.cpu_count() // order.concurrency)  # the cores are shared out among the jobs
        # One thread for the linear algebra of a neural network: more are slower, and sum in another order.
        with _thread_pools().limit(limits={"openmp": threads, "blas": 1}):
            connection = _connected(url, ahead, order.has_changed)
            return {"result": _work(order, connection, threads, report)}
    except JobError as error:
        return {"failure": str(error)}
    except Exception as error:
        log.exception("job=%s attempt=%s", order.job.id, order.job.attempt)
        if isinstance(error, psycopg.OperationalError | OSError):
            kind = "" if isinstance(error, FolderError) else f"{type(error).__name__}: "
            return {"loss": f"{kind}{error}".strip()}
        if isinstance(error, psycopg.Error):
            return {"failure": f"reading its data failed: {str(error.diag.message_primary or error)[:300]}"}
        if isinstance(error, MemoryError):
            return {"failure": "not enough memory for this job; choose a shorter period or fewer features"}
        return {"failure": f"internal error, see the worker's log: {type(error).__name__}: {error}"}


def _work(order: Order, connection: database.Connection, threads: int, report: Report) -> Result:
    started = time.monotonic()
    job, model_dir = order.job, Path(order.model_dir)
    with connection:  # closed before the work begins: it may take hours
        assignment = database.fetch_assignment(connection, job)
        params = database.fetch_params(connection, assignment.models[0].id)
        pipelines = jobs.read_models(assignment, model_dir)
        for pipeline in pipelines:
            estimators.use_threads(pipeline, threads)
        dataset = _load(connection, assignment, report)
    loading = {"seconds_loading": round(time.monotonic() - started, 3)}
    if job.job_type == "TRAIN":
        path = artifacts.path_of(model_dir, assignment.models[0].id, job.attempt, order.token)
        return loading | jobs.train(assignment, params, dataset, path, threads=threads, report=report)
    if job.job_type == "TEST":
        return loading | jobs.test(assignment, pipelines[0], dataset, report=report)
    return loading | jobs.compare(assignment, pipelines, dataset, report=report)


def _load(connection: database.Connection, assignment: Assignment, report: Report) -> datasets.Dataset:
    features = tuple(dict.fromkeys(feature for model in assignment.models for feature in model.features))
    expected = max(1, database.estimate_rows(connection, assignment.period, assignment.phases))
    model_types = {model.model_type for model in assignment.models}
    memory.require(assignment.job.job_type, model_types, expected, len(features))

    def loaded(rows: int) -> None:
        report(jobs.LOADED * min(1, rows / expected), f"Loading: {rows} of about {max(rows, expected)} rows")

    report(0, f"Loading: about {expected} rows")
    blocks = database.stream_dataset(
        connection, assignment.models[0], features, assignment.period, assignment.phases
    )
    return datasets.decode(blocks, features, assignment.models[0].future_minutes, loaded, expected)
