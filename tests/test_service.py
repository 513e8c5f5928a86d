"""The service end to end: rows inserted by a client, a worker process, rows read by a client."""

import os
import re
import shutil
import signal
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import psycopg
import pytest
from sklearn import metrics as reference
from sklearn.pipeline import Pipeline

from tests import servers
from tests.conftest import (
    KINDS,
    SAMPLE_COINS,
    TRAIN,
    Connection,
    Database,
    Worker,
    insert_job,
    is_alive,
    job_row,
    one,
    until,
    wait_for,
)
from worker.commands import sample
from worker.database.schema import SCHEMA_VERSION

StartWorker = Callable[..., Worker]
TYPES = ["random_forest", "xgboost", "gradient_boosting", "logistic_regression", "neural_network"]
FEATURES = ["price_open", "price_high", "price_low", "volume_sol"]
TEST = {"job_type": "TEST", "test_start": "2024-03-01", "test_end": "2024-04-01"}
COMPARE = {"job_type": "COMPARE", "compare_start": "2024-03-01", "compare_end": "2024-04-01"}
# Long enough that a test can interfere: ends by itself after minutes only.
LONG = TRAIN | {"train_model_type": "random_forest", "train_params_csv": "n_estimators=10000;max_depth=none"}


@pytest.fixture(scope="session")
def server(start_server: Callable[[servers.Kind], str]) -> str:
    """The oldest server: in other tests workers do jobs on the newest."""
    return start_server(KINDS[-1])


@pytest.fixture(scope="module")
def database(make_database: Callable[[], Database]) -> Database:
    return make_database()


@pytest.fixture(scope="module")
def anna(database: Database) -> Connection:
    return database.connect("anna")


@pytest.fixture(scope="module")
def service(database: Database, start_worker: StartWorker) -> Worker:
    """One worker for all the tests that do no harm to it."""
    return start_worker(database, is_forked=False)


@pytest.fixture(scope="module")
def spare(make_database: Callable[[], Database], start_worker: StartWorker) -> tuple[Database, Worker]:
    """Another, and its database, for what they get over."""
    own = make_database()
    return own, start_worker(own)


@pytest.fixture(scope="module")
def models(anna: Connection, service: Worker) -> dict[str, dict[str, Any]]:
    """A model of each type: its row in ml_models."""
    jobs = {
        t: insert_job(anna, **(TRAIN | {"train_model_type": t, "train_phases_csv": "1,2,3"})) for t in TYPES
    }
    rows = {}
    for model_type, job_id in jobs.items():
        job = wait_for(anna, job_id)
        assert job["status"] == "COMPLETED", job["error_msg"]
        rows[model_type] = one(anna, "SELECT * FROM ml_models WHERE id = %s", [job["result_model_id"]])
    return rows


def test_a_preview_says_what_a_training_then_finds(
    anna: Connection, models: dict[str, dict[str, Any]]
) -> None:
    for model in models.values():
        job_id = model["train_job_id"]
        run = one(anna, "SELECT * FROM ml_training_runs WHERE job_id = %s", [job_id])
        rows = anna.execute("SELECT * FROM ml.preview(%s)", [job_id])
        said = {row["what"]: row["result"].split(" ")[0].replace(",", "") for row in rows}
        assert said["unlabelled"] == str(run["num_unlabelled"])
        assert said["coins"] == str(run["num_coins"])
        assert said["labelled"] == str(run["num_fitted"] + run["num_gap"] + run["num_samples"])
        assert said["positive"] == str(run["num_fitted_positive"] + run["num_positive"])
        assert said["warning"] == "none"


