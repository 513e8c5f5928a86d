-- Before training: SELECT * FROM ml.preview(…) counts the rows that a job would use, by the very rules of the worker,
-- and says what would make it fail or what its results would suffer from.

SET search_path TO pg_catalog, pg_temp;

-- Checks a TRAIN job by inserting it and taking it back at once, so that the errors are those of the INSERT.
-- As the owner, because who only reads may ask; nothing is left, and nobody is notified.
CREATE OR REPLACE FUNCTION ml.check_train(
    p_model_type text,
    p_target text,
    p_operator text,
    p_value numeric,
    p_features text,
    p_train_start timestamptz,
    p_train_end timestamptz,
    p_future_minutes integer,
    p_phases text,
    p_params text,
    p_name text,
    p_description text,
    p_test_size numeric,
    p_random_state integer,
    p_priority integer,
    p_max_attempts integer
)
RETURNS public.ml_jobs
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_id bigint;
    v_job public.ml_jobs;
BEGIN
    BEGIN
        v_id := ml.train(
            p_model_type, p_target, p_operator, p_value, p_features, p_train_start, p_train_end, p_future_minutes,
            p_phases, p_params, p_name, p_description, p_test_size, p_random_state, p_priority, p_max_attempts
        );
        SELECT * INTO v_job FROM public.ml_jobs j WHERE j.id = v_id;
        RAISE EXCEPTION 'taken back' USING ERRCODE = 'ML000', HINT = 'This is caught at once.';
    EXCEPTION
        WHEN SQLSTATE 'ML000' THEN NULL;
    END;
    RETURN v_job;
END
$$;

-- The same rows and labels as database.stream_dataset in the worker, which reads columns without a time zone as UTC.
CREATE OR REPLACE FUNCTION ml.count_rows(
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
    OUT num_too_large bigint []
)
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET timezone TO 'UTC'
AS $$
BEGIN
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
                ARRAY[%s]
            FROM (
                SELECT s.*, %s AS label
                FROM (
                    SELECT
                        m.mint COLLATE "C" AS mint,
                        m."timestamp",
                        m.phase_id_at_time AS phase,
                        CASE $1
                            WHEN '>' THEN t.target > $2
                            WHEN '<' THEN t.target < $2
                            WHEN '>=' THEN t.target >= $2
                            WHEN '<=' THEN t.target <= $2
                            WHEN '=' THEN t.target = $2
                            WHEN '!=' THEN t.target <> $2
                        END AS own_label,
                        %s
                    FROM public.coin_metrics m
                    CROSS JOIN LATERAL (SELECT nullif(m.%I::numeric, 'NaN') AS target) t
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
            CASE WHEN p_future_minutes IS NULL THEN 's.own_label' ELSE format(
                'first_value(s.own_label) OVER (PARTITION BY s.mint ORDER BY s."timestamp"
                    RANGE BETWEEN %L::interval FOLLOWING AND %L::interval FOLLOWING)',
                make_interval(mins => p_future_minutes), make_interval(mins => 2 * p_future_minutes)
            ) END,
            string_agg(format('nullif(m.%I::numeric, ''NaN'') AS f%s', f.name, f.place), ', ' ORDER BY f.place),
            p_target,
            CASE WHEN p_future_minutes IS NOT NULL THEN 'ORDER BY 1, 2, 4' END -- of rows at one moment a negative one comes first
        )
        FROM unnest(p_features) WITH ORDINALITY AS f (name, place)
    )
    INTO num_rows, num_labelled, num_positive, num_coins, first_at, last_at, num_known, num_too_large
    USING p_operator, p_value, p_start, p_end, string_to_array(p_phases_csv, ',')::integer [];
END
$$;

CREATE OR REPLACE FUNCTION ml.preview_job(
    p_job public.ml_jobs
)
RETURNS TABLE (
    what text,
    result text
)
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_is_train boolean := p_job.job_type = 'TRAIN';
    v_a public.ml_models;
    v_b public.ml_models;
    v_target text := p_job.train_target_var;
    v_operator text := p_job.train_operator;
    v_value numeric := p_job.train_value;
    v_minutes integer := p_job.train_future_minutes;
    v_features text [] := string_to_array(p_job.train_features_csv, ',');
    v_phases text := p_job.train_phases_csv;
    v_start timestamptz := coalesce(p_job.train_start, p_job.test_start, p_job.compare_start);
    v_end timestamptz := coalesce(p_job.train_end, p_job.test_end, p_job.compare_end);
    v_rows record;
    v_rarer bigint;
