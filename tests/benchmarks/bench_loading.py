"""Reading features and labels, from the connection to what an estimator takes:
``python -m tests.benchmarks.bench_loading --rows 2000000``.

Beside a naive script (``fetchall``, a DataFrame, ``pd.to_numeric``), beside the smartest ones, beside what
the server alone takes to cast and send the same (``EXPLAIN (ANALYZE, SERIALIZE BINARY)``, one process), and
the peak of a fresh process's memory beside the matrix that it ends with.
"""

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import psycopg

from tests.benchmarks import rivals, rows
from tests.benchmarks.measure import Row, Table, alternate, parser, seconds_of
from worker.child import dataset
from worker.child.assignment import Period
from worker.child.labels import Label
from worker.database.connection import connect
from worker.database.dataset import estimate_rows, stream_dataset

HORIZON, FAR = 5, 60
NAMES = tuple(rows.FEATURES.split(","))


def load(url: str, future_minutes: int | None, kind: str = "value") -> dataset.Dataset:
    """As a worker's child does; of another kind of label, that the target rises by 30 %."""
    period = Period(rows.START, rows.end(rows.ROWS_A_COIN))
    label = Label(rows.TARGET, ">", str(rows.THRESHOLD), future_minutes)
    if kind != "value":
        stop = "-30" if kind == "first_touch" else None
        label = Label(rows.TARGET, ">=", "30", future_minutes, kind, rows.TARGET, stop)
    with connect(url) as first, connect(url) as second:
        expected = estimate_rows(first, period, None)
        stream = stream_dataset([first, second], label, NAMES, period, None)
        return dataset.decode(stream, NAMES, label, lambda _rows: None, expected_rows=expected, threads=2)


def seconds_of_server(url: str, cast: str = "::float8") -> float:
    """To send the features by one process, as a type or, with an empty cast, as they are stored."""
    features = ", ".join(f"{name}{cast}" for name in NAMES)
    label = f"CASE WHEN {rows.TARGET} > {rows.THRESHOLD} THEN 1 ELSE 0 END::int2"
    query = f"SELECT mint, timestamp, {label}, {features} FROM coin_metrics"
    with psycopg.connect(url) as connection:
        plan = connection.execute(
            f"EXPLAIN (ANALYZE, TIMING OFF, SERIALIZE BINARY) {query}".encode()
        ).fetchall()
    (found,) = re.findall(r"Execution Time: ([\d.]+) ms", str(plan))
    return float(found) / 1000


def peak_of_memory(url: str) -> tuple[float, float]:
    """Peak above what imports take, and the size of the matrix, in MB, of a process that only loads."""
    answer = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.bench_loading", "--peak", url],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    return float(answer[0]), float(answer[1])


def _tell_peak(url: str) -> None:
    def status(key: str) -> float:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1000

    before = status("VmRSS")
    matrix = load(url, None).features
    print(status("VmHWM") - before, matrix.nbytes / 1e6)  # noqa: T201


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=500_000)
    options.add_argument("--peak", metavar="URL", help="only load, and tell the peak of the memory")
    args = options.parse_args()
    if args.peak:
        _tell_peak(args.peak)
        return
    with rows.database(args.rows) as url:
        table = Table("Loading", rows.about(url, args.rows))
        ours, ahead, on_the_way, far, first, script, server, *others = alternate(
            [
                partial(seconds_of, load, url, None),
                partial(seconds_of, load, url, HORIZON),
                partial(seconds_of, load, url, HORIZON, "highest_change"),
                partial(seconds_of, load, url, FAR, "highest_change"),
                partial(seconds_of, load, url, FAR, "first_touch"),
                partial(seconds_of, rows.load_as_script, url, rows.end(rows.ROWS_A_COIN)),
                partial(seconds_of_server, url),
                *(partial(seconds_of, theirs, url) for theirs in rivals.WITHOUT_HORIZON.values()),
                *(partial(seconds_of, theirs, url, HORIZON) for theirs in rivals.WITH_HORIZON.values()),
            ],
            args.repeats,
        )
        names = [*rivals.WITHOUT_HORIZON, *rivals.WITH_HORIZON]
        took = dict(zip(names, others, strict=True))
        table.add(Row("features and labels", ours, script, "script", "s", at_least=8))
        table.add(Row("features and labels", ours, server, "server alone, one process", "s", at_most=1.3))
        for name in rivals.WITHOUT_HORIZON:
            table.add(Row("features and labels", ours, took[name], name, "s", at_most=0.9))
        for name in rivals.WITH_HORIZON:
            table.add(Row("with a horizon", ahead, took[name], name, "s", at_most=0.8))
        table.add(Row("with a horizon", ahead, ours, "without", "s", at_most=2))
        for label, took_label in (
            (f"highest_change, {HORIZON} minutes", on_the_way),
            (f"highest_change, {FAR} minutes", far),
            (f"first_touch, {FAR} minutes", first),
        ):
            table.add(Row(label, took_label, ahead, "value with a horizon", "s", at_most=1.3))
        peak, matrix = peak_of_memory(url)
        table.add(
            Row("peak of memory above the imports", peak, matrix, "the matrix, float32", "MB", at_most=1.6)
        )
        table.show(args.json)


if __name__ == "__main__":
    main()
