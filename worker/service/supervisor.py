"""The supervisor: listens, drains the queue, and keeps a child process and a lease for each running job.

One thread, one connection, one loop. Whatever happens (a notification, a timer, a message of a child, a new
connection), the loop does the same: hand over what children have finished, renew leases, look for
cancelled jobs, and claim while there is room. No ML is imported here.

A job is claimed only by a worker that has all for it: a child that is connected, a folder that takes a
write, a database that takes the claim. What turns out to be missing later gives the job back; the worker says
so once, claims no job that needs it, and tries again after growing pauses.
"""

import logging
import math
import os
import random
import secrets
import selectors
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from worker import model_folder
from worker.child import kinds, memory
from worker.database import queue, reading
from worker.database.connection import (
    LOST,
    Connection,
    UnsuitableDatabaseError,
    check_notifications,
    connect,
    may_pass,
)
from worker.database.deadlines import deadline
from worker.database.queue import SupersededError
from worker.database.schema import check_version
from worker.protocol import (
    Completed,
    Failed,
    Job,
    Lost,
    Message,
    Order,
    Outcome,
    Progress,
    Ready,
    Recorded,
    Released,
    Unable,
)
from worker.service.children import Child, Children, give, kill
from worker.service.lacks import Lacks
from worker.service.pauses import Pause

if TYPE_CHECKING:
    from worker.service.prometheus import Metrics

log = logging.getLogger("ml-worker")

LOCK_TIMEOUT = timedelta(milliseconds=300)  # a client's open transaction must not hold up the other jobs
LOCKED_SECONDS = 2.0
OVERTIME_SECONDS = 1.0  # between questions whether a job is past its time
PROGRESS_SECONDS = 0.5  # at most one PROGRESS event of a job in this time
MAX_BACKOFF_SECONDS = 15.0
COUNT_SECONDS = 5.0  # at least between counts of the queue for the metrics
COUNT_SHARE = 0.01  # of the time, at most, goes into them, however long the queue
KEPT_SECONDS = 600.0  # at most is an outcome kept alive that the server does not take
CROWDED = 0.5  # of the server's queue of notifications: time to say so
SIGN_SECONDS = 10.0  # at most between heartbeats, each of which counts for three times as long


@dataclass(frozen=True)
class Options:
    """How a worker runs; times in seconds."""

    url: str
    model_dir: Path
    concurrency: int = 1
    lease: float = 30.0
    poll: float = 5.0
    drain_on_stop: bool = False

    @property
    def call_deadline(self) -> float:
        """Longest that one database call may take: a lost connection is noticed well within the lease."""
        return self.lease / 4


@dataclass
class Running:
    """A claimed job, its child process, and what is known of it."""

    job: Job
    child: Child
    renewed: float  # monotonic time before the renewal of the lease was sent
    progress: float = 0.0
    message: str | None = None
    reported: tuple[float, str | None] = (0.0, None)
    outcome: Outcome | None = None
    token: str = field(default_factory=lambda: secrets.token_hex(4))  # in the names of the attempt's files
    is_sent: bool = False  # whether the result may be recorded, although no answer says so
    not_before: float = 0.0  # monotonic time of the next try, where another session has locked the job
    refused: Pause = field(default_factory=Pause)  # by the server, for reasons of its own
    refused_at: float = 0.0  # monotonic time of the first time
    claimed: float = field(default_factory=time.monotonic)
    oom_kills: int = field(default_factory=memory.oom_kills)  # on this machine before it began
    ask_at: float = math.inf  # monotonic time to ask the database whether the job is past its time

    def __post_init__(self) -> None:
        if self.job.max_minutes is not None:
            self.ask_at = self.claimed + 60 * self.job.max_minutes


