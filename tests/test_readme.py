"""The README: every command that it shows is run, in its order; its reference and names are right."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.conftest import Database
from tests.readme import README, parts, reference
from worker.commands import sample
from worker.embedded import Server, bundled

ROOT = README.parent
TEXT = README.read_text(encoding="utf-8")
BIN = Path(sys.executable).parent
# Shown, but not run here: the tests themselves, and what takes minutes to build; the tools read them.
DRY = {
    "make test": "make --dry-run test",
    "docker compose": "docker-compose --file docker-compose.yml config",
}


class Block(NamedTuple):
    """A block of code, and the output that is shown below it."""

    language: str
    code: str
    output: str


def blocks() -> list[Block]:
    found = re.findall(r"^```(\w*)\n(.*?)^```\n(?:```\n(.*?)^```\n)?", TEXT, flags=re.MULTILINE | re.DOTALL)
    return [Block(*match) for match in found if match[0]]


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder with a file of metrics, and an environment with a home of its own."""
    folder = Path(tempfile.mkdtemp(prefix="ml-tests-"))
    (folder / "coin_metrics.csv").write_bytes(b"".join(sample.to_csv(sample.make_metrics(15))))
    path = f"{BIN}:{bundled()}:{os.environ['PATH']}"
    environment = os.environ | {"ML_HOME": str(folder / "home"), "PATH": path, "COLUMNS": "120"}
    environment.pop("DATABASE_URL", None)
    yield folder, environment
    Server(folder / "home").stop()
    shutil.rmtree(folder)


def run(command: str, place: tuple[Path, dict[str, str]]) -> subprocess.CompletedProcess[str]:
    folder, environment = place
    if command.startswith("make "):
        command = f"make --directory {ROOT} --old-file setup BIN={BIN} {command.removeprefix('make ')}"
    return subprocess.run(
        ["bash", "-c", command.replace(".venv/bin/", "")],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def words(line: str) -> str:
    return " ".join(line.split())


def assert_shown(block: Block, said: str) -> None:
    """The README shows the same columns, and the same errors word for word; numbers may be of another day."""
    shown = [words(line) for line in block.output.splitlines()]
    lines = {words(line) for line in said.splitlines()}
    if any(line.startswith("ERROR") for line in shown):
        assert set(shown) <= lines, said
    elif len(shown) > 1 and set(shown[1]) <= set("-+ "):
        assert shown[0] in lines, said


def test_every_command_of_the_readme_runs(place: tuple[Path, dict[str, str]]) -> None:
    folder, environment = place
    running: list[subprocess.Popen[bytes]] = []

    def start(command: str) -> None:
        arguments = ["bash", "-c", f"exec {command.replace('.venv/bin/', '')}"]
        running.append(subprocess.Popen(arguments, cwd=folder, env=environment, stderr=subprocess.DEVNULL))

    try:
        for block in blocks():
            if block.language == "console":
                for line in re.sub(r"\\\n\s*", "", block.code).splitlines():
                    command = re.sub(r"\s+# .*", "", line.removeprefix("$ ")).strip()
                    if not line.startswith("$ "):
                        continue
                    dry = next((other for shown, other in DRY.items() if command.startswith(shown)), None)
                    if dry is not None:
                        program = dry.split()[0]
                        if shutil.which(program):
                            checked = subprocess.run(dry.split(), cwd=ROOT, capture_output=True, check=False)
                            assert checked.returncode == 0, checked.stderr
                    elif re.search(r"ml-worker run\b", command):
                        start(command)
                    elif command.startswith("export "):
                        name, _, value = command.removeprefix("export ").partition("=")
                        environment[name] = subprocess.run(
                            ["bash", "-c", f"echo -n {value}"],
                            check=True,
                            env=environment,
                            capture_output=True,
                            text=True,
                        ).stdout
                    else:
                        result = run(command, place)
                        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
            elif block.language == "sql":
                if "DATABASE_URL" not in environment:
                    environment["DATABASE_URL"] = Server(folder / "home").tcp_url("ml_demo")
                    start("ml-worker run")
                arguments = ["ml-worker", "psql", "-X", "-v", "ON_ERROR_STOP=1"]
                psql = subprocess.run(
                    arguments, env=environment, input=block.code, capture_output=True, text=True, check=False
                )
                said = psql.stdout + psql.stderr
                assert psql.returncode == (3 if "ERROR" in block.output else 0), f"{block.code}\n{said}"
                assert_shown(block, said)
    finally:
        for process in running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(60)


def test_every_block_of_the_readme_is_of_a_kind_that_is_run() -> None:
    assert {block.language for block in blocks()} <= {"console", "sql"}
    assert len([block for block in blocks() if block.language == "sql"]) > 5


def test_the_reference_is_that_of_the_catalog(db: Database) -> None:
    with psycopg.connect(db.url, row_factory=dict_row) as connection:
        assert parts(TEXT)[1] == reference(connection), "run: make reference"


def test_each_guarantee_names_a_test_that_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    defined = {
        name
        for file in ROOT.glob("tests/**/test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    }
    assert named - defined == set()
    assert len(named) > 20


def test_the_contents_lead_to_every_section() -> None:
    sections = re.findall(r"^## (.+)$", TEXT, flags=re.MULTILINE)
    contents = TEXT[TEXT.index("**Contents**") : TEXT.index("## The workflow")]
    links = re.findall(r"\]\(#([\w-]+)\)", contents)
    anchors = [re.sub(r"[^\w -]", "", section.lower()).replace(" ", "-") for section in sections]
    assert links == anchors[1:]
