-- What a job must say to be accepted. The constraints of ml_jobs keep the simple rules for good;
-- these triggers come before them, so that a user reads which value is wrong and what to do.

SET search_path TO pg_catalog, pg_temp;

-- Runs first, and as the role that inserts: the job is its, and a model that it may not see does not exist for it.
CREATE OR REPLACE FUNCTION ml.sign_job()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_model_id bigint;
BEGIN
    NEW.created_by := coalesce(NEW.created_by, current_user);
    IF NEW.created_by <> current_user THEN
        RAISE EXCEPTION 'a job of % cannot be inserted as %', NEW.created_by, current_user
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'created_by',
            HINT = format('Leave created_by out, or first become that role: SET ROLE %I;', NEW.created_by);
    END IF;
    IF num_nonnulls(NEW.test_model_id, NEW.compare_model_a_id, NEW.compare_model_b_id) = 0 THEN
        RETURN NEW;
    END IF;
    FOREACH v_model_id IN ARRAY ARRAY[NEW.test_model_id, NEW.compare_model_a_id, NEW.compare_model_b_id] LOOP
        IF v_model_id IS NOT NULL AND NOT EXISTS (SELECT FROM public.ml_models m WHERE m.id = v_model_id) THEN
            RAISE EXCEPTION 'model % does not exist', v_model_id
                USING ERRCODE = 'foreign_key_violation', TABLE = 'ml_models',
                HINT = 'SELECT id, name FROM ml_leaderboard; lists the models that can be used.';
        END IF;
    END LOOP;
    RETURN NEW;
END
$$;

-- Triggers of one kind fire in the order of their names.
CREATE OR REPLACE TRIGGER ml_jobs_belongs_to_inserter
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW EXECUTE FUNCTION ml.sign_job();

-- Rules of one row: its own fields, and the models that it names.
CREATE OR REPLACE FUNCTION ml.check_job()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_fields text;
    v_column text;
    v_message text;
    v_hint text;
    v_start timestamptz;
    v_end timestamptz;
    v_is_named boolean;
    v_model_a public.ml_models;
    v_model_b public.ml_models;
