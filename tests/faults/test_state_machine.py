"""Any calls of any sessions in any order, against a model of the protocol: what was not thought of.

Hypothesis draws the calls, with jobs and attempts remembered from earlier ones; ``Service`` predicts each
outcome and every state, and the tables are checked after each step against the events alone.
"""

from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count
from typing import Any, ClassVar

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.conftest import JOB_TYPES, TRAIN, Connection, Database, insert_job, until
from tests.faults.protocol import TERMINAL, Job, call, violations
from tests.sql.helpers import COMPARE_PERIOD, TEST_PERIOD

EXAMPLES, STEPS = 25, 40
TYPES = ("TRAIN", "TEST", "COMPARE")
WRONG_TYPES = st.sampled_from([None, None, None, *TYPES])
PICKS = st.integers(0, 9)  # how long ago the job, model or call was made that is meant
FENCED = ("record", "fail", "lose", "release", "progress")
NAME_TAKEN, NOT_READY, ITSELF, FORBIDDEN = "23505", "23503", "23514", "42501"
FACTS = ("ml_job_events", "ml_training_runs", "ml_test_results", "ml_comparisons")
_examples = count(1)


@dataclass
class Model:
    """A model as the protocol wants it."""

    id: int
    job_id: int
    name: str
    status: str = "TRAINING"
    is_deleted: bool = False


@dataclass
class Request(Job):
    """A job with its place in the queue and what it needs."""

    id: int = 0
    priority: int = 5
    name: str | None = None
    models: tuple[int, ...] = ()


@dataclass
class Service:
    """All jobs and models of one example, by id."""

    jobs: dict[int, Request] = field(default_factory=dict)
    models: dict[int, Model] = field(default_factory=dict)

    def name_is_taken(self, name: str, for_job: int | None) -> bool:
        return any(
            model.name == name
            and not model.is_deleted
            and model.status != "FAILED"
            and model.job_id != for_job
            for model in self.models.values()
        ) or any(
            job.name == name and job.status not in TERMINAL and job.id != for_job
            for job in self.jobs.values()
        )

    def is_ready(self, model_id: int) -> bool:
        return self.models[model_id].status == "READY" and not self.models[model_id].is_deleted

    def insert(self, job: Request) -> str:
        if len(set(job.models)) < len(job.models):
            return ITSELF
        if job.name is not None and self.name_is_taken(job.name, None):
            return NAME_TAKEN
        return "accepted" if all(map(self.is_ready, job.models)) else NOT_READY

    def claim(self, lease: str) -> tuple[int, int] | None:
        waiting = [job for job in self.jobs.values() if job.status == "PENDING"]
        for job in sorted(waiting, key=lambda job: (job.priority, job.id)):
            taken = job.name is not None and self.name_is_taken(job.name, job.id)
            if not taken and all(map(self.is_ready, job.models)):
                job.claim(lease)
                return job.id, job.attempt
            job._end("FAILED", "FAILED")
            self.follow(job)
        return None

    def expire(self) -> int:
        expired = [job for job in self.jobs.values() if job.expire() != "nothing"]
        for job in expired:
            self.follow(job)
        return len(expired)

    def call(self, name: str, job_id: int, attempt: int, job_type: str, lease: str) -> str:
        if job_id not in self.jobs:
            return "ML001"
        job = self.jobs[job_id]
        if name == "record":
            outcome = job.record(attempt, job_type)
        elif name == "progress":
            outcome = job.progress(attempt, lease)
        else:
            outcome = getattr(job, name)(*([attempt] if name in FENCED else []))
        self.follow(job)
        return str(outcome)

    def follow(self, job: Request) -> None:
        """A model follows its job."""
        for model in self.models.values():
            if model.job_id == job.id and job.status in TERMINAL:
                model.status = "READY" if job.status == "COMPLETED" else "FAILED"


