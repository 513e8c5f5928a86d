"""ORMs, which insert and update every column: Django, SQLAlchemy's, drizzle and sequelize."""

import io
import json
import os
import shutil
import subprocess
import types
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import django
import pytest
import sqlalchemy as sa
from django.conf import settings
from django.core.management import call_command
from django.db import connection as django_connection
from django.db.utils import DatabaseError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Session

from tests.clients.steps import END, FEATURES, PERIOD, SECONDS, START, Service
from tests.conftest import PASSWORD, job_row, one, ready_model, wait_for

HERE = Path(__file__).parent
RESULTS = ("ml_test_results", "ml_comparisons", "ml_scorings")
TABLES = ("ml_jobs", "ml_models", *RESULTS, "ref_model_types", "ref_labels")
TRAIN: dict[str, Any] = {
    "job_type": "TRAIN",
    "train_target_var": "market_cap_close",
    "train_operator": ">",
    "train_value": Decimal("50000.5"),
    "train_start": START,
    "train_end": END,
    "train_features_csv": FEATURES,
}


@pytest.fixture(scope="module")
def model_id(service: Service) -> int:
    """A READY model where no worker is."""
    with service.quiet.connect("anna") as client, service.quiet.connect("wanda") as worker:
        return ready_model(client, worker, priority=1)  # another job waits there