BEGIN
    -- Clients that send every column send NULL for those they leave out.
    NEW.status := coalesce(NEW.status, 'PENDING');
    NEW.priority := coalesce(NEW.priority, 5);
    NEW.created_at := coalesce(NEW.created_at, now());
    NEW.progress := coalesce(NEW.progress, 0);
    NEW.attempt := coalesce(NEW.attempt, 0);
    NEW.max_attempts := coalesce(NEW.max_attempts, 3);
    -- To read a list takes time and room that grow faster than the list.
    v_column := CASE
        WHEN length(NEW.train_features_csv) > 20000 THEN 'train_features_csv'
        WHEN length(NEW.train_phases_csv) > 20000 THEN 'train_phases_csv'
        WHEN length(NEW.train_params_csv) > 20000 THEN 'train_params_csv'
    END;
    IF v_column IS NOT NULL THEN
        RAISE EXCEPTION '% has more than 20000 characters', v_column
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = v_column,
            HINT = 'Name each item once, without blanks.';
    END IF;
    IF NEW.job_type = 'TRAIN' THEN
        v_is_named := NEW.train_model_name IS NOT NULL;
        NEW.train_target_var := btrim(NEW.train_target_var);
        NEW.train_operator := btrim(NEW.train_operator);
        NEW.train_model_type := btrim(NEW.train_model_type);
        IF concat(NEW.train_features_csv, NEW.train_phases_csv, NEW.train_params_csv) ~ '\s'
            OR '' IN (NEW.train_features_csv, NEW.train_phases_csv, NEW.train_params_csv)
        THEN
            NEW.train_features_csv := ml.tidy_list(NEW.train_features_csv);
            NEW.train_phases_csv := ml.tidy_list(NEW.train_phases_csv);
            NEW.train_params_csv := ml.tidy_list(NEW.train_params_csv);
        END IF;
        NEW.train_model_name := coalesce(NEW.train_model_name, NEW.train_model_type || '_' || NEW.id);
        NEW.train_test_size := coalesce(NEW.train_test_size, 0.2);
        NEW.train_random_state := coalesce(NEW.train_random_state, 42);
    END IF;

    -- Fields that the service writes.
    IF NEW.created_at <> now() OR NEW.progress <> 0 OR NEW.attempt <> 0 OR num_nonnulls(
        NEW.started_at, NEW.completed_at, NEW.progress_msg, NEW.error_msg, NEW.worker_id, NEW.lease_until,
        NEW.result_model_id, NEW.result_test_id, NEW.result_comparison_id
    ) > 0 THEN
        v_fields := concat_ws(
            ', ',
            'created_at = ' || nullif(NEW.created_at, now()),
            'started_at = ' || NEW.started_at,
            'completed_at = ' || NEW.completed_at,
            'progress = ' || nullif(NEW.progress, 0),
            'progress_msg = ' || NEW.progress_msg,
            'error_msg = ' || NEW.error_msg,
            'worker_id = ' || NEW.worker_id,
            'attempt = ' || nullif(NEW.attempt, 0),
            'lease_until = ' || NEW.lease_until,
            'result_model_id = ' || NEW.result_model_id,
            'result_test_id = ' || NEW.result_test_id,
            'result_comparison_id = ' || NEW.result_comparison_id
        );
        RAISE EXCEPTION 'a new job cannot set %', left(v_fields, 200)
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = split_part(v_fields, ' ', 1),
            HINT = 'Leave these fields out: the service fills them while the job runs.';
    END IF;

    -- Fields that this type of job lacks, and fields of another type.
    IF (CASE NEW.job_type
        WHEN 'TRAIN' THEN num_nulls(
            NEW.train_target_var, NEW.train_operator, NEW.train_value, NEW.train_start, NEW.train_end,
            NEW.train_features_csv, NEW.train_model_type
        )
        WHEN 'TEST' THEN num_nulls(NEW.test_model_id, NEW.test_start, NEW.test_end)
        WHEN 'COMPARE' THEN num_nulls(
            NEW.compare_model_a_id, NEW.compare_model_b_id, NEW.compare_start, NEW.compare_end
        )
    END) > 0 THEN
        v_fields := CASE NEW.job_type
            WHEN 'TRAIN' THEN concat_ws(
                ', ',
                CASE WHEN NEW.train_target_var IS NULL THEN 'train_target_var' END,
                CASE WHEN NEW.train_operator IS NULL THEN 'train_operator' END,
                CASE WHEN NEW.train_value IS NULL THEN 'train_value' END,
                CASE WHEN NEW.train_start IS NULL THEN 'train_start' END,
                CASE WHEN NEW.train_end IS NULL THEN 'train_end' END,
                CASE WHEN NEW.train_features_csv IS NULL THEN 'train_features_csv' END,
                CASE WHEN NEW.train_model_type IS NULL THEN 'train_model_type' END
            )
            WHEN 'TEST' THEN concat_ws(
                ', ',
                CASE WHEN NEW.test_model_id IS NULL THEN 'test_model_id' END,
                CASE WHEN NEW.test_start IS NULL THEN 'test_start' END,
                CASE WHEN NEW.test_end IS NULL THEN 'test_end' END
            )
            WHEN 'COMPARE' THEN concat_ws(
                ', ',
                CASE WHEN NEW.compare_model_a_id IS NULL THEN 'compare_model_a_id' END,
                CASE WHEN NEW.compare_model_b_id IS NULL THEN 'compare_model_b_id' END,
                CASE WHEN NEW.compare_start IS NULL THEN 'compare_start' END,
                CASE WHEN NEW.compare_end IS NULL THEN 'compare_end' END
            )
        END;
        RAISE EXCEPTION 'a % job needs %', NEW.job_type, v_fields
            USING ERRCODE = 'not_null_violation', TABLE = 'ml_jobs', COLUMN = split_part(v_fields, ',', 1),
            HINT = 'Name these fields in the INSERT and give each a value; \d+ ml_jobs says what they mean.';
    END IF;

    IF NEW.job_type IN ('TRAIN', 'TEST', 'COMPARE') AND (
        NEW.job_type <> 'TRAIN' AND num_nonnulls(
            NEW.train_target_var, NEW.train_operator, NEW.train_value, NEW.train_start, NEW.train_end,
            NEW.train_features_csv, NEW.train_phases_csv, NEW.train_params_csv, NEW.train_model_type,
            NEW.train_model_name, NEW.train_description, NEW.train_test_size, NEW.train_random_state,
            NEW.train_future_minutes
        ) > 0
        OR NEW.job_type <> 'TEST' AND num_nonnulls(NEW.test_model_id, NEW.test_start, NEW.test_end) > 0
        OR NEW.job_type <> 'COMPARE' AND num_nonnulls(
            NEW.compare_model_a_id, NEW.compare_model_b_id, NEW.compare_start, NEW.compare_end
        ) > 0
    ) THEN
        v_fields := concat_ws(
            ', ',
            CASE WHEN NEW.job_type <> 'TRAIN' THEN
                concat_ws(
                    ', ',
                    'train_target_var = ' || NEW.train_target_var,
                    'train_operator = ' || NEW.train_operator,
                    'train_value = ' || NEW.train_value,
                    'train_start = ' || NEW.train_start,
                    'train_end = ' || NEW.train_end,
                    'train_features_csv = ' || NEW.train_features_csv,
                    'train_phases_csv = ' || NEW.train_phases_csv,
                    'train_params_csv = ' || NEW.train_params_csv,
                    'train_model_type = ' || NEW.train_model_type,
                    'train_model_name = ' || NEW.train_model_name,
                    'train_description = ' || NEW.train_description,
                    'train_test_size = ' || NEW.train_test_size,
                    'train_random_state = ' || NEW.train_random_state,
                    'train_future_minutes = ' || NEW.train_future_minutes
                )
            END,
            CASE WHEN NEW.job_type <> 'TEST' THEN
                concat_ws(
                    ', ',
                    'test_model_id = ' || NEW.test_model_id,
                    'test_start = ' || NEW.test_start,
                    'test_end = ' || NEW.test_end
                )
            END,
            CASE WHEN NEW.job_type <> 'COMPARE' THEN
                concat_ws(
                    ', ',
                    'compare_model_a_id = ' || NEW.compare_model_a_id,
                    'compare_model_b_id = ' || NEW.compare_model_b_id,
                    'compare_start = ' || NEW.compare_start,
                    'compare_end = ' || NEW.compare_end
                )
            END
        );
        v_fields := btrim(v_fields, ', ');
        RAISE EXCEPTION 'a % job has no use for %', NEW.job_type, left(v_fields, 200)
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = split_part(v_fields, ' ', 1),
            HINT = format('Leave these fields out, or change job_type; a %s job uses those that begin with %s_.', NEW.job_type, lower(NEW.job_type));
    END IF;

    -- Values that no job may have.
    v_start := coalesce(NEW.train_start, NEW.test_start, NEW.compare_start);
    v_end := coalesce(NEW.train_end, NEW.test_end, NEW.compare_end);
    IF NEW.job_type IS NULL OR NEW.job_type NOT IN ('TRAIN', 'TEST', 'COMPARE') THEN
        v_column := 'job_type';
        v_message := format('job_type %s is unknown', coalesce(quote_literal(NEW.job_type), 'NULL'));
        v_hint := 'Use TRAIN, TEST or COMPARE, in capital letters.';
    ELSIF NEW.status <> 'PENDING' THEN
        v_column := 'status';
        v_message := format('a new job cannot have the status %L', NEW.status);
        v_hint := 'Leave status out, or use PENDING: the worker sets the others.';
    ELSIF NEW.priority NOT BETWEEN 1 AND 10 THEN
        v_column := 'priority';
        v_message := format('priority %s is not between 1 and 10', NEW.priority);
        v_hint := '1 is the highest priority, 10 the lowest, 5 the default.';
    ELSIF NEW.max_attempts NOT BETWEEN 1 AND 100 THEN
        v_column := 'max_attempts';
        v_message := format('max_attempts %s is not between 1 and 100', NEW.max_attempts);
        v_hint := 'Leave it out for the default of 3.';
    ELSIF v_start < '0002-01-01 00:00:00+00' OR v_end >= '9999-01-01 00:00:00+00' THEN
        v_column := lower(NEW.job_type) || '_start';
        v_message := format('the period from %s to %s is not within the years 2 to 9998', v_start, v_end);
        v_hint := 'Give both as dates, for example ''2024-01-01'' and ''2024-03-01''.';
    ELSIF v_start >= v_end THEN
        v_column := lower(NEW.job_type) || '_start';
        v_message := format('the period starts at %s, which is not before its end at %s', v_start, v_end);
        v_hint := format('Set %s_start to a moment before %1$s_end; the end itself is not part of the period.', lower(NEW.job_type));
    ELSIF NEW.train_operator NOT IN ('>', '<', '>=', '<=', '=', '!=') THEN
        v_column := 'train_operator';
        v_message := format('train_operator %L is unknown', left(NEW.train_operator, 50));
        v_hint := 'Use one of: > < >= <= = !=';
    ELSIF NEW.train_value IN ('NaN', 'Infinity', '-Infinity') THEN
        v_column := 'train_value';
        v_message := format('train_value %s is not a number to compare with', NEW.train_value);
        v_hint := 'Give a finite threshold, for example 50000.';
    ELSIF NEW.train_test_size NOT BETWEEN 0.01 AND 0.99 OR NEW.train_test_size <> round(NEW.train_test_size, 2) THEN
        v_column := 'train_test_size';
        v_message := format('train_test_size %s is not between 0.01 and 0.99 with two decimals', NEW.train_test_size);
        v_hint := 'It is the share of the rows held out for measuring; leave it out for the default of 0.2.';
    ELSIF NEW.train_random_state < 0 THEN
        v_column := 'train_random_state';
        v_message := format('train_random_state %s is negative', NEW.train_random_state);
        v_hint := 'Use 0 or more; leave it out for the default of 42.';
    ELSIF NEW.train_future_minutes NOT BETWEEN 1 AND 525600 THEN
        v_column := 'train_future_minutes';
        v_message := format('train_future_minutes %s is not between 1 and 525600', NEW.train_future_minutes);
        v_hint := 'Give the minutes to look ahead, at most a year; leave it out to read the label in the same row.';
    ELSIF NOT EXISTS (SELECT FROM public.ref_model_types t WHERE t.name = NEW.train_model_type) AND NEW.job_type = 'TRAIN' THEN
        v_column := 'train_model_type';
        v_message := format('train_model_type %L is unknown', left(NEW.train_model_type, 100));
        v_hint := ml.suggest_names(NEW.train_model_type, (SELECT array_agg(t.name::text ORDER BY t.id) FROM public.ref_model_types t));
    ELSIF NEW.train_model_name !~ '\S' THEN
        v_column := 'train_model_name';
        v_message := 'train_model_name is blank';
        v_hint := 'Give the model a name, or leave the field out: the default is the model type and the job''s id.';
    ELSIF length(NEW.train_model_name) > 255 THEN
        v_column := 'train_model_name';
        v_message := format('train_model_name %L… has %s characters', left(NEW.train_model_name, 50), length(NEW.train_model_name));
        v_hint := 'Give the model a name of at most 255 characters.';
    ELSIF NEW.compare_model_a_id = NEW.compare_model_b_id THEN
        v_column := 'compare_model_b_id';
        v_message := format('model %s cannot be compared with itself', NEW.compare_model_a_id);
        v_hint := 'Give compare_model_a_id and compare_model_b_id two different models.';
    END IF;
    IF v_message IS NOT NULL THEN
        RAISE EXCEPTION USING MESSAGE = v_message, HINT = v_hint,
            ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = v_column;
    END IF;

    -- Names and models.
    IF NEW.job_type = 'TRAIN' THEN
        IF v_is_named THEN
            CALL ml.reserve_name(NEW.train_model_name);
        END IF;
        CALL ml.require_free_name(NEW.train_model_name);
    ELSIF NEW.job_type = 'TEST' THEN
        PERFORM ml.require_ready_model(NEW.test_model_id);
    ELSE
        v_model_a := ml.require_ready_model(NEW.compare_model_a_id);
        v_model_b := ml.require_ready_model(NEW.compare_model_b_id);
        IF ml.target_text(v_model_a) <> ml.target_text(v_model_b) THEN
            RAISE EXCEPTION 'models % and % predict different things: % and %',
                v_model_a.id, v_model_b.id, ml.target_text(v_model_a), ml.target_text(v_model_b)
                USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'compare_model_b_id',
                HINT = 'Compare models with the same target and horizon.';
        ELSIF ml.common_phases(v_model_a.phases_csv, v_model_b.phases_csv) = '' THEN
            RAISE EXCEPTION 'models % and % have no phase in common: % and %',
                v_model_a.id, v_model_b.id, v_model_a.phases_csv, v_model_b.phases_csv
                USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'compare_model_b_id',
                HINT = 'Both are scored on the same rows; compare models that were trained on at least one common phase.';
        END IF;
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_check_job
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW EXECUTE FUNCTION ml.check_job();

