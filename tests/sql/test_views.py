"""Views for the eye: the queue, the models by rank, and the text lists of a model as rows."""

import math
from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import TRAIN, Connection, claim, insert_job, job_row, one, ready_model
from tests.sql.helpers import COMPARE_PERIOD, TEST_PERIOD, call, complete

# Targets that no other test of this file has: ranks compare the models with the same target.
_targets = iter(range(1, 1000))


def queue(reader: Connection) -> list[dict[str, Any]]:
    return reader.execute("SELECT * FROM ml_queue").fetchall()


def leaderboard(reader: Connection, target: int) -> list[dict[str, Any]]:
    query = "SELECT l.* FROM ml_leaderboard l JOIN ml_models m ON m.id = l.id WHERE m.target_value = %s"
    return reader.execute(query, [target]).fetchall()


def ranks(reader: Connection, target: int, metric: str = "f1") -> dict[int, int]:
    return {row["id"]: row[f"rank_by_{metric}"] for row in leaderboard(reader, target)}


def evaluate(
    client: Connection,
    worker: Connection,
    model_id: int,
    test_start: str = TEST_PERIOD["test_start"],
    **values: Any,
) -> int:
    period = TEST_PERIOD | {"test_start": test_start}
    job_id = insert_job(client, job_type="TEST", test_model_id=model_id, **period)
    assert claim(worker)["id"] == job_id
    return complete(worker, job_id, "TEST", **values)


# ── ml_queue ────────────────────────────────────────────────────────────────────────────────────────