@pytest.fixture(scope="module")
def march() -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of the test period, read without the service."""
    frame = sample.make_metrics(SAMPLE_COINS)
    frame = frame[pd.to_datetime(frame["timestamp"]) >= pd.Timestamp("2024-03-01", tz="UTC")]
    return frame[FEATURES].to_numpy(np.float32), (frame["market_cap_close"] > 50_000).to_numpy(np.uint8)


def stored(value: float) -> Decimal:
    return Decimal(str(round(value, 4)))


def predictions(model: dict[str, Any], features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pipeline: Pipeline = joblib.load(model["model_file_path"])
    return pipeline.predict(features), pipeline.predict_proba(features)[:, 1]


@pytest.mark.parametrize("model_type", TYPES)
def test_train_fills_the_model_and_its_run(
    anna: Connection, models: dict[str, dict[str, Any]], model_type: str
) -> None:
    model = models[model_type]
    run = one(anna, "SELECT * FROM ml_training_runs WHERE model_id = %s", [model["id"]])
    assert model["status"] == "READY"
    assert (run["holdout"], run["num_coins"] > 10) == ("coins", True)
    assert abs(run["num_samples"] / (run["num_samples"] + run["num_fitted"]) - 0.2) < 0.05
    assert 0.8 < model["training_accuracy"] < 1
    assert min(model["training_f1"], model["training_precision"], model["training_recall"]) > 0.7
    assert 0.85 < run["roc_auc"] < 1
    importance = dict(item.split("=") for item in model["feature_importance_csv"].split(";"))
    assert sorted(importance) == sorted(FEATURES)
    assert sum(map(Decimal, importance.values())) == 1
    assert Path(model["model_file_path"]).stat().st_size == run["artifact_bytes"]
    assert run["num_unlabelled"] == run["num_gap"] == 0
    assert "scikit-learn=" in run["library_versions_csv"]
    assert run["engine"] == ("xgboost" if model_type in ("xgboost", "random_forest") else "scikit-learn")


@pytest.mark.parametrize("model_type", TYPES)
def test_a_model_can_be_asked_as_soon_as_it_is_ready(
    anna: Connection, models: dict[str, dict[str, Any]], model_type: str
) -> None:
    """As its worker would answer: 50 rows of what it held out are kept, with what it said of them."""
    model = models[model_type]
    query = """
        SELECT count(*) AS rows, ml_internal.sample_difference(%s) AS difference,
            (SELECT count(ml.predict(%s, c)) FROM (SELECT * FROM coin_metrics LIMIT 10) c) AS n
        FROM ml_model_samples WHERE job_id = %s
    """
    found = one(anna, query, [model["id"], model["name"], model["train_job_id"]])
    assert found["rows"] == 50
    assert found["difference"] <= (1e-5 if model_type == "neural_network" else 1e-6)
    assert found["n"] == 10


@pytest.mark.parametrize("model_type", TYPES)
def test_the_metrics_of_a_test_are_those_of_scikit_learn_on_the_same_predictions(
    anna: Connection,
    models: dict[str, dict[str, Any]],
    march: tuple[np.ndarray, np.ndarray],
    model_type: str,
) -> None:
    model, (features, labels) = models[model_type], march
    job = wait_for(anna, insert_job(anna, **TEST, test_model_id=model["id"]))
    result = one(anna, "SELECT * FROM ml_test_results WHERE id = %s", [job["result_test_id"]])
    predicted, chance = predictions(model, features)
    tn, fp, fn, tp = reference.confusion_matrix(labels, predicted).ravel().tolist()
    assert (result["tn"], result["fp"], result["fn"], result["tp"]) == (tn, fp, fn, tp)
    assert result["accuracy"] == stored(reference.accuracy_score(labels, predicted))
    assert result["f1_score"] == stored(reference.f1_score(labels, predicted))
    assert result["precision_score"] == stored(reference.precision_score(labels, predicted))
    assert result["recall"] == stored(reference.recall_score(labels, predicted))
    assert result["roc_auc"] == stored(reference.roc_auc_score(labels, chance))
    assert (result["num_samples"], result["num_positive"]) == (len(labels), labels.sum())
    assert result["num_negative"] == len(labels) - labels.sum()
    assert (result["has_overlap"], result["overlap_note"]) == (False, None)
    shares = [Decimal(item.split("=")[1]) for item in result["feature_importance_csv"].split(";")]
    assert sum(shares) == 1
    assert shares == sorted(shares, reverse=True)


def test_compare_scores_both_models_on_the_same_rows_and_names_the_better(
    anna: Connection, models: dict[str, dict[str, Any]], march: tuple[np.ndarray, np.ndarray]
) -> None:
    features, labels = march
    a, b = models["random_forest"], models["logistic_regression"]
    job = wait_for(anna, insert_job(anna, **COMPARE, compare_model_a_id=a["id"], compare_model_b_id=b["id"]))
    result = one(anna, "SELECT * FROM ml_comparisons WHERE id = %s", [job["result_comparison_id"]])
    assert result["num_samples"] == len(labels)
    scores = {}
    for side, model in (("a", a), ("b", b)):
        predicted, chance = predictions(model, features)
        scores[model["id"]] = (
            stored(reference.f1_score(labels, predicted)),
            stored(reference.accuracy_score(labels, predicted)),
        )
        assert (result[f"{side}_f1"], result[f"{side}_accuracy"]) == scores[model["id"]]
        assert result[f"{side}_precision"] == stored(reference.precision_score(labels, predicted))
        assert result[f"{side}_recall"] == stored(reference.recall_score(labels, predicted))
        assert result[f"{side}_roc_auc"] == stored(reference.roc_auc_score(labels, chance))
    leader = max(scores, key=lambda model_id: scores[model_id])
    assert result["leader_id"] == leader
    is_beyond_chance = result["f1_difference_lower"] > 0 or result["f1_difference_upper"] < 0
    assert result["winner_id"] == (leader if is_beyond_chance else None)
    assert result["f1_difference_lower"] < result["f1_difference"] < result["f1_difference_upper"]


@pytest.mark.parametrize("kind", ["TRAIN", "TEST", "COMPARE"])
def test_every_measurement_has_intervals_of_blocks_of_an_hour(
    anna: Connection, models: dict[str, dict[str, Any]], kind: str
) -> None:
    a, b = models["random_forest"], models["logistic_regression"]
    if kind == "TRAIN":
        job_id = a["train_job_id"]
    elif kind == "TEST":
        job_id = insert_job(anna, **TEST, test_model_id=a["id"])
    else:
        job_id = insert_job(anna, **COMPARE, compare_model_a_id=a["id"], compare_model_b_id=b["id"])
    wait_for(anna, job_id)
    rows = anna.execute("SELECT * FROM ml_fact_intervals WHERE job_id = %s", [job_id]).fetchall()
    sides = {"model"} if kind != "COMPARE" else {"a", "b", "difference"}
    assert {row["side"] for row in rows} == sides
    assert len(rows) == 6 * len(sides)
    for row in rows:
        assert row["reason"] is None
        assert row["lower"] < row["estimate"] < row["upper"]
        assert (row["block_seconds"], row["confidence"]) == (3600, Decimal("0.95"))
        assert row["num_blocks"] >= 8
        if row["side"] != "difference":
            assert 5 < row["effective_rows"] <= row["num_samples"]


def test_models_with_different_features_and_phases_are_compared_on_what_they_share(
    anna: Connection, models: dict[str, dict[str, Any]]
) -> None:
    other = wait_for(
        anna,
        insert_job(anna, **(TRAIN | {"train_features_csv": "num_buys,price_low", "train_phases_csv": "2,1"})),
    )
    job = wait_for(
        anna,
        insert_job(
            anna,
            **COMPARE,
            compare_model_a_id=models["xgboost"]["id"],
            compare_model_b_id=other["result_model_id"],
        ),
    )
    result = one(anna, "SELECT * FROM ml_comparisons WHERE id = %s", [job["result_comparison_id"]])
    rows = one(
        anna,
        """SELECT count(*) FROM coin_metrics
        WHERE "timestamp" >= '2024-03-01' AND "timestamp" < '2024-04-01' AND phase_id_at_time IN (1, 2)""",
    )
    assert result["num_samples"] == rows["count"]


def test_a_test_of_the_training_period_says_that_it_overlaps(
    anna: Connection, models: dict[str, dict[str, Any]]
) -> None:
    period = {"test_start": "2024-02-20", "test_end": "2024-03-11"}
    job = wait_for(anna, insert_job(anna, **(TEST | period), test_model_id=models["xgboost"]["id"]))
    result = one(anna, "SELECT * FROM ml_test_results WHERE id = %s", [job["result_test_id"]])
    assert result["has_overlap"]
    assert result["overlap_note"].startswith("50% overlap")


def test_the_same_job_gives_the_same_model(anna: Connection, models: dict[str, dict[str, Any]]) -> None:
    for model_type in TYPES:
        job = wait_for(
            anna, insert_job(anna, **(TRAIN | {"train_model_type": model_type, "train_phases_csv": "1,2,3"}))
        )
        again = one(anna, "SELECT * FROM ml_models WHERE id = %s", [job["result_model_id"]])
        same = ["training_accuracy", "training_f1", "training_precision", "training_recall"]
        same += ["feature_importance_csv", "params_csv"]
        assert {name: again[name] for name in same} == {name: models[model_type][name] for name in same}


def test_params_csv_of_a_model_holds_what_was_really_used(anna: Connection, service: Worker) -> None:
    params = {"train_model_type": "random_forest", "train_params_csv": "max_depth=3;min_samples_leaf=5"}
    job = wait_for(anna, insert_job(anna, **(TRAIN | params)))
    model = one(anna, "SELECT * FROM ml_models WHERE id = %s", [job["result_model_id"]])
    assert model["params_csv"] == "n_estimators=100;max_depth=3;min_samples_split=2;min_samples_leaf=5"
    forest = joblib.load(model["model_file_path"])[-1]
    assert (forest.max_depth, forest.n_estimators) == (3, 100)
    trees = forest.get_booster().trees_to_dataframe()
    assert trees.Tree.nunique() == 100
    assert trees[trees.Feature == "Leaf"].Cover.min() >= 5


def test_a_model_learns_the_future_with_a_horizon(anna: Connection, service: Worker) -> None:
    fields = {
        "train_target_var": "volatility_pct",
        "train_value": 60,
        "train_features_csv": "volatility_pct,volume_sol",
        "train_future_minutes": 5,
    }
    job = wait_for(anna, insert_job(anna, **(TRAIN | fields)))
    assert job["status"] == "COMPLETED", job["error_msg"]
    run = one(anna, "SELECT * FROM ml_training_runs WHERE job_id = %s", [job["id"]])
    assert run["num_unlabelled"] > 0
    tested = wait_for(anna, insert_job(anna, **TEST, test_model_id=job["result_model_id"]))
    assert one(anna, "SELECT num_unlabelled FROM ml_test_results WHERE job_id = %s", [tested["id"]])[
        "num_unlabelled"
    ]


HORIZON = pd.Timedelta(minutes=5)


def labelled_by_pandas(kind: str) -> pd.DataFrame:
    """Rows of March with their label and what persistence says of each, read without the service."""
    frame = sample.make_metrics(SAMPLE_COINS)
    frame["at"] = pd.to_datetime(frame["timestamp"], format="ISO8601")
    frame = frame[frame["at"] >= pd.Timestamp("2024-03-01", tz="UTC")].sort_values("at")
    level = frame["market_cap_close"]
    ahead = pd.merge_asof(
        frame[["mint"]].assign(key=frame["at"] + HORIZON, is_at=frame["at"], now=level),
        frame[["mint"]].assign(found_at=frame["at"], found=level),
        left_on="key",
        right_on="found_at",
        by="mint",
        direction="forward",
        tolerance=HORIZON,
    )
    goal = 50_000 if kind == "value" else 1.3 * ahead["now"]
    ahead["label"] = (ahead["found"] > goal).astype(int).where(ahead["found"].notna())
    before = pd.merge_asof(
        ahead[["mint"]].assign(key=ahead["is_at"] - HORIZON),
        ahead[["mint", "is_at", "label"]].rename(columns={"label": "before"}),
        left_on="key",
        right_on="is_at",
        by="mint",
    )["before"]
    own = (ahead["now"] > 50_000).astype(int).where(ahead["now"].notna())
    ahead["persistence"] = own if kind == "value" else before
    ahead["volume_sol"] = frame["volume_sol"].to_numpy(np.float32)
    return ahead[ahead["label"].notna()]


@pytest.mark.parametrize("kind", ["value", "change"])
def test_the_baselines_of_a_test_and_a_comparison_are_those_of_pandas(
    anna: Connection, service: Worker, kind: str
) -> None:
    fields = TRAIN | {"train_future_minutes": 5, "train_features_csv": "volume_sol", "train_label": kind}
    fields |= {"train_value": 50_000 if kind == "value" else 30}
    pair = [insert_job(anna, **fields, train_random_state=seed) for seed in (1, 2)]
    models = [wait_for(anna, job_id)["result_model_id"] for job_id in pair]
    test = insert_job(anna, **TEST, test_model_id=models[0])
    compare = insert_job(anna, **COMPARE, compare_model_a_id=models[0], compare_model_b_id=models[1])
    for job_id in (test, compare):
        assert wait_for(anna, job_id)["status"] == "COMPLETED", job_row(anna, job_id)["error_msg"]
    frame = labelled_by_pandas(kind)
    runs = [one(anna, "SELECT * FROM ml_training_runs WHERE model_id = %s", [model]) for model in models]

    def rule_of(run: dict[str, Any]) -> pd.Series:
        bound = np.float32(run["baseline_threshold"])
        return (
            frame["volume_sol"] > bound if run["baseline_direction"] == ">" else frame["volume_sol"] < bound
        )

    expected = {
        ("always_positive", 0): pd.Series(True, frame.index),
        ("always_negative", 0): pd.Series(False, frame.index),
        ("persistence", 0): frame["persistence"] == 1,
    }
    for place, run in enumerate(runs, 1):
        share = run["num_fitted_positive"] / run["num_fitted"]
        expected["positive_share", place] = pd.Series(share > 0.5, frame.index)
        expected["best_feature", place] = rule_of(run)
    query = "SELECT * FROM ml_baselines WHERE job_id = %s"
    for job_id, num in ((test, 5), (compare, 7)):
        rows = anna.execute(query, [job_id]).fetchall()
        assert len(rows) == num
        for row in rows:
            answers = expected[row["baseline"], row["place"]]
            matrix = reference.confusion_matrix(frame["label"], answers, labels=[0, 1]).ravel().tolist()
            assert [row[name] for name in ("tn", "fp", "fn", "tp")] == matrix, row
            if row["baseline"] == "persistence":
                assert row["num_unknown"] == frame["persistence"].isna().sum()
    result = one(anna, "SELECT * FROM ml_test_results WHERE job_id = %s", [test])
    best = one(anna, f"{query} AND baseline = %s", [test, result["best_baseline"]])
    assert best["f1_score"] == result["baseline_f1"]
    assert float(result["baseline_difference"]) == pytest.approx(
        float((result["f1_score"] or 0) - result["baseline_f1"]), abs=1.01e-4
    )
    assert result["beats_baseline"] is ((result["baseline_lower"] or 0) > 0)


def test_each_kind_of_label_is_learned_tested_and_compared(
    database: Database, anna: Connection, service: Worker
) -> None:
    """Of three coins the last part is held out, behind a gap of two horizons, whatever the kind."""
    with database.connect("owner") as owner:
        owner.execute(
            """
            INSERT INTO coin_metrics (mint, "timestamp", price_close, volume_sol)
            SELECT c, '2030-01-01 00:00+00'::timestamptz + r * interval '1 minute', 1 + 2 * chance ^ 8, r % 5
            FROM generate_series(1, 3) c, generate_series(0, 599) r,
                LATERAL (SELECT abs(hashint4(1000 * c + r) % 1000) / 1000.0 AS chance) x
            """
        )
        kinds = owner.execute("SELECT name, is_change, has_stop FROM ref_labels ORDER BY name").fetchall()
    period = {"train_start": "2030-01-01 00:00+00", "train_end": "2030-01-01 07:00+00"}
    later = {"start": "2030-01-01 07:00+00", "end": "2030-01-01 10:00+00"}
    fields = (
        TRAIN | period | {"train_target_var": "price_close", "train_features_csv": "price_close,volume_sol"}
    )
    fields |= {"train_model_type": "logistic_regression", "train_future_minutes": 10}
    models = {}
    for kind in kinds:
        falls = kind["name"].startswith("lowest")
        own = {"train_label": kind["name"], "train_operator": "<=" if falls else ">="}
        own |= {
            "train_value": ("-1" if falls else "30") if kind["is_change"] else "1.0000001" if falls else "2"
        }
        own |= {"train_stop_value": -30} if kind["has_stop"] else {}
        jobs = [insert_job(anna, **fields | own) for _ in range(2)]
        done = [wait_for(anna, job_id) for job_id in jobs]
        assert [job["status"] for job in done] == ["COMPLETED"] * 2, (kind, done[0]["error_msg"])
        run = one(anna, "SELECT * FROM ml_training_runs WHERE job_id = %s", [jobs[0]])
        assert (run["holdout"], run["num_gap"]) == ("time", 3 * 20), kind
        assert run["num_uncovered"] == run["num_unlabelled"] == 3 * 10, kind
        models[kind["name"]] = [job["result_model_id"] for job in done]
    for kind, pair in models.items():
        test = {"job_type": "TEST", "test_model_id": pair[0]} | {
            f"test_{at}": when for at, when in later.items()
        }
        compare = {"job_type": "COMPARE", "compare_model_a_id": pair[0], "compare_model_b_id": pair[1]}
        compare |= {f"compare_{at}": when for at, when in later.items()}
        for job_id in (insert_job(anna, **test), insert_job(anna, **compare)):
            job = wait_for(anna, job_id)
            assert job["status"] == "COMPLETED", (kind, job["error_msg"])
        found = one(
            anna,
            """
            SELECT t.num_samples, t.num_uncovered, t.data_fingerprint = c.data_fingerprint AS same_rows
            FROM ml_test_results t, ml_comparisons c
            WHERE t.model_id = %s AND c.model_a_id = t.model_id
            """,
            [pair[0]],
        )
        assert found == {"num_samples": 3 * 170, "num_uncovered": 3 * 10, "same_rows": True}, kind


def test_progress_moves_and_is_readable(anna: Connection, service: Worker) -> None:
    job_id = insert_job(
        anna, **(TRAIN | {"train_model_type": "neural_network", "train_params_csv": "tol=1e-7"})
    )
    wait_for(anna, job_id)
    events = anna.execute(
        "SELECT progress, message FROM ml_job_events WHERE job_id = %s AND event = 'PROGRESS' ORDER BY id",
        [job_id],
    ).fetchall()
    shares = [event["progress"] for event in events]
    assert len(set(shares)) >= 2
    assert shares == sorted(shares)
    assert any(re.fullmatch(r"Training epoch \d+/200", event["message"]) for event in events)


def test_a_job_starts_with_its_insert_and_not_with_a_poll(
    database: Database, start_worker: StartWorker, make_database: Callable[[], Database]
) -> None:
    """The worker polls once an hour here: only the notification can tell it."""
    own = make_database()
    with own.connect("anna") as client:
        start_worker(own, "--poll", "3600", "--lease", "600")
        first = insert_job(client, **TRAIN)
        wait_for(client, first)
        for _ in range(5):
            job = wait_for(client, insert_job(client, **TRAIN))
            assert job["status"] == "COMPLETED"


# ── Errors inside a job ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"train_start": "2019-01-01", "train_end": "2019-02-01"},
            "no rows from 2019-01-01 to 2019-02-01; it has rows from 2024-",
        ),
        ({"train_value": "1e12"}, r"[1-9]\d* labelled rows, 0 positive and [1-9]\d* negative"),
        ({"train_value": "-1"}, r"[1-9]\d* labelled rows, [1-9]\d* positive and 0 negative"),
        (
            {"train_features_csv": "price_low,unique_wallets"},
            r"feature unique_wallets has no value in any of the \d+",
        ),
        ({"train_target_var": "dev_sold_amount"}, r"none of the \d+ rows in this period has a label"),
        ({"train_phases_csv": "99"}, "no rows from 2024-01-01 to 2024-03-01 in phases 99; it has rows from"),
    ],
    ids=["no rows", "no positive", "no negative", "feature without values", "no label", "phase without rows"],
)
def test_a_job_that_cannot_succeed_fails_with_a_reason(
    anna: Connection, service: Worker, fields: dict[str, Any], message: str
) -> None:
    job = wait_for(anna, insert_job(anna, **(TRAIN | fields)))
    assert (job["status"], job["attempt"]) == ("FAILED", 1)
    assert re.search(message, job["error_msg"])
    assert "Traceback" not in job["error_msg"]
    assert (
        one(anna, "SELECT status FROM ml_models WHERE train_job_id = %s", [job["id"]])["status"] == "FAILED"
    )


def test_metrics_that_the_rows_leave_undefined_are_null(
    anna: Connection, database: Database, models: dict[str, dict[str, Any]]
) -> None:
    """A test on rows of one class: no positive row, so there is no recall, and no ROC curve."""
    with database.connect("owner") as owner:
        owner.execute(
            """INSERT INTO coin_metrics (mint, "timestamp", phase_id_at_time,
                price_open, price_high, price_low, market_cap_close, volume_sol)
            SELECT 'DEAD', '2025-01-01'::timestamptz + i * interval '1 minute', 3, 1e-9, 1e-9, 1e-9, 1, 0
            FROM generate_series(1, 50) i"""
        )
    period = {"test_start": "2025-01-01", "test_end": "2025-02-01"}
    job = wait_for(anna, insert_job(anna, **(TEST | period), test_model_id=models["xgboost"]["id"]))
    result = one(anna, "SELECT * FROM ml_test_results WHERE id = %s", [job["result_test_id"]])
    assert (result["tn"], result["accuracy"]) == (50, 1)
    for name in ("precision_score", "recall", "f1_score", "roc_auc", "feature_importance_csv"):
        assert result[name] is None


def test_workers_share_nothing_but_the_database(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    """Each has a folder of its own, and the first one is gone, with all that it wrote."""
    own = make_database()
    first = start_worker(own)
    with own.connect("anna") as client:
        model_id = wait_for(client, insert_job(client, **TRAIN))["result_model_id"]
        first.stop()
        shutil.rmtree(first.model_dir)
        second = start_worker(own)
        job = wait_for(client, insert_job(client, **TEST, test_model_id=model_id))
        assert job["status"] == "COMPLETED", job["error_msg"]
        assert len(second.files) == 1


@pytest.mark.parametrize("harm", ["missing", "altered"])
def test_a_model_file_that_is_missing_or_altered_fails_the_job_where_the_database_has_no_copy(
    anna: Connection, database: Database, service: Worker, harm: str
) -> None:
    trained = wait_for(anna, insert_job(anna, **TRAIN))
    path = Path(
        one(anna, "SELECT model_file_path FROM ml_models WHERE train_job_id = %s", [trained["id"]])[
            "model_file_path"
        ]
    )
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes() + b" ")
    job = wait_for(anna, insert_job(anna, **TEST, test_model_id=trained["result_model_id"]))
    assert job["status"] == "COMPLETED", job["error_msg"]
    path.write_bytes(b"altered") if harm == "altered" else path.unlink()
    with database.connect("owner") as owner, owner.transaction():
        owner.execute("SET LOCAL ml.pruning = on")
        owner.execute("DELETE FROM ml_model_files WHERE job_id = %s", [trained["id"]])
    job = wait_for(anna, insert_job(anna, **TEST, test_model_id=trained["result_model_id"]))
    assert job["status"] == "FAILED"
    assert harm in job["error_msg"]
    assert str(path) in job["error_msg"]
    assert "SHA-256" in job["error_msg"] or harm == "missing"


def test_the_traceback_of_an_error_goes_to_the_log(spare: tuple[Database, Worker]) -> None:
    own, worker = spare
    with own.connect("anna") as client, own.connect("owner") as owner:
        owner.execute("ALTER TABLE coin_metrics RENAME TO stored_metrics")
        owner.execute(
            """CREATE VIEW coin_metrics AS
            SELECT mint, "timestamp", phase_id_at_time, market_cap_close, price_open, price_high, price_low,
                volume_sol / 0 AS volume_sol
            FROM stored_metrics"""
        )
        owner.execute("GRANT SELECT ON coin_metrics TO ml_reader")
        try:
            job = wait_for(client, insert_job(client, **TRAIN))
        finally:
            owner.execute("DROP VIEW coin_metrics")
            owner.execute("ALTER TABLE stored_metrics RENAME TO coin_metrics")
    assert job["status"] == "FAILED"
    assert "division by zero" in job["error_msg"]
    assert "Traceback" not in job["error_msg"]
    assert "Traceback" in worker.log
    assert f"job={job['id']}" in worker.log


# ── Stopping, cancelling, sharing ───────────────────────────────────────────────────────────────────


def test_a_cancelled_job_and_its_process_are_gone(spare: tuple[Database, Worker]) -> None:
    own, worker = spare
    with own.connect("anna") as client:
        job_id = insert_job(client, **LONG)
        wait_for(client, job_id, "RUNNING")
        pid = worker.child_of(job_id)
        client.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE id = %s", [job_id])
        until(lambda: not is_alive(pid), "the end of the child")
        after = wait_for(client, insert_job(client, **TRAIN))
        assert after["status"] == "COMPLETED"
        assert job_row(client, job_id)["status"] == "CANCELLED"
        assert (
            one(client, "SELECT status FROM ml_models WHERE train_job_id = %s", [job_id])["status"]
            == "FAILED"
        )


def test_a_clients_open_transaction_holds_up_no_other_job(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    own = make_database()
    with own.connect("anna") as client, own.connect("anna") as other:
        start_worker(own, "--concurrency", "2", "--lease", "600")
        held = insert_job(client, **LONG)
        wait_for(client, held, "RUNNING")
        with other.transaction():
            other.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE id = %s", [held])
            for _ in range(3):
                assert wait_for(client, insert_job(client, **TRAIN))["status"] == "COMPLETED"
        assert wait_for(client, held)["status"] == "CANCELLED"


def test_a_feature_without_values_to_learn_from_is_named(db: Database, start_worker: StartWorker) -> None:
    """Three coins, so the last part of the period is held out; the column was added by then only."""
    with db.connect("owner") as owner:
        owner.execute("DELETE FROM coin_metrics WHERE mint > 'SAMPLE_0003'")
        owner.execute(
            "UPDATE coin_metrics SET unique_wallets = 1 WHERE mint = 'SAMPLE_0003' AND phase_id_at_time = 3"
        )
    start_worker(db)
    with db.connect("anna") as client:
        fields = {
            "train_features_csv": "price_low,unique_wallets",
            "train_end": "2024-04-01",
            "train_test_size": 0.2,
        }
        job = wait_for(client, insert_job(client, **(TRAIN | fields)))
        assert job["status"] == "FAILED"
        assert re.search(
            r"unique_wallets has no value in any of the \d+ rows to learn from", job["error_msg"]
        )


def test_sigterm_gives_the_running_job_back(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    own = make_database()
    with own.connect("anna") as client:
        worker = start_worker(own)
        job_id = insert_job(client, **LONG)
        wait_for(client, job_id, "RUNNING")
        pid = worker.child_of(job_id)
        assert worker.stop(signal.SIGTERM) == 0
        job = job_row(client, job_id)
        assert (job["status"], job["attempt"], job["error_msg"]) == ("PENDING", 1, None)
        assert not is_alive(pid)
        start_worker(own)
        assert wait_for(client, job_id, "RUNNING")["attempt"] == 2
        client.execute("CALL ml.cancel_job(%s)", [job_id])


def test_with_drain_sigterm_finishes_the_running_job_and_takes_no_other(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    own = make_database()
    with own.connect("anna") as client:
        worker = start_worker(own, "--drain")
        slow = {"train_model_type": "random_forest", "train_params_csv": "n_estimators=1000"}
        running, waiting = insert_job(client, **(TRAIN | slow)), insert_job(client, **TRAIN)
        wait_for(client, running, "RUNNING")
        assert worker.stop(signal.SIGTERM) == 0
        assert job_row(client, running)["status"] == "COMPLETED"
        assert job_row(client, waiting)["status"] == "PENDING"


def test_one_job_at_a_time_unless_told_otherwise(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    own = make_database()
    with own.connect("anna") as client:
        alone = start_worker(own)
        first, second = insert_job(client, **LONG), insert_job(client, **LONG)
        wait_for(client, first, "RUNNING")
        assert job_row(client, second)["status"] == "PENDING"
        start_worker(own, "--concurrency", "2")
        third = insert_job(client, **LONG)
        rows = [wait_for(client, job_id, "RUNNING") for job_id in (first, second, third)]
        assert len({row["worker_id"] for row in rows}) == 2
        for job_id in (first, second, third):
            client.execute("CALL ml.cancel_job(%s)", [job_id])
        assert alone.stop() == 0


def test_a_killed_child_costs_an_attempt_and_not_the_job(spare: tuple[Database, Worker]) -> None:
    own, worker = spare
    with own.connect("anna") as client:
        job_id = insert_job(client, **LONG, max_attempts=2)
        for attempt in (1, 2):
            os.kill(worker.child_of(job_id, attempt), signal.SIGKILL)
        job = wait_for(client, job_id)
        assert job["status"] == "FAILED"
        assert "SIGKILL" in job["error_msg"]
        assert wait_for(client, insert_job(client, **TRAIN))["status"] == "COMPLETED"


def test_another_worker_takes_over_from_one_that_was_killed(
    make_database: Callable[[], Database], start_worker: StartWorker
) -> None:
    own = make_database()
    with own.connect("anna") as client:
        dead = start_worker(own, "--lease", "2")
        job_id = insert_job(client, **LONG)
        wait_for(client, job_id, "RUNNING")
        pid = dead.child_of(job_id)
        start_worker(own, "--lease", "2", "--poll", "0.5")
        dead.stop(signal.SIGKILL)
        until(lambda: job_row(client, job_id)["attempt"] == 2, "the second attempt")
        assert not is_alive(pid)
        client.execute("CALL ml.cancel_job(%s)", [job_id])


def test_a_result_that_the_database_refuses_fails_its_job_and_not_the_worker(
    spare: tuple[Database, Worker],
) -> None:
    own, worker = spare
    with own.connect("owner") as owner, own.connect("anna") as client:
        before = worker.files
        owner.execute("ALTER TABLE ml_training_runs ADD CONSTRAINT refused CHECK (num_fitted < 0) NOT VALID")
        job = wait_for(client, insert_job(client, **TRAIN))
        assert job["status"] == "FAILED"
        assert "cannot be recorded" in job["error_msg"]
        assert worker.files == before
        owner.execute("ALTER TABLE ml_training_runs DROP CONSTRAINT refused")
        assert wait_for(client, insert_job(client, **TRAIN))["status"] == "COMPLETED"


def test_the_connection_comes_back(server: str, spare: tuple[Database, Worker]) -> None:
    own, worker = spare
    with own.connect("anna") as client:
        before = worker.log.count("connection lost")
        wait_for(client, insert_job(client, **TRAIN))
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = %s AND usename = 'wanda'""",
                [client.info.dbname],
            )
        assert wait_for(client, insert_job(client, **TRAIN))["status"] == "COMPLETED"
        assert worker.log.count("connection lost") > before


