"""SCORE: asks a model about all rows of a period, and stores its answers."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import psycopg
from numpy.typing import NDArray

from worker.child.dataset import Dataset
from worker.child.found import of_answers
from worker.child.measuring import predict
from worker.child.progress import seldom
from worker.child.task import LOADED, SCORED, Result, Task, load_rows, read_models, read_trained, until_stored
from worker.database import predictions
from worker.database.connection import Connection, may_pass
from worker.errors import JobError, LackError
from worker.protocol import Recorded

# Another holds the job, or this attempt has completed it: a COMMIT was under way when its answer was lost.
_TOO_LATE = {"ML001", "ML006"}
PART_ROWS = 50_000  # are predicted while the server stores those before


@dataclass(frozen=True)
class Answers:
    """Rows, and their answers as far as they are known.

    Attributes:
        rows: the rows.
        probabilities: shape (rows,).
        are_known: for each part, whether its probabilities are there.
    """

    rows: Dataset
    probabilities: NDArray[np.float64]
    are_known: tuple[Future[None], ...]

    @property
    def parts(self) -> list[tuple[slice, Future[None]]]:
        """The rows of each part, and whether its probabilities are there."""
        starts = range(0, len(self.rows), PART_ROWS)
        slices = [slice(start, start + PART_ROWS) for start in starts]
        return list(zip(slices, self.are_known, strict=True))


def run(task: Task) -> Recorded:
    """Predict part after part, and have each stored meanwhile.

    The result is a row of ``ml_scorings``; it is recorded here, in the transaction of the answers.

    Raises:
        JobError: the answers cannot be stored.
        LackError: not now.
    """
    (model,) = task.assignment.models
    (pipeline,), note = read_models(task)
    trained = read_trained(task, with_coins=False)
    rows = load_rows(task, [model], "TO_PREDICT", with_labels=False, stay_connected=True)
    seconds_loading, started = task.seconds, time.monotonic()

    def result() -> Result:
        return of_answers(rows, model, trained[model.id], answers.probabilities) | {
            "data_fingerprint": rows.fingerprint,
            "note": note,
            "seconds_loading": seconds_loading,
            "seconds_scoring": round(time.monotonic() - started, 3),
        }

    num_parts = -(-len(rows) // PART_ROWS)
    answers = Answers(rows, np.empty(len(rows)), tuple(Future[None]() for _ in range(num_parts)))
    with ThreadPoolExecutor(1) as pool:
        stored = pool.submit(_store, task, answers, result)
        # Here and not there: how many threads may compute is said of this one.
        for part, known in answers.parts:
            if stored.done():
                break
            try:
                answers.probabilities[part] = predict(pipeline, rows.features[part])
            except BaseException as error:
                known.set_exception(error)
                break
            known.set_result(None)
        return Recorded(stored.result())


def _store(task: Task, answers: Answers, result: Callable[[], Result]) -> int:
    """Store all answers with the result, or nothing; returns the id of the result."""
    job = task.job_id, task.attempt
    try:
        return until_stored(task, "answers", lambda connection: _try(connection, task, answers, result))
    except psycopg.Error as error:
        if error.sqlstate in _TOO_LATE:
            found = until_stored(
                task, "answers", lambda connection: predictions.find_scoring(connection, *job)
            )
            if found is not None:
                return found
        reason = str(error.diag.message_primary or error)[:300]
        raise JobError(f"its answers cannot be stored: {reason}") from error


def _try(connection: Connection, task: Task, answers: Answers, result: Callable[[], Result]) -> int:
    job = task.job_id, task.attempt
    if (found := predictions.find_scoring(connection, *job)) is not None:
        return found
    rows, report = answers.rows, seldom(task.report)
    try:
        predictions.begin(connection)
        for part, known in answers.parts:
            known.result()
            coins = rows.coins[part]
            first, last = int(coins[0]), int(coins[-1])
            predictions.store(
                connection,
                *job,
                names=[name.decode() for name in rows.coin_names[first : last + 1]],
                coins=coins - (first - 1),
                times=rows.times[part],
                probabilities=answers.probabilities[part],
            )
            done = min(part.stop, len(rows))
            share = LOADED + (SCORED - LOADED) * done / len(rows)
            report(share, f"Scoring: {done} of {len(rows)} rows stored")
        return predictions.commit(connection, *job, result())
    except psycopg.OperationalError as error:
        if may_pass(connection, error):
            reason = str(error.diag.message_primary or error)[:300]
            raise LackError("machine", f"the server does not take the answers now: {reason}") from error
        raise
