"""Within a priority clients take turns: each gets its next job before any gets a second."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier

import psycopg
import pytest

from tests.conftest import JOB_TYPES, PASSWORD, TRAIN, Connection, Database, claim, insert_job, job_row
from tests.sql.helpers import TEST_PERIOD, call, complete
from worker.database.connection import connect
from worker.database.reading import fetch_overview

CLIENTS = ("turn_ada", "turn_bob", "turn_cyd")
MANY = """
    INSERT INTO ml_jobs (job_type, priority, train_target_var, train_operator, train_value, train_start,
        train_end, train_features_csv, train_model_type)
    SELECT 'TRAIN', %s, 'market_cap_close', '>', 50000, '2024-01-01', '2024-03-01', 'price_open', 'xgboost'
    FROM generate_series(1, %s)
"""


@pytest.fixture(scope="module")
def module_db(make_database: Callable[[], Database]) -> Iterator[Database]:
    db = make_database()
    with db.connect("owner") as owner:
        for login in CLIENTS:
            owner.execute(f"CREATE ROLE {login} LOGIN PASSWORD '{PASSWORD}' IN ROLE ml_client")
        yield db
        for login in CLIENTS:
            owner.execute(f"DROP ROLE {login}")


@pytest.fixture
def clients(db: Database) -> Iterator[dict[str, Connection]]:
    with ExitStack() as stack:
        yield {login: stack.enter_context(db.connect(login)) for login in CLIENTS}


def flood(client: Connection, jobs: int, priority: int = 5) -> None:
    client.execute(MANY, [priority, jobs])


def next_job(worker: Connection, kinds: list[str] = JOB_TYPES) -> dict[str, object] | None:
    return worker.execute("SELECT * FROM ml_internal.claim_job('w1', '30 seconds', %s)", [kinds]).fetchone()


def whose(worker: Connection, jobs: int) -> list[str]:
    """Claim so many jobs, and say whose they are."""
    return [claim(worker)["created_by"].removeprefix("turn_") for _ in range(jobs)]


def waiting(connection: Connection) -> list[int]:
    rows = connection.execute(
        "SELECT id FROM ml_queue WHERE position IS NOT NULL ORDER BY position"
    ).fetchall()
    return [row["id"] for row in rows]


def test_each_client_gets_its_next_job_before_any_gets_a_second(
    clients: dict[str, Connection], worker: Connection
) -> None:
    flood(clients["turn_cyd"], 300)
    flood(clients["turn_ada"], 3)
    flood(clients["turn_bob"], 2)
    claimed = whose(worker, 12)
    for login, jobs in (("ada", 3), ("bob", 2)):
        for turn in range(jobs):
            assert claimed[: 3 * turn + 3].count(login) >= turn + 1, claimed
    assert claimed[8:] == ["cyd"] * 4


def test_a_client_that_comes_later_waits_for_one_job_of_each_other(
    clients: dict[str, Connection], worker: Connection
) -> None:
    flood(clients["turn_ada"], 20)
    flood(clients["turn_bob"], 20)
    whose(worker, 7)
    flood(clients["turn_cyd"], 1)
    assert "cyd" in whose(worker, 3)


def test_turns_are_taken_within_a_priority_only(clients: dict[str, Connection], worker: Connection) -> None:
    flood(clients["turn_bob"], 4, priority=1)
    flood(clients["turn_ada"], 2, priority=2)
    assert whose(worker, 6) == ["bob"] * 4 + ["ada"] * 2


def test_the_jobs_of_one_client_are_taken_by_age_whatever_their_kind(
    clients: dict[str, Connection], worker: Connection
) -> None:
    ada = clients["turn_ada"]
    job_id = insert_job(ada, **TRAIN)
    assert claim(worker)["id"] == job_id
    complete(worker, job_id, "TRAIN")
    model_id = job_row(ada, job_id)["result_model_id"]
    expected = []
    for _ in range(3):
        expected.append(insert_job(ada, **TRAIN))
        expected.append(insert_job(ada, job_type="TEST", test_model_id=model_id, **TEST_PERIOD))
    assert [claim(worker)["id"] for _ in expected] == expected


def test_sessions_that_claim_at_the_same_time_take_turns(
    db: Database, clients: dict[str, Connection], worker: Connection
) -> None:
    """A job whose claim is not committed yet was its client's turn."""
    for client in clients.values():
        flood(client, 10)
    with ExitStack() as stack:
        claimed = []
        for _ in range(9):
            other = stack.enter_context(db.connect("wanda"))
            stack.enter_context(other.transaction(force_rollback=True))
            claimed += whose(other, 1)
        assert sorted(claimed) == sorted(["ada", "bob", "cyd"] * 3), claimed
        assert sorted(claimed[:3]) == ["ada", "bob", "cyd"]


