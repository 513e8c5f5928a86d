"""Faults that last: each is put on for a while and taken off again. All but one are what a client or an
administrator does, in plain SQL; none needs a worker that was made for it.

A fault returns whether it struck. Whether it took hold is tried at once, as by whom it is meant for: one that
does not bite would prove nothing.
"""

import resource
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.pq import ExecStatus
from psycopg.rows import DictRow

from tests.conftest import PASSWORD, TRAIN, insert_job

if TYPE_CHECKING:
    from tests.chaos.soak import Place, Soak

LEASE = 5.0
FLOOD = 2000  # jobs
LONG_JOB = TRAIN | {
    "train_model_type": "random_forest",
    "train_params_csv": "n_estimators=4000;max_depth=3",
}
QUEUE_PAGES = 64  # the least that a server takes
GRACE_SECONDS = 30.0  # in which the service may still suffer from a fault that is over

LOGIN = {
    "its password changed": (
        "ALTER ROLE wanda PASSWORD 'another'",
        f"ALTER ROLE wanda PASSWORD '{PASSWORD}'",
    ),
    "its password expired": (
        "ALTER ROLE wanda VALID UNTIL '2000-01-01'",
        "ALTER ROLE wanda VALID UNTIL 'infinity'",
    ),
    "NOLOGIN": ("ALTER ROLE wanda NOLOGIN", "ALTER ROLE wanda LOGIN"),
    "CONNECT revoked": (
        "REVOKE CONNECT ON DATABASE chaos FROM public",
        "GRANT CONNECT ON DATABASE chaos TO public",
    ),
}
# Clients may have these, too; an INSERT in plain SQL means the same.
SETTINGS_OF_ALL = [
    ("DateStyle", "German"),
    ("DateStyle", "SQL, DMY"),
    ("IntervalStyle", "sql_standard"),
    ("TimeZone", "America/St_Johns"),
    ("standard_conforming_strings", "off"),
    ("client_encoding", "LATIN1"),
    ("client_encoding", "SQL_ASCII"),
    ("bytea_output", "escape"),
    ("extra_float_digits", "-15"),
    ("array_nulls", "off"),
    ("transform_null_equals", "on"),
    ("jit_above_cost", "0"),
]
SETTINGS_OF_THE_WORKER = [
    ("default_transaction_read_only", "on"),
    ("default_transaction_isolation", "serializable"),
    ("row_security", "off"),
    ("search_path", "pg_temp"),
]
TIMEOUTS = [
    ("statement_timeout", "2ms"),  # every statement
    ("statement_timeout", "20ms"),  # what reads the rows
    ("lock_timeout", "1ms"),
    ("idle_in_transaction_session_timeout", "1ms"),
    ("idle_session_timeout", "200ms"),
    ("transaction_timeout", "2ms"),  # PostgreSQL 17
]
LOCK_MODES = [
    "ACCESS EXCLUSIVE",
    "EXCLUSIVE",
    "SHARE ROW EXCLUSIVE",
    "SHARE",
    "SHARE UPDATE EXCLUSIVE",
    "ROW EXCLUSIVE",
    "ROW SHARE",
    "ACCESS SHARE",
]


# ── The worker's login ──────────────────────────────────────────────────────────────────────────────


def limit_connections(soak: "Soak") -> bool:
    """The login may open so many connections and no more; it may have more already."""
    limit = soak.faults_rng.randint(0, soak.workers + 1)
    soak.administer(f"ALTER ROLE wanda CONNECTION LIMIT {limit}")
    strike = soak.strike("connection-limit", "of the login")
    soak.undo_later(strike, lambda: soak.administer("ALTER ROLE wanda CONNECTION LIMIT -1"))
    soak.took_hold(strike, _is_refused(soak) or _sessions(soak) < limit)
    return True


def fill_server(soak: "Soak") -> bool:
    """Somebody holds every connection that the server has, but for those kept for administrators."""
    if soak.is_on("login", "settings", "timeouts"):
        return False  # the probe could not tell one from the other
    soak.excuse("too many clients", "remaining connection slots")
    held: list[psycopg.Connection[DictRow]] = []

    def fill() -> bool:
        with suppress(psycopg.OperationalError):
            while len(held) < 500:
                held.append(soak.connect("rosa"))
        return _is_refused(soak)

    strike = soak.strike("connection-limit", "of the server")

    def undo() -> None:
        for connection in held:
            connection.close()
        soak.excuse("too many clients", "remaining connection slots", seconds=GRACE_SECONDS)

    soak.undo_later(strike, undo, ends_with_server=True)
    soak.took_hold(strike, any(fill() for _ in range(20)))  # who leaves at this moment leaves a place
    return True


