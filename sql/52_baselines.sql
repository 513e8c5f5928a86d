-- Baselines: answers that cost no model, which every figure of a model stands beside. A model that does not beat the
-- best of them is of no use, however good its figures look. They are rows of ml_baselines; the best of them, and how far
-- F1 is above or below its F1, are in the result itself.

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ml_baselines (
    job_id bigint NOT NULL,
    place integer NOT NULL,
    baseline text NOT NULL,
    rule text,
    tp bigint,
    tn bigint,
    fp bigint,
    fn bigint,
    num_unknown bigint,
    accuracy numeric(5, 4) GENERATED ALWAYS AS (ml_internal.accuracy(tp, tn, fp, fn)) STORED,
    precision_score numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(tp, fp)) STORED,
    recall numeric(5, 4) GENERATED ALWAYS AS (ml_internal.recall_score(tp, fn)) STORED,
    f1_score numeric(5, 4) GENERATED ALWAYS AS (ml_internal.f1_score(tp, fp, fn)) STORED,
    mcc numeric(5, 4) GENERATED ALWAYS AS (ml_internal.mcc(tp, tn, fp, fn)) STORED,
    roc_auc numeric(5, 4),
    average_precision numeric(5, 4),
    log_loss numeric(9, 6),
    brier_score numeric(7, 6),
    reason text,
    CONSTRAINT ml_baselines_pkey PRIMARY KEY (job_id, place, baseline),
    CONSTRAINT ml_baselines_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_baselines_baseline_known CHECK (
        baseline IN ('always_positive', 'always_negative', 'positive_share', 'persistence', 'best_feature')
    ),
    CONSTRAINT ml_baselines_place_of_model CHECK (
        place BETWEEN 0 AND 2 AND (place > 0) = (baseline IN ('positive_share', 'best_feature'))
    ),
    CONSTRAINT ml_baselines_counted_or_reason CHECK (
        num_nulls(tp, tn, fp, fn, rule) = 0 AND reason IS NULL
        OR num_nonnulls(tp, tn, fp, fn, rule, num_unknown, roc_auc, average_precision, log_loss, brier_score) = 0
        AND coalesce(reason, '') <> ''
    ),
    CONSTRAINT ml_baselines_counts_not_negative CHECK (least(tp, tn, fp, fn, num_unknown) >= 0 AND num_unknown <= tp + tn + fp + fn),
    CONSTRAINT ml_baselines_scores_of_answers CHECK (
        roc_auc BETWEEN 0 AND 1 AND average_precision BETWEEN 0 AND 1
        AND coalesce(log_loss, 0) >= 0 AND coalesce(brier_score, 0) BETWEEN 0 AND 1
    )
);

CREATE OR REPLACE TRIGGER ml_baselines_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_baselines
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();

