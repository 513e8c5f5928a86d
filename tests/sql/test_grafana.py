"""The dashboard of Grafana: its queries are run as a reader, with Grafana's macros and variables expanded.

What Grafana does with an answer is modelled as far as is used: the fields after a transformation.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.conftest import SCORING_RESULT, TRAIN, Connection, Database, claim, insert_job, job_row, record
from tests.sql.helpers import CURVE, INTERVALS, TEST_PERIOD, call, complete, refused, running_job, store
from worker.commands.programs import run_psql

TOP = Path(__file__).parents[2]
FOLDER = TOP / "sql" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboards" / "ml.json").read_text(encoding="utf-8"))
DATASOURCE = (FOLDER / "datasources" / "ml.yml").read_text(encoding="utf-8")
COMPOSE = (TOP / "docker-compose.yml").read_text(encoding="utf-8")
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
QUERIED = [panel for panel in PANELS if panel["type"] != "row"]
XY = [panel for panel in PANELS if panel["type"] == "xychart"]
VARIABLES: dict[str, dict[str, Any]] = {item["name"]: item for item in DASHBOARD["templating"]["list"]}
REFERENCES = {
    "ROC": "(chance)",
    "Precision and recall": "(always positive)",
    "Calibration": "(perfect)",
}

Chosen = dict[str, str | list[str]]
NOTHING: Chosen = {"target": "", "model": [], "source": "test", "job_type": "TRAIN"}


def title(panel: dict[str, Any]) -> str:
    return str(panel["title"] or panel["type"])


each_panel = pytest.mark.parametrize("panel", QUERIED, ids=title)
CURVES = [panel for panel in XY if panel["title"] in REFERENCES]
BARS = [panel for panel in XY if panel["title"] not in REFERENCES]
each_curve = pytest.mark.parametrize("panel", CURVES, ids=title)


def expand(query: str, chosen: Chosen) -> str:
    """The query as Grafana sends it; variables first, then macros. What it would not know is an error."""

    def variable(match: re.Match[str]) -> str:
        name, form = match.groups()
        assert form == "sqlstring", f"{match[0]} lets a value be read as SQL"
        value = chosen[name]
        quoted = [
            "'" + item.replace("'", "''") + "'" for item in ([value] if isinstance(value, str) else value)
        ]
        return ",".join(quoted)

    def macro(match: re.Match[str]) -> str:
        name, argument = match.groups()
        now = datetime.now(UTC)
        first, last = f"'{now - timedelta(days=30):%FT%TZ}'", f"'{now + timedelta(hours=1):%FT%TZ}'"
        if name in {"__timeFrom", "__timeTo"}:
            assert not argument
            return first if name == "__timeFrom" else last
        assert name == "__timeFilter", f"unknown macro {match[0]}"
        return f"{argument} BETWEEN {first} AND {last}"

    query = re.sub(r"\$\{(\w+)(?::(\w+))?\}", variable, query)
    query = re.sub(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)", macro, query)
    assert "$" not in query, query
    return query


Answer = tuple[list[tuple[str, str]], list[dict[str, Any]]]


def ask(reader: Connection, query: str, chosen: Chosen) -> Answer:
    """Columns with their types, and rows."""
    cursor = reader.execute(expand(query, chosen).encode())
    types = reader.adapters.types
    columns = [
        (column.name, known.name if (known := types.get(column.type_code)) else str(column.type_code))
        for column in cursor.description or ()
    ]
    return columns, cursor.fetchall()


def answer(reader: Connection, panel: dict[str, Any], chosen: Chosen) -> Answer:
    (target,) = panel["targets"]
    return ask(reader, target["rawSql"], chosen)


def fields(panel: dict[str, Any], columns: list[str], rows: list[dict[str, Any]]) -> set[str]:
    """Names that a field has after the panel's transformations: its own, or as it is displayed."""
    names = set(columns)
    for transformation in panel.get("transformations", []):
        options = transformation["options"]
        if transformation["id"] == "partitionByValues":
            (key,) = options["fields"]
            assert key in names
            assert not options["keepFields"]
            names -= {key}
            names |= {f"{name} {row[key]}" for name in names for row in rows}
        else:
            assert transformation["id"] == "groupingToMatrix"
            row_field, column_field = options["rowField"], options["columnField"]
            assert {row_field, column_field, options["valueField"]} <= names
            names = {f"{row_field}\\{column_field}"} | {row[column_field] for row in rows}
    return names


