-- Leaks and traps that ml.preview names before a job runs, found by SQL in samples. A worker looks at more rows, and tries
-- more; ref_warnings explains the codes.

SET search_path TO pg_catalog, pg_temp;

-- How well numbers tell labels: ROC AUC by their order or by two hundred bands of values, whose shares of positive rows
-- are taken from one half of the rows and measured on the other. Number k of row r is p_values[(k - 1) * rows + r]; no
-- element is NULL. of_differing: the same among the rows marked in p_differs, NULL where they are few.
CREATE OR REPLACE FUNCTION ml_internal.telling_numbers(
    p_labels boolean [],
    p_differs boolean [],
    p_values double precision []
)
RETURNS TABLE (
    number integer,
    roc_auc double precision,
    of_differing double precision
)
LANGUAGE sql
IMMUTABLE
ROWS 100
SET search_path TO pg_catalog, pg_temp
SET work_mem TO '64MB'
SET jit TO off
SET enable_nestloop TO off -- nobody tells the planner how long the arrays are
SET enable_mergejoin TO off
AS $$
    WITH values AS MATERIALIZED (
        SELECT
            ((u.place - 1) / cardinality(p_labels))::integer + 1 AS number,
            ((u.place - 1) % cardinality(p_labels))::integer + 1 AS n,
            u.value
        FROM unnest(p_values) WITH ORDINALITY u (value, place)
    ),
    banded AS (
        SELECT
            v.number, v.n, v.value, l.label, l.differs,
            200 * (rank() OVER (PARTITION BY v.number ORDER BY v.value) - 1) / cardinality(p_labels) AS band
        FROM values v
        JOIN unnest(p_labels, p_differs) WITH ORDINALITY l (label, differs, n) ON l.n = v.n
    ),
    shares AS (
        SELECT b.number, b.band, (count(*) FILTER (WHERE b.label) + 0.5) / (count(*) + 1) AS share
        FROM banded b
        WHERE b.n % 2 = 0
        GROUP BY b.number, b.band
    ),
    scores AS (
        SELECT b.number, false AS by_band, b.label, b.differs, b.value AS score FROM banded b
        UNION ALL
        SELECT b.number, true, b.label, b.differs, coalesce(s.share, 0.5)
        FROM banded b
        LEFT JOIN shares s ON s.number = b.number AND s.band = b.band
        WHERE b.n % 2 = 1
    ),
    ranked AS (
        SELECT
            s.number, s.by_band, s.label, s.differs,
            rank() OVER whole + (count(*) OVER (PARTITION BY s.number, s.by_band, s.score) - 1) / 2.0 AS place,
            rank() OVER part + (count(*) OVER (PARTITION BY s.number, s.by_band, s.differs, s.score) - 1) / 2.0 AS place_of_part
        FROM scores s
        WINDOW whole AS (PARTITION BY s.number, s.by_band ORDER BY s.score),
            part AS (PARTITION BY s.number, s.by_band, s.differs ORDER BY s.score)
    ),
    counted AS (
        SELECT
            r.number, r.by_band,
            count(*) FILTER (WHERE r.label) AS p, count(*) FILTER (WHERE NOT r.label) AS n,
            sum(r.place) FILTER (WHERE r.label) AS places,
            count(*) FILTER (WHERE r.label AND r.differs) AS p_of_part, count(*) FILTER (WHERE NOT r.label AND r.differs) AS n_of_part,
            sum(r.place_of_part) FILTER (WHERE r.label AND r.differs) AS places_of_part
        FROM ranked r
        GROUP BY r.number, r.by_band
    ),
    areas AS (
        SELECT
            c.number, c.by_band,
            (c.places - c.p * (c.p + 1) / 2.0) / nullif(c.p * c.n, 0) AS area,
            CASE WHEN least(c.p_of_part, c.n_of_part) >= 10
                THEN (c.places_of_part - c.p_of_part * (c.p_of_part + 1) / 2.0) / (c.p_of_part * c.n_of_part)
            END AS area_of_part
        FROM counted c
        WHERE least(c.p, c.n) >= 10
    )
    SELECT DISTINCT ON (x.number) x.number, x.area, x.area_of_part
    FROM (
        -- What falls where the label rises tells it as well.
        SELECT
            a.number,
            CASE WHEN a.by_band OR a.area >= 0.5 THEN a.area ELSE 1 - a.area END::double precision AS area,
            CASE WHEN a.by_band OR a.area >= 0.5 THEN a.area_of_part ELSE 1 - a.area_of_part END::double precision AS area_of_part
        FROM areas a
    ) x
    ORDER BY x.number, x.area DESC;
