"""What a kind of job is given, and what kinds share: reading the models, loading the rows."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psycopg
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from worker.child import dataset, labels, libraries, memory, model_file, models
from worker.child.assignment import Assignment, Model
from worker.child.dataset import Dataset
from worker.child.feature_stats import Bins
from worker.child.model_file import Artifact
from worker.child.progress import Report, seldom
from worker.database import model_files, trained
from worker.database.connection import Connection, UnsuitableDatabaseError, ping
from worker.database.dataset import can_split, count_rows, estimate_rows, no_rows_text, stream_dataset
from worker.database.deadlines import deadline
from worker.errors import JobError, LackError

Result = dict[str, Any]
Stored = TypeVar("Stored")

_WORTH_TWO = 500_000  # rows from which on a second connection pays
_PING_SECONDS = 3.0  # to see whether a connection is still good
_LONGEST_PAUSE_SECONDS = 15.0  # between two trials to store a file
_MORE = 1.5  # times as many rows as foreseen: the room for them is asked for again
_MOST_GUESSED = 1_000_000  # rows that room is made for before they come, where the planner guesses
_ROWS_WITH_TARGET = 5_000  # that are read beside the others
LOADED, SCORED = 0.3, 0.95  # shares of the progress bar


@dataclass(frozen=True)
class Task:
    """A job to do.

    Attributes:
        assignment: what the job asks for.
        job_id: its number.
        attempt: number of this attempt at it.
        model_dir: folder of the model files of this database.
        token: is in the name of every file that this attempt writes.
        threads: how many may compute.
        report: is told of progress, as a share and in words.
        connection: reads; :func:`load_rows` closes it unless the kind has a use for it later.
        connect: opens another.
        started: monotonic time at which the attempt began.
    """

    assignment: Assignment
    job_id: int
    attempt: int
    model_dir: Path
    token: str
    threads: int
    report: Report
    connection: Connection
    connect: Callable[[], Connection]
    started: float

    @property
    def seconds(self) -> float:
        """Time since the attempt began."""
        return round(time.monotonic() - self.started, 3)

    @property
    def path(self) -> Path:
        """File that this attempt writes for its first model."""
        return model_file.path_of(self.model_dir, self.assignment.models[0].id, self.attempt, self.token)


def read_models(task: Task) -> tuple[list[Pipeline], str | None]:
    """Read the files of the task's models, which are fitted: from the folder, or else from the database.

    Returns:
        The models, and what the user should know of them; None where there is nothing.

    Raises:
        JobError: a file is missing, unreadable or altered, or holds no model of its type.
    """
    pipelines, notes = [], []
    for model in task.assignment.models:
        read = model_file.read(model, task.model_dir, partial(model_files.fetch, task.connection, model.id))
        pipelines.append(models.from_file(models.load(model.model_type), read.pipeline, task.threads))
        made_by = libraries.differences(model.library_versions) or read.made_by
        if made_by:
            notes.append(
                f"model {model.id} may predict otherwise than when it was trained: "
                f"{libraries.told(made_by)}; train it again to be sure"
            )
    return pipelines, "; ".join(notes) or None


@dataclass(frozen=True)
class Trained:
    """What a model was fitted on, as far as it is known: of models of before version 8 it is not.

    Attributes:
        bins: how its features were distributed.
        coins: names of the coins, in UTF-8.
    """

    bins: dict[str, Bins]
    coins: frozenset[bytes] | None


def read_trained(task: Task, *, with_coins: bool = True) -> dict[int, Trained]:
    """What the task's models were fitted on, by their numbers; to be read before the rows are loaded."""
    ids = [model.id for model in task.assignment.models]
    bins = trained.feature_bins(task.connection, ids)
    coins = trained.fitted_coins(task.connection, ids) if with_coins else {}
    return {model_id: Trained(bins[model_id], coins.get(model_id)) for model_id in ids}


def rows_with_target(task: Task, model: Model) -> NDArray[np.float64] | None:
    """Where a label is read in the same row: the target and the features of some rows, one row each."""
    if model.label.future_minutes is not None:
        return None
    assignment = task.assignment
    return trained.rows_with_target(
        task.connection,
        [model.label.target, *model.features],
        assignment.period,
        assignment.phases,
        assignment.source,
        most=_ROWS_WITH_TARGET,
    )


