"""What must hold once all is quiet, from the tables alone: each query gives the rows that break a rule."""

TERMINAL = "('COMPLETED', 'FAILED', 'CANCELLED')"

_RESULTS = """(
    SELECT job_id, attempt, 'TRAIN' AS job_type FROM ml_training_runs
    UNION ALL SELECT job_id, attempt, 'TEST' FROM ml_test_results
    UNION ALL SELECT job_id, attempt, 'COMPARE' FROM ml_comparisons
    UNION ALL SELECT job_id, attempt, 'SCORE' FROM ml_scorings
)"""

LOST = {
    "every accepted job is in a terminal state": f"""
        SELECT id AS job_id, status, progress_msg FROM ml_jobs
        WHERE status NOT IN {TERMINAL} OR completed_at IS NULL OR lease_until IS NOT NULL""",
    "every accepted job has a terminal event": f"""
        SELECT id AS job_id, status FROM ml_jobs j
        WHERE NOT EXISTS (SELECT FROM ml_job_events e WHERE e.job_id = j.id AND e.event IN {TERMINAL})""",
}

DUPLICATED = {
    "no job has two terminal events": f"""
        SELECT job_id, array_agg(event ORDER BY id) AS events FROM ml_job_events
        WHERE event IN {TERMINAL} GROUP BY job_id HAVING count(*) > 1""",
    "no job has two results": f"""
        SELECT job_id, array_agg(attempt) AS attempts FROM {_RESULTS} r
        GROUP BY job_id HAVING count(*) > 1""",
}

OTHERS = {
    "the state of a job is its terminal event": f"""
        SELECT j.id AS job_id, j.status, j.attempt, e.event, e.attempt AS event_attempt
        FROM ml_jobs j JOIN ml_job_events e ON e.job_id = j.id AND e.event IN {TERMINAL}
        WHERE (e.event, e.attempt) IS DISTINCT FROM (j.status, j.attempt)""",
    "a job is COMPLETED if and only if it has a result, of its type and last attempt": f"""
        SELECT coalesce(j.id, r.job_id) AS job_id, j.attempt, r.job_type, r.attempt AS result_attempt
        FROM (SELECT * FROM ml_jobs WHERE status = 'COMPLETED') j
        FULL JOIN {_RESULTS} r ON r.job_id = j.id
        WHERE (j.job_type, j.attempt) IS DISTINCT FROM (r.job_type, r.attempt)""",
    "a COMPLETED job names its own result": """
        SELECT j.id AS job_id FROM ml_jobs j
        WHERE j.status = 'COMPLETED' AND NOT (
            EXISTS (SELECT FROM ml_training_runs r WHERE r.job_id = j.id AND r.model_id = j.result_model_id)
            OR EXISTS (SELECT FROM ml_test_results r WHERE r.job_id = j.id AND r.id = j.result_test_id)
            OR EXISTS (SELECT FROM ml_comparisons r WHERE r.job_id = j.id AND r.id = j.result_comparison_id)
            OR EXISTS (SELECT FROM ml_scorings r WHERE r.job_id = j.id AND r.id = j.result_scoring_id)
        )""",
    "a scoring has its answers, all of them once, and there are no others": """
        SELECT job_id, s.num_samples, p.num_answers
        FROM ml_scorings s
        FULL JOIN (
            SELECT job_id, count(*) AS num_answers FROM ml_predictions GROUP BY job_id
        ) p USING (job_id)
        WHERE s.num_samples IS DISTINCT FROM p.num_answers""",
    "attempts are claimed as 1, 2, 3, without gaps or repeats": """
        SELECT j.id AS job_id, j.attempt, c.attempts
        FROM ml_jobs j
        CROSS JOIN LATERAL (
            SELECT coalesce(array_agg(e.attempt ORDER BY e.id), '{}') AS attempts
            FROM ml_job_events e WHERE e.job_id = j.id AND e.event = 'CLAIMED'
        ) c
        WHERE c.attempts <> ARRAY(SELECT generate_series(1, j.attempt))""",
    "every event but the end of a job that waits belongs to an attempt that was claimed before it": """
        SELECT e.job_id, e.attempt, e.event FROM ml_job_events e
        WHERE e.event <> 'CLAIMED' AND (e.attempt, e.event) NOT IN ((0, 'FAILED'), (0, 'CANCELLED'))
            AND NOT EXISTS (
                SELECT FROM ml_job_events c
                WHERE (c.job_id, c.attempt, c.event) = (e.job_id, e.attempt, 'CLAIMED') AND c.id < e.id
            )""",
    # A job that waits again can be cancelled, or fail: for good after max_attempts, or when it is claimed.
    "an attempt that has ended does nothing more": f"""
        SELECT e.job_id, e.attempt, e.event, b.event AS ended_by
        FROM ml_job_events e
        JOIN ml_job_events b ON b.job_id = e.job_id AND b.attempt = e.attempt AND b.id < e.id
        WHERE (b.event IN {TERMINAL} OR b.event IN ('RELEASED', 'EXPIRED'))
            AND NOT (b.event IN ('RELEASED', 'EXPIRED') AND e.event IN ('FAILED', 'CANCELLED'))""",
    "an attempt does nothing more once the next is claimed": """
        SELECT e.job_id, e.attempt, e.event, c.attempt AS claimed
        FROM ml_job_events e
        JOIN ml_job_events c ON c.job_id = e.job_id AND c.event = 'CLAIMED' AND c.id < e.id
        WHERE e.attempt < c.attempt""",
    "a model is READY if and only if it has a training run": """
        SELECT m.train_job_id AS job_id, m.id AS model_id, m.status FROM ml_models m
        LEFT JOIN ml_training_runs r ON r.model_id = m.id
        WHERE (m.status = 'READY') <> (r.id IS NOT NULL)""",
    "a model has ended as its job did": """
        SELECT j.id AS job_id, m.id AS model_id, m.status, j.status AS job_status
        FROM ml_models m JOIN ml_jobs j ON j.id = m.train_job_id
        WHERE m.status <> CASE j.status WHEN 'COMPLETED' THEN 'READY' ELSE 'FAILED' END""",
    # Periods from 2030 on have no rows: those jobs were meant to fail.
    "a job fails only for its own faults, or for max_attempts": """
        SELECT id AS job_id, status, max_attempts, error_msg FROM ml_jobs
        WHERE CASE status
            WHEN 'FAILED' THEN error_msg NOT LIKE format('Lost %1$s of %1$s attempts; %%', max_attempts)
                AND (coalesce(train_start, test_start, compare_start, score_start) < '2030-01-01'
                    OR error_msg NOT LIKE '%has no rows from%')
            WHEN 'COMPLETED'
                THEN coalesce(train_start, test_start, compare_start, score_start) >= '2030-01-01'
        END""",
}

