"""What a worker may do with a job: claim it in order, keep it by its fence, lose it, give it back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import (
    JOB_TYPES,
    TRAIN,
    Connection,
    Database,
    claim,
    insert_job,
    job_row,
    one,
    ready_model,
)
from tests.sql.helpers import (
    COMPARE_PERIOD,
    TEST_PERIOD,
    call,
    complete,
    count,
    events,
    refused,
    request,
    running_job,
)

# Every routine that carries the fence, and the type of job that it is for.
FENCED = {
    "record_progress": "TRAIN",
    "record_failure": "TRAIN",
    "record_loss": "TRAIN",
    "release_job": "TRAIN",
    "record_training": "TRAIN",
    "record_test": "TEST",
    "record_comparison": "COMPARE",
}
EVERY_ROUTINE = pytest.mark.parametrize("routine", FENCED)


def invoke(worker: Connection, routine: str, job_id: int, attempt: int) -> Any:
    """Call a fenced routine with sound values."""
    if routine == "record_progress":
        query = "SELECT ml_internal.record_progress(%s, %s, 0.5, 'half', '30 seconds') AS answer"
        return one(worker, query, [job_id, attempt])["answer"]
    if routine in ("record_failure", "record_loss", "release_job"):
        return call(worker, routine, job_id, attempt, "because")
    return complete(worker, job_id, FENCED[routine], attempt)


def claimed_id(worker: Connection, worker_id: str = "w1") -> int | None:
    row = worker.execute(
        "SELECT id FROM ml_internal.claim_job(%s, '30 seconds', %s)", [worker_id, JOB_TYPES]
    ).fetchone()
    return None if row is None else int(row["id"])


# ── Claim ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_claim_returns_the_running_job(client: Connection, worker: Connection) -> None:
    job_id = insert_job(client, **TRAIN)
    job = claim(worker, "host-1", "1 minute")
    assert (job["id"], job["status"], job["attempt"], job["worker_id"]) == (job_id, "RUNNING", 1, "host-1")
    assert job["progress"] == 0
    assert job["lease_until"] - datetime.now(UTC) == pytest.approx(
        timedelta(minutes=1), abs=timedelta(seconds=20)
    )
    assert job == job_row(client, job_id)


def test_a_claim_of_an_empty_queue_gives_no_row(client: Connection, worker: Connection) -> None:
    assert claimed_id(worker) is None
    running_job(client, worker)
    assert claimed_id(worker) is None


def test_jobs_are_claimed_by_priority_then_age_then_id(client: Connection, worker: Connection) -> None:
    late_but_first = [(5, 3), (1, 4), (10, 1), (5, 5), (1, 6)]
    ids = {insert_job(client, **TRAIN, priority=priority): priority for priority, _ in late_but_first}
    with client.transaction():  # these share created_at
        ids |= {insert_job(client, **TRAIN, priority=priority): priority for priority in (5, 1, 5)}
    expected = sorted(ids, key=lambda job_id: (ids[job_id], job_row(client, job_id)["created_at"], job_id))
    assert [claimed_id(worker) for _ in ids] == expected


def test_a_changed_priority_changes_the_order(client: Connection, worker: Connection) -> None:
    first, second = insert_job(client, **TRAIN), insert_job(client, **TRAIN)
    client.execute("UPDATE ml_jobs SET priority = 1 WHERE id = %s", [second])
    assert [claimed_id(worker), claimed_id(worker)] == [second, first]


def test_a_cancelled_job_is_not_claimed(client: Connection, worker: Connection) -> None:
    client.execute("CALL ml.cancel_job(%s)", [insert_job(client, **TRAIN)])
    assert claimed_id(worker) is None


def test_two_sessions_that_claim_at_once_get_different_jobs(
    db: Database, client: Connection, worker: Connection
) -> None:
    first, second = insert_job(client, **TRAIN), insert_job(client, **TRAIN)
    with db.connect("wanda") as other, worker.transaction():
        assert claimed_id(worker, "w1") == first
        assert claimed_id(other, "w2") == second
        assert claimed_id(other, "w2") is None
    assert [job_row(client, job_id)["worker_id"] for job_id in (first, second)] == ["w1", "w2"]


def test_a_claim_that_is_rolled_back_leaves_the_job_waiting(
    db: Database, client: Connection, worker: Connection
) -> None:
    job_id = insert_job(client, **TRAIN)
    with worker.transaction(force_rollback=True):
        assert claimed_id(worker, "w1") == job_id
    with db.connect("wanda") as other:
        assert claimed_id(other, "w2") == job_id
    assert events(client, job_id) == [(1, "CLAIMED")]


def test_a_train_claim_makes_the_model(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker, train_model_name="mine", train_description="first")
    model = one(client, "SELECT * FROM ml_models WHERE train_job_id = %s", [job_id])
    assert (model["name"], model["description"], model["status"]) == ("mine", "first", "TRAINING")


def test_a_second_claim_keeps_the_model(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker)
    call(worker, "release_job", job_id, 1, "restart")
    claim(worker)
    assert count(client, f"ml_models WHERE train_job_id = {job_id}") == 1


# ── Claims of jobs that can no longer run ───────────────────────────────────────────────────────────


def test_a_test_of_a_model_deleted_meanwhile_fails_and_the_next_job_is_claimed(
    client: Connection, worker: Connection
) -> None:
    model_id = ready_model(client, worker, train_model_name="gone")
    doomed = insert_job(client, job_type="TEST", test_model_id=model_id, **TEST_PERIOD)
    following = insert_job(client, **TRAIN)
    client.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [model_id])
    assert claimed_id(worker) == following
    job = job_row(client, doomed)
    assert (job["status"], job["attempt"]) == ("FAILED", 0)
    assert f'model {model_id} ("gone") was deleted' in job["error_msg"]
    assert events(client, doomed) == [(0, "FAILED")]


@pytest.mark.parametrize("side", [0, 1])
def test_a_comparison_of_a_model_deleted_meanwhile_fails(
    client: Connection, worker: Connection, side: int
) -> None:
    pair = [ready_model(client, worker) for _ in range(2)]
    fields = {"compare_model_a_id": pair[0], "compare_model_b_id": pair[1], **COMPARE_PERIOD}
    doomed = insert_job(client, job_type="COMPARE", **fields)
    client.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [pair[side]])
    assert claimed_id(worker) is None
    assert f"model {pair[side]} " in job_row(client, doomed)["error_msg"]


def test_all_jobs_that_can_no_longer_run_fail_in_one_claim(client: Connection, worker: Connection) -> None:
    model_id = ready_model(client, worker)
    doomed = [insert_job(client, job_type="TEST", test_model_id=model_id, **TEST_PERIOD) for _ in range(5)]
    client.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [model_id])
    assert claimed_id(worker) is None
    assert {job_row(client, job_id)["status"] for job_id in doomed} == {"FAILED"}


def test_the_name_of_a_waiting_job_cannot_be_taken_meanwhile(client: Connection, worker: Connection) -> None:
    model_id = ready_model(client, worker)
    job_id = insert_job(client, **TRAIN, train_model_name="wanted")
    with refused("23505", f'"wanted" is taken by job {job_id}', "cancel the job"):
        client.execute("UPDATE ml_models SET name = 'wanted' WHERE id = %s", [model_id])
    assert claimed_id(worker) == job_id
    assert job_row(client, job_id)["status"] == "RUNNING"


def test_an_assignment_tells_a_training_all_that_it_needs(client: Connection, worker: Connection) -> None:
    fields = {"train_value": "50000.10", "train_phases_csv": "1,2", "train_params_csv": "C=2"}
    told = call(worker, "assignment", running_job(client, worker, **fields))
    assert (told["period_start"], told["period_end"]) == (
        "2024-01-01T00:00:00+00:00",
        "2024-03-01T00:00:00+00:00",
    )
    assert told["phases"] == [1, 2]
    assert told["request"]["value"] == 50000.10
    assert not any(name.startswith("train_") for name in told["request"])
    (model,) = told["models"]
    assert model["label"] == {
        "target": "market_cap_close",
        "operator": ">",
        "value": "50000.10",
        "future_minutes": None,
        "kind": "value",
        "base": None,
        "stop_value": None,
        "uncovered": None,
    }
    assert model["params"]["C"] == ["number", "2"]
    assert model["params"]["max_iter"] == ["integer", "100"]
    assert (model["artifact_path"], model["fewest"]["rows"]) == (None, 20)


def test_an_assignment_tells_a_comparison_both_models_and_what_they_share(
    client: Connection, worker: Connection
) -> None:
    a, b = (ready_model(client, worker, train_phases_csv=phases) for phases in ("3,1,2", "2,99,3"))
    insert_job(client, job_type="COMPARE", compare_model_a_id=b, compare_model_b_id=a, **COMPARE_PERIOD)
    told = call(worker, "assignment", claim(worker)["id"])
    assert [model["id"] for model in told["models"]] == [b, a]
    assert sorted(told["phases"]) == [2, 3]
    assert told["request"]["model_a_id"] == b
    assert told["models"][0]["artifact_sha256"] == "a" * 64


@pytest.mark.parametrize(
    "arguments",
    [
        "NULL, '30 seconds', '{TRAIN}'",
        "'w1', NULL, '{TRAIN}'",
        "'w1', '30 seconds', NULL",
        "'w1', '25 hours', '{TRAIN}'",
        "repeat('w', 256), '30 seconds', '{TRAIN}'",
    ],
)
def test_a_wrong_claim_is_refused_and_the_queue_stays_as_it_is(
    client: Connection, worker: Connection, arguments: str
) -> None:
    jobs = [insert_job(client, **TRAIN) for _ in range(2)]
    with pytest.raises(Exception, match=r"worker|lease|too long"):
        worker.execute(f"SELECT * FROM ml_internal.claim_job({arguments})")
    assert [job_row(client, job_id)["status"] for job_id in jobs] == ["PENDING", "PENDING"]


# ── The fence ───────────────────────────────────────────────────────────────────────────────────────


@EVERY_ROUTINE
@pytest.mark.parametrize("attempt", [0, 2, 99])
def test_a_wrong_attempt_is_refused(
    client: Connection, worker: Connection, routine: str, attempt: int
) -> None:
    job_id = running_job(client, worker, FENCED[routine])
    before = job_row(client, job_id)
    with refused("ML001", f"attempt {attempt} ", "Stop working on it"):
        invoke(worker, routine, job_id, attempt)
    assert job_row(client, job_id) == before
    assert events(client, job_id) == [(1, "CLAIMED")]


@EVERY_ROUTINE
def test_a_job_that_does_not_exist_is_refused(worker: Connection, routine: str) -> None:
    with refused("ML001", "999999", "Stop working on it"):
        invoke(worker, routine, 999_999, 1)


@EVERY_ROUTINE
def test_an_attempt_that_another_login_claimed_is_refused(
    db: Database, owner: Connection, client: Connection, worker: Connection, routine: str
) -> None:
    """A second worker's login knows the numbers, but does not hold the job."""
    job_id = running_job(client, worker, FENCED[routine])
    owner.execute("CREATE ROLE eve LOGIN PASSWORD 'only-for-tests' IN ROLE ml_worker")
    try:
        with db.connect("eve") as eve:
            before = job_row(client, job_id)
            with refused("42501", f"attempt 1 of job {job_id} was claimed by another login than eve"):
                invoke(eve, routine, job_id, 1)
            assert job_row(client, job_id) == before
    finally:
        owner.execute("DROP ROLE eve")


