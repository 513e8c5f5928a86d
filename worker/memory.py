"""Whether a job fits into memory: told before its rows are loaded, not by the kernel that kills it."""

from pathlib import Path

from worker.errors import JobError

# Bytes that a job takes at its peak, for each value (rows by features) and for each row, with a tenth to
# spare: measured with 400,000 rows of 2 and of 20 features. A forest has those of scikit-learn's where they
# are more.
_TO_TRAIN = {
    "xgboost": (8.0, 70.0),
    "random_forest": (16.0, 150.0),
    "gradient_boosting": (22.0, 70.0),
    "logistic_regression": (25.0, 60.0),
    "neural_network": (24.0, 60.0),
}
_TO_PREDICT = {
    "xgboost": (4.5, 90.0),
    "random_forest": (10.5, 90.0),
    "gradient_boosting": (11.5, 80.0),
    "logistic_regression": (9.5, 100.0),
    "neural_network": (9.5, 115.0),
}
_CGROUPS = (  # version 2 and 1: limit, usage, statistics, and the part of them that the kernel can take back
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)


def require(job_type: str, model_types: set[str], rows: int, num_features: int) -> None:
    """Refuse a job that cannot fit.

    Args:
        job_type: TRAIN, TEST or COMPARE.
        model_types: types of its models.
        rows: about how many rows it will load.
        num_features: how many features of each.

    Raises:
        JobError: it needs more memory than is free here.
    """
    needs = _TO_TRAIN if job_type == "TRAIN" else _TO_PREDICT
    free = available()
    need = max(_bytes(needs[model_type], rows, num_features) for model_type in model_types)
    if free is None or need <= free:
        return
    least, frugal = min((_bytes(sizes, rows, num_features), name) for name, sizes in needs.items())
    other = (
        f", or the model type {frugal} ({_gigabytes(least)})" if job_type == "TRAIN" and least < need else ""
    )
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


def _bytes(sizes: tuple[float, float], rows: int, num_features: int) -> float:
    value, row = sizes
    return rows * (value * num_features + row)


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
