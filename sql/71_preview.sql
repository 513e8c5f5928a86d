-- Before a job runs: SELECT * FROM ml.preview(12) counts the rows that it would use, by the very rules of the worker,
-- and says what would make it fail or what its results would suffer from.

SET search_path TO pg_catalog, pg_temp;

-- The same rows and labels that worker/database/dataset.py reads; columns without a time zone are read as UTC.
CREATE OR REPLACE FUNCTION ml_internal.count_rows(
    p_target text,
    p_operator text,
    p_value numeric,
    p_future_minutes integer,
    p_features text [],
    p_phases_csv text,
    p_start timestamptz,
    p_end timestamptz,
    OUT num_rows bigint,
    OUT num_labelled bigint,
    OUT num_positive bigint,
    OUT num_coins bigint,
    OUT first_at timestamptz,
    OUT last_at timestamptz,
    OUT num_known bigint [],
    OUT num_too_large bigint [],
    OUT num_too_small bigint [],
    OUT num_lost bigint []
)
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET timezone TO 'UTC'
AS $$
DECLARE
    v_message text;
    v_hint text;
    v_code text;
    v_has_phases boolean := EXISTS (SELECT FROM public.ml_metric_columns c WHERE c.column_name = 'phase_id_at_time');
BEGIN
    PERFORM ml_internal.require_metrics();
    EXECUTE (
        SELECT format(
            $query$
            SELECT
                count(*),
                count(o.label),
                count(*) FILTER (WHERE o.label),
                count(DISTINCT o.mint) FILTER (WHERE o.label IS NOT NULL),
                min(o."timestamp"),
                max(o."timestamp"),
                ARRAY[%s],
                ARRAY[%s],
                ARRAY[%s]::bigint [],
                ARRAY[%s]::bigint []
            FROM (
                SELECT s.*, %s AS label
                FROM (
                    SELECT
                        coalesce(m.mint::text, '') COLLATE "C" AS mint,
                        m."timestamp"::timestamptz AS "timestamp",
                        %s AS phase,
                        ml_internal.is_positive($1, t.target, $2) AS own_label,
                        %s
                    FROM public.coin_metrics m
                    CROSS JOIN LATERAL (SELECT %s AS target) t
                    WHERE m."timestamp" >= $3 AND m."timestamp" < $4
                    %s
                ) s
            ) o
            WHERE $5 IS NULL OR o.phase = ANY ($5)
            $query$,
            string_agg(format('count(o.f%s) FILTER (WHERE o.label IS NOT NULL)', f.place), ', ' ORDER BY f.place),
            -- What rounds to infinity in single precision.
            string_agg(
                format('count(*) FILTER (WHERE o.label IS NOT NULL AND abs(o.f%s) >= 3.4028235677973366e38)', f.place),
                ', ' ORDER BY f.place
            ),
            -- What is not 0, and is 0 in double precision.
            string_agg(CASE WHEN f.type = 'numeric'::regtype THEN format('count(*) FILTER (WHERE o.f%1$s <> 0 AND abs(o.f%1$s) < 1e-308)', f.place) ELSE '0' END, ', ' ORDER BY f.place),
            -- And in single precision.
            string_agg(
                CASE WHEN f.expression LIKE 'nullif%' THEN format('count(*) FILTER (WHERE o.label IS NOT NULL AND o.f%1$s <> 0 AND abs(o.f%1$s) <= 7.006492321624085e-46)', f.place) ELSE '0' END,
                ', ' ORDER BY f.place
            ),
            ml_internal.label_expression(p_future_minutes),
            CASE WHEN v_has_phases THEN 'm.phase_id_at_time' ELSE 'NULL::integer' END,
            string_agg(format('%s AS f%s', f.expression, f.place), ', ' ORDER BY f.place),
            ml_internal.number_expression(p_target),
            CASE WHEN p_future_minutes IS NOT NULL THEN 'ORDER BY 1, 2, 4' END -- of rows at one moment a negative one comes first
        )
        FROM (
            SELECT n.place, ml_internal.number_expression(n.name) AS expression, (
                SELECT ml_internal.base_type(a.atttypid) FROM pg_attribute a WHERE a.attrelid = 'public.coin_metrics'::regclass AND a.attname = n.name
            ) AS type
            FROM unnest(p_features) WITH ORDINALITY AS n (name, place)
        ) f
    )
    INTO num_rows, num_labelled, num_positive, num_coins, first_at, last_at, num_known, num_too_large, num_too_small, num_lost
    USING p_operator, p_value, p_start, p_end, string_to_array(p_phases_csv, ',')::integer [];
EXCEPTION
    -- Of what is wrong with a view of the user's own, or with his rights, but not the query above.
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS v_message = MESSAGE_TEXT, v_hint = PG_EXCEPTION_HINT, v_code = RETURNED_SQLSTATE;
        RAISE EXCEPTION USING MESSAGE = v_message, ERRCODE = v_code, TABLE = 'coin_metrics',
            HINT = coalesce(nullif(v_hint, ''), 'That is what reading coin_metrics gave: SELECT * FROM coin_metrics; shows whether you can.');
