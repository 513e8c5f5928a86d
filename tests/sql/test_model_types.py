"""Every hyperparameter of every model type: its default and bounds are accepted, what lies beyond is not."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.conftest import TRAIN, Connection, Database, insert_job, job_row, one
from tests.sql.helpers import refused
from worker.commands.install import install, sql_files

TYPES = ["random_forest", "xgboost", "gradient_boosting", "logistic_regression", "neural_network"]
EVERY_TYPE = pytest.mark.parametrize("model_type", TYPES)


@pytest.fixture
def params(reader: Connection, model_type: str) -> list[dict[str, Any]]:
    query = "SELECT * FROM ref_model_params WHERE model_type = %s ORDER BY name"
    rows = reader.execute(query, [model_type]).fetchall()
    assert rows
    return rows


@pytest.fixture
def submit(client: Connection, model_type: str) -> Iterator[Callable[..., str | None]]:
    """Submits a job with these hyperparameters; returns what was stored. Nothing stays."""
    with client.transaction(force_rollback=True):

        def job(params_csv: str) -> str | None:
            fields = {"train_model_type": model_type, "train_params_csv": params_csv}
            with client.transaction():
                stored: str | None = job_row(client, insert_job(client, **TRAIN | fields))["train_params_csv"]
            return stored

        yield job


@EVERY_TYPE
def test_the_defaults_of_a_type_are_accepted(
    reader: Connection, submit: Callable[..., str | None], model_type: str
) -> None:
    query = "SELECT default_params_csv AS csv FROM ref_model_types WHERE name = %s"
    defaults = one(reader, query, [model_type])["csv"]
    assert submit(defaults) == defaults


@EVERY_TYPE
def test_the_defaults_of_a_type_are_those_of_its_hyperparameters(
    reader: Connection, params: list[dict[str, Any]], model_type: str
) -> None:
    query = "SELECT default_params_csv AS csv FROM ref_model_types WHERE name = %s"
    given = dict(item.split("=") for item in one(reader, query, [model_type])["csv"].split(";"))
    defaults = {param["name"]: param["default_value"] for param in params}
    assert given.items() <= defaults.items()


@EVERY_TYPE
def test_the_default_of_each_hyperparameter_is_accepted(
    submit: Callable[..., str | None], params: list[dict[str, Any]]
) -> None:
    for param in params:
        assert submit(f"{param['name']}={param['default_value']}")


@EVERY_TYPE
def test_all_hyperparameters_are_accepted_together(
    submit: Callable[..., str | None], params: list[dict[str, Any]]
) -> None:
    csv = ";".join(f"{param['name']}={param['default_value']}" for param in params)
    assert submit(csv) == csv


@EVERY_TYPE
def test_the_bounds_of_each_hyperparameter_are_accepted(
    submit: Callable[..., str | None], params: list[dict[str, Any]]
) -> None:
    for param in params:
        for bound in (param["min_value"], param["max_value"]):
            if bound is not None:
                assert submit(f"{param['name']}={bound:f}")


@EVERY_TYPE
def test_what_lies_beyond_a_bound_is_refused_and_the_hint_has_the_bounds(
    submit: Callable[..., str | None], params: list[dict[str, Any]]
) -> None:
    for param in params:
        if param["min_value"] is None:
            continue
        step = Decimal("1e-9") if param["kind"] == "number" else 1
        low, high = param["min_value"], param["max_value"]
        for value in (low - step, high + step):
            with refused("23514", f"'{value:f}'", f"from {low:f} to {high:f}"):
                submit(f"{param['name']}={value:f}")


@EVERY_TYPE
def test_each_word_of_a_choice_is_accepted_and_no_other(
    submit: Callable[..., str | None], params: list[dict[str, Any]]
) -> None:
    for param in params:
        words = (param["choices_csv"] or "").split(",") if param["choices_csv"] else []
        for word in words:
            assert submit(f"{param['name']}={word}")
        with refused("23514", "'mystery'", f"{param['name']} of {param['model_type']} is "):
            submit(f"{param['name']}=mystery")


@pytest.mark.parametrize("model_type", ["random_forest"])
@pytest.mark.parametrize("value", ["true", "false"])
def test_a_boolean_is_true_or_false(submit: Callable[..., str | None], value: str) -> None:
    assert submit(f"bootstrap={value}") == f"bootstrap={value}"


@pytest.mark.parametrize("model_type", ["xgboost"])
@pytest.mark.parametrize("value", ["0.1", ".5", "1", "1.", "1e-2", "5E-1", "0.10000000000000000001"])
def test_a_number_can_be_written_in_every_usual_way(submit: Callable[..., str | None], value: str) -> None:
    assert submit(f"learning_rate={value}") == f"learning_rate={value}"


@pytest.mark.parametrize("model_type", ["neural_network"])
@pytest.mark.parametrize("value", ["1", "100,50", "5,5,5,5,5,5,5,5,5,5"])
def test_layers_are_one_to_ten_integers(submit: Callable[..., str | None], value: str) -> None:
    assert submit(f"hidden_layers={value}") == f"hidden_layers={value}"


def test_every_type_has_hyperparameters(reader: Connection) -> None:
    rows = reader.execute("SELECT DISTINCT model_type FROM ref_model_params")
    assert {row["model_type"] for row in rows} == set(TYPES)


def test_a_hyperparameter_that_the_owner_adds_is_accepted_at_once(db: Database, owner: Connection) -> None:
    with owner.transaction(force_rollback=True):
        owner.execute(
            "INSERT INTO ref_model_params"
            " VALUES ('xgboost', 'max_leaves', 'integer', 0, 9, NULL, '0', 'Leaves')"
        )
        fields = {"train_model_type": "xgboost", "train_params_csv": "max_leaves=9"}
        assert insert_job(owner, **TRAIN | fields)


def test_every_type_is_a_file_of_its_own() -> None:
    names = [file.stem[3:] for file in sql_files() if file.stem.startswith("2")]
    assert names == ["model_types", *(f"model_{name}" for name in TYPES)]


def test_an_installation_brings_a_corrected_bound_and_description(owner: Connection, db: Database) -> None:
    query = "SELECT * FROM ref_model_params WHERE (model_type, name) = ('xgboost', 'max_depth')"
    right = one(owner, query)
    owner.execute("UPDATE ref_model_params SET min_value = 7, max_value = 7 WHERE name = 'max_depth'")
    owner.execute("UPDATE ref_model_types SET default_params_csv = 'max_depth=7', description = 'wrong'")
    install(db.login("owner"))
    assert one(owner, query) == right
    wrong = "SELECT count(*) AS n FROM ref_model_types WHERE 'wrong' = description"
    assert one(owner, wrong)["n"] == 0
