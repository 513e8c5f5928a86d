-- Warnings: what makes the figures of a job look better, or worse, than they are. A worker finds most of them in the rows
-- and sends them with its result; what follows from the periods alone the database finds itself. Each has a code, which
-- ref_warnings explains, a severity and a sentence; what the sentence speaks of stands in columns beside it.

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ref_warnings (
    code varchar(50) NOT NULL,
    means text NOT NULL,
    advice text NOT NULL,
    CONSTRAINT ref_warnings_pkey PRIMARY KEY (code)
);

INSERT INTO public.ref_warnings (code, means, advice)
VALUES
    ('feature_tells_label', 'One feature tells the label almost alone: its ROC AUC is 0.99 or more, by its order or by bands of values.', 'See how the column is made: most often it knows what comes after its moment. Leave it out.'),
    ('features_tell_label', 'Two features together tell the label almost alone, by their sum, difference, product or ratio, or by cells of both.', 'See how they are made: most often one knows what comes after its moment. Leave it out.'),
    ('feature_is_target', 'Without a horizon, a feature that is a monotone function of the target in the same row.', 'Leave it out, or give train_future_minutes to have something to forecast.'),
    ('same_series', 'The same series under two keys: rows of both have the same features at the same distance in time.', 'Keep one of the two: rows that are there twice count twice, and a copy that is held out is no new coin.'),
    ('feature_of_moment', 'A feature that is the same for all coins at a moment. It tells moments apart, and coins of one moment share their fate.', 'Hold out by time, or leave it out: while whole coins are held out, their moments are known from the others.'),
    ('constant_feature', 'A feature with one value in all rows that were fitted.', 'Leave it out: nothing can be learned from it.'),
    ('period_overlaps', 'The period measured shares time with the training of the model.', 'Measure on a later period: what was fitted is not measured by itself.'),
    ('period_earlier', 'The period measured begins before the training of the model.', 'Measure on a later period: doing well in the past of what was fitted is no forecast.'),
    ('seen_coins', 'A model does better on coins that it was fitted on than on others, by more than chance.', 'Look at ml_seen_unseen, and judge it by the coins that it has not seen if new ones will come.'),
    ('rows_without_label', 'Many rows have no label, or some have none and differ from the rest.', 'The figures hold for rows like those that are left. See why the others have none.'),
    ('rows_without_window', 'Many rows are of coins that stop before their window ends, or some are and differ from the rest.', 'The figures hold for coins that go on; train_uncovered says what the others count as.'),
    ('one_answer', 'All rows get the same answer.', 'Look at ROC AUC and at other thresholds (ml_threshold_sweep): F1 and accuracy say nothing here.'),
    ('constant_probability', 'All rows get the same probability, or nearly so.', 'The model has learned nothing: see whether the features vary, and whether the hyperparameters let it learn.'),
    ('few_positives', 'The model was fitted on few rows of a class.', 'Choose a longer period or another threshold (ml.targets lists some).'),
    ('one_class_measured', 'All rows measured are of one class, so that F1 or ROC AUC are undefined.', 'Measure on a longer period.'),
    ('feature_shift', 'A feature is distributed otherwise than in training: its population stability index is 0.25 or more, beyond chance.', 'See whether the feature still means the same; if so, train on a newer period, or use a ratio instead of a level.'),
    ('fit', 'What the library said of the fit.', 'Do as it says: most often more iterations, or other hyperparameters.'),
    ('not_in_sql', 'The model has no numbers in the database.', 'Use a SCORE job where ml.predict cannot be asked.')
ON CONFLICT ON CONSTRAINT ref_warnings_pkey DO UPDATE SET
    means = EXCLUDED.means,
    advice = EXCLUDED.advice;

