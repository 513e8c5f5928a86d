-- From version 4 to 5: average precision, and a leaderboard by three metrics.

SET search_path TO pg_catalog, pg_temp;

DROP VIEW IF EXISTS public.ml_leaderboard;

ALTER TABLE public.ml_training_runs
ADD COLUMN average_precision numeric(5, 4)
CONSTRAINT ml_training_runs_average_precision_between_0_and_1 CHECK (average_precision BETWEEN 0 AND 1);

ALTER TABLE public.ml_test_results
ADD COLUMN average_precision numeric(5, 4)
CONSTRAINT ml_test_results_average_precision_between_0_and_1 CHECK (average_precision BETWEEN 0 AND 1);

-- The collectors' login may own it.
DO $$
BEGIN
    IF (SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class c WHERE c.oid = 'public.coin_metrics'::regclass) THEN
        COMMENT ON TABLE public.coin_metrics IS 'Time series of the coins: one row per coin and moment. NULL means unknown, not zero.';
    END IF;
END
$$;

DROP FUNCTION IF EXISTS ml_internal.draw_scores(text, bigint, bigint, bigint, bigint, numeric);
DROP FUNCTION IF EXISTS ml_internal.suggest_names(text, text []);

INSERT INTO ml.schema_version (version)
VALUES (5);
