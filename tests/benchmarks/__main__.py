"""Every benchmark at its default size, half an hour: ``python -m tests.benchmarks [--json FILE]``."""

import subprocess
import sys
from pathlib import Path

# Each in a process of its own: what one has imported and allocated must not count for the next.
for path in sorted(Path(__file__).parent.glob("bench_*.py")):
    subprocess.run([sys.executable, "-m", f"tests.benchmarks.{path.stem}", *sys.argv[1:]], check=True)
