"""Text of users that would be markup to a page or a command to a terminal, wherever it is shown."""

import os
import pty
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.commands.test_cli import ml_worker
from tests.commands.test_report import Page
from tests.conftest import TRAIN, Connection, Database, claim, insert_job, job_row
from tests.sql.helpers import COMPARE_PERIOD, CURVE, TEST_PERIOD, call, complete
from worker.commands import report

COLOURS = r"\x1b\[[0-9;]*m"  # that top sends by itself
HOSTILE = {
    "markup": "<script>alert(1)</script><img src=x onerror=f()></title></svg></style><!--",
    "quotes": "\" onload=f() x=' &quot;&#39; ' OR 1=1 -- `",
    "escapes": "\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[2J\x9b31m\x08\x7f",
    "direction": "\u202egnp.exe\u202c \u2066\u2067\u2069\u200e\u200f\u061c",
    "template": "{{ 7 * 7 }}{% raw %}${x} %s [bold red]x[/]",
    "lines": "one\r\ntwo\u2028three\n\tfour",
    "long": "W" * 5000,
    "scripts": "שלום مرحبا 数据 Z" + "\u0351" * 40,
}
OBEYED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f]")


@contextmanager
def unguarded(db: Database) -> Iterator[Connection]:
    """The administrator's connection with triggers off: an older version let all of it pass."""
    with psycopg.connect(db.url, autocommit=True) as admin:
        admin.execute("SET session_replication_role = replica")
        yield admin  # type: ignore[misc]


@pytest.fixture(scope="module", params=HOSTILE)
def text(request: pytest.FixtureRequest) -> str:
    return HOSTILE[request.param]


@pytest.fixture(scope="module")
def db(make_database: Callable[[], Database], text: str) -> Database:
    """A database for each text, which the tests share."""
    return make_database()


@pytest.fixture(scope="module")
def shown(db: Database, text: str) -> dict[str, Any]:
    with db.connect("anna") as client, db.connect("wanda") as worker:
        return make_shown(db, client, worker, text)


def make_shown(db: Database, client: Connection, worker: Connection, text: str) -> dict[str, Any]:
    """Models and jobs with a hostile text in every name, description and message."""
    ids = []
    for _ in range(2):
        job_id = insert_job(client, **TRAIN)
        claim(worker)
        complete(worker, job_id, "TRAIN", ml_curve_points=CURVE)
        ids.append(int(job_row(client, job_id)["result_model_id"]))
        insert_job(client, job_type="TEST", test_model_id=ids[-1], **TEST_PERIOD)
        complete(worker, claim(worker)["id"], "TEST", ml_curve_points=CURVE)
    pair = dict(zip(("compare_model_a_id", "compare_model_b_id"), ids, strict=True))
    insert_job(client, job_type="COMPARE", **pair, **COMPARE_PERIOD)
    complete(worker, claim(worker)["id"], "COMPARE")
    worker_id = f"host {text}"[:250]
    running, failed, waiting = (insert_job(client, **TRAIN) for _ in range(3))
    for job_id in (running, failed):
        assert claim(worker, worker_id)["id"] == job_id
    call(worker, "record_progress", running, 1, "0.5", text, "1 hour")
    call(worker, "record_failure", failed, 1, text)
    call(worker, "record_sign", worker_id, 2, "1 hour")
    feature = re.sub("[,;=]", "", text)
    with unguarded(db) as admin:
        for number, model_id in enumerate(ids):
            admin.execute(
                """UPDATE ml_models SET name = %s, description = %s, target_variable = %s, features_csv = %s,
                    params_csv = %s WHERE id = %s""",
                [f"{number}{text}"[:255], text, text[:100], f"{feature},price_open", f"p={text}", model_id],
            )
            shares = f"{feature}=0.75;price_open=0.25"
            admin.execute(
                "UPDATE ml_training_runs SET warnings = %s, feature_importance_csv = %s WHERE model_id = %s",
                [text, shares, model_id],
            )
            admin.execute(
                "UPDATE ml_test_results SET overlap_note = %s, has_overlap = true,"
                " feature_importance_csv = %s WHERE model_id = %s",
                [text, shares, model_id],
            )
        admin.execute(
            "UPDATE ml_jobs SET train_model_name = left(id || %s, 255) WHERE id = ANY (%s)",
            [text, [running, failed, waiting]],
        )
    return {"models": ids, "text": text, "failed": failed, "running": running}


def test_the_page_shows_it_as_text(db: Database, shown: dict[str, Any]) -> None:
    html = report.render(db.login("rosa"), shown["models"])
    page = Page(html)
    plain = Page(report.render(db.login("rosa"), shown["models"][:1]))
    assert OBEYED.search(html) is None
    allowed = {
        *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "h1", "h2", "h3"),
        *(
            "p",
            "ul",
            "li",
            "div",
            "span",
            "table",
            "caption",
            "thead",
            "tr",
            "th",
            "td",
            "figure",
            "figcaption",
        ),
        *("strong", "b", "bdi", "br", "code", "svg", "desc", "path", "text", "g", "polyline"),
    }
    for tag, given in page.elements + plain.elements:
        assert tag in allowed
        assert not [name for name in given if name.startswith("on") or name in ("src", "href", "x=")]
    if shown["text"].startswith("<script>"):
        assert shown["text"] in page.text


@pytest.mark.parametrize("columns", ["50", "160"])
def test_top_shows_it_on_one_line_and_obeys_nothing(
    db: Database, shown: dict[str, Any], columns: str
) -> None:
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover
        os.environ |= {"DATABASE_URL": db.login("rosa"), "COLUMNS": columns, "TERM": "xterm-256color"}
        os.execv(sys.executable, [sys.executable, "-m", "worker", "top", "--once"])
    said = b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        said += data
    os.close(terminal)
    assert os.waitpid(pid, 0)[1] == 0, said
    lines = re.sub(COLOURS, "", said.decode()).replace("\r\n", "\n").split("\n")
    assert [line for line in lines if OBEYED.search(line)] == []
    assert len([line for line in lines if line.lstrip().startswith(f"{shown['running']} TRA")]) == 1
    assert all(len(line) <= int(columns) for line in lines if "\u0351" not in line)


def test_the_report_in_sql_and_the_waiting_obey_nothing(client: Connection, shown: dict[str, Any]) -> None:
    said: list[str] = []
    client.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    client.execute("CALL ml.wait(%s)", [shown["failed"]])
    for model_id in shown["models"]:
        said += [row["report"] for row in client.execute("SELECT * FROM ml.report(%s)", [model_id])]
    assert any(line.startswith("job ") for line in said)
    assert [line for line in said if OBEYED.search(line) or "\n" in line] == []


def test_what_the_commands_say_of_a_model_obeys_nothing(
    db: Database, client: Connection, shown: dict[str, Any], tmp_path: Path
) -> None:
    client.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [shown["models"][0]])
    for command, url in (("report", "rosa"), ("verify", "wanda")):
        given = [str(shown["models"][0])] if command == "report" else ["--model-dir", str(tmp_path)]
        said = ml_worker(command, *given, DATABASE_URL=db.login(url))
        assert said.returncode == 1
        assert OBEYED.search(said.stdout + said.stderr) is None
