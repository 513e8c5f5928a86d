"""The PostgreSQL servers that the suite runs against: whatever this machine can start by itself.

Always the embedded one; beside it PostgreSQL 15 from testcontainers where a Docker engine answers, else from
the programs of a Debian package where they are installed.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import docker
import docker.errors
from testcontainers.community.postgres import PostgresContainer

from worker.embedded import Server, bundled

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
IMAGE_15 = "postgres:15"
FAST = (
    "fsync = off",
    "synchronous_commit = off",
    "full_page_writes = off",
    "jit = off",
    "max_connections = 300",
)


@dataclass(frozen=True)
class Kind:
    """A way to start a server."""

    name: str
    how: Literal["programs", "container"]
    bin_dir: Path = field(default_factory=bundled)


def _docker_answers() -> bool:
    try:
        client = docker.from_env(timeout=60)
        try:
            client.images.get(IMAGE_15)
        except docker.errors.ImageNotFound:
            client.images.pull(IMAGE_15)
    except docker.errors.DockerException:
        return False
    return True


def available() -> list[Kind]:
    kinds = [Kind("embedded PostgreSQL 18", "programs")]
    if _docker_answers():
        kinds.append(Kind("PostgreSQL 15 in Docker", "container"))
    elif (DEBIAN_15 / "initdb").exists():
        kinds.append(Kind("PostgreSQL 15 from Debian", "programs", DEBIAN_15))
    return kinds


@contextmanager
def start(kind: Kind) -> Iterator[str]:
    """Start a server of this kind; yields the connection string of its administrator, by TCP."""
    if kind.how == "container":
        # Its helper image cannot be had everywhere; the container is stopped here in any case.
        os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
        with PostgresContainer(IMAGE_15, driver=None) as container:
            yield container.get_connection_url()
        return
    home = Path(tempfile.mkdtemp(prefix="ml-tests-"))
    server = Server(home, kind.bin_dir, FAST)
    try:
        server.start()
        yield server.tcp_url("postgres")
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
