"""psql on the configured database: the machine's, or the one that the embedded server brings."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from psycopg.conninfo import conninfo_to_dict

from worker.embedded import BUNDLED

_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
}


def command(args: Sequence[str], url: str) -> tuple[list[str], dict[str, str]]:
    """Command line and environment of psql; the password is in neither the command line nor its history."""
    program = shutil.which("psql") or str(BUNDLED / "psql")
    given = conninfo_to_dict(url)
    connection = {_VARIABLES[name]: str(value) for name, value in given.items() if name in _VARIABLES}
    return [program, *args], os.environ | connection


def run_psql(args: Sequence[str], url: str) -> None:
    """Run psql and wait for it.

    Raises:
        subprocess.CalledProcessError: psql failed, and has said why.
    """
    words, environment = command(args, url)
    subprocess.run(words, env=environment, check=True)
