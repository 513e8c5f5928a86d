"""PgBouncer before the server: in transaction mode refused at start, in session mode as good as none."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.conftest import PASSWORD, TRAIN, Database, Worker, insert_job, until, wait_for

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="there is no pgbouncer on this machine (Debian: apt-get install pgbouncer)"
)


@pytest.fixture
def pooled(db: Database) -> Iterator[Callable[[str], str]]:
    """Starts PgBouncer in a mode; gives the worker's connection string through it."""
    started: list[subprocess.Popen[bytes]] = []
    folder = Path(tempfile.mkdtemp(prefix="ml-tests-"))

    def start(mode: str) -> str:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        given = conninfo_to_dict(db.login("wanda"))
        name, host, server_port = given["dbname"], given["host"], given["port"]
        (folder / "users").write_text(f'"wanda" "{PASSWORD}"\n')
        config = folder / "pgbouncer.ini"
        config.write_text(
            f"""
            [databases]
            {name} = host={host} port={server_port} dbname={name}
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {port}
            unix_socket_dir =
            auth_type = plain
            auth_file = {folder / "users"}
            pool_mode = {mode}
            """.replace("            ", "")
        )
        command = [PROGRAM or "", str(config)]
        if os.geteuid() == 0:  # it refuses to run as root
            folder.chmod(0o755)
            command[1:1] = ["-u", "nobody"]
        started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        url = make_conninfo(db.login("wanda"), host="127.0.0.1", port=port)

        def answers() -> bool:
            try:
                psycopg.connect(url).close()
            except psycopg.OperationalError:
                return False
            return True

        until(answers, "PgBouncer")
        return url

    yield start
    for process in started:
        process.terminate()
        process.wait(30)
    shutil.rmtree(folder)


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pool_that_loses_notifications_is_refused_at_start(
    db: Database, pooled: Callable[[str], str], start_worker: Callable[..., Worker], mode: str
) -> None:
    worker = start_worker(db, DATABASE_URL=pooled(mode))
    assert worker.process.wait(60) == 1
    assert "is a connection pooler in transaction mode, which loses notifications" in worker.log
    assert "connect to PostgreSQL itself, or to a pool in session mode" in worker.log
    assert "Traceback" not in worker.log


def test_a_pool_in_session_mode_serves(
    db: Database, pooled: Callable[[str], str], start_worker: Callable[..., Worker]
) -> None:
    worker = start_worker(db, "--poll", "3600", "--lease", "600", DATABASE_URL=pooled("session"))
    until(lambda: "listening" in worker.log, "the worker")
    with db.connect("anna") as client:
        for _ in range(2):
            assert wait_for(client, insert_job(client, **TRAIN))["status"] == "COMPLETED"
