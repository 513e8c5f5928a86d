"""Curves as rows: what is recorded beside a result, what is refused, and the views over it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score

from tests.conftest import Connection, Database, job_row, one
from tests.sql.helpers import CURVE, call, complete, count, point, refused, running_job
from worker.child.measuring import curve, score


def changed(row: int, threshold: float, tp: int, fp: int, total: float) -> list[dict[str, float]]:
    """The curve with one row replaced."""
    return [*CURVE[:row], point(threshold, tp, fp, total), *CURVE[row + 1 :]]


def recorded(client: Connection, worker: Connection, job_type: str = "TEST", **values: Any) -> int:
    """Record a result with a curve; returns the job."""
    job_id = running_job(client, worker, job_type)
    complete(worker, job_id, job_type, **{"ml_curve_points": CURVE} | values)
    return job_id


def points(reader: Connection, view: str, job_id: int, columns: str, order: str) -> list[tuple[Any, ...]]:
    query = (
        f"SELECT {columns} FROM {view} JOIN ml_measurements m USING (source, source_id)"
        f" WHERE m.job_id = %s ORDER BY {order}"
    )
    return [tuple(row.values()) for row in reader.execute(query.encode(), [job_id])]


# ── Recording ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("job_type", ["TRAIN", "TEST"])
def test_a_result_is_recorded_with_its_curve(
    client: Connection, worker: Connection, reader: Connection, job_type: str
) -> None:
    job_id = recorded(client, worker, job_type)
    query = "SELECT * FROM ml_curve_points WHERE job_id = %s ORDER BY threshold"
    rows = [list(row.values()) for row in reader.execute(query, [job_id])]
    assert rows == [[job_id, *row.values()] for row in CURVE]
    result = one(reader, "SELECT * FROM ml_measurements WHERE job_id = %s", [job_id])
    assert rows[5][2:6] == [result[name] for name in ("tp", "fp", "tn", "fn")]
    assert job_row(client, job_id)["status"] == "COMPLETED"


@pytest.mark.parametrize("job_type", ["TRAIN", "TEST"])
def test_an_older_worker_records_a_result_without_a_curve(
    client: Connection, worker: Connection, job_type: str
) -> None:
    job_id = running_job(client, worker, job_type)
    complete(worker, job_id, job_type)
    assert job_row(client, job_id)["status"] == "COMPLETED"
    assert count(client, f"ml_curve_points WHERE job_id = {job_id}") == 0


def test_a_call_that_is_repeated_records_the_curve_once(client: Connection, worker: Connection) -> None:
    job_id = recorded(client, worker)
    complete(worker, job_id, "TEST", ml_curve_points=CURVE)
    assert count(client, f"ml_curve_points WHERE job_id = {job_id}") == len(CURVE)


@pytest.mark.parametrize(
    ("points", "sqlstate", "message"),
    [
        pytest.param(changed(5, 0.5, 39, 10, 40), "23514", "differs from its result", id="not_the_result"),
        pytest.param(changed(2, 0.2, 49, 61, 56), "23514", "rises with the threshold", id="fp_rises"),
        pytest.param(changed(6, 0.6, 41, 8, 37), "23514", "rises with the threshold", id="tp_rises"),
        pytest.param(changed(6, 0.6, 36, 8, 42), "23514", "rises with the threshold", id="sum_rises"),
        pytest.param(changed(7, 0.75, 30, 5, 30), "23514", "lacks one of the thresholds", id="no_0.7"),
        pytest.param(CURVE[:5] + CURVE[6:], "23514", "lacks one of the thresholds", id="no_0.5"),
        pytest.param(changed(0, 0, 51, 140, 62), "23514", "ml_curve_points", id="more_than_positive"),
        pytest.param([*CURVE, CURVE[3]], "23505", "ml_curve_points_pkey", id="twice"),
        pytest.param(
            CURVE + [point(0.9 + n / 10000, 10, 0, 9.5) for n in range(1, 193)],
            "23514",
            "more than 202",
            id="203",
        ),
        pytest.param([{"threshold": 0.5, "tp": 40}], "23502", "fp", id="incomplete"),
        pytest.param([{**CURVE[0], "auc": 1}], "42703", "has no auc", id="unknown"),
        pytest.param([1.0, 2.0, 3.0, 4.0], "22023", "", id="no_rows"),
    ],
)
def test_a_curve_that_is_none_is_refused_with_its_result(
    client: Connection, worker: Connection, points: list[Any], sqlstate: str, message: str
) -> None:
    job_id = running_job(client, worker, "TEST")
    with refused(sqlstate, message):
        complete(worker, job_id, "TEST", ml_curve_points=points)
    assert job_row(client, job_id)["status"] == "RUNNING"
    assert count(client, f"ml_test_results WHERE job_id = {job_id}") == 0


def test_a_curve_without_a_result_is_refused(
    client: Connection, worker: Connection, owner: Connection
) -> None:
    """As the owner: nobody else may insert a point at all."""
    job_id = running_job(client, worker, "TEST")
    with refused("23514", "belongs to no measurement"):
        owner.execute("INSERT INTO ml_curve_points VALUES (%s, 0.5, 40, 10, 140, 40, 41)", [job_id])


def test_a_point_that_does_not_fit_is_refused_later_too(
    client: Connection, worker: Connection, owner: Connection
) -> None:
    job_id = recorded(client, worker)
    insert = "INSERT INTO ml_curve_points VALUES (%s, %s, %s, %s, %s, %s, %s)"
    with refused("23514", "rises with the threshold"):
        owner.execute(insert, [job_id, 0.55, 41, 9, 141, 9, 39])
    with refused("23514", "counts other rows than its result"):
        owner.execute(insert, [job_id, 0.55, 38, 9, 140, 12, 39])


@pytest.mark.parametrize(
    "statement",
    ["UPDATE ml_curve_points SET tp = 0", "DELETE FROM ml_curve_points", "TRUNCATE ml_curve_points"],
)
def test_curves_are_append_only(owner: Connection, statement: str) -> None:
    with refused("ML003", "ml_curve_points is append-only"):
        owner.execute(statement.encode())


def test_nobody_but_the_routines_inserts_a_point(db: Database) -> None:
    for login in ("anna", "rosa", "wanda"):
        with db.connect(login) as connection, refused("42501", "permission denied"):
            connection.execute("INSERT INTO ml_curve_points VALUES (1, 0.5, 1, 1, 1, 1, 1)")


def test_curves_are_pruned_with_their_job(make_database: Callable[[], Database]) -> None:
    db = make_database()
    with db.connect("anna") as client, db.connect("wanda") as worker, db.connect("owner") as owner:
        job_ids = [recorded(client, worker), recorded(client, worker, "TRAIN")]
        owner.execute("CALL ml.prune('0 seconds')")
        assert count(owner, "ml_curve_points") == 2 * len(CURVE)
        client.execute("UPDATE ml_models SET is_deleted = true")
        owner.execute("CALL ml.prune('0 seconds')")
        assert count(owner, "ml_curve_points") == count(owner, "ml_jobs") == 0, job_ids


# ── Views ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_roc_curve_goes_from_corner_to_corner(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    job_id = recorded(client, worker)
    found = points(reader, "ml_roc_curve", job_id, "threshold, fpr, tpr", "fpr, tpr")
    assert found[0] == (1.0, 0.0, 0.0)
    assert (0.5, 10 / 150, 40 / 50) in found
    # Ten rows have a probability of 0: the last corner is below every threshold.
    assert found[-2:] == [(0.0, 140 / 150, 1.0), (None, 1.0, 1.0)]
    assert len(found) == 12


def test_the_precision_recall_curve_has_only_points_where_precision_is_defined(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    job_id = recorded(client, worker)
    columns, order = "threshold, ml_pr_curve.recall, ml_pr_curve.precision_score", "2, 3 DESC"
    found = points(reader, "ml_pr_curve", job_id, columns, order)
    assert found[0] == (0.9, 10 / 50, 1.0)
    assert (0.5, 40 / 50, 40 / 50) in found
    assert found[-3:] == [(0.1, 1.0, 50 / 110), (0.0, 1.0, 50 / 190), (None, 1.0, 50 / 200)]
    assert len(found) == 11


def test_the_calibration_has_ten_bins_that_hold_every_row(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    job_id = recorded(client, worker)
    columns = "bin, bin_start, bin_end, c.num_samples, mean_predicted, share_positive"
    found = points(reader, "ml_calibration c", job_id, columns, "bin")
    assert [row[0] for row in found] == list(range(1, 11))
    assert [row[1:3] for row in found] == [((n - 1) / 10, n / 10) for n in range(1, 11)]
    assert sum(row[3] for row in found) == 200
    # 200 - 110 rows are not above 0.1, none of them positive; their probabilities sum to 62 - 58.
    assert found[0][3:] == (90, pytest.approx(4 / 90), 0.0)
    # (50 + 60) - (49 + 40) = 21 rows between 0.1 and 0.2, one of them positive, with a sum of 58 - 55.
    assert found[1][3:] == (21, pytest.approx(3 / 21), pytest.approx(1 / 21))
    assert found[9][3:] == (10, pytest.approx(0.95), 1.0)


def test_an_empty_bin_has_no_mean(client: Connection, worker: Connection, reader: Connection) -> None:
    job_id = recorded(client, worker, ml_curve_points=changed(6, 0.6, 40, 10, 41))
    columns = "c.num_samples, mean_predicted, share_positive"
    assert points(reader, "ml_calibration c", job_id, columns, "bin")[5] == (0, None, None)


def test_the_sweep_has_the_metrics_at_every_threshold(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    job_id = recorded(client, worker, "TRAIN")
    columns = "threshold, s.tp, s.fp, s.tn, s.fn, s.accuracy, s.precision_score, s.recall, s.f1_score"
    found = points(reader, "ml_threshold_sweep s", job_id, columns, "threshold")
    assert found[5] == (0.5, 40, 10, 140, 10, 0.9, 0.8, 0.8, pytest.approx(0.8))
    assert found[8] == (0.8, 20, 2, 148, 30, 0.84, 20 / 22, 0.4, pytest.approx(40 / 72))
    assert found[10] == (1.0, 0, 0, 150, 50, 0.75, None, 0.0, 0.0)


def test_a_curve_names_its_model_its_source_and_its_period(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    for job_type, source, routine in (
        ("TRAIN", "training", "ml_training_runs"),
        ("TEST", "test", "ml_test_results"),
    ):
        job_id = recorded(client, worker, job_type)
        job = job_row(client, job_id)
        fact = one(reader, f"SELECT id, model_id FROM {routine} WHERE job_id = %s", [job_id])
        name = one(reader, "SELECT name FROM ml_models WHERE id = %s", [fact["model_id"]])["name"]
        for view in ("ml_roc_curve", "ml_pr_curve", "ml_calibration", "ml_threshold_sweep"):
            rows = reader.execute(
                "SELECT DISTINCT model_id, model_name, source, source_id, period_start, period_end"
                f" FROM {view} WHERE source = %s AND source_id = %s",
                [source, fact["id"]],
            ).fetchall()
            expected = (fact["model_id"], name, source, fact["id"])
            period = (job[f"{job_type.lower()}_start"], job[f"{job_type.lower()}_end"])
            assert [tuple(row.values()) for row in rows] == [(*expected, *period)], view


@pytest.mark.parametrize("share", [0.3, 0.01])
def test_the_areas_under_the_curves_are_those_of_the_predictions(
    client: Connection, worker: Connection, reader: Connection, share: float
) -> None:
    """From the worker's own points of 20,000 predictions."""
    rng = np.random.default_rng(7)
    labels = (rng.random(20_000) < share).astype(np.uint8)
    chances = 1 / (1 + np.exp(-rng.normal(1.3 * labels - 1, 1)))
    found = score(chances, labels)
    positive = int(labels.sum())
    numbers: dict[str, Any] = {name: getattr(found, name) for name in ("tp", "tn", "fp", "fn")}
    totals: dict[str, Any] = {"num_positive": positive, "num_negative": len(labels) - positive}
    auc_text: dict[str, Any] = {"roc_auc": str(round(found.roc_auc or 0, 4))}
    job_id = recorded(client, worker, ml_curve_points=curve(chances, labels), **numbers, **totals, **auc_text)
    stored = one(reader, "SELECT roc_auc FROM ml_test_results WHERE job_id = %s", [job_id])["roc_auc"]
    roc = points(reader, "ml_roc_curve", job_id, "fpr, tpr", "fpr, tpr")
    assert auc([x for x, _ in roc], [y for _, y in roc]) == pytest.approx(float(stored), abs=0.002)
    assert float(stored) == pytest.approx(roc_auc_score(labels, chances), abs=0.0001)
    columns = "p.recall, p.precision_score"
    pr = points(reader, "ml_pr_curve p", job_id, columns, "p.recall, p.precision_score DESC")
    precision, recall, _ = precision_recall_curve(labels, chances)
    assert auc([x for x, _ in pr], [y for _, y in pr]) == pytest.approx(auc(recall, precision), abs=0.02)


def test_a_job_that_was_taken_away_leaves_no_curve(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker, "TEST")
    call(worker, "release_job", job_id, 1, "stopped")
    with refused("ML001"):
        complete(worker, job_id, "TEST", ml_curve_points=CURVE)
    assert count(client, f"ml_curve_points WHERE job_id = {job_id}") == 0
