"""What Prometheus reads from a worker."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from urllib.request import urlopen

import psycopg
from prometheus_client.parser import text_string_to_metric_families

from tests.commands.test_cli import ml_worker
from tests.conftest import TRAIN, Connection, Database, Worker, claim, insert_job, one, until, wait_for
from worker.database.connection import connect
from worker.database.reading import count_queue
from worker.service.prometheus import LACKS, Metrics

StartWorker = Callable[..., Worker]


def _port(worker: Worker) -> int:
    until(lambda: "metrics on port" in worker.log, "the port in the log")
    found = re.search(r"metrics on port (\d+)", worker.log)
    assert found
    return int(found[1])


def _scrape(port: int) -> dict[tuple[str, ...], float]:
    """Samples: (name, labels' values in order of the labels' names) to value."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_a_worker_did_and_what_waits_can_be_scraped(
    db: Database, client: Connection, worker: Connection, start_worker: StartWorker
) -> None:
    started = start_worker(db, "--metrics-port", "0", "--poll", "0.2")
    port = _port(started)
    completed = wait_for(client, insert_job(client, **TRAIN))
    failed = wait_for(client, insert_job(client, **(TRAIN | {"train_value": 10**9})))
    assert (completed["status"], failed["status"]) == ("COMPLETED", "FAILED")

    # Two wait and one runs; the worker is busy with the one that it took.
    long = {"train_model_type": "random_forest", "train_params_csv": "n_estimators=5000"}
    running = insert_job(client, **(TRAIN | long))
    wait_for(client, running, "RUNNING")
    for _ in range(2):
        insert_job(client, **TRAIN)
    until(lambda: _scrape(port).get(("ml_queue_jobs", "PENDING", "TRAIN")) == 2, "the queue's length")
    read = _scrape(port)
    assert read["ml_queue_jobs", "RUNNING", "TRAIN"] == 1
    assert read["ml_queue_jobs", "PENDING", "TEST"] == 0
    age = one(
        client,
        "SELECT date_part('epoch', now() - min(created_at)) AS s FROM ml_jobs WHERE status = 'PENDING'",
    )
    assert 0 < read["ml_queue_oldest_seconds", "TRAIN"] <= age["s"]
    assert (read["ml_worker_running_jobs",], read["ml_worker_concurrency",]) == (1, 1)
    assert read["ml_worker_connected",] == 1
    assert read["ml_worker_jobs_total", "completed", "TRAIN"] == 1
    assert read["ml_worker_jobs_total", "failed", "TRAIN"] == 1
    assert read["ml_worker_jobs_total", "completed", "TEST"] == 0
    assert read["ml_worker_job_waiting_seconds_count", "TRAIN"] == 3
    # From just after the claim to just after the end, by the worker's clock.
    took = (completed["completed_at"] - completed["started_at"]).total_seconds()
    assert read["ml_worker_job_duration_seconds_sum", "completed", "TRAIN"] > 0.9 * took - 0.1
    workers = one(client, "SELECT worker_id FROM ml_workers")
    assert ("ml_worker_info", workers["worker_id"]) in read

    client.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE completed_at IS NULL")
    until(lambda: _scrape(port)["ml_worker_jobs_total", "cancelled", "TRAIN"] == 1, "the count of the cancel")
    assert _scrape(port)["ml_worker_leases_lost_total",] == 0

    with psycopg.connect(db.url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'wanda'")
    until(lambda: _scrape(port)["ml_worker_reconnects_total",] == 1, "the count of the new connection")
    until(lambda: ("ml_queue_jobs", "PENDING", "TRAIN") in _scrape(port), "a look at the queue")


def test_a_lost_connection_leaves_no_old_numbers_of_the_queue(db: Database, worker: Connection) -> None:
    metrics = Metrics()
    with connect(db.login("wanda")) as connection:
        metrics.set_queue(count_queue(connection))
    assert metrics.registry.get_sample_value("ml_queue_jobs", {"type": "TEST", "state": "RUNNING"}) == 0
    metrics.connection_lost()
    assert metrics.registry.get_sample_value("ml_queue_jobs", {"type": "TEST", "state": "RUNNING"}) is None
    assert metrics.registry.get_sample_value("ml_queue_oldest_seconds", {"type": "TEST"}) is None
    assert metrics.registry.get_sample_value("ml_worker_connected") == 0


def test_what_a_worker_lacks_is_a_series_that_is_0_or_1() -> None:
    metrics = Metrics()

    def paused(lack: str) -> float | None:
        return metrics.registry.get_sample_value("ml_worker_paused", {"lack": lack})

    assert [paused(lack) for lack in LACKS] == [0, 0, 0, 0]
    metrics.paused("folder", True)
    assert [paused(lack) for lack in LACKS] == [0, 1, 0, 0]
    metrics.paused("folder", False)
    assert paused("folder") == 0


def test_the_queue_is_counted_without_reading_jobs_that_have_ended(
    db: Database, owner: Connection, reader: Connection
) -> None:
    insert_job(owner, **TRAIN)
    columns = ", ".join([*TRAIN, "train_test_size", "train_random_state", "train_model_name"])
    owner.execute("ALTER TABLE ml_jobs DISABLE TRIGGER USER")
    owner.execute(
        f"""INSERT INTO ml_jobs (status, completed_at, {columns})
        SELECT 'CANCELLED', now(), {columns} FROM ml_jobs, generate_series(1, 5000)"""
    )
    owner.execute("ALTER TABLE ml_jobs ENABLE TRIGGER USER")
    owner.execute("ANALYZE ml_jobs")

    def rows_read() -> int:
        reader.execute("SELECT pg_stat_force_next_flush()")
        reader.execute("SELECT pg_stat_clear_snapshot()")
        query = """SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) AS n
            FROM pg_stat_user_tables WHERE relname = 'ml_jobs'"""
        return int(one(reader, query)["n"])

    before = rows_read()
    with connect(db.login("rosa")) as connection:
        assert [(row["status"], row["jobs"]) for row in count_queue(connection) if row["jobs"]] == [
            ("PENDING", 1)
        ]
        connection.execute("SELECT pg_stat_force_next_flush()")
    until(lambda: rows_read() > before, "the statistics of the count")
    assert rows_read() - before < 100


def test_a_port_in_use_is_one_clear_message(db: Database) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        result = ml_worker("run", "--metrics-port", str(port), DATABASE_URL=db.login("wanda"))
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(f"Error: metrics cannot be served on port {port}: ")
    assert "Traceback" not in result.stderr


def test_a_worker_without_the_option_does_not_import_prometheus() -> None:
    imports = "import sys, worker.service.supervisor, worker.commands.cli"
    code = f"{imports}; print('prometheus_client' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


def test_a_lease_that_ended_is_counted_by_the_worker_that_finds_it(
    db: Database, client: Connection, worker: Connection, start_worker: StartWorker
) -> None:
    insert_job(client, **TRAIN)
    claim(worker, "dead", "1 millisecond")
    port = _port(start_worker(db, "--metrics-port", "0", "--poll", "0.2"))
    until(lambda: _scrape(port)["ml_worker_leases_expired_total",] == 1, "the lease that was taken away")
    until(lambda: _scrape(port)["ml_worker_jobs_total", "completed", "TRAIN"] == 1, "its second attempt")
    assert _scrape(port)["ml_worker_job_waiting_seconds_count", "TRAIN"] == 0  # the first claim was another's


def test_a_lease_that_was_not_renewed_in_time_counts_as_lost(
    db: Database, client: Connection, start_worker: StartWorker
) -> None:
    started = start_worker(db, "--metrics-port", "0", "--lease", "2", "--poll", "0.2")
    port = _port(started)
    long = {"train_model_type": "random_forest", "train_params_csv": "n_estimators=5000"}
    job_id = insert_job(client, **(TRAIN | long))
    started.child_of(job_id)  # it has the answer to its claim
    started.process.send_signal(signal.SIGSTOP)
    ended = "SELECT lease_until < clock_timestamp() AS ended FROM ml_jobs WHERE id = %s"
    until(lambda: bool(one(client, ended, [job_id])["ended"]), "the end of the lease")
    started.process.send_signal(signal.SIGCONT)
    until(lambda: _scrape(port)["ml_worker_leases_lost_total",] == 1, "the lost lease")
    assert _scrape(port)["ml_worker_jobs_total", "lease_lost", "TRAIN"] == 1
    client.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE id = %s", [job_id])