# These tell of a worker, or of what lies between it and the database, and of no job.
OF_A_WORKER = (
    "connect|too many|password|log ?in|timeout|time limit|read-only|recovery|standby|terminat|shutting down"
    "|model file can be written|no space|file too large|permission denied|notif"
    "|could not (open|read|receive|send)"
)

# What holds of a service that never charges a job for a fault of its worker, and clients for one another.
FAIR = {
    "no job is FAILED for a fault of its worker": f"""
        SELECT j.id AS job_id, j.max_attempts, e.attempt, e.event, e.message FROM ml_jobs j
        CROSS JOIN LATERAL (
            SELECT e.* FROM ml_job_events e
            WHERE e.job_id = j.id AND e.event IN ('EXPIRED', 'FAILED') AND e.message ~* '{OF_A_WORKER}'
            ORDER BY e.id LIMIT 1
        ) e
        WHERE j.status = 'FAILED' AND NOT starts_with(j.error_msg, 'coin_metrics has no rows from')""",
    "no attempt goes on above max_attempts, but for those that were given back": """
        SELECT j.id AS job_id, j.status, j.max_attempts, e.claimed, e.given_back FROM ml_jobs j
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE e.event = 'CLAIMED') AS claimed,
                count(*) FILTER (WHERE e.event = 'RELEASED') AS given_back
            FROM ml_job_events e WHERE e.job_id = j.id
        ) e
        WHERE e.claimed - e.given_back > j.max_attempts""",
    # Whoever polls the queue takes lost leases away just before it signs: three have seen this one.
    "a lease that has ended is taken away, whatever clients lock that are not its own": """
        SELECT e.job_id, e.attempt, e.lease_until, n.event, n.created_at FROM ml_job_events e
        CROSS JOIN LATERAL (
            SELECT n.* FROM ml_job_events n WHERE n.job_id = e.job_id AND n.id > e.id ORDER BY n.id LIMIT 1
        ) n
        WHERE e.event IN ('CLAIMED', 'PROGRESS') AND e.job_id <> ALL (%(jobs_of_locker)s)
            AND n.created_at > e.lease_until + interval '5 seconds'
            AND 3 <= (
                SELECT count(*) FROM ml_worker_signs s
                WHERE s.created_at BETWEEN e.lease_until + interval '1 second'
                    AND n.created_at - interval '1 second'
            )""",
    # Nothing else strikes while a client holds its locks, and this worker polled the queue before and after.
    "no heartbeat is held up past the lease by a client that holds locks": """
        SELECT x.job_id, x.attempt, l.lease_until, x.message FROM ml_job_events x
        CROSS JOIN LATERAL (
            SELECT e.lease_until FROM ml_job_events e
            WHERE e.job_id = x.job_id AND e.attempt = x.attempt AND e.lease_until IS NOT NULL
            ORDER BY e.id DESC LIMIT 1
        ) l
        JOIN unnest(%(locked_from)s::float8[], %(locked_to)s::float8[]) h (began, ended)
            ON l.lease_until BETWEEN to_timestamp(h.began) AND to_timestamp(h.ended)
        WHERE x.event = 'EXPIRED' AND x.created_at > l.lease_until AND x.job_id <> ALL (%(jobs_of_locker)s)
            AND EXISTS (
                SELECT FROM ml_worker_signs s WHERE s.worker_id = x.worker_id
                    AND s.created_at BETWEEN to_timestamp(h.began) AND l.lease_until
            )
            AND EXISTS (
                SELECT FROM ml_worker_signs s WHERE s.worker_id = x.worker_id
                    AND s.created_at BETWEEN l.lease_until AND to_timestamp(h.ended)
            )""",
    # Its turn comes after at most one job of the other; but every slot may just be taking one.
    "an urgent job is claimed before all but a few of a client that floods the queue": """
        SELECT p.id AS job_id, p.created_by, count(*) AS others_before_it FROM ml_jobs p
        JOIN ml_job_events c ON c.job_id = p.id AND c.event = 'CLAIMED' AND c.attempt = 1
        JOIN ml_job_events f ON f.event = 'CLAIMED' AND f.job_id = ANY (%(flooded)s)
            AND f.created_at > p.created_at AND f.id < c.id
        WHERE p.id = ANY (%(urgent)s)
        GROUP BY p.id
        HAVING count(*) > %(few)s""",
}

