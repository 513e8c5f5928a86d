-- Before a job runs: SELECT * FROM ml.preview(12) counts the rows that it would use, by the very rules of the worker,
-- and says what would make it fail or what its results would suffer from.

SET search_path TO pg_catalog, pg_temp;

-- That a row m of a source lies in a period, in SQL, for bounds that are expressions of SQL.
CREATE OR REPLACE FUNCTION ml_internal.within_period(
    p_source jsonb,
    p_start text,
    p_end text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format(
        '%1$s >= %2$s AND %1$s < %3$s', p_source ->> 'moment_column',
        replace(p_source ->> 'bound', '{}', p_start), replace(p_source ->> 'bound', '{}', p_end)
    );
$$;

-- The same rows and labels that worker/database/dataset.py reads, with what each label was made of; columns without a time
-- zone are read as UTC. Of rows at one moment the first is the one that speaks against the label. Perhaps of some coins
-- alone (p_sample), or of one (p_key), which is found by an index on the key where its type says the same as its text.
CREATE OR REPLACE FUNCTION ml_internal.label_query(
    p_model public.ml_models,
    p_features text [],
    p_sample text,
    p_key text DEFAULT NULL,
    p_found text DEFAULT NULL
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format(
        $query$
        SELECT s.*, %s AS found, %s AS is_covered
        FROM (
            SELECT
                (%s) COLLATE "C" AS mint,
                %s AS "timestamp",
                %s AS phase,
                t.target,
                t.base
                %s
            FROM %s m
            CROSS JOIN LATERAL (SELECT %s AS target, %s AS base) t
            WHERE %s %s %s
            %s
        ) s
        %s
        $query$,
        CASE WHEN p_model.future_minutes IS NULL THEN 's.target' ELSE coalesce(p_found, r.found) END,
        CASE WHEN p_model.future_minutes IS NULL THEN 'true' ELSE 'coalesce(first_value(true) OVER ahead, false)' END,
        d.source ->> 'key',
        d.source ->> 'moment',
        coalesce(d.source ->> 'phase', 'NULL::integer'),
        (
            SELECT string_agg(format(', %s AS f%s', ml_internal.number_expression(p_model.source, f.name), f.place), '' ORDER BY f.place)
            FROM unnest(p_features) WITH ORDINALITY AS f (name, place)
        ),
        d.source ->> 'relation',
        ml_internal.number_expression(p_model.source, p_model.target_variable),
        CASE WHEN p_model.base_variable IS NULL THEN 'NULL::numeric' ELSE ml_internal.number_expression(p_model.source, p_model.base_variable) END,
        ml_internal.within_period(d.source, '$2', '$3'),
        CASE WHEN p_sample IS NOT NULL THEN format('AND (%s) IN (%s)', d.source ->> 'key', p_sample) END,
        CASE WHEN p_key IS NOT NULL THEN format('AND (%s) = %s', d.source ->> 'key', p_key) || coalesce((
            SELECT format(' AND m.%I = %s::%s', x.key_column, p_key, x.key_type)
            FROM ml_internal.find_source(p_model.source) x
            WHERE x.key_type = ANY ('{text,varchar,int2,int4,int8,numeric,uuid}'::regtype [])
        ), '') END,
        CASE WHEN p_model.future_minutes IS NOT NULL THEN format(
            'ORDER BY 1, 2, %s, %s t.target',
            CASE WHEN r.is_change THEN 'NULL::boolean' ELSE format('ml_internal.is_positive(%L, t.target, %L)', p_model.target_operator, p_model.target_value) END,
            CASE WHEN p_model.target_operator LIKE '<%' THEN '-' END
        ) END,
        CASE WHEN p_model.future_minutes IS NOT NULL THEN format(
            'WINDOW
                ahead AS (PARTITION BY s.mint ORDER BY s."timestamp" RANGE BETWEEN %1$L::interval FOLLOWING AND %2$L::interval FOLLOWING),
                path AS (PARTITION BY s.mint ORDER BY s."timestamp" RANGE BETWEEN %3$L::interval FOLLOWING AND %1$L::interval FOLLOWING)',
            make_interval(mins => p_model.future_minutes), make_interval(mins => 2 * p_model.future_minutes),
            '1 microsecond'
        ) END
    )
    FROM public.ref_labels r
    CROSS JOIN (SELECT ml_internal.describe_source(p_model.source) AS source OFFSET 0) d
    WHERE r.name = p_model.label;
$$;

-- The label of such a row s, for a value, a stop and the end of what is known, which are expressions of SQL.
CREATE OR REPLACE FUNCTION ml_internal.label_of_row(
    p_model public.ml_models,
    p_value text,
    p_stop text,
    p_known_until text DEFAULT '$3',
    p_judged text DEFAULT NULL
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format(
        $query$
        (
            SELECT CASE
                WHEN o.goal IS NULL THEN NULL
                WHEN s.is_covered THEN %1$s
                WHEN %2$L AND s."timestamp" < %7$s - %3$L::interval THEN coalesce(%4$L AND %1$s, false)
            END
            FROM (SELECT s.found, %5$s AS goal, %6$s AS stop) o
        )
        $query$,
        coalesce(p_judged, r.judged),
        p_model.uncovered IS NOT DISTINCT FROM 'negative',
        make_interval(mins => 2 * p_model.future_minutes),
        p_model.target_operator = ANY (string_to_array(r.certain_operators_csv, ',')),
        CASE WHEN r.is_change THEN format('ml_internal.changed_by(s.base, %s)', p_value) ELSE p_value END,
        CASE WHEN r.has_stop THEN format('ml_internal.changed_by(s.base, %s)', p_stop) ELSE 'NULL::numeric' END,
        p_known_until
    )
    FROM public.ref_labels r
    WHERE r.name = p_model.label;
$$;

-- Whether such a row has what its label is a change of.
CREATE OR REPLACE FUNCTION ml_internal.base_of_row(
    p_model public.ml_models
)
RETURNS text
LANGUAGE sql
IMMUTABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN p_model.base_variable IS NULL THEN 'true' ELSE '(s.base > 0 AND s.base < ''Infinity'') IS TRUE' END;
$$;

-- Whole coins that have about so many rows, drawn by a hash of their names; NULL where all together have no more. To look
-- at each row's whole window takes the server long: as many steps as a window has rows, on average.
CREATE OR REPLACE FUNCTION ml_internal.sample_coins(
    p_model public.ml_models,
    p_start timestamptz,
    p_end timestamptz,
    OUT coins text [],
    OUT num_coins bigint
)
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET timezone TO 'UTC'
SET extra_float_digits TO 1
SET datestyle TO 'ISO, MDY'
AS $$
DECLARE
    v_most_rows constant integer := 50000;
    v_most_steps constant integer := 5000000;
    v_source jsonb;
BEGIN
    IF NOT EXISTS (SELECT FROM public.ref_labels r WHERE r.name = p_model.label AND r.found LIKE '%OVER path%') THEN
        RETURN;
    END IF;
    v_source := ml_internal.describe_source(p_model.source);
    EXECUTE format(
        $query$
        SELECT array_agg(o.mint) FILTER (WHERE o.rows_before < $3 AND o.steps_before < $4), count(*)
        FROM (
            SELECT
                c.mint,
                sum(c.num_rows) OVER places - c.num_rows AS rows_before,
                sum(c.num_rows * c.in_a_window) OVER places - c.num_rows * c.in_a_window AS steps_before
            FROM (
                SELECT
                    x.mint,
                    count(*) AS num_rows,
                    count(*) * least(1, $5 * 60 / nullif(extract(epoch FROM max(%1$s) - min(%1$s)), 0)) AS in_a_window
                FROM %2$s m
                CROSS JOIN LATERAL (SELECT %3$s AS mint) x
                WHERE %4$s
                GROUP BY x.mint
            ) c
            WINDOW places AS (ORDER BY hashtext(c.mint), c.mint)
        ) o
        $query$,
        v_source ->> 'moment', v_source ->> 'relation', v_source ->> 'key', ml_internal.within_period(v_source, '$1', '$2')
    )
    INTO coins, num_coins
    USING p_start, p_end, v_most_rows, v_most_steps, p_model.future_minutes;
    IF cardinality(coins) = num_coins THEN
        coins := NULL;
    END IF;
END
$$;

-- What to say of an error that a view of the user's own raised, or that his rights did.
CREATE OR REPLACE FUNCTION ml_internal.reading_hint(
    p_source text
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format(
        'That is what reading %1$s gave: SELECT * FROM %1$s; shows whether you can.',
        CASE p_source WHEN 'coin_metrics' THEN p_source ELSE (SELECT s.relation FROM ml_internal.find_source(p_source) s) END
    );
$$;

CREATE OR REPLACE FUNCTION ml_internal.count_rows(
    p_model public.ml_models,
    p_features text [],
    p_phases_csv text,
    p_start timestamptz,
    p_end timestamptz,
    OUT num_rows bigint,
    OUT num_labelled bigint,
    OUT num_positive bigint,
    OUT num_coins bigint,
    OUT num_without_base bigint,
    OUT num_uncovered bigint,
    OUT first_at timestamptz,
    OUT last_at timestamptz,
    OUT num_known bigint [],
    OUT num_too_large bigint [],
    OUT num_too_small bigint [],
    OUT num_lost bigint [],
    OUT sample text
)
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET timezone TO 'UTC'
SET extra_float_digits TO 1
SET datestyle TO 'ISO, MDY'
AS $$
DECLARE
    v_sample record;
    v_message text;
    v_hint text;
    v_code text;
BEGIN
    p_model := jsonb_populate_record(p_model, jsonb_build_object('source', coalesce(p_model.source, 'coin_metrics')));
    IF p_model.source = 'coin_metrics' THEN
        PERFORM ml_internal.require_metrics();
    END IF;
    v_sample := ml_internal.sample_coins(p_model, p_start, p_end);
    IF v_sample.coins IS NOT NULL THEN
        sample := format('%s of %s coins, all of their rows', ml_internal.count_text(cardinality(v_sample.coins)), ml_internal.count_text(v_sample.num_coins));
    END IF;
    EXECUTE (
        SELECT format(
            $query$
            SELECT
                count(*),
                count(o.label),
                count(*) FILTER (WHERE o.label),
                count(DISTINCT o.mint) FILTER (WHERE o.label IS NOT NULL),
                count(*) FILTER (WHERE NOT o.has_base),
                count(*) FILTER (WHERE o.has_base AND NOT o.is_covered),
                min(o."timestamp"),
                max(o."timestamp"),
                ARRAY[%s],
                ARRAY[%s],
                ARRAY[%s]::bigint [],
                ARRAY[%s]::bigint []
            FROM (
                SELECT s.*, %s AS label, %s AS has_base
                FROM (%s) s
            ) o
            WHERE $4 IS NULL OR o.phase = ANY ($4)
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
            ml_internal.label_of_row(p_model, '$5', '$6'),
            ml_internal.base_of_row(p_model),
            ml_internal.label_query(p_model, p_features, CASE WHEN v_sample.coins IS NOT NULL THEN 'SELECT unnest($7)' END)
        )
        FROM (
            SELECT n.place, ml_internal.number_expression(p_model.source, n.name) AS expression, (
                SELECT ml_internal.column_type(x.id, n.name) FROM ml_internal.find_source(p_model.source) x
            ) AS type
            FROM unnest(p_features) WITH ORDINALITY AS n (name, place)
        ) f
    )
    INTO num_rows, num_labelled, num_positive, num_coins, num_without_base, num_uncovered, first_at, last_at, num_known, num_too_large, num_too_small, num_lost
    USING p_model.target_operator, p_start, p_end, string_to_array(p_phases_csv, ',')::integer [],
        p_model.target_value, p_model.stop_value, v_sample.coins;
EXCEPTION
    -- Of what is wrong with a view of the user's own, or with his rights, but not the query above.
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS v_message = MESSAGE_TEXT, v_hint = PG_EXCEPTION_HINT, v_code = RETURNED_SQLSTATE;
        RAISE EXCEPTION USING MESSAGE = v_message, ERRCODE = v_code, TABLE = p_model.source,
            HINT = coalesce(nullif(v_hint, ''), ml_internal.reading_hint(p_model.source));
END
$$;

-- Before anything is trained: how many rows and coins would be positive at which threshold.
CREATE OR REPLACE FUNCTION ml.targets(
    target text,
    label text DEFAULT 'value',
    future_minutes integer DEFAULT NULL,
    operator text DEFAULT NULL,
    base text DEFAULT NULL,
    stop_value numeric DEFAULT NULL,
    uncovered text DEFAULT NULL,
    train_start timestamptz DEFAULT NULL,
    train_end timestamptz DEFAULT NULL,
    phases text DEFAULT NULL,
    source text DEFAULT NULL
)
RETURNS TABLE (
    threshold numeric,
    rows_positive bigint,
    percent_of_rows numeric,
    coins_positive bigint,
    percent_of_coins numeric,
    predicts text,
    counted text
)
LANGUAGE plpgsql
ROWS 10
SET search_path TO pg_catalog, pg_temp
SET timezone TO 'UTC'
SET extra_float_digits TO 1
SET datestyle TO 'ISO, MDY'
AS $$
DECLARE
    v_label public.ref_labels;
    v_sign integer;
    v_start timestamptz := train_start;
    v_end timestamptz := train_end;
    v_model public.ml_models;
    v_sample record;
    v_name text := coalesce(btrim(targets.source), 'coin_metrics');
    v_read jsonb := ml_internal.describe_source(v_name);
    v_feature text;
BEGIN
    IF v_name <> 'coin_metrics' THEN
        PERFORM ml_internal.require_source(v_name, '{}', phases IS NOT NULL, to_regrole(quote_ident(current_user)));
    END IF;
    SELECT r.* INTO v_label FROM public.ref_labels r WHERE r.name = label;
    v_sign := CASE WHEN coalesce(operator, CASE WHEN label LIKE 'lowest%' THEN '<=' END) LIKE '<%' OR stop_value > 0 THEN -1 ELSE 1 END;
    IF v_start IS NULL OR v_end IS NULL THEN
        EXECUTE format(
            'SELECT
                coalesce($1, (SELECT %1$s FROM %2$s m WHERE %3$s > ''-infinity'' ORDER BY %3$s LIMIT 1)),
                coalesce($2, (SELECT %1$s FROM %2$s m WHERE %3$s < ''infinity'' ORDER BY %3$s DESC LIMIT 1) + interval ''1 microsecond'')',
            v_read ->> 'moment', v_read ->> 'relation', v_read ->> 'moment_column'
        )
        INTO v_start, v_end
        USING v_start, v_end;
    END IF;
    -- What is wrong with these arguments is said by the INSERT of a job that has them. It needs a feature, which may be the
    -- target itself where that lies ahead.
    v_feature := (SELECT min(c.column_name) FROM public.ml_metric_columns c WHERE c.is_numeric AND c.column_name <> target AND c.source = v_name);
    v_model := ml_internal.planned_model(ml_internal.try_train(
        'xgboost', target, coalesce(operator, CASE v_sign WHEN 1 THEN '>=' ELSE '<=' END), v_sign, coalesce(v_feature, target),
        v_start, v_end, CASE WHEN v_feature IS NULL AND NOT v_label.needs_horizon THEN coalesce(future_minutes, 1) ELSE future_minutes END, phases, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        label, base, CASE WHEN v_label.has_stop THEN coalesce(stop_value, -v_sign) ELSE stop_value END, uncovered, v_name
    ));
    IF future_minutes IS NULL THEN
        v_model := jsonb_populate_record(v_model, '{"future_minutes": null, "uncovered": null}');
    END IF;
    v_sample := ml_internal.sample_coins(v_model, v_start, v_end);
    RETURN QUERY EXECUTE format(
        $query$
        WITH s AS MATERIALIZED (%s),
        chosen AS MATERIALIZED (SELECT s.mint, s."timestamp", s.base, s.found, s.is_covered FROM s WHERE $4 IS NULL OR s.phase = ANY ($4)),
        ladder AS (%s),
        coins AS (
            SELECT x.threshold, x.mint, count(x.label) AS num_labelled, count(*) FILTER (WHERE x.label) AS num_positive
            FROM (SELECT s.mint, l.threshold, %s AS label FROM chosen s CROSS JOIN ladder l OFFSET 0) x
            GROUP BY x.threshold, x.mint
            HAVING count(x.label) > 0
        )
        SELECT
            c.threshold,
            sum(c.num_positive)::bigint,
            round(100 * sum(c.num_positive) / sum(c.num_labelled), 2),
            count(*) FILTER (WHERE c.num_positive > 0),
            round(100.0 * count(*) FILTER (WHERE c.num_positive > 0) / count(*), 2),
            ml_internal.label_text($8, $9, $1, c.threshold, $10, $11, coalesce($6, -least(c.threshold, 50)), $12) || $13,
            format(
                '%%s row%%s of %%s coin%%s%%s', ml_internal.count_text(sum(c.num_labelled)::bigint), CASE WHEN sum(c.num_labelled) > 1 THEN 's' END,
                ml_internal.count_text(count(*)), CASE WHEN count(*) > 1 THEN 's' END, $5
            )
        FROM coins c
        GROUP BY c.threshold
        ORDER BY abs(c.threshold), c.threshold
        $query$,
        ml_internal.label_query(v_model, ARRAY[v_model.target_variable], CASE WHEN v_sample.coins IS NOT NULL THEN 'SELECT unnest($7)' END),
        CASE
            WHEN v_label.is_change AND v_sign > 0 THEN 'SELECT unnest(''{1,2,5,10,20,30,50,100,200,500}''::numeric []) AS threshold'
            WHEN v_label.is_change THEN 'SELECT unnest(''{-1,-2,-5,-10,-20,-30,-50,-70,-90,-99}''::numeric []) AS threshold'
            ELSE 'SELECT DISTINCT trim_scale(unnest(percentile_disc(''{0.01,0.05,0.1,0.25,0.5,0.75,0.9,0.95,0.99}''::double precision []) WITHIN GROUP (ORDER BY c.found))) AS threshold FROM chosen c'
        END,
        ml_internal.label_of_row(v_model, 'l.threshold', 'coalesce($6, -least(l.threshold, 50))') -- what rises by 200 % falls by no 200 %
    )
    USING v_model.target_operator, v_start, v_end, string_to_array(v_model.phases_csv, ',')::integer [],
        CASE WHEN v_sample.coins IS NOT NULL THEN format(', a sample of whole coins out of %s', ml_internal.count_text(v_sample.num_coins)) END,
        stop_value, v_sample.coins,
        v_model.label::text, v_model.target_variable::text, v_model.future_minutes, v_model.base_variable::text, v_model.uncovered::text,
        CASE WHEN v_name = 'coin_metrics' THEN '' ELSE ', in ' || v_name END;
    IF NOT FOUND THEN
        counted := 'no row has a label: ' || ml_internal.unlabelled_text(v_model.future_minutes, v_model.base_variable);
        RETURN NEXT;
    END IF;
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
    v_reads_labels boolean := (SELECT k.reads_labels FROM ml.job_kinds k WHERE k.job_type = p_job.job_type);
    v_models public.ml_models [];
    v_label public.ml_models;
    v_features text [];
    v_phases text;
    v_start timestamptz;
    v_end timestamptz;
    v_fewest record := ml_internal.fewest();
    v_columns text [];
    v_is_there boolean;
    v_me oid;
    v_fault record;
    v_rows record;
    v_rarer bigint;
    v_few text;
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
    v_columns := ARRAY(SELECT DISTINCT x.name FROM unnest(v_models) m CROSS JOIN LATERAL unnest(ml_internal.columns_of_model(m)) x (name));
    -- What would be refused at the claim, as things are now. A job that is there was inserted by a role that has its rights.
    v_is_there := EXISTS (SELECT FROM public.ml_jobs j WHERE j.id = p_job.id);
    IF v_label.source <> 'coin_metrics' THEN
        v_me := to_regrole(quote_ident(current_user));
        v_fault := ml_internal.source_fault(
            v_label.source, v_columns, v_phases IS NOT NULL, CASE WHEN v_is_there THEN ml_internal.role_of_team(p_job.team) ELSE v_me END
        );
        IF v_is_there AND v_fault.message IS NOT NULL THEN
            RETURN QUERY VALUES ('label', ml_internal.label_text(v_label)), ('period', v_start || ' to ' || v_end), ('would fail', v_fault.message);
            RETURN;
        END IF;
        PERFORM ml_internal.require_source(v_label.source, v_columns, v_phases IS NOT NULL, v_me);
    END IF;
    v_rows := ml_internal.count_rows(
        v_label, v_features, v_phases, v_start, v_end
    );
    v_rarer := least(v_rows.num_positive, v_rows.num_labelled - v_rows.num_positive);
    IF v_makes AND v_rows.sample IS NULL AND (1 - v_label.test_size) * v_rarer < 50 THEN
        v_few := format('about %s of them will be fitted (warning, few_positives)', round((1 - v_label.test_size) * v_rarer));
    END IF;

    IF v_rows.sample IS NOT NULL THEN
        RETURN QUERY VALUES ('counted', v_rows.sample);
    END IF;
    RETURN QUERY VALUES
        ('label', ml_internal.label_text(v_label)),
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
    IF v_label.base_variable IS NOT NULL THEN
        RETURN QUERY SELECT 'without a base', ml_internal.count_text(v_rows.num_without_base, v_rows.num_rows);
    END IF;
    IF v_label.future_minutes IS NOT NULL THEN
        RETURN QUERY SELECT 'coin stops', ml_internal.count_text(v_rows.num_uncovered, v_rows.num_rows)
            || CASE v_label.uncovered
                WHEN 'negative' THEN format(': negative, but in the last %s min of the period left out', 2 * v_label.future_minutes)
                ELSE ': left out'
            END;
    END IF;
    IF v_makes THEN
        RETURN QUERY SELECT 'held out', format(
            '%s %% of the rows: %s',
            trim_scale(100 * v_label.test_size),
            CASE
                WHEN v_label.split = 'coins_and_time'
                    THEN format('the last part of the period; of these the coins that are not fitted: %s %%, and new ones', trim_scale(100 * v_label.test_size))
                WHEN v_label.split = 'time' OR v_rows.sample IS NULL AND v_rows.num_coins < v_fewest.coins THEN 'the last part of the period'
                ELSE 'whole coins'
            END
        );
        RETURN QUERY SELECT 'threshold', CASE
            WHEN v_label.threshold IS NULL THEN v_label.threshold_rule || ': chosen on a further 20 % of the rows, which are not fitted either'
            ELSE v_label.threshold_rule
        END;
        RETURN QUERY SELECT 'folds', format('%s later periods, each measured by a fit on all rows before it', v_label.folds) WHERE v_label.folds > 0;
        -- What tests/benchmarks/bench_splits.py found.
        RETURN QUERY SELECT 'recommended', concat_ws(
            ', ', CASE WHEN v_label.split <> 'time' THEN 'split => ''time''' END, CASE WHEN v_label.folds IS NULL THEN 'folds => 5' END
        ) || ': what a model gives in the last part of the period, and its recipe in later parts one after another, forecasts the next period best'
        WHERE v_label.split <> 'time' OR v_label.folds IS NULL;
    END IF;
    RETURN QUERY
    SELECT 'NULL in ' || f.name, ml_internal.count_text(v_rows.num_labelled - v_rows.num_known[f.place], v_rows.num_labelled)
    FROM unnest(v_features) WITH ORDINALITY AS f (name, place)
    ORDER BY f.place;

    -- What the worker refuses, in its order. Of coins that were not counted only the worker can tell.
    RETURN QUERY
    SELECT
        CASE WHEN v_rows.sample IS NULL OR x.place IN (4, 5) THEN 'would fail' ELSE 'may fail' END,
        CASE WHEN v_rows.sample IS NOT NULL THEN 'among the coins counted ' ELSE '' END || x.said
    FROM (
        SELECT 1 AS place, 'there are no rows in this period and these phases' AS said WHERE v_rows.num_rows = 0
        UNION ALL
        SELECT 2, 'no row has a label: ' || ml_internal.unlabelled_text(v_label.future_minutes, v_label.base_variable)
        WHERE v_reads_labels AND v_rows.num_rows > 0 AND v_rows.num_labelled = 0
        UNION ALL
        SELECT 3, format('the feature %s has no value in any labelled row: leave it out, or choose another period', f.name)
        FROM unnest(v_features) WITH ORDINALITY AS f (name, place)
        WHERE v_reads_labels AND v_rows.num_labelled > 0 AND v_rows.num_known[f.place] = 0
        UNION ALL
        SELECT 4, format(
            'the feature %s is infinite or larger than 3.4e38 in %s of %s rows; correct them in %s, or leave the feature out',
            f.name, v_rows.num_too_large[f.place], v_rows.num_labelled, v_label.source
        )
        FROM unnest(v_features) WITH ORDINALITY AS f (name, place)
        WHERE v_rows.num_too_large[f.place] > 0
        UNION ALL
        SELECT 5, format(
            'the feature %s is not 0, but smaller than 1e-308 in %s of %s rows; set them to 0 in %s, '
            'multiply the column, or leave the feature out',
            f.name, v_rows.num_too_small[f.place], v_rows.num_rows, v_label.source
        )
        FROM unnest(v_features) WITH ORDINALITY AS f (name, place)
        WHERE v_rows.num_too_small[f.place] > 0
        UNION ALL
        SELECT 6, format('too little to learn from: needed are %s labelled rows, and %s of each class', v_fewest.rows, v_fewest.of_a_class)
        WHERE v_makes AND v_rows.num_labelled > 0 AND (v_rows.num_labelled < v_fewest.rows OR v_rarer < v_fewest.of_a_class)
        UNION ALL
        SELECT 7, format('fewer than %s coins: too few to hold out later rows of some that are not fitted; choose split => ''time''', v_fewest.coins)
        WHERE v_makes AND v_label.split = 'coins_and_time' AND v_rows.sample IS NULL AND v_rows.num_labelled > 0 AND v_rows.num_coins < v_fewest.coins
    ) x
    ORDER BY x.place;
    IF FOUND THEN
        RETURN;
    END IF;

    RETURN QUERY
    SELECT 'warning', x.said
    FROM (
        SELECT 1 AS place, 'all labelled rows are of one class: F1 or ROC AUC will be undefined' AS said WHERE v_reads_labels AND v_rarer = 0
        UNION ALL
        SELECT 2, format('strongly imbalanced: only %s of %s labelled rows are %s', v_rarer, v_rows.num_labelled,
            CASE WHEN v_rarer = v_rows.num_positive THEN 'positive' ELSE 'negative' END) || coalesce('; ' || v_few, '')
        WHERE v_reads_labels AND v_rarer > 0 AND v_rarer < 0.05 * v_rows.num_labelled
        UNION ALL
        SELECT 2, format('%s of the rarer class: %s', v_rarer, v_few)
        WHERE v_rarer >= 0.05 * v_rows.num_labelled AND v_few IS NOT NULL
        UNION ALL
        SELECT 3, 'few rows: the numbers measured will be rough' WHERE v_reads_labels AND v_rows.num_labelled < 1000
        UNION ALL
        SELECT 4, format('fewer than %s coins: the last part of the period is held out instead of whole coins', v_fewest.coins)
        WHERE v_makes AND v_label.split = 'coins' AND v_rows.sample IS NULL AND v_rows.num_coins < v_fewest.coins
        UNION ALL
        SELECT 5, 'many rows have no label: ' || ml_internal.unlabelled_text(v_label.future_minutes, v_label.base_variable)
        WHERE v_reads_labels AND v_rows.num_labelled < 0.8 * v_rows.num_rows
        UNION ALL
        SELECT 5, format('%s of the rows are of coins that stop before their window ends, and count as negative', ml_internal.count_text(v_rows.num_uncovered, v_rows.num_rows))
        WHERE v_reads_labels AND v_label.uncovered = 'negative' AND v_rows.num_uncovered >= 0.2 * v_rows.num_rows
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
        UNION ALL
        SELECT CASE t.severity WHEN 'severe' THEN 0 WHEN 'warning' THEN 9 ELSE 10 END, format('%s (%s, %s)', t.sentence, t.severity, t.code)
        FROM ml_internal.preview_traps(
            v_models, v_makes, v_features, v_phases, v_start, v_end, v_rows.num_rows
        ) t
        WHERE v_reads_labels OR t.code NOT IN ('period_overlaps', 'period_earlier', 'seen_coins') -- which speak of figures
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

COMMENT ON FUNCTION ml_internal.within_period(jsonb, text, text) IS 'Part of ml.preview: that a row of a source lies in a period, in SQL.';
COMMENT ON FUNCTION ml_internal.label_query(public.ml_models, text [], text, text, text) IS 'Part of ml.preview and ml.outcomes: the rows of a period in SQL, with what their labels are made of.';
COMMENT ON FUNCTION ml_internal.label_of_row(public.ml_models, text, text, text, text) IS 'Part of ml.preview and ml.outcomes: the label of such a row in SQL.';
COMMENT ON FUNCTION ml_internal.base_of_row(public.ml_models) IS 'Part of ml.preview and ml.outcomes: whether such a row has a base for its change, in SQL.';
COMMENT ON FUNCTION ml_internal.reading_hint(text) IS 'Part of ml.preview and ml.outcomes: what to do about an error that reading a source gave.';
COMMENT ON FUNCTION ml_internal.sample_coins(public.ml_models, timestamptz, timestamptz) IS 'Part of ml.preview: whole coins to count instead of all, where to count all would take long.';
COMMENT ON FUNCTION ml_internal.count_rows(public.ml_models, text [], text, timestamptz, timestamptz) IS 'Part of ml.preview: counts the rows of a period and their labels, by the rules of the worker.';
COMMENT ON FUNCTION ml.targets IS 'What could be learned at all: the share of positive rows and coins at a ladder of thresholds, before anything is trained. Of many rows it counts a sample of whole coins. A stop, unless given, is the same change the other way, 50 % at most.';
COMMENT ON FUNCTION ml_internal.preview_job(public.ml_jobs) IS 'Part of ml.preview: what a job would find.';
COMMENT ON FUNCTION ml.preview(bigint) IS 'What a job will find or has found: rows, labels, coins, NULLs, and what would make it fail or suffer.';
