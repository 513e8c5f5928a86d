"""What the child process of a job does before anything else, where a test puts this folder on PYTHONPATH."""

import os
import resource
import subprocess
import sys
from pathlib import Path

if "worker.child" in sys.orig_argv:
    if folder := os.environ.get("TEST_GRANDCHILDREN"):
        sleeper = subprocess.Popen(
            ["sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        unfinished = Path(folder) / f"{os.getpid()}.unfinished"
        unfinished.write_text(str(sleeper.pid))
        unfinished.rename(unfinished.with_suffix(""))
    if limit := os.environ.get("TEST_FILE_SIZE"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
