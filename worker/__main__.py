"""``python -m worker`` is ``ml-worker``."""

from worker.commands.cli import main

main()
