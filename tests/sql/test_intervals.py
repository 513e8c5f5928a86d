"""Intervals as rows: what is recorded beside a result, what is refused, and where they are shown."""

from decimal import Decimal
from typing import Any

import pytest

from tests.conftest import Connection, job_row, one
from tests.sql.helpers import INTERVALS, complete, count, interval, refused, running_job

OF_COMPARISON = [
    interval("f1", 0.8, 0.7, 0.9, side="a"),
    interval("roc_auc", 0.8, 0.7, 0.9, side="b"),
    interval("f1", 0.1333, 0.0102, 0.256, side="difference", effective_rows=None),
    interval("roc_auc", 0.1, -0.02, 0.2, side="difference", effective_rows=None, confidence=0.8),
]
DIFFERENCE = {
    "f1_difference_lower": 0.0102,
    "f1_difference_upper": 0.256,
    "num_blocks": 48,
    "block_seconds": 3600,
}


def recorded(client: Connection, worker: Connection, job_type: str = "TEST", **values: Any) -> int:
    """Record a result with its intervals; returns the job."""
    job_id = running_job(client, worker, job_type)
    given: dict[str, Any] = {"ml_intervals": INTERVALS}
    if job_type == "COMPARE":
        given = DIFFERENCE | {"ml_intervals": OF_COMPARISON}
    complete(worker, job_id, job_type, **given | values)
    return job_id


@pytest.mark.parametrize("job_type", ["TRAIN", "TEST", "COMPARE"])
def test_a_result_is_recorded_with_its_intervals(
    client: Connection, worker: Connection, reader: Connection, job_type: str
) -> None:
    job_id = recorded(client, worker, job_type)
    expected = OF_COMPARISON if job_type == "COMPARE" else INTERVALS
    rows = reader.execute("SELECT * FROM ml_intervals WHERE job_id = %s", [job_id]).fetchall()
    found = {(row["side"], row["metric"]): row for row in rows}
    assert len(found) == len(expected)
    for row in expected:
        of_row = found[row["side"], row["metric"]]
        for name, value in row.items():
            assert of_row[name] == (value if isinstance(value, str | int | None) else Decimal(str(value)))
    assert job_row(client, job_id)["status"] == "COMPLETED"


@pytest.mark.parametrize("job_type", ["TRAIN", "TEST", "COMPARE"])
def test_an_older_worker_records_a_result_without_intervals(
    client: Connection, worker: Connection, job_type: str
) -> None:
    job_id = running_job(client, worker, job_type)
    complete(worker, job_id, job_type)
    assert job_row(client, job_id)["status"] == "COMPLETED"
    assert count(client, f"ml_intervals WHERE job_id = {job_id}") == 0


def test_a_call_that_is_repeated_records_the_intervals_once(client: Connection, worker: Connection) -> None:
    job_id = recorded(client, worker)
    complete(worker, job_id, "TEST", ml_intervals=INTERVALS)
    assert count(client, f"ml_intervals WHERE job_id = {job_id}") == len(INTERVALS)


@pytest.mark.parametrize(
    ("job_type", "row", "sqlstate", "message"),
    [
        pytest.param("TEST", interval("f1", 0.81, 0.7, 0.9), "23514", "has f1 0.8100", id="not_the_result"),
        pytest.param(
            "TEST", interval("f1", None, None, None, reason="undefined"), "23514", "has f1 NULL", id="defined"
        ),
        pytest.param(
            "TEST", interval("f1", 0.8, 0.7, 0.9, side="a"), "23514", "of side a", id="side_of_a_pair"
        ),
        pytest.param("COMPARE", interval("f1", 0.8, 0.7, 0.9), "23514", "of side model", id="side_of_one"),
        pytest.param(
            "COMPARE", interval("f1", 0.8, 0.7, 0.9, side="b"), "23514", "has f1 0.8000", id="other"
        ),
        pytest.param("TEST", interval("f1", 0.8, 0.81, 0.9), "23514", "within_bounds", id="outside"),
        pytest.param("TEST", interval("f1", 0.8, 0.7, None), "23514", "both_ends", id="one_end"),
        pytest.param(
            "TEST", interval("f1", 0.8, 0.7, 0.9, num_blocks=7), "23514", "at_least_8", id="few_blocks"
        ),
        pytest.param(
            "TEST",
            interval("f1", 0.8, 0.7, 0.9, effective_rows=201),
            "23514",
            "201",
            id="more_rows_than_rows",
        ),
        pytest.param("TEST", interval("f1", 0.8, 0.7, 0.9, width=1), "42703", "has no width", id="unknown"),
    ],
)
def test_an_interval_that_cannot_be_is_refused_with_its_result(
    client: Connection, worker: Connection, job_type: str, row: dict[str, Any], sqlstate: str, message: str
) -> None:
    job_id = running_job(client, worker, job_type)
    with refused(sqlstate, message):
        complete(worker, job_id, job_type, ml_intervals=[row])
    assert job_row(client, job_id)["status"] == "RUNNING"
    assert count(client, f"ml_intervals WHERE job_id = {job_id}") == 0


def test_intervals_are_never_changed(client: Connection, worker: Connection, owner: Connection) -> None:
    recorded(client, worker)
    for change in ("UPDATE ml_intervals SET lower = 0", "DELETE FROM ml_intervals", "TRUNCATE ml_intervals"):
        with refused("ML003"):
            owner.execute(change.encode())