# ── Django ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def tables(service: Service) -> Iterator[types.ModuleType]:
    """Models as ``manage.py inspectdb`` writes them: managed = False, and every column a field."""

    def database(name: Any) -> dict[str, Any]:
        login = service.login(name)
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": login["database"],
            **{key.upper(): str(login[key]) for key in ("host", "port", "user", "password")},
        }

    settings.configure(
        DATABASES={"default": database("quiet"), "busy": database("busy")},
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()
    written = io.StringIO()
    call_command("inspectdb", *TABLES, stdout=written)
    made = types.ModuleType("inspected")
    text = written.getvalue().replace("class Meta:", "class Meta:\n        app_label = 'ml'")
    exec(text, made.__dict__)
    yield made
    for name in ("default", "busy"):
        django.db.connections[name].close()


def test_django_s_jobs_train_test_and_compare(service: Service, tables: types.ModuleType) -> None:
    def finish(**fields: Any) -> Any:
        job = tables.MlJobs(**fields)
        job.save(using="busy")
        with service.busy.connect("rosa") as reader:
            ended = wait_for(reader, job.id, timeout=SECONDS)
        assert ended["status"] == "COMPLETED", ended["error_msg"]
        job.refresh_from_db(using="busy")
        job.save(using="busy")  # every column, and none of them changed
        return job

    kind = tables.RefModelTypes.objects.using("busy").get(name="logistic_regression")
    model = finish(**TRAIN | {"train_value": 50000}, train_model_type=kind).result_model
    assert (model.status, model.train_job.status) == ("READY", "COMPLETED")
    period = {"test_start": PERIOD[0], "test_end": PERIOD[1]}
    assert finish(job_type="TEST", test_model=model, **period).result_test.num_samples > 0
    compared = finish(
        job_type="COMPARE",
        compare_model_a=model,
        compare_model_b_id=service.rival,
        compare_start=PERIOD[0],
        compare_end=PERIOD[1],
    )
    assert compared.result_comparison.num_samples > 0


def test_django_saves_whole_rows(service: Service, tables: types.ModuleType, model_id: int) -> None:
    kind = tables.RefModelTypes.objects.get(name="xgboost")
    job = tables.MlJobs.objects.create(**TRAIN, train_model_type=kind)
    with django_connection.cursor() as cursor:
        cursor.execute("SELECT lastval(), currval(pg_get_serial_sequence('ml_jobs', 'id'))")
        assert cursor.fetchone() == (job.id, job.id)
    many = tables.MlJobs.objects.bulk_create(
        [tables.MlJobs(**TRAIN, train_model_type=kind) for _ in range(3)]
    )
    assert [other.id for other in many] == [job.id + 1, job.id + 2, job.id + 3]
    job.refresh_from_db()
    job.priority = 2
    job.save()
    job.status = "CANCELLED"
    job.save()
    with service.quiet.connect("rosa") as reader:
        assert (job_row(reader, job.id)["priority"], job_row(reader, job.id)["status"]) == (2, "CANCELLED")
    model = tables.MlModels.objects.get(pk=model_id)
    model.name, model.description = "by django", "größer"
    model.save()
    model.refresh_from_db()
    assert model.name == "by django"
    model.training_f1 = Decimal("0.99")
    with pytest.raises(DatabaseError, match=rf"training_f1 of model {model_id} cannot be changed"):
        model.save()
    other = many[0]
    other.refresh_from_db()
    other.progress = Decimal("0.5")
    with pytest.raises(DatabaseError, match=rf"progress of job {other.id} cannot be changed"):
        other.save()
    with pytest.raises(DatabaseError, match='non-DEFAULT value into column "id"'):
        tables.MlJobs(id=10**6, **TRAIN, train_model_type=kind).save(force_insert=True)


# ── SQLAlchemy ──────────────────────────────────────────────────────────────────────────────────────


def test_sqlalchemy_s_orm_saves_whole_rows(service: Service, model_id: int) -> None:
    login = service.login("quiet")
    engine = sa.create_engine(sa.URL.create("postgresql+psycopg", login.pop("user"), **login))

    class Base(DeclarativeBase):
        pass

    Base.metadata.reflect(engine, only=TABLES)
    jobs: Any = type("Job", (Base,), {"__table__": Base.metadata.tables["ml_jobs"]})
    models: Any = type("Model", (Base,), {"__table__": Base.metadata.tables["ml_models"]})

    def whole(row: Any) -> dict[str, Any]:
        return {
            column.key: getattr(row, column.key) for column in row.__table__.columns if column.key != "id"
        }

    with Session(engine) as session:
        empty = {column.key: None for column in jobs.__table__.columns if column.nullable}
        job = jobs(**empty | TRAIN | {"train_model_type": "xgboost"})
        session.add(job)
        session.commit()
        assert session.scalar(sa.text("SELECT lastval()")) == job.id
        changes = whole(job) | {"priority": 2}
        session.execute(sa.update(jobs).where(jobs.id == job.id).values(**changes))
        model = session.get_one(models, model_id)
        session.execute(
            sa.update(models).where(models.id == model_id).values(**whole(model) | {"description": "ORM"})
        )
        session.commit()
        assert (job.priority, model.description) == (2, "ORM")
        job.worker_id = "me"
        with pytest.raises(DBAPIError, match=rf"worker_id of job {job.id} cannot be changed"):
            session.commit()
    engine.dispose()


# ── drizzle and sequelize ───────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None, reason="there is no node and npm here"
)
def test_drizzle_and_sequelize_save_whole_rows(
    service: Service, model_id: int, pytestconfig: pytest.Config
) -> None:
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("node-orms")
    if not (folder / "node_modules" / "sequelize").exists():
        shutil.copy(HERE / "package.json", folder)
        command = ["npm", "install", "--prefix", str(folder), "--no-package-lock", "--no-audit", "--no-fund"]
        installed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
        if installed.returncode:
            pytest.skip(f"npm could not install the ORMs: {installed.stderr[-500:]}")
    login = service.login("quiet")
    where = [login["host"], str(login["port"]), login["database"], str(model_id)]
    done = subprocess.run(
        ["node", str(HERE / "orms.js"), *where],
        env=os.environ | {"NODE_PATH": str(folder / "node_modules"), "PGPASSWORD": PASSWORD},
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ids = json.loads(done.stdout)
    with service.quiet.connect("rosa") as reader:
        for orm, job_id in ids.items():
            job = job_row(reader, job_id)
            assert (job["priority"], job["status"], job["train_value"]) == (
                2,
                "PENDING",
                Decimal("50000.5"),
            ), orm
        model = one(reader, "SELECT * FROM ml_models WHERE id = %s", [model_id])
        assert (model["name"], model["description"]) == ("by drizzle", "by sequelize")
