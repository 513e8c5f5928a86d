"""Backup, restore and replication: what is copied is whole, and a restored service works."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.conftest import (
    KINDS,
    PASSWORD,
    TRAIN,
    Connection,
    Database,
    claim,
    insert_job,
    job_row,
    one,
    until,
)
from tests.servers import FAST, Kind
from tests.sql.helpers import TEST_PERIOD, complete, count, jobs_in_every_state, refused, running_job
from tests.sql.test_install import catalog, without_owner_of_public
from worker.commands import sample
from worker.commands.install import install
from worker.database.connection import connect
from worker.database.jobs import copy_metrics
from worker.embedded import Server

# The programs of a container are out of reach; these tests need the server's own pg_dump.
PROGRAMS = [kind for kind in KINDS if kind.how == "programs"]
REPLICATED = (
    "ml_jobs, ml_job_events, ml_models, ml_training_runs, ml_test_results, ml_comparisons,"
    " ml_curve_points, ml_folds, ml_baselines, ml_worker_signs,"
    " ml_test_day_counts, ml_test_coin_counts,"
    " ml_curve_points, ml_intervals, ml_worker_signs,"
    " ml_model_inputs, ml_model_trees, ml_model_layers, ml_model_samples, ml_model_numbers"
)


@pytest.fixture(scope="module", params=PROGRAMS, ids=lambda kind: kind.name.replace(" ", "-"))
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture(scope="module")
def elsewhere(kind: Kind) -> Iterator[str]:
    """A server of its own that can replicate; its administrator's connection."""
    home = Path(tempfile.mkdtemp(prefix="ml-tests-"))
    server = Server(home, kind.bin_dir, (*FAST, "wal_level = logical"))
    try:
        server.start()
        url = server.tcp_url("postgres")
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(f"CREATE ROLE owner LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
        yield url
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


def make_empty(server: str, name: str, login: str = "owner") -> Database:
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} OWNER {login}")
    return Database(make_conninfo(server, dbname=name))


def run(kind: Kind, program: str, url: str, *options: str) -> None:
    """Run a program of PostgreSQL on a database; it must not even warn."""
    given = conninfo_to_dict(url)
    names = {"user": "PGUSER", "password": "PGPASSWORD", "host": "PGHOST", "port": "PGPORT"}
    environment = os.environ | {variable: str(given[key]) for key, variable in names.items()}
    words = [str(kind.bin_dir / program), *options, "--dbname", str(given["dbname"])]
    result = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr


def rows(connection: Connection) -> dict[str, list[str]]:
    tables = [
        *REPLICATED.split(", "),
        "coin_metrics",
        "ref_model_types",
        "ref_model_params",
        "ref_coin_phases",
    ]
    return {
        table: [row["t"] for row in connection.execute(f"SELECT x::text AS t FROM {table} x ORDER BY 1")]
        for table in tables
    }


def schema(connection: Connection) -> dict[str, list[str]]:
    """The catalog, without the casts and brackets that PostgreSQL sets anew when it reads its own words."""
    return {
        what: sorted(re.sub(r"::(character varying|text)(\[\])?| AS float8|[()]", "", line) for line in lines)
        for what, lines in without_owner_of_public(catalog(connection)).items()
    }


def source_of(server: str) -> Database:
    """A database with jobs in every state, results of each type, and separated teams."""
    with psycopg.connect(server, autocommit=True) as admin:
        if not admin.execute("SELECT FROM pg_database WHERE datname = 'source'").fetchall():
            db = make_empty(server, "source")
            install(db.login("owner"))
            with db.connect("owner") as owner:
                for login, role in (("anna", "ml_client"), ("wanda", "ml_worker")):
                    owner.execute(f"CREATE ROLE {login} LOGIN PASSWORD '{PASSWORD}' IN ROLE {role}")
                owner.execute("CALL ml.separate_teams(true)")
            metrics = sample.make_metrics(2)
            with connect(db.login("owner")) as connection:
                copy_metrics(connection, list(metrics.columns), sample.to_csv(metrics))
            with db.connect("anna") as client, db.connect("wanda") as worker:
                for job_type in ("TEST", "COMPARE"):
                    complete(worker, running_job(client, worker, job_type), job_type)
                worker.execute("SELECT ml_internal.record_sign('w1', 1, '0 seconds')")
                jobs_in_every_state(client, worker)
    return Database(make_conninfo(server, dbname="source"))


@pytest.fixture(scope="module")
def source(elsewhere: str) -> Database:
    return source_of(elsewhere)


