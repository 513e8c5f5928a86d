-- Kind of label first_touch: whether the target changes by train_value percent before it changes by train_stop_value, which has the other sign, within N minutes.

SET search_path TO pg_catalog, pg_temp;

-- Whether of moments and values the first that reaches the goal comes before the first that reaches the stop; both at one
-- moment is the stop. NULL where there is no value.
CREATE OR REPLACE FUNCTION ml_internal.touches_first(
    path numeric [],
    goal numeric,
    stop numeric
)
RETURNS boolean
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_one numeric [];
    v_reached_at numeric;
    v_is_known boolean := false;
BEGIN
    IF cardinality(path) > 0 IS NOT TRUE THEN
        RETURN NULL;
    END IF;
    FOREACH v_one SLICE 1 IN ARRAY path LOOP
        EXIT WHEN v_one[1] > v_reached_at;
        IF (CASE WHEN goal > stop THEN v_one[2] <= stop ELSE v_one[2] >= stop END) THEN
            RETURN false;
        ELSIF (CASE WHEN goal > stop THEN v_one[2] >= goal ELSE v_one[2] <= goal END) THEN
            v_reached_at := v_one[1];
        END IF;
        v_is_known := v_is_known OR v_one[2] IS NOT NULL;
    END LOOP;
    RETURN v_reached_at IS NOT NULL OR CASE WHEN v_is_known THEN false END;
END
$$;

CALL ml_internal.define_label(
    'first_touch',
    'whether the target changes by train_value percent before it changes by train_stop_value, which has the other sign, within N minutes',
    is_change => true,
    has_stop => true,
    certain_operators_csv => '>=,<=',
    wording => 'within %4$s min, %1$s reaches %3$s %% before %6$s %% from %5$s',
    found => 'array_agg(ARRAY[extract(epoch FROM s."timestamp"), s.target]) OVER path',
    judged => 'ml_internal.touches_first(o.found, o.goal, o.stop)'
);

COMMENT ON FUNCTION ml_internal.touches_first(numeric [], numeric, numeric) IS 'Part of ml.preview: whether a goal is reached before a stop, of an array of moments and values.';
