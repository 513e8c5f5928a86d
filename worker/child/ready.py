"""Importing this is what the fork server does once, so that no child need: all that a job imports.

No thread may run afterwards, since none would be there in the child.
"""

import gc

from psycopg.pq import PGconn

gc.disable()  # what an import makes stays: to look through it again and again costs a seventh of the time

from worker.child import kinds  # noqa: E402
from worker.child.attempt import thread_pools  # noqa: E402

thread_pools()
kinds.writing()
# libpq's cryptography gets itself ready with the first password that it hashes; nothing is connected to.
PGconn.connect_start(b"host=/nonexistent").encrypt_password(b"", b"", b"scram-sha-256")
# The collector of a child leaves alone what was there before: it would copy each page that it looks at.
gc.collect()
gc.freeze()
gc.enable()