CREATE TABLE IF NOT EXISTS public.ml_warnings (
    id bigint GENERATED ALWAYS AS IDENTITY,
    job_id bigint NOT NULL,
    model_id bigint NOT NULL,
    code varchar(50) NOT NULL,
    severity varchar(10) NOT NULL,
    sentence text NOT NULL,
    feature text,
    other_feature text,
    key text,
    other_key text,
    number double precision,
    CONSTRAINT ml_warnings_pkey PRIMARY KEY (id),
    CONSTRAINT ml_warnings_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_warnings_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_warnings_code_fkey FOREIGN KEY (code) REFERENCES public.ref_warnings (code),
    CONSTRAINT ml_warnings_severity_known CHECK (severity IN ('info', 'warning', 'severe')),
    CONSTRAINT ml_warnings_sentence_not_blank CHECK (sentence ~ '[^ ]' AND length(sentence) <= 2000)
);

CREATE INDEX IF NOT EXISTS ml_warnings_job ON public.ml_warnings (job_id);
CREATE INDEX IF NOT EXISTS ml_warnings_model ON public.ml_warnings (model_id);

CREATE OR REPLACE TRIGGER ml_warnings_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_warnings
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();

-- The severest first.
CREATE OR REPLACE FUNCTION ml_internal.rank_of_severity(
    p_severity text
)
RETURNS integer
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT array_position('{severe,warning,info}'::text [], p_severity);
$$;

-- ── What follows from the periods alone ─────────────────────────────────────────────────────────────

CREATE OR REPLACE FUNCTION ml_internal.period_warnings(
    p_model public.ml_models,
    p_start timestamptz,
    p_end timestamptz
)
RETURNS TABLE (
    code text,
    severity text,
    sentence text,
    number double precision
)
LANGUAGE plpgsql -- which does not ask for overlap_note until it is used: it comes with 61_kind_test.sql
STABLE
ROWS 2
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT
        'period_overlaps', 'severe',
        format('%s of model %s: its figures flatter', ml_internal.overlap_note(tstzrange(p_start, p_end), x.trained), p_model.id),
        (extract(epoch FROM upper(x.common) - lower(x.common)) / extract(epoch FROM p_end - p_start))::double precision
    FROM (
        SELECT tstzrange(p_model.train_start, p_model.train_end) AS trained,
            tstzrange(p_start, p_end) * tstzrange(p_model.train_start, p_model.train_end) AS common
    ) x
    WHERE NOT isempty(x.common)
    UNION ALL
    SELECT
        'period_earlier', 'warning',
        format(
            'the period from %s begins before the training of model %s, which is from %s: that is no forecast',
            p_start, p_model.id, p_model.train_start
        ),
        (extract(epoch FROM least(p_end, p_model.train_start) - p_start) / extract(epoch FROM p_end - p_start))::double precision
    WHERE p_start < p_model.train_start;
END
$$;

-- Of whichever kind of result: its period and its models, whose columns the arguments name.
CREATE OR REPLACE FUNCTION ml_internal.warn_of_period()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_field text;
    v_model public.ml_models;
BEGIN
    FOREACH v_field IN ARRAY TG_ARGV LOOP
        SELECT * INTO v_model FROM public.ml_models m WHERE m.id = (to_jsonb(NEW) ->> v_field)::bigint;
        INSERT INTO public.ml_warnings (job_id, model_id, code, severity, sentence, number)
        SELECT NEW.job_id, v_model.id, w.code, w.severity, w.sentence, w.number
        FROM ml_internal.period_warnings(v_model, NEW.test_start, NEW.test_end) w
        ORDER BY ml_internal.rank_of_severity(w.severity);
    END LOOP;
    RETURN NULL;
END
$$;

-- ── How they are shown ──────────────────────────────────────────────────────────────────────────────

