-- Curves as rows: how a training run or a test result would have come out at other thresholds than 0.5.
-- From these points views give ROC, precision and recall, calibration and the metrics at every threshold.

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ml_curve_points (
    job_id bigint NOT NULL,
    threshold double precision NOT NULL,
    tp bigint NOT NULL,
    fp bigint NOT NULL,
    tn bigint NOT NULL,
    fn bigint NOT NULL,
    sum_probability double precision NOT NULL,
    CONSTRAINT ml_curve_points_pkey PRIMARY KEY (job_id, threshold),
    CONSTRAINT ml_curve_points_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_curve_points_threshold_between_0_and_1 CHECK (threshold BETWEEN 0 AND 1),
    CONSTRAINT ml_curve_points_counts_not_negative CHECK (least(tp, fp, tn, fn) >= 0),
    CONSTRAINT ml_curve_points_nothing_above_1 CHECK (threshold < 1 OR tp + fp = 0),
    -- So many probabilities, each above the threshold and none above 1; a sum of doubles is not exact.
    CONSTRAINT ml_curve_points_sum_fits_threshold CHECK (
        sum_probability BETWEEN (tp + fp) * (threshold - 1e-6) AND (tp + fp) * (1 + 1e-6)
    )
);

CREATE OR REPLACE TRIGGER ml_curve_points_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_curve_points
FOR EACH STATEMENT EXECUTE FUNCTION ml.refuse_change_of_fact();

-- Rules of a whole curve; those of one point are constraints of the table.
CREATE OR REPLACE FUNCTION ml.check_curve()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint;
    v_fault text;
BEGIN
    SELECT c.job_id, c.fault INTO v_job_id, v_fault
    FROM (
        SELECT
            p.job_id,
            CASE
                WHEN count(p.num_positive) = 0 THEN 'has no training run or test result'
                WHEN count(*) > 201 THEN 'has more than 201 points'
                WHEN bool_or(p.tp + p.fn <> p.num_positive OR p.fp + p.tn <> p.num_negative)
                    THEN 'counts other rows than its result'
                WHEN count(*) FILTER (WHERE p.threshold = ANY ('{0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1}'::double precision [])) < 11
                    THEN 'lacks one of the thresholds 0, 0.1, 0.2 to 1'
                WHEN bool_or(p.threshold = 0.5 AND (p.tp <> p.result_tp OR p.fp <> p.result_fp))
                    THEN 'differs from its result at the threshold 0.5'
                WHEN bool_or(p.tp > p.tp_before OR p.fp > p.fp_before OR p.sum_probability > p.sum_before)
                    THEN 'rises with the threshold'
            END AS fault
        FROM (
            SELECT
                x.*,
                coalesce(r.num_positive, t.num_positive) AS num_positive,
                coalesce(r.num_negative, t.num_negative) AS num_negative,
                coalesce(r.tp, t.tp) AS result_tp,
                coalesce(r.fp, t.fp) AS result_fp,
                lag(x.tp) OVER by_threshold AS tp_before,
                lag(x.fp) OVER by_threshold AS fp_before,
                lag(x.sum_probability) OVER by_threshold AS sum_before
            FROM (SELECT DISTINCT i.job_id FROM inserted i) j
            JOIN public.ml_curve_points x ON x.job_id = j.job_id
            LEFT JOIN public.ml_training_runs r ON r.job_id = j.job_id
            LEFT JOIN public.ml_test_results t ON t.job_id = j.job_id
            WINDOW by_threshold AS (PARTITION BY x.job_id ORDER BY x.threshold)
        ) p
        GROUP BY p.job_id
    ) c
    WHERE c.fault IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the curve of job % %', v_job_id, v_fault
            USING ERRCODE = 'check_violation', TABLE = 'ml_curve_points',
            HINT = 'A curve has at most 201 thresholds, among them 0, 0.1, 0.2 to 1; its counts are those of its result and fall as the threshold rises.';
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_curve_points_check_curve
AFTER INSERT ON public.ml_curve_points
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ml.check_curve();

