-- Statistics for DBAs. Daily series cover the last 30 days (UTC, today included) and read them by an index on the
-- time: they stay fast however many jobs there are. Who wants more asks the facts (84_dimensions.sql).

SET search_path TO pg_catalog, pg_temp;

-- What is included lets the daily series read these alone, without the table.
CREATE INDEX IF NOT EXISTS ml_jobs_ended
ON public.ml_jobs (completed_at) INCLUDE (job_type, status, created_at, started_at, attempt, worker_id)
WHERE completed_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_created ON public.ml_jobs (created_at) INCLUDE (job_type);
CREATE INDEX IF NOT EXISTS ml_jobs_stopped ON public.ml_jobs (completed_at) WHERE status IN ('FAILED', 'CANCELLED');
CREATE INDEX IF NOT EXISTS ml_job_events_lost
ON public.ml_job_events (created_at) INCLUDE (job_id, attempt, event)
WHERE event IN ('EXPIRED', 'RELEASED');
CREATE INDEX IF NOT EXISTS ml_models_types ON public.ml_models (id) INCLUDE (model_type, is_deleted);

CREATE OR REPLACE VIEW public.ml_last_days WITH (security_invoker = true) AS
SELECT
    d.day,
    d.day::timestamp AT TIME ZONE 'UTC' AS day_start,
    (d.day + 1)::timestamp AT TIME ZONE 'UTC' AS day_end
FROM (SELECT (now() AT TIME ZONE 'UTC')::date - n AS day FROM generate_series(0, 29) n) d;

CREATE OR REPLACE VIEW public.ml_daily_jobs WITH (security_invoker = true) AS
SELECT d.day, x.job_type, x.submitted, x.completed, x.failed, x.cancelled, x.retried
FROM public.ml_last_days d
CROSS JOIN LATERAL (
    SELECT
        t.job_type,
        coalesce(s.submitted, 0) AS submitted,
        coalesce(e.completed, 0) AS completed,
        coalesce(e.failed, 0) AS failed,
        coalesce(e.cancelled, 0) AS cancelled,
        coalesce(e.retried, 0) AS retried
    FROM ml.job_kinds t
    LEFT JOIN (
        SELECT j.job_type, count(*) AS submitted
        FROM public.ml_jobs j
        WHERE j.created_at >= d.day_start AND j.created_at < d.day_end
        GROUP BY j.job_type
    ) s ON s.job_type = t.job_type
    LEFT JOIN (
        SELECT
            j.job_type,
            count(*) FILTER (WHERE j.status = 'COMPLETED') AS completed,
            count(*) FILTER (WHERE j.status = 'FAILED') AS failed,
            count(*) FILTER (WHERE j.status = 'CANCELLED') AS cancelled,
            count(*) FILTER (WHERE j.attempt > 1) AS retried
        FROM public.ml_jobs j
        WHERE j.completed_at >= d.day_start AND j.completed_at < d.day_end
        GROUP BY j.job_type
    ) e ON e.job_type = t.job_type
) x;

CREATE OR REPLACE VIEW public.ml_daily_durations WITH (security_invoker = true) AS
SELECT
    d.day,
    x.job_type,
    coalesce(x.completed, 0) AS completed,
    x.waiting [1] AS waiting_p50,
    x.waiting [2] AS waiting_p90,
    x.waiting [3] AS waiting_p99,
    x.running [1] AS running_p50,
    x.running [2] AS running_p90,
    x.running [3] AS running_p99
FROM public.ml_last_days d
CROSS JOIN LATERAL (
    SELECT t.job_type, e.completed, e.waiting, e.running
    FROM ml.job_kinds t
    LEFT JOIN (
        SELECT
            j.job_type,
            count(*) AS completed,
            percentile_cont('{0.5,0.9,0.99}'::double precision []) WITHIN GROUP (ORDER BY date_part('epoch', j.started_at - j.created_at)) AS waiting,
            percentile_cont('{0.5,0.9,0.99}'::double precision []) WITHIN GROUP (ORDER BY date_part('epoch', j.completed_at - j.started_at)) AS running
        FROM public.ml_jobs j
        WHERE j.completed_at >= d.day_start AND j.completed_at < d.day_end AND j.status = 'COMPLETED'
        GROUP BY j.job_type
    ) e ON e.job_type = t.job_type
) x;

