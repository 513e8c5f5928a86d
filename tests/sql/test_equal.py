"""The database answers as the worker does: every type of model, whatever the rows."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from tests.child.models.test_all import defaults, fitted
from tests.conftest import Connection, Database, one
from tests.sql.helpers import INPUTS
from tests.sql.test_predict import model_of
from worker.child import models, numbers
from worker.child.measuring import predict
from worker.child.models.random_forest import HistogramForest

Params = dict[str, tuple[str, str]]
Rows = NDArray[np.float32]

FEW: Params = {"n_estimators": ("integer", "12"), "max_iter": ("integer", "5")}
DEEP: Params = {"max_depth": ("integer", "none"), "min_samples_leaf": ("integer", "1")}
# Every type, with what changes the way in which it is computed.
MODELS: list[tuple[str, Params]] = [
    ("xgboost", {}),
    ("xgboost", {"n_estimators": ("integer", "200"), "learning_rate": ("number", "1")}),
    ("xgboost", {"max_depth": ("integer", "0"), "grow_policy": ("choice", "lossguide")}),
    ("xgboost", {"scale_pos_weight": ("number", "5"), "subsample": ("number", "0.5")}),
    ("random_forest", {}),
    ("random_forest", {"bootstrap": ("boolean", "false"), "class_weight": ("choice", "balanced")}),
    ("random_forest", DEEP | {"criterion": ("choice", "entropy")}),
    ("random_forest", DEEP | {"class_weight": ("choice", "balanced_subsample")}),
    ("gradient_boosting", {}),
    (
        "gradient_boosting",
        DEEP | {"learning_rate": ("number", "0.5"), "class_weight": ("choice", "balanced")},
    ),
    ("logistic_regression", {}),
    ("logistic_regression", {"solver": ("choice", "saga"), "fit_intercept": ("boolean", "false")}),
    *(
        ("neural_network", {"hidden_layers": ("layers", "7,5"), "activation": ("choice", activation)})
        for activation in ("relu", "tanh", "logistic", "identity")
    ),
    ("neural_network", {"hidden_layers": ("layers", "130,120")}),  # too large for a function that holds it
]
TOLERANCE = {"neural_network": 1e-5}


def sample(seed: int, num_rows: int = 300) -> tuple[Rows, NDArray[np.uint8]]:
    """Rows of four features of very different magnitudes, some missing."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(num_rows, 4))
    labels = (rng.random(num_rows) < 1 / (1 + np.exp(-2 * rows[:, 0] + rows[:, 1] * rows[:, 3]))).astype(
        np.uint8
    )
    labels[:2] = 0, 1
    rows = np.round(rows, 2) * [1, 3e-8, 1e30, 1000]
    rows[rng.random(rows.shape) < 0.1] = np.nan
    return rows.astype(np.float32), labels


def hard_rows(found: numbers.Numbers, rows: Rows, seed: int) -> NDArray[np.float64]:
    """Rows of other magnitudes, and with values on a bound, just below, and closer than a float32 tells."""
    rng = np.random.default_rng(seed)
    every = [rows.astype(np.float64), rows.astype(np.float64) * 10.0 ** rng.uniform(-8, 8, rows.shape)]
    if isinstance(found, numbers.Trees):
        inner = np.flatnonzero(found.feature >= 0)
        for nearest in (0, -np.inf, np.inf):
            at = rng.choice(inner, len(rows)) if len(inner) else np.zeros(0, int)
            bounds = found.bound[at].astype(np.float64)
            if nearest:
                bounds = np.nextafter(found.bound[at], np.float32(nearest)).astype(np.float64)
                bounds = bounds * 0.49999 + found.bound[at] * 0.50001
            with_bounds = rows[: len(at)].astype(np.float64)
            with_bounds[np.arange(len(at)), found.feature[at]] = bounds
            every.append(with_bounds)
    return np.clip(np.concatenate(every), -3.4e38, 3.4e38)


@pytest.fixture(scope="module")
def reference(module_db: Database) -> list[dict[str, Any]]:
    with module_db.connect("rosa") as reader:
        return reader.execute("SELECT * FROM ref_model_params ORDER BY model_type, name").fetchall()


@pytest.fixture(scope="module")
def make(reference: list[dict[str, Any]]) -> Callable[..., Pipeline]:
    def made(model_type: str, params: Params, seed: int = 0) -> Pipeline:
        whole = defaults(reference, model_type)
        whole |= {name: value for name, value in FEW.items() if name in whole} | {
            name: value for name, value in params.items() if name in whole
        }
        return fitted(model_type, whole, sample(seed), seed)

    return made


