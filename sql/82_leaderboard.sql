-- Views for the eye: the models by rank, and their text lists as rows.

SET search_path TO pg_catalog, pg_temp;

-- Three orders, because F1 at the threshold of 0.5 says little of a rare event: a model that ranks its rows well may
-- have none there. A test on rows of the training period ranks nobody.
CREATE OR REPLACE VIEW public.ml_leaderboard WITH (security_invoker = true) AS
SELECT
    rank() OVER (of_target ORDER BY t.f1_score DESC NULLS LAST, t.accuracy DESC NULLS LAST, m.training_f1 DESC NULLS LAST) AS rank_by_f1,
    rank() OVER (of_target ORDER BY t.roc_auc DESC NULLS LAST, r.roc_auc DESC NULLS LAST) AS rank_by_roc_auc,
    rank() OVER (of_target ORDER BY t.average_precision DESC NULLS LAST, r.average_precision DESC NULLS LAST) AS rank_by_average_precision,
    m.id,
    m.name,
    m.model_type,
    ml_internal.label_text(m) AS target,
    m.training_accuracy,
    m.training_f1,
    r.roc_auc AS training_roc_auc,
    r.average_precision AS training_average_precision,
    t.test_start,
    t.test_end,
    t.num_samples AS test_samples,
    t.accuracy AS test_accuracy,
    t.f1_score AS test_f1,
    t.precision_score AS test_precision,
    t.recall AS test_recall,
    t.roc_auc AS test_roc_auc,
    t.average_precision AS test_average_precision,
    CASE WHEN t.id IS NULL THEN (
        SELECT x.overlap_note FROM public.ml_test_results x WHERE x.model_id = m.id ORDER BY x.created_at DESC, x.id DESC LIMIT 1
    ) END AS test_overlap,
    (SELECT count(*) FROM public.ml_test_results x WHERE x.model_id = m.id) AS tests,
    (SELECT count(*) FROM public.ml_comparisons c WHERE c.winner_id = m.id) AS comparisons_won,
    m.created_at,
    m.source,
    i.f1_lower AS test_f1_lower,
    i.f1_upper AS test_f1_upper,
    i.roc_auc_lower AS test_roc_auc_lower,
    i.roc_auc_upper AS test_roc_auc_upper,
    i.effective_rows AS test_effective_rows,
    ml_internal.folds_text(m.train_job_id) AS later_periods,
    t.best_baseline,
    t.baseline_f1,
    t.beats_baseline
FROM public.ml_models m
LEFT JOIN public.ml_training_runs r ON r.model_id = m.id
LEFT JOIN LATERAL (
    SELECT x.*
    FROM public.ml_test_results x
    WHERE x.model_id = m.id AND NOT x.has_overlap
    ORDER BY x.created_at DESC, x.id DESC
    LIMIT 1
) t ON true
LEFT JOIN LATERAL (
    SELECT
        max(x.lower) FILTER (WHERE x.metric = 'f1') AS f1_lower,
        max(x.upper) FILTER (WHERE x.metric = 'f1') AS f1_upper,
        max(x.lower) FILTER (WHERE x.metric = 'roc_auc') AS roc_auc_lower,
        max(x.upper) FILTER (WHERE x.metric = 'roc_auc') AS roc_auc_upper,
        max(x.effective_rows) AS effective_rows
    FROM public.ml_intervals x
    WHERE x.job_id = t.job_id AND x.side = 'model'
) i ON true
WHERE m.status = 'READY' AND NOT m.is_deleted
WINDOW of_target AS (PARTITION BY ml_internal.label_text(m))
ORDER BY m.target_variable, m.target_operator, m.target_value, m.future_minutes, ml_internal.label_text(m), rank_by_f1, m.id;

CREATE OR REPLACE VIEW public.ml_model_features WITH (security_invoker = true) AS
SELECT
    m.id AS model_id,
    m.name AS model_name,
    f.place::integer AS place,
    btrim(f.feature) AS feature,
    substring(i.item FROM '=([+-]?([0-9]{1,30}([.][0-9]{0,30})?|[.][0-9]{1,30})([eE][+-]?[0-9]{1,3})?)$')::numeric AS importance
FROM public.ml_models m
CROSS JOIN LATERAL unnest(string_to_array(m.features_csv, ',')) WITH ORDINALITY AS f (feature, place)
LEFT JOIN LATERAL unnest(string_to_array(m.feature_importance_csv, ';')) AS i (item) ON substring(i.item FROM '^(.*)=') = btrim(f.feature)
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
    FROM unnest(string_to_array(m.params_csv, ';')) AS i (item)
    WHERE split_part(i.item, '=', 1) = p.name
) g ON true
ORDER BY m.id, is_given DESC, p.name;

