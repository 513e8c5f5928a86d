-- SCORE: what a model says of all rows of a period, also of those of which nobody knows yet what became of them. All that
-- is special to this kind of job stands here.
--
-- The answers are many, so they come in parts, by a routine of their own, in the transaction that records the result:
-- either the job is COMPLETED and has all its answers, or there is none.

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ml_scorings (
    id bigint GENERATED ALWAYS AS IDENTITY,
    created_at timestamptz NOT NULL DEFAULT now(),
    model_id bigint NOT NULL,
    score_start timestamptz NOT NULL,
    score_end timestamptz NOT NULL,
    num_samples bigint NOT NULL,
    num_positive bigint NOT NULL,
    share_positive numeric(5, 4) GENERATED ALWAYS AS (num_positive::numeric / nullif(num_samples, 0)) STORED,
    data_fingerprint char(64) NOT NULL,
    seconds_loading numeric(12, 3) NOT NULL,
    seconds_scoring numeric(12, 3) NOT NULL,
    note text,
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    threshold double precision NOT NULL DEFAULT 0.5,
    CONSTRAINT ml_scorings_pkey PRIMARY KEY (id),
    CONSTRAINT ml_scorings_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_scorings_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_scorings_one_a_job UNIQUE (job_id),
    CONSTRAINT ml_scorings_threshold_between_0_and_1 CHECK (threshold BETWEEN 0 AND 1),
    CONSTRAINT ml_scorings_start_before_end CHECK (score_start < score_end),
    CONSTRAINT ml_scorings_positive_among_samples CHECK (num_positive BETWEEN 0 AND num_samples)
);

CREATE INDEX IF NOT EXISTS ml_scorings_model ON public.ml_scorings (model_id, id);
CREATE INDEX IF NOT EXISTS ml_scorings_created ON public.ml_scorings (created_at DESC);

-- A row is what a part of a job says of one coin: an index entry for each of a million answers would take longer than to
-- find them, and twice their room. The view ml_predictions has a row for each answer. No foreign keys: where coins have few
-- rows to look up each would take longer than to store it. The routine that stores them vouches for them, and ml.prune
-- removes the answers with their job.
CREATE TABLE IF NOT EXISTS public.ml_prediction_blocks (
    job_id bigint NOT NULL,
    model_id bigint NOT NULL,
    key text NOT NULL,
    moments timestamptz [] NOT NULL,
    probabilities double precision [] NOT NULL,
    last_moment timestamptz GENERATED ALWAYS AS (moments[cardinality(moments)]) STORED,
    CONSTRAINT ml_prediction_blocks_probabilities_between_0_and_1 CHECK (0 <= ALL (probabilities) AND 1 >= ALL (probabilities)),
    CONSTRAINT ml_prediction_blocks_nothing_unknown CHECK (
        array_position(moments, NULL) IS NULL AND array_position(probabilities, NULL) IS NULL
    ),
    CONSTRAINT ml_prediction_blocks_an_answer_each_moment CHECK (
        cardinality(moments) = cardinality(probabilities) AND cardinality(moments) > 0
    )
);

-- All answers of a coin, and the newest of each coin and model.
CREATE INDEX IF NOT EXISTS ml_predictions_key ON public.ml_prediction_blocks (key, model_id, last_moment, job_id);
-- All answers of a job.
CREATE INDEX IF NOT EXISTS ml_predictions_job ON public.ml_prediction_blocks (job_id);

-- Probabilities look random: to try to compress them is in vain.
ALTER TABLE public.ml_prediction_blocks ALTER COLUMN probabilities SET STORAGE EXTERNAL;

CREATE OR REPLACE VIEW public.ml_predictions WITH (security_invoker = true) AS
SELECT b.job_id, b.model_id, b.key, a.moment, a.probability
FROM public.ml_prediction_blocks b
CROSS JOIN LATERAL unnest(b.moments, b.probabilities) a (moment, probability);

