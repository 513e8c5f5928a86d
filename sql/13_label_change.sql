-- Kind of label change: the change, in percent, from the own value of the row to the first row of the coin between N and 2 N minutes later.

SET search_path TO pg_catalog, pg_temp;

INSERT INTO public.ref_labels (
    name, description, needs_horizon, is_change, has_stop, certain_operators_csv, wording, found, judged
)
VALUES (
    'change',
    'the change, in percent, from the own value of the row to the first row of the coin between N and 2 N minutes later',
    true, true, false,
    '',
    'after %4$s min, %1$s changes %2$s %3$s %% from %5$s',
    'first_value(s.target) OVER ahead',
    'ml_internal.is_positive($1, o.found, o.goal)'
)
ON CONFLICT (name) DO UPDATE SET
    description = EXCLUDED.description,
    needs_horizon = EXCLUDED.needs_horizon,
    is_change = EXCLUDED.is_change,
    has_stop = EXCLUDED.has_stop,
    certain_operators_csv = EXCLUDED.certain_operators_csv,
    wording = EXCLUDED.wording,
    found = EXCLUDED.found,
    judged = EXCLUDED.judged;
