"""What operators and reports are shown. All of it only reads."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from worker.database.connection import Connection, UnsuitableDatabaseError, connect
from worker.database.deadlines import deadline
from worker.database.schema import check_version


def connect_reader(url: str, timeout: float = 10) -> Connection:
    """Open a connection that only reads, as whatever login ``url`` has; ``ml_reader`` suffices.

    Raises:
        psycopg.OperationalError: the server cannot be reached.
        UnsuitableDatabaseError: the login may not read, or the schema is missing, older or newer.
    """
    connection = connect(url, timeout=timeout)
    try:
        with deadline(connection, timeout):
            connection.execute("SET default_transaction_read_only TO on")
            check_version(connection, to_read=True)
            connection.execute("SELECT FROM public.ml_queue LIMIT 0")
    except psycopg.errors.InsufficientPrivilege as error:
        user = connection.info.user
        connection.close()
        raise UnsuitableDatabaseError(
            f'the login {user} may not read here; as an administrator run: GRANT ml_reader TO "{user}"'
        ) from error
    except BaseException:
        connection.close()
        raise
    return connection


def living_workers(connection: Connection, host: str) -> list[tuple[str, str | None]]:
    """Workers on this host that look at the queue, each with what keeps it from jobs if anything does."""
    rows = connection.execute("SELECT worker_id, reason FROM public.ml_workers WHERE host = %s", [host])
    return [(worker_id, reason) for worker_id, reason in rows]


def count_queue(connection: Connection) -> list[dict[str, Any]]:
    """Jobs that wait or run, of every kind and state, and the age in seconds of the oldest that waits.

    It reads those alone, by their index: jobs that have ended cost nothing.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            SELECT k.job_type, s.status, coalesce(c.jobs, 0) AS jobs, coalesce(c.oldest, 0) AS oldest
            FROM ml.job_kinds k
            CROSS JOIN (VALUES ('PENDING'), ('RUNNING')) s (status)
            LEFT JOIN (
                SELECT j.job_type, j.status, count(*) AS jobs,
                    greatest(0, date_part('epoch', clock_timestamp() - min(j.created_at))) AS oldest
                FROM public.ml_jobs j
                WHERE j.status IN ('PENDING', 'RUNNING')
                GROUP BY j.job_type, j.status
            ) c ON (c.job_type, c.status) = (k.job_type, s.status)
            ORDER BY k.job_type, s.status
            """
        ).fetchall()


def listen_status(connection: Connection) -> None:
    """Be told when jobs come, start and end: the socket becomes readable. A standby tells nothing."""
    connection.add_notify_handler(lambda _notification: None)  # noted by then, and not kept
    with suppress(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("LISTEN ml_jobs")
        connection.execute("LISTEN ml_job_status")


# By index, however many jobs there are: what runs, the head of the queue, the latest that ended of each type.
_LIVELY_JOBS: LiteralString = """
    SELECT j.id, j.job_type, j.status, j.priority, j.progress::float8 AS progress, j.progress_msg,
        j.error_msg, j.attempt, j.worker_id,
        j.model || CASE WHEN j.source <> 'coin_metrics' THEN ' in ' || j.source ELSE '' END AS model,
        date_part('epoch', coalesce(j.started_at, now()) - j.created_at) AS waiting,
        date_part('epoch', coalesce(j.completed_at, now()) - j.started_at) AS running,
        date_part('epoch', now() - j.completed_at) AS ended
    FROM (
        (
            SELECT NULL AS position, x.* FROM ml.jobs x
            WHERE x.status = 'RUNNING' ORDER BY x.started_at LIMIT %(limit)s
        )
        UNION ALL
        (
            SELECT n.place AS position, w.* FROM ml_internal.next_jobs(%(limit)s) n
            CROSS JOIN LATERAL (SELECT * FROM ml.jobs x WHERE x.id = n.id OFFSET 0) w
        )
        UNION ALL
        (
            SELECT NULL, e.*
            FROM ml.job_kinds y
            CROSS JOIN LATERAL (
                SELECT * FROM ml.jobs x
                WHERE x.job_type = y.job_type AND x.completed_at IS NOT NULL
                ORDER BY x.completed_at DESC
                LIMIT %(limit)s
            ) e
            ORDER BY e.completed_at DESC
            LIMIT %(limit)s
        )
    ) j
    ORDER BY j.completed_at DESC NULLS FIRST, j.position NULLS FIRST, j.started_at, j.id
"""
_LIVING_WORKERS: LiteralString = """
    SELECT w.worker_id, w.state, w.reason, w.concurrency, w.running, w.job_ids,
        date_part('epoch', now() - w.started_at) AS up,
        date_part('epoch', now() - w.last_sign_at) AS seen
    FROM public.ml_workers w
"""


def fetch_overview(connection: Connection, limit: int) -> dict[str, list[dict[str, Any]]]:
    """What goes on now.

    Returns:
        ``counts`` as :func:`count_queue`, ``workers``, and ``jobs``: those that run, those that wait in their
        order, and the latest that ended; at most ``limit`` of each. Times are in seconds.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        return {
            "counts": count_queue(connection),
            "workers": cursor.execute(_LIVING_WORKERS).fetchall(),
            "jobs": cursor.execute(_LIVELY_JOBS, {"limit": limit}).fetchall(),
        }