def change_login(soak: "Soak") -> bool:
    if soak.is_on("login"):
        return False
    how = soak.draw("each login", list(LOGIN))
    change, undo = LOGIN[how]
    soak.administer(change)
    strike = soak.strike("login", how)
    soak.undo_later(strike, lambda: soak.administer(undo))
    soak.took_hold(strike, _is_refused(soak))
    return True


def _is_refused(soak: "Soak") -> bool:
    try:
        soak.connect("wanda").close()
    except psycopg.OperationalError:
        return True
    return False


def _sessions(soak: "Soak") -> int:
    (row,) = soak.ask("SELECT count(*) AS n FROM pg_stat_activity WHERE usename = 'wanda'")
    return int(row["n"])


# ── Settings, and timeouts ──────────────────────────────────────────────────────────────────────────


def change_setting(soak: "Soak") -> bool:
    if soak.is_on("connection-limit", "login"):
        return False  # no new session would have it
    setting, value = soak.draw("each setting", SETTINGS_OF_ALL + SETTINGS_OF_THE_WORKER)
    targets = ["ROLE wanda", "ROLE wanda IN DATABASE chaos"]
    if (setting, value) in SETTINGS_OF_ALL:
        targets += ["DATABASE chaos", "ROLE anna"]
    target = soak.faults_rng.choice(targets)
    if setting != "row_security":
        return _set(soak, "settings", target, setting, value)
    # It means something only where a policy hides rows.
    try:
        soak.administer("SET statement_timeout TO '5s'; CALL ml.separate_teams(true)", user="owner")
    except psycopg.errors.QueryCanceled:
        return False
    return _set(
        soak,
        "settings",
        target,
        setting,
        value,
        lambda: soak.administer("CALL ml.separate_teams(false)", user="owner"),
    )


def change_timeout(soak: "Soak") -> bool:
    if soak.is_on("connection-limit", "login"):
        return False
    (row,) = soak.ask("SELECT array_agg(name) AS names FROM pg_settings WHERE name LIKE '%timeout'")
    setting, value = soak.draw("each timeout", [pair for pair in TIMEOUTS if pair[0] in row["names"]])
    return _set(soak, "timeouts", "ROLE wanda", setting, value)


def _set(
    soak: "Soak",
    fault: str,
    target: str,
    setting: str,
    value: str,
    also_undo: Callable[[], object] = lambda: None,
) -> bool:
    """Set it for new sessions: those of children at once, those of supervisors as they reconnect."""
    if soak.is_on(fault, how=f"{setting} = "):
        also_undo()
        return False  # the first to be taken off would take off both
    soak.administer(f"ALTER {target} SET {setting} TO '{value}'")
    strike = soak.strike(fault, f"{setting} = {value}")
    strike.notes[f"for {target}"] += 1

    def undo() -> None:
        soak.administer(f"ALTER {target} RESET {setting}")
        also_undo()

    soak.undo_later(strike, undo)
    who = "anna" if target == "ROLE anna" else "wanda"
    with soak.connect(who) as session:
        soak.took_hold(strike, _shows(session, setting, value))
    if who == "wanda" and soak.faults_rng.random() < 0.5:
        soak.administer("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'wanda'")
    return True


def _shows(session: psycopg.Connection[DictRow], setting: str, value: str) -> bool:
    # Whatever the session does to texts and statements, libpq tells of these as it was connected.
    told = session.info.parameter_status(setting)
    if told is None:
        row = session.pgconn.exec_(f"SHOW {setting}".encode())
        if row.status != ExecStatus.TUPLES_OK:
            return True  # a timeout that has ended the session already
        told = (row.get_value(0, 0) or b"").decode()
    return told.replace(" ", "").startswith(value.replace(" ", ""))


# ── The folder of the models ────────────────────────────────────────────────────────────────────────


def fill_disk(soak: "Soak") -> bool:
    """No file may grow beyond some size: an error at the very place where a full disk gives one.

    It stops root, too, as no mode of a folder does. It is one worker's disk, or that of all.
    """
    rng = soak.faults_rng
    if soak.is_on("disk-full"):
        return False
    places = list(soak.places) if rng.random() < 0.5 else [p for p in [soak.pick()] if p]
    limit = rng.choice([0, 2000])  # all full; or room for what tries it, but for no model
    if not places:
        return False
    for place in places:
        place.file_size = limit
        _limit_files(soak, place)
    how = f"{'one worker' if len(places) == 1 else 'all workers'}, {limit} bytes left"
    strike = soak.strike("disk-full", how, *(place.process.pid for place in places))

    def undo() -> None:
        for place in places:
            now = soak.places[place.number - 1]  # its worker may have been replaced
            now.file_size = place.file_size = resource.RLIM_INFINITY
            _limit_files(soak, now)

    soak.undo_later(strike, undo)
    soak.took_hold(strike, all(_has_limit(soak, place, limit) for place in places))
    return True


