-- Was it right? SELECT * FROM ml_prediction_outcomes WHERE job_id = 12 has what became of each row that a model answered for,
-- by the rule of its label, as soon as that can be known; ml_prediction_quality, what the answers were worth, day by day.
--
-- A training or test ends with its period, which cuts windows off. Here nothing is cut off but by the newest moment of the
-- source: what a test would say whose period ends long after. All runs with the rights of who asks, on the source as well.

SET search_path TO pg_catalog, pg_temp;

-- The rows of a model's source in SQL, each with its label. A kind of label that can judges a coin's rows together.
CREATE OR REPLACE FUNCTION ml_internal.judged_query(
    p_model public.ml_models,
    p_key text,
    p_value text,
    p_stop text,
    p_known_until text
)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_together text := (SELECT r.judged_together FROM public.ref_labels r WHERE r.name = p_model.label);
BEGIN
    RETURN format(
        'SELECT s.mint, s."timestamp", s.phase, s.is_covered, %s AS label, %s AS has_base FROM (%s) s',
        ml_internal.label_of_row(p_model, p_value, p_stop, p_known_until, CASE WHEN v_together IS NOT NULL THEN 'o.found' END),
        ml_internal.base_of_row(p_model),
        CASE
            WHEN v_together IS NULL THEN ml_internal.label_query(p_model, '{}', NULL, p_key)
            ELSE format(
                $query$
                SELECT c.mint, r.*
                FROM (
                    SELECT
                        s.mint,
                        array_agg(s."timestamp") AS moments,
                        array_agg(s.phase) AS phases,
                        array_agg(s.base) AS bases,
                        array_agg(s.is_covered) AS are_covered,
                        array_agg(s.target) AS targets,
                        array_agg(ml_internal.changed_by(s.base, %s)) AS goals,
                        array_agg(ml_internal.changed_by(s.base, %s)) AS stops,
                        %L::interval AS horizon
                    FROM (%s ORDER BY s.mint, s."timestamp") s
                    GROUP BY s.mint
                ) c
                CROSS JOIN LATERAL unnest(c.moments, c.phases, c.bases, c.are_covered, %s) r ("timestamp", phase, base, is_covered, found)
                $query$,
                p_value, p_stop, make_interval(mins => p_model.future_minutes),
                ml_internal.label_query(p_model, '{}', NULL, p_key, 'NULL::boolean'), v_together
            )
        END
    );
END
$$;

-- Answers of some jobs of one model. Their period of the source is read once, as ml.preview reads it, and as far beyond it
-- as windows reach. No answer says which of several rows at one moment it is of: where these differ, nobody can tell.
CREATE OR REPLACE FUNCTION ml_internal.outcomes_of_jobs(
    p_model_id bigint,
    p_job_ids bigint [],
    p_start timestamptz,
    p_end timestamptz,
    p_key text DEFAULT NULL
)
RETURNS TABLE (
    job_id bigint,
    key text,
    moment timestamptz,
    probability double precision,
    outcome boolean,
    reason text
)
LANGUAGE plpgsql
STABLE
ROWS 10000
COST 100000
SET search_path TO pg_catalog, pg_temp
SET timezone TO 'UTC'
SET extra_float_digits TO 1
SET datestyle TO 'ISO, MDY'
SET enable_nestloop TO off -- nobody knows how many rows a query in a query gives, and few are guessed
SET jit TO off
AS $$
DECLARE
    v_model public.ml_models;
    v_source jsonb;
    v_reason text;
    v_reach interval;
    v_newest timestamptz;
    v_message text;
    v_hint text;
    v_code text;
