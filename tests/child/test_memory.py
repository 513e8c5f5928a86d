"""A job that cannot fit into memory is refused with the figures, before it is loaded."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.child import memory
from worker.errors import JobError, LackError

GB = 10**9


@pytest.fixture(autouse=True)
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of their own, and none that is left."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield
    for note in memory._notes:
        note.close()
    memory._notes.clear()


def machine(root: Path, free: int, files: dict[str, str]) -> Path:
    """The files that tell of a machine's memory."""
    files = {"proc/meminfo": f"MemTotal: 99999999 kB\nMemAvailable: {free // 1024} kB\n"} | {
        f"sys/fs/cgroup/{name}": text for name, text in files.items()
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


VERSION_2 = {
    "memory.max": f"{3 * GB}\n",
    "memory.current": f"{2 * GB}\n",
    "memory.stat": f"anon 5\ninactive_file {GB}\n",
}
VERSION_1 = {
    "memory/memory.limit_in_bytes": f"{3 * GB}\n",
    "memory/memory.usage_in_bytes": f"{2 * GB}\n",
    "memory/memory.stat": f"cache 5\ninactive_file 7\ntotal_inactive_file {GB}\n",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8192 * 1024),
        (VERSION_2 | {"memory.max": "max\n"}, 8192 * 1024),
        (VERSION_2, 8192 * 1024),
    ],
)
def test_without_a_lower_limit_it_is_what_the_machine_has_free(
    tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    assert memory.available(machine(tmp_path, expected, files)) == expected


@pytest.mark.parametrize("files", [VERSION_2, VERSION_1], ids=["version 2", "version 1"])
def test_in_a_container_it_is_what_its_limit_leaves_with_the_cache(
    tmp_path: Path, files: dict[str, str]
) -> None:
    assert memory.available(machine(tmp_path, 8 * GB, files)) == 2 * GB


def test_what_the_kernel_ended_for_want_of_memory_is_counted(tmp_path: Path) -> None:
    assert memory.oom_kills(tmp_path) == 0
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/vmstat").write_text("nr_free_pages 5\noom_kill 7\n")
    assert memory.oom_kills(tmp_path) == 7


def test_where_nothing_tells_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.available(tmp_path) is None
    monkeypatch.setattr(memory, "available", lambda: None)
    memory.require("TO_TRAIN", {"xgboost"}, 10**12, 100)


def test_a_job_that_cannot_fit_is_told_the_figures_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 3 * GB)
    monkeypatch.setattr(memory, "capacity", lambda: 3 * GB)
    memory.require("TO_TRAIN", {"xgboost"}, 20_000_000, 10)
    with pytest.raises(JobError) as caught:
        memory.require("TO_TRAIN", {"neural_network"}, 20_000_000, 10)
    for words in (
        "6.0 GB",
        "20000000 rows of 10 features",
        "machine has 3.0 GB",
        "shorter period",
        "xgboost (3.0 GB)",
    ):
        assert words in str(caught.value)
    with pytest.raises(JobError, match=r"machine has .* fewer features$"):
        memory.require("TO_PREDICT", {"xgboost", "gradient_boosting"}, 20_000_000, 10)


def test_folds_and_weights_take_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 3 * GB)
    monkeypatch.setattr(memory, "capacity", lambda: 3 * GB)
    memory.require("TO_TRAIN", {"xgboost"}, 18_000_000, 10)  # 2.7 GB
    for more, times in ((24, 1.0), (0, 1.2)):
        with pytest.raises(JobError, match=r"about 3\.[12] GB"):
            memory.require("TO_TRAIN", {"xgboost"}, 18_000_000, 10, more=more, times=times)


def test_a_job_that_fits_but_not_now_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 3 * GB)
    monkeypatch.setattr(memory, "capacity", lambda: 8 * GB)
    with pytest.raises(LackError, match=r"about 6.0 GB .* 3.0 GB are free .* now; it waits until") as caught:
        memory.require("TO_TRAIN", {"neural_network"}, 20_000_000, 10)
    unable = caught.value.unable
    assert (unable.lack, unable.num_bytes // GB) == ("memory", 6)


ANNOUNCED = """
import sys
from worker.child import memory
memory.available = memory.capacity = lambda: 8 * 10**9
memory.require("TO_TRAIN", {"neural_network"}, 20_000_000, 10)
print("ready", flush=True)
sys.stdin.read()
"""


def test_what_another_process_will_yet_take_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs 6 of 8 GB, of which it has taken nothing."""
    monkeypatch.setattr(memory, "available", lambda: 8 * GB)
    monkeypatch.setattr(memory, "capacity", lambda: 8 * GB)
    with subprocess.Popen(
        [sys.executable, "-c", ANNOUNCED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        assert 1 * GB < memory.free() < 3 * GB
        assert memory.free_later() >= 8 * GB  # once that has ended
        assert memory.has_others()
        with pytest.raises(LackError):
            memory.require("TO_TRAIN", {"xgboost"}, 20_000_000, 10)
        other.kill()
    assert memory.free() == 8 * GB
    assert not memory.has_others()


def test_a_disk_without_room_keeps_no_job_from_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes for other jobs are a help: where none can be left, a job asks for what is free."""

    def no_room() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", no_room)
    memory.require("TO_PREDICT", {"xgboost"}, 1000, 2)
    assert not memory.has_others()
