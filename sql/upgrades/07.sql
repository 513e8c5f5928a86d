-- From version 6 to 7.

SET search_path TO pg_catalog, pg_temp;

-- Knows the base of a change now.
DROP FUNCTION IF EXISTS ml_internal.unlabelled_text(integer);

-- Sources: all models so far learn from coin_metrics.
ALTER TABLE IF EXISTS public.ml_models ADD COLUMN IF NOT EXISTS source varchar(100) NOT NULL DEFAULT 'coin_metrics';

-- They have a further argument, which a worker of version 6 leaves out.
DROP FUNCTION IF EXISTS ml_internal.metrics_range();
DROP FUNCTION IF EXISTS ml_internal.no_rows_text(timestamptz, timestamptz, text, timestamptz, timestamptz);

-- And these, one key, and the end of what is known.
DROP FUNCTION IF EXISTS ml_internal.label_query(public.ml_models, text [], text);
DROP FUNCTION IF EXISTS ml_internal.label_of_row(public.ml_models, text, text);

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

-- A claim of version 6 that has waited for this would fail its job for the new columns: without this it fails itself.
DROP PROCEDURE IF EXISTS ml_internal.refuse_claim(public.ml_jobs, text, text, text);

-- More of what is told of a measurement.
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

DO $$
DECLARE
    v_table text;
    v_side text;
BEGIN
    FOREACH v_table IN ARRAY '{ml_training_runs,ml_test_results}'::text [] LOOP
        EXECUTE format(
            'ALTER TABLE public.%I
                ADD COLUMN mcc numeric(5, 4) GENERATED ALWAYS AS (ml_internal.mcc(tp, tn, fp, fn)) STORED,
                ADD COLUMN log_loss numeric(9, 6),
                ADD COLUMN brier_score numeric(7, 6),
                ADD CONSTRAINT %1$s_scores_of_probabilities CHECK (log_loss >= 0 AND brier_score BETWEEN 0 AND 1)', v_table
        );
    END LOOP;
    FOREACH v_side IN ARRAY '{a,b}'::text [] LOOP
        EXECUTE format(
            'ALTER TABLE public.ml_comparisons
                ADD COLUMN %1$s_average_precision numeric(5, 4),
                ADD COLUMN %1$s_mcc numeric(5, 4) GENERATED ALWAYS AS (ml_internal.mcc(%1$s_tp, %1$s_tn, %1$s_fp, %1$s_fn)) STORED,
                ADD COLUMN %1$s_log_loss numeric(9, 6),
                ADD COLUMN %1$s_brier_score numeric(7, 6)', v_side
        );
    END LOOP;
    ALTER TABLE public.ml_comparisons ADD CONSTRAINT ml_comparisons_scores_of_probabilities CHECK (
        least(a_average_precision, b_average_precision, a_log_loss, b_log_loss, a_brier_score, b_brier_score) >= 0
        AND greatest(a_average_precision, b_average_precision, a_brier_score, b_brier_score) <= 1
    );
END
$$;

-- Part of ml_jobs_40_train_again now.
DROP TRIGGER IF EXISTS ml_jobs_40_train_name ON public.ml_jobs;

-- A worker says which kinds of job it does; what is said of those that wait depends on it.
DROP FUNCTION IF EXISTS ml_internal.record_sign(text, integer, interval, text);
DROP VIEW IF EXISTS public.ml_queue;
DROP FUNCTION IF EXISTS ml_internal.pause_text();
ALTER TABLE IF EXISTS public.ml_worker_signs ADD COLUMN IF NOT EXISTS kinds text [];

-- Kinds whose results go with their age, and which ask for no label.
DROP PROCEDURE IF EXISTS ml_internal.define_kind(text, name [], name, name, name [], name [], name [], name [], name, name);
ALTER TABLE IF EXISTS ml.job_kinds
ADD COLUMN IF NOT EXISTS stays_with_model boolean NOT NULL DEFAULT true,
ADD COLUMN IF NOT EXISTS reads_labels boolean NOT NULL DEFAULT true;

INSERT INTO ml.schema_version (version)
VALUES (7);
