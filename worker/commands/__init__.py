"""The command ``ml-worker``, and what its parts do."""