$$;

-- Of features of labelled rows, those that tell the label, alone or two together, and those that are the target itself.
CREATE OR REPLACE FUNCTION ml_internal.preview_leaks(
    p_model public.ml_models,
    p_features text [],
    p_phases_csv text,
    p_start timestamptz,
    p_end timestamptz
)
RETURNS TABLE (
    code text,
    severity text,
    sentence text
)
LANGUAGE plpgsql
STABLE
ROWS 5
SET search_path TO pg_catalog, pg_temp
SET timezone TO 'UTC'
SET extra_float_digits TO 1
SET datestyle TO 'ISO, MDY'
SET jit TO off
SET enable_nestloop TO off -- nobody tells the planner how long the arrays are
SET enable_mergejoin TO off
AS $$
DECLARE
    v_most_rows constant integer := CASE WHEN cardinality(p_features) <= 20 THEN 10000 ELSE greatest(2000, 200000 / cardinality(p_features)) END;
    v_most_pairs constant integer := 14; -- features that are tried two by two
    v_source jsonb := ml_internal.describe_source(p_model.source);
    v_has_state boolean := p_model.future_minutes IS NOT NULL AND p_model.base_variable IS NULL;
    v_coins text [];
    v_labels boolean [];
    v_differs boolean [];
    v_targets double precision [];
    v_values double precision [];
    v_size integer;
    v_alone integer [];
    v_areas double precision [];
    v_differing double precision [];
    v_firsts integer [];
    v_seconds integer [];
    v_pairs double precision [];
