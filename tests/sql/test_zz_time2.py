from tests.conftest import Connection, insert_job, TRAIN, Database
def test_a(client: Connection) -> None:
    insert_job(client, **TRAIN)
