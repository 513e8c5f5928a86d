"""Leaks and traps, planted and caught through real jobs: each has its warning, and clean data have none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Connection, Database, Worker, insert_job, one, wait_for
from tests.one_server import server

__all__ = ["server"]

COINS, MINUTES = 60, 480
START = pd.Timestamp("2024-01-01", tz="UTC")
CLEAN = "signal,volume,swing"
BASE: dict[str, Any] = {
    "job_type": "TRAIN",
    "train_source": "walks",
    "train_target_var": "price",
    "train_label": "change",
    "train_operator": ">=",
    "train_value": 1,
    "train_future_minutes": 5,
    "train_start": "2024-01-01",
    "train_end": "2024-01-01 05:00",
    "train_features_csv": CLEAN,
    "train_model_type": "logistic_regression",
}
IN_THE_ROW = {"train_label": "value", "train_value": 100, "train_future_minutes": None}
LATER = ("2024-01-01 05:00", "2024-01-01 08:00")


def make_walks() -> pd.DataFrame:
    """Coins with rows at the same minutes, of whose next a signal tells something, and planted columns."""
    rng = np.random.default_rng(5)
    shape = (COINS, MINUTES)
    signal = rng.normal(size=shape)
    steps = 0.006 * np.roll(signal, 1, axis=1) + rng.normal(0, 0.004, shape)
    price = 100 * np.exp(rng.normal(0, 0.3, (COINS, 1)) + steps.cumsum(axis=1))
    volume = np.exp(rng.normal(3, 0.8, shape) + 0.3 * np.abs(signal))
    future = np.full(shape, np.nan)
    future[:, :-5] = price[:, 5:] / price[:, :-5] - 1
    is_up = future >= 0.01
    level = rng.normal(0, 1, shape)
    half, other_half = rng.uniform(size=shape), rng.uniform(size=shape)
    trait = rng.integers(0, 2, (COINS, 1))
    minute = np.arange(MINUTES)
    columns = {
        "signal": signal,
        "volume": volume,
        "swing": np.abs(steps) * 100 + rng.exponential(0.2, shape),
        "price": price,
        "future": future + rng.normal(0, 0.0001, shape),
        "is_up": np.where(np.isnan(future), np.nan, is_up),
        "falling": -future,
        "band": np.where(is_up, rng.uniform(0.4, 0.6, shape), rng.uniform(0.6, 1.4, shape) % 1),
        "level": level,
        "level_later": level + np.nan_to_num(future),
        "half": half,
        "other_half": np.where((half > 0.5) ^ is_up, other_half / 2, (1 + other_half) / 2),
        "price_later": price * (1 + np.nan_to_num(future)),
        "market": np.tile(rng.normal(size=MINUTES), (COINS, 1)),
        "third": np.tile(minute // 20 % 3, (COINS, 1)),
        "rank": np.round(np.log(price) * 5 + 1, 6),
        "below": -(price**3),
        "flat": np.full(shape, 7.0),
        "drifting": rng.normal(size=shape) + 2 * (minute >= 300),
        "trait": np.where(rng.uniform(size=shape) < 0.1, 1 - trait, trait),
        "name": np.arange(COINS)[:, None] + rng.uniform(0, 0.5, shape),
        "holey": np.where(volume > np.quantile(volume, 0.9), np.nan, price),
        "gappy": np.where(rng.uniform(size=shape) < 0.3, np.nan, price),
    }
    return pd.DataFrame(
        {
            "coin": np.repeat([f"COIN_{number:02d}" for number in range(COINS)], MINUTES),
            "at": np.tile(START + pd.to_timedelta(minute, unit="min"), COINS),
        }
        | {name: values.reshape(-1) for name, values in columns.items()}
    )


COPIES = {  # of the first six coins
    "copied": "SELECT 'COPY_' || coin, at",
    "partly": "SELECT 'COPY_' || coin, at",
    "moved": "SELECT 'COPY_' || coin, at + interval '7 minutes'",
}


@pytest.fixture(scope="module")
def database(make_database: Callable[[], Database]) -> Database:
    db = make_database()
    walks = make_walks()
    with db.connect("owner") as owner:
        names = walks.columns[2:]
        fields = ", ".join(f"{name} float8" for name in names)
        owner.execute(f"CREATE TABLE walks (coin text, at timestamptz, {fields})".encode())
        with owner.cursor() as cursor, cursor.copy("COPY walks FROM STDIN (FORMAT csv)") as stream:
            stream.write(walks.to_csv(index=False, header=False))
        columns = ", ".join(names)
        for source, copy in COPIES.items():
            own = ", ".join(f"{name} + random()" if name in CLEAN.split(",") else name for name in names)
            rows = f"{copy}, {columns} FROM walks WHERE coin < 'COIN_06'"
            if source == "partly":  # the other half of each hour is of its own
                first_half = "extract(minute FROM at) < 30"
                others = f"FROM walks WHERE coin < 'COIN_06' AND NOT {first_half}"
                rows += f" AND {first_half} UNION ALL {copy}, {own} {others}"
            owner.execute(f"CREATE TABLE {source} AS SELECT * FROM walks UNION ALL {rows}".encode())
        # Most coins have rows in four minutes of twelve alone, and most of those no window of three minutes.
        owner.execute(
            "CREATE TABLE stopping AS SELECT * FROM walks"
            " WHERE coin <= 'COIN_20' OR extract(minute FROM at)::integer % 12 < 4"
        )
        for source in ("walks", *COPIES, "stopping"):
            owner.execute(f"CREATE INDEX ON {source} (at)".encode())
            owner.execute(f"GRANT SELECT ON {source} TO ml_client, ml_reader, ml_worker".encode())
            owner.execute(
                f"CALL ml.add_source('{source}', '{source}', key => 'coin', moment => 'at')".encode()
            )
        owner.execute("ANALYZE")
    return db


@pytest.fixture(scope="module")
def service(database: Database, start_worker: Callable[..., Worker]) -> Worker:
    return start_worker(database)


@pytest.fixture
def anna(database: Database, service: Worker) -> Any:
    with database.connect("anna") as connection:
        yield connection


def done(client: Connection, **fields: Any) -> Any:
    job = wait_for(client, insert_job(client, **fields))
    assert job["status"] == "COMPLETED", job["error_msg"]
    return job


def trained(client: Connection, **fields: Any) -> Any:
    return done(client, **BASE | fields)


def measured(client: Connection, model_id: int, period: tuple[str, str] = LATER) -> Any:
    return done(client, job_type="TEST", test_model_id=model_id, test_start=period[0], test_end=period[1])


def warnings(client: Connection, job: Any) -> list[Any]:
    return client.execute(
        "SELECT * FROM ml_fact_warnings WHERE job_id = %s ORDER BY warning_id", [job["id"]]
    ).fetchall()


def named(client: Connection, job: Any) -> list[tuple[str | None, ...]]:
    """Codes and severities of what was found, with the features and keys it speaks of."""
    return sorted(
        tuple(row[name] for name in ("code", "severity", "feature", "other_feature", "key", "other_key"))
        for row in warnings(client, job)
    )


def previewed(client: Connection, **fields: Any) -> list[str]:
    """What ml.preview warns of."""
    arguments = {
        name.removeprefix("train_"): value for name, value in (BASE | fields).items() if name != "job_type"
    }
    renamed = {"features_csv": "features", "target_var": "target", "start": "train_start", "end": "train_end"}
    places = {renamed.get(name, name): value for name, value in arguments.items() if value is not None}
    rows = client.execute(
        f"SELECT * FROM ml.preview({', '.join(f'{name} => %s' for name in places)})".encode(),
        list(places.values()),
    )
    return [row["result"] for row in rows if row["what"] == "warning"]


CLEAN_JOBS: dict[str, dict[str, Any]] = {
    "change": {},
    "path": {"train_label": "highest_change", "train_model_type": "xgboost"},
    "touch": {"train_label": "first_touch", "train_stop_value": -1, "train_operator": None},
    "level later, from the level now": {
        "train_label": "value",
        "train_value": 100,
        "train_features_csv": "price,rank,below,signal",
        "train_model_type": "xgboost",
    },
    "highest level, from the level now": {
        "train_label": "highest",
        "train_value": 100,
        "train_features_csv": "price,volume",
    },
    "in the row, from others": IN_THE_ROW
    | {
        "train_target_var": "volume",
        "train_value": 20,
        "train_features_csv": "signal,swing",
        "train_model_type": "xgboost",
    },
}


@pytest.mark.parametrize("name", CLEAN_JOBS)
def test_clean_data_raise_no_warning(anna: Connection, name: str) -> None:
    fields = CLEAN_JOBS[name]
    assert previewed(anna, **fields) == ["none"]
    job = trained(anna, **fields)
    assert named(anna, job) == []
    assert "warning" not in job["progress_msg"]
    assert (
        one(anna, "SELECT warnings FROM ml_training_runs WHERE job_id = %s", [job["id"]])["warnings"] is None
    )
    test = measured(anna, job["result_model_id"])
    assert named(anna, test) == []


LEAKS: dict[str, tuple[dict[str, Any], list[tuple[Any, ...]]]] = {
    "the future itself": (
        {"train_features_csv": f"{CLEAN},future"},
        [("feature_tells_label", "severe", "future", None, None, None)],
    ),
    "its answer, and it reversed": (
        {"train_features_csv": f"is_up,{CLEAN},falling"},
        [
            ("feature_tells_label", "severe", "falling", None, None, None),
            ("feature_tells_label", "severe", "is_up", None, None, None),
        ],
    ),
    "a band of values": (
        {"train_features_csv": f"{CLEAN},band", "train_model_type": "xgboost"},
        [("feature_tells_label", "severe", "band", None, None, None)],
    ),
    "a difference": (
        {"train_features_csv": f"level,{CLEAN},level_later"},
        [("features_tell_label", "severe", "level", "level_later", None, None)],
    ),
    "a ratio": (
        {"train_features_csv": f"price,{CLEAN},price_later"},
        [("features_tell_label", "severe", "price", "price_later", None, None)],
    ),
    "the level later, where the label is one": (
        {"train_label": "value", "train_value": 100, "train_features_csv": "price,price_later"},
        [("feature_tells_label", "severe", "price_later", None, None, None)],
    ),
    "the target in the same row, rising and falling": (
        IN_THE_ROW | {"train_features_csv": f"{CLEAN},rank,below"},
        [
            ("feature_is_target", "severe", "below", None, None, None),
            ("feature_is_target", "severe", "rank", None, None, None),
        ],
    ),
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_named_before_and_after_training(anna: Connection, name: str) -> None:
    fields, expected = LEAKS[name]
    job = trained(anna, **fields)
    assert named(anna, job) == expected
    found = warnings(anna, job)
    run = one(anna, "SELECT warnings FROM ml_training_runs WHERE job_id = %s", [job["id"]])
    report = [row["line"] for row in anna.execute("SELECT ml.report(%s) AS line", [job["result_model_id"]])]
    said = previewed(anna, **fields)
    assert found[0]["sentence"] in job["progress_msg"]
    assert report[1].startswith("Warnings:")
    for row in found:
        assert row["sentence"] in run["warnings"]
        assert any(row["feature"] in line and row["code"] in line for line in said), said
    assert len(said) == len(found)


def test_cells_of_two_features_that_tell_the_label_together_are_named(anna: Connection) -> None:
    job = trained(anna, train_features_csv=f"half,{CLEAN},other_half")
    assert named(anna, job) == [("features_tell_label", "severe", "half", "other_half", None, None)]


@pytest.mark.parametrize("source", COPIES)
def test_a_series_under_two_keys_is_named_and_severe_where_a_copy_is_held_out(
    anna: Connection, source: str
) -> None:
    job = trained(anna, train_source=source)
    found = warnings(anna, job)
    assert {(row["code"], row["key"], row["other_key"]) for row in found} == {
        ("same_series", f"COIN_{number:02d}", f"COPY_COIN_{number:02d}") for number in range(6)
    }
    assert all(0.3 < row["number"] <= 1 for row in found)
    assert {row["number"] > 0.9 for row in found} == {source != "partly"}
    held_out = {row["severity"]: row["sentence"] for row in found}
    assert "one was fitted and the other is held out" in held_out["severe"]
    test = measured(anna, job["result_model_id"])
    assert {row["code"] for row in warnings(anna, test)} == {"same_series"}
    if source != "moved":
        said = previewed(anna, train_source=source)
        assert [line for line in said if "COIN_03 and COPY_COIN_03 are the same series" in line], said


def test_a_feature_that_is_the_same_for_all_coins_at_a_moment_is_named(anna: Connection) -> None:
    fields = {"train_features_csv": f"{CLEAN},market,third,flat"}
    job = trained(anna, **fields)
    assert named(anna, job) == [
        ("constant_feature", "info", "flat", None, None, None),
        ("feature_of_moment", "info", "third", None, None, None),
        ("feature_of_moment", "warning", "market", None, None, None),
    ]
    assert job["progress_msg"].count("warning") == 1
    said = previewed(anna, **fields)
    assert [line for line in said if "market is the same for all coins at a moment" in line]
    assert [line for line in said if "third is the same for all coins at a moment" in line]


def test_a_test_and_a_comparison_that_overlap_the_training_or_lie_before_it_are_told(
    anna: Connection,
) -> None:
    early = trained(anna)["result_model_id"]
    late = trained(anna, train_start=LATER[0], train_end=LATER[1])["result_model_id"]
    overlapping = measured(anna, early, ("2024-01-01 04:00", "2024-01-01 06:00"))
    assert [row[:2] for row in named(anna, overlapping)] == [("period_overlaps", "severe")]
    assert "50% overlap" in overlapping["progress_msg"]
    before = measured(anna, late, ("2024-01-01", "2024-01-01 04:00"))
    assert [row[:2] for row in named(anna, before)] == [("period_earlier", "warning")]
    both = measured(anna, late, ("2024-01-01 04:00", "2024-01-01 06:00"))
    assert [row[:2] for row in named(anna, both)] == [
        ("period_earlier", "warning"),
        ("period_overlaps", "severe"),
    ]
    comparison = done(
        anna,
        job_type="COMPARE",
        compare_model_a_id=early,
        compare_model_b_id=late,
        compare_start="2024-01-01 03:00",
        compare_end="2024-01-01 05:00",
    )
    assert {(row["model_id"], row["code"]) for row in warnings(anna, comparison)} == {
        (early, "period_overlaps"),
        (late, "period_earlier"),
    }
    said = {
        row["result"]
        for row in anna.execute("SELECT * FROM ml.preview(%s)", [both["id"]])
        if row["what"] == "warning"
    }
    assert len([line for line in said if "period_overlaps" in line or "period_earlier" in line]) == 2


def test_a_measurement_is_told_apart_for_coins_that_were_fitted_and_others(anna: Connection) -> None:
    job = trained(
        anna,
        train_target_var="trait",
        train_label="value",
        train_value=0.5,
        train_features_csv="name,signal",
        train_model_type="random_forest",
        train_params_csv="max_depth=12",
    )
    fitted = one(anna, "SELECT num_coins, keys FROM ml_fitted_coins WHERE job_id = %s", [job["id"]])
    assert 40 < fitted["num_coins"] < COINS
    test = measured(anna, job["result_model_id"])
    parts = anna.execute(
        "SELECT * FROM ml_seen_unseen WHERE job_id = %s ORDER BY is_seen", [test["id"]]
    ).fetchall()
    whole = one(anna, "SELECT * FROM ml_test_results WHERE job_id = %s", [test["id"]])
    assert [part["is_seen"] for part in parts] == [False, True]
    assert [part["num_coins"] for part in parts] == [COINS - fitted["num_coins"], fitted["num_coins"]]
    for name in ("tp", "tn", "fp", "fn", "num_samples", "num_positive"):
        assert sum(part[name] for part in parts) == whole[name], name
    assert parts[1]["roc_auc"] > 0.8 > parts[0]["roc_auc"]
    assert ("seen_coins", "warning") in [row[:2] for row in named(anna, test)]
    report = "\n".join(
        row["line"] for row in anna.execute("SELECT ml.report(%s) AS line", [job["result_model_id"]])
    )
    assert "coins it has seen" in report
    assert "other coins" in report


@pytest.mark.parametrize(
    ("fields", "code", "feature"),
    [
        (IN_THE_ROW | {"train_target_var": "holey"}, "rows_without_label", "volume"),
        ({"train_target_var": "gappy", "train_base_var": "price"}, "rows_without_label", None),
        ({"train_source": "stopping", "train_future_minutes": 3}, "rows_without_window", None),
        (
            {"train_source": "stopping", "train_future_minutes": 3, "train_uncovered": "negative"},
            "rows_without_window",
            None,
        ),
    ],
)
def test_rows_without_a_label_or_a_window_are_told_where_they_are_many_or_differ(
    anna: Connection, fields: dict[str, Any], code: str, feature: str | None
) -> None:
    job = trained(anna, **fields)
    (found,) = [row for row in warnings(anna, job) if row["code"] != "one_answer"]
    assert (found["code"], found["severity"]) == (code, "warning")
    if feature:
        assert found["feature"] == feature
        assert "they differ from the others" in found["sentence"]
    assert ("count as negative" in found["sentence"]) == (fields.get("train_uncovered") == "negative")


def test_a_model_that_always_says_the_same_is_told(anna: Connection) -> None:
    job = trained(anna, train_value=3)
    assert [row[:2] for row in named(anna, job)] == [("one_answer", "warning")]
    mute = trained(anna, train_features_csv="flat,signal", train_params_csv="C=0.000001")
    test = measured(anna, mute["result_model_id"])
    assert {row[:2] for row in named(anna, test)} >= {
        ("one_answer", "warning"),
        ("constant_probability", "warning"),
    }


def test_a_fit_on_few_positives_is_told(anna: Connection) -> None:
    fields = {"train_value": 5}
    job = trained(anna, **fields)
    run = one(anna, "SELECT * FROM ml_training_runs WHERE job_id = %s", [job["id"]])
    assert 2 <= run["num_fitted_positive"] < 50
    (found,) = [row for row in warnings(anna, job) if row["code"] == "few_positives"]
    assert found["number"] == run["num_fitted_positive"]
    assert [line for line in previewed(anna, **fields) if "few_positives" in line]


def test_a_measurement_of_one_class_is_told(anna: Connection) -> None:
    fields = {"train_target_var": "third", "train_label": "value", "train_operator": "=", "train_value": 2}
    model_id = trained(anna, **fields)["result_model_id"]
    test = measured(anna, model_id, ("2024-01-01 07:42", "2024-01-01 07:58"))
    assert ("one_class_measured", "warning") in [row[:2] for row in named(anna, test)]


def test_a_feature_that_has_moved_since_training_is_told(anna: Connection) -> None:
    job = trained(anna, train_features_csv="signal,drifting")
    model_id = job["result_model_id"]
    stats = one(
        anna, "SELECT * FROM ml_feature_stats WHERE job_id = %s AND feature = 'drifting'", [job["id"]]
    )
    assert stats["minimum"] < stats["d1"] < stats["d5"] < stats["d9"] < stats["maximum"]
    assert abs(stats["mean"]) < 0.05
    assert stats["null_share"] == 0
    jobs = [
        measured(anna, model_id),
        done(anna, job_type="SCORE", score_model_id=model_id, score_start=LATER[0], score_end=LATER[1]),
        done(
            anna,
            job_type="COMPARE",
            compare_model_a_id=model_id,
            compare_model_b_id=trained(anna)["result_model_id"],
            compare_start=LATER[0],
            compare_end=LATER[1],
        ),
    ]
    for other in jobs:
        assert [(row[0], row[2]) for row in named(anna, other)] == [("feature_shift", "drifting")], other
        shifts = {
            (row["model_id"], row["feature"]): row["psi"]
            for row in anna.execute("SELECT * FROM ml_feature_shifts WHERE job_id = %s", [other["id"]])
        }
        assert shifts[model_id, "drifting"] > 1
        assert shifts[model_id, "signal"] < 0.1
    waiting = [row["result"] for row in anna.execute("SELECT * FROM ml.preview(%s)", [jobs[0]["id"]])]
    assert [line for line in waiting if "the feature drifting is distributed otherwise" in line]


def test_of_a_model_of_before_nothing_is_compared_and_nothing_fails(
    database: Database, anna: Connection
) -> None:
    job = trained(anna, train_features_csv="signal,drifting")
    with database.connect("owner") as owner:
        owner.execute("SELECT set_config('ml.pruning', 'on', false)")
        for table in ("ml_feature_stats", "ml_fitted_coins"):
            owner.execute(f"DELETE FROM {table} WHERE job_id = %s".encode(), [job["id"]])
    test = measured(anna, job["result_model_id"])
    assert named(anna, test) == []
    for table in ("ml_feature_shifts", "ml_seen_unseen"):
        assert anna.execute(f"SELECT FROM {table} WHERE job_id = %s".encode(), [test["id"]]).rowcount == 0
