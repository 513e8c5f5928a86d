"""The folder of the model files: whether it can be written."""

import tempfile
from pathlib import Path


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
