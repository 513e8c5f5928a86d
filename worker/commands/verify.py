"""Compares the model files, and the answers of ml.predict, with what the database knows, and mends files."""

import re
from dataclasses import dataclass
from pathlib import Path

from worker.child import model_file
from worker.commands.text import plain
from worker.database import model_files
from worker.database.connection import connect
from worker.database.queue import folder_name
from worker.database.reading import running_attempts, unequal_models
from worker.database.schema import check_version
from worker.errors import JobError


@dataclass(frozen=True)
class Findings:
    """What was found.

    Attributes:
        folder: folder of this database.
        models: number of models that have a file.
        faults: what is wrong with a model's file that the database has no copy of, a line each.
        restored: what was wrong with one that was written again from the database's copy, a line each.
        stored: files that the database had no copy of, and has now.
        unequal: models for which the database answers otherwise than their worker did, a line each.
        orphans: files in the folder of this database that no model owns.
    """

    folder: Path
    models: int
    faults: tuple[str, ...]
    restored: tuple[str, ...]
    stored: int
    unequal: tuple[str, ...]
    orphans: tuple[Path, ...]


def verify(url: str, folder: Path) -> Findings:
    """Look for every model's file, and for files that belong to no model nor to a running attempt.

    A file that is missing or altered is written again, and one that the database lacks is stored there.

    Args:
        url: database, with a login that has the role of a worker: it sees the models of all teams.
        folder: folder of the model files, where other databases may have theirs; those are left alone.
    """
    faults, restored, stored = [], [], 0
    with connect(url, role="ml_worker") as connection:
        check_version(connection)
        own = folder / folder_name(connection)
        # Before the rest: what an attempt wrote by now is recorded by the time that it no longer runs.
        files = model_file.files_in(own)
        running = running_attempts(connection)
        recorded = model_files.recorded_files(connection)
        most_bytes = model_files.most_bytes(connection)
        for file in recorded:
            named = (file.path, file.model_id, file.sha256, own)
            try:
                if file.is_stored or file.num_bytes > most_bytes:
                    model_file.check(*named)
                else:
                    model_files.store(connection, file.job_id, file.attempt, model_file.content(*named))
                    stored += 1
            except (JobError, TimeoutError) as error:
                said = f"model {file.model_id} ({file.name}): {error}"
                content = model_files.fetch(connection, file.model_id)
                if content is None:
                    faults.append(plain(said))
                else:
                    path = model_file.restore(content, file.path, file.model_id, own)
                    restored.append(plain(f"{said}; written again to {path}"))
        differing = unequal_models(connection)
    owned = {Path(file.path).name for file in recorded}
    orphans = [file for file in files if file.name not in owned and _attempt(file) not in running]
    unequal = [
        plain(f"model {model_id} ({name}): ml.predict differs by {difference:.1g} from what its worker said")
        for model_id, name, difference in differing
    ]
    return Findings(
        folder=own,
        models=len(recorded),
        faults=tuple(faults),
        restored=tuple(restored),
        stored=stored,
        unequal=tuple(unequal),
        orphans=tuple(orphans),
    )


def _attempt(file: Path) -> tuple[int, int] | None:
    match = re.match(r"model_(\d+)_attempt_(\d+)_", file.name)
    return (int(match[1]), int(match[2])) if match else None
