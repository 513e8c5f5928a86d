"""The command line: what a newcomer types first."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Database, Worker, one, until
from tests.readme import HELP, help_texts
from worker.commands import sample
from worker.database.schema import SCHEMA_VERSION, installed_version
from worker.embedded import Server


def ml_worker(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "worker", *args],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A folder for ML_HOME; the server that a command starts there is stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="ml-tests-"))
    yield folder
    Server(folder).stop()
    shutil.rmtree(folder)


def test_every_help_is_as_it_was_read_last() -> None:
    assert help_texts() == HELP.read_text(encoding="utf-8"), "look at it, then run: make reference"


def test_without_database_url_a_command_makes_a_server_and_says_how_to_connect(home: Path) -> None:
    first = ml_worker("install", ML_HOME=str(home), DATABASE_URL="")
    assert first.returncode == 0, first.stderr
    found = re.search(r"(postgresql://[^\s,]+), with the password in (\S+)", first.stderr)
    assert found
    password = Path(found[2]).read_text()
    assert password not in first.stderr  # it is no terminal, and may be a log
    with psycopg.connect(found[1], password=password) as connection:
        assert installed_version(connection) == SCHEMA_VERSION
    again = ml_worker(
        "psql", "-X", "-A", "-t", "-c", "SELECT count(*) FROM ml_jobs", ML_HOME=str(home), DATABASE_URL=""
    )
    assert again.stdout.strip() == "0"


def test_psql_goes_to_database_url_with_its_password(db: Database) -> None:
    result = ml_worker("psql", "-X", "-A", "-t", "-c", "SELECT current_user", DATABASE_URL=db.login("anna"))
    assert result.stdout.strip() == "anna"


def test_psql_shows_an_error_as_message_and_hint_alone(db: Database) -> None:
    result = ml_worker("psql", "-X", "-c", "CALL ml.cancel_job(999)", DATABASE_URL=db.login("anna"))
    assert result.stderr.splitlines() == [
        "ERROR:  job 999 does not exist",
        "HINT:  SELECT id, status FROM ml_queue; lists the jobs that can be cancelled.",
    ]


@pytest.mark.parametrize("program", ["psql", "pg_dump", "pg_restore"])
def test_the_programs_of_the_package_serve_where_the_machine_has_none(db: Database, program: str) -> None:
    result = ml_worker(program, "--version", DATABASE_URL=db.login("anna"), PATH="/nowhere")
    assert f"{program} (PostgreSQL) 18" in result.stdout


def test_the_embedded_server_is_reached_by_the_programs_that_came_with_it(home: Path, tmp_path: Path) -> None:
    for program in ("psql", "pg_dump"):
        machines = tmp_path / program
        machines.write_text("#!/bin/sh\necho of another version\n")
        machines.chmod(0o755)
    place = {"ML_HOME": str(home), "DATABASE_URL": "", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert "PostgreSQL) 18" in ml_worker("psql", "--version", **place).stdout
    assert "PostgreSQL) 18" in ml_worker("pg_dump", "--version", **place).stdout
    assert ml_worker("pg_dump", "--schema-only", "--file", str(tmp_path / "dump"), **place).returncode == 0
    assert "ml_jobs" in (tmp_path / "dump").read_text(encoding="utf-8")


def test_an_unreachable_server_is_one_clear_message() -> None:
    result = ml_worker("run", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert result.returncode == 1
    assert "127.0.0.1" in result.stderr
    assert "Traceback" not in result.stderr


def test_install_on_a_newer_database_says_what_to_do(db: Database) -> None:
    with db.connect("owner") as owner:
        owner.execute("INSERT INTO ml.schema_version (version) VALUES (99)")
    result = ml_worker("install", DATABASE_URL=db.login("owner"))
    assert result.returncode == 1
    assert "schema version 99" in result.stderr
    assert "HINT" in result.stderr


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://anna:s3cr3t@p4ss@localhost/ml",
        "postgresql://anna:s3cr3t/p4ss@localhost/ml",
        "postgresql://anna:s3cr3t:p4ss@local:host/ml",
        "postgresql://anna:s3cr3t%p4ss@localhost/ml",
        "host=localhost password='s3cr3t",
        "s3cr3t",
    ],
)
def test_a_connection_string_that_is_none_is_explained_without_its_password(url: str) -> None:
    result = ml_worker("run", DATABASE_URL=url)
    assert result.returncode == 1
    assert "DATABASE_URL is not a connection string like postgresql://" in result.stderr
    assert "s3cr3t" not in result.stdout + result.stderr
    assert "p4ss" not in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_health_tells_whether_a_worker_of_this_host_looks_at_the_queue(
    db: Database, start_worker: Callable[..., Worker]
) -> None:
    url = db.login("rosa")
    assert ml_worker("health", DATABASE_URL=url).returncode == 1
    worker = start_worker(db, "--lease", "6", "--poll", "1", is_forked=False)
    until(lambda: ml_worker("health", DATABASE_URL=url).returncode == 0, "health")
    assert f"{socket.gethostname()}:{worker.process.pid}:" in ml_worker("health", DATABASE_URL=url).stdout
    worker.process.send_signal(signal.SIGSTOP)
    until(lambda: ml_worker("health", DATABASE_URL=url).returncode == 1, "the end of its last sign")
    worker.process.send_signal(signal.SIGCONT)
    until(lambda: ml_worker("health", DATABASE_URL=url).returncode == 0, "health")
    assert worker.stop() == 0
    stopped = ml_worker("health", DATABASE_URL=url)
    assert (stopped.returncode, "no worker on" in stopped.stderr) == (1, True)


def test_health_without_a_server_is_one_clear_message(tmp_path: Path) -> None:
    gone = ml_worker("health", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    none = ml_worker("health", DATABASE_URL="", ML_HOME=str(tmp_path / "none"))
    assert (gone.returncode, none.returncode) == (1, 1)
    assert "is not running" in none.stderr
    assert "Traceback" not in gone.stderr + none.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--target", "a > 1"], "need --features, --train, --test"),
        (["--metrics", __file__], "--target, --features, --train, --test"),
        (["--metrics", __file__, "--target", "a is 1"], "is not like 'volatility_pct > 0.5'"),
        (["--metrics", __file__, "--train", "2021"], "is not like 2021-05-06..2021-05-11"),
    ],
)
def test_demo_says_what_its_options_lack(args: list[str], said: str) -> None:
    result = ml_worker("demo", *args)
    assert result.returncode == 2
    assert said in result.stderr


def test_the_demo_takes_a_file_and_a_horizon_and_drops_nothing_when_it_runs_again(
    make_database: Callable[[], Database], tmp_path: Path
) -> None:
    """On the sample data and the embedded server it runs in test_readme.py."""
    file = tmp_path / "metrics.csv"
    file.write_bytes(b"".join(sample.to_csv(sample.make_metrics(40))))
    options = ["--target", "volatility_pct>60", "--features", "volatility_pct,num_buys", "--horizon", "5"]
    periods = ["--train", "2024-01-01..2024-03-01", "--test", "2024-03-01..2024-04-01"]
    db = make_database()
    place = {"DATABASE_URL": db.url, "ML_MODEL_DIR": str(tmp_path / "models"), "COLUMNS": "120"}
    with db.connect("owner") as owner:
        owner.execute("TRUNCATE coin_metrics")
        owner.execute("INSERT INTO coin_metrics (mint, timestamp) VALUES ('OF_THE_USER', '2020-01-01')")
        mixed = ml_worker("demo", **place)
        assert mixed.returncode == 1
        assert "has rows of yours, with which sample rows would mix" in mixed.stderr

        first = ml_worker("demo", "--metrics", str(file), *options, *periods, **place)
        assert first.returncode == 0, first.stdout + first.stderr
        for words in (
            "Loaded 10,400 rows",
            "random_forest_",
            "neural_network_",
            "winner",
            "python -m worker run",
        ):
            assert words in first.stdout
        coins = re.findall(
            r"^ (\S+) +\| .* \| +0\.\d{4}$", first.stdout.partition("Which of my coins?")[2], re.M
        )
        assert len(coins) == len(set(coins)) > 0
        again = ml_worker("demo", "--metrics", str(file), *options, *periods, **place)
        assert again.returncode == 0, again.stdout + again.stderr
        assert "10,400 rows between 2024-01-01 and 2024-04-01, which are used" in again.stdout
        assert f"{file} was not loaded" in words_of(again.stdout)
        label = [
            "--label",
            "first_touch",
            "--target",
            "price_high>=60",
            "--base",
            "price_close",
            "--stop",
            "-30",
        ]
        ways = [*label, "--uncovered", "negative", *options[2:]]
        touch = ml_worker("demo", "--metrics", str(file), *ways, *periods, **place)
        assert touch.returncode == 0, touch.stdout + touch.stderr
        targets = owner.execute("SELECT DISTINCT target FROM ml_leaderboard ORDER BY target").fetchall()
        assert [row["target"] for row in targets] == [
            "volatility_pct > 60 after 5 min",
            "within 5 min, price_high reaches 60 % before -30 % from price_close, "
            "a coin that stops is negative",
        ]
        found = owner.execute("SELECT status, count(*) FROM ml_jobs GROUP BY status").fetchall()
        assert found == [{"status": "COMPLETED", "count": 33}]
        rows = one(owner, "SELECT count(*) FROM coin_metrics")
    assert rows == {"count": 10_401}


def words_of(text: str) -> str:
    return " ".join(text.split())
