"""Servers that a worker cannot work with are refused at its start, with what to do."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import TRAIN, Connection, Database, insert_job, one
from worker.commands.install import install
from worker.embedded import Server


def test_a_standby_is_refused() -> None:
    home = Path(tempfile.mkdtemp(prefix="ml-tests-"))
    server = Server(home, settings=("fsync = off",))
    try:
        server.start(install)
        server.stop()
        (server.data / "standby.signal").touch()
        server.start()
        result = subprocess.run(
            [sys.executable, "-m", "worker", "run"],
            env=os.environ | {"DATABASE_URL": server.tcp_url()},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert result.returncode == 1
        assert "is a standby and takes no changes; connect to the primary" in result.stderr
        assert "Traceback" not in result.stderr
    finally:
        server.stop()
        shutil.rmtree(home)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("DROP SCHEMA ml CASCADE", "has no ML schema; run: ml-worker install"),
        ("UPDATE ml.schema_version SET version = 1", "has schema version 1, this worker needs"),
        ("INSERT INTO ml.schema_version (version) VALUES (99)", "has schema version 99, newer than this"),
    ],
    ids=["missing", "older", "newer"],
)
def test_a_schema_that_is_missing_older_or_newer_is_refused(
    db: Database, owner: Connection, client: Connection, harm: str, said: str
) -> None:
    insert_job(client, **TRAIN)
    owner.execute(harm.encode())
    result = subprocess.run(
        [sys.executable, "-m", "worker", "run"],
        env=os.environ | {"DATABASE_URL": db.login("wanda")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert one(owner, "SELECT status FROM ml_jobs")["status"] == "PENDING"
