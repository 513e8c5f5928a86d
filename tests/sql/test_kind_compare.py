"""A comparison scores two models on the same rows, and the database decides the winner."""

from typing import Any

import pytest

from tests.conftest import Connection, claim, insert_job, job_row, one, ready_model
from tests.sql.helpers import COMPARE_PERIOD, complete, count, refused, running_job, violates


def compared(client: Connection, worker: Connection, confidence: Any = "0", **values: Any) -> dict[str, Any]:
    """A comparison; by default one that is decided without an interval."""
    job_id = running_job(client, worker, "COMPARE", compare_confidence=confidence)
    result_id = complete(worker, job_id, "COMPARE", **values)
    return one(client, "SELECT * FROM ml_comparisons WHERE id = %s", [result_id])


def interval(lower: str | None, upper: str | None, **values: Any) -> dict[str, Any]:
    """What a worker tells of the difference in F1."""
    return {
        "f1_difference_lower": lower,
        "f1_difference_upper": upper,
        "num_blocks": 48,
        "block_seconds": 3600,
    } | values


def matrices(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> dict[str, int]:
    """Arguments for the confusion matrices (tp, tn, fp, fn) of both models."""
    names = ("tp", "tn", "fp", "fn")
    sides = {
        f"{side}_{name}": n for side, m in (("a", a), ("b", b)) for name, n in zip(names, m, strict=True)
    }
    return {"num_samples": sum(a)} | sides


def swapped(sides: dict[str, int]) -> dict[str, int]:
    other = {"a_": "b_", "b_": "a_"}
    return {other.get(name[:2], name[:2]) + name[2:]: number for name, number in sides.items()}


def test_a_comparison_has_the_metrics_of_both(client: Connection, worker: Connection) -> None:
    result = compared(client, worker, **matrices((30, 140, 10, 20), (40, 140, 10, 10)))
    metrics = ("accuracy", "f1", "precision", "recall", "roc_auc")
    assert [str(result[f"a_{metric}"]) for metric in metrics] == [
        "0.8500",
        "0.6667",
        "0.7500",
        "0.6000",
        "0.9000",
    ]
    assert [str(result[f"b_{metric}"]) for metric in metrics] == [
        "0.9000",
        "0.8000",
        "0.8000",
        "0.8000",
        "0.8000",
    ]
    assert result["num_samples"] == 200


# Each is written so that the first model wins; the test turns it around as well.
WINS = [
    pytest.param(matrices((40, 140, 10, 10), (30, 140, 10, 20)), id="higher_f1"),
    # F1 0.6667 and 0.5714, accuracy 0.50 and 0.70
    pytest.param(matrices((50, 0, 50, 0), (20, 50, 0, 30)), id="higher_f1_at_lower_accuracy"),
    # F1 0.6667 each, accuracy 0.910 and 0.900
    pytest.param(
        matrices((900, 8200, 300, 600), (1000, 8000, 500, 500)), id="higher_accuracy_at_the_same_f1"
    ),
    # F1 0.666667 and 0.666669 are the same at four digits; accuracy 0.91 and 0.90
    pytest.param(
        matrices((90_000, 820_000, 30_000, 60_000), (100_001, 799_999, 50_001, 49_999)),
        id="f1_counts_at_the_stored_precision",
    ),
    # Accuracy 1.0 and F1 undefined, against accuracy 0.995 and F1 0
    pytest.param(matrices((0, 200, 0, 0), (0, 199, 1, 0)), id="undefined_f1_then_accuracy"),
    # F1 0.0198 against none of the positive rows found
    pytest.param(matrices((1, 100, 50, 49), (0, 150, 0, 50)), id="any_f1_against_zero"),
]


@pytest.mark.parametrize("sides", WINS)
def test_the_winner_has_the_higher_f1_then_the_higher_accuracy(
    client: Connection, worker: Connection, sides: dict[str, int]
) -> None:
    """With a confidence of 0; with any other this is the leader."""
    for confidence in ("0", "0.95"):
        result = compared(client, worker, confidence, **sides)
        assert result["leader_id"] == result["model_a_id"]
        assert result["winner_id"] == (result["model_a_id"] if confidence == "0" else None)
        result = compared(client, worker, confidence, **swapped(sides))
        assert result["leader_id"] == result["model_b_id"]
        assert result["winner_id"] == (result["model_b_id"] if confidence == "0" else None)


@pytest.mark.parametrize(
    "sides",
    [
        pytest.param(matrices((40, 140, 10, 10), (40, 140, 10, 10)), id="equal"),
        pytest.param(matrices((0, 200, 0, 0), (0, 200, 0, 0)), id="both_undefined"),
        pytest.param(matrices((0, 0, 0, 0), (0, 0, 0, 0)), id="no_rows"),
        # F1 0.666669 and 0.666667, accuracy 0.9000000 and 0.9000001: the same at four digits
        pytest.param(
            matrices((100_001, 799_999, 50_001, 49_999), (100_000, 800_001, 49_999, 50_000)),
            id="equal_at_the_stored_precision",
        ),
    ],
)
def test_a_draw_has_no_winner(client: Connection, worker: Connection, sides: dict[str, int]) -> None:
    result = compared(client, worker, **sides)
    assert (result["winner_id"], result["leader_id"]) == (None, None)
    assert result["a_f1"] == result["b_f1"]
    assert result["a_accuracy"] == result["b_accuracy"]


def test_the_area_under_the_curve_decides_nothing(client: Connection, worker: Connection) -> None:
    equal = matrices((40, 140, 10, 10), (40, 140, 10, 10))
    assert compared(client, worker, **equal, a_roc_auc="0.9", b_roc_auc="0.5")["winner_id"] is None


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"b_tp": 31}, "ml_comparisons_same_rows"),
        ({"b_tn": 141}, "ml_comparisons_same_rows"),
        ({"num_samples": 201}, "ml_comparisons_same_rows"),
        # as many rows, but others: 51 positive ones for the second model
        ({"b_tp": 31, "b_tn": 139}, "ml_comparisons_same_rows"),
        ({"a_tp": -1, "a_fn": 51}, "ml_comparisons_counts_not_negative"),
        ({"num_unlabelled": -1}, "ml_comparisons_counts_not_negative"),
        ({"a_roc_auc": "1.1"}, "ml_comparisons_roc_auc_between_0_and_1"),
        ({"b_roc_auc": "-0.1"}, "ml_comparisons_roc_auc_between_0_and_1"),
    ],
)
def test_a_result_that_cannot_be_is_refused_whole(
    client: Connection, worker: Connection, values: dict[str, Any], constraint: str
) -> None:
    job_id = running_job(client, worker, "COMPARE")
    before = count(client, "ml_comparisons")
    with violates(constraint):
        complete(worker, job_id, "COMPARE", **values)
    assert count(client, "ml_comparisons") == before
    assert job_row(client, job_id)["status"] == "RUNNING"


