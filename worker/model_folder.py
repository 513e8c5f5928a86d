"""The folder of the model files: whether it can be written, and which part of it belongs to a database.

Each database has a folder of its own in it, whose name ``ml_internal.folder_name`` tells. Files of
models that were made before schema version 6 lie beside these.
"""

import re
import tempfile
from pathlib import Path

_OF_DATABASE = re.compile("database_[0-9a-f]{16}")


def is_of_database(folder: Path) -> bool:
    """Whether it is the folder of one database."""
    return _OF_DATABASE.fullmatch(folder.name) is not None


class FolderError(OSError):
    """No model file can be written; the message is for the operator, and says why and what to do."""

    def __init__(self, folder: Path, reason: OSError) -> None:
        super().__init__(
            f"no model file can be written in {folder}: {reason.strerror}; make room there and let this user "
            "write, or choose another folder with ML_MODEL_DIR"
        )


def check(folder: Path) -> None:
    """Make sure that model files can be written to a folder; make it where it is missing.

    Raises:
        FolderError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(b"A full disk would not take this.")
    except OSError as error:
        raise FolderError(folder, error) from error
