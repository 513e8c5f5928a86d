-- Statistics for DBAs, and tidy dimensions and facts for BI tools.
-- Series a day cover the last 30 days (UTC, today included) and read them by an index on the time: they
-- stay fast however many jobs there are. Who wants more asks the facts.

SET search_path TO pg_catalog, pg_temp;

-- What is included lets the series a day read these alone, without the table.
CREATE INDEX IF NOT EXISTS ml_jobs_ended
ON public.ml_jobs (completed_at) INCLUDE (job_type, status, created_at, started_at, attempt, worker_id)
WHERE completed_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_created ON public.ml_jobs (created_at) INCLUDE (job_type);
CREATE INDEX IF NOT EXISTS ml_jobs_stopped ON public.ml_jobs (completed_at) WHERE status IN ('FAILED', 'CANCELLED');
CREATE INDEX IF NOT EXISTS ml_jobs_model
ON public.ml_jobs (coalesce(result_model_id, test_model_id, compare_model_a_id))
WHERE coalesce(result_model_id, test_model_id, compare_model_a_id) IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_job_events_lost
ON public.ml_job_events (created_at) INCLUDE (job_id, attempt, event)
WHERE event IN ('EXPIRED', 'RELEASED');
CREATE INDEX IF NOT EXISTS ml_training_runs_created ON public.ml_training_runs (created_at) INCLUDE (model_id, artifact_bytes);
CREATE INDEX IF NOT EXISTS ml_models_types ON public.ml_models (id) INCLUDE (model_type, is_deleted);
CREATE INDEX IF NOT EXISTS ml_comparisons_created ON public.ml_comparisons (created_at);

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
    FROM (VALUES ('TRAIN'), ('TEST'), ('COMPARE')) t (job_type)
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
    FROM (VALUES ('TRAIN'), ('TEST'), ('COMPARE')) t (job_type)
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
        regexp_replace(left(j.error_msg, 300), '"[^"]*"|''[^'']*''|\d[\w.:+-]*', '…', 'g') AS reason
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

-- ── Dimensions and facts ────────────────────────────────────────────────────────────────────────────
-- One row a thing, keys that stay, and no text lists.

CREATE OR REPLACE VIEW public.ml_dim_models WITH (security_invoker = true) AS
SELECT
    m.id AS model_id,
    m.name AS model_name,
    m.model_type,
    m.status,
    m.is_deleted,
    m.created_at,
    m.deleted_at,
    concat_ws(
        ' ', m.target_variable, m.target_operator, trim_scale(m.target_value), 'after ' || m.future_minutes || ' min'
    ) AS target,
    m.target_variable,
    m.target_operator,
    m.target_value,
    m.future_minutes,
    m.train_start,
    m.train_end,
    m.test_size,
    m.random_state,
    m.description,
    m.train_job_id AS job_id
FROM public.ml_models m;

CREATE OR REPLACE VIEW public.ml_dim_features WITH (security_invoker = true) AS
SELECT c.column_name AS feature, c.data_type, col_description('public.coin_metrics'::regclass, c.place::integer) AS description
FROM (
    SELECT m.column_name, m.data_type, a.attnum AS place
    FROM public.ml_metric_columns m
    JOIN pg_catalog.pg_attribute a ON a.attrelid = 'public.coin_metrics'::regclass AND a.attname = m.column_name
    WHERE m.is_numeric
) c;

CREATE OR REPLACE VIEW public.ml_fact_jobs WITH (security_invoker = true) AS
SELECT
    j.id AS job_id,
    j.job_type,
    j.status,
    j.priority,
    j.created_at,
    j.started_at,
    j.completed_at,
    date_part('epoch', j.started_at - j.created_at) AS waiting_seconds,
    date_part('epoch', CASE j.status WHEN 'RUNNING' THEN now() ELSE j.completed_at END - j.started_at) AS running_seconds,
    j.attempt AS attempts,
    j.worker_id,
    coalesce(j.result_model_id, j.test_model_id, j.compare_model_a_id) AS model_id,
    j.compare_model_b_id AS model_b_id,
    coalesce(j.train_start, j.test_start, j.compare_start) AS period_start,
    coalesce(j.train_end, j.test_end, j.compare_end) AS period_end,
    j.error_msg
FROM public.ml_jobs j;

