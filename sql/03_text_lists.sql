-- Text lists: "a,b,c" and "key=value;key=value" read as rows, and names suggested for a typo.

SET search_path TO pg_catalog, pg_temp;

-- As the user may have typed it, over several lines; NULL where nothing is left.
CREATE OR REPLACE FUNCTION ml.tidy_list(
    p_csv text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT nullif(regexp_replace(regexp_replace(p_csv, '^\s+|\s+$', '', 'g'), '\s*([,;=])\s*', '\1', 'g'), '');
$$;

CREATE OR REPLACE FUNCTION ml.list_items(
    p_csv text
)
RETURNS TABLE (
    item text,
    place bigint
)
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT btrim(i.item), i.place
    FROM string_to_table(p_csv, ',') WITH ORDINALITY AS i (item, place);
$$;

CREATE OR REPLACE FUNCTION ml.param_items(
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
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT
        btrim(i.item),
        btrim(substring(i.item FROM '^([^=]*)=')),
        btrim(substring(i.item FROM '=(.*)$')),
        i.place
    FROM string_to_table(p_csv, ';') WITH ORDINALITY AS i (item, place);
$$;

CREATE OR REPLACE FUNCTION ml.merge_params(
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
    FROM ml.param_items(p_defaults_csv) d
    FULL JOIN ml.param_items(p_own_csv) o ON o.name = d.name;
$$;

-- Names that share at least two fifths of their letter pairs with the unknown one (Dice's coefficient),
-- the nearest first; all that are allowed where none is near.
CREATE OR REPLACE FUNCTION ml.suggest_names(
    p_unknown text,
    p_allowed text []
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
        'Allowed: ' || array_to_string(p_allowed, ', ') || '.'
    );
$$;

COMMENT ON FUNCTION ml.tidy_list(text) IS 'A list without the blanks around its separators; NULL if it is empty.';
COMMENT ON FUNCTION ml.list_items(text) IS 'Items of a list "a,b,c" as rows, trimmed, with their place from 1.';
COMMENT ON FUNCTION ml.param_items(text) IS 'Items of a list "key=value;key=value" as rows, trimmed, with their place from 1; name is NULL where there is no "=".';
COMMENT ON FUNCTION ml.merge_params(text, text) IS 'Hyperparameters that a fit uses: the defaults with the job''s own on top.';
COMMENT ON FUNCTION ml.suggest_names(text, text []) IS 'Text of a HINT for an unknown name: the nearest allowed names, or all of them.';
