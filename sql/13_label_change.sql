-- Kind of label change: the change, in percent, from the own value of the row to the first row of the coin between N and 2 N minutes later.

SET search_path TO pg_catalog, pg_temp;

CALL ml_internal.define_label(
    'change',
    'the change, in percent, from the own value of the row to the first row of the coin between N and 2 N minutes later',
    is_change => true,
    wording => 'after %4$s min, %1$s changes %2$s %3$s %% from %5$s',
    found => 'first_value(s.target) OVER ahead'
);
