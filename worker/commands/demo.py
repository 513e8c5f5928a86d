"""The demo: trains, tests and compares models by nothing but rows inserted into ``ml_jobs``."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from worker.commands.install import install
from worker.commands.load import load
from worker.commands.programs import run_psql
from worker.database.connection import Connection, connect
from worker.database.jobs import (
    EXAMPLES,
    copy_metrics,
    count_metrics,
    fetch_best_model_ids,
    fetch_jobs,
    fetch_model_ids,
    has_metrics,
    insert_job,
    insert_job_text,
    question_text,
)
from worker.errors import DemoError
from worker.settings import program_name

MODEL_TYPES = ("random_forest", "xgboost", "gradient_boosting", "logistic_regression", "neural_network")


@dataclass(frozen=True)
class Task:
    """What the demo's models predict, from what and when; the default: a rise by 50 % in a minute."""

    metrics: Path | None = None
    label: str | None = "highest_change"
    target: tuple[str, str, str] = ("price_close", ">=", "50")
    base: str | None = None
    stop: str | None = None
    uncovered: str | None = None
    features: str = "price_close,volume_sol,buy_pressure_ratio"
    phases: str | None = "1,2,3"
    horizon: int | None = 1
    train: tuple[str, str] = ("2024-01-01", "2024-03-01")
    test: tuple[str, str] = ("2024-03-01", "2024-04-01")


def run(url: str, task: Task, model_dir: Path) -> None:
    """Show five models being trained, tested and compared on the rows of the task's periods.

    Raises:
        DemoError: a job did not complete, or sample rows would mix with the user's.
        LoadError: the file of ``task.metrics`` is bad.
        psycopg.Error: the server refuses.
    """
    console = Console()
    install(url)
    _fill(url, task, console)
    with connect(url, role="ml_client") as client, _Worker(url, model_dir) as worker:
        question = question_text(client, _play(client, task, worker, console))
    _report(url, question, console)
    program = program_name()
    console.print(
        "All of it is yours now. Go on in two terminals:\n",
        f"  [bold]{program} run[/bold]    a worker, which runs the jobs",
        f"  [bold]{program} psql[/bold]   SQL, and there: SELECT * FROM ml.help();",  # noqa: S608  # shown, not run
        sep="\n",
        highlight=False,
        soft_wrap=True,
    )


def _fill(url: str, task: Task, console: Console) -> None:
    """Load the rows, unless the periods have some already: then those are used."""
    span = (task.train[0], task.test[1])
    with connect(url) as connection:
        if rows := count_metrics(connection, *span):
            unused = "" if task.metrics is None else f" {task.metrics} was not loaded."
            console.print(
                f"coin_metrics has {rows:,} rows between {span[0]} and {span[1]}, which are used.{unused}\n"
            )
            return
        if task.metrics is None:
            if has_metrics(connection):
                raise DemoError(
                    f"coin_metrics of the database {connection.info.dbname} has rows of yours, with which "
                    "sample rows would mix. Run the demo on them: ml-worker demo --target … --features … "
                    "--train … --test …; or on the sample elsewhere: ML_HOME=demo ml-worker demo"
                )
            from worker.commands import sample  # noqa: PLC0415  # pandas is slow to import, and needed here alone

            console.print(f"Making sample data: {sample.COINS} coins from seed {sample.SEED}")
            metrics = sample.make_metrics()
            rows = copy_metrics(connection, list(metrics.columns), sample.to_csv(metrics))
        else:
            loaded = load(url, task.metrics)
            rows = loaded.counts.rows
            for note in loaded.notes:
                console.print(note, highlight=False, markup=False)
    console.print(f"Loaded {rows:,} rows into coin_metrics\n")


