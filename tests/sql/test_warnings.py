"""Warnings as rows: what is recorded beside a result, what is refused, and how they are shown."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.conftest import Connection, Database, insert_job, job_row, one
from tests.sql.helpers import (
    RESULTS,
    TEST_PERIOD,
    complete,
    count,
    found_beside,
    refused,
    running_job,
)
from worker.child.feature_stats import stability_index

KINDS = ["TRAIN", "TEST", "COMPARE", "SCORE"]
TABLES = ["ml_warnings", "ml_feature_stats", "ml_fitted_coins", "ml_feature_shifts", "ml_seen_unseen"]


def recorded(client: Connection, worker: Connection, job_type: str, **fields: Any) -> int:
    """Record a result with all that a worker finds beside it; returns the job."""
    job_id = running_job(client, worker, job_type, **fields)
    complete(worker, job_id, job_type, **found_beside(client, job_id, job_type))
    return job_id


@pytest.mark.parametrize("job_type", KINDS)
def test_a_result_is_recorded_with_what_was_found_beside_it(
    client: Connection, worker: Connection, reader: Connection, job_type: str
) -> None:
    job_id = recorded(client, worker, job_type)
    rows = reader.execute(
        "SELECT * FROM ml_fact_warnings WHERE job_id = %s ORDER BY warning_id", [job_id]
    ).fetchall()
    assert [row["sentence"] for row in rows] == [f"{row['model_id']} says no" for row in rows]
    assert len(rows) == (2 if job_type == "COMPARE" else 1)
    job = job_row(client, job_id)
    assert (job["status"], {row["job_type"] for row in rows}) == ("COMPLETED", {job_type})
    told = "2 warnings, the first: " if job_type == "COMPARE" else "a warning: "
    assert job["progress_msg"].endswith(f"; {told}{rows[0]['sentence']}")
    coins = reader.execute("SELECT keys FROM ml_fitted_coins WHERE job_id = %s", [job_id]).fetchall()
    assert [row["keys"] for row in coins] == ([["A", 'B, or "C"']] if job_type == "TRAIN" else [])


@pytest.mark.parametrize("job_type", KINDS)
def test_an_older_worker_records_a_result_without_any(
    client: Connection, worker: Connection, job_type: str
) -> None:
    job_id = running_job(client, worker, job_type)
    complete(worker, job_id, job_type)
    assert job_row(client, job_id)["status"] == "COMPLETED"
    for table in TABLES:
        assert count(client, f"{table} WHERE job_id = {job_id}") == 0


@pytest.mark.parametrize("job_type", KINDS)
def test_a_call_that_is_repeated_records_and_shows_them_once(
    client: Connection, worker: Connection, job_type: str
) -> None:
    job_id = recorded(client, worker, job_type)
    before = job_row(client, job_id)["progress_msg"]
    if job_type != "SCORE":
        complete(worker, job_id, job_type, **found_beside(client, job_id, job_type))
    assert job_row(client, job_id)["progress_msg"] == before
    assert count(client, f"ml_warnings WHERE job_id = {job_id}") == (2 if job_type == "COMPARE" else 1)


@pytest.mark.parametrize(
    ("change", "sqlstate"),
    [
        ({"code": "no_such_code"}, "23503"),
        ({"severity": "awful"}, "23514"),
        ({"sentence": " "}, "23514"),
        ({"sentence": None}, "23502"),
        ({"model_id": -1}, "23503"),
        ({"words": "unknown"}, "42703"),
    ],
)
def test_a_warning_that_is_none_is_refused_with_its_result(
    client: Connection, worker: Connection, change: dict[str, Any], sqlstate: str
) -> None:
    job_id = running_job(client, worker, "TEST")
    found = found_beside(client, job_id, "TEST")
    with refused(sqlstate):
        complete(worker, job_id, "TEST", ml_warnings=[found["ml_warnings"][0] | change])
    assert job_row(client, job_id)["status"] == "RUNNING"


def test_the_severest_is_said_first_and_what_does_no_harm_not_at_all(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    job_id = running_job(client, worker)
    model_id = one(client, "SELECT model_id FROM ml.job_models WHERE job_id = %s", [job_id])["model_id"]
    told = [("info", "no harm"), ("warning", "know this"), ("severe", "a leak"), ("warning", "and this")]
    rows = [
        {"model_id": model_id, "code": "fit", "severity": severity, "sentence": sentence}
        for severity, sentence in told
    ]
    complete(worker, job_id, "TRAIN", ml_warnings=rows, warnings="a leak; know this")
    assert job_row(client, job_id)["progress_msg"].endswith("; 3 warnings (1 severe), the first: a leak")
    page = [row["line"] for row in reader.execute("SELECT ml.report(%s) AS line", [model_id])]
    assert page[1:4] == [
        "Warnings:  severe   a leak",
        "           warning  know this"
        f" (and 1 more like it: SELECT sentence FROM ml_warnings WHERE job_id = {job_id} AND code = 'fit';)",
        "           info     no harm",
    ]
    assert not [line for line in page if line.startswith("  warnings")]


def test_periods_are_judged_whichever_worker_measured(client: Connection, worker: Connection) -> None:
    periods = {
        ("2024-03-01", "2024-04-01"): [],
        ("2024-02-01", "2024-04-01"): ["period_overlaps"],
        ("2023-12-01", "2024-04-01"): ["period_overlaps", "period_earlier"],
        ("2023-12-01", "2024-01-01"): ["period_earlier"],
    }
    for (start, end), expected in periods.items():
        job_id = running_job(client, worker, "TEST", test_start=start, test_end=end)
        complete(worker, job_id, "TEST")
        rows = client.execute("SELECT * FROM ml_warnings WHERE job_id = %s ORDER BY id", [job_id]).fetchall()
        assert [row["code"] for row in rows] == expected
        assert ("warning" in job_row(client, job_id)["progress_msg"]) == bool(expected)


@pytest.mark.parametrize("table", TABLES)
def test_they_are_append_only_and_only_the_routines_insert(
    db: Database, owner: Connection, table: str
) -> None:
    for statement in (f"DELETE FROM {table}", f"TRUNCATE {table}", f"UPDATE {table} SET job_id = 1"):
        with refused("ML003", f"{table} is append-only"):
            owner.execute(statement.encode())
    for login in ("anna", "rosa", "wanda"):
        with db.connect(login) as connection, refused("42501"):
            connection.execute(f"INSERT INTO {table} (job_id) SELECT job_id FROM {table}".encode())


def test_they_are_seen_by_the_own_team_alone_and_pruned_with_their_job(
    make_database: Callable[[], Database],
) -> None:
    db = make_database()
    with db.connect("anna") as client, db.connect("wanda") as worker, db.connect("owner") as owner:
        for job_type in KINDS:
            recorded(client, worker, job_type)
        owner.execute("CALL ml.separate_teams(true)")
        with db.connect("rosa") as rosa:
            for relation in (*TABLES, "ml_fact_warnings"):
                assert count(client, relation) > 0, relation
                assert count(rosa, relation) == 0, relation
        owner.execute("CALL ml.separate_teams(false)")
        client.execute("UPDATE ml_models SET is_deleted = true")
        owner.execute("CALL ml.prune('0 seconds')")
        owner.execute("CALL ml.prune('0 seconds')")
        for table in (*TABLES, "ml_jobs"):
            assert count(owner, table) == 0, table


def test_the_database_and_the_worker_give_the_same_stability_index(reader: Connection) -> None:
    rng = np.random.default_rng(3)
    cases = [rng.integers(0, 300, (2, 11)).tolist() for _ in range(20)]
    cases += [[[10] * 11, [10] * 11], [[0] * 10 + [5], [0] * 10 + [7]], [[5] + [0] * 10, [0] * 10 + [9]]]
    for trained, found in cases:
        row = one(
            reader,
            "SELECT * FROM ml_internal.stability_index(%s::bigint[], %s::bigint[])",
            [trained, found],
        )
        assert (row["psi"], row["chance"]) == pytest.approx(stability_index(trained, found))


def test_every_code_says_what_it_means_and_what_to_do(reader: Connection) -> None:
    rows = reader.execute("SELECT * FROM ref_warnings").fetchall()
    assert len(rows) >= 15
    assert all(row["means"].endswith(".") and row["advice"].endswith(".") for row in rows)


def test_the_latest_warnings_are_found_by_the_job_that_a_client_waits_for(
    client: Connection, worker: Connection
) -> None:
    job_id = recorded(client, worker, "TEST", **TEST_PERIOD)
    assert "a warning" in job_row(client, job_id)["progress_msg"]
    assert set(RESULTS) == set(KINDS)
    waiting = insert_job(client, **{"job_type": "TEST", **TEST_PERIOD}, test_model_id=1)
    assert job_row(client, waiting)["progress_msg"] is None
