"""How a TRAIN job is validated, end to end: what is held out, walk-forward folds, weights of rows."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import TRAIN, Connection, Database, Worker, insert_job, job_row, one, until, wait_for
from tests.one_server import server

__all__ = ["server"]

# Forty coins that all have a row each minute for ten hours; the price tells something of the next minutes.
MAKE = """
    INSERT INTO coin_metrics (mint, "timestamp", phase_id_at_time, price_close, price_open, volume_sol)
    SELECT c, '2030-01-01 00:00+00'::timestamptz + r * interval '1 minute', 1,
        1 + abs(hashint4(1000 * c + r / 15) % 1000) / 1000.0, abs(hashint4(7000 * c + r) % 1000), r % 5
    FROM generate_series(1, 40) c, generate_series(0, 599) r
"""
FIELDS = TRAIN | {
    "train_target_var": "price_close",
    "train_value": "1.6",
    "train_features_csv": "price_close,price_open",
    "train_future_minutes": 5,
    "train_start": "2030-01-01 00:00+00",
    "train_end": "2030-01-01 10:00+00",
}
MEASURES = "tp, tn, fp, fn, roc_auc, log_loss, num_fitted, num_gap, holdout, mean_uniqueness"


@pytest.fixture(scope="module")
def database(make_database: Callable[[], Database]) -> Database:
    db = make_database()
    with db.connect("owner") as owner:
        owner.execute(MAKE)
    return db


@pytest.fixture(scope="module")
def db(database: Database, start_worker: Callable[..., Worker]) -> Database:
    start_worker(database)
    return database


def trained(client: Connection, **fields: Any) -> dict[str, Any]:
    """The training run of a job that COMPLETED."""
    job_id = insert_job(client, **FIELDS | fields)
    job = wait_for(client, job_id)
    assert job["status"] == "COMPLETED", job["error_msg"]
    return one(client, "SELECT * FROM ml_training_runs WHERE job_id = %s", [job_id])


def measures(client: Connection, run: dict[str, Any]) -> tuple[Any, ...]:
    found = one(client, f"SELECT {MEASURES} FROM ml_training_runs WHERE id = %s", [run["id"]])
    return tuple(found.values())


@pytest.mark.parametrize(
    ("split", "fitted", "held_out"),
    # A row is purged where its label may be read within 10 minutes of the held-out time.
    [("coins", 32 * 595, 8 * 595), ("time", 40 * 466, 40 * 119), ("coins_and_time", 32 * 466, 8 * 119)],
)
def test_what_is_asked_for_is_held_out_and_every_row_is_accounted_for(
    client: Connection, split: str, fitted: int, held_out: int
) -> None:
    run = trained(client, train_split=split)
    assert (run["holdout"], run["num_coins"]) == (split, 40)
    assert (run["num_fitted"], run["num_samples"]) == (fitted, held_out)
    assert run["num_fitted"] + run["num_gap"] + run["num_samples"] == 40 * 595
    page = [row["report"] for row in client.execute("SELECT ml.report(%s)", [run["model_id"]])]
    said = {"coins": "whole coins", "time": "the last part of the period"}
    assert f"rows, {said.get(split, 'later rows of coins that were not fitted')}" in "\n".join(page)


@pytest.mark.parametrize("number", [1, 9])
def test_few_coins_have_too_few_to_hold_out_later_rows_of_some(
    db: Database, client: Connection, number: int
) -> None:
    with db.connect("owner") as owner:
        owner.execute(
            f"CREATE OR REPLACE VIEW few_{number} AS SELECT * FROM coin_metrics WHERE length(mint) < 3"
            f" AND mint::integer <= {number}"
        )
        owner.execute(
            f"CALL ml.add_source('few_{number}', 'few_{number}', key => 'mint', moment => 'timestamp')"
        )
        owner.execute(f"GRANT SELECT ON few_{number} TO ml_client, ml_worker")
    fields = FIELDS | {"train_source": f"few_{number}", "train_split": "coins_and_time"}
    job_id = insert_job(client, **fields)
    foreseen = client.execute("SELECT * FROM ml.preview(%s)", [job_id]).fetchall()
    assert [row for row in foreseen if row["what"] == "would fail" and "fewer than 10 coins" in row["result"]]
    job = wait_for(client, job_id)
    assert job["status"] == "FAILED"
    assert f"{number} have labelled rows, needed are 10" in job["error_msg"]
    assert "train_split time" in job["error_msg"]
    # By coins it falls back, as ever, and says so; by time it is as asked.
    for split in ("coins", "time"):
        run = trained(client, **fields | {"train_split": split})
        assert run["holdout"] == "time"


@pytest.mark.parametrize("model_type", ["xgboost", "random_forest", "logistic_regression"])
def test_folds_are_measured_beside_and_change_nothing_of_the_model(
    client: Connection, model_type: str
) -> None:
    fields = {"train_model_type": model_type, "train_split": "time"}
    plain, folded = trained(client, **fields), trained(client, **fields, train_folds=3)
    assert measures(client, plain) == measures(client, folded)
    rows = client.execute(
        "SELECT * FROM ml_fact_folds WHERE model_id = %s ORDER BY fold", [folded["model_id"]]
    ).fetchall()
    assert [row["fold"] for row in rows] == [1, 2, 3]
    assert [row["num_fitted"] + row["num_purged"] for row in rows] == [
        40 * minutes for minutes in (148, 297, 446)
    ]
    assert sum(row["num_samples"] for row in rows) == 40 * (595 - 148)
    assert all(row["roc_auc"] > 0.6 and row["reason"] is None for row in rows)
    said = one(client, "SELECT later_periods AS s FROM ml_leaderboard WHERE id = %s", [folded["model_id"]])[
        "s"
    ]
    scores = sorted(row["f1_score"] for row in rows)
    assert said.startswith("in 3 later periods F1 was ")
    assert {f"{scores[0]:.2f}", f"{scores[-1]:.2f}"} == set(re.findall(r"\d\.\d\d", said.split("ROC")[0]))
    assert client.execute("SELECT FROM ml_folds WHERE job_id = %s", [plain["job_id"]]).fetchall() == []


def test_without_a_horizon_the_embargo_alone_is_left_out(client: Connection) -> None:
    """A hundredth of the 599 minutes from the first row to the last."""
    same_row = {"train_future_minutes": None, "train_target_var": "volume_sol", "train_value": 2}
    run = trained(client, **same_row, train_folds=2)
    rows = client.execute("SELECT * FROM ml_folds WHERE job_id = %s", [run["job_id"]]).fetchall()
    assert {row["num_purged"] for row in rows} == {40 * 5}
    assert {row["measured_start"] - row["fitted_end"] for row in rows} == {timedelta(minutes=599) / 100}


def test_uniqueness_is_told_and_weighs_where_it_is_asked_for(client: Connection) -> None:
    plain = trained(client)
    weighted = trained(client, train_weights="uniqueness")
    # A label of five minutes shares each moment with four others, but at the ends of a coin's rows.
    assert float(plain["mean_uniqueness"]) == pytest.approx(0.2, abs=0.003)
    assert plain["mean_uniqueness"] == weighted["mean_uniqueness"]
    assert plain["log_loss"] != weighted["log_loss"]
    same_row = {"train_future_minutes": None, "train_features_csv": "price_open,volume_sol"}
    alone = [trained(client, **same_row, train_weights=weights) for weights in ("none", "uniqueness")]
    assert float(alone[0]["mean_uniqueness"]) == 1
    assert measures(client, alone[0]) == measures(client, alone[1])


def test_weights_count_in_the_folds_as_well(client: Connection) -> None:
    runs = [trained(client, train_folds=2, train_weights=weights) for weights in ("none", "uniqueness")]
    query = "SELECT array_agg(log_loss ORDER BY fold) AS losses FROM ml_folds WHERE job_id = %s"
    losses = [one(client, query, [run["job_id"]])["losses"] for run in runs]
    assert len(losses[0]) == len(losses[1]) == 2
    assert losses[0] != losses[1]


def test_progress_names_the_fold_and_a_cancel_ends_it_and_leaves_nothing(client: Connection) -> None:
    slow = {"train_model_type": "random_forest", "train_params_csv": "n_estimators=200;max_depth=8"}
    job_id = insert_job(client, **FIELDS | slow, train_folds=20)
    until(lambda: "Fold " in (job_row(client, job_id)["progress_msg"] or ""), "a fold")
    job = job_row(client, job_id)
    assert " of 20: " in job["progress_msg"]
    assert 0.3 < job["progress"] < 1
    client.execute("CALL ml.cancel_job(%s)", [job_id])
    assert wait_for(client, job_id)["status"] == "CANCELLED"
    for table in ("ml_folds", "ml_training_runs"):
        assert client.execute(f"SELECT FROM {table} WHERE job_id = %s", [job_id]).fetchall() == []