-- How many answers of a job have which probability on which day (UTC): of millions of answers nobody counts them anew for a
-- chart. Bins are those of ml_calibration: above 0.5 is above 0.5. A model's threshold may lie within one, so those above it
-- are counted beside; NULL before version 8: it is 0.5.
CREATE TABLE IF NOT EXISTS public.ml_prediction_bins (
    job_id bigint NOT NULL,
    model_id bigint NOT NULL,
    day date NOT NULL,
    bin smallint NOT NULL,
    num_answers bigint NOT NULL,
    num_positive bigint,
    CONSTRAINT ml_prediction_bins_positive_among_answers CHECK (num_positive BETWEEN 0 AND num_answers),
    CONSTRAINT ml_prediction_bins_pkey PRIMARY KEY (job_id, day, bin),
    CONSTRAINT ml_prediction_bins_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_prediction_bins_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_prediction_bins_bin_between_1_and_10 CHECK (bin BETWEEN 1 AND 10),
    CONSTRAINT ml_prediction_bins_not_empty CHECK (num_answers > 0)
);

CREATE INDEX IF NOT EXISTS ml_prediction_bins_model ON public.ml_prediction_bins (model_id, day);

ALTER TABLE public.ml_jobs
ADD COLUMN IF NOT EXISTS score_model_id bigint
CONSTRAINT ml_jobs_score_model_id_fkey REFERENCES public.ml_models (id),
ADD COLUMN IF NOT EXISTS score_start timestamptz,
ADD COLUMN IF NOT EXISTS score_end timestamptz,
ADD COLUMN IF NOT EXISTS result_scoring_id bigint
CONSTRAINT ml_jobs_result_scoring_id_fkey REFERENCES public.ml_scorings (id);

-- The jobs of a model and of a result; ml.prune would read the whole table for each without them.
CREATE INDEX IF NOT EXISTS ml_jobs_result_scoring ON public.ml_jobs (result_scoring_id) WHERE result_scoring_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_score_model ON public.ml_jobs (score_model_id) WHERE score_model_id IS NOT NULL;

CALL ml_internal.define_kind(
    'SCORE',
    needs => '{score_model_id,score_start,score_end}',
    uses_models => '{score_model_id}',
    result_table => 'ml_scorings',
    result_column => 'result_scoring_id',
    result_filled => '{model_id,score_start,score_end,num_samples,num_positive,threshold}',
    result_facts => '{ml_prediction_blocks,ml_warnings,ml_feature_shifts}',
    page => 'page_of_scorings',
    stays_with_model => false,
    reads_labels => false
);

-- ── The answers ─────────────────────────────────────────────────────────────────────────────────────

CREATE OR REPLACE TRIGGER ml_prediction_bins_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_prediction_bins
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();

CREATE OR REPLACE TRIGGER ml_prediction_blocks_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_prediction_blocks
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();

CREATE OR REPLACE TRIGGER ml_predictions_append_only
INSTEAD OF UPDATE OR DELETE ON public.ml_predictions
FOR EACH ROW EXECUTE FUNCTION ml_internal.refuse_change_of_fact();

-- The parts that this transaction has stored, until its scoring has counted them. Nobody ever sees those of another.
CREATE UNLOGGED TABLE IF NOT EXISTS ml_internal.prediction_parts (
    job_id bigint NOT NULL,
    num_samples bigint NOT NULL,
    num_positive bigint NOT NULL,
    days date [] NOT NULL,
    bins smallint [] NOT NULL,
    counts bigint [] NOT NULL,
    positives bigint []
);

-- The routine below says for each statement that it has seen to it.
CREATE OR REPLACE FUNCTION ml_internal.refuse_predictions_by_hand()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('ml.storing', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'ml_predictions takes answers from workers alone'
        USING ERRCODE = 'ML002', TABLE = 'ml_predictions',
        HINT = 'Insert a SCORE job to have some; a worker calls ml_internal.store_predictions.';
END
$$;

CREATE OR REPLACE TRIGGER ml_prediction_blocks_10_by_workers
BEFORE INSERT ON public.ml_prediction_blocks
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_predictions_by_hand();

CREATE OR REPLACE TRIGGER ml_predictions_10_by_workers
INSTEAD OF INSERT ON public.ml_predictions
FOR EACH ROW EXECUTE FUNCTION ml_internal.refuse_predictions_by_hand();

-- At the COMMIT: answers that belong to no result would stay for ever.
CREATE OR REPLACE FUNCTION ml_internal.refuse_predictions_alone()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM ml_internal.prediction_parts p WHERE p.job_id = NEW.job_id) THEN
        RAISE EXCEPTION 'the answers of job % have no result', NEW.job_id
            USING ERRCODE = 'ML006', TABLE = 'ml_predictions',
            HINT = 'Record the result in the transaction that stores the answers, after them.';
    END IF;
    RETURN NULL;