def _limit_files(soak: "Soak", place: "Place") -> None:
    # Twice: what was being forked as the first list was made has the old limit.
    for _ in range(2):
        for pid in [place.process.pid, *soak.descendants(place)]:
            limit_files(pid, place.file_size)


def limit_files(pid: int, size: int) -> None:
    """Let no file of a running process grow beyond this size."""
    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _has_limit(soak: "Soak", place: "Place", size: int) -> bool:
    """What was forked by a process that had the old limit still may be met a few times."""
    for _ in range(20):
        if _have_limit(soak, place, size):
            return True
        _limit_files(soak, place)
    return False


def _have_limit(soak: "Soak", place: "Place", size: int) -> bool:
    for pid in [place.process.pid, *soak.descendants(place)]:
        with suppress(ProcessLookupError):
            if resource.prlimit(pid, resource.RLIMIT_FSIZE)[0] != size:
                return False
    return True


def forbid_writing(soak: "Soak") -> bool:
    """The folder is read-only; root would not be stopped by its mode, but see :func:`soak.obey_modes`."""
    if soak.is_on("read-only"):
        return False
    soak.model_dir.chmod(0o555)
    strike = soak.strike("read-only", "the folder of the models")
    soak.undo_later(strike, lambda: soak.model_dir.chmod(0o755))
    tried = subprocess.run(["touch", soak.model_dir / "probe"], stderr=subprocess.DEVNULL, check=False)
    soak.took_hold(strike, tried.returncode != 0)
    return True


# ── The queue of notifications ──────────────────────────────────────────────────────────────────────


def fill_notifications(soak: "Soak") -> bool:
    """A session of another database listens and stays in a transaction: the queue grows until it is full.

    Then no transaction that notifies can commit, nor any INSERT of a job.
    """
    if not soak.has_small_queue or soak.is_on("notify-queue"):
        return False
    excused = "too many notifications"
    soak.excuse(excused)
    blocker = psycopg.connect(soak.server.tcp_url("postgres"))
    blocker.execute("LISTEN chaos_blocker")
    blocker.commit()
    blocker.execute("SELECT")  # begins the transaction that it stays in
    with psycopg.connect(soak.server.tcp_url("postgres"), autocommit=True) as filler:
        filler.execute("SELECT pg_notification_queue_usage()")  # gives back what all have read
        for size in (7900, 1000, 1):
            with suppress(psycopg.errors.ProgramLimitExceeded):
                for number in range(100 * QUEUE_PAGES):
                    filler.execute("SELECT pg_notify('c', %s)", [str(number).ljust(size, "x")])
        is_full = False
        try:
            filler.execute("NOTIFY ml_jobs")
        except psycopg.errors.ProgramLimitExceeded:
            is_full = True
    strike = soak.strike("notify-queue", "full")
    soak.took_hold(strike, is_full)

    def undo() -> None:
        blocker.close()
        soak.excuse(excused, seconds=GRACE_SECONDS)

    soak.undo_later(strike, undo, ends_with_server=True)
    return True


# ── Clients ─────────────────────────────────────────────────────────────────────────────────────────


