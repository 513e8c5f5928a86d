"""A server, workers, a client that keeps the queue filled, and the faults that strike at them."""

import ctypes
import os
import random
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row

from tests.chaos.lasting import LASTING, LEASE, QUEUE_PAGES, limit_files
from tests.conftest import PASSWORD, TEMPLATE, TRAIN, _make_template, insert_job, is_alive
from tests.faults.proxy import Proxy
from tests.forked import Forked, Nursery
from worker.embedded import Server, ServerError, bundled

MARK = "ML_CHAOS"  # in the environment of every process that is started, so that each can be found again
SABOTAGE = [
    *((f"{when}:{call}", "cut") for when in ("before", "after") for call in ("claim_job", "record_progress")),
    *((f"{when}:record_result", "cut") for when in ("before", "after")),
    *((f"{when}:record_result", "kill") for when in ("before", "after")),
    ("after:claim_job", "kill"),
    ("after:record_progress", "kill"),
    ("hears:Loading", "kill"),
    ("hears:Writing", "kill"),
    ("hears:Writing", "kill-child"),
    ("hears:Measuring", "segfault-child"),
]
MODELS = [
    ("logistic_regression", None),
    ("random_forest", "n_estimators=40"),
    ("random_forest", "n_estimators=150"),
    ("xgboost", "n_estimators=30"),
    ("gradient_boosting", "n_estimators=30"),
    ("neural_network", "hidden_layers=8;max_iter=20"),
]
# Read by every Python process whose path it is on.
CLOCK_IS_OFF = """
import os, time
def off(clock, unit):
    return lambda: clock() + int(os.environ["ML_CHAOS_CLOCK"]) * unit
time.time, time.time_ns = off(time.time, 1), off(time.time_ns, 10**9)
"""
DRAIN_SECONDS = 300
# Beside those of the other tests; clients, too.
CLIENTS = ("lotte", "fritz", "emil")  # takes locks; floods the queue; waits behind him
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1  # linux/prctl.h, linux/capability.h


T = TypeVar("T")


@dataclass
class Strike:
    """A fault as it struck.

    Attributes:
        fault: its name, as for ``--faults``.
        how: in which of its ways.
        began: by the clock of this machine.
        ended: the same; None while it lasts.
        pids: supervisors that it was aimed at; none if at all.
        notes: what else is to be told of it, and how often.
    """

    fault: str
    how: str
    began: float
    ended: float | None
    pids: set[int]
    notes: Counter[str] = field(default_factory=Counter)


@dataclass
class Place:
    """A place for a worker behind a proxy of its own; whoever ends there is replaced."""

    number: int
    proxy: Proxy
    process: subprocess.Popen[bytes] | Forked
    log_file: Path
    sabotage: str  # the fault that the worker brings along, if any
    scribe: threading.Thread  # writes the log: no limit on the worker's files stops it
    hit: set[str] = field(default_factory=set)  # what we did to it: it may end, and how
    file_size: int = resource.RLIM_INFINITY

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")