CREATE OR REPLACE FUNCTION ml.target_text(
    p_model public.ml_models
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT concat_ws(
        ' ',
        p_model.target_variable,
        p_model.target_operator,
        trim_scale(p_model.target_value),
        'after ' || p_model.future_minutes || ' min'
    );
$$;

CREATE OR REPLACE FUNCTION ml.common_phases(
    p_a_csv text,
    p_b_csv text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN p_a_csv IS NULL THEN p_b_csv
        WHEN p_b_csv IS NULL THEN p_a_csv
        ELSE (
            SELECT coalesce(string_agg(a.item, ',' ORDER BY a.place), '')
            FROM ml.list_items(p_a_csv) a
            WHERE a.item IN (SELECT b.item FROM ml.list_items(p_b_csv) b)
        )
    END;
$$;

CREATE OR REPLACE FUNCTION ml.param_fits(
    p_param public.ref_model_params,
    p_value text
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT p_value = ANY (string_to_array(p_param.choices_csv, ',')) IS TRUE
        OR CASE
            WHEN p_param.kind = 'boolean'
                THEN p_value IN ('true', 'false')
            WHEN p_param.kind = 'integer' AND p_value ~ '^-?[0-9]{1,18}$'
                OR p_param.kind = 'number' AND p_value ~ '^-?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?$'
                THEN p_value::numeric BETWEEN p_param.min_value AND p_param.max_value
            WHEN p_param.kind = 'layers' AND p_value ~ '^[0-9]{1,18}(,[0-9]{1,18}){0,9}$'
                THEN (SELECT bool_and(i.item::numeric BETWEEN p_param.min_value AND p_param.max_value) FROM ml.list_items(p_value) i)
            ELSE false
        END;
$$;

-- Rules that need the catalogue or a reference table: once a statement, however many jobs it inserts.
CREATE OR REPLACE FUNCTION ml.check_job_lists()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
SET jit TO off -- the planner overrates these queries; compiling one takes longer than thousands of jobs
AS $$
DECLARE
    v_fault record;
BEGIN
    WITH jobs AS (
        SELECT DISTINCT
            j.train_target_var AS target,
            j.train_features_csv AS features_csv,
            j.train_future_minutes IS NULL AS same_row
        FROM new_jobs j
        WHERE j.job_type = 'TRAIN'
    ),
    wanted AS (
        SELECT DISTINCT 'train_target_var' AS field, j.target AS item, 1 AS times, j.target AS csv, 0 AS place FROM jobs j
        UNION ALL
        SELECT 'train_features_csv', i.item, count(*), f.features_csv, min(i.place)
        FROM (SELECT DISTINCT j.features_csv FROM jobs j) f
        CROSS JOIN LATERAL ml.list_items(f.features_csv) i
        GROUP BY i.item, f.features_csv
    ),
    faults AS (
        SELECT
            w.field,
            w.place,
            CASE
                WHEN w.item = '' THEN format('%s %L has an empty name', w.field, left(w.csv, 200))
                WHEN c.column_name IS NULL THEN format('coin_metrics has no column %L (%s)', left(w.item, 200), w.field)
                WHEN NOT c.is_numeric THEN format('column %L is %s, not numeric (%s)', w.item, c.data_type, w.field)
                WHEN w.times > 1 THEN format('feature %L is given %s times', w.item, w.times)
            END AS message,
            CASE
                WHEN w.item = '' THEN 'Write the names separated by single commas, for example price_open,volume_sol.'
                WHEN w.times > 1 THEN 'Name each feature once.'
                ELSE ml.suggest_names(
                    w.item, (SELECT array_agg(n.column_name) FROM public.ml_metric_columns n WHERE n.is_numeric)
                )
            END AS hint
        FROM wanted w
        LEFT JOIN public.ml_metric_columns c ON c.column_name = w.item
        WHERE w.item = '' OR c.is_numeric IS NOT TRUE OR w.times > 1
        UNION ALL
        SELECT
            'train_features_csv',
            0,
            format('the target %L is among the features, where the model could simply read it', j.target),
            'Leave it out of train_features_csv, or set train_future_minutes to predict its value later.'
        FROM jobs j
        WHERE j.same_row AND j.target IN (SELECT i.item FROM ml.list_items(j.features_csv) i)
    )
    SELECT f.field, f.message, f.hint INTO v_fault FROM faults f ORDER BY f.place LIMIT 1;

    IF v_fault IS NULL THEN
        SELECT
            'train_phases_csv' AS field,
            format('train_phases_csv %L %s', left(p.csv, 200), CASE WHEN p.times > 1 THEN 'names a phase twice' ELSE 'has an unknown phase: ' || quote_literal(left(p.item, 50)) END) AS message,
            'Known phases: '
            || (SELECT string_agg(r.id || ' (' || r.name || ')', ', ' ORDER BY r.id) FROM public.ref_coin_phases r)
            || '. Name each once, separated by commas.' AS hint
        INTO v_fault
        FROM (
            SELECT d.csv, i.item, count(*) AS times
            FROM (SELECT DISTINCT j.train_phases_csv AS csv FROM new_jobs j) d
            CROSS JOIN LATERAL ml.list_items(d.csv) i
            GROUP BY d.csv, i.item
        ) p
        WHERE p.times > 1 OR NOT EXISTS (SELECT FROM public.ref_coin_phases r WHERE r.id::text = p.item)
        LIMIT 1;
    END IF;

    IF v_fault IS NULL THEN
        -- A sweep has many lists of few items: each item is looked at once, and only lists that have a bad one are read again.
        WITH lists AS MATERIALIZED (
            SELECT DISTINCT j.train_model_type AS model_type, j.train_params_csv AS csv
            FROM new_jobs j
            WHERE j.train_params_csv IS NOT NULL
        ),
        items AS MATERIALIZED (
            SELECT l.model_type, l.csv, i.item
            FROM lists l
            CROSS JOIN LATERAL string_to_table(l.csv, ';') i (item)
        ),
        good AS MATERIALIZED (
            SELECT d.model_type, d.item, i.name
            FROM (SELECT DISTINCT i.model_type, i.item FROM items i) d
            CROSS JOIN LATERAL ml.param_items(d.item) i
            JOIN public.ref_model_params r ON r.model_type = d.model_type AND r.name = i.name
            WHERE i.value <> '' AND ml.param_fits(r, i.value)
        ),
        doubtful AS (
            SELECT i.model_type, i.csv
            FROM items i
            LEFT JOIN good g ON g.model_type = i.model_type AND g.item = i.item
            GROUP BY i.model_type, i.csv
            HAVING count(DISTINCT g.name) < count(*)
        )
        SELECT
            'train_params_csv' AS field,
            CASE
                WHEN p.name IS NULL OR p.name = '' OR p.value = ''
                    THEN format('train_params_csv %L has %L, which is not key=value', left(p.csv, 200), left(p.item, 200))
                WHEN r.name IS NULL THEN format('%s has no hyperparameter %L', p.model_type, left(p.name, 200))
                WHEN p.times > 1 THEN format('hyperparameter %L is given %s times', p.name, p.times)
                ELSE format('hyperparameter %s cannot be %L', p.name, left(p.value, 200))
            END AS message,
            CASE
                WHEN p.name IS NULL OR p.name = '' OR p.value = ''
                    THEN 'Write key=value;key=value, for example n_estimators=200;max_depth=8.'
                WHEN r.name IS NULL
                    THEN ml.suggest_names(
                        p.name, (SELECT array_agg(a.name::text ORDER BY a.name) FROM public.ref_model_params a WHERE a.model_type = p.model_type)
                    )
                WHEN p.times > 1 THEN 'Give each hyperparameter once.'
                ELSE format(
                    '%s of %s is %s.', r.name, r.model_type,
                    concat_ws(
                        ', or ',
                        CASE r.kind
                            WHEN 'integer' THEN format('an integer from %s to %s', r.min_value, r.max_value)
                            WHEN 'number' THEN format('a number from %s to %s', r.min_value, r.max_value)
                            WHEN 'layers' THEN format('one to ten integers from %s to %s, separated by commas', r.min_value, r.max_value)
                            WHEN 'boolean' THEN 'true or false'
                        END,
                        'one of: ' || replace(r.choices_csv, ',', ', ')
                    )
                )
            END AS hint
        INTO v_fault
        FROM (
            SELECT g.model_type, g.csv, i.item, i.name, i.value, i.place, count(*) OVER (PARTITION BY g.model_type, g.csv, i.name) AS times
            FROM doubtful g
            CROSS JOIN LATERAL ml.param_items(g.csv) i
        ) p
        LEFT JOIN public.ref_model_params r ON r.model_type = p.model_type AND r.name = p.name
        WHERE p.times > 1 OR p.value = '' OR r.name IS NULL OR NOT ml.param_fits(r, p.value)
        ORDER BY p.place
        LIMIT 1;
    END IF;

    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION USING MESSAGE = v_fault.message, HINT = v_fault.hint,
            ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = v_fault.field;
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER ml_jobs_check_job_lists
AFTER INSERT ON public.ml_jobs
REFERENCING NEW TABLE AS new_jobs
FOR EACH STATEMENT EXECUTE FUNCTION ml.check_job_lists();

COMMENT ON FUNCTION ml.sign_job() IS 'Trigger: created_by is the role that inserts, which sees the models that it names.';
COMMENT ON FUNCTION ml.check_job() IS 'Trigger: refuses a job that could not run, naming the value and what to do; fills the defaults.';
COMMENT ON FUNCTION ml.check_job_lists() IS 'Trigger: refuses unknown features, phases and hyperparameters, and values out of their bounds.';
COMMENT ON FUNCTION ml.target_text(public.ml_models) IS 'What a model predicts, in words.';
COMMENT ON FUNCTION ml.common_phases(text, text) IS 'Phases that two models have in common; NULL: all, empty: none.';
COMMENT ON FUNCTION ml.param_fits(public.ref_model_params, text) IS 'Whether a hyperparameter may have this value.';