COMMENT ON VIEW public.ml_leaderboard IS 'READY models with their latest test outside their training period, ranked among those with the same target: by F1 (the order shown), ROC AUC and average precision.';
COMMENT ON COLUMN public.ml_leaderboard.rank_by_f1 IS 'Rank by the test: F1 at the threshold of 0.5, then accuracy; ties, and untested models, which come last, by training F1.';
COMMENT ON COLUMN public.ml_leaderboard.rank_by_roc_auc IS 'Rank by ROC AUC in the test; ties, and untested models, which come last, by that of the training.';
COMMENT ON COLUMN public.ml_leaderboard.rank_by_average_precision IS 'Rank by average precision in the test; ties, and untested models, which come last, by that of the training.';
COMMENT ON COLUMN public.ml_leaderboard.id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_leaderboard.name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_leaderboard.model_type IS 'Kind of model.';
COMMENT ON COLUMN public.ml_leaderboard.target IS 'What it predicts; ranks compare models with the same target only.';
COMMENT ON COLUMN public.ml_leaderboard.training_accuracy IS 'Accuracy on the held-out rows of the training.';
COMMENT ON COLUMN public.ml_leaderboard.training_f1 IS 'F1 on the held-out rows of the training.';
COMMENT ON COLUMN public.ml_leaderboard.training_roc_auc IS 'ROC AUC on the held-out rows of the training.';
COMMENT ON COLUMN public.ml_leaderboard.training_average_precision IS 'Average precision on the held-out rows of the training.';
COMMENT ON COLUMN public.ml_leaderboard.test_average_precision IS 'Average precision in its latest test; the share of positive rows is chance.';
COMMENT ON COLUMN public.ml_leaderboard.test_start IS 'First moment of its latest test outside its training period, as all test columns.';
COMMENT ON COLUMN public.ml_leaderboard.test_end IS 'First moment after its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_samples IS 'Rows of its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_accuracy IS 'Accuracy in its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_f1 IS 'F1 in its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_precision IS 'Precision in its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_recall IS 'Recall in its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_roc_auc IS 'ROC AUC in its latest test.';
COMMENT ON COLUMN public.ml_leaderboard.test_overlap IS 'For a model whose tests all lie in its training period: how much of the latest does. They rank nobody, for the model has seen these rows.';
COMMENT ON COLUMN public.ml_leaderboard.tests IS 'Number of its tests.';
COMMENT ON COLUMN public.ml_leaderboard.comparisons_won IS 'Number of comparisons that it won, see ml_comparisons.winner_id.';
COMMENT ON COLUMN public.ml_leaderboard.created_at IS 'When its training was first claimed.';
COMMENT ON COLUMN public.ml_leaderboard.later_periods IS 'What its recipe gave in one later period after another, see ml_fact_folds; NULL: its job asked for no folds.';
COMMENT ON COLUMN public.ml_leaderboard.source IS 'Source of its rows, see ml_sources.';
COMMENT ON COLUMN public.ml_leaderboard.test_f1_lower IS 'Lower end of the 95% interval of F1 in its latest test, see ml_intervals; NULL: there is none.';
COMMENT ON COLUMN public.ml_leaderboard.test_f1_upper IS 'Upper end of it.';
COMMENT ON COLUMN public.ml_leaderboard.test_roc_auc_lower IS 'Lower end of the 95% interval of ROC AUC in its latest test; NULL: there is none.';
COMMENT ON COLUMN public.ml_leaderboard.test_roc_auc_upper IS 'Upper end of it.';
COMMENT ON COLUMN public.ml_leaderboard.test_effective_rows IS 'So many independent rows would tell its accuracy as well, see ml_intervals.';
COMMENT ON COLUMN public.ml_leaderboard.best_baseline IS 'Baseline with the highest F1 in its latest test, see ml_baselines; NULL before version 8.';
COMMENT ON COLUMN public.ml_leaderboard.baseline_f1 IS 'F1 of that baseline.';
COMMENT ON COLUMN public.ml_leaderboard.beats_baseline IS 'Whether F1 in its latest test is above that of the baseline beyond chance; NULL before version 8.';
COMMENT ON VIEW public.ml_model_features IS 'Features of each model as rows, the most important first.';
COMMENT ON COLUMN public.ml_model_features.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_model_features.model_name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_model_features.place IS 'Place in features_csv, from 1.';
COMMENT ON COLUMN public.ml_model_features.feature IS 'Column of its source.';
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
