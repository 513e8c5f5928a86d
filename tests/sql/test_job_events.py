"""Everything that happened to a job can be read back, and nobody can change it."""

import pytest

from tests.conftest import TRAIN, Connection, claim, insert_job, one
from tests.sql.helpers import FACTS, call, complete, events, refused, running_job, violates


def test_the_events_tell_the_life_of_a_job(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker)
    worker.execute("SELECT ml_internal.record_progress(%s, 1, 0.5, 'half', '30 seconds')", [job_id])
    call(worker, "release_job", job_id, 1, "worker stopped")
    claim(worker, "w2")
    call(worker, "record_loss", job_id, 2, "killed")
    claim(worker, "w3")
    complete(worker, job_id, "TRAIN", attempt=3)
    assert events(client, job_id) == [
        (1, "CLAIMED"),
        (1, "PROGRESS"),
        (1, "RELEASED"),
        (2, "CLAIMED"),
        (2, "EXPIRED"),
        (3, "CLAIMED"),
        (3, "COMPLETED"),
    ]
    query = "SELECT worker_id, message FROM ml_job_events WHERE job_id = %s ORDER BY id"
    assert [tuple(row.values()) for row in client.execute(query, [job_id])] == [
        ("w1", None),
        ("w1", "half"),
        ("w1", "worker stopped"),
        ("w2", None),
        ("w2", "killed"),
        ("w3", None),
        ("w3", None),
    ]


def test_an_event_says_which_login_caused_it_and_when(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker)
    client.execute("CALL ml.cancel_job(%s)", [job_id])
    query = "SELECT event, created_by FROM ml_job_events WHERE job_id = %s ORDER BY id"
    assert {row["event"]: row["created_by"] for row in client.execute(query, [job_id])} == {
        "CLAIMED": "wanda",
        "CANCELLED": "anna",
    }
    query = "SELECT min(created_at) <= max(created_at) AND max(created_at) <= now() AS ok FROM ml_job_events"
    assert one(client, query)["ok"]


@pytest.fixture
def facts(client: Connection, worker: Connection) -> None:
    """A fact of each kind."""
    complete(worker, running_job(client, worker, "TEST"), "TEST")
    complete(worker, running_job(client, worker, "COMPARE"), "COMPARE")
    complete(worker, running_job(client, worker, "SCORE"), "SCORE")


@pytest.mark.usefixtures("facts")
@pytest.mark.parametrize("fact", FACTS)
@pytest.mark.parametrize(
    ("operation", "statement"),
    [
        ("UPDATE", "UPDATE {} SET attempt = 99"),
        ("UPDATE", "UPDATE {} SET created_at = created_at WHERE false"),
        ("DELETE", "DELETE FROM {}"),
        ("DELETE", "DELETE FROM {} WHERE false"),
        ("TRUNCATE", "TRUNCATE {} CASCADE"),
    ],
)
def test_a_fact_stays_as_it_is_even_for_the_owner(
    owner: Connection, fact: str, operation: str, statement: str
) -> None:
    before = owner.execute(f"SELECT * FROM {fact} ORDER BY id").fetchall()
    with refused("ML003", f"{operation} refused", "inserted by the worker's procedures"):
        owner.execute(statement.format(fact))
    assert owner.execute(f"SELECT * FROM {fact} ORDER BY id").fetchall() == before


@pytest.mark.usefixtures("facts")
def test_the_refusal_names_the_fact_table(owner: Connection) -> None:
    with refused("ML003", "ml_training_runs is append-only: UPDATE refused"):
        owner.execute("UPDATE ml_training_runs SET tp = 0")


def test_a_merge_cannot_change_a_fact(owner: Connection) -> None:
    with refused("ML003", "ml_job_events is append-only"):
        owner.execute(
            "MERGE INTO ml_job_events e USING (SELECT 1 AS id) s ON e.id = s.id"
            " WHEN MATCHED THEN UPDATE SET message = 'forged'"
        )


@pytest.mark.parametrize(
    ("attempt", "event", "lease"),
    [
        (1, "CLAIMED", "now()"),
        (3, "CLAIMED", "now()"),
        (2, "PROGRESS", "now()"),
        (2, "COMPLETED", "NULL"),
        (0, "FAILED", "NULL"),
        (2, "RELEASED", "NULL"),
        (2, "EXPIRED", "NULL"),
        (1, "CANCELLED", "NULL"),
    ],
)
def test_an_event_that_the_state_does_not_allow_is_refused_for_the_owner_too(
    client: Connection, worker: Connection, owner: Connection, attempt: int, event: str, lease: str
) -> None:
    job_id = running_job(client, worker)
    with refused(
        "ML001", f"attempt {attempt} of job {job_id} cannot be {event}: the job is RUNNING in attempt 1"
    ):
        owner.execute(
            f"INSERT INTO ml_job_events (job_id, attempt, event, lease_until) VALUES (%s, %s, %s, {lease})",
            [job_id, attempt, event],
        )
    assert events(client, job_id) == [(1, "CLAIMED")]


def test_an_event_of_a_job_that_does_not_exist_is_refused(owner: Connection) -> None:
    with pytest.raises(Exception, match="job"):
        owner.execute(
            "INSERT INTO ml_job_events (job_id, attempt, event, lease_until)"
            " VALUES (999999, 1, 'CLAIMED', now())"
        )
    assert owner.execute("SELECT FROM ml_job_events WHERE job_id = 999999").fetchall() == []


@pytest.mark.parametrize(
    ("constraint", "events_of_attempt"),
    [
        ("ml_job_events_claimed_once", ("CLAIMED", "CLAIMED")),
        ("ml_job_events_ended_once", ("RELEASED", "EXPIRED")),
        ("ml_job_events_ended_once", ("COMPLETED", "COMPLETED")),
    ],
)
def test_an_attempt_is_claimed_once_and_ends_once(
    client: Connection, owner: Connection, constraint: str, events_of_attempt: tuple[str, str]
) -> None:
    """The indexes hold even where the triggers are off."""
    job_id = insert_job(client, **TRAIN)
    with owner.transaction(force_rollback=True):
        owner.execute("ALTER TABLE ml_job_events DISABLE TRIGGER USER")
        insert = (
            "INSERT INTO ml_job_events (job_id, attempt, event, message, lease_until)"
            " VALUES (%s, 1, %s, 'why', CASE WHEN %s = 'CLAIMED' THEN now() END)"
        )
        first, second = events_of_attempt
        owner.execute(insert, [job_id, first, first])
        with violates(constraint), owner.transaction():
            owner.execute(insert, [job_id, second, second])
