"""Installing and upgrading: many at once, or killed anywhere, end with the same schema and nothing lost."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row
from testcontainers.community.postgres import PostgresContainer

from tests.conftest import KINDS, TRAIN, Database, claim, insert_job, one
from tests.servers import IMAGE_15
from tests.sql.helpers import call
from tests.sql.test_install import catalog, without_owner_of_public
from tests.sql.test_upgrades import UPGRADES, old_complete, version_of, without_versions
from worker.commands import programs
from worker.commands.install import install, sql_files

_numbers = itertools.count(1)
# An installer that is killed before it applies the file of this number.
KILLED = """
import os, signal, sys
from worker.commands import install
from worker.database import schema

apply = schema.install

def interrupted(connection, upgrades, files):
    def until_killed():
        for number, text in enumerate(files):
            if number == int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)
            yield text
    apply(connection, upgrades, until_killed())

schema.install = interrupted
install.install(sys.argv[1])
"""


@pytest.fixture
def make_empty(server: str) -> Iterator[Callable[[], Database]]:
    made: list[str] = []

    def make() -> Database:
        made.append(f"bare_{next(_numbers)}")
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {made[-1]} OWNER owner".encode())
        return Database(make_conninfo(server, dbname=made[-1]))

    yield make
    with psycopg.connect(server, autocommit=True) as admin:
        for name in made:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(scope="module")
def fresh(make_database: Callable[[], Database]) -> dict[str, list[str]]:
    with make_database().connect("owner") as owner:
        return without_owner_of_public(catalog(owner))


def what_is_in(db: Database) -> dict[str, list[str]]:
    with db.connect("owner") as owner:
        return without_owner_of_public(catalog(owner))


def kill_an_installer(db: Database, number: int) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, db.login("owner"), str(number)], check=False)
    assert killed.returncode == -signal.SIGKILL


def test_three_installations_equal_one(
    make_empty: Callable[[], Database], fresh: dict[str, list[str]]
) -> None:
    db = make_empty()
    for _ in range(3):
        install(db.login("owner"))
    assert what_is_in(db) == fresh


def test_twenty_installers_at_once_in_two_databases_equal_one(
    make_empty: Callable[[], Database], fresh: dict[str, list[str]]
) -> None:
    databases = [make_empty(), make_empty()]
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(install, [databases[number % 2].login("owner") for number in range(20)]))
    assert [what_is_in(db) for db in databases] == [fresh, fresh]


def test_an_installer_that_is_killed_leaves_nothing(
    make_empty: Callable[[], Database], fresh: dict[str, list[str]]
) -> None:
    db = make_empty()
    with db.connect("owner") as owner:
        for number in (1, len(sql_files()) // 2, len(sql_files()) - 1):
            kill_an_installer(db, number)
            assert one(owner, "SELECT to_regnamespace('ml') AS ml, to_regclass('ml_jobs') AS jobs") == {
                "ml": None,
                "jobs": None,
            }
    install(db.login("owner"))
    assert what_is_in(db) == fresh


def test_psql_that_is_killed_in_the_middle_of_any_file_can_be_run_again(
    make_empty: Callable[[], Database], fresh: dict[str, list[str]], tmp_path: Path
) -> None:
    """Without -1 each statement commits by itself: what a half file left is no obstacle."""
    db = make_empty()
    for file in sql_files():
        text = file.read_text(encoding="utf-8")
        half = tmp_path / file.name
        half.write_text(text[: text.index("\n", len(text) // 2)], encoding="utf-8")
        command, environment = programs.command("psql", ["-X", "-q", "-f", str(half)], db.login("owner"))
        subprocess.run(command, env=environment, check=True, capture_output=True)
        arguments = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(file)]
        command, environment = programs.command("psql", arguments, db.login("owner"))
        subprocess.run(command, env=environment, check=True, capture_output=True)
    assert what_is_in(db) == fresh


def test_an_upgrade_that_is_killed_at_any_file_leaves_the_old_version_at_work(
    make_empty: Callable[[], Database], fresh: dict[str, list[str]]
) -> None:
    """Had any file committed, the catalog would show it after the last of these kills."""
    db = make_empty()
    with db.connect("owner") as owner:
        owner.execute((UPGRADES / "version_8.sql").read_bytes())
    with db.connect("owner") as owner, db.connect("anna") as client, db.connect("wanda") as worker:
        owner.execute("INSERT INTO coin_metrics (mint, timestamp, phase_id_at_time) VALUES ('A', now(), 1)")
        jobs = [insert_job(client, **TRAIN)]
        assert claim(worker)["id"] == jobs[-1]
        before = catalog(owner)
        files = len(sql_files())
        for number in (0, 1, files // 2, files - 2, files - 1):
            kill_an_installer(db, number)
            assert version_of(owner) == 8
            assert catalog(owner) == before
            call(worker, "record_progress", jobs[-1], 1, "0.5")
            old_complete(worker, jobs[-1], "TRAIN")
            jobs.append(insert_job(client, **TRAIN))
            assert claim(worker)["id"] == jobs[-1]
        install(db.login("owner"))
        old_complete(worker, jobs[-1], "TRAIN")
        done = client.execute("SELECT id FROM ml_jobs WHERE status = 'COMPLETED' ORDER BY id").fetchall()
        assert [row["id"] for row in done] == jobs
    with db.connect("owner") as owner:
        assert without_versions(catalog(owner)) == without_versions(fresh)


@pytest.mark.skipif(
    all(kind.how != "container" for kind in KINDS),
    reason="initdb.d is the image's, and no Docker engine answers",
)
def test_a_container_that_is_made_with_the_files_equals_an_installation() -> None:
    folder = sql_files()[0].parent
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    container = PostgresContainer(IMAGE_15, driver=None).with_volume_mapping(
        str(folder), "/docker-entrypoint-initdb.d", "ro"
    )
    with container:
        url = container.get_connection_url()
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as made:
            found = catalog(made)
            made.execute("CREATE DATABASE installed")
        install(make_conninfo(url, dbname="installed"))
        with psycopg.connect(
            make_conninfo(url, dbname="installed"), autocommit=True, row_factory=dict_row
        ) as other:
            assert found == catalog(other)
            assert found["routines"]
