"""The protocol in plain Python, the same calls against a database, and what is always true of its tables."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.conftest import COMPARISON_RESULT, TEST_RESULT, TRAINING_RESULT, Connection, record

TERMINAL = ("COMPLETED", "FAILED", "CANCELLED")
RESULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "TRAIN": ("ml_training_runs", TRAINING_RESULT),
    "TEST": ("ml_test_results", TEST_RESULT),
    "COMPARE": ("ml_comparisons", COMPARISON_RESULT),
}
MESSAGES = {"fail": "record_failure", "lose": "record_loss", "release": "release_job"}


@dataclass
class Job:
    """A job as the protocol wants it: a call returns its outcome, a word or the SQLSTATE of the refusal."""

    job_type: str = "TRAIN"
    max_attempts: int = 3
    status: str = "PENDING"
    attempt: int = 0
    lease_is_over: bool = False
    ends: list[tuple[int, str]] = field(default_factory=list)

    def claim(self, lease: str = "0") -> str:
        if self.status != "PENDING":
            return "nothing"
        self.status, self.lease_is_over = "RUNNING", lease == "0"
        self.attempt += 1
        return f"attempt {self.attempt}"

    def progress(self, attempt: int, lease: str = "0") -> str:
        if not self._holds(attempt):
            return "ML001"
        self.lease_is_over = lease == "0"
        return "renewed"

    def record(self, attempt: int, job_type: str | None = None) -> str:
        if job_type not in (None, self.job_type):
            return "42703"  # its result has other columns
        if (attempt, "COMPLETED") in self.ends:
            return "recorded"
        if not self._holds(attempt):
            return "ML001"
        self._end("COMPLETED", "COMPLETED")
        return "recorded"

    def fail(self, attempt: int) -> str:
        if {event for ended, event in self.ends if ended == attempt} == {"FAILED"}:
            return "FAILED"
        if not self._holds(attempt):
            return "ML001"
        return self._end("FAILED", "FAILED")

    def lose(self, attempt: int) -> str:
        if (attempt, "EXPIRED") not in self.ends:
            if not self._holds(attempt):
                return "ML001"
            self._end("EXPIRED", "PENDING")
            if sum(event == "EXPIRED" for _, event in self.ends) >= self.max_attempts:
                self._end("FAILED", "FAILED")
        return "FAILED" if (attempt, "FAILED") in self.ends else "PENDING"

    def release(self, attempt: int) -> str:
        if (attempt, "RELEASED") in self.ends:
            return "PENDING"
        if not self._holds(attempt):
            return "ML001"
        return self._end("RELEASED", "PENDING")

    def expire(self) -> str:
        if self.status != "RUNNING" or not self.lease_is_over:
            return "nothing"
        self.lose(self.attempt)
        return "expired 1"

    def cancel(self) -> str:
        if self.status in ("COMPLETED", "FAILED"):
            return "ML002"
        if self.status != "CANCELLED":
            self._end("CANCELLED", "CANCELLED")
        return "cancelled"

    def _holds(self, attempt: int) -> bool:
        return (self.status, self.attempt) == ("RUNNING", attempt)

    def _end(self, event: str, status: str) -> str:
        self.ends.append((self.attempt, event))
        self.status = status
        return status


def call(
    connection: Connection, name: str, job_id: int, attempt: int, job_type: str, lease: str = "0"
) -> str:
    """Make one call of the protocol as a user makes it; returns its outcome as :class:`Job` does."""
    try:
        return _call(connection, name, job_id, attempt, job_type, lease)
    except psycopg.Error as error:
        return error.sqlstate or repr(error)


def _call(connection: Connection, name: str, job_id: int, attempt: int, job_type: str, lease: str) -> str:
    values: list[Any] = [job_id, attempt]
    if name == "record":
        table, result = RESULTS[job_type]
        recorded = record(connection, job_id, attempt, **result)
        stored = connection.execute(f"SELECT id FROM {table} WHERE job_id = %s", [job_id]).fetchall()
        assert stored == [{"id": recorded}]
        return "recorded"
    if name == "cancel":
        connection.execute("CALL ml.cancel_job(%s)", [job_id])
        return "cancelled"
    if name == "claim":
        # A worker of its own for each claim: that of an attempt can be told from the one before.
        query = "SELECT * FROM ml_internal.claim_job('w' || gen_random_uuid(), %s, '{TRAIN,TEST,COMPARE}')"
        rows = connection.execute(query, [f"{lease} seconds"]).fetchall()
        assert [row["id"] for row in rows] in ([], [job_id])
        return f"attempt {rows[0]['attempt']}" if rows else "nothing"
    if name == "expire":
        expired = connection.execute("SELECT ml_internal.expire_leases() AS n").fetchall()[0]["n"]
        return f"expired {expired}" if expired else "nothing"
    if name == "progress":
        query = "SELECT ml_internal.record_progress(%s, %s, 0.5, 'half', %s)"
        connection.execute(query, [*values, f"{lease} seconds"])
        return "renewed"
    answer = connection.execute(
        f"SELECT ml_internal.{MESSAGES[name]}(%s, %s, 'because') AS status", values
    ).fetchall()
    return str(answer[0]["status"])


# What each job must be, recomputed from its events alone, beside what the tables say.
_VIOLATIONS = """
WITH implied AS (
    SELECT j.id,
        coalesce((
            SELECT CASE e.event
                WHEN 'CLAIMED' THEN 'RUNNING' WHEN 'RELEASED' THEN 'PENDING' WHEN 'EXPIRED' THEN 'PENDING'
                ELSE e.event
            END
            FROM ml_job_events e WHERE e.job_id = j.id AND e.event <> 'PROGRESS' ORDER BY e.id DESC LIMIT 1
        ), 'PENDING') AS status,
        e.*
    FROM ml_jobs j
    CROSS JOIN LATERAL (
        SELECT
            count(*) FILTER (WHERE event IN ('COMPLETED', 'FAILED', 'CANCELLED')) AS ends,
            count(*) FILTER (WHERE event = 'EXPIRED') AS losses,
            coalesce(max(attempt) FILTER (WHERE event = 'CLAIMED'), 0) AS attempt,
            coalesce(array_agg(attempt ORDER BY id) FILTER (WHERE event = 'CLAIMED'), '{}') AS claims,
            (array_agg(worker_id ORDER BY id DESC) FILTER (WHERE event = 'CLAIMED'))[1] AS worker_id,
            (array_agg(lease_until ORDER BY id DESC) FILTER (WHERE lease_until IS NOT NULL))[1]
                AS lease_until,
            (array_agg(message ORDER BY id DESC) FILTER (WHERE event = 'FAILED'))[1] AS error_msg,
            coalesce(min(id) FILTER (WHERE event IN ('COMPLETED', 'FAILED', 'CANCELLED')) = max(id), true)
                AS ends_last,
            coalesce(bool_and(event = 'CLAIMED' OR attempt = claimed), true) AS within_attempt
        FROM (
            SELECT e.*,
                coalesce(max(attempt) FILTER (WHERE event = 'CLAIMED') OVER (ORDER BY id), 0) AS claimed
            FROM ml_job_events e WHERE e.job_id = j.id
        ) e
    ) e
    WHERE j.id = ANY (%(ids)s)
), results AS (
    SELECT job_id, attempt, 'TRAIN' AS job_type, model_id AS result_id, NULL::bigint AS a, NULL::bigint AS b
    FROM ml_training_runs WHERE job_id = ANY (%(ids)s)
    UNION ALL
    SELECT job_id, attempt, 'TEST', id, model_id, NULL FROM ml_test_results WHERE job_id = ANY (%(ids)s)
    UNION ALL
    SELECT job_id, attempt, 'COMPARE', id, model_a_id, model_b_id FROM ml_comparisons
    WHERE job_id = ANY (%(ids)s)
)
SELECT j.id, j.job_type, j.status, j.attempt, rule
FROM ml_jobs j
JOIN implied i ON i.id = j.id
LEFT JOIN ml_models m ON m.train_job_id = j.id
LEFT JOIN ml_training_runs r ON r.model_id = m.id
CROSS JOIN LATERAL (
    SELECT count(*) AS n, min(result_id) AS result_id, min(attempt) AS attempt, min(job_type) AS job_type,
        min(a) AS a, min(b) AS b
    FROM results WHERE job_id = j.id
) f
CROSS JOIN LATERAL (VALUES
    ('the state is what the events imply', j.status = i.status),
    ('the attempt is the last that was claimed', j.attempt = i.attempt),
    ('attempts rise by one from one',
        i.claims = ARRAY(SELECT n FROM generate_series(1, i.attempt) n)),
    ('an event belongs to the attempt that was claimed last', i.within_attempt),
    ('a job ends once, and nothing happens after',
        i.ends = CASE WHEN j.completed_at IS NULL THEN 0 ELSE 1 END AND i.ends_last),
    ('a job has no more losses than attempts', i.losses <= least(j.max_attempts, j.attempt)),
    ('a job that lost all its attempts is not tried again',
        i.losses < j.max_attempts OR j.status = 'FAILED'),
    ('the worker is the one that claimed it', j.worker_id IS NOT DISTINCT FROM i.worker_id),
    ('the lease is the last that was given',
        CASE j.status WHEN 'RUNNING' THEN j.lease_until = i.lease_until ELSE j.lease_until IS NULL END),
    ('the reason is that of its failure',
        j.error_msg IS NOT DISTINCT FROM i.error_msg AND (j.error_msg IS NOT NULL) = (j.status = 'FAILED')),
    ('a job has one result if it is COMPLETED, else none',
        f.n = CASE j.status WHEN 'COMPLETED' THEN 1 ELSE 0 END),
    ('the result is of the attempt that holds the job, and of its type',
        f.n = 0 OR (f.attempt, f.job_type) = (j.attempt, j.job_type)),
    ('the job names its result',
        f.result_id IS NOT DISTINCT FROM
            coalesce(j.result_model_id, j.result_test_id, j.result_comparison_id)),
    ('the result is of the models that the job asked for',
        f.n = 0 OR (f.a, f.b) IS NOT DISTINCT FROM
            (coalesce(j.test_model_id, j.compare_model_a_id), j.compare_model_b_id)),
    ('a TRAIN job that was ever claimed has a model, no other job has',
        (m.id IS NOT NULL) = (j.job_type = 'TRAIN' AND j.attempt > 0)),
    ('the model agrees with its job',
        m.id IS NULL OR m.status = CASE j.status
            WHEN 'COMPLETED' THEN 'READY' WHEN 'FAILED' THEN 'FAILED' WHEN 'CANCELLED' THEN 'FAILED'
            ELSE 'TRAINING'
        END),
    ('a READY model has its run and its file, no other model has',
        m.id IS NULL OR (m.status = 'READY') = (r.id IS NOT NULL)
            AND m.model_file_path IS NOT DISTINCT FROM r.artifact_path)
) AS rules (rule, holds)
WHERE holds IS NOT TRUE
ORDER BY j.id
"""


def violations(connection: Connection, job_ids: Sequence[int]) -> list[Any]:
    """Rules that these jobs break, with the job; none if all is well."""
    return connection.execute(_VIOLATIONS, {"ids": list(job_ids)}).fetchall()
