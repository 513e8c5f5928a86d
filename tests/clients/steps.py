"""What every client does, and what must come of it.

Each client works through the same list in its own way, over TCP, with the password of ``anna``, and writes
down what it got. In the database that has a worker, after ``LISTEN ml_job_status``:

1. it inserts a TRAIN job, reads its id from RETURNING, waits until it has ended, and reads the model;
2. it does the same with a TEST of this model, and with a COMPARE of this model and ``service.rival``.

In the database without a worker:

3. it binds the values of a TRAIN job as every type that it can send: START to END in UTC, or in the session's
   time zone ``Europe/Berlin`` where the value has none; ``train_value`` 50000.5, ``priority`` 3;
4. it cancels a job with UPDATE and another with CALL, and hears of both;
5. it inserts a job and rolls back, says ``rolled back`` on the channel of the workers, inserts another,
   commits, and says ``committed``;
6. it runs each statement of REFUSED and reads SQLSTATE, message and hint of the error.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

from psycopg.conninfo import conninfo_to_dict

from tests.conftest import PASSWORD, TRAIN, Connection, Database, job_row, one

RIVAL = TRAIN | {"train_features_csv": "volume_sol"}
TAKEN = TRAIN | {"train_model_name": "taken"}
START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)
PERIOD = (datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC))
FEATURES = "price_open,volume_sol"
DESCRIPTION = "größer als 'alles' \\ 🚀"
SECONDS = 180  # to wait for a notification, at most
BERLIN = ZoneInfo("Europe/Berlin")
MODEL = ("id", "name", "status", "training_accuracy", "training_f1", "feature_importance_csv")
TEST = ("accuracy", "f1_score", "roc_auc", "tp", "tn", "fp", "fn", "num_samples", "has_overlap")
COMPARISON = ("num_samples", "a_f1", "b_f1", "winner_id")

# Statement, and the SQLSTATE, message and hint of its error.
REFUSED = [
    (
        """INSERT INTO ml_jobs (
            job_type, train_target_var, train_operator, train_value, train_start, train_end,
            train_features_csv, train_model_type
        ) VALUES (
            'TRAIN', 'market_cap_close', '>', 50000, '2024-01-01', '2024-03-01',
            'price_opne', 'random_forest'
        )""",
        "23514",
        "coin_metrics has no column 'price_opne' (train_features_csv)",
        "Did you mean price_open, price_low, price_high?",
    ),
    (
        "INSERT INTO ml_jobs (job_type, test_start, test_end) VALUES ('TEST', '2024-03-01', '2024-04-01')",
        "23502",
        "a TEST job needs test_model_id",
        r"Name these fields in the INSERT and give each a value; \d+ ml_jobs says what they mean.",
    ),
    (
        """INSERT INTO ml_jobs (job_type, test_model_id, test_start, test_end)
        VALUES ('TEST', 999, '2024-03-01', '2024-04-01')""",
        "23503",
        "model 999 does not exist",
        "SELECT id, name FROM ml_leaderboard; lists the models that can be used.",
    ),
    (
        """INSERT INTO ml_jobs (
            job_type, train_target_var, train_operator, train_value, train_start, train_end,
            train_features_csv, train_model_type, train_model_name
        ) VALUES (
            'TRAIN', 'market_cap_close', '>', 50000, '2024-01-01', '2024-03-01',
            'price_open', 'random_forest', 'taken'
        )""",
        "23505",
        'the model name "taken" is taken by job 1',
        "Choose another name, or free it: rename or delete the model, or cancel the job.",
    ),
    (
        "UPDATE ml_jobs SET status = 'COMPLETED' WHERE id = 1",
        "ML002",
        "job 1 cannot go from PENDING to COMPLETED",
        "By hand a job can only be set to CANCELLED; the worker sets all other states.",
    ),
    (
        "CALL ml.cancel_job(999)",
        "P0002",
        "job 999 does not exist",
        "SELECT id, status FROM ml_queue; lists the jobs that can be cancelled.",
    ),
]


@dataclass(frozen=True)
class Service:
    """Where the clients work."""

    busy: Database
    quiet: Database
    rival: int

    def login(self, name: Literal["busy", "quiet"]) -> dict[str, Any]:
        """Host, port, name of the database, user and password, as most clients take them."""
        given = conninfo_to_dict({"busy": self.busy, "quiet": self.quiet}[name].login("anna"))
        assert given["password"] == PASSWORD
        return {
            "host": str(given["host"]),
            "port": int(str(given["port"])),
            "database": str(given["dbname"]),
            "user": "anna",
            "password": PASSWORD,
        }


@dataclass
class Notes:
    """What a client wrote down."""

    jobs: dict[str, int] = field(default_factory=dict)  # id by job_type
    statuses: dict[str, str] = field(default_factory=dict)  # by job_type, once it has ended
    rows: dict[str, dict[str, Any]] = field(
        default_factory=dict
    )  # result by job_type, as the client reads it
    bound: dict[str, int] = field(default_factory=dict)  # id of a job by the types that were bound
    cancelled: dict[str, int] = field(default_factory=dict)  # id by UPDATE or CALL
    heard: list[str] = field(default_factory=list)  # payloads on ml_job_status
    transactions: dict[str, int] = field(default_factory=dict)  # id by rolled_back or committed
    refused: list[list[str | None]] = field(default_factory=list)  # SQLSTATE, message, hint
    to_workers: list[str] = field(default_factory=list)  # payloads on ml_jobs that another session heard


@contextmanager
def overheard(service: Service) -> Iterator[Notes]:
    """Listens to what the client tells the workers of the quiet database."""
    with service.quiet.connect("wanda") as worker:
        worker.execute("LISTEN ml_jobs")
        notes = Notes()
        yield notes
        worker.execute("NOTIFY ml_jobs, 'end'")
        for heard in worker.notifies(timeout=SECONDS):
            if heard.payload == "end":
                break
            notes.to_workers.append(heard.payload)


def run_program(service: Service, command: list[str], environment: Mapping[str, str]) -> Notes:
    """Let a program in another language do the steps; each line that it prints is a part of its notes."""
    busy, quiet = service.login("busy"), service.login("quiet")
    where = [busy["host"], str(busy["port"]), busy["database"], quiet["database"], str(service.rival)]
    columns = [", ".join(names) for names in (MODEL, TEST, COMPARISON)]
    statements = [statement for statement, *_ in REFUSED]
    with overheard(service) as notes:
        done = subprocess.run(
            [*command, *where, *columns, *statements],
            env={**environment, "PGPASSWORD": PASSWORD},
            capture_output=True,
            encoding="utf-8",
            timeout=4 * SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        for name, value in json.loads(line).items():
            noted = getattr(notes, name)
            if isinstance(noted, dict):
                noted.update(value)
            else:
                noted.extend(value)
    return notes


# ── What must come of it ────────────────────────────────────────────────────────────────────────────


def _same(seen: dict[str, Any], stored: dict[str, Any]) -> None:
    """Equal, however the client writes numbers and truth."""
    assert seen.keys() == stored.keys()
    for name, value in stored.items():
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            assert Decimal(str(seen[name])) == value, name
        else:
            assert seen[name] == value, name


def _row(connection: Connection, table: str, columns: tuple[str, ...], row_id: int) -> dict[str, Any]:
    return one(connection, f"SELECT {', '.join(columns)} FROM {table} WHERE id = %s", [row_id])


class Steps:
    """The tests of a client, which has a fixture ``notes``."""

    def test_it_trains_tests_and_compares_and_reads_the_results(self, service: Service, notes: Notes) -> None:
        assert notes.statuses == dict.fromkeys(("TRAIN", "TEST", "COMPARE"), "COMPLETED")
        with service.busy.connect("rosa") as reader:
            jobs = {job_type: job_row(reader, job_id) for job_type, job_id in notes.jobs.items()}
            assert {job_type: job["job_type"] for job_type, job in jobs.items()} == {
                name: name for name in notes.statuses
            }
            model_id = jobs["TRAIN"]["result_model_id"]
            assert (jobs["TEST"]["test_model_id"], jobs["COMPARE"]["compare_model_a_id"]) == (
                model_id,
                model_id,
            )
            _same(notes.rows["TRAIN"], _row(reader, "ml_models", MODEL, model_id))
            _same(notes.rows["TEST"], _row(reader, "ml_test_results", TEST, jobs["TEST"]["result_test_id"]))
            _same(
                notes.rows["COMPARE"],
                _row(reader, "ml_comparisons", COMPARISON, jobs["COMPARE"]["result_comparison_id"]),
            )

    def test_it_hears_the_end_of_every_job(self, notes: Notes) -> None:
        ends = [f"{job_id} COMPLETED" for job_id in notes.jobs.values()]
        ends += [f"{job_id} CANCELLED" for job_id in notes.cancelled.values()]
        assert len(ends) == 5
        assert [payload for payload in notes.heard if not payload.endswith(" RUNNING")] == ends

    def test_it_binds_values_of_every_type(self, service: Service, notes: Notes) -> None:
        assert len(notes.bound) >= 2
        with service.quiet.connect("rosa") as reader:
            for types, job_id in notes.bound.items():
                job = job_row(reader, job_id)
                zone = BERLIN if "without zone" in types else UTC
                period = (START.replace(tzinfo=zone), END.replace(tzinfo=zone))
                assert (job["train_start"], job["train_end"]) == period, types
                assert (job["train_value"], job["priority"]) == (Decimal("50000.5"), 3), types
                assert job["train_features_csv"] == FEATURES, types
                assert job["train_description"] == DESCRIPTION, types

    def test_it_cancels_with_update_and_with_call(self, service: Service, notes: Notes) -> None:
        assert notes.cancelled.keys() == {"UPDATE", "CALL"}
        with service.quiet.connect("rosa") as reader:
            for job_id in notes.cancelled.values():
                assert job_row(reader, job_id)["status"] == "CANCELLED"

    def test_a_job_that_is_rolled_back_wakes_nobody_and_one_that_is_committed_does(
        self, service: Service, notes: Notes
    ) -> None:
        with service.quiet.connect("rosa") as reader:
            found = reader.execute("SELECT id FROM ml_jobs").fetchall()
        ids = {row["id"] for row in found}
        assert notes.transactions["rolled_back"] not in ids
        assert notes.transactions["committed"] in ids
        first = notes.to_workers.index("before")
        assert notes.to_workers[first:] == ["before", "rolled back", "", "committed"]

    def test_it_reads_sqlstate_message_and_hint_of_an_error(self, notes: Notes) -> None:
        assert notes.refused == [list(expected) for _, *expected in REFUSED]
