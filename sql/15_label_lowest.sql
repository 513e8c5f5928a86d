-- Kind of label lowest: the least value of the target later than the row, by at most N minutes.

SET search_path TO pg_catalog, pg_temp;

CALL ml_internal.define_label(
    'lowest',
    'the least value of the target later than the row, by at most N minutes',
    certain_operators_csv => '<,<=',
    wording => 'within %4$s min, the lowest %1$s %2$s %3$s',
    found => 'min(s.target) OVER path'
);