def assert_works(db: Database, owner: str) -> None:
    """A claim is finished, new numbers follow the old ones, and the rules hold."""
    with db.connect("anna") as client, db.connect("wanda") as worker, db.connect(owner) as admin:
        last = one(admin, "SELECT max(id) AS id FROM ml_jobs")["id"]
        (running,) = client.execute("SELECT id FROM ml_jobs WHERE status = 'RUNNING'").fetchall()
        complete(worker, running["id"], "TRAIN")
        waiting = claim(worker)
        complete(worker, waiting["id"], "TRAIN")
        model_id = job_row(client, waiting["id"])["result_model_id"]
        job_id = insert_job(client, job_type="TEST", test_model_id=model_id, **TEST_PERIOD)
        assert job_id == last + 1
        assert claim(worker)["id"] == job_id
        complete(worker, job_id, "TEST")
        assert job_row(client, job_id)["status"] == "COMPLETED"
        with refused("23514", "coin_metrics has no column 'nothing'"):
            insert_job(client, **TRAIN | {"train_features_csv": "nothing"})
        with refused("ML003", "append-only"):
            admin.execute("UPDATE ml_job_events SET message = 'forged'")


def test_a_restored_database_equals_the_old_one_and_works(
    kind: Kind, elsewhere: str, source: Database, tmp_path: Path
) -> None:
    """Dumped and restored by the owner of the tables, who is no superuser."""
    file = tmp_path / "dump"
    restored = make_empty(elsewhere, "restored")
    run(kind, "pg_dump", source.login("owner"), "-Fc", "-f", str(file))
    run(kind, "pg_restore", restored.login("owner"), "--exit-on-error", str(file))
    with source.connect("owner") as old, restored.connect("owner") as new:
        assert rows(new) == rows(old)
        assert schema(new) == schema(old)
        install(restored.login("owner"))
        assert schema(new) == schema(old)
    assert_works(restored, "owner")


def test_a_database_is_restored_on_a_server_that_has_only_the_roles(
    kind: Kind, elsewhere: str, source: Database, tmp_path: Path
) -> None:
    """By another owner, on another server, where an installation made the roles."""
    file = tmp_path / "dump"
    run(kind, "pg_dump", source.login("owner"), "-Fc", "-f", str(file))
    home = Path(tempfile.mkdtemp(prefix="ml-tests-"))
    server = Server(home, kind.bin_dir, FAST)
    try:
        server.start()
        url = server.tcp_url("postgres")
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(f"CREATE ROLE heir LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
            for role in ("ml_reader", "ml_client", "ml_worker"):
                admin.execute(f"CREATE ROLE {role}")
                admin.execute(f"GRANT {role} TO heir WITH ADMIN OPTION")
        restored = make_empty(url, "restored", "heir")
        run(kind, "pg_restore", restored.login("heir"), "--exit-on-error", "--no-owner", str(file))
        install(restored.login("heir"))
        with restored.connect("heir") as owner:
            for login, role in (("anna", "ml_client"), ("wanda", "ml_worker")):
                owner.execute(f"CREATE ROLE {login} LOGIN PASSWORD '{PASSWORD}' IN ROLE {role}")
            with source.connect("owner") as old:
                assert rows(owner) == rows(old)
        assert_works(restored, "heir")
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


def test_a_reporting_database_follows_by_logical_replication(elsewhere: str, source: Database) -> None:
    """The copy and every later change arrive; rules and results are not computed anew there."""
    reporting = make_empty(elsewhere, "reporting")
    install(reporting.login("owner"))
    with source.connect("owner") as owner:
        owner.execute(f"CREATE PUBLICATION reporting FOR TABLE {REPLICATED}")
    administrator = make_conninfo(elsewhere, dbname="reporting")
    with (
        psycopg.connect(source.url, autocommit=True) as here,
        psycopg.connect(administrator, autocommit=True) as there,
        source.connect("owner") as old,
        reporting.connect("owner") as new,
    ):
        # On one server the slot must be made first, or the subscription waits for itself.
        here.execute("SELECT pg_create_logical_replication_slot('reporting', 'pgoutput')")
        connection = source.url.replace("'", "''")
        there.execute(
            f"CREATE SUBSCRIPTION reporting CONNECTION '{connection}' PUBLICATION reporting"
            " WITH (create_slot = false, slot_name = 'reporting')"
        )
        try:

            def follows() -> bool:
                return all(
                    count(new, table) == count(old, table) for table in REPLICATED.split(", ")
                ) and rows_of_service(new) == rows_of_service(old)

            until(follows, "the copy")
            with source.connect("anna") as client, source.connect("wanda") as worker:
                client.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE status = 'PENDING'")
                complete(worker, running_job(client, worker, "COMPARE"), "COMPARE")
                client.execute("UPDATE ml_models SET name = 'renamed' WHERE id = 1")
                insert_job(client, **TRAIN)
            old.execute("CALL ml.prune('0 seconds')")
            until(follows, "the changes")
            assert count(new, "ml_leaderboard WHERE name = 'renamed'") == 1
        finally:
            there.execute("DROP SUBSCRIPTION reporting")


def rows_of_service(connection: Connection) -> dict[str, list[str]]:
    return {table: found for table, found in rows(connection).items() if table in REPLICATED.split(", ")}
