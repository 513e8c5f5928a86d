"""The documents: every command that they show is run, in the order of the page, as a newcomer would.

All go to one database in one fresh home: first those of the README, then those of the documents that it
leads to. The reference and the names of tests are right.
"""

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

import pandas as pd
import psycopg
import pytest
from psycopg.rows import dict_row

from tests.conftest import Database
from tests.readme import README, REFERENCE, parts, reference
from worker.commands import sample
from worker.embedded import Server, bundled

ROOT = README.parent
DOCUMENTS = [README, *(ROOT / name / "README.md" for name in ("sql", "worker", "tests"))]
TEXTS = {file: file.read_text(encoding="utf-8") for file in DOCUMENTS}
BIN = Path(sys.executable).parent
# Shown, but not run here: the tests themselves, and what takes minutes to build; the tools read them.
DRY = {
    "make test": "make --dry-run test",
    "make lint": "make --dry-run lint",
    "docker compose": "docker-compose --file docker-compose.yml config",
}


class Block(NamedTuple):
    """A block of code, and the output that is shown below it."""

    language: str
    code: str
    output: str


def blocks(text: str) -> list[Block]:
    found = re.findall(r"^```(\w*)\n(.*?)^```\n(?:```\n(.*?)^```\n)?", text, flags=re.MULTILINE | re.DOTALL)
    return [Block(*match) for match in found if match[0]]


def own_metrics() -> bytes:
    """A user's file: other coins than the sample's, a year earlier."""
    metrics = sample.make_metrics(40, seed=1)
    metrics["mint"] = metrics["mint"].str.replace("SAMPLE", "OWN")
    times = pd.to_datetime(metrics["timestamp"], format="ISO8601") - pd.Timedelta(days=365)
    metrics["timestamp"] = times.dt.strftime("%Y-%m-%d %H:%M:%S.%f+00")
    return b"".join(sample.to_csv(metrics))


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder with a file of metrics, and an environment with a home of its own."""
    folder = Path(tempfile.mkdtemp(prefix="ml-tests-"))
    (folder / "coin_metrics.csv").write_bytes(own_metrics())
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


def commands(block: Block) -> Iterator[str]:
    """The commands of a block of a console, without their comments and what they print."""
    for line in re.sub(r"\\\n\s*", "", block.code).splitlines():
        if line.startswith("$ "):
            yield re.sub(r"\s+# .*", "", line.removeprefix("$ ")).strip()


def test_every_command_of_the_documents_runs(place: tuple[Path, dict[str, str]]) -> None:
    folder, environment = place
    running: list[subprocess.Popen[bytes]] = []
    try:
        for block in (block for text in TEXTS.values() for block in blocks(text)):
            if block.language == "sql":
                psql = subprocess.run(
                    ["ml-worker", "psql", "-X", "-v", "ON_ERROR_STOP=1"],
                    env=environment,
                    input=block.code,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                said = psql.stdout + psql.stderr
                assert psql.returncode == (3 if "ERROR" in block.output else 0), f"{block.code}\n{said}"
                assert_shown(block, said)
                continue
            if block.language == "python":
                url = {"DATABASE_URL": Server(Path(environment["ML_HOME"])).url()}
                python = subprocess.run(
                    [sys.executable, "-c", block.code],
                    cwd=folder,
                    env=environment | url,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert python.returncode == 0, f"{block.code}\n{python.stderr}"
                continue
            for command in commands(block) if block.language == "console" else ():
                dry = next((other for shown, other in DRY.items() if command.startswith(shown)), None)
                if dry is not None:
                    if shutil.which(dry.split()[0]):
                        checked = subprocess.run(dry.split(), cwd=ROOT, capture_output=True, check=False)
                        assert checked.returncode == 0, checked.stderr
                elif re.search(r"ml-worker run\b", command):
                    arguments = ["bash", "-c", f"exec {command.replace('.venv/bin/', '')}"]
                    running.append(
                        subprocess.Popen(arguments, cwd=folder, env=environment, stderr=subprocess.DEVNULL)
                    )
                else:
                    result = run(command, place)
                    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    finally:
        for process in running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(60)


def test_the_page_sells_on_one_page_and_shows_no_other_kind_of_block() -> None:
    assert len(TEXTS[README].splitlines()) <= 190
    for text in TEXTS.values():
        assert {block.language for block in blocks(text)} <= {"console", "sql", "python"}
    assert len([block for block in blocks(TEXTS[README]) if block.language == "sql"]) >= 5


def test_the_reference_is_that_of_the_catalog(db: Database) -> None:
    with psycopg.connect(db.url, row_factory=dict_row) as connection:
        assert parts(REFERENCE.read_text(encoding="utf-8"))[1] == reference(connection), "run: make reference"


def test_each_guarantee_names_a_test_that_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", TEXTS[ROOT / "tests" / "README.md"]))
    defined = {
        name
        for file in ROOT.glob("tests/**/test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    }
    assert named - defined == set()
    assert len(named) > 20


def test_every_link_leads_to_a_file() -> None:
    for file, text in TEXTS.items():
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (file.parent / target).is_file(), f"{file}: {target}"
