-- What kinds of job that measure a model share: the metrics, and curves as rows, which say how a result would have come
-- out at other thresholds than the model's. The views on them are in 81_curves.sql.

SET search_path TO pg_catalog, pg_temp;

-- Metrics follow from the confusion matrix.
-- Each is NULL where it is undefined, never 0.
CREATE OR REPLACE FUNCTION ml_internal.accuracy(tp bigint, tn bigint, fp bigint, fn bigint)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT (tp + tn)::numeric / nullif(tp + tn + fp + fn, 0);
$$;

CREATE OR REPLACE FUNCTION ml_internal.precision_score(tp bigint, fp bigint)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT tp::numeric / nullif(tp + fp, 0);
$$;

CREATE OR REPLACE FUNCTION ml_internal.recall_score(tp bigint, fn bigint)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT tp::numeric / nullif(tp + fn, 0);
$$;

CREATE OR REPLACE FUNCTION ml_internal.f1_score(tp bigint, fp bigint, fn bigint)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT (2 * tp)::numeric / nullif(2 * tp + fp + fn, 0);
$$;

-- Matthews correlation (B. W. Matthews, 1975): what is right by chance counts nothing, whichever class is the rarer.
CREATE OR REPLACE FUNCTION ml_internal.mcc(tp bigint, tn bigint, fp bigint, fn bigint)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT (tp::numeric * tn - fp::numeric * fn)
        / nullif(sqrt((tp + fp)::numeric * (tp + fn) * (tn + fp) * (tn + fn)), 0);
$$;

-- A result is at the model's threshold; besides it has the counts at 0.5, which fall where the threshold is lower than that,
-- and are NULL where a worker of before version 8 knew no other threshold.
CREATE OR REPLACE FUNCTION ml_internal.counts_fit_half(threshold double precision, tp bigint, fp bigint, tp_at_half bigint, fp_at_half bigint)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN num_nulls(tp_at_half, fp_at_half) = 2 THEN threshold = 0.5
        WHEN num_nulls(tp_at_half, fp_at_half) = 1 OR least(tp_at_half, fp_at_half) < 0 THEN false
        WHEN threshold < 0.5 THEN tp_at_half <= tp AND fp_at_half <= fp
        WHEN threshold > 0.5 THEN tp_at_half >= tp AND fp_at_half >= fp
        ELSE tp_at_half = tp AND fp_at_half = fp
    END;
$$;

-- What to say of a result that is at another threshold than the model's, as one of a worker of before version 8.
CREATE OR REPLACE FUNCTION ml_internal.threshold_note(
    p_measured double precision,
    p_of_model double precision
)
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format('measured at the threshold %s and not at the model''s own, %s: restart the worker', p_measured, p_of_model)
    WHERE p_measured <> p_of_model;
$$;

-- The first thing to know of a model: whether it does better than always giving the more frequent answer of the rows
-- measured, than which no other fixed answer is right more often.
CREATE OR REPLACE FUNCTION ml_internal.trivial_answer(tp bigint, tn bigint, fp bigint, fn bigint)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN tp + fn > tn + fp THEN 'positive' ELSE 'negative' END;
$$;

CREATE OR REPLACE FUNCTION ml_internal.verdict(tp bigint, tn bigint, fp bigint, fn bigint)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format(
        '%s than always saying %s: accuracy %s against %s',
        CASE WHEN x.accuracy > x.trivial THEN 'better' ELSE 'no better' END,
        ml_internal.trivial_answer(tp, tn, fp, fn),
        coalesce(x.accuracy::text, 'none'),
        coalesce(x.trivial::text, 'none')
    )
    FROM (
        SELECT
            round(ml_internal.accuracy(tp, tn, fp, fn), 4) AS accuracy,
            round(greatest(tp + fn, tn + fp)::numeric / nullif(tp + tn + fp + fn, 0), 4) AS trivial
    ) x;
$$;

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
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();

-- Rules of a whole curve; those of one point are constraints of the table. One job after the other, which is found by its
-- number: so what a result takes does not grow with how many there are.
CREATE OR REPLACE FUNCTION ml_internal.check_curve()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint;
    v_result record;
    v_fault text;
