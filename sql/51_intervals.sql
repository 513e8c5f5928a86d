-- How far each metric may be off by chance: an interval beside every measurement, by a bootstrap of blocks of time over all
-- coins together (worker/child/resampling.py). A result of TRAIN and TEST has one for each metric of its model, one of COMPARE
-- for each metric of both models and of their difference. The view on them is in 84_dimensions.sql.

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ml_intervals (
    job_id bigint NOT NULL,
    side varchar(10) NOT NULL,
    metric varchar(20) NOT NULL,
    estimate numeric(5, 4),
    lower numeric(5, 4),
    upper numeric(5, 4),
    confidence numeric NOT NULL,
    num_blocks integer NOT NULL,
    block_seconds bigint NOT NULL,
    effective_rows numeric(14, 1),
    reason text,
    CONSTRAINT ml_intervals_pkey PRIMARY KEY (job_id, side, metric),
    CONSTRAINT ml_intervals_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_intervals_side_known CHECK (side IN ('model', 'a', 'b', 'difference')),
    CONSTRAINT ml_intervals_metric_known CHECK (
        metric IN ('f1', 'precision', 'recall', 'accuracy', 'roc_auc', 'average_precision')
    ),
    CONSTRAINT ml_intervals_within_bounds CHECK (
        lower BETWEEN CASE side WHEN 'difference' THEN -1 ELSE 0 END AND estimate AND upper BETWEEN estimate AND 1
    ),
    CONSTRAINT ml_intervals_both_ends_or_a_reason CHECK (
        CASE WHEN reason IS NULL THEN num_nonnulls(estimate, lower, upper) = 3 ELSE num_nonnulls(lower, upper) = 0 END
    ),
    CONSTRAINT ml_intervals_at_least_8_blocks CHECK (num_blocks >= CASE WHEN reason IS NULL THEN 8 ELSE 0 END AND block_seconds >= 3600),
    CONSTRAINT ml_intervals_confidence_is_a_share CHECK (confidence BETWEEN 0.5 AND 0.999),
    CONSTRAINT ml_intervals_effective_rows_positive CHECK (effective_rows > 0)
);

CREATE OR REPLACE TRIGGER ml_intervals_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_intervals
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();

