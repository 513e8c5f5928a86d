"""``ml-worker numbers``: models that were trained before the database kept numbers can be asked as well."""

import copy
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.child.models.test_all import TYPES, defaults, fitted, rows
from tests.conftest import TRAIN, Connection, Database, one
from tests.sql.helpers import INPUTS, TREES, complete, running_job
from worker.child import model_file, models
from worker.child.measuring import predict
from worker.commands.cli import main


@pytest.fixture
def folder(tmp_path: Path, worker: Connection) -> Path:
    return tmp_path / str(one(worker, "SELECT ml_internal.folder_name() AS name")["name"])


def test_models_of_before_get_their_numbers_and_can_be_asked(
    db: Database, client: Connection, worker: Connection, folder: Path
) -> None:
    reference = client.execute("SELECT * FROM ref_model_params ORDER BY model_type, name").fetchall()
    few = {"n_estimators": ("integer", "3"), "max_iter": ("integer", "5")}
    made = {}
    for number, model_type in enumerate([*TYPES, "xgboost"]):
        params = defaults(reference, model_type)
        params |= {name: value for name, value in few.items() if name in params}
        pipeline = fitted(model_type, params, rows(60))
        job_id = running_job(client, worker, **TRAIN | {"train_model_type": model_type})
        model_id = one(client, "SELECT id FROM ml_models WHERE train_job_id = %s", [job_id])["id"]
        path = model_file.path_of(folder, model_id, 1, f"x{number}")
        file = model_file.write(models.for_file(models.load(model_type), pipeline), INPUTS, path)
        complete(worker, job_id, "TRAIN", artifact_path=str(path), artifact_sha256=file.sha256)
        made[model_id] = (pipeline, path)
    lost = max(made)
    made.pop(lost)[1].unlink()
    words, environment = ["numbers", "--model-dir", str(folder.parent)], {"DATABASE_URL": db.login("wanda")}
    for recorded in (len(TYPES), 0):
        result = CliRunner().invoke(main, words, env=environment)
        assert result.exit_code == 1
        said = result.output.splitlines()
        assert said[0].startswith(f"model {lost} (xgboost_job_")
        assert "is missing" in said[0]
        assert said[1].startswith(f"Numbers of {recorded} models in the database")
    row = "price_open=1;price_high=NULL;price_low=0.5;volume_sol=-1"
    for model_id, (pipeline, _) in made.items():
        expected = predict(pipeline, np.array([[1, np.nan, 0.5, -1]], np.float32))
        found = one(client, "SELECT ml.predict(%s, %s) AS p", [model_id, row])["p"]
        assert found == pytest.approx(expected[0], abs=1e-5)


def test_verify_tells_of_a_model_that_the_database_answers_otherwise_for(
    db: Database, client: Connection, worker: Connection, folder: Path
) -> None:

    folder.mkdir()
    for chance in (0.125, 0.1251):
        facts = copy.deepcopy(TREES)
        facts["ml_model_samples"][0]["probability"] = chance
        job_id = running_job(client, worker)
        path = folder / f"model_{job_id}_attempt_1_x.pkl"
        path.write_bytes(b"")
        empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        complete(worker, job_id, "TRAIN", artifact_path=str(path), artifact_sha256=empty, **facts)
    result = CliRunner().invoke(
        main, ["verify", "--model-dir", str(folder.parent)], env={"DATABASE_URL": db.login("wanda")}
    )
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 2
    assert "ml.predict differs by 0.0001 from what its worker said" in result.output.splitlines()[0]