def test_a_table_that_an_administrator_locks_costs_no_connection(spare: tuple[Database, Worker]) -> None:
    own, worker = spare
    with own.connect("anna") as client, own.connect("owner") as owner:
        wait_for(client, insert_job(client, **TRAIN))
        before = worker.log.count("connection lost")
        with owner.transaction():
            owner.execute("LOCK TABLE ml_jobs, ml_worker_signs IN ACCESS EXCLUSIVE MODE")
            until(lambda: "looks again later: canceling" in worker.log, "a look that is given up")
        assert wait_for(client, insert_job(client, **TRAIN))["status"] == "COMPLETED"
        assert worker.log.count("connection lost") == before


def test_a_child_asks_what_its_job_is_where_its_supervisor_could_not(spare: tuple[Database, Worker]) -> None:
    own, worker = spare
    with own.connect("anna") as client, own.connect("owner") as owner:
        wait_for(client, insert_job(client, **TRAIN))
        before = worker.log.count("connection lost")
        with owner.transaction():
            owner.execute("LOCK TABLE ml_training_runs IN ACCESS EXCLUSIVE MODE")
            job_id = insert_job(client, **TRAIN)
            until(lambda: f"job={job_id} attempt=1 claimed" in worker.log, "a claim")
        job = wait_for(client, job_id)
        assert (job["status"], job["attempt"]) == ("COMPLETED", 1)
        assert worker.log.count("connection lost") == before