@pytest.mark.parametrize("job_type", ["TRAIN", "TEST"])
def test_a_job_of_another_type_has_no_comparison(
    client: Connection, worker: Connection, job_type: str
) -> None:
    job_id = running_job(client, worker, job_type)
    with refused("42703", f"the result of a {job_type} job has no"):
        complete(worker, job_id, "COMPARE")
    assert job_row(client, job_id)["status"] == "RUNNING"


def test_the_owner_cannot_name_another_winner(client: Connection, owner: Connection) -> None:
    job_id = running_job(client, owner, "COMPARE")
    job = job_row(client, job_id)
    result = one(
        owner,
        "INSERT INTO ml_comparisons (job_id, attempt, model_a_id, model_b_id, test_start, test_end,"
        " winner_id, num_samples, a_tp, a_tn, a_fp, a_fn, b_tp, b_tn, b_fp, b_fn, num_unlabelled,"
        " data_fingerprint, seconds_loading, seconds_scoring)"
        " VALUES (%s, 1, %s, %s, %s, %s, %s, 4, 2, 2, 0, 0, 0, 2, 0, 2, 0, %s, 0, 0) RETURNING winner_id",
        [
            job_id,
            job["compare_model_a_id"],
            job["compare_model_b_id"],
            job["compare_start"],
            job["compare_end"],
            job["compare_model_b_id"],
            "b" * 64,
        ],
    )
    assert result["winner_id"] is None  # there is no interval


# ── Beyond chance ───────────────────────────────────────────────────────────────────────────────────


LEADS = "F1 0.8000 of model {a} is 0.1333 higher than 0.6667 of model {b}"
SHOWN = "; shown of these two fitted models at their thresholds on these rows, not of their recipes"


