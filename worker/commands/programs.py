"""psql, pg_dump and pg_restore on the configured database."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from psycopg import pq

from worker import settings
from worker.embedded import bundled


def command(program: str, args: Sequence[str], url: str) -> tuple[list[str], dict[str, str]]:
    """Command line and environment; the connection is in the environment, where ps has none of it.

    For the embedded server it is the program that came with it; for another, the machine's if it has one.
    In psql an error shows its message and hint, not the line of the trigger that raised it.
    """
    machines = shutil.which(program) if settings.database_url() else None
    variables = {option.keyword: option.envvar for option in pq.Conninfo.get_defaults()}
    environment = dict(os.environ)
    for option in pq.Conninfo.parse(url.encode()):
        variable = variables[option.keyword]
        if option.val is not None and variable is not None:
            environment[variable.decode()] = option.val.decode()
    first = ["--set=SHOW_CONTEXT=never"] if program == "psql" else []
    return [machines or str(bundled() / program), *first, *args], environment


def run_psql(args: Sequence[str], url: str) -> None:
    """Run psql and wait for it.

    Raises:
        subprocess.CalledProcessError: psql failed, and has said why.
    """
    words, environment = command("psql", args, url)
    subprocess.run(words, env=environment, check=True)
