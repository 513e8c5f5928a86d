-- From version 6 to 7.

SET search_path TO pg_catalog, pg_temp;

-- Knows the base of a change now.
DROP FUNCTION IF EXISTS ml_internal.unlabelled_text(integer);

-- Sources: all models so far learn from coin_metrics.
ALTER TABLE IF EXISTS public.ml_models ADD COLUMN IF NOT EXISTS source varchar(100) NOT NULL DEFAULT 'coin_metrics';

-- They have a further argument, which a worker of version 6 leaves out.
DROP FUNCTION IF EXISTS ml_internal.metrics_range();
DROP FUNCTION IF EXISTS ml_internal.no_rows_text(timestamptz, timestamptz, text, timestamptz, timestamptz);

-- And these, the source.
DROP FUNCTION IF EXISTS ml_internal.number_expression(text);
DO $$
DECLARE
    v_routine regprocedure;
BEGIN
    FOR v_routine IN
        SELECT p.oid
        FROM pg_proc p
        WHERE (p.pronamespace = 'ml'::regnamespace AND p.proname IN ('train', 'targets'))
            OR (p.proname IN ('preview', 'try_train') AND p.pronamespace IN ('ml'::regnamespace, 'ml_internal'::regnamespace) AND p.pronargs > 1)
    LOOP
        EXECUTE format('DROP ROUTINE %s', v_routine);
    END LOOP;
END
$$;

INSERT INTO ml.schema_version (version)
VALUES (7);