class Machine(RuleBasedStateMachine):
    """One example: its own jobs in a database that is shared; none waits or runs when it begins."""

    db: ClassVar[Database]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.service = Service()
        self.pairs: list[tuple[int, int]] = []
        self.calls: list[tuple[str, int, int, str, str]] = []
        self.ended: dict[int, Any] = {}
        self.attempts: dict[int, int] = {}
        self.prefix = f"example {next(_examples)} "

    @initialize(
        waiting=st.lists(st.sampled_from(TYPES), min_size=1, max_size=3),
        running=st.lists(st.sampled_from(TYPES), min_size=1, max_size=3),
        max_attempts=st.integers(1, 3),
    )
    def begin(self, waiting: list[str], running: list[str], max_attempts: int) -> None:
        """Connect; two models are READY, some jobs run with leases that are over, and some wait."""
        self.workers = [self.stack.enter_context(self.db.connect("wanda")) for _ in range(3)]
        self.clients = [self.stack.enter_context(self.db.connect("anna")) for _ in range(2)]
        self.owner = self.stack.enter_context(self.db.connect("owner"))
        for name in ("a", "b"):
            self.insert(0, "TRAIN", 5, 3, name, [])
            claimed = self.same_claim(self.workers[0], "0")
            assert claimed is not None
            self.same_call(self.workers[0], "record", *claimed, "TRAIN", "0")
        for job_type in running:
            self.insert(0, job_type, 5, max_attempts, None, [0, 1])
            self.same_claim(self.workers[0], "0")
        for job_type in waiting:
            self.insert(0, job_type, 5, max_attempts, None, [0, 1])

    # ── Clients ─────────────────────────────────────────────────────────────────────────────────────

    @rule(
        who=st.integers(0, 1),
        job_type=st.sampled_from(TYPES),
        priority=st.sampled_from([5, 1, 10]),
        max_attempts=st.integers(1, 3),
        name=st.sampled_from([None, "a", "b", "c", "d"]),
        picks=st.lists(PICKS, min_size=2, max_size=2),
    )
    def insert(
        self, who: int, job_type: str, priority: int, max_attempts: int, name: str | None, picks: list[int]
    ) -> None:
        job = Request(job_type, max_attempts, priority=priority)
        fields: dict[str, Any] = {}
        if job_type == "TRAIN":
            job.name = name and self.prefix + name
            fields = TRAIN | ({"train_model_name": job.name} if name else {})
        elif job_type == "TEST":
            job.models = (self.pick_model(picks[0]).id,)
            fields = {"test_model_id": job.models[0], **TEST_PERIOD}
        else:
            job.models = (self.pick_model(picks[0]).id, self.pick_model(picks[1]).id)
            fields = dict(zip(("compare_model_a_id", "compare_model_b_id"), job.models, strict=True))
            fields |= COMPARE_PERIOD
        fields |= {"job_type": job_type, "priority": priority, "max_attempts": max_attempts}
        expected, outcome = self.service.insert(job), "accepted"
        try:
            job.id = insert_job(self.clients[who], **fields)
        except psycopg.Error as error:
            outcome = error.sqlstate or repr(error)
        assert outcome == expected
        if outcome == "accepted":
            if job_type == "TRAIN" and name is None:
                job.name = f"{TRAIN['train_model_type']}_job_{job.id}"
            self.service.jobs[job.id] = job

    @rule(who=st.integers(0, 1), pick=PICKS, by_update=st.booleans())
    def cancel(self, who: int, pick: int, by_update: bool) -> None:
        job = self.pick_job(pick)
        if by_update:
            text = f"UPDATE ml_jobs SET status = 'CANCELLED' WHERE id = {job.id}"
            expected = self.service.call("cancel", job.id, 0, job.job_type, "0")
            assert self.outcome(self.clients[who], text).replace("done", "cancelled") == expected
        else:
            self.same_call(self.clients[who], "cancel", job.id, 0, job.job_type, "0")

    @rule(who=st.integers(0, 1), pick=PICKS, priority=st.integers(1, 10))
    def reorder(self, who: int, pick: int, priority: int) -> None:
        job = self.pick_job(pick)
        text = f"UPDATE ml_jobs SET priority = {priority} WHERE id = {job.id}"
        outcome = self.outcome(self.clients[who], text)
        allowed = job.status == "PENDING" or priority == job.priority
        assert outcome == ("done" if allowed else "ML002")
        if allowed:
            job.priority = priority

    @rule(who=st.integers(0, 1), pick=PICKS, deleted=st.booleans())
    def delete_model(self, who: int, pick: int, deleted: bool) -> None:
        model = self.pick_model(pick)
        expected = "done"
        if deleted and model.status == "TRAINING":
            expected = "ML002"
        elif not deleted and model.is_deleted and self.service.name_is_taken(model.name, model.job_id):
            expected = NAME_TAKEN
        text = f"UPDATE ml_models SET is_deleted = {deleted} WHERE id = {model.id}"
        assert self.outcome(self.clients[who], text) == expected
        if expected == "done":
            model.is_deleted = deleted

    @rule(who=st.integers(0, 1), pick=PICKS, name=st.sampled_from(["a", "b", "c"]))
    def rename_model(self, who: int, pick: int, name: str) -> None:
        model, name = self.pick_model(pick), self.prefix + name
        keeps = model.is_deleted or model.name == name
        taken = not keeps and self.service.name_is_taken(name, model.job_id)
        text = f"UPDATE ml_models SET name = '{name}' WHERE id = {model.id}"
        assert self.outcome(self.clients[who], text) == (NAME_TAKEN if taken else "done")
        if not taken:
            model.name = name

    @rule(table=st.sampled_from(["ml_jobs", "ml_models", *FACTS]), as_owner=st.booleans())
    def delete_rows(self, table: str, as_owner: bool) -> None:
        as_owner = as_owner and table in FACTS
        connection = self.owner if as_owner else self.clients[0]
        assert self.outcome(connection, f"DELETE FROM {table}") == ("ML003" if as_owner else FORBIDDEN)

    # ── Workers ─────────────────────────────────────────────────────────────────────────────────────

    @rule(who=st.integers(0, 2), lease=st.sampled_from(["0", "60"]))
    def claim(self, who: int, lease: str) -> None:
        self.same_claim(self.workers[who], lease)

    @rule(
        who=st.integers(0, 2),
        name=st.sampled_from(FENCED),
        pick=PICKS,
        ahead=st.sampled_from([0, 0, 0, 0, 1, -1]),
        wrong_type=WRONG_TYPES,
        lease=st.sampled_from(["0", "60"]),
    )
    def write(self, who: int, name: str, pick: int, ahead: int, wrong_type: str | None, lease: str) -> None:
        job_id, attempt = self.pairs[-1 - pick % len(self.pairs)]
        job_type = wrong_type or self.service.jobs[job_id].job_type
        self.same_call(self.workers[who], name, job_id, attempt + ahead, job_type, lease)

    @precondition(lambda self: self.running())
    @rule(
        who=st.integers(0, 2),
        name=st.sampled_from(FENCED),
        pick=PICKS,
        wrong_type=WRONG_TYPES,
        lease=st.sampled_from(["0", "60"]),
    )
    def write_as_holder(self, who: int, name: str, pick: int, wrong_type: str | None, lease: str) -> None:
        job = self.running()[pick % len(self.running())]
        self.same_call(self.workers[who], name, job.id, job.attempt, wrong_type or job.job_type, lease)

    @rule(who=st.integers(0, 2), pick=PICKS)
    def repeat(self, who: int, pick: int) -> None:
        """As a worker does that lost the answer, at once or much later."""
        self.same_call(self.workers[who], *self.calls[-1 - pick % len(self.calls)])

    @rule(who=st.integers(0, 2))
    def expire(self, who: int) -> None:
        assert self.expired(self.workers[who]) == self.service.expire()

    @rule(
        who=st.integers(0, 2),
        name=st.sampled_from([*FENCED, "claim", "claim", "expire"]),
        pick=PICKS,
        is_committed=st.booleans(),
    )
    def lose_connection(self, who: int, name: str, pick: int, is_committed: bool) -> None:
        """A session ends inside a transaction, or before it has read the answer to its COMMIT."""
        worker, before = self.workers[who], deepcopy(self.service)
        worker.execute("BEGIN")
        if name == "claim":
            self.same_claim(worker, "0")
        elif name == "expire":
            assert self.expired(worker) == self.service.expire()
        else:
            job_id, attempt = self.pairs[-1 - pick % len(self.pairs)]
            self.same_call(worker, name, job_id, attempt, self.service.jobs[job_id].job_type, "0")
        if is_committed:
            worker.pgconn.send_query(b"COMMIT")
            worker.pgconn.flush()
        else:
            self.service = before
        pid = worker.info.backend_pid
        worker.close()
        gone = "SELECT FROM pg_stat_activity WHERE pid = %s"
        until(lambda: not self.owner.execute(gone, [pid]).fetchall(), "the session to end")
        self.workers[who] = self.stack.enter_context(self.db.connect("wanda"))

    # ── What is always true ─────────────────────────────────────────────────────────────────────────

    @invariant()
    def tables_are_what_the_model_says(self) -> None:
        ids = list(self.service.jobs)
        rows = self.owner.execute("SELECT * FROM ml_jobs WHERE id = ANY (%s)", [ids]).fetchall()
        found = {row["id"]: (row["status"], row["attempt"], row["priority"]) for row in rows}
        assert found == {
            job.id: (job.status, job.attempt, job.priority) for job in self.service.jobs.values()
        }
        models = self.owner.execute("SELECT * FROM ml_models WHERE train_job_id = ANY (%s)", [ids])
        assert [
            Model(row["id"], row["train_job_id"], row["name"], row["status"], row["is_deleted"])
            for row in sorted(models.fetchall(), key=lambda row: int(row["id"]))
        ] == sorted(self.service.models.values(), key=lambda model: model.id)
        for row in rows:
            assert row == self.ended.get(row["id"], row)
            if row["status"] in TERMINAL:
                self.ended[row["id"]] = row
            assert row["attempt"] >= self.attempts.get(row["id"], 0)
            self.attempts[row["id"]] = row["attempt"]

    @invariant()
    def tables_agree_with_the_events(self) -> None:
        assert violations(self.owner, list(self.service.jobs)) == []

    def teardown(self) -> None:
        """Accepted means eventually terminal: by results, or where every worker dies, by losses."""
        try:
            if hasattr(self, "workers"):
                self.drain(by_results=len(self.service.jobs) % 2 == 0)
        finally:
            self.stack.close()

    def drain(self, by_results: bool) -> None:
        worker = self.workers[0]
        for _ in range(1 + max(job.max_attempts for job in self.service.jobs.values())):
            for job in self.running():  # its lease ends
                self.same_call(worker, "progress", job.id, job.attempt, job.job_type, "0")
            assert self.expired(worker) == self.service.expire()
            while claimed := self.same_claim(worker, "0"):
                if by_results:
                    job = self.service.jobs[claimed[0]]
                    self.same_call(worker, "record", *claimed, job.job_type, "0")
        assert {job.status for job in self.service.jobs.values()} <= set(TERMINAL)
        self.tables_are_what_the_model_says()
        self.tables_agree_with_the_events()

    # ── Helpers ───────────────────────────────────────────────────────────────────────

    def pick_job(self, pick: int) -> Request:
        jobs = list(self.service.jobs.values())
        return jobs[-1 - pick % len(jobs)]

    def pick_model(self, pick: int) -> Model:
        models = list(self.service.models.values())
        return models[-1 - pick % len(models)]

    def running(self) -> list[Request]:
        return [job for job in self.service.jobs.values() if job.status == "RUNNING"]

    def same_call(
        self, connection: Connection, name: str, job_id: int, attempt: int, job_type: str, lease: str
    ) -> None:
        expected = self.service.call(name, job_id, attempt, job_type, lease)
        assert call(connection, name, job_id, attempt, job_type, lease) == expected
        if name != "cancel":
            self.calls.append((name, job_id, attempt, job_type, lease))

    def same_claim(self, worker: Connection, lease: str) -> tuple[int, int] | None:
        expected = self.service.claim(lease)
        rows = worker.execute(
            "SELECT * FROM ml_internal.claim_job('w', %s, %s)", [f"{lease} seconds", JOB_TYPES]
        ).fetchall()
        assert [(row["id"], row["attempt"]) for row in rows] == ([expected] if expected else [])
        if expected is None:
            return None
        self.pairs.append(expected)
        if expected[1] >= 1 and rows[0]["job_type"] == "TRAIN":
            self.learn_model(worker, expected[0])
        return expected

    def learn_model(self, worker: Connection, job_id: int) -> None:
        """The first claim of a TRAIN job makes its model."""
        if any(model.job_id == job_id for model in self.service.models.values()):
            return
        (row,) = worker.execute("SELECT id FROM ml_models WHERE train_job_id = %s", [job_id]).fetchall()
        name = self.service.jobs[job_id].name
        assert name is not None
        self.service.models[row["id"]] = Model(row["id"], job_id, name)

    def expired(self, worker: Connection) -> int:
        (row,) = worker.execute("SELECT ml_internal.expire_leases() AS n").fetchall()
        return int(row["n"])

    def outcome(self, connection: Connection, text: str) -> str:
        try:
            connection.execute(text.encode())
        except psycopg.Error as error:
            return error.sqlstate or repr(error)
        return "done"


def test_any_calls_in_any_order_leave_what_the_protocol_says(db: Database) -> None:
    Machine.db = db
    run_state_machine_as_test(
        Machine,
        settings=settings(
            deadline=None,
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            print_blob=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
