"""Applies ``sql/`` to a database."""

from importlib import resources
from pathlib import Path

from worker.database import schema
from worker.database.connection import connect, lift_timeouts


def _folder() -> Path:
    """Folder ``sql``: in the package, or beside it in a checkout."""
    packaged = Path(str(resources.files("worker"))) / "sql"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "sql"


def sql_files() -> list[Path]:
    """Files of ``sql/`` in their order."""
    return sorted(_folder().glob("*.sql"))


def upgrade_files() -> dict[int, Path]:
    """Files of ``sql/upgrades/`` by the version that they lead to."""
    return {int(file.stem): file for file in sorted((_folder() / "upgrades").glob("*.sql"))}


def install(url: str) -> None:
    """Install the schema, or bring it up to date; running it again changes nothing.

    Raises:
        psycopg.DatabaseError: the database is newer than these files (ML005), or the login may not install.
    """
    upgrades = {version: file.read_text(encoding="utf-8") for version, file in upgrade_files().items()}
    with connect(url) as connection:
        lift_timeouts(connection)
        schema.install(connection, upgrades, (file.read_text(encoding="utf-8") for file in sql_files()))
