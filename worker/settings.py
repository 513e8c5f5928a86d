"""Where things are: taken from the environment, with defaults that need none."""

import os
from pathlib import Path

import platformdirs


def home() -> Path:
    """Folder of the embedded server and of the models: ``ML_HOME``, else a per-user data folder."""
    configured = os.environ.get("ML_HOME")
    return Path(configured or platformdirs.user_data_dir("ml-worker")).expanduser().resolve()


def model_dir() -> Path:
    """Folder of the model files: ``ML_MODEL_DIR``, else ``models`` in :func:`home`."""
    configured = os.environ.get("ML_MODEL_DIR")
    return Path(configured).expanduser().resolve() if configured else home() / "models"


def database_url() -> str | None:
    """``DATABASE_URL``; None means the embedded server."""
    return os.environ.get("DATABASE_URL") or None
