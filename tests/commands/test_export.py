"""``ml-worker export``: the file of a model, from the database to where a user wants it."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.conftest import Connection, Database, one, record
from tests.sql.helpers import call, running_job
from tests.sql.test_model_files import FILE, RESULT
from worker.commands.cli import main


@pytest.fixture
def model(client: Connection, worker: Connection) -> tuple[int, str]:
    """Id and name of a model whose file is in the database."""
    job_id = running_job(client, worker)
    call(worker, "store_model_file", job_id, 1, FILE)
    record(worker, job_id, 1, **RESULT)
    row = one(client, "SELECT id, name FROM ml_models WHERE train_job_id = %s", [job_id])
    return row["id"], row["name"]


def export(db: Database, *words: object, login: str = "rosa") -> Result:
    return CliRunner().invoke(main, ["export", *map(str, words)], env={"DATABASE_URL": db.login(login)})


def test_whoever_may_read_a_model_gets_its_file(
    db: Database, model: tuple[int, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model_id, name = model
    result = export(db, name)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"Wrote model_{model_id}.pkl (19 bytes); it says yes above 0.5\n"
    assert export(db, model_id, "other.pkl").exit_code == 0
    assert [Path(file).read_bytes() for file in (f"model_{model_id}.pkl", "other.pkl")] == [FILE, FILE]
    assert export(db, model_id, "-").stdout_bytes == FILE


def test_a_file_that_exists_is_left_alone(db: Database, model: tuple[int, str], tmp_path: Path) -> None:
    file = tmp_path / "model.pkl"
    file.write_text("of the user")
    result = export(db, model[0], file)
    assert result.exit_code == 1
    assert "exists already" in result.stderr
    assert file.read_text() == "of the user"


@pytest.mark.parametrize("wanted", ["none of this name", "0", "9223372036854775808"])
def test_an_unknown_model_is_named(db: Database, wanted: str) -> None:
    result = export(db, wanted)
    assert result.exit_code == 1
    assert f"there is no READY model {wanted}; ml_leaderboard" in result.stderr


def test_a_model_that_is_in_a_folder_alone_is_told_where(
    db: Database, client: Connection, worker: Connection
) -> None:
    job_id = running_job(client, worker)
    record(worker, job_id, 1, **RESULT)
    model_id = one(client, "SELECT id FROM ml_models WHERE train_job_id = %s", [job_id])["id"]
    result = export(db, model_id)
    assert result.exit_code == 1
    assert RESULT["artifact_path"] in result.stderr
    assert "ml-worker verify" in result.stderr