def recorded(
    client: Connection, worker: Connection, model_type: str, pipeline: Pipeline, rows: Rows
) -> tuple[dict[str, Any], numbers.Numbers]:
    """A model with the numbers that its worker gives, and these."""
    found = models.numbers(models.load(model_type), pipeline)
    assert found is not None
    facts = numbers.facts(found, INPUTS)
    assert facts is not None
    facts["ml_model_samples"] = numbers.samples(rows[:50], predict(pipeline, rows[:50]))
    return model_of(client, worker, facts, train_model_type=model_type), found


def answers(
    reader: Connection, model: dict[str, Any], rows: NDArray[np.float64], how: str
) -> NDArray[np.float64]:
    """What the database says of rows: by the model's function, or by walking through its numbers."""
    lists = [[None if np.isnan(x) else float(x) for x in row] for row in rows]
    columns = [list(column) for column in zip(*lists, strict=True)]
    order = (3, 1, 0, 2)  # of the columns
    names = ", ".join(INPUTS[place] for place in order)
    call = {
        "function": "ml.predict(%(model)s, r)",
        "numbers": f"ml_internal.answer(%(job)s, ARRAY[{', '.join('r.' + name for name in INPUTS)}])",
    }[how]
    query = f"""
        SELECT {call} AS p
        FROM unnest(%(a)s::float8[], %(b)s::float8[], %(c)s::float8[], %(d)s::float8[])
            WITH ORDINALITY r ({names}, place)
        ORDER BY place
    """
    given_columns = dict(zip("abcd", (columns[place] for place in order), strict=True))
    found = reader.execute(query, {"model": model["name"], "job": model["train_job_id"]} | given_columns)
    return np.array([row["p"] for row in found])


def as_seen(rows: NDArray[np.float64]) -> Rows:
    return np.asfortranarray(rows.astype(np.float32))


@pytest.mark.parametrize(("model_type", "params"), MODELS)
def test_the_database_answers_as_the_worker_does(
    client: Connection,
    worker: Connection,
    reader: Connection,
    make: Callable[..., Pipeline],
    model_type: str,
    params: Params,
) -> None:
    pipeline = make(model_type, params)
    rows, _ = sample(0)
    model, found = recorded(client, worker, model_type, pipeline, rows)
    hard = hard_rows(found, rows, 1)
    expected = predict(pipeline, as_seen(hard))
    tolerance = TOLERANCE.get(model_type, 1e-6)
    for how, some in (("function", hard), ("numbers", hard[::17])):
        difference = np.abs(answers(reader, model, some, how) - predict(pipeline, as_seen(some)))
        assert difference.max() <= tolerance, (how, difference.max())
    assert len(np.unique(expected)) > 3
    query = "SELECT ml_internal.sample_difference(%s) AS d"
    assert 0 <= one(worker, query, [model["id"]])["d"] <= tolerance


values = st.one_of(
    st.none(),
    st.floats(-1e30, 1e30, width=64),
    st.floats(3e-8, 1e-6),
    st.sampled_from([0.0, -0.0, 1.0, 3e-8, 1e30, -1e30, 5e-324, 1e-46, 7e-46, 1.4e-45, 3.4028234e38, np.nan]),
)


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(
    seed=st.integers(0, 1000),
    kind=st.sampled_from(MODELS[:-1]),
    given_rows=st.lists(st.tuples(values, values, values, values), min_size=1, max_size=40),
)
def test_any_model_answers_any_row_as_the_worker_does(
    module_db: Database,
    make: Callable[..., Pipeline],
    seed: int,
    kind: tuple[str, Params],
    given_rows: Sequence[tuple[float | None, ...]],
) -> None:
    model_type, params = kind
    rows = np.array([[np.nan if x is None else x for x in row] for row in given_rows], np.float64)
    pipeline = make(model_type, params, seed)
    if (
        len(pipeline) > 1 and model_type != "random_forest"
    ):  # scaled, the worker itself refuses what overflows
        rows = np.clip(rows, -1e30, 1e30)
    with module_db.connect("anna") as client, module_db.connect("wanda") as worker:
        model, _ = recorded(client, worker, model_type, pipeline, sample(seed)[0])
        for how in ("function", "numbers"):
            difference = np.abs(answers(client, model, rows, how) - predict(pipeline, as_seen(rows)))
            assert difference.max() <= TOLERANCE.get(model_type, 1e-6), how


