-- Views for the eye: the models by rank, and their text lists as rows.

SET search_path TO pg_catalog, pg_temp;

-- What chance alone does to the F1 of a test: its standard error. That of independent rows, by the delta method: of the rows
-- that are positive or were called so, the share that is both (J, after Jaccard) is binomial, and F1 = 2 J / (1 + J).
-- Rows of one moment resemble each other, so it is rather larger: where the test has an interval over blocks of time, its
-- width is taken instead, which is 3.92 standard errors.
CREATE OR REPLACE FUNCTION ml_internal.f1_standard_error(
    tp bigint,
    fp bigint,
    fn bigint
)
RETURNS double precision
LANGUAGE plpgsql -- of which a plan is kept
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_j double precision := tp::double precision / nullif(tp + fp + fn, 0);
BEGIN
    RETURN 2 / (1 + v_j) ^ 2 * sqrt(v_j * (1 - v_j) / (tp + fp + fn));
END
$$;

-- By how many standard errors the greatest of n equals lies above their mean: of up to five exactly, of more as by G. Blom,
-- Statistical Estimates and Transformed Beta-Variables (1958), with the quantile 26.2.23 of Abramowitz and Stegun (1964).
-- What it means for the best of many trials: Bailey and Lopez de Prado, The Deflated Sharpe Ratio (2014).
CREATE OR REPLACE FUNCTION ml_internal.greatest_of_equals(
    n bigint
)
RETURNS double precision
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_t double precision;
BEGIN
    IF n <= 5 THEN
        RETURN ('{0,0.56419,0.84628,1.02938,1.16296}'::double precision [])[n];
    END IF;
    v_t := sqrt(-2 * ln(0.625::double precision / (n + 0.25)));
    RETURN v_t - (2.515517 + 0.802853 * v_t + 0.010328 * v_t ^ 2) / (1 + 1.432788 * v_t + 0.189269 * v_t ^ 2 + 0.001308 * v_t ^ 3);
END
$$;

-- A row is a model in one period that it was tested on, by its latest test of that; a model that none ranks has one row.
-- Ranks compare what can be compared: models of the same source, label and phases in the same period. A test on rows of
-- the training period ranks nobody. Three orders, because F1 says little of a rare event: a model that ranks its rows well
-- may say yes to none of them. Deleted models have no row, but were tried: the best of many is good by chance as well.
-- What was tried is counted last, and of all tests, so that a query that does not ask for it does not pay for it.
CREATE OR REPLACE VIEW public.ml_leaderboard WITH (security_invoker = true) AS
SELECT
    e.rank_by_f1,
    e.rank_by_roc_auc,
    e.rank_by_average_precision,
    e.id,
    e.name,
    e.model_type,
    e.target,
    e.training_accuracy,
    e.training_f1,
    e.training_roc_auc,
    e.training_average_precision,
    e.test_start,
    e.test_end,
    e.test_samples,
    e.test_accuracy,
    e.test_f1,
    e.test_precision,
    e.test_recall,
    e.test_roc_auc,
    e.test_average_precision,
    e.test_overlap,
    e.tests,
    e.comparisons_won,
    e.created_at,
    e.source,
    e.phases_csv,
    CASE
        WHEN e.test_id IS NOT NULL THEN NULL
        WHEN e.test_overlap IS NOT NULL THEN 'no test outside the training period: ' || e.test_overlap
        ELSE 'not tested'
    END AS rank_note,
    g.num_models AS num_models_tried,
    g.num_tests AS num_tests_tried,
    CASE WHEN e.test_id IS NOT NULL
        THEN least(1, round((e.mean_f1 + e.standard_error * ml_internal.greatest_of_equals(g.num_models))::numeric, 4))
    END AS best_of_equals_f1,
    e.threshold,
    e.test_f1_at_half,
    e.test_mcc,
    e.test_log_loss,
    e.test_brier_score,
    e.f1_lower AS test_f1_lower,
    e.f1_upper AS test_f1_upper,
    e.roc_auc_lower AS test_roc_auc_lower,
    e.roc_auc_upper AS test_roc_auc_upper,
    e.effective_rows AS test_effective_rows,
    CASE WHEN e.folds > 0 THEN ml_internal.folds_text(e.train_job_id) END AS later_periods,
    e.best_baseline,
    e.baseline_f1,
    e.beats_baseline
