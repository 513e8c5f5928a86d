"""Where things are: taken from the environment, with defaults that need none."""

import os
from pathlib import Path

import platformdirs


def home() -> Path:
    """Folder of the embedded server and of the models: ``ML_HOME``, else a per-user data folder.

    Root's is ``/var/lib/ml-worker``: PostgreSQL does not run as root, and must not need to enter root's home.
    """
    usual = "/var/lib/ml-worker" if os.geteuid() == 0 else platformdirs.user_data_dir("ml-worker")
    return Path(os.environ.get("ML_HOME") or usual).expanduser().resolve()


def model_dir() -> Path:
    """Folder of the model files: ``ML_MODEL_DIR``, else ``models`` in :func:`home`."""
    configured = os.environ.get("ML_MODEL_DIR")
    return Path(configured).expanduser().resolve() if configured else home() / "models"


def database_url() -> str | None:
    """``DATABASE_URL``; None means the embedded server."""
    return os.environ.get("DATABASE_URL") or None