@EVERY_ROUTINE
def test_the_answer_to_a_repeated_call_is_for_the_login_that_claimed_the_attempt(
    db: Database, owner: Connection, client: Connection, worker: Connection, routine: str
) -> None:
    job_id = running_job(client, worker, FENCED[routine])
    answer = invoke(worker, routine, job_id, 1)
    owner.execute("CREATE ROLE eve LOGIN PASSWORD 'only-for-tests' IN ROLE ml_worker")
    try:
        with (
            db.connect("eve") as eve,
            refused("42501", f"attempt 1 of job {job_id} was claimed by another login than eve"),
        ):
            invoke(eve, routine, job_id, 1)
    finally:
        owner.execute("DROP ROLE eve")
    if routine != "record_progress":
        assert invoke(worker, routine, job_id, 1) == answer


def test_a_lease_that_ended_can_be_taken_by_another_login(
    db: Database, owner: Connection, client: Connection, worker: Connection
) -> None:
    job_id = insert_job(client, **TRAIN)
    claim(worker, lease="0")
    owner.execute("CREATE ROLE eve LOGIN PASSWORD 'only-for-tests' IN ROLE ml_worker")
    try:
        with db.connect("eve") as eve:
            assert call(eve, "expire_leases") == 1
            assert claim(eve)["id"] == job_id
            call(eve, "release_job", job_id, 2, "done with it")
    finally:
        owner.execute("DROP ROLE eve")


