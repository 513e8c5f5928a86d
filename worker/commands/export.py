"""Writes the file of a model to where a user wants it."""

import hashlib
import os
import sys
from pathlib import Path

from worker.database import model_files
from worker.database.connection import connect
from worker.errors import ExportError


def export(url: str, model: str, file: Path | None) -> tuple[Path, int, float]:
    """Write the file of a model from the database's copy.

    Args:
        url: database, with a login that may read the model.
        model: its name or id.
        file: where to; None for model_ID.pkl in this folder, ``-`` for standard output.

    Returns:
        Where it was written, the number of bytes, and the threshold above which the model says yes.

    Raises:
        ExportError: there is no such model, the database has no copy of its file, or the file exists.
    """
    with connect(url) as connection:
        found = model_files.find(connection, model)
        if found is None:
            raise ExportError(f"there is no READY model {model}; ml_leaderboard lists those that there are")
        content = model_files.fetch(connection, found.model_id)
    if content is None:
        raise ExportError(
            f"the database has no copy of the file of model {found.model_id} ({found.name}); a worker wrote "
            f"it to {found.path}, {found.num_bytes:,} bytes. On that machine ml-worker verify stores it in "
            "the database, up to ml_settings.max_stored_model_bytes"
        )
    if hashlib.sha256(content).hexdigest() != found.sha256:
        raise ExportError(f"the database's copy of the file of model {found.model_id} is damaged")
    if file == Path("-"):
        sys.stdout.buffer.write(content)
        return file, len(content), found.threshold
    path = file or Path(f"model_{found.model_id}.pkl")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        raise ExportError(f"{path} exists already; remove it, or name another file") from None
    with os.fdopen(descriptor, "wb") as target:
        target.write(content)
    return path, len(content), found.threshold
