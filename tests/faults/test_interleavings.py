"""Expiry, takeover, cancel and late finishes in every order: one end, one result, no stale write.

A lease of zero seconds is over at once, so no test waits for one. ``Job`` of ``protocol.py`` predicts every
outcome; the tables are checked against the events alone.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from itertools import combinations_with_replacement, permutations, product

import pytest
from psycopg.rows import DictRow

from tests.conftest import TRAIN, Connection, Database, insert_job, job_row, ready_model, until
from tests.faults.protocol import TERMINAL, Job, call, violations
from tests.sql.helpers import TEST_PERIOD

FINISHES = ("record", "fail", "lose", "release")
FENCED = (*FINISHES, "progress")
CALLS = (*FENCED, "claim", "expire", "cancel")
SKIPPING = ("claim", "expire")  # they pass over a job that another session has locked
NEVER_CLAIMED = 9
SERIALIZATION_FAILURE = "40001"


@dataclass
class Sessions:
    """Sessions of clients and of workers by number, and one that watches; one job is open at a time."""

    clients: list[Connection]
    workers: list[Connection]
    watcher: Connection
    pool: ThreadPoolExecutor
    model_id: int

    def who(self, name: str, number: int) -> Connection:
        return (self.clients if name == "cancel" else self.workers)[number]

    def insert(self, job: Job) -> int:
        fields = TRAIN if job.job_type == "TRAIN" else {"test_model_id": self.model_id, **TEST_PERIOD}
        fields = fields | {"job_type": job.job_type, "max_attempts": job.max_attempts}
        return insert_job(self.clients[0], **fields)

    def call(self, name: str, number: int, job_id: int, job: Job, attempt: int = 1) -> str:
        return call(self.who(name, number), name, job_id, attempt, job.job_type)

    def send(self, name: str, number: int, job_id: int, job: Job) -> Future[str]:
        """Call in another thread; returns when the call is done or waits for a lock."""
        pid = self.who(name, number).info.backend_pid
        future = self.pool.submit(self.call, name, number, job_id, job)

        def is_settled() -> bool:
            waits = "SELECT FROM pg_locks WHERE pid = %s AND NOT granted"
            return future.done() or bool(self.watcher.execute(waits, [pid]).fetchall())

        until(is_settled, f"{name} to end or to wait")
        return future

    def close(self, job_id: int) -> None:
        """End the job, so that the next test has the queue for itself."""
        assert violations(self.watcher, [job_id]) == []
        if job_row(self.watcher, job_id)["status"] not in TERMINAL:
            self.clients[0].execute("CALL ml.cancel_job(%s)", [job_id])
            assert violations(self.watcher, [job_id]) == []


@pytest.fixture(scope="module")
def sessions(make_database: Callable[[], Database]) -> Iterator[Sessions]:
    db = make_database()
    with ExitStack() as stack:
        clients, workers = (
            [stack.enter_context(db.connect(user)) for _ in range(3)] for user in ("anna", "wanda")
        )
        pool = stack.enter_context(ThreadPoolExecutor(3))
        watcher = stack.enter_context(db.connect("rosa"))
        yield Sessions(clients, workers, watcher, pool, ready_model(clients[0], workers[0]))


def interleavings(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Every order in which sessions with so many steps can take them: the numbers of the sessions."""
    if not any(lengths):
        yield []
    for number, length in enumerate(lengths):
        if length:
            shorter = [*lengths[:number], length - 1, *lengths[number + 1 :]]
            yield from ([number, *rest] for rest in interleavings(shorter))


def play(
    sessions: Sessions, scripts: Sequence[Sequence[str]], order: Sequence[int], max_attempts: int
) -> None:
    """Take the steps in this order, each a transaction; after each the job is what the protocol says."""
    expected = Job(max_attempts=max_attempts)
    job_id = sessions.insert(expected)
    held = [NEVER_CLAIMED] * len(scripts)
    steps = [iter(script) for script in scripts]
    before: DictRow | None = None
    for number in order:
        name = next(steps[number])
        arguments = [held[number]] if name in FENCED else []
        outcome = sessions.call(name, number, job_id, expected, *arguments)
        said = (order, scripts, number, name)
        assert outcome == getattr(expected, name)(*arguments), said
        if outcome.startswith("attempt "):
            assert held[number] == NEVER_CLAIMED
            assert expected.attempt > max((a for a in held if a != NEVER_CLAIMED), default=0)
            held[number] = expected.attempt
        after = job_row(sessions.watcher, job_id)
        assert (after["status"], after["attempt"]) == (expected.status, expected.attempt), said
        if before is not None and before["status"] in TERMINAL:
            assert after == before, said
        before = after
    sessions.close(job_id)


# ── Every step a transaction ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("late", FINISHES)
@pytest.mark.parametrize("second", FINISHES)
def test_two_sessions_in_any_order_end_a_job_once(sessions: Sessions, late: str, second: str) -> None:
    scripts = [("claim", "progress", late), ("expire", "claim", second)]
    for order in interleavings([3, 3]):
        play(sessions, scripts, order, max_attempts=2)


