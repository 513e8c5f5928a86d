"""Fixtures: a server, a database of its own for each test, and connections as the users of the service."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from tests import servers
from tests.forked import Forked, Nursery
from worker.commands import sample
from worker.commands.install import install
from worker.database.connection import connect
from worker.database.jobs import copy_metrics
from worker.service.children import ENVIRONMENT

# Tests of the estimators run in this process, and several processes share the cores.
os.environ |= ENVIRONMENT

# Hundreds of databases are made and dropped: in memory, where there is room for them, no disk holds that up.
MEMORY = Path("/dev/shm")
if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 8 << 30:
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

Connection = psycopg.Connection[DictRow]

# Logins of people, each with one role of the service; tests act as these, never as the superuser.
LOGINS = {"anna": "ml_client", "rosa": "ml_reader", "wanda": "ml_worker"}
PASSWORD = "only-for-tests"
SAMPLE_COINS = 30
TEMPLATE = "template_ml"
KINDS = servers.available()


def pytest_report_header() -> str:
    return "servers: " + ", ".join(kind.name for kind in KINDS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first, and so among the many short ones of ``tests/sql``, which come last.

    So all processes end together.
    """
    longest = {
        f"test_{name}.py"
        for name in (
            *("all", "black_holes", "chaos", "cli", "death", "hostile_text", "installs", "interleavings"),
            *("lacking_workers", "many_workers", "readme", "service", "settings", "state_machine", "traps"),
            *("install", "outcomes", "rights", "sources", "upgrades"),
        )
    }
    short = Path(__file__).parent / "sql"
    items.sort(key=lambda item: (item.path.is_relative_to(short), item.path.name not in longest))


@pytest.fixture(scope="session")
def start_server() -> Iterator[Callable[[servers.Kind], str]]:
    """Starts a server of a kind, once, with the template database; gives its administrator's connection."""
    with ExitStack() as stack:

        @cache
        def start(kind: servers.Kind) -> str:
            url = stack.enter_context(servers.start(kind))
            _make_template(url)
            return url

        yield start


@pytest.fixture(scope="session", params=KINDS, ids=lambda kind: kind.name.replace(" ", "-"))
def server(request: pytest.FixtureRequest, start_server: Callable[[servers.Kind], str]) -> str:
    """Each server in turn; tests of Python code override this with one server."""
    return start_server(request.param)