@dataclass
class Supervisor:
    """A worker that is running; see the module's docstring."""

    options: Options
    metrics: "Metrics | None" = None
    worker_id: str = field(
        default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
    )
    connection: Connection | None = None
    running: dict[int, Running] = field(default_factory=dict)
    stopping: bool = False
    draining: bool = False

    def __post_init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._extend: Callable[[float], None] = lambda _seconds: None  # the deadline of this step
        self._reconnect_at = 0.0
        self._failures = 0
        self._look = True  # whether the queue may have changed since it was last looked at
        self._looked_at = 0.0
        self._sign_at = 0.0
        self._count_at = 0.0
        self._signal: int | None = None
        self._wants_child = False  # whether a claim waits for one
        self._is_crowded = False
        options = self.options
        self.lacks = Lacks(
            self.worker_id, options.model_dir, options.call_deadline / 4, self._note_lack, self.metrics
        )
        self.children = Children(
            self.options.url, self.worker_id, self._selector, self._hear, self._note_end, self._note_ready
        )

    # ── The loop ────────────────────────────────────────────────────────────────────────────────────

    def run(self) -> None:
        """Work until stopped by SIGTERM or SIGINT.

        Raises:
            UnsuitableDatabaseError: the database has not the schema or the role that this worker needs.
            psycopg.OperationalError: the database cannot be reached at the start.
            model_folder.FolderError: no model file can be written at the start.
        """
        self._connect()
        restore = self._catch_signals()
        if self.metrics:
            self.metrics.started(self.worker_id, self.options.concurrency, lambda: len(self.running))
        try:
            model_folder.check(self.options.model_dir)
            log.info("worker=%s listening concurrency=%s", self.worker_id, self.options.concurrency)
            self._step()
            while not self._is_done():
                for key, _ in self._selector.select(self._wait()):
                    key.data()
                self._step()
        finally:
            restore()
            for child in [*self.children.warm, *(running.child for running in self.running.values())]:
                kill(child)
            self._sign_off()
            for running in self.running.values():
                job = running.job
                if running.is_sent:
                    log.warning("job=%s attempt=%s left, its result may be recorded", job.id, job.attempt)
                else:
                    self._drop_files(running)
            self._disconnect()
            log.info("worker=%s stopped", self.worker_id)

    def _is_done(self) -> bool:
        # Without a connection a job cannot be given back; its lease ends by itself.
        return self.stopping and (not self.running or (self.connection is None and not self.draining))

    def _step(self) -> None:
        self._obey_signal()
        self._warm_up()
        self._kill_past_deadline()
        if self.connection is None and time.monotonic() >= self._reconnect_at:
            self._reconnect()
        if self.connection is None:
            return
        try:
            with deadline(self.connection, self.options.call_deadline) as self._extend:
                self._look |= queue.was_notified(self.connection)
                self._look_at_children()
                self._deliver_all(self.connection)
                self._look |= self._is_overtime()
                if self._look or time.monotonic() >= self._due_look():
                    self._look, self._looked_at = False, time.monotonic()
                    self._drain(self.connection)
                    self._failures = 0  # not before: what fails each time is tried ever later
                self._look |= queue.was_notified(self.connection)
        except psycopg.errors.LockNotAvailable as error:  # an administrator has locked a whole table
            log.warning("worker=%s looks again later: %s", self.worker_id, str(error).partition("\n")[0])
        except psycopg.Error as error:  # one of a schema that is just being upgraded, too
            self._lost_connection(error)

    def _deliver_all(self, connection: Connection) -> None:
        for running in list(self.running.values()):
            try:
                self._deliver(connection, running)
            except SupersededError:
                self._discard_superseded(connection, running)
            except psycopg.errors.LockNotAvailable:
                running.not_before = time.monotonic() + LOCKED_SECONDS
            except (*LOST, UnicodeError, psycopg.Error) as error:
                if may_pass(connection, error):
                    self._keep_for_later(connection, running, error)
                    continue
                if isinstance(error, LOST):
                    raise
                log.exception("job=%s attempt=%s cannot be recorded", running.job.id, running.job.attempt)
                if isinstance(running.outcome, Failed):
                    self._discard(running, "not even its failure can be recorded", "unrecorded")
                else:
                    kill(running.child)
                    self._drop_files(running)
                    reason = (
                        error.diag.message_primary if isinstance(error, psycopg.Error) else "not valid text"
                    )
                    running.outcome = Failed(f"its result cannot be recorded: {reason}")

    def _keep_for_later(self, connection: Connection, running: Running, error: Exception) -> None:
        """The server takes no word on a job now: its work is not lost for that, if it passes."""
        reason = str(error).strip().partition("\n")[0]
        if not running.refused.failures:
            running.refused_at = time.monotonic()
            running.refused.longest = min(running.refused.longest, self.options.lease / 4)
            log.warning(
                "job=%s attempt=%s refused, tried again: %s", running.job.id, running.job.attempt, reason
            )
        running.refused.lengthen()
        running.not_before = running.refused.until
        if running.outcome is None or time.monotonic() > running.refused_at + KEPT_SECONDS:
            return
        renewed = time.monotonic()
        with suppress(psycopg.Error):  # at the next try it is heard
            words = f"Waiting to be recorded: {reason}"
            queue.record_progress(connection, running.job, running.progress, words, self._lease())
            running.renewed = renewed

    def _drain(self, connection: Connection) -> None:
        self._claim(connection)  # first of all: somebody may be waiting for it
        # Not those that have an outcome: recording it again tells whether it counts.
        if working := self._working():
            for job_id in queue.lost_jobs(connection, [running.job for running in working]):
                self._discard_superseded(connection, self.running[job_id])
        with suppress(psycopg.errors.LockNotAvailable):
            if expired := queue.expire_leases(connection):
                log.warning("worker=%s expired_leases=%s", self.worker_id, expired)
                self._look = True  # they wait now
                if self.metrics:
                    self.metrics.leases_expired(expired)
        if time.monotonic() >= self._sign_at:
            every = max(min(SIGN_SECONDS, self.options.lease / 3), self.options.poll)
            self._look_at_notifications(connection)
            queue.record_sign(
                connection,
                self.worker_id,
                self.options.concurrency,
                timedelta(seconds=3 * every),
                self.lacks.reason(),
                kinds.names(),
            )
            self._sign_at = time.monotonic() + every
        if self.metrics and time.monotonic() >= self._count_at:
            began = time.monotonic()
            self.metrics.set_queue(reading.count_queue(connection))
            ended = time.monotonic()
            self._count_at = ended + max(COUNT_SECONDS, (ended - began) / COUNT_SHARE)

    def _claim(self, connection: Connection) -> None:
        if self.lacks.left:
            self.lacks.keep_left(queue.open_jobs(connection, self.lacks.left))
        # A job whose outcome cannot be recorded, because a client has locked it, takes no slot.
        while not self.stopping and len(self._working()) < self.options.concurrency:
            self._wants_child = not self.children.has_ready
            if self._wants_child or not self.lacks.pauses["server"].is_over:
                break
            possible = self.lacks.possible_kinds()
            if not possible or self.lacks.must_make_room():
                break
            renewed = time.monotonic()
            try:
                others = self.lacks.left_jobs()
                job = queue.claim_job(connection, self.worker_id, self._lease(), possible, others)
            except psycopg.errors.LockNotAvailable:
                break
            except psycopg.Error as error:
                if not may_pass(connection, error):
                    raise
                reason = str(error).strip().partition("\n")[0]
                self.lacks.fail("server", f"the server refuses claims: {reason}")
                break
            self.lacks.end("server")
            if job is None:
                break
            self._start(connection, job, renewed)

    def _look_at_children(self) -> None:
        # Only while this worker is connected itself: where there is no server its own tries say so.
        if self.children.has_ready:
            self.lacks.end("connection")
        elif self.children.trouble and not self.stopping and len(self._working()) < self.options.concurrency:
            self.lacks.begin("connection", self.children.trouble)

    def _look_at_notifications(self, connection: Connection) -> None:
        """Say that they are held up, before they are left out; jobs are found by the timer all the same."""
        usage = queue.notification_usage(connection)
        if usage >= CROWDED and not self._is_crowded:
            log.warning(
                "worker=%s notifications fill %.0f %% of the server's queue, because a session listens in an "
                "open transaction; above 90 %% jobs are found by the timer alone",
                self.worker_id,
                100 * usage,
            )
        self._is_crowded = usage >= CROWDED

    def _note_lack(self) -> None:
        self._sign_at, self._look = 0.0, True

    def _due_look(self) -> float:
        """Monotonic time of the next look at the queue without being told: by the timer, or for a trial."""
        return min([self._looked_at + self.options.poll, *self.lacks.trials_after(self._looked_at)])

    def _wait(self) -> float:
        """Seconds until there is something to do without being told."""
        if self.connection is None:
            due = [self._reconnect_at, *(r.renewed + self.options.lease for r in self._working())]
        elif self._look:
            return 0.0
        else:
            due = [self._due_look(), *(self._due(r) for r in self.running.values())]
            due += [r.ask_at for r in self._working()]
        if not self.children.pause.is_over:
            due.append(self.children.pause.until)
        return max(0.0, min(due) - time.monotonic())

    def _working(self) -> list[Running]:
        """Jobs whose child has not ended."""
        return [running for running in self.running.values() if running.outcome is None]

    # ── Jobs ────────────────────────────────────────────────────────────────────────────────────────

    def _start(self, connection: Connection, job: Job, renewed: float) -> None:
        assignment = None
        with suppress(psycopg.Error):  # the child asks, waits longer, and says what is wrong
            assignment = queue.assignment(connection, job)
        if job.id in self.running:  # its lease ended while its result waited for a lock
            self._discard(self.running[job.id], "taken over by the same worker", "lease_lost")
        child, has_changed = self.children.take()
        running = self.running[job.id] = Running(job, child, renewed)
        options = self.options
        folder = str(self.lacks.folder)
        give(child, Order(job, folder, running.token, options.concurrency, has_changed, assignment))
        log.info("job=%s attempt=%s claimed type=%s pid=%s", job.id, job.attempt, job.job_type, child.pid)
        if self.metrics:
            self.metrics.claimed(job)

    def _deliver(self, connection: Connection, running: Running) -> None:
        """Tell the database what is new of a job: its outcome, or its progress and a heartbeat."""
        job, outcome = running.job, running.outcome
        if time.monotonic() < running.not_before:
            return
        if outcome is not None:
            if isinstance(outcome, Completed):
                running.is_sent = True
                # Nobody else takes the job while its result is being recorded, but the others' leases run.
                self._extend(min(queue.seconds_to_record(outcome.result), self.options.lease / 3))
                result_id = queue.record_result(connection, job, outcome.result)
                ended = self._log_completed(job, result_id)
            elif isinstance(outcome, Recorded):
                ended = self._log_completed(job, outcome.result_id)
            else:
                self._drop_files(running)
                ended = self._report_end(connection, job, outcome)
            if not isinstance(outcome, Unable):
                self.lacks.note_end(job, has_result=isinstance(outcome, Completed | Recorded))
            self._forget(running, ended)
        elif time.monotonic() >= self._due(running):
            renewed = time.monotonic()
            reported = (running.progress, running.message)
            queue.record_progress(connection, job, *reported, self._lease())
            running.renewed, running.reported = renewed, reported

    @staticmethod
    def _log_completed(job: Job, result_id: int | str) -> str:
        log.info("job=%s attempt=%s completed result=%s", job.id, job.attempt, result_id)
        return "completed"

    @staticmethod
    def _report_end(connection: Connection, job: Job, outcome: Failed | Lost | Released | Unable) -> str:
        """Tell the database how an attempt without a result ended; returns it in a word for the metrics."""
        if isinstance(outcome, Failed):
            queue.record_failure(connection, job, outcome.message)
            log.error("job=%s attempt=%s failed error=%r", job.id, job.attempt, outcome.message)
            return "failed"
        if isinstance(outcome, Unable):
            queue.release_job(connection, job, outcome.message)
            log.warning("job=%s attempt=%s given back: %s", job.id, job.attempt, outcome.message)
            return "released"
        if isinstance(outcome, Released):
            queue.release_job(connection, job, outcome.message)
            log.info("job=%s attempt=%s released", job.id, job.attempt)
            return "released"
        status = queue.record_loss(connection, job, outcome.message)
        log.error("job=%s attempt=%s lost status=%s reason=%r", job.id, job.attempt, status, outcome.message)
        return "crashed"

    def _due(self, running: Running) -> float:
        """When the next word on this job is due: at once, soon, or by a third of the lease at the latest."""
        if running.outcome is not None:
            return running.not_before
        changed = (running.progress, running.message) != running.reported
        due = running.renewed + (PROGRESS_SECONDS if changed else self.options.lease / 3)
        return max(due, running.not_before)

    def _is_overtime(self) -> bool:
        """Whether a job may be past its time; the database decides when leases are expired."""
        late = [running for running in self._working() if time.monotonic() >= running.ask_at]
        for running in late:
            running.ask_at = time.monotonic() + OVERTIME_SECONDS
        return bool(late)

    def _kill_past_deadline(self) -> None:
        """Stop work whose lease may have been taken over: this clock started before the renewal was sent."""
        for running in self._working():
            if time.monotonic() >= running.renewed + self.options.lease:
                self._discard(running, "its lease could not be renewed in time", "lease_lost")

    def _discard_superseded(self, connection: Connection, running: Running) -> None:
        if queue.is_completed(connection, running.job):
            # Its child recorded the result itself, and is about to say so, or was ended before it could.
            kill(running.child)
            self.lacks.note_end(running.job, has_result=True)
            self._forget(running, self._log_completed(running.job, "recorded"))
            return
        # Before its lease ended nobody could take it over.
        expired = time.monotonic() >= running.renewed + self.options.lease
        self._discard(
            running, "cancelled, out of time or taken over", "lease_lost" if expired else "cancelled"
        )

    def _discard(self, running: Running, reason: str, outcome: str) -> None:
        kill(running.child)
        self._forget(running, outcome)
        self._drop_files(running)
        log.warning("job=%s attempt=%s discarded: %s", running.job.id, running.job.attempt, reason)

    def _drop_files(self, running: Running) -> None:
        """Remove what an attempt wrote whose result does not count; its child has ended."""
        try:
            for path in self.lacks.folder.glob(f"*_{running.token}.*"):
                path.unlink(missing_ok=True)
        except OSError as error:  # the folder may have become read-only, or be away
            log.warning("job=%s attempt=%s its files stay: %s", running.job.id, running.job.attempt, error)

    def _forget(self, running: Running, outcome: str) -> None:
        del self.running[running.job.id]
        if self.metrics:
            self.metrics.ended(running.job, outcome, time.monotonic() - running.claimed)
        self._warm_up()
        self._look = True  # there is room for another

    # ── Children ────────────────────────────────────────────────────────────────────────────────────

    def _warm_up(self) -> None:
        """Keep a child ready for every free slot, and for the next that gets free."""
        if not self.stopping:
            self.children.warm_up(max(1, self.options.concurrency - len(self._working())))

    def _hear(self, child: Child, message: Message) -> None:
        for running in self.running.values():
            if running.child is child:
                if isinstance(message, Progress):
                    running.progress, running.message = message.share, message.message
                elif not isinstance(message, Ready):
                    running.outcome = message
                if isinstance(message, Unable):
                    self.lacks.leave(running.job.id, message)
                    if message.lack == "connection":
                        self.children.distrust(message.message)

    def _note_ready(self, ready: Ready) -> None:
        self.lacks.writing = frozenset(ready.writing)
        self._look |= self._wants_child

    def _note_end(self, child: Child, how: str) -> None:
        for running in self.running.values():
            if running.child is child and running.outcome is None:
                running.outcome = Lost(f"the process of the job {how}")
                if len(self.running) > 1 and "SIGKILL" in how and memory.oom_kills() > running.oom_kills:
                    running.outcome = Unable(
                        "memory", "the system had no memory left for this job beside others"
                    )
                    self.lacks.leave(running.job.id, running.outcome)

    # ── Connection and signals ──────────────────────────────────────────────────────────────────────

    def _connect(self) -> None:
        connection = connect(self.options.url, role="ml_worker", timeout=self.options.call_deadline)
        try:
            with deadline(connection, self.options.call_deadline):
                check_version(connection)
                queue.limit_lock_waits(connection, LOCK_TIMEOUT)
                self.lacks.set_folder(self.options.model_dir / queue.folder_name(connection))
                check_notifications(connection, self.options.url, self.options.call_deadline / 2)
                queue.listen(connection, self._note_change)
        except BaseException:
            connection.close()
            raise
        self.connection = connection
        self._look = True
        self.children.note_new_connection()
        self._selector.register(connection.fileno(), selectors.EVENT_READ, self._note_change)

    def _reconnect(self) -> None:
        try:
            self._connect()
        except (psycopg.Error, UnsuitableDatabaseError) as error:
            self._lost_connection(error)
        else:
            log.info("worker=%s reconnected", self.worker_id)
            self._count_at = 0.0
            if self.metrics:
                self.metrics.reconnected()
            self._give_back_unknown_jobs()

    def _give_back_unknown_jobs(self) -> None:
        """A claim may have been committed although its answer was lost: its job waits for another attempt."""
        assert self.connection is not None  # noqa: S101  # called right after connecting
        try:
            with deadline(self.connection, self.options.call_deadline):
                for job in queue.held_jobs(self.connection, self.worker_id):
                    if job.id in self.running:
                        continue
                    with suppress(SupersededError):  # cancelled just now
                        queue.release_job(self.connection, job, "the answer to its claim was lost")
                        log.warning("job=%s attempt=%s released, its claim was lost", job.id, job.attempt)
        except psycopg.Error as error:
            self._lost_connection(error)

    def _lost_connection(self, error: Exception) -> None:
        """Try again later, ever later, and not at the same moment as all other workers."""
        self._disconnect()
        if self.metrics:
            self.metrics.connection_lost()
        self._failures += 1
        longest = min(MAX_BACKOFF_SECONDS, 0.5 * 2 ** min(self._failures, 10))
        delay = random.uniform(0.1, longest)  # noqa: S311
        self._reconnect_at = time.monotonic() + delay
        reason = str(error).strip().split("\n", maxsplit=1)[0]
        log.warning("worker=%s connection lost, next try in %.1f s: %s", self.worker_id, delay, reason)

    def _note_change(self) -> None:
        """A notification came, or something from the server while nothing was asked: that is mostly one."""
        self._look = True

    def _sign_off(self) -> None:
        if self.connection is not None:
            with suppress(psycopg.Error), deadline(self.connection, self.options.call_deadline):
                concurrency = self.options.concurrency
                queue.record_sign(
                    self.connection, self.worker_id, concurrency, timedelta(0), None, kinds.names()
                )

    def _disconnect(self) -> None:
        if self.connection is not None:
            for key in [k for k in self._selector.get_map().values() if k.data == self._note_change]:
                self._selector.unregister(key.fileobj)
            self.connection.close()
            self.connection = None

    def _catch_signals(self) -> Callable[[], None]:
        if threading.current_thread() is not threading.main_thread():
            return lambda: None  # signals are for the main thread alone to handle
        wake, woken = socket.socketpair()
        for end in (wake, woken):
            end.setblocking(False)
        self._selector.register(wake, selectors.EVENT_READ, lambda: wake.recv(4096))
        old_fd = signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        old = {number: signal.signal(number, self._note_signal) for number in (signal.SIGTERM, signal.SIGINT)}

        def restore() -> None:
            signal.set_wakeup_fd(old_fd)
            for number, handler in old.items():
                signal.signal(number, handler)
            self._selector.unregister(wake)
            wake.close()
            woken.close()

        return restore

    def _note_signal(self, number: int, _frame: object) -> None:
        self._signal = number

    def _obey_signal(self) -> None:
        """Stop claiming and give running jobs back, or finish them with ``drain_on_stop``.

        A second signal gives back in any case.
        """
        if self._signal is None:
            return
        name, self._signal = signal.Signals(self._signal).name, None
        self.draining = self.options.drain_on_stop and not self.stopping
        self.stopping = True
        log.info(
            "worker=%s stopping signal=%s running=%s drain=%s",
            self.worker_id,
            name,
            len(self.running),
            self.draining,
        )
        for running in [] if self.draining else self._working():
            kill(running.child)
            running.outcome = Released(f"worker {self.worker_id} was stopped")

    def _lease(self) -> timedelta:
        return timedelta(seconds=self.options.lease)