CREATE OR REPLACE VIEW public.ml_fact_training_runs WITH (security_invoker = true) AS
SELECT
    r.id AS training_run_id, r.job_id, r.model_id, r.created_at, r.holdout,
    r.num_coins, r.num_fitted, r.num_fitted_positive, r.num_gap, r.num_unlabelled, r.num_samples, r.num_positive, r.num_negative,
    r.tp, r.fp, r.tn, r.fn, r.accuracy, r.precision_score, r.recall, r.f1_score, r.roc_auc,
    r.artifact_bytes, r.seconds_loading, r.seconds_fitting, r.warnings
FROM public.ml_training_runs r;

CREATE OR REPLACE VIEW public.ml_fact_tests WITH (security_invoker = true) AS
SELECT
    t.id AS test_id, t.job_id, t.model_id, t.created_at, t.test_start AS period_start, t.test_end AS period_end,
    t.has_overlap, t.num_unlabelled, t.num_samples, t.num_positive, t.num_negative,
    t.tp, t.fp, t.tn, t.fn, t.accuracy, t.precision_score, t.recall, t.f1_score, t.roc_auc,
    t.seconds_loading, t.seconds_scoring
FROM public.ml_test_results t;

CREATE OR REPLACE VIEW public.ml_fact_comparisons WITH (security_invoker = true) AS
SELECT
    c.id AS comparison_id, c.job_id, c.model_a_id, c.model_b_id, c.winner_id, c.created_at,
    c.test_start AS period_start, c.test_end AS period_end, c.num_samples, c.num_unlabelled,
    c.a_accuracy, c.a_precision, c.a_recall, c.a_f1, c.a_roc_auc,
    c.b_accuracy, c.b_precision, c.b_recall, c.b_f1, c.b_roc_auc,
    c.seconds_loading, c.seconds_scoring
FROM public.ml_comparisons c;

CREATE OR REPLACE VIEW public.ml_fact_importances WITH (security_invoker = true) AS
SELECT
    x.model_id,
    x.source,
    x.source_id,
    split_part(i.item, '=', 1) AS feature,
    i.place::integer AS rank,
    split_part(i.item, '=', 2)::numeric AS importance
FROM (
    SELECT r.model_id, 'training' AS source, r.id AS source_id, r.feature_importance_csv FROM public.ml_training_runs r
    UNION ALL
    SELECT t.model_id, 'test' AS source, t.id AS source_id, t.feature_importance_csv FROM public.ml_test_results t
) x
CROSS JOIN LATERAL string_to_table(x.feature_importance_csv, ';') WITH ORDINALITY AS i (item, place);

