-- Kind of label value: the target in the row itself, or with a horizon of N minutes in the first row of the coin between N and 2 N minutes later.

SET search_path TO pg_catalog, pg_temp;

CALL ml_internal.define_label(
    'value',
    'the target in the row itself, or with a horizon of N minutes in the first row of the coin between N and 2 N minutes later',
    needs_horizon => false,
    wording => '%1$s %2$s %3$s',
    found => 'first_value(s.target) OVER ahead'
);
