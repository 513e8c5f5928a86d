"""Which validation forecasts the next period best:
``python -m tests.benchmarks.bench_splits --metrics FILE``.

A period is cut by time into parts of as many rows. Models of several types are trained on three parts and
tested on the next, by TRAIN and TEST jobs alone; each recipe is held out by coins, by time and by both, and
measured in five walk-forward folds. What each of these said of a model is compared with what its test gave:
how far off on average, how much too good, and whether it puts recipes and periods into the right order
(Spearman's rank correlation). Without a file, sample data are made.
"""

import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
from psycopg.rows import DictRow, dict_row

from tests.benchmarks.measure import parser
from tests.conftest import insert_job
from worker.commands import sample
from worker.commands.install import install
from worker.commands.load import load
from worker.database.connection import connect
from worker.database.jobs import copy_metrics
from worker.embedded import Server

TRAINED = 3  # parts that a model is trained on
TYPES = ("xgboost", "random_forest", "logistic_regression")
SPLITS = ("coins", "time", "coins_and_time")
FORECASTS = (*SPLITS, "mean of folds")
METRICS = {"F1": "f1_score", "ROC AUC": "roc_auc"}
FOLDS = 5
FEWEST_RANKED = 5

Connection = psycopg.Connection[DictRow]
Told = dict[str, dict[str, list[tuple[float, float]]]]  # by metric and forecast: what it said, what came


@dataclass(frozen=True)
class Question:
    """What is asked of which rows."""

    name: str
    rows: str
    fields: dict[str, Any]


PAIRS, LAUNCHES = "mint LIKE '%USDT'", "mint NOT LIKE '%USDT'"
ACTIVITY = "volume_sol,volatility_pct"
RISE = {"train_label": "highest_change", "train_target_var": "price_close", "train_operator": ">="}
CALM = {"train_target_var": "volatility_pct", "train_operator": ">", "train_features_csv": ACTIVITY}
QUESTIONS = (
    Question("volatility in 5 min", PAIRS, CALM | {"train_value": "0.5", "train_future_minutes": 5}),
    Question(
        "a rise of 1 % within 60 min",
        PAIRS,
        RISE | {"train_value": 1, "train_future_minutes": 60, "train_features_csv": ACTIVITY},
    ),
    Question(
        "a rise of 1 % within 5 min",
        LAUNCHES,
        RISE
        | {
            "train_value": 20,
            "train_future_minutes": 5,
            "train_features_csv": f"{ACTIVITY},buy_pressure_ratio",
        },
    ),
)


def main() -> None:
    """Print how well each validation forecast, for each question and for all."""
    made = parser(__doc__)
    made.add_argument("--metrics", type=Path, help="a file for ml-worker load, with a header")
    made.add_argument("--parts", type=int, default=9, help="of the rows of a question, by time")
    made.add_argument("--seeds", type=int, default=1, help="draws of each split")
    options = made.parse_args()
    with tempfile.TemporaryDirectory(prefix="ml-splits-") as folder:
        home = Path(folder)
        server = Server(home, settings=("fsync = off",))
        try:
            server.start(install)
            _load(server.url(), options.metrics)
            with (
                psycopg.connect(server.url(), autocommit=True, row_factory=dict_row) as connection,
                _worker(server.url(), home),
            ):
                found = {
                    question.name: _ask(connection, question, number, options.parts, options.seeds)
                    for number, question in enumerate(QUESTIONS)
                }
        finally:
            server.stop()
    for name, told in found.items():
        if told:
            _show(name, [told])
    _show("all of them", found.values())


