"""What intervals, baselines, warnings and the like add to a job, in its own process: ``python -m
tests.benchmarks.bench_evidence --rows 2000000``.

Each kind of job is run as a worker's child runs it, with all that it tells and, in turn, with the metrics
alone, which is what it told up to version 7. Only the result is not recorded: its rows are few.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import psycopg
from psycopg.types.json import Jsonb

from tests.benchmarks import rows
from tests.benchmarks.measure import Row, Table, parser
from worker.child import attempt, labels
from worker.child.labels import Label
from worker.protocol import Completed, Job, Order

HORIZON = 5  # minutes
KINDS = ["TRAIN", "TEST", "COMPARE", "+sources"]
NOTHING: dict[str, Any] = {
    "worker.child.measuring.intervals.of_model": lambda *_, **__: [],
    "worker.child.kinds.train.rows_with_target": lambda *_: None,
    "worker.child.kinds.train.traps.of_training": lambda *_: [],
    "worker.child.kinds.train.traps.degenerate": lambda *_: [],
    "worker.child.kinds.train.traps.constant": lambda *_: [],
    "worker.child.kinds.train.feature_stats.describe": lambda *_: [],
    "worker.child.kinds.train.baselines.choose": lambda *_: None,
    "worker.child.kinds.train.baselines.beside": lambda *_, **__: {},
    "worker.child.kinds.train.uniqueness": lambda *_: np.ones(1),
    "worker.child.kinds.test.parts.facts": lambda *_: {},
    "worker.child.kinds.test.of_answers": lambda *_: {},
    "worker.child.kinds.test.of_rows": lambda *_: [],
    "worker.child.kinds.compare.of_answers": lambda *_: {},
    "worker.child.kinds.compare.of_rows": lambda *_: [],
    "worker.child.kinds.compare.baselines.of_rows": lambda *_: [],
    "worker.child.kinds.compare.baselines.of_model": lambda *_, **__: [],
    "worker.child.kinds.compare.baselines.against": lambda *_: {},
    "worker.child.kinds.compare.intervals.measure": lambda *_: None,
    "worker.child.kinds.compare.intervals.of_pair": lambda *_: {},
}


@contextmanager
def metrics_alone() -> Iterator[None]:
    """Leave out all that is told beside the metrics."""
    attempt.thread_pools()  # all kinds are imported by then
    with ExitStack() as stack:
        for target, nothing in NOTHING.items():
            stack.enter_context(patch(target, nothing))
        stack.enter_context(patch.object(labels, "persists", lambda _label: None))
        stack.enter_context(patch.object(Label, "has_state", property(lambda _label: False)))
        yield


def seconds(url: str, folder: Path, job: Job) -> tuple[float, dict[str, Any]]:
    """How long a child takes for a job that is claimed, and its result."""
    order = Order(job, str(folder), "t", concurrency=1, has_changed=False)
    began = time.perf_counter()
    done = attempt.attempt(order, url, None, lambda *_: None)
    took = time.perf_counter() - began
    if not isinstance(done, Completed):
        raise TypeError(f"the job {job.id} did not complete: {done}")
    return took, done.result


def claim(connection: psycopg.Connection[Any], fields: dict[str, Any]) -> Job:
    """Insert a job and claim it."""
    names, values = ", ".join(fields), ", ".join(["%s"] * len(fields))
    connection.execute(f"INSERT INTO ml_jobs ({names}) VALUES ({values})".encode(), list(fields.values()))
    row = connection.execute(
        "SELECT id, attempt, job_type FROM ml_internal.claim_job('bench', '1 day', %s)", [KINDS]
    ).fetchone()
    assert row is not None  # it was inserted just now
    return Job(*row)


def complete(connection: psycopg.Connection[Any], job: Job, result: dict[str, Any]) -> int:
    """Record a result; returns the model of a TRAIN job."""
    connection.execute("SELECT ml_internal.record_result(%s, %s, %s)", [job.id, job.attempt, Jsonb(result)])
    row = connection.execute("SELECT result_model_id FROM ml_jobs WHERE id = %s", [job.id]).fetchone()
    assert row is not None
    return int(row[0] or 0)


def measure(url: str, num_rows: int, folder: Path, repeats: int, table: Table) -> None:
    period = [rows.START, rows.end(num_rows)]
    recipe = {
        "job_type": "TRAIN",
        "train_model_type": "xgboost",
        "train_target_var": rows.TARGET,
        "train_operator": ">",
        "train_value": rows.THRESHOLD,
        "train_future_minutes": HORIZON,
        "train_features_csv": rows.FEATURES,
        "train_start": period[0],
        "train_end": period[1],
    }
    with psycopg.connect(url, autocommit=True) as connection:
        models = []
        for seed in (1, 2):
            job = claim(connection, recipe | {"train_random_state": seed})
            models.append(complete(connection, job, seconds(url, folder, job)[1]))
        tested = dict(zip(("test_start", "test_end"), period, strict=True))
        compared = dict(zip(("compare_start", "compare_end"), period, strict=True))
        pair = dict(zip(("compare_model_a_id", "compare_model_b_id"), models, strict=True))
        jobs = {
            "TRAIN xgboost": claim(connection, recipe | {"train_random_state": 3}),
            "TEST xgboost": claim(connection, {"job_type": "TEST", "test_model_id": models[0], **tested}),
            "COMPARE": claim(connection, {"job_type": "COMPARE", **pair, **compared}),
        }
        for what, job in jobs.items():
            times: dict[bool, list[float]] = {True: [], False: []}
            for _ in range(repeats):
                times[True].append(seconds(url, folder, job)[0])
                with metrics_alone():
                    times[False].append(seconds(url, folder, job)[0])
            ours, reference = (float(np.median(times[side])) for side in (True, False))
            table.add(Row(what, ours, reference, "the metrics alone", "s", at_most=1.2))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=200_000)
    args = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, rows.database(args.rows) as url:
        table = Table("Evidence beside the metrics", rows.about(url, args.rows))
        measure(url, args.rows, Path(folder), args.repeats, table)
        table.show(args.json)


if __name__ == "__main__":
    main()
