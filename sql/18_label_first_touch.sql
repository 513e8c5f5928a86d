-- Kind of label first_touch: whether the target changes by train_value percent before it changes by train_stop_value, which has the other sign, within N minutes.

SET search_path TO pg_catalog, pg_temp;

-- Of moments and values those that are higher or lower than all before them: what touches a barrier first is one of them.
-- They are few, and are looked at again for each threshold of ml.targets. NULL where there is no value.
CREATE OR REPLACE FUNCTION ml_internal.records(
    moments numeric [],
    targets numeric []
)
RETURNS numeric []
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_place integer := 0;
    v_target numeric;
    v_low numeric;
    v_high numeric;
    v_found numeric [];
BEGIN
    IF targets IS NULL THEN
        RETURN NULL;
    END IF;
    FOREACH v_target IN ARRAY targets LOOP
        v_place := v_place + 1;
        IF v_target BETWEEN v_low AND v_high OR v_target IS NULL THEN
            CONTINUE;
        END IF;
        v_low := least(v_low, v_target);
        v_high := greatest(v_high, v_target);
        v_found := v_found || ARRAY[ARRAY[moments[v_place], v_target]];
    END LOOP;
    RETURN v_found;
END
$$;

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
BEGIN
    IF path IS NULL THEN
        RETURN NULL;
    END IF;
    FOREACH v_one SLICE 1 IN ARRAY path LOOP
        EXIT WHEN v_one[1] > v_reached_at;
        IF (CASE WHEN goal > stop THEN v_one[2] <= stop ELSE v_one[2] >= stop END) THEN
            RETURN false;
        ELSIF (CASE WHEN goal > stop THEN v_one[2] >= goal ELSE v_one[2] <= goal END) THEN
            v_reached_at := v_one[1];
        END IF;
    END LOOP;
    RETURN v_reached_at IS NOT NULL;
END
$$;

CALL ml_internal.define_label(
    'first_touch',
    'whether the target changes by train_value percent before it changes by train_stop_value, which has the other sign, within N minutes',
    is_change => true,
    has_stop => true,
    certain_operators_csv => '>=,<=',
    wording => 'within %4$s min, %1$s reaches %3$s %% before %6$s %% from %5$s',
    found => 'ml_internal.records(array_agg(extract(epoch FROM s."timestamp")) OVER path, array_agg(s.target) OVER path)',
    judged => 'ml_internal.touches_first(o.found, o.goal, o.stop)'
);

COMMENT ON FUNCTION ml_internal.records(numeric [], numeric []) IS 'Part of ml.preview: of moments and values those that are higher or lower than all before them.';
COMMENT ON FUNCTION ml_internal.touches_first(numeric [], numeric, numeric) IS 'Part of ml.preview: whether a goal is reached before a stop, of an array of moments and values.';
