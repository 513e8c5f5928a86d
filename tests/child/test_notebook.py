"""A model's file in a notebook: an environment of scikit-learn, pandas and xgboost, and nothing of ours."""

import json
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest

from tests.child.models.test_all import NAMES, TYPES, defaults, fitted, rows, write
from tests.conftest import Database

PUBLIC = ("scikit-learn", "pandas", "xgboost-cpu", "xgboost", "joblib")  # either xgboost, as it is installed
NOTEBOOK = """
import decimal, importlib.util, json, sys, warnings
import joblib, numpy, pandas
warnings.simplefilter("error")
assert importlib.util.find_spec("worker") is None
said = {}
for name, path in json.load(sys.stdin).items():
    model = joblib.load(path)
    frame = pandas.read_json(sys.argv[1], orient="records", dtype=False)
    frame = frame[["b", "a", "volume_sol", "price_open"]]
    texts = frame.astype(object).map(lambda x: None if pandas.isna(x) else decimal.Decimal(repr(x)))
    chances = [model.predict_proba(given[model.feature_names_in_])[:, 1] for given in (frame, texts)]
    try:
        model.predict_proba(frame)
        refusal = None
    except ValueError as error:
        refusal = str(error)
    said[name] = {
        "names": list(model.feature_names_in_), "chances": [c.tolist() for c in chances], "refusal": refusal,
        "modules": sorted({type(step).__module__.split(".")[0] for _, step in model.steps}),
    }
print(json.dumps(said))
"""


def needed(*names: str) -> set[str]:
    """Installed distributions that these need, and themselves."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        if name not in found:
            found.add(name)
            named = (re.match(r"[\w.-]+", text) for text in requires if "extra ==" not in text)
            waiting += [match[0] for match in named if match]
    return found


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has links to the installed packages, for want of a network."""
    home = tmp_path_factory.mktemp("notebook")
    venv.create(home, with_pip=False, symlinks=True)
    (site,) = home.glob("lib/python*/site-packages")
    here = Path(sysconfig.get_path("purelib"))
    for name in needed(*PUBLIC):
        for top in {file.parts[0] for file in distribution(name).files or []} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(here / top)
    return home / "bin" / "python"


def test_every_type_of_model_is_loaded_by_the_public_libraries_alone(
    make_database: Callable[[], Database], notebook: Path, tmp_path: Path
) -> None:
    """By name, with Decimal and None as psycopg gives them; and it predicts what the worker measured."""
    with make_database().connect("rosa") as reader:
        reference = reader.execute("SELECT * FROM ref_model_params ORDER BY model_type, name").fetchall()
    features, labels = rows(300)
    own = {f"{name} by default": (name, defaults(reference, name)) for name in TYPES}
    entropy = own["random_forest by default"][1] | {"criterion": ("choice", "entropy")}
    own["random_forest by entropy"] = ("random_forest", entropy)
    models = {name: fitted(*of_type, (features, labels)) for name, of_type in own.items()}
    files = {name: write(own[name][0], model, tmp_path).artifact_path for name, model in models.items()}
    records = [
        {name: None if np.isnan(value) else float(value) for name, value in zip(NAMES, row, strict=True)}
        for row in features
    ]
    data = tmp_path / "rows.json"
    data.write_text(json.dumps(records))
    result = subprocess.run(
        [notebook, "-I", "-c", NOTEBOOK, data],
        input=json.dumps(files),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    for name, model in models.items():
        assert said[name]["names"] == list(NAMES)
        assert "feature names should match" in said[name]["refusal"], name
        assert set(said[name]["modules"]) <= {"sklearn", "xgboost"}
        for chances in said[name]["chances"]:
            assert np.allclose(chances, model.predict_proba(features)[:, 1], rtol=0, atol=1e-6), name
    assert sys.executable != str(notebook)
