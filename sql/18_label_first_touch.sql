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

-- The same of all rows of a coin at once, in the order of their moments: whether among the later rows, up to the horizon,
-- the goal is reached before the stop. From the last row to the first it keeps those later ones that no nearer one outdoes,
-- upwards and downwards: among these a row finds each of its two moments by halving, however long the horizon.
CREATE OR REPLACE FUNCTION ml_internal.first_touches(
    moments timestamptz [],
    targets numeric [],
    goals numeric [],
    stops numeric [],
    horizon interval
)
RETURNS boolean []
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_num integer := cardinality(moments);
    v_touches boolean [] := array_fill(NULL::boolean, ARRAY[v_num]);
    v_highs integer [] := array_fill(0, ARRAY[v_num]);
    v_lows integer [] := array_fill(0, ARRAY[v_num]);
    v_num_highs integer := 0;
    v_num_lows integer := 0;
    v_next integer := v_num; -- the last row that is not among the later ones
    v_target numeric;
    v_bound numeric;
    v_end timestamptz;
    v_from integer;
    v_to integer;
    v_middle integer;
    v_up timestamptz;
    v_down timestamptz;
BEGIN
    FOR v_row IN REVERSE v_num..1 LOOP
        WHILE moments[v_next] > moments[v_row] LOOP
            v_target := targets[v_next];
            IF v_target IS NOT NULL THEN
                WHILE v_num_highs > 0 AND targets[v_highs[v_num_highs]] <= v_target LOOP
                    v_num_highs := v_num_highs - 1;
                END LOOP;
                v_num_highs := v_num_highs + 1;
                v_highs[v_num_highs] := v_next;
                WHILE v_num_lows > 0 AND targets[v_lows[v_num_lows]] >= v_target LOOP
                    v_num_lows := v_num_lows - 1;
                END LOOP;
                v_num_lows := v_num_lows + 1;
                v_lows[v_num_lows] := v_next;
            END IF;
            v_next := v_next - 1;
        END LOOP;
        v_end := moments[v_row] + horizon;
        -- The nearest value is the last of both.
        CONTINUE WHEN goals[v_row] IS NULL OR v_num_highs = 0 OR moments[v_highs[v_num_highs]] > v_end;

        v_bound := greatest(goals[v_row], stops[v_row]);
        v_from := 0;
        v_to := v_num_highs;
        WHILE v_from < v_to LOOP
            v_middle := (v_from + v_to + 1) / 2;
            IF targets[v_highs[v_middle]] >= v_bound THEN
                v_from := v_middle;
            ELSE
                v_to := v_middle - 1;
            END IF;
        END LOOP;
        v_up := CASE WHEN v_from > 0 THEN moments[v_highs[v_from]] ELSE 'infinity' END;

        v_bound := least(goals[v_row], stops[v_row]);
        v_from := 0;
        v_to := v_num_lows;
        WHILE v_from < v_to LOOP
            v_middle := (v_from + v_to + 1) / 2;
            IF targets[v_lows[v_middle]] <= v_bound THEN
                v_from := v_middle;
            ELSE
                v_to := v_middle - 1;
            END IF;
        END LOOP;
        v_down := CASE WHEN v_from > 0 THEN moments[v_lows[v_from]] ELSE 'infinity' END;

        v_touches[v_row] := CASE WHEN goals[v_row] > stops[v_row] THEN v_up <= v_end AND v_up < v_down ELSE v_down <= v_end AND v_down < v_up END;
    END LOOP;
    RETURN v_touches;
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
    judged => 'ml_internal.touches_first(o.found, o.goal, o.stop)',
    judged_together => 'ml_internal.first_touches(c.moments, c.targets, c.goals, c.stops, c.horizon)'
);

COMMENT ON FUNCTION ml_internal.records(numeric [], numeric []) IS 'Part of ml.preview: of moments and values those that are higher or lower than all before them.';
COMMENT ON FUNCTION ml_internal.touches_first(numeric [], numeric, numeric) IS 'Part of ml.preview: whether a goal is reached before a stop, of an array of moments and values.';
COMMENT ON FUNCTION ml_internal.first_touches(timestamptz [], numeric [], numeric [], numeric [], interval) IS 'Part of ml_prediction_outcomes: for each row of a coin, whether it reaches its goal before its stop; NULL: there is no value on the way.';
