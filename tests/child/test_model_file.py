"""Model files: where they may be, what is opened, and that nothing in them is executed."""

import functools
import hashlib
import os
import pickle
import socket
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from worker.child import libraries, model_file, unpickling
from worker.child.assignment import Fewest, Model
from worker.child.labels import Label
from worker.errors import JobError

FEATURES = ("price_open", "volume_sol")
OWN = "database_0123456789abcdef"
OTHER = "database_fedcba9876543210"


@pytest.fixture
def pipeline() -> Pipeline:
    rows = np.array([[0.0, 5.0], [1.0, 3.0]], np.float32)
    return Pipeline([("model", LogisticRegression())]).fit(rows, [0, 1])


def known(path: Path | str, sha256: str, **others: Any) -> Model:
    """What the database knows of a model."""
    model = Model(
        id=7,
        model_type="logistic_regression",
        label=Label("market_cap_close", ">", "1", None),
        test_size=0.2,
        random_state=42,
        features=FEATURES,
        params={},
        fewest=Fewest(20, 2, 10),
        artifact_path=str(path),
        artifact_sha256=sha256,
        library_versions=libraries.to_csv(),
    )
    return replace(model, **others)


def recorded(path: Path, **others: Any) -> Model:
    """The same, of a file as it is now."""
    return known(path, hashlib.sha256(path.read_bytes()).hexdigest(), **others)


def no_copy() -> bytes | None:
    """What the database has of a file: nothing."""
    return None


def refused(model: Model, folder: Path) -> str:
    with pytest.raises(JobError) as caught:
        model_file.read(model, folder, no_copy)
    assert "train the model again" in str(caught.value)
    return str(caught.value)


def test_a_model_is_read_as_it_was_written(pipeline: Pipeline, tmp_path: Path) -> None:
    written = model_file.write(pipeline, FEATURES, tmp_path / OWN / "model_7_attempt_1_x.pkl")
    assert written.num_bytes == written.path.stat().st_size
    read = model_file.read(known(written.path, written.sha256), tmp_path / OWN, no_copy)
    rows = np.array([[5.0, 1.0]], np.float32)
    assert np.array_equal(read.pipeline.predict_proba(rows), pipeline.predict_proba(rows))
    assert read.made_by == {}


def test_a_file_of_the_time_before_databases_had_folders_is_read(pipeline: Pipeline, tmp_path: Path) -> None:
    """It lies beside the folders, and knows no names."""
    path = tmp_path / "model_7_attempt_1_x.pkl"
    joblib.dump(pipeline, path)
    read = model_file.read(recorded(path), tmp_path / OWN, no_copy)
    assert isinstance(read.pipeline[-1], LogisticRegression)


@pytest.mark.parametrize("place", [OWN, OTHER, "."])
@pytest.mark.parametrize("writer", ["", f"{OTHER}/", f"{'x' * 300}/"])
def test_a_file_that_was_moved_with_its_folder_is_found(
    pipeline: Pipeline, tmp_path: Path, place: str, writer: str
) -> None:
    """Another worker, or the database that this one was restored from, may have seen another path."""
    written = model_file.write(pipeline, FEATURES, tmp_path / place / "model_7_attempt_1_x.pkl")
    model = known(f"/elsewhere/{writer}model_7_attempt_1_x.pkl", written.sha256)
    if place == OTHER and writer != f"{OTHER}/":
        assert "is missing" in refused(model, tmp_path / OWN)
    else:
        assert model_file.read(model, tmp_path / OWN, no_copy)


# ── What is opened ──────────────────────────────────────────────────────────────────────────────────


def make_pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def make_link(path: Path, original: Path) -> None:
    path.symlink_to(original)


def make_folder(path: Path, _: Path) -> None:
    path.mkdir()


