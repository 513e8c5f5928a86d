"""Large data: the memory of a whole worker that trains xgboost, and its time for a row beside few rows':
``python -m tests.benchmarks.bench_memory --rows 20000000``.

The memory is the sum of the peaks of the supervisor and of all its children (``VmHWM``), read until the end.
"""

import tempfile
import threading
import time
from pathlib import Path

import psycopg

from tests.benchmarks import rows
from tests.benchmarks.bench_jobs import TRAIN, complete, worker
from tests.benchmarks.measure import Row, Table, alternate, parser

LIMIT = 4 * 2**30 / 1e6


def peaks(process: int, found: dict[int, float]) -> None:
    """Note the peak so far of a process and of its children, in MB."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    for one in (process, *map(int, children)):
        try:
            lines = Path(f"/proc/{one}/status").read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith("VmHWM"):
                found[one] = int(line.split()[1]) * 1.024 / 1000


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    args = options.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        rows.database(args.rows) as url,
        psycopg.connect(url, autocommit=True) as connection,
        worker(url, Path(name)) as process,
    ):
        found: dict[int, float] = {}
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.1):
                peaks(process.pid, found)

        watcher = threading.Thread(target=watch)
        watcher.start()

        def train(minutes: int) -> float:
            job = TRAIN | {"train_end": rows.end(minutes), "train_model_type": "xgboost"}
            return complete(connection, **job)

        started = time.perf_counter()
        whole, tenth = alternate(
            [lambda: train(rows.ROWS_A_COIN), lambda: train(rows.ROWS_A_COIN // 10)], args.repeats
        )
        ended.set()
        watcher.join()
        # Children come one after another; beside the greatest there is one that waits for the next job.
        supervisor = found.pop(process.pid)
        greatest, *others = sorted(found.values(), reverse=True)
        memory = supervisor + greatest + min(others, default=0)
        table = Table(
            "Large data", rows.about(url, args.rows) | {"took": f"{time.perf_counter() - started:.0f} s"}
        )
        table.add(Row("memory of the worker, TRAIN of xgboost", memory, LIMIT, "4 GiB", "MB", at_most=1))
        table.add(
            Row(
                "seconds for a million rows",
                whole / args.rows * 1e6,
                tenth / args.rows * 1e7,
                "a tenth of the rows",
                "s",
                at_most=1.3,
            )
        )
        table.show(args.json)


if __name__ == "__main__":
    main()
