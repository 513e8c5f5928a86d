-- Views for the eye: the queue, the workers, the models by rank, and the text lists of a model as rows.

SET search_path TO pg_catalog, pg_temp;

CREATE OR REPLACE VIEW public.ml_queue WITH (security_invoker = true) AS
SELECT
    CASE WHEN j.status = 'PENDING' THEN row_number() OVER (PARTITION BY j.status ORDER BY j.priority, j.created_at, j.id) END AS position,
    j.id,
    j.job_type,
    coalesce(j.train_model_name, t.name, a.name || ' / ' || b.name) AS model,
    j.status,
    j.priority,
    date_trunc('second', CASE WHEN j.status = 'RUNNING' THEN j.started_at ELSE now() END - j.created_at) AS waiting,
    CASE WHEN j.status = 'RUNNING' THEN date_trunc('second', now() - j.started_at) END AS running,
    j.progress,
    rpad(repeat('#', (j.progress * 20)::integer), 20, '.') AS bar,
    j.progress_msg,
    j.attempt,
    j.worker_id,
    j.created_at
FROM public.ml_jobs j
LEFT JOIN public.ml_models t ON t.id = j.test_model_id
LEFT JOIN public.ml_models a ON a.id = j.compare_model_a_id
LEFT JOIN public.ml_models b ON b.id = j.compare_model_b_id
WHERE j.status IN ('PENDING', 'RUNNING')
ORDER BY j.status = 'RUNNING' DESC, j.priority, j.created_at, j.id;

CREATE OR REPLACE VIEW public.ml_workers WITH (security_invoker = true) AS
SELECT
    s.worker_id,
    split_part(s.worker_id, ':', 1) AS host,
    CASE WHEN r.running = 0 THEN 'IDLE' ELSE 'BUSY' END AS state,
    s.concurrency,
    r.running,
    r.job_ids,
    s.started_at,
    s.created_at AS last_sign_at,
    s.alive_until,
    s.created_by AS login
FROM public.ml_worker_signs s
CROSS JOIN LATERAL (
    SELECT count(*) AS running, string_agg(j.id::text, ',' ORDER BY j.id) AS job_ids
    FROM public.ml_jobs j
    WHERE j.status = 'RUNNING' AND j.worker_id = s.worker_id
) r
-- Not clock_timestamp(): it would keep the index from being used.
WHERE s.alive_until > statement_timestamp()
    AND NOT EXISTS (SELECT FROM public.ml_worker_signs n WHERE n.worker_id = s.worker_id AND n.id > s.id)
ORDER BY s.started_at, s.worker_id;

CREATE OR REPLACE VIEW public.ml_leaderboard WITH (security_invoker = true) AS
SELECT
    rank() OVER (
        PARTITION BY m.target_variable, m.target_operator, m.target_value, m.future_minutes
        ORDER BY t.f1_score DESC NULLS LAST, t.accuracy DESC NULLS LAST, m.training_f1 DESC NULLS LAST
    ) AS rank,
    m.id,
    m.name,
    m.model_type,
    concat_ws(
        ' ', m.target_variable, m.target_operator, trim_scale(m.target_value), 'after ' || m.future_minutes || ' min'
    ) AS target,
    m.training_accuracy,
    m.training_f1,
    (SELECT r.roc_auc FROM public.ml_training_runs r WHERE r.model_id = m.id) AS training_roc_auc,
    t.test_start,
    t.test_end,
    t.num_samples AS test_samples,
    t.accuracy AS test_accuracy,
    t.f1_score AS test_f1,
    t.precision_score AS test_precision,
    t.recall AS test_recall,
    t.roc_auc AS test_roc_auc,
    t.overlap_note AS test_overlap,
    (SELECT count(*) FROM public.ml_test_results x WHERE x.model_id = m.id) AS tests,
    (SELECT count(*) FROM public.ml_comparisons c WHERE c.winner_id = m.id) AS comparisons_won,
    m.created_at
FROM public.ml_models m
LEFT JOIN LATERAL (
    SELECT x.* FROM public.ml_test_results x WHERE x.model_id = m.id ORDER BY x.created_at DESC, x.id DESC LIMIT 1
) t ON true
WHERE m.status = 'READY' AND NOT m.is_deleted
ORDER BY m.target_variable, m.target_operator, m.target_value, m.future_minutes, rank, m.id;

CREATE OR REPLACE VIEW public.ml_model_features WITH (security_invoker = true) AS
SELECT
    m.id AS model_id,
    m.name AS model_name,
    f.place::integer AS place,
    btrim(f.feature) AS feature,
    split_part(i.item, '=', 2)::numeric AS importance
FROM public.ml_models m
CROSS JOIN LATERAL string_to_table(m.features_csv, ',') WITH ORDINALITY AS f (feature, place)
LEFT JOIN LATERAL string_to_table(m.feature_importance_csv, ';') AS i (item) ON split_part(i.item, '=', 1) = btrim(f.feature)
ORDER BY m.id, importance DESC NULLS LAST, f.place;

CREATE OR REPLACE VIEW public.ml_model_params WITH (security_invoker = true) AS
SELECT
    m.id AS model_id,
    m.name AS model_name,
    p.name AS param,
    p.kind,
    coalesce(g.value, p.default_value) AS value,
    g.value IS NOT NULL AS is_given,
    p.default_value,
    p.description
FROM public.ml_models m
JOIN public.ref_model_params p ON p.model_type = m.model_type
LEFT JOIN LATERAL (
    SELECT split_part(i.item, '=', 2) AS value
    FROM string_to_table(m.params_csv, ';') AS i (item)
    WHERE split_part(i.item, '=', 1) = p.name
) g ON true
ORDER BY m.id, is_given DESC, p.name;