class Soak:
    """See the module's docstring. All choices come from the seed; the timing is the machine's."""

    def __init__(
        self, home: Path, workers: int, seed: int, faults: Collection[str] = (), bin_dir: Path | None = None
    ) -> None:
        self.home, self.model_dir = home, home / "models"
        self.jobs_rng, self.faults_rng = random.Random(f"jobs {seed}"), random.Random(f"faults {seed}")
        self.mark = f"{MARK}={secrets.token_hex(8)}"
        self.workers = workers
        self.places: list[Place] = []
        self.chosen = set(faults or FAULTS)
        self.strikes: list[Strike] = []
        self.kills: dict[int, float] = {}  # process id of a supervisor to the time of its death
        self.accepted: list[int] = []  # jobs whose INSERT was answered
        self.starts = self.refused_starts = 0
        self.flooded: set[int] = set()  # jobs of the client that floods the queue
        self.urgent: list[int] = []  # jobs of others that wait behind them
        self.jobs_of_locker: set[int] = set()
        self.has_small_queue = False
        self.surprises: list[str] = []  # what no fault explains
        settings = (f"port = {_quiet_port()}", "fsync = off")
        self.server = Server(home / "server", bin_dir or bundled(), settings)
        name, _, value = self.mark.partition("=")
        self.nursery = Nursery(**{name: value})
        self._later: list[tuple[float, Callable[[], object]]] = []
        self._lasting: list[tuple[Strike, Callable[[], object]]] = []  # those that go when the server goes
        self._excused: dict[str, float] = {}  # words of an error to when it is one no more
        self._bags: dict[str, list[Any]] = {}
        self._is_up = True
        self._is_calm = False
        self._restart_at: dict[int, float] = {}

    # ── Building up and clearing away ───────────────────────────────────────────────────────────────

    def start(self) -> None:
        self.server.start()
        admin = self.server.tcp_url("postgres")
        _make_template(admin)
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE chaos TEMPLATE {TEMPLATE} OWNER owner")
            for login in CLIENTS:
                connection.execute(f"CREATE ROLE {login} LOGIN PASSWORD '{PASSWORD}' IN ROLE ml_client")
            # The worker alone gets in by the right of PUBLIC.
            logins = ", ".join(["owner", "anna", "rosa", *CLIENTS])
            connection.execute(f"GRANT CONNECT ON DATABASE chaos TO {logins}")
        self.url = self.server.tcp_url("chaos")
        if "notify-queue" in self.chosen:
            self._make_queue_small()
        self.model_dir.mkdir()
        clock = self.home / "clock"
        clock.mkdir()
        (clock / "sitecustomize.py").write_text(CLOCK_IS_OFF)
        port = int(psycopg.conninfo.conninfo_to_dict(self.url)["port"])  # type: ignore[arg-type]
        for number in range(1, self.workers + 1):
            proxy = Proxy("127.0.0.1", port)
            self.places.append(self._start_worker(number, proxy))

    def _make_queue_small(self) -> None:
        if not self.ask("SELECT FROM pg_settings WHERE name = 'max_notify_queue_pages'"):
            return  # before PostgreSQL 17 it holds 8 GB
        self.administer(f"ALTER SYSTEM SET max_notify_queue_pages TO {QUEUE_PAGES}")
        self.server._run("pg_ctl", "-w", "restart")
        self.has_small_queue = True

    def clear(self) -> None:
        for pid in self._processes():
            _signal(pid, signal.SIGKILL)
        for place in self.places:
            place.process.wait()
            place.proxy.__exit__()
        self.nursery.__exit__()
        self.server.stop()

    def _start_worker(self, number: int, proxy: Proxy) -> Place:
        self.starts += 1
        proxy.heard.clear()  # nobody asks, and it would grow
        rng = self.faults_rng
        strikes_itself = not self._is_calm and "sabotage" in self.chosen and rng.random() < 0.5
        sabotage = rng.choice(SABOTAGE) if strikes_itself else ()
        log_file = self.home / f"worker-{self.starts:03d}-at-{number}.log"
        name, _, value = self.mark.partition("=")
        environment = os.environ | {
            name: value,
            "DATABASE_URL": make_conninfo(self.url, user="wanda", password=PASSWORD, port=proxy.port),
        }
        options = ["--concurrency", str(rng.choice([1, 2])), "--lease", str(LEASE), "--poll", "1"]
        if not self._is_calm:
            options += rng.choice([["--drain"], [], []])
            if "clock" in self.chosen and rng.random() < 0.25:
                paths = [str(self.home / "clock"), *filter(None, [os.environ.get("PYTHONPATH")])]
                off = rng.choice([-3600, 3600])
                environment |= {"PYTHONPATH": os.pathsep.join(paths), "ML_CHAOS_CLOCK": str(off)}
                self.strike_once("clock", f"off by {off // 3600:+} h")
        program, *args = ("tests.faults.saboteur", *sabotage) if sabotage else ("worker",)
        args += ["run", "--model-dir", str(self.model_dir), *options]
        words, stderr = os.pipe()
        process: subprocess.Popen[bytes] | Forked
        # In a session of its own: Ctrl-C is for this program, which ends them.
        if "ML_CHAOS_CLOCK" in environment:  # which is read at the start
            command = [sys.executable, "-m", program, *args]
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stderr=stderr, start_new_session=True
            )
        else:
            process = self.nursery.start(program, args, environment, stderr, own_session=True)
        os.close(stderr)
        log_file.touch()
        scribe = threading.Thread(target=_copy, args=[words, log_file], daemon=True)
        scribe.start()
        return Place(number, proxy, process, log_file, " ".join(sabotage), scribe)

    def _processes(self) -> list[int]:
        """Process ids of all workers and children, also of those whose parent is gone."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes()
            except OSError:  # ended, or another user's
                continue
            pid = int(folder.name)
            is_ours = self.mark.encode() in environment.split(b"\0") and pid != self.nursery.process.pid
            if is_ours and is_alive(pid):
                found.append(pid)
        return found

    def descendants(self, place: Place) -> list[int]:
        """The fork server, its children and whatever else a worker has started."""
        parents = {pid: _parent(pid) for pid in self._processes()}
        found = {place.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return sorted(found - {place.process.pid})

    # ── The course of events ────────────────────────────────────────────────────────────────────────

    def storm(self, seconds: float, every: float) -> None:
        """Submit jobs and inject faults for so long, on average one every so many seconds."""
        ends = time.monotonic() + seconds
        next_fault = time.monotonic() + 2
        while time.monotonic() < ends:
            self._tick()
            if time.monotonic() >= next_fault:
                self._inject()
                next_fault = time.monotonic() + self.faults_rng.uniform(0, 2) * every

    def calm(self) -> None:
        """Undo every fault that lasts, let the queue drain, and stop the workers."""
        self._is_calm = True
        self.make_quiet()
        ends = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < ends and (self._later or self._num_open()):
            self._tick()
        for place in self.places:
            place.hit.add("stopped")
            place.process.terminate()
        for place in self.places:
            try:
                place.process.wait(60)
            except subprocess.TimeoutExpired:
                self.surprises.append(f"worker {place.log_file.stem} did not stop within a minute of SIGTERM")
                place.process.kill()
                place.hit.add("killed")
                place.process.wait()
            self._examine_end(place)
        ends = time.monotonic() + 10
        while (left := self._processes()) and time.monotonic() < ends:
            time.sleep(0.1)
        self.surprises += [f"process {pid} has outlived its supervisor" for pid in left]

    def _tick(self) -> None:
        time.sleep(0.05)
        now = time.monotonic()
        due = [undo for at, undo in self._later if at <= now]
        self._later = [(at, undo) for at, undo in self._later if at > now]
        for undo in due:
            undo()
        for place in list(self.places):
            if place.process.poll() is not None:
                self._replace(place)
        if self._is_up and not self._is_calm:
            try:
                self._submit()
            except psycopg.Error as error:
                if not self._is_excused(error):
                    self.surprises.append(f"an INSERT failed: {error}")

    def _replace(self, place: Place) -> None:
        if place.number not in self._restart_at:
            self._examine_end(place)
            self._restart_at[place.number] = time.monotonic() + 0.5
        if time.monotonic() < self._restart_at[place.number]:
            return
        del self._restart_at[place.number]
        new = self.places[place.number - 1] = self._start_worker(place.number, place.proxy)
        new.file_size = place.file_size
        limit_files(new.process.pid, new.file_size)

    def _examine_end(self, place: Place) -> None:
        """Tell an end that was to be expected from one that was not."""
        place.scribe.join(2)
        code, log = place.process.returncode, place.log
        if "cut by the saboteur" in log:
            how = place.sabotage.replace(":", " ").removesuffix(" cut")
            self.strike_once("sabotage", f"connection cut {how}", place)
        if place.sabotage.endswith("child") and "was killed by" in log:
            self.strike_once("sabotage", "child killed at a chosen step", place)
        if code == -signal.SIGKILL and "killed" not in place.hit and place.sabotage.endswith("kill"):
            self.strike_once("sabotage", "worker killed at a chosen step", place)
            self.kills[place.process.pid] = time.time()
        elif code == -signal.SIGKILL and "killed" in place.hit:
            pass
        elif "listening" not in log:
            # No server when it started, or stopped before it came to that.
            self.refused_starts += 1
            if "Traceback" in log:
                self.surprises.append(f"worker {place.log_file.stem} did not start: {log[-500:]}")
        elif not (code == 0 and "stopped" in place.hit):
            self.surprises.append(
                f"worker {place.log_file.stem} ended with {code} after {sorted(place.hit)}: {log[-500:]}"
            )

    # ── The client ──────────────────────────────────────────────────────────────────────────────────

    def ask(self, query: str, values: Any = None, user: str = "") -> list[DictRow]:
        with self.connect(user) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def administer(self, command: str, user: str = "") -> None:
        with self.connect(user) as connection:
            connection.execute(command.encode())

    def connect(self, user: str = "") -> psycopg.Connection[DictRow]:
        """Connect as a login; by default as the administrator, whom no limit and no policy stops."""
        options = ""
        if user in ("anna", *CLIENTS):
            # It would wait for ever for what this very program has locked.
            options = "-c lock_timeout=8s"
        elif user in ("", "owner"):
            options = "-c DateStyle=ISO -c client_encoding=UTF8 -c standard_conforming_strings=on"
        given = {"user": user, "password": PASSWORD} if user else {}
        url = make_conninfo(self.url, **given, connect_timeout=10, options=options)
        return psycopg.connect(url, autocommit=True, row_factory=dict_row)

    def _num_open(self) -> int:
        return int(
            self.ask("SELECT count(*) AS n FROM ml_jobs WHERE status IN ('PENDING', 'RUNNING')")[0]["n"]
        )

    def _submit(self) -> None:
        with self.connect("anna") as client:
            counted = client.execute(
                """SELECT count(*) AS n FROM ml_jobs
                WHERE status IN ('PENDING', 'RUNNING') AND created_by = current_user"""
            ).fetchone()
            assert counted is not None
            if counted["n"] >= 2 * self.workers + 2:
                return
            rows = client.execute("SELECT id FROM ml_models WHERE status = 'READY' ORDER BY id DESC LIMIT 20")
            job_id = insert_job(client, **self._request([row["id"] for row in rows.fetchall()]))
        self.accepted.append(job_id)
        if "cancel" in self.chosen and self.jobs_rng.random() < 0.1:
            self._later.append(
                (time.monotonic() + self.jobs_rng.uniform(0, 10), lambda: self._cancel(job_id))
            )

    def _request(self, models: list[int]) -> dict[str, Any]:
        rng = self.jobs_rng
        fields: dict[str, Any] = {
            "priority": rng.choice([3, 5, 5, 5]),
            "max_attempts": rng.choice([3, 100, 100, 100, 100]),
        }
        weights = {"TRAIN": 5, "TEST": 3 * (len(models) > 0), "COMPARE": 2 * (len(models) > 1)}
        weights["SCORE"] = weights["TEST"]
        (kind,) = rng.choices(list(weights), list(weights.values()))
        # Nothing has happened yet in 2030: these must fail.
        start, end = ("2030-01-01", "2030-02-01") if rng.random() < 0.07 else ("2024-03-01", "2024-04-01")
        if kind in ("TEST", "SCORE"):
            prefix = kind.lower()
            return fields | {
                "job_type": kind,
                f"{prefix}_model_id": rng.choice(models),
                f"{prefix}_start": start,
                f"{prefix}_end": end,
            }
        if kind == "COMPARE":
            a, b = rng.sample(models, 2)
            return fields | {
                "job_type": kind,
                "compare_model_a_id": a,
                "compare_model_b_id": b,
                "compare_start": start,
                "compare_end": end,
            }
        model_type, params = rng.choice(MODELS)
        fields |= TRAIN | {"train_model_type": model_type, "train_params_csv": params}
        if rng.random() < 0.3:
            fields["train_model_name"] = f"chosen {len(self.accepted)} {rng.random()}"
        return fields | {"train_start": start, "train_end": end} if start.startswith("2030") else fields

    def _cancel(self, job_id: int) -> bool:
        if not self._is_up:
            return False
        try:
            self.ask("UPDATE ml_jobs SET status = 'CANCELLED' WHERE id = %s RETURNING id", [job_id], "anna")
        except psycopg.DatabaseError as error:
            if error.sqlstate != "ML002" and not self._is_excused(error):  # it has ended already
                self.surprises.append(f"a cancel failed: {error}")
            return False
        self.strike_once("cancel", "a job cancelled")
        return True

    # ── Faults: each strikes, if there is something to strike at, and says whether it did ───────────

    def _inject(self) -> None:
        for _ in range(20):
            if self.is_on("locks"):  # see there
                return
            names = [name for name in FAULTS if name in self.chosen for _ in FAULTS[name]]
            if not names or self.inject(self.draw("all", names)):
                return

    def inject(self, name: str) -> bool:
        """Have a fault strike, if there is something to strike at; returns whether there was."""
        if not FAULTS[name] or (name in LASTING and not self._is_up):
            return False
        try:
            return bool(self.draw(name, FAULTS[name])(self))
        except psycopg.Error as error:
            if not self._is_excused(error):
                self.surprises.append(f"{name} could not be injected: {error}")
            return False

    def draw(self, name: str, cards: Sequence[T]) -> T:
        """As from a shuffled pack: every card comes before one comes again."""
        if not self._bags.get(name):
            self._bags[name] = list(cards)
            self.faults_rng.shuffle(self._bags[name])
        card: T = self._bags[name].pop()
        return card

    def strike(self, fault: str, how: str, *pids: int) -> Strike:
        """Note a fault that lasts."""
        self.strikes.append(Strike(fault, how, time.time(), None, set(pids)))
        return self.strikes[-1]

    def strike_once(self, fault: str, how: str, place: Place | None = None) -> None:
        """Note a fault that does not last."""
        now = time.time()
        self.strikes.append(Strike(fault, how, now, now, {place.process.pid} if place else set()))

    def is_on(self, *faults: str, how: str = "") -> bool:
        """Whether one of these faults lasts, in a way that begins with these words."""
        return any(s.ended is None and s.fault in faults and s.how.startswith(how) for s in self.strikes)

    def took_hold(self, strike: Strike, did: bool) -> None:
        """Say whether a fault was seen to bite; one that does not proves nothing."""
        if not did:
            self.surprises.append(f"the fault {strike.fault}, {strike.how}, did not take hold")

    def undo_later(
        self,
        strike: Strike,
        undo: Callable[[], object],
        seconds: float | None = None,
        ends_with_server: bool = False,
    ) -> None:
        """Take a fault off after some time, by default one or two leases, or as soon as the server is up."""
        seconds = self.faults_rng.uniform(1, 2) * LEASE if seconds is None else seconds

        def take_off() -> None:
            if strike.ended is not None:
                return
            try:
                if self._is_up or ends_with_server:
                    undo()
                    strike.ended = time.time()
                    return
            except psycopg.Error as error:
                if not self._is_excused(error):
                    self.surprises.append(f"{strike.fault} could not be taken off: {error}")
                    strike.ended = time.time()
                    return
            self._later.append((time.monotonic() + 0.5, take_off))

        self._later.append((time.monotonic() + seconds, take_off))
        if ends_with_server:
            self._lasting.append((strike, take_off))

    def make_quiet(self) -> None:
        """Take off whatever lasts."""
        if not self._is_up:
            self._start_server()
        undos, self._later = self._later, []
        for _, undo in undos:
            undo()

    def excuse(self, *words: str, seconds: float = float("inf")) -> None:
        """From now on clients may be refused with these words, for so long."""
        for each in words:
            self._excused[each] = time.monotonic() + seconds

    def _is_excused(self, error: psycopg.Error) -> bool:
        for words, until in self._excused.items():
            if words in str(error) and time.monotonic() < until:
                for strike in [s for s in self.strikes if s.ended is None or s.ended > time.time() - 60]:
                    if strike.fault in ("notify-queue", "connection-limit"):
                        strike.notes["statements of clients refused"] += 1
                return True
        return False

    @staticmethod
    def try_in(session: psycopg.Connection[DictRow], command: str) -> int | None:
        """Try something in a transaction; returns the number of rows, or None if it is refused."""
        session.execute("SAVEPOINT tried")
        try:
            return session.execute(command.encode()).rowcount
        except psycopg.Error:
            session.execute("ROLLBACK TO tried")
            return None

    def pick(self) -> Place | None:
        """A worker that lives and that nothing ends already."""
        living = [p for p in self.places if p.process.poll() is None and not {"stopped", "killed"} & p.hit]
        return self.faults_rng.choice(living) if living else None

    def _kill(self, place: Place) -> None:
        place.hit.add("killed")
        self.kills[place.process.pid] = time.time()
        place.process.kill()

    def _kill_worker(self) -> bool:
        """As when a container is killed: all its processes at once."""
        if (place := self.pick()) is None:
            return False
        children = self.descendants(place)
        self._kill(place)
        for pid in children:
            _signal(pid, signal.SIGKILL)
        self.strike_once("kill-worker", "with its children", place)
        return True

    def _kill_supervisor(self) -> bool:
        if (place := self.pick()) is None:
            return False
        self._kill(place)
        self.strike_once("kill-supervisor", "alone", place)
        return True

    def _kill_child(self, number: signal.Signals = signal.SIGKILL) -> bool:
        place = self.pick()
        children = self.descendants(place) if place else []
        if not children:
            return False
        _signal(self.faults_rng.choice(children), number)
        self.strike_once("kill-child", f"by {number.name}", place)
        return True

    def _segfault_child(self) -> bool:
        return self._kill_child(signal.SIGSEGV)

    def _stop_past_lease(self) -> bool:
        if (place := self.pick()) is None:
            return False
        process = place.process
        # With its children, as when a machine sleeps, or without.
        children = self.descendants(place) if self.faults_rng.random() < 0.5 else []
        process.send_signal(signal.SIGSTOP)
        for pid in children:
            _signal(pid, signal.SIGSTOP)

        strike = self.strike(
            "stop", "past its lease" + (", with its children" if children else ""), process.pid
        )

        def go_on() -> None:
            strike.ended = time.time()
            process.send_signal(signal.SIGCONT)
            for pid in set(children) & set(self._processes()):
                _signal(pid, signal.SIGCONT)

        self._later.append((time.monotonic() + self.faults_rng.uniform(1, 2) * LEASE, go_on))
        return True

    def _terminate(self) -> bool:
        if (place := self.pick()) is None:
            return False
        place.hit.add("stopped")
        place.process.terminate()
        self.strike_once("terminate", "a worker stopped by SIGTERM", place)
        return True

    def _terminate_sessions(self) -> bool:
        if not self._is_up:
            return False
        with psycopg.connect(self.url, autocommit=True) as admin:
            rows = admin.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'wanda' ORDER BY pid")
            pids = [pid for (pid,) in rows]
            for pid in self.faults_rng.sample(pids, min(len(pids), self.faults_rng.randint(1, 3))):
                admin.execute("SELECT pg_terminate_backend(%s)", [pid])
                self.strike_once("sessions", "a session terminated")
        return bool(pids)

    def _crash_server(self) -> bool:
        if not self._is_up:
            return False
        self._stop_server("immediate")
        self._start_server()
        self.strike_once("crash", "the server restarts at once")
        return True

    def _refuse_connections(self) -> bool:
        if not self._is_up:
            return False
        self._stop_server(self.faults_rng.choice(["fast", "immediate"]))
        strike = self.strike("away", "the server, for seconds")

        def come_back() -> None:
            self._start_server()
            strike.ended = time.time()

        self._later.append((time.monotonic() + self.faults_rng.uniform(1, 6), come_back))
        return True

    def _stop_server(self, mode: str) -> None:
        self._is_up = False
        for _, take_off in self._lasting:
            take_off()
        self._lasting.clear()
        self.server._run("pg_ctl", "-m", mode, "-w", "stop")

    def _start_server(self) -> None:
        ends = time.monotonic() + 60
        while not self._is_up:
            try:
                self.server._run("pg_ctl", "-w", "start")  # not Server.start: the port must stay
                self._is_up = True
            except ServerError:
                if time.monotonic() > ends:
                    raise

    def _black_hole(self) -> bool:
        if (place := self.pick()) is None:
            return False
        way = self.faults_rng.choice(["both directions", "requests", "answers"])
        directions = {"requests": ["up"], "answers": ["down"]}.get(way, ["up", "down"])
        place.proxy.strike(*directions, late=self.faults_rng.random() < 0.5)
        strike = self.strike("black-hole", way, place.process.pid)

        def heal() -> None:
            place.proxy.heal()
            strike.ended = time.time()

        self._later.append((time.monotonic() + self.faults_rng.uniform(0.5, 2) * LEASE, heal))
        return True

    def _flood(self) -> bool:
        if not self._is_up:
            return False
        self.ask(
            """SELECT pg_notify('ml_jobs', 'flood ' || n), pg_notify('ml_job_status', n || ' COMPLETED')
            FROM generate_series(1, 2000) n""",
            user="anna",
        )
        self.strike_once("notifications", "a flood of them")
        return True

    def _cancel_some(self) -> bool:
        if not self._is_up:
            return False
        rows = self.ask("SELECT id FROM ml_jobs WHERE status IN ('PENDING', 'RUNNING') ORDER BY id")
        return bool(rows) and self._cancel(self.faults_rng.choice(rows)["id"])


# What a fault does, as often as it comes in a round; two come with a worker that is started.
STEADY: dict[str, list[Callable[[Soak], bool]]] = {
    "kill-worker": [Soak._kill_worker],
    "kill-supervisor": [Soak._kill_supervisor],
    "kill-child": [Soak._kill_child, Soak._segfault_child],
    "stop": [Soak._stop_past_lease],
    "terminate": [Soak._terminate],
    "sessions": [Soak._terminate_sessions, Soak._terminate_sessions],
    "crash": [Soak._crash_server],
    "away": [Soak._refuse_connections],
    "black-hole": [Soak._black_hole, Soak._black_hole],
    "notifications": [Soak._flood],
    "cancel": [Soak._cancel_some],
    "sabotage": [],
    "clock": [],
}
FAULTS = STEADY | LASTING


@contextmanager
def soak(
    workers: int, seed: int, faults: Collection[str] = (), bin_dir: Path | None = None
) -> Iterator[Soak]:
    """Give a soak with its server and workers; afterwards nothing is left of it.

    Args:
        faults: names of those that may strike; all by default.
        bin_dir: programs of the PostgreSQL to use, by default of the embedded one.
    """
    obey_modes()
    home = Path(tempfile.mkdtemp(prefix="ml-chaos-"))
    home.chmod(0o711)  # the server of root runs as another user
    made = Soak(home, workers, seed, faults, bin_dir)
    try:
        made.start()
        yield made
    finally:
        made.clear()
        shutil.rmtree(home, ignore_errors=True)


def obey_modes() -> None:
    """Let no program that this one starts write where a mode forbids it, though it be root's."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def _copy(words: int, log_file: Path) -> None:
    with log_file.open("ab", buffering=0) as log:
        while told := os.read(words, 1 << 16):
            log.write(told)
    os.close(words)


def _quiet_port() -> int:
    """A free port that no outgoing connection takes while the server is away."""
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(pid, number)