-- "3 warnings, the first: …"; NULL where there is nothing worth one.
CREATE OR REPLACE FUNCTION ml_internal.warnings_text(
    p_job_id bigint
)
RETURNS text
LANGUAGE plpgsql -- which keeps its plan: every result asks
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT CASE
            WHEN count(*) = 1 THEN format('a %s: %s', CASE min(w.severity) WHEN 'severe' THEN 'severe warning' ELSE 'warning' END, min(w.sentence))
            WHEN count(*) > 1 THEN format(
                '%s warnings%s, the first: %s', count(*),
                nullif(format(' (%s severe)', count(*) FILTER (WHERE w.severity = 'severe')), ' (0 severe)'),
                (array_agg(w.sentence ORDER BY ml_internal.rank_of_severity(w.severity), w.id))[1]
            )
        END
        -- As one array: sorted by id they would be looked for in the index of that, all that there are.
        FROM unnest(ARRAY(SELECT w FROM public.ml_warnings w WHERE w.job_id = p_job_id AND w.severity <> 'info')) w
    );
END
$$;

-- Behind what a COMPLETED job says; ml_internal.record_result calls it.
CREATE OR REPLACE FUNCTION ml_internal.show_warnings(
    p_job_id bigint
)
RETURNS void
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_text text := ml_internal.warnings_text(p_job_id);
BEGIN
    IF v_text IS NOT NULL THEN
        UPDATE public.ml_jobs SET progress_msg = concat_ws('; ', progress_msg, v_text) WHERE id = p_job_id;
    END IF;
END
$$;

-- Part of ml.report: of each code the first, and how many more there are like it.
CREATE OR REPLACE FUNCTION ml_internal.page_of_warnings(
    p_model_id bigint,
    p_job_ids bigint []
)
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
ROWS 5
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT format(
        '%s %-9s%s%s', CASE WHEN row_number() OVER places = 1 THEN 'Warnings: ' ELSE '          ' END,
        x.severity, x.sentence,
        CASE WHEN x.alike > 1 THEN format(
            ' (and %s more like it: SELECT sentence FROM ml_warnings WHERE job_id = %s AND code = %L;)', x.alike - 1, x.job_id, x.code
        ) END
    )
    FROM (
        SELECT
            w.*,
            count(*) OVER (PARTITION BY w.job_id, w.code, w.severity) AS alike,
            row_number() OVER (PARTITION BY w.job_id, w.code, w.severity ORDER BY w.id) AS place
        FROM public.ml_warnings w
        WHERE w.model_id = p_model_id AND w.job_id = ANY (p_job_ids)
    ) x
    WHERE x.place = 1
    WINDOW places AS (ORDER BY ml_internal.rank_of_severity(x.severity), x.job_id, x.id)
    ORDER BY ml_internal.rank_of_severity(x.severity), x.job_id, x.id;
END
$$;

CREATE OR REPLACE VIEW public.ml_fact_warnings WITH (security_invoker = true) AS
SELECT
    w.id AS warning_id, w.job_id, j.job_type, j.completed_at AS created_at, w.model_id, m.name AS model_name,
    w.code, w.severity, w.sentence, w.feature, w.other_feature, w.key, w.other_key, w.number,
    r.means, r.advice
FROM public.ml_warnings w
JOIN public.ml_jobs j ON j.id = w.job_id
JOIN public.ml_models m ON m.id = w.model_id
JOIN public.ref_warnings r ON r.code = w.code;

CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ref_warnings, public.ml_warnings, public.ml_fact_warnings');
CALL ml_internal.allow('ml_reader', 'EXECUTE', 'ml_internal.rank_of_severity, ml_internal.overlap_note, ml_internal.period_warnings, ml_internal.page_of_warnings');

