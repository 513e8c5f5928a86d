"""Model files: a scikit-learn pipeline in a joblib pickle, known by its SHA-256."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import joblib
from sklearn.pipeline import Pipeline

from worker.errors import JobError
from worker.model_folder import FolderError

_SUFFIXES = (".pkl", ".unfinished")


@dataclass(frozen=True)
class Artifact:
    """A model file as it was written."""

    path: Path
    sha256: str
    num_bytes: int


def path_of(folder: Path, model_id: int, attempt: int, token: str) -> Path:
    """File of an attempt at a model; the token keeps attempts of two databases with one folder apart."""
    return folder / f"model_{model_id}_attempt_{attempt}_{token}.pkl"


def write(model: Pipeline, path: Path) -> Artifact:
    """Write a model atomically: it is there whole and on disk, or not at all.

    Raises:
        FolderError: the folder cannot be written, or the disk is full.
    """
    unfinished = path.with_suffix(".unfinished")
    written = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("wb") as file:
                joblib.dump(model, file)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(path)
        except BaseException:
            written = unfinished.stat().st_size if unfinished.exists() else 0
            unfinished.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return Artifact(path, _sha256(path), path.stat().st_size)
    except OSError as error:
        raise FolderError(path.parent, error, written) from error


def read(recorded: str, sha256: str, folder: Path) -> Pipeline:
    """Read a model, after its SHA-256 was checked: an altered file is never unpickled.

    Args: as of :func:`check`.

    Raises:
        JobError: the file is missing, unreadable or altered, or holds no model that this worker can use.
    """
    path = check(recorded, sha256, folder)
    try:
        model = joblib.load(path)
        if not isinstance(model, Pipeline):
            raise TypeError(f"it holds a {type(model).__name__}")
    except (OSError, MemoryError):
        raise
    except Exception as error:  # unpickling raises whatever it likes
        raise JobError(
            f"the model file {path} is as it was recorded, but this worker's libraries cannot load a model "
            f"from it ({type(error).__name__}: {error}); train the model again"
        ) from error
    return model


def check(recorded: str, sha256: str, folder: Path) -> Path:
    """Find the file of a model, and see that it is as it was written.

    Args:
        recorded: path in the database.
        sha256: SHA-256 in the database.
        folder: folder of the model files here, where the worker that wrote it may have seen another path.

    Raises:
        JobError: the file is missing, unreadable or altered.
    """
    path = Path(recorded)
    if not os.path.exists(path):  # false where a folder on the way may not be entered, too
        path = folder / path.name
    try:
        found = _sha256(path)
    except FileNotFoundError as error:
        raise JobError(
            f"the model file {recorded} is missing; restore it, or train the model again"
        ) from error
    except OSError as error:
        raise JobError(
            f"the model file {path} cannot be read: {error.strerror}; "
            "let the worker's user read it, or train the model again"
        ) from error
    if found != sha256:
        raise JobError(
            f"the model file {path} was altered: its SHA-256 is {found}, recorded was {sha256}; "
            "restore it, or train the model again"
        )
    return path


def files_in(folder: Path) -> list[Path]:
    """Model files in a folder, also unfinished ones."""
    return sorted(path for path in folder.glob("model_*_attempt_*_*.*") if path.suffix in _SUFFIXES)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
