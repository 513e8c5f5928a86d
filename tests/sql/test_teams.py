"""Teams: while they are separated, nobody sees, uses or ends the jobs and models of another team."""

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from tests.conftest import (
    PASSWORD,
    TRAIN,
    Connection,
    Database,
    insert_job,
    job_row,
    one,
    ready_model,
    until,
)
from tests.sql.helpers import (
    BASELINES,
    BEATEN,
    COMPARE_PERIOD,
    CURVE,
    INTERVALS,
    LAYERS,
    PARTS,
    TEST_PERIOD,
    TREES,
    call,
    complete,
    count,
    found_beside,
    jobs_in_every_state,
    refused,
    running_job,
)
from tests.sql.test_folds import FOLDS, THREE, running
from worker.commands.install import install

# Two teams, whose members insert as the team, and a client on its own.
TEAMS = {"red": ("ruth", "rolf"), "blue": ("bea",)}
ALONE = "sam"
FILE = b"the file of a model"
VIEWS = (
    *("ml_queue", "ml_leaderboard", "ml_model_features", "ml_model_params"),
    *("ml_prediction_outcomes", "ml_prediction_quality"),
)
_names = itertools.count(1)


@pytest.fixture(scope="module")
def module_db(make_database: Callable[[], Database]) -> Iterator[Database]:
    """A database whose teams are separated; red has a job in every state and a result of each type."""
    db = make_database()
    roles = [*TEAMS, *itertools.chain(*TEAMS.values()), ALONE]
    with db.connect("owner") as owner:
        for team, members in TEAMS.items():
            owner.execute(f"CREATE ROLE {team} NOLOGIN IN ROLE ml_client")
            for login in members:
                owner.execute(f"CREATE ROLE {login} LOGIN PASSWORD '{PASSWORD}' IN ROLE {team}")
                owner.execute(f"ALTER ROLE {login} SET role = {team}")
        owner.execute(f"CREATE ROLE {ALONE} LOGIN PASSWORD '{PASSWORD}' IN ROLE ml_client")
        owner.execute("CALL ml.separate_teams(true)")
        with db.connect("ruth") as ruth, db.connect("wanda") as wanda:
            for job_type in ("TEST", "COMPARE", "SCORE"):
                facts: dict[str, Any] = {}
                if job_type == "TEST":
                    facts = {
                        "ml_curve_points": CURVE,
                        "ml_intervals": INTERVALS,
                        "ml_baselines": BASELINES,
                        **BEATEN,
                        **PARTS,
                    }
                complete(wanda, running_job(ruth, wanda, job_type), job_type, **facts)
            brings_file = running_job(ruth, wanda)
            call(wanda, "store_model_file", brings_file, 1, FILE)
            complete(wanda, brings_file, "TRAIN", artifact_sha256=hashlib.sha256(FILE).hexdigest())
            complete(wanda, running(ruth, wanda, **FOLDS), "TRAIN", ml_folds=THREE)
            for job_type in ("TRAIN", "TEST"):
                job_id = running_job(ruth, wanda, job_type)
                complete(wanda, job_id, job_type, **found_beside(ruth, job_id, job_type))
            for numbers in (TREES, LAYERS):
                complete(wanda, running_job(ruth, wanda), "TRAIN", **numbers)
            jobs_in_every_state(ruth, wanda)
        owner.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE status = 'PENDING'")
        yield db
        for role in reversed(roles):
            owner.execute(f"DROP ROLE IF EXISTS {role}")


@pytest.fixture
def db(module_db: Database) -> Iterator[Database]:
    yield module_db
    with module_db.connect("owner") as owner:
        owner.execute("CALL ml.separate_teams(true)")
        owner.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE status = 'PENDING'")


@pytest.fixture
def login(db: Database) -> Iterator[Callable[[str], Connection]]:
    """Opens a connection of a login."""
    with ExitStack() as stack:
        yield lambda user: stack.enter_context(db.connect(user))


def tables(connection: Connection) -> list[str]:
    """The tables whose rows belong to a team."""
    rows = connection.execute(
        "SELECT polrelid::regclass::text AS name FROM pg_policy WHERE polname = 'own_team' ORDER BY 1"
    )
    return [row["name"] for row in rows]