COMMENT ON TABLE public.ref_warnings IS 'Codes of ml_warnings: what each means, and what to do.';
COMMENT ON COLUMN public.ref_warnings.code IS 'Code, as in ml_warnings.';
COMMENT ON COLUMN public.ref_warnings.means IS 'What was found.';
COMMENT ON COLUMN public.ref_warnings.advice IS 'What to do about it.';
COMMENT ON TABLE public.ml_warnings IS 'What makes the figures of a job look better, or worse, than they are, append-only: leaks and traps, each with a code (ref_warnings), a severity and a sentence.';
COMMENT ON COLUMN public.ml_warnings.id IS 'Number of the warning.';
COMMENT ON COLUMN public.ml_warnings.job_id IS 'Job that found it.';
COMMENT ON COLUMN public.ml_warnings.model_id IS 'Model that it is about; of a COMPARE job one of the two.';
COMMENT ON COLUMN public.ml_warnings.code IS 'What was found; ref_warnings explains each.';
COMMENT ON COLUMN public.ml_warnings.severity IS 'severe: the figures are not to be believed; warning: know this before you use them; info: no harm.';
COMMENT ON COLUMN public.ml_warnings.sentence IS 'What was found, with names and numbers.';
COMMENT ON COLUMN public.ml_warnings.feature IS 'Feature that it speaks of, if any.';
COMMENT ON COLUMN public.ml_warnings.other_feature IS 'The second feature of two.';
COMMENT ON COLUMN public.ml_warnings.key IS 'Key, such as a coin, that it speaks of, if any.';
COMMENT ON COLUMN public.ml_warnings.other_key IS 'The second key of two.';
COMMENT ON COLUMN public.ml_warnings.number IS 'Number that it rests on: a ROC AUC, a share, a count or a population stability index, as the sentence says.';
COMMENT ON VIEW public.ml_fact_warnings IS 'Warnings as facts, one row each, with what their codes mean.';
COMMENT ON COLUMN public.ml_fact_warnings.warning_id IS 'Number of the warning.';
COMMENT ON COLUMN public.ml_fact_warnings.job_id IS 'Job that found it.';
COMMENT ON COLUMN public.ml_fact_warnings.job_type IS 'Kind of that job.';
COMMENT ON COLUMN public.ml_fact_warnings.created_at IS 'When the job ended.';
COMMENT ON COLUMN public.ml_fact_warnings.model_id IS 'Model that it is about.';
COMMENT ON COLUMN public.ml_fact_warnings.model_name IS 'Name of that model.';
COMMENT ON COLUMN public.ml_fact_warnings.code IS 'What was found.';
COMMENT ON COLUMN public.ml_fact_warnings.severity IS 'severe, warning or info.';
COMMENT ON COLUMN public.ml_fact_warnings.sentence IS 'What was found, with names and numbers.';
COMMENT ON COLUMN public.ml_fact_warnings.feature IS 'Feature that it speaks of, if any.';
COMMENT ON COLUMN public.ml_fact_warnings.other_feature IS 'The second feature of two.';
COMMENT ON COLUMN public.ml_fact_warnings.key IS 'Key, such as a coin, that it speaks of, if any.';
COMMENT ON COLUMN public.ml_fact_warnings.other_key IS 'The second key of two.';
COMMENT ON COLUMN public.ml_fact_warnings.number IS 'Number that it rests on, as the sentence says.';
COMMENT ON COLUMN public.ml_fact_warnings.means IS 'What the code means.';
COMMENT ON COLUMN public.ml_fact_warnings.advice IS 'What to do about it.';
COMMENT ON FUNCTION ml_internal.rank_of_severity(text) IS 'Place of a severity among all, the severest first.';
COMMENT ON FUNCTION ml_internal.period_warnings(public.ml_models, timestamptz, timestamptz) IS 'Warnings of measuring a model on a period that overlaps its training or begins before it.';
COMMENT ON FUNCTION ml_internal.warn_of_period() IS 'Trigger: a measurement on a period that overlaps the training, or begins before it, is warned of.';
COMMENT ON FUNCTION ml_internal.warnings_text(bigint) IS 'How many warnings a job has, and the severest; NULL: none.';
COMMENT ON FUNCTION ml_internal.show_warnings(bigint) IS 'Puts the warnings of a job behind what it says.';
COMMENT ON FUNCTION ml_internal.page_of_warnings(bigint, bigint []) IS 'Part of ml.report: warnings of these jobs about a model, the severest first.';
