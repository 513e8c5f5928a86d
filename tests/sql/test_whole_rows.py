"""Clients that name every column, as ORMs do: that is taken where it changes nothing of the service's."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from psycopg import sql

from tests.conftest import TRAIN, Connection, job_row, one, ready_model
from tests.sql.helpers import complete, jobs_in_every_state, refused, running_job


def columns(connection: Connection, table: str) -> list[str]:
    found = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))).description or ()
    return [column.name for column in found]


def insert_whole(connection: Connection, otherwise: sql.SQL, fields: Mapping[str, Any]) -> int:
    """Insert a job by a statement that names every column."""
    names = columns(connection, "ml_jobs")
    query = sql.SQL("INSERT INTO ml_jobs ({}) VALUES ({}) RETURNING *").format(
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.SQL(", ").join(
            sql.Literal(fields[name]) if name in fields else sql.SQL("DEFAULT") if name == "id" else otherwise
            for name in names
        ),
    )
    return int(one(connection, query)["id"])


def save(connection: Connection, table: str, row: Mapping[str, Any], **changes: Any) -> None:
    """Update a row by a statement that names every column but the key."""
    values = {name: value for name, value in {**row, **changes}.items() if name != "id"}
    query = sql.SQL("UPDATE {} SET {} WHERE id = %s").format(
        sql.Identifier(table),
        sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in values),
    )
    connection.execute(query, [*values.values(), row["id"]])


def to_milliseconds(row: Mapping[str, Any]) -> dict[str, Any]:
    """As JavaScript reads it."""
    return {
        name: value.replace(microsecond=value.microsecond // 1000 * 1000)
        if isinstance(value, datetime)
        else value
        for name, value in row.items()
    }


@pytest.mark.parametrize("otherwise", ["DEFAULT", "NULL"])
@pytest.mark.parametrize(
    "empty", [{}, {"status": "", "created_by": ""}]
)  # as Django sends what has no default
def test_an_insert_may_name_every_column(client: Connection, otherwise: str, empty: dict[str, str]) -> None:
    plain = job_row(client, insert_whole(client, sql.SQL(otherwise), TRAIN | empty))
    assert (plain["status"], plain["priority"], plain["created_by"]) == ("PENDING", 5, "anna")
    numbers = one(
        client, "SELECT lastval(), currval(pg_get_serial_sequence('ml_jobs', 'id')), max(id) FROM ml_jobs"
    )
    assert set(numbers.values()) == {plain["id"]}


def test_many_rows_of_one_insert_have_ids_of_the_service(client: Connection) -> None:
    rows = ", ".join([f"(DEFAULT, {', '.join(['%s'] * len(TRAIN))})"] * 3)
    query = f"INSERT INTO ml_jobs (id, {', '.join(TRAIN)}) VALUES {rows} RETURNING id"
    ids = [row["id"] for row in client.execute(query.encode(), [*TRAIN.values()] * 3)]
    assert ids == [ids[0], ids[0] + 1, ids[0] + 2]


@pytest.mark.parametrize("read", [dict, to_milliseconds])
def test_an_update_may_name_every_column_of_a_job_in_every_state(
    client: Connection, worker: Connection, read: Any
) -> None:
    jobs = jobs_in_every_state(client, worker)
    for status, job_id in jobs.items():
        before = job_row(client, job_id)
        save(client, "ml_jobs", read(before))
        assert job_row(client, job_id) == before, status
    save(client, "ml_jobs", read(job_row(client, jobs["PENDING"])), priority=2)
    assert job_row(client, jobs["PENDING"])["priority"] == 2
    for status in ("PENDING", "RUNNING"):
        save(client, "ml_jobs", read(job_row(client, jobs[status])), status="CANCELLED")
        ended = job_row(client, jobs[status])
        assert (ended["status"], ended["progress_msg"]) == ("CANCELLED", "Cancelled")
        assert ended["completed_at"] is not None


def test_an_update_may_name_every_column_of_jobs_that_use_models(
    client: Connection, worker: Connection
) -> None:
    for job_type in ("TEST", "COMPARE"):
        job_id = running_job(client, worker, job_type)
        complete(worker, job_id, job_type)
        before = job_row(client, job_id)
        save(client, "ml_jobs", before)
        assert job_row(client, job_id) == before
        with refused("42501", f"result_{'test' if job_type == 'TEST' else 'comparison'}_id of job {job_id}"):
            save(
                client,
                "ml_jobs",
                {name: before[name] or None for name in before},
                **{name: 1000 for name in before if name.startswith("result_") and before[name]},
            )


@pytest.mark.parametrize("read", [dict, to_milliseconds])
def test_an_update_may_name_every_column_of_a_model(
    client: Connection, worker: Connection, read: Any
) -> None:
    model_id = ready_model(client, worker)

    def model() -> dict[str, Any]:
        return one(client, "SELECT * FROM ml_models WHERE id = %s", [model_id])

    before = model()
    save(
        client,
        "ml_models",
        read(before),
        name=f"mine {model_id}",
        description="good",
        updated_at="2001-01-01",
    )
    after = model()
    assert (after["name"], after["description"]) == (f"mine {model_id}", "good")
    assert after["updated_at"] > before["updated_at"]
    kept = {
        name: value for name, value in before.items() if name not in ("name", "description", "updated_at")
    }
    assert {name: after[name] for name in kept} == kept
    save(client, "ml_models", read(after), is_deleted=True)
    assert model()["deleted_at"] is not None
    save(client, "ml_models", read(model()), is_deleted=False)
    assert model()["deleted_at"] is None


def test_a_moment_that_is_changed_by_a_millisecond_is_changed(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker)
    for field, code in (("started_at", "42501"), ("created_at", "ML002")):
        with refused(code, field):
            client.execute(f"UPDATE ml_jobs SET {field} = {field} + interval '1 ms' WHERE id = %s", [job_id])


@pytest.mark.parametrize("table", ["ml_jobs", "ml_models"])
def test_every_column_but_the_client_s_own_is_kept(
    client: Connection, worker: Connection, table: str, subtests: pytest.Subtests
) -> None:
    """Whatever columns a table has, now and later."""
    own = {
        "ml_jobs": {"status", "priority"},
        "ml_models": {"name", "description", "is_deleted", "updated_at"},
    }
    model_id = ready_model(client, worker)
    job_id = one(client, "SELECT train_job_id AS id FROM ml_models WHERE id = %s", [model_id])["id"]
    row_id = {"ml_jobs": job_id, "ml_models": model_id}[table]
    other = {"timestamp with time zone": "'2001-01-01'", "boolean": "NOT {0}", "name": "'other'"}
    query = "SELECT column_name AS name, data_type FROM information_schema.columns WHERE table_name = %s"
    for column in client.execute(query, [table]).fetchall():
        name = column["name"]
        if name in own[table] | {"id"}:
            continue
        value = other.get(column["data_type"], "0.5" if column["data_type"] == "numeric" else "'7'").format(
            name
        )
        with subtests.test(name), pytest.raises(Exception, match=f"{name}( of|$|\n)") as caught:
            client.execute(f"UPDATE {table} SET {name} = {value} WHERE id = {row_id}".encode())
        assert getattr(caught.value, "sqlstate", None) in ("42501", "ML002")
