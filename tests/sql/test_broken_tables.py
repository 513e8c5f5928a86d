"""Whatever a table refuses: no attempt outlives max_attempts, and no job waits for another."""

import threading
from collections.abc import Callable

import psycopg
import pytest

from tests.conftest import TRAIN, Connection, Database, claim, insert_job, job_row, one, ready_model, until
from tests.sql.helpers import TEST_PERIOD, call, running_job


@pytest.fixture
def db(make_database: Callable[[], Database]) -> Database:
    """A database for this test alone: it breaks what all use."""
    return make_database()


BROKEN = """
    CREATE FUNCTION public.break_models() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'ml_models is broken' USING ERRCODE = '{}'; END $$;
    CREATE TRIGGER break_models BEFORE INSERT OR UPDATE ON ml_models
    FOR EACH STATEMENT EXECUTE FUNCTION public.break_models()
"""


@pytest.mark.parametrize("sqlstate", ["P0001", "42501", "53100", "55P03", "XX001", "40001"])
def test_no_attempt_lives_past_max_attempts_though_no_model_can_be_written(
    owner: Connection, client: Connection, worker: Connection, sqlstate: str
) -> None:
    failed, lost = running_job(client, worker), running_job(client, worker)
    job_id = insert_job(client, **TRAIN, max_attempts=2)
    for attempt in (1, 2):
        assert claim(worker, lease="0 seconds")["attempt"] == attempt
        if attempt == 1:
            assert call(worker, "expire_leases") == 1
    owner.execute(BROKEN.format(sqlstate).encode())
    assert call(worker, "expire_leases") == 1
    assert call(worker, "record_failure", failed, 1, "because") == "FAILED"
    client.execute("CALL ml.cancel_job(%s)", [lost])
    assert [job_row(client, i)["status"] for i in (job_id, failed, lost)] == ["FAILED", "FAILED", "CANCELLED"]
    states = "SELECT array_agg(DISTINCT status::text) AS found FROM ml_models"
    assert one(client, states)["found"] == ["TRAINING"]
    owner.execute("DROP FUNCTION public.break_models() CASCADE")
    call(worker, "expire_leases")
    assert one(client, states)["found"] == ["FAILED"]


@pytest.mark.parametrize(
    ("sqlstate", "status"),
    [("P0001", "FAILED"), ("42501", "FAILED"), ("53100", "PENDING"), ("40001", "PENDING")],
)
def test_a_claim_that_is_refused_for_good_fails_and_one_that_may_pass_waits(
    owner: Connection, client: Connection, worker: Connection, sqlstate: str, status: str
) -> None:
    model_id = ready_model(client, worker)
    refused_job = insert_job(client, **TRAIN)
    test = insert_job(client, job_type="TEST", test_model_id=model_id, **TEST_PERIOD)
    owner.execute(BROKEN.format(sqlstate).encode())
    assert claim(worker)["id"] == test
    job = job_row(client, refused_job)
    assert (job["status"], job["attempt"]) == (status, 0)
    assert job["error_msg"] == ("ml_models is broken" if status == "FAILED" else None)
    owner.execute("DROP FUNCTION public.break_models() CASCADE")


def test_a_claim_that_waits_while_columns_are_added_fails_itself_and_no_job(
    owner: Connection, client: Connection, worker: Connection
) -> None:
    worker.prepare_threshold = None
    running_job(client, worker)  # the session knows the columns as they were
    job_id = insert_job(client, **TRAIN)
    errors: list[psycopg.Error] = []

    def wait() -> None:
        try:
            claim(worker)
        except psycopg.Error as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    blocked = "SELECT FROM pg_locks WHERE pid = %s AND NOT granted"
    with owner.transaction():
        owner.execute("ALTER TABLE ml_jobs ADD COLUMN newer integer")
        thread.start()
        until(
            lambda: bool(client.execute(blocked, [worker.info.backend_pid]).fetchall()), "the claim to wait"
        )
    thread.join()
    assert [error.sqlstate for error in errors] == ["42804"]
    job = job_row(client, job_id)
    assert (job["status"], job["attempt"]) == ("PENDING", 0)
    assert claim(worker)["id"] == job_id
    owner.execute("ALTER TABLE ml_jobs DROP COLUMN newer")


def test_a_claim_leaves_out_what_the_worker_cannot_do_now(client: Connection, worker: Connection) -> None:
    first, second = (insert_job(client, **TRAIN) for _ in range(2))
    query = "SELECT * FROM ml_internal.claim_job('w1', '30 seconds', '{TRAIN}', %s)"
    assert one(worker, query, [[first]])["id"] == second
    assert worker.execute(query, [[first]]).fetchall() == []
    assert one(worker, query, [[]])["id"] == first