def test_without_enough_blocks_there_is_no_interval_but_its_reason(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    reason = "7 blocks of 1 hour; 8 are needed"
    few = [
        row | {"lower": None, "upper": None, "num_blocks": 7, "effective_rows": None, "reason": reason}
        for row in INTERVALS
    ]
    job_id = recorded(client, worker, ml_intervals=few)
    model_id = job_row(client, job_id)["test_model_id"]
    page = report(reader, model_id)
    assert f"  No interval: {reason}" in page
    (row,) = reader.execute("SELECT * FROM ml_leaderboard WHERE id = %s", [model_id]).fetchall()
    assert row["test_f1"] is not None
    assert row["test_f1_lower"] is None


def report(reader: Connection, model_id: int) -> list[str]:
    return [row["line"] for row in reader.execute("SELECT ml.report(%s) AS line", [model_id])]


@pytest.mark.parametrize("job_type", ["TRAIN", "TEST"])
def test_a_report_shows_them(
    client: Connection, worker: Connection, reader: Connection, job_type: str
) -> None:
    job = job_row(client, recorded(client, worker, job_type))
    page = report(reader, job["result_model_id"] or job["test_model_id"])
    assert "  At 95%, by 48 blocks of 1 hour; these rows tell as much as 62 independent ones:" in page
    assert any(line.startswith("    F1 0.8000 (0.7102 to 0.8600), precision 0.8000 (0.7") for line in page)
    assert any(
        line.startswith("    accuracy 0.9000 (0.8500 to 0.9500), ROC AUC 0.9000 (0.84") for line in page
    )


def test_a_report_shows_the_verdict_of_a_comparison(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    job = job_row(client, recorded(client, worker, "COMPARE"))
    a, b = job["compare_model_a_id"], job["compare_model_b_id"]
    for model, headline in ((a, f"  won against model {b}, "), (b, f"  lost to model {a}, ")):
        page = report(reader, model)
        (place,) = (number for number, line in enumerate(page) if line.startswith(headline))
        assert page[place + 1].startswith(f"    model {a} wins: F1 0.8000 of model {a} is 0.1333 higher")
    job = job_row(client, recorded(client, worker, "COMPARE", f1_difference_lower=-0.0102))
    a, b = job["compare_model_a_id"], job["compare_model_b_id"]
    for model, headline in (
        (a, f"  no winner, but ahead of model {b}, "),
        (b, f"  no winner, but behind model {a}, "),
    ):
        page = report(reader, model)
        (place,) = (number for number, line in enumerate(page) if line.startswith(headline))
        assert page[place + 1].startswith("    no clear winner: ")


def test_the_leaderboard_shows_those_of_the_latest_test(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    model_id = job_row(client, recorded(client, worker))["test_model_id"]
    row = one(reader, "SELECT * FROM ml_leaderboard WHERE id = %s", [model_id])
    shown = ("test_f1_lower", "test_f1_upper", "test_roc_auc_lower", "test_roc_auc_upper")
    assert [str(row[name]) for name in shown] == ["0.7102", "0.8600", "0.8400", "0.9500"]
    assert str(row["test_effective_rows"]) == "61.5"


def test_the_view_of_facts_has_each_with_what_it_is_of(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    query = "SELECT source, side, model_id, metric, num_samples FROM ml_fact_intervals WHERE job_id = %s"
    for job_type, source in (("TRAIN", "training"), ("TEST", "test")):
        job_id = recorded(client, worker, job_type)
        rows = reader.execute(query, [job_id]).fetchall()
        assert len(rows) == len(INTERVALS)
        job = job_row(client, job_id)
        model_id = job["result_model_id"] or job["test_model_id"]
        assert {tuple(row.values())[:3] for row in rows} == {(source, "model", model_id)}
    job = job_row(client, recorded(client, worker, "COMPARE"))
    rows = reader.execute(query, [job["id"]]).fetchall()
    assert {tuple(row.values()) for row in rows} == {
        ("comparison", "a", job["compare_model_a_id"], "f1", 200),
        ("comparison", "b", job["compare_model_b_id"], "roc_auc", 200),
        ("comparison", "difference", None, "f1", 200),
        ("comparison", "difference", None, "roc_auc", 200),
    }


def test_with_separated_teams_intervals_are_their_team_s(
    client: Connection, worker: Connection, owner: Connection, reader: Connection
) -> None:
    job_id = recorded(client, worker)
    owner.execute("CALL ml.separate_teams(true)")
    try:
        for relation in ("ml_intervals", "ml_fact_intervals"):
            assert count(client, f"{relation} WHERE job_id = {job_id}") == len(INTERVALS)
            assert count(reader, f"{relation} WHERE job_id = {job_id}") == 0
    finally:
        owner.execute("CALL ml.separate_teams(false)")


def test_intervals_go_with_their_job(client: Connection, worker: Connection, owner: Connection) -> None:
    job_id = recorded(client, worker)
    model_id = job_row(client, job_id)["test_model_id"]
    client.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [model_id])
    owner.execute("CALL ml.prune('0 seconds')")
    assert count(owner, f"ml_intervals WHERE job_id = {job_id}") == 0
    assert count(owner, f"ml_jobs WHERE id = {job_id}") == 0
