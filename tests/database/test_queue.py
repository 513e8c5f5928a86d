"""The supervisor's calls on the queue that its routines do not test."""

import select

from tests.conftest import TRAIN, Connection, Database, insert_job
from worker.database import queue
from worker.database.connection import connect


def test_a_notification_that_was_read_behind_an_answer_is_found(db: Database, client: Connection) -> None:
    """The socket does not become readable for it any more."""
    with connect(db.login("wanda"), role="ml_worker") as connection:
        queue.listen(connection, lambda: None)
        assert not queue.was_notified(connection)
        insert_job(client, **TRAIN)
        assert select.select([connection.fileno()], [], [], 60)[0]
        connection.pgconn.consume_input()
        assert not select.select([connection.fileno()], [], [], 0)[0]
        assert queue.was_notified(connection)
        assert not queue.was_notified(connection)
