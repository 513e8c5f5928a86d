"""Disks and files that fail: a clear message, no READY model without its file, and a worker that lives on."""

import hashlib
import os
import pickle
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
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
    one,
    until,
    wait_for,
)
from tests.sql.helpers import COMPARE_PERIOD, TEST_PERIOD, complete, running_job
from worker.child import libraries, model_file

StartWorker = Callable[..., Worker]
FOREST = TRAIN | {"train_model_type": "random_forest", "train_params_csv": "n_estimators=30"}
FEATURES = TRAIN["train_features_csv"].split(",")
HERE = libraries.to_csv()


def folder_of(db: Database, root: Path) -> Path:
    """The folder of a database in that of all model files."""
    with db.connect("wanda") as worker:
        return root / str(one(worker, "SELECT ml_internal.folder_name() AS name")["name"])


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
    found_files = {str(path) for path in model_dir.rglob("*") if path.is_file()}
    assert found_files == {row["artifact_path"] for row in rows}


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
        (path,) = worker.files
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


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_link(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


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


class Trap:
    """Unpickling this makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.path),))


def model_of(features: Sequence[str], model: Any = None) -> Pipeline:
    rows = np.arange(10.0 * len(features)).reshape(10, len(features)).astype(np.float32)
    steps = [("impute", SimpleImputer()), ("model", model or LogisticRegression())]
    return Pipeline(steps).fit(rows, rows[:, 0] > rows[:, 0].mean())


def write_good(path: Path) -> None:
    model_file.write(model_of(FEATURES), FEATURES, path)


def write_trap(path: Path) -> None:
    joblib.dump(Trap(path.with_name("sprung")), path)


def write_trap_in_an_array(path: Path) -> None:
    joblib.dump(np.array([Trap(path.with_name("sprung"))], dtype=object), path)


def write_bomb(path: Path) -> None:
    """Who inflates it has a thousand times as much."""
    joblib.dump(np.zeros(20_000_000), path, compress=("zlib", 9))


def write_array_bomb(path: Path) -> None:
    """It says that an array of 8 TB follows."""
    joblib.dump(np.zeros(1_000_000), path)
    content = path.read_bytes()
    path.write_bytes(
        content.replace(pickle.BININT + struct.pack("<i", 1_000_000), pickle.BININT + b"\xff\xff\xff\x7f")
    )


def write_half(path: Path) -> None:
    write_good(path)
    truncate(path)


def write_another_type(path: Path) -> None:
    model_file.write(model_of(FEATURES, HistGradientBoostingClassifier(max_iter=2)), FEATURES, path)


def write_fewer_features(path: Path) -> None:
    model_file.write(model_of(FEATURES[:2]), FEATURES[:2], path)


def write_swapped_features(path: Path) -> None:
    model_file.write(model_of(FEATURES), FEATURES[::-1], path)


@dataclass(frozen=True)
class Case:
    """How a model's file was written and recorded, what became of it, and what is said."""

    write: Callable[[Path], None]
    harm: Callable[[Path], None]
    says: tuple[str, ...]
    record_as: str = "{folder}/{name}.pkl"


RESTORE = "restore it, or train the model again"
UNUSABLE = "is as it was recorded, but this worker's libraries cannot load a model from it"
CASES = {
    "a_folder": Case(write_good, replace_by_folder, ("it is a folder, not a file", RESTORE)),
    "a_pipe": Case(write_good, replace_by_pipe, ("it is a pipe, not a file", RESTORE)),
    "a_link": Case(write_good, replace_by_link, ("it is a symbolic link, not a file", RESTORE)),
    "truncated": Case(write_good, truncate, ("was altered", RESTORE)),
    "swapped": Case(write_good, swap, ("was altered", RESTORE)),
    "altered": Case(write_good, alter, ("was altered", RESTORE)),
    "missing": Case(write_good, Path.unlink, ("is missing", RESTORE)),
    "outside": Case(write_good, leave, ("is missing", RESTORE), "{folder}/../outside/{name}.pkl"),
    "of_the_machine": Case(write_good, leave, ("is missing", RESTORE), "/etc/passwd"),
    "model_999999_attempt_1_x": Case(write_good, leave, ("is that of model 999999", RESTORE)),
    "trap": Case(write_trap, leave, (UNUSABLE, "refers to", "train the model again")),
    "trap_in_an_array": Case(write_trap_in_an_array, leave, (UNUSABLE, "train the model again")),
    "bomb": Case(write_bomb, leave, (UNUSABLE, "no model's pickle", "train the model again")),
    "array_bomb": Case(write_array_bomb, leave, (UNUSABLE, "an array", "train the model again")),
    "half": Case(write_half, leave, (UNUSABLE, "ends too early", "train the model again")),
    "another_type": Case(
        write_another_type, leave, (UNUSABLE, "no model of its type", "train the model again")
    ),
    "fewer_features": Case(
        write_fewer_features, leave, (UNUSABLE, "2 features, not 4", "train the model again")
    ),
    "swapped_features": Case(
        write_swapped_features, leave, (UNUSABLE, "other features", "train the model again")
    ),
}
COMPARED = ("altered", "trap", "a_pipe")  # the others by a TEST


@pytest.fixture(scope="module")
def outcomes(
    make_database: Callable[[], Database],
    start_worker: StartWorker,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """Row of each job, of a TEST of a healthy model and of one of another version; and what else there is."""
    db, root = make_database(), tmp_path_factory.mktemp("models")
    folder = folder_of(db, root)
    folder.mkdir()
    (folder / "another.pkl").write_bytes(b"another model")
    (root / "outside").mkdir()
    with db.connect("anna") as client, db.connect("wanda") as recorder:

        def record(name: str, case: Case, made_by: str = HERE) -> int:
            path = Path(case.record_as.format(folder=folder, name=name))
            if path.parent in (folder, folder / ".." / "outside"):
                case.write(path)
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            job_id = running_job(client, recorder)
            complete(
                recorder,
                job_id,
                "TRAIN",
                artifact_path=str(path),
                artifact_sha256=sha256,
                library_versions_csv=made_by,
            )
            return int(job_row(client, job_id)["result_model_id"])

        good = Case(write_good, leave, ())
        healthy = record("healthy", good)
        older = record("older", good, "python=3.11.7;scikit-learn=1.5.0;xgboost=2.1.0")
        models = {name: record(name, case) for name, case in CASES.items()}
        for name, case in CASES.items():
            case.harm(folder / f"{name}.pkl")
        jobs = {}
        for name, model in (models | {"healthy": healthy, "older": older}).items():
            pair = {"compare_model_a_id": healthy, "compare_model_b_id": model, **COMPARE_PERIOD}
            if name in COMPARED or name == "older":
                jobs[f"COMPARE {name}"] = insert_job(client, job_type="COMPARE", **pair)
            if name not in COMPARED:
                jobs[name] = insert_job(client, job_type="TEST", test_model_id=model, **TEST_PERIOD)
        worker = start_worker(db, "--concurrency", "2", model_dir=root)
        rows = {name: wait_for(client, job_id) for name, job_id in jobs.items()}
        worker.stop()
        results = {
            table: client.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()
            for table in ("ml_test_results", "ml_comparisons")
        }
        report = client.execute("SELECT * FROM ml.report(%s) AS line", [older]).fetchall()
        return rows | results | {"older model": older, "folder": folder, "report": report}


@pytest.mark.parametrize("harm", CASES)
def test_a_file_that_cannot_be_used_fails_the_job_with_what_to_do(
    outcomes: dict[str, Any], harm: str
) -> None:
    job = outcomes[f"COMPARE {harm}" if harm in COMPARED else harm]
    assert (job["status"], job["attempt"]) == ("FAILED", 1)
    for words in ("the model file ", *CASES[harm].says):
        assert words in job["error_msg"]
    assert not re.search("[0-9a-f]{64}", job["error_msg"])


def test_nothing_in_a_hostile_file_is_executed(outcomes: dict[str, Any]) -> None:
    folder = outcomes["folder"]
    assert not (folder / "sprung").exists()
    joblib.load(folder / "trap.pkl")  # whoever reads it otherwise: the trap works
    assert (folder / "sprung").exists()


def test_a_model_beside_files_that_cannot_be_used_is_tested(outcomes: dict[str, Any]) -> None:
    job = outcomes["healthy"]
    assert job["status"] == "COMPLETED", job["error_msg"]
    assert "scikit-learn" not in job["progress_msg"]


def test_a_result_says_that_its_model_was_made_by_other_versions(outcomes: dict[str, Any]) -> None:
    model = outcomes["older model"]
    here = libraries.versions()
    note = (
        f"model {model} may predict otherwise than when it was trained: it was made by scikit-learn 1.5.0, "
        f"xgboost 2.1.0, and this worker has scikit-learn {here['scikit-learn']}, xgboost {here['xgboost']}; "
        "train it again to be sure"
    )
    of_others = {row["note"] for row in outcomes["ml_test_results"] if row["model_id"] != model}
    assert of_others == {None}
    assert [row["note"] for row in outcomes["ml_test_results"] if row["model_id"] == model] == [note]
    assert [row["note"] for row in outcomes["ml_comparisons"]] == [note]
    for job in ("older", "COMPARE older"):
        assert note in outcomes[job]["progress_msg"]
    assert "\n".join(str(row["line"]) for row in outcomes["report"]).count(note) == 2
