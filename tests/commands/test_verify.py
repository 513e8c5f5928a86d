"""``ml-worker verify``: every model's file is there and as it was written, and no other file is left."""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

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
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


def folder_in(root: Path, worker: Connection) -> Path:
    """The folder of the worker's database."""
    made = root / str(one(worker, "SELECT ml_internal.folder_name() AS name")["name"])
    made.mkdir(parents=True, exist_ok=True)
    return made


@pytest.fixture
def folder(root: Path, worker: Connection) -> Path:
    return folder_in(root, worker)


@pytest.fixture
def make_model(client: Connection, worker: Connection, folder: Path) -> MakeModel:
    return maker(client, worker, folder)


def maker(client: Connection, worker: Connection, folder: Path) -> MakeModel:
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
    """Exit code and output, run as the worker's login on the folder that holds this one."""
    words = ["verify", "--model-dir", str(folder.parent), *options]
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
    assert "missing or altered: 2; stored in the database: 1; files of no model" in lines[2]
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
    (file,) = worker.files
    assert file.parent.parent == worker.model_dir
    assert verify(db, file.parent)[0] == 0
    content = file.read_bytes()
    file.rename(file.with_name(f"{file.stem}x.pkl"))
    code, said = verify(db, file.parent)
    assert code == 1
    assert f"{file} is missing in" in said
    assert f"written again to {file}" in said
    assert "missing or altered: 0; written again: 1; " in said
    assert f"in {file.parent}: 1\n" in said
    assert file.read_bytes() == content
    file.write_bytes(b"altered")
    assert "written again: 1; " in verify(db, file.parent, "--remove")[1]
    assert verify(db, file.parent) == (0, verify(db, file.parent)[1])
    assert file.read_bytes() == content


def test_files_of_other_databases_in_the_same_folder_are_left_alone(
    make_database: Callable[[], Database], root: Path
) -> None:
    """Of models with the same numbers, and of files that an attempt left, in either."""
    made = []
    for _ in range(2):
        db = make_database()
        with db.connect("anna") as client, db.connect("wanda") as worker:
            folder = folder_in(root, worker)
            _, file = maker(client, worker, folder)("a")
        orphan = folder / "model_99_attempt_1_y.pkl"
        orphan.touch()
        made.append((db, folder, file, orphan))
    assert made[0][1] != made[1][1]
    assert made[0][2].name == made[1][2].name
    before = root / "model_1_attempt_1_z.pkl"  # as workers before version 6 wrote, of whichever database
    before.touch()
    (db, folder, file, orphan), (_, _, others_file, others_orphan) = made
    code, said = verify(db, folder, "--remove")
    assert code == 0
    assert (
        said.count("belongs to no model") == said.count(f"{orphan} belongs to no model and was removed") == 1
    )
    assert not orphan.exists()
    assert all(path.exists() for path in (file, others_file, others_orphan, before))


def test_the_model_of_a_worker_before_databases_had_folders_is_found(
    db: Database, client: Connection, worker: Connection, folder: Path
) -> None:
    maker(client, worker, folder.parent)("a")
    code, said = verify(db, folder)
    assert code == 0, said


def test_a_database_keeps_its_folder_when_it_is_renamed_and_a_copy_has_another(
    make_database: Callable[[], Database],
) -> None:
    db = make_database()
    name = str(conninfo_to_dict(db.url)["dbname"])

    def folder_of(dbname: str) -> str:
        with psycopg.connect(db.login("wanda"), dbname=dbname, row_factory=dict_row) as worker:
            return str(one(worker, "SELECT ml_internal.folder_name() AS name")["name"])

    found = folder_of(name)
    assert re.fullmatch("database_[0-9a-f]{16}", found)
    renamed, copy = (sql.Identifier(f"{name}_{what}") for what in ("renamed", "copy"))
    with psycopg.connect(db.url, dbname="postgres", autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), renamed))
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(copy, renamed))
        try:
            assert folder_of(f"{name}_renamed") == found
            assert folder_of(f"{name}_copy") != found
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(copy))
            admin.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(renamed, sql.Identifier(name)))


def test_a_file_that_is_none_is_named_and_not_waited_for(
    db: Database, make_model: MakeModel, folder: Path
) -> None:
    model_id, file = make_model("a")
    file.unlink()
    os.mkfifo(file)
    code, said = verify(db, folder)
    assert code == 1
    assert f"model {model_id} (" in said
    assert "it is a pipe, not a file" in said


def test_no_hash_is_told(db: Database, make_model: MakeModel, folder: Path) -> None:
    _, file = make_model("a")
    file.write_bytes(b"altered")
    assert hashlib.sha256(b"altered").hexdigest() not in verify(db, folder)[1]
