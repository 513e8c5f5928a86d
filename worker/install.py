"""Applies ``sql/`` to a database."""

from importlib import resources
from pathlib import Path

from worker import database


def sql_files() -> list[Path]:
    """Files of ``sql/`` in their order: from the package, or beside it in a checkout."""
    packaged = Path(str(resources.files("worker"))) / "sql"
    folder = packaged if packaged.is_dir() else Path(__file__).parent.parent / "sql"
    return sorted(folder.glob("*.sql"))


def install(url: str) -> None:
    """Install the schema, or bring it up to date; running it again changes nothing.

    Raises:
        psycopg.DatabaseError: the database is newer than these files (ML005), or the login may not install.
    """
    with database.connect(url) as connection:
        database.install(connection, (file.read_text(encoding="utf-8") for file in sql_files()))
