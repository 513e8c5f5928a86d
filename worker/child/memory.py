"""Whether a job fits into memory: told before its rows are loaded, not by the kernel that kills it."""

from pathlib import Path
from typing import Literal

from worker.child import models
from worker.errors import JobError

# Of the constants of a model type: bytes at the peak, with a tenth to spare, as measured with 400,000 rows of
# 2 and of 20 features.
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


def require(needs: Needs, model_types: set[str], rows: int, num_features: int) -> None:
    """Refuse a job that cannot fit.

    Args:
        needs: what its models do.
        model_types: their types.
        rows: about how many rows it will load.
        num_features: how many features of each.

    Raises:
        JobError: it needs more memory than is free here.
    """
    free = available()
    need = max(_bytes(needs, model_type, rows, num_features) for model_type in model_types)
    if free is None or need <= free:
        return
    other = ""
    if needs == "TO_TRAIN":
        least, frugal = min((_bytes(needs, name, rows, num_features), name) for name in models.names())
        if least < need:
            other = f", or the model type {frugal} ({_gigabytes(least)})"
    raise JobError(
        f"this job needs about {_gigabytes(need)} of memory for about {rows} rows of {num_features} "
        f"features, and {_gigabytes(free)} are free on the worker's machine; "
        f"choose a shorter period, fewer phases or fewer features{other}"
    )


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