BEGIN
    SELECT m.* INTO v_model FROM public.ml_models m WHERE m.id = p_model_id;
    v_reason := (ml_internal.source_fault(
        v_model.source, array_remove(ARRAY[v_model.target_variable::text, v_model.base_variable::text], NULL), v_model.phases_csv IS NOT NULL, to_regrole(quote_ident(current_user))
    )).message;
    IF v_reason IS NOT NULL THEN
        RETURN QUERY
        SELECT p.job_id, p.key, p.moment, p.probability, NULL::boolean, v_reason
        FROM public.ml_predictions p
        WHERE p.job_id = ANY (p_job_ids) AND p.model_id = p_model_id AND p.moment >= p_start AND p.moment < p_end
            AND (p_key IS NULL OR p.key = p_key);
        RETURN;
    ELSIF v_model.source = 'coin_metrics' THEN
        PERFORM ml_internal.require_metrics();
    END IF;
    v_source := ml_internal.describe_source(v_model.source);
    v_reach := make_interval(mins => 2 * coalesce(v_model.future_minutes, 0));
    EXECUTE format(
        'SELECT %1$s FROM %2$s m WHERE %3$s < ''infinity'' ORDER BY %3$s DESC LIMIT 1',
        v_source ->> 'moment', v_source ->> 'relation', v_source ->> 'moment_column'
    )
    INTO v_newest;
    RETURN QUERY EXECUTE format(
        $query$
        WITH labels AS (
            SELECT
                o.mint,
                o."timestamp" AS moment,
                CASE WHEN count(o.label) = count(*) AND bool_and(o.label) = bool_or(o.label) THEN bool_and(o.label) END AS label,
                count(o.label) > 0 AS is_torn,
                bool_or(o.has_base) AS has_base,
                bool_or(o.is_covered) AS is_covered
            FROM (%1$s) o
            WHERE o."timestamp" < $10 AND ($4 IS NULL OR o.phase = ANY ($4))
            GROUP BY o.mint, o."timestamp"
        )
        SELECT
            p.job_id,
            p.key,
            p.moment,
            p.probability,
            l.label,
            CASE
                WHEN l.mint IS NULL THEN 'the row is gone'
                WHEN l.label IS NOT NULL THEN NULL
                WHEN l.is_torn THEN 'rows of this moment differ'
                WHEN NOT l.has_base THEN %2$L || ' is NULL, zero or negative'
                WHEN l.is_covered THEN %3$L
                WHEN p.moment < $9 - $12 THEN 'the coin stops'
                ELSE 'not known yet'
            END
        FROM public.ml_predictions p
        LEFT JOIN labels l ON l.mint = p.key COLLATE "C" AND l.moment = p.moment
        WHERE p.job_id = ANY ($8) AND p.model_id = $11 AND p.moment >= $2 AND p.moment < $10 AND ($7 IS NULL OR p.key = $7)
        $query$,
        ml_internal.judged_query(v_model, CASE WHEN p_key IS NOT NULL THEN '$7' END, '$5', '$6', '$9'),
        v_model.base_variable,
        CASE WHEN v_model.future_minutes IS NULL THEN v_model.target_variable || ' is NULL' ELSE format('there is no %s until then', v_model.target_variable) END
    )
    USING v_model.target_operator, p_start, least(p_end, v_newest + interval '1 microsecond') + v_reach + interval '1 microsecond',
        string_to_array(v_model.phases_csv, ',')::integer [], v_model.target_value, v_model.stop_value, p_key,
        p_job_ids, v_newest, p_end, p_model_id, v_reach;
EXCEPTION
    -- Of what is wrong with a view of the user's own.
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS v_message = MESSAGE_TEXT, v_hint = PG_EXCEPTION_HINT, v_code = RETURNED_SQLSTATE;
        RAISE EXCEPTION USING MESSAGE = v_message, ERRCODE = v_code, TABLE = v_model.source,
            HINT = coalesce(nullif(v_hint, ''), ml_internal.reading_hint(v_model.source));
END
$$;

CREATE OR REPLACE VIEW public.ml_prediction_outcomes WITH (security_invoker = true) AS
SELECT
    s.job_id,
    s.model_id,
    o.key,
    o.moment,
    o.probability,
    o.probability > s.threshold AS is_predicted,
    o.outcome,
    o.reason
FROM public.ml_scorings s
CROSS JOIN LATERAL ml_internal.outcomes_of_jobs(s.model_id, ARRAY[s.job_id], s.score_start, s.score_end) o;

-- The periods that a model was asked about, with the jobs that did. Those that overlap are one, and those less than a day
-- apart: no day is in two.
CREATE OR REPLACE FUNCTION ml_internal.answered_periods(
    p_model_id bigint,
    p_start timestamptz DEFAULT NULL,
    p_end timestamptz DEFAULT NULL
)
RETURNS TABLE (
    job_ids bigint [],
    period_start timestamptz,
    period_end timestamptz
)
LANGUAGE sql
STABLE
ROWS 10
SET search_path TO pg_catalog, pg_temp
AS $$
    WITH asked AS MATERIALIZED (
        SELECT s.job_id, greatest(s.score_start, p_start) AS score_start, least(s.score_end, p_end) AS score_end
        FROM public.ml_scorings s
        WHERE s.model_id = p_model_id AND greatest(s.score_start, p_start) < least(s.score_end, p_end)
    )
    SELECT array_agg(a.job_id), min(a.score_start), max(a.score_end)
    FROM (SELECT range_agg(tstzrange(x.score_start - interval '1 day', x.score_end)) AS all_of_them FROM asked x) r
    CROSS JOIN LATERAL unnest(r.all_of_them) p (period)
    JOIN asked a ON a.score_start <@ p.period
    GROUP BY p.period;
