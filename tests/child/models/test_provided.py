"""A type of model is one file of SQL and one of Python, also of another distribution."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.child.models.test_all import TYPES, names_in, rows, write
from tests.conftest import TRAIN, Connection, Database, Worker, insert_job, job_row, one, wait_for
from tests.sql.helpers import TEST_PERIOD, refused
from worker.child import fitting, memory, models
from worker.errors import JobError


def test_the_types_that_come_with_the_worker_are_its_files() -> None:
    assert models.names() == set(TYPES)


def test_a_type_that_another_distribution_provides_is_made_fitted_and_asked_for_its_memory(
    provide: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(JobError, match="this worker has no model type extra_trees, only gradient_boosting, "):
        models.load("extra_trees")
    provide("ml_worker.models", "tests.child.models.extra_trees")
    assert models.names() == {*TYPES, "extra_trees"}
    extra_trees = models.load("extra_trees")

    features, labels = rows(missing=0)
    pipeline = extra_trees.make({"n_estimators": 5}, 42, 1)
    told: list[tuple[float, str]] = []
    assert fitting.fit(extra_trees, pipeline, features, labels, lambda *said: told.append(said)) == []
    assert told[-1] == (1, "Training: 5/5 trees")
    assert len(told) == 5
    assert (pipeline.predict(features) == labels).mean() > 0.9
    assert extra_trees.engine(pipeline[-1]) == "scikit-learn"
    file = Path(str(write("extra_trees", pipeline, tmp_path).artifact_path))
    assert names_in(file, monkeypatch) <= extra_trees.NAMES

    monkeypatch.setattr(memory, "available", lambda: 10**9)
    monkeypatch.setattr(memory, "capacity", lambda: 10**9)
    memory.require("TO_PREDICT", {"extra_trees"}, 1_000_000, 10)
    with pytest.raises(JobError, match=r"about 10\.2 GB .* or the model type xgboost \(0\.1 GB\)"):
        memory.require("TO_TRAIN", {"extra_trees", "xgboost"}, 1_000_000, 10)


def test_a_worker_trains_and_tests_a_type_that_another_distribution_provides(
    db: Database,
    owner: Connection,
    client: Connection,
    tmp_path: Path,
    provide: Callable[[str, str], None],
    start_worker: Callable[..., Worker],
) -> None:
    fields = TRAIN | {"train_model_type": "extra_trees", "train_params_csv": "n_estimators=7"}
    with refused("23514", "train_model_type 'extra_trees' is unknown"):
        insert_job(client, **fields)
    owner.execute(Path(__file__).with_name("extra_trees.sql").read_bytes())
    with refused("23514", "hyperparameter n_estimators cannot be '0'", "an integer from 1 to 10000"):
        insert_job(client, **fields | {"train_params_csv": "n_estimators=0"})
    job_id = insert_job(client, **fields)
    provide("ml_worker.models", "tests.child.models.extra_trees")
    start_worker(db, PYTHONPATH=str(tmp_path))
    wait_for(client, job_id, "COMPLETED")
    model_id = job_row(client, job_id)["result_model_id"]
    assert one(client, "SELECT params_csv FROM ml_models WHERE id = %s", [model_id]) == {
        "params_csv": "n_estimators=7"
    }
    wait_for(client, insert_job(client, job_type="TEST", test_model_id=model_id, **TEST_PERIOD), "COMPLETED")
