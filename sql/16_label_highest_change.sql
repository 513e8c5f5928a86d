-- Kind of label highest_change: the greatest value of the target later than the row, by at most N minutes, as a change in percent from the own value of the row.

SET search_path TO pg_catalog, pg_temp;

INSERT INTO public.ref_labels (
    name, description, needs_horizon, is_change, has_stop, certain_operators_csv, wording, found, judged
)
VALUES (
    'highest_change',
    'the greatest value of the target later than the row, by at most N minutes, as a change in percent from the own value of the row',
    true, true, false,
    '>,>=',
    'within %4$s min, %1$s rises %2$s %3$s %% over %5$s',
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