-- What a result has of them. An older worker tells nothing of it: then all is NULL. Where there are too few blocks of
-- time for an interval nothing is proven, which is no victory; nor is one on rows that the model was trained on, where
-- the condition in the third argument does not hold.
CREATE OR REPLACE PROCEDURE ml_internal.add_baseline(
    p_table name,
    p_prefix text DEFAULT '',
    p_only_if text DEFAULT 'true'
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format(
        'ALTER TABLE public.%1$I
            ADD COLUMN IF NOT EXISTS %2$sbest_baseline text,
            ADD COLUMN IF NOT EXISTS %2$sbaseline_f1 numeric(5, 4),
            ADD COLUMN IF NOT EXISTS %2$sbaseline_difference double precision,
            ADD COLUMN IF NOT EXISTS %2$sbaseline_lower double precision,
            ADD COLUMN IF NOT EXISTS %2$sbaseline_upper double precision,
            ADD COLUMN IF NOT EXISTS %2$sbaseline_note text,
            ADD COLUMN IF NOT EXISTS %2$sbeats_baseline boolean GENERATED ALWAYS AS (
                CASE WHEN %2$sbest_baseline IS NOT NULL THEN coalesce(%2$sbaseline_lower > 0 AND %10$s, false) END
            ) STORED;
        COMMENT ON COLUMN public.%1$I.%2$sbest_baseline IS %3$L;
        COMMENT ON COLUMN public.%1$I.%2$sbaseline_f1 IS %4$L;
        COMMENT ON COLUMN public.%1$I.%2$sbaseline_difference IS %5$L;
        COMMENT ON COLUMN public.%1$I.%2$sbaseline_lower IS %6$L;
        COMMENT ON COLUMN public.%1$I.%2$sbaseline_upper IS %7$L;
        COMMENT ON COLUMN public.%1$I.%2$sbaseline_note IS %8$L;
        COMMENT ON COLUMN public.%1$I.%2$sbeats_baseline IS %9$L',
        p_table, p_prefix,
        'Baseline with the highest F1 on the same rows, see ml_baselines; NULL before version 8.',
        'F1 of that baseline.',
        'F1 of the model less that of the baseline; an F1 that is undefined counts as 0.',
        'Lower end of the 95 % interval of the difference, by a paired bootstrap of blocks of time (see ml_internal.baseline_verdict); NULL: baseline_note says why.',
        'Upper end of the 95 % interval of the difference.',
        'Why the difference has no interval; NULL where it has one.',
        'Whether the difference from the best baseline is above 0 beyond chance: its 95 % interval is. False where nothing is proven, and on rows of the training period; NULL before version 8.',
        p_only_if
    );
    CALL ml_internal.keep_constraint(format('public.%I', p_table)::regclass, format('%s_%sbaseline_interval_or_note', p_table, p_prefix), format(
        'CASE WHEN %1$sbest_baseline IS NULL
            THEN num_nonnulls(%1$sbaseline_f1, %1$sbaseline_difference, %1$sbaseline_lower, %1$sbaseline_upper, %1$sbaseline_note) = 0
            WHEN %1$sbaseline_note IS NULL THEN coalesce(
                %1$sbaseline_lower <= %1$sbaseline_difference AND %1$sbaseline_difference <= %1$sbaseline_upper
                AND %1$sbaseline_lower >= -1 AND %1$sbaseline_upper <= 1 AND %1$sbaseline_f1 BETWEEN 0 AND 1, false)
            ELSE num_nonnulls(%1$sbaseline_lower, %1$sbaseline_upper) = 0
                AND coalesce(%1$sbaseline_difference BETWEEN -1 AND 1 AND %1$sbaseline_f1 BETWEEN 0 AND 1, false) END',
        p_prefix
    ));
END
$$;

CREATE OR REPLACE FUNCTION ml_internal.baseline_text(
    p_baseline text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE p_baseline
        WHEN 'positive_share' THEN 'share of positives'
        WHEN 'best_feature' THEN 'best feature'
        ELSE replace(p_baseline, '_', ' ')
    END;
$$;

-- The first thing to know of a model: whether it beats the best of them, and how sure that is. NULL before version 8.
-- What is drawn are blocks of time with all rows of all coins in them, the same for both: Kuensch, The Jackknife and the
-- Bootstrap for General Stationary Observations, Annals of Statistics 17 (1989).
CREATE OR REPLACE FUNCTION ml_internal.baseline_verdict(
    p_beats boolean,
    p_baseline text,
    p_f1 numeric,
    p_baseline_f1 numeric,
    p_lower double precision,
    p_upper double precision,
    p_note text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format(
        '%s its best baseline, %s: F1 %s against %s, %s',
        CASE WHEN p_beats THEN 'beats' WHEN p_upper < 0 THEN 'does worse than' ELSE 'does not provably beat' END,
        ml_internal.baseline_text(p_baseline),
        coalesce(round(p_f1, 4)::text, 'none'),
        round(p_baseline_f1, 4),
        coalesce(
            p_note,
            format('difference %s to %s', to_char(p_lower, 'FM90.0000'), to_char(p_upper, 'FM90.0000'))
            || CASE WHEN p_lower > 0 AND NOT p_beats THEN ' on rows of its training period' ELSE '' END
        )
    )
    WHERE p_baseline IS NOT NULL;
$$;

-- Rules of all baselines of a job; those of one are constraints of the table. A comparison has two results, and what
-- depends on the training of a model twice. One job after the other, see ml_internal.check_curve.
CREATE OR REPLACE FUNCTION ml_internal.check_baselines()
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
        WITH results AS (
            SELECT 1 AS place, 1 AS num_models, r.num_positive, r.num_negative, r.best_baseline, r.baseline_f1
            FROM public.ml_training_runs r
            WHERE r.job_id = v_job_id
            UNION ALL
            SELECT 1, 1, t.num_positive, t.num_negative, t.best_baseline, t.baseline_f1
            FROM public.ml_test_results t
            WHERE t.job_id = v_job_id
            UNION ALL
            SELECT x.place, 2, c.a_tp + c.a_fn, c.a_tn + c.a_fp, x.best_baseline, x.baseline_f1
            FROM public.ml_comparisons c
            CROSS JOIN LATERAL (
                VALUES (1, c.a_best_baseline, c.a_baseline_f1), (2, c.b_best_baseline, c.b_baseline_f1)
            ) x (place, best_baseline, baseline_f1)
            WHERE c.job_id = v_job_id
        ),
        baselines AS (
            SELECT * FROM public.ml_baselines b WHERE b.job_id = v_job_id
        )
        SELECT f.fault INTO v_fault
        FROM (
            SELECT
                CASE
                    WHEN r.place IS NULL THEN 'belong to no measurement'
                    WHEN count(b.baseline) <> 5 OR (SELECT count(*) FROM baselines) <> 3 + 2 * r.num_models
                        THEN 'are not those that there are'
                    WHEN bool_or(b.tp + b.fn <> r.num_positive OR b.fp + b.tn <> r.num_negative)
                        THEN 'count other rows than their result'
                    WHEN bool_or(b.baseline = r.best_baseline AND b.f1_score = r.baseline_f1) IS NOT TRUE
                        OR max(b.f1_score) <> r.baseline_f1
                        THEN 'have not the best one that their result names'
                END AS fault
            FROM (SELECT 1) one (row)
            LEFT JOIN results r ON true
            LEFT JOIN baselines b ON b.place IN (0, r.place)
            GROUP BY r.place, r.num_models, r.best_baseline, r.baseline_f1
        ) f
        WHERE f.fault IS NOT NULL
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'the baselines of job % %', v_job_id, v_fault
                USING ERRCODE = 'check_violation', TABLE = 'ml_baselines',
                HINT = 'A measurement has each baseline once, counted on its own rows; those that know of the fitted rows once for each model. The result names the one with the highest F1.';
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_baselines_60_check_baselines
AFTER INSERT ON public.ml_baselines
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.check_baselines();

-- Their part of ml.report, of one measurement.
CREATE OR REPLACE FUNCTION ml_internal.draw_baselines(
    p_job_id bigint
)
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
ROWS 6
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT format(
        '  %-18s  %9s %9s %9s %9s %9s   %s', x.name, x.f1, x.accuracy, x.precision_score, x.recall, x.roc_auc, x.rule
    )
    FROM (
        SELECT 0 AS place, 'baselines' AS name, 'F1' AS f1, 'accuracy' AS accuracy, 'precision' AS precision_score, 'recall' AS recall, 'ROC AUC' AS roc_auc, '' AS rule
        WHERE EXISTS (SELECT FROM public.ml_baselines b WHERE b.job_id = p_job_id)
        UNION ALL
        SELECT
            array_position('{always_positive,always_negative,positive_share,persistence,best_feature}', b.baseline),
            ml_internal.baseline_text(b.baseline),
            coalesce(b.f1_score::text, '-'), coalesce(b.accuracy::text, '-'), coalesce(b.precision_score::text, '-'),
            coalesce(b.recall::text, '-'), coalesce(b.roc_auc::text, '-'),
            CASE
                WHEN b.baseline IN ('always_positive', 'always_negative') THEN ''
                WHEN b.num_unknown > 0 THEN format('%s; unknown, so negative: %s rows', b.rule, ml_internal.count_text(b.num_unknown))
                ELSE coalesce(b.rule, b.reason)
            END
        FROM public.ml_baselines b
        WHERE b.job_id = p_job_id
    ) x
    ORDER BY x.place;
END
$$;

CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_baselines');
CALL ml_internal.allow('ml_reader', 'EXECUTE', 'ml_internal.baseline_verdict, ml_internal.baseline_text, ml_internal.draw_baselines');

COMMENT ON TABLE public.ml_baselines IS 'Answers that cost no model, on the rows of each measurement, append-only: always positive, always negative, the share of positives, persistence, and the best single feature.';
COMMENT ON COLUMN public.ml_baselines.job_id IS 'Job whose result they stand beside.';
COMMENT ON COLUMN public.ml_baselines.place IS 'Whose fitted rows it knows of: the place of the model among those of the job, see ml.job_models (of a comparison 1 is a, 2 is b); 0: it needs none.';
COMMENT ON COLUMN public.ml_baselines.baseline IS 'always_positive, always_negative; positive_share: the share of positives among the fitted rows as the probability of every row; persistence: the state of the row now, or for a change or a path the label one horizon ago; best_feature: one feature with a threshold, those with the best F1 on the fitted rows.';
COMMENT ON COLUMN public.ml_baselines.rule IS 'What it answers positive, in words.';
COMMENT ON COLUMN public.ml_baselines.tp IS 'True positives of its answers; NULL where it does not exist, as the other counts and metrics.';
COMMENT ON COLUMN public.ml_baselines.tn IS 'True negatives.';
COMMENT ON COLUMN public.ml_baselines.fp IS 'False positives.';
COMMENT ON COLUMN public.ml_baselines.fn IS 'False negatives.';
COMMENT ON COLUMN public.ml_baselines.num_unknown IS 'Rows of which it knows nothing, so that its answer is negative: nothing is known of them one horizon ago, or the feature is missing. NULL where it needs to know nothing.';
COMMENT ON COLUMN public.ml_baselines.accuracy IS 'Share of the rows answered right.';
COMMENT ON COLUMN public.ml_baselines.precision_score IS 'Share of the positive answers that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_baselines.recall IS 'Share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_baselines.f1_score IS 'Harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON COLUMN public.ml_baselines.mcc IS 'Matthews correlation, -1 to 1, chance 0; NULL where the rows or the answers have one class only.';
COMMENT ON COLUMN public.ml_baselines.roc_auc IS 'Area under the ROC curve: of best_feature by the values of the feature, else by the answers; NULL where there was only one class.';
COMMENT ON COLUMN public.ml_baselines.average_precision IS 'Average precision, by the same; NULL where there was only one class.';
COMMENT ON COLUMN public.ml_baselines.log_loss IS 'Log loss, in nats: of positive_share, the figure to beat; NULL of the others, which give no probability.';
COMMENT ON COLUMN public.ml_baselines.brier_score IS 'Brier score: of positive_share, the figure to beat; NULL of the others, which give no probability.';
COMMENT ON COLUMN public.ml_baselines.reason IS 'Why it does not exist here; NULL where it does.';
COMMENT ON PROCEDURE ml_internal.add_baseline(name, text, text) IS 'Adds to a result table what it tells of the best baseline, and the rule that it is told whole.';
COMMENT ON FUNCTION ml_internal.baseline_verdict(boolean, text, numeric, numeric, double precision, double precision, text) IS 'Whether a model beats its best baseline, in words; NULL before version 8. The interval is that of a paired bootstrap of blocks of time (Kuensch 1989).';
COMMENT ON FUNCTION ml_internal.baseline_text(text) IS 'A baseline in words.';
COMMENT ON FUNCTION ml_internal.check_baselines() IS 'Trigger: the baselines of a job are all there, fit its result, and the one that it names is the best.';
COMMENT ON FUNCTION ml_internal.draw_baselines(bigint) IS 'Part of ml.report: the baselines of a measurement, a line each.';