@pytest.mark.parametrize(
    ("confidence", "told", "wins", "verdict"),
    [
        pytest.param(
            "0.95",
            interval("0.0102", "0.2560"),
            True,
            f"model {{a}} wins: {LEADS} (0.0102 to 0.2560 at 95%, 48 blocks of 1 hour){SHOWN}",
            id="beyond_chance",
        ),
        pytest.param(
            "0.95",
            interval("-0.0102", "0.2560"),
            False,
            f"no clear winner: {LEADS} (-0.0102 to 0.2560 at 95%, 48 blocks of 1 hour),"
            " which chance explains",
            id="within_chance",
        ),
        pytest.param(
            "0.5",
            interval("0", "0.2560"),
            False,
            f"no clear winner: {LEADS} (0.0000 to 0.2560 at 50%, 48 blocks of 1 hour), which chance explains",
            id="zero_is_within",
        ),
        pytest.param(
            "0.95",
            interval("0.00004", "0.2560"),
            False,
            f"no clear winner: {LEADS} (0.0000 to 0.2560 at 95%, 48 blocks of 1 hour), which chance explains",
            id="at_the_stored_precision",
        ),
        pytest.param(
            "0.999",
            interval("0.1", "0.2", block_seconds=172800, num_blocks=8),
            True,
            f"model {{a}} wins: {LEADS} (0.1000 to 0.2000 at 99.9%, 8 blocks of 48 hours){SHOWN}",
            id="long_blocks",
        ),
        pytest.param(
            "0.95",
            interval(None, None, num_blocks=7, undecided_reason="7 blocks of 1 hour; 8 are needed"),
            False,
            f"no clear winner: {LEADS}, and there is no interval: 7 blocks of 1 hour; 8 are needed",
            id="too_few_blocks",
        ),
        pytest.param(
            "0.95",
            {},
            False,
            f"no clear winner: {LEADS}, and the worker gave no interval; it is older than this database",
            id="older_worker",
        ),
        pytest.param(
            "0",
            interval("-0.0102", "0.2560"),
            True,
            f"model {{a}} wins by the plain rule: {LEADS} (-0.0102 to 0.2560 at 95%, 48 blocks of 1 hour);"
            " chance was not considered",
            id="plain_rule",
        ),
        pytest.param(
            "0",
            {},
            True,
            f"model {{a}} wins by the plain rule: {LEADS}; chance was not considered",
            id="plain",
        ),
    ],
)
def test_a_model_wins_where_chance_does_not_explain_the_difference(
    client: Connection,
    worker: Connection,
    confidence: str,
    told: dict[str, Any],
    wins: bool,
    verdict: str,
) -> None:
    result = compared(client, worker, confidence, **told)
    a, b = result["model_a_id"], result["model_b_id"]
    assert result["leader_id"] == a
    assert result["winner_id"] == (a if wins else None)
    assert result["verdict"] == verdict.format(a=a, b=b)
    assert job_row(client, result["job_id"])["progress_msg"] == result["verdict"]
    assert str(result["confidence"]) == confidence


def test_the_second_model_wins_as_the_first_does(client: Connection, worker: Connection) -> None:
    sides = matrices((30, 140, 10, 20), (40, 140, 10, 10))
    result = compared(client, worker, "0.95", **sides, **interval("-0.2560", "-0.0102"))
    a, b = result["model_a_id"], result["model_b_id"]
    assert (result["leader_id"], result["winner_id"]) == (b, b)
    leads = LEADS.format(a=b, b=a)
    assert (
        result["verdict"] == f"model {b} wins: {leads} (0.0102 to 0.2560 at 95%, 48 blocks of 1 hour){SHOWN}"
    )
    assert str(result["f1_difference"]) == "-0.1333"


def test_who_leads_by_accuracy_alone_leads_but_wins_nothing(client: Connection, worker: Connection) -> None:
    sides = matrices((900, 8200, 300, 600), (1000, 8000, 500, 500))
    result = compared(client, worker, "0.95", **sides, **interval("-0.01", "0.01"))
    assert (result["leader_id"], result["winner_id"]) == (result["model_a_id"], None)
    assert "F1 0.6667 of both, accuracy 0.9100 of model" in result["verdict"]


@pytest.mark.parametrize("confidence", ["0", "0.95"])
@pytest.mark.parametrize(("trained", "wins"), [(("b",), "a"), (("a",), None), (("a", "b"), None), ((), "a")])
def test_a_side_that_was_trained_on_the_period_cannot_win(
    client: Connection, worker: Connection, trained: tuple[str, ...], wins: str | None, confidence: str
) -> None:
    models = {
        side: ready_model(client, worker, train_end="2024-03-08" if side in trained else "2024-03-01")
        for side in "ab"
    }
    job_id = insert_job(
        client,
        job_type="COMPARE",
        **{f"compare_model_{side}_id": model for side, model in models.items()},
        **COMPARE_PERIOD,
        compare_confidence=confidence,
    )
    claim(worker)
    complete(worker, job_id, "COMPARE", **interval("0.1", "0.2"))
    result = one(client, "SELECT * FROM ml_comparisons WHERE job_id = %s", [job_id])
    assert result["leader_id"] == models["a"]
    assert result["winner_id"] == (models[wins] if wins else None)
    for side, model in models.items():
        note = result[f"{side}_overlap_note"]
        assert (note is not None) == (side in trained)
        if side in trained:
            assert "is part of the training period" in note
            assert f"; model {model}: {note}" in result["verdict"]
    assert ("a model cannot win on rows of its training" in result["verdict"]) == (wins is None)


def test_a_job_has_a_confidence_of_0_95_unless_it_is_given(client: Connection, worker: Connection) -> None:
    assert str(job_row(client, running_job(client, worker, "COMPARE"))["compare_confidence"]) == "0.95"
    for given in ("0", "0.5", "0.8", "0.999"):
        job_id = running_job(client, worker, "COMPARE", compare_confidence=given)
        assert str(job_row(client, job_id)["compare_confidence"]) == given
        told = one(worker, "SELECT ml_internal.assignment(%s) AS told", [job_id])["told"]
        assert str(told["request"]["confidence"]) == given


@pytest.mark.parametrize("given", ["95", "1", "0.4", "-0.95", "NaN", "0.9991"])
def test_a_confidence_that_is_none_is_refused(client: Connection, worker: Connection, given: str) -> None:
    with refused("23514", f"compare_confidence {given} is neither 0 nor from 0.5 to 0.999", "0.95"):
        running_job(client, worker, "COMPARE", compare_confidence=given)
