-- Text: lists, "a,b,c" and "key=value;key=value", read as rows; names suggested for a typo; counts and periods as people
-- read them.

SET search_path TO pg_catalog, pg_temp;

-- As the user may have typed it, over several lines; NULL where nothing is left.
CREATE OR REPLACE FUNCTION ml_internal.tidy_list(
    p_csv text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT nullif(regexp_replace(regexp_replace(p_csv, E'^\\s+|\\s+$', '', 'g'), E'\\s*([,;=])\\s*', E'\\1', 'g'), '');
$$;

CREATE OR REPLACE FUNCTION ml_internal.list_items(
    p_csv text
)
RETURNS TABLE (
    item text,
    place bigint
)
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
ROWS 10
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT btrim(i.item), i.place
    FROM string_to_table(p_csv, ',') WITH ORDINALITY AS i (item, place);
$$;

CREATE OR REPLACE FUNCTION ml_internal.param_items(
    p_csv text
)
RETURNS TABLE (
    item text,
    name text,
    value text,
    place bigint
)
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
ROWS 10
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT
        btrim(i.item),
        btrim(substring(i.item FROM '^([^=]*)=')),
        btrim(substring(i.item FROM '=(.*)$')),
        i.place
    FROM string_to_table(p_csv, ';') WITH ORDINALITY AS i (item, place);
$$;

CREATE OR REPLACE FUNCTION ml_internal.merge_params(
    p_defaults_csv text,
    p_own_csv text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT string_agg(
        coalesce(d.name, o.name) || '=' || coalesce(o.value, d.value), ';'
        ORDER BY d.place NULLS LAST, o.place
    )
    FROM ml_internal.param_items(p_defaults_csv) d
    FULL JOIN ml_internal.param_items(p_own_csv) o ON o.name = d.name;
$$;

-- What lists have in common, where NULL stands for everything.
CREATE OR REPLACE FUNCTION ml_internal.common_items(
    VARIADIC p_lists text []
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN num_nonnulls(VARIADIC p_lists) > 0 THEN coalesce(
        (
            SELECT string_agg(c.item, ',' ORDER BY c.place)
            FROM (
                SELECT i.item, min(i.place) AS place
                FROM unnest(p_lists) l (csv)
                CROSS JOIN LATERAL ml_internal.list_items(l.csv) i
                GROUP BY i.item
                HAVING count(*) = num_nonnulls(VARIADIC p_lists)
            ) c
        ),
        ''
    ) END;
$$;

-- Names that share at least two fifths of their letter pairs with the unknown one (Dice's coefficient), the nearest
-- first; where none is near, all that are allowed, or what is said instead.
CREATE OR REPLACE FUNCTION ml_internal.suggest_names(
    p_unknown text,
    p_allowed text [],
    p_otherwise text DEFAULT NULL
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    WITH scored AS (
        SELECT
            n.name,
            n.place,
            2.0 * (
                SELECT count(*)
                FROM (
                    SELECT substr(lower(n.name), i, 2) FROM generate_series(1, length(n.name) - 1) i
                    INTERSECT
                    SELECT substr(lower(left(p_unknown, 100)), i, 2) FROM generate_series(1, length(left(p_unknown, 100)) - 1) i
                ) pairs
            ) / greatest(length(n.name) + length(left(p_unknown, 100)) - 2, 1) AS score
        FROM unnest(p_allowed) WITH ORDINALITY AS n (name, place)
    ),
    near AS (
        SELECT s.name, s.score, s.place FROM scored s WHERE s.score >= 0.4 ORDER BY s.score DESC, s.place LIMIT 3
    )
    SELECT coalesce(
        (SELECT 'Did you mean ' || string_agg(near.name, ', ' ORDER BY near.score DESC, near.place) || '?' FROM near),
        p_otherwise,
        'Allowed: ' || array_to_string(p_allowed, ', ') || '.'
    );
$$;

CREATE OR REPLACE FUNCTION ml_internal.count_text(
    p_count bigint,
    p_of bigint DEFAULT NULL
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT to_char(p_count, 'FM999,999,999,999,999') || coalesce(' (' || round(100.0 * p_count / nullif(p_of, 0), 1) || ' %)', '');
$$;

CREATE OR REPLACE FUNCTION ml_internal.period_text(
    p_start timestamptz,
    p_end timestamptz
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT replace(to_char(p_start, 'YYYY-MM-DD HH24:MI') || ' to ' || to_char(p_end, 'YYYY-MM-DD HH24:MI'), ' 00:00', '');
$$;

CREATE OR REPLACE FUNCTION ml_internal.interval_text(
    p_interval interval
)
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
SET intervalstyle TO 'postgres'
AS $$
    SELECT p_interval::text;
$$;

COMMENT ON FUNCTION ml_internal.tidy_list(text) IS 'A list without the blanks around its separators; NULL if it is empty.';
COMMENT ON FUNCTION ml_internal.list_items(text) IS 'Items of a list "a,b,c" as rows, trimmed, with their place from 1.';
COMMENT ON FUNCTION ml_internal.param_items(text) IS 'Items of a list "key=value;key=value" as rows, trimmed, with their place from 1; name is NULL where there is no "=".';
COMMENT ON FUNCTION ml_internal.merge_params(text, text) IS 'Hyperparameters that a fit uses: the defaults with the job''s own on top.';
COMMENT ON FUNCTION ml_internal.common_items(text []) IS 'Items that all of these lists have; a list that is NULL has everything. NULL: all are NULL, empty: none.';
COMMENT ON FUNCTION ml_internal.suggest_names(text, text [], text) IS 'Text of a HINT for an unknown name: the nearest allowed names; if none is near, what is said otherwise, or all of them.';
COMMENT ON FUNCTION ml_internal.count_text(bigint, bigint) IS 'A count as people read it, with its share.';
COMMENT ON FUNCTION ml_internal.period_text(timestamptz, timestamptz) IS 'A period as people read it: days alone where it begins and ends at midnight.';
COMMENT ON FUNCTION ml_internal.interval_text(interval) IS 'A length of time as people read it, whatever their IntervalStyle.';