# Ends of attempts that nobody wished for: what a fault did.
HARM = """
    SELECT job_id, event, worker_id, message, extract(epoch FROM created_at)::float8 AS at FROM ml_job_events
    WHERE event IN ('EXPIRED', 'RELEASED')
        OR (event = 'FAILED' AND message NOT LIKE '%has no rows from%'
            AND message NOT LIKE 'Lost % attempts; %')
    ORDER BY id"""

MODEL_FILES = """
    SELECT r.job_id, r.artifact_path, r.artifact_sha256 FROM ml_training_runs r
    JOIN ml_models m ON m.id = r.model_id WHERE m.status = 'READY'"""

ATTEMPT_OF_FILE = """
    SELECT e.job_id, e.attempt, e.worker_id, extract(epoch FROM x.created_at)::float8 AS ended
    FROM ml_models m
    JOIN ml_job_events e ON e.job_id = m.train_job_id
    LEFT JOIN ml_job_events x ON x.job_id = e.job_id AND x.attempt = e.attempt
        AND x.event IN ('COMPLETED', 'FAILED', 'CANCELLED', 'RELEASED', 'EXPIRED')
    WHERE m.id = %s AND e.attempt = %s AND e.event = 'CLAIMED'"""

ENDS = """
    SELECT job_type, status, count(*) AS jobs FROM ml_jobs GROUP BY job_type, status"""

ATTEMPTS = """
    SELECT event, count(*) AS events FROM ml_job_events GROUP BY event"""

RECOVERED = """
    SELECT count(*) AS jobs FROM ml_jobs j
    WHERE j.status = 'COMPLETED' AND EXISTS (
        SELECT FROM ml_job_events e WHERE e.job_id = j.id AND e.event IN ('RELEASED', 'EXPIRED')
    )"""

# Each attempt that was lost or given back, and when the next was claimed.
RECOVERIES = """
    SELECT e.job_id, e.attempt, c.worker_id, c.created_at AS claimed_at, e.created_at AS ended_at,
        n.created_at AS claimed_again_at
    FROM ml_job_events e
    JOIN ml_job_events c ON c.job_id = e.job_id AND c.attempt = e.attempt AND c.event = 'CLAIMED'
    JOIN ml_job_events n ON n.job_id = e.job_id AND n.attempt = e.attempt + 1 AND n.event = 'CLAIMED'
    WHERE e.event IN ('RELEASED', 'EXPIRED')"""

EVENTS_OF_JOB = """
    SELECT id, attempt, event, worker_id, progress, message, created_at FROM ml_job_events
    WHERE job_id = %s ORDER BY id"""