def seen(connection: Connection, relations: list[str]) -> dict[str, int]:
    return {relation: count(connection, relation) for relation in relations}


def message(connection: Connection, **fields: Any) -> tuple[str, str, str]:
    """SQLSTATE, message and hint of the refusal of a job."""
    with pytest.raises(psycopg.IntegrityError) as caught:
        insert_job(connection, **fields)
    said = caught.value.diag
    return said.sqlstate or "", said.message_primary or "", said.message_hint or ""


# ── Who sees what ───────────────────────────────────────────────────────────────────────────────────


def test_as_installed_everyone_sees_the_jobs_of_all(
    make_database: Callable[[], Database], db: Database
) -> None:
    fresh = make_database()
    with fresh.connect("ruth") as ruth, fresh.connect("bea") as bea, fresh.connect("wanda") as wanda:
        model_id = ready_model(ruth, wanda)
        assert count(bea, "ml_jobs") == count(bea, "ml_models") == 1
        assert insert_job(bea, job_type="TEST", test_model_id=model_id, **TEST_PERIOD)


def test_a_team_sees_its_own_and_another_nothing(db: Database, login: Callable[[str], Connection]) -> None:
    with db.connect("owner") as owner:
        relations = [*tables(owner), *VIEWS]
        everything = seen(owner, relations)
        assert all(everything[relation] > 0 for relation in relations), everything
        own = {
            name: rows - (count(owner, "ml_jobs WHERE created_by <> 'red'") if name == "ml_jobs" else 0)
            for name, rows in everything.items()
        }
    assert seen(login("ruth"), relations) == own
    assert seen(login("rolf"), relations) == own
    nothing = dict.fromkeys(relations, 0)
    assert seen(login("bea"), relations) == nothing
    assert seen(login(ALONE), relations) == nothing
    assert seen(login("rosa"), relations) == nothing


def test_the_worker_and_the_owner_see_everything(db: Database, login: Callable[[str], Connection]) -> None:
    relations = tables(login("owner"))
    assert seen(login("wanda"), relations) == seen(login("owner"), relations)


def test_a_policy_of_the_owner_lets_a_role_read_all_teams(
    db: Database, login: Callable[[str], Connection]
) -> None:
    owner, rosa = login("owner"), login("rosa")
    relations = [*tables(owner), *VIEWS]
    owner.execute("CREATE POLICY dashboards ON ml_jobs FOR SELECT TO rosa USING (true)")
    try:
        assert seen(rosa, relations) == seen(owner, relations)
    finally:
        owner.execute("DROP POLICY dashboards ON ml_jobs")


def test_a_reader_who_is_a_member_of_a_team_reads_it(
    db: Database, login: Callable[[str], Connection]
) -> None:
    owner, rosa = login("owner"), login("rosa")
    owner.execute("GRANT red TO rosa")
    try:
        assert count(rosa, "ml_leaderboard") == count(login("ruth"), "ml_leaderboard") > 0
    finally:
        owner.execute("REVOKE red FROM rosa")
    assert count(rosa, "ml_leaderboard") == 0


def test_every_table_that_refers_to_a_job_or_model_belongs_to_its_team(
    db: Database, login: Callable[[str], Connection]
) -> None:
    owner = login("owner")
    rows = owner.execute(
        """
        SELECT DISTINCT c.oid::regclass::text AS name, c.relrowsecurity
        FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid
        WHERE f.contype = 'f' AND f.confrelid IN ('ml_jobs'::regclass, 'ml_models'::regclass)
        """
    ).fetchall()
    assert len(rows) >= 6
    assert {row["name"] for row in rows if row["relrowsecurity"]} == {row["name"] for row in rows}
    # Answers are too many to refer to their job one by one.
    assert sorted([*(row["name"] for row in rows), "ml_prediction_blocks"]) == tables(owner)


