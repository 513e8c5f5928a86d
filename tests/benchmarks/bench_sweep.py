"""Many TRAIN jobs by one INSERT: ``python -m tests.benchmarks.bench_sweep --rows 71463 --jobs 96``.

Beside it runs a script that loads once and fits them all by joblib, with every metric and the same
permutation importance. Each job has a process, rows, curve, file and records of its own; the script has none.
At last one of the models is tested on 1,000 rows again and again, as many jobs as ``--tests`` says.
"""

import itertools
import tempfile
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from joblib import Parallel, delayed
from sklearn.model_selection import GroupShuffleSplit
from xgboost import XGBClassifier

from tests.benchmarks import rows
from tests.benchmarks.bench_jobs import PERIOD_END, _measure, worker
from tests.benchmarks.measure import Row, Table, alternate, parser

CORES = 2
TESTED_ROWS, TESTS_A_SECOND = 1_000, 20
FEATURES = rows.FEATURES.split(",")[:2]
DEPTHS, RATES, WEIGHTS = range(2, 8), (0.03, 0.1, 0.2, 0.3), (1, 2, 5, 10)


def settings(number: int) -> list[tuple[int, float, int]]:
    """So many settings of max_depth, learning_rate and min_child_weight."""
    return list(itertools.islice(itertools.product(DEPTHS, RATES, WEIGHTS), number))


def sweep(connection: psycopg.Connection[Any], number: int) -> float:
    """Seconds from the INSERT of so many jobs until all are COMPLETED."""
    params = [f"max_depth={d};learning_rate={r};min_child_weight={w}" for d, r, w in settings(number)]
    started = time.perf_counter()
    connection.execute(
        """
        INSERT INTO ml_jobs (job_type, train_target_var, train_operator, train_value, train_start, train_end,
            train_features_csv, train_model_type, train_params_csv)
        SELECT 'TRAIN', %s, '>', %s, %s, %s, %s, 'xgboost', p FROM unnest(%s::text[]) p
        """,
        [rows.TARGET, rows.THRESHOLD, rows.START, PERIOD_END, ",".join(FEATURES), params],
    )
    connection.execute("CALL ml.wait()")
    seconds = time.perf_counter() - started
    query = "SELECT count(*) FROM ml_jobs WHERE status <> 'COMPLETED'"
    assert connection.execute(query).fetchone() == (0,)
    return seconds


def tests_a_second(connection: psycopg.Connection[Any], number: int, num_rows: int) -> float:
    """TEST jobs of 1,000 rows, or of all if there are fewer, that are COMPLETED in a second."""
    minutes = TESTED_ROWS / max(1, num_rows // rows.ROWS_A_COIN)
    started = time.perf_counter()
    connection.execute(
        """
        INSERT INTO ml_jobs (job_type, test_model_id, test_start, test_end)
        SELECT 'TEST', (SELECT max(id) FROM ml_models), %s, %s FROM generate_series(1, %s)
        """,
        [rows.START, rows.START + timedelta(minutes=minutes), number],
    )
    connection.execute("CALL ml.wait()")
    seconds = time.perf_counter() - started
    query = "SELECT count(*) FROM ml_jobs WHERE status <> 'COMPLETED'"
    assert connection.execute(query).fetchone() == (0,)
    return number / seconds


def _fit(
    setting: tuple[int, float, int], fitted: tuple[Any, Any], held_out: tuple[Any, Any], folder: str
) -> None:
    depth, rate, weight = setting
    model = XGBClassifier(
        n_estimators=100,
        max_depth=depth,
        learning_rate=rate,
        min_child_weight=weight,
        random_state=42,
        n_jobs=1,
    ).fit(*fitted)
    _measure(model, *held_out)
    model.save_model(Path(folder) / f"{depth}_{rate}_{weight}.ubj")


def as_script(url: str, number: int, folder: str) -> float:
    started = time.perf_counter()
    features, labels, coins = rows.load_as_script(url, PERIOD_END)
    features = np.ascontiguousarray(features[:, : len(FEATURES)])
    split = GroupShuffleSplit(n_splits=1, test_size=0.2, random_state=42)
    ((fitted, held_out),) = split.split(features, labels, coins)
    parts = [(features[part], labels[part]) for part in (fitted, held_out)]
    Parallel(n_jobs=CORES)(delayed(_fit)(setting, *parts, folder) for setting in settings(number))
    return time.perf_counter() - started


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=5_000)
    options.add_argument("--jobs", type=int, default=96)
    options.add_argument("--tests", type=int, default=200)
    args = options.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        rows.database(args.rows) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        table = Table("A sweep", rows.about(url, args.rows) | {"jobs": args.jobs})
        for concurrency, goal in ((2, 1.7), (1, 2.5)):
            with worker(url, Path(folder), "--concurrency", str(concurrency)):
                ours, script = alternate(
                    [partial(sweep, connection, args.jobs), partial(as_script, url, args.jobs, folder)],
                    args.repeats,
                )
            what = f"{args.jobs} TRAIN jobs of xgboost, --concurrency {concurrency}"
            table.add(Row(what, ours, script, f"script, joblib.Parallel({CORES})", "s", at_most=goal))
        with worker(url, Path(folder), "--concurrency", "2"):
            (rate,) = alternate([partial(tests_a_second, connection, args.tests, args.rows)], args.repeats)
        what = f"TEST jobs of {TESTED_ROWS:,} rows, --concurrency 2"
        table.add(Row(what, rate, TESTS_A_SECOND, "the goal", "/s", at_least=1))
        table.show(args.json)


if __name__ == "__main__":
    main()