@pytest.mark.parametrize("login", ["rosa", "anna"])
def test_a_login_without_the_role_is_refused_at_start(
    db: Database, start_worker: StartWorker, login: str
) -> None:
    worker = start_worker(db, DATABASE_URL=db.login(login))
    assert worker.process.wait(60) == 1
    assert f'GRANT ml_worker TO "{login}"' in worker.log


def test_a_database_without_the_schema_is_refused_at_start(
    server: str, db: Database, start_worker: StartWorker
) -> None:
    worker = start_worker(db, DATABASE_URL=server)
    assert worker.process.wait(60) == 1
    assert "run: ml-worker install" in worker.log
    assert "Traceback" not in worker.log


def test_a_newer_database_is_refused_at_start(db: Database, start_worker: StartWorker) -> None:
    with db.connect("owner") as owner:
        owner.execute("INSERT INTO ml.schema_version (version) VALUES (%s)", [SCHEMA_VERSION + 1])
    worker = start_worker(db)
    assert worker.process.wait(60) == 1
    assert f"schema version {SCHEMA_VERSION + 1}, newer than this worker's" in worker.log


def test_the_password_stands_in_no_log_and_no_command_line(
    anna: Connection, service: Worker, models: dict[str, dict[str, Any]]
) -> None:
    command = Path(f"/proc/{service.process.pid}/cmdline").read_bytes().decode()
    assert "only-for-tests" not in command + service.log