COMMENT ON VIEW public.ml_last_days IS 'The last 30 days, UTC, today included.';
COMMENT ON COLUMN public.ml_last_days.day IS 'Day, UTC.';
COMMENT ON COLUMN public.ml_last_days.day_start IS 'First moment of the day.';
COMMENT ON COLUMN public.ml_last_days.day_end IS 'First moment after it.';
COMMENT ON VIEW public.ml_daily_jobs IS 'Jobs a day and job type, of the last 30 days: what came, and what became of those that ended.';
COMMENT ON COLUMN public.ml_daily_jobs.day IS 'Day, UTC.';
COMMENT ON COLUMN public.ml_daily_jobs.job_type IS 'TRAIN, TEST or COMPARE.';
COMMENT ON COLUMN public.ml_daily_jobs.submitted IS 'Jobs inserted that day.';
COMMENT ON COLUMN public.ml_daily_jobs.completed IS 'Jobs that were COMPLETED that day.';
COMMENT ON COLUMN public.ml_daily_jobs.failed IS 'Jobs that FAILED that day.';
COMMENT ON COLUMN public.ml_daily_jobs.cancelled IS 'Jobs that were CANCELLED that day.';
COMMENT ON COLUMN public.ml_daily_jobs.retried IS 'Jobs that ended that day and had needed more than one attempt.';
COMMENT ON VIEW public.ml_daily_durations IS 'Throughput, waiting and running times a day and job type, of the last 30 days; in seconds, of the jobs COMPLETED that day.';
COMMENT ON COLUMN public.ml_daily_durations.day IS 'Day, UTC.';
COMMENT ON COLUMN public.ml_daily_durations.job_type IS 'TRAIN, TEST or COMPARE.';
COMMENT ON COLUMN public.ml_daily_durations.completed IS 'Jobs COMPLETED that day.';
COMMENT ON COLUMN public.ml_daily_durations.waiting_p50 IS 'Median of the seconds from the INSERT to the start of the last attempt; NULL where no job was COMPLETED.';
COMMENT ON COLUMN public.ml_daily_durations.waiting_p90 IS '90th percentile of the seconds from the INSERT to the start of the last attempt; NULL where no job was COMPLETED.';
COMMENT ON COLUMN public.ml_daily_durations.waiting_p99 IS '99th percentile of the seconds from the INSERT to the start of the last attempt; NULL where no job was COMPLETED.';
COMMENT ON COLUMN public.ml_daily_durations.running_p50 IS 'Median of the seconds that the last attempt took; NULL where no job was COMPLETED.';
COMMENT ON COLUMN public.ml_daily_durations.running_p90 IS '90th percentile of the seconds that the last attempt took; NULL where no job was COMPLETED.';
COMMENT ON COLUMN public.ml_daily_durations.running_p99 IS '99th percentile of the seconds that the last attempt took; NULL where no job was COMPLETED.';
COMMENT ON VIEW public.ml_daily_losses IS 'Attempts that did not end their job, a day and job type, of the last 30 days; a day without any has no row.';
COMMENT ON COLUMN public.ml_daily_losses.day IS 'Day, UTC.';
COMMENT ON COLUMN public.ml_daily_losses.job_type IS 'TRAIN, TEST or COMPARE.';
COMMENT ON COLUMN public.ml_daily_losses.expired IS 'Attempts lost: the worker or the process that did the job died.';
COMMENT ON COLUMN public.ml_daily_losses.released IS 'Attempts given back unharmed, by a worker that was stopped.';
COMMENT ON COLUMN public.ml_daily_losses.jobs IS 'Jobs that they belong to.';
COMMENT ON VIEW public.ml_failures IS 'Why jobs FAILED in the last 30 days: reasons with names and numbers left out, counted.';
COMMENT ON COLUMN public.ml_failures.job_type IS 'TRAIN, TEST or COMPARE.';
COMMENT ON COLUMN public.ml_failures.reason IS 'Start of error_msg, with … for each number and quoted name.';
COMMENT ON COLUMN public.ml_failures.failures IS 'Jobs that FAILED so.';
COMMENT ON COLUMN public.ml_failures.first_at IS 'When the first of them FAILED.';
COMMENT ON COLUMN public.ml_failures.last_at IS 'When the latest FAILED.';
COMMENT ON COLUMN public.ml_failures.example_job_id IS 'Number of the latest of them.';
COMMENT ON COLUMN public.ml_failures.example IS 'Its error_msg.';
COMMENT ON VIEW public.ml_artifact_sizes IS 'Model files a model type: how many, how large.';
COMMENT ON COLUMN public.ml_artifact_sizes.model_type IS 'Kind of model, see ref_model_types.';
COMMENT ON COLUMN public.ml_artifact_sizes.artifacts IS 'Files written by training runs.';
COMMENT ON COLUMN public.ml_artifact_sizes.of_deleted_models IS 'Those among them whose model is deleted.';
COMMENT ON COLUMN public.ml_artifact_sizes.total_bytes IS 'Their sizes together.';
COMMENT ON COLUMN public.ml_artifact_sizes.mean_bytes IS 'Their mean size.';
COMMENT ON COLUMN public.ml_artifact_sizes.largest_bytes IS 'Size of the largest.';
COMMENT ON VIEW public.ml_daily_quality IS 'Test results a day and model type, of the last 30 days; a day without any has no row.';
COMMENT ON COLUMN public.ml_daily_quality.day IS 'Day, UTC.';
COMMENT ON COLUMN public.ml_daily_quality.model_type IS 'Kind of model, see ref_model_types.';
COMMENT ON COLUMN public.ml_daily_quality.tests IS 'Tests recorded that day.';
COMMENT ON COLUMN public.ml_daily_quality.best_f1 IS 'Highest F1.';
COMMENT ON COLUMN public.ml_daily_quality.median_f1 IS 'Median F1 (the lower of two).';
COMMENT ON COLUMN public.ml_daily_quality.best_roc_auc IS 'Highest ROC AUC.';
COMMENT ON COLUMN public.ml_daily_quality.median_roc_auc IS 'Median ROC AUC (the lower of two).';
COMMENT ON VIEW public.ml_worker_days IS 'How busy each worker was a day, of the last 30 days.';
COMMENT ON COLUMN public.ml_worker_days.day IS 'Day, UTC.';
COMMENT ON COLUMN public.ml_worker_days.worker_id IS 'Worker: host, process and a random part.';
COMMENT ON COLUMN public.ml_worker_days.host IS 'Host that it ran on.';
COMMENT ON COLUMN public.ml_worker_days.attempts IS 'Attempts that ended that day, in whichever way, or run now.';
COMMENT ON COLUMN public.ml_worker_days.busy_seconds IS 'Seconds of that day that its attempts took, together.';
COMMENT ON COLUMN public.ml_worker_days.busy_share IS 'Mean number of jobs that it did at a time over that day, today until now; 1: one all day long.';
COMMENT ON VIEW public.ml_dim_models IS 'Models as a dimension, one row each, deleted and failed ones included.';
COMMENT ON COLUMN public.ml_dim_models.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_dim_models.model_name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_dim_models.model_type IS 'Kind of model, see ref_model_types.';
COMMENT ON COLUMN public.ml_dim_models.status IS 'TRAINING, READY or FAILED.';
COMMENT ON COLUMN public.ml_dim_models.is_deleted IS 'Whether it is deleted.';
COMMENT ON COLUMN public.ml_dim_models.created_at IS 'When its training was first claimed.';
COMMENT ON COLUMN public.ml_dim_models.deleted_at IS 'When it was deleted.';
COMMENT ON COLUMN public.ml_dim_models.target IS 'What it predicts, in words.';
COMMENT ON COLUMN public.ml_dim_models.target_variable IS 'Column of coin_metrics that the label is read from.';
COMMENT ON COLUMN public.ml_dim_models.target_operator IS 'Comparison of the label.';
COMMENT ON COLUMN public.ml_dim_models.target_value IS 'Threshold of the label.';
COMMENT ON COLUMN public.ml_dim_models.future_minutes IS 'Horizon of the label in minutes; NULL: the same row.';
COMMENT ON COLUMN public.ml_dim_models.train_start IS 'First moment of the training period.';
COMMENT ON COLUMN public.ml_dim_models.train_end IS 'First moment after the training period.';
COMMENT ON COLUMN public.ml_dim_models.test_size IS 'Share of the rows held out.';
COMMENT ON COLUMN public.ml_dim_models.random_state IS 'Seed of everything random in the training.';
COMMENT ON COLUMN public.ml_dim_models.description IS 'Free text of the user.';
COMMENT ON COLUMN public.ml_dim_models.job_id IS 'TRAIN job that makes or made it.';
COMMENT ON VIEW public.ml_dim_features IS 'Features as a dimension: the numeric columns of coin_metrics.';
COMMENT ON COLUMN public.ml_dim_features.feature IS 'Column of coin_metrics, as in features_csv.';
COMMENT ON COLUMN public.ml_dim_features.data_type IS 'SQL type of the column.';
COMMENT ON COLUMN public.ml_dim_features.description IS 'Its comment.';
COMMENT ON VIEW public.ml_fact_jobs IS 'Jobs as facts, one row each.';
COMMENT ON COLUMN public.ml_fact_jobs.job_id IS 'Number of the job.';
COMMENT ON COLUMN public.ml_fact_jobs.job_type IS 'TRAIN, TEST or COMPARE.';
COMMENT ON COLUMN public.ml_fact_jobs.status IS 'PENDING, RUNNING, COMPLETED, FAILED or CANCELLED.';
COMMENT ON COLUMN public.ml_fact_jobs.priority IS '1 (highest) to 10 (lowest).';
COMMENT ON COLUMN public.ml_fact_jobs.created_at IS 'When it was inserted.';
COMMENT ON COLUMN public.ml_fact_jobs.started_at IS 'When its latest attempt started.';
COMMENT ON COLUMN public.ml_fact_jobs.completed_at IS 'When it ended, in whichever way.';
COMMENT ON COLUMN public.ml_fact_jobs.waiting_seconds IS 'Seconds from the INSERT to the start of its latest attempt.';
COMMENT ON COLUMN public.ml_fact_jobs.running_seconds IS 'Seconds from that start to its end, or until now.';
COMMENT ON COLUMN public.ml_fact_jobs.attempts IS 'Attempts so far.';
COMMENT ON COLUMN public.ml_fact_jobs.worker_id IS 'Worker of the latest attempt.';
COMMENT ON COLUMN public.ml_fact_jobs.model_id IS 'Model that it made, tested or compared as the first.';
COMMENT ON COLUMN public.ml_fact_jobs.model_b_id IS 'COMPARE: second model.';
COMMENT ON COLUMN public.ml_fact_jobs.period_start IS 'First moment of the period.';
COMMENT ON COLUMN public.ml_fact_jobs.period_end IS 'First moment after the period.';
COMMENT ON COLUMN public.ml_fact_jobs.error_msg IS 'Why it FAILED.';
COMMENT ON VIEW public.ml_fact_training_runs IS 'Training runs as facts, one row each; measured on held-out rows.';
COMMENT ON COLUMN public.ml_fact_training_runs.training_run_id IS 'Number of the training run.';
COMMENT ON COLUMN public.ml_fact_training_runs.job_id IS 'Number of the job.';
COMMENT ON COLUMN public.ml_fact_training_runs.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_fact_training_runs.created_at IS 'When it was recorded.';
COMMENT ON COLUMN public.ml_fact_training_runs.holdout IS 'What was held out: coins or time.';
COMMENT ON COLUMN public.ml_fact_training_runs.num_coins IS 'Coins among the labelled rows.';
COMMENT ON COLUMN public.ml_fact_training_runs.num_fitted IS 'Rows that the model was fitted on.';
COMMENT ON COLUMN public.ml_fact_training_runs.num_fitted_positive IS 'Positive rows among them.';
COMMENT ON COLUMN public.ml_fact_training_runs.num_gap IS 'Rows left out because their label lies in the held-out time.';
COMMENT ON COLUMN public.ml_fact_training_runs.num_unlabelled IS 'Rows left out because they have no label.';
COMMENT ON COLUMN public.ml_fact_training_runs.num_samples IS 'Held-out rows.';
COMMENT ON COLUMN public.ml_fact_training_runs.num_positive IS 'Positive rows among them.';
COMMENT ON COLUMN public.ml_fact_training_runs.num_negative IS 'Negative rows among them.';
COMMENT ON COLUMN public.ml_fact_training_runs.tp IS 'True positives.';
COMMENT ON COLUMN public.ml_fact_training_runs.fp IS 'False positives.';
COMMENT ON COLUMN public.ml_fact_training_runs.tn IS 'True negatives.';
COMMENT ON COLUMN public.ml_fact_training_runs.fn IS 'False negatives.';
COMMENT ON COLUMN public.ml_fact_training_runs.accuracy IS 'Share of the rows predicted right.';
COMMENT ON COLUMN public.ml_fact_training_runs.precision_score IS 'Share of the positive predictions that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_fact_training_runs.recall IS 'Share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_fact_training_runs.f1_score IS 'Harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_training_runs.roc_auc IS 'Area under the ROC curve: 0.5 chance, 1 perfect; NULL where there was only one class.';
COMMENT ON COLUMN public.ml_fact_training_runs.artifact_bytes IS 'Size of the model file.';
COMMENT ON COLUMN public.ml_fact_training_runs.seconds_loading IS 'Seconds spent reading the data.';
COMMENT ON COLUMN public.ml_fact_training_runs.seconds_fitting IS 'Seconds spent fitting.';
COMMENT ON COLUMN public.ml_fact_training_runs.warnings IS 'What the user should know of this fit.';
COMMENT ON VIEW public.ml_fact_tests IS 'Test results as facts, one row each.';
COMMENT ON COLUMN public.ml_fact_tests.test_id IS 'Number of the test result.';
COMMENT ON COLUMN public.ml_fact_tests.job_id IS 'Number of the job.';
COMMENT ON COLUMN public.ml_fact_tests.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_fact_tests.created_at IS 'When it was recorded.';
COMMENT ON COLUMN public.ml_fact_tests.period_start IS 'First moment of the period.';
COMMENT ON COLUMN public.ml_fact_tests.period_end IS 'First moment after the period.';
COMMENT ON COLUMN public.ml_fact_tests.has_overlap IS 'Whether the period shares time with the training period; if so, the metrics flatter.';
COMMENT ON COLUMN public.ml_fact_tests.num_unlabelled IS 'Rows left out because they have no label.';
COMMENT ON COLUMN public.ml_fact_tests.num_samples IS 'Rows measured on.';
COMMENT ON COLUMN public.ml_fact_tests.num_positive IS 'Positive rows among them.';
COMMENT ON COLUMN public.ml_fact_tests.num_negative IS 'Negative rows among them.';
COMMENT ON COLUMN public.ml_fact_tests.tp IS 'True positives.';
COMMENT ON COLUMN public.ml_fact_tests.fp IS 'False positives.';
COMMENT ON COLUMN public.ml_fact_tests.tn IS 'True negatives.';
COMMENT ON COLUMN public.ml_fact_tests.fn IS 'False negatives.';
COMMENT ON COLUMN public.ml_fact_tests.accuracy IS 'Share of the rows predicted right.';
COMMENT ON COLUMN public.ml_fact_tests.precision_score IS 'Share of the positive predictions that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_fact_tests.recall IS 'Share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_fact_tests.f1_score IS 'Harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_tests.roc_auc IS 'Area under the ROC curve: 0.5 chance, 1 perfect; NULL where there was only one class.';
COMMENT ON COLUMN public.ml_fact_tests.seconds_loading IS 'Seconds spent reading the data.';
COMMENT ON COLUMN public.ml_fact_tests.seconds_scoring IS 'Seconds spent predicting and measuring.';
COMMENT ON VIEW public.ml_fact_comparisons IS 'Comparisons as facts, one row each.';
COMMENT ON COLUMN public.ml_fact_comparisons.comparison_id IS 'Number of the comparison.';
COMMENT ON COLUMN public.ml_fact_comparisons.job_id IS 'Number of the job.';
COMMENT ON COLUMN public.ml_fact_comparisons.model_a_id IS 'First model.';
COMMENT ON COLUMN public.ml_fact_comparisons.model_b_id IS 'Second model.';
COMMENT ON COLUMN public.ml_fact_comparisons.winner_id IS 'The better model; NULL: a draw.';
COMMENT ON COLUMN public.ml_fact_comparisons.created_at IS 'When it was recorded.';
COMMENT ON COLUMN public.ml_fact_comparisons.period_start IS 'First moment of the period.';
COMMENT ON COLUMN public.ml_fact_comparisons.period_end IS 'First moment after the period.';
COMMENT ON COLUMN public.ml_fact_comparisons.num_samples IS 'Rows that both were scored on.';
COMMENT ON COLUMN public.ml_fact_comparisons.num_unlabelled IS 'Rows left out because they have no label.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_accuracy IS 'First model: share of the rows predicted right.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_precision IS 'First model: share of the positive predictions that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_recall IS 'First model: share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_f1 IS 'First model: harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_comparisons.a_roc_auc IS 'First model: area under the ROC curve; NULL where there was only one class.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_accuracy IS 'Second model: share of the rows predicted right.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_precision IS 'Second model: share of the positive predictions that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_recall IS 'Second model: share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_f1 IS 'Second model: harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON COLUMN public.ml_fact_comparisons.b_roc_auc IS 'Second model: area under the ROC curve; NULL where there was only one class.';
COMMENT ON COLUMN public.ml_fact_comparisons.seconds_loading IS 'Seconds spent reading the data.';
COMMENT ON COLUMN public.ml_fact_comparisons.seconds_scoring IS 'Seconds spent predicting and measuring.';
COMMENT ON VIEW public.ml_fact_importances IS 'Permutation importance of each feature in each training run and test, one row each.';
COMMENT ON COLUMN public.ml_fact_importances.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_fact_importances.source IS 'training (its held-out rows) or test.';
COMMENT ON COLUMN public.ml_fact_importances.source_id IS 'Number of the training run (ml_training_runs) or test result (ml_test_results).';
COMMENT ON COLUMN public.ml_fact_importances.feature IS 'Column of coin_metrics, as in features_csv.';
COMMENT ON COLUMN public.ml_fact_importances.rank IS 'Place by importance, from 1.';
COMMENT ON COLUMN public.ml_fact_importances.importance IS 'Share of the whole; the shares of a measurement sum to 1.';
