"""``ml-worker verify``: every model's file is there and as it was written, and no other file is left."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.conftest import (
    TRAIN,
    TRAINING_RESULT,
    Connection,
    Database,
    Worker,
    claim,
    insert_job,
    one,
    record,
    wait_for,
)
from worker.commands.cli import main

MakeModel = Callable[..., tuple[int, Path]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "models"
    made.mkdir()
    return made


@pytest.fixture
def make_model(client: Connection, worker: Connection, folder: Path) -> MakeModel:
    """Makes a model with a file, recorded as some worker saw it; gives its id and the file."""

    def make(name: str, recorded_in: Path | None = None) -> tuple[int, Path]:
        job_id = insert_job(client, **TRAIN)
        assert claim(worker)["id"] == job_id
        model_id = one(client, "SELECT id FROM ml_models WHERE train_job_id = %s", [job_id])["id"]
        file = folder / f"model_{model_id}_attempt_1_{name}.pkl"
        file.write_bytes(name.encode())
        result: dict[str, Any] = TRAINING_RESULT | {
            "artifact_path": str((recorded_in or folder) / file.name),
            "artifact_sha256": hashlib.sha256(name.encode()).hexdigest(),
        }
        record(worker, job_id, 1, **result)
        return model_id, file

    return make


def verify(db: Database, folder: Path, *options: str, login: str = "wanda") -> tuple[int, str]:
    """Exit code and output, run as the worker's login."""
    words = ["verify", "--model-dir", str(folder), *options]
    result = CliRunner().invoke(main, words, env={"DATABASE_URL": db.login(login)})
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result.exit_code, result.output


def test_all_is_well_where_every_file_is_as_it_was_written(
    db: Database, client: Connection, make_model: MakeModel, folder: Path
) -> None:
    make_model("a")
    make_model("b", recorded_in=Path("/as/another/worker/saw/it"))
    deleted, _ = make_model("c")
    client.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [deleted])
    (folder / "notes.txt").write_text("of no concern")
    code, said = verify(db, folder, "--remove")
    assert (code, said.count("\n")) == (0, 1)
    assert said.startswith("3 models in the database")
    assert len(list(folder.iterdir())) == 4


def test_a_missing_and_an_altered_file_are_named_with_their_models(
    db: Database, make_model: MakeModel, folder: Path
) -> None:
    missing, lost = make_model("a")
    altered, changed = make_model("b")
    make_model("c")
    lost.unlink()
    changed.write_bytes(b"altered")
    code, said = verify(db, folder, "--remove")
    lines = said.splitlines()
    assert code == 1
    assert lines[0].startswith(f"model {missing} (logistic_regression_")
    assert f"the model file {lost} is missing" in lines[0]
    assert lines[1].startswith(f"model {altered} (logistic_regression_")
    assert f"the model file {changed} was altered" in lines[1]
    assert "missing or altered: 2; files of no model" in lines[2]
    assert changed.exists()


def test_a_file_that_no_model_owns_is_listed_and_removed_on_request(
    db: Database, make_model: MakeModel, folder: Path
) -> None:
    model_id, file = make_model("a")
    orphans = [folder / f"model_{model_id}_attempt_2_x.pkl", folder / "model_99_attempt_1_y.unfinished"]
    for orphan in orphans:
        orphan.touch()
    code, said = verify(db, folder)
    assert code == 1
    assert [f"{orphan} belongs to no model" in said for orphan in orphans] == [True, True]
    assert all(orphan.exists() for orphan in orphans)
    code, said = verify(db, folder, "--remove")
    assert code == 0
    assert said.count("belongs to no model and was removed") == 2
    assert list(folder.iterdir()) == [file]
    assert verify(db, folder)[0] == 0


def test_the_file_of_a_pruned_model_belongs_to_none(
    db: Database, owner: Connection, client: Connection, make_model: MakeModel, folder: Path
) -> None:
    model_id, file = make_model("a")
    client.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [model_id])
    owner.execute("CALL ml.prune('0 seconds')")
    assert f"{file} belongs to no model" in verify(db, folder)[1]


def test_the_file_of_a_running_attempt_is_left_alone(
    db: Database, client: Connection, worker: Connection, folder: Path
) -> None:
    job_id = insert_job(client, **TRAIN)
    assert claim(worker)["id"] == job_id
    model_id = one(client, "SELECT id FROM ml_models WHERE train_job_id = %s", [job_id])["id"]
    file = folder / f"model_{model_id}_attempt_1_x.unfinished"
    file.touch()
    assert verify(db, folder, "--remove")[0] == 0
    assert file.exists()
    client.execute("CALL ml.cancel_job(%s)", [job_id])
    assert verify(db, folder, "--remove")[0] == 0
    assert not file.exists()


def test_the_models_of_all_teams_are_seen(
    db: Database, owner: Connection, make_model: MakeModel, folder: Path
) -> None:
    _, file = make_model("a")
    owner.execute("CALL ml.separate_teams(true)")
    assert verify(db, folder, "--remove")[0] == 0
    assert file.exists()


def test_a_login_that_might_not_see_all_models_may_not_verify(db: Database, folder: Path) -> None:
    orphan = folder / "model_1_attempt_1_x.pkl"
    orphan.touch()
    code, said = verify(db, folder, "--remove", login="anna")
    assert code == 1
    assert "GRANT ml_worker" in said
    assert orphan.exists()


def test_what_a_worker_writes_is_what_verify_expects(
    db: Database, client: Connection, start_worker: Callable[..., Worker]
) -> None:
    worker = start_worker(db)
    assert wait_for(client, insert_job(client, **TRAIN))["status"] == "COMPLETED"
    assert verify(db, worker.model_dir)[0] == 0
    (file,) = worker.model_dir.glob("*.pkl")
    file.rename(file.with_name(f"{file.stem}x.pkl"))
    code, said = verify(db, worker.model_dir)
    assert code == 1
    assert "missing or altered: 1; " in said
    assert f"in {worker.model_dir}: 1\n" in said
