"""psycopg 3: parameters are typed by their Python values and bound by the server."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.clients.steps import (
    COMPARISON,
    DESCRIPTION,
    END,
    FEATURES,
    MODEL,
    PERIOD,
    REFUSED,
    SECONDS,
    START,
    TEST,
    Notes,
    Service,
    Steps,
    overheard,
)
from tests.conftest import Connection

TRAIN = """
    INSERT INTO ml_jobs (
        job_type, priority, train_target_var, train_operator, train_value, train_start, train_end,
        train_features_csv, train_model_type, train_description
    ) VALUES ('TRAIN', %s, 'market_cap_close', '>', %s, %s, %s, %s, 'logistic_regression', %s)
    RETURNING id
"""


def connect(service: Service, name: Literal["busy", "quiet"]) -> Connection:
    login = service.login(name)
    return psycopg.connect(**login | {"dbname": login.pop("database")}, autocommit=True, row_factory=dict_row)


def value(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return next(iter(row.values())) if row else None


def row(connection: Connection, table: str, columns: tuple[str, ...], row_id: int) -> dict[str, Any]:
    query = f"SELECT {', '.join(columns)} FROM {table} WHERE id = %s"
    return connection.execute(query.encode(), [row_id]).fetchone() or {}


def finish(connection: Connection, notes: Notes, job_type: str, job_id: int) -> dict[str, Any]:
    """Wait for the job's notification, then read its row."""
    notes.jobs[job_type] = job_id
    while f"{job_id} COMPLETED" not in notes.heard:
        heard = list(connection.notifies(timeout=SECONDS, stop_after=1))
        assert heard, f"nothing was heard of job {job_id}"
        notes.heard += [notification.payload for notification in heard]
    job = connection.execute("SELECT * FROM ml_jobs WHERE id = %s", [job_id]).fetchone() or {}
    notes.statuses[job_type] = job["status"]
    return job


def work(service: Service, notes: Notes) -> None:
    with connect(service, "busy") as anna:
        anna.execute("LISTEN ml_job_status")
        job = finish(anna, notes, "TRAIN", value(anna, TRAIN, 5, 50000, START, END, FEATURES, "with psycopg"))
        model = job["result_model_id"]
        notes.rows["TRAIN"] = row(anna, "ml_models", MODEL, model)

        query = (
            "INSERT INTO ml_jobs (job_type, status, test_model_id, test_start, test_end)"
            " VALUES ('TEST', 'PENDING', %s, %s, %s) RETURNING id"
        )
        job = finish(anna, notes, "TEST", value(anna, query, model, *PERIOD))
        notes.rows["TEST"] = row(anna, "ml_test_results", TEST, job["result_test_id"])

        query = (
            "INSERT INTO ml_jobs (job_type, compare_model_a_id, compare_model_b_id, compare_start,"
            " compare_end) VALUES ('COMPARE', %s, %s, %s, %s) RETURNING id"
        )
        job = finish(anna, notes, "COMPARE", value(anna, query, model, service.rival, *PERIOD))
        notes.rows["COMPARE"] = row(anna, "ml_comparisons", COMPARISON, job["result_comparison_id"])


def ask(service: Service, notes: Notes) -> None:
    with connect(service, "quiet") as anna:
        anna.execute("SET TimeZone = 'Europe/Berlin'")
        naive = (START.replace(tzinfo=None), END.replace(tzinfo=None))
        bound: dict[str, tuple[Any, ...]] = {
            "int2, numeric, timestamptz": (3, Decimal("50000.5"), START, END),
            "int2, float8, timestamp without zone": (3, 50000.5, *naive),
            "int2, float8, date without zone": (3, 50000.5, *map(datetime.date, naive)),
            "unknown": ("3", "50000.5", START.isoformat(), END.isoformat()),
        }
        for types, values in bound.items():
            notes.bound[types] = value(anna, TRAIN, *values, FEATURES, DESCRIPTION)
        anna.prepare_threshold = 0
        notes.bound["prepared by the server"] = value(anna, TRAIN, *bound["unknown"], FEATURES, DESCRIPTION)

        anna.execute("LISTEN ml_job_status")
        jobs = [value(anna, TRAIN, 5, 1, START, END, FEATURES, None) for _ in range(2)]
        notes.cancelled = dict(zip(("UPDATE", "CALL"), jobs, strict=True))
        anna.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE id = %s", [jobs[0]])
        anna.execute("CALL ml.cancel_job(%s)", [jobs[1]])
        notes.heard += [heard.payload for heard in anna.notifies(timeout=SECONDS, stop_after=2)]

        anna.execute("NOTIFY ml_jobs, 'before'")
        with anna.transaction(force_rollback=True):
            notes.transactions["rolled_back"] = value(anna, TRAIN, 5, 1, START, END, FEATURES, None)
        anna.execute("NOTIFY ml_jobs, 'rolled back'")
        with anna.transaction():
            notes.transactions["committed"] = value(anna, TRAIN, 5, 1, START, END, FEATURES, None)
        anna.execute("NOTIFY ml_jobs, 'committed'")

        for statement, *_ in REFUSED:
            with pytest.raises(psycopg.Error) as caught:
                anna.execute(statement.encode())
            said = caught.value.diag
            notes.refused.append([said.sqlstate, said.message_primary, said.message_hint])


@pytest.fixture(scope="module")
def notes(service: Service) -> Notes:
    with overheard(service) as notes:
        work(service, notes)
        ask(service, notes)
    return notes


class TestPsycopg(Steps):
    pass