BEGIN
    -- Whole coins, drawn by a hash of their names, at least two.
    EXECUTE format(
        $query$
        SELECT array_agg(o.key)
        FROM (
            SELECT c.key, coalesce(sum(c.num_rows) OVER (ORDER BY hashtext(c.key), c.key ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING), 0) AS before
            FROM (SELECT (%s) COLLATE "C" AS key, count(*) AS num_rows FROM %s m WHERE %s GROUP BY 1) c
        ) o
        WHERE o.before < $3
        $query$,
        v_source ->> 'key', v_source ->> 'relation', ml_internal.within_period(v_source, '$1', '$2')
    )
    INTO v_coins
    USING p_start, p_end, v_most_rows;

    EXECUTE format(
        $query$
        WITH s AS (
            SELECT x.label, x.target, %s AS differs, ARRAY[%s] AS f
            FROM (
                SELECT
                    s.*, %s AS label,
                    row_number() OVER (PARTITION BY %s ORDER BY hashtext(s.mint || s."timestamp"::text), s."timestamp") AS place
                FROM (%s) s
                WHERE $4 IS NULL OR s.phase = ANY ($4)
            ) x
            WHERE x.label IS NOT NULL AND x.place <= $8 / 2
            ORDER BY hashtext(x.mint || x."timestamp"::text), x.mint, x."timestamp"
        ),
        n AS (SELECT s.*, row_number() OVER () AS n FROM s)
        SELECT
            (SELECT array_agg(n.label ORDER BY n.n) FROM n),
            (SELECT array_agg(n.differs ORDER BY n.n) FROM n),
            (SELECT array_agg(coalesce(n.target::double precision, 'NaN') ORDER BY n.n) FROM n),
            (SELECT array_agg(coalesce(u.value, -1e300) ORDER BY u.place, n.n) FROM n CROSS JOIN LATERAL unnest(n.f) WITH ORDINALITY u (value, place))
        $query$,
        CASE WHEN v_has_state THEN 'coalesce(ml_internal.is_positive($1, x.target, $5) <> x.label, false)' ELSE 'false' END,
        (SELECT string_agg(format('x.f%s::double precision', f.place), ', ' ORDER BY f.place) FROM unnest(p_features) WITH ORDINALITY f (name, place)),
        ml_internal.label_of_row(p_model, '$5', '$6'),
        ml_internal.label_of_row(p_model, '$5', '$6'),
        ml_internal.label_query(p_model, p_features, 'SELECT unnest($7)')
    )
    INTO v_labels, v_differs, v_targets, v_values
    USING p_model.target_operator, p_start, p_end, string_to_array(p_phases_csv, ',')::integer [],
        p_model.target_value, p_model.stop_value, v_coins, v_most_rows;
    v_size := cardinality(v_labels);
    IF v_size IS NULL OR v_size < 40 THEN
        RETURN;
    END IF;

    SELECT
        array_agg(t.roc_auc ORDER BY t.number), array_agg(t.of_differing ORDER BY t.number),
        coalesce(array_agg(t.number) FILTER (WHERE t.roc_auc >= 0.99), '{}')
    INTO v_areas, v_differing, v_alone
    FROM ml_internal.telling_numbers(v_labels, v_differs, v_values) t;
    IF v_areas IS NULL THEN -- too few of a class
        RETURN;
    END IF;

    IF p_model.future_minutes IS NULL THEN
        -- In the order of the target it never falls, or never rises, and is the same where the target is, but for noise.
        RETURN QUERY
        SELECT
            'feature_is_target', 'severe', format(
                'the feature %s is a %s function of the target in the same row, and the label is read in that row: there is nothing to forecast',
                p_features[x.number], CASE WHEN x.rises > 0 THEN 'rising' ELSE 'falling' END
            )
        FROM (
            SELECT
                y.number,
                count(*) FILTER (WHERE y.value - y.value_before > y.noise AND y.target > y.target_before) AS rises,
                count(*) FILTER (WHERE y.value - y.value_before < -y.noise AND y.target > y.target_before) AS falls,
                count(*) FILTER (WHERE y.value - y.value_before > y.noise AND y.target = y.target_before) AS differ,
                count(*) FILTER (WHERE y.value <> y.first_value) AS others,
                count(*) FILTER (WHERE y.value <> y.last_value) AS others_than_last
            FROM (
                SELECT
                    v.number, v.target, v.value,
                    lag(v.target) OVER places AS target_before,
                    lag(v.value) OVER places AS value_before,
                    first_value(v.value) OVER (PARTITION BY v.number ORDER BY v.target, v.value) AS first_value,
                    first_value(v.value) OVER (PARTITION BY v.number ORDER BY v.target DESC, v.value DESC) AS last_value,
                    1e-5 * greatest(abs(v.value), abs(lag(v.value) OVER places)) AS noise
                FROM (
                    SELECT ((u.place - 1) / v_size)::integer + 1 AS number, u.value, t.target
                    FROM unnest(v_values) WITH ORDINALITY u (value, place)
                    JOIN unnest(v_targets) WITH ORDINALITY t (target, n) ON t.n = (u.place - 1) % v_size + 1
                    WHERE u.value > -1e300 AND t.target <> 'NaN'
                ) v
                WINDOW places AS (PARTITION BY v.number ORDER BY v.target, v.value)
            ) y
            GROUP BY y.number
        ) x
        WHERE (x.rises > 0) <> (x.falls > 0) AND x.differ = 0 AND least(x.others, x.others_than_last) >= 10
        ORDER BY x.number;
        -- And what the target is made of tells the label, as it must.
        v_alone := ARRAY(
            SELECT c.number
            FROM (
                SELECT r.number, corr(r.own_rank, r.target_rank) AS correlation
                FROM (
                    SELECT
                        v.number, rank() OVER (PARTITION BY v.number ORDER BY v.value) AS own_rank,
                        rank() OVER (PARTITION BY v.number ORDER BY v.target) AS target_rank
                    FROM (
                        SELECT ((u.place - 1) / v_size)::integer + 1 AS number, u.value, t.target
                        FROM unnest(v_values) WITH ORDINALITY u (value, place)
                        JOIN unnest(v_targets) WITH ORDINALITY t (target, n) ON t.n = (u.place - 1) % v_size + 1
                        WHERE t.target <> 'NaN'
                    ) v
                    WHERE v.number = ANY (v_alone)
                ) r
                GROUP BY r.number
            ) c
            WHERE abs(coalesce(c.correlation, 0)) < 0.99
        );
    END IF;

    -- Where the label is a level later, what tells the level now tells nothing of the future.
    RETURN QUERY
    SELECT
        'feature_tells_label', 'severe',
        format('the feature %s tells the label almost alone: its ROC AUC is %s', p_features[t.number], trunc(v_areas[t.number]::numeric, 3))
    FROM unnest(v_alone) t (number)
    WHERE NOT v_has_state OR v_differing[t.number] >= 0.9
    ORDER BY t.number;

    IF p_model.future_minutes IS NULL THEN
        RETURN;
    END IF;
    -- Two together: their difference, ratio, sum and product.
    v_alone := ARRAY(
        SELECT a.number
        FROM unnest(v_areas) WITH ORDINALITY a (area, number)
        WHERE a.area < 0.99
        ORDER BY a.area DESC, a.number
        LIMIT v_most_pairs
    );
    SELECT array_agg(a.number ORDER BY a.number, b.number), array_agg(b.number ORDER BY a.number, b.number)
    INTO v_firsts, v_seconds
    FROM unnest(v_alone) a (number)
    JOIN unnest(v_alone) b (number) ON a.number < b.number;
    IF v_firsts IS NULL THEN
        RETURN;
    END IF;
    v_pairs := ARRAY(
        SELECT CASE o.how
            WHEN 1 THEN x.a - x.b
            WHEN 2 THEN CASE WHEN abs(x.b) < 1e-200 THEN -1e300 ELSE x.a / x.b END
            WHEN 3 THEN x.a + x.b
            ELSE x.a * x.b
        END
        FROM unnest(v_firsts, v_seconds) WITH ORDINALITY p (first, second, pair)
        CROSS JOIN generate_series(1, 4) o (how)
        CROSS JOIN generate_series(1, least(v_size, 3000)) r (n)
        CROSS JOIN LATERAL (
            SELECT greatest(v_values[(p.first - 1) * v_size + r.n], -1e100) AS a, greatest(v_values[(p.second - 1) * v_size + r.n], -1e100) AS b
        ) x
        ORDER BY p.pair, o.how, r.n
    );
    RETURN QUERY
    SELECT
        'features_tell_label', 'severe', format(
            'the features %s and %s together tell the label almost alone: their ROC AUC is %s',
            p_features[v_firsts[x.pair]], p_features[v_seconds[x.pair]], trunc(x.area::numeric, 3)
        )
    FROM (
        SELECT (t.number - 1) / 4 + 1 AS pair, max(t.roc_auc) AS area
        FROM ml_internal.telling_numbers(v_labels[:least(v_size, 3000)], v_differs[:least(v_size, 3000)], v_pairs) t
        WHERE t.roc_auc >= 0.99 AND (NOT v_has_state OR t.of_differing >= 0.9)
        GROUP BY 1
        ORDER BY max(t.roc_auc) DESC, 1
        LIMIT 6
    ) x;
