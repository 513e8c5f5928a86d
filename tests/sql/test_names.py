"""Names that a client gives: they show, they command no terminal, and take no default name of another job."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.conftest import TRAIN, Connection, Database, claim, insert_job, job_row, one, ready_model
from tests.sql.helpers import complete, refused
from worker.commands.install import install

CHECK = "23514"
RESERVED = "42939"
CONTROLS = [0x01, 0x07, 0x09, 0x0A, 0x0D, 0x1B, 0x7F, 0x85, 0x9B]
MARKS = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x206E, 0x2028, 0x2029]
UNSEEN = [
    *(0xA0, 0xAD, 0x034F, 0x115F, 0x1160, 0x1680, 0x17B4, 0x180E, 0x2000, 0x200A, 0x200B, 0x200C, 0x200D),
    *(0x202F, 0x205F, 0x2060, 0x2063, 0x2800, 0x3000, 0x3164, 0xFE0F, 0xFEFF, 0xFFA0, 0xE0001, 0xE0061),
]
SEEN = [
    "plain",
    "a b",
    "-",
    "ü",
    "数据",
    "שלום",
    "مرحبا 1",
    "naïve café",
    "\u0645\u06cc\u200c\u062e\u0648",
    "👩\u200d🚀",
    "a\u00a0b",
    "🏴\U000e0067\U000e007f",
    "'; DROP TABLE ml_jobs; --",
    '<b>"&',
]

Give = Callable[[str], object]


@contextmanager
def by_insert(client: Connection, worker: Connection) -> Iterator[Give]:
    yield lambda name: job_row(client, insert_job(client, **TRAIN, train_model_name=name))


@contextmanager
def by_function(client: Connection, worker: Connection) -> Iterator[Give]:
    query = """SELECT ml.train('xgboost', 'volume_sol', '>', 5, 'price_open', '2024-01-01', '2024-03-01',
        name => %s)"""
    yield lambda name: client.execute(query, [name])


@contextmanager
def by_preview(client: Connection, worker: Connection) -> Iterator[Give]:
    query = """SELECT FROM ml.preview('xgboost', 'volume_sol', '>', 5, 'price_open', '2024-01-01',
        '2024-01-02', name => %s)"""
    yield lambda name: client.execute(query, [name])


@contextmanager
def by_rename(client: Connection, worker: Connection) -> Iterator[Give]:
    model_id = ready_model(client, worker)
    yield lambda name: client.execute("UPDATE ml_models SET name = %s WHERE id = %s", [name, model_id])


WAYS = {"insert": by_insert, "function": by_function, "preview": by_preview, "rename": by_rename}


@pytest.mark.parametrize("way", WAYS)
def test_a_name_that_cannot_be_seen_or_commands_a_terminal_is_refused_by_its_character(
    client: Connection, worker: Connection, way: str
) -> None:
    with WAYS[way](client, worker) as give:
        for code in CONTROLS + MARKS:
            for name in (chr(code), f"good{chr(code)}", f"{chr(code)}数"):
                with refused(CHECK, f"has the character U+{code:04X}", "characters that show"):
                    give(name)
        for code in UNSEEN:
            for name in (chr(code), f"{chr(code)}\u200b {chr(code)}"):
                with refused(CHECK, f"its first is U+{code:04X}", "characters that show"):
                    give(name)


@pytest.mark.parametrize("way", ["insert", "rename"])
def test_a_name_that_shows_is_accepted_in_every_script(
    client: Connection, worker: Connection, way: str
) -> None:
    with WAYS[way](client, worker) as give:
        for name in SEEN:
            give(f"{name} {way}")
            give(f"{name}{way}" if way == "insert" else name)


@pytest.mark.parametrize("setting", ["standard_conforming_strings", "backslash_quote"])
def test_it_does_not_matter_how_a_session_reads_a_backslash(client: Connection, setting: str) -> None:
    client.execute(f"SELECT set_config('{setting}', 'off', false)")
    with refused(CHECK, "U+202E"):
        insert_job(client, **TRAIN, train_model_name="a\u202eb")


def test_a_description_has_at_most_10000_characters(client: Connection, worker: Connection) -> None:
    longest = "ü" * 10_000
    model_id = ready_model(client, worker, train_description=longest)
    with refused(CHECK, "train_description has 10001 characters", "at most 10000"):
        insert_job(client, **TRAIN, train_description=longest + "x")
    with refused(CHECK, f"the description of model {model_id} has 10001 characters", "at most 10000"):
        client.execute("UPDATE ml_models SET description = %s WHERE id = %s", [longest + "x", model_id])
    client.execute("UPDATE ml_models SET description = NULL WHERE id = %s", [model_id])


# ── Default names ───────────────────────────────────────────────────────────────────────────────────


def test_a_default_name_cannot_be_taken_in_advance(client: Connection, worker: Connection) -> None:
    last = insert_job(client, **TRAIN)
    taken = [f"{kind}_job_{last + n}" for kind in ("logistic_regression", "xgboost") for n in range(1, 30)]
    taken += [f"{name}_2" for name in taken[:3]]
    for name in taken:
        with (
            refused(RESERVED, f'the name "{name}" is kept for job', "Choose another name"),
            client.transaction(),
        ):
            insert_job(client, **TRAIN, train_model_name=name)
    unnamed = insert_job(client, **TRAIN)
    assert job_row(client, unnamed)["train_model_name"] == f"logistic_regression_job_{unnamed}"
    client.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE status = 'PENDING'")
    model_id = ready_model(client, worker)
    with refused(RESERVED, "is kept for job"):
        client.execute(
            "UPDATE ml_models SET name = %s WHERE id = %s", [f"random_forest_job_{unnamed + 50}", model_id]
        )
    insert_job(client, **TRAIN, train_model_name=f"my_job_{unnamed + 50}")  # nobody's default


def test_a_default_name_that_an_older_version_gave_away_gets_a_suffix(
    owner: Connection, client: Connection, worker: Connection
) -> None:
    model_id = ready_model(client, worker)
    with owner.transaction():
        owner.execute("ALTER TABLE ml_models DISABLE TRIGGER USER")
        owner.execute(
            """UPDATE ml_models SET name = 'logistic_regression_job_'
                || (SELECT last_value + 1 FROM ml_jobs_id_seq) WHERE id = %s""",
            [model_id],
        )
        owner.execute("ALTER TABLE ml_models ENABLE TRIGGER USER")
    job_id = insert_job(client, **TRAIN)
    assert job_row(client, job_id)["train_model_name"] == f"logistic_regression_job_{job_id}_2"
    assert claim(worker)["id"] == job_id
    complete(worker, job_id, "TRAIN")


# ── What an older version let pass ──────────────────────────────────────────────────────────────────


def test_what_an_older_version_let_pass_goes_on_to_work_and_can_be_deleted(
    db: Database, owner: Connection, client: Connection, worker: Connection
) -> None:
    """An upgrade must not fail for it, nor lose it."""
    job_id = insert_job(client, **TRAIN)
    old = "\u200b\u202e\x1b[31m"
    with owner.transaction():
        owner.execute("ALTER TABLE ml_jobs DISABLE TRIGGER USER")
        owner.execute(
            "UPDATE ml_jobs SET train_model_name = %s, train_description = %s WHERE id = %s",
            [old, "x" * 20_000, job_id],
        )
        owner.execute("ALTER TABLE ml_jobs ENABLE TRIGGER USER")
    install(db.login("owner"))
    assert claim(worker)["id"] == job_id
    complete(worker, job_id, "TRAIN")
    model_id = job_row(client, job_id)["result_model_id"]
    model = one(client, "SELECT name, description FROM ml_models WHERE id = %s", [model_id])
    assert (model["name"], len(model["description"])) == (old, 20_000)
    # As an ORM does, all of it as it is.
    client.execute(
        "UPDATE ml_models SET name = %s, description = %s, is_deleted = true WHERE id = %s",
        [*model.values(), model_id],
    )
    with pytest.raises(psycopg.errors.CheckViolation):
        client.execute("UPDATE ml_models SET is_deleted = false WHERE id = %s", [model_id])
    client.execute("UPDATE ml_models SET is_deleted = false, name = 'anew' WHERE id = %s", [model_id])
