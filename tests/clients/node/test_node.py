"""node-postgres, by a program of its own; the driver is installed once into the cache of the tests."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.steps import Notes, Service, Steps, run_program

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None, reason="there is no node and npm here"
)


@pytest.fixture(scope="module")
def notes(service: Service, pytestconfig: pytest.Config) -> Notes:
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("node-postgres")
    if not (folder / "node_modules" / "pg").exists():
        shutil.copy(HERE / "package.json", folder)
        command = ["npm", "install", "--prefix", str(folder), "--no-package-lock", "--no-audit", "--no-fund"]
        installed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if installed.returncode:
            pytest.skip(f"npm could not install pg: {installed.stderr[-500:]}")
    environment = os.environ | {"NODE_PATH": str(folder / "node_modules")}
    return run_program(service, ["node", str(HERE / "client.js")], environment)


class TestNode(Steps):
    pass