def store_file(task: Task, file: Artifact) -> None:
    """Keep the file that an attempt wrote in the database, unless it is too large for that."""
    content = file.path.read_bytes()

    def store(connection: Connection) -> None:
        with suppress(psycopg.errors.ConfigurationLimitExceeded):  # it was lowered at this moment
            if len(content) <= model_files.most_bytes(connection):
                model_files.store(connection, task.job_id, task.attempt, content)

    until_stored(task, "model file", store)


def until_stored(task: Task, what: str, store: Callable[[Connection], Stored]) -> Stored:
    """Have an attempt store what it made.

    By the connection that read the rows, if it is still good; it is closed. A server that is away is waited
    for, however long: what the attempt made took longer.

    Args:
        task: the job.
        what: is stored, in words.
        store: does so; is called again after the connection broke.
    """
    connection = task.connection
    pause_seconds = 1.0
    with suppress(psycopg.Error), deadline(connection, _PING_SECONDS):
        ping(connection)
    while True:
        try:
            if connection.closed:
                connection = task.connect()
            with connection:
                return store(connection)
        except (psycopg.OperationalError, UnsuitableDatabaseError) as error:
            reason = str(error).strip().partition("\n")[0]
            task.report(SCORED, f"Waiting to store the {what}: {reason}")
            time.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)


def load_rows(
    task: Task,
    of: Sequence[Model],
    needs: memory.Needs,
    *,
    with_labels: bool = True,
    stay_connected: bool = False,
    more: int = 0,
    times: float = 1.0,
) -> Dataset:
    """Load the rows of the task's period and phases.

    Args:
        task: the job.
        of: models whose features are loaded; the target is the first one's.
        needs: what the models will do with the rows.
        with_labels: whether only labelled rows are wanted, with their labels; else all are, without.
        stay_connected: whether the kind has a use for the connection afterwards; else it is closed.
        more: bytes that a row takes beside, see :func:`memory.require`.
        times: how many times as many rows are fitted at once as usual.

    Raises:
        JobError: they would not fit into memory, there are none, or a feature is of no use.
    """
    assignment = task.assignment
    features = tuple(dict.fromkeys(feature for model in of for feature in model.features))
    asked = (assignment.period, assignment.phases, assignment.source)
    expected = max(1, estimate_rows(task.connection, *asked))
    label = of[0].label if with_labels else None
    label_bytes = labels.load(label.kind).BYTES if label else 0

    before = memory.resident()

    def require_memory(rows: int) -> None:
        taken = memory.resident() - before
        memory.require(
            needs,
            {model.model_type for model in of},
            rows,
            len(features),
            label_bytes,
            more=more,
            times=times,
            taken=taken,
        )

    try:
        require_memory(expected)
    except (JobError, LackError):
        if assignment.source.is_counted:
            raise
        # The planner guesses at a view: nobody is refused, and nothing waits, for a guess.
        expected = max(1, count_rows(task.connection, *asked))
        require_memory(expected)

    report = seldom(task.report)
    foreseen = expected

    def loaded(rows: int) -> None:
        nonlocal foreseen
        if rows > _MORE * foreseen and not assignment.source.is_counted:
            foreseen = rows
            require_memory(int(_MORE * rows))
        report(LOADED * min(1, rows / expected), f"Loading: {rows} of about {max(rows, expected)} rows")

    task.report(0, f"Loading: about {expected} rows")
    with ExitStack() as stack:
        connections = [task.connection]
        if expected >= _WORTH_TWO and task.threads > 1 and can_split(task.connection, *asked):
            # Where there is no other to be had, one does as well, only slower.
            with suppress(psycopg.Error, UnsuitableDatabaseError):
                connections.append(stack.enter_context(task.connect()))
        stream = stream_dataset(
            connections,
            label,
            features,
            assignment.period,
            assignment.phases,
            source=assignment.source,
        )
        room = expected if assignment.source.is_counted else min(expected, _MOST_GUESSED)
        try:
            rows = dataset.decode(stream, features, label, loaded, expected_rows=room, threads=task.threads)
        except dataset.NoRowsError:
            raise JobError(no_rows_text(task.connection, *asked)) from None
    if not stay_connected:
        task.connection.close()
    return rows