COMMENT ON VIEW public.ml_queue IS 'Jobs that wait or run, in the order in which they will be taken.';
COMMENT ON COLUMN public.ml_queue.position IS 'Place among the waiting jobs, from 1; NULL: running.';
COMMENT ON COLUMN public.ml_queue.id IS 'Number of the job.';
COMMENT ON COLUMN public.ml_queue.job_type IS 'TRAIN, TEST or COMPARE.';
COMMENT ON COLUMN public.ml_queue.model IS 'Name of the model, or of both.';
COMMENT ON COLUMN public.ml_queue.status IS 'PENDING or RUNNING.';
COMMENT ON COLUMN public.ml_queue.priority IS '1 (highest) to 10 (lowest).';
COMMENT ON COLUMN public.ml_queue.waiting IS 'Time from the INSERT to the start of the latest attempt, or until now.';
COMMENT ON COLUMN public.ml_queue.running IS 'Time since its latest attempt started.';
COMMENT ON COLUMN public.ml_queue.progress IS '0.00 to 1.00.';
COMMENT ON COLUMN public.ml_queue.bar IS 'The progress as a bar of 20 characters.';
COMMENT ON COLUMN public.ml_queue.progress_msg IS 'What is being done.';
COMMENT ON COLUMN public.ml_queue.attempt IS 'Number of the latest attempt.';
COMMENT ON COLUMN public.ml_queue.worker_id IS 'Worker of the latest attempt.';
COMMENT ON COLUMN public.ml_queue.created_at IS 'When the job was inserted.';
COMMENT ON VIEW public.ml_workers IS 'Workers that are alive, and what they do.';
COMMENT ON COLUMN public.ml_workers.worker_id IS 'Worker: host, process and a random part.';
COMMENT ON COLUMN public.ml_workers.host IS 'Host that it runs on.';
COMMENT ON COLUMN public.ml_workers.state IS 'IDLE or BUSY, as far as you may see its jobs.';
COMMENT ON COLUMN public.ml_workers.concurrency IS 'Jobs that it does at a time.';
COMMENT ON COLUMN public.ml_workers.running IS 'Jobs that it does now.';
COMMENT ON COLUMN public.ml_workers.job_ids IS 'Numbers of these jobs: 12,13.';
COMMENT ON COLUMN public.ml_workers.started_at IS 'When it gave its first sign of life.';
COMMENT ON COLUMN public.ml_workers.last_sign_at IS 'When it gave its last: it had just looked at the queue.';
COMMENT ON COLUMN public.ml_workers.alive_until IS 'When it counts as dead without another.';
COMMENT ON COLUMN public.ml_workers.login IS 'Login that it works as.';
COMMENT ON VIEW public.ml_leaderboard IS 'READY models with their latest test, ranked among those with the same target: test F1, then accuracy.';
COMMENT ON COLUMN public.ml_leaderboard.rank IS 'Rank by the latest test: F1, then accuracy; ties, and untested models, which come last, by training F1.';
COMMENT ON COLUMN public.ml_leaderboard.id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_leaderboard.name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_leaderboard.model_type IS 'Kind of model.';
COMMENT ON COLUMN public.ml_leaderboard.target IS 'What it predicts; ranks compare models with the same target only.';
COMMENT ON COLUMN public.ml_leaderboard.training_accuracy IS 'Accuracy on the held-out rows of the training.';
COMMENT ON COLUMN public.ml_leaderboard.training_f1 IS 'F1 on the held-out rows of the training.';
COMMENT ON COLUMN public.ml_leaderboard.training_roc_auc IS 'ROC AUC on the held-out rows of the training.';
COMMENT ON COLUMN public.ml_leaderboard.test_start IS 'First moment of its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_end IS 'First moment after its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_samples IS 'Rows of its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_accuracy IS 'Accuracy in its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_f1 IS 'F1 in its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_precision IS 'Precision in its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_recall IS 'Recall in its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_roc_auc IS 'ROC AUC in its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_overlap IS 'How much of its latest test was also training period; if any, the metrics flatter.';
COMMENT ON COLUMN public.ml_leaderboard.tests IS 'Number of its tests.';
COMMENT ON COLUMN public.ml_leaderboard.comparisons_won IS 'Number of comparisons that it won.';
COMMENT ON COLUMN public.ml_leaderboard.created_at IS 'When its training was first claimed.';
COMMENT ON VIEW public.ml_model_features IS 'Features of each model as rows, the most important first.';
COMMENT ON COLUMN public.ml_model_features.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_model_features.model_name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_model_features.place IS 'Place in features_csv, from 1.';
COMMENT ON COLUMN public.ml_model_features.feature IS 'Column of coin_metrics.';
COMMENT ON COLUMN public.ml_model_features.importance IS 'Share of the permutation importance on the held-out rows of the training.';
COMMENT ON VIEW public.ml_model_params IS 'Hyperparameters of each model as rows, those from params_csv first.';
COMMENT ON COLUMN public.ml_model_params.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_model_params.model_name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_model_params.param IS 'Name of the hyperparameter.';
COMMENT ON COLUMN public.ml_model_params.kind IS 'integer, number, boolean, choice or layers.';
COMMENT ON COLUMN public.ml_model_params.value IS 'Value that the fit used.';
COMMENT ON COLUMN public.ml_model_params.is_given IS 'Whether it stands in params_csv; otherwise it is the default.';
COMMENT ON COLUMN public.ml_model_params.default_value IS 'Default of ref_model_params.';
COMMENT ON COLUMN public.ml_model_params.description IS 'What it does.';
