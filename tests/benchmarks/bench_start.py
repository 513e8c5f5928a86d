"""How soon ``ml-worker run`` listens, and what it takes then: ``python -m tests.benchmarks.bench_start``.

The start is from the process to its log line "listening", on a server that is up: one that ``DATABASE_URL``
names, and the embedded one in ``ML_HOME``. Memory is what is resident (VmRSS) of the supervisor alone; its
processor time is that of all its threads over some seconds in which it polls as usual.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tests.benchmarks import measure
from worker.commands.install import install
from worker.embedded import Server

START_SECONDS = 1.5
MEMORY_MIB = 60
CPU_PERCENT = 0.1
WARM_SECONDS = 5  # after which the child has imported all it needs
LIMIT = "the limit"


@contextmanager
def listening_worker(**environment: str) -> Iterator[tuple[subprocess.Popen[str], float]]:
    """A worker that listens, and the seconds that it took to."""
    with tempfile.TemporaryDirectory() as models:
        began = time.monotonic()
        worker = subprocess.Popen(
            [sys.executable, "-m", "worker", "run", "--model-dir", models],
            env=os.environ | environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert worker.stderr is not None
            for line in worker.stderr:
                if " listening " in line:
                    break
            yield worker, time.monotonic() - began
        finally:
            worker.terminate()
            worker.communicate()


def start(**environment: str) -> Callable[[], float]:
    """Gives what measures one start, in seconds."""

    def seconds() -> float:
        with listening_worker(**environment) as (_, took):
            return took

    return seconds


def memory_mib(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def cpu_seconds(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("--idle", type=float, default=20, metavar="SECONDS")
    options = parser.parse_args()
    memory, percent = [], []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = Server(Path(folder))
        server.start(prepare=install)
        try:
            remote, embedded = {"DATABASE_URL": server.url()}, {"DATABASE_URL": "", "ML_HOME": folder}
            by_url, by_home = measure.alternate([start(**remote), start(**embedded)], options.repeats)
            for _ in range(2):
                with listening_worker(**remote) as (worker, _):
                    time.sleep(WARM_SECONDS)
                    before = cpu_seconds(worker.pid)
                    time.sleep(options.idle)
                    percent.append(100 * (cpu_seconds(worker.pid) - before) / options.idle)
                    memory.append(memory_mib(worker.pid))
        finally:
            server.stop()
    table = measure.Table("Start", {"repeats": options.repeats, "idle seconds": int(options.idle)})
    for what, seconds in (("by DATABASE_URL", by_url), ("on the embedded server", by_home)):
        row = measure.Row(f"start to listening, {what}", seconds, START_SECONDS, LIMIT, "s", at_most=1)
        table.add(row)
    table.add(measure.Row("memory of the supervisor", median(memory), MEMORY_MIB, LIMIT, "MiB", at_most=1))
    table.add(
        measure.Row(
            "processor time while idle", median(percent), CPU_PERCENT, LIMIT, "% of a core", at_most=1
        )
    )
    table.show(options.json)


if __name__ == "__main__":
    main()
