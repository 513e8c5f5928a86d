"""A scoring and its answers: both or none, by the attempt that holds the job, and found by an index."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import (
    SCORING_RESULT,
    Connection,
    Database,
    claim,
    insert_job,
    job_row,
    one,
    ready_model,
    record,
)
from tests.sql.helpers import (
    ANSWERS,
    SCORE_PERIOD,
    TEST_PERIOD,
    call,
    complete,
    count,
    events,
    refused,
    running_job,
    store,
    violates,
)


@pytest.fixture
def db(make_database: Callable[[], Database]) -> Database:
    """A database for each test: answers are counted."""
    return make_database()


def plan(connection: Connection, query: str) -> str:
    """How a query runs, as the planner sees it for a large table."""
    rows = connection.execute(f"EXPLAIN (FORMAT JSON) {query}")
    return json.dumps([row["QUERY PLAN"] for row in rows])


def test_answers_and_result_are_one_and_the_database_counts(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker, "SCORE")
    with worker.transaction():
        assert store(worker, job_id, answers=ANSWERS[:3]) == 3
        assert store(worker, job_id, answers=ANSWERS[3:]) == 1
        assert count(client, "ml_predictions") == 0
        scoring_id = record(worker, job_id, 1, **SCORING_RESULT, note="by others")
    scoring = one(client, "SELECT * FROM ml_scorings")
    assert (scoring["id"], scoring["num_samples"], scoring["num_positive"]) == (scoring_id, 4, 2)
    assert (str(scoring["share_positive"]), scoring["note"], scoring["attempt"]) == ("0.5000", "by others", 1)
    job = job_row(client, job_id)
    assert (job["status"], job["result_scoring_id"]) == ("COMPLETED", scoring_id)
    assert scoring["model_id"] == job["score_model_id"]
    said = f"scoring {scoring_id} of model {job['score_model_id']}: 4 rows, 50.0 % positive; by others"
    assert job["progress_msg"] == said
    found = client.execute("SELECT key, moment, probability FROM ml_predictions WHERE job_id = %s", [job_id])
    assert {(row["key"], row["probability"]) for row in found} == {(key, p) for key, _, p in ANSWERS}
    assert count(worker, "ml_fact_scorings WHERE num_samples = 4") == 1


@pytest.mark.parametrize(
    ("rows", "positive", "said"),
    [
        (1, 0, "1 row, 0 % positive"),
        (2, 2, "2 rows, 100 % positive"),
        (1_234_567, 1, "1,234,567 rows, 0.1 % positive"),
        (1_234_567, 1_234_566, "1,234,567 rows, 99.9 % positive"),
        (1000, 41, "1,000 rows, 4.1 % positive"),
    ],
)
def test_nothing_and_all_are_said_only_of_nothing_and_all(
    client: Connection, rows: int, positive: int, said: str
) -> None:
    assert one(client, "SELECT ml_internal.scoring_text(%s, %s) AS t", [rows, positive])["t"] == said


def test_answers_without_a_result_are_not_committed(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker, "SCORE")
    with refused("ML006", f"the answers of job {job_id} have no result", "in the transaction"):
        store(worker, job_id)
    assert count(client, "ml_predictions") == 0
    assert job_row(client, job_id)["status"] == "RUNNING"


def test_a_result_without_answers_is_refused(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker, "SCORE")
    with refused("ML002", f"attempt 1 of job {job_id} has stored no answers", "store_predictions"):
        record(worker, job_id, 1, **SCORING_RESULT)
    more = [{"model_id": 1, "key": "A", "moments": "{2024-03-01}", "probabilities": "{0.5}"}]
    with refused("ML002", "ml_predictions takes answers from workers alone"):
        complete(worker, job_id, "SCORE", ml_prediction_blocks=more)
    assert job_row(client, job_id)["status"] == "RUNNING"


def test_an_attempt_whose_answer_was_lost_asks_again_and_has_one_set(
    client: Connection, worker: Connection
) -> None:
    job_id = running_job(client, worker, "SCORE")
    scoring_id = complete(worker, job_id, "SCORE")
    # It has not seen that it is there.
    assert record(worker, job_id, 1, **SCORING_RESULT) == scoring_id
    with refused("ML001"):
        complete(worker, job_id, "SCORE")
    assert (count(client, "ml_predictions"), count(client, "ml_scorings")) == (len(ANSWERS), 1)


def test_an_attempt_that_stored_meanwhile_is_refused_at_its_commit(
    db: Database, client: Connection, worker: Connection
) -> None:
    """Its first transaction was committed while it stored all again."""
    job_id = running_job(client, worker, "SCORE")
    with db.connect("wanda") as first, refused("ML006"), worker.transaction():
        store(worker, job_id)
        scoring_id = complete(first, job_id, "SCORE")
        assert record(worker, job_id, 1, **SCORING_RESULT) == scoring_id
    assert (count(client, "ml_predictions"), count(client, "ml_scorings")) == (len(ANSWERS), 1)


def lost(client: Connection, worker: Connection, job_id: int) -> None:
    call(worker, "record_loss", job_id, 1, "gone")


def taken_over(client: Connection, worker: Connection, job_id: int) -> None:
    lost(client, worker, job_id)
    assert claim(worker)["attempt"] == 2


def cancelled(client: Connection, worker: Connection, job_id: int) -> None:
    client.execute("CALL ml.cancel_job(%s)", [job_id])


@pytest.mark.parametrize("end", [lost, taken_over, cancelled])
def test_whoever_holds_the_job_no_longer_stores_nothing(
    db: Database,
    client: Connection,
    worker: Connection,
    end: Callable[[Connection, Connection, int], None],
) -> None:
    job_id = running_job(client, worker, "SCORE")
    with db.connect("wanda") as late:
        with refused("ML001"), late.transaction():
            store(late, job_id)
            end(client, worker, job_id)  # it waits for nobody
            record(late, job_id, 1, **SCORING_RESULT)
        with refused("ML001"):
            store(late, job_id)
    assert (count(client, "ml_predictions"), count(client, "ml_scorings")) == (0, 0)
    assert (1, "COMPLETED") not in events(client, job_id)


def test_another_login_stores_nothing_for_an_attempt(
    db: Database, owner: Connection, client: Connection, worker: Connection
) -> None:
    job_id = running_job(client, worker, "SCORE")
    owner.execute("GRANT ml_worker TO rosa")
    try:
        with (
            db.connect("rosa") as other,
            refused("42501", f"attempt 1 of job {job_id} was claimed by another login"),
        ):
            store(other, job_id)
    finally:
        owner.execute("REVOKE ml_worker FROM rosa")


@pytest.mark.parametrize("job_type", ["TRAIN", "TEST", "COMPARE"])
def test_a_job_of_another_kind_has_no_answers(client: Connection, worker: Connection, job_type: str) -> None:
    job_id = running_job(client, worker, job_type)
    with refused("ML002", f"job {job_id} is no SCORE job", "Only a SCORE job"):
        store(worker, job_id)


@pytest.mark.parametrize(
    ("answer", "constraint"),
    [
        (("A", "2024-03-01", 1.5), "ml_prediction_blocks_probabilities_between_0_and_1"),
        (("A", "2024-03-01", float("nan")), "ml_prediction_blocks_probabilities_between_0_and_1"),
    ],
)
def test_an_answer_that_cannot_be_is_refused(
    client: Connection, worker: Connection, answer: tuple[str, str, float], constraint: str
) -> None:
    job_id = running_job(client, worker, "SCORE")
    with violates(constraint):
        store(worker, job_id, answers=[answer])


def test_each_answer_has_the_name_of_a_coin(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker, "SCORE")
    with refused("22023", "only 1 of 2 answers have the name of a coin", "Number the names from 1."):
        worker.execute(
            "SELECT ml_internal.store_predictions(%s, 1, '{A}', '{1,2}', '{2024-03-01,2024-03-01}', '{0,1}')",
            [job_id],
        )


@pytest.mark.parametrize("login", ["anna", "rosa", "wanda", "owner"])
def test_nobody_writes_answers_by_hand(
    db: Database, client: Connection, worker: Connection, login: str
) -> None:
    job_id = running_job(client, worker, "SCORE")
    complete(worker, job_id, "SCORE")
    with db.connect(login) as connection:
        assert count(connection, "ml_predictions") == len(ANSWERS)
        allowed = login == "owner"
        for statement in (
            "UPDATE ml_predictions SET probability = 1",
            "DELETE FROM ml_predictions",
            "UPDATE ml_prediction_blocks SET key = ''",
            "DELETE FROM ml_prediction_blocks",
            "TRUNCATE ml_prediction_blocks",
        ):
            with refused("ML003" if allowed else "42501"):
                connection.execute(statement.encode())
        for statement in (
            "INSERT INTO ml_predictions SELECT * FROM ml_predictions",
            "INSERT INTO ml_prediction_blocks (job_id, model_id, key, moments, probabilities)"
            " SELECT job_id, model_id, key, moments, probabilities FROM ml_prediction_blocks",
        ):
            with refused("ML002" if allowed else "42501"):
                connection.execute(statement.encode())
        if login != "wanda":
            with refused("ML001" if allowed else "42501"):
                store(connection, job_id)


@pytest.mark.parametrize(
    ("start", "end", "note"),
    [
        ("2024-03-01", "2024-04-01", None),
        ("2024-02-10", "2024-03-21", "50% overlap: "),
        ("2024-01-01", "2024-03-01", "100% overlap: "),
    ],
)
def test_a_period_that_the_model_was_trained_on_is_noted(
    client: Connection, worker: Connection, start: str, end: str, note: str | None
) -> None:
    job_id = running_job(client, worker, "SCORE", score_start=start, score_end=end)
    complete(worker, job_id, "SCORE")
    found = one(client, "SELECT note FROM ml_scorings WHERE job_id = %s", [job_id])["note"]
    assert found is None if note is None else found.startswith(note)


def test_a_model_is_asked_by_its_number_or_its_name(client: Connection, worker: Connection) -> None:
    model_id = ready_model(client, worker, train_model_name="storms")
    for who in ("storms", model_id):
        query = "SELECT ml.score(%s, '2024-03-01', '2024-04-01', priority => 2, max_minutes => 5) AS id"
        job = job_row(client, one(client, query, [who])["id"])
        assert (job["job_type"], job["score_model_id"], job["priority"]) == ("SCORE", model_id, 2)
        assert (str(job["score_start"])[:10], str(job["score_end"])[:10]) == ("2024-03-01", "2024-04-01")
    with refused("23502", "a SCORE job needs score_end", "Name these fields"):
        client.execute("SELECT ml.score('storms', '2024-03-01')")
    with refused("23514", "a SCORE job has no use for test_start"):
        insert_job(client, job_type="SCORE", score_model_id=model_id, **SCORE_PERIOD, test_start="2024-01-01")


def test_a_model_that_is_deleted_is_not_asked(client: Connection, worker: Connection) -> None:
    model_id = ready_model(client, worker)
    job_id = insert_job(client, job_type="SCORE", score_model_id=model_id, **SCORE_PERIOD)
    client.execute("UPDATE ml_models SET is_deleted = true WHERE id = %s", [model_id])
    with refused("23503", "deleted"):
        insert_job(client, job_type="SCORE", score_model_id=model_id, **SCORE_PERIOD)
    query = "SELECT * FROM ml_internal.claim_job('w1', '30 seconds', '{SCORE}')"
    assert worker.execute(query).fetchall() == []
    assert job_row(client, job_id)["status"] == "FAILED"


def test_a_worker_that_does_not_know_the_kind_gets_no_such_job(
    client: Connection, worker: Connection
) -> None:
    job_id = insert_job(client, job_type="SCORE", score_model_id=ready_model(client, worker), **SCORE_PERIOD)
    query = "SELECT * FROM ml_internal.claim_job('w1', '30 seconds', '{TRAIN,TEST,COMPARE}')"
    assert worker.execute(query).fetchall() == []
    assert job_row(client, job_id)["status"] == "PENDING"


def test_a_job_that_no_living_worker_does_says_so(client: Connection, worker: Connection) -> None:
    """As after an upgrade, until the workers are restarted."""
    model_id = ready_model(client, worker)
    call(worker, "record_sign", "old", 1, "1 minute")
    notices: list[str] = []
    client.add_notice_handler(lambda said: notices.append(said.message_primary or ""))
    job_id = insert_job(client, job_type="SCORE", score_model_id=model_id, **SCORE_PERIOD)
    why = "no worker that is running does SCORE jobs"
    assert notices == [f"{why}, so the job waits"]
    test_id = insert_job(client, job_type="TEST", test_model_id=model_id, **TEST_PERIOD)
    assert len(notices) == 1
    said = f"{why}; start one of this version: ml-worker run"
    queue = {row["id"]: row["progress_msg"] for row in client.execute("SELECT * FROM ml_queue")}
    assert queue == {job_id: said, test_id: None}
    line = one(client, "SELECT line FROM ml_internal.describe_job(%s)", [job_id])["line"]
    assert line == f"job {job_id} PENDING: {said}"
    call(worker, "record_sign", "new", 1, "1 minute", None, ["SCORE", "TEST"])
    assert one(client, "SELECT kinds FROM ml_workers WHERE worker_id = 'new'")["kinds"] == "SCORE, TEST"
    line = one(client, "SELECT line FROM ml_internal.describe_job(%s)", [job_id])["line"]
    assert line == f"job {job_id} PENDING"
    call(worker, "record_sign", "new", 1, "1 minute", "no room", ["SCORE", "TEST"])
    line = one(client, "SELECT line FROM ml_internal.describe_job(%s)", [job_id])["line"]
    assert line == f"job {job_id} PENDING: worker new has paused: no room"


def test_a_preview_does_not_ask_for_labels(client: Connection, worker: Connection) -> None:
    """Of the newest rows nobody knows them yet."""
    model_id = ready_model(client, worker, train_future_minutes=60)
    newest = one(client, "SELECT max(timestamp) - interval '10 minutes' AS at FROM coin_metrics")["at"]
    told = {}
    for job_type in ("SCORE", "TEST"):
        query = f"SELECT ml.{job_type.lower()}(%s::bigint, %s, '2025-01-01') AS id"
        job_id = one(client, query, [model_id, newest])["id"]
        rows = client.execute("SELECT * FROM ml.preview(%s)", [job_id])
        told[job_type] = {row["what"]: row["result"] for row in rows}
    assert "no row has a label" in told["TEST"]["would fail"]
    assert "would fail" not in told["SCORE"]
    assert told["SCORE"]["rows"] == told["TEST"]["rows"]


def test_the_report_of_a_model_has_its_scorings(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker, "SCORE")
    scoring_id = complete(worker, job_id, "SCORE")
    lines = client.execute(
        "SELECT r AS line FROM ml.report(%s) r", [job_row(client, job_id)["score_model_id"]]
    )
    said = [row["line"] for row in lines]
    assert "Scorings: 1" in said
    assert f"  scoring {scoring_id}, 2024-03-01 to 2024-04-01: 4 rows, 50.0 % positive" in said


@pytest.fixture
def answered(client: Connection, worker: Connection) -> dict[str, int]:
    """Two models that were asked, the first of them twice."""
    models = {name: ready_model(client, worker, train_model_name=name) for name in ("storms", "calms")}
    for name, answers in (
        ("storms", ANSWERS),
        ("calms", [("B", "2024-03-05", 0.1), ("C", "2024-03-05", 0.2)]),
        ("storms", [("A", "2024-03-03", 0.125), ("B", "2024-03-02", 0.5)]),
    ):
        job_id = insert_job(client, job_type="SCORE", score_model_id=models[name], **SCORE_PERIOD)
        claim(worker)
        with worker.transaction():
            store(worker, job_id, answers=answers)
            record(worker, job_id, 1, **SCORING_RESULT)
    return models


def test_the_newest_answer_of_each_coin(db: Database, client: Connection, answered: dict[str, int]) -> None:
    for who in ("storms", answered["storms"]):
        rows = client.execute("SELECT key, probability FROM ml.newest_answers(%s)", [who]).fetchall()
        assert {row["key"]: row["probability"] for row in rows} == {"A": 0.125, "B": 1.0}
    with db.connect("rosa") as reader:
        found = reader.execute("SELECT key FROM ml.newest_answers('calms')").fetchall()
        assert [row["key"] for row in found] == ["B", "C"]


def test_answers_are_found_by_an_index_and_never_by_reading_all(
    owner: Connection, client: Connection, worker: Connection
) -> None:
    """Of 2,000 coins with 20 answers each: those of a coin, the newest of each, and those of a job."""
    job_id = running_job(client, worker, "SCORE")
    model_id = job_row(client, job_id)["score_model_id"]
    with worker.transaction():
        worker.execute(
            """
            SELECT ml_internal.store_predictions(
                %s, 1, ARRAY(SELECT 'coin ' || n FROM generate_series(1, 2000) n),
                array_agg(c ORDER BY m, c), array_agg(
                    timestamptz '2024-03-01' + m * interval '1 minute' ORDER BY m, c
                ), array_agg(0.5::float8)
            )
            FROM generate_series(1, 2000) c CROSS JOIN generate_series(1, 20) m
            """,
            [job_id],
        )
        record(worker, job_id, 1, **SCORING_RESULT)
    owner.execute("ANALYZE ml_prediction_blocks")
    for query in (
        "SELECT * FROM ml_predictions WHERE key = 'coin 7'",
        f"SELECT * FROM ml_predictions WHERE (key, model_id) = ('coin 7', {model_id}) ORDER BY moment DESC",
        f"DELETE FROM ml_prediction_blocks WHERE job_id = ANY ('{{{job_id + 1}}}')",
    ):
        found = plan(owner, query)
        assert "ml_predictions_" in found, query
        assert "Seq Scan" not in found, query
    assert count(client, f"ml.newest_answers({model_id}) WHERE moment = '2024-03-01 00:20+00'") == 2000
    owner.execute("SET enable_seqscan TO on")
    read = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'ml_prediction_blocks'"
    owner.execute("SELECT pg_stat_force_next_flush()")
    before = one(owner, read)["seq_tup_read"]
    with owner.transaction():
        owner.execute("SELECT * FROM ml.newest_answers(%s)", [model_id])
    owner.execute("SELECT pg_stat_force_next_flush()")
    assert one(owner, read)["seq_tup_read"] == before


def test_the_distribution_of_answers_by_day_is_that_of_all_answers(
    client: Connection, worker: Connection, answered: dict[str, int]
) -> None:
    job_id = insert_job(client, job_type="SCORE", score_model_id=answered["storms"], **SCORE_PERIOD)
    claim(worker)
    with worker.transaction():
        for place, share in enumerate(("0", "0.1", "0.5", "0.5000001", "0.7", "1")):
            store(worker, job_id, answers=[("A", f"2024-03-0{1 + place % 2} 23:30+00", float(share))] * 2)
        record(worker, job_id, 1, **SCORING_RESULT)
    found = client.execute("SELECT * FROM ml_fact_predictions ORDER BY model_id, day, bin").fetchall()
    counted = client.execute(
        """
        SELECT model_id, (moment AT TIME ZONE 'UTC')::date AS day, b.bin, bin_start, bin_end,
            count(*) AS num_answers
        FROM ml_predictions
        JOIN (
            SELECT n AS bin, (n - 1) / 10.0 AS bin_start, n / 10.0 AS bin_end FROM generate_series(1, 10) n
        ) b ON probability > bin_start AND probability <= bin_end OR bin = 1 AND probability = 0
        GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3
        """
    ).fetchall()
    assert found == counted
    assert len(found) > 6


def test_old_answers_go_with_their_job_though_the_model_stays(
    owner: Connection, client: Connection, answered: dict[str, int]
) -> None:
    owner.execute("CALL ml.prune('1 hour')")
    assert (count(client, "ml_predictions"), count(client, "ml_scorings")) == (8, 3)
    owner.execute("CALL ml.prune('0 seconds')")
    assert (count(client, "ml_predictions"), count(client, "ml_scorings")) == (0, 0)
    assert count(client, "ml_models WHERE status = 'READY'") == 2
    assert count(client, "ml_jobs WHERE job_type = 'SCORE'") == 0


def test_answers_of_another_team_are_hidden(
    db: Database, owner: Connection, answered: dict[str, int]
) -> None:
    owner.execute("CREATE ROLE zoe LOGIN PASSWORD 'only-for-tests' IN ROLE ml_client")
    try:
        owner.execute("CALL ml.separate_teams(true)")
        with db.connect("zoe") as zoe, db.connect("anna") as anna:
            for relation in ("ml_predictions", "ml_scorings", "ml_fact_scorings", "ml_fact_predictions"):
                assert count(zoe, relation) == 0
                assert count(anna, relation) > 0
            query = "SELECT key FROM ml.newest_answers(%s::bigint)"
            assert zoe.execute(query, [answered["storms"]]).fetchall() == []
            assert len(anna.execute(query, [answered["storms"]]).fetchall()) == 2
            anna.execute("SET enable_seqscan TO off")
            for query in ("key = 'A'", "key > 'A' ORDER BY key LIMIT 1"):
                found = plan(anna, f"SELECT key FROM ml_predictions WHERE {query}")
                assert '"Index Cond": "(key' in found
    finally:
        owner.execute("CALL ml.separate_teams(false)")
        owner.execute("DROP ROLE zoe")


def test_two_answers_of_a_coin_at_one_moment_stay_two(client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker, "SCORE")
    twice: list[Any] = [("", "2024-03-01", 0.25), ("", "2024-03-01", 0.25)]
    with worker.transaction():
        store(worker, job_id, answers=twice)
        record(worker, job_id, 1, **SCORING_RESULT)
    assert count(client, "ml_predictions WHERE key = ''") == 2


def test_a_cancel_waits_for_no_answers(db: Database, client: Connection, worker: Connection) -> None:
    job_id = running_job(client, worker, "SCORE")
    client.execute("SET lock_timeout TO '1s'")
    with refused("ML001"), worker.transaction():
        store(worker, job_id)
        client.execute("UPDATE ml_jobs SET status = 'CANCELLED' WHERE id = %s", [job_id])
        record(worker, job_id, 1, **SCORING_RESULT)
    assert count(client, "ml_predictions") == 0
