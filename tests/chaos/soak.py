"""A server, workers, a client that keeps the queue filled, and the faults that strike at them."""

import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row

from tests.conftest import PASSWORD, TEMPLATE, TRAIN, _make_template, insert_job, is_alive
from tests.faults.proxy import Proxy
from worker.embedded import Server, ServerError

LEASE = 5.0
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


@dataclass
class Place:
    """A place for a worker behind a proxy of its own; whoever ends there is replaced."""

    number: int
    proxy: Proxy
    process: subprocess.Popen[bytes]
    log_file: Path
    sabotage: str  # the fault that the worker brings along, if any
    hit: set[str] = field(default_factory=set)  # what we did to it: it may end, and how

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")


class Soak:
    """See the module's docstring. All choices come from the seed; the timing is the machine's."""

    def __init__(self, home: Path, workers: int, seed: int) -> None:
        self.home, self.model_dir = home, home / "models"
        self.jobs_rng, self.faults_rng = random.Random(f"jobs {seed}"), random.Random(f"faults {seed}")
        self.mark = f"{MARK}={secrets.token_hex(8)}"
        self.workers = workers
        self.places: list[Place] = []
        self.faults: Counter[str] = Counter()
        self.kills: dict[int, float] = {}  # process id of a supervisor to the time of its death
        self.accepted: list[int] = []  # jobs whose INSERT was answered
        self.starts = self.refused_starts = 0
        self.surprises: list[str] = []  # what no fault explains
        self.server = Server(home / "server", settings=(f"port = {_quiet_port()}", "fsync = off"))
        self._later: list[tuple[float, Callable[[], object]]] = []
        self._bag: list[Callable[[], bool]] = []
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
        self.url = self.server.tcp_url("chaos")
        clock = self.home / "clock"
        clock.mkdir()
        (clock / "sitecustomize.py").write_text(CLOCK_IS_OFF)
        port = int(psycopg.conninfo.conninfo_to_dict(self.url)["port"])  # type: ignore[arg-type]
        for number in range(1, self.workers + 1):
            proxy = Proxy("127.0.0.1", port)
            self.places.append(self._start_worker(number, proxy))

    def clear(self) -> None:
        for pid in self._processes():
            _signal(pid, signal.SIGKILL)
        for place in self.places:
            place.process.wait()
            place.proxy.__exit__()
        self.server.stop()

    def _start_worker(self, number: int, proxy: Proxy) -> Place:
        self.starts += 1
        proxy.heard.clear()  # nobody asks, and it would grow
        rng = self.faults_rng
        sabotage = rng.choice(SABOTAGE) if not self._is_calm and rng.random() < 0.5 else ()
        log_file = self.home / f"worker-{self.starts:03d}-at-{number}.log"
        name, _, value = self.mark.partition("=")
        environment = os.environ | {
            name: value,
            "DATABASE_URL": make_conninfo(self.url, user="wanda", password=PASSWORD, port=proxy.port),
        }
        options = ["--concurrency", str(rng.choice([1, 2])), "--lease", str(LEASE), "--poll", "1"]
        if not self._is_calm:
            options += rng.choice([["--drain"], [], []])
            if rng.random() < 0.25:
                paths = [str(self.home / "clock"), *filter(None, [os.environ.get("PYTHONPATH")])]
                off = rng.choice([-3600, 3600])
                environment |= {"PYTHONPATH": os.pathsep.join(paths), "ML_CHAOS_CLOCK": str(off)}
                self.faults["the clock of a worker off by an hour"] += 1
        program = ["tests.faults.saboteur", *sabotage] if sabotage else ["worker"]
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *program, "run", "--model-dir", str(self.model_dir), *options],
                env=environment,
                stdin=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for this program, which ends them
            )
        return Place(number, proxy, process, log_file, " ".join(sabotage))

    def _processes(self) -> list[int]:
        """Process ids of all workers and children, also of those whose parent is gone."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes()
            except OSError:  # ended, or another user's
                continue
            if self.mark.encode() in environment.split(b"\0") and is_alive(int(folder.name)):
                found.append(int(folder.name))
        return found

    def _children(self, place: Place) -> list[int]:
        return sorted(pid for pid in self._processes() if _parent(pid) == place.process.pid)

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
        for _, undo in self._later:
            undo()
        self._later.clear()
        ends = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < ends and self._num_open():
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
                self.surprises.append(f"an INSERT failed: {error}")

    def _replace(self, place: Place) -> None:
        if place.number not in self._restart_at:
            self._examine_end(place)
            self._restart_at[place.number] = time.monotonic() + 0.5
        if time.monotonic() < self._restart_at[place.number]:
            return
        del self._restart_at[place.number]
        self.places[place.number - 1] = self._start_worker(place.number, place.proxy)

    def _examine_end(self, place: Place) -> None:
        """Tell an end that was to be expected from one that was not."""
        code, log = place.process.returncode, place.log
        if "cut by the saboteur" in log:
            self.faults["the connection cut " + place.sabotage.replace(":", " ").removesuffix(" cut")] += 1
        if place.sabotage.endswith("child") and "was killed by" in log:
            self.faults["a child killed at a chosen step"] += 1
        if code == -signal.SIGKILL and "killed" not in place.hit and place.sabotage.endswith("kill"):
            self.faults["a worker killed at a chosen step"] += 1
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

    def ask(self, query: str, values: Any = None, user: str = "rosa") -> list[DictRow]:
        with self._connect(user) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def _connect(self, user: str) -> psycopg.Connection[DictRow]:
        url = make_conninfo(self.url, user=user, password=PASSWORD, connect_timeout=10)
        return psycopg.connect(url, autocommit=True, row_factory=dict_row)

    def _num_open(self) -> int:
        return int(
            self.ask("SELECT count(*) AS n FROM ml_jobs WHERE status IN ('PENDING', 'RUNNING')")[0]["n"]
        )

    def _submit(self) -> None:
        with self._connect("anna") as client:
            counted = client.execute("SELECT count(*) AS n FROM ml_queue").fetchone()
            assert counted is not None
            if counted["n"] >= 2 * self.workers + 2:
                return
            rows = client.execute("SELECT id FROM ml_models WHERE status = 'READY' ORDER BY id DESC LIMIT 20")
            job_id = insert_job(client, **self._request([row["id"] for row in rows.fetchall()]))
        self.accepted.append(job_id)
        if self.jobs_rng.random() < 0.1:
            self._later.append(
                (time.monotonic() + self.jobs_rng.uniform(0, 10), lambda: self._cancel(job_id))
            )

    def _request(self, models: list[int]) -> dict[str, Any]:
        rng = self.jobs_rng
        fields: dict[str, Any] = {
            "priority": rng.choice([3, 5, 5, 5]),
            "max_attempts": rng.choice([3, 100, 100, 100, 100]),
        }
        kind = rng.choices(["TRAIN", "TEST", "COMPARE"], [5, 3 * (len(models) > 0), 2 * (len(models) > 1)])[0]
        # Nothing has happened yet in 2030: these must fail.
        start, end = ("2030-01-01", "2030-02-01") if rng.random() < 0.07 else ("2024-03-01", "2024-04-01")
        if kind == "TEST":
            return fields | {
                "job_type": kind,
                "test_model_id": rng.choice(models),
                "test_start": start,
                "test_end": end,
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
        return fields | {"train_start": start, "train_end": end} if start.startswith("2030") else fields

    def _cancel(self, job_id: int) -> bool:
        if not self._is_up:
            return False
        try:
            self.ask("UPDATE ml_jobs SET status = 'CANCELLED' WHERE id = %s RETURNING id", [job_id], "anna")
        except psycopg.DatabaseError as error:
            if error.sqlstate != "ML002":  # it has ended already
                self.surprises.append(f"a cancel failed: {error}")
            return False
        self.faults["a job cancelled"] += 1
        return True

    # ── Faults: each strikes, if there is something to strike at, and says whether it did ───────────

    def _inject(self) -> None:
        # As cards from a shuffled pack: every kind comes before one comes again.
        for _ in range(20):
            if not self._bag:
                self._bag = [
                    self._kill_worker,
                    self._kill_supervisor,
                    self._kill_child,
                    self._segfault_child,
                    self._stop_past_lease,
                    self._terminate,
                    self._terminate_sessions,
                    self._terminate_sessions,
                    self._crash_server,
                    self._refuse_connections,
                    self._black_hole,
                    self._black_hole,
                    self._flood,
                    self._cancel_some,
                ]
                self.faults_rng.shuffle(self._bag)
            if self._bag.pop()():
                return

    def _pick(self) -> Place | None:
        """A worker that lives and that nothing ends already."""
        living = [p for p in self.places if p.process.poll() is None and not {"stopped", "killed"} & p.hit]
        return self.faults_rng.choice(living) if living else None

    def _kill(self, place: Place) -> None:
        place.hit.add("killed")
        self.kills[place.process.pid] = time.time()
        place.process.kill()

    def _kill_worker(self) -> bool:
        """As when a container is killed: all its processes at once."""
        if (place := self._pick()) is None:
            return False
        children = self._children(place)
        self._kill(place)
        for pid in children:
            _signal(pid, signal.SIGKILL)
        self.faults["a worker killed with its children"] += 1
        return True

    def _kill_supervisor(self) -> bool:
        if (place := self._pick()) is None:
            return False
        self._kill(place)
        self.faults["a supervisor killed"] += 1
        return True

    def _kill_child(self, number: signal.Signals = signal.SIGKILL) -> bool:
        place = self._pick()
        children = self._children(place) if place else []
        if not children:
            return False
        _signal(self.faults_rng.choice(children), number)
        self.faults[f"a child killed by {number.name}"] += 1
        return True

    def _segfault_child(self) -> bool:
        return self._kill_child(signal.SIGSEGV)

    def _stop_past_lease(self) -> bool:
        if (place := self._pick()) is None:
            return False
        process = place.process
        # With its children, as when a machine sleeps, or without.
        children = self._children(place) if self.faults_rng.random() < 0.5 else []
        process.send_signal(signal.SIGSTOP)
        for pid in children:
            _signal(pid, signal.SIGSTOP)

        def go_on() -> None:
            process.send_signal(signal.SIGCONT)
            for pid in set(children) & set(self._processes()):
                _signal(pid, signal.SIGCONT)

        self._later.append((time.monotonic() + self.faults_rng.uniform(1, 2) * LEASE, go_on))
        self.faults["a worker stopped past its lease"] += 1
        return True

    def _terminate(self) -> bool:
        if (place := self._pick()) is None:
            return False
        place.hit.add("stopped")
        place.process.terminate()
        self.faults["a worker stopped by SIGTERM"] += 1
        return True

    def _terminate_sessions(self) -> bool:
        if not self._is_up:
            return False
        with psycopg.connect(self.url, autocommit=True) as admin:
            rows = admin.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'wanda' ORDER BY pid")
            pids = [pid for (pid,) in rows]
            for pid in self.faults_rng.sample(pids, min(len(pids), self.faults_rng.randint(1, 3))):
                admin.execute("SELECT pg_terminate_backend(%s)", [pid])
                self.faults["a session terminated"] += 1
        return bool(pids)

    def _crash_server(self) -> bool:
        if not self._is_up:
            return False
        self._stop_server("immediate")
        self._start_server()
        self.faults["the server crashed and restarted"] += 1
        return True

    def _refuse_connections(self) -> bool:
        if not self._is_up:
            return False
        self._stop_server(self.faults_rng.choice(["fast", "immediate"]))
        self._later.append((time.monotonic() + self.faults_rng.uniform(1, 6), self._start_server))
        self.faults["the server away for seconds"] += 1
        return True

    def _stop_server(self, mode: str) -> None:
        self._is_up = False
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
        if (place := self._pick()) is None:
            return False
        way = self.faults_rng.choice(["both directions", "requests", "answers"])
        directions = {"requests": ["up"], "answers": ["down"]}.get(way, ["up", "down"])
        place.proxy.strike(*directions, late=self.faults_rng.random() < 0.5)
        self._later.append((time.monotonic() + self.faults_rng.uniform(0.5, 2) * LEASE, place.proxy.heal))
        self.faults[f"a black hole, {way}"] += 1
        return True

    def _flood(self) -> bool:
        if not self._is_up:
            return False
        self.ask(
            """SELECT pg_notify('ml_jobs', 'flood ' || n), pg_notify('ml_job_status', n || ' COMPLETED')
            FROM generate_series(1, 2000) n""",
            user="anna",
        )
        self.faults["a flood of notifications"] += 1
        return True

    def _cancel_some(self) -> bool:
        if not self._is_up:
            return False
        rows = self.ask("SELECT id FROM ml_jobs WHERE status IN ('PENDING', 'RUNNING') ORDER BY id")
        return bool(rows) and self._cancel(self.faults_rng.choice(rows)["id"])


@contextmanager
def soak(workers: int, seed: int) -> Iterator[Soak]:
    """Give a soak with its server and workers; afterwards nothing is left of it."""
    home = Path(tempfile.mkdtemp(prefix="ml-chaos-"))
    home.chmod(0o711)  # the server of root runs as another user
    made = Soak(home, workers, seed)
    try:
        made.start()
        yield made
    finally:
        made.clear()
        shutil.rmtree(home, ignore_errors=True)


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
