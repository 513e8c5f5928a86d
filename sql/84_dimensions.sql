-- Dimensions and facts for BI tools: one row per thing, keys that stay, and no text lists. The facts of a kind of job stand
-- in its own file.

SET search_path TO pg_catalog, pg_temp;

CREATE OR REPLACE VIEW public.ml_dim_models WITH (security_invoker = true) AS
SELECT
    m.id AS model_id,
    m.name AS model_name,
    m.model_type,
    m.status,
    m.is_deleted,
    m.created_at,
    m.deleted_at,
    ml_internal.label_text(m) AS target,
    m.target_variable,
    m.target_operator,
    m.target_value,
    m.future_minutes,
    m.train_start,
    m.train_end,
    m.test_size,
    m.random_state,
    m.description,
    m.train_job_id AS job_id,
    m.label,
    m.base_variable,
    m.stop_value,
    m.uncovered,
    m.source,
    m.threshold_rule,
    m.threshold,
    m.split,
    m.folds,
    m.weights
FROM public.ml_models m;

CREATE OR REPLACE VIEW public.ml_dim_features WITH (security_invoker = true) AS
SELECT c.column_name AS feature, c.data_type, c.description, c.source
FROM (
    SELECT m.column_name, m.data_type, col_description(a.attrelid, a.attnum) AS description, m.source
    FROM public.ml_metric_columns m
    JOIN public.ml_sources s ON s.name = m.source
    JOIN pg_catalog.pg_namespace n ON n.nspname = s.schema_name
    JOIN pg_catalog.pg_class r ON r.relnamespace = n.oid AND r.relname = s.relation_name
    JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attname = m.column_name
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
    j.model_id,
    j.model_b_id,
    j.period_start,
    j.period_end,
    j.error_msg,
    j.source
FROM ml.jobs j;

CREATE OR REPLACE VIEW public.ml_fact_importances WITH (security_invoker = true) AS
SELECT
    x.model_id,
    x.source,
    x.source_id,
    substring(i.item FROM '^(.*)=') AS feature,
    i.place::integer AS rank,
    substring(i.item FROM '=([+-]?([0-9]{1,30}([.][0-9]{0,30})?|[.][0-9]{1,30})([eE][+-]?[0-9]{1,3})?)$')::numeric AS importance
FROM (
    SELECT r.model_id, 'training' AS source, r.id AS source_id, r.feature_importance_csv FROM public.ml_training_runs r
    UNION ALL
    SELECT t.model_id, 'test' AS source, t.id AS source_id, t.feature_importance_csv FROM public.ml_test_results t
) x
CROSS JOIN LATERAL unnest(string_to_array(x.feature_importance_csv, ';')) WITH ORDINALITY AS i (item, place)
WHERE i.item LIKE '%=%';

CREATE OR REPLACE VIEW public.ml_fact_intervals WITH (security_invoker = true) AS
SELECT
    i.job_id,
    x.source,
    x.source_id,
    i.side,
    x.model_id,
    x.period_start,
    x.period_end,
    x.created_at,
    i.metric,
    i.estimate,
    i.lower,
    i.upper,
    i.confidence,
    i.num_blocks,
    i.block_seconds,
    x.num_samples,
    i.effective_rows,
    i.reason
FROM public.ml_intervals i
JOIN (
    SELECT m.job_id, 'model' AS side, m.source, m.source_id, m.model_id, m.period_start, m.period_end, m.created_at, m.num_samples
    FROM public.ml_measurements m
    UNION ALL
    SELECT c.job_id, s.side, 'comparison' AS source, c.id, s.model_id, c.test_start, c.test_end, c.created_at, c.num_samples
    FROM public.ml_comparisons c
    CROSS JOIN LATERAL (VALUES ('a', c.model_a_id), ('b', c.model_b_id), ('difference', NULL)) s (side, model_id)
) x ON x.job_id = i.job_id AND x.side = i.side;

CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_fact_intervals');

COMMENT ON VIEW public.ml_fact_intervals IS 'How far each metric may be off by chance, one row for each metric of a training run, a test, and either side and the difference of a comparison.';
COMMENT ON COLUMN public.ml_fact_intervals.job_id IS 'Number of the job.';
COMMENT ON COLUMN public.ml_fact_intervals.source IS 'training (its held-out rows), test or comparison.';
COMMENT ON COLUMN public.ml_fact_intervals.source_id IS 'Number of the training run (ml_training_runs), test result (ml_test_results) or comparison (ml_comparisons).';
COMMENT ON COLUMN public.ml_fact_intervals.side IS 'model; of a comparison a, b, or difference: a minus b.';
COMMENT ON COLUMN public.ml_fact_intervals.model_id IS 'Number of the model; NULL: a difference.';
COMMENT ON COLUMN public.ml_fact_intervals.period_start IS 'First moment of the period.';
COMMENT ON COLUMN public.ml_fact_intervals.period_end IS 'First moment after the period.';
COMMENT ON COLUMN public.ml_fact_intervals.created_at IS 'When it was recorded.';
COMMENT ON COLUMN public.ml_fact_intervals.metric IS 'f1, precision, recall, accuracy, roc_auc or average_precision.';
COMMENT ON COLUMN public.ml_fact_intervals.estimate IS 'The metric on these rows; NULL where it is undefined.';
COMMENT ON COLUMN public.ml_fact_intervals.lower IS 'Lower end; NULL: see reason.';
COMMENT ON COLUMN public.ml_fact_intervals.upper IS 'Upper end; NULL: see reason.';
COMMENT ON COLUMN public.ml_fact_intervals.confidence IS 'Share of such intervals that contain what they are of.';
COMMENT ON COLUMN public.ml_fact_intervals.num_blocks IS 'Blocks of time that hold rows.';
COMMENT ON COLUMN public.ml_fact_intervals.block_seconds IS 'Length of a block.';
COMMENT ON COLUMN public.ml_fact_intervals.num_samples IS 'Rows measured on.';
COMMENT ON COLUMN public.ml_fact_intervals.effective_rows IS 'So many independent rows would tell the accuracy as well, see ml_intervals.';
COMMENT ON COLUMN public.ml_fact_intervals.reason IS 'Why there is no interval, in words; NULL: there is one.';
COMMENT ON VIEW public.ml_dim_models IS 'Models as a dimension, one row each, deleted and failed ones included.';
COMMENT ON COLUMN public.ml_dim_models.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_dim_models.model_name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_dim_models.model_type IS 'Kind of model, see ref_model_types.';
COMMENT ON COLUMN public.ml_dim_models.status IS 'TRAINING, READY or FAILED.';
COMMENT ON COLUMN public.ml_dim_models.is_deleted IS 'Whether it is deleted.';
COMMENT ON COLUMN public.ml_dim_models.created_at IS 'When its training was first claimed.';
COMMENT ON COLUMN public.ml_dim_models.deleted_at IS 'When it was deleted.';
COMMENT ON COLUMN public.ml_dim_models.target IS 'What it predicts, in words.';
COMMENT ON COLUMN public.ml_dim_models.target_variable IS 'Column of the source that the label is read from.';
COMMENT ON COLUMN public.ml_dim_models.target_operator IS 'Comparison of the label.';
COMMENT ON COLUMN public.ml_dim_models.target_value IS 'Threshold of the label, in percent where it is a change.';
COMMENT ON COLUMN public.ml_dim_models.future_minutes IS 'Horizon of the label in minutes; NULL: the same row.';
COMMENT ON COLUMN public.ml_dim_models.train_start IS 'First moment of the training period.';
COMMENT ON COLUMN public.ml_dim_models.train_end IS 'First moment after the training period.';
COMMENT ON COLUMN public.ml_dim_models.test_size IS 'Share of the rows held out.';
COMMENT ON COLUMN public.ml_dim_models.random_state IS 'Seed of everything random in the training.';
COMMENT ON COLUMN public.ml_dim_models.description IS 'Free text of the user.';
COMMENT ON COLUMN public.ml_dim_models.job_id IS 'Job that makes or made it.';
COMMENT ON COLUMN public.ml_dim_models.label IS 'Kind of label, see ref_labels.';
COMMENT ON COLUMN public.ml_dim_models.base_variable IS 'Column that a change is measured from; NULL: the label is no change.';
COMMENT ON COLUMN public.ml_dim_models.stop_value IS 'Change in percent that must not come first; NULL: the label has no stop.';
COMMENT ON COLUMN public.ml_dim_models.uncovered IS 'What rows are whose coin has no row where the window ends: leave_out or negative; NULL: the same row.';
COMMENT ON COLUMN public.ml_dim_models.split IS 'What was asked to be held out, see ml_jobs.train_split.';
COMMENT ON COLUMN public.ml_dim_models.folds IS 'In how many later periods its recipe was measured besides, see ml_folds; NULL: none.';
COMMENT ON COLUMN public.ml_dim_models.weights IS 'What a row weighed in the fit, see ml_jobs.train_weights.';
COMMENT ON COLUMN public.ml_dim_models.source IS 'Source of its rows, see ml_sources.';
COMMENT ON COLUMN public.ml_dim_models.threshold_rule IS 'How the threshold was to be found, see ml_jobs.train_threshold.';
COMMENT ON COLUMN public.ml_dim_models.threshold IS 'The model says yes to a row where its probability is greater than this; NULL: not chosen yet.';
COMMENT ON VIEW public.ml_dim_features IS 'Features as a dimension: the columns of all sources that can be one.';
COMMENT ON COLUMN public.ml_dim_features.feature IS 'Column of the source, as in features_csv.';
COMMENT ON COLUMN public.ml_dim_features.data_type IS 'SQL type of the column.';
COMMENT ON COLUMN public.ml_dim_features.description IS 'Its comment.';
COMMENT ON COLUMN public.ml_dim_features.source IS 'Source that has it, see ml_sources.';
COMMENT ON VIEW public.ml_fact_jobs IS 'Jobs as facts, one row each.';
COMMENT ON COLUMN public.ml_fact_jobs.job_id IS 'Number of the job.';
COMMENT ON COLUMN public.ml_fact_jobs.job_type IS 'Kind of job, see ml.job_kinds.';
COMMENT ON COLUMN public.ml_fact_jobs.status IS 'PENDING, RUNNING, COMPLETED, FAILED or CANCELLED.';
COMMENT ON COLUMN public.ml_fact_jobs.priority IS '1 (highest) to 10 (lowest).';
COMMENT ON COLUMN public.ml_fact_jobs.created_at IS 'When it was inserted.';
COMMENT ON COLUMN public.ml_fact_jobs.started_at IS 'When its latest attempt started.';
COMMENT ON COLUMN public.ml_fact_jobs.completed_at IS 'When it ended, in whichever way.';
COMMENT ON COLUMN public.ml_fact_jobs.waiting_seconds IS 'Seconds from the INSERT to the start of its latest attempt.';
COMMENT ON COLUMN public.ml_fact_jobs.running_seconds IS 'Seconds from that start to its end, or until now.';
COMMENT ON COLUMN public.ml_fact_jobs.attempts IS 'Attempts so far.';
COMMENT ON COLUMN public.ml_fact_jobs.worker_id IS 'Worker of the latest attempt.';
COMMENT ON COLUMN public.ml_fact_jobs.model_id IS 'Model that it made, or the first that it used.';
COMMENT ON COLUMN public.ml_fact_jobs.model_b_id IS 'Second model that it used.';
COMMENT ON COLUMN public.ml_fact_jobs.period_start IS 'First moment of the period.';
COMMENT ON COLUMN public.ml_fact_jobs.period_end IS 'First moment after the period.';
COMMENT ON COLUMN public.ml_fact_jobs.error_msg IS 'Why it FAILED.';
COMMENT ON COLUMN public.ml_fact_jobs.source IS 'Source of its rows, see ml_sources.';
COMMENT ON VIEW public.ml_fact_importances IS 'Permutation importance of each feature in each training run and test, one row each.';
COMMENT ON COLUMN public.ml_fact_importances.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_fact_importances.source IS 'training (its held-out rows) or test.';
COMMENT ON COLUMN public.ml_fact_importances.source_id IS 'Number of the training run (ml_training_runs) or test result (ml_test_results).';
COMMENT ON COLUMN public.ml_fact_importances.feature IS 'Column of the source, as in features_csv.';
COMMENT ON COLUMN public.ml_fact_importances.rank IS 'Place by importance, from 1.';
COMMENT ON COLUMN public.ml_fact_importances.importance IS 'Share of the whole; the shares of a measurement sum to 1.';