@EVERY_ROUTINE
def test_a_job_that_was_never_claimed_is_refused(
    client: Connection, worker: Connection, routine: str
) -> None:
    job_id = insert_job(client, **request(client, worker, FENCED[routine]))
    for attempt in (0, 1):
        with refused("ML001", "PENDING", "Stop working on it"):
            invoke(worker, routine, job_id, attempt)
    assert events(client, job_id) == []


# A call that repeats the one that ended the attempt is no intruder: it gives its answer again, see below.
@pytest.mark.parametrize(
    ("how", "routine"),
    [(how, routine) for how in ("release_job", "record_loss") for routine in FENCED if routine != how],
)
def test_an_attempt_that_was_taken_over_is_refused(
    client: Connection, worker: Connection, routine: str, how: str
) -> None:
    job_id = running_job(client, worker, FENCED[routine])
    call(worker, how, job_id, 1, "gone")
    with refused("ML001", f"job {job_id}", "discard what this attempt made"):
        invoke(worker, routine, job_id, 1)
    assert claim(worker, "w2")["attempt"] == 2
    before = job_row(client, job_id)
    with refused("ML001", "RUNNING in attempt 2", "discard what this attempt made"):
        invoke(worker, routine, job_id, 1)
    assert job_row(client, job_id) == before


