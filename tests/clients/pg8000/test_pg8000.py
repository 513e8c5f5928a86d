"""pg8000: every parameter is sent as text of unknown type, or of the type that the caller names."""

from typing import Any, Literal

import pg8000.native
import pytest

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
from tests.conftest import until

TRAIN = """
    INSERT INTO ml_jobs (
        job_type, priority, train_target_var, train_operator, train_value, train_start, train_end,
        train_features_csv, train_model_type, train_description
    ) VALUES (
        :job_type, :priority, :target, :operator, :value, :start, :end, :features, :model_type, :description
    )
    RETURNING id
"""
PLAIN: dict[str, Any] = {
    "job_type": "TRAIN",
    "priority": "5",
    "target": "market_cap_close",
    "operator": ">",
    "value": "50000",
    "start": str(START),
    "end": str(END),
    "features": FEATURES,
    "model_type": "logistic_regression",
    "description": None,
}


class Session(pg8000.native.Connection):  # type: ignore[misc]
    """A connection of ``anna``."""

    def __init__(self, service: Service, notes: Notes, name: Literal["busy", "quiet"]) -> None:
        super().__init__(**service.login(name))
        self.notes = notes
        self.run("LISTEN ml_job_status")

    def value(self, query: str, **given: Any) -> Any:
        return self.run(query, **given)[0][0]

    def listen(self) -> None:
        """What came in is taken with the answer to any statement."""
        self.run("SELECT 1")
        while self.notifications:
            self.notes.heard.append(self.notifications.popleft()[2])

    def wait_for(self, payload: str) -> None:
        def has_come() -> bool:
            self.listen()
            return payload in self.notes.heard

        until(has_come, f"the notification {payload}", SECONDS)

    def finish(self, kind: str, query: str, result: str, **given: Any) -> int:
        """Submit, wait until the job has ended, and return the id of its result."""
        job_id = self.notes.jobs[kind] = self.value(query, **given)
        self.wait_for(f"{job_id} COMPLETED")
        ((self.notes.statuses[kind], result_id),) = self.run(
            f"SELECT status, {result} FROM ml_jobs WHERE id = :id", id=str(job_id)
        )
        return int(result_id)

    def read(self, job_type: str, table: str, columns: tuple[str, ...], row_id: int) -> None:
        (row,) = self.run(f"SELECT {', '.join(columns)} FROM {table} WHERE id = :id", id=str(row_id))
        self.notes.rows[job_type] = dict(zip(columns, row, strict=True))


def work(service: Service, anna: Session) -> None:
    period = {"start": str(PERIOD[0]), "end": str(PERIOD[1])}
    model = anna.finish("TRAIN", TRAIN, "result_model_id", **PLAIN)
    anna.read("TRAIN", "ml_models", MODEL, model)
    query = (
        "INSERT INTO ml_jobs (job_type, status, test_model_id, test_start, test_end)"
        " VALUES (:job_type, :status, :model, :start, :end) RETURNING id"
    )
    given = {"job_type": "TEST", "status": "PENDING", "model": str(model)}
    anna.read(
        "TEST", "ml_test_results", TEST, anna.finish("TEST", query, "result_test_id", **given, **period)
    )
    query = (
        "INSERT INTO ml_jobs (job_type, compare_model_a_id, compare_model_b_id, compare_start, compare_end)"
        " VALUES (:job_type, :a, :b, :start, :end) RETURNING id"
    )
    given = {"job_type": "COMPARE", "a": str(model), "b": str(service.rival)}
    result = anna.finish("COMPARE", query, "result_comparison_id", **given, **period)
    anna.read("COMPARE", "ml_comparisons", COMPARISON, result)


def ask(anna: Session) -> None:
    notes = anna.notes
    anna.run("SET TimeZone = 'Europe/Berlin'")
    wanted = PLAIN | {"priority": "3", "value": "50000.5", "description": DESCRIPTION}
    notes.bound["unknown"] = anna.value(TRAIN, **wanted)
    without_zone = {"start": "2024-01-01", "end": "2024-03-01 00:00:00"}
    notes.bound["unknown, without zone"] = anna.value(TRAIN, **wanted | without_zone)
    # What is typed as text needs a cast where a column is none, as with any table.
    query = TRAIN
    for name, of_type in {
        "priority": "int",
        "value": "numeric",
        "start": "timestamptz",
        "end": "timestamptz",
    }.items():
        query = query.replace(f":{name}", f"CAST(:{name} AS {of_type})")
    texts = dict.fromkeys(wanted, pg8000.native.TEXT)
    notes.bound["text"] = anna.value(query, types=texts, **wanted)
    values = {
        "priority": 3,
        "value": 50000.5,
        "start": START.replace(tzinfo=None),
        "end": END.replace(tzinfo=None),
    }
    types = texts | {
        "priority": pg8000.native.BIGINT,
        "value": pg8000.native.FLOAT,
        "start": pg8000.native.TIMESTAMP,
        "end": pg8000.native.TIMESTAMP,
        "features": pg8000.native.VARCHAR,
    }
    notes.bound["bigint, float, timestamp without zone, varchar"] = anna.value(
        TRAIN, types=types, **wanted | values
    )
    prepared = anna.prepare(TRAIN)
    for _ in range(2):
        notes.bound["prepared"] = prepared.run(**wanted)[0][0]

    for how, query in (
        ("UPDATE", "UPDATE ml_jobs SET status = :status WHERE id = :id"),
        ("CALL", "CALL ml.cancel_job(:id)"),
    ):
        job_id = notes.cancelled[how] = anna.value(TRAIN, **PLAIN)
        anna.run(query, id=str(job_id), **({"status": "CANCELLED"} if how == "UPDATE" else {}))
        anna.wait_for(f"{job_id} CANCELLED")

    anna.run("NOTIFY ml_jobs, 'before'")
    anna.run("START TRANSACTION")
    notes.transactions["rolled_back"] = anna.value(TRAIN, **PLAIN)
    anna.run("ROLLBACK")
    anna.run("NOTIFY ml_jobs, 'rolled back'")
    anna.run("START TRANSACTION")
    notes.transactions["committed"] = anna.value(TRAIN, **PLAIN)
    anna.run("COMMIT")
    anna.run("NOTIFY ml_jobs, 'committed'")

    for statement, *_ in REFUSED:
        with pytest.raises(pg8000.native.DatabaseError) as caught:
            anna.run(statement)
        said = caught.value.args[0]
        notes.refused.append([said["C"], said["M"], said.get("H")])


@pytest.fixture(scope="module")
def notes(service: Service) -> Notes:
    with overheard(service) as notes:
        with Session(service, notes, "busy") as anna:
            work(service, anna)
        with Session(service, notes, "quiet") as anna:
            ask(anna)
    return notes


class TestPg8000(Steps):
    pass
