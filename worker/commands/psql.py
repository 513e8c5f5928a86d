"""psql on the configured database: the machine's, or the one that the embedded server brings."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from psycopg import pq

from worker.embedded import bundled


def command(args: Sequence[str], url: str) -> tuple[list[str], dict[str, str]]:
    """Command line and environment of psql; the connection is in the environment, where ps has none of it.

    An error shows its message and hint, not the line of the trigger that raised it.
    """
    program = shutil.which("psql") or str(bundled() / "psql")
    variables = {option.keyword: option.envvar for option in pq.Conninfo.get_defaults()}
    environment = dict(os.environ)
    for option in pq.Conninfo.parse(url.encode()):
        variable = variables[option.keyword]
        if option.val is not None and variable is not None:
            environment[variable.decode()] = option.val.decode()
    return [program, "--set=SHOW_CONTEXT=never", *args], environment


def run_psql(args: Sequence[str], url: str) -> None:
    """Run psql and wait for it.

    Raises:
        subprocess.CalledProcessError: psql failed, and has said why.
    """
    words, environment = command(args, url)
    subprocess.run(words, env=environment, check=True)