@pytest.mark.parametrize(
    ("end", "routine"),
    [
        (end, routine)
        for end, repeated in {
            "COMPLETED": ("record_training", "record_test", "record_comparison"),
            "FAILED": ("record_failure",),
            "CANCELLED": (),
            "LOST": ("record_loss",),
        }.items()
        for routine in FENCED
        if routine not in repeated
    ],
)
def test_a_job_that_has_ended_is_refused(
    client: Connection, worker: Connection, end: str, routine: str
) -> None:
    job_type = FENCED[routine]
    job_id = running_job(client, worker, job_type, max_attempts=1)
    match end:
        case "COMPLETED":
            complete(worker, job_id, job_type)
        case "FAILED":
            call(worker, "record_failure", job_id, 1, "no rows")
        case "CANCELLED":
            client.execute("CALL ml.cancel_job(%s)", [job_id])
        case "LOST":
            call(worker, "record_loss", job_id, 1, "killed")
    before = job_row(client, job_id), events(client, job_id)
    with refused("ML001", f"job {job_id}", "discard what this attempt made"):
        invoke(worker, routine, job_id, 1)
    assert (job_row(client, job_id), events(client, job_id)) == before


def test_a_result_of_a_lost_attempt_leaves_no_row(client: Connection, worker: Connection) -> None:
    for job_type, table in (("TEST", "ml_test_results"), ("COMPARE", "ml_comparisons")):
        job_id = running_job(client, worker, job_type)
        client.execute("CALL ml.cancel_job(%s)", [job_id])
        before = count(client, table)
        with refused("ML001"):
            complete(worker, job_id, job_type)
        assert count(client, table) == before


def test_an_attempt_whose_lease_ended_keeps_the_job_until_it_is_taken(
    client: Connection, worker: Connection
) -> None:
    job_id = insert_job(client, **TRAIN)
    claim(worker, lease="0 seconds")
    assert invoke(worker, "record_progress", job_id, 1) > datetime.now(UTC)
    assert call(worker, "expire_leases") == 0
    complete(worker, job_id, "TRAIN")
    assert job_row(client, job_id)["status"] == "COMPLETED"


# ── Repeated calls ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("job_type", ["TRAIN", "TEST", "COMPARE"])
def test_a_repeated_result_gives_the_stored_id_again(
    client: Connection, worker: Connection, job_type: str
) -> None:
    table = {"TRAIN": "ml_training_runs", "TEST": "ml_test_results", "COMPARE": "ml_comparisons"}[job_type]
    job_id = running_job(client, worker, job_type)
    stored = complete(worker, job_id, job_type)
    before = count(client, table), job_row(client, job_id)
    assert complete(worker, job_id, job_type, seconds_loading="99") == stored
    assert (count(client, table), job_row(client, job_id)) == before
    assert events(client, job_id) == [(1, "CLAIMED"), (1, "COMPLETED")]


