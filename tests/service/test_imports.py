"""What is imported where: nothing for ML in the supervisor, and all of it in a child before its job comes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import TRAIN, Connection, Database, insert_job, job_row, until, wait_for

# Ends as a worker does, and says then what it has imported.
SUPERVISOR = """
import atexit, sys
from worker.commands.cli import main
atexit.register(lambda: print(*{name.partition(".")[0] for name in sys.modules}))
main()
"""
# Does all jobs that wait as a child does one, and says for each what it had to import.
CHILD = """
import sys
from datetime import timedelta
from worker.child import attempt
from worker.database import queue
from worker.database.connection import connect
from worker.protocol import Order
url, models = sys.argv[1:]
ahead = attempt.get_ready(url)
known = set(sys.modules)
with connect(url, role="ml_worker") as connection:
    while job := queue.claim_job(connection, "w", timedelta(hours=1), ["TRAIN", "TEST", "COMPARE"]):
        outcome = attempt.attempt(Order(job, models, "token", 1, False), url, ahead, lambda *_: None)
        print(job.id, *set(sys.modules) - known)
        queue.record_result(connection, job, outcome.result)
"""
FOR_JOBS = {"joblib", "matplotlib", "numpy", "pandas", "scipy", "sklearn", "threadpoolctl", "xgboost"}
FOR_OTHER_COMMANDS = {"jinja2", "prometheus_client", "rich"}
SMALL = {
    "random_forest": "n_estimators=10",
    "xgboost": "n_estimators=5",
    "gradient_boosting": "n_estimators=5",
    "logistic_regression": "max_iter=10",
    "neural_network": "max_iter=2",
}

# Imports all that may be imported without ML, and says what that has imported.
FREE = """
import importlib, pkgutil, sys
import worker.child.kinds, worker.child.models, worker.model_folder, worker.protocol, worker.service
from worker.database import jobs, queue, reading, schema
for module in pkgutil.iter_modules(worker.service.__path__):
    importlib.import_module(f"worker.service.{module.name}")
print(*worker.child.kinds.names() | worker.child.models.names())
print(*{name.partition(".")[0] for name in sys.modules})
"""


def test_the_service_imports_no_ml_and_can_name_kinds_and_models_without() -> None:
    said = subprocess.run([sys.executable, "-c", FREE], check=True, stdout=subprocess.PIPE, text=True).stdout
    names, imported = map(str.split, said.splitlines())
    assert {"TRAIN", "random_forest"} <= set(names)
    assert "prometheus_client" in imported
    assert set(imported) & FOR_JOBS == set()


def test_a_supervisor_that_has_done_a_job_has_imported_no_ml(
    db: Database, client: Connection, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with (
        log.open("w") as file,
        subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, "run", "--model-dir", str(tmp_path / "models")],
            env=os.environ | {"DATABASE_URL": db.login("wanda")},
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        ) as worker,
    ):
        until(lambda: "listening" in log.read_text(), "the worker to listen")
        job = wait_for(client, insert_job(client, **TRAIN))
        worker.terminate()
        said, _ = worker.communicate(timeout=60)
    assert job["status"] == "COMPLETED", job["error_msg"]
    imported = set(said.split())
    assert {"psycopg", "worker"} <= imported
    assert imported & (FOR_JOBS | FOR_OTHER_COMMANDS) == set()


def test_a_child_that_waits_has_imported_all_that_any_job_needs(
    db: Database, client: Connection, tmp_path: Path
) -> None:
    def do(*jobs: dict[str, Any]) -> list[dict[str, Any]]:
        """In a process of its own: what one job has imported is there for the next."""
        ids = [insert_job(client, **fields) for fields in jobs]
        done = subprocess.run(
            [sys.executable, "-c", CHILD, db.login("wanda"), str(tmp_path)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert done.stdout.splitlines() == list(map(str, ids))  # nothing imported for any
        return [job_row(client, job_id) for job_id in ids]

    trained = do(*(TRAIN | {"train_model_type": name, "train_params_csv": SMALL[name]} for name in SMALL))
    models = [job["result_model_id"] for job in trained]
    period = {"start": "2024-03-01", "end": "2024-04-01"}
    test = {"job_type": "TEST"} | {f"test_{name}": value for name, value in period.items()}
    compare = {"job_type": "COMPARE"} | {f"compare_{name}": value for name, value in period.items()}
    do(
        *(test | {"test_model_id": model} for model in models),
        compare | {"compare_model_a_id": models[0], "compare_model_b_id": models[1]},
    )
