"""The five model types: hyperparameters, missing values, scale, determinism, progress."""

import inspect
import secrets
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from joblib.numpy_pickle import NumpyUnpickler
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline

from tests.conftest import Database
from worker.child import libraries, model_file, models, progress
from worker.child.assignment import Fewest, Model
from worker.child.fitting import fit, parse_params
from worker.child.kinds.train import FITTED
from worker.child.labels import Label
from worker.child.models import gradient_boosting
from worker.child.ranking import Ranking
from worker.child.task import LOADED
from worker.errors import JobError

TYPES = ["random_forest", "xgboost", "gradient_boosting", "logistic_regression", "neural_network"]
# Where scikit-learn calls a hyperparameter otherwise than we do.
RENAMED = {
    ("gradient_boosting", "n_estimators"): "max_iter",
    ("neural_network", "hidden_layers"): "hidden_layer_sizes",
}


def rows(num_rows: int = 400, seed: int = 0, missing: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(num_rows, 4)).astype(np.float32)
    chance = 1 / (1 + np.exp(-2 * features[:, 0] + features[:, 1]))
    labels = (rng.random(num_rows) < chance).astype(np.uint8)
    features[rng.random(features.shape) < missing] = np.nan
    return features, labels


@pytest.fixture(scope="module")
def reference(make_database: Callable[[], Database]) -> list[dict[str, Any]]:
    with make_database().connect("rosa") as reader:
        return reader.execute("SELECT * FROM ref_model_params ORDER BY model_type, name").fetchall()


def defaults(reference: list[dict[str, Any]], model_type: str) -> dict[str, tuple[str, str]]:
    return {r["name"]: (r["kind"], r["default_value"]) for r in reference if r["model_type"] == model_type}


def fitted(
    model_type: str,
    params: dict[str, tuple[str, str]],
    data: tuple[np.ndarray, np.ndarray],
    seed: int = 42,
    threads: int = 1,
) -> Pipeline:
    model = models.load(model_type).make(parse_params(params), seed, threads)
    fit(models.load(model_type), model, *data, lambda _share, _message: None)
    return model


def bounds(row: dict[str, Any]) -> list[str]:
    """The default, every choice, and both bounds."""
    values = [row["default_value"], *(row["choices_csv"] or "").split(",")]
    if row["kind"] == "boolean":
        values += ["true", "false"]
    elif row["kind"] == "layers":
        values += [str(row["min_value"]), str(row["max_value"]), ",".join(["2"] * 10)]
    elif row["min_value"] is not None:
        # No estimator has an upper limit of trees, and the 10,000 of the reference take long.
        most = Decimal(200) if row["name"] == "n_estimators" else row["max_value"]
        values += [f"{row['min_value']:f}", f"{most:f}"]
    return [value for value in dict.fromkeys(values) if value]


def test_every_hyperparameter_is_accepted_by_its_estimator_at_its_bounds(
    reference: list[dict[str, Any]],
) -> None:
    assert {row["model_type"] for row in reference} == set(TYPES)
    data = rows(60)
    for row in reference:
        model_type, name = row["model_type"], row["name"]
        for value in bounds(row):
            params = defaults(reference, model_type) | {name: (row["kind"], value)}
            for rounds in {"n_estimators", "max_iter"} & params.keys() - {name}:
                params[rounds] = ("integer", "3")
            try:
                model = fitted(model_type, params, data)
            except JobError as error:
                pytest.fail(f"{model_type}: {name}={value}: {error}")
            used = model[-1].get_params()[RENAMED.get((model_type, name), name)]
            assert used == parse_params({name: (row["kind"], value)})[name], (model_type, name, value)
            assert model.predict_proba(data[0]).shape == (60, 2)


NAMES = ("price_open", "volume_sol", "a", "b")  # of the features