@pytest.fixture(scope="module")
def filled(make_database: Callable[[], Database]) -> Database:
    """Two tested models, a job that runs, one that waits and one that failed, and a worker."""
    db = make_database()
    with db.connect("anna") as client, db.connect("wanda") as worker:
        for name in ("a model", "o'hare"):
            job_id = running_job(client, worker, train_model_name=name)
            complete(worker, job_id, "TRAIN", ml_curve_points=CURVE, ml_intervals=INTERVALS)
            model_id = job_row(client, job_id)["result_model_id"]
            for _ in range(2):  # only the latest is shown
                insert_job(client, job_type="TEST", test_model_id=model_id, **TEST_PERIOD)
                complete(worker, claim(worker)["id"], "TEST", ml_curve_points=CURVE, ml_intervals=INTERVALS)
        yesterday = datetime.now(UTC) - timedelta(days=1)
        period = {"score_start": yesterday - timedelta(days=1), "score_end": yesterday + timedelta(days=1)}
        asked = insert_job(client, job_type="SCORE", score_model_id=model_id, **period)
        claim(worker)
        with worker.transaction():
            store(worker, asked, answers=[("A", str(yesterday), 0.25), ("A", str(yesterday), 0.75)])
            record(worker, asked, 1, **SCORING_RESULT)
        call(worker, "record_failure", running_job(client, worker), 1, "no memory")
        call(worker, "record_sign", "w1", 1, "1 hour")
        running_job(client, worker)
        insert_job(client, **TRAIN)
    return db


@pytest.fixture(scope="module")
def empty(make_database: Callable[[], Database]) -> Database:
    return make_database()


@pytest.fixture
def reader(filled: Database) -> Iterator[Connection]:
    with filled.connect("rosa") as opened:
        yield opened


@pytest.fixture
def chosen(reader: Connection) -> Chosen:
    """What is chosen when the dashboard is opened: the first target, all of its models."""
    choice = dict(NOTHING)
    _, targets = ask(reader, VARIABLES["target"]["query"], choice)
    choice["target"] = targets[0]["target"]
    columns, models = ask(reader, VARIABLES["model"]["query"], choice)
    assert columns == [("__text", "varchar"), ("__value", "text")]
    assert [row["__text"] for row in models] == ["a model", "o'hare"]
    choice["model"] = [row["__value"] for row in models]
    return choice


# ── The answers ─────────────────────────────────────────────────────────────────────────────────────


@each_panel
def test_a_panel_shows_rows_of_types_that_grafana_knows(
    reader: Connection, chosen: Chosen, panel: dict[str, Any]
) -> None:
    """An interval or an array would be shown as text that cannot be sorted, or refused."""
    columns, rows = answer(reader, panel, chosen)
    assert rows
    known = {"int4", "int8", "float8", "numeric", "bool", "text", "varchar", "name", "timestamptz"}
    assert {kind for _, kind in columns} <= known


@each_panel
def test_a_panel_names_only_fields_that_it_has(
    reader: Connection, chosen: Chosen, panel: dict[str, Any]
) -> None:
    columns, rows = answer(reader, panel, chosen)
    found = fields(panel, [name for name, _ in columns], rows)
    for override in panel["fieldConfig"]["overrides"]:
        assert override["matcher"]["id"] == "byName"
        assert override["matcher"]["options"] in found
    options = panel["options"]
    for series in options.get("series", []):
        assert {series[axis]["matcher"]["options"] for axis in "xy"} <= found
    if panel["type"] == "barchart":
        assert options["xField"] in found
    for name in re.findall(r"__field\.labels\.(\w+)", json.dumps(panel["fieldConfig"])):
        assert dict(columns)[name] in {"text", "varchar"}
    for name in re.findall(r"__data\.fields\.(\w+)", json.dumps(panel["fieldConfig"])):
        assert name in dict(columns)