-- Part of ml.record_training and ml.record_test; an older worker gives no curve.
CREATE OR REPLACE PROCEDURE ml.store_curve(
    p_job_id bigint,
    p_num_positive bigint,
    p_num_negative bigint,
    p_curve double precision []
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF p_curve IS NULL THEN
        RETURN;
    ELSIF array_ndims(p_curve) IS DISTINCT FROM 2 OR array_length(p_curve, 2) <> 4 THEN
        RAISE EXCEPTION 'the curve of job % has no rows of four numbers', p_job_id
            USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Give rows of: threshold, tp, fp, sum of the probabilities above the threshold.';
    END IF;
    INSERT INTO public.ml_curve_points (job_id, threshold, tp, fp, tn, fn, sum_probability)
    SELECT
        p_job_id, p_curve[i][1], p_curve[i][2], p_curve[i][3],
        p_num_negative - p_curve[i][3], p_num_positive - p_curve[i][2], p_curve[i][4]
    FROM generate_subscripts(p_curve, 1) i;
END
$$;

-- Every measurement of a model on rows that it has not seen: what the curves, and charts over time, start from.
CREATE OR REPLACE VIEW public.ml_measurements WITH (security_invoker = true) AS
SELECT
    x.model_id,
    m.name AS model_name,
    m.model_type,
    x.source,
    x.source_id,
    x.job_id,
    coalesce(x.test_start, m.train_start) AS period_start,
    coalesce(x.test_end, m.train_end) AS period_end,
    x.created_at,
    x.num_samples,
    x.num_positive,
    x.num_negative,
    x.tp,
    x.fp,
    x.tn,
    x.fn,
    x.accuracy,
    x.precision_score,
    x.recall,
    x.f1_score,
    x.roc_auc
FROM (
    -- Each part reads one table alone: so a job, a model or a time is found by its indexes, in joins too.
    SELECT
        r.model_id, 'training' AS source, r.id AS source_id, r.job_id,
        NULL::timestamptz AS test_start, NULL::timestamptz AS test_end,
        r.created_at, r.num_samples, r.num_positive, r.num_negative, r.tp, r.fp, r.tn, r.fn,
        r.accuracy, r.precision_score, r.recall, r.f1_score, r.roc_auc
    FROM public.ml_training_runs r
    UNION ALL
    SELECT
        t.model_id, 'test' AS source, t.id AS source_id, t.job_id, t.test_start, t.test_end,
        t.created_at, t.num_samples, t.num_positive, t.num_negative, t.tp, t.fp, t.tn, t.fn,
        t.accuracy, t.precision_score, t.recall, t.f1_score, t.roc_auc
    FROM public.ml_test_results t
) x
JOIN public.ml_models m ON m.id = x.model_id;

CREATE OR REPLACE VIEW public.ml_threshold_sweep WITH (security_invoker = true) AS
SELECT
    s.model_id,
    s.model_name,
    s.source,
    s.source_id,
    s.period_start,
    s.period_end,
    p.threshold,
    p.tp,
    p.fp,
    p.tn,
    p.fn,
    (p.tp + p.tn)::double precision / nullif(s.num_samples, 0) AS accuracy,
    p.tp::double precision / nullif(p.tp + p.fp, 0) AS precision_score,
    p.tp::double precision / nullif(p.tp + p.fn, 0) AS recall,
    2 * p.tp::double precision / nullif(2 * p.tp + p.fp + p.fn, 0) AS f1_score
FROM public.ml_measurements s
JOIN public.ml_curve_points p ON p.job_id = s.job_id;

-- The ends of the two curves: at 1 nothing is predicted positive; below 0 everything is,
-- which is a point of its own where some probabilities are 0.
CREATE OR REPLACE VIEW public.ml_roc_curve WITH (security_invoker = true) AS
SELECT
    s.model_id,
    s.model_name,
    s.source,
    s.source_id,
    s.period_start,
    s.period_end,
    x.threshold,
    x.fp::double precision / nullif(s.num_negative, 0) AS fpr,
    x.tp::double precision / nullif(s.num_positive, 0) AS tpr
FROM public.ml_measurements s
JOIN public.ml_curve_points p ON p.job_id = s.job_id
CROSS JOIN LATERAL (
    SELECT p.threshold, p.tp, p.fp
    UNION ALL
    SELECT NULL, p.tp + p.fn, p.fp + p.tn WHERE p.threshold = 0 AND p.tn + p.fn > 0
) x;

CREATE OR REPLACE VIEW public.ml_pr_curve WITH (security_invoker = true) AS
SELECT
    s.model_id,
    s.model_name,
    s.source,
    s.source_id,
    s.period_start,
    s.period_end,
    x.threshold,
    x.tp::double precision / nullif(s.num_positive, 0) AS recall,
    x.tp::double precision / (x.tp + x.fp) AS precision_score
FROM public.ml_measurements s
JOIN public.ml_curve_points p ON p.job_id = s.job_id
CROSS JOIN LATERAL (
    SELECT p.threshold, p.tp, p.fp WHERE p.tp + p.fp > 0
    UNION ALL
    SELECT NULL, p.tp + p.fn, p.fp + p.tn WHERE p.threshold = 0 AND p.tn + p.fn > 0
) x;

CREATE OR REPLACE VIEW public.ml_calibration WITH (security_invoker = true) AS
SELECT
    s.model_id,
    s.model_name,
    s.source,
    s.source_id,
    s.period_start,
    s.period_end,
    b.bin,
    low.threshold AS bin_start,
    high.threshold AS bin_end,
    n.num_samples,
    (low.sum_probability - high.sum_probability) / nullif(n.num_samples, 0) AS mean_predicted,
    n.num_positive::double precision / nullif(n.num_samples, 0) AS share_positive
FROM public.ml_measurements s
CROSS JOIN generate_series(1, 10) b (bin)
JOIN public.ml_curve_points low ON low.job_id = s.job_id AND low.threshold = (b.bin - 1) / 10::double precision
JOIN public.ml_curve_points high ON high.job_id = s.job_id AND high.threshold = b.bin / 10::double precision
CROSS JOIN LATERAL (
    -- A probability of 0 is above no threshold; it belongs to the first bin.
    SELECT
        CASE b.bin WHEN 1 THEN s.num_positive ELSE low.tp END - high.tp AS num_positive,
        CASE b.bin WHEN 1 THEN s.num_samples ELSE low.tp + low.fp END - high.tp - high.fp AS num_samples
) n;

COMMENT ON FUNCTION ml.check_curve() IS 'Trigger: a curve fits its result, holds the thresholds that views need, and falls as the threshold rises.';
COMMENT ON PROCEDURE ml.store_curve(bigint, bigint, bigint, double precision []) IS 'Points of the curve of a result, from rows of: threshold, tp, fp, sum of the probabilities above it.';
COMMENT ON TABLE public.ml_curve_points IS 'Confusion matrix of a training run or test result at up to 201 thresholds, append-only. ml_roc_curve, ml_pr_curve, ml_calibration and ml_threshold_sweep read it.';
COMMENT ON COLUMN public.ml_curve_points.job_id IS 'TRAIN or TEST job whose result it belongs to.';
COMMENT ON COLUMN public.ml_curve_points.threshold IS 'A row is predicted positive where its probability is greater than this; 0.5 is what the result itself uses.';
COMMENT ON COLUMN public.ml_curve_points.tp IS 'True positives at this threshold.';
COMMENT ON COLUMN public.ml_curve_points.fp IS 'False positives at this threshold.';
COMMENT ON COLUMN public.ml_curve_points.tn IS 'True negatives at this threshold.';
COMMENT ON COLUMN public.ml_curve_points.fn IS 'False negatives at this threshold.';
COMMENT ON COLUMN public.ml_curve_points.sum_probability IS 'Sum of the probabilities greater than the threshold; the difference of two gives the mean of a bin.';
COMMENT ON VIEW public.ml_measurements IS 'Every measurement of a model on rows that it has not seen: its training run and its tests.';
COMMENT ON COLUMN public.ml_measurements.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_measurements.model_name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_measurements.model_type IS 'Kind of model, see ref_model_types.';
COMMENT ON COLUMN public.ml_measurements.source IS 'training (its held-out rows) or test.';
COMMENT ON COLUMN public.ml_measurements.source_id IS 'Number of the training run (ml_training_runs) or test result (ml_test_results).';
COMMENT ON COLUMN public.ml_measurements.job_id IS 'Job that it belongs to.';
COMMENT ON COLUMN public.ml_measurements.period_start IS 'First moment of the training or test period.';
COMMENT ON COLUMN public.ml_measurements.period_end IS 'First moment after the period.';
COMMENT ON COLUMN public.ml_measurements.created_at IS 'When it was recorded.';
COMMENT ON COLUMN public.ml_measurements.num_samples IS 'Rows measured on.';
COMMENT ON COLUMN public.ml_measurements.num_positive IS 'Positive rows among them.';
COMMENT ON COLUMN public.ml_measurements.num_negative IS 'Negative rows among them.';
COMMENT ON COLUMN public.ml_measurements.tp IS 'True positives.';
COMMENT ON COLUMN public.ml_measurements.fp IS 'False positives.';
COMMENT ON COLUMN public.ml_measurements.tn IS 'True negatives.';
COMMENT ON COLUMN public.ml_measurements.fn IS 'False negatives.';
COMMENT ON COLUMN public.ml_measurements.accuracy IS 'Share of the rows predicted right.';
COMMENT ON COLUMN public.ml_measurements.precision_score IS 'Share of the positive predictions that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_measurements.recall IS 'Share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_measurements.f1_score IS 'Harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON COLUMN public.ml_measurements.roc_auc IS 'Area under the ROC curve: 0.5 chance, 1 perfect; NULL where there was only one class.';
COMMENT ON VIEW public.ml_threshold_sweep IS 'How a model would have done at every threshold: where is F1 best? Filter by model_id, or by source and source_id.';
COMMENT ON COLUMN public.ml_threshold_sweep.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_threshold_sweep.model_name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_threshold_sweep.source IS 'training (its held-out rows) or test.';
COMMENT ON COLUMN public.ml_threshold_sweep.source_id IS 'Number of the training run (ml_training_runs) or test result (ml_test_results).';
COMMENT ON COLUMN public.ml_threshold_sweep.period_start IS 'First moment of the training or test period.';
COMMENT ON COLUMN public.ml_threshold_sweep.period_end IS 'First moment after the period.';
COMMENT ON COLUMN public.ml_threshold_sweep.threshold IS 'A row is predicted positive where its probability is greater than this; 0.5 is what the result itself uses.';
COMMENT ON COLUMN public.ml_threshold_sweep.tp IS 'True positives.';
COMMENT ON COLUMN public.ml_threshold_sweep.fp IS 'False positives.';
COMMENT ON COLUMN public.ml_threshold_sweep.tn IS 'True negatives.';
COMMENT ON COLUMN public.ml_threshold_sweep.fn IS 'False negatives.';
COMMENT ON COLUMN public.ml_threshold_sweep.accuracy IS 'Share of the rows predicted right.';
COMMENT ON COLUMN public.ml_threshold_sweep.precision_score IS 'Share of the positive predictions that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_threshold_sweep.recall IS 'Share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_threshold_sweep.f1_score IS 'Harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON VIEW public.ml_roc_curve IS 'ROC curve as rows: tpr over fpr. Filter by model_id, or by source and source_id; order by fpr, tpr.';
COMMENT ON COLUMN public.ml_roc_curve.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_roc_curve.model_name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_roc_curve.source IS 'training (its held-out rows) or test.';
COMMENT ON COLUMN public.ml_roc_curve.source_id IS 'Number of the training run (ml_training_runs) or test result (ml_test_results).';
COMMENT ON COLUMN public.ml_roc_curve.period_start IS 'First moment of the training or test period.';
COMMENT ON COLUMN public.ml_roc_curve.period_end IS 'First moment after the period.';
COMMENT ON COLUMN public.ml_roc_curve.threshold IS 'A row is predicted positive where its probability is greater than this; NULL: all rows are.';
COMMENT ON COLUMN public.ml_roc_curve.fpr IS 'False positive rate: share of the negative rows that are predicted positive; NULL where there was none.';
COMMENT ON COLUMN public.ml_roc_curve.tpr IS 'True positive rate: share of the positive rows that are found; NULL where there was none.';
COMMENT ON VIEW public.ml_pr_curve IS 'Precision over recall as rows. Filter by model_id, or by source and source_id; order by recall, precision_score DESC.';
COMMENT ON COLUMN public.ml_pr_curve.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_pr_curve.model_name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_pr_curve.source IS 'training (its held-out rows) or test.';
COMMENT ON COLUMN public.ml_pr_curve.source_id IS 'Number of the training run (ml_training_runs) or test result (ml_test_results).';
COMMENT ON COLUMN public.ml_pr_curve.period_start IS 'First moment of the training or test period.';
COMMENT ON COLUMN public.ml_pr_curve.period_end IS 'First moment after the period.';
COMMENT ON COLUMN public.ml_pr_curve.threshold IS 'A row is predicted positive where its probability is greater than this; NULL: all rows are.';
COMMENT ON COLUMN public.ml_pr_curve.recall IS 'Share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_pr_curve.precision_score IS 'Share of the positive predictions that were right; a threshold with no positive prediction has no row.';
COMMENT ON VIEW public.ml_calibration IS 'Calibration in ten bins: among rows given a probability of about 0.3, are 30% positive? Filter by model_id, or by source and source_id.';
COMMENT ON COLUMN public.ml_calibration.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_calibration.model_name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_calibration.source IS 'training (its held-out rows) or test.';
COMMENT ON COLUMN public.ml_calibration.source_id IS 'Number of the training run (ml_training_runs) or test result (ml_test_results).';
COMMENT ON COLUMN public.ml_calibration.period_start IS 'First moment of the training or test period.';
COMMENT ON COLUMN public.ml_calibration.period_end IS 'First moment after the period.';
COMMENT ON COLUMN public.ml_calibration.bin IS 'Bin from 1 to 10.';
COMMENT ON COLUMN public.ml_calibration.bin_start IS 'Probabilities of the bin are greater than this; those of 0 are in the first.';
COMMENT ON COLUMN public.ml_calibration.bin_end IS 'Probabilities of the bin are at most this.';
COMMENT ON COLUMN public.ml_calibration.num_samples IS 'Rows whose probability is in the bin.';
COMMENT ON COLUMN public.ml_calibration.mean_predicted IS 'Mean of these probabilities; NULL where the bin is empty.';
COMMENT ON COLUMN public.ml_calibration.share_positive IS 'Share of these rows that are positive; NULL where the bin is empty.';
