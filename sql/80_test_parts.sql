-- Tests by day and by coin: whether a model is good every day and for all, or on a few that make up for the rest.

SET search_path TO pg_catalog, pg_temp;

CREATE OR REPLACE VIEW public.ml_test_days WITH (security_invoker = true) AS
SELECT
    t.id AS test_id,
    t.job_id,
    t.model_id,
    m.name AS model_name,
    t.test_start AS period_start,
    t.test_end AS period_end,
    c.day,
    c.tp + c.fp + c.tn + c.fn AS num_samples,
    c.tp + c.fn AS num_positive,
    c.fp + c.tn AS num_negative,
    c.tp,
    c.fp,
    c.tn,
    c.fn,
    round(ml_internal.accuracy(c.tp, c.tn, c.fp, c.fn), 4) AS accuracy,
    round(ml_internal.precision_score(c.tp, c.fp), 4) AS precision_score,
    round(ml_internal.recall_score(c.tp, c.fn), 4) AS recall,
    round(ml_internal.f1_score(c.tp, c.fp, c.fn), 4) AS f1_score,
    round(ml_internal.mcc(c.tp, c.tn, c.fp, c.fn), 4) AS mcc,
    c.roc_auc
FROM public.ml_test_day_counts c
JOIN public.ml_test_results t ON t.job_id = c.job_id
JOIN public.ml_models m ON m.id = t.model_id;

CREATE OR REPLACE VIEW public.ml_test_coins WITH (security_invoker = true) AS
SELECT
    t.id AS test_id,
    t.job_id,
    t.model_id,
    m.name AS model_name,
    t.test_start AS period_start,
    t.test_end AS period_end,
    c.place,
    c.key,
    c.num_coins,
    c.tp + c.fp + c.tn + c.fn AS num_samples,
    c.tp + c.fn AS num_positive,
    c.fp + c.tn AS num_negative,
    c.tp,
    c.fp,
    c.tn,
    c.fn,
    round(ml_internal.accuracy(c.tp, c.tn, c.fp, c.fn), 4) AS accuracy,
    round(ml_internal.precision_score(c.tp, c.fp), 4) AS precision_score,
    round(ml_internal.recall_score(c.tp, c.fn), 4) AS recall,
    round(ml_internal.f1_score(c.tp, c.fp, c.fn), 4) AS f1_score,
    round(ml_internal.mcc(c.tp, c.tn, c.fp, c.fn), 4) AS mcc
FROM public.ml_test_coin_counts c
JOIN public.ml_test_results t ON t.job_id = c.job_id
JOIN public.ml_models m ON m.id = t.model_id;

CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_test_days, public.ml_test_coins');

COMMENT ON VIEW public.ml_test_days IS 'Metrics of each test for each day (UTC) of its rows; a day without any has no row, nor has a test of before version 8.';
COMMENT ON COLUMN public.ml_test_days.test_id IS 'Number of the test result.';
COMMENT ON COLUMN public.ml_test_days.job_id IS 'TEST job.';
COMMENT ON COLUMN public.ml_test_days.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_test_days.model_name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_test_days.period_start IS 'First moment of the test period.';
COMMENT ON COLUMN public.ml_test_days.period_end IS 'First moment after the test period.';
COMMENT ON COLUMN public.ml_test_days.day IS 'Day of the rows, UTC.';
COMMENT ON COLUMN public.ml_test_days.num_samples IS 'Rows measured on.';
COMMENT ON COLUMN public.ml_test_days.num_positive IS 'Positive rows among them.';
COMMENT ON COLUMN public.ml_test_days.num_negative IS 'Negative rows among them.';
COMMENT ON COLUMN public.ml_test_days.tp IS 'True positives, at the threshold of the model.';
COMMENT ON COLUMN public.ml_test_days.fp IS 'False positives.';
COMMENT ON COLUMN public.ml_test_days.tn IS 'True negatives.';
COMMENT ON COLUMN public.ml_test_days.fn IS 'False negatives.';
COMMENT ON COLUMN public.ml_test_days.accuracy IS 'Share of the rows predicted right.';
COMMENT ON COLUMN public.ml_test_days.precision_score IS 'Share of the positive predictions that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_test_days.recall IS 'Share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_test_days.f1_score IS 'Harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON COLUMN public.ml_test_days.mcc IS 'Matthews correlation, -1 to 1, chance 0; NULL where the rows or the answers have one class only.';
COMMENT ON COLUMN public.ml_test_days.roc_auc IS 'Area under the ROC curve: 0.5 chance, 1 perfect; NULL where there was only one class.';
COMMENT ON VIEW public.ml_test_coins IS 'Metrics of each test for each coin, those with the most rows first; beyond 10,000 coins the others are one row. None for tests of before version 8.';
COMMENT ON COLUMN public.ml_test_coins.test_id IS 'Number of the test result.';
COMMENT ON COLUMN public.ml_test_coins.job_id IS 'TEST job.';
COMMENT ON COLUMN public.ml_test_coins.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_test_coins.model_name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_test_coins.period_start IS 'First moment of the test period.';
COMMENT ON COLUMN public.ml_test_coins.period_end IS 'First moment after the test period.';
COMMENT ON COLUMN public.ml_test_coins.place IS 'Place by the number of rows, from 0.';
COMMENT ON COLUMN public.ml_test_coins.key IS 'Coin, or what else the key of the source is; empty where it has none. NULL: all others together.';
COMMENT ON COLUMN public.ml_test_coins.num_coins IS 'Coins of this row: 1, or as many as the others are.';
COMMENT ON COLUMN public.ml_test_coins.num_samples IS 'Rows measured on.';
COMMENT ON COLUMN public.ml_test_coins.num_positive IS 'Positive rows among them.';
COMMENT ON COLUMN public.ml_test_coins.num_negative IS 'Negative rows among them.';
COMMENT ON COLUMN public.ml_test_coins.tp IS 'True positives, at the threshold of the model.';
COMMENT ON COLUMN public.ml_test_coins.fp IS 'False positives.';
COMMENT ON COLUMN public.ml_test_coins.tn IS 'True negatives.';
COMMENT ON COLUMN public.ml_test_coins.fn IS 'False negatives.';
COMMENT ON COLUMN public.ml_test_coins.accuracy IS 'Share of the rows predicted right.';
COMMENT ON COLUMN public.ml_test_coins.precision_score IS 'Share of the positive predictions that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_test_coins.recall IS 'Share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_test_coins.f1_score IS 'Harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON COLUMN public.ml_test_coins.mcc IS 'Matthews correlation, -1 to 1, chance 0; NULL where the rows or the answers have one class only.';
