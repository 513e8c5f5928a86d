"""SELECT * FROM ml.help(): everything that it says can be pasted."""

from tests.conftest import TRAIN, Connection, insert_job
from tests.sql.helpers import TREES, complete, running_job


def examples(connection: Connection) -> list[str]:
    return [row["you_type"] for row in connection.execute("SELECT * FROM ml.help()")]


def test_every_example_works_as_pasted(
    owner: Connection, client: Connection, worker: Connection, reader: Connection
) -> None:
    for name in ("first", "second"):
        job_id = running_job(client, worker, train_model_name=name, train_end="2024-02-01")
        complete(worker, job_id, "TRAIN", **TREES)
    insert_job(client, **TRAIN)
    told = examples(reader)
    owners = {
        row["you_type"]
        for row in reader.execute("SELECT * FROM ml.help() WHERE you_want_to LIKE 'as the owner,%'")
    }
    assert "'second'" in " ".join(told)
    for example in told:
        for statement in filter(None, map(str.strip, example.split(";"))):
            if statement.startswith("CALL ml.wait"):
                continue  # nobody works here; test_by_hand.py waits
            user = owner if example in owners else client
            user.execute(statement.encode())


def test_it_names_every_routine_that_a_client_calls(reader: Connection) -> None:
    told = " ".join(examples(reader))
    routines = reader.execute("SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'ml'::regnamespace")
    missing = {row["proname"] for row in routines if f"ml.{row['proname']}(" not in told}
    assert missing == {"help"}


def test_an_empty_database_is_helped_as_well(
    owner: Connection, client: Connection, reader: Connection
) -> None:
    owner.execute("DELETE FROM coin_metrics")
    client.execute("UPDATE ml_models SET is_deleted = true")
    assert "SELECT ml.test('my_model', '2024-03-02', '2024-04-02');" in examples(reader)


def test_what_clients_call_fits_on_a_screen(reader: Connection) -> None:
    query = """
        SELECT DISTINCT proname FROM pg_proc
        WHERE pronamespace = 'ml'::regnamespace AND has_function_privilege('ml_client', oid, 'EXECUTE')
    """
    routines = reader.execute(query).fetchall()
    assert len(routines) <= 20
