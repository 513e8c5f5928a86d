"""Many workers on one queue: each job is claimed by one of them, in order."""

import os
import subprocess
import sys
from bisect import bisect, insort
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from operator import itemgetter
from pathlib import Path
from threading import Barrier

import pytest

from tests.conftest import TRAIN, Connection, Database, insert_job, job_row, one, ready_model, until
from tests.faults.protocol import violations
from tests.faults.quick_worker import START

SESSIONS = 16
ROUNDS = 20
WORKERS = 4
JOBS = 5000


@pytest.mark.parametrize("jobs", [1, SESSIONS - 1, SESSIONS])
def test_sixteen_sessions_that_claim_at_once_get_each_job_once(db: Database, jobs: int) -> None:
    barrier = Barrier(SESSIONS, timeout=60)

    def claim(worker: Connection) -> list[int]:
        barrier.wait()
        return [
            row["id"]
            for row in worker.execute(
                "SELECT id FROM ml_internal.claim_job('w', '30 seconds', '{TRAIN,TEST,COMPARE}')"
            ).fetchall()
        ]

    with ExitStack() as stack:
        workers = [stack.enter_context(db.connect("wanda")) for _ in range(SESSIONS)]
        client = stack.enter_context(db.connect("anna"))
        pool = stack.enter_context(ThreadPoolExecutor(SESSIONS))
        for _ in range(ROUNDS):
            inserted = [insert_job(client, **TRAIN) for _ in range(jobs)]
            claimed = sorted(job_id for ids in pool.map(claim, workers) for job_id in ids)
            assert claimed == inserted
            assert violations(client, inserted) == []
            assert {job_row(client, job_id)["attempt"] for job_id in inserted} == {1}


@contextmanager
def quick_workers(db: Database, folder: Path) -> Iterator[None]:
    """Worker processes whose children answer at once; they wait for jobs."""
    logs = [folder / f"log{number}" for number in range(WORKERS)]
    command = [sys.executable, "-c", START, "run", "--model-dir", str(folder)]
    environment = os.environ | {"DATABASE_URL": db.login("wanda")}
    with ExitStack() as stack:
        files = [stack.enter_context(log.open("w")) for log in logs]
        processes = [subprocess.Popen(command, env=environment, stderr=file) for file in files]
        try:
            until(lambda: all("listening" in log.read_text() for log in logs), "all workers to listen")
            yield
        finally:
            for process in processes:
                process.terminate()
            codes = [process.wait(60) for process in processes]
    assert codes == [0] * WORKERS


def test_five_thousand_jobs_are_each_done_once_and_in_order(
    db: Database, client: Connection, worker: Connection, tmp_path: Path
) -> None:
    model_id = ready_model(client, worker)
    client.execute("LISTEN ml_job_status")
    with quick_workers(db, tmp_path):
        rows = client.execute(
            """INSERT INTO ml_jobs (job_type, priority, test_model_id, test_start, test_end)
            SELECT 'TEST', 1 + floor(random() * 10)::integer, %s, '2024-03-01', '2024-04-01'
            FROM generate_series(1, %s) RETURNING id, priority""",
            [model_id, JOBS],
        ).fetchall()
        waiting = {f"{row['id']} COMPLETED" for row in rows}
        for told in client.notifies(timeout=600):
            waiting.discard(told.payload)
            if not waiting:
                break
    assert waiting == set()
    ids = [row["id"] for row in rows]
    assert violations(client, ids) == []
    counts = one(
        client,
        """SELECT count(*) FILTER (WHERE event = 'CLAIMED') AS claimed,
            count(*) FILTER (WHERE event = 'COMPLETED') AS completed,
            count(*) FILTER (WHERE event NOT IN ('CLAIMED', 'COMPLETED', 'PROGRESS')) AS others,
            count(DISTINCT worker_id) AS workers,
            (SELECT count(DISTINCT job_id) FROM ml_test_results WHERE job_id = ANY (%(ids)s)) AS results
        FROM ml_job_events WHERE job_id = ANY (%(ids)s)""",
        {"ids": ids},
    )
    assert counts == {
        "claimed": JOBS,
        "completed": JOBS,
        "others": 0,
        "workers": WORKERS,
        "results": JOBS,
    }
    # All were inserted at one moment: their order is that of priority and id.
    ranks = {row["id"]: rank for rank, row in enumerate(sorted(rows, key=itemgetter("priority", "id")))}
    claims = client.execute(
        "SELECT job_id FROM ml_job_events WHERE event = 'CLAIMED' AND job_id = ANY (%s) ORDER BY id", [ids]
    ).fetchall()
    earlier: list[int] = []
    for claim in claims:
        rank = ranks[claim["job_id"]]
        passed_over = rank - bisect(earlier, rank)
        assert passed_over < WORKERS, f"{passed_over} jobs should have come before job {claim['job_id']}"
        insort(earlier, rank)