$$;

-- Of a period, and perhaps of one key: no other jobs, and no more of the source, are read.
CREATE OR REPLACE FUNCTION ml.outcomes(
    model bigint,
    period_start timestamptz DEFAULT NULL,
    period_end timestamptz DEFAULT NULL,
    of_key text DEFAULT NULL
)
RETURNS SETOF public.ml_prediction_outcomes
LANGUAGE sql
STABLE
ROWS 10000
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT o.job_id, outcomes.model, o.key, o.moment, o.probability, o.probability > (SELECT m.threshold FROM public.ml_models m WHERE m.id = outcomes.model), o.outcome, o.reason
    FROM ml_internal.answered_periods(outcomes.model, period_start, period_end) p
    CROSS JOIN LATERAL ml_internal.outcomes_of_jobs(outcomes.model, p.job_ids, p.period_start, p.period_end, of_key) o;
$$;

CREATE OR REPLACE FUNCTION ml.outcomes(
    model text,
    period_start timestamptz DEFAULT NULL,
    period_end timestamptz DEFAULT NULL,
    of_key text DEFAULT NULL
)
RETURNS SETOF public.ml_prediction_outcomes
LANGUAGE sql
STABLE
ROWS 10000
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT * FROM ml.outcomes(ml_internal.find_model(model), period_start, period_end, of_key);
$$;

-- What the answers were worth, a day of their moments a row, beside the model's latest test. Of a row that several jobs
-- asked about the newest answer counts.
CREATE OR REPLACE FUNCTION ml_internal.quality_by_day(
    p_model_id bigint,
    p_start timestamptz DEFAULT NULL,
    p_end timestamptz DEFAULT NULL
)
RETURNS TABLE (
    day date,
    num_answers bigint,
    num_known bigint,
    tp bigint,
    fp bigint,
    tn bigint,
    fn bigint,
    accuracy numeric,
    f1_score numeric,
    precision_score numeric,
    recall numeric,
    roc_auc numeric,
    brier_score numeric,
    test_id bigint,
    test_samples bigint,
    test_accuracy numeric,
    test_f1_score numeric,
    test_precision_score numeric,
    test_recall numeric,
    test_roc_auc numeric,
    test_brier_score numeric,
    test_overlap text
)
LANGUAGE sql
STABLE
ROWS 100
SET search_path TO pg_catalog, pg_temp
SET jit TO off
AS $$
    WITH answers AS (
        SELECT
            (o.moment AT TIME ZONE 'UTC')::date AS day, o.probability, o.outcome,
            o.job_id = max(o.job_id) OVER (PARTITION BY o.moment, o.key COLLATE "C") AS is_newest
        FROM ml_internal.answered_periods(p_model_id, p_start, p_end) p
        CROSS JOIN LATERAL ml_internal.outcomes_of_jobs(p_model_id, p.job_ids, p.period_start, p.period_end) o
    ),
    probabilities AS (
        SELECT
            a.day, a.probability, count(*) AS num_answers,
            count(*) FILTER (WHERE a.outcome) AS positive,
            count(*) FILTER (WHERE NOT a.outcome) AS negative
        FROM answers a
        WHERE a.is_newest
        GROUP BY a.day, a.probability
    ),
    -- A positive row is above so many negative ones, and beside half of those with the same probability.
    ranked AS (
        SELECT
            p.*,
            (SELECT m.threshold FROM public.ml_models m WHERE m.id = p_model_id) AS threshold,
            p.positive * (sum(p.negative) OVER (PARTITION BY p.day ORDER BY p.probability) - p.negative / 2.0) AS won
        FROM probabilities p
    ),
    days AS (
        SELECT
            r.day,
            sum(r.num_answers)::bigint AS num_answers,
            sum(r.positive + r.negative)::bigint AS num_known,
            coalesce(sum(r.positive) FILTER (WHERE r.probability > r.threshold), 0)::bigint AS tp,
            coalesce(sum(r.negative) FILTER (WHERE r.probability > r.threshold), 0)::bigint AS fp,
            coalesce(sum(r.negative) FILTER (WHERE r.probability <= r.threshold), 0)::bigint AS tn,
            coalesce(sum(r.positive) FILTER (WHERE r.probability <= r.threshold), 0)::bigint AS fn,
            sum(r.won) / nullif(sum(r.positive) * sum(r.negative), 0) AS roc_auc,
            sum(r.positive * (1 - r.probability) ^ 2 + r.negative * r.probability ^ 2) AS squares
        FROM ranked r
        GROUP BY r.day
    )
    SELECT
        d.day, d.num_answers, d.num_known, d.tp, d.fp, d.tn, d.fn,
        round(ml_internal.accuracy(d.tp, d.tn, d.fp, d.fn), 4),
        round(ml_internal.f1_score(d.tp, d.fp, d.fn), 4),
        round(ml_internal.precision_score(d.tp, d.fp), 4),
        round(ml_internal.recall_score(d.tp, d.fn), 4),
        round(d.roc_auc, 4),
        round((d.squares / nullif(d.num_known, 0))::numeric, 4),
        t.id, t.num_samples, t.accuracy, t.f1_score, t.precision_score, t.recall, t.roc_auc,
        t.brier_score,
        t.overlap_note
    FROM days d
    LEFT JOIN (
        SELECT x.*
        FROM public.ml_test_results x
        WHERE x.model_id = p_model_id
        ORDER BY x.created_at DESC, x.id DESC
        LIMIT 1
    ) t ON true
    ORDER BY d.day;