def make_socket(path: Path, _: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(path.parent, os.O_RDONLY)
        try:
            listener.bind(f"/proc/self/fd/{here}/{path.name}")  # a path of a socket must be short
        finally:
            os.close(here)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (make_pipe, "a pipe"),
        (make_link, "a symbolic link"),
        (make_folder, "a folder"),
        (make_socket, "a socket"),
    ],
)
def test_only_a_regular_file_is_opened(
    pipeline: Pipeline, tmp_path: Path, make: Callable[[Path, Path], None], says: str
) -> None:
    good = model_file.write(pipeline, FEATURES, tmp_path / "elsewhere" / "good.pkl")
    path = tmp_path / OWN / "model_7_attempt_1_x.pkl"
    path.parent.mkdir()
    make(path, good.path)
    assert f"it is {says}, not a file" in refused(known(path, good.sha256), tmp_path / OWN)


def test_a_device_is_not_opened(tmp_path: Path) -> None:
    says = refused(known("/dev/zero", "0" * 64), Path("/dev"))
    assert "it is a device, not a file" in says


@pytest.mark.parametrize(
    "recorded_path", ["{outside}", "{own}/../secret", "../secret", "/", "..", "", "{own}/"]
)
def test_a_file_outside_the_folder_is_not_opened(
    pipeline: Pipeline, tmp_path: Path, recorded_path: str
) -> None:
    folder = tmp_path / "models" / OWN
    folder.mkdir(parents=True)
    outside = model_file.write(pipeline, FEATURES, tmp_path / "secret")
    path = recorded_path.format(outside=outside.path, own=folder)
    says = refused(known(path, outside.sha256), folder)
    assert "is missing in" in says or "a folder, not a file" in says


def test_a_folder_of_a_database_that_is_a_link_is_not_entered(pipeline: Pipeline, tmp_path: Path) -> None:
    outside = model_file.write(pipeline, FEATURES, tmp_path / "outside" / "model_7_attempt_1_x.pkl")
    (tmp_path / "models").mkdir()
    for name in (OWN, OTHER):
        (tmp_path / "models" / name).symlink_to(outside.path.parent)
        path = tmp_path / "models" / name / outside.path.name
        refused(known(path, outside.sha256), tmp_path / "models" / OWN)


def test_no_hash_that_was_found_is_told(pipeline: Pipeline, tmp_path: Path) -> None:
    written = model_file.write(pipeline, FEATURES, tmp_path / "model.pkl")
    says = refused(known(written.path, "0" * 64), tmp_path)
    assert "was altered" in says
    assert written.sha256 not in says
    assert "0" * 64 not in says
    with pytest.raises(JobError) as caught:
        model_file.check(str(written.path), 7, "0" * 64, tmp_path)
    assert written.sha256 not in str(caught.value)


def test_a_file_is_hashed_and_read_through_one_descriptor(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever takes its name after the hash was taken is not read."""
    written = model_file.write(pipeline, FEATURES, tmp_path / "model.pkl")
    take = model_file._sha256

    def take_and_swap(file: Any) -> str:
        found = take(file)
        written.path.unlink()
        written.path.write_bytes(b"another")
        return found

    monkeypatch.setattr(model_file, "_sha256", take_and_swap)
    assert model_file.read(known(written.path, written.sha256), tmp_path, no_copy)


def test_a_disk_that_does_not_answer_is_given_up_for_another_attempt(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = model_file.write(pipeline, FEATURES, tmp_path / "model.pkl")
    monkeypatch.setattr(model_file, "READ_SECONDS", 0.1)
    monkeypatch.setattr(model_file, "_sha256", lambda _file: time.sleep(60))
    with pytest.raises(TimeoutError):
        model_file.read(known(written.path, written.sha256), tmp_path, no_copy)


def test_a_file_that_takes_too_long_to_read_fails_the_job(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = model_file.write(pipeline, FEATURES, tmp_path / "model.pkl")
    monkeypatch.setattr(model_file, "READ_SECONDS", 0.1)
    monkeypatch.setattr(unpickling, "load", lambda *_: time.sleep(60))
    assert "took more than" in refused(known(written.path, written.sha256), tmp_path)


def test_a_sparse_giant_is_not_even_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pkl"
    with path.open("wb") as file:
        file.truncate(model_file.MOST_BYTES + 1)
    monkeypatch.setattr(model_file, "_sha256", lambda _file: pytest.fail("it was read"))
    assert "more than the" in refused(known(path, "0" * 64), tmp_path)


def test_the_file_of_another_model_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    written = model_file.write(pipeline, FEATURES, tmp_path / "model_8_attempt_1_x.pkl")
    assert "is that of model 8, not 7" in refused(known(written.path, written.sha256), tmp_path)


# ── What is in it ───────────────────────────────────────────────────────────────────────────────────


class Trap:
    """Unpickling this makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.path),))


