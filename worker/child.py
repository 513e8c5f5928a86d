"""The child process: does one job and exits.

It reads one JSON line from standard input (the job, the database, the folder of the models), writes JSON
lines (progress, then one outcome) to what was its standard output, and never writes to the database.
When its standard input closes, its supervisor is gone, and it ends with all its descendants.
"""

import json
import logging
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy
import psycopg
import sklearn
import xgboost

from worker import artifacts, database, datasets, estimators, evaluation, holdout
from worker.errors import JobError

MIN_ROWS = 20
MIN_ROWS_A_CLASS = 2

log = logging.getLogger("ml-worker.child")
Report = Callable[[float, str], None]
Result = dict[str, Any]

# Shares of the progress bar.
_LOADED, _FITTED, _SCORED = 0.3, 0.85, 0.95


def main() -> None:
    """Do the job that is named on standard input."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # Whatever a library prints must not be taken for a message to the supervisor.
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    line = sys.stdin.readline()
    if not line:
        return
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    order = json.loads(line)
    job = database.Job(**order["job"])

    def report(progress: float, message: str) -> None:
        channel.write(json.dumps({"progress": progress, "message": message}) + "\n")

    outcome = _attempt(job, order["url"], Path(order["model_dir"]), order["threads"], report)
    channel.write(json.dumps(outcome) + "\n")
    channel.flush()
    os._exit(0)  # the watching thread reads standard input and would hold up a normal exit


def _end_with_supervisor() -> None:
    sys.stdin.read()
    os.killpg(0, signal.SIGKILL)


def _attempt(job: database.Job, url: str, model_dir: Path, threads: int, report: Report) -> dict[str, Any]:
    """Do the job; returns ``{"result": …}``, ``{"failure": message}`` or ``{"loss": message}``."""
    try:
        return {"result": _work(job, url, model_dir, threads, report)}
    except JobError as error:
        return {"failure": str(error)}
    except (psycopg.OperationalError, OSError) as error:
        log.exception("job=%s attempt=%s lost", job.id, job.attempt)
        return {"loss": f"{type(error).__name__}: {error}".strip()}
    except psycopg.Error as error:
        log.exception("job=%s attempt=%s failed", job.id, job.attempt)
        return {"failure": f"reading coin_metrics failed: {error.diag.message_primary or error}"}
    except MemoryError:
        log.exception("job=%s attempt=%s failed", job.id, job.attempt)
        return {"failure": "there is not enough memory for this job; choose a shorter period or fewer features"}
    except Exception as error:
        log.exception("job=%s attempt=%s failed", job.id, job.attempt)
        return {"failure": f"internal error, see the worker's log: {type(error).__name__}: {error}"}


def _work(job: database.Job, url: str, model_dir: Path, threads: int, report: Report) -> Result:
    started = time.monotonic()
    with database.connect(url, role="ml_worker") as connection:
        assignment = database.fetch_assignment(connection, job)
        params = database.fetch_params(connection, assignment.models[0].id)
        models = [] if job.job_type == "TRAIN" else [_read_model(model, model_dir) for model in assignment.models]
        dataset = _load(connection, assignment, report)
    seconds_loading = time.monotonic() - started
    if job.job_type == "TRAIN":
        path = artifacts.path_of(model_dir, assignment.models[0].id, job.attempt)
        result = _train(assignment.models[0], params, dataset, path, threads, report)
    elif job.job_type == "TEST":
        result = _test(assignment.models[0], models[0], dataset, report)
    else:
        result = _compare(assignment, models, dataset, report)
    return result | {
        "num_unlabelled": dataset.num_unlabelled,
        "data_fingerprint": dataset.fingerprint,
        "seconds_loading": round(seconds_loading, 3),
    }


def _read_model(model: database.Model, model_dir: Path) -> Any:
    if model.artifact_path is None or model.artifact_sha256 is None:
        raise JobError(f"model {model.id} has no training run, so its file is not known")
    return artifacts.read(model.artifact_path, model.artifact_sha256, model_dir)


def _load(connection: database.Connection, assignment: database.Assignment, report: Report) -> datasets.Dataset:
    expected = max(1, database.estimate_rows(connection, assignment.period))
    features = tuple(dict.fromkeys(feature for model in assignment.models for feature in model.features))

    def loaded(rows: int) -> None:
        report(_LOADED * min(1, rows / expected), f"Loading: {rows} of about {max(rows, expected)} rows")

    report(0, f"Loading: about {expected} rows")
    blocks = database.stream_dataset(
        connection, assignment.models[0], features, assignment.period, assignment.phases
    )
    return datasets.decode(blocks, features, loaded)


def _train(
    model: database.Model,
    params: dict[str, tuple[str, str]],
    dataset: datasets.Dataset,
    path: Path,
    threads: int,
    report: Report,
) -> Result:
    positive, total = dataset.num_positive, len(dataset)
    if min(positive, total - positive) < MIN_ROWS_A_CLASS or total < MIN_ROWS:
        raise JobError(
            f"too little to learn from: {total} labelled rows, {positive} positive and {total - positive} negative; "
            f"needed are {MIN_ROWS} rows and {MIN_ROWS_A_CLASS} of each class. "
            "Choose a longer period or another threshold"
        )
    reach = 0 if model.future_minutes is None else 2 * model.future_minutes * 60_000_000
    parts = holdout.split(dataset, model.test_size, model.random_state, reach)
    features, labels = dataset.features[parts.fitted], dataset.labels[parts.fitted]
    fitted_positive = int(labels.sum())
    if not 0 < fitted_positive < len(labels):
        raise JobError(
            f"only one class is left to learn from: of {total} labelled rows ({positive} positive), "
            f"{len(parts.held_out)} are held out and {parts.num_gap} lie in the gap before them; "
            f"the other {len(labels)} have {fitted_positive} positive. Choose a longer period or another threshold"
        )

    started = time.monotonic()
    estimator = estimators.make_estimator(
        model.model_type, estimators.parse_params(params), model.random_state, threads
    )
    warnings = estimators.fit(
        estimator,
        features,
        labels,
        lambda share, message: report(_LOADED + (_FITTED - _LOADED) * share, message),
    )
    seconds_fitting = time.monotonic() - started

    held_out, held_out_labels = dataset.features[parts.held_out], dataset.labels[parts.held_out]
    report(_FITTED, f"Measuring on {len(held_out)} held-out rows")
    score = evaluation.score(estimator, held_out, held_out_labels)
    importance = evaluation.importance(estimator, dataset.names, held_out, held_out_labels, model.random_state)
    report(_SCORED, "Writing the model file")
    artifact = artifacts.write(estimator, path)
    return {
        "holdout": parts.kind,
        "num_coins": len(numpy.unique(dataset.coins)),
        "num_fitted": len(labels),
        "num_fitted_positive": fitted_positive,
        "num_gap": parts.num_gap,
        **_counts(held_out_labels),
        **asdict(score),
        "feature_importance_csv": evaluation.to_csv(importance),
        "artifact_path": str(artifact.path),
        "artifact_sha256": artifact.sha256,
        "artifact_bytes": artifact.num_bytes,
        "library_versions_csv": _library_versions(),
        "seconds_fitting": round(seconds_fitting, 3),
        "warnings": "; ".join(warnings) or None,
    }


def _test(model: database.Model, estimator: Any, dataset: datasets.Dataset, report: Report) -> Result:
    started = time.monotonic()
    report(_LOADED, f"Scoring {len(dataset)} rows")
    score = evaluation.score(estimator, dataset.features, dataset.labels)
    report(_FITTED, "Measuring the importance of the features")
    importance = evaluation.importance(
        estimator, dataset.names, dataset.features, dataset.labels, model.random_state
    )
    return {
        **_counts(dataset.labels),
        **asdict(score),
        "feature_importance_csv": evaluation.to_csv(importance),
        "seconds_scoring": round(time.monotonic() - started, 3),
    }


def _compare(
    assignment: database.Assignment, estimators: list[Any], dataset: datasets.Dataset, report: Report
) -> Result:
    started = time.monotonic()
    result: Result = {"num_samples": len(dataset)}
    for side, model, estimator in zip("ab", assignment.models, estimators, strict=True):
        report(_LOADED + (_SCORED - _LOADED) * "ab".index(side) / 2, f"Scoring {len(dataset)} rows by model {model.id}")
        columns = [dataset.names.index(feature) for feature in model.features]
        score = evaluation.score(estimator, dataset.features[:, columns], dataset.labels)
        result |= {f"{side}_{name}": value for name, value in asdict(score).items()}
    return result | {"seconds_scoring": round(time.monotonic() - started, 3)}


def _counts(labels: Any) -> dict[str, int]:
    positive = int(labels.sum())
    return {"num_positive": positive, "num_negative": len(labels) - positive}


def _library_versions() -> str:
    versions = {
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "scikit-learn": sklearn.__version__,
        "xgboost": xgboost.__version__,
    }
    return ";".join(f"{name}={version}" for name, version in versions.items())


if __name__ == "__main__":
    main()