def names_in(file: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What a notebook that reads it looks up."""
    found: set[str] = set()
    look_up = NumpyUnpickler.find_class

    def spy(self: NumpyUnpickler, module: str, name: str) -> Any:
        found.add(f"{module}.{name}")
        return look_up(self, module, name)

    with monkeypatch.context() as patch:
        patch.setattr(NumpyUnpickler, "find_class", spy)
        joblib.load(file)
    return found


def write(model_type: str, model: Pipeline, folder: Path) -> Model:
    """Write a model's file; returns what the database knows of it."""
    written = model_file.write(
        models.for_file(models.load(model_type), model), NAMES, folder / f"model_1_{secrets.token_hex(4)}.pkl"
    )
    label, fewest = Label("market_cap_close", ">", "1", None), Fewest(20, 2, 10)
    path = str(written.path)
    return Model(1, model_type, label, 0.2, 42, NAMES, {}, fewest, path, written.sha256, libraries.to_csv())


def variants(
    reference: list[dict[str, Any]], model_type: str, data: tuple[np.ndarray, np.ndarray]
) -> Iterator[Pipeline]:
    """A small model of each value of each hyperparameter."""
    few = {"n_estimators": ("integer", "3"), "max_iter": ("integer", "5")}
    params = defaults(reference, model_type)
    params |= {name: value for name, value in few.items() if name in params}
    for row in reference:
        if row["model_type"] == model_type and row["name"] not in few:
            for value in bounds(row):
                yield fitted(model_type, params | {row["name"]: (row["kind"], value)}, data)


@pytest.mark.parametrize("model_type", TYPES)
def test_a_file_needs_no_names_but_those_of_its_type_and_is_read_as_it_was(
    reference: list[dict[str, Any]], model_type: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every solver and option; and none of our own, because a notebook has none of them."""
    found: set[str] = set()
    data = rows(60)
    for model in variants(reference, model_type, data):
        known = write(model_type, model, tmp_path)
        assert known.artifact_path is not None
        found |= names_in(Path(known.artifact_path), monkeypatch)
        read = model_file.read(known, tmp_path, lambda: None)
        again = models.from_file(models.load(model_type), read.pipeline, 1)
        assert np.array_equal(again.predict_proba(data[0]), model.predict_proba(data[0]))
        assert read.made_by == {}
    assert "sklearn.pipeline.Pipeline" in found
    assert found <= models.load(model_type).NAMES
    assert not any(name.startswith("worker") for name in found)


@pytest.mark.parametrize("model_type", TYPES)
def test_a_notebook_gives_columns_by_name_and_gets_the_same_predictions(
    reference: list[dict[str, Any]], model_type: str, tmp_path: Path
) -> None:
    """Decimal and None, as psycopg returns them, are numbers; other columns or another order are refused."""
    features, labels = rows(300)
    model = fitted(model_type, defaults(reference, model_type), (features, labels))
    expected = model.predict_proba(features)
    public = joblib.load(write(model_type, model, tmp_path).artifact_path)
    assert list(public.feature_names_in_) == list(NAMES)
    plain = pd.DataFrame(features, columns=list(NAMES))
    decimals = plain.astype(object).map(lambda x: None if np.isnan(x) else Decimal(str(x)))
    for frame in (
        plain,
        plain.astype("float64"),
        decimals,
        decimals[sorted(NAMES)],
        decimals.assign(more="x"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = public.predict_proba(frame[public.feature_names_in_])
        assert np.allclose(found, expected, rtol=0, atol=1e-6)
        assert ((found >= 0) & (found <= 1)).all()
        assert np.array_equal(public.predict(frame[public.feature_names_in_]), found[:, 1] > 0.5)
    for frame in (
        plain[sorted(NAMES)],
        plain.assign(more=1),
        plain.drop(columns="a"),
        decimals[sorted(NAMES)],
    ):
        with pytest.raises(ValueError, match="feature names should match"):
            public.predict_proba(frame)
    with pytest.raises(ValueError, match="could not convert string to float"):
        public.predict_proba(plain.assign(a="many"))


# Bounds that are ours: below them the estimator would take the value and do nothing, or next to nothing.
OURS = {
    "max_iter",
    ("xgboost", "n_estimators"),
    *("max_features", "subsample", "colsample_bytree", "learning_rate", "learning_rate_init"),
    *("scale_pos_weight", "C", "tol"),
}


def test_a_value_below_its_bound_is_refused_by_the_estimator_too(reference: list[dict[str, Any]]) -> None:
    checked = 0
    for row in reference:
        model_type, name = row["model_type"], row["name"]
        if row["kind"] not in ("integer", "number") or OURS & {name, (model_type, name)}:
            continue
        params = defaults(reference, model_type) | {name: (row["kind"], f"{row['min_value'] - 1:f}")}
        alias = {"gamma": "min_split_loss"}.get(name, RENAMED.get((model_type, name), name))
        with pytest.raises(JobError, match=rf"(?i)\b{alias}\b"):
            fitted(model_type, params, rows(60))
        checked += 1
    assert checked > 15


@pytest.mark.parametrize("model_type", TYPES)
def test_a_model_learns_from_rows_with_missing_values(
    reference: list[dict[str, Any]], model_type: str
) -> None:
    model = fitted(model_type, defaults(reference, model_type), rows(3000))
    features, labels = rows(3000, seed=1)
    assert roc_auc_score(labels, model.predict_proba(features)[:, 1]) > 0.78


@pytest.mark.parametrize("model_type", TYPES)
def test_random_state_fixes_everything(reference: list[dict[str, Any]], model_type: str) -> None:
    data = rows(500)
    params = defaults(reference, model_type)
    if "max_iter" in params:
        params["max_iter"] = ("integer", "20")
    first, again, other = (
        fitted(model_type, params, data, seed).predict_proba(data[0]) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    if model_type in ("random_forest", "neural_network"):
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("model_type", TYPES)
def test_the_unit_of_a_feature_does_not_matter(reference: list[dict[str, Any]], model_type: str) -> None:
    """Prices of 3e-8 must count as much as volumes of 1e6."""
    (features, labels), (others, other_labels) = rows(2000), rows(2000, seed=1)
    found = []
    for scale in (np.float32(1), np.float32(1e-9), np.float32(1e9)):
        model = fitted(model_type, defaults(reference, model_type), (features * scale, labels))
        found.append(roc_auc_score(other_labels, model.predict_proba(others * scale)[:, 1]))
    assert max(found) - min(found) < 0.01


@pytest.mark.parametrize("model_type", TYPES)
def test_predictions_are_the_same_at_each_call_and_for_any_number_of_threads(
    reference: list[dict[str, Any]], model_type: str
) -> None:
    data = rows(2000)
    params = defaults(reference, model_type)
    if "max_iter" in params:
        params["max_iter"] = ("integer", "20")
    chances = [
        fitted(model_type, params, data, threads=threads).predict_proba(data[0]) for threads in (1, 2, 2, 4)
    ]
    assert all(np.array_equal(chances[0], other) for other in chances)


@pytest.mark.parametrize("missing", [0, 0.1])
def test_what_ranks_rows_for_gradient_boosting_ranks_them_alike(
    reference: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, missing: float
) -> None:
    data, (others, _) = rows(2000, missing=missing), rows(2000, seed=1, missing=0.2)
    others[:3] = [1e38, -1e38, 0, 1], [-1e38, 0, 1e38, -0.0], [0, 0, 0, 0]
    model = fitted("gradient_boosting", defaults(reference, "gradient_boosting"), data)
    ranking = models.ranking(gradient_boosting, model)
    assert isinstance(ranking, Ranking)
    apart = logit(ranking.predict_proba(others)[:, 1]) - logit(model.predict_proba(others)[:, 1])
    assert apart == pytest.approx(np.full(len(apart), apart.mean()), abs=1e-5)
    monkeypatch.setattr(gradient_boosting, "_MOST_NODES", 10)
    assert models.ranking(gradient_boosting, model) is model


@pytest.mark.parametrize("model_type", sorted({*TYPES} - {"gradient_boosting"}))
def test_a_model_of_another_type_ranks_rows_itself(reference: list[dict[str, Any]], model_type: str) -> None:
    model = fitted(model_type, defaults(reference, model_type), rows())
    assert models.ranking(models.load(model_type), model) is model


@pytest.mark.parametrize("model_type", TYPES)
def test_values_far_outside_the_rows_of_the_fit_can_be_predicted(
    reference: list[dict[str, Any]], model_type: str
) -> None:
    features, labels = rows()
    features[:, 3] = 0
    model = fitted(model_type, defaults(reference, model_type), (features, labels))
    features[:, 3] = 1e30
    assert np.isfinite(model.predict_proba(features)).all()


@pytest.mark.parametrize("model_type", ["logistic_regression", "neural_network"])
def test_missing_values_are_imputed_from_the_rows_of_the_fit_alone(
    reference: list[dict[str, Any]], model_type: str
) -> None:
    features, labels = rows(500)
    model = fitted(model_type, defaults(reference, model_type), (features, labels))
    assert np.allclose(model["impute"].statistics_, np.nanmedian(features, axis=0))


@pytest.mark.parametrize(
    ("model_type", "own", "last"),
    [
        ("random_forest", {"n_estimators": ("integer", "25")}, "Training: 25/25 trees"),
        ("xgboost", {"n_estimators": ("integer", "7")}, "Training: 7/7 trees"),
        ("gradient_boosting", {"n_estimators": ("integer", "7")}, "Training: 7/7 trees"),
        ("neural_network", {"max_iter": ("integer", "5")}, "Training epoch 5/5"),
    ],
)
def test_progress_counts_trees_and_epochs(
    reference: list[dict[str, Any]], model_type: str, own: dict[str, tuple[str, str]], last: str
) -> None:
    told: list[tuple[float, str]] = []
    module = models.load(model_type)
    model = module.make(parse_params(defaults(reference, model_type) | own), 42, 1)
    fit(module, model, *rows(), lambda share, message: told.append((share, message)))
    shares = [share for share, _ in told]
    assert len(told) > 1
    assert shares == sorted(shares)
    assert told[-1] == (1, last)


# Both kinds of forest and each solver; of few trees, and of a limit that is far away.
FITS: list[tuple[str, dict[str, tuple[str, str]]]] = [
    *((model_type, {}) for model_type in TYPES),
    *(
        (tree, {"n_estimators": ("integer", "5")})
        for tree in ("random_forest", "xgboost", "gradient_boosting")
    ),
    ("random_forest", {"criterion": ("choice", "entropy")}),
    ("random_forest", {"criterion": ("choice", "entropy"), "n_estimators": ("integer", "5")}),
    ("gradient_boosting", {"max_depth": ("integer", "none"), "max_leaf_nodes": ("integer", "2")}),
    *(
        ("logistic_regression", {"solver": ("choice", solver), "tol": ("number", "1e-6"), "max_iter": most})
        for solver in ("lbfgs", "newton-cholesky", "sag", "saga")
        for most in (("integer", "100"), ("integer", "100000"))
    ),
    ("neural_network", {"max_iter": ("integer", "1"), "batch_size": ("integer", "50")}),
    ("neural_network", {"max_iter": ("integer", "10000"), "solver": ("choice", "sgd")}),
]


@pytest.mark.parametrize(("model_type", "own"), FITS, ids=str)
def test_progress_of_a_fit_is_seen_to_rise_in_at_least_five_steps(
    reference: list[dict[str, Any]],
    model_type: str,
    own: dict[str, tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As ``ml_jobs.progress`` has it: by percents of the whole job. A long fit tells as much, only later."""
    monkeypatch.setattr(progress, "_SECONDS", 0)
    module = models.load(model_type)
    model = module.make(parse_params(defaults(reference, model_type) | own), 42, 1)
    told: list[float] = []
    fit(module, model, *rows(), lambda share, _message: told.append(share))
    percents = [round(LOADED + (FITTED - LOADED) * share, 2) for share in told]
    assert told == sorted(told)
    assert 0 <= told[0] <= told[-1] <= 1
    assert len({LOADED, *percents}) > 5, percents


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cholesky", "sag", "saga"])
@pytest.mark.parametrize("most", [1, 3, 1000])
def test_a_fit_that_is_told_of_is_the_same(solver: str, most: int) -> None:
    features, labels = rows(missing=0)
    for tolerance in (1, 1e-2, 1e-6):
        options = {"solver": solver, "tol": tolerance, "max_iter": most, "random_state": 1}
        told, plain = LogisticRegression(**options), LogisticRegression(**options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            models.load("logistic_regression").fit(told, features, labels, lambda _share, _message: None)
            plain.fit(features, labels)
        assert np.array_equal(told.coef_, plain.coef_)
        assert np.array_equal(told.intercept_, plain.intercept_)
        assert told.n_iter_ == plain.n_iter_


@pytest.mark.parametrize("model_type", ["logistic_regression", "neural_network"])
def test_a_fit_that_did_not_converge_says_so(reference: list[dict[str, Any]], model_type: str) -> None:
    params = defaults(reference, model_type) | {"max_iter": ("integer", "1")}
    module = models.load(model_type)
    model = module.make(parse_params(params), 42, 1)
    (warning,) = fit(module, model, *rows(), lambda _share, _message: None)
    assert "converge" in warning


def test_the_default_of_ref_model_types_stands_in_ref_model_params(
    make_database: Callable[[], Database], reference: list[dict[str, Any]]
) -> None:
    with make_database().connect("rosa") as reader:
        for row in reader.execute("SELECT name, default_params_csv FROM ref_model_types").fetchall():
            values = {name: value for name, (_, value) in defaults(reference, row["name"]).items()}
            for item in row["default_params_csv"].split(";"):
                name, value = item.split("=")
                assert values[name] == value


# Each type, both kinds of forest, each solver of logistic regression.
WEIGHTED: list[tuple[str, dict[str, tuple[str, str]]]] = [
    *((model_type, {}) for model_type in TYPES),
    ("random_forest", {"criterion": ("choice", "entropy")}),
    ("random_forest", {"min_samples_leaf": ("integer", "5")}),
    ("random_forest", {"class_weight": ("choice", "balanced")}),
    *(
        ("logistic_regression", {"solver": ("choice", solver)})
        for solver in ("newton-cholesky", "sag", "saga")
    ),
]


def weighted(
    reference: list[dict[str, Any]],
    model_type: str,
    own: dict[str, tuple[str, str]],
    data: tuple[np.ndarray, np.ndarray],
    weights: np.ndarray | None,
) -> np.ndarray:
    """What a model says that was fitted with these weights."""
    module = models.load(model_type)
    params = defaults(reference, model_type) | own
    if "max_iter" in params:
        params["max_iter"] = ("integer", "50")
    model = module.make(parse_params(params), 42, 1)
    fit(module, model, *data, lambda _share, _message: None, weights=weights)
    return np.asarray(model.predict_proba(data[0])[:, 1])


@pytest.mark.parametrize(
    ("model_type", "own"), [case for case in WEIGHTED if "criterion" not in case[1]], ids=str
)
def test_equal_weights_are_no_weights(
    reference: list[dict[str, Any]], model_type: str, own: dict[str, tuple[str, str]]
) -> None:
    """But for scikit-learn's forest, which then draws otherwise: ``as_weights`` gives it none."""
    data = rows(1000)
    plain = weighted(reference, model_type, own, data, None)
    assert plain == pytest.approx(
        weighted(reference, model_type, own, data, np.ones(1000, np.float32)), abs=1e-6
    )


@pytest.mark.parametrize(("model_type", "own"), WEIGHTED, ids=str)
def test_rows_of_little_weight_say_little(
    reference: list[dict[str, Any]], model_type: str, own: dict[str, tuple[str, str]]
) -> None:
    """Half of the rows have their labels turned round: a fit that gives them no weight learns the truth."""
    (features, labels), (others, truth) = rows(3000), rows(3000, seed=1)
    turned = labels.copy()
    turned[::2] = 1 - turned[::2]
    weights = np.full(3000, 1.998, np.float32)
    weights[::2] = 0.002
    module = models.load(model_type)
    found = []
    for given in (weights, None):
        params = defaults(reference, model_type) | own
        model = module.make(parse_params(params), 42, 1)
        fit(module, model, features, turned, lambda _share, _message: None, weights=given)
        found.append(roc_auc_score(truth, model.predict_proba(others)[:, 1]))
    assert found[0] > 0.75 > 0.65 > found[1]


def test_the_types_that_take_weights_are_those_that_the_database_names(
    make_database: Callable[[], Database],
) -> None:
    with make_database().connect("rosa") as reader:
        for row in reader.execute("SELECT name, takes_weights FROM ref_model_types").fetchall():
            takes = "weights" in inspect.signature(models.load(row["name"]).fit).parameters
            assert row["takes_weights"] == takes, row["name"]