def _make_template(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE owner LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
        admin.execute(f"CREATE DATABASE {TEMPLATE} OWNER owner")
    # Installed by an owner who is no superuser, as on a managed server.
    owner = make_conninfo(url, dbname=TEMPLATE, user="owner", password=PASSWORD)
    with psycopg.connect(make_conninfo(url, dbname=TEMPLATE), autocommit=True) as admin:
        admin.execute("ALTER SCHEMA public OWNER TO owner")
    install(owner)
    metrics = sample.make_metrics(SAMPLE_COINS)
    with connect(owner) as connection:
        copy_metrics(connection, list(metrics.columns), sample.to_csv(metrics))
        for login, role in LOGINS.items():
            connection.execute(f"CREATE ROLE {login} LOGIN PASSWORD '{PASSWORD}'")
            connection.execute(f"GRANT {role} TO {login}")


@dataclass(frozen=True)
class Database:
    """A database with the schema, the sample data and the logins."""

    url: str

    def login(self, user: str) -> str:
        """Connection string of a login."""
        return make_conninfo(self.url, user=user, password=PASSWORD)

    def connect(self, user: str) -> Connection:
        return psycopg.connect(self.login(user), autocommit=True, row_factory=dict_row)


_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def make_database(server: str) -> Iterator[Callable[[], Database]]:
    """Makes a new database from the template at each call."""
    made: list[str] = []

    def make() -> Database:
        name = f"test_{next(_numbers)}"
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER owner STRATEGY FILE_COPY")
        made.append(name)
        return Database(make_conninfo(server, dbname=name))

    yield make
    with psycopg.connect(server, autocommit=True) as admin:
        for name in made:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def db(make_database: Callable[[], Database]) -> Database:
    """A database for this test alone."""
    return make_database()


@pytest.fixture
def session(db: Database) -> Callable[[str], AbstractContextManager[Connection]]:
    """Gives a session of a user."""
    return db.connect


def _as(user: str) -> Callable[..., Iterator[Connection]]:
    def connection(session: Callable[[str], AbstractContextManager[Connection]]) -> Iterator[Connection]:
        with session(user) as opened:
            yield opened

    return connection


owner = pytest.fixture(_as("owner"), name="owner")
client = pytest.fixture(_as("anna"), name="client")
reader = pytest.fixture(_as("rosa"), name="reader")
worker = pytest.fixture(_as("wanda"), name="worker")


# ── Helpers that tests import ───────────────────────────────────────────────────────────────────────

TRAIN: dict[str, Any] = {
    "job_type": "TRAIN",
    "train_target_var": "market_cap_close",
    "train_operator": ">",
    "train_value": 50000,
    "train_start": "2024-01-01",
    "train_end": "2024-03-01",
    "train_features_csv": "price_open,price_high,price_low,volume_sol",
    "train_model_type": "logistic_regression",
}


def insert_job(connection: Connection, **fields: Any) -> int:
    """Insert a job as a user would; returns its id."""
    query = sql.SQL("INSERT INTO ml_jobs ({}) VALUES ({}) RETURNING id").format(
        sql.SQL(", ").join(map(sql.Identifier, fields)), sql.SQL(", ").join([sql.SQL("%s")] * len(fields))
    )
    return int(one(connection, query, list(fields.values()))["id"])


def one(connection: Connection, query: Any, values: Any = ()) -> DictRow:
    """The one row that a query gives."""
    rows = connection.execute(query, values).fetchall()
    assert len(rows) == 1, rows
    return rows[0]


def job_row(connection: Connection, job_id: int) -> DictRow:
    return one(connection, "SELECT * FROM ml_jobs WHERE id = %s", [job_id])


def claim(worker: Connection, worker_id: str = "w1", lease: str = "30 seconds") -> DictRow:
    """Claim the next job of the kinds that come with the service; fails if none waits."""
    return one(worker, "SELECT * FROM ml_internal.claim_job(%s, %s, %s)", [worker_id, lease, JOB_TYPES])


JOB_TYPES = ["TRAIN", "TEST", "COMPARE", "SCORE"]

# What a measurement of 200 rows gave.
MEASURED: dict[str, Any] = {
    "num_unlabelled": 5,
    "num_positive": 50,
    "num_negative": 150,
    "tp": 40,
    "tn": 140,
    "fp": 10,
    "fn": 10,
    "roc_auc": "0.9",
    "average_precision": "0.7000",
    "log_loss": "0.350000",
    "brier_score": "0.100000",
    "data_fingerprint": "b" * 64,
    "seconds_loading": "0.1",
}
TRAINING_RESULT: dict[str, Any] = MEASURED | {
    "holdout": "coins",
    "num_coins": 30,
    "num_fitted": 800,
    "num_fitted_positive": 300,
    "num_gap": 0,
    "feature_importance_csv": "price_open=0.7500;volume_sol=0.2500",
    "artifact_path": "/models/model_1_attempt_1.pkl",
    "artifact_sha256": "a" * 64,
    "artifact_bytes": 1000,
    "library_versions_csv": "scikit-learn=1.6",
    "seconds_fitting": "0.2",
}
TEST_RESULT: dict[str, Any] = MEASURED | {
    "feature_importance_csv": "price_open=1.0000",
    "seconds_scoring": "0.2",
}
COMPARISON_RESULT: dict[str, Any] = {
    "num_unlabelled": 5,
    "num_samples": 200,
    "a_tp": 40,
    "a_tn": 140,
    "a_fp": 10,
    "a_fn": 10,
    "a_roc_auc": "0.9",
    "a_average_precision": "0.7",
    "a_log_loss": "0.35",
    "a_brier_score": "0.1",
    "b_tp": 30,
    "b_tn": 140,
    "b_fp": 10,
    "b_fn": 20,
    "b_roc_auc": "0.8",
    "b_average_precision": "0.6",
    "b_log_loss": "0.4",
    "b_brier_score": "0.15",
    "data_fingerprint": "b" * 64,
    "seconds_loading": "0.1",
    "seconds_scoring": "0.2",
}

SCORING_RESULT: dict[str, Any] = {
    "data_fingerprint": "b" * 64,
    "seconds_loading": "0.1",
    "seconds_scoring": "0.2",
}


def record(worker: Connection, job_id: int, attempt: int, **result: Any) -> Any:
    """Record the result of a job, given by its columns and facts; returns its id."""
    query = "SELECT ml_internal.record_result(%s, %s, %s) AS id"
    return one(worker, query, [job_id, attempt, Jsonb(result)])["id"]


def ready_model(client: Connection, worker: Connection, **fields: Any) -> int:
    """Make a READY model without training one; returns its id. No other job may wait."""
    job_id = insert_job(client, **(TRAIN | fields))
    claimed = claim(worker)
    assert claimed["id"] == job_id
    record(worker, job_id, claimed["attempt"], **TRAINING_RESULT)
    return int(job_row(client, job_id)["result_model_id"])


def wait_for(connection: Connection, job_id: int, *statuses: str, timeout: float = 120) -> DictRow:
    """Wait until a job has one of these states (default: it has ended); returns its row. Needs no sleep."""
    wanted = statuses or ("COMPLETED", "FAILED", "CANCELLED")
    connection.execute("LISTEN ml_job_status")
    ends = time.monotonic() + timeout
    while (job := job_row(connection, job_id))["status"] not in wanted:
        assert time.monotonic() < ends, f"job {job_id} is still {job['status']}: {job['progress_msg']}"
        for _ in connection.notifies(timeout=1, stop_after=1):
            pass
    return job


def until(condition: Callable[[], bool], what: str, timeout: float = 60) -> None:
    """Wait for something that nobody notifies of."""
    ends = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < ends, f"waited in vain for {what}"
        time.sleep(0.01)


def _state(pid: int) -> str:
    """State of a process as ``ps`` writes it; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # before it was opened, or before it was read
        return ""


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    return _state(pid) not in ("", "Z")


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped by SIGSTOP and waits for SIGCONT."""
    return _state(pid) == "T"


@dataclass
class Worker:
    """A worker process, as an operator starts it."""

    process: subprocess.Popen[str] | Forked
    model_dir: Path
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def files(self) -> list[Path]:
        """Model files that it and its like wrote, also unfinished ones."""
        return sorted(path for path in self.model_dir.rglob("*") if path.is_file())

    def child_of(self, job_id: int, attempt: int = 1) -> int:
        """Process id of the child that does this attempt; waits for the claim to be logged."""
        pattern = rf"job={job_id} attempt={attempt} claimed .* pid=(\d+)"
        until(lambda: re.search(pattern, self.log) is not None, f"the claim of job {job_id}")
        return int(re.findall(pattern, self.log)[0])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


def stop_workers(workers: list[Worker]) -> None:
    """Stop those that run still, all at once."""
    running = [worker for worker in workers if worker.process.poll() is None]
    for number in (signal.SIGTERM, signal.SIGCONT):  # one that was stopped hears nothing before it goes on
        for worker in running:
            worker.process.send_signal(number)
    for worker in running:
        worker.process.wait(60)
    workers.clear()


@pytest.fixture(scope="module")
def workers() -> Iterator[list[Worker]]:
    """Those that were started and are to be stopped."""
    started: list[Worker] = []
    yield started
    stop_workers(started)


@pytest.fixture(autouse=True)
def _stop_own_workers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Those of a test end with it; those of the fixtures that it shares, with the module."""
    if "workers" not in request.fixturenames:
        yield
        return
    workers: list[Worker] = request.getfixturevalue("workers")
    shared = workers[:]
    yield
    own = [worker for worker in workers if worker not in shared]
    workers[:] = shared
    stop_workers(own)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(scope="module")
def start_worker(
    nursery: Nursery, workers: list[Worker], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Worker]:
    """Starts ``ml-worker run`` with options; it is stopped with the test, or module, for which it is.

    It is forked, see ``forked.py``, if its start is not to be that of an operator: with ``is_forked=False``,
    or a PYTHONPATH, which is read at the start.
    """

    def start(
        db: Database,
        *options: str,
        model_dir: Path | None = None,
        saboteur: tuple[str, ...] = (),
        is_forked: bool = True,
        **environment: str,
    ) -> Worker:
        folder = tmp_path_factory.mktemp("worker")
        model_dir = model_dir or folder / "models"
        log_file = folder / "log"
        program, *args = ("tests.faults.saboteur", *saboteur) if saboteur else ("worker",)
        args += ["run", "--model-dir", str(model_dir), *options]
        full = os.environ | {"DATABASE_URL": db.login("wanda")} | environment
        process: subprocess.Popen[str] | Forked
        with log_file.open("w") as log:
            if is_forked and "PYTHONPATH" not in environment:
                process = nursery.start(program, args, full, log.fileno())
            else:
                process = subprocess.Popen(
                    [sys.executable, "-m", program, *args], env=full, stderr=log, text=True
                )
        workers.append(Worker(process, model_dir, log_file))
        return workers[-1]

    return start


def to_json(row: DictRow) -> str:
    """A row for an assertion's message."""
    return json.dumps(row, default=str, indent=1)
