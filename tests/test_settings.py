"""A worker does the same whatever its login, its role, the database or the connection string has set."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.conftest import JOB_TYPES, PASSWORD, TRAIN, Connection, Database, Worker, insert_job, one, wait_for
from tests.settings import Setting, alternatives, commands, groups, options
from tests.sql.helpers import COMPARE_PERIOD, TEST_PERIOD
from worker.child.attempt import attempt
from worker.commands.cli import main
from worker.commands.install import install
from worker.database import queue
from worker.database.connection import UnsuitableDatabaseError, connect
from worker.protocol import Completed, Order

# Each would keep a worker from its work, or give it other values, if it were not set anew.
STRANGE = (
    ("default_transaction_read_only", "on"),
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_deferrable", "on"),
    ("exit_on_error", "on"),
    ("row_security", "off"),
    ("standard_conforming_strings", "off"),
    ("backslash_quote", "off"),
    ("quote_all_identifiers", "on"),
    ("transform_null_equals", "on"),
    ("array_nulls", "off"),
    ("DateStyle", "German, DMY"),
    ("IntervalStyle", "iso_8601"),
    ("TimeZone", "Asia/Kolkata"),
    ("client_encoding", "LATIN1"),
    ("extra_float_digits", "-15"),
    ("bytea_output", "escape"),
    ("client_min_messages", "debug1"),
    ("jit", "on"),
    ("jit_above_cost", "0"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_indexscan", "off"),
    ("search_path", "pg_temp"),
    ("role", "ml_reader"),
)
NUMBERS = """
    SELECT m.training_accuracy, m.training_f1, m.feature_importance_csv, m.train_start, m.target_value,
        m.params_csv, r.num_fitted, r.num_positive, r.tp, r.fp, r.roc_auc, r.average_precision,
        r.data_fingerprint, t.test_start, t.accuracy, t.f1_score, t.num_samples AS tested,
        t.feature_importance_csv AS importance, t.data_fingerprint AS of_test,
        c.num_samples AS compared, c.a_f1, c.b_f1, c.a_roc_auc,
        (SELECT sum(p.sum_probability) FROM ml_curve_points p WHERE p.job_id = t.job_id) AS probability
    FROM ml_models m
    JOIN ml_training_runs r ON r.model_id = m.id
    JOIN ml_test_results t ON t.model_id = m.id
    JOIN ml_comparisons c ON c.model_a_id = m.id
    WHERE m.id = %s