END
$$;

-- What is wrong with rows, labelled or not, at some of the moments of a period.
CREATE OR REPLACE FUNCTION ml_internal.preview_rows(
    p_models public.ml_models [],
    p_makes boolean,
    p_features text [],
    p_phases_csv text,
    p_start timestamptz,
    p_end timestamptz,
    p_num_rows bigint
)
RETURNS TABLE (
    code text,
    severity text,
    sentence text
)
LANGUAGE plpgsql
STABLE
ROWS 5
SET search_path TO pg_catalog, pg_temp
SET timezone TO 'UTC'
SET extra_float_digits TO 1
SET datestyle TO 'ISO, MDY'
SET jit TO off
SET enable_nestloop TO off -- nobody tells the planner how long the arrays are
SET enable_mergejoin TO off
AS $$
DECLARE
    v_source_name text := p_models[1].source;
    v_source jsonb := ml_internal.describe_source(v_source_name);
    v_step bigint := greatest(1, p_num_rows / greatest(2000, least(20000, 400000 / cardinality(p_features))));
    v_keys text [];
    v_moments timestamptz [];
    v_values double precision [];
    v_size integer;
    v_of_moment integer [];
    v_constant integer [];
    v_found record;
BEGIN
    EXECUTE format(
        $query$
        WITH s AS MATERIALIZED (
            SELECT %1$s AS key, %2$s AS moment, ARRAY[%3$s]::double precision [] AS f
            FROM %4$s m
            WHERE %5$s AND (%6$s) AND (hashint8((extract(epoch FROM %2$s) * 1000000)::bigint)::bigint & 2147483647) %% $4 = 0
        ),
        n AS MATERIALIZED (SELECT s.*, row_number() OVER (ORDER BY s.moment, s.key COLLATE "C") AS n FROM s)
        SELECT
            (SELECT array_agg(n.key ORDER BY n.n) FROM n),
            (SELECT array_agg(n.moment ORDER BY n.n) FROM n),
            (SELECT array_agg(coalesce(u.value, -1e300) ORDER BY u.place, n.n) FROM n CROSS JOIN LATERAL unnest(n.f) WITH ORDINALITY u (value, place))
        $query$,
        v_source ->> 'key', v_source ->> 'moment',
        (
            SELECT string_agg(ml_internal.number_expression(v_source_name, f.name) || '::double precision', ', ' ORDER BY f.place)
            FROM unnest(p_features) WITH ORDINALITY f (name, place)
        ),
        v_source ->> 'relation', ml_internal.within_period(v_source, '$1', '$2'),
        CASE WHEN v_source ->> 'phase' IS NULL THEN '$3 IS NULL OR true' ELSE format('$3 IS NULL OR %s = ANY ($3)', v_source ->> 'phase') END
    )
    INTO v_keys, v_moments, v_values
    USING p_start, p_end, string_to_array(p_phases_csv, ',')::integer [], v_step;
    v_size := cardinality(v_keys);
    IF v_size IS NULL THEN
        RETURN;
    END IF;

    -- The same for all coins at a moment.
    FOR v_found IN
        SELECT
            x.number, count(*) AS num_moments, count(DISTINCT x.least) AS num_values,
            avg((x.least = x.most)::integer) AS share, count(*) - max(x.alike) AS not_the_mode
        FROM (
            SELECT
                y.number, y.moment, y.least, y.most, count(*) OVER (PARTITION BY y.number, y.least) AS alike
            FROM (
                SELECT ((u.place - 1) / v_size)::integer + 1 AS number, k.moment, min(u.value) AS least, max(u.value) AS most
                FROM unnest(v_values) WITH ORDINALITY u (value, place)
                JOIN unnest(v_keys, v_moments) WITH ORDINALITY k (key, moment, n) ON k.n = (u.place - 1) % v_size + 1
                GROUP BY 1, 2
                HAVING min(k.key COLLATE "C") <> max(k.key COLLATE "C")
            ) y
        ) x
        GROUP BY x.number
        ORDER BY x.number
    LOOP
        CONTINUE WHEN v_found.num_moments < 10 OR v_found.share < 0.99;
        IF v_found.num_values = 1 THEN
            v_constant := v_constant || v_found.number;
        ELSIF v_found.num_values >= 10 OR v_found.not_the_mode >= 10 THEN
            v_of_moment := v_of_moment || v_found.number;
            IF p_makes THEN
                code := 'feature_of_moment';
                severity := CASE WHEN 2 * v_found.num_values >= v_found.num_moments THEN 'warning' ELSE 'info' END;
                sentence := format(
                    'the feature %s is the same for all coins at a moment (%s values at %s moments)%s', p_features[v_found.number],
                    ml_internal.count_text(v_found.num_values), ml_internal.count_text(v_found.num_moments),
                    CASE WHEN 2 * v_found.num_values >= v_found.num_moments THEN ', so that it tells moments apart' END
                );
                RETURN NEXT;
            END IF;
        END IF;
    END LOOP;

    -- The same series under two keys: what rows hold counts by its rarity, in bits.
    RETURN QUERY
    WITH contents AS MATERIALIZED (
        SELECT k.n, k.key, k.moment, c.content
        FROM unnest(v_keys, v_moments) WITH ORDINALITY k (key, moment, n)
        CROSS JOIN LATERAL (
            SELECT md5(string_agg(v_values[(f.number - 1) * v_size + k.n]::text, ',' ORDER BY f.number)) AS content
            FROM generate_series(1, cardinality(p_features)) f (number)
            WHERE f.number <> ALL (coalesce(v_of_moment, '{}') || coalesce(v_constant, '{}'))
        ) c
        WHERE c.content IS NOT NULL
    ),
    weighed AS MATERIALIZED (
        SELECT c.*, log(2.0, v_size / count(*) OVER (PARTITION BY c.content)::numeric) AS bits
        FROM contents c
    ),
    keys AS (
        SELECT w.key, sum(w.bits) AS bits FROM weighed w GROUP BY w.key
    ),
    pairs AS (
        SELECT p.first, p.second, sum(p.bits) AS bits, count(DISTINCT p.content) AS num_contents, count(*) AS num_rows
        FROM (
            SELECT
                lag(w.key) OVER (PARTITION BY w.moment, w.content ORDER BY w.key COLLATE "C") AS first, w.key AS second, w.bits, w.content
            FROM weighed w
        ) p
        WHERE p.first <> p.second
        GROUP BY p.first, p.second
    )
    SELECT
        'same_series', CASE WHEN p_makes THEN 'severe' ELSE 'warning' END,
        format(
            '%s and %s are the same series in %s %% of the shorter, as far as %s moments tell',
            left(p.first, 100), left(p.second, 100), round(100 * least(1, p.bits / least(a.bits, b.bits))),
            ml_internal.count_text((SELECT count(DISTINCT m.moment) FROM unnest(v_moments) m (moment)))
        )
    FROM pairs p
    JOIN keys a ON a.key = p.first
    JOIN keys b ON b.key = p.second
    WHERE p.bits >= 50 AND p.num_contents >= 5 AND p.bits >= 0.3 * least(a.bits, b.bits)
    ORDER BY p.bits DESC, p.first
    LIMIT 20;

    -- What the models were fitted on, as far as that is known.
    RETURN QUERY
    SELECT
        'feature_shift', 'warning',
        format(
            'the feature %s is distributed otherwise than in the training of model %s: its population stability index is about %s',
            f.name, m.id, round(x.psi::numeric, 2)
        )
    FROM unnest(p_models) m
    JOIN public.ml_training_runs r ON r.model_id = m.id
    JOIN public.ml_feature_stats s ON s.job_id = r.job_id
    JOIN unnest(p_features) WITH ORDINALITY f (name, place) ON f.name = s.feature
    CROSS JOIN LATERAL (
        SELECT array_agg(b.found ORDER BY b.bin) AS found
        FROM (
            SELECT g.bin, count(v.bin) AS found
            FROM generate_series(0, 10) g (bin)
            LEFT JOIN (
                SELECT CASE
                    WHEN u.value <= -1e300 THEN 10
                    WHEN s.d1 IS NULL THEN 0
                    ELSE width_bucket(u.value, ARRAY[s.d1, s.d2, s.d3, s.d4, s.d5, s.d6, s.d7, s.d8, s.d9])
                END AS bin
                FROM unnest(v_values[(f.place - 1) * v_size + 1 : f.place * v_size]) u (value)
            ) v ON v.bin = g.bin
            GROUP BY g.bin
        ) b
    ) c
    CROSS JOIN LATERAL ml_internal.stability_index(
        ARRAY[s.n0, s.n1, s.n2, s.n3, s.n4, s.n5, s.n6, s.n7, s.n8, s.n9, s.n_null], c.found
    ) x
    WHERE NOT p_makes AND x.psi >= greatest(0.25, x.chance)
    ORDER BY x.psi DESC;
    RETURN QUERY
    SELECT
        'seen_coins', 'info', format(
            '%s %% of the rows are of coins that model %s was fitted on; ml_seen_unseen will measure the others apart',
            round(100.0 * count(*) FILTER (WHERE k.key = ANY (c.keys)) / count(*)), m.id
        )
    FROM unnest(p_models) m
    JOIN public.ml_training_runs r ON r.model_id = m.id
    JOIN public.ml_fitted_coins c ON c.job_id = r.job_id
    CROSS JOIN unnest(v_keys) k (key)
    WHERE NOT p_makes AND c.keys <> '{""}'
    GROUP BY m.id
    HAVING count(*) FILTER (WHERE k.key = ANY (c.keys)) > 0;
