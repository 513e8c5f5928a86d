"""Compares the model files with what the database knows of them."""

import re
from dataclasses import dataclass
from pathlib import Path

from worker.child import model_file
from worker.commands.text import plain
from worker.database.connection import connect
from worker.database.queue import folder_name
from worker.database.reading import recorded_files, running_attempts
from worker.database.schema import check_version
from worker.errors import JobError


@dataclass(frozen=True)
class Findings:
    """What was found.

    Attributes:
        folder: folder of this database.
        models: number of models that have a file.
        faults: what is wrong with a model's file, a line each.
        orphans: files in the folder of this database that no model owns.
    """

    folder: Path
    models: int
    faults: tuple[str, ...]
    orphans: tuple[Path, ...]


def verify(url: str, folder: Path) -> Findings:
    """Look for every model's file, and for files that belong to no model nor to a running attempt.

    Args:
        url: database, with a login that has the role of a worker: it sees the models of all teams.
        folder: folder of the model files, where other databases may have theirs; those are left alone.
    """
    with connect(url, role="ml_worker") as connection:
        check_version(connection)
        own = folder / folder_name(connection)
        # Before the rest: what an attempt wrote by now is recorded by the time that it no longer runs.
        files = model_file.files_in(own)
        running = running_attempts(connection)
        recorded = recorded_files(connection)
    faults = []
    for file in recorded:
        try:
            model_file.check(file.path, file.model_id, file.sha256, own)
        except (JobError, TimeoutError) as error:
            faults.append(plain(f"model {file.model_id} ({file.name}): {error}"))
    owned = {Path(file.path).name for file in recorded}
    orphans = [file for file in files if file.name not in owned and _attempt(file) not in running]
    return Findings(own, len(recorded), tuple(faults), tuple(orphans))


def _attempt(file: Path) -> tuple[int, int] | None:
    match = re.match(r"model_(\d+)_attempt_(\d+)_", file.name)
    return (int(match[1]), int(match[2])) if match else None
