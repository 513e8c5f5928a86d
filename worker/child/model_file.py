"""Model files: a scikit-learn pipeline in a joblib pickle, known by its SHA-256.

Whoever may record a training may record any path. So only a regular file in the folder of the models is
opened, under its own name; it is hashed and read through one descriptor, by :mod:`worker.child.unpickling`;
and no message tells a hash that was found.

A file that is missing or damaged is taken from the database, where it has one, and written again.

In a file two steps stand before those that were fitted: the first knows the features by name, refuses
columns that are others or in another order, and turns whatever is a number into one; the second makes the
same float32 of them that the worker reads. The worker, which knows its columns, leaves both out.
"""

import hashlib
import io
import logging
import os
import re
import secrets
import signal
import stat
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import joblib
import numpy as np
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from worker.child import libraries, memory, models, unpickling
from worker.child.assignment import Model
from worker.errors import JobError
from worker.model_folder import FolderError, is_of_database

log = logging.getLogger("ml-worker.child")

Fetch = Callable[[], bytes | None]
MOST_BYTES = 16 << 30
READ_SECONDS = 300.0  # to hash a file, and to make a model of it, each
_NAME = re.compile(r"model_(\d+)_attempt_")
_SUFFIXES = (".pkl", ".unfinished")
_COLUMNS, _FLOAT32 = "columns", "float32"
_RESTORE = "restore it, or train the model again"
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class DamagedError(JobError):
    """The file of a model is missing, unreadable or altered."""


@dataclass(frozen=True)
class Artifact:
    """A model file as it was written."""

    path: Path
    sha256: str
    num_bytes: int


@dataclass(frozen=True)
class Read:
    """A model that was read, and the versions of libraries that its own file names, where they are others."""

    pipeline: Pipeline
    made_by: dict[str, str]


def path_of(folder: Path, model_id: int, attempt: int, token: str) -> Path:
    """File of an attempt at a model; the token keeps attempts of copies of a database apart."""
    return folder / f"model_{model_id}_attempt_{attempt}_{token}.pkl"


