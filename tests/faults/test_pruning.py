"""Pruning beside workers at work: it blocks nobody, and takes nothing that is still needed."""

from pathlib import Path

from tests.conftest import TRAIN, Connection, Database, insert_job, one, ready_model
from tests.faults.protocol import violations
from tests.faults.test_many_workers import quick_workers

JOBS = 300


def test_pruning_again_and_again_blocks_no_worker_and_loses_no_job(
    db: Database, owner: Connection, client: Connection, worker: Connection, tmp_path: Path
) -> None:
    """Half the tests are of a model that is deleted meanwhile: these may go, the others must stay."""
    kept, deleted = (ready_model(client, worker) for _ in range(2))
    doomed = insert_job(client, **TRAIN)
    client.execute("CALL ml.cancel_job(%s)", [doomed])
    client.execute("LISTEN ml_job_status")
    with quick_workers(db, tmp_path):
        rows = client.execute(
            """INSERT INTO ml_jobs (job_type, test_model_id, test_start, test_end)
            SELECT 'TEST', (ARRAY[%s, %s]::bigint[])[1 + i %% 2], '2024-03-01', '2024-04-01'
            FROM generate_series(1, %s) i RETURNING id, test_model_id""",
            [kept, deleted, JOBS],
        ).fetchall()
        waiting = {f"{row['id']} COMPLETED" for row in rows}
        for told in client.notifies(timeout=600):
            waiting.discard(told.payload)
            if len(waiting) % 30 == 0:
                owner.execute("CALL ml.prune('0 seconds')")
            if not waiting:
                break
    assert waiting == set()
    ids = [row["id"] for row in rows]
    assert violations(client, ids) == []
    client.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [deleted])
    owner.execute("CALL ml.prune('0 seconds')")
    left = {row["id"] for row in client.execute("SELECT id FROM ml_jobs WHERE job_type = 'TEST'")}
    assert left == {row["id"] for row in rows if row["test_model_id"] == kept}
    assert violations(client, sorted(left)) == []
    counts = one(
        client,
        """SELECT (SELECT count(*) FROM ml_test_results) AS results,
            (SELECT count(*) FROM ml_job_events WHERE event = 'PROGRESS') AS progress,
            (SELECT array_agg(id) FROM ml_models) AS models,
            (SELECT count(*) FROM ml_jobs WHERE status = 'CANCELLED') AS cancelled""",
    )
    assert counts == {"results": JOBS // 2, "progress": 0, "models": [kept], "cancelled": 0}
