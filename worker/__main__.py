"""``python -m worker`` is ``ml-worker``."""

from worker.cli import main

main()
