"""The folder of the model files: whether it can be written, and which part of it belongs to a database.

Each database has a folder of its own in it, whose name ``ml_internal.folder_name`` tells. Files of
models that were made before schema version 6 lie beside these.
"""

import errno
import os
import re
import tempfile
import threading
from pathlib import Path

ROOM = 1 << 20  # bytes that must be free for the next model, where nothing is known of it
_OF_DATABASE = re.compile("database_[0-9a-f]{16}")


def is_of_database(folder: Path) -> bool:
    """Whether it is the folder of one database."""
    return _OF_DATABASE.fullmatch(folder.name) is not None


class FolderError(OSError):
    """No model file can be written; the message is for the operator, and says why and what to do.

    ``num_bytes`` is how much there was to write, as far as that is known.
    """

    def __init__(self, folder: Path, reason: OSError, num_bytes: int = 0) -> None:
        super().__init__(
            f"no model file can be written in {folder}: {reason.strerror}; make room there and let this user "
            "write, or choose another folder with ML_MODEL_DIR"
        )
        self.num_bytes = num_bytes


def check(folder: Path, room: int = ROOM) -> None:
    """Make sure that a model file of ``room`` bytes can be written to a folder; make it where it is missing.

    Raises:
        FolderError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(b"A read-only disk would not take this.")
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, room)
    except OSError as error:
        raise FolderError(folder, error) from error


class Trial:
    """Checks a folder again and again, and waits for none that does not answer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread: threading.Thread | None = None
        self._found: FolderError | None = None

    def make(self, room: int, seconds: float) -> None:
        """As :func:`check`, but no longer than this. Raises FolderError."""
        if self._thread is None or not self._thread.is_alive():
            self._found = None
            self._thread = threading.Thread(target=self._check, args=[room], daemon=True, name="folder")
            self._thread.start()
        self._thread.join(seconds)
        if self._thread.is_alive():
            raise FolderError(self._folder, OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))
        if self._found is not None:
            raise self._found

    def _check(self, room: int) -> None:
        try:
            check(self._folder, room)
        except FolderError as error:
            self._found = error
