"""A short soak of ``python -m tests.chaos``: its own checks hold, and it has really done something."""

import re
import subprocess
import sys

SEED = 7


def test_nothing_is_lost_and_nothing_is_done_twice_whatever_strikes() -> None:
    soak = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.chaos",
            f"--seed={SEED}",
            "--minutes=0.4",
            "--workers=3",
            "--every=1.2",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    sys.stdout.write(soak.stdout)  # pytest shows it if the test fails
    assert soak.returncode == 0, soak.stdout
    assert f"seed={SEED} " in soak.stdout
    for line in ("lost: 0", "duplicated: 0", "invariants broken: 0"):
        assert line in soak.stdout.splitlines()
    faults = re.search(r"faults: (\d+) of (\d+) kinds", soak.stdout)
    assert faults is not None
    assert int(faults[1]) >= 8
    assert int(faults[2]) >= 5
    jobs = re.search(r"jobs: (\d+),", soak.stdout)
    assert jobs is not None
    assert int(jobs[1]) >= 5