def test_no_view_or_routine_of_a_client_looks_with_the_eyes_of_the_owner(
    db: Database, login: Callable[[str], Connection]
) -> None:
    owner = login("owner")
    query = (
        "SELECT relname AS name FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace"
        " AND coalesce(reloptions::text, '') NOT LIKE '%security_invoker=true%'"
        " AND pg_get_viewdef(oid)"
        " ~ 'ml_(jobs|models|job_events|training_runs|test_results|comparisons|curve_points)'"
        " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace::regnamespace::text ~ '^ml' AND prosecdef"
        " AND has_function_privilege('ml_client', oid, 'EXECUTE')"
        # It inserts a job as the owner and takes it back; it reads none of others.
        " AND proname <> 'try_train'"
    )
    assert owner.execute(query).fetchall() == []


# ── Whose a job is ──────────────────────────────────────────────────────────────────────────────────


def test_a_job_belongs_to_the_role_that_inserted_it(login: Callable[[str], Connection]) -> None:
    ruth, sam, owner = login("ruth"), login(ALONE), login("owner")
    assert job_row(owner, insert_job(ruth, **TRAIN))["created_by"] == "red"
    assert job_row(owner, insert_job(sam, **TRAIN, created_by=None))["created_by"] == ALONE
    assert job_row(owner, insert_job(sam, **TRAIN, created_by=ALONE))["created_by"] == ALONE
    owner.execute(f"GRANT blue TO {ALONE}")
    try:
        sam.execute("SET ROLE blue")
        assert job_row(login("bea"), insert_job(sam, **TRAIN))["created_by"] == "blue"
    finally:
        owner.execute(f"REVOKE blue FROM {ALONE}")


def test_nobody_can_pass_a_job_off_as_another_role_s(login: Callable[[str], Connection]) -> None:
    ruth = login("ruth")
    with refused("23514", "a job of blue cannot be inserted as red", "SET ROLE blue;"):
        insert_job(ruth, **TRAIN, created_by="blue")
    with refused("42501", "created_by of job"):
        ruth.execute("UPDATE ml_jobs SET created_by = 'blue'")


def test_the_owner_may_give_a_job_to_a_team(login: Callable[[str], Connection]) -> None:
    ruth, bea = login("ruth"), login("bea")
    job_id = insert_job(ruth, **TRAIN)
    login("owner").execute("UPDATE ml_jobs SET created_by = 'blue' WHERE id = %s", [job_id])
    assert job_row(bea, job_id)["status"] == "PENDING"
    assert count(ruth, f"ml_jobs WHERE id = {job_id}") == 0


def test_the_jobs_of_a_role_that_is_gone_are_hidden_and_disturb_nobody(
    login: Callable[[str], Connection],
) -> None:
    owner = login("owner")
    owner.execute("UPDATE ml_jobs SET created_by = 'gone' WHERE id = %s", [insert_job(login("bea"), **TRAIN)])
    assert count(login("bea"), "ml_jobs WHERE created_by = 'gone'") == 0
    assert count(owner, "ml_jobs WHERE created_by = 'gone'") == 1


def make_team(owner: Connection, name: str) -> None:
    owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}' IN ROLE ml_client".encode())


@pytest.mark.parametrize("separate", [True, False])
def test_a_team_that_is_renamed_keeps_its_jobs_and_one_of_the_old_name_gets_none(
    db: Database, login: Callable[[str], Connection], separate: bool
) -> None:
    owner, wanda = login("owner"), login("wanda")
    make_team(owner, "green")
    model_id = ready_model(login("green"), wanda)
    job_id = insert_job(login("green"), **TRAIN)
    owner.execute("ALTER ROLE green RENAME TO olive")
    owner.execute(f"ALTER ROLE olive PASSWORD '{PASSWORD}'")
    make_team(owner, "green")
    owner.execute("CALL ml.separate_teams(%s)", [separate])
    try:
        olive, green = login("olive"), login("green")
        for _ in range(2):  # before and after both have inserted under their new names
            assert count(green, f"ml_jobs WHERE id = {job_id}") == (0 if separate else 1)
            assert green.execute("UPDATE ml_jobs SET priority = 2 WHERE id = %s", [job_id]).rowcount == 0
            assert green.execute("UPDATE ml_models SET name = 'x' WHERE id = %s", [model_id]).rowcount == 0
            assert olive.execute("UPDATE ml_jobs SET priority = 3 WHERE id = %s", [job_id]).rowcount == 1
            assert job_row(olive, insert_job(olive, **TRAIN))["created_by"] == "olive"
            assert job_row(green, insert_job(green, **TRAIN))["created_by"] == "green"
            install(db.login("owner"))
    finally:
        owner.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE status IN ('PENDING', 'RUNNING')")
        owner.execute("DROP ROLE olive")
        owner.execute("DROP ROLE green")