@each_panel
def test_a_panel_is_empty_but_no_error_where_there_is_nothing(empty: Database, panel: dict[str, Any]) -> None:
    with empty.connect("rosa") as reader:
        for model in ([], [""]):  # none chosen, and none to choose
            answer(reader, panel, NOTHING | {"model": model})


@each_panel
def test_a_series_over_time_is_what_grafana_takes_for_one(
    reader: Connection, chosen: Chosen, panel: dict[str, Any]
) -> None:
    if panel["targets"][0]["format"] == "table":
        assert panel["type"] != "timeseries"
        return
    columns, rows = answer(reader, panel, chosen)
    assert columns[0] == ("time", "timestamptz")
    labels = [name for name, kind in columns if kind in {"text", "varchar"}]
    assert len(labels) <= 1
    times = [row["time"] for row in rows]
    assert times == sorted(times)
    assert len({(row["time"], *(row[name] for name in labels)) for row in rows}) == len(rows)
    assert {kind for name, kind in columns[1:] if name not in labels} <= {"int8", "float8", "numeric"}


@each_curve
@pytest.mark.parametrize("source", ["test", "training"])
def test_each_chosen_model_is_a_curve(
    reader: Connection, chosen: Chosen, panel: dict[str, Any], source: str
) -> None:
    columns, rows = answer(reader, panel, chosen | {"source": source})
    x, y = (panel["options"]["series"][0][axis]["matcher"]["options"] for axis in "xy")
    assert {kind for name, kind in columns if name in {x, y}} == {"float8"}
    curves: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        curves.setdefault(row["model"], []).append(row)
    assert set(curves) == {"a model", "o'hare", REFERENCES[panel["title"]]}
    for curve in curves.values():
        # A line is drawn from row to row.
        assert all(before[x] <= after[x] for before, after in pairwise(curve))
        assert all(0 <= row[name] <= 1 for row in curve for name in (x, y))
    assert curves["a model"][0][x] < 0.3
    assert curves["a model"][-1][x] > 0.9
    assert (
        len(curves["a model"]) == {"ROC": 12, "Precision and recall": 11, "Calibration": 10}[panel["title"]]
    )
    assert len(curves[REFERENCES[panel["title"]]]) == 2

    _, rows = answer(reader, panel, chosen | {"source": source, "model": chosen["model"][0]})
    assert {row["model"] for row in rows} == {"a model", REFERENCES[panel["title"]]}


@pytest.mark.parametrize("panel", BARS, ids=title)
@pytest.mark.parametrize("source", ["test", "training"])
def test_each_chosen_model_is_an_error_bar(
    reader: Connection, chosen: Chosen, panel: dict[str, Any], source: str
) -> None:
    """Lower end, estimate and upper end, one above the other, and the next model beside it."""
    _, rows = answer(reader, panel, chosen | {"source": source})
    values = [0.7102, 0.8, 0.86] if panel["title"].startswith("F1") else [0.84, 0.9, 0.95]
    expected = [(model, place, value) for place, model in ((1, "a model"), (2, "o'hare")) for value in values]
    assert [tuple(row.values()) for row in rows] == expected


def test_the_tables_show_what_there_is(reader: Connection, chosen: Chosen) -> None:
    tables = {
        panel["title"]: answer(reader, panel, chosen)[1] for panel in QUERIED if panel["type"] == "table"
    }
    assert [row["name"] for row in tables["Leaderboard"]] == ["a model", "o'hare"]
    assert [row["worker_id"] for row in tables["Workers"]] == ["w1"]
    assert [row["reason"] for row in tables["Failures by reason"]] == ["no memory"]
    assert [row["progress"] for row in tables["Running jobs"]] == [0]
    assert [row["position"] for row in tables["Queue"]] == [1]
    quality = tables["Were the answers right?"]
    assert [(row["model"], row["num_answers"], row["test_f1_score"] > 0) for row in quality] == [
        ("o'hare", 2, True),
    ]
    (stat,) = (panel for panel in QUERIED if panel["type"] == "stat")
    _, (row,) = answer(reader, stat, chosen)
    assert [row[name] for name in ("waiting", "running", "workers", "failed")] == [1, 1, 1, 1]


# ── The dashboard ───────────────────────────────────────────────────────────────────────────────────