END
$$;

-- All of them, the severest first.
CREATE OR REPLACE FUNCTION ml_internal.preview_traps(
    p_models public.ml_models [],
    p_makes boolean,
    p_features text [],
    p_phases_csv text,
    p_start timestamptz,
    p_end timestamptz,
    p_num_rows bigint
)
RETURNS TABLE (
    code text,
    severity text,
    sentence text
)
LANGUAGE sql
STABLE
ROWS 5
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT x.code, x.severity, x.sentence
    FROM (
        SELECT w.code, w.severity, w.sentence
        FROM unnest(p_models) m
        CROSS JOIN LATERAL ml_internal.period_warnings(m, p_start, p_end) w
        WHERE NOT p_makes
        UNION ALL
        SELECT w.code, w.severity, w.sentence
        FROM ml_internal.preview_leaks(p_models[1], p_features, p_phases_csv, p_start, p_end) w
        WHERE p_makes
        UNION ALL
        SELECT w.code, w.severity, w.sentence
        FROM ml_internal.preview_rows(p_models, p_makes, p_features, p_phases_csv, p_start, p_end, p_num_rows) w
    ) x
    ORDER BY ml_internal.rank_of_severity(x.severity);
$$;

CALL ml_internal.allow(
    'ml_reader', 'EXECUTE',
    'ml_internal.telling_numbers, ml_internal.preview_leaks, ml_internal.preview_rows, ml_internal.preview_traps'
);

COMMENT ON FUNCTION ml_internal.telling_numbers(boolean [], boolean [], double precision []) IS 'Part of ml.preview: how well numbers tell labels, by their order or by bands.';
COMMENT ON FUNCTION ml_internal.preview_leaks(public.ml_models, text [], text, timestamptz, timestamptz) IS 'Part of ml.preview: features that tell the label, found in a sample.';
COMMENT ON FUNCTION ml_internal.preview_rows(public.ml_models [], boolean, text [], text, timestamptz, timestamptz, bigint) IS 'Part of ml.preview: copies, features of a moment, shifts and seen coins, found in a sample of moments.';
COMMENT ON FUNCTION ml_internal.preview_traps(public.ml_models [], boolean, text [], text, timestamptz, timestamptz, bigint) IS 'Part of ml.preview: leaks and traps, the severest first.';
