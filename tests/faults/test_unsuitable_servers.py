"""Servers that a worker cannot work with are refused at its start, with what to do."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from worker.embedded import Server
from worker.install import install


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
