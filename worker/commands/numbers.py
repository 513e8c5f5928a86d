"""Records the numbers of models that were trained before the database kept them."""

from functools import partial
from pathlib import Path

import psycopg

from worker.child import model_file, models, numbers
from worker.child.assignment import read_model
from worker.commands.text import plain
from worker.database import model_files
from worker.database.connection import connect
from worker.database.queue import folder_name, record_numbers
from worker.database.reading import models_without_numbers
from worker.database.schema import check_version
from worker.errors import JobError


def record(url: str, folder: Path) -> tuple[int, list[str]]:
    """Read the file of each model that has no numbers, and record them.

    Args:
        url: database, with a login that has the role of a worker.
        folder: folder of the model files, as of :func:`worker.commands.verify.verify`.

    Returns:
        How many models have their numbers now, and a line for each that has none.
    """
    recorded, faults = 0, []
    with connect(url, role="ml_worker") as connection:
        check_version(connection)
        own = folder / folder_name(connection)
        for name, library_versions, told in models_without_numbers(connection):
            model = read_model(told, library_versions)
            try:
                module = models.load(model.model_type)
                pipeline = models.from_file(
                    module,
                    model_file.read(model, own, partial(model_files.fetch, connection, model.id)).pipeline,
                    1,
                )
                found = models.numbers(module, pipeline)
                facts = None if found is None else numbers.facts(found, model.features)
                if facts is None:
                    raise JobError("it has too many numbers" if found else "its type gives no numbers")
                recorded += record_numbers(connection, model.id, facts)
            except (JobError, TimeoutError, psycopg.Error) as error:
                faults.append(plain(f"model {model.id} ({name}): {error}"))
    return recorded, faults
