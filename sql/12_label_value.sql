-- Kind of label value: the target in the row itself, or with a horizon of N minutes in the first row of the coin between N and 2 N minutes later.

SET search_path TO pg_catalog, pg_temp;

INSERT INTO public.ref_labels (
    name, description, needs_horizon, is_change, has_stop, certain_operators_csv, wording, found, judged
)
VALUES (
    'value',
    'the target in the row itself, or with a horizon of N minutes in the first row of the coin between N and 2 N minutes later',
    false, false, false,
    '',
    '%1$s %2$s %3$s',
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
