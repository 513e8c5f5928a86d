"""Fitting, beside the stock estimators of scikit-learn with the same hyperparameters:
``python -m tests.benchmarks.bench_fitting --rows 200000 --boosting-rows 20000``.

The same rows for both, in turn, on all cores; with NaN where the stock estimator takes it. ROC AUC is of
100,000 other rows.
"""

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import roc_auc_score

from tests.benchmarks.measure import Row, Table, alternate, parser
from worker.child import fitting, models

CORES = len(os.sched_getaffinity(0))
OTHER_ROWS = 100_000
FOREST = {"n_estimators": 100, "max_depth": 10, "min_samples_split": 2}
OTHERS_OF_FOREST = {
    "min_samples_leaf": 1,
    "max_features": "sqrt",
    "max_leaf_nodes": None,
    "criterion": "gini",
    "bootstrap": True,
    "class_weight": None,
}
BOOSTING = {"n_estimators": 100, "max_depth": 3, "learning_rate": 0.1}
# (rows, goal): the forest is not to be slower with few rows either.
FEW_ROWS = ((1_000, 1.0), (5_000, 1.0), (20_000, 1.0))


def make(num_rows: int, missing: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ten features with heavy tails, of which six tell something of the label."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(num_rows, 10)).astype(np.float32)
    a, b, c, d, e, f = features[:, :6].T
    chance = 1 / (1 + np.exp(-(1.5 * a - b + np.sin(3 * c) + d * e + 0.5 * (f > 0.7))))
    labels = (rng.random(num_rows) < chance).astype(np.uint8)
    features = np.exp(2 * features)
    features[rng.random(features.shape) < missing] = np.nan
    return features, labels


def ours(model_type: str, params: dict[str, Any], features: np.ndarray, labels: np.ndarray) -> Any:
    module = models.load(model_type)
    pipeline = module.make(params, 42, CORES)
    fitting.fit(module, pipeline, features, labels, lambda _share, _message: None)
    return pipeline


def compare(
    table: Table,
    what: str,
    num_rows: int,
    missing: float,
    goal: float,
    fits: list[Callable[..., Any]],
    repeats: int,
) -> None:
    features, labels = make(num_rows, missing, 0)
    others, expected = make(OTHER_ROWS, missing, 1)
    models: dict[int, Any] = {}

    def measure(number: int) -> float:
        started = time.perf_counter()
        models[number] = fits[number](features, labels)
        return time.perf_counter() - started

    found = alternate([lambda: measure(0), lambda: measure(1)], repeats)
    areas = [roc_auc_score(expected, models[number].predict_proba(others)[:, 1]) for number in (0, 1)]
    text = f"{what}, {num_rows:,} rows{', a tenth NaN' if missing else ''}"
    text += f": ROC AUC {areas[0]:.4f}, stock {areas[1]:.4f}"
    table.add(Row(text, found[0], found[1], "scikit-learn, stock", "s", at_least=goal))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=50_000)
    options.add_argument("--boosting-rows", type=int, default=20_000)
    args = options.parse_args()
    table = Table("Fitting", {"features": 10})

    def stock_forest(features: np.ndarray, labels: np.ndarray) -> Any:
        return RandomForestClassifier(**FOREST, n_jobs=-1, random_state=42).fit(features, labels)

    def forest(features: np.ndarray, labels: np.ndarray) -> Any:
        return ours("random_forest", FOREST | OTHERS_OF_FOREST, features, labels)

    def stock_boosting(features: np.ndarray, labels: np.ndarray) -> Any:
        return GradientBoostingClassifier(**BOOSTING, random_state=42).fit(features, labels)

    def boosting(features: np.ndarray, labels: np.ndarray) -> Any:
        return ours("gradient_boosting", BOOSTING, features, labels)

    for num_rows, goal in (*FEW_ROWS, (args.rows, 6.0)):
        for missing in (0.0, 0.1):
            compare(table, "random_forest", num_rows, missing, goal, [forest, stock_forest], args.repeats)
    compare(
        table, "gradient_boosting", args.boosting_rows, 0.0, 40.0, [boosting, stock_boosting], args.repeats
    )
    table.show(args.json)


if __name__ == "__main__":
    main()
