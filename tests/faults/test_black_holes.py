"""The network swallows bytes, the sockets stay open: the worker notices, and no result is doubled."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.conftest import TRAIN, Database, Worker, insert_job, job_row, one, until, wait_for
from tests.faults.proxy import Proxy
from tests.faults.test_death import FOREST, assert_one_result

StartWorker = Callable[..., Worker]
LONG = FOREST | {"train_params_csv": "n_estimators=1250"}  # it lasts seconds; progress is reported every half


@dataclass
class Remote:
    """A worker that reaches its database through a proxy."""

    db: Database
    worker: Worker
    proxy: Proxy

    def notices(self) -> int:
        return self.worker.log.count("connection lost")


def start_proxy(db: Database) -> Proxy:
    server = conninfo_to_dict(db.url)
    return Proxy(str(server["host"]), int(str(server["port"])))


def through(proxy: Proxy, db: Database) -> str:
    return make_conninfo(db.login("wanda"), host="127.0.0.1", port=proxy.port)


@pytest.fixture(scope="module")
def shared(make_database: Callable[[], Database], start_worker: StartWorker) -> Iterator[Remote]:
    db = make_database()
    with start_proxy(db) as proxy:
        options = ("--lease", "6", "--poll", "0.5", "--concurrency", "2")
        worker = start_worker(db, *options, DATABASE_URL=through(proxy, db))
        until(lambda: "listening" in worker.log, "the worker to listen")
        yield Remote(db, worker, proxy)
        worker.stop()


@pytest.fixture
def remote(shared: Remote) -> Iterator[Remote]:
    """The shared worker, in good health before and after."""
    yield shared
    shared.proxy.heal()


@pytest.mark.parametrize(
    ("words", "directions", "late"),
    [
        ("Training: ", "up", False),
        ("Training: ", "down", False),
        ("Training: ", "up down", True),
        ("record_result", "up", False),
        ("record_result", "up", True),  # delivered while the worker records it again
        ("record_result", "down", False),
        ("record_result", "up down", False),
    ],
)
def test_a_job_has_one_result_when_the_network_swallows(
    remote: Remote, words: str, directions: str, late: bool
) -> None:
    with remote.db.connect("anna") as client:
        before = remote.notices()
        remote.proxy.strike_at(words.encode(), *directions.split(), late=late)
        job_id = insert_job(client, **(LONG if words.startswith("Training") else TRAIN))
        assert remote.proxy.struck.wait(60)
        until(lambda: remote.notices() > before, "the worker to notice")
        in_time = "SELECT coalesce(lease_until > clock_timestamp(), true) AS yes FROM ml_jobs WHERE id = %s"
        assert one(client, in_time, [job_id])["yes"], "the lease ended before the worker noticed"
        remote.proxy.heal()
        wait_for(client, job_id)
        assert_one_result(client, job_id)


def test_an_idle_worker_notices_by_its_timer_and_works_on(remote: Remote) -> None:
    with remote.db.connect("anna") as client:
        before = remote.notices()
        remote.proxy.strike("up", "down")
        meanwhile = insert_job(client, **TRAIN)  # nobody hears of it
        until(lambda: remote.notices() > before, "the worker to notice")
        assert job_row(client, meanwhile)["status"] == "PENDING"
        remote.proxy.heal()
        for job_id in (meanwhile, insert_job(client, **TRAIN)):
            wait_for(client, job_id)
            assert_one_result(client, job_id)


def test_a_result_that_arrives_after_a_takeover_is_refused(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    db = make_database()
    with db.connect("anna") as client, start_proxy(db) as proxy:
        options = ("--lease", "3", "--poll", "0.5")
        cut_off = start_worker(db, *options, DATABASE_URL=through(proxy, db))
        until(lambda: "listening" in cut_off.log, "the worker to listen")
        proxy.strike_at(b"record_result", "up", late=True)
        job_id = insert_job(client, **TRAIN)
        assert proxy.struck.wait(60)
        start_worker(db, *options, model_dir=cut_off.model_dir)
        assert wait_for(client, job_id)["attempt"] > 1
        proxy.heal()
        # Refused twice: the statement that was under way, and the worker's own second try.
        until(lambda: proxy.heard.count(b"ML001") >= 2, "the late result to be refused")
        until(lambda: f"job={job_id} attempt=1 discarded" in cut_off.log, "the worker to give up")
        assert_one_result(client, job_id)
        recorded = one(client, "SELECT artifact_path FROM ml_training_runs")["artifact_path"]
        assert [str(path) for path in cut_off.files] == [recorded]
        cut_off.stop()
