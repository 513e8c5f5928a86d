"""Children of a job that have a child of their own."""

import os
from pathlib import Path

from tests.conftest import is_alive, until

STARTUP = Path(__file__).parent / "child_startup"


def startup(**settings: object) -> dict[str, str]:
    """Environment of a worker whose children run ``child_startup/sitecustomize.py`` first."""
    path = os.pathsep.join(filter(None, [str(STARTUP), os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": path} | {name: str(value) for name, value in settings.items()}


def grandchild_of(child: int, folder: Path) -> int:
    """Process id of the child's child, with ``startup(TEST_GRANDCHILDREN=folder)``; waits for its start."""
    note = folder / str(child)
    until(note.exists, f"the child of {child}")
    return int(note.read_text())


def until_gone(*pids: int) -> None:
    until(lambda: not any(map(is_alive, pids)), f"the end of the processes {pids}")
