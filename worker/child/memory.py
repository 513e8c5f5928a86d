"""Whether a job fits into memory: told before its rows are loaded, not by the kernel that kills it.

Jobs that run at once on this machine, of whichever worker, tell each other what they will take: each has a
note in a folder, which it keeps locked as long as it lives.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Literal

from worker.child import models
from worker.errors import JobError, LackError

_WORTH_A_NOTE = 1 << 25  # bytes; less is not worth one
_notes: list[IO[str]] = []  # of this process, which keep their locks

# Of the constants of a model type: bytes at the peak, with a tenth to spare, as measured with 400,000 rows of
# 2 and of 20 features. What a job that predicts takes for each row is what 1,000,000 rows more of 10 features
# add for xgboost and random_forest; the evidence, which is most of it, is the same for the other types.
Needs = Literal["TO_TRAIN", "TO_PREDICT"]


_CGROUPS = (  # version 2 and 1: limit, usage, statistics, and the part of them that the kernel can take back
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)


def require(
    needs: Needs,
    model_types: set[str],
    rows: int,
    num_features: int,
    label_bytes: int = 0,
    *,
    more: int = 0,
    times: float = 1.0,
    taken: int = 0,
) -> None:
    """See that a job fits, and tell other jobs what it will take.

    Args:
        needs: what its models do.
        model_types: their types.
        rows: about how many rows it will load.
        num_features: how many features of each.
        label_bytes: what reading the labels takes for each row, before anything is fitted.
        more: what a row takes beside what its model does.
        times: how many times as many rows are fitted at once as usual.
        taken: bytes that the job has already, where it asks for the second time.

    Raises:
        JobError: it needs more memory than this machine has.
        LackError: it needs more than is free now.
    """
    if available() is None:
        return
    to_load = rows * (4 * (num_features + 2) + 16 + label_bytes)
    to_use = max(_bytes(needs, model_type, rows, num_features) for model_type in model_types)
    need = int(max(to_load, times * to_use + rows * more))
    words = (
        f"this job needs about {_gigabytes(need)} of memory for about {rows} rows of {num_features} "
        "features, and"
    )
    if need > (most := capacity()):
        other = ""
        if needs == "TO_TRAIN":
            least, frugal = min((_bytes(needs, name, rows, num_features), name) for name in models.names())
            if least < need:
                other = f", or the model type {frugal} ({_gigabytes(least)})"
        raise JobError(
            f"{words} the worker's machine has {_gigabytes(most)}; "
            f"choose a shorter period, fewer phases or fewer features{other}"
        )
    with _alone():
        _take_notes_back()
        if need - taken > (left := free()):
            raise LackError(
                "memory",
                f"{words} {_gigabytes(max(0, left))} are free on the worker's machine now; "
                "it waits until there is more",
                need,
            )
        if need - taken >= _WORTH_A_NOTE:
            _leave_note(need - taken)


def resident() -> int:
    """Bytes that this process has; 0 where there is no Linux."""
    try:
        return _resident(os.getpid())
    except OSError:
        return 0


def free() -> float:
    """Bytes that a job can have which begins now: what is free, but for what others will yet take."""
    found = available()
    return float("inf") if found is None else found - _promised()


def free_later() -> float:
    """Bytes that a job can have once the others that run now have ended."""
    found = available()
    return float("inf") if found is None else found + _promised(all_of_it=True) - _promised()


def capacity(root: Path = Path("/")) -> float:
    """Bytes that a job could have here if nothing else ran."""
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
    except OSError:
        return float("inf")
    most = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemTotal:"))
    for limit, *_ in _CGROUPS:
        with suppress(OSError, ValueError):  # no such version, or "max"
            most = min(most, int((root / "sys/fs/cgroup" / limit).read_text()))
    return most


def oom_kills(root: Path = Path("/")) -> int:
    """How often the kernel has ended a process of this machine for want of memory."""
    try:
        lines = (root / "proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def has_others() -> bool:
    """Whether another job that runs on this machine has left a note."""
    with _alone():
        return _promised(all_of_it=True) > sum(_need(note) for note in _notes)


def _folder() -> Path | None:
    """Folder of the notes; None where somebody else has it, or no disk has room."""
    try:
        folder = Path(tempfile.gettempdir()) / f"ml-worker-memory-{os.geteuid()}"  # which it tries by a write
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    return folder if found.st_uid == os.geteuid() and not folder.is_symlink() else None


@contextmanager
def _alone() -> Iterator[None]:
    """Two jobs do not look at the same free memory at once."""
    folder, file = _folder(), None
    with suppress(OSError):
        file = (folder / "lock").open("w") if folder else None
    if file is None:
        yield
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _take_notes_back() -> None:
    for note in _notes:
        note.close()
    _notes.clear()


def _leave_note(need: int) -> None:
    folder = _folder()
    if folder is None:
        return
    with suppress(OSError):
        note = (folder / f"{os.getpid()}.note").open("w+")
        fcntl.flock(note, fcntl.LOCK_EX)
        note.write(f"{os.getpid()} {need} {_resident(os.getpid())}")
        note.flush()
        _notes.append(note)


def _promised(*, all_of_it: bool = False) -> int:
    """Bytes that jobs have told of and not taken yet, or all that they have told of."""
    folder = _folder()
    total = 0
    for path in folder.glob("*.note") if folder else ():
        with suppress(OSError, ValueError), path.open("r+") as note:
            try:
                fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid, need, before = map(int, note.read().split())
                total += need if all_of_it else max(0, need - (_resident(pid) - before))
            else:
                path.unlink()  # its process has ended
    return total


def _need(note: IO[str]) -> int:
    note.seek(0)
    return int(note.read().split()[1])


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def available(root: Path = Path("/")) -> int | None:
    """Bytes that can still be had here, within the limit of a container; None where there is no Linux."""
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    free = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    for names in _CGROUPS:
        limit, used, statistics = (root / "sys/fs/cgroup" / name for name in names[:3])
        try:
            kept = dict(line.split() for line in statistics.read_text().splitlines())
            free = min(free, int(limit.read_text()) - int(used.read_text()) + int(kept[names[3]]))
        except (OSError, ValueError, KeyError):  # no such version, or "max"
            continue
    return free


def _bytes(needs: Needs, model_type: str, rows: int, num_features: int) -> float:
    module = models.load(model_type)
    value, row = module.TO_TRAIN if needs == "TO_TRAIN" else module.TO_PREDICT
    return rows * (value * num_features + row)


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
