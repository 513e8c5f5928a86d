"""Where the time of a TRAIN of xgboost goes, phase by phase, each beside the least that it could take:
``python -m tests.benchmarks.bench_phases --rows 2000000``.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import psycopg
from xgboost import XGBClassifier

from tests.benchmarks import rows
from tests.benchmarks.bench_loading import load, seconds_of_server
from tests.benchmarks.measure import Row, Table, parser
from worker.child import attempt, fitting, holdout, measuring, model_file, models
from worker.child.models._shared import Params

THREADS = 2
SERVER, COPY = "the server alone sends the features", "one copy of the matrix"
FIT, PREDICT = "xgboost alone", "xgboost alone, all shuffles at once"
SORT, FILE = "one sort of the probabilities", "the same bytes, written and synced"


def default_params(url: str, model_type: str) -> Params:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT name, kind, default_value FROM ref_model_params WHERE model_type = %s", [model_type]
        ).fetchall()
    return fitting.parse_params({name: (kind, value) for name, kind, value in found})


class Watch:
    """Times of laps."""

    def __init__(self) -> None:
        self._at = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last one."""
        before, self._at = self._at, time.perf_counter()
        return self._at - before


def measure(url: str, folder: Path) -> list[Row]:
    watch = Watch()
    data = load(url, None)
    loading = watch.lap()
    parts = holdout.split(data, 0.2, 42, 0, 5)
    data.reorder(parts.order)
    splitting = watch.lap()
    fitted, held_out = slice(parts.num_fitted), slice(parts.num_fitted + parts.num_gap, None)
    model_type = models.load("xgboost")
    pipeline = model_type.make(default_params(url, "xgboost"), 42, THREADS)
    watch.lap()
    fitting.fit(model_type, pipeline, data.features[fitted], data.labels[fitted], lambda *_: None)
    fit = watch.lap()
    features, labels = data.features[held_out], data.labels[held_out]
    watch.lap()
    measuring.importance(pipeline, data.names, features, labels, 42)
    importance = watch.lap()
    probabilities = measuring.predict(pipeline, features)
    predicting = watch.lap()
    measuring.score(probabilities, labels)
    measuring.curve(probabilities, labels)
    scoring = watch.lap()
    file = model_file.write(pipeline, data.names, folder / "model.pkl")
    writing = watch.lap()

    server = seconds_of_server(url, cast="")
    watch.lap()
    data.features.copy()
    copying = watch.lap()
    bare = XGBClassifier(n_estimators=100, max_depth=6, learning_rate=0.1, n_jobs=THREADS)
    bare.fit(np.ascontiguousarray(data.features[fitted]), data.labels[fitted])
    bare_fit = watch.lap()
    shuffled = np.tile(features[: measuring.IMPORTANCE_ROWS], (1 + 5 * len(data.names), 1))
    watch.lap()
    bare.get_booster().inplace_predict(shuffled)
    bare_importance = watch.lap()
    bare.get_booster().inplace_predict(features)
    bare_predicting = watch.lap()
    np.sort(probabilities)
    sorting = watch.lap()
    with (folder / "bytes").open("wb") as target:
        target.write(file.path.read_bytes())
        os.fsync(target.fileno())
    bytes_written = watch.lap()
    return [
        Row("load: read, decode, order, label, hash", loading, server, SERVER, "s"),
        Row("hold coins out, put the rows in two parts", splitting, copying, COPY, "s"),
        Row("fit", fit, bare_fit, FIT, "s"),
        Row("importance", importance, bare_importance, PREDICT, "s"),
        Row("predict the held-out rows", predicting, bare_predicting, FIT, "s"),
        Row("scores and curve", scoring, sorting, SORT, "s"),
        Row("write the file", writing, bytes_written, FILE, "s"),
    ]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=200_000)
    args = options.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        rows.database(args.rows) as url,
        attempt.thread_pools().limit(limits={"openmp": THREADS, "blas": 1}),
    ):
        table = Table("Phases of a TRAIN of xgboost", rows.about(url, args.rows))
        for row in measure(url, Path(folder)):
            table.add(row)
        table.show(args.json)


if __name__ == "__main__":
    main()
