"""A database of an older version is brought here: it equals a fresh one, and nothing in it is lost."""

import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.conftest import (
    JOB_TYPES,
    PASSWORD,
    TRAIN,
    Connection,
    Database,
    claim,
    insert_job,
    job_row,
    one,
    record,
)
from tests.sql.helpers import (
    ANSWERS,
    COMPARE_PERIOD,
    RESULTS,
    TEST_PERIOD,
    call,
    complete,
    refused,
    running_job,
)
from tests.sql.test_install import catalog, empty, installed, run_files, without_owner_of_public
from worker.commands import programs
from worker.commands.install import install, upgrade_files
from worker.database.connection import UnsuitableDatabaseError, connect
from worker.database.schema import SCHEMA_VERSION, check_version

__all__ = ["empty", "installed"]

UPGRADES = Path(__file__).parents[1] / "upgrades"
KEPT = ("coin_metrics", "ml_jobs", "ml_models", "ml_job_events", "ml_training_runs", "ml_test_results")


RECORDS = {"TRAIN": "record_training", "TEST": "record_test", "COMPARE": "record_comparison"}


def schema_of(worker: Connection) -> str:
    """Where the routines of a worker are: up to version 5 also in ml."""
    query = (
        "SELECT count(*) AS n FROM pg_proc WHERE pronamespace = 'ml'::regnamespace AND proname = 'claim_job'"
    )
    return "ml" if one(worker, query)["n"] else "ml_internal"


def old_claim(worker: Connection) -> dict[str, Any]:
    """As a worker of the version does."""
    if schema_of(worker) == "ml_internal":
        return claim(worker)
    return one(worker, "SELECT * FROM ml.claim_job('w1', '30 seconds')")


_SCORES = ("log_loss", "brier_score")
NEWER: dict[int, tuple[str, ...]] = {  # what a worker of the version does not tell of a result
    1: ("average_precision", *_SCORES),
    3: ("average_precision", *_SCORES),
    5: ("a_average_precision", "b_average_precision", *_SCORES),
    6: ("a_average_precision", "b_average_precision", *_SCORES),
}


def old_complete(
    worker: Connection, job_id: int, job_type: str, attempt: int = 1, version: int | None = None
) -> None:
    """As a worker of the version does, the database's own or the one before the upgrade."""
    schema = schema_of(worker)
    newer = NEWER.get(version or version_of(worker), ())
    result = {name: value for name, value in RESULTS[job_type].items() if not name.endswith(newer)}
    if schema == "ml_internal":
        record(worker, job_id, attempt, **result)
        return
    named = sql.SQL(", ").join(sql.SQL("{} => %s").format(sql.Identifier(f"p_{name}")) for name in result)
    query = sql.SQL("SELECT ml.{}(%s, 1, {})").format(sql.Identifier(RECORDS[job_type]), named)
    worker.execute(query, [job_id, *result.values()])


def running(client: Connection, worker: Connection, job_type: str = "TRAIN") -> int:
    """A RUNNING job of a worker of the version; returns its id."""
    fields: dict[str, Any] = TRAIN
    if job_type != "TRAIN":
        models = []
        for _ in range(2 if job_type == "COMPARE" else 1):
            train_id = running(client, worker)
            old_complete(worker, train_id, "TRAIN")
            models.append(job_row(client, train_id)["result_model_id"])
        fields = {"test_model_id": models[0], **TEST_PERIOD}
        if job_type == "COMPARE":
            fields = {"compare_model_a_id": models[0], "compare_model_b_id": models[1], **COMPARE_PERIOD}
    job_id = insert_job(client, **{"job_type": job_type, **fields})
    assert old_claim(worker)["id"] == job_id
    return job_id


