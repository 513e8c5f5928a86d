"""A worker whose children answer at once: ``python -m tests.faults.quick_worker ARG…``.

Each job is a TEST, and each child a shell that reads the order and prints the same result.
"""

import shlex
import sys

from tests.conftest import TEST_RESULT
from worker.commands.cli import main
from worker.protocol import Completed, to_line
from worker.service import children

if __name__ == "__main__":
    result = {name.removeprefix("p_"): value for name, value in TEST_RESULT.items()}
    answer = shlex.quote(to_line(Completed(result)).decode().strip())
    children.COMMAND[:] = ["/bin/sh", "-c", f"read -r order; printf '%s\\n' {answer}"]
    main(sys.argv[1:])
