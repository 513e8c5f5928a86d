"""psql, as a person who types and reads."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest

from tests.clients.steps import (
    COMPARISON,
    DESCRIPTION,
    MODEL,
    REFUSED,
    SECONDS,
    TEST,
    Notes,
    Service,
    Steps,
    overheard,
)
from tests.conftest import until
from worker.embedded import bundled

TRAIN = """
    INSERT INTO ml_jobs (
        job_type, status, priority, train_target_var, train_operator, train_value, train_start, train_end,
        train_features_csv, train_phases_csv, train_model_type, train_description
    ) VALUES (
        'TRAIN', 'PENDING', {}, 'market_cap_close', '>', {}, {}, {}, 'price_open,volume_sol', '1,2,3',
        'logistic_regression', {}
    ) RETURNING id
"""
PLAIN = TRAIN.format(5, 50000, "'2024-01-01'", "'2024-03-01'", "NULL") + ";"
HEARD = re.compile(
    r'^Asynchronous notification "ml_job_status" with payload "(.*)" received from server process .*\n', re.M
)
NO_WORKER = re.compile(r"^NOTICE:  no worker is running.*\nHINT: .*\n", re.M)


class Psql:
    """A session of ``anna``: what is typed, and what appears."""

    def __init__(self, process: "subprocess.Popen[str]", notes: Notes) -> None:
        self.process, self.notes = process, notes

    def type(self, text: str) -> str:
        """Send a line or more; returns what appears, without notifications, which are noted."""
        assert self.process.stdin
        assert self.process.stdout
        print(text, r"\echo =that=was=all=", sep="\n", file=self.process.stdin, flush=True)
        lines: list[str] = []
        while (line := self.process.stdout.readline()) != "=that=was=all=\n":
            assert line, "psql has ended: " + "".join(lines)
            lines.append(line)
        shown = "".join(lines)
        self.notes.heard += HEARD.findall(shown)
        return NO_WORKER.sub("", HEARD.sub("", shown)).strip()

    def submit(self, text: str = PLAIN) -> int:
        return int(self.type(text))

    def hear(self, payload: str) -> None:
        def has_come() -> bool:
            self.type("SELECT;")
            return payload in self.notes.heard

        until(has_come, f"the notification {payload}", SECONDS)

    def read(self, table: str, columns: tuple[str, ...], row_id: str) -> dict[str, Any]:
        shown = self.type(f"SELECT {', '.join(columns)} FROM {table} WHERE id = {row_id};")
        read = {"t": True, "f": False, "": None}
        return {name: read.get(text, text) for name, text in zip(columns, shown.split("|"), strict=True)}

    def finish(self, job_type: str, statement: str, result: str) -> str:
        job_id = self.notes.jobs[job_type] = self.submit(statement)
        self.hear(f"{job_id} COMPLETED")
        shown = self.type(f"SELECT status, {result} FROM ml_jobs WHERE id = {job_id};")
        self.notes.statuses[job_type], result_id = shown.split("|")
        return result_id


@contextmanager
def psql(service: Service, notes: Notes, name: Literal["busy", "quiet"]) -> Iterator[Psql]:
    login = service.login(name)
    process = subprocess.Popen(
        [str(bundled() / "psql"), "-X", "-q", "-A", "-t"],
        env=os.environ
        | {
            "PGHOST": login["host"],
            "PGPORT": str(login["port"]),
            "PGDATABASE": login["database"],
            "PGUSER": login["user"],
            "PGPASSWORD": login["password"],
            "PGCLIENTENCODING": "UTF8",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    session = Psql(process, notes)
    session.type("LISTEN ml_job_status;")
    yield session
    process.communicate(r"\q", timeout=30)


def work(service: Service, session: Psql) -> None:
    rows = session.notes.rows
    model = session.finish("TRAIN", PLAIN, "result_model_id")
    rows["TRAIN"] = session.read("ml_models", MODEL, model)
    statement = f"""
        INSERT INTO ml_jobs (
            job_type, status,
            test_model_id, test_start, test_end
        ) VALUES (
            'TEST', 'PENDING',
            {model}, '2024-03-01', '2024-04-01'
        ) RETURNING id;
    """
    rows["TEST"] = session.read("ml_test_results", TEST, session.finish("TEST", statement, "result_test_id"))
    statement = f"""
        INSERT INTO ml_jobs (
            job_type, status,
            compare_model_a_id, compare_model_b_id,
            compare_start, compare_end
        ) VALUES (
            'COMPARE', 'PENDING',
            {model}, {service.rival},
            '2024-03-01', '2024-04-01'
        ) RETURNING id;
    """
    result = session.finish("COMPARE", statement, "result_comparison_id")
    rows["COMPARE"] = session.read("ml_comparisons", COMPARISON, result)


def bind(session: Psql) -> None:
    bound = session.notes.bound
    places = [f"${number}" for number in range(1, 6)]
    description = DESCRIPTION.replace("'", "''")
    quoted = DESCRIPTION.replace("\\", "\\\\").replace("'", "\\'")  # as \set and \bind read it
    session.type("SET TimeZone = 'Europe/Berlin';")
    session.type(f"\\set description '{quoted}'")
    bound["variable"] = session.submit(
        TRAIN.format(3, "50000.5", "'2024-01-01Z'", "'2024-03-01Z'", ":'description'") + ";"
    )
    bound["unknown"] = session.submit(
        TRAIN.format(*places) + rf"\bind 3 50000.5 '2024-01-01 00:00Z' '2024-03-01 00:00Z' '{quoted}' \g"
    )
    for number, (types, zone) in enumerate(
        {
            "int, numeric, timestamptz, timestamptz, text": "Z",
            "int, numeric, timestamp, timestamp, varchar": "",
            "bigint, float8, date, date, varchar(50)": "",
        }.items()
    ):
        session.type(f"PREPARE train_{number} ({types}) AS {TRAIN.format(*places)};")
        values = f"3, 50000.5, '2024-01-01{zone}', '2024-03-01{zone}', '{description}'"
        name = types if zone else f"{types}, without zone"
        bound[name] = session.submit(f"EXECUTE train_{number} ({values});")


def ask(session: Psql) -> None:
    notes = session.notes
    bind(session)
    for how, statement in (
        ("UPDATE", "UPDATE ml_jobs SET status = 'CANCELLED' WHERE id = {};"),
        ("CALL", "CALL ml.cancel_job({});"),
    ):
        job_id = notes.cancelled[how] = session.submit()
        session.type(statement.format(job_id))
        session.hear(f"{job_id} CANCELLED")

    session.type("NOTIFY ml_jobs, 'before';")
    session.type(r"\set AUTOCOMMIT off")
    notes.transactions["rolled_back"] = session.submit()
    session.type("ROLLBACK;")
    session.type("NOTIFY ml_jobs, 'rolled back';")
    session.type("COMMIT;")
    notes.transactions["committed"] = session.submit()
    session.type("COMMIT;")
    session.type(r"\set AUTOCOMMIT on")
    session.type("NOTIFY ml_jobs, 'committed';")

    for statement, *_ in REFUSED:
        shown = session.type(f"{statement};")
        message = re.search(r"^ERROR:  (.*)$", shown, re.M)
        hint = re.search(r"^HINT:  (.*)$", shown, re.M)
        assert message is not None
        sqlstate = session.type(r"\echo :LAST_ERROR_SQLSTATE")
        notes.refused.append([sqlstate, message[1], hint and hint[1]])


@pytest.fixture(scope="module")
def notes(service: Service) -> Notes:
    with overheard(service) as notes:
        with psql(service, notes, "busy") as session:
            work(service, session)
        with psql(service, notes, "quiet") as session:
            ask(session)
    return notes


class TestPsql(Steps):
    pass
