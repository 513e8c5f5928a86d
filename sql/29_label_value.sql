-- A kind of label, "value": which rows are positive, in SQL and in words, and how far a label reaches.
-- The label of a row is: target operator value. With a horizon of N minutes it is read from the coin's first row
-- between N and 2 N minutes later. The worker's part of it is worker/child/labels/value.py.

SET search_path TO pg_catalog, pg_temp;

-- Whether a row is positive; NULL where its target is, and with an operator that is unknown.
-- These two are parsed when they are made, so they depend on no search_path and can be inlined into queries.
CREATE OR REPLACE FUNCTION ml_internal.is_positive(
    operator text,
    target numeric,
    value numeric
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN CASE operator
    WHEN '>' THEN target > value
    WHEN '<' THEN target < value
    WHEN '>=' THEN target >= value
    WHEN '<=' THEN target <= value
    WHEN '=' THEN target = value
    WHEN '!=' THEN target <> value
END;

CREATE OR REPLACE FUNCTION ml_internal.label_text(
    target text,
    operator text,
    value numeric,
    future_minutes integer
)
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
RETURN concat_ws(' ', target, operator, trim_scale(value), 'after ' || future_minutes || ' min');

-- The label of a row s that has own_label, mint and "timestamp", as an expression: of rows at one moment the one that
-- comes first counts.
CREATE OR REPLACE FUNCTION ml_internal.label_expression(
    future_minutes integer
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN future_minutes IS NULL THEN 's.own_label' ELSE format(
        'first_value(s.own_label) OVER (PARTITION BY s.mint ORDER BY s."timestamp"
            RANGE BETWEEN %L::interval FOLLOWING AND %L::interval FOLLOWING)',
        make_interval(mins => future_minutes), make_interval(mins => 2 * future_minutes)
    ) END;
$$;

-- Why rows may have no label.
CREATE OR REPLACE FUNCTION ml_internal.unlabelled_text(
    future_minutes integer
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN future_minutes IS NULL THEN 'their target is NULL'
        ELSE format('their coin has no row with a target %s to %s minutes later within the period', future_minutes, 2 * future_minutes)
    END;
$$;

COMMENT ON FUNCTION ml_internal.is_positive(text, numeric, numeric) IS 'Label of a row without a horizon: target operator value; NULL where the target is NULL or the operator unknown.';
COMMENT ON FUNCTION ml_internal.label_text(text, text, numeric, integer) IS 'A label in words: what a model predicts.';
COMMENT ON FUNCTION ml_internal.label_expression(integer) IS 'Part of ml.preview: label of a row as an expression of SQL, with the horizon.';
COMMENT ON FUNCTION ml_internal.unlabelled_text(integer) IS 'Part of ml.preview: why rows have no label, in words.';
