"""Model files."""

import hashlib
import os
import pickle
from pathlib import Path

import joblib
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from worker.child import model_file
from worker.errors import JobError


@pytest.fixture
def model() -> Pipeline:
    return Pipeline([("model", LogisticRegression())]).fit([[0.0], [1.0]], [0, 1])


def test_a_model_is_read_as_it_was_written(model: Pipeline, tmp_path: Path) -> None:
    written = model_file.write(model, tmp_path / "new" / "model.pkl")
    assert written.num_bytes == written.path.stat().st_size
    read = model_file.read(str(written.path), written.sha256, tmp_path)
    assert read.predict([[5.0]]) == model.predict([[5.0]])


def test_a_file_that_was_moved_with_its_folder_is_found(model: Pipeline, tmp_path: Path) -> None:
    written = model_file.write(model, tmp_path / "model.pkl")
    assert model_file.read("/elsewhere/model.pkl", written.sha256, tmp_path)


class Trap:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.path),))


def test_an_altered_file_is_refused_before_it_is_unpickled(model: Pipeline, tmp_path: Path) -> None:
    written = model_file.write(model, tmp_path / "model.pkl")
    joblib.dump(Trap(tmp_path / "sprung"), written.path)
    with pytest.raises(JobError, match="altered"):
        model_file.read(str(written.path), written.sha256, tmp_path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "EOFError"),
        (b"\x00 no pickle", "KeyError"),
        (pickle.dumps({"a": 1}), "it holds a dict"),
        (b"cno_such_library\nModel\n.", "no_such_library"),
    ],
    ids=["empty", "no pickle", "no model", "of a library that is not here"],
)
def test_a_file_as_recorded_that_holds_no_usable_model_says_what_to_do(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(content)
    with pytest.raises(JobError, match=says) as caught:
        model_file.read(str(path), hashlib.sha256(content).hexdigest(), tmp_path)
    assert str(path) in str(caught.value)
    assert "train the model again" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"/gone/model\.pkl is missing"):
        model_file.read("/gone/model.pkl", "0" * 64, tmp_path)


def test_a_write_that_fails_leaves_nothing(
    model: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        model_file.write(model, tmp_path / "model.pkl")
    assert list(tmp_path.iterdir()) == []


def test_no_two_attempts_share_a_file_even_of_two_databases(tmp_path: Path) -> None:
    attempts = [(7, 1, "a"), (7, 2, "a"), (8, 1, "a"), (7, 1, "b")]
    assert len({model_file.path_of(tmp_path, *attempt) for attempt in attempts}) == len(attempts)


def test_a_file_is_found_in_the_folder_where_its_recorded_path_cannot_even_be_looked_at(
    model: Pipeline, tmp_path: Path
) -> None:
    written = model_file.write(model, tmp_path / "model.pkl")
    assert model_file.read(f"/{'x' * 300}/model.pkl", written.sha256, tmp_path)