def models_without_numbers(connection: Connection) -> list[tuple[str, str, dict[str, Any]]]:
    """READY models that ``ml.predict`` cannot be asked for: name, versions of libraries, description."""
    return connection.execute(
        """
        SELECT m.name, r.library_versions_csv, ml_internal.describe_model(m)
        FROM public.ml_models m
        JOIN public.ml_training_runs r ON r.model_id = m.id
        WHERE NOT m.is_deleted
            AND NOT EXISTS (SELECT FROM public.ml_model_numbers n WHERE n.job_id = r.job_id)
        ORDER BY m.id
        """
    ).fetchall()


def unequal_models(connection: Connection) -> list[tuple[int, str, float]]:
    """Models for which the database answers otherwise than the worker did: id, name, greatest difference."""
    return connection.execute(
        "SELECT model_id, name, difference FROM ml_internal.unequal_models()"
    ).fetchall()


def running_attempts(connection: Connection) -> set[tuple[int, int]]:
    """Attempts that may be writing a file: (model id, attempt)."""
    rows = connection.execute(
        """
        SELECT m.id, j.attempt
        FROM public.ml_jobs j
        JOIN public.ml_models m ON m.train_job_id = j.id
        WHERE j.status = 'RUNNING'
        """
    )
    return {(model_id, attempt) for model_id, attempt in rows}


_SHOWN: LiteralString = """
    (c.source = 'training' AND c.source_id = ANY (%(training)s::bigint[])
    OR c.source = 'test' AND c.source_id = ANY (%(test)s::bigint[]))
"""
_MODELS_OF_REPORT: LiteralString = """
    SELECT d.*, m.phases_csv, m.params_csv,
        (SELECT count(*) FROM public.ml_model_features f WHERE f.model_id = d.model_id) AS num_features
    FROM public.ml_dim_models d
    JOIN public.ml_models m ON m.id = d.model_id
    WHERE d.model_id = ANY (%s::bigint[])
"""
# The training run of each model, and its latest test, of those outside its training period if there are any.
_MEASUREMENTS: LiteralString = """
    SELECT DISTINCT ON (s.model_id, s.source)
        s.*, r.holdout, r.num_coins, r.num_fitted, r.num_gap, r.mean_uniqueness, t.overlap_note,
        CASE WHEN NOT EXISTS (SELECT FROM public.ml_warnings w WHERE w.job_id = r.job_id) THEN r.warnings END
            AS warnings,
        CASE s.source WHEN 'training' THEN ml_internal.folds_text(s.job_id) END AS folds,
        coalesce(r.num_unlabelled, t.num_unlabelled) AS num_unlabelled,
        coalesce(r.num_without_base, t.num_without_base) AS num_without_base,
        coalesce(r.num_uncovered, t.num_uncovered) AS num_uncovered,
        coalesce(
            ml_internal.baseline_verdict(
                s.beats_baseline, s.best_baseline, s.f1_score, s.baseline_f1,
                coalesce(r.baseline_lower, t.baseline_lower), coalesce(r.baseline_upper, t.baseline_upper),
                coalesce(r.baseline_note, t.baseline_note)
            ),
            ml_internal.verdict(s.tp, s.tn, s.fp, s.fn)
        ) AS verdict
    FROM public.ml_measurements s
    LEFT JOIN public.ml_training_runs r ON s.source = 'training' AND r.id = s.source_id
    LEFT JOIN public.ml_test_results t ON s.source = 'test' AND t.id = s.source_id
    WHERE s.model_id = ANY (%s::bigint[])
    ORDER BY s.model_id, s.source, t.has_overlap, s.created_at DESC, s.source_id DESC
"""
_COMPARISONS: LiteralString = """
    SELECT c.* FROM public.ml_fact_comparisons c
    WHERE c.model_a_id = ANY (%(models)s::bigint[]) AND c.model_b_id = ANY (%(models)s::bigint[])
    ORDER BY c.created_at DESC, c.comparison_id DESC
"""
# What speaks against these measurements, and against comparisons among the models: of each code the first.
_WARNINGS: LiteralString = """
    SELECT DISTINCT ON (w.model_id, w.job_id, w.code, w.severity)
        w.model_id, w.job_id, w.job_type, w.severity, w.code, w.sentence, w.advice,
        count(*) OVER (PARTITION BY w.model_id, w.job_id, w.code, w.severity) AS alike
    FROM public.ml_fact_warnings w
    WHERE w.model_id = ANY (%s::bigint[]) AND w.job_id = ANY (%s::bigint[])
    ORDER BY w.model_id, w.job_id, w.code, w.severity, w.warning_id
"""
_SEEN: LiteralString = """
    SELECT s.job_id, s.is_seen, s.num_coins, s.num_samples, s.f1_score, s.roc_auc
    FROM public.ml_seen_unseen s
    WHERE s.model_id = ANY (%s::bigint[]) AND s.job_id = ANY (%s::bigint[])
    ORDER BY s.job_id, s.is_seen DESC
"""
_INTERVALS: LiteralString = """
    SELECT i.* FROM public.ml_intervals i
    WHERE i.job_id = ANY (%s::bigint[])
    ORDER BY i.job_id, i.side, i.lower IS NULL, ml_internal.place_of_metric(i.metric)
"""
_CURVES: dict[str, LiteralString] = {
    "roc": """
        SELECT c.model_id, c.source, c.threshold, c.fpr AS x, c.tpr AS y FROM public.ml_roc_curve c
        WHERE {shown} AND c.fpr IS NOT NULL AND c.tpr IS NOT NULL ORDER BY c.threshold DESC NULLS LAST
    """,
    "pr": """
        SELECT c.model_id, c.source, c.threshold, c.recall AS x, c.precision_score AS y
        FROM public.ml_pr_curve c
        WHERE {shown} AND c.recall IS NOT NULL ORDER BY c.threshold DESC NULLS LAST
    """,
    "calibration": """
        SELECT c.model_id, c.source, c.bin_start, c.bin_end, c.mean_predicted AS x, c.share_positive AS y,
            c.num_samples
        FROM public.ml_calibration c WHERE {shown} AND c.num_samples > 0 ORDER BY c.bin
    """,
    "sweep": """
        SELECT DISTINCT ON (c.source, c.model_id) c.model_id, c.source, c.threshold, c.f1_score
        FROM public.ml_threshold_sweep c WHERE {shown}
        ORDER BY c.source, c.model_id, c.f1_score DESC NULLS LAST, abs(c.threshold - 0.5)
    """,
    "importances": """
        SELECT c.model_id, c.source, c.feature, c.importance FROM public.ml_fact_importances c
        WHERE {shown} ORDER BY c.rank
    """,
}