BEGIN
    FOR v_job_id IN SELECT DISTINCT i.job_id FROM inserted i LOOP
        -- Not of ml_measurements, which looks for the model besides.
        SELECT
            r.num_positive, r.num_negative, r.tp, r.fp, r.threshold, coalesce(r.tp_at_half, r.tp) AS tp_at_half, coalesce(r.fp_at_half, r.fp) AS fp_at_half
        INTO v_result
        FROM public.ml_training_runs r
        WHERE r.job_id = v_job_id
        UNION ALL
        SELECT
            t.num_positive, t.num_negative, t.tp, t.fp, t.threshold, coalesce(t.tp_at_half, t.tp), coalesce(t.fp_at_half, t.fp)
        FROM public.ml_test_results t
        WHERE t.job_id = v_job_id;
        SELECT
            CASE
                WHEN v_result.num_positive IS NULL THEN 'belongs to no measurement'
                WHEN count(*) > 202 THEN 'has more than 202 points'
                WHEN bool_or(p.tp + p.fn <> v_result.num_positive OR p.fp + p.tn <> v_result.num_negative)
                    THEN 'counts other rows than its result'
                WHEN count(*) FILTER (WHERE p.threshold = ANY ('{0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1}'::double precision [])) < 11
                    THEN 'lacks one of the thresholds 0, 0.1, 0.2 to 1'
                WHEN count(*) FILTER (WHERE p.threshold = v_result.threshold) = 0
                    THEN 'lacks the threshold of its result'
                WHEN bool_or(p.threshold = v_result.threshold AND (p.tp <> v_result.tp OR p.fp <> v_result.fp))
                    THEN 'differs from its result at the threshold of that'
                WHEN bool_or(p.threshold = 0.5 AND (p.tp <> v_result.tp_at_half OR p.fp <> v_result.fp_at_half))
                    THEN 'differs from its result at the threshold 0.5'
                WHEN bool_or(p.tp > p.tp_before OR p.fp > p.fp_before OR p.sum_probability > p.sum_before)
                    THEN 'rises with the threshold'
            END
        INTO v_fault
        FROM (
            SELECT
                x.*,
                lag(x.tp) OVER by_threshold AS tp_before,
                lag(x.fp) OVER by_threshold AS fp_before,
                lag(x.sum_probability) OVER by_threshold AS sum_before
            FROM public.ml_curve_points x
            WHERE x.job_id = v_job_id
            WINDOW by_threshold AS (ORDER BY x.threshold)
        ) p;
        IF v_fault IS NOT NULL THEN
            RAISE EXCEPTION 'the curve of job % %', v_job_id, v_fault
                USING ERRCODE = 'check_violation', TABLE = 'ml_curve_points',
                HINT = 'A curve has at most 202 thresholds, among them 0, 0.1, 0.2 to 1 and that of its result; its counts are those of its result and fall as the threshold rises.';
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_curve_points_60_check_curve
AFTER INSERT ON public.ml_curve_points
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.check_curve();

COMMENT ON FUNCTION ml_internal.accuracy(bigint, bigint, bigint, bigint) IS 'Share of all rows predicted right; NULL without rows.';
COMMENT ON FUNCTION ml_internal.precision_score(bigint, bigint) IS 'Share of the positive predictions that were right; NULL where there was none.';
COMMENT ON FUNCTION ml_internal.recall_score(bigint, bigint) IS 'Share of the positive rows that were found; NULL where there was none.';
COMMENT ON FUNCTION ml_internal.f1_score(bigint, bigint, bigint) IS 'Harmonic mean of precision and recall; NULL where there is neither a positive row nor a positive prediction.';
COMMENT ON FUNCTION ml_internal.mcc(bigint, bigint, bigint, bigint) IS 'Matthews correlation of answers and labels, -1 to 1, chance 0; NULL where either has one class only.';
COMMENT ON FUNCTION ml_internal.trivial_answer(bigint, bigint, bigint, bigint) IS 'The more frequent answer among the rows measured: positive or negative.';
COMMENT ON FUNCTION ml_internal.verdict(bigint, bigint, bigint, bigint) IS 'Whether a model does better than always giving the more frequent answer.';
COMMENT ON FUNCTION ml_internal.check_curve() IS 'Trigger: a curve fits its result, holds the thresholds that views need, and falls as the threshold rises.';
COMMENT ON FUNCTION ml_internal.counts_fit_half(double precision, bigint, bigint, bigint, bigint) IS 'Whether the counts of a result at its threshold and at 0.5 can both be true.';
COMMENT ON FUNCTION ml_internal.threshold_note(double precision, double precision) IS 'What to say of a result that is not at the threshold of its model; NULL: nothing.';
COMMENT ON TABLE public.ml_curve_points IS 'Confusion matrix of a measurement at up to 202 thresholds, append-only. ml_roc_curve, ml_pr_curve, ml_calibration and ml_threshold_sweep read it.';
COMMENT ON COLUMN public.ml_curve_points.job_id IS 'Job whose result it belongs to.';
COMMENT ON COLUMN public.ml_curve_points.threshold IS 'A row is predicted positive where its probability is greater than this; one of them is that of the result itself.';
COMMENT ON COLUMN public.ml_curve_points.tp IS 'True positives at this threshold.';
COMMENT ON COLUMN public.ml_curve_points.fp IS 'False positives at this threshold.';
COMMENT ON COLUMN public.ml_curve_points.tn IS 'True negatives at this threshold.';
COMMENT ON COLUMN public.ml_curve_points.fn IS 'False negatives at this threshold.';
COMMENT ON COLUMN public.ml_curve_points.sum_probability IS 'Sum of the probabilities greater than the threshold; the difference of two gives the mean of a bin.';