END
$$;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = 'ml_internal.prediction_parts'::regclass AND t.tgname = 'prediction_parts_90_have_result') THEN
        CREATE CONSTRAINT TRIGGER prediction_parts_90_have_result
        AFTER INSERT ON ml_internal.prediction_parts
        DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION ml_internal.refuse_predictions_alone();
    END IF;
END
$$;

-- A part of the answers; the name of a coin comes once, and each row has its number among the names, from 1.
CREATE OR REPLACE FUNCTION ml_internal.store_predictions(
    p_job_id bigint,
    p_attempt integer,
    p_names text [],
    p_coins integer [],
    p_moments timestamptz [],
    p_probabilities double precision []
)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
SET enable_nestloop TO off -- nobody tells the planner how long the arrays are
SET enable_mergejoin TO off
SET jit TO off
AS $$
DECLARE
    v_model_id bigint;
    v_threshold double precision;
    v_stored bigint;
BEGIN
    SELECT j.score_model_id INTO v_model_id
    FROM public.ml_jobs j
    WHERE j.id = p_job_id AND (j.status = 'RUNNING') IS NOT FALSE AND j.attempt = p_attempt; -- no index answers that: it is found by its id
    v_threshold := (SELECT m.threshold FROM public.ml_models m WHERE m.id = v_model_id);
    IF v_model_id IS NULL THEN
        CALL ml_internal.require_attempt(p_job_id, p_attempt);
        RAISE EXCEPTION 'job % is no SCORE job', p_job_id
            USING ERRCODE = 'ML002', TABLE = 'ml_predictions', HINT = 'Only a SCORE job has answers to store.';
    END IF;
    CALL ml_internal.require_claimer(p_job_id, p_attempt);
    PERFORM set_config('ml.storing', 'on', true);
    WITH blocks AS (
        INSERT INTO public.ml_prediction_blocks (job_id, model_id, key, moments, probabilities)
        SELECT p_job_id, v_model_id, n.name, b.moments, b.probabilities
        FROM (
            SELECT a.coin, array_agg(a.moment) AS moments, array_agg(a.probability) AS probabilities
            FROM (
                SELECT x.coin, x.moment, x.probability
                FROM unnest(p_coins, p_moments, p_probabilities) x (coin, moment, probability)
                ORDER BY x.coin, x.moment
            ) a
            GROUP BY a.coin
        ) b
        JOIN unnest(p_names) WITH ORDINALITY n (name, number) ON n.number = b.coin
        ORDER BY b.coin
        RETURNING cardinality(moments) AS num_answers
    )
    SELECT coalesce(sum(b.num_answers), 0) INTO v_stored FROM blocks b;
    PERFORM set_config('ml.storing', 'off', true);
    IF v_stored <> cardinality(p_coins) THEN
        RAISE EXCEPTION 'only % of % answers have the name of a coin', v_stored, cardinality(p_coins)
            USING ERRCODE = 'invalid_parameter_value', TABLE = 'ml_predictions', HINT = 'Number the names from 1.';
    END IF;
    INSERT INTO ml_internal.prediction_parts (job_id, num_samples, num_positive, days, bins, counts, positives)
    SELECT
        p_job_id, v_stored, coalesce(sum(b.num_positive), 0),
        array_agg(b.day), array_agg(b.bin), array_agg(b.num_answers), array_agg(b.num_positive)
    FROM (
        SELECT
            (a.moment AT TIME ZONE 'UTC')::date AS day, greatest(ceil(a.probability * 10), 1)::smallint AS bin,
            count(*) AS num_answers, count(*) FILTER (WHERE a.probability > v_threshold) AS num_positive
        FROM unnest(p_moments, p_probabilities) a (moment, probability)
        GROUP BY 1, 2
    ) b
    HAVING v_stored > 0;
    RETURN v_stored;
END
$$;

-- ── The result ──────────────────────────────────────────────────────────────────────────────────────

