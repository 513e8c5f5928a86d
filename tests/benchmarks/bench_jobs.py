"""Jobs from end to end, from the INSERT until they are COMPLETED by a real worker, beside a script that does
the same: ``python -m tests.benchmarks.bench_jobs --rows 2000000``.

Both load, hold out a fifth of the coins, fit, score with a confusion matrix and ROC AUC, measure permutation
importance on at most 5,000 rows, and save or read the model; the script in a process whose imports are done,
the worker in a child that waits ready, and with its curve, fingerprint, checksum and the records besides. The
naive script uses pandas and the stock models, the smart one DuckDB and the fastest library for each model.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import psycopg
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score, roc_auc_score
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier, XGBRFClassifier

from tests.benchmarks import rivals, rows
from tests.benchmarks.measure import Row, Table, alternate, parser

IMPORTANCE_ROWS = 5_000
WARM_SECONDS = 4  # in which a child imports what it needs
STOCK: dict[str, Any] = {
    "xgboost": lambda: XGBClassifier(n_estimators=100, max_depth=6, learning_rate=0.1, random_state=42),
    "random_forest": lambda: RandomForestClassifier(
        n_estimators=100, max_depth=10, min_samples_split=2, n_jobs=-1, random_state=42
    ),
}
# The fastest there is for each; what is not a tree is prepared as the worker does.
FASTEST: dict[str, Any] = {
    "xgboost": STOCK["xgboost"],
    "random_forest": lambda: XGBRFClassifier(n_estimators=100, max_depth=10, random_state=42),
    "gradient_boosting": lambda: XGBClassifier(
        n_estimators=100, max_depth=3, learning_rate=0.1, random_state=42
    ),
    "logistic_regression": lambda: make_pipeline(
        SimpleImputer(strategy="mean"), StandardScaler(), LogisticRegression(solver="newton-cholesky")
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


@dataclass(frozen=True)
class Script:
    """What a user would write instead.

    Attributes:
        load: gives features, labels and coins.
        make: by type of model, a pipeline to fit.
        folder: for its files.
    """

    load: Callable[[str], rivals.Loaded]
    make: dict[str, Callable[[], Any]]
    folder: Path

    def train(self, url: str, model_type: str) -> float:
        started = time.perf_counter()
        features, labels, coins = self.load(url)
        split = GroupShuffleSplit(n_splits=1, test_size=0.2, random_state=42)
        ((fitted, held_out),) = split.split(features, labels, pd.factorize(coins)[0])
        model = self.make[model_type]().fit(features[fitted], labels[fitted])
        _measure(model, features[held_out], labels[held_out])
        joblib.dump(model, self.folder / f"{model_type}.pkl")
        return time.perf_counter() - started

    def test(self, url: str, model_type: str) -> float:
        started = time.perf_counter()
        features, labels, _ = self.load(url)
        _measure(joblib.load(self.folder / f"{model_type}.pkl"), features, labels)
        return time.perf_counter() - started

    def compare(self, url: str, *model_types: str) -> float:
        started = time.perf_counter()
        features, labels, _ = self.load(url)
        for model_type in model_types:
            chances = joblib.load(self.folder / f"{model_type}.pkl").predict_proba(features)[:, 1]
            confusion_matrix(labels, chances > 0.5)
            roc_auc_score(labels, chances)
        return time.perf_counter() - started


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=50_000)
    options.add_argument("--without-naive", action="store_true", help="leave out the slow script")
    args = options.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        rows.database(args.rows) as url,
        psycopg.connect(url, autocommit=True) as connection,
        worker(url, Path(name)),
    ):
        folders = [Path(name) / who for who in ("naive", "smart")]
        for folder in folders:
            folder.mkdir()
        naive = Script(partial(rows.load_as_script, period_end=PERIOD_END), STOCK, folders[0])
        smart = Script(rivals.by_duckdb, FASTEST, folders[1])
        table = Table("Jobs from end to end", rows.about(url, args.rows))

        def show(job: dict[str, Any], *of: str, smart_at_most: float, naive_at_least: float | None) -> None:
            what = f"{job['job_type']} of {' and '.join(of)}"
            scripts = [smart] if naive_at_least is None or args.without_naive else [smart, naive]
            calls = [getattr(script, job["job_type"].lower()) for script in scripts]
            ours, *theirs = alternate(
                [partial(complete, connection, **job), *(partial(call, url, *of) for call in calls)],
                args.repeats,
            )
            table.add(Row(what, ours, theirs[0], "smart script", "s", at_most=smart_at_most))
            if len(theirs) > 1:
                table.add(Row(what, ours, theirs[1], "naive script", "s", at_least=naive_at_least))

        for model_type, goal in (
            ("xgboost", 3.0),
            ("random_forest", 5.0),
            ("gradient_boosting", None),
            ("logistic_regression", None),
        ):
            job = TRAIN | {"train_model_type": model_type}
            show(job, model_type, smart_at_most=1.0, naive_at_least=goal)
        found = connection.execute("SELECT model_type, max(id) FROM ml_models GROUP BY 1").fetchall()
        models: dict[str, int] = dict(found)
        for model_type in ("random_forest", "xgboost"):
            job = {"job_type": "TEST", "test_model_id": models[model_type]}
            job |= {"test_start": rows.START, "test_end": PERIOD_END}
            show(job, model_type, smart_at_most=0.8, naive_at_least=5)
        job = {"job_type": "COMPARE", "compare_start": rows.START, "compare_end": PERIOD_END}
        job |= {"compare_model_a_id": models["xgboost"], "compare_model_b_id": models["random_forest"]}
        show(job, "xgboost", "random_forest", smart_at_most=0.8, naive_at_least=5)
        table.show(args.json)


if __name__ == "__main__":
    main()