def test_a_new_role_of_the_name_of_a_dropped_one_does_not_inherit_its_jobs(
    login: Callable[[str], Connection],
) -> None:
    owner = login("owner")
    make_team(owner, "green")
    first = login("green")
    job_id = insert_job(first, **TRAIN)
    first.close()
    owner.execute("DROP ROLE green")
    make_team(owner, "green")
    try:
        second = login("green")
        own = insert_job(second, **TRAIN)
        assert [row["id"] for row in second.execute("SELECT id FROM ml_jobs")] == [own]
        assert count(owner, f"ml_jobs WHERE id = {job_id}") == 1
    finally:
        owner.execute("DROP ROLE green")


def test_waiting_for_one_s_own_jobs_finds_them_under_a_new_name(login: Callable[[str], Connection]) -> None:
    owner = login("owner")
    make_team(owner, "green")
    try:
        green = login("green")
        job_id = insert_job(green, **TRAIN)
        owner.execute("ALTER ROLE green RENAME TO olive")
        green.execute("SET statement_timeout = '500ms'")
        with refused("57014"):  # with none of its own it would not wait
            green.execute("CALL ml.wait()")
        owner.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE id = %s", [job_id])
        green.execute("CALL ml.wait()")
    finally:
        owner.execute("DROP ROLE olive")


def test_a_backup_restored_on_another_server_knows_a_team_by_its_name(
    db: Database, login: Callable[[str], Connection]
) -> None:
    """There the numbers of the roles are others, and may even be those of another team."""
    owner, ruth, bea = login("owner"), login("ruth"), login("bea")
    theirs = count(ruth, "ml_jobs")
    assert theirs > 0
    owner.execute("CREATE TEMPORARY TABLE kept AS SELECT id, role, cluster FROM ml.teams")
    try:
        owner.execute(
            "UPDATE ml.teams SET cluster = -1, role = (SELECT oid FROM pg_roles WHERE rolname = 'blue')"
            " WHERE name = 'red'"
        )
        assert count(ruth, "ml_jobs") == theirs
        assert count(bea, "ml_jobs WHERE created_by = 'red'") == 0
        assert insert_job(bea, **TRAIN)
        assert count(bea, "ml_jobs WHERE created_by = 'red'") == 0
        assert insert_job(ruth, **TRAIN)
        assert count(ruth, "ml_jobs") == theirs + 1
        install(db.login("owner"))
        assert count(ruth, "ml_jobs") == theirs + 1
        assert one(owner, "SELECT count(*) AS n FROM ml.teams WHERE cluster = -1")["n"] == 0
    finally:
        owner.execute(
            "UPDATE ml.teams t SET role = k.role, cluster = k.cluster FROM kept k WHERE k.id = t.id"
        )


# ── What another team cannot do ─────────────────────────────────────────────────────────────────────


def test_a_job_of_another_team_cannot_be_cancelled_or_reordered(login: Callable[[str], Connection]) -> None:
    ruth, bea = login("ruth"), login("bea")
    job_id = insert_job(ruth, **TRAIN)
    with refused("P0002", f"job {job_id} does not exist"):
        bea.execute("CALL ml.cancel_job(%s)", [job_id])
    assert bea.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE id = %s", [job_id]).rowcount == 0
    assert bea.execute("UPDATE ml_jobs SET priority = 1 WHERE id = %s", [job_id]).rowcount == 0
    assert (job_row(ruth, job_id)["status"], job_row(ruth, job_id)["priority"]) == ("PENDING", 5)
    login("rolf").execute("CALL ml.cancel_job(%s)", [job_id])
    assert job_row(ruth, job_id)["status"] == "CANCELLED"


def test_a_model_of_another_team_cannot_be_renamed_or_deleted(login: Callable[[str], Connection]) -> None:
    change = "UPDATE ml_models SET description = 'ours', is_deleted = false WHERE status = 'READY'"
    assert login("bea").execute(change).rowcount == 0
    assert login("rolf").execute(change).rowcount > 0


