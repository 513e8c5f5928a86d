"""Versions of the libraries that make models, and whether those of another worker were others."""

import platform
from collections.abc import Mapping
from functools import cache

import numpy as np
import sklearn
import xgboost


@cache
def versions() -> Mapping[str, str]:
    """Version of each library here."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "xgboost": xgboost.__version__,
    }


def to_csv() -> str:
    """Write ``library=version;library=version``."""
    return ";".join(f"{name}={version}" for name, version in versions().items())


def differences(recorded: str | None) -> dict[str, str]:
    """Libraries of a training run, as :func:`to_csv` wrote them, that have another version here."""
    pairs = (item.partition("=")[::2] for item in (recorded or "").split(";"))
    return {
        name: version
        for name, version in pairs
        if name != "python" and version != versions().get(name, version)  # models do not depend on Python
    }


def told(others: Mapping[str, str]) -> str:
    """Say in words which versions made a model and which read it."""
    made = ", ".join(f"{name} {version}" for name, version in others.items())
    here = ", ".join(f"{name} {versions()[name]}" for name in others)
    return f"it was made by {made}, and this worker has {here}"