def test_sessions_that_race_give_no_client_more_than_its_share(
    db: Database, clients: dict[str, Connection]
) -> None:
    for login, jobs in zip(CLIENTS, (200, 20, 20), strict=True):
        flood(clients[login], jobs)
    barrier = Barrier(4, timeout=60)

    def work(session: Connection) -> None:
        barrier.wait()
        for _ in range(15):
            claim(session)

    with ExitStack() as stack:
        sessions = [stack.enter_context(db.connect("wanda")) for _ in range(4)]
        list(ThreadPoolExecutor(4).map(work, sessions))
        rows = sessions[0].execute(
            "SELECT created_by, count(*) AS n FROM ml_jobs WHERE status = 'RUNNING' GROUP BY created_by"
        )
        shares = {row["created_by"]: row["n"] for row in rows}
    assert all(18 <= n <= 24 for n in shares.values()), shares


def test_a_client_that_has_locked_its_jobs_holds_up_itself_alone(
    db: Database, clients: dict[str, Connection], worker: Connection
) -> None:
    flood(clients["turn_ada"], 200)
    flood(clients["turn_bob"], 3)
    flood(clients["turn_cyd"], 3, priority=9)
    with clients["turn_ada"].transaction(force_rollback=True):
        clients["turn_ada"].execute(
            "UPDATE ml_jobs SET priority = 5 WHERE created_by = current_user AND status = 'PENDING'"
        )
        assert whose(worker, 6) == ["bob"] * 3 + ["cyd"] * 3
        assert next_job(worker) is None


def test_jobs_that_fail_at_their_claim_are_their_client_s_turns(
    clients: dict[str, Connection], worker: Connection
) -> None:
    ada, bob = clients["turn_ada"], clients["turn_bob"]
    job_id = insert_job(ada, **TRAIN)
    assert claim(worker)["id"] == job_id
    complete(worker, job_id, "TRAIN")
    model_id = job_row(ada, job_id)["result_model_id"]
    ada.execute(
        """INSERT INTO ml_jobs (job_type, test_model_id, test_start, test_end)
        SELECT 'TEST', %s, '2024-03-01', '2024-04-01' FROM generate_series(1, 250)""",
        [model_id],
    )
    ada.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [model_id])
    flood(bob, 2)
    assert whose(worker, 2) == ["bob", "bob"]
    failed = "SELECT count(*) AS n FROM ml_jobs WHERE status = 'FAILED' AND test_model_id = %s"
    assert worker.execute(failed, [model_id]).fetchall()[0]["n"] <= 3
    worker.execute("LISTEN ml_jobs")
    looks = 0
    while ada.execute(failed, [model_id]).fetchall()[0]["n"] < 250:
        assert next_job(worker) is None
        looks += 1
    assert looks == 3
    assert len(list(worker.notifies(timeout=0.5))) >= 2  # so that it looks again


@pytest.mark.parametrize("kinds", [JOB_TYPES, ["TRAIN"]])
def test_the_queue_shows_the_order_in_which_jobs_are_claimed(
    db: Database, clients: dict[str, Connection], worker: Connection, kinds: list[str]
) -> None:
    for login, jobs in zip(CLIENTS, (7, 3, 5), strict=True):
        flood(clients[login], jobs, priority=4)
        flood(clients[login], jobs - 2, priority=6)
    whose(worker, 2)  # somebody had the last turn
    flood(clients["turn_bob"], 2, priority=4)
    call(worker, "release_job", claim(worker)["id"], 1, "stopped")
    shown = waiting(worker)
    with connect(db.login("rosa")) as reader:
        overview = fetch_overview(reader, 100)
        five = fetch_overview(reader, 5)
    assert [job["id"] for job in overview["jobs"] if job["status"] == "PENDING"] == shown
    assert [job["id"] for job in five["jobs"] if job["status"] == "PENDING"] == shown[:5]
    claimed = []
    while (job := next_job(worker, kinds)) is not None:
        claimed.append(job["id"])
        assert waiting(worker) == shown[len(claimed) :]
    assert claimed == shown


def test_claims_read_no_more_of_a_long_queue_with_many_clients(
    make_database: Callable[[], Database],
) -> None:
    """By the rows that are read: see test_queue_cost.py."""
    from tests.sql.test_queue_cost import AT_MOST, ROWS_READ  # noqa: PLC0415

    def read(clients: int, jobs: int) -> float:
        db = make_database()
        with psycopg.connect(db.url, autocommit=True) as admin:
            admin.execute("SET session_replication_role = replica")
            admin.execute(
                f"""INSERT INTO ml_jobs (job_type, created_by, test_model_id, test_start, test_end)
                SELECT 'TEST', 'client_' || n % {clients}, 1, '2024-03-01', '2024-04-01'
                FROM generate_series(1, {jobs}) n"""
            )
            admin.execute("VACUUM (ANALYZE, PARALLEL 0)")
            with admin.transaction(force_rollback=True):
                before = admin.execute(ROWS_READ.encode()).fetchall()[0][0]
                assert admin.execute(
                    "SELECT id FROM ml_internal.lock_next_job('{TRAIN,TEST,COMPARE}', '{}', NULL, NULL)"
                ).fetchall()
                return float(admin.execute(ROWS_READ.encode()).fetchall()[0][0] - before)

    assert 0 < read(1000, 20_000) <= AT_MOST * read(2, 200) + 5  # a few rows are chance
