"""Jobs from end to end, from the INSERT until they are COMPLETED by a real worker, beside a script that does
the same: ``python -m tests.benchmarks.bench_jobs --rows 2000000``.

Both load, hold out a fifth of the coins, fit, score with a confusion matrix and ROC AUC, measure permutation
importance on at most 5,000 rows, and save or read the model; the script in a process whose imports are done,
the worker in a child that waits ready, and with its curve, fingerprint, checksum and the records besides.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import psycopg
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import permutation_importance
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score, roc_auc_score
from sklearn.model_selection import GroupShuffleSplit
from xgboost import XGBClassifier

from tests.benchmarks import rows
from tests.benchmarks.measure import Row, Table, alternate, parser

IMPORTANCE_ROWS = 5_000
WARM_SECONDS = 4  # in which a child imports what it needs
STOCK: dict[str, Any] = {
    "xgboost": lambda: XGBClassifier(n_estimators=100, max_depth=6, learning_rate=0.1, random_state=42),
    "random_forest": lambda: RandomForestClassifier(
        n_estimators=100, max_depth=10, min_samples_split=2, n_jobs=-1, random_state=42
    ),
}
PERIOD_END = rows.end(rows.ROWS_A_COIN)
TRAIN = {
    "job_type": "TRAIN",
    "train_target_var": rows.TARGET,
    "train_operator": ">",
    "train_value": rows.THRESHOLD,
    "train_start": rows.START,
    "train_end": PERIOD_END,
    "train_features_csv": rows.FEATURES,
}


@contextmanager
def worker(url: str, folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that listens and has a child ready."""
    environment = os.environ | {"DATABASE_URL": url, "ML_MODEL_DIR": str(folder)}
    log = folder / "worker.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker", "run", *options], env=environment, stderr=file
        )
    try:
        while b"listening" not in log.read_bytes():
            if process.poll() is not None:
                raise RuntimeError(log.read_text(encoding="utf-8"))
            time.sleep(0.05)
        time.sleep(WARM_SECONDS)
        yield process
    finally:
        process.terminate()
        process.wait()


def insert(connection: psycopg.Connection[Any], **fields: Any) -> int:
    """Insert a job; returns its id."""
    query = (
        f"INSERT INTO ml_jobs ({', '.join(fields)}) VALUES ({', '.join(['%s'] * len(fields))}) RETURNING id"
    )
    row = connection.execute(query.encode(), list(fields.values())).fetchone()
    assert row is not None
    return int(row[0])


def complete(connection: psycopg.Connection[Any], **fields: Any) -> float:
    """Seconds from the INSERT of a job until it is COMPLETED; the next child may then get ready."""
    connection.execute("LISTEN ml_job_status")
    started = time.perf_counter()
    job_id = insert(connection, **fields)
    for notification in connection.notifies(timeout=3600):
        if notification.payload.startswith(f"{job_id} ") and not notification.payload.endswith("RUNNING"):
            break
    seconds = time.perf_counter() - started
    row = connection.execute("SELECT status, error_msg FROM ml_jobs WHERE id = %s", [job_id]).fetchone()
    if row is None or row[0] != "COMPLETED":
        raise RuntimeError(str(row))
    time.sleep(WARM_SECONDS)
    return seconds


def _measure(model: Any, features: np.ndarray, labels: np.ndarray) -> None:
    chances = model.predict_proba(features)[:, 1]
    predicted = chances > 0.5
    confusion_matrix(labels, predicted)
    for metric in (f1_score, precision_score, recall_score):
        metric(labels, predicted)
    roc_auc_score(labels, chances)
    chosen = np.random.default_rng(42).permutation(len(labels))[:IMPORTANCE_ROWS]
    permutation_importance(
        model, features[chosen], labels[chosen], scoring="roc_auc", n_repeats=5, random_state=42
    )


def train_as_script(url: str, model_type: str, folder: Path) -> float:
    started = time.perf_counter()
    features, labels, coins = rows.load_as_script(url, PERIOD_END)
    split = GroupShuffleSplit(n_splits=1, test_size=0.2, random_state=42)
    ((fitted, held_out),) = split.split(features, labels, coins)
    model = STOCK[model_type]().fit(features[fitted], labels[fitted])
    _measure(model, features[held_out], labels[held_out])
    joblib.dump(model, folder / f"script_{model_type}.pkl")
    return time.perf_counter() - started


def test_as_script(url: str, model_type: str, folder: Path) -> float:
    started = time.perf_counter()
    features, labels, _ = rows.load_as_script(url, PERIOD_END)
    _measure(joblib.load(folder / f"script_{model_type}.pkl"), features, labels)
    return time.perf_counter() - started


def compare_as_script(url: str, folder: Path) -> float:
    started = time.perf_counter()
    features, labels, _ = rows.load_as_script(url, PERIOD_END)
    for model_type in STOCK:
        chances = joblib.load(folder / f"script_{model_type}.pkl").predict_proba(features)[:, 1]
        confusion_matrix(labels, chances > 0.5)
        roc_auc_score(labels, chances)
    return time.perf_counter() - started


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=50_000)
    args = options.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        rows.database(args.rows) as url,
        psycopg.connect(url, autocommit=True) as connection,
        worker(url, Path(name)),
    ):
        folder = Path(name)
        table = Table("Jobs from end to end", rows.about(url, args.rows))
        for model_type, goal in (("xgboost", 3.0), ("random_forest", 5.0)):
            ours, script = alternate(
                [
                    partial(complete, connection, **TRAIN, train_model_type=model_type),
                    partial(train_as_script, url, model_type, folder),
                ],
                args.repeats,
            )
            table.add(Row(f"TRAIN of {model_type}", ours, script, "script", "s", at_least=goal))
        found = connection.execute("SELECT model_type, max(id) FROM ml_models GROUP BY 1").fetchall()
        models: dict[str, int] = dict(found)
        for model_type, model_id in sorted(models.items()):
            job = {"job_type": "TEST", "test_model_id": model_id}
            job |= {"test_start": rows.START, "test_end": PERIOD_END}
            ours, script = alternate(
                [
                    partial(complete, connection, **job),
                    partial(test_as_script, url, model_type, folder),
                ],
                args.repeats,
            )
            table.add(Row(f"TEST of {model_type}", ours, script, "script", "s", at_least=5))
        job = {"job_type": "COMPARE", "compare_start": rows.START, "compare_end": PERIOD_END}
        job |= {"compare_model_a_id": models["xgboost"], "compare_model_b_id": models["random_forest"]}
        ours, script = alternate(
            [partial(complete, connection, **job), partial(compare_as_script, url, folder)], args.repeats
        )
        table.add(Row("COMPARE of both", ours, script, "script", "s", at_least=5))
        table.show(args.json)


if __name__ == "__main__":
    main()