CREATE OR REPLACE VIEW public.ml_daily_losses WITH (security_invoker = true) AS
SELECT
    (e.created_at AT TIME ZONE 'UTC')::date AS day,
    j.job_type,
    count(*) FILTER (WHERE e.event = 'EXPIRED') AS expired,
    count(*) FILTER (WHERE e.event = 'RELEASED') AS released,
    count(DISTINCT e.job_id) AS jobs
FROM public.ml_job_events e
JOIN public.ml_jobs j ON j.id = e.job_id
WHERE e.event IN ('EXPIRED', 'RELEASED') AND e.created_at >= date_trunc('day', now(), 'UTC') - interval '29 days'
GROUP BY day, j.job_type;

CREATE OR REPLACE VIEW public.ml_failures WITH (security_invoker = true) AS
SELECT
    f.job_type,
    f.reason,
    count(*) AS failures,
    min(f.completed_at) AS first_at,
    max(f.completed_at) AS last_at,
    max(f.id) AS example_job_id,
    (array_agg(f.error_msg ORDER BY f.id DESC))[1] AS example
FROM (
    SELECT
        j.job_type, j.completed_at, j.id, j.error_msg,
        -- Names and numbers are what differs between failures of one kind.
        regexp_replace(left(j.error_msg, 300), E'"[^"]*"|''[^'']*''|\\d[\\w.:+-]*', '...', 'g') AS reason
    FROM public.ml_jobs j
    WHERE j.status = 'FAILED' AND j.completed_at >= date_trunc('day', now(), 'UTC') - interval '29 days'
) f
GROUP BY f.job_type, f.reason;

CREATE OR REPLACE VIEW public.ml_artifact_sizes WITH (security_invoker = true) AS
SELECT
    m.model_type,
    count(*) AS artifacts,
    count(*) FILTER (WHERE m.is_deleted) AS of_deleted_models,
    sum(r.artifact_bytes)::bigint AS total_bytes,
    round(avg(r.artifact_bytes))::bigint AS mean_bytes,
    max(r.artifact_bytes) AS largest_bytes
FROM public.ml_training_runs r
JOIN public.ml_models m ON m.id = r.model_id
GROUP BY m.model_type;

CREATE OR REPLACE VIEW public.ml_daily_quality WITH (security_invoker = true) AS
SELECT
    t.day,
    m.model_type,
    count(*) AS tests,
    max(t.f1_score) AS best_f1,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY t.f1_score) AS median_f1,
    max(t.roc_auc) AS best_roc_auc,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY t.roc_auc) AS median_roc_auc
FROM (
    SELECT (r.created_at AT TIME ZONE 'UTC')::date AS day, r.model_id, r.f1_score, r.roc_auc
    FROM public.ml_test_results r
    WHERE r.created_at >= date_trunc('day', now(), 'UTC') - interval '29 days'
) t
JOIN public.ml_models m ON m.id = t.model_id
GROUP BY t.day, m.model_type;

-- An attempt ends with its job, or before it EXPIRED or RELEASED; one that runs is counted up to now.
CREATE OR REPLACE VIEW public.ml_worker_days WITH (security_invoker = true) AS
WITH by_end AS MATERIALIZED (
    -- Nearly all; counted day by day, by the index alone.
    SELECT d.day_start, x.worker_id, x.attempts, x.busy, x.started_before
    FROM public.ml_last_days d
    CROSS JOIN LATERAL (
        SELECT
            j.worker_id,
            count(*) AS attempts,
            sum(j.completed_at - greatest(j.started_at, d.day_start)) AS busy,
            array_agg(j.started_at) FILTER (WHERE j.started_at < d.day_start) AS started_before
        FROM public.ml_jobs j
        WHERE j.completed_at >= d.day_start AND j.completed_at < d.day_end AND j.status = 'COMPLETED'
        GROUP BY j.worker_id
    ) x
    UNION ALL
    SELECT
        a.day_start,
        a.worker_id,
        count(*) AS attempts,
        sum(a.ended_at - greatest(a.started_at, a.day_start)) AS busy,
        array_agg(a.started_at) FILTER (WHERE a.started_at < a.day_start) AS started_before
    FROM (
        SELECT date_trunc('day', j.completed_at, 'UTC') AS day_start, j.worker_id, j.started_at, j.completed_at AS ended_at
        FROM public.ml_jobs j
        WHERE j.status IN ('FAILED', 'CANCELLED') AND j.completed_at >= date_trunc('day', now(), 'UTC') - interval '29 days'
            AND j.started_at IS NOT NULL
            AND NOT EXISTS (
                SELECT
                FROM public.ml_job_events e
                WHERE e.job_id = j.id AND e.attempt = j.attempt AND e.event IN ('EXPIRED', 'RELEASED')
            )
        UNION ALL
        SELECT date_trunc('day', e.created_at, 'UTC') AS day_start, c.worker_id, c.created_at AS started_at, e.created_at AS ended_at
        FROM public.ml_job_events e
        JOIN public.ml_job_events c ON c.job_id = e.job_id AND c.attempt = e.attempt AND c.event = 'CLAIMED'
        WHERE e.event IN ('EXPIRED', 'RELEASED') AND e.created_at >= date_trunc('day', now(), 'UTC') - interval '29 days'
        UNION ALL
        SELECT date_trunc('day', now(), 'UTC') AS day_start, j.worker_id, j.started_at, now() AS ended_at
        FROM public.ml_jobs j
        WHERE j.status = 'RUNNING' AND j.started_at <= now()
    ) a
    GROUP BY a.day_start, a.worker_id
)
SELECT
    d.day,
    p.worker_id,
    split_part(p.worker_id, ':', 1) AS host,
    sum(p.attempts)::bigint AS attempts,
    date_part('epoch', sum(p.busy)) AS busy_seconds,
    date_part('epoch', sum(p.busy)) / nullif(date_part('epoch', least(d.day_end, now()) - d.day_start), 0) AS busy_share
