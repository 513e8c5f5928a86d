"""Baselines as rows: what is recorded beside a result, what is refused, and what is said of them first."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Connection, Database, job_row, one
from tests.sql.helpers import BASELINES, BEATEN, baseline, call, complete, count, refused, running_job

NOTE = "3 blocks of 1 hour; 8 are needed"
UNPROVEN = {**BEATEN, "baseline_lower": None, "baseline_upper": None, "baseline_note": NOTE}


def of_both() -> list[dict[str, Any]]:
    """Those of a comparison: what knows of the fitted rows is there for each model."""
    return (
        BASELINES[:2]
        + [BASELINES[3]]
        + [{**row, "place": place} for place in (1, 2) for row in BASELINES[2::2]]
    )


def told(job_type: str, fields: dict[str, Any] = BEATEN) -> dict[str, Any]:
    """What a result of this type tells of its baselines."""
    if job_type != "COMPARE":
        return {**fields, "ml_baselines": BASELINES}
    sides = {f"{side}_{name}": value for side in "ab" for name, value in fields.items()}
    return {**sides, "ml_baselines": of_both()}


def recorded(client: Connection, worker: Connection, job_type: str = "TEST", **values: Any) -> int:
    job_id = running_job(client, worker, job_type)
    complete(worker, job_id, job_type, **{**told(job_type), **values})
    return job_id


def without(name: str) -> list[dict[str, Any]]:
    return [row for row in BASELINES if row["baseline"] != name]


@pytest.mark.parametrize("job_type", ["TRAIN", "TEST", "COMPARE"])
def test_a_result_is_recorded_with_its_baselines(
    client: Connection, worker: Connection, reader: Connection, job_type: str
) -> None:
    job_id = recorded(client, worker, job_type)
    rows = reader.execute("SELECT * FROM ml_baselines WHERE job_id = %s", [job_id]).fetchall()
    assert len(rows) == (7 if job_type == "COMPARE" else 5)
    found = {row["baseline"]: row for row in rows}
    assert float(found["persistence"]["f1_score"]) == 0.6
    assert float(found["best_feature"]["precision_score"]) == pytest.approx(35 / 85, abs=5e-5)
    assert (found["always_negative"]["precision_score"], found["persistence"]["num_unknown"]) == (None, 5)
    assert job_row(client, job_id)["status"] == "COMPLETED"


@pytest.mark.parametrize("job_type", ["TRAIN", "TEST", "COMPARE"])
def test_an_older_worker_records_a_result_without_them_and_nothing_is_claimed(
    client: Connection, worker: Connection, job_type: str
) -> None:
    job_id = running_job(client, worker, job_type)
    complete(worker, job_id, job_type)
    assert count(client, f"ml_baselines WHERE job_id = {job_id}") == 0
    message = job_row(client, job_id)["progress_msg"]
    assert "baseline" not in message
    if job_type != "COMPARE":
        assert "better than always saying negative" in message


@pytest.mark.parametrize(
    ("changed", "beats", "said"),
    [
        (
            {},
            True,
            "beats its best baseline, persistence: F1 0.8000 against 0.6000, difference 0.0500 to 0.3000",
        ),
        ({"baseline_lower": 0}, False, "does not provably beat its best baseline, persistence: F1 0.8000"),
        ({"baseline_lower": -0.01}, False, "against 0.6000, difference -0.0100 to 0.3000"),
        (
            {"baseline_difference": -0.2, "baseline_lower": -0.3, "baseline_upper": -0.1},
            False,
            "does worse than its best baseline, persistence: F1 0.8000 against 0.6000, difference -0.3000 ",
        ),
        (
            UNPROVEN,
            False,
            f"does not provably beat its best baseline, persistence: F1 0.8000 against 0.6000, {NOTE}",
        ),
    ],
    ids=["above", "at_0", "around_0", "below", "few_blocks"],
)
@pytest.mark.parametrize("job_type", ["TRAIN", "TEST"])
def test_a_model_beats_its_baseline_only_if_the_interval_is_above_0_and_that_is_said_first(
    client: Connection,
    worker: Connection,
    reader: Connection,
    job_type: str,
    changed: dict[str, Any],
    beats: bool,
    said: str,
) -> None:
    job_id = recorded(client, worker, job_type, **changed)
    table = "ml_training_runs" if job_type == "TRAIN" else "ml_test_results"
    result = one(reader, f"SELECT * FROM {table} WHERE job_id = %s", [job_id])
    assert result["beats_baseline"] is beats
    message = job_row(client, job_id)["progress_msg"]
    assert said in message.partition(": ")[2], message
    lines = [row["line"] for row in reader.execute("SELECT ml.report(%s) AS line", [result["model_id"]])]
    first = next(line for line in lines if line.startswith("Held out: " if job_type == "TRAIN" else "Test: "))
    assert said in first
    measured = one(reader, "SELECT * FROM ml_measurements WHERE job_id = %s", [job_id])
    assert (measured["best_baseline"], measured["beats_baseline"]) == ("persistence", beats)
    if job_type == "TEST":
        board = one(reader, "SELECT * FROM ml_leaderboard WHERE id = %s", [result["model_id"]])
        assert board["best_baseline"] == "persistence"
        assert (float(board["baseline_f1"]), board["beats_baseline"]) == (0.6, beats)


def test_a_model_beats_nothing_on_rows_of_its_training_period(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    job_id = running_job(client, worker, "TEST", test_start="2024-02-20")
    complete(worker, job_id, "TEST", **told("TEST"))
    result = one(reader, "SELECT * FROM ml_test_results WHERE job_id = %s", [job_id])
    assert (result["has_overlap"], result["beats_baseline"]) == (True, False)
    said = (
        "does not provably beat its best baseline, persistence: F1 0.8000 against 0.6000, difference 0.0500"
    )
    message = job_row(client, job_id)["progress_msg"]
    assert said in message
    assert "on rows of its training period" in message


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ({}, {}, "both beat their best baseline"),
        ({}, {"baseline_lower": -0.1}, "model {a} alone beats its best baseline"),
        ({"baseline_lower": -0.1}, {}, "model {b} alone beats its best baseline"),
        (
            {"baseline_lower": -0.1},
            UNPROVEN,
            "neither provably beats its best baseline (F1 of persistence: 0.6000)",
        ),
    ],
    ids=["both", "a", "b", "neither"],
)
def test_a_comparison_says_of_each_side_whether_it_beats_its_baseline(
    client: Connection, worker: Connection, a: dict[str, Any], b: dict[str, Any], said: str
) -> None:
    changed = {
        f"{side}_{name}": value for side, values in (("a", a), ("b", b)) for name, value in values.items()
    }
    job_id = recorded(client, worker, "COMPARE", **changed)
    result = one(client, "SELECT * FROM ml_comparisons WHERE job_id = %s", [job_id])
    assert (result["a_beats_baseline"], result["b_beats_baseline"]) == (a == {}, b == {})
    models = {side: result[f"model_{side}_id"] for side in "ab"}
    assert said.format(**models) in job_row(client, job_id)["progress_msg"]


@pytest.mark.parametrize(
    ("rows", "fields", "message"),
    [
        (without("persistence"), {}, "are not those that there are"),
        ([*BASELINES, {**BASELINES[2], "place": 2}], {}, "are not those that there are"),
        (
            [*without("best_feature"), baseline("best_feature", "x", 34, 50, fn=17)],
            {},
            "count other rows than their result",
        ),
        (BASELINES, {"best_baseline": "best_feature"}, "have not the best one that their result names"),
        (BASELINES, {"baseline_f1": 0.5}, "have not the best one that their result names"),
        (BASELINES, dict.fromkeys(BEATEN), "have not the best one that their result names"),
        (
            [*without("best_feature"), baseline("best_feature", "x", 50, 0)],
            {},
            "have not the best one that their result names",
        ),
    ],
    ids=["four", "another_model", "other_rows", "another", "another_f1", "none_named", "a_better_one"],
)
def test_baselines_that_are_none_of_the_result_are_refused_with_it(
    client: Connection, worker: Connection, rows: list[dict[str, Any]], fields: dict[str, Any], message: str
) -> None:
    job_id = running_job(client, worker, "TEST")
    with refused("23514", message):
        complete(worker, job_id, "TEST", **{**BEATEN, **fields, "ml_baselines": rows})
    assert job_row(client, job_id)["status"] == "RUNNING"
    assert count(client, f"ml_test_results WHERE job_id = {job_id}") == 0


def test_a_comparison_needs_what_knows_of_the_fitted_rows_for_each_model(
    client: Connection, worker: Connection
) -> None:
    job_id = running_job(client, worker, "COMPARE")
    for rows in (of_both()[:-1], of_both()[1:]):
        with refused("23514", "are not those that there are"):
            complete(worker, job_id, "COMPARE", **{**told("COMPARE"), "ml_baselines": rows})
    complete(worker, job_id, "COMPARE", **told("COMPARE"))


def test_a_baseline_comes_once(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker, "TEST")
    with refused("23505", "ml_baselines_pkey"):
        complete(worker, job_id, "TEST", **{**told("TEST"), "ml_baselines": [*BASELINES, BASELINES[0]]})


def test_one_that_does_not_exist_has_a_reason_and_the_report_says_it(
    client: Connection, worker: Connection, reader: Connection
) -> None:
    why = "there is no horizon: what holds now is the label itself"
    rows = [*without("persistence"), {"place": 0, "baseline": "persistence", "reason": why}]
    fields: dict[str, Any] = {"best_baseline": "best_feature", "baseline_f1": 70 / 135}
    job_id = recorded(client, worker, ml_baselines=rows, **fields)
    found = one(reader, "SELECT * FROM ml_baselines WHERE job_id = %s AND baseline = 'persistence'", [job_id])
    assert (found["f1_score"], found["reason"]) == (None, why)
    model = one(reader, "SELECT model_id FROM ml_test_results WHERE job_id = %s", [job_id])["model_id"]
    lines = [row["line"] for row in reader.execute("SELECT ml.report(%s) AS line", [model])]
    assert any("persistence" in line and why in line for line in lines)
    assert any("best feature" in line and "0.5185" in line and "price_open > 0.5" in line for line in lines)
    assert any(line.split()[:3] == ["model", "best", "feature"] for line in lines)


def test_a_test_uses_the_rule_that_the_training_stored(client: Connection, worker: Connection) -> None:
    rule = {"baseline_feature": "volume_sol", "baseline_direction": "<", "baseline_threshold": 0.1}
    job_id = running_job(client, worker)
    complete(worker, job_id, "TRAIN", **{**told("TRAIN"), **rule})
    model = job_row(client, job_id)["result_model_id"]
    test_id = running_job(client, worker, "TEST", test_model_id=model)
    given = call(worker, "assignment", test_id)["fitted"][str(model)]
    rule = {name.removeprefix("baseline_"): value for name, value in rule.items()}
    assert given == {"share_positive": 300 / 800, "rule": rule, "is_older": False}


def test_a_model_of_before_version_8_has_no_rule_but_the_share_of_its_positives(
    client: Connection, worker: Connection
) -> None:
    test_id = running_job(client, worker, "TEST")
    (given,) = call(worker, "assignment", test_id)["fitted"].values()
    assert given == {"share_positive": 300 / 800, "rule": None, "is_older": True}


def test_baselines_are_append_only_and_nobody_but_the_routines_inserts_one(
    db: Database, owner: Connection
) -> None:
    for statement in ("UPDATE ml_baselines SET tp = 0", "DELETE FROM ml_baselines", "TRUNCATE ml_baselines"):
        with refused("ML003", "ml_baselines is append-only"):
            owner.execute(statement.encode())
    for login in ("anna", "rosa", "wanda"):
        with db.connect(login) as connection, refused("42501", "permission denied"):
            connection.execute(
                "INSERT INTO ml_baselines (job_id, place, baseline) VALUES (1, 0, 'persistence')"
            )


def test_baselines_are_pruned_with_their_job(make_database: Callable[[], Database]) -> None:
    db = make_database()
    with db.connect("anna") as client, db.connect("wanda") as worker, db.connect("owner") as owner:
        for job_type in ("TRAIN", "TEST", "COMPARE"):
            recorded(client, worker, job_type)
        owner.execute("CALL ml.prune('0 seconds')")
        assert count(owner, "ml_baselines") == 5 + 5 + 7
        client.execute("UPDATE ml_models SET is_deleted = true")
        owner.execute("CALL ml.prune('0 seconds')")
        assert count(owner, "ml_baselines") == count(owner, "ml_jobs") == 0