@pytest.mark.parametrize("late", FINISHES)
@pytest.mark.parametrize("second", FINISHES)
def test_a_cancel_among_the_steps_of_two_sessions_ends_a_job_once(
    sessions: Sessions, late: str, second: str
) -> None:
    scripts = [("claim", late), ("expire", "claim", second), ("cancel",)]
    for order in interleavings([1, 3, 1]):
        play(sessions, scripts, [0, *order], max_attempts=3)


@pytest.mark.parametrize("late", FINISHES)
def test_three_sessions_in_any_order_end_a_job_once(sessions: Sessions, late: str) -> None:
    scripts = [("claim", late), ("expire", "claim", "record"), ("expire", "claim", "fail")]
    for order in interleavings([1, 3, 3]):
        play(sessions, scripts, [0, *order], max_attempts=3)


# ── A step is an open transaction, others wait for it ───────────────────────────────────────────────


def start(sessions: Sessions, status: str, job_type: str = "TRAIN") -> tuple[int, Job]:
    """A job whose first attempt runs with a lease that is over, or was lost and waits for another."""
    expected = Job(job_type)
    job_id = sessions.insert(expected)
    for name in ("claim",) if status == "RUNNING" else ("claim", "expire"):
        assert sessions.call(name, 0, job_id, expected) == getattr(expected, name)()
    assert expected.status == status
    return job_id, expected


def predict(expected: Job, names: Sequence[str]) -> set[tuple[tuple[str, ...], str, int]]:
    """What may come of these calls of attempt 1, one after the other: outcomes, and the job's state."""
    possible = set()
    for passes_over in product((False, True), repeat=len(names)):
        if any(passes and name not in SKIPPING for passes, name in zip(passes_over, names, strict=True)):
            continue
        job = deepcopy(expected)
        outcomes = [
            "nothing" if passes else getattr(job, name)(*([1] if name in FENCED else []))
            for passes, name in zip(passes_over, names, strict=True)
        ]
        possible.add((tuple(outcomes), job.status, job.attempt))
    return possible


def race(sessions: Sessions, status: str, names: Sequence[str], ending: str, job_type: str = "TRAIN") -> None:
    """The first call stays uncommitted while the others are sent; they do what they would do after it."""
    job_id, expected = start(sessions, status, job_type)
    first, *others = names
    after_first = deepcopy(expected)
    predicted = getattr(after_first, first)(*([1] if first in FENCED else []))
    holder = sessions.who(first, 0)
    holder.execute("BEGIN")
    try:
        assert sessions.call(first, 0, job_id, expected) == predicted
        futures = [
            sessions.send(name, number, job_id, expected) for number, name in enumerate(others, start=1)
        ]
    finally:
        holder.execute(ending)
    outcomes = [future.result(60) for future in futures]
    row = job_row(sessions.watcher, job_id)
    possible = set()
    for order in permutations(range(len(others))):
        base = after_first if ending == "COMMIT" else expected
        for told, *state in predict(base, [others[i] for i in order]):
            possible.add((tuple(told[order.index(i)] for i in range(len(others))), *state))
    found = (tuple(outcomes), row["status"], row["attempt"])
    assert found in possible, (status, names, ending)
    sessions.close(job_id)


@pytest.mark.parametrize("job_type", ["TRAIN", "TEST"])
@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize("status", ["RUNNING", "PENDING"])
@pytest.mark.parametrize("first", CALLS)
def test_a_call_beside_an_open_transaction_does_what_it_would_do_after_it(
    sessions: Sessions, first: str, status: str, ending: str, job_type: str
) -> None:
    for second in CALLS:
        race(sessions, status, [first, second], ending, job_type)


@pytest.mark.parametrize("first", CALLS)
def test_two_calls_that_wait_for_a_third_have_one_winner(sessions: Sessions, first: str) -> None:
    for pair in combinations_with_replacement(CALLS, 2):
        race(sessions, "PENDING" if first == "claim" else "RUNNING", [first, *pair], "COMMIT")


@pytest.mark.parametrize("first", [name for name in CALLS if name != "claim"])  # nothing waits
@pytest.mark.parametrize("second", CALLS)
def test_a_transaction_that_looked_before_changes_nothing_after(
    sessions: Sessions, first: str, second: str
) -> None:
    job_id, expected = start(sessions, "RUNNING")
    late = sessions.who(second, 1)
    late.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    try:
        assert job_row(late, job_id)["status"] == "RUNNING"
        outcome = sessions.call(first, 0, job_id, expected)
        assert outcome == getattr(expected, first)(*([1] if first in FENCED else []))
        row = job_row(sessions.watcher, job_id)
        assert sessions.call(second, 1, job_id, expected) in ("nothing", SERIALIZATION_FAILURE)
    finally:
        late.execute("COMMIT")
    assert job_row(sessions.watcher, job_id) == row
    sessions.close(job_id)