CREATE OR REPLACE FUNCTION ml_internal.fill_scoring()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    -- One after the other: joined, all jobs of a model might be read.
    SELECT j.score_model_id, j.score_start, j.score_end
    INTO NEW.model_id, NEW.score_start, NEW.score_end
    FROM public.ml_jobs j
    WHERE j.id = NEW.job_id;
    SELECT
        concat_ws('; ', ml_internal.overlap_note(tstzrange(NEW.score_start, NEW.score_end), tstzrange(m.train_start, m.train_end)), NEW.note),
        m.threshold
    INTO NEW.note, NEW.threshold
    FROM public.ml_models m
    WHERE m.id = NEW.model_id;
    NEW.note := nullif(NEW.note, '');
    WITH counted AS (
        DELETE FROM ml_internal.prediction_parts p WHERE p.job_id = NEW.job_id RETURNING p.*
    ),
    binned AS (
        INSERT INTO public.ml_prediction_bins (job_id, model_id, day, bin, num_answers, num_positive)
        SELECT NEW.job_id, NEW.model_id, b.day, b.bin, sum(b.num_answers), sum(b.num_positive)
        FROM counted c
        CROSS JOIN LATERAL unnest(c.days, c.bins, c.counts, c.positives) b (day, bin, num_answers, num_positive)
        GROUP BY b.day, b.bin
    )
    SELECT sum(c.num_samples), sum(c.num_positive) INTO NEW.num_samples, NEW.num_positive FROM counted c;
    IF NEW.num_samples IS NULL THEN
        RAISE EXCEPTION 'attempt % of job % has stored no answers', NEW.attempt, NEW.job_id
            USING ERRCODE = 'ML002', TABLE = 'ml_scorings',
            HINT = 'Store them (ml_internal.store_predictions) in the transaction that records the result, before it.';
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_scorings_20_fill
BEFORE INSERT ON public.ml_scorings
FOR EACH ROW EXECUTE FUNCTION ml_internal.fill_scoring();

-- "12,345 rows, 4.1 % positive"; 0 and 100 are said only of none and all.
CREATE OR REPLACE FUNCTION ml_internal.scoring_text(
    p_num_samples bigint,
    p_num_positive bigint
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format(
        '%s row%s, %s %% positive',
        to_char(p_num_samples, 'FM999,999,999,999,999'),
        CASE WHEN p_num_samples <> 1 THEN 's' END,
        CASE
            WHEN p_num_positive = 0 THEN '0'
            WHEN p_num_positive = p_num_samples THEN '100'
            ELSE to_char(least(greatest(100.0 * p_num_positive / p_num_samples, 0.1), 99.9), 'FM990.0')
        END
    );
$$;

-- What ml.wait, ml_jobs and top show.
CREATE OR REPLACE FUNCTION ml_internal.show_scoring()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    SELECT s.id, format(
        'scoring %s of model %s: %s', s.id, s.model_id, ml_internal.scoring_text(s.num_samples, s.num_positive)
    ) || coalesce('; ' || s.note, '')
    INTO NEW.result_scoring_id, NEW.progress_msg
    FROM public.ml_scorings s
    WHERE s.job_id = NEW.id;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_80_score_show
BEFORE UPDATE OF status ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'SCORE' AND OLD.status <> 'COMPLETED' AND NEW.status = 'COMPLETED')
EXECUTE FUNCTION ml_internal.show_scoring();

CREATE OR REPLACE VIEW public.ml_fact_scorings WITH (security_invoker = true) AS
SELECT
    s.id AS scoring_id, s.job_id, s.model_id, s.created_at, s.score_start AS period_start, s.score_end AS period_end,
    s.num_samples, s.num_positive, s.share_positive, s.seconds_loading, s.seconds_scoring, s.note, s.threshold
FROM public.ml_scorings s;

CREATE OR REPLACE VIEW public.ml_fact_predictions WITH (security_invoker = true) AS
SELECT
    b.model_id, b.day, b.bin, (b.bin - 1) / 10.0 AS bin_start, b.bin / 10.0 AS bin_end,
    sum(b.num_answers)::bigint AS num_answers
FROM public.ml_prediction_bins b
GROUP BY b.model_id, b.day, b.bin;

-- Its part of ml.report.
CREATE OR REPLACE FUNCTION ml_internal.page_of_scorings(
    p_model_id bigint
)
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
ROWS 10
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_number bigint := (SELECT count(*) FROM public.ml_scorings s WHERE s.model_id = p_model_id);
BEGIN
    IF v_number = 0 THEN
        RETURN;
    END IF;
    RETURN QUERY VALUES (''), (format('Scorings: %s', v_number));
    RETURN QUERY
    SELECT format(
        '  scoring %s, %s: %s', s.id, ml_internal.period_text(s.score_start, s.score_end),
        ml_internal.scoring_text(s.num_samples, s.num_positive)
    ) || coalesce('; ' || s.note, '')
    FROM public.ml_scorings s
    WHERE s.model_id = p_model_id
    ORDER BY s.id DESC
    LIMIT 10;
