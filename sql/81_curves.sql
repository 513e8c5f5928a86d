-- Every measurement of a model, and from the points of their curves ROC, precision and recall, calibration and the
-- metrics at every threshold.

SET search_path TO pg_catalog, pg_temp;

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
    x.roc_auc,
    x.average_precision,
    x.mcc,
    x.log_loss,
    x.brier_score,
    x.threshold AS model_threshold,
    coalesce(x.tp_at_half, x.tp) AS tp_at_half,
    coalesce(x.fp_at_half, x.fp) AS fp_at_half,
    x.accuracy_at_half,
    x.precision_at_half,
    x.recall_at_half,
    x.f1_at_half,
    x.best_baseline,
    x.baseline_f1,
    x.beats_baseline
FROM (
    -- Each part reads one table alone: so a job, a model or a time is found by its indexes, in joins too.
    SELECT
        r.model_id, 'training' AS source, r.id AS source_id, r.job_id,
        NULL::timestamptz AS test_start, NULL::timestamptz AS test_end,
        r.created_at, r.num_samples, r.num_positive, r.num_negative, r.tp, r.fp, r.tn, r.fn,
        r.accuracy, r.precision_score, r.recall, r.f1_score, r.roc_auc, r.average_precision, r.mcc, r.log_loss, r.brier_score,
        r.threshold, r.tp_at_half, r.fp_at_half, r.accuracy_at_half, r.precision_at_half, r.recall_at_half, r.f1_at_half,
        r.best_baseline, r.baseline_f1, r.beats_baseline
    FROM public.ml_training_runs r
    UNION ALL
    SELECT
        t.model_id, 'test' AS source, t.id AS source_id, t.job_id, t.test_start, t.test_end,
        t.created_at, t.num_samples, t.num_positive, t.num_negative, t.tp, t.fp, t.tn, t.fn,
        t.accuracy, t.precision_score, t.recall, t.f1_score, t.roc_auc, t.average_precision, t.mcc, t.log_loss, t.brier_score,
        t.threshold, t.tp_at_half, t.fp_at_half, t.accuracy_at_half, t.precision_at_half, t.recall_at_half, t.f1_at_half,
        t.best_baseline, t.baseline_f1, t.beats_baseline
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

COMMENT ON VIEW public.ml_measurements IS 'Every measurement of a model on rows that it has not seen: its training run and its tests.';
COMMENT ON COLUMN public.ml_measurements.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_measurements.model_name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_measurements.model_type IS 'Kind of model, see ref_model_types.';
COMMENT ON COLUMN public.ml_measurements.source IS 'training (its held-out rows) or test.';
COMMENT ON COLUMN public.ml_measurements.source_id IS 'Number of the training run (ml_training_runs) or test result (ml_test_results).';
COMMENT ON COLUMN public.ml_measurements.model_threshold IS 'Rows with a greater probability were predicted positive; 0.5 before version 8.';
COMMENT ON COLUMN public.ml_measurements.tp_at_half IS 'True positives if the threshold were 0.5.';
COMMENT ON COLUMN public.ml_measurements.fp_at_half IS 'False positives if the threshold were 0.5.';
COMMENT ON COLUMN public.ml_measurements.accuracy_at_half IS 'Accuracy if the threshold were 0.5.';
COMMENT ON COLUMN public.ml_measurements.precision_at_half IS 'Precision if the threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_measurements.recall_at_half IS 'Recall if the threshold were 0.5; NULL where undefined.';
COMMENT ON COLUMN public.ml_measurements.f1_at_half IS 'F1 if the threshold were 0.5; NULL where undefined.';
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
COMMENT ON COLUMN public.ml_measurements.mcc IS 'Matthews correlation, -1 to 1, chance 0; NULL where the rows or the answers have one class only.';
COMMENT ON COLUMN public.ml_measurements.log_loss IS 'Log loss of the probabilities, in nats: less is better; NULL before version 7.';
COMMENT ON COLUMN public.ml_measurements.best_baseline IS 'Baseline with the highest F1 on the same rows, see ml_baselines; NULL before version 8.';
COMMENT ON COLUMN public.ml_measurements.baseline_f1 IS 'F1 of that baseline.';
COMMENT ON COLUMN public.ml_measurements.beats_baseline IS 'Whether the 95 % interval of the difference from the best baseline is above 0; NULL before version 8.';
COMMENT ON COLUMN public.ml_measurements.brier_score IS 'Brier score: mean square of probability minus label; less is better; NULL before version 7.';
COMMENT ON COLUMN public.ml_measurements.average_precision IS 'Average precision; NULL where there was only one class, and before version 5.';
COMMENT ON VIEW public.ml_threshold_sweep IS 'How a model would have done at every threshold: where is F1 best? Filter by model_id, or by source and source_id.';
COMMENT ON COLUMN public.ml_threshold_sweep.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_threshold_sweep.model_name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_threshold_sweep.source IS 'training (its held-out rows) or test.';
COMMENT ON COLUMN public.ml_threshold_sweep.source_id IS 'Number of the training run (ml_training_runs) or test result (ml_test_results).';
COMMENT ON COLUMN public.ml_threshold_sweep.period_start IS 'First moment of the training or test period.';
COMMENT ON COLUMN public.ml_threshold_sweep.period_end IS 'First moment after the period.';
COMMENT ON COLUMN public.ml_threshold_sweep.threshold IS 'A row is predicted positive where its probability is greater than this; ml_measurements.model_threshold is what the result itself uses.';
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
