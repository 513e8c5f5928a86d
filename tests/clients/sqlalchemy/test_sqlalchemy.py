"""SQLAlchemy with tables that it reads from the catalog, and results read by pandas."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

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

PLAIN: dict[str, Any] = {
    "job_type": "TRAIN",
    "train_target_var": "market_cap_close",
    "train_operator": ">",
    "train_value": 50000,
    "train_start": START,
    "train_end": END,
    "train_features_csv": FEATURES,
    "train_model_type": "logistic_regression",
}


def make_engine(service: Service, name: Literal["busy", "quiet"], **options: Any) -> sa.Engine:
    login = service.login(name)
    url = sa.URL.create("postgresql+psycopg", login.pop("user"), **login)
    return sa.create_engine(url, **options)


def listen(connection: sa.Connection, notes: Notes, **options: Any) -> None:
    """Take what came in through the driver's own connection."""
    driver: Any = connection.connection.driver_connection
    notes.heard += [heard.payload for heard in driver.notifies(**options)]


def work(service: Service, notes: Notes) -> None:
    engine = make_engine(service, "busy", isolation_level="AUTOCOMMIT")
    jobs = sa.Table("ml_jobs", sa.MetaData(), autoload_with=engine)
    with engine.connect() as connection:
        connection.execute(sa.text("LISTEN ml_job_status"))

        def finish(job_type: str, **fields: Any) -> Any:
            """Submit, watch the queue until the job has left it, hear of its end, and read its row."""
            insert = sa.insert(jobs).values(job_type=job_type, status="PENDING", **fields)
            job_id = notes.jobs[job_type] = connection.execute(insert.returning(jobs.c.id)).scalar_one()
            query = sa.text("SELECT status, bar FROM ml_queue WHERE id = :id")

            def has_ended() -> bool:
                listen(connection, notes, timeout=0.1, stop_after=1)
                left = pd.read_sql(query, connection, params={"id": job_id}).empty
                return left and f"{job_id} COMPLETED" in notes.heard

            until(has_ended, f"the end of job {job_id}", SECONDS)
            job = connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one()
            notes.statuses[job_type] = job.status
            return job

        def read(table: str, columns: tuple[str, ...], row_id: int) -> dict[str, Any]:
            query = f"SELECT {', '.join(columns)} FROM {table} WHERE id = %(id)s"
            frame = pd.read_sql(query, engine, params={"id": row_id})
            assert len(frame) == 1
            return {str(name): None if pd.isna(value) else value for name, value in frame.iloc[0].items()}

        job = finish(**PLAIN)
        model = job.result_model_id
        notes.rows["TRAIN"] = read("ml_models", MODEL, model)
        job = finish("TEST", test_model_id=model, test_start=PERIOD[0], test_end=PERIOD[1])
        notes.rows["TEST"] = read("ml_test_results", TEST, job.result_test_id)
        job = finish(
            "COMPARE",
            compare_model_a_id=model,
            compare_model_b_id=service.rival,
            compare_start=PERIOD[0],
            compare_end=PERIOD[1],
        )
        notes.rows["COMPARE"] = read("ml_comparisons", COMPARISON, job.result_comparison_id)
    engine.dispose()


def ask(service: Service, notes: Notes) -> None:
    engine = make_engine(service, "quiet")
    jobs = sa.Table("ml_jobs", sa.MetaData(), autoload_with=engine)

    def submit(connection: sa.Connection, **fields: Any) -> int:
        job_id = connection.execute(sa.insert(jobs).values(PLAIN | fields)).inserted_primary_key
        assert job_id is not None
        return int(job_id[0])

    def tell(payload: str) -> None:
        with engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_notify("ml_jobs", payload)))

    def naive(moment: datetime) -> datetime:
        return moment.replace(tzinfo=None)

    wanted = {"priority": 3, "train_description": DESCRIPTION}
    bound: dict[str, dict[str, Any]] = {
        "numeric, timestamptz": {"train_value": Decimal("50000.5")},
        "float8, timestamp without zone": {
            "train_value": 50000.5,
            "train_start": naive(START),
            "train_end": naive(END),
        },
        "text": {
            name: sa.cast(sa.cast(str(value), sa.Text), jobs.c[name].type)
            for name, value in {"train_value": 50000.5, "train_start": START, "train_end": END}.items()
        },
    }
    with engine.begin() as connection:
        connection.execute(sa.text("SET TimeZone = 'Europe/Berlin'"))
        for types, fields in bound.items():
            notes.bound[types] = submit(connection, **wanted | fields)
    frame = pd.DataFrame([PLAIN | wanted | {"train_value": 50000.5}])
    assert frame.to_sql("ml_jobs", engine, if_exists="append", index=False) is not None
    notes.bound["DataFrame.to_sql"] = int(pd.read_sql("SELECT max(id) AS id FROM ml_jobs", engine)["id"][0])

    with engine.connect() as connection:
        autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
        autocommit.execute(sa.text("LISTEN ml_job_status"))
        for how in ("UPDATE", "CALL"):
            notes.cancelled[how] = submit(autocommit)
        mine = jobs.c.id == notes.cancelled["UPDATE"]
        autocommit.execute(sa.update(jobs).where(mine).values(status="CANCELLED"))
        autocommit.execute(sa.text("CALL ml.cancel_job(:id)"), {"id": notes.cancelled["CALL"]})
        listen(autocommit, notes, timeout=SECONDS, stop_after=2)

    tell("before")
    with engine.connect() as connection:
        notes.transactions["rolled_back"] = submit(connection)
        connection.rollback()
    tell("rolled back")
    with engine.begin() as connection:
        notes.transactions["committed"] = submit(connection)
    tell("committed")

    for statement, *_ in REFUSED:
        with pytest.raises(DBAPIError) as caught, engine.begin() as connection:
            connection.exec_driver_sql(statement)
        said: Any = caught.value.orig
        notes.refused.append([said.sqlstate, said.diag.message_primary, said.diag.message_hint])
    engine.dispose()


@pytest.fixture(scope="module")
def notes(service: Service) -> Notes:
    with overheard(service) as notes:
        work(service, notes)
        ask(service, notes)
    return notes


class TestSQLAlchemy(Steps):
    pass