def test_a_repeated_failure_gives_the_same_answer(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker)
    assert [call(worker, "record_failure", job_id, 1, text) for text in ("first", "second")] == ["FAILED"] * 2
    assert job_row(client, job_id)["error_msg"] == "first"
    assert events(client, job_id) == [(1, "CLAIMED"), (1, "FAILED")]


@pytest.mark.parametrize(("routine", "event"), [("record_loss", "EXPIRED"), ("release_job", "RELEASED")])
def test_a_repeated_loss_or_release_gives_the_same_answer(
    client: Connection, worker: Connection, routine: str, event: str
) -> None:
    job_id = running_job(client, worker)
    assert [call(worker, routine, job_id, 1, "because") for _ in range(2)] == ["PENDING"] * 2
    assert events(client, job_id) == [(1, "CLAIMED"), (1, event)]


@pytest.mark.parametrize("routine", ["record_loss", "release_job"])
def test_the_answer_is_the_same_after_the_next_claim_too(
    client: Connection, worker: Connection, routine: str
) -> None:
    job_id = running_job(client, worker)
    first = call(worker, routine, job_id, 1, "because")
    claim(worker, "w2")
    assert call(worker, routine, job_id, 1, "because") == first == "PENDING"
    assert job_row(client, job_id)["status"] == "RUNNING"


def test_a_repeated_last_loss_gives_the_same_answer(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker, max_attempts=1)
    assert [call(worker, "record_loss", job_id, 1, "killed") for _ in range(2)] == ["FAILED"] * 2
    assert events(client, job_id) == [(1, "CLAIMED"), (1, "EXPIRED"), (1, "FAILED")]


# ── Progress and lease ──────────────────────────────────────────────────────────────────────────────


def test_progress_moves_the_bar_and_renews_the_lease(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker)
    before = job_row(client, job_id)["lease_until"]
    query = (
        "SELECT ml_internal.record_progress(%s, 1, 0.6, 'Training: 60/100 trees', '1 hour') AS lease_until"
    )
    lease_until = one(worker, query, [job_id])["lease_until"]
    job = job_row(client, job_id)
    assert (str(job["progress"]), job["progress_msg"]) == ("0.60", "Training: 60/100 trees")
    assert job["lease_until"] == lease_until > before + timedelta(minutes=50)


def test_progress_without_a_message_keeps_the_last_one(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker)
    invoke(worker, "record_progress", job_id, 1)
    worker.execute("SELECT ml_internal.record_progress(%s, 1, 0.7, NULL, '30 seconds')", [job_id])
    job = job_row(client, job_id)
    assert (str(job["progress"]), job["progress_msg"]) == ("0.70", "half")


@pytest.mark.parametrize("progress", ["-0.01", "1.01", "NaN"])
def test_progress_outside_0_to_1_is_refused(client: Connection, worker: Connection, progress: str) -> None:
    job_id = running_job(client, worker)
    with refused("23514", "ml_job_events_progress_between_0_and_1"):
        worker.execute(
            "SELECT ml_internal.record_progress(%s, 1, %s, NULL, '30 seconds')", [job_id, progress]
        )
    assert job_row(client, job_id)["progress"] == 0


@pytest.mark.parametrize("lease", [None, "-1 second", "1 day 1 second"])
def test_progress_renews_a_lease_of_at_most_one_day(
    client: Connection, worker: Connection, lease: str | None
) -> None:
    job_id = running_job(client, worker)
    before = job_row(client, job_id)
    query = "SELECT ml_internal.record_progress(%s, 1, 0.5, 'half', %s)"
    with refused("22023", f"job {job_id} cannot be held for", "at most one day"):
        worker.execute(query, [job_id, lease])
    assert job_row(client, job_id) == before
    for longest_and_shortest in ("1 day", "0"):
        worker.execute(query, [job_id, longest_and_shortest])