def hold_locks(soak: "Soak") -> bool:
    """A client takes every lock that it can get, and keeps them for three leases or so.

    Nothing else strikes meanwhile: whose lease ends then, it is the locks that ended it.
    """
    soak.make_quiet()
    with soak.connect("lotte") as client:
        own = insert_job(client, **TRAIN, priority=5)
    soak.accepted.append(own)
    soak.jobs_of_locker.add(own)
    with soak.connect("anna") as client:
        others = [insert_job(client, **LONG_JOB, priority=1, max_attempts=100) for _ in range(2)]
    soak.accepted += others
    ends = time.monotonic() + 3 * LEASE
    while time.monotonic() < ends and not soak.ask(
        "SELECT FROM ml_jobs WHERE id = ANY (%s) AND status = 'RUNNING'", [others]
    ):
        time.sleep(0.05)
    tables = soak.ask(
        """SELECT c.oid::regclass::text AS name FROM pg_class c
        WHERE c.relkind IN ('r', 'p')
            AND c.relnamespace::regnamespace::text IN ('public', 'ml', 'ml_internal')
        ORDER BY c.relname <> 'ml_jobs', c.relname"""
    )
    strike = soak.strike("locks", "whatever a client can lock")
    holder = soak.connect("lotte")
    seconds = soak.faults_rng.uniform(2.5, 3.5) * LEASE
    soak.undo_later(strike, holder.close, seconds, ends_with_server=True)
    holder.execute("BEGIN")
    holder.execute("SET LOCAL lock_timeout TO '300ms'")
    # All that guard a name, and all that anybody is holding now.
    soak.try_in(
        holder,
        "SELECT pg_advisory_xact_lock(hashtext('ml_models.name'), n) FROM generate_series(-999, 999) n",
    )
    for row in soak.ask("SELECT classid, objid, objsubid FROM pg_locks WHERE locktype = 'advisory'"):
        key = (
            f"{(row['classid'] << 32) + row['objid']}"
            if row["objsubid"] == 1
            else f"{row['classid']}::bit(32)::integer, {row['objid']}::bit(32)::integer"
        )
        soak.try_in(holder, f"SELECT pg_try_advisory_xact_lock({key})")
    rows = 0
    for table in tables:
        rows += soak.try_in(holder, f"SELECT FROM {table['name']} FOR UPDATE SKIP LOCKED") or 0
        for mode in LOCK_MODES:
            if soak.try_in(holder, f"LOCK TABLE {table['name']} IN {mode} MODE") is not None:
                break
    strike.notes["rows locked"] += rows
    (held,) = soak.ask("SELECT count(*) AS n FROM pg_locks WHERE pid = %s", [holder.info.backend_pid])
    soak.took_hold(strike, held["n"] > 0)
    return True


def flood_with_jobs(soak: "Soak") -> bool:
    """One client inserts thousands of urgent jobs, and then another two insert one each, as urgent."""
    if soak.is_on("flood"):
        return False
    with soak.connect("fritz") as client:
        columns = sql.SQL(", ").join(map(sql.Identifier, TRAIN))
        rows = client.execute(
            sql.SQL(
                """INSERT INTO ml_jobs (priority, {}) SELECT 1, {} FROM generate_series(1, {}) RETURNING id"""
            ).format(columns, sql.SQL(", ").join(map(sql.Literal, TRAIN.values())), FLOOD)
        ).fetchall()
    flood = [row["id"] for row in rows]
    soak.accepted += flood
    soak.flooded.update(flood)
    strike = soak.strike("flood", f"{FLOOD} urgent jobs of one client")

    def undo() -> None:
        with soak.connect("fritz") as client:
            cancelled = client.execute(
                "UPDATE ml_jobs SET status = 'CANCELLED' WHERE status = 'PENDING' AND id = ANY (%s)", [flood]
            )
        strike.notes["of them done or begun meanwhile"] += FLOOD - cancelled.rowcount
        waited = soak.ask(
            "SELECT count(*) AS n FROM ml_jobs WHERE id = ANY (%s) AND attempt = 0 AND status = 'PENDING'",
            [soak.urgent],
        )
        strike.notes["urgent jobs of others still waiting"] += waited[0]["n"]

    soak.undo_later(strike, undo, seconds=soak.faults_rng.uniform(2, 3) * LEASE)
    soak.took_hold(strike, len(flood) == FLOOD)
    for user in ("anna", "emil"):
        with soak.connect(user) as client:
            soak.accepted.append(insert_job(client, **TRAIN, priority=1, max_attempts=100))
            soak.urgent.append(soak.accepted[-1])
    return True


# Words by which a reason is known to come of one of these, and of nothing else that strikes at the same time.
SIGNS = {
    "connection-limit": "too many (connections|clients)|connection slots",
    "login": "password|log in|permission denied for database",
    "settings": "row-level|read-only transaction|serialize|not supported|NotImplemented",
    "timeouts": "timeout",
    "disk-full": "File too large",
    "read-only": "Permission denied",
    "notify-queue": "NOTIFY queue",
}

LASTING: dict[str, list[Callable[["Soak"], bool]]] = {
    "connection-limit": [limit_connections, fill_server],
    "login": [change_login],
    "settings": [change_setting, change_setting],
    "timeouts": [change_timeout],
    "disk-full": [fill_disk],
    "read-only": [forbid_writing],
    "notify-queue": [fill_notifications],
    "locks": [hold_locks],
    "flood": [flood_with_jobs],
}
