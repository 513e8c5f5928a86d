"""What the owner may limit: jobs that wait, priorities and minutes, of one client or of all others."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from tests.conftest import PASSWORD, TRAIN, Connection, Database, claim, insert_job, job_row, one
from tests.sql.helpers import call, events, refused, running_job

LIMIT = "53400"
OTHER = "limits_bob"
MANY = """
    INSERT INTO ml_jobs (job_type, train_target_var, train_operator, train_value, train_start, train_end,
        train_features_csv, train_model_type)
    SELECT 'TRAIN', 'market_cap_close', '>', 50000, '2024-01-01', '2024-03-01', 'price_open', 'xgboost'
    FROM generate_series(1, %s)
"""


@pytest.fixture(scope="module")
def module_db(make_database: Callable[[], Database]) -> Iterator[Database]:
    db = make_database()
    with db.connect("owner") as owner:
        owner.execute(f"CREATE ROLE {OTHER} LOGIN PASSWORD '{PASSWORD}' IN ROLE ml_client")
        yield db
        owner.execute(f"DROP ROLE {OTHER}")


@pytest.fixture(autouse=True)
def no_limits(db: Database) -> Iterator[None]:
    yield
    with db.connect("owner") as owner:
        owner.execute("DELETE FROM ml_client_limits")


@pytest.fixture
def bob(db: Database) -> Iterator[Connection]:
    with db.connect(OTHER) as opened:
        yield opened


def limit(owner: Connection, client: str, **limits: Any) -> None:
    owner.execute("DELETE FROM ml_client_limits WHERE client = %s", [client])
    names = ", ".join(["client", *limits])
    places = ", ".join(["%s"] * (1 + len(limits)))
    owner.execute(f"INSERT INTO ml_client_limits ({names}) VALUES ({places})", [client, *limits.values()])


def test_there_are_no_limits_as_installed(client: Connection) -> None:
    assert one(client, "SELECT count(*) AS n FROM ml_client_limits")["n"] == 0
    client.execute(MANY, [500])
    job = job_row(client, insert_job(client, **TRAIN, priority=1))
    assert job["max_minutes"] is None


# ── Jobs that wait ──────────────────────────────────────────────────────────────────────────────────


def test_a_client_has_no_more_jobs_pending_than_it_may(
    owner: Connection, client: Connection, worker: Connection
) -> None:
    limit(owner, "anna", max_pending=3)
    jobs = [insert_job(client, **TRAIN, priority=p) for p in (5, 7, 7)]
    with refused(LIMIT, "anna may have 3 jobs PENDING and would have 4", "cancel some"):
        insert_job(client, **TRAIN)
    with refused(LIMIT, "would have 8"):
        client.execute(MANY, [5])
    claim(worker)
    insert_job(client, **TRAIN)
    client.execute("CALL ml.cancel_job(%s)", [jobs[1]])
    insert_job(client, **TRAIN)
    with refused(LIMIT):
        client.execute(
            "SELECT ml.train('xgboost', 'volume_sol', '>', 5, 'price_open', '2024-01-01', '2024-03-01')"
        )


def test_a_client_without_a_row_has_the_limits_of_public(
    owner: Connection, client: Connection, bob: Connection
) -> None:
    limit(owner, "public", max_pending=1)
    limit(owner, OTHER, max_pending=None)
    insert_job(client, **TRAIN)
    with refused(LIMIT, "anna may have 1"):
        insert_job(client, **TRAIN)
    bob.execute(MANY, [10])
    bob.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE created_by = current_user")


def test_a_job_that_was_given_back_waits_again_whatever_the_limit(
    owner: Connection, client: Connection, worker: Connection
) -> None:
    job_id = running_job(client, worker)
    limit(owner, "anna", max_pending=1)
    insert_job(client, **TRAIN)
    assert call(worker, "release_job", job_id, 1, "stopped") == "PENDING"


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_inserts_at_the_same_time_stay_within_the_limit(
    db: Database, owner: Connection, isolation: str
) -> None:
    limit(owner, "anna", max_pending=5)

    def insert(session: Connection) -> int:
        inserted = 0
        for _ in range(4):
            try:
                with session.transaction():
                    insert_job(session, **TRAIN)
                inserted += 1
            except (psycopg.errors.ConfigurationLimitExceeded, psycopg.errors.SerializationFailure):
                pass
        return inserted

    with ExitStack() as stack:
        sessions = [stack.enter_context(db.connect("anna")) for _ in range(6)]
        for session in sessions:
            session.execute("SELECT set_config('default_transaction_isolation', %s, false)", [isolation])
        inserted = sum(ThreadPoolExecutor(6).map(insert, sessions))
    pending = one(owner, "SELECT count(*) AS n FROM ml_jobs WHERE status = 'PENDING' AND created_by = 'anna'")
    assert pending["n"] == inserted <= 5
    assert isolation != "read committed" or inserted == 5


def test_an_open_transaction_holds_up_its_own_client_alone(
    owner: Connection, client: Connection, bob: Connection
) -> None:
    limit(owner, "public", max_pending=5)
    bob.execute("SET lock_timeout = '10s'")
    with client.transaction():
        insert_job(client, **TRAIN)
        bob.execute("CALL ml.cancel_job(%s)", [insert_job(bob, **TRAIN)])


def test_only_the_owner_sets_limits_and_all_may_read_them(
    owner: Connection, client: Connection, reader: Connection, worker: Connection
) -> None:
    limit(owner, "public", max_pending=5)
    for connection in (client, reader, worker):
        assert one(connection, "SELECT max_pending FROM ml_client_limits")["max_pending"] == 5
        for change in (
            "UPDATE ml_client_limits SET max_pending = 9",
            "DELETE FROM ml_client_limits",
            "INSERT INTO ml_client_limits VALUES ('anna')",
            "DELETE FROM ml_internal.client_inserts",
            "SELECT FROM ml_client_limits FOR UPDATE",
        ):
            with refused("42501"):
                connection.execute(change)
    with refused("42704", "role nobody_at_all does not exist", "public"):
        limit(owner, "nobody_at_all", max_pending=1)


# ── Priorities ──────────────────────────────────────────────────────────────────────────────────────


def test_a_client_uses_no_better_priority_than_it_may(
    owner: Connection, client: Connection, bob: Connection
) -> None:
    limit(owner, "anna", best_priority=4)
    with refused(LIMIT, "priority 3 is better than the best that anna may use, 4", "from 4 to 10"):
        insert_job(client, **TRAIN, priority=3)
    job_id = insert_job(client, **TRAIN, priority=4)
    theirs = insert_job(bob, **TRAIN, priority=6)
    with refused(LIMIT, "anna may use, 4"):
        client.execute("UPDATE ml_jobs SET priority = 1 WHERE id = %s", [job_id])
    assert client.execute("UPDATE ml_jobs SET priority = 3 WHERE id = %s", [theirs]).rowcount == 0
    # Nor by the help of another.
    assert bob.execute("UPDATE ml_jobs SET priority = 2 WHERE id = %s", [job_id]).rowcount == 0
    client.execute("UPDATE ml_jobs SET priority = 8 WHERE id = %s", [job_id])
    client.execute("UPDATE ml_jobs SET priority = 4 WHERE id = %s", [job_id])
    owner.execute("UPDATE ml_jobs SET priority = 1 WHERE id = %s", [job_id])
    client.execute("UPDATE ml_jobs SET priority = 1 WHERE id = %s", [job_id])  # as it is


def test_a_job_that_gives_no_priority_gets_the_best_that_its_client_may_use(
    owner: Connection, client: Connection
) -> None:
    limit(owner, "anna", best_priority=7)
    assert job_row(client, insert_job(client, **TRAIN, priority=None))["priority"] == 7
    limit(owner, "anna", best_priority=2)
    assert job_row(client, insert_job(client, **TRAIN))["priority"] == 5


# ── Minutes ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("limits", "given", "kept"),
    [
        ({}, None, None),
        ({}, "0.5", "0.5"),
        ({"default_minutes": 30}, None, "30"),
        ({"default_minutes": 30}, "45", "45"),
        ({"default_minutes": 30, "max_minutes": 60}, "60", "60"),
        ({"max_minutes": 60}, None, "60"),
    ],
)
def test_a_job_has_the_minutes_that_it_gives_or_else_the_default_of_its_client(
    owner: Connection, client: Connection, limits: dict[str, int], given: str | None, kept: str | None
) -> None:
    limit(owner, "anna", **limits)
    job = job_row(client, insert_job(client, **TRAIN, max_minutes=given))
    assert job["max_minutes"] == (None if kept is None else Decimal(kept))


@pytest.mark.parametrize("minutes", ["0", "-1", "525601", "NaN", "Infinity"])
def test_minutes_that_no_job_may_have_are_refused(client: Connection, minutes: str) -> None:
    with refused("23514", f"max_minutes {minutes} is not above 0", "leave it out"):
        insert_job(client, **TRAIN, max_minutes=minutes)


def test_more_minutes_than_the_client_may_give_are_refused(owner: Connection, client: Connection) -> None:
    limit(owner, "anna", max_minutes=60)
    with refused(LIMIT, "max_minutes 61 is more than the 60 that anna may give", "Give less"):
        insert_job(client, **TRAIN, max_minutes=61)


def test_the_minutes_of_a_job_are_final(client: Connection) -> None:
    job_id = insert_job(client, **TRAIN, max_minutes=5)
    client.execute("UPDATE ml_jobs SET max_minutes = 5 WHERE id = %s", [job_id])
    with refused("ML002", "cannot be changed"):
        client.execute("UPDATE ml_jobs SET max_minutes = 50 WHERE id = %s", [job_id])


def test_the_functions_take_the_minutes(client: Connection) -> None:
    query = """SELECT ml.train('xgboost', 'volume_sol', '>', 5, 'price_open', '2024-01-01', '2024-03-01',
        max_minutes => 12.5) AS id"""
    assert job_row(client, one(client, query)["id"])["max_minutes"] == Decimal("12.5")


def test_a_job_past_its_minutes_fails_for_good_by_whichever_worker_asks(
    owner: Connection, client: Connection, worker: Connection
) -> None:
    short = running_job(client, worker, max_minutes="0.0001", max_attempts=3)
    long = running_job(client, worker, max_minutes="5")
    endless = running_job(client, worker)
    owner.execute("SELECT pg_sleep_until((SELECT started_at + '10 ms' FROM ml_jobs WHERE id = %s))", [short])
    client.execute("LISTEN ml_jobs")
    assert call(worker, "expire_leases") == 0
    job = job_row(client, short)
    assert (job["status"], job["attempt"]) == ("FAILED", 1)
    assert job["error_msg"].startswith("it ran for longer than its max_minutes of 0.0001; give it more")
    assert events(client, short) == [(1, "CLAIMED"), (1, "FAILED")]
    assert len(list(client.notifies(timeout=5, stop_after=1))) == 1  # so that its worker ends its child
    assert {job_row(client, job_id)["status"] for job_id in (long, endless)} == {"RUNNING"}
    with refused("ML001"):
        call(worker, "record_progress", short, 1, "0.5")


def test_the_minutes_count_from_the_latest_claim(
    owner: Connection, client: Connection, worker: Connection
) -> None:
    """An attempt that its worker gave back costs the next one nothing."""
    job_id = running_job(client, worker, max_minutes="0.005")  # 300 ms
    owner.execute(
        "SELECT pg_sleep_until((SELECT started_at + '350 ms' FROM ml_jobs WHERE id = %s))", [job_id]
    )
    call(worker, "release_job", job_id, 1, "stopped")
    with worker.transaction():
        assert claim(worker)["id"] == job_id
        call(worker, "expire_leases")
    assert job_row(client, job_id)["status"] == "RUNNING"


def test_every_notification_is_left_out_while_the_queue_of_the_server_is_full(owner: Connection) -> None:
    """By the one routine that asks: elsewhere a full queue would take back what was done."""
    rows = owner.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace::regnamespace::text ~ '^ml' AND prosrc ~ 'pg_notify'"
    )
    assert [row["proname"] for row in rows] == ["tell"]
