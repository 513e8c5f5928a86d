"""Compares the model files with what the database knows of them."""

import re
from dataclasses import dataclass
from pathlib import Path

from worker import artifacts, database
from worker.errors import JobError


@dataclass(frozen=True)
class Findings:
    """What was found.

    Attributes:
        models: number of models that have a file.
        faults: what is wrong with a model's file, a line each.
        orphans: files in the folder that no model owns.
    """

    models: int
    faults: tuple[str, ...]
    orphans: tuple[Path, ...]


def verify(url: str, folder: Path) -> Findings:
    """Look for every model's file, and for files that belong to no model nor to a running attempt.

    Args:
        url: database, with a login that has the role of a worker: it sees the models of all teams.
        folder: folder of the model files.
    """
    # In this order: what an attempt wrote by now is recorded by the time that it no longer runs.
    files = artifacts.files_in(folder)
    with database.connect(url, role="ml_worker") as connection:
        database.check_version(connection)
        running = database.running_attempts(connection)
        recorded = database.recorded_files(connection)
    faults = []
    for file in recorded:
        try:
            artifacts.check(file.path, file.sha256, folder)
        except JobError as error:
            faults.append(f"model {file.model_id} ({file.name}): {error}")
    owned = {Path(file.path).name for file in recorded}
    orphans = [file for file in files if file.name not in owned and _attempt(file) not in running]
    return Findings(len(recorded), tuple(faults), tuple(orphans))


def _attempt(file: Path) -> tuple[int, int] | None:
    match = re.match(r"model_(\d+)_attempt_(\d+)_", file.name)
    return (int(match[1]), int(match[2])) if match else None