def trap_in_a_step(tmp_path: Path) -> bytes:
    return dumped(Pipeline([("model", Trap(tmp_path / "sprung"))]), tmp_path)


def trap_in_an_array(tmp_path: Path) -> bytes:
    """The objects of an array are a pickle in the pickle."""
    return dumped(np.array([Trap(tmp_path / "sprung")], dtype=object), tmp_path)


def trap_in_a_call(tmp_path: Path) -> bytes:
    return dumped(functools.partial(os.mkdir, str(tmp_path / "sprung")), tmp_path)


def dumped(content: object, tmp_path: Path) -> bytes:
    path = tmp_path / "dumped"
    joblib.dump(content, path)
    return path.read_bytes()


@pytest.mark.parametrize("make", [trap_in_a_step, trap_in_an_array, trap_in_a_call])
@pytest.mark.parametrize("model_type", ["logistic_regression", "random_forest", "xgboost"])
def test_nothing_in_a_file_is_executed(
    tmp_path: Path, make: Callable[[Path], bytes], model_type: str
) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(make(tmp_path))
    joblib.load(path)  # as anything else than this worker would: the trap works
    (tmp_path / "sprung").rmdir() if (tmp_path / "sprung").exists() else None
    refused(recorded(path, model_type=model_type), tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_an_altered_file_is_not_even_unpickled(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = model_file.write(pipeline, FEATURES, tmp_path / "model.pkl")
    joblib.dump(Trap(tmp_path / "sprung"), written.path)
    monkeypatch.setattr(unpickling, "load", lambda *_: pytest.fail("it was unpickled"))
    assert "altered" in refused(known(written.path, written.sha256), tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "EOFError"),
        (b"\x00 no pickle", "no model's pickle"),
        (pickle.dumps({"a": 1}), "it holds a dict"),
        (pickle.dumps(Pipeline([])), "AttributeError|IndexError|ValueError"),
        (pickle.dumps(Pipeline([("model", LogisticRegression())])), "NotFittedError|AttributeError"),
        (b"cno_such_library\nModel\n.", "no_such_library"),
        (zlib.compress(b"0" * 10_000_000), "no model's pickle"),  # a bomb to who inflates it
    ],
    ids=["empty", "no pickle", "no model", "no steps", "unfitted", "an unknown library", "compressed"],
)
def test_a_file_as_recorded_that_holds_no_usable_model_says_what_to_do(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(JobError, match=says) as caught:
        model_file.read(recorded(path), tmp_path, no_copy)
    assert str(path) in str(caught.value)
    assert "train the model again" in str(caught.value)


def test_a_file_that_ends_too_early_anywhere_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    written = model_file.write(pipeline, FEATURES, tmp_path / "model.pkl")
    content = written.path.read_bytes()
    for length in range(0, len(content), 7):
        written.path.write_bytes(content[:length])
        refused(recorded(written.path), tmp_path)
    written.path.write_bytes(content + b".")
    assert "more behind its end" in refused(recorded(written.path), tmp_path)


@pytest.mark.parametrize(
    ("others", "says"),
    [
        ({"features": ("price_open",)}, "2 features, not 1"),
        ({"features": (*FEATURES, "price_low")}, "2 features, not 3"),
        ({"features": FEATURES[::-1]}, "other features than volume_sol, price_open"),
        ({"features": ("price_open", "price_low")}, "other features"),
        ({"model_type": "xgboost"}, "LogisticRegression, which no model of its type needs"),
    ],
    ids=["fewer", "more", "swapped", "others", "another type"],
)
def test_a_file_of_another_kind_of_model_is_refused(
    pipeline: Pipeline, tmp_path: Path, others: dict[str, Any], says: str
) -> None:
    written = model_file.write(pipeline, FEATURES, tmp_path / "model.pkl")
    assert says in refused(known(written.path, written.sha256, **others), tmp_path)


def test_a_file_that_others_libraries_wrote_and_these_cannot_read_says_which(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"a": 1}))
    says = refused(recorded(path, library_versions="python=3.9.1;scikit-learn=0.22;xgboost=0.9"), tmp_path)
    assert "it was made by scikit-learn 0.22, xgboost 0.9, and this worker has scikit-learn " in says
    assert "run a worker that has these, or train the model again" in says


