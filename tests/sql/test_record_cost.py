"""To claim a job and to record its result read as many rows with many results as with few.

Whatever the statistics say, and in a session that keeps the plans that it made when there were few. Rows and
index entries are counted as in test_queue_cost.
"""

from collections.abc import Callable
from functools import partial

import psycopg
import pytest

from tests.conftest import Connection, Database, insert_job, one
from tests.sql.helpers import CURVE, INTERVALS, PARTS, call, complete, found_beside, interval, request
from tests.sql.test_baselines import told
from tests.sql.test_folds import FOLDS, THREE
from tests.sql.test_queue_cost import AT_MOST, ROWS_READ

RESULTS = 30
LEFT = 10  # index entries of jobs that have left the queue, until PostgreSQL has removed them
CLAIM = "SELECT FROM ml_internal.claim_job('w1', '30 seconds', '{TRAIN,TEST,COMPARE,SCORE,+sources,+splits}')"
FACTS = {
    "TRAIN": told("TRAIN") | {"ml_curve_points": CURVE, "ml_intervals": INTERVALS, "ml_folds": THREE},
    "TEST": told("TEST") | {"ml_curve_points": CURVE, "ml_intervals": INTERVALS, **PARTS},
    "COMPARE": told("COMPARE") | {"ml_intervals": [interval("f1", 0.8, 0.7, 0.9, side="a")]},
    "SCORE": {},
}
OTHERS = {"record_progress": "0.5", "record_failure": "no rows"}
STATISTICS = {
    "none": (None, None),
    "of empty tables": ("VACUUM (ANALYZE, PARALLEL 0)", None),
    "of one result": (None, "VACUUM (ANALYZE, PARALLEL 0)"),
}


def rows_read(worker: Connection, step: Callable[[], object]) -> int:
    before = one(worker, ROWS_READ)["n"] or 0
    step()
    return int(one(worker, ROWS_READ)["n"] - before)


def assert_flat(counts: list[tuple[int, ...]]) -> None:
    """Of each step, the last time in the session and in a new one."""
    for read in zip(*counts, strict=True):
        assert 0 < max(read[-2:]) <= AT_MOST * read[1] + LEFT, read


@pytest.mark.parametrize("statistics", STATISTICS)
@pytest.mark.parametrize("job_type", FACTS)
def test_a_job_is_claimed_and_its_result_recorded_with_as_many_rows_read_however_many_results_there_are(
    make_database: Callable[[], Database], job_type: str, statistics: str
) -> None:
    db = make_database()
    at_first, after_one = STATISTICS[statistics]
    counts: list[tuple[int, ...]] = []

    def go_on(worker: Connection) -> None:
        fields = asked | {"priority": 1} | (FOLDS if job_type == "TRAIN" else {})
        job_id = insert_job(client, **fields)
        with worker.transaction():
            claimed = rows_read(worker, lambda: worker.execute(CLAIM))
            facts = FACTS[job_type] | found_beside(worker, job_id, job_type)
            recorded = rows_read(worker, lambda: complete(worker, job_id, job_type, **facts))
        counts.append((claimed, recorded))

    with psycopg.connect(db.url, autocommit=True) as admin, db.connect("anna") as client:
        if at_first:
            admin.execute(at_first)
        with db.connect("wanda") as worker:
            asked = request(client, worker, job_type)
            go_on(worker)
            if after_one:
                admin.execute(after_one)
            for _ in range(RESULTS):
                insert_job(client, **asked | {"priority": 9})
                go_on(worker)
        with db.connect("wanda") as worker:
            go_on(worker)
    assert_flat(counts)


@pytest.mark.parametrize("statistics", STATISTICS)
def test_progress_failure_and_a_look_for_lost_jobs_read_as_many_rows_however_many_results_there_are(
    make_database: Callable[[], Database], statistics: str
) -> None:
    db = make_database()
    at_first, after_one = STATISTICS[statistics]
    counts: list[tuple[int, ...]] = []

    def go_on(worker: Connection) -> None:
        job_id = insert_job(client, **asked)
        read = []
        for routine, argument in OTHERS.items():
            with worker.transaction(force_rollback=True):
                worker.execute(CLAIM)
                read.append(rows_read(worker, partial(call, worker, routine, job_id, 1, argument)))
        read.append(rows_read(worker, partial(call, worker, "expire_leases")))
        counts.append(tuple(read))
        worker.execute(CLAIM)
        complete(worker, job_id, "TEST")

    with psycopg.connect(db.url, autocommit=True) as admin, db.connect("anna") as client:
        if at_first:
            admin.execute(at_first)
        with db.connect("wanda") as worker:
            asked = request(client, worker, "TEST")
            go_on(worker)
            if after_one:
                admin.execute(after_one)
            for _ in range(RESULTS):
                go_on(worker)
        with db.connect("wanda") as worker:
            go_on(worker)
    assert_flat(counts)