def write(model: Pipeline, features: Sequence[str], path: Path) -> Artifact:
    """Write a model atomically: it is there whole and on disk, or not at all.

    Args:
        model: fitted on these features, in their order.
        features: their names.
        path: the file.

    Raises:
        FolderError: the folder cannot be written, or the disk is full.
    """
    columns = StandardScaler(copy=False, with_mean=False, with_std=False)  # which changes nothing
    columns.fit(np.zeros((1, len(features)), np.float32))
    columns.feature_names_in_ = np.array(features)
    whole = Pipeline([(_COLUMNS, columns), (_FLOAT32, FunctionTransformer(np.float32)), *model.steps])
    unfinished = path.with_suffix(".unfinished")
    written = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("wb") as file:
                joblib.dump(whole, file)
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
        with path.open("rb") as file:
            return Artifact(path, _sha256(file), os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise FolderError(path.parent, error, written) from error


def read(model: Model, folder: Path, fetch: Fetch) -> Read:
    """Read a model, after its SHA-256 was checked. Nothing in the file is executed.

    Args:
        model: what the database knows of it.
        folder: folder of the model files of this database here, where the worker that wrote it may have seen
            another path.
        fetch: gives the database's copy of the file, if there is one; asked only where the file is damaged.

    Raises:
        JobError: the file is missing, unreadable or altered, and the database has no copy; or it holds no
            model that this worker can use.
        TimeoutError: the disk does not give it in time, and the database has no copy.
    """
    assert model.artifact_path is not None  # noqa: S101  # as of every READY model
    assert model.artifact_sha256 is not None  # noqa: S101
    try:
        with _opened(model.artifact_path, model.id, folder) as (file, path):
            _require_hash(file, path, model.artifact_sha256)
            file.seek(0)
            return _load(model, file, os.fstat(file.fileno()).st_size, path)
    except (DamagedError, TimeoutError) as error:
        content = fetch()
        if content is None or hashlib.sha256(content).hexdigest() != model.artifact_sha256:
            raise
        log.warning("model=%s taken from the database: %s", model.id, error)
        with suppress(OSError, JobError):  # it can be read all the same
            restore(content, model.artifact_path, model.id, folder)
        return _load(model, io.BytesIO(content), len(content), Path(model.artifact_path))


def restore(content: bytes, recorded: str, model_id: int, folder: Path) -> Path:
    """Write the file of a model again, from the database's copy, in place of whatever has its name.

    Args:
        content: of the file.
        recorded: path in the database; its last part is the file's name.
        model_id: of its model.
        folder: folder of the model files of this database.

    Raises:
        JobError: the recorded name is not that of a file of this model.
        OSError: the folder cannot be written.
    """
    name = Path(recorded).name
    if re.fullmatch(rf"model_{model_id}_attempt_\d+_\w+\.pkl", name) is None:
        raise JobError(f"{name} is no name for the file of model {model_id}")
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{name.removesuffix('.pkl')}_{secrets.token_hex(4)}.unfinished"
    try:
        with unfinished.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(folder / name)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return folder / name


def _load(model: Model, file: io.BufferedIOBase, size: int, path: Path) -> Read:
    free = memory.available()
    if free is not None and size > free:
        raise JobError(
            f"the model file {path} has {size} bytes, and {free} bytes of memory are free on the "
            "worker's machine; use a machine that has more, or train a smaller model"
        )
    names = models.load(model.model_type).NAMES
    try:
        with _interrupted_after(READ_SECONDS), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            until = time.monotonic() + READ_SECONDS
            found = unpickling.load(file, size, names, len(model.features), until)
            pipeline = _checked(found, model.features)
    except (JobError, MemoryError):
        raise
    except Exception as error:  # unpickling raises whatever it likes
        made_by = libraries.differences(model.library_versions)
        raise JobError(
            f"the model file {path} is as it was recorded, but this worker's libraries cannot load "
            f"a model from it ({type(error).__name__}: {str(error)[:300]}); "
            + (f"{libraries.told(made_by)}; run a worker that has these, or " if made_by else "")
            + "train the model again"
        ) from error
    said = [warning.message for warning in caught]
    versions = [w.original_sklearn_version for w in said if isinstance(w, InconsistentVersionWarning)]
    return Read(pipeline, {"scikit-learn": versions[0]} if versions else {})


def content(recorded: str, model_id: int, sha256: str, folder: Path) -> bytes:
    """The bytes of a model's file, after :func:`check`."""
    with _opened(recorded, model_id, folder) as (file, path):
        _require_hash(file, path, sha256)
        file.seek(0)
        return file.read()


def check(recorded: str, model_id: int, sha256: str, folder: Path) -> None:
    """See that the file of a model is as it was written.

    Args:
        recorded: path in the database.
        model_id: of its model.
        sha256: SHA-256 in the database.
        folder: as of :func:`read`.

    Raises:
        DamagedError: the file is missing, unreadable or altered.
        TimeoutError: the disk does not give it in time.
    """
    with _opened(recorded, model_id, folder) as (file, path):
        _require_hash(file, path, sha256)


def files_in(folder: Path) -> list[Path]:
    """Model files in a folder, also unfinished ones."""
    return sorted(path for path in folder.glob("model_*_attempt_*_*.*") if path.suffix in _SUFFIXES)


def _checked(found: object, features: Sequence[str]) -> Pipeline:
    """A pipeline that gives two probabilities from these features, without what a file has before it.

    Raises:
        Exception: it is none.
    """
    if not isinstance(found, Pipeline):
        raise TypeError(f"it holds a {type(found).__name__}")
    if found.n_features_in_ != len(features):
        raise ValueError(f"it holds a model of {found.n_features_in_} features, not {len(features)}")
    steps = list(found.steps)
    if steps[0][0] == _COLUMNS:  # else it is of the time before version 6
        if list(steps[0][1].feature_names_in_) != list(features):
            raise ValueError(f"it holds a model of other features than {', '.join(features)}"[:300])
        steps = steps[2:]
    pipeline = Pipeline(steps)
    if hasattr(pipeline[-1], "n_jobs"):
        pipeline[-1].n_jobs = 1  # as many threads as a file may ask for are nobody's wish
    tried = pipeline.predict_proba(np.zeros((2, len(features)), np.float32))
    if np.shape(tried) != (2, 2) or not np.all((tried > -0.01) & (tried < 1.01)):
        raise ValueError("it holds a model that gives no probabilities")
    return pipeline


@contextmanager
def _opened(recorded: str, model_id: int, folder: Path) -> Iterator[tuple[io.BufferedIOBase, Path]]:
    """Open the file of a model, a regular one, by its own name in one of the folders that it may be in."""
    name = Path(recorded).name
    path = _place(Path(recorded), folder)
    try:
        other = _NAME.match(name)
        if other is not None and int(other[1]) != model_id:
            raise DamagedError(
                f"the model file {path} is that of model {other[1]}, not {model_id}; {_RESTORE}"
            )
        within = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _require_file(os.stat(name, dir_fd=within, follow_symlinks=False), path)
            # It may have become something else since; no open of whatever it is now waits or follows.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            file = os.fdopen(os.open(name, flags, dir_fd=within), "rb")
        finally:
            os.close(within)
        with file:
            _require_file(os.fstat(file.fileno()), path)
            yield file, path
    except FileNotFoundError as error:
        raise DamagedError(f"the model file {recorded} is missing in {path.parent}; {_RESTORE}") from error
    except TimeoutError:
        raise
    except OSError as error:
        raise DamagedError(
            f"the model file {path} cannot be read: {error.strerror}; "
            "let the worker's user read it, or train the model again"
        ) from error


def _place(recorded: Path, folder: Path) -> Path:
    """Where the file of a model is here: in the folder that it was written to, else in this one or above it.

    Of a recorded path no more counts than the file's name, and that of the folder of a database.
    """
    root = folder.parent if is_of_database(folder) else folder
    written_to = [root / recorded.parent.name] if is_of_database(recorded.parent) else []
    for place in [*written_to, folder, root]:
        with suppress(OSError):
            if recorded.name not in ("", ".", "..") and not place.is_symlink():
                os.lstat(place / recorded.name)
                return place / recorded.name
    return folder / recorded.name


def _require_file(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise DamagedError(f"the model file {path} cannot be read: it is {kind}, not a file; {_RESTORE}")
    if found.st_size > MOST_BYTES:
        raise DamagedError(
            f"the model file {path} has {found.st_size} bytes, more than the {MOST_BYTES} that are read; "
            f"{_RESTORE}"
        )


def _require_hash(file: io.BufferedIOBase, path: Path, sha256: str) -> None:
    with _interrupted_after(READ_SECONDS):
        found = _sha256(file)
    if found != sha256:
        raise DamagedError(
            f"the model file {path} was altered: its SHA-256 is not the recorded one; {_RESTORE}"
        )


def _sha256(file: io.BufferedIOBase) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the main thread, which is the only one that can be interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"reading a model file took more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