# ── Explanations ────────────────────────────────────────────────────────────────────────────────────


def explained(
    reader: Connection, model: dict[str, Any], row: NDArray[np.float32]
) -> Iterator[dict[str, Any]]:
    text = ";".join(
        f"{name}={'NULL' if np.isnan(x) else repr(float(x))}" for name, x in zip(INPUTS, row, strict=True)
    )
    return iter(reader.execute("SELECT * FROM ml.explain(%s, %s)", [model["id"], text]).fetchall())


@pytest.mark.parametrize(("model_type", "params"), MODELS[:-1])
def test_an_explanation_adds_up_to_the_answer_of_the_worker(
    client: Connection,
    worker: Connection,
    make: Callable[..., Pipeline],
    model_type: str,
    params: Params,
) -> None:
    pipeline = make(model_type, params)
    rows, _ = sample(0)
    model, _ = recorded(client, worker, model_type, pipeline, rows)
    for row, expected in zip(rows[:5], predict(pipeline, rows[:5]), strict=True):
        found = list(explained(client, model, row))
        total = found[0]["base"] + sum(part["contribution"] for part in found)
        assert total == pytest.approx(found[0]["total"], abs=1e-9)
        whole = total if model_type == "random_forest" else 1 / (1 + np.exp(-total))
        assert whole == pytest.approx(expected, abs=1e-5)
        assert found[0]["probability"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("model_type", ["xgboost", "random_forest"])
def test_an_explanation_of_trees_is_that_of_xgboost(
    client: Connection, worker: Connection, make: Callable[..., Pipeline], model_type: str
) -> None:
    """``approx_contribs`` is what A. Saabas proposed; its last column is the base."""
    pipeline = make(model_type, {})
    rows, _ = sample(0)
    model, _ = recorded(client, worker, model_type, pipeline, rows)
    last = pipeline[-1]
    assert model_type != "random_forest" or isinstance(last, HistogramForest)
    data = xgboost.DMatrix(rows[:20])
    expected = last.get_booster().predict(data, pred_contribs=True, approx_contribs=True)
    for row, contributions in zip(rows[:20], expected, strict=True):
        found = {part["feature"]: part for part in explained(client, model, row)}
        ours = [found[name]["contribution"] for name in INPUTS] + [found[INPUTS[0]]["base"]]
        assert ours == pytest.approx(contributions.tolist(), abs=2e-6)


def test_an_explanation_of_a_regression_is_exact(
    client: Connection, worker: Connection, make: Callable[..., Pipeline]
) -> None:
    pipeline = make("logistic_regression", {})
    rows, _ = sample(0)
    model, _ = recorded(client, worker, "logistic_regression", pipeline, rows)
    expected = pipeline[:-1].transform(rows[:5]) * pipeline[-1].coef_[0]
    for row, contributions in zip(rows[:5], expected, strict=True):
        found = {part["feature"]: part["contribution"] for part in explained(client, model, row)}
        assert [found[name] for name in INPUTS] == pytest.approx(contributions.tolist(), abs=1e-6)


def test_an_explanation_of_a_network_is_a_mean_over_orders_of_the_features(
    client: Connection, worker: Connection, make: Callable[..., Pipeline]
) -> None:
    pipeline = make("neural_network", {"hidden_layers": ("layers", "7,5"), "activation": ("choice", "tanh")})
    rows, _ = sample(0)
    model, _ = recorded(client, worker, "neural_network", pipeline, rows)
    scaled = pipeline[:-1].transform(rows[:1])

    def logit(known: Sequence[int]) -> float:
        some = np.zeros_like(scaled)
        some[0, list(known)] = scaled[0, list(known)]
        chance = float(pipeline[-1].predict_proba(some)[0, 1])
        return float(np.log(chance / (1 - chance)))

    forward = [[(first + step) % 4 for step in range(4)] for first in range(4)]
    orders = list(itertools.chain(forward, (order[::-1] for order in forward)))
    expected = np.zeros(4)
    for order in orders:
        for place, feature in enumerate(order):
            expected[feature] += (logit(order[: place + 1]) - logit(order[:place])) / len(orders)
    found = {part["feature"]: part["contribution"] for part in explained(client, model, rows[0])}
    assert [found[name] for name in INPUTS] == pytest.approx(expected.tolist(), abs=1e-4)