def test_panels_have_numbers_and_places_of_their_own() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert len({title(panel) for panel in PANELS}) == len(PANELS)
    places = [panel["gridPos"] for panel in PANELS]
    for place in places:
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        assert place["h"] > 0
    for a, b in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert beside or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"], (a, b)


def test_every_query_goes_to_the_provisioned_data_source() -> None:
    found = {
        name: re.findall(rf"^ +(?:- )?{name}: (\S+)$", DATASOURCE, re.MULTILINE) for name in ("uid", "type")
    }
    source = {name: value for name, (value,) in found.items()}
    for panel in QUERIED:
        (target,) = panel["targets"]
        assert panel["datasource"] == target["datasource"] == source
        assert target["format"] in {"table", "time_series"}
        assert target["rawQuery"]
        assert target["refId"] == "A"
    for variable in VARIABLES.values():
        assert variable["type"] == "custom" or variable["datasource"] == source


@pytest.mark.parametrize("panel", XY, ids=title)
def test_a_curve_is_of_the_form_that_grafana_11_takes_as_it_is(panel: dict[str, Any]) -> None:
    """Without a version Grafana takes the panel for one of Grafana 10, and rewrites its options wrongly."""
    assert panel["pluginVersion"].split(".") >= ["11"]
    assert panel["options"]["mapping"] == "auto"
    assert "seriesMapping" not in panel["options"]


def test_every_variable_that_is_used_is_defined() -> None:
    text = json.dumps([PANELS, VARIABLES])
    used = set(re.findall(r"\$\{(\w+)(?::\w+)?\}|\$(?!__)(\w+)", text))
    names = {braced or bare for braced, bare in used} - {"__url_time_range", "__data", "__field"}
    assert names == set(VARIABLES)
    assert DASHBOARD["schemaVersion"] >= 39
    assert f"/d/{DASHBOARD['uid']}/" in text


# ── What brings it up ───────────────────────────────────────────────────────────────────────────────


def test_the_login_of_grafana_reads_and_cannot_write(
    filled: Database, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made by an owner who is no superuser; the second time, as in the container, it changes the password."""

    def run(*options: str) -> None:
        run_psql(["-X", "-q", *options, "-f", str(FOLDER / "login.sql")], filled.login("owner"))

    def login(password: str) -> str:
        return make_conninfo(filled.url, user="grafana", password=password)

    first, second = "first 'secret'", "second"
    monkeypatch.setenv("GRAFANA_DATABASE_PASSWORD", second)
    try:
        for password, options in ((first, ["-v", f"password={first}"]), (second, [])):
            run(*options)
            with psycopg.connect(login(password), autocommit=True) as connection:
                assert connection.execute("SELECT count(*) FROM ml_queue").fetchone() == (2,)
                with refused("25006"):
                    connection.execute("CREATE TEMP TABLE t (a int)")
                connection.execute("SET default_transaction_read_only = off")
                with refused("42501"):
                    connection.execute("UPDATE ml_jobs SET priority = 1")
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(login(first))
        monkeypatch.delenv("GRAFANA_DATABASE_PASSWORD")
        with pytest.raises(subprocess.CalledProcessError):
            run()
    finally:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute("DROP ROLE IF EXISTS grafana")


def test_what_compose_mounts_is_there() -> None:
    mounts = dict(re.findall(r"- \./(sql\S*?):(/[^:\s]+):ro", COMPOSE))
    assert len(mounts) == 4
    for path in mounts:
        assert (TOP / path).exists(), path
    provider = (FOLDER / "dashboards" / "ml.yml").read_text(encoding="utf-8")
    assert re.findall(r"path: (\S+)", provider) == [mounts["sql/grafana/dashboards"]]
    given = set(re.findall(r"^ +(\w+): ", COMPOSE, re.MULTILINE))
    assert set(re.findall(r"\$(\w+)", DATASOURCE)) <= given


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
def test_compose_accepts_its_file_and_grafana_is_in_the_profile_bi() -> None:
    environment = os.environ | {"COMPOSE_PROFILES": "bi"}
    command = ["docker-compose", "--file", str(TOP / "docker-compose.yml"), "config"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert re.findall(r"^    profiles:\n    - (\w+)$", done.stdout, re.MULTILINE) == ["bi", "bi"]
