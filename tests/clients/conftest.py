"""What all clients share: one server, a database with a worker, and one without, where jobs stay."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.clients.steps import RIVAL, TAKEN, Service
from tests.conftest import TEMPLATE, Database, insert_job, wait_for
from tests.one_server import server

__all__ = ["server"]


@pytest.fixture(scope="session")
def service(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    names = ("clients_busy", "clients_quiet")
    with psycopg.connect(server, autocommit=True) as admin:
        for name in names:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER owner STRATEGY FILE_COPY")
    busy, quiet = (Database(make_conninfo(server, dbname=name)) for name in names)
    folder: Path = tmp_path_factory.mktemp("clients")
    with (folder / "log").open("w") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "worker", "run", "--model-dir", str(folder / "models")],
            env=os.environ | {"DATABASE_URL": busy.login("wanda")},
            stderr=log,
        )
    try:
        with quiet.connect("anna") as client:
            assert insert_job(client, **TAKEN) == 1
        with busy.connect("anna") as client:
            rival = wait_for(client, insert_job(client, **RIVAL))
            assert rival["status"] == "COMPLETED", rival["error_msg"]
        yield Service(busy, quiet, rival["result_model_id"])
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
        with psycopg.connect(server, autocommit=True) as admin:
            for name in names:
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
