"""One job in this process, as a child does it."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.conftest import TRAIN, Database, insert_job
from worker.child import attempt, memory, task
from worker.database import queue
from worker.database.connection import connect
from worker.protocol import Failed, Order


def test_a_job_that_cannot_fit_into_memory_fails_before_its_rows_are_read(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 10_000)
    monkeypatch.setattr(task, "stream_dataset", lambda *_: pytest.fail("the rows were read"))
    url = db.login("wanda")
    with db.connect("anna") as client, connect(url, role="ml_worker") as worker:
        insert_job(client, **TRAIN)
        job = queue.claim_job(worker, "w1", timedelta(seconds=60), ["TRAIN"])
    assert job is not None
    order = Order(job, str(tmp_path), "token", 1, has_changed=False)
    outcome = attempt.attempt(order, url, None, lambda _share, _message: None)
    assert isinstance(outcome, Failed)
    assert "needs about 0.0 GB of memory for about" in outcome.message
    assert "of 4 features" in outcome.message