def test_the_queue_is_in_the_order_of_the_claims(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    for priority in (5, 1, 10, 5, 1, 3):
        insert_job(client, **TRAIN, priority=priority)
    rows = queue(reader)
    assert [row["position"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["priority"] for row in rows] == [1, 1, 3, 5, 5, 10]
    assert [claim(worker)["id"] for _ in rows] == [row["id"] for row in rows]


def test_running_jobs_come_first_and_have_no_position(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    running = insert_job(client, **TRAIN, priority=9)
    claim(worker)
    waiting = insert_job(client, **TRAIN, priority=1)
    assert [(row["id"], row["status"], row["position"]) for row in queue(reader)] == [
        (running, "RUNNING", None),
        (waiting, "PENDING", 1),
    ]


def test_jobs_that_have_ended_are_not_in_the_queue(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    ready_model(client, worker)
    client.execute("CALL ml.cancel_job(%s)", [insert_job(client, **TRAIN)])
    insert_job(client, **TRAIN)
    call(worker, "record_failure", claim(worker)["id"], 1, "no rows")
    assert queue(reader) == []


@pytest.mark.parametrize(
    ("progress", "bar"),
    [
        ("0", "...................."),
        ("0.5", "##########.........."),
        ("0.33", "#######............."),
        ("1", "#" * 20),
    ],
)
def test_the_progress_is_a_bar(
    client: Connection, worker: Connection, reader: Connection, progress: str, bar: str
) -> None:
    insert_job(client, **TRAIN)
    job_id = claim(worker)["id"]
    worker.execute(
        "SELECT ml_internal.record_progress(%s, 1, %s, 'Training: 33/100 trees', '30 seconds')",
        [job_id, progress],
    )
    row = one(reader, "SELECT * FROM ml_queue")
    assert (row["bar"], row["progress_msg"], row["worker_id"]) == (bar, "Training: 33/100 trees", "w1")


def test_a_job_shows_the_names_of_its_models(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    target = next(_targets)
    a = ready_model(client, worker, train_model_name="Anna's", train_value=target)
    b = ready_model(client, worker, train_model_name="Berta's", train_value=target)
    insert_job(client, **TRAIN, train_model_name="Clara's")
    insert_job(client, job_type="TEST", test_model_id=a, **TEST_PERIOD)
    insert_job(client, job_type="COMPARE", compare_model_a_id=a, compare_model_b_id=b, **COMPARE_PERIOD)
    assert [(row["job_type"], row["model"]) for row in queue(reader)] == [
        ("TRAIN", "Clara's"),
        ("TEST", "Anna's"),
        ("COMPARE", "Anna's / Berta's"),
    ]


def set_times(owner: Connection, job_id: int, hours_created: int, hours_started: int | None) -> None:
    """Move the times of a job into the past, which only the owner can, with the rule switched off."""
    with owner.transaction():
        owner.execute("ALTER TABLE ml_jobs DISABLE TRIGGER ml_jobs_10_request_is_final")
        owner.execute(
            "UPDATE ml_jobs SET created_at = now() - make_interval(hours => %s),"
            " started_at = now() - make_interval(hours => %s) WHERE id = %s",
            [hours_created, hours_started, job_id],
        )
        owner.execute("ALTER TABLE ml_jobs ENABLE TRIGGER ml_jobs_10_request_is_final")


def about(hours: int) -> Any:
    return pytest.approx(timedelta(hours=hours), abs=timedelta(minutes=1))


def test_a_waiting_job_has_waited_until_now(
    client: Connection, owner: Connection, reader: Connection
) -> None:
    set_times(owner, insert_job(client, **TRAIN), 2, None)
    row = one(reader, "SELECT waiting, running FROM ml_queue")
    assert row["waiting"] == about(hours=2)
    assert row["running"] is None


def test_a_running_job_has_waited_until_it_started(
    client: Connection, worker: Connection, owner: Connection, reader: Connection
) -> None:
    insert_job(client, **TRAIN)
    set_times(owner, claim(worker)["id"], 3, 1)
    row = one(reader, "SELECT waiting, running FROM ml_queue")
    assert row["waiting"] == about(hours=2)
    assert row["running"] == about(hours=1)


def test_a_job_that_waits_again_has_waited_until_now(
    client: Connection, worker: Connection, owner: Connection, reader: Connection
) -> None:
    insert_job(client, **TRAIN)
    job_id = claim(worker)["id"]
    call(worker, "release_job", job_id, 1, "worker stopped")
    set_times(owner, job_id, 3, 1)
    row = one(reader, "SELECT position, waiting, running FROM ml_queue")
    assert row["position"] == 1
    assert row["waiting"] == about(hours=3)
    assert row["running"] is None


# ── ml_leaderboard ──────────────────────────────────────────────────────────────────────────────────


def test_models_are_ranked_by_the_f1_of_their_test(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    target = next(_targets)
    low, high, untested = (ready_model(client, worker, train_value=target) for _ in range(3))
    evaluate(client, worker, low, tp=30, fn=20)
    evaluate(client, worker, high)
    assert ranks(reader, target) == {high: 1, low: 2, untested: None}


def test_the_same_f1_is_ranked_by_accuracy(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    target = next(_targets)
    low, high = (ready_model(client, worker, train_value=target) for _ in range(2))
    evaluate(client, worker, low, tp=10, fn=5, fp=5, tn=80, num_positive=15, num_negative=85)
    evaluate(client, worker, high, tp=10, fn=5, fp=5, tn=980, num_positive=15, num_negative=985)
    assert ranks(reader, target) == {high: 1, low: 2}


def test_a_model_without_a_positive_prediction_may_rank_its_rows_best(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    """A rare event: F1 at the threshold of 0.5 is 0, and yet no other tells the rows apart as well."""
    target = next(_targets)
    silent, loud, middle = (ready_model(client, worker, train_value=target) for _ in range(3))
    evaluate(client, worker, silent, tp=0, fn=50, fp=0, tn=150, roc_auc="0.97", average_precision="0.6")
    evaluate(client, worker, loud, roc_auc="0.80", average_precision="0.4")
    evaluate(client, worker, middle, tp=30, fn=20, roc_auc="0.90", average_precision="0.7")
    assert ranks(reader, target) == {loud: 1, middle: 2, silent: 3}
    assert ranks(reader, target, "roc_auc") == {silent: 1, middle: 2, loud: 3}
    assert ranks(reader, target, "average_precision") == {middle: 1, silent: 2, loud: 3}
    shown = reader.execute(
        f"SELECT id FROM ml_leaderboard WHERE target LIKE '% {target}'".encode()
    ).fetchall()
    assert [row["id"] for row in shown] == [loud, middle, silent]


def test_a_test_on_its_own_training_period_ranks_no_model(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    target = next(_targets)
    twins = [ready_model(client, worker, train_value=target) for _ in range(2)]
    for twin in twins:
        evaluate(client, worker, twin, tp=30, fn=20)
    evaluate(client, worker, twins[0], test_start="2024-02-20")
    rows = leaderboard(reader, target)
    assert [(row["rank_by_f1"], str(row["test_f1"]), row["test_overlap"]) for row in rows] == [
        (1, "0.6667", None)
    ] * 2
    only_seen = ready_model(client, worker, train_value=target)
    evaluate(client, worker, only_seen, test_start="2024-02-20")
    last = leaderboard(reader, target)[-1]
    assert (last["id"], last["rank_by_f1"], last["test_f1"], last["tests"]) == (only_seen, None, None, 1)
    assert "is part of the training period" in last["test_overlap"]
    assert last["rank_note"].startswith("no test outside the training period: ")


def test_equal_models_share_a_rank(client: Connection, worker: Connection, reader: Connection) -> None:
    target = next(_targets)
    models = [ready_model(client, worker, train_value=target) for _ in range(3)]
    for model_id in models[:2]:
        evaluate(client, worker, model_id)
    assert ranks(reader, target) == {models[0]: 1, models[1]: 1, models[2]: None}
    assert leaderboard(reader, target)[-1]["rank_note"] == "not tested"


def test_ranks_compare_models_with_the_same_target_only(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    target = next(_targets)
    others: list[dict[str, Any]] = [
        {},
        {"train_operator": "<"},
        {"train_target_var": "price_close"},
        {"train_future_minutes": 5},
        {"train_value": next(_targets)},
    ]
    models = [ready_model(client, worker, **({"train_value": target} | other)) for other in others]
    for model_id in models:
        evaluate(client, worker, model_id)
    query = "SELECT id, rank_by_f1 AS rank, target FROM ml_leaderboard WHERE id = ANY(%s) ORDER BY id"
    rows = reader.execute(query, [models]).fetchall()
    assert [row["rank"] for row in rows] == [1] * 5
    assert [row["target"] for row in rows] == [
        f"market_cap_close > {target}",
        f"market_cap_close < {target}",
        f"price_close > {target}",
        f"market_cap_close > {target} after 5 min",
        f"market_cap_close > {others[4]['train_value']}",
    ]


def test_the_latest_test_counts(client: Connection, worker: Connection, reader: Connection) -> None:
    target = next(_targets)
    first, second = (ready_model(client, worker, train_value=target) for _ in range(2))
    evaluate(client, worker, first)
    evaluate(client, worker, second, tp=30, fn=20)
    evaluate(client, worker, first, tp=10, fn=40)
    rows = {row["id"]: row for row in leaderboard(reader, target)}
    assert (rows[second]["rank_by_f1"], rows[first]["rank_by_f1"]) == (1, 2)
    assert (rows[first]["tests"], rows[second]["tests"]) == (2, 1)
    # 2 * 10 / (2 * 10 + 10 + 40)
    assert str(rows[first]["test_f1"]) == "0.2857"


def test_a_rerun_on_an_easier_period_raises_nobody_in_another(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    target = next(_targets)
    weak, strong = (ready_model(client, worker, train_value=target) for _ in range(2))
    evaluate(client, worker, weak, tp=30, fn=20)
    evaluate(client, worker, strong)
    evaluate(client, worker, weak, tp=50, fn=0, test_start="2024-03-15")
    query = f"SELECT * FROM ml_leaderboard WHERE target LIKE '% {target}'"
    rows = reader.execute(query.encode()).fetchall()
    assert [(row["id"], row["rank_by_f1"], row["num_models_tried"]) for row in rows] == [
        (weak, 1, 1),
        (strong, 1, 2),
        (weak, 2, 2),
    ]
    assert [row["tests"] for row in rows] == [2, 1, 2]


def test_models_of_other_phases_are_measured_on_other_rows(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    target = next(_targets)
    pair = [ready_model(client, worker, train_value=target, train_phases_csv=csv) for csv in ("1", "2")]
    for model_id in pair:
        evaluate(client, worker, model_id)
    assert ranks(reader, target) == dict.fromkeys(pair, 1)
    assert [row["phases_csv"] for row in leaderboard(reader, target)] == ["1", "2"]


def test_all_that_was_tried_is_counted_and_the_best_of_equals_is_told(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    target = next(_targets)
    models = [ready_model(client, worker, train_value=target) for _ in range(3)]
    for model_id in models:
        evaluate(client, worker, model_id)
    evaluate(client, worker, models[0], tp=30, fn=20)
    client.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [models[2]])
    rows = leaderboard(reader, target)
    assert [(row["num_models_tried"], row["num_tests_tried"]) for row in rows] == [(3, 4)] * 2
    # Of those that live F1 is 0.8 and 2/3, of 60 rows each: J = 40 / 60 and 30 / 60.
    errors = [2 / (1 + j) ** 2 * math.sqrt(j * (1 - j) / 60) for j in (2 / 3, 1 / 2)]
    best = (0.8 + 0.6667) / 2 + 0.84628 * math.sqrt(sum(error**2 for error in errors) / 2)
    assert [float(row["best_of_equals_f1"]) for row in rows] == pytest.approx([best] * 2, abs=1e-4)


@pytest.mark.parametrize(
    ("number", "greatest"),
    [(1, 0.0), (2, 0.5642), (3, 0.8463), (5, 1.1630), (6, 1.2672), (10, 1.5388), (20, 1.8675), (100, 2.5076)],
)
def test_the_greatest_of_equals_is_that_of_the_tables(
    reader: Connection, number: int, greatest: float
) -> None:
    """H. L. Harter, Expected Values of Normal Order Statistics, Biometrika 48 (1961)."""
    found = one(reader, "SELECT ml_internal.greatest_of_equals(%s) AS g", [number])["g"]
    assert found == pytest.approx(greatest, abs=0.02)


def test_a_tested_model_stands_before_an_untested_one_even_with_an_undefined_f1(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    target = next(_targets)
    untested, tested = (ready_model(client, worker, train_value=target) for _ in range(2))
    none_positive: dict[str, Any] = {
        "tp": 0,
        "fn": 0,
        "fp": 0,
        "tn": 10,
        "num_positive": 0,
        "num_negative": 10,
    }
    evaluate(client, worker, tested, **none_positive, roc_auc=None)
    assert ranks(reader, target) == {tested: 1, untested: None}


def test_only_living_ready_models_are_ranked(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    target = next(_targets)
    deleted, living = (ready_model(client, worker, train_value=target) for _ in range(2))
    client.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [deleted])
    insert_job(client, **TRAIN | {"train_value": target})
    claim(worker)
    assert ranks(reader, target) == {living: None}


def test_the_leaderboard_has_training_test_and_comparisons(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    target = next(_targets)
    a, b = (ready_model(client, worker, train_value=target) for _ in range(2))
    evaluate(client, worker, a)
    fields = {"compare_model_a_id": a, "compare_model_b_id": b, **COMPARE_PERIOD}
    insert_job(client, job_type="COMPARE", **fields)
    interval: dict[str, Any] = {"f1_difference_lower": "0.01", "f1_difference_upper": "0.25"}
    complete(worker, claim(worker)["id"], "COMPARE", num_blocks=48, block_seconds=3600, **interval)
    first, second = leaderboard(reader, target)
    assert (first["id"], first["comparisons_won"], second["comparisons_won"]) == (a, 1, 0)
    assert [str(first[name]) for name in ("training_f1", "training_accuracy", "training_roc_auc")] == [
        "0.8000",
        "0.9000",
        "0.9000",
    ]
    assert [str(first[name]) for name in ("test_f1", "test_accuracy", "test_roc_auc")] == [
        "0.8000",
        "0.9000",
        "0.9000",
    ]
    assert (first["test_samples"], first["test_overlap"]) == (200, None)
    assert (second["test_f1"], second["tests"]) == (None, 0)


# ── The lists of a model as rows ────────────────────────────────────────────────────────────────────


def test_the_features_of_a_model_are_rows_the_most_important_first(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    model_id = ready_model(client, worker)
    query = "SELECT place, feature, importance::text FROM ml_model_features WHERE model_id = %s"
    assert [tuple(row.values()) for row in reader.execute(query, [model_id])] == [
        (1, "price_open", "0.7500"),
        (4, "volume_sol", "0.2500"),
        (2, "price_high", None),
        (3, "price_low", None),
    ]


def test_the_hyperparameters_of_a_model_are_rows(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    fields = {"train_model_type": "random_forest", "train_params_csv": "max_depth=5;criterion=entropy"}
    model_id = ready_model(client, worker, **fields)
    query = "SELECT param, value, is_given, default_value FROM ml_model_params WHERE model_id = %s"
    rows = {row["param"]: row for row in reader.execute(query, [model_id])}
    expected = one(reader, "SELECT count(*) AS n FROM ref_model_params WHERE model_type = 'random_forest'")
    assert len(rows) == expected["n"]
    assert {name for name, row in rows.items() if row["is_given"]} == {
        "n_estimators",
        "max_depth",
        "min_samples_split",
        "criterion",
    }
    assert (rows["max_depth"]["value"], rows["max_depth"]["default_value"]) == ("5", "10")
    assert (rows["criterion"]["value"], rows["criterion"]["default_value"]) == ("entropy", "gini")
    assert (rows["n_estimators"]["value"], rows["bootstrap"]["value"]) == ("100", "true")


def test_layers_stay_one_value(client: Connection, worker: Connection, reader: Connection) -> None:
    model_id = ready_model(client, worker, train_model_type="neural_network")
    query = "SELECT value FROM ml_model_params WHERE model_id = %s AND param = 'hidden_layers'"
    assert one(reader, query, [model_id])["value"] == "100,50"


def test_every_view_can_be_read_while_jobs_run(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    insert_job(client, **TRAIN)
    job = job_row(client, claim(worker)["id"])
    query = "SELECT count(*) AS n FROM ml_model_features WHERE model_name = %s AND importance IS NULL"
    assert one(reader, query, [job["train_model_name"]])["n"] == 4