@pytest.mark.parametrize("state", ["READY", "FAILED", "deleted"])
def test_a_model_of_another_team_is_refused_like_one_that_does_not_exist(
    login: Callable[[str], Connection], state: str
) -> None:
    ruth, bea, wanda = login("ruth"), login("bea"), login("wanda")
    condition = "status = 'FAILED'" if state == "FAILED" else "status = 'READY' AND NOT is_deleted"
    theirs = ruth.execute(f"SELECT id FROM ml_models WHERE {condition} LIMIT 1").fetchall()[0]["id"]
    ours = ready_model(bea, wanda)
    try:
        if state == "deleted":
            ruth.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [theirs])
        missing = 10**9
        for fields in (
            {"job_type": "TEST", "test_model_id": 0, **TEST_PERIOD},
            {"job_type": "COMPARE", "compare_model_a_id": ours, "compare_model_b_id": 0, **COMPARE_PERIOD},
            {"job_type": "COMPARE", "compare_model_a_id": 0, "compare_model_b_id": ours, **COMPARE_PERIOD},
        ):
            said = [
                message(bea, **{name: model_id if value == 0 else value for name, value in fields.items()})
                for model_id in (theirs, missing)
            ]
            assert said[0] == tuple(word.replace(str(missing), str(theirs)) for word in said[1])
            assert said[0][:2] == ("23503", f"model {theirs} does not exist")
    finally:
        ruth.execute("UPDATE ml_models SET is_deleted = false WHERE id = %s", [theirs])


def test_a_name_that_is_taken_tells_nothing_of_who_has_it(login: Callable[[str], Connection]) -> None:
    ruth, bea, wanda, name = login("ruth"), login("bea"), login("wanda"), f"secret {next(_names)}"
    theirs = ready_model(ruth, wanda, train_model_name=name)
    ours = ready_model(bea, wanda)
    code, said, hint = message(bea, **TRAIN, train_model_name=name)
    assert (code, said) == ("23505", f'the model name "{name}" is taken')
    assert str(theirs) not in hint
    with refused("23505", f'the model name "{name}" is taken'):
        bea.execute("UPDATE ml_models SET name = %s WHERE id = %s", [name, ours])


# ── Life goes on ────────────────────────────────────────────────────────────────────────────────────


def test_a_team_s_whole_workflow_works(login: Callable[[str], Connection]) -> None:
    bea, wanda = login("bea"), login("wanda")
    for job_type, table in (("TEST", "ml_test_results"), ("COMPARE", "ml_comparisons")):
        job_id = running_job(bea, wanda, job_type)
        call(wanda, "record_progress", job_id, 1, "0.5")
        complete(wanda, job_id, job_type)
        assert job_row(bea, job_id)["status"] == "COMPLETED"
        assert one(bea, f"SELECT count(*) AS n FROM {table} WHERE job_id = {job_id}")["n"] == 1
    assert count(bea, "ml_leaderboard") >= 3


def test_installing_again_leaves_teams_as_they_are(db: Database, login: Callable[[str], Connection]) -> None:
    bea, owner = login("bea"), login("owner")
    theirs = "ml_jobs WHERE created_by = 'red'"
    install(db.login("owner"))
    assert count(bea, theirs) == 0
    for _ in range(2):
        owner.execute("CALL ml.separate_teams(false)")
        assert count(bea, theirs) > 0
    install(db.login("owner"))
    assert count(bea, theirs) > 0
    for _ in range(2):
        owner.execute("CALL ml.separate_teams(separate => true)")
        assert count(bea, theirs) == 0


def test_installing_separates_a_table_that_a_newer_version_brings(
    db: Database, login: Callable[[str], Connection]
) -> None:
    owner, bea = login("owner"), login("bea")
    owner.execute("ALTER TABLE ml_comparisons DISABLE ROW LEVEL SECURITY")
    owner.execute("DROP POLICY own_team ON ml_comparisons")
    theirs = "ml_comparisons c WHERE c.job_id <> ALL (ARRAY(SELECT id FROM ml_jobs))"
    assert count(bea, theirs) > 0
    install(db.login("owner"))
    assert count(bea, theirs) == 0