$$;

CREATE OR REPLACE VIEW public.ml_prediction_quality WITH (security_invoker = true) AS
SELECT m.id AS model_id, m.name AS model_name, q.*
FROM public.ml_models m
CROSS JOIN LATERAL ml_internal.quality_by_day(m.id) q;

-- Of a period: no other jobs, and no more of the source, are read.
CREATE OR REPLACE FUNCTION ml.quality(
    model bigint,
    period_start timestamptz DEFAULT NULL,
    period_end timestamptz DEFAULT NULL
)
RETURNS SETOF public.ml_prediction_quality
LANGUAGE sql
STABLE
ROWS 100
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT m.id, m.name, q.*
    FROM public.ml_models m
    CROSS JOIN LATERAL ml_internal.quality_by_day(m.id, period_start, period_end) q
    WHERE m.id = quality.model;
$$;

CREATE OR REPLACE FUNCTION ml.quality(
    model text,
    period_start timestamptz DEFAULT NULL,
    period_end timestamptz DEFAULT NULL
)
RETURNS SETOF public.ml_prediction_quality
LANGUAGE sql
STABLE
ROWS 100
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT * FROM ml.quality(ml_internal.find_model(model), period_start, period_end);
$$;

CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_prediction_outcomes, public.ml_prediction_quality');
CALL ml_internal.allow('ml_reader', 'EXECUTE', '
    ml.outcomes, ml.quality, ml_internal.judged_query, ml_internal.outcomes_of_jobs, ml_internal.answered_periods, ml_internal.quality_by_day
');

COMMENT ON FUNCTION ml_internal.judged_query(public.ml_models, text, text, text, text) IS 'Part of ml_prediction_outcomes: the rows of a model''s source in SQL, each with its label.';
COMMENT ON FUNCTION ml_internal.outcomes_of_jobs(bigint, bigint [], timestamptz, timestamptz, text) IS 'Part of ml_prediction_outcomes: what became of the rows that some jobs asked a model about, in a period.';
COMMENT ON FUNCTION ml_internal.answered_periods(bigint, timestamptz, timestamptz) IS 'Part of ml.outcomes: the periods that a model was asked about, with the jobs that did; no day is in two.';
COMMENT ON FUNCTION ml_internal.quality_by_day(bigint, timestamptz, timestamptz) IS 'Part of ml_prediction_quality: what the answers of a model were worth, by day.';
COMMENT ON FUNCTION ml.outcomes(bigint, timestamptz, timestamptz, text) IS 'Rows of ml_prediction_outcomes of a model: all, or those of a period, of one key or both; nothing else is read.';
COMMENT ON FUNCTION ml.outcomes(text, timestamptz, timestamptz, text) IS 'The same by the name of the model.';
COMMENT ON FUNCTION ml.quality(bigint, timestamptz, timestamptz) IS 'Rows of ml_prediction_quality of a model: all, or those of a period; nothing else is read.';
COMMENT ON FUNCTION ml.quality(text, timestamptz, timestamptz) IS 'The same by the name of the model.';
COMMENT ON VIEW public.ml_prediction_outcomes IS 'What became of each row that a SCORE job asked about, by the rule of the model''s label and the source as it is now. It is worked out at each query, a job at a time: name job_id or model_id; for a period or a key ask ml.outcomes, which reads nothing else.';
COMMENT ON COLUMN public.ml_prediction_outcomes.job_id IS 'SCORE job, see ml_scorings.';
COMMENT ON COLUMN public.ml_prediction_outcomes.model_id IS 'Model that was asked.';
COMMENT ON COLUMN public.ml_prediction_outcomes.key IS 'Coin, or what else the key of the source is; empty where it has none.';
COMMENT ON COLUMN public.ml_prediction_outcomes.moment IS 'Moment of the row.';
COMMENT ON COLUMN public.ml_prediction_outcomes.probability IS 'Probability that the model gave it of being positive.';
COMMENT ON COLUMN public.ml_prediction_outcomes.is_predicted IS 'Whether the model said yes: a probability above its threshold, as in a test.';
COMMENT ON COLUMN public.ml_prediction_outcomes.outcome IS 'Whether the row came out positive: what a test would say whose period ends long after it; NULL: nobody knows.';
COMMENT ON COLUMN public.ml_prediction_outcomes.reason IS 'Why there is no outcome: not known yet, the coin stops, rows of this moment differ, no value, no right to read the source ...; NULL: there is one.';
COMMENT ON VIEW public.ml_prediction_quality IS 'What the answers of each model were worth, per day of the rows that it was asked about, beside its latest test. Of a row that several jobs asked about the newest answer counts. Worked out at each query, a model at a time: name model_id; for a period ask ml.quality, which reads nothing else.';
COMMENT ON COLUMN public.ml_prediction_quality.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_prediction_quality.model_name IS 'Name of the model.';
COMMENT ON COLUMN public.ml_prediction_quality.day IS 'Day of the moments, UTC; a day without answers has no row.';
COMMENT ON COLUMN public.ml_prediction_quality.num_answers IS 'Rows of that day with an answer.';
COMMENT ON COLUMN public.ml_prediction_quality.num_known IS 'Those whose outcome is known; all that follows is of them.';
COMMENT ON COLUMN public.ml_prediction_quality.tp IS 'True positives: predicted positive, and are.';
COMMENT ON COLUMN public.ml_prediction_quality.fp IS 'False positives: predicted positive, but negative.';
COMMENT ON COLUMN public.ml_prediction_quality.tn IS 'True negatives: predicted negative, and are.';
COMMENT ON COLUMN public.ml_prediction_quality.fn IS 'False negatives: predicted negative, but positive.';
COMMENT ON COLUMN public.ml_prediction_quality.accuracy IS 'Share of the rows predicted right.';
COMMENT ON COLUMN public.ml_prediction_quality.f1_score IS 'Harmonic mean of precision and recall; NULL where undefined.';
COMMENT ON COLUMN public.ml_prediction_quality.precision_score IS 'Share of the positive predictions that were right; NULL where there was none.';
COMMENT ON COLUMN public.ml_prediction_quality.recall IS 'Share of the positive rows that were found; NULL where there was none.';
COMMENT ON COLUMN public.ml_prediction_quality.roc_auc IS 'Area under the ROC curve: 0.5 chance, 1 perfect; NULL where there was only one class.';
COMMENT ON COLUMN public.ml_prediction_quality.brier_score IS 'Brier score: mean square of the distance between probability and outcome, 0 is perfect; NULL where nothing is known.';
COMMENT ON COLUMN public.ml_prediction_quality.test_id IS 'Latest test of the model, whose numbers follow; NULL: there is none.';
COMMENT ON COLUMN public.ml_prediction_quality.test_samples IS 'Rows of that test.';
COMMENT ON COLUMN public.ml_prediction_quality.test_accuracy IS 'Its accuracy.';
COMMENT ON COLUMN public.ml_prediction_quality.test_f1_score IS 'Its F1.';
COMMENT ON COLUMN public.ml_prediction_quality.test_precision_score IS 'Its precision.';
COMMENT ON COLUMN public.ml_prediction_quality.test_recall IS 'Its recall.';
COMMENT ON COLUMN public.ml_prediction_quality.test_roc_auc IS 'Its ROC AUC.';
COMMENT ON COLUMN public.ml_prediction_quality.test_brier_score IS 'Its Brier score; NULL before version 7.';
COMMENT ON COLUMN public.ml_prediction_quality.test_overlap IS 'How much of that test was part of the training period, in words, which flatters its numbers; NULL: nothing.';
