"""``python -m tests.chaos --minutes M --seed S --workers N``: exit code 1 if anything is lost or doubled."""

import argparse
import logging
import random
import shutil
import signal
import sys
from pathlib import Path

from tests.chaos.report import make_report
from tests.chaos.soak import FAULTS, soak


def _names(csv: str) -> list[str]:
    names = csv.split(",")
    if unknown := [name for name in names if name not in FAULTS]:
        raise argparse.ArgumentTypeError(
            f"no such fault: {', '.join(unknown)}; there are {', '.join(FAULTS)}"
        )
    return names


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--minutes", type=float, default=1, help="how long faults are injected")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of jobs and faults")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--every", type=float, default=2.5, help="seconds between faults, on average")
    parser.add_argument(
        "--faults",
        type=_names,
        default=list(FAULTS),
        metavar="A,B,…",
        help=f"those that may strike, of {', '.join(FAULTS)}; all by default",
    )
    parser.add_argument("--bin-dir", type=Path, help="programs of another PostgreSQL than the embedded one")
    parser.add_argument("--logs", type=Path, help="folder to keep the workers' logs in")
    options = parser.parse_args()
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # the proxy's server may be away
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # whichever it is, all is cleared away
    sys.stdout.write(f"seed={options.seed} minutes={options.minutes:g} workers={options.workers}\n")
    sys.stdout.flush()
    with soak(options.workers, options.seed, options.faults, options.bin_dir) as made:
        made.storm(options.minutes * 60, options.every)
        made.calm()
        report = make_report(made)
        if options.logs:
            options.logs.mkdir(parents=True, exist_ok=True)
            for log_file in made.home.glob("worker-*.log"):
                shutil.copy(log_file, options.logs)
    sys.stdout.write("\n".join([*report.lines, ""]))
    return 0 if report.is_good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
