"""A kind of job is one file, also of another distribution."""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.conftest import TRAIN, Connection, Database, insert_job, one
from worker.child import kinds
from worker.child.task import Task
from worker.database import queue
from worker.database.connection import connect
from worker.database.dataset import fetch_assignment
from worker.errors import JobError


def test_the_kinds_that_come_with_the_worker_are_its_files() -> None:
    assert kinds.names() == {"TRAIN", "TEST", "COMPARE"}


def test_a_kind_that_another_distribution_provides_reads_what_it_needs(
    db: Database, client: Connection, tmp_path: Path, provide: Callable[[str, str], None]
) -> None:
    with pytest.raises(JobError, match="this worker does no jobs of type COUNT, only COMPARE, TEST, TRAIN"):
        kinds.load("COUNT")
    provide("ml_worker.kinds", "tests.child.kinds.count")
    assert kinds.names() == {"TRAIN", "TEST", "COMPARE", "COUNT"}
    insert_job(client, **TRAIN)
    with connect(db.login("wanda"), role="ml_worker") as connection:
        job = queue.claim_job(connection, "w1", timedelta(seconds=60))
        assert job is not None
        task = Task(
            assignment=fetch_assignment(connection, job),
            model_dir=tmp_path,
            token="token",
            threads=1,
            report=lambda _share, _message: None,
            connection=connection,
            started=time.monotonic(),
        )
        result = kinds.load("COUNT").run(task)
    query = "SELECT count(*) AS n FROM coin_metrics WHERE timestamp >= %s AND timestamp < %s"
    assert result["num_rows"] == one(client, query, [TRAIN["train_start"], TRAIN["train_end"]])["n"] > 0