def test_a_lost_lease_is_expired_and_the_job_waits_again(client: Connection, worker: Connection) -> None:
    lost = insert_job(client, **TRAIN)
    claim(worker, "dead", lease="0 seconds")
    healthy = running_job(client, worker)
    assert call(worker, "expire_leases") == 1
    job = job_row(client, lost)
    assert (job["status"], job["lease_until"], job["progress"]) == ("PENDING", None, 0)
    assert "worker dead sent no heartbeat" in job["progress_msg"]
    assert job_row(client, healthy)["status"] == "RUNNING"
    assert call(worker, "expire_leases") == 0
    assert events(client, lost) == [(1, "CLAIMED"), (1, "EXPIRED")]


def test_all_lost_leases_are_expired_at_once(client: Connection, worker: Connection) -> None:
    for _ in range(3):
        insert_job(client, **TRAIN)
        claim(worker, lease="0 seconds")
    assert call(worker, "expire_leases") == 3


def test_a_lost_job_keeps_its_place_in_the_queue(client: Connection, worker: Connection) -> None:
    lost = insert_job(client, **TRAIN)
    following = insert_job(client, **TRAIN)
    claim(worker, lease="0 seconds")
    call(worker, "expire_leases")
    assert [claimed_id(worker), claimed_id(worker)] == [lost, following]


def test_two_sessions_that_expire_at_once_take_a_lease_once(
    db: Database, client: Connection, worker: Connection
) -> None:
    insert_job(client, **TRAIN)
    claim(worker, lease="0 seconds")
    with db.connect("wanda") as other, worker.transaction():
        assert call(worker, "expire_leases") == 1
        assert call(other, "expire_leases") == 0
    with db.connect("wanda") as other:
        assert call(other, "expire_leases") == 0


# ── Attempts ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("max_attempts", [1, 3])
def test_a_job_fails_once_its_attempts_are_lost(
    client: Connection, worker: Connection, max_attempts: int
) -> None:
    job_id = insert_job(client, **TRAIN, max_attempts=max_attempts)
    for attempt in range(1, max_attempts + 1):
        assert claim(worker)["attempt"] == attempt
        answer = call(worker, "record_loss", job_id, attempt, f"killed {attempt}")
        assert answer == ("FAILED" if attempt == max_attempts else "PENDING")
    job = job_row(client, job_id)
    assert (
        job["error_msg"] == f"Lost {max_attempts} of {max_attempts} attempts; the last: killed {max_attempts}"
    )
    assert one(client, "SELECT status FROM ml_models WHERE train_job_id = %s", [job_id])["status"] == "FAILED"
    assert claimed_id(worker) is None


def test_a_job_whose_leases_end_fails_after_its_attempts(client: Connection, worker: Connection) -> None:
    job_id = insert_job(client, **TRAIN, max_attempts=2)
    for status in ("PENDING", "FAILED"):
        claim(worker, lease="0 seconds")
        assert call(worker, "expire_leases") == 1
        assert job_row(client, job_id)["status"] == status
    assert "sent no heartbeat" in job_row(client, job_id)["error_msg"]


def test_a_release_does_not_count_as_lost(client: Connection, worker: Connection) -> None:
    job_id = insert_job(client, **TRAIN, max_attempts=2)
    for attempt in range(1, 6):
        assert claim(worker)["attempt"] == attempt
        assert call(worker, "release_job", job_id, attempt, "worker stopped") == "PENDING"
    claim(worker)
    assert call(worker, "record_loss", job_id, 6, "killed") == "PENDING"
    claim(worker)
    assert call(worker, "record_loss", job_id, 7, "killed") == "FAILED"
    assert job_row(client, job_id)["error_msg"] == "Lost 2 of 2 attempts; the last: killed"


def test_a_released_job_can_be_completed_by_the_next_attempt(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker)
    call(worker, "release_job", job_id, 1, "worker stopped")
    assert claim(worker, "w2")["attempt"] == 2
    complete(worker, job_id, "TRAIN", attempt=2)
    job = job_row(client, job_id)
    assert (job["status"], job["worker_id"], job["attempt"]) == ("COMPLETED", "w2", 2)


@pytest.mark.parametrize("routine", ["record_failure", "record_loss", "release_job"])
def test_an_end_without_a_reason_is_refused(client: Connection, worker: Connection, routine: str) -> None:
    job_id = running_job(client, worker)
    with refused("23514", "ml_job_events_loss_has_reason"):
        call(worker, routine, job_id, 1, None)
    assert job_row(client, job_id)["status"] == "RUNNING"