BEGIN
    IF NOT v_is_train THEN
        SELECT * INTO v_a FROM public.ml_models m WHERE m.id = coalesce(p_job.test_model_id, p_job.compare_model_a_id);
        SELECT * INTO v_b FROM public.ml_models m WHERE m.id = coalesce(p_job.test_model_id, p_job.compare_model_b_id);
        v_target := v_a.target_variable;
        v_operator := v_a.target_operator;
        v_value := v_a.target_value;
        v_minutes := v_a.future_minutes;
        v_features := ARRAY(
            SELECT i.item
            FROM string_to_table(v_a.features_csv || ',' || v_b.features_csv, ',') WITH ORDINALITY AS i (item, place)
            GROUP BY i.item
            ORDER BY min(i.place)
        );
        v_phases := CASE
            WHEN v_a.phases_csv IS NULL THEN v_b.phases_csv
            WHEN v_b.phases_csv IS NULL THEN v_a.phases_csv
            ELSE (
                SELECT string_agg(i.item, ',')
                FROM string_to_table(v_a.phases_csv, ',') i (item)
                WHERE i.item = ANY (string_to_array(v_b.phases_csv, ','))
            )
        END;
    END IF;
    v_rows := ml.count_rows(v_target, v_operator, v_value, v_minutes, v_features, v_phases, v_start, v_end);
    v_rarer := least(v_rows.num_positive, v_rows.num_labelled - v_rows.num_positive);

    RETURN QUERY VALUES
        ('label', concat_ws(' ', v_target, v_operator, trim_scale(v_value), 'after ' || v_minutes || ' min')),
        ('phases', coalesce(v_phases, 'all')),
        ('period', v_start || ' to ' || v_end),
        ('rows from', date_trunc('second', v_rows.first_at)::text),
        ('rows to', date_trunc('second', v_rows.last_at)::text),
        ('rows', ml.count_text(v_rows.num_rows)),
        ('unlabelled', ml.count_text(v_rows.num_rows - v_rows.num_labelled, v_rows.num_rows)),
        ('labelled', ml.count_text(v_rows.num_labelled, v_rows.num_rows)),
        ('coins', ml.count_text(v_rows.num_coins)),
        ('positive', ml.count_text(v_rows.num_positive, v_rows.num_labelled)),
        ('negative', ml.count_text(v_rows.num_labelled - v_rows.num_positive, v_rows.num_labelled));
    IF v_is_train THEN
        RETURN QUERY SELECT 'held out', format(
            '%s %% of the rows: %s',
            trim_scale(100 * p_job.train_test_size),
            CASE WHEN v_rows.num_coins < 10 THEN 'the last part of the period' ELSE 'whole coins' END
        );
    END IF;
    RETURN QUERY
    SELECT 'NULL in ' || f.name, ml.count_text(v_rows.num_labelled - v_rows.num_known[f.place], v_rows.num_labelled)
    FROM unnest(v_features) WITH ORDINALITY AS f (name, place)
    ORDER BY f.place;

    -- What the worker refuses, in its order.
    RETURN QUERY
    SELECT 'would fail', x.said
    FROM (
        SELECT 1 AS place, 'there are no rows in this period and these phases' AS said WHERE v_rows.num_rows = 0
        UNION ALL
        SELECT 2, 'no row has a label: the target is NULL'
            || CASE WHEN v_minutes IS NULL THEN '' ELSE ', or no later row of the same coin lies in the period' END
        WHERE v_rows.num_rows > 0 AND v_rows.num_labelled = 0
        UNION ALL
        SELECT 3, format('the feature %s has no value in any labelled row: leave it out, or choose another period', f.name)
        FROM unnest(v_features) WITH ORDINALITY AS f (name, place)
        WHERE v_rows.num_labelled > 0 AND v_rows.num_known[f.place] = 0
        UNION ALL
        SELECT 4, format('the feature %s is infinite or larger than 3.4e38 in %s rows', f.name, v_rows.num_too_large[f.place])
        FROM unnest(v_features) WITH ORDINALITY AS f (name, place)
        WHERE v_rows.num_too_large[f.place] > 0
        UNION ALL
        SELECT 5, 'too little to learn from: needed are 20 labelled rows, and 2 of each class'
        WHERE v_is_train AND v_rows.num_labelled > 0 AND (v_rows.num_labelled < 20 OR v_rarer < 2)
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
        SELECT 4, 'fewer than 10 coins: the last part of the period is held out instead of whole coins'
        WHERE v_is_train AND v_rows.num_coins < 10
        UNION ALL
        SELECT 5, 'many rows have no label: ' || CASE
            WHEN v_minutes IS NULL THEN 'their target is NULL'
            ELSE format('their coin has no row with a target %s to %s minutes later within the period', v_minutes, 2 * v_minutes)
        END
        WHERE v_rows.num_labelled < 0.8 * v_rows.num_rows
        UNION ALL
        SELECT 6, 'the rows cover less than half of the period'
        WHERE v_rows.last_at - v_rows.first_at < (v_end - v_start) / 2
        UNION ALL
        SELECT 7, format('the feature %s is NULL in more than half of the labelled rows', f.name)
        FROM unnest(v_features) WITH ORDINALITY AS f (name, place)
        WHERE v_rows.num_known[f.place] < 0.5 * v_rows.num_labelled
    ) x
    ORDER BY x.place;
    IF NOT FOUND THEN
        RETURN QUERY VALUES ('warning', 'none');
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION ml.count_text(
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

CREATE OR REPLACE FUNCTION ml.preview(
    job_id bigint
)
RETURNS TABLE (
    what text,
    result text
)
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job public.ml_jobs;
BEGIN
    SELECT * INTO v_job FROM public.ml_jobs j WHERE j.id = job_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'job % does not exist', job_id
            USING ERRCODE = 'no_data_found', TABLE = 'ml_jobs', HINT = 'SELECT id, status FROM ml_jobs ORDER BY id DESC; lists the jobs.';
    END IF;
    RETURN QUERY SELECT p.what, p.result FROM ml.preview_job(v_job) p;
END
$$;

CREATE OR REPLACE FUNCTION ml.preview(
    model_type text DEFAULT NULL,
    target text DEFAULT NULL,
    operator text DEFAULT NULL,
    value numeric DEFAULT NULL,
    features text DEFAULT NULL,
    train_start timestamptz DEFAULT NULL,
    train_end timestamptz DEFAULT NULL,
    future_minutes integer DEFAULT NULL,
    phases text DEFAULT NULL,
    params text DEFAULT NULL,
    name text DEFAULT NULL,
    description text DEFAULT NULL,
    test_size numeric DEFAULT NULL,
    random_state integer DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL
)
RETURNS TABLE (
    what text,
    result text
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job public.ml_jobs := ml.check_train(
        model_type, target, operator, value, features, train_start, train_end, future_minutes,
        phases, params, name, description, test_size, random_state, priority, max_attempts
    );
BEGIN
    RETURN QUERY SELECT p.what, p.result FROM ml.preview_job(v_job) p;
END
$$;

COMMENT ON FUNCTION ml.check_train(
    text, text, text, numeric, text, timestamptz, timestamptz,
    integer, text, text, text, text, numeric, integer, integer, integer
) IS 'The TRAIN job that these arguments of ml.train would make, or the error of its INSERT; leaves nothing.';
COMMENT ON FUNCTION ml.count_rows(text, text, numeric, integer, text [], text, timestamptz, timestamptz) IS 'Part of ml.preview: counts the rows of a period and their labels, by the rules of the worker.';
COMMENT ON FUNCTION ml.preview_job(public.ml_jobs) IS 'Part of ml.preview: what a job would find.';
COMMENT ON FUNCTION ml.count_text(bigint, bigint) IS 'A count as people read it, with its share.';
COMMENT ON FUNCTION ml.preview(bigint) IS 'What a job will find or has found: rows, labels, coins, NULLs, and what would make it fail or suffer.';
COMMENT ON FUNCTION ml.preview(
    text, text, text, numeric, text, timestamptz, timestamptz,
    integer, text, text, text, text, numeric, integer, integer, integer
) IS 'What a TRAIN job would find, before it is inserted; arguments as for ml.train.';
