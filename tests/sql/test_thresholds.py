"""Where a model says yes: what a job may ask for, what a model carries, and what counts by it."""

from typing import Any

import pytest

from tests.conftest import TRAIN, Connection, claim, insert_job, job_row, one, record
from tests.sql.helpers import (
    COMPARE_PERIOD,
    CURVE,
    RESULTS,
    SCORE_PERIOD,
    TEST_PERIOD,
    TREES,
    call,
    complete,
    point,
    refused,
    running_job,
    store,
)

# What a result at the threshold 0.29 has besides: its counts at 0.5 are those of CURVE.
AT_HALF: dict[str, Any] = {"tp_at_half": 40, "fp_at_half": 10}
MEASURED: dict[str, Any] = {"tp": 48, "fn": 2, "fp": 32, "tn": 118, "threshold": 0.29, **AT_HALF}
WITH_029 = [*CURVE[:3], point(0.29, 48, 32, 53.0), *CURVE[3:]]


def model_at(client: Connection, worker: Connection, rule: str, threshold: float, **facts: Any) -> int:
    """A READY model whose threshold was found by a rule."""
    job_id = running_job(client, worker, train_threshold=rule)
    counts: dict[str, Any] = MEASURED | {"num_set_aside": 160, "num_set_aside_positive": 40}
    if threshold > 0.5:
        counts |= {"tp_at_half": 49, "fp_at_half": 33}
    complete(worker, job_id, "TRAIN", **counts | {"threshold": threshold}, **facts)
    return int(job_row(client, job_id)["result_model_id"])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, "0.5"),
        ("0.5", "0.5"),
        (" .290 ", "0.29"),
        ("5e-1", "0.5"),
        (0.3, "0.3"),
        ("0.00001", "0.00001"),
        ("0.29314159265358976", "0.29314159265358976"),
        ("F1", "f1"),
        ("mcc", "mcc"),
        ("Precision >= 0.80", "precision>=0.8"),
        ("recall>=.05", "recall>=0.05"),
        ("precision>=1", "precision>=1"),
        ("recall>=1.0", "recall>=1"),
    ],
)
def test_a_threshold_is_kept_in_one_way_of_writing(client: Connection, given: Any, kept: str) -> None:
    assert job_row(client, insert_job(client, **TRAIN, train_threshold=given))["train_threshold"] == kept


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("0", "train_threshold 0 is not between 0 and 1"),
        ("1", "train_threshold 1 is not between 0 and 1"),
        ("50", "train_threshold 50 is not between 0 and 1"),
        ("-0.5", "train_threshold '-0.5' is unknown"),
        ("NaN", "train_threshold 'nan' is unknown"),
        ("", "train_threshold '' is unknown"),
        ("f2", "train_threshold 'f2' is unknown"),
        ("accuracy>=0.8", "train_threshold 'accuracy>=0.8' is unknown"),
        ("precision", "train_threshold 'precision' is unknown"),
        ("precision>0.8", "train_threshold 'precision>0.8' is unknown"),
        ("precision>=80", "train_threshold precision>=80 asks for a share that is not above 0 and at most 1"),
        ("recall>=0", "train_threshold recall>=0 asks for a share that is not above 0 and at most 1"),
        ("precision>=0.8\nx", "train_threshold 'precision>=0.8x' is unknown"),
        ("9" * 2000, "train_threshold 999"),
    ],
)
def test_a_threshold_that_cannot_be_is_refused(client: Connection, given: str, message: str) -> None:
    with refused("23514", message, "a number between 0 and 1"):
        insert_job(client, **TRAIN, train_threshold=given)


def test_many_thresholds_in_one_select(client: Connection) -> None:
    rows = client.execute(
        "SELECT ml.train('xgboost', 'price_close', '>', 0.00005, 'price_open,volume_sol', '2024-01-01',"
        " '2024-03-01', future_minutes => 10, threshold => t) AS id"
        " FROM unnest('{0.3,f1,precision>=0.8}'::text[]) t"
    ).fetchall()
    kept = [job_row(client, row["id"])["train_threshold"] for row in rows]
    assert kept == ["0.3", "f1", "precision>=0.8"]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (None, "0.5"),
        ("0.3", "0.3"),
        ("f1", "f1: chosen on a further 20 % of the rows, which are not fitted either"),
    ],
)
def test_the_preview_says_where_a_threshold_comes_from(
    reader: Connection, client: Connection, rule: str | None, said: str
) -> None:
    job_id = insert_job(client, **TRAIN, train_threshold=rule)
    row = one(reader, "SELECT result FROM ml.preview(%s) WHERE what = 'threshold'", [job_id])
    assert row["result"] == said


