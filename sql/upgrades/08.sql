-- From version 7 to 8.

SET search_path TO pg_catalog, pg_temp;

-- It has a further argument, and the other is a loop in ml.separate_teams now.
DROP PROCEDURE IF EXISTS ml_internal.make_model_function(bigint);
DROP PROCEDURE IF EXISTS ml_internal.keep_model_functions();

-- A comparison says by how much one leads, and whether by more than chance.
-- The model with the higher F1, then with the higher accuracy, both at the stored precision; NULL: a tie.
-- An F1 that is undefined counts as none at all.
CREATE OR REPLACE FUNCTION ml_internal.leader(
    model_a_id bigint,
    model_b_id bigint,
    a_tp bigint, a_tn bigint, a_fp bigint, a_fn bigint,
    b_tp bigint, b_tn bigint, b_fp bigint, b_fn bigint
)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN x.a > x.b THEN model_a_id WHEN x.a < x.b THEN model_b_id END
    FROM (
        SELECT
            ARRAY[
                round(coalesce(ml_internal.f1_score(a_tp, a_fp, a_fn), 0), 4), round(ml_internal.accuracy(a_tp, a_tn, a_fp, a_fn), 4)
            ] AS a,
            ARRAY[
                round(coalesce(ml_internal.f1_score(b_tp, b_fp, b_fn), 0), 4), round(ml_internal.accuracy(b_tp, b_tn, b_fp, b_fn), 4)
            ] AS b
    ) x;
$$;

-- First minus second, as it is shown.
CREATE OR REPLACE FUNCTION ml_internal.f1_difference(
    a_tp bigint, a_fp bigint, a_fn bigint,
    b_tp bigint, b_fp bigint, b_fn bigint
)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT round(coalesce(ml_internal.f1_score(a_tp, a_fp, a_fn), 0), 4) - round(coalesce(ml_internal.f1_score(b_tp, b_fp, b_fn), 0), 4);
$$;

ALTER TABLE public.ml_comparisons
ADD COLUMN confidence numeric,
ADD COLUMN leader_id bigint GENERATED ALWAYS AS (
    ml_internal.leader(model_a_id, model_b_id, a_tp, a_tn, a_fp, a_fn, b_tp, b_tn, b_fp, b_fn)
) STORED,
ADD COLUMN verdict text,
ADD COLUMN a_overlap_note text,
ADD COLUMN b_overlap_note text,
ADD COLUMN f1_difference numeric(5, 4) GENERATED ALWAYS AS (ml_internal.f1_difference(a_tp, a_fp, a_fn, b_tp, b_fp, b_fn)) STORED,
ADD COLUMN f1_difference_lower numeric(5, 4),
ADD COLUMN f1_difference_upper numeric(5, 4),
ADD COLUMN accuracy_difference numeric(5, 4) GENERATED ALWAYS AS (
    round(ml_internal.accuracy(a_tp, a_tn, a_fp, a_fn), 4) - round(ml_internal.accuracy(b_tp, b_tn, b_fp, b_fn), 4)
) STORED,
ADD COLUMN accuracy_difference_lower numeric(5, 4),
ADD COLUMN accuracy_difference_upper numeric(5, 4),
ADD COLUMN roc_auc_difference numeric(5, 4) GENERATED ALWAYS AS (a_roc_auc - b_roc_auc) STORED,
ADD COLUMN roc_auc_difference_lower numeric(5, 4),
ADD COLUMN roc_auc_difference_upper numeric(5, 4),
ADD COLUMN num_blocks integer,
ADD COLUMN block_seconds bigint,
ADD COLUMN undecided_reason text,
ADD CONSTRAINT ml_comparisons_confidence_is_a_share_or_0 CHECK (confidence = 0 OR confidence BETWEEN 0.5 AND 0.999),
-- The differences shown are those of rounded numbers.
ADD CONSTRAINT ml_comparisons_intervals_contain_differences CHECK (
    num_nonnulls(f1_difference_lower, f1_difference_upper) IN (0, 2)
    AND num_nonnulls(accuracy_difference_lower, accuracy_difference_upper) IN (0, 2)
    AND num_nonnulls(roc_auc_difference_lower, roc_auc_difference_upper) IN (0, 2)
    AND f1_difference BETWEEN f1_difference_lower - 0.0001 AND f1_difference_upper + 0.0001
    AND accuracy_difference BETWEEN accuracy_difference_lower - 0.0001 AND accuracy_difference_upper + 0.0001
    AND roc_auc_difference BETWEEN roc_auc_difference_lower - 0.0001 AND roc_auc_difference_upper + 0.0001
),
ADD CONSTRAINT ml_comparisons_interval_of_at_least_8_blocks CHECK (
    CASE
        WHEN num_nonnulls(f1_difference_lower, accuracy_difference_lower, roc_auc_difference_lower) = 0 THEN num_blocks >= 0
        ELSE coalesce(num_blocks, 0) >= 8
    END
    AND (num_blocks IS NULL) = (block_seconds IS NULL)
),
ADD CONSTRAINT ml_comparisons_winner_leads CHECK (winner_id IS NOT DISTINCT FROM leader_id OR winner_id IS NULL),
-- Those of before version 8 have no confidence.
ADD CONSTRAINT ml_comparisons_winner_is_beyond_chance CHECK (
    winner_id IS NULL OR confidence IS NULL OR confidence = 0
    OR coalesce(CASE winner_id WHEN model_a_id THEN f1_difference_lower > 0 ELSE f1_difference_upper < 0 END, false)
),
ADD CONSTRAINT ml_comparisons_winner_was_not_trained_on_it CHECK (
    winner_id IS NULL OR CASE winner_id WHEN model_a_id THEN a_overlap_note ELSE b_overlap_note END IS NULL
);

-- They have a further argument.
DROP FUNCTION IF EXISTS ml.compare(bigint, bigint, timestamptz, timestamptz, integer, integer, numeric);
DROP FUNCTION IF EXISTS ml.compare(text, text, timestamptz, timestamptz, integer, integer, numeric);

INSERT INTO ml.schema_version (version)
VALUES (8);
