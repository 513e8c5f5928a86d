from tests.conftest import Connection, insert_job, TRAIN, Database
import pytest
@pytest.mark.parametrize("i", range(10))
def test_a(client: Connection, i: int) -> None:
    insert_job(client, **TRAIN)