END
$$;

-- ── For users ───────────────────────────────────────────────────────────────────────────────────────

-- By the number of the model or by its name.
CREATE OR REPLACE FUNCTION ml.score(
    model_id bigint,
    score_start timestamptz DEFAULT NULL,
    score_end timestamptz DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    max_minutes numeric DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql -- see ml.train
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_id bigint;
BEGIN
    INSERT INTO public.ml_jobs (job_type, priority, max_attempts, max_minutes, score_model_id, score_start, score_end)
    VALUES ('SCORE', priority, max_attempts, max_minutes, model_id, score_start, score_end)
    RETURNING id INTO v_id;
    RETURN v_id;
END
$$;

CREATE OR REPLACE FUNCTION ml.score(
    model_name text,
    score_start timestamptz DEFAULT NULL,
    score_end timestamptz DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    max_minutes numeric DEFAULT NULL
)
RETURNS bigint
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml.score(ml_internal.find_model(model_name), score_start, score_end, priority, max_attempts, max_minutes);
$$;

-- From coin to coin by the index, however many answers each has.
CREATE OR REPLACE FUNCTION ml.newest_answers(
    model_id bigint
)
RETURNS SETOF public.ml_predictions
LANGUAGE plpgsql
STABLE
ROWS 500
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off -- a plan made while the table is small would go on reading all of it
SET enable_bitmapscan TO off
SET enable_sort TO off
SET jit TO off
AS $$
BEGIN
    RETURN QUERY
    WITH RECURSIVE coins AS (
        (SELECT b.key FROM public.ml_prediction_blocks b ORDER BY b.key LIMIT 1)
        UNION ALL
        SELECT (SELECT b.key FROM public.ml_prediction_blocks b WHERE b.key > c.key ORDER BY b.key LIMIT 1)
        FROM coins c
        WHERE c.key IS NOT NULL
    )
    SELECT n.job_id, n.model_id, n.key, n.last_moment, n.probabilities[cardinality(n.probabilities)]
    FROM coins c
    CROSS JOIN LATERAL (
        SELECT b.*
        FROM public.ml_prediction_blocks b
        WHERE b.key = c.key AND b.model_id = newest_answers.model_id
        ORDER BY b.last_moment DESC, b.job_id DESC
        LIMIT 1
    ) n
    WHERE c.key IS NOT NULL;
END
$$;

CREATE OR REPLACE FUNCTION ml.newest_answers(
    model_name text
)
RETURNS SETOF public.ml_predictions
LANGUAGE sql
STABLE
ROWS 500
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT * FROM ml.newest_answers(ml_internal.find_model(model_name));
$$;

CALL ml_internal.allow('ml_client', 'EXECUTE', 'ml.score');
CALL ml_internal.allow('ml_reader', 'EXECUTE', 'ml.newest_answers, ml_internal.page_of_scorings, ml_internal.scoring_text');
CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_predictions, public.ml_prediction_bins, public.ml_fact_scorings, public.ml_fact_predictions');
CALL ml_internal.allow('ml_worker', 'EXECUTE', 'ml_internal.store_predictions');

COMMENT ON FUNCTION ml.score(bigint, timestamptz, timestamptz, integer, integer, numeric) IS 'Inserts a SCORE job of a model and returns its id.';
COMMENT ON FUNCTION ml.score(text, timestamptz, timestamptz, integer, integer, numeric) IS 'Inserts a SCORE job of the model with this name and returns its id.';
COMMENT ON FUNCTION ml.newest_answers(bigint) IS 'The newest answer that SCORE jobs of a model gave for each coin.';
COMMENT ON FUNCTION ml.newest_answers(text) IS 'The newest answer that SCORE jobs of the model with this name gave for each coin.';
COMMENT ON FUNCTION ml_internal.refuse_predictions_by_hand() IS 'Trigger: answers come from ml_internal.store_predictions alone.';
COMMENT ON FUNCTION ml_internal.refuse_predictions_alone() IS 'Trigger: answers are committed with the result of their job or not at all.';
COMMENT ON FUNCTION ml_internal.store_predictions(bigint, integer, text [], integer [], timestamptz [], double precision []) IS 'Worker: a part of the answers of a SCORE job, in the transaction that records its result, before it; returns how many.';
COMMENT ON FUNCTION ml_internal.fill_scoring() IS 'Trigger: model and period of a scoring, its answers as they were counted, and how much of the period the model was trained on.';
COMMENT ON FUNCTION ml_internal.scoring_text(bigint, bigint) IS 'How many rows a scoring has, and the share of positive ones, in words.';
COMMENT ON FUNCTION ml_internal.show_scoring() IS 'Trigger: a COMPLETED SCORE job names its result and says how many rows came out positive.';
COMMENT ON FUNCTION ml_internal.page_of_scorings(bigint) IS 'Part of ml.report: the scorings of a model.';
COMMENT ON TABLE ml_internal.prediction_parts IS 'Answers that a transaction has stored and no result has counted yet; each sees only its own.';
COMMENT ON COLUMN ml_internal.prediction_parts.job_id IS 'SCORE job.';
COMMENT ON COLUMN ml_internal.prediction_parts.num_samples IS 'Rows stored.';
COMMENT ON COLUMN ml_internal.prediction_parts.num_positive IS 'Those of them with a probability above the threshold of the model.';
COMMENT ON COLUMN ml_internal.prediction_parts.days IS 'Days of the rows, one for each bin that has some.';
COMMENT ON COLUMN ml_internal.prediction_parts.bins IS 'Bins of these days, 1 to 10.';
COMMENT ON COLUMN ml_internal.prediction_parts.counts IS 'Rows of these bins.';
COMMENT ON COLUMN ml_internal.prediction_parts.positives IS 'Those of them above the threshold of the model.';
COMMENT ON TABLE public.ml_prediction_bins IS 'How many answers of a SCORE job have which probability on which day, append-only; ml_fact_predictions adds them up.';
COMMENT ON COLUMN public.ml_prediction_bins.job_id IS 'SCORE job.';
COMMENT ON COLUMN public.ml_prediction_bins.model_id IS 'Model that was asked.';
COMMENT ON COLUMN public.ml_prediction_bins.day IS 'Day of the rows, UTC.';
COMMENT ON COLUMN public.ml_prediction_bins.bin IS '1 (up to 0.1) to 10 (above 0.9).';
COMMENT ON COLUMN public.ml_prediction_bins.num_answers IS 'Answers with such a probability.';
COMMENT ON COLUMN public.ml_prediction_bins.num_positive IS 'Those of them above the threshold of the model; NULL before version 8: it is 0.5.';
COMMENT ON VIEW public.ml_fact_predictions IS 'Answers by model, day (UTC) and probability in ten bins, of all its scorings.';
COMMENT ON COLUMN public.ml_fact_predictions.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_fact_predictions.day IS 'Day of the rows that were scored, UTC.';
COMMENT ON COLUMN public.ml_fact_predictions.bin IS '1 to 10.';
COMMENT ON COLUMN public.ml_fact_predictions.bin_start IS 'Answers of the bin are greater; the first has those of 0, too.';
COMMENT ON COLUMN public.ml_fact_predictions.bin_end IS 'And at most this.';
COMMENT ON COLUMN public.ml_fact_predictions.num_answers IS 'Answers in the bin.';
COMMENT ON TABLE public.ml_scorings IS 'A period whose rows a model was asked about, append-only: one row per SCORE job; its answers are in ml_predictions.';
COMMENT ON COLUMN public.ml_scorings.id IS 'Number of the scoring.';
COMMENT ON COLUMN public.ml_scorings.created_at IS 'When it was recorded.';
COMMENT ON COLUMN public.ml_scorings.model_id IS 'Model that was asked.';
COMMENT ON COLUMN public.ml_scorings.score_start IS 'First moment of the period.';
COMMENT ON COLUMN public.ml_scorings.score_end IS 'First moment after the period.';
COMMENT ON COLUMN public.ml_scorings.num_samples IS 'Rows in the period, each of which has an answer.';
COMMENT ON COLUMN public.ml_scorings.num_positive IS 'Answers above the threshold of the model.';
COMMENT ON COLUMN public.ml_scorings.share_positive IS 'Share of answers above the threshold of the model.';
COMMENT ON COLUMN public.ml_scorings.threshold IS 'Threshold of the model; 0.5 before version 8.';
COMMENT ON COLUMN public.ml_scorings.data_fingerprint IS 'SHA-256 over the rows loaded: the same data gives the same.';
COMMENT ON COLUMN public.ml_scorings.seconds_loading IS 'Seconds spent reading the data.';
COMMENT ON COLUMN public.ml_scorings.seconds_scoring IS 'Seconds spent predicting and storing.';
COMMENT ON COLUMN public.ml_scorings.note IS 'What else to know of it, in words: that the model was trained on part of the period, or made by other versions of the libraries; NULL: nothing.';
COMMENT ON COLUMN public.ml_scorings.job_id IS 'SCORE job that it completed.';
COMMENT ON COLUMN public.ml_scorings.attempt IS 'Attempt of the job that made it.';
COMMENT ON TABLE public.ml_prediction_blocks IS 'What ml_predictions shows, append-only: what a part of a SCORE job says of one coin is one row.';
COMMENT ON COLUMN public.ml_prediction_blocks.job_id IS 'SCORE job, see ml_scorings.';
COMMENT ON COLUMN public.ml_prediction_blocks.model_id IS 'Model that was asked.';
COMMENT ON COLUMN public.ml_prediction_blocks.key IS 'Coin, or what else the key of the source is; empty where it has none.';
COMMENT ON COLUMN public.ml_prediction_blocks.moments IS 'Moments of the rows, rising.';
COMMENT ON COLUMN public.ml_prediction_blocks.probabilities IS 'Probability that the row is positive, as the model has it, for each moment.';
COMMENT ON COLUMN public.ml_prediction_blocks.last_moment IS 'The newest of the moments.';
COMMENT ON VIEW public.ml_predictions IS 'What models said of rows, append-only: one row per row of the period of a SCORE job.';
COMMENT ON COLUMN public.ml_predictions.job_id IS 'SCORE job, see ml_scorings.';
COMMENT ON COLUMN public.ml_predictions.model_id IS 'Model that was asked.';
COMMENT ON COLUMN public.ml_predictions.key IS 'Coin, or what else the key of the source is; empty where it has none.';
COMMENT ON COLUMN public.ml_predictions.moment IS 'Moment of the row.';
COMMENT ON COLUMN public.ml_predictions.probability IS 'Probability that the row is positive, as the model has it.';
COMMENT ON VIEW public.ml_fact_scorings IS 'Scorings as facts, one row each.';
COMMENT ON COLUMN public.ml_fact_scorings.scoring_id IS 'Number of the scoring.';
COMMENT ON COLUMN public.ml_fact_scorings.job_id IS 'Number of the job.';
COMMENT ON COLUMN public.ml_fact_scorings.model_id IS 'Number of the model.';
COMMENT ON COLUMN public.ml_fact_scorings.created_at IS 'When it was recorded.';
COMMENT ON COLUMN public.ml_fact_scorings.period_start IS 'First moment of the period.';
COMMENT ON COLUMN public.ml_fact_scorings.period_end IS 'First moment after the period.';
COMMENT ON COLUMN public.ml_fact_scorings.num_samples IS 'Rows with an answer.';
COMMENT ON COLUMN public.ml_fact_scorings.num_positive IS 'Answers above the threshold of the model.';
COMMENT ON COLUMN public.ml_fact_scorings.share_positive IS 'Share of answers above the threshold of the model.';
COMMENT ON COLUMN public.ml_fact_scorings.threshold IS 'Threshold of the model; 0.5 before version 8.';
COMMENT ON COLUMN public.ml_fact_scorings.seconds_loading IS 'Seconds spent reading the data.';
COMMENT ON COLUMN public.ml_fact_scorings.seconds_scoring IS 'Seconds spent predicting and storing.';
COMMENT ON COLUMN public.ml_fact_scorings.note IS 'What else to know of it, in words; NULL: nothing.';
COMMENT ON COLUMN public.ml_jobs.score_model_id IS 'SCORE: model to ask.';
COMMENT ON COLUMN public.ml_jobs.score_start IS 'SCORE: first moment of the period.';
COMMENT ON COLUMN public.ml_jobs.score_end IS 'SCORE: first moment after the period.';
COMMENT ON COLUMN public.ml_jobs.result_scoring_id IS 'SCORE: row of ml_scorings, once COMPLETED.';