-- 48 blocks of 1 hour.
CREATE OR REPLACE FUNCTION ml_internal.blocks_text(
    p_num_blocks integer,
    p_block_seconds bigint
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format(
        '%s %s of %s %s',
        p_num_blocks, CASE p_num_blocks WHEN 1 THEN 'block' ELSE 'blocks' END,
        p_block_seconds / 3600, CASE p_block_seconds / 3600 WHEN 1 THEN 'hour' ELSE 'hours' END
    );
$$;

-- 0.95 is 95%.
CREATE OR REPLACE FUNCTION ml_internal.percent_text(
    p_share numeric
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT trim_scale(100 * p_share) || '%';
$$;

-- Intervals fit the result of their job: what is estimated is what the result says, at its four digits. One job after the
-- other, see ml_internal.check_curve.
CREATE OR REPLACE FUNCTION ml_internal.check_intervals()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint;
    v_fault text;
BEGIN
    FOR v_job_id IN SELECT DISTINCT i.job_id FROM inserted i LOOP
        SELECT x.fault INTO v_fault
        FROM (
            SELECT
                CASE
                    WHEN r.side IS NULL THEN format('has an interval of side %s, which its result has not', i.side)
                    WHEN abs(i.estimate - r.metrics[ml_internal.place_of_metric(i.metric)]) > 0.0001
                        OR (i.estimate IS NULL) <> (r.metrics[ml_internal.place_of_metric(i.metric)] IS NULL) AND i.side <> 'difference'
                        THEN format('has %s %s of side %s, where its result has %s',
                            i.metric, coalesce(i.estimate::text, 'NULL'), i.side,
                            coalesce(r.metrics[ml_internal.place_of_metric(i.metric)]::text, 'NULL'))
                    WHEN i.effective_rows > r.num_samples THEN format('counts %s effective rows of %s', i.effective_rows, r.num_samples)
                END AS fault
            FROM inserted i
            LEFT JOIN (
                SELECT
                    'model' AS side, m.num_samples,
                    ARRAY[m.f1_score, m.precision_score, m.recall, m.accuracy, m.roc_auc, m.average_precision] AS metrics
                FROM public.ml_training_runs m
                WHERE m.job_id = v_job_id
                UNION ALL
                SELECT 'model', m.num_samples, ARRAY[m.f1_score, m.precision_score, m.recall, m.accuracy, m.roc_auc, m.average_precision]
                FROM public.ml_test_results m
                WHERE m.job_id = v_job_id
                UNION ALL
                SELECT s.side, c.num_samples, s.metrics
                FROM public.ml_comparisons c
                CROSS JOIN LATERAL (
                    VALUES
                        ('a', ARRAY[c.a_f1, c.a_precision, c.a_recall, c.a_accuracy, c.a_roc_auc, c.a_average_precision]),
                        ('b', ARRAY[c.b_f1, c.b_precision, c.b_recall, c.b_accuracy, c.b_roc_auc, c.b_average_precision]),
                        ('difference', ARRAY[
                            c.f1_difference, c.a_precision - c.b_precision, c.a_recall - c.b_recall, c.accuracy_difference,
                            c.roc_auc_difference, c.a_average_precision - c.b_average_precision
                        ])
                ) s (side, metrics)
                WHERE c.job_id = v_job_id
            ) r ON r.side = i.side
            WHERE i.job_id = v_job_id
        ) x
        WHERE x.fault IS NOT NULL
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'job % %', v_job_id, v_fault
                USING ERRCODE = 'check_violation', TABLE = 'ml_intervals',
                HINT = 'Intervals are of the sides that a result has: model of TRAIN and TEST; a, b and difference of COMPARE; each estimate is that of the result.';
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

-- Metrics in one order.
CREATE OR REPLACE FUNCTION ml_internal.place_of_metric(
    p_metric text
)
RETURNS integer
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT array_position('{f1,precision,recall,accuracy,roc_auc,average_precision}', p_metric);
$$;

CREATE OR REPLACE FUNCTION ml_internal.metric_text(
    p_metric text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE p_metric WHEN 'f1' THEN 'F1' WHEN 'roc_auc' THEN 'ROC AUC' ELSE replace(p_metric, '_', ' ') END;
$$;

CREATE OR REPLACE TRIGGER ml_intervals_60_check_intervals
AFTER INSERT ON public.ml_intervals
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.check_intervals();

-- Its part of ml.report: F1 0.5710 (0.4780 to 0.6490), three metrics a line, and what they rest on.
CREATE OR REPLACE FUNCTION ml_internal.interval_lines(
    p_job_id bigint
)
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
ROWS 4
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT format(
        '  At %s, by %s%s:', ml_internal.percent_text(max(i.confidence)), ml_internal.blocks_text(max(i.num_blocks), max(i.block_seconds)),
        '; these rows tell as much as ' || ml_internal.count_text(greatest(round(max(i.effective_rows)), 1)::bigint) || ' independent ones'
    )
    FROM public.ml_intervals i
    WHERE i.job_id = p_job_id AND i.side = 'model' AND i.lower IS NOT NULL
    HAVING count(*) > 0;
    RETURN QUERY
    SELECT '    ' || string_agg(
        format('%s %s (%s to %s)', ml_internal.metric_text(x.metric), x.estimate, x.lower, x.upper), ', ' ORDER BY x.place
    )
    FROM (
        SELECT i.*, ml_internal.place_of_metric(i.metric) AS place
        FROM public.ml_intervals i
        WHERE i.job_id = p_job_id AND i.side = 'model' AND i.lower IS NOT NULL
    ) x
    GROUP BY (x.place - 1) / 3
    ORDER BY (x.place - 1) / 3;
    RETURN QUERY
    SELECT '  No interval: ' || i.reason
    FROM public.ml_intervals i
    WHERE i.job_id = p_job_id AND i.side = 'model' AND i.estimate IS NOT NULL AND i.reason IS NOT NULL
    GROUP BY i.reason
    ORDER BY i.reason;
END
$$;

CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_intervals');
CALL ml_internal.allow('ml_reader', 'EXECUTE', 'ml_internal.blocks_text, ml_internal.percent_text, ml_internal.place_of_metric, ml_internal.metric_text, ml_internal.interval_lines');

COMMENT ON FUNCTION ml_internal.blocks_text(integer, bigint) IS 'How many blocks of how many hours, in words.';
COMMENT ON FUNCTION ml_internal.percent_text(numeric) IS 'A share in percent.';
COMMENT ON FUNCTION ml_internal.place_of_metric(text) IS 'Place of a metric among those that have an interval, from 1.';
COMMENT ON FUNCTION ml_internal.metric_text(text) IS 'Name of a metric as it is shown.';
COMMENT ON FUNCTION ml_internal.check_intervals() IS 'Trigger: an interval is of a side that the result of its job has, and its estimate is that of the result.';
COMMENT ON FUNCTION ml_internal.interval_lines(bigint) IS 'Part of ml.report: the intervals of a measurement, and what they rest on.';
COMMENT ON TABLE public.ml_intervals IS 'How far each metric of a result may be off by chance, append-only: percentiles of 1,000 random halves of the blocks of time, over all coins together (a block bootstrap: Künsch 1989; Politis and Romano 1994; by halves: Hartigan 1969). Differences are of the same blocks for both models.';
COMMENT ON COLUMN public.ml_intervals.job_id IS 'Job whose result it belongs to.';
COMMENT ON COLUMN public.ml_intervals.side IS 'model: the one of a TRAIN (its held-out rows) or TEST job; of a COMPARE job a, b, or difference: a minus b.';
COMMENT ON COLUMN public.ml_intervals.metric IS 'f1, precision, recall, accuracy, roc_auc or average_precision.';
COMMENT ON COLUMN public.ml_intervals.estimate IS 'The metric on these rows, as in the result; NULL where it is undefined.';
COMMENT ON COLUMN public.ml_intervals.lower IS 'Lower end; NULL: see reason.';
COMMENT ON COLUMN public.ml_intervals.upper IS 'Upper end; NULL: see reason.';
COMMENT ON COLUMN public.ml_intervals.confidence IS 'Share of such intervals that contain what they are of; a difference has that of compare_confidence, and 0.95 where this is 0.';
COMMENT ON COLUMN public.ml_intervals.num_blocks IS 'Blocks of time that hold rows; fewer than 8 give no interval.';
COMMENT ON COLUMN public.ml_intervals.block_seconds IS 'Length of a block: as many hours as a label reaches ahead, and at least one; where there would be more than 1,000 blocks, a multiple of that.';
COMMENT ON COLUMN public.ml_intervals.effective_rows IS 'So many independent rows would tell the accuracy as well: the rows over the design effect (Kish 1965), which is the variance of the accuracy with blocks as they are over that of independent rows. NULL: of a difference, where all answers are right or none, or with fewer than 8 blocks.';
COMMENT ON COLUMN public.ml_intervals.reason IS 'Why there is no interval, in words; NULL: there is one.';