END
$$;

CREATE OR REPLACE FUNCTION ml_internal.preview_job(
    p_job public.ml_jobs
)
RETURNS TABLE (
    what text,
    result text
)
LANGUAGE plpgsql
STABLE
ROWS 25
SET search_path TO pg_catalog, pg_temp
SET datestyle TO 'ISO, MDY'
AS $$
DECLARE
    v_makes boolean := false;
    v_models public.ml_models [];
    v_label public.ml_models;
    v_features text [];
    v_phases text;
    v_start timestamptz;
    v_end timestamptz;
    v_fewest record := ml_internal.fewest();
    v_rows record;
    v_rarer bigint;
BEGIN
    -- A model that is not made yet is the one that the job plans. The label is the first model's, as in the worker.
    IF EXISTS (SELECT FROM ml.job_kinds k WHERE k.job_type = p_job.job_type AND k.makes_model IS NOT NULL) THEN
        v_makes := true;
        v_models := ARRAY[ml_internal.planned_model(p_job)];
        v_start := v_models[1].train_start;
        v_end := v_models[1].train_end;
    ELSE
        v_models := ARRAY(
            SELECT m
            FROM ml.job_models u
            JOIN public.ml_models m ON m.id = u.model_id
            WHERE u.job_id = p_job.id
            ORDER BY u.place
        );
        SELECT j.period_start, j.period_end INTO v_start, v_end FROM ml.jobs j WHERE j.id = p_job.id;
    END IF;
    v_label := v_models[1];
    IF v_label.target_variable IS NULL THEN
        RETURN QUERY VALUES ('period', v_start || ' to ' || v_end);
        RETURN;
    END IF;
    v_features := ARRAY(
        SELECT i.item
        FROM (SELECT string_agg(m.features_csv, ',') AS csv FROM unnest(v_models) m) f
        CROSS JOIN LATERAL ml_internal.list_items(f.csv) i
        GROUP BY i.item
        ORDER BY min(i.place)
    );
    v_phases := ml_internal.common_items(VARIADIC ARRAY(SELECT m.phases_csv FROM unnest(v_models) m));
    v_rows := ml_internal.count_rows(
        v_label.target_variable, v_label.target_operator, v_label.target_value, v_label.future_minutes,
        v_features, v_phases, v_start, v_end
    );
    v_rarer := least(v_rows.num_positive, v_rows.num_labelled - v_rows.num_positive);

    RETURN QUERY VALUES
        ('label', ml_internal.label_text(v_label.target_variable, v_label.target_operator, v_label.target_value, v_label.future_minutes)),
        ('phases', coalesce(v_phases, 'all')),
        ('period', v_start || ' to ' || v_end),
        ('rows from', date_trunc('second', v_rows.first_at)::text),
        ('rows to', date_trunc('second', v_rows.last_at)::text),
        ('rows', ml_internal.count_text(v_rows.num_rows)),
        ('unlabelled', ml_internal.count_text(v_rows.num_rows - v_rows.num_labelled, v_rows.num_rows)),
        ('labelled', ml_internal.count_text(v_rows.num_labelled, v_rows.num_rows)),
        ('coins', ml_internal.count_text(v_rows.num_coins)),
        ('positive', ml_internal.count_text(v_rows.num_positive, v_rows.num_labelled)),
        ('negative', ml_internal.count_text(v_rows.num_labelled - v_rows.num_positive, v_rows.num_labelled));
    IF v_makes THEN
        RETURN QUERY SELECT 'held out', format(
            '%s %% of the rows: %s',
            trim_scale(100 * v_label.test_size),
            CASE WHEN v_rows.num_coins < v_fewest.coins THEN 'the last part of the period' ELSE 'whole coins' END
        );
    END IF;
    RETURN QUERY
    SELECT 'NULL in ' || f.name, ml_internal.count_text(v_rows.num_labelled - v_rows.num_known[f.place], v_rows.num_labelled)
    FROM unnest(v_features) WITH ORDINALITY AS f (name, place)
    ORDER BY f.place;

    -- What the worker refuses, in its order.
    RETURN QUERY
    SELECT 'would fail', x.said
    FROM (
        SELECT 1 AS place, 'there are no rows in this period and these phases' AS said WHERE v_rows.num_rows = 0
        UNION ALL
        SELECT 2, 'no row has a label: the target is NULL'
            || CASE WHEN v_label.future_minutes IS NULL THEN '' ELSE ', or no later row of the same coin lies in the period' END
        WHERE v_rows.num_rows > 0 AND v_rows.num_labelled = 0
        UNION ALL
        SELECT 3, format('the feature %s has no value in any labelled row: leave it out, or choose another period', f.name)
        FROM unnest(v_features) WITH ORDINALITY AS f (name, place)
        WHERE v_rows.num_labelled > 0 AND v_rows.num_known[f.place] = 0
        UNION ALL
        SELECT 4, format(
            'the feature %s is infinite or larger than 3.4e38 in %s of %s rows; correct them in coin_metrics, or leave the feature out',
            f.name, v_rows.num_too_large[f.place], v_rows.num_labelled
        )
        FROM unnest(v_features) WITH ORDINALITY AS f (name, place)
        WHERE v_rows.num_too_large[f.place] > 0
        UNION ALL
        SELECT 5, format(
            'the feature %s is not 0, but smaller than 1e-308 in %s of %s rows; set them to 0 in coin_metrics, '
            'multiply the column, or leave the feature out',
            f.name, v_rows.num_too_small[f.place], v_rows.num_rows
        )
        FROM unnest(v_features) WITH ORDINALITY AS f (name, place)
        WHERE v_rows.num_too_small[f.place] > 0
        UNION ALL
        SELECT 6, format('too little to learn from: needed are %s labelled rows, and %s of each class', v_fewest.rows, v_fewest.of_a_class)
        WHERE v_makes AND v_rows.num_labelled > 0 AND (v_rows.num_labelled < v_fewest.rows OR v_rarer < v_fewest.of_a_class)
    ) x
    ORDER BY x.place;
    IF FOUND THEN
        RETURN;
    END IF;

    RETURN QUERY
    SELECT 'warning', x.said
    FROM (
        SELECT 1 AS place, 'all labelled rows are of one class: F1 or ROC AUC will be undefined' AS said WHERE v_rarer = 0
        UNION ALL
        SELECT 2, format('strongly imbalanced: only %s of %s labelled rows are %s', v_rarer, v_rows.num_labelled,
            CASE WHEN v_rarer = v_rows.num_positive THEN 'positive' ELSE 'negative' END)
        WHERE v_rarer > 0 AND v_rarer < 0.05 * v_rows.num_labelled
        UNION ALL
        SELECT 3, 'few rows: the numbers measured will be rough' WHERE v_rows.num_labelled < 1000
        UNION ALL
        SELECT 4, format('fewer than %s coins: the last part of the period is held out instead of whole coins', v_fewest.coins)
        WHERE v_makes AND v_rows.num_coins < v_fewest.coins
        UNION ALL
        SELECT 5, 'many rows have no label: ' || ml_internal.unlabelled_text(v_label.future_minutes)
        WHERE v_rows.num_labelled < 0.8 * v_rows.num_rows
        UNION ALL
        SELECT 6, 'the rows cover less than half of the period'
        WHERE v_rows.last_at - v_rows.first_at < (v_end - v_start) / 2
        UNION ALL
        SELECT 7, format('the feature %s is NULL in more than half of the labelled rows', f.name)
        FROM unnest(v_features) WITH ORDINALITY AS f (name, place)
        WHERE v_rows.num_known[f.place] < 0.5 * v_rows.num_labelled
        UNION ALL
        SELECT 8, format(
            'the feature %s is not 0, but smaller than 7e-46 in %s of %s rows, which models take for 0: multiply the column',
            f.name, v_rows.num_lost[f.place], v_rows.num_labelled
        )
        FROM unnest(v_features) WITH ORDINALITY AS f (name, place)
        WHERE v_rows.num_lost[f.place] > 0
    ) x
    ORDER BY x.place;
    IF NOT FOUND THEN
        RETURN QUERY VALUES ('warning', 'none');
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION ml.preview(
    job_id bigint
)
RETURNS TABLE (
    what text,
    result text
)
LANGUAGE plpgsql
STABLE
ROWS 25
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job public.ml_jobs;
    v_message text;
    v_hint text;
    v_code text;
    v_table text;
    v_column text;