def test_a_worker_is_told_the_threshold_or_how_to_choose_it(client: Connection, worker: Connection) -> None:
    for rule, threshold in ((None, 0.5), ("0.29314159265358976", 0.29314159265358976), ("f1", None)):
        job_id = running_job(client, worker, train_threshold=rule)
        worker.execute("SET extra_float_digits TO 0")
        told = call(worker, "assignment", job_id)
        (model,) = told["models"]
        assert told["thresholds"] == {str(model["id"]): threshold}
        assert told["request"]["threshold"] == (rule or "0.5")
        # A worker of version 7 expects nothing else here.
        assert "threshold" not in model
        client.execute("CALL ml.cancel_job(%s)", [job_id])


def test_a_model_has_no_threshold_until_it_is_chosen_and_then_keeps_it(
    client: Connection, worker: Connection
) -> None:
    query = "SELECT threshold_rule, threshold FROM ml_models WHERE train_job_id = %s"
    job_id = running_job(client, worker, train_threshold="recall>=0.9")
    assert one(client, query, [job_id]) == {"threshold_rule": "recall>=0.9", "threshold": None}
    complete(worker, job_id, "TRAIN", **MEASURED, num_set_aside=160, num_set_aside_positive=40)
    assert one(client, query, [job_id]) == {"threshold_rule": "recall>=0.9", "threshold": 0.29}
    dim = one(client, "SELECT threshold_rule, threshold FROM ml_dim_models WHERE job_id = %s", [job_id])
    assert dim["threshold"] == 0.29
    with refused("42501"):
        client.execute("UPDATE ml_models SET threshold = 0.1 WHERE train_job_id = %s", [job_id])
    job_id = running_job(client, worker, train_threshold="0.3")
    assert one(client, query, [job_id])["threshold"] == 0.3


@pytest.mark.parametrize("job_type", ["TRAIN", "TEST"])
def test_metrics_are_those_at_the_threshold_and_those_at_half_stay_visible(
    client: Connection, worker: Connection, reader: Connection, job_type: str
) -> None:
    model_id = model_at(client, worker, "f1", 0.29, ml_curve_points=WITH_029)
    if job_type == "TEST":
        insert_job(client, job_type="TEST", test_model_id=model_id, **TEST_PERIOD)
        complete(worker, claim(worker)["id"], "TEST", **MEASURED, ml_curve_points=WITH_029)
    columns = "{}, accuracy_at_half, precision_at_half, recall_at_half, f1_score, f1_at_half"
    expected = ["0.29", "0.9000", "0.8000", "0.8000", "0.7385", "0.8000"]
    fact, kind = {"TRAIN": ("ml_fact_training_runs", "training"), "TEST": ("ml_fact_tests", "test")}[job_type]
    for view, where, name in (
        (fact, "true", "threshold"),
        ("ml_measurements", f"source = '{kind}'", "model_threshold"),
    ):
        named = columns.format(name)
        row = one(reader, f"SELECT {named} FROM {view} WHERE model_id = {model_id} AND {where}")
        assert [str(value) for value in row.values()] == expected
    lines = [row["report"] for row in reader.execute("SELECT ml.report(%s)", [model_id])]
    said = "  threshold  0.29: the highest F1 on 160 rows that were neither fitted nor measured"
    half = "  at the threshold 0.5: accuracy 0.9000, F1 0.8000, precision 0.8000, recall 0.8000"
    assert said in lines
    assert lines.count(half) == (1 if job_type == "TRAIN" else 2)
    message = one(reader, "SELECT progress_msg FROM ml_jobs ORDER BY id DESC LIMIT 1")["progress_msg"]
    assert message.endswith(", at the threshold 0.29")


def test_a_comparison_has_both_thresholds(client: Connection, worker: Connection) -> None:
    a, b = (model_at(client, worker, rule, threshold) for rule, threshold in (("f1", 0.29), ("mcc", 0.6)))
    insert_job(client, job_type="COMPARE", compare_model_a_id=a, compare_model_b_id=b, **COMPARE_PERIOD)
    sides: dict[str, Any] = {f"a_{name}": value for name, value in MEASURED.items()}
    sides |= {"b_threshold": 0.6, "b_tp_at_half": 35, "b_fp_at_half": 20}
    complete(worker, claim(worker)["id"], "COMPARE", **sides)
    row = one(client, "SELECT * FROM ml_fact_comparisons WHERE model_a_id = %s", [a])
    assert (row["a_threshold"], row["b_threshold"], row["note"]) == (0.29, 0.6, None)
    # 2 * 35 / (2 * 35 + 20 + 15)
    assert [str(row[f"{side}_f1_at_half"]) for side in "ab"] == ["0.8000", "0.6667"]


