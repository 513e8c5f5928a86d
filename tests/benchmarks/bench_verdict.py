"""Whether winners last and equals have none: ``python -m tests.benchmarks.bench_verdict [coin_metrics.csv]``.

Models are fitted as TRAIN fits them, on three quarters of the coins that their seed draws, with equal and
with different settings; each is asked once about a period and once about the next. Then all pairs are
compared as COMPARE compares them. Without a file, rows are generated: returns with a common volatility that
comes in clusters, and jumps.

- Winners last: of the pairs with a winner, the share in which it leads again in the next period; beside it
  that of whichever model had the higher F1.
- Equals have none: the share of pairs with a winner although the answers of both were exchanged at random,
  block by block.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
from numpy.typing import NDArray

from tests import servers
from worker.child import dataset, fitting, measuring, models, resampling
from worker.child.assignment import HALF, Period
from worker.child.labels import Label
from worker.commands.install import install
from worker.commands.load import load
from worker.database.connection import connect
from worker.database.dataset import stream_dataset

FEATURES = ("volatility_pct", "volume_sol")
REACH = 2 * 5 * 60_000_000  # of a label that looks 5 minutes ahead
DAYS = 2.5, 2.0, 2.0  # of training, comparison and what follows
SPLITS = 3
COINS = 12
RECIPES: tuple[tuple[str, dict[str, str], tuple[str, ...], int], ...] = (  # type, settings, features, seeds
    ("xgboost", {}, FEATURES, 8),
    ("random_forest", {"max_depth": "10", "n_estimators": "50"}, FEATURES, 6),
    ("xgboost", {"max_depth": "2"}, FEATURES, 1),
    ("xgboost", {"max_depth": "9", "n_estimators": "300"}, FEATURES, 1),
    ("xgboost", {"learning_rate": "0.01"}, FEATURES, 1),
    ("xgboost", {}, FEATURES[:1], 1),
    ("xgboost", {}, FEATURES[1:], 1),
    ("random_forest", {"max_depth": "3", "n_estimators": "50"}, FEATURES, 1),
    ("gradient_boosting", {}, FEATURES, 1),
    ("gradient_boosting", {"max_depth": "6"}, FEATURES, 1),
    ("logistic_regression", {}, FEATURES, 1),
    ("logistic_regression", {}, FEATURES[:1], 1),
)


@dataclass(frozen=True)
class Rows:
    """Rows of a period in blocks."""

    labels: NDArray[np.bool_]
    blocks: resampling.Blocks
    drawn: NDArray[np.float32]

    def measure(self, predicted: NDArray[np.bool_]) -> resampling.Measured:
        return resampling.measure(self.blocks, self.drawn, self.labels, predicted)


def generate(days: float, seed: int = 7) -> pd.DataFrame:
    """Rows of each minute; a common and an own volatility come in clusters, and by the hour of the day."""
    rng = np.random.default_rng(seed)
    num = int(days * 1440)
    hour = 2 * np.pi * np.arange(num) / 1440
    common = _ar(rng, num, 0.995, 0.06) + 0.3 * np.sin(hour)
    frames = []
    for coin in range(COINS):
        own = _ar(rng, num, 0.98, 0.08)
        deviation = 0.0012 * np.exp(0.9 * common + own + rng.normal(0, 0.2))
        steps = deviation[:, None] * rng.standard_t(4, (num, 6)) + (rng.random((num, 6)) < 0.0005) * 0.01
        path = np.cumsum(steps.ravel()).reshape(num, 6)
        low, high = path.min(axis=1), path.max(axis=1)
        frames.append(
            pd.DataFrame(
                {
                    "mint": f"MADE_{coin:02d}",
                    "timestamp": pd.date_range("2023-05-01", periods=num, freq="min", tz="UTC").strftime(
                        "%F %T+00"
                    ),
                    "phase_id_at_time": 3,
                    "volatility_pct": (100 * np.expm1(high - low)).round(5),
                    "volume_sol": np.exp(3 + 700 * deviation**0.9 + rng.normal(0, 0.7, num))
                    .clip(0, 1e6)
                    .round(3),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _ar(rng: np.random.Generator, num: int, memory: float, deviation: float) -> NDArray[np.float64]:
    values = np.empty(num)
    value = 0.0
    for number, shock in enumerate(rng.normal(0, deviation, num)):
        value = memory * value + shock
        values[number] = value
    return values


def read(url: str, value: str, start: datetime, end: datetime) -> dataset.Dataset:
    """Labelled rows of a period, as a job reads them."""
    label = Label("volatility_pct", ">", value, 5)
    with connect(url) as connection:
        stream = stream_dataset([connection], label, FEATURES, Period(start, end), None)
        return dataset.decode(stream, FEATURES, label, lambda _rows: None)


def fit(
    rows: dataset.Dataset, defaults: dict[str, dict[str, tuple[str, str]]]
) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Models of all recipes, each with the features that it looks at."""
    for model_type, settings, names, seeds in RECIPES:
        given = {name: (defaults[model_type][name][0], value) for name, value in settings.items()}
        params = fitting.parse_params(defaults[model_type] | given)
        columns = tuple(FEATURES.index(name) for name in names)
        for seed in range(seeds):
            # holdout.split would draw the same of so few coins for every seed.
            coins = np.random.default_rng(seed).permutation(len(rows.coin_names))
            chosen = np.flatnonzero(np.isin(rows.coins, coins[: 3 * len(coins) // 4]))
            module = models.load(model_type)
            pipeline = module.make(params, seed, 2)
            fitting.fit(
                module,
                pipeline,
                np.asfortranarray(rows.features[chosen][:, columns]),
                rows.labels[chosen],
                lambda *_: None,
            )
            yield columns, pipeline


def leads(a: resampling.Measured, b: resampling.Measured) -> int:
    """1 if the first has the higher F1 at four digits, then accuracy; -1 if the second, 0 if neither."""
    first, second = ([round(side.exact[name], 4) for name in ("f1", "accuracy")] for side in (a, b))
    return (first > second) - (first < second)


def wins(blocks: resampling.Blocks, a: resampling.Measured, b: resampling.Measured) -> int:
    """1 if the first wins, -1 if the second does, 0 if nobody."""
    found = next(each for each in resampling.difference(blocks, a, b) if each.metric == "f1")
    if found.lower is None or found.upper is None:
        return 0
    beyond = (round(found.lower, 4) > 0) - (round(found.upper, 4) < 0)
    return beyond if beyond == leads(a, b) else 0


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("metrics", nargs="?", type=Path)
    options.add_argument("--pairs", default="%_USDT", help="coins to read, as LIKE has them")
    options.add_argument("--value", default="0.5", help="positive is a volatility_pct above it in 5 minutes")
    options.add_argument("--equals", type=int, default=400)
    options.add_argument("--json", help=argparse.SUPPRESS)
    args = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, servers.start(servers.available()[0]) as server:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute("CREATE DATABASE bench")
        url = psycopg.conninfo.make_conninfo(server, dbname="bench")
        install(url)
        file = args.metrics
        if file is None:
            file = Path(folder) / "made.csv"
            generate(sum(DAYS) + SPLITS / 2).to_csv(file, index=False)
        load(url, file)
        with psycopg.connect(url, autocommit=True) as connection:
            if args.metrics:
                connection.execute("DELETE FROM coin_metrics WHERE mint NOT LIKE %s", [args.pairs])
            ((first, last),) = connection.execute(
                "SELECT min(timestamp), max(timestamp) FROM coin_metrics"
            ).fetchall()
            defaults: dict[str, dict[str, tuple[str, str]]] = {}
            for model_type, name, kind, value in connection.execute(
                "SELECT model_type, name, kind, default_value FROM ref_model_params"
            ):
                defaults.setdefault(model_type, {})[name] = (kind, value)
        evaluate(url, args.value, (first, last), defaults, args.equals)


def evaluate(
    url: str,
    value: str,
    period: tuple[datetime, datetime],
    defaults: dict[str, dict[str, tuple[str, str]]],
    num_equals: int,
) -> None:
    rng = np.random.default_rng(0)
    first, last = period
    space = (last - first - timedelta(days=sum(DAYS))) / (SPLITS - 1)
    totals = np.zeros(5, int)
    exchanged = 0
    for number in range(SPLITS):
        at = first + number * space
        bounds = [at, *(at + timedelta(days=days) for days in np.cumsum(DAYS).tolist())]
        train, *later = (read(url, value, *bounds[part : part + 2]) for part in range(3))
        periods = []
        for rows in later:
            blocks = resampling.blocks_of(rows.times, REACH)
            periods.append(Rows(rows.labels == 1, blocks, resampling.weights(blocks.num)))
        fitted = list(fit(train, defaults))
        answers = [
            [measuring.predict(model, rows.features[:, columns]) > HALF for columns, model in fitted]
            for rows in later
        ]
        measured, after = (
            [period.measure(said) for said in of] for period, of in zip(periods, answers, strict=True)
        )
        pairs = list(combinations(range(len(fitted)), 2))
        blocks = periods[0].blocks
        counted = np.zeros(5, int)
        for a, b in pairs:
            won, led = wins(blocks, measured[a], measured[b]), leads(measured[a], measured[b])
            next_one = leads(after[a], after[b])
            counted += [1, won != 0, won != 0 and won == next_one, led != 0, led != 0 and led == next_one]
        totals += counted
        f1 = sorted(side.exact["f1"] for side in measured)
        print(  # noqa: T201
            f"{bounds[1]:%F %R} to {bounds[2]:%F %R}, {len(later[0]):,} rows, {blocks.num} blocks, "
            f"F1 {f1[0]:.3f} to {f1[-1]:.3f}: {said(counted)}",
            flush=True,
        )
        for _ in range(num_equals // SPLITS + (number < num_equals % SPLITS)):
            a, b = rng.choice(len(fitted), 2, replace=False)
            swaps = (rng.random(blocks.num) < 0.5)[blocks.block_of_row]
            one, other = answers[0][a], answers[0][b]
            sides = (periods[0].measure(np.where(swaps, x, y)) for x, y in ((one, other), (other, one)))
            exchanged += wins(blocks, *sides) != 0
    print(f"together: {said(totals)}")  # noqa: T201
    print(f"equals: a winner in {exchanged} of {num_equals} ({exchanged / num_equals:.1%})")  # noqa: T201


def said(counted: NDArray[np.int64]) -> str:
    pairs, won, lasted, led, led_again = counted.tolist()
    return (
        f"{pairs} pairs, a winner in {won / pairs:.1%}, which led again in {lasted / max(won, 1):.1%}; "
        f"of those that led {led_again / max(led, 1):.1%} led again"
    )


if __name__ == "__main__":
    main()