FROM (
    SELECT e.worker_id, e.day_start, e.attempts, e.busy
    FROM by_end e
    UNION ALL
    -- What lay in the days before the one in which it ended.
    SELECT e.worker_id, b.day_start, 0, b.day_end - greatest(s.started_at, b.day_start)
    FROM by_end e
    CROSS JOIN unnest(e.started_before) s (started_at)
    JOIN public.ml_last_days b ON b.day_start < e.day_start AND b.day_end > s.started_at
) p
JOIN public.ml_last_days d ON d.day_start = p.day_start
GROUP BY d.day, d.day_start, d.day_end, p.worker_id;

COMMENT ON VIEW public.ml_last_days IS 'The last 30 days, UTC, today included.';
COMMENT ON COLUMN public.ml_last_days.day IS 'Day, UTC.';
COMMENT ON COLUMN public.ml_last_days.day_start IS 'First moment of the day.';
COMMENT ON COLUMN public.ml_last_days.day_end IS 'First moment after it.';
COMMENT ON VIEW public.ml_daily_jobs IS 'Jobs per day and job type, of the last 30 days: what came, and what became of those that ended.';
COMMENT ON COLUMN public.ml_daily_jobs.day IS 'Day, UTC.';
COMMENT ON COLUMN public.ml_daily_jobs.job_type IS 'Kind of job, see ml.job_kinds.';
COMMENT ON COLUMN public.ml_daily_jobs.submitted IS 'Jobs inserted that day.';
COMMENT ON COLUMN public.ml_daily_jobs.completed IS 'Jobs that were COMPLETED that day.';
COMMENT ON COLUMN public.ml_daily_jobs.failed IS 'Jobs that FAILED that day.';
COMMENT ON COLUMN public.ml_daily_jobs.cancelled IS 'Jobs that were CANCELLED that day.';
COMMENT ON COLUMN public.ml_daily_jobs.retried IS 'Jobs that ended that day and had needed more than one attempt.';
COMMENT ON VIEW public.ml_daily_durations IS 'Throughput, waiting and running times per day and job type, of the last 30 days; in seconds, of the jobs COMPLETED that day.';
COMMENT ON COLUMN public.ml_daily_durations.day IS 'Day, UTC.';
COMMENT ON COLUMN public.ml_daily_durations.job_type IS 'Kind of job, see ml.job_kinds.';
COMMENT ON COLUMN public.ml_daily_durations.completed IS 'Jobs COMPLETED that day.';
COMMENT ON COLUMN public.ml_daily_durations.waiting_p50 IS 'Median of the seconds from the INSERT to the start of the last attempt; NULL where no job was COMPLETED.';
COMMENT ON COLUMN public.ml_daily_durations.waiting_p90 IS '90th percentile of the seconds from the INSERT to the start of the last attempt; NULL where no job was COMPLETED.';
COMMENT ON COLUMN public.ml_daily_durations.waiting_p99 IS '99th percentile of the seconds from the INSERT to the start of the last attempt; NULL where no job was COMPLETED.';
COMMENT ON COLUMN public.ml_daily_durations.running_p50 IS 'Median of the seconds that the last attempt took; NULL where no job was COMPLETED.';
COMMENT ON COLUMN public.ml_daily_durations.running_p90 IS '90th percentile of the seconds that the last attempt took; NULL where no job was COMPLETED.';
COMMENT ON COLUMN public.ml_daily_durations.running_p99 IS '99th percentile of the seconds that the last attempt took; NULL where no job was COMPLETED.';
COMMENT ON VIEW public.ml_daily_losses IS 'Attempts that did not end their job, per day and job type, of the last 30 days; a day without any has no row.';
COMMENT ON COLUMN public.ml_daily_losses.day IS 'Day, UTC.';
COMMENT ON COLUMN public.ml_daily_losses.job_type IS 'Kind of job, see ml.job_kinds.';
COMMENT ON COLUMN public.ml_daily_losses.expired IS 'Attempts lost: the worker or the process that did the job died.';
COMMENT ON COLUMN public.ml_daily_losses.released IS 'Attempts given back unharmed, by a worker that was stopped.';
COMMENT ON COLUMN public.ml_daily_losses.jobs IS 'Jobs that they belong to.';
COMMENT ON VIEW public.ml_failures IS 'Why jobs FAILED in the last 30 days: reasons with names and numbers left out, counted.';
COMMENT ON COLUMN public.ml_failures.job_type IS 'Kind of job, see ml.job_kinds.';
COMMENT ON COLUMN public.ml_failures.reason IS 'Start of error_msg, with ... for each number and quoted name.';
COMMENT ON COLUMN public.ml_failures.failures IS 'Jobs that FAILED so.';
COMMENT ON COLUMN public.ml_failures.first_at IS 'When the first of them FAILED.';
COMMENT ON COLUMN public.ml_failures.last_at IS 'When the latest FAILED.';
COMMENT ON COLUMN public.ml_failures.example_job_id IS 'Number of the latest of them.';
COMMENT ON COLUMN public.ml_failures.example IS 'Its error_msg.';
COMMENT ON VIEW public.ml_artifact_sizes IS 'Model files per model type: how many, how large.';
COMMENT ON COLUMN public.ml_artifact_sizes.model_type IS 'Kind of model, see ref_model_types.';
COMMENT ON COLUMN public.ml_artifact_sizes.artifacts IS 'Files written by training runs.';
COMMENT ON COLUMN public.ml_artifact_sizes.of_deleted_models IS 'Those among them whose model is deleted.';
COMMENT ON COLUMN public.ml_artifact_sizes.total_bytes IS 'Their sizes together.';
COMMENT ON COLUMN public.ml_artifact_sizes.mean_bytes IS 'Their mean size.';
COMMENT ON COLUMN public.ml_artifact_sizes.largest_bytes IS 'Size of the largest.';
COMMENT ON VIEW public.ml_daily_quality IS 'Test results per day and model type, of the last 30 days; a day without any has no row.';
COMMENT ON COLUMN public.ml_daily_quality.day IS 'Day, UTC.';
COMMENT ON COLUMN public.ml_daily_quality.model_type IS 'Kind of model, see ref_model_types.';
COMMENT ON COLUMN public.ml_daily_quality.tests IS 'Tests recorded that day.';
COMMENT ON COLUMN public.ml_daily_quality.best_f1 IS 'Highest F1.';
COMMENT ON COLUMN public.ml_daily_quality.median_f1 IS 'Median F1 (the lower of two).';
COMMENT ON COLUMN public.ml_daily_quality.best_roc_auc IS 'Highest ROC AUC.';
COMMENT ON COLUMN public.ml_daily_quality.median_roc_auc IS 'Median ROC AUC (the lower of two).';
COMMENT ON VIEW public.ml_worker_days IS 'How busy each worker was per day, of the last 30 days.';
COMMENT ON COLUMN public.ml_worker_days.day IS 'Day, UTC.';
COMMENT ON COLUMN public.ml_worker_days.worker_id IS 'Worker: host, process and a random part.';
COMMENT ON COLUMN public.ml_worker_days.host IS 'Host that it ran on.';
COMMENT ON COLUMN public.ml_worker_days.attempts IS 'Attempts that ended that day, in whichever way, or run now.';
COMMENT ON COLUMN public.ml_worker_days.busy_seconds IS 'Seconds of that day that its attempts took, together.';
COMMENT ON COLUMN public.ml_worker_days.busy_share IS 'Mean number of jobs that it did at a time over that day, today until now; 1: one all day long.';