@pytest.mark.parametrize("job_type", ["TRAIN", "TEST", "COMPARE"])
def test_a_worker_of_version_7_knows_one_threshold_alone_and_its_result_says_so(
    client: Connection, worker: Connection, job_type: str
) -> None:
    if job_type == "TRAIN":
        job_id = running_job(client, worker, train_threshold="f1")
        record(worker, job_id, 1, **RESULTS["TRAIN"])
        run = one(client, "SELECT * FROM ml_training_runs WHERE job_id = %s", [job_id])
        assert (run["threshold"], str(run["f1_at_half"])) == (0.5, "0.8000")
        assert "the threshold is 0.5 and not f1: a worker of before version 8" in run["warnings"]
        return
    models = [model_at(client, worker, "f1", 0.29) for _ in range(2)]
    fields: dict[str, Any] = {"test_model_id": models[0], **TEST_PERIOD}
    if job_type == "COMPARE":
        fields = {"compare_model_a_id": models[0], "compare_model_b_id": models[1], **COMPARE_PERIOD}
    insert_job(client, job_type=job_type, **fields)
    complete(worker, claim(worker)["id"], job_type)
    table = {"TEST": "ml_test_results", "COMPARE": "ml_comparisons"}[job_type]
    note = one(client, f"SELECT note FROM {table} ORDER BY id DESC LIMIT 1")["note"]
    assert "measured at the threshold 0.5 and not at the model's own, 0.29" in note


@pytest.mark.parametrize(
    ("points", "message"),
    [
        pytest.param(CURVE, "lacks the threshold of its result", id="lacks_it"),
        pytest.param(
            [*CURVE[:3], point(0.29, 47, 32, 53.0), *CURVE[3:]], "at the threshold of that", id="differs"
        ),
        pytest.param(
            [*CURVE[:3], point(0.29, 48, 32, 53.0), *CURVE[3:5], point(0.5, 39, 10, 40.0), *CURVE[6:]],
            "differs from its result at the threshold 0.5",
            id="differs_at_half",
        ),
    ],
)
def test_a_curve_holds_the_threshold_of_its_result(
    client: Connection, worker: Connection, points: list[Any], message: str
) -> None:
    job_id = running_job(client, worker, train_threshold="f1")
    values: dict[str, Any] = MEASURED | {
        "num_set_aside": 160,
        "num_set_aside_positive": 40,
        "ml_curve_points": points,
    }
    with refused("23514", message):
        complete(worker, job_id, "TRAIN", **values)


@pytest.mark.parametrize(
    "change",
    [
        {"tp_at_half": 49},
        {"fp_at_half": 33},
        {"tp_at_half": None},
        {"tp_at_half": None, "fp_at_half": None},
        {"tp_at_half": -1},
        {"threshold": 0.5},
    ],
)
def test_counts_at_half_fit_those_at_the_threshold(
    client: Connection, worker: Connection, change: dict[str, Any]
) -> None:
    job_id = running_job(client, worker, train_threshold="f1")
    with refused("23514"):
        complete(worker, job_id, "TRAIN", **MEASURED | change)


def test_answers_and_decisions_go_by_the_threshold(
    client: Connection, worker: Connection, owner: Connection, reader: Connection
) -> None:
    """The probabilities of the tree are 0.125, 0.5 and 1; those stored 0.25, 0.5, 0.75 and 1."""
    inputs = "price_open={};price_high=1;price_low=1;volume_sol={}"
    for threshold, share, yes in ((0.1, "1.0000", "ttt"), (0.3, "0.7500", "ftt"), (0.7, "0.5000", "fft")):
        numbers = {"tp_at_half": 49, "fp_at_half": 33} if threshold > 0.5 else AT_HALF
        job_id = running_job(client, worker, train_threshold=str(threshold))
        values: dict[str, Any] = MEASURED | numbers | {"threshold": threshold, "num_set_aside": 0}
        complete(worker, job_id, "TRAIN", **values | {"num_set_aside_positive": 0}, **TREES)
        model = one(reader, "SELECT id, name FROM ml_models WHERE train_job_id = %s", [job_id])
        for asked in (model["id"], model["name"], str(model["id"])):
            said = [
                one(reader, "SELECT ml.decide(%s, %s) AS yes", [asked, inputs.format(*row)])["yes"]
                for row in ((1, 1), (2, 1), (2, 20))
            ]
            assert "".join("ft"[answer] for answer in said) == yes
        insert_job(client, job_type="SCORE", score_model_id=model["id"], **SCORE_PERIOD)
        scoring_job = claim(worker)["id"]
        with worker.transaction():
            store(worker, scoring_job)
            record(worker, scoring_job, 1, **RESULTS["SCORE"])
        scoring = one(reader, "SELECT * FROM ml_fact_scorings WHERE job_id = %s", [scoring_job])
        assert (scoring["threshold"], str(scoring["share_positive"])) == (threshold, share)
        counted = one(
            reader,
            "SELECT sum(num_positive) AS n FROM ml_prediction_bins WHERE model_id = %s",
            [model["id"]],
        )
        assert counted["n"] == scoring["num_positive"]
        for rows in ("ml_prediction_outcomes WHERE model_id = %s", "ml.outcomes(%s)"):
            predicted = one(
                reader, f"SELECT count(*) FILTER (WHERE is_predicted) AS n FROM {rows}", [model["id"]]
            )
            assert predicted["n"] == scoring["num_positive"]