def _play(client: Connection, task: Task, worker: "_Worker", console: Console) -> int:
    """Insert the jobs as a user with the role ``ml_client`` would, and show what becomes of them.

    Returns:
        The id of the best model.
    """
    variable, operator, value = task.target
    wanted: dict[str, Any] = {
        "job_type": "TRAIN",
        "status": "PENDING",
        "priority": 5,
        "train_label": task.label,
        "train_target_var": variable,
        "train_operator": operator,
        "train_value": value,
        "train_stop_value": task.stop,
        "train_future_minutes": task.horizon,
        "train_base_var": task.base,
        "train_uncovered": task.uncovered,
        "train_start": task.train[0],
        "train_end": task.train[1],
        "train_features_csv": task.features,
        "train_phases_csv": task.phases,
    }
    train = {name: value for name, value in wanted.items() if value is not None}

    console.rule("Train a model of each type")
    jobs = [train | {"train_model_type": model_type} for model_type in MODEL_TYPES]
    ids = _insert(client, jobs, console)
    _watch(client, ids, worker, console)
    models = fetch_model_ids(client, ids)

    console.rule("Test each on a period that none has seen")
    test: dict[str, Any] = {"job_type": "TEST", "status": "PENDING"}
    period = {"test_start": task.test[0], "test_end": task.test[1]}
    tests = [test | period | {"test_model_id": model_id} for model_id in models]
    ids = _insert(client, tests, console)
    _watch(client, ids, worker, console)

    console.rule("Compare the best two on the same rows")
    best, second = fetch_best_model_ids(client, models, 2)
    compare = {
        "job_type": "COMPARE",
        "status": "PENDING",
        "compare_model_a_id": best,
        "compare_model_b_id": second,
        "compare_start": task.test[0],
        "compare_end": task.test[1],
    }
    _watch(client, _insert(client, [compare], console), worker, console)
    return best


def _report(url: str, question: str, console: Console) -> None:
    """Show the results by the queries that a user would type, as psql prints them, and then ask the best."""
    console.rule("The results")
    for query in EXAMPLES:
        _show(query, url, console)
    console.rule("Which of my coins?")
    _show(question, url, console)


def _show(query: str, url: str, console: Console) -> None:
    console.print(Syntax(query, "sql", background_color="default", word_wrap=True))
    sys.stdout.flush()
    run_psql(["-X", "-q", "-P", "pager=off", "-c", query], url)


def _insert(client: Connection, jobs: Sequence[dict[str, Any]], console: Console) -> list[int]:
    console.print(Syntax(insert_job_text(client, jobs[0]), "sql", background_color="default", word_wrap=True))
    if len(jobs) > 1:
        console.print(f"… and {len(jobs) - 1} more")
    return [insert_job(client, job) for job in jobs]


def _watch(client: Connection, ids: Sequence[int], worker: "_Worker", console: Console) -> None:
    """Show the jobs until all have ended."""
    with Live(console=console, refresh_per_second=8) as live:
        while True:
            jobs = fetch_jobs(client, ids)
            live.update(_draw(jobs))
            if all(job["completed_at"] for job in jobs):
                break
            worker.require_alive()
            time.sleep(0.1)
    console.print()
    if failed := [job for job in jobs if job["status"] != "COMPLETED"]:
        raise DemoError(
            "\n".join(f"job {job['id']} is {job['status']}: {job['error_msg']}" for job in failed)
        )


def _draw(jobs: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("job", "type", "model", "status", "progress"):
        table.add_column(name, no_wrap=True)
    table.add_column()  # gives way where the terminal is narrow
    colours = {"RUNNING": "yellow", "COMPLETED": "green", "FAILED": "red", "CANCELLED": "red"}
    for job in jobs:
        colour = colours.get(job["status"], "dim")
        table.add_row(
            str(job["id"]),
            job["job_type"],
            job["model"],
            f"[{colour}]{job['status']}[/]",
            ProgressBar(total=1, completed=float(job["progress"]), width=10),
            Text(job["progress_msg"] or "", no_wrap=True, overflow="ellipsis"),
        )
    return table


class _Worker:
    """A worker of its own process, as an operator would start it; its log goes above the models."""

    def __init__(self, url: str, model_dir: Path) -> None:
        self.url = url
        self.model_dir = model_dir

    def require_alive(self) -> None:
        """Raise DemoError if the worker has ended."""
        if self.process.poll() is not None:
            raise DemoError(f"the worker ended; its log is {self.log.name}")

    def __enter__(self) -> "_Worker":
        self.model_dir.mkdir(parents=True, exist_ok=True)
        self.log = (self.model_dir.parent / "demo.log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "worker", "run", "--concurrency", "2", "--model-dir", str(self.model_dir)],
            env=os.environ | {"DATABASE_URL": self.url},
            stdout=self.log,
            stderr=self.log,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()
        self.log.close()