def test_a_file_tells_the_version_that_wrote_it(pipeline: Pipeline, tmp_path: Path) -> None:
    version = libraries.versions()["scikit-learn"].encode()
    path = tmp_path / "model.pkl"
    joblib.dump(pipeline, path)
    path.write_bytes(path.read_bytes().replace(version, b"0" * len(version)))
    assert model_file.read(recorded(path), tmp_path, no_copy).made_by == {"scikit-learn": "0" * len(version)}


# ── Writing ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"/gone/model\.pkl is missing"):
        model_file.read(known("/gone/model.pkl", "0" * 64), tmp_path, no_copy)


def test_a_write_that_fails_leaves_nothing(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        model_file.write(pipeline, FEATURES, tmp_path / "model.pkl")
    assert list(tmp_path.iterdir()) == []


def test_no_two_attempts_share_a_file_even_of_copies_of_a_database(tmp_path: Path) -> None:
    attempts = [(7, 1, "a"), (7, 2, "a"), (8, 1, "a"), (7, 1, "b")]
    assert len({model_file.path_of(tmp_path, *attempt) for attempt in attempts}) == len(attempts)


# ── What the database has a copy of ─────────────────────────────────────────────────────────────────


def remove(path: Path) -> None:
    path.unlink()


def alter(path: Path) -> None:
    path.write_bytes(b"altered")


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize("harm", [remove, alter, replace_by_pipe, replace_by_link])
def test_a_damaged_file_is_taken_from_the_database_and_written_again(
    pipeline: Pipeline, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    written = model_file.write(pipeline, FEATURES, tmp_path / OWN / "model_7_attempt_1_x.pkl")
    content = written.path.read_bytes()
    harm(written.path)
    model = known(written.path, written.sha256)
    read = model_file.read(model, tmp_path / OWN, lambda: content)
    rows = np.array([[5.0, 1.0]], np.float32)
    assert np.array_equal(read.pipeline.predict_proba(rows), pipeline.predict_proba(rows))
    assert not written.path.is_symlink()
    assert written.path.read_bytes() == content
    assert model_file.read(model, tmp_path / OWN, no_copy)


def test_a_folder_that_cannot_be_written_keeps_nobody_from_the_copy(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    written = model_file.write(pipeline, FEATURES, tmp_path / "model_7_attempt_1_x.pkl")
    content = written.path.read_bytes()
    (tmp_path / "no_folder").write_text("a file")
    assert model_file.read(
        known("/gone/" + written.path.name, written.sha256), tmp_path / "no_folder", lambda: content
    )


@pytest.mark.parametrize("copy", [b"", b"another"])
def test_a_copy_that_is_another_file_is_not_used(pipeline: Pipeline, tmp_path: Path, copy: bytes) -> None:
    written = model_file.write(pipeline, FEATURES, tmp_path / "model_7_attempt_1_x.pkl")
    written.path.unlink()
    with pytest.raises(JobError, match="is missing"):
        model_file.read(known(written.path, written.sha256), tmp_path, lambda: copy)


@pytest.mark.parametrize("name", ["model_8_attempt_1_x.pkl", ".bashrc", "model_7_attempt_1_x", ".."])
def test_no_other_file_is_overwritten(tmp_path: Path, name: str) -> None:
    """A worker's login may have recorded any path."""
    with pytest.raises(JobError):
        model_file.restore(b"content", f"/somewhere/{name}", 7, tmp_path / OWN)
    assert not (tmp_path / OWN).exists()