FROM (
    SELECT
        a.*,
        CASE WHEN a.test_id IS NOT NULL THEN rank() OVER (
            of_group ORDER BY a.test_f1 DESC NULLS LAST, a.test_accuracy DESC NULLS LAST, a.training_f1 DESC NULLS LAST
        ) END AS rank_by_f1,
        CASE WHEN a.test_id IS NOT NULL THEN rank() OVER (
            of_group ORDER BY a.test_roc_auc DESC NULLS LAST, a.training_roc_auc DESC NULLS LAST
        ) END AS rank_by_roc_auc,
        CASE WHEN a.test_id IS NOT NULL THEN rank() OVER (
            of_group ORDER BY a.test_average_precision DESC NULLS LAST, a.training_average_precision DESC NULLS LAST
        ) END AS rank_by_average_precision,
        avg(a.test_f1) OVER of_group AS mean_f1,
        sqrt(avg(a.standard_error_of_one ^ 2) OVER of_group) AS standard_error
    FROM (
        SELECT
            m.id, m.name, m.model_type, m.target_variable, m.target_operator, m.target_value, m.future_minutes,
            m.label, m.base_variable, m.stop_value, m.uncovered, m.source, m.phases_csv, m.threshold, m.created_at,
            ml_internal.label_text(m) AS target,
            m.training_accuracy, m.training_f1, r.roc_auc AS training_roc_auc, r.average_precision AS training_average_precision,
            t.id AS test_id, t.test_start, t.test_end, t.num_samples AS test_samples,
            t.accuracy AS test_accuracy, t.f1_score AS test_f1, t.precision_score AS test_precision, t.recall AS test_recall,
            t.roc_auc AS test_roc_auc, t.average_precision AS test_average_precision, t.f1_at_half AS test_f1_at_half,
            t.mcc AS test_mcc, t.log_loss AS test_log_loss, t.brier_score AS test_brier_score,
            CASE WHEN t.id IS NULL THEN (
                SELECT x.overlap_note FROM public.ml_test_results x WHERE x.model_id = m.id ORDER BY x.created_at DESC, x.id DESC LIMIT 1
            ) END AS test_overlap,
            (SELECT count(*) FROM public.ml_test_results x WHERE x.model_id = m.id) AS tests,
            (SELECT count(*) FROM public.ml_comparisons c WHERE c.winner_id = m.id) AS comparisons_won,
            i.f1_lower, i.f1_upper, i.roc_auc_lower, i.roc_auc_upper, i.effective_rows,
            t.best_baseline, t.baseline_f1, t.beats_baseline, m.train_job_id, m.folds,
            coalesce((i.f1_upper - i.f1_lower)::double precision / 3.92, ml_internal.f1_standard_error(t.tp, t.fp, t.fn)) AS standard_error_of_one
        FROM public.ml_models m
        LEFT JOIN public.ml_training_runs r ON r.model_id = m.id
        LEFT JOIN LATERAL (
            SELECT DISTINCT ON (x.test_start, x.test_end) x.*
            FROM public.ml_test_results x
            WHERE x.model_id = m.id AND NOT x.has_overlap
            ORDER BY x.test_start, x.test_end, x.created_at DESC, x.id DESC
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
    ) a
    WINDOW of_group AS (
        PARTITION BY
            a.source, a.label, a.target_variable, a.target_operator, a.target_value, a.future_minutes, a.base_variable,
            a.stop_value, a.uncovered, a.phases_csv, a.test_start, a.test_end
    )
) e
LEFT JOIN (
    SELECT
        m.source, m.label, m.target_variable, m.target_operator, m.target_value, coalesce(m.future_minutes, 0) AS future_minutes,
        coalesce(m.base_variable, '') AS base_variable, coalesce(m.stop_value, 0) AS stop_value, coalesce(m.uncovered, '') AS uncovered,
        coalesce(m.phases_csv, '') AS phases_csv, x.test_start, x.test_end, count(*) AS num_models, sum(x.num_tests)::bigint AS num_tests
    FROM (
        SELECT t.model_id, t.test_start, t.test_end, count(*) AS num_tests
        FROM public.ml_test_results t
        WHERE NOT t.has_overlap
        GROUP BY t.model_id, t.test_start, t.test_end
    ) x
    JOIN public.ml_models m ON m.id = x.model_id
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
) g ON g.source = e.source AND g.label = e.label AND g.target_variable = e.target_variable AND g.target_operator = e.target_operator
    AND g.target_value = e.target_value AND g.future_minutes = coalesce(e.future_minutes, 0)
    AND g.base_variable = coalesce(e.base_variable, '') AND g.stop_value = coalesce(e.stop_value, 0)
    AND g.uncovered = coalesce(e.uncovered, '') AND g.phases_csv = coalesce(e.phases_csv, '')
    AND g.test_start = e.test_start AND g.test_end = e.test_end
ORDER BY
    e.target_variable, e.target_operator, e.target_value, e.future_minutes, e.target,
    e.test_end DESC NULLS LAST, e.test_start DESC, e.phases_csv, e.rank_by_f1, e.id;

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

COMMENT ON FUNCTION ml_internal.f1_standard_error(bigint, bigint, bigint) IS 'Part of ml_leaderboard: standard error of the F1 of a test without an interval, by the delta method.';
COMMENT ON FUNCTION ml_internal.greatest_of_equals(bigint) IS 'Part of ml_leaderboard: the expected greatest of n standard normal numbers (Blom, 1958).';
COMMENT ON VIEW public.ml_leaderboard IS 'READY models, a row for each period that they were tested on outside their training, by their latest test of it; ranked among those of the same source, label, phases and test period: by F1 (the order shown), ROC AUC and average precision.';
COMMENT ON COLUMN public.ml_leaderboard.rank_by_f1 IS 'Rank in the test period: F1 at the threshold of the model, then accuracy; ties by training F1. NULL: see rank_note.';
COMMENT ON COLUMN public.ml_leaderboard.rank_by_roc_auc IS 'Rank by ROC AUC in the test period; ties by that of the training. NULL: see rank_note.';
COMMENT ON COLUMN public.ml_leaderboard.rank_by_average_precision IS 'Rank by average precision in the test period; ties by that of the training. NULL: see rank_note.';
COMMENT ON COLUMN public.ml_leaderboard.id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_leaderboard.name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_leaderboard.model_type IS 'Kind of model.';
COMMENT ON COLUMN public.ml_leaderboard.target IS 'What it predicts; ranks compare models with the same target, source, phases and test period only.';
COMMENT ON COLUMN public.ml_leaderboard.training_accuracy IS 'Accuracy on the held-out rows of the training.';
COMMENT ON COLUMN public.ml_leaderboard.training_f1 IS 'F1 on the held-out rows of the training.';
COMMENT ON COLUMN public.ml_leaderboard.training_roc_auc IS 'ROC AUC on the held-out rows of the training.';
COMMENT ON COLUMN public.ml_leaderboard.training_average_precision IS 'Average precision on the held-out rows of the training.';
COMMENT ON COLUMN public.ml_leaderboard.test_average_precision IS 'Average precision in its latest test; the share of positive rows is chance.';
COMMENT ON COLUMN public.ml_leaderboard.test_start IS 'First moment of the test period; all test columns are of its latest test of this period.';
COMMENT ON COLUMN public.ml_leaderboard.test_end IS 'First moment after the test period.';
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
COMMENT ON COLUMN public.ml_leaderboard.phases_csv IS 'Phases of its rows; NULL: all.';
COMMENT ON COLUMN public.ml_leaderboard.rank_note IS 'Why it has no rank: it was not tested, or on its training period alone; NULL: it has one.';
COMMENT ON COLUMN public.ml_leaderboard.num_models_tried IS 'Models tested that it is ranked among, deleted ones included.';
COMMENT ON COLUMN public.ml_leaderboard.num_tests_tried IS 'Their tests in this period, repeated ones included.';
COMMENT ON COLUMN public.ml_leaderboard.best_of_equals_f1 IS 'F1 to expect of the best of so many models if all were equal and chance alone told them apart: the mean F1 of those that are not deleted, and of its standard error the expected greatest (Blom, 1958). A best model that is not above it has proven nothing.';
COMMENT ON COLUMN public.ml_leaderboard.threshold IS 'The model says yes where its probability is greater than this.';
COMMENT ON COLUMN public.ml_leaderboard.test_f1_at_half IS 'F1 in the test if the threshold were 0.5.';
COMMENT ON COLUMN public.ml_leaderboard.test_mcc IS 'Matthews correlation in the test, -1 to 1, chance 0.';
COMMENT ON COLUMN public.ml_leaderboard.test_log_loss IS 'Log loss in the test, in nats: less is better; NULL before version 7.';
COMMENT ON COLUMN public.ml_leaderboard.test_brier_score IS 'Brier score in the test: less is better; NULL before version 7.';
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
