"""A child that waits for its job is connected already; however that connection fares, the job is done."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.conftest import TRAIN, Connection, Database, Worker, insert_job, job_row, until, wait_for
from tests.faults.test_black_holes import start_proxy, through
from tests.faults.test_death import assert_one_result
from worker.child import attempt
from worker.database.connection import Connection as WorkerConnection
from worker.protocol import Unable

StartWorker = Callable[..., Worker]
NEVER = ("--lease", "600", "--poll", "3600")  # the timer finds nothing
READY = """
    SELECT a.pid, a.state, a.xact_start,
        (SELECT count(*) FROM pg_locks l WHERE l.pid = a.pid) AS locks
    FROM pg_stat_activity a
    WHERE a.application_name = 'ml-worker' AND a.datname = current_database()
        AND a.state = 'idle' AND a.query LIKE '%EXPLAIN%'
"""


@pytest.fixture
def admin(db: Database) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(db.url, autocommit=True) as connection:
        yield connection


def ready_child(admin: psycopg.Connection[tuple[object, ...]]) -> int:
    """Waits for the one child to be ready; gives the number of its session."""
    until(lambda: len(admin.execute(READY).fetchall()) == 1, "the child to be ready")
    ((pid, state, began, locks),) = admin.execute(READY).fetchall()
    assert (state, began, locks) == ("idle", None, 0)
    assert isinstance(pid, int)
    return pid


def test_a_child_whose_waiting_connection_died_does_its_job_all_the_same(
    db: Database,
    client: Connection,
    admin: psycopg.Connection[tuple[object, ...]],
    start_worker: StartWorker,
) -> None:
    worker = start_worker(db, *NEVER)
    admin.execute("SELECT pg_terminate_backend(%s, 60000)", [ready_child(admin)])
    job_id = insert_job(client, **TRAIN)
    wait_for(client, job_id)
    assert_one_result(client, job_id)
    assert job_row(client, job_id)["attempt"] == 1
    assert "connection lost" not in worker.log


def test_a_child_whose_waiting_connection_is_a_black_hole_does_its_job_all_the_same(
    db: Database,
    client: Connection,
    admin: psycopg.Connection[tuple[object, ...]],
    start_worker: StartWorker,
) -> None:
    with start_proxy(db) as proxy:
        worker = start_worker(db, *NEVER, DATABASE_URL=through(proxy, db))
        ready_child(admin)
        proxy.strike_at(b"SELECT\0")  # with which the child sees whether its connection is still good
        job_id = insert_job(client, **TRAIN)
        wait_for(client, job_id)
        assert proxy.struck.is_set()
        assert_one_result(client, job_id)
        assert job_row(client, job_id)["attempt"] == 1
        assert "connection lost" not in worker.log
        worker.stop()


def test_a_waiting_connection_is_taken_unless_it_died_or_the_server_may_have_changed(db: Database) -> None:
    url = db.login("wanda")

    def ready() -> WorkerConnection:
        connection = attempt.get_ready(url)
        assert not isinstance(connection, Unable), connection
        return connection

    with ready() as good:
        assert attempt._connected(url, good, has_changed=False) is good
    with ready() as older, attempt._connected(url, older, has_changed=True) as newer:
        assert older.closed
        assert newer is not older
        newer.execute("SELECT")
    with ready() as dead, psycopg.connect(db.url, autocommit=True) as superuser:
        superuser.execute("SELECT pg_terminate_backend(%s, 60000)", [dead.info.backend_pid])
        with attempt._connected(url, dead, has_changed=False) as newer:
            newer.execute("SELECT")


def test_a_child_that_cannot_get_ready_says_why(db: Database, owner: Connection) -> None:
    refused = attempt.get_ready("postgresql://nobody@127.0.0.1:1/none")
    assert isinstance(refused, Unable)
    assert refused.lack == "connection"
    assert "refused" in refused.message
    owner.execute("ALTER TABLE coin_metrics RENAME TO metrics_elsewhere")  # what it reads first is not there
    refused = attempt.get_ready(db.login("wanda"))
    owner.execute("ALTER TABLE metrics_elsewhere RENAME TO coin_metrics")
    assert isinstance(refused, Unable)
    assert 'relation "public.coin_metrics" does not exist' in refused.message
    ready = attempt.get_ready(db.login("wanda"))
    assert not isinstance(ready, Unable), ready
    with ready:
        assert ready.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