BEGIN
    SELECT * INTO v_job FROM public.ml_jobs j WHERE j.id = job_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'job % does not exist', job_id
            USING ERRCODE = 'no_data_found', TABLE = 'ml_jobs', HINT = 'SELECT id, status FROM ml_jobs ORDER BY id DESC; lists the jobs.';
    END IF;
    RETURN QUERY SELECT p.what, p.result FROM ml_internal.preview_job(v_job) p;
EXCEPTION
    -- Said anew, because the context of the first is our own queries.
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS
            v_message = MESSAGE_TEXT, v_hint = PG_EXCEPTION_HINT, v_code = RETURNED_SQLSTATE,
            v_table = TABLE_NAME, v_column = COLUMN_NAME;
        RAISE EXCEPTION USING MESSAGE = v_message, HINT = v_hint, ERRCODE = v_code, TABLE = v_table, COLUMN = v_column;
END
$$;

COMMENT ON FUNCTION ml_internal.count_rows(text, text, numeric, integer, text [], text, timestamptz, timestamptz) IS 'Part of ml.preview: counts the rows of a period and their labels, by the rules of the worker.';
COMMENT ON FUNCTION ml_internal.preview_job(public.ml_jobs) IS 'Part of ml.preview: what a job would find.';
COMMENT ON FUNCTION ml.preview(bigint) IS 'What a job will find or has found: rows, labels, coins, NULLs, and what would make it fail or suffer.';
