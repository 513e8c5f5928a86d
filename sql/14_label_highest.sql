-- Kind of label highest: the greatest value of the target later than the row, by at most N minutes.

SET search_path TO pg_catalog, pg_temp;

INSERT INTO public.ref_labels (
    name, description, needs_horizon, is_change, has_stop, certain_operators_csv, wording, found, judged
)
VALUES (
    'highest',
    'the greatest value of the target later than the row, by at most N minutes',
    true, false, false,
    '>,>=',
    'within %4$s min, the highest %1$s %2$s %3$s',
    'max(s.target) OVER path',
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