@contextmanager
def _worker(url: str, folder: Path) -> Iterator[None]:
    command = [
        sys.executable,
        "-m",
        "worker",
        "run",
        "--concurrency",
        "2",
        "--model-dir",
        str(folder / "models"),
    ]
    with (folder / "worker.log").open("w") as log:
        process = subprocess.Popen(command, env=os.environ | {"DATABASE_URL": url}, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def _load(url: str, file: Path | None) -> None:
    if file is not None:
        load(url, file)
        return
    metrics = sample.make_metrics()
    with connect(url) as connection:
        copy_metrics(connection, list(metrics.columns), sample.to_csv(metrics))


def _ask(connection: Connection, question: Question, number: int, parts: int, seeds: int) -> Told:
    """What was forecast and what came, of each recipe in each period; nothing without such rows."""
    source = f"question_{number}"
    connection.execute(f"CREATE VIEW {source} AS SELECT * FROM coin_metrics WHERE {question.rows}".encode())
    connection.execute(
        "CALL ml.add_source(%(name)s, %(name)s, key => 'mint', moment => 'timestamp')", {"name": source}
    )
    cuts = connection.execute(
        "SELECT percentile_disc(%s) WITHIN GROUP (ORDER BY timestamp) AS cuts FROM " + source,
        [[part / parts for part in range(parts + 1)]],
    ).fetchone()["cuts"]  # type: ignore[index]
    if cuts is None:
        return {}
    jobs = []
    for start in range(parts - TRAINED):
        for split in SPLITS:
            for model_type in TYPES:
                for seed in range(seeds):
                    job_id = insert_job(
                        connection,
                        job_type="TRAIN",
                        train_model_type=model_type,
                        train_start=cuts[start],
                        train_end=cuts[start + TRAINED],
                        train_source=source,
                        train_split=split,
                        train_folds=FOLDS if split == "time" else 0,
                        train_random_state=seed,
                        **question.fields,
                    )
                    jobs.append((job_id, cuts[start + TRAINED], cuts[start + TRAINED + 1]))
    connection.execute("CALL ml.wait()")
    for job_id, begins, ends in jobs:
        connection.execute(
            "SELECT ml.test(result_model_id, %s, %s) FROM ml_jobs WHERE id = %s AND status = 'COMPLETED'",
            [begins, ends, job_id],
        )
    connection.execute("CALL ml.wait()")
    for row in connection.execute(
        "SELECT error_msg, count(*) FROM ml_jobs WHERE status = 'FAILED' GROUP BY 1 ORDER BY 2 DESC"
    ):
        sys.stderr.write(f"so far {row['count']} jobs FAILED: {row['error_msg']}\n")
    return _told(connection, source)


def _told(connection: Connection, source: str) -> Told:
    """Of the recipes and periods alone of which all forecasts said something."""
    told: Told = {}
    for metric, column in METRICS.items():
        found: dict[Any, dict[str, tuple[float, float]]] = defaultdict(dict)
        for row in _rows(connection, source, column):
            recipe = row["train_start"], row["model_type"], row["random_state"]
            found[recipe][row["forecast"]] = float(row["said"]), float(row["came"])
        whole = [recipe for recipe in found.values() if len(recipe) == len(FORECASTS)]
        told[metric] = {forecast: [recipe[forecast] for recipe in whole] for forecast in FORECASTS}
    return told


def _rows(connection: Connection, source: str, column: str) -> Iterator[dict[str, Any]]:
    yield from connection.execute(
        f"""
        SELECT f.forecast, f.said, t.{column} AS came, m.train_start, m.model_type, m.random_state
        FROM ml_models m
        JOIN ml_training_runs r ON r.model_id = m.id
        JOIN ml_test_results t ON t.model_id = m.id
        CROSS JOIN LATERAL (
            SELECT m.split AS forecast, r.{column} AS said
            UNION ALL
            SELECT 'mean of folds', (SELECT avg(x.{column}) FROM ml_folds x WHERE x.job_id = r.job_id)
        ) f
        WHERE m.source = %s AND f.said IS NOT NULL AND t.{column} IS NOT NULL
        ORDER BY f.forecast, m.id
        """.encode(),
        [source],
    )


def _show(name: str, found: Iterable[Told]) -> None:
    """How far off each forecast was. Ranks are compared within a question, and then averaged."""
    write = sys.stdout.write
    write(f"\n{name}\n{'':16}")
    write(
        "".join(
            f"{metric + ': pairs':>16} {'off by':>7} {'too good by':>12} {'rank':>6}" for metric in METRICS
        )
    )
    for forecast in FORECASTS:
        write(f"\n{forecast:16}")
        for metric in METRICS:
            of_each = [np.array(told[metric][forecast]) for told in found if told and told[metric][forecast]]
            if not of_each:
                continue
            both = np.concatenate(of_each)
            off = both[:, 0] - both[:, 1]
            ranks = [_rank_correlation(*pairs.T) for pairs in of_each if len(pairs) > FEWEST_RANKED]
            rank = np.mean(ranks or [np.nan])
            write(f"{len(both):16} {np.abs(off).mean():7.4f} {off.mean():+12.4f} {rank:+6.2f}")
    write("\n")


def _rank_correlation(said: np.ndarray, came: np.ndarray) -> float:
    return float(pd.Series(said).rank().corr(pd.Series(came).rank()))


if __name__ == "__main__":
    main()
