"""Where things are: taken from the environment, with defaults that need none."""

import os
import shutil
import sys
from pathlib import Path

import platformdirs

from worker.database.url import understood


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
    """``DATABASE_URL`` for libpq; None means the embedded server.

    Raises:
        UnsuitableDatabaseError: it leads to no PostgreSQL.
    """
    given = os.environ.get("DATABASE_URL")
    return understood(given) if given else None


def program_name() -> str:
    """How this program was called."""
    program = Path(sys.argv[0]).absolute()
    if program.name == "__main__.py":
        return "python -m worker"
    if program.is_relative_to(Path.cwd()):
        return str(program.relative_to(Path.cwd()))
    return program.name if shutil.which(program.name) else str(program)
