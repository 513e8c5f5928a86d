"""What it costs to look at the way to the horizon, beside the one row at its end:
``python -m tests.benchmarks.bench_labels --rows 2000000 --repeats 3``.

Loading alone, and whole TRAIN jobs; each by the clock, and by the processor time of the worker and the server
together, which others on the machine disturb less.
"""

import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg

from tests.benchmarks import rows
from tests.benchmarks.bench_jobs import TRAIN, WARM_SECONDS, complete, worker
from tests.benchmarks.measure import Row, Table, alternate, parser
from worker.child import dataset
from worker.child.assignment import Period
from worker.child.labels import Label
from worker.database.connection import connect
from worker.database.dataset import estimate_rows, stream_dataset

ROWS_A_COIN = 10_000  # a week, in which a day is covered
NAMES = tuple(rows.FEATURES.split(","))
END = rows.end(ROWS_A_COIN)
MINUTES = (5, 60, 1440)


def label(kind: str, minutes: int) -> Label:
    """The target above a threshold, or with another kind a rise by 30 %."""
    if kind == "value":
        return Label(rows.TARGET, ">", str(rows.THRESHOLD), minutes)
    return Label(
        rows.TARGET, ">=", "30", minutes, kind, rows.TARGET, "-30" if kind == "first_touch" else None
    )


def load(url: str, of: Label) -> None:
    """As a worker's child does."""
    period = Period(rows.START, END)
    with connect(url) as first, connect(url) as second:
        expected = estimate_rows(first, period, None)
        stream = stream_dataset([first, second], of, NAMES, period, None)
        dataset.decode(stream, NAMES, of, lambda _rows: None, expected_rows=expected, threads=2)


def train(connection: psycopg.Connection, of: Label) -> float:
    """A TRAIN job of xgboost, from the INSERT until it is COMPLETED."""
    job = TRAIN | {
        "train_end": END,
        "train_model_type": "xgboost",
        "train_label": of.kind,
        "train_operator": of.operator,
        "train_value": of.value,
        "train_base_var": of.base,
        "train_stop_value": of.stop_value,
        "train_future_minutes": of.future_minutes,
    }
    return complete(connection, **job)


def processor_seconds(*roots: int) -> float:
    """What these processes and all their descendants have had of the processors."""
    found, total = list(roots), 0
    while found:
        one = found.pop()
        try:
            fields = Path(f"/proc/{one}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            found += map(int, Path(f"/proc/{one}/task/{one}/children").read_text(encoding="ascii").split())
        except OSError:
            continue
        total += sum(map(int, fields[11:15]))  # its own, and that of children which have ended
    return total / os.sysconf("SC_CLK_TCK")


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=200_000)
    args = options.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        rows.database(args.rows, ROWS_A_COIN) as url,
        psycopg.connect(url, autocommit=True) as connection,
        worker(url, Path(name)) as process,
    ):
        (folder,) = connection.execute("SHOW data_directory").fetchone() or ("",)
        server = int(Path(folder, "postmaster.pid").read_text(encoding="ascii").split()[0])
        table = Table("Labels", rows.about(url, args.rows) | {"rows a coin": ROWS_A_COIN})
        took: dict[tuple[str, Label, int], float] = {}

        def measure(what: str, of: Label, call: Callable[[], float | None], root: int) -> float:
            before, started = processor_seconds(root, server), time.perf_counter()
            seconds = call() or time.perf_counter() - started
            took[what, of, len(took)] = processor_seconds(root, server) - before
            return seconds

        for what, call, root, kinds in (
            ("loading", partial(load, url), os.getpid(), ("value", "highest_change", "first_touch")),
            ("TRAIN of xgboost", partial(train, connection), process.pid, ("value", "highest_change")),
        ):
            for minutes in MINUTES:
                labels = [label(kind, minutes) for kind in kinds]
                took.clear()
                by_clock = alternate(
                    [partial(measure, what, of, partial(call, of), root) for of in labels], args.repeats
                )
                by_processor = [
                    sorted(seconds for (_, one, _), seconds in took.items() if one == of)[args.repeats // 2]
                    for of in labels
                ]
                for place, kind in enumerate(kinds[1:], 1):
                    for found, by in ((by_clock, ""), (by_processor, ": processors")):
                        said = f"{what}, {kind}, {minutes} minutes{by}"
                        reference = "value with that horizon"
                        table.add(Row(said, found[place], found[0], reference, "s", at_most=1.3))
        time.sleep(WARM_SECONDS)
        table.show(args.json)


if __name__ == "__main__":
    main()
