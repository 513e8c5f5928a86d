-- A test by parts: its confusion matrix for each day (UTC) and for each coin, or whatever else the key of the source is.
-- The views on them, with the metrics, are in 80_test_parts.sql.

SET search_path TO pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS public.ml_test_day_counts (
    job_id bigint NOT NULL,
    day date NOT NULL,
    tp bigint NOT NULL,
    fp bigint NOT NULL,
    tn bigint NOT NULL,
    fn bigint NOT NULL,
    roc_auc numeric(5, 4),
    CONSTRAINT ml_test_day_counts_pkey PRIMARY KEY (job_id, day),
    CONSTRAINT ml_test_day_counts_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_test_day_counts_counts_not_negative CHECK (least(tp, fp, tn, fn) >= 0 AND tp + fp + tn + fn > 0),
    CONSTRAINT ml_test_day_counts_roc_auc_between_0_and_1 CHECK (roc_auc BETWEEN 0 AND 1)
);

-- The coins with the most rows first; if there are very many, the last row is of all others together.
CREATE TABLE IF NOT EXISTS public.ml_test_coin_counts (
    job_id bigint NOT NULL,
    place integer NOT NULL,
    key text,
    num_coins integer NOT NULL,
    tp bigint NOT NULL,
    fp bigint NOT NULL,
    tn bigint NOT NULL,
    fn bigint NOT NULL,
    CONSTRAINT ml_test_coin_counts_pkey PRIMARY KEY (job_id, place),
    CONSTRAINT ml_test_coin_counts_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_test_coin_counts_place_not_negative CHECK (place >= 0),
    CONSTRAINT ml_test_coin_counts_key_is_of_one CHECK (num_coins > 0 AND (key IS NULL OR num_coins = 1)),
    CONSTRAINT ml_test_coin_counts_counts_not_negative CHECK (least(tp, fp, tn, fn) >= 0 AND tp + fp + tn + fn > 0)
);

CREATE OR REPLACE TRIGGER ml_test_day_counts_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_test_day_counts
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();

CREATE OR REPLACE TRIGGER ml_test_coin_counts_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_test_coin_counts
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();

-- The parts of a test are its rows, each once. The argument: whether the parts are coins. One job after the other, see
-- ml_internal.check_curve.
CREATE OR REPLACE FUNCTION ml_internal.check_test_parts()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint;
    v_parts record;
    v_fault text;
BEGIN
    FOR v_job_id IN SELECT DISTINCT i.job_id FROM inserted i LOOP
        IF TG_ARGV[0] = 'coins' THEN
            SELECT
                sum(x.tp) AS tp, sum(x.fp) AS fp, sum(x.tn) AS tn, sum(x.fn) AS fn,
                count(DISTINCT x.key COLLATE "C") < count(x.key) OR count(*) - count(x.key) > 1 AS has_twice
            INTO v_parts
            FROM public.ml_test_coin_counts x
            WHERE x.job_id = v_job_id;
        ELSE
            SELECT sum(x.tp) AS tp, sum(x.fp) AS fp, sum(x.tn) AS tn, sum(x.fn) AS fn, false AS has_twice
            INTO v_parts
            FROM public.ml_test_day_counts x
            WHERE x.job_id = v_job_id;
        END IF;
        SELECT
            CASE
                WHEN (v_parts.tp, v_parts.fp, v_parts.tn, v_parts.fn) IS DISTINCT FROM (t.tp, t.fp, t.tn, t.fn)
                    THEN 'do not sum to its confusion matrix'
                WHEN v_parts.has_twice THEN 'name one twice'
            END
        INTO v_fault
        FROM public.ml_test_results t
        WHERE t.job_id = v_job_id;
        IF NOT FOUND THEN
            v_fault := 'are of no test';
        END IF;
        IF v_fault IS NOT NULL THEN
            RAISE EXCEPTION 'the % of job % %', TG_ARGV[0], v_job_id, v_fault
                USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME,
                HINT = 'Give each part of a test once, with its result; their counts sum to those of the result.';
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_test_day_counts_60_check_parts
AFTER INSERT ON public.ml_test_day_counts
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.check_test_parts('days');

CREATE OR REPLACE TRIGGER ml_test_coin_counts_60_check_parts
AFTER INSERT ON public.ml_test_coin_counts
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.check_test_parts('coins');

CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_test_day_counts, public.ml_test_coin_counts');

COMMENT ON FUNCTION ml_internal.check_test_parts() IS 'Trigger: the parts of a test, by day or by coin, sum to its result, and none is named twice.';
COMMENT ON TABLE public.ml_test_day_counts IS 'Confusion matrix of a test for each day (UTC) of its rows, append-only; ml_test_days has the metrics.';
COMMENT ON COLUMN public.ml_test_day_counts.job_id IS 'TEST job.';
COMMENT ON COLUMN public.ml_test_day_counts.day IS 'Day of the rows, UTC.';
COMMENT ON COLUMN public.ml_test_day_counts.tp IS 'True positives.';
COMMENT ON COLUMN public.ml_test_day_counts.fp IS 'False positives.';
COMMENT ON COLUMN public.ml_test_day_counts.tn IS 'True negatives.';
COMMENT ON COLUMN public.ml_test_day_counts.fn IS 'False negatives.';
COMMENT ON COLUMN public.ml_test_day_counts.roc_auc IS 'Area under the ROC curve of these rows; NULL where there was only one class.';
COMMENT ON TABLE public.ml_test_coin_counts IS 'Confusion matrix of a test for each coin, of at most 10,000 coins, append-only; ml_test_coins has the metrics.';
COMMENT ON COLUMN public.ml_test_coin_counts.job_id IS 'TEST job.';
COMMENT ON COLUMN public.ml_test_coin_counts.place IS 'Place by the number of rows, from 0; the others together come last.';
COMMENT ON COLUMN public.ml_test_coin_counts.key IS 'Coin, or what else the key of the source is; empty where it has none. NULL: all others together.';
COMMENT ON COLUMN public.ml_test_coin_counts.num_coins IS 'Coins of this row: 1, or as many as the others are.';
COMMENT ON COLUMN public.ml_test_coin_counts.tp IS 'True positives.';
COMMENT ON COLUMN public.ml_test_coin_counts.fp IS 'False positives.';
COMMENT ON COLUMN public.ml_test_coin_counts.tn IS 'True negatives.';
COMMENT ON COLUMN public.ml_test_coin_counts.fn IS 'False negatives.';
