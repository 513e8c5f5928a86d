-- Kind of label highest_change: the greatest value of the target later than the row, by at most N minutes, as a change in percent from the own value of the row.

SET search_path TO pg_catalog, pg_temp;

CALL ml_internal.define_label(
    'highest_change',
    'the greatest value of the target later than the row, by at most N minutes, as a change in percent from the own value of the row',
    is_change => true,
    certain_operators_csv => '>,>=',
    wording => 'within %4$s min, %1$s rises %2$s %3$s %% over %5$s',
    found => 'max(s.target) OVER path'
);
