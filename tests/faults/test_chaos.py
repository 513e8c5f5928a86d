"""A short soak of ``python -m tests.chaos``: its own checks hold, and it has really done something."""

import re
import subprocess
import sys
from collections.abc import Iterable

from tests.chaos.lasting import LASTING, LOGIN, SETTINGS_OF_ALL, SETTINGS_OF_THE_WORKER, TIMEOUTS
from tests.chaos.soak import STEADY, soak

SEED = 7
# How often each is put on so that all its ways have come.
WAYS = {
    "connection-limit": 2,
    "login": len(LOGIN),
    "settings": len(SETTINGS_OF_ALL) + len(SETTINGS_OF_THE_WORKER),
    "timeouts": len(TIMEOUTS),
}


def run_soak(faults: Iterable[str], minutes: float, every: float) -> tuple[int, int, int]:
    """Run one, and see that all is well; returns how many faults there were, of how many kinds, and jobs."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "tests.chaos", f"--seed={SEED}", "--workers=3"),
            *(f"--minutes={minutes}", f"--every={every}", f"--faults={','.join(faults)}"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    sys.stdout.write(run.stdout)  # pytest shows it if the test fails
    assert run.returncode == 0, run.stdout
    assert f"seed={SEED} " in run.stdout
    for line in ("lost: 0", "duplicated: 0", "invariants broken: 0"):
        assert line in run.stdout.splitlines()
    struck = re.search(r"faults: (\d+) of (\d+) kinds", run.stdout)
    jobs = re.search(r"jobs: (\d+),", run.stdout)
    assert struck is not None
    assert jobs is not None
    return int(struck[1]), int(struck[2]), int(jobs[1])


def test_nothing_is_lost_and_nothing_is_done_twice_whatever_strikes() -> None:
    faults, kinds, jobs = run_soak(STEADY, minutes=0.4, every=1.2)
    assert faults >= 8
    assert kinds >= 5
    assert jobs >= 5


def test_no_job_pays_for_a_fault_of_the_worker_or_for_another_client() -> None:
    faults, kinds, jobs = run_soak(LASTING, minutes=0.8, every=3)
    assert faults >= min(3, len(LASTING))
    assert kinds >= min(3, len(LASTING))
    assert jobs >= 5


def test_each_fault_that_lasts_takes_hold_and_is_taken_off() -> None:
    with soak(1, SEED, LASTING) as made:
        # The queue of notifications last: clients may wait until a worker has seen that it is free.
        for name, ways in sorted(LASTING.items(), key=lambda item: item[0] == "notify-queue"):
            for _ in range(max(len(ways), WAYS.get(name, 1))):
                assert made.inject(name) or not made.has_small_queue, made.surprises
                assert made.is_on(name) or not made.has_small_queue
                made.make_quiet()
                assert not made.is_on(name)
        assert made.surprises == []
        hows = {(strike.fault, strike.how.split(" = ")[0]) for strike in made.strikes}
        assert {name for name, _ in hows} >= set(LASTING) - {"notify-queue"}
        wanted = {name for name, _ in SETTINGS_OF_ALL + SETTINGS_OF_THE_WORKER}
        assert {how for name, how in hows if name == "settings"} == wanted