@pytest.mark.parametrize("user", ["ruth", "rosa", "wanda"])
def test_the_owner_alone_separates_teams(login: Callable[[str], Connection], user: str) -> None:
    with refused("42501", "permission denied for procedure separate_teams"):
        login(user).execute("CALL ml.separate_teams(false)")


def test_teams_are_separated_or_not(login: Callable[[str], Connection]) -> None:
    with refused("22004", "NULL", "CALL ml.separate_teams(true)"):
        login("owner").execute("CALL ml.separate_teams(NULL)")


def test_pruning_reaches_the_jobs_of_all_teams(make_database: Callable[[], Database], db: Database) -> None:
    fresh = make_database()
    with fresh.connect("owner") as owner, fresh.connect("ruth") as ruth, fresh.connect("bea") as bea:
        owner.execute("CALL ml.separate_teams(true)")
        for connection in (ruth, bea):
            connection.execute("CALL ml.cancel_job(%s)", [insert_job(connection, **TRAIN)])
        owner.execute("CALL ml.prune('0 seconds')")
        assert count(owner, "ml_jobs") == 0


def test_separating_waits_for_those_who_work_and_they_for_it(db: Database) -> None:
    """Readers take locks in an order of their own: nobody is told of a deadlock."""
    stop = threading.Event()
    errors: list[BaseException] = []
    rounds = itertools.count()

    def work() -> None:
        try:
            with db.connect("ruth") as ruth, db.connect("wanda") as wanda:
                while not stop.is_set():
                    with ruth.transaction():
                        ruth.execute("SELECT * FROM ml_leaderboard")
                        ruth.execute("SELECT * FROM ml_queue")
                    complete(wanda, running_job(ruth, wanda), "TRAIN")
                    next(rounds)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        with db.connect("owner") as owner:
            while next(rounds) < 12 and not errors:
                for separate in (False, True):
                    owner.execute("CALL ml.separate_teams(%s)", [separate])
    finally:
        stop.set()
        thread.join()
    assert errors == []


def test_separating_makes_the_functions_of_models_before_it_locks_anybody_out(
    make_database: Callable[[], Database],
) -> None:
    db = make_database()
    with ExitStack() as stack:
        owner, other, anna, wanda = (
            stack.enter_context(db.connect(user)) for user in ("owner", "owner", "anna", "wanda")
        )
        job_id = running_job(anna, wanda)
        complete(wanda, job_id, "TRAIN", **TREES)
        owner.execute("CALL ml.separate_teams(true)")
        assert "answer_row" in one(anna, FUNCTION, [f"model_of_job_{job_id}"])["prosrc"]
        with other.transaction():
            other.execute("LOCK TABLE ml_model_trees IN ACCESS EXCLUSIVE MODE")
            separating = threading.Thread(target=owner.execute, args=["CALL ml.separate_teams(false)"])
            separating.start()
            until(lambda: is_blocked(anna, owner), "the numbers of the model")
            for session in (anna, wanda):
                session.execute("SET lock_timeout TO '1ms'")
            running_job(anna, wanda)
        separating.join()
        assert "answer_row" not in one(anna, FUNCTION, [f"model_of_job_{job_id}"])["prosrc"]


FUNCTION = "SELECT prosrc FROM pg_proc WHERE proname = %s"


def is_blocked(watcher: Connection, blocked: Connection) -> bool:
    query = "SELECT cardinality(pg_blocking_pids(%s)) > 0 AS waits"
    return bool(one(watcher, query, [blocked.info.backend_pid])["waits"])


def test_separating_says_whose_transaction_it_waits_for(login: Callable[[str], Connection]) -> None:
    owner, rosa = login("owner"), login("rosa")
    said: list[str] = []
    owner.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    with rosa.transaction():
        rosa.execute("SELECT * FROM ml_jobs")
        owner.execute("SET statement_timeout = '4s'")
        with refused("57014"):
            owner.execute("CALL ml.separate_teams(false)")
    assert said == [f"waiting for open transactions: process {rosa.info.backend_pid} of rosa"]
