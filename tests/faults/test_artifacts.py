"""Disks and files that fail: a clear message, no READY model without its file, and a worker that lives on."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from tests.conftest import (
    TRAIN,
    Connection,
    Database,
    Worker,
    insert_job,
    is_stopped,
    job_row,
    until,
    wait_for,
)
from tests.sql.helpers import COMPARE_PERIOD, TEST_PERIOD, complete, running_job
from worker.child import model_file

StartWorker = Callable[..., Worker]
FOREST = TRAIN | {"train_model_type": "random_forest", "train_params_csv": "n_estimators=30"}
FEATURES = TRAIN["train_features_csv"].split(",")


def assert_every_ready_model_has_its_file(client: Connection, model_dir: Path, number: int) -> None:
    rows = client.execute(
        """SELECT m.model_file_path, r.artifact_path, r.artifact_sha256, r.artifact_bytes
        FROM ml_models m LEFT JOIN ml_training_runs r ON r.model_id = m.id WHERE m.status = 'READY'"""
    ).fetchall()
    assert len(rows) == number
    for row in rows:
        found = Path(row["model_file_path"]).read_bytes()
        assert row["model_file_path"] == row["artifact_path"]
        assert (hashlib.sha256(found).hexdigest(), len(found)) == (
            row["artifact_sha256"],
            row["artifact_bytes"],
        )
    assert {str(path) for path in model_dir.iterdir()} == {row["artifact_path"] for row in rows}


# ── A folder that cannot be written ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("harm", ["read-only", "a file in its place", "a file above it"])
def test_a_folder_that_cannot_be_written_is_refused_at_start(db: Database, tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "models"
    command = [sys.executable, "-m", "worker", "run", "--model-dir"]
    if harm == "read-only":
        folder.mkdir(mode=0o500)
        if os.geteuid() == 0:  # root without the right to write everywhere
            command = ["setpriv", "--bounding-set", "-dac_override", *command]
    else:
        folder.write_text("")
        folder = folder / "deep" if harm == "a file above it" else folder
    result = subprocess.run(
        [*command, str(folder)],
        env=os.environ | {"DATABASE_URL": db.login("wanda")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    assert f"Error: no model file can be written in {folder}: " in result.stderr
    assert "choose another folder with ML_MODEL_DIR" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_worker_lives_on_where_it_cannot_remove_a_file(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    db = make_database()
    worker = start_worker(db, saboteur=("before:record_result", "stop"))
    with db.connect("anna") as client:
        job_id = insert_job(client, **TRAIN)
        until(lambda: is_stopped(worker.process.pid), "a result that waits to be recorded")
        client.execute("CALL ml.cancel_job(%s)", [job_id])
        (path,) = worker.model_dir.iterdir()
        path.unlink()
        path.mkdir()
        until(lambda: job_row(client, job_id)["status"] == "CANCELLED", "the cancel")
        worker.process.send_signal(signal.SIGCONT)
        assert wait_for(client, insert_job(client, **TRAIN))["status"] == "COMPLETED"
        assert f"job={job_id} attempt=1 its files stay: " in worker.log
        path.rmdir()
        assert_every_ready_model_has_its_file(client, worker.model_dir, 1)


# ── A file that cannot be used ──────────────────────────────────────────────────────────────────────


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def swap(path: Path) -> None:
    path.write_bytes((path.parent / "another.pkl").read_bytes())


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def leave(_: Path) -> None:
    """The file is as it was recorded."""


@dataclass(frozen=True)
class Case:
    """What a model's file was when it was recorded (None: a model), what became of it, and what is said."""

    content: bytes | None
    harm: Callable[[Path], None]
    says: tuple[str, ...]


UNREADABLE = ("cannot be read: Is a directory", "let the worker's user read it, or train the model again")
ALTERED = ("was altered: its SHA-256 is ", "restore it, or train the model again")
UNUSABLE = ("is as it was recorded, but this worker's libraries cannot load", "; train the model again")
CASES = {
    "unreadable": Case(None, replace_by_folder, UNREADABLE),
    "truncated": Case(None, truncate, ALTERED),
    "swapped": Case(None, swap, ALTERED),
    "altered": Case(None, alter, ALTERED),
    "missing": Case(None, Path.unlink, ("is missing; restore it, or train the model again",)),
    "no pickle": Case(b"\x00 no pickle", leave, UNUSABLE),
}
JOBS = [
    ("TEST", "unreadable"),
    ("TEST", "truncated"),
    ("TEST", "swapped"),
    ("TEST", "no pickle"),
    ("COMPARE", "altered"),
    ("COMPARE", "missing"),
]


def make_file(path: Path, content: bytes | None) -> model_file.Artifact:
    if content is not None:
        path.write_bytes(content)
        return model_file.Artifact(path, hashlib.sha256(content).hexdigest(), len(content))
    rows = np.arange(40.0).reshape(10, len(FEATURES))
    steps = [("impute", SimpleImputer()), ("model", LogisticRegression())]
    model = Pipeline(steps).fit(rows, rows[:, 0] > 20)
    return model_file.write(model, path)


@pytest.fixture(scope="module")
def outcomes(
    make_database: Callable[[], Database],
    start_worker: StartWorker,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, dict[str, Any]]:
    """Row of each job, and of a TEST of a healthy model at the end."""
    db, folder = make_database(), tmp_path_factory.mktemp("models")
    make_file(folder / "another.pkl", b"another model")
    with db.connect("anna") as client, db.connect("wanda") as recorder:

        def record(name: str, content: bytes | None) -> int:
            file = make_file(folder / f"{name}.pkl", content)
            job_id = running_job(client, recorder)
            complete(recorder, job_id, "TRAIN", artifact_path=str(file.path), artifact_sha256=file.sha256)
            return int(job_row(client, job_id)["result_model_id"])

        healthy = record("healthy", None)
        models = {name: record(name, case.content) for name, case in CASES.items()}
        for name, case in CASES.items():
            case.harm(folder / f"{name}.pkl")
        jobs = {}
        for job_type, name in [*JOBS, ("TEST", "healthy")]:
            model = models.get(name, healthy)
            pair = {"compare_model_a_id": healthy, "compare_model_b_id": model, **COMPARE_PERIOD}
            fields = {"test_model_id": model, **TEST_PERIOD} if job_type == "TEST" else pair
            jobs[f"{job_type} {name}"] = insert_job(client, job_type=job_type, **fields)
        worker = start_worker(db, "--concurrency", "2", model_dir=folder)
        rows = {name: wait_for(client, job_id) for name, job_id in jobs.items()}
        worker.stop()
        return rows


@pytest.mark.parametrize(("job_type", "harm"), JOBS)
def test_a_file_that_cannot_be_used_fails_the_job_with_what_to_do(
    outcomes: dict[str, dict[str, Any]], job_type: str, harm: str
) -> None:
    job = outcomes[f"{job_type} {harm}"]
    assert (job["status"], job["attempt"]) == ("FAILED", 1)
    for words in ("the model file ", f"/{harm}.pkl", *CASES[harm].says):
        assert words in job["error_msg"]


def test_a_model_beside_files_that_cannot_be_used_is_tested(outcomes: dict[str, dict[str, Any]]) -> None:
    job = outcomes["TEST healthy"]
    assert job["status"] == "COMPLETED", job["error_msg"]
