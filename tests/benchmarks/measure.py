"""What all benchmarks share: runs in turn, medians, one table with the ratio first, and the same as JSON.

An absolute time says little on a shared machine, so each row is a ratio of two things that ran in turn in one
run. Ratios say "times faster" (reference by ours) or "times the cost" (ours by reference), as the goal does.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

REPEATS = 5
_PACKAGES = (
    "numpy",
    "pandas",
    "scikit-learn",
    "xgboost",
    "xgboost-cpu",
    "psycopg",
    "pgqueuer",
    "procrastinate",
)

Measure = Callable[[], float]


@dataclass(frozen=True)
class Row:
    """One comparison; ``ours`` and ``reference`` are medians in ``unit``."""

    what: str
    ours: float
    reference: float
    reference_name: str
    unit: str
    at_least: float | None = None  # times faster (or more) than the reference
    at_most: float | None = None  # times the cost of the reference

    @property
    def ratio(self) -> float:
        """Times faster where that is the goal, else times the cost; of rates, more is better."""
        faster = self.reference / self.ours
        is_rate = self.unit.endswith("/s")
        return faster if (self.at_least is not None) != is_rate else 1 / faster

    @property
    def goal(self) -> str:
        """The goal in words; empty where there is none."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return "" if self.at_most is None else f"≤ {self.at_most:g}"

    @property
    def is_met(self) -> bool:
        """Whether the goal is met."""
        if self.at_least is not None:
            return self.ratio >= self.at_least
        return self.at_most is None or self.ratio <= self.at_most


@dataclass
class Table:
    """The rows of a benchmark."""

    name: str
    about: Mapping[str, str | int]
    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Add a row, and say so."""
        self.rows.append(row)
        print(f"  {row.ratio:.2f} x {row.what}", file=sys.stderr, flush=True)  # noqa: T201

    def show(self, path: Path | None) -> None:
        """Print the table; append it as one line of JSON to a file."""
        about = machine() | dict(self.about)
        lines = [
            f"## {self.name}",
            "",
            ", ".join(f"{key} {value}" for key, value in about.items()),
            "",
            "| ratio | goal | what | ours | reference |",
            "|---:|---|---|---:|---|",
        ]
        for row in self.rows:
            mark = "" if row.is_met else " (missed)"
            reference = f"{_number(row.reference)} {row.unit}: {row.reference_name}"
            ours = f"{_number(row.ours)} {row.unit}"
            lines.append(f"| {row.ratio:.2f} | {row.goal}{mark} | {row.what} | {ours} | {reference} |")
        print("\n".join(lines), flush=True)  # noqa: T201
        if path is not None:
            record = {
                "benchmark": self.name,
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "about": about,
                "rows": [asdict(row) | {"ratio": row.ratio, "is_met": row.is_met} for row in self.rows],
            }
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")


def alternate(measures: Sequence[Measure], repeats: int = REPEATS) -> list[float]:
    """Medians of measures that run in turn; each returns its seconds, or whatever it measures."""
    found: list[list[float]] = [[] for _ in measures]
    for _ in range(repeats):
        for values, measure in zip(found, measures, strict=True):
            values.append(measure())
    return [statistics.median(values) for values in found]


def seconds_of(what: Callable[..., object], *args: Any) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    what(*args)
    return time.perf_counter() - started


def parser(doc: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--json", type=Path, metavar="FILE", help="append the table to this file, one line of JSON"
    )
    made.add_argument("--repeats", type=int, default=REPEATS)
    return made


def machine() -> dict[str, str | int]:
    """What the figures depend on."""
    about: dict[str, str | int] = {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            about[package] = version(package)
        except PackageNotFoundError:
            continue
    return about


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
