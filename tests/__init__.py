"""Tests of the service."""

import os

# Before numpy is imported: a thread of its linear algebra that waits for another keeps a core, which the
# processes side by side share. A worker has one thread for it, too.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