_BASELINES: LiteralString = """
    SELECT b.*, ml_internal.baseline_text(b.baseline) AS name
    FROM public.ml_baselines b
    WHERE b.job_id = ANY (%s::bigint[])
    ORDER BY b.job_id, array_position(
        '{always_positive,always_negative,positive_share,persistence,best_feature}', b.baseline
    )
"""

# The last days that have answers: how many, how many above the model's threshold, and by bin.
_ANSWERS: LiteralString = """
    SELECT a.*
    FROM (
        SELECT p.model_id, p.day, sum(p.num_answers)::bigint AS num_answers,
            sum(p.num_positive)::bigint AS num_positive,
            array_agg(p.bin ORDER BY p.bin) AS bins, array_agg(p.num_answers ORDER BY p.bin) AS counts,
            row_number() OVER (PARTITION BY p.model_id ORDER BY p.day DESC) AS place
        FROM (
            SELECT b.model_id, b.day, b.bin, sum(b.num_answers)::bigint AS num_answers,
                -- NULL is older than thresholds.
                sum(coalesce(b.num_positive, CASE WHEN b.bin > 5 THEN b.num_answers ELSE 0 END))
                    AS num_positive
            FROM public.ml_prediction_bins b
            WHERE b.model_id = ANY (%s::bigint[])
            GROUP BY b.model_id, b.day, b.bin
        ) p
        GROUP BY p.model_id, p.day
    ) a
    WHERE a.place <= 31
    ORDER BY a.model_id, a.day
"""


def fetch_report(connection: Connection, model_ids: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
    """All that a report on these models shows, as of one moment: rows of the views, by topic.

    Returns:
        ``models``, ``measurements`` (training run and latest test), their ``baselines``, ``intervals``,
        ``roc``, ``pr`` and ``calibration`` as points x, y, ``sweep`` (the threshold of the best F1),
        ``importances``, ``comparisons`` among the models, ``answers`` by day, ``warnings`` of all these, and
        measurements apart for coins that were ``seen`` in training.
    """
    ids = list(model_ids)
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        found = {
            "models": cursor.execute(_MODELS_OF_REPORT, [ids]).fetchall(),
            "measurements": cursor.execute(_MEASUREMENTS, [ids]).fetchall(),
            "comparisons": cursor.execute(_COMPARISONS, {"models": ids}).fetchall(),
            "answers": cursor.execute(_ANSWERS, [ids]).fetchall(),
        }
        jobs = [row["job_id"] for row in (*found["measurements"], *found["comparisons"])]
        found["warnings"] = cursor.execute(_WARNINGS, [ids, jobs]).fetchall()
        found["seen"] = cursor.execute(_SEEN, [ids, jobs]).fetchall()
        found["baselines"] = cursor.execute(_BASELINES, [jobs]).fetchall()
        found["intervals"] = cursor.execute(_INTERVALS, [jobs]).fetchall()
        shown = {
            source: [row["source_id"] for row in found["measurements"] if row["source"] == source]
            for source in ("training", "test")
        }
        return found | {
            topic: cursor.execute(sql.SQL(text).format(shown=sql.SQL(_SHOWN)), shown).fetchall()
            for topic, text in _CURVES.items()
        }