"""
FIELDS = TRAIN | {"train_params_csv": "C=0.5", "train_phases_csv": "1,2", "train_end": "2024-01-15"}
Numbers = dict[str, Any]


@pytest.fixture(scope="module")
def db(make_database: Callable[[], Database]) -> Database:
    """The tests of this file share a database; each leaves an empty queue."""
    return make_database()


@contextmanager
def given(db: Database, owner: str, settings: Sequence[Setting]) -> Iterator[None]:
    """While the block runs, the login or the database has these settings."""
    with psycopg.connect(db.url, autocommit=True) as admin:
        for command in commands(owner, settings):
            admin.execute(command.encode())
        try:
            yield
        finally:
            admin.execute(f"ALTER {owner} RESET ALL".encode())


def name_of(db: Database) -> str:
    return str(conninfo_to_dict(db.url)["dbname"])


def wanda_in(db: Database) -> str:
    return f"ROLE wanda IN DATABASE {name_of(db)}"


def numbers(anna: Connection, do: Callable[[int], None]) -> Numbers:
    """What a TRAIN, a TEST and a COMPARE job give, each done by ``do``."""

    def done(fields: dict[str, Any]) -> dict[str, Any]:
        job_id = insert_job(anna, **fields)
        do(job_id)
        job = wait_for(anna, job_id)
        assert job["status"] == "COMPLETED", job["error_msg"]
        return job

    model_id = done(FIELDS)["result_model_id"]
    in_its_folder = """
        SELECT min(a.id) FROM ml_models a JOIN ml_models b
        ON regexp_replace(a.model_file_path, '[^/]*$', '') = regexp_replace(b.model_file_path, '[^/]*$', '')
        WHERE a.status = 'READY' AND b.id = %s
    """
    first_id = one(anna, in_its_folder, [model_id])["min"]
    if first_id == model_id:
        first_id, model_id = model_id, done(FIELDS)["result_model_id"]
    done({"job_type": "TEST", "test_model_id": model_id, **TEST_PERIOD})
    pair = {"compare_model_a_id": model_id, "compare_model_b_id": first_id}
    done({"job_type": "COMPARE", **pair, **COMPARE_PERIOD})
    return one(anna, NUMBERS, [model_id])


@pytest.fixture(scope="module")
def by_hand(db: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Numbers]]:
    """Does jobs in this process: the calls of a supervisor, and the work of a child."""
    folder = tmp_path_factory.mktemp("models")
    anna = db.connect("anna")  # before any setting: those are for the worker

    def give(url: str | None = None) -> Numbers:
        url = url or db.login("wanda")

        def do(_job_id: int) -> None:
            with connect(url, role="ml_worker") as supervisor:
                job = queue.claim_job(supervisor, "w1", timedelta(seconds=60), JOB_TYPES)
                assert job is not None
                queue.record_progress(supervisor, job, 0.5, "half of it", timedelta(seconds=60))
                order = Order(job, str(folder), "token", 1, has_changed=False)
                outcome = attempt(order, url, None, lambda *_: None)
                assert isinstance(outcome, Completed), outcome
                queue.record_result(supervisor, job, outcome.result)
                assert queue.expire_leases(supervisor) == 0

        return numbers(anna, do)

    yield give
    anna.close()


@pytest.fixture(scope="module")
def expected(by_hand: Callable[..., Numbers]) -> Numbers:
    return by_hand()


def test_jobs_give_the_same_numbers_whatever_the_worker_s_login_has(
    db: Database, by_hand: Callable[..., Numbers], expected: Numbers
) -> None:
    def differences(group: Sequence[Setting]) -> Any:
        with given(db, wanda_in(db), group):
            try:
                found = by_hand()
            except Exception as error:  # the setting is named in any case
                return repr(error)
        return {name: (value, expected[name]) for name, value in found.items() if value != expected[name]}

    with psycopg.connect(db.url, autocommit=True) as admin:
        settings = alternatives(admin) | {"role": ("ml_reader",), "TimeZone": ("Asia/Kolkata",)}
    assert len(settings) > 100
    wrong = {
        setting: found
        for group in groups(settings)
        if differences(group)
        for setting in group
        if (found := differences([setting]))
    }
    assert wrong == {}


def test_a_service_gives_the_same_numbers_whatever_its_login_has(
    db: Database, expected: Numbers, start_worker: Callable[..., Worker]
) -> None:
    """All strange ones at once, in all processes."""
    with db.connect("anna") as anna, given(db, wanda_in(db), STRANGE):
        worker = start_worker(db)
        found = numbers(anna, lambda _job_id: None)
        assert worker.stop() == 0
    assert found == expected
    assert "connection lost" not in worker.log


@pytest.mark.parametrize("where", ["database", "connection string", "environment"])
def test_jobs_give_the_same_numbers_wherever_the_settings_come_from(
    db: Database,
    by_hand: Callable[..., Numbers],
    expected: Numbers,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = db.login("wanda")
    if where == "database":
        with given(db, f"DATABASE {name_of(db)}", [setting for setting in STRANGE if setting[0] != "role"]):
            found = by_hand(url)
    elif where == "connection string":
        found = by_hand(make_conninfo(url, options=options(STRANGE), client_encoding="LATIN1"))
    else:
        variables = {
            "TZ": "Asia/Kolkata",
            "DATESTYLE": "SQL, DMY",
            "CLIENTENCODING": "LATIN1",
            "APPNAME": "me",
        }
        for name, value in ({"OPTIONS": options(STRANGE)} | variables).items():
            monkeypatch.setenv(f"PG{name}", value)
        found = by_hand(url)
    assert found == expected


def test_a_worker_reads_all_while_teams_are_separated_and_its_login_has_row_security_off(
    db: Database, by_hand: Callable[..., Numbers], expected: Numbers
) -> None:
    with db.connect("owner") as owner:
        owner.execute("CALL ml.separate_teams(true)")
        try:
            with given(db, wanda_in(db), [("row_security", "off")]):
                assert by_hand() == expected
        finally:
            owner.execute("CALL ml.separate_teams(false)")


# ── What cannot be set is refused ───────────────────────────────────────────────────────────────────


def run(url: str, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "worker", *command],
        env=os.environ | {"DATABASE_URL": url} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_of_another_encoding_is_refused_with_what_to_do(server: str, encoding: str) -> None:
    name = f"in_{encoding.lower()}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(
            f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0 OWNER owner"
        )
        try:
            url = make_conninfo(server, dbname=name, user="owner", password=PASSWORD)
            for command in ("install", "run"):
                result = run(url, command)
                assert result.returncode == 1
                assert f"the database {name} is encoded in {encoding}" in result.stderr
                assert "ENCODING 'UTF8' TEMPLATE template0" in result.stderr
                assert "Traceback" not in result.stderr
            # With psql, too.
            files = sorted((Path(__file__).parents[1] / "sql").glob("*.sql"))
            with psycopg.connect(url, autocommit=True) as psql, pytest.raises(psycopg.Error) as caught:
                psql.execute(files[0].read_bytes())
            assert caught.value.diag.sqlstate == "ML005"
            assert "ENCODING 'UTF8'" in (caught.value.diag.message_hint or "")
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_session_whose_triggers_would_not_fire_is_set_right_or_refused_with_what_to_do(
    db: Database,
) -> None:
    with given(db, wanda_in(db), [("session_replication_role", "replica")]):
        with pytest.raises(
            UnsuitableDatabaseError, match='ALTER ROLE "wanda" RESET session_replication_role'
        ):
            connect(db.login("wanda"), role="ml_worker")
        with psycopg.connect(db.url, autocommit=True) as admin:
            admin.execute("GRANT SET ON PARAMETER session_replication_role TO wanda")
        try:
            with connect(db.login("wanda"), role="ml_worker") as worker:
                assert worker.execute("SHOW session_replication_role").fetchone() == ("origin",)
        finally:
            with psycopg.connect(db.url, autocommit=True) as admin:
                admin.execute("REVOKE SET ON PARAMETER session_replication_role FROM wanda")


# ── The other commands ──────────────────────────────────────────────────────────────────────────────


def test_the_other_commands_do_the_same_whatever_the_login_has(
    db: Database, expected: Numbers, tmp_path: Path
) -> None:
    file = tmp_path / "metrics.csv"
    file.write_text("mint,timestamp,price_close\nX,2030-05-06 07:08:09+00,1.25\n")
    page = tmp_path / "report.html"
    look = """DELETE FROM coin_metrics WHERE mint = 'X' RETURNING "timestamp", price_close"""
    owner = db.connect("owner")  # before any setting
    owner.execute("SET TimeZone TO 'UTC'")

    def told() -> list[str]:
        said = []
        for login, *command in (
            ("owner", "load", str(file)),
            ("owner", "install"),
            ("wanda", "verify", "--model-dir", str(tmp_path)),
            ("rosa", "top", "--once"),
            ("rosa", "health"),
            ("rosa", "report", "1", "--html", str(page)),
        ):
            result = CliRunner().invoke(main, command, env={"DATABASE_URL": db.login(login)})
            assert not isinstance(result.exception, psycopg.Error), result.exception
            last = (
                (result.output.splitlines() or [""])[-1] if command[0] != "top" else ""
            )  # it says how long ago
            said.append(f"{command[0]} {result.exit_code}: {last}")
        return [*said, str(one(owner, look)), re.sub(r"\d\d:\d\d(:\d\d)?", "", page.read_text())]

    told()  # verify writes the files that this folder lacks
    plain = told()
    assert "Loaded 1 rows" in plain[0]
    with given(db, f"DATABASE {name_of(db)}", [setting for setting in STRANGE if setting[0] != "role"]):
        assert told() == plain
    owner.close()


def test_a_database_installed_under_strange_settings_is_the_same(server: str) -> None:
    query = """
        SELECT pg_catalog.pg_get_constraintdef(c.oid) AS what FROM pg_catalog.pg_constraint c
        UNION ALL SELECT v.definition FROM pg_catalog.pg_views v WHERE v.schemaname IN ('public', 'ml')
        UNION ALL SELECT p.prosrc FROM pg_catalog.pg_proc p
            WHERE p.pronamespace = ANY ('{ml,ml_internal}'::regnamespace[])
        UNION ALL SELECT pg_catalog.pg_get_triggerdef(t.oid) FROM pg_catalog.pg_trigger t
            WHERE NOT t.tgisinternal
        UNION ALL SELECT d.description FROM pg_catalog.pg_description d
    """
    made = []
    with psycopg.connect(server, autocommit=True) as admin:
        for name in ("plain", "strange"):
            admin.execute(f"CREATE DATABASE {name} OWNER owner")
            try:
                url = make_conninfo(server, dbname=name)
                with psycopg.connect(url, autocommit=True) as inside:
                    inside.execute("ALTER SCHEMA public OWNER TO owner")
                settings = [setting for setting in STRANGE if setting[0] != "role"]
                for command in commands(f"DATABASE {name}", settings) if name == "strange" else ():
                    admin.execute(command.encode())
                install(make_conninfo(url, user="owner", password=PASSWORD))
                admin.execute(f"ALTER DATABASE {name} RESET ALL")
                with psycopg.connect(url) as inside:
                    made.append(sorted(map(str, inside.execute(query))))
            finally:
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    assert len(made[0]) > 1000
    assert made[0] == made[1]