@pytest.fixture(params=["version_1.sql", "version_3.sql", "version_7.sql", "version_8.sql"])
def old(empty: Database, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database of an older version with a job in every state that counts, and rows of every kind."""
    with empty.connect("owner") as owner:
        owner.execute((UPGRADES / request.param).read_bytes())
    with empty.connect("owner") as owner:
        owner.execute(
            "INSERT INTO coin_metrics (mint, timestamp, phase_id_at_time) VALUES ('A', '2024-01-01', 1)"
        )
    with empty.connect("anna") as client, empty.connect("wanda") as worker:
        old_complete(worker, running(client, worker, "TEST"), "TEST")
        old_complete(worker, running(client, worker, "COMPARE"), "COMPARE")
        if schema_of(worker) == "ml":
            worker.execute("SELECT ml.record_failure(%s, 1, 'no rows')", [running(client, worker)])
            worker.execute("SELECT ml.record_progress(%s, 1, 0.5)", [running(client, worker)])
        else:
            call(worker, "record_failure", running(client, worker), 1, "no rows")
            call(worker, "record_progress", running(client, worker), 1, "0.5")
        insert_job(client, **TRAIN)
        yield empty


def version_of(connection: Connection) -> int:
    return int(one(connection, "SELECT max(version) AS v FROM ml.schema_version")["v"])


def rows(connection: Connection) -> dict[str, list[str]]:
    """Every row, as text."""
    return {
        table: [str(list(row.values())) for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2")]
        for table in KEPT
    }


def without_versions(found: dict[str, list[str]]) -> dict[str, list[str]]:
    return {what: lines for what, lines in without_owner_of_public(found).items() if what != "versions"}


def test_there_is_a_file_for_each_version() -> None:
    assert sorted(upgrade_files()) == list(range(2, SCHEMA_VERSION + 1))


def test_an_upgraded_database_equals_a_fresh_one_and_loses_nothing(
    old: Database, installed: dict[str, list[str]]
) -> None:
    with old.connect("owner") as owner:
        before = rows(owner)
        for _ in range(2):
            install(old.login("owner"))
        after = rows(owner)
        for table in KEPT:
            # New columns come last.
            assert [line[: len(was) - 1] for was, line in zip(before[table], after[table], strict=True)] == [
                was[:-1] for was in before[table]
            ]
        assert without_versions(catalog(owner)) == without_versions(installed)
        assert version_of(owner) == SCHEMA_VERSION


@pytest.mark.parametrize("old", ["version_6.sql"], indirect=True)
def test_teams_that_were_separated_stay_so_and_are_known_by_the_role_itself(old: Database) -> None:
    with old.connect("owner") as owner:
        owner.execute(f"CREATE ROLE gray LOGIN PASSWORD '{PASSWORD}' IN ROLE ml_client")
        owner.execute("CALL ml.separate_teams(true)")
        with old.connect("gray") as gray:
            job_id = insert_job(gray, **TRAIN)
        try:
            install(old.login("owner"))
            owner.execute("ALTER ROLE gray RENAME TO slate")
            owner.execute(f"ALTER ROLE slate PASSWORD '{PASSWORD}'")
            owner.execute(f"CREATE ROLE gray LOGIN PASSWORD '{PASSWORD}' IN ROLE ml_client")
            for user, seen in (("slate", [job_id]), ("gray", [])):
                with old.connect(user) as connection:
                    assert [row["id"] for row in connection.execute("SELECT id FROM ml_jobs")] == seen
                    assert connection.execute("SELECT * FROM ml_job_events").fetchall() == []
            with old.connect("anna") as anna:
                assert {row["created_by"] for row in anna.execute("SELECT * FROM ml_jobs")} == {"anna"}
        finally:
            owner.execute("DROP ROLE gray")
            owner.execute("DROP ROLE IF EXISTS slate")


def test_psql_upgrades_with_the_files_in_order(old: Database, installed: dict[str, list[str]]) -> None:
    with old.connect("owner") as owner:
        installed_now = version_of(owner)
    for _, file in sorted(item for item in upgrade_files().items() if item[0] > installed_now):
        arguments = ["--no-psqlrc", "--quiet", "-1", "-v", "ON_ERROR_STOP=1", "-f", str(file)]
        command, environment = programs.command("psql", arguments, old.login("owner"))
        subprocess.run(command, env=environment, check=True, capture_output=True)
    run_files(old, "-1")
    with old.connect("owner") as owner:
        assert without_versions(catalog(owner)) == without_versions(installed)


def test_psql_without_the_upgrades_stops_at_once_and_says_what_to_do(old: Database) -> None:
    with old.connect("owner") as owner:
        before = catalog(owner)
        with pytest.raises(subprocess.CalledProcessError) as caught:
            run_files(old)
        version = version_of(owner)
        assert f"has schema version {version}, these files are version".encode() in caught.value.stderr
        assert f"first apply the files of sql/upgrades/ after {version}".encode() in caught.value.stderr
        assert catalog(owner) == before


@pytest.mark.parametrize("old", ["version_7.sql", "version_8.sql"], indirect=True)
def test_a_job_that_was_claimed_before_is_finished_after_by_the_same_worker(old: Database) -> None:
    """The old worker knows nothing of it: its calls are answered as ever."""
    with old.connect("anna") as client, old.connect("wanda") as worker:
        waiting, version = claim(worker), version_of(worker)
        install(old.login("owner"))
        call(worker, "record_progress", waiting["id"], 1, "0.5")
        old_complete(worker, waiting["id"], "TRAIN", version=version)
        assert call(worker, "expire_leases") == 0
        model_id = job_row(client, waiting["id"])["result_model_id"]
        test_id = insert_job(client, job_type="TEST", test_model_id=model_id, **TEST_PERIOD)
        assert claim(worker)["id"] == test_id
        old_complete(worker, test_id, "TEST", version=version)
        assert job_row(client, test_id)["status"] == "COMPLETED"


@pytest.mark.parametrize("old", ["version_8.sql"], indirect=True)
def test_an_upgrade_waits_for_those_who_write_and_they_for_it(old: Database) -> None:
    """Old workers claim and record all through it: no deadlock, no lost job, every row whole.

    A claim that waits for the upgrade knows the old columns of ml_jobs: it is taken back, and made again.
    """
    stop = threading.Event()
    errors: list[BaseException] = []
    finished: list[int] = []
    began = datetime.now(UTC)
    with old.connect("owner") as owner:
        version = version_of(owner)

    def work(number: int) -> None:
        try:
            with old.connect("anna") as client, old.connect("wanda") as worker:
                worker.prepare_threshold = None  # a worker names the columns that it reads, claim() reads all
                while not stop.is_set():
                    insert_job(client, **TRAIN)
                    # Another may have taken it, while its own came a moment too late for this look.
                    while (job := next_job(worker, f"old-{number}")) is None and not stop.is_set():
                        pass
                    if job is None:
                        return
                    call(worker, "record_progress", job["id"], job["attempt"], "0.5")
                    old_complete(worker, job["id"], "TRAIN", job["attempt"], version)
                    finished.append(job["id"])
                    stop.wait(0.02)  # more models would only make the leaderboard slower
        except BaseException as error:
            errors.append(error)

    def next_job(worker: Connection, worker_id: str) -> dict[str, Any] | None:
        try:
            return worker.execute(
                "SELECT * FROM ml_internal.claim_job(%s, %s, %s)", [worker_id, "30 seconds", JOB_TYPES]
            ).fetchone()
        except (psycopg.errors.DatatypeMismatch, psycopg.errors.UndefinedFunction):
            return None

    def look() -> None:
        try:
            with old.connect("rosa") as reader:
                reader.prepare_threshold = None  # the upgrade changes the columns of *
                while not stop.is_set():
                    with reader.transaction():
                        reader.execute("SELECT * FROM ml_leaderboard")
                        reader.execute("SELECT * FROM ml_queue")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(2)]
    threads.append(threading.Thread(target=look))
    for thread in threads:
        thread.start()
    try:
        while len(finished) < 5 and not errors:
            stop.wait(0.01)
        for _ in range(2):
            install(old.login("owner"))
        reached = len(finished) + 5
        while len(finished) < reached and not errors:
            stop.wait(0.01)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []
    with old.connect("owner") as owner:
        done = owner.execute("SELECT id FROM ml_jobs WHERE status = 'COMPLETED'").fetchall()
        assert set(finished) <= {row["id"] for row in done}
        failed = "SELECT id, error_msg FROM ml_jobs WHERE status = 'FAILED' AND created_at > %s"
        assert owner.execute(failed, [began]).fetchall() == []


def test_a_worker_refuses_an_old_database(old: Database) -> None:
    with (
        connect(old.login("wanda"), role="ml_worker") as connection,
        pytest.raises(UnsuitableDatabaseError, match=r"schema version [1378], .* run: ml-worker install"),
    ):
        check_version(connection)


@pytest.mark.parametrize("old", ["version_1.sql", "version_3.sql"], indirect=True)
def test_an_upgrade_that_fails_leaves_the_old_version(old: Database) -> None:
    with old.connect("owner") as owner:
        owner.execute("ALTER TABLE ml_test_results ADD COLUMN average_precision text")  # in the way
        before = catalog(owner)
        with refused("42701"):
            install(old.login("owner"))
        assert catalog(owner) == before


def test_answers_of_version_7_are_all_there_and_a_job_that_ran_meanwhile_has_its_own(empty: Database) -> None:
    """Its answers were rows; now a coin's are one."""
    with empty.connect("owner") as owner:
        owner.execute((UPGRADES / "version_7.sql").read_bytes())
    with empty.connect("anna") as client, empty.connect("wanda") as worker:
        answers = "SELECT * FROM ml_predictions WHERE job_id = %s ORDER BY key, moment"
        first = running_job(client, worker, "SCORE")
        complete(worker, first, "SCORE")
        before = client.execute(answers, [first]).fetchall()
        second = running_job(client, worker, "SCORE")
        install(empty.login("owner"))
        complete(worker, second, "SCORE")
        assert len(before) == len(ANSWERS)
        assert client.execute(answers, [first]).fetchall() == before
        after = client.execute(answers, [second]).fetchall()
        assert [(row["key"], row["moment"], row["probability"]) for row in after] == [
            (row["key"], row["moment"], row["probability"]) for row in before
        ]
        newest = client.execute("SELECT key FROM ml.newest_answers(%s)", [before[0]["model_id"]])
        assert {row["key"] for row in newest} == {"A", "B"}
