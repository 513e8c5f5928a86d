"""One job in this process, as a child does it."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import TRAIN, Database, insert_job
from worker.child import attempt, concurrency, memory, task
from worker.database import queue
from worker.database.connection import Connection, connect
from worker.database.dataset import Stream, stream_dataset
from worker.protocol import Completed, Failed, Order


def order(db: Database, folder: Path) -> Order:
    """A job that was claimed."""
    with db.connect("anna") as client, connect(db.login("wanda"), role="ml_worker") as worker:
        insert_job(client, **TRAIN)
        job = queue.claim_job(worker, "w1", timedelta(seconds=60), ["TRAIN"])
    assert job is not None
    return Order(job, str(folder), "token", 1, has_changed=False)


def test_a_job_that_cannot_fit_into_memory_fails_before_its_rows_are_read(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "capacity", lambda: 10_000)
    monkeypatch.setattr(task, "stream_dataset", lambda *_: pytest.fail("the rows were read"))
    outcome = attempt.attempt(order(db, tmp_path), db.login("wanda"), None, lambda _share, _message: None)
    assert isinstance(outcome, Failed)
    assert "needs about 0.0 GB of memory for about" in outcome.message
    assert "of 4 features" in outcome.message


@pytest.mark.parametrize("there_is_another", [True, False])
def test_a_job_of_many_rows_loads_by_two_connections_or_else_by_one(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there_is_another: bool
) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    used: list[int] = []

    def stream(connections: Sequence[Connection], *args: Any, **options: Any) -> Stream:
        used.append(len(connections))
        return stream_dataset(connections, *args, **options)

    def refuse(*_: object, **__: object) -> Connection:
        raise psycopg.OperationalError("too many connections")

    monkeypatch.setattr(task, "stream_dataset", stream)
    one = attempt.attempt(order(db, tmp_path), db.login("wanda"), None, lambda _share, _message: None)
    ahead = connect(db.login("wanda"), role="ml_worker")
    monkeypatch.setattr(task, "_WORTH_TWO", 0)
    if not there_is_another:
        monkeypatch.setattr(attempt, "connect", refuse)
    two = attempt.attempt(order(db, tmp_path), db.login("wanda"), ahead, lambda _share, _message: None)
    assert isinstance(one, Completed)
    assert isinstance(two, Completed)
    assert used == [1, 2 if there_is_another else 1]
    assert one.result["data_fingerprint"] == two.result["data_fingerprint"]
    assert one.result["roc_auc"] == two.result["roc_auc"]


@pytest.mark.parametrize("job_type", ["TRAIN", "TEST", "COMPARE"])
def test_a_result_is_the_same_for_any_number_of_threads(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job_type: str
) -> None:
    monkeypatch.setattr(concurrency, "_FEWEST_ROWS", 0)
    fields = TRAIN if job_type == "TRAIN" else {"job_type": job_type}
    with db.connect("anna") as client, connect(db.login("wanda"), role="ml_worker") as worker:

        def claimed(**fields: Any) -> Order:
            insert_job(client, **fields)
            job = queue.claim_job(worker, "w1", timedelta(seconds=60), ["TRAIN", "TEST", "COMPARE"])
            assert job is not None
            return Order(job, str(tmp_path), "token", 1, has_changed=False)

        def done(order: Order, threads: int) -> dict[str, Any]:
            monkeypatch.setattr("joblib.cpu_count", lambda: threads)
            outcome = attempt.attempt(order, db.login("wanda"), None, lambda _share, _message: None)
            assert isinstance(outcome, Completed)
            return outcome.result

        uses = {"TEST": ["test_model_id"], "COMPARE": ["compare_model_a_id", "compare_model_b_id"]}
        for seed, field in enumerate(uses.get(job_type, [])):
            order = claimed(**TRAIN | {"train_random_state": seed})
            queue.record_result(worker, order.job, done(order, 1))
            query = "SELECT result_model_id AS id FROM ml_jobs WHERE id = %s"
            (fields[field],) = (row["id"] for row in client.execute(query, [order.job.id]))
        for end in ("start", "end"):
            fields = fields | {f"{job_type.lower()}_{end}": TRAIN[f"train_{end}"]}
        order = claimed(**fields)
        one, three = (
            {
                name: value
                for name, value in done(order, threads).items()
                if not name.startswith(("seconds_", "artifact_"))
            }
            for threads in (1, 3)
        )
    assert one == three
