-- The schema of version 8, for the same test: the files of sql/ at that version, without their comments.
SET search_path TO pg_catalog, pg_temp;
CREATE SCHEMA IF NOT EXISTS ml;
CREATE TABLE IF NOT EXISTS ml.schema_version (
    version integer NOT NULL,
    installed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT schema_version_pkey PRIMARY KEY (version),
    CONSTRAINT schema_version_positive CHECK (version > 0)
);
DO $$
DECLARE
    v_installed integer := (SELECT max(v.version) FROM ml.schema_version v);
BEGIN
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the database % is encoded in %, which cannot hold every text', current_database(), current_setting('server_encoding')
            USING ERRCODE = 'ML005', HINT = 'Make another: CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0;';
    END IF;
    IF v_installed <> 8 THEN
        RAISE EXCEPTION 'this database has schema version %, these files are version 8', v_installed
            USING ERRCODE = 'ML005', HINT = CASE
                WHEN v_installed > 8 THEN 'Use the release that installed the newer version, or one after it.'
                ELSE format('Run ml-worker install, or first apply the files of sql/upgrades/ after %s, in order.', v_installed)
            END;
    END IF;
END
$$;
CREATE SCHEMA IF NOT EXISTS ml_internal;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.refuse_change_of_fact()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('ml.pruning', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'ML003', TABLE = TG_TABLE_NAME,
        HINT = 'Facts are inserted by the worker''s procedures and stay as they are; ml.prune removes old ones.';
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.commit_is_impossible()
RETURNS text
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    COMMIT;
EXCEPTION
    WHEN invalid_transaction_termination THEN RETURN SQLERRM;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.changed_columns(
    p_old jsonb,
    p_new jsonb,
    p_columns text []
)
RETURNS text []
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ARRAY(
        SELECT n.key
        FROM jsonb_each(p_new) n
        JOIN jsonb_each(p_old) o ON o.key = n.key
        WHERE n.key = ANY (p_columns) AND CASE
            WHEN n.value = o.value THEN false
            WHEN concat(n.value, o.value) ~ '^("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}([.][0-9]+)?[+-][0-9:]{5}"){2}$'
                THEN date_trunc('milliseconds', (n.value #>> '{}')::timestamptz) <> date_trunc('milliseconds', (o.value #>> '{}')::timestamptz)
            ELSE true
        END
        ORDER BY n.key
    );
$$;
CREATE OR REPLACE FUNCTION ml_internal.keep_owned_columns()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_owned jsonb;
    v_changed text [];
BEGIN
    IF pg_has_role((SELECT c.relowner FROM pg_class c WHERE c.oid = TG_RELID), 'USAGE') THEN
        RETURN NEW;
    END IF;
    v_owned := to_jsonb(OLD) - TG_ARGV - 'updated_at';
    v_changed := ml_internal.changed_columns(v_owned, to_jsonb(NEW), ARRAY(SELECT jsonb_object_keys(v_owned)));
    IF v_changed <> '{}' THEN
        RAISE EXCEPTION '% of % % cannot be changed',
            array_to_string(v_changed, ', '), CASE TG_TABLE_NAME WHEN 'ml_jobs' THEN 'job' ELSE 'model' END, OLD.id
            USING ERRCODE = 'insufficient_privilege', TABLE = TG_TABLE_NAME, COLUMN = v_changed[1],
            HINT = format(
                'A client changes %s; the service keeps the other columns. If your ORM sends them all, read the row again '
                'before you save it, or let it send only what you change.', array_to_string(TG_ARGV, ', ')
            );
    END IF;
    RETURN jsonb_populate_record(NEW, v_owned);
END
$$;
CREATE OR REPLACE PROCEDURE ml_internal.require_autocommit(
    p_routine text
)
LANGUAGE plpgsql
AS $$
BEGIN
    COMMIT;
EXCEPTION
    WHEN invalid_transaction_termination THEN
        IF SQLERRM OPERATOR(pg_catalog.=) ml_internal.commit_is_impossible() THEN
            RAISE EXCEPTION '% commits as it goes and cannot run inside a transaction', p_routine
                USING ERRCODE = 'active_sql_transaction', HINT = 'COMMIT or ROLLBACK first; in a client, turn autocommit on.';
        END IF;
END
$$;
CREATE OR REPLACE PROCEDURE ml_internal.keep_constraint(
    p_table regclass,
    p_name text,
    p_check text,
    p_how text DEFAULT ''
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF p_check IS DISTINCT FROM (
        SELECT obj_description(c.oid, 'pg_constraint')
        FROM pg_constraint c
        WHERE c.conrelid = p_table AND c.conname = p_name
    ) THEN
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I, ADD CONSTRAINT %2$I CHECK (%s) %s', p_table, p_name, p_check, p_how);
        EXECUTE format('COMMENT ON CONSTRAINT %I ON %s IS %L', p_name, p_table, p_check);
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.is_control(
    p_code integer
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT p_code < 32 OR p_code = 127 OR (getdatabaseencoding() = 'UTF8' AND p_code > 127 AND (
        '{[127,159],[1564,1564],[8206,8207],[8232,8238],[8294,8303],[65529,65531],[119155,119162]}'::int4multirange @> p_code
    ));
$$;
CREATE OR REPLACE FUNCTION ml_internal.name_fault(
    p_name text
)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_control integer;
    v_first integer;
    v_shows boolean;
BEGIN
    IF p_name ~ '^[ -~]*[!-~][ -~]*$' THEN
        RETURN NULL;
    END IF;
    SELECT
        (array_agg(c.code ORDER BY c.place) FILTER (WHERE ml_internal.is_control(c.code)))[1],
        (array_agg(c.code ORDER BY c.place))[1],
        bool_or(NOT (
            c.code = 32 OR c.code > 127 AND getdatabaseencoding() = 'UTF8' AND (
                '{[160,160],[173,173],[847,847],[4447,4448],[5760,5760],[6068,6069],[6155,6159],[8192,8205],[8239,8239],
                [8287,8293],[10240,10240],[12288,12288],[12644,12644],[65024,65039],[65279,65279],[65440,65440],
                [65520,65528],[917504,921599]}'::int4multirange @> c.code
            )
        ))
    INTO v_control, v_first, v_shows
    FROM (SELECT ascii(s.item) AS code, s.place FROM string_to_table(p_name, NULL) WITH ORDINALITY s (item, place)) c;
    RETURN CASE
        WHEN v_control IS NOT NULL THEN format('has the character U+%s, which controls and does not show', ml_internal.code_text(v_control))
        WHEN v_shows IS FALSE THEN format('has no character that shows; its first is U+%s', ml_internal.code_text(v_first))
    END;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.code_text(
    p_code integer
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT lpad(upper(to_hex(p_code)), greatest(4, length(to_hex(p_code))), '0');
$$;
CREATE OR REPLACE FUNCTION ml_internal.plain_text(
    p_text text
)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF p_text ~ '^[ -~]*$' THEN
        RETURN p_text;
    END IF;
    RETURN (
        SELECT string_agg(
            CASE
                WHEN ascii(s.item) IN (9, 10, 13) THEN ' '
                WHEN NOT ml_internal.is_control(ascii(s.item)) THEN s.item
                WHEN getdatabaseencoding() = 'UTF8' THEN chr(65533)
                ELSE '?'
            END, '' ORDER BY s.place
        )
        FROM string_to_table(p_text, NULL) WITH ORDINALITY s (item, place)
    );
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.tell(
    p_channel text,
    p_payload text
)
RETURNS void
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_notify(p_channel, p_payload) WHERE pg_notification_queue_usage() < 0.9;
END
$$;
SET search_path TO pg_catalog, pg_temp;
DO $$
DECLARE
    v_role name;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['ml_reader', 'ml_client', 'ml_worker'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = v_role) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
                EXECUTE format('COMMENT ON ROLE %I IS %L', v_role, CASE v_role
                    WHEN 'ml_reader' THEN 'Reads the tables and views of the ML service.'
                    WHEN 'ml_client' THEN 'Reads; submits, cancels and reorders jobs; names, describes and deletes models.'
                    WHEN 'ml_worker' THEN 'Reads; calls the routines of a worker, and changes nothing otherwise.'
                END);
            END IF;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
    FOREACH v_role IN ARRAY ARRAY['ml_client', 'ml_worker'] LOOP
        IF NOT pg_has_role(v_role, 'ml_reader', 'MEMBER') THEN
            EXECUTE format('GRANT ml_reader TO %I', v_role);
        END IF;
    END LOOP;
END
$$;
DO $$
BEGIN
    IF NOT has_schema_privilege('ml_reader', 'public', 'USAGE') THEN
        GRANT USAGE ON SCHEMA public TO ml_reader;
    END IF;
END
$$;
CREATE TABLE IF NOT EXISTS ml_internal.rights (
    grantee name NOT NULL,
    privilege text NOT NULL,
    object text NOT NULL,
    column_name name NOT NULL DEFAULT '',
    CONSTRAINT rights_pkey PRIMARY KEY (grantee, privilege, object, column_name),
    CONSTRAINT rights_grantee_is_ours CHECK (grantee IN ('ml_reader', 'ml_client', 'ml_worker'))
);
DELETE FROM ml_internal.rights;
CREATE OR REPLACE PROCEDURE ml_internal.allow(
    p_grantee name,
    p_privilege text,
    p_objects text,
    p_columns text DEFAULT ''
)
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    INSERT INTO ml_internal.rights (grantee, privilege, object, column_name)
    SELECT p_grantee, p_privilege, o.name, c.name
    FROM regexp_split_to_table(p_objects, '[[:space:],]+') o (name)
    CROSS JOIN regexp_split_to_table(p_columns, '[[:space:],]+') c (name)
    WHERE o.name <> '' AND (c.name <> '' OR p_columns = '')
    ON CONFLICT DO NOTHING;
$$;
CALL ml_internal.allow('ml_reader', 'USAGE', 'ml, ml_internal');
SET search_path TO pg_catalog, pg_temp;
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
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.base_type(
    p_type oid
)
RETURNS regtype
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    WITH RECURSIVE types AS (
        SELECT t.oid, t.typbasetype FROM pg_type t WHERE t.oid = p_type
        UNION ALL
        SELECT b.oid, b.typbasetype FROM types t JOIN pg_type b ON b.oid = t.typbasetype
    )
    SELECT t.oid::regtype FROM types t WHERE t.typbasetype = 0;
$$;
CREATE OR REPLACE PROCEDURE ml_internal.require_in_public(
    p_table name
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_schema name;
BEGIN
    IF to_regclass(format('public.%I', p_table)) IS NOT NULL THEN
        RETURN;
    END IF;
    SELECT n.nspname INTO v_schema
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (
        SELECT s.reset_val AS path FROM pg_settings s WHERE s.name = 'search_path'
        UNION ALL
        SELECT substr(o.setting, length('search_path=') + 1)
        FROM pg_db_role_setting r
        CROSS JOIN LATERAL unnest(r.setconfig) o (setting)
        WHERE starts_with(o.setting, 'search_path=')
            AND r.setdatabase IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
    ) p
    CROSS JOIN LATERAL string_to_table(p.path, ',') i (item)
    WHERE c.relname = p_table AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND CASE btrim(i.item, ' "')
        WHEN '$user' THEN n.nspname IN (SELECT r.rolname FROM pg_roles r)
        ELSE n.nspname = btrim(i.item, ' "')
    END
    ORDER BY n.nspname
    LIMIT 1;
    IF v_schema IS NOT NULL THEN
        RAISE EXCEPTION '% stands in the schema %, and is needed in public', p_table, v_schema
            USING ERRCODE = 'invalid_schema_name', TABLE = p_table, SCHEMA = v_schema, HINT = format(
                'Move it: ALTER TABLE %1$I.%2$I SET SCHEMA public; or show it there: '
                'CREATE VIEW public.%2$I AS SELECT * FROM %1$I.%2$I; then install again.', v_schema, p_table
            );
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.require_metrics()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_kind text := (
        SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'view' WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'f' THEN 'table' END
        FROM pg_class c
        WHERE c.oid = to_regclass('public.coin_metrics')
    );
    v_column record;
    v_instead text := CASE v_kind
        WHEN 'view' THEN 'Give the view public.coin_metrics this column by CREATE OR REPLACE VIEW'
        ELSE 'Or leave your table as it is under another name, with a view in its place: ALTER TABLE public.coin_metrics '
            'RENAME TO my_metrics; CREATE VIEW public.coin_metrics AS SELECT ... FROM my_metrics'
    END || '; then install again.';
BEGIN
    IF v_kind IS NULL THEN
        RAISE EXCEPTION 'public.coin_metrics is no table and no view'
            USING ERRCODE = 'wrong_object_type', TABLE = 'coin_metrics', HINT = 'Rename or drop what has this name; then install again.';
    END IF;
    FOR v_column IN
        SELECT n.name, n.needed, n.types, n.added, ml_internal.base_type(a.atttypid) AS type, format_type(a.atttypid, a.atttypmod) AS shown
        FROM (VALUES
            ('mint', 'which coin a row is of', NULL, 'text'),
            ('timestamp', 'when a row was taken', '{timestamptz,timestamp,date}'::regtype [], 'timestamptz'),
            ('phase_id_at_time', NULL, '{integer,bigint,smallint}'::regtype [], 'integer')
        ) n (name, needed, types, added)
        LEFT JOIN pg_attribute a ON a.attrelid = 'public.coin_metrics'::regclass AND a.attname = n.name AND a.attnum > 0 AND NOT a.attisdropped
    LOOP
        IF v_column.type IS NULL AND v_column.needed IS NOT NULL THEN
            RAISE EXCEPTION 'coin_metrics has no column %, which says %', v_column.name, v_column.needed
                USING ERRCODE = 'undefined_column', TABLE = 'coin_metrics', COLUMN = v_column.name, HINT = CASE v_kind
                    WHEN 'view' THEN ''
                    ELSE format('Rename the column that has it: ALTER TABLE public.coin_metrics RENAME COLUMN ... TO %I; ', v_column.name)
                        || format('or add one: ADD COLUMN %I %s. ', v_column.name, v_column.added)
                END || v_instead;
        ELSIF v_column.type <> ALL (v_column.types) THEN
            RAISE EXCEPTION 'the column % of coin_metrics is %, not %', v_column.name, v_column.shown, v_column.added
                USING ERRCODE = 'datatype_mismatch', TABLE = 'coin_metrics', COLUMN = v_column.name, HINT = CASE v_kind
                    WHEN 'view' THEN ''
                    ELSE format(
                        'Change its type: ALTER TABLE public.coin_metrics ALTER COLUMN %1$I TYPE %2$s USING %3$s. ',
                        v_column.name, v_column.added, CASE
                            WHEN v_column.name = 'timestamp' AND v_column.type IN ('bigint'::regtype, 'integer'::regtype, 'numeric'::regtype, 'float8'::regtype)
                                THEN 'to_timestamp("timestamp"), or to_timestamp("timestamp" / 1000.0) where it is in milliseconds'
                            ELSE format('%I::%s', v_column.name, v_column.added)
                        END
                    )
                END || v_instead;
        END IF;
    END LOOP;
END
$$;
CALL ml_internal.require_in_public('ref_coin_phases');
CALL ml_internal.require_in_public('coin_metrics');
DO $$
DECLARE
    v_new text [] := '{}';
    v_right record;
BEGIN
    IF to_regclass('public.ref_coin_phases') IS NULL THEN
        v_new := v_new || 'public.ref_coin_phases'::text;
        CREATE TABLE public.ref_coin_phases (
            id integer NOT NULL,
            name varchar(50) NOT NULL,
            interval_seconds integer,
            max_age_minutes integer,
            CONSTRAINT ref_coin_phases_pkey PRIMARY KEY (id),
            CONSTRAINT ref_coin_phases_name_unique UNIQUE (name)
        );
        INSERT INTO public.ref_coin_phases (id, name, interval_seconds, max_age_minutes)
        VALUES
            (1, 'Baby Zone', 5, 10),
            (2, 'Survival Zone', 30, 60),
            (3, 'Mature Zone', 60, 1440),
            (99, 'Finished', NULL, NULL);
        COMMENT ON TABLE public.ref_coin_phases IS 'Phases of a coin''s life, by its age.';
        COMMENT ON COLUMN public.ref_coin_phases.id IS 'Phase number, as in coin_metrics.phase_id_at_time and in phases_csv.';
        COMMENT ON COLUMN public.ref_coin_phases.name IS 'Name of the phase.';
        COMMENT ON COLUMN public.ref_coin_phases.interval_seconds IS 'Seconds between two rows of a coin in this phase.';
        COMMENT ON COLUMN public.ref_coin_phases.max_age_minutes IS 'Age in minutes at which the phase ends.';
    END IF;
    IF to_regclass('public.coin_metrics') IS NULL THEN
        v_new := v_new || 'public.coin_metrics'::text;
        CREATE TABLE public.coin_metrics (
            mint varchar(255) NOT NULL,
            "timestamp" timestamptz NOT NULL,
            phase_id_at_time integer,
            price_open numeric,
            price_high numeric,
            price_low numeric,
            price_close numeric,
            market_cap_close numeric,
            bonding_curve_pct numeric,
            virtual_sol_reserves numeric,
            is_koth boolean,
            volume_sol numeric,
            buy_volume_sol numeric,
            sell_volume_sol numeric,
            num_buys integer,
            num_sells integer,
            unique_wallets integer,
            num_micro_trades integer,
            dev_sold_amount numeric,
            max_single_buy_sol numeric,
            max_single_sell_sol numeric,
            net_volume_sol numeric,
            volatility_pct numeric,
            avg_trade_size_sol numeric,
            whale_buy_volume_sol numeric,
            whale_sell_volume_sol numeric,
            num_whale_buys integer,
            num_whale_sells integer,
            buy_pressure_ratio numeric,
            unique_signer_ratio numeric,
            CONSTRAINT coin_metrics_pkey PRIMARY KEY (mint, "timestamp")
        );
        CREATE INDEX coin_metrics_timestamp ON public.coin_metrics ("timestamp");
        COMMENT ON TABLE public.coin_metrics IS 'Time series of the coins: one row per coin and moment. NULL means unknown, not zero.';
        COMMENT ON COLUMN public.coin_metrics.mint IS 'The coin.';
        COMMENT ON COLUMN public.coin_metrics."timestamp" IS 'When the interval of this row ends.';
        COMMENT ON COLUMN public.coin_metrics.phase_id_at_time IS 'Phase of the coin at that time, see ref_coin_phases.';
        COMMENT ON COLUMN public.coin_metrics.price_open IS 'First price of the interval.';
        COMMENT ON COLUMN public.coin_metrics.price_high IS 'Highest price of the interval.';
        COMMENT ON COLUMN public.coin_metrics.price_low IS 'Lowest price of the interval.';
        COMMENT ON COLUMN public.coin_metrics.price_close IS 'Last price of the interval.';
        COMMENT ON COLUMN public.coin_metrics.market_cap_close IS 'Market capitalisation at the last price.';
        COMMENT ON COLUMN public.coin_metrics.bonding_curve_pct IS 'Filled share of the bonding curve, percent.';
        COMMENT ON COLUMN public.coin_metrics.virtual_sol_reserves IS 'Virtual reserves of the bonding curve, SOL.';
        COMMENT ON COLUMN public.coin_metrics.is_koth IS 'Whether the coin is king of the hill.';
        COMMENT ON COLUMN public.coin_metrics.volume_sol IS 'Traded volume, SOL.';
        COMMENT ON COLUMN public.coin_metrics.buy_volume_sol IS 'Bought volume, SOL.';
        COMMENT ON COLUMN public.coin_metrics.sell_volume_sol IS 'Sold volume, SOL.';
        COMMENT ON COLUMN public.coin_metrics.num_buys IS 'Number of buys.';
        COMMENT ON COLUMN public.coin_metrics.num_sells IS 'Number of sells.';
        COMMENT ON COLUMN public.coin_metrics.unique_wallets IS 'Number of different wallets that traded.';
        COMMENT ON COLUMN public.coin_metrics.num_micro_trades IS 'Number of very small trades.';
        COMMENT ON COLUMN public.coin_metrics.dev_sold_amount IS 'Amount that the coin''s maker sold, SOL.';
        COMMENT ON COLUMN public.coin_metrics.max_single_buy_sol IS 'Largest single buy, SOL.';
        COMMENT ON COLUMN public.coin_metrics.max_single_sell_sol IS 'Largest single sell, SOL.';
        COMMENT ON COLUMN public.coin_metrics.net_volume_sol IS 'Bought minus sold volume, SOL.';
        COMMENT ON COLUMN public.coin_metrics.volatility_pct IS 'Range of the price within the interval, percent.';
        COMMENT ON COLUMN public.coin_metrics.avg_trade_size_sol IS 'Mean size of a trade, SOL.';
        COMMENT ON COLUMN public.coin_metrics.whale_buy_volume_sol IS 'Volume of very large buys, SOL.';
        COMMENT ON COLUMN public.coin_metrics.whale_sell_volume_sol IS 'Volume of very large sells, SOL.';
        COMMENT ON COLUMN public.coin_metrics.num_whale_buys IS 'Number of very large buys.';
        COMMENT ON COLUMN public.coin_metrics.num_whale_sells IS 'Number of very large sells.';
        COMMENT ON COLUMN public.coin_metrics.buy_pressure_ratio IS 'Bought volume by traded volume, 0 to 1.';
        COMMENT ON COLUMN public.coin_metrics.unique_signer_ratio IS 'Different signers by number of trades, 0 to 1.';
    END IF;
    FOR v_right IN
        SELECT DISTINCT c.oid::regclass AS relation, coalesce(quote_ident(r.rolname), 'PUBLIC') AS grantee
        FROM pg_catalog.pg_class c
        CROSS JOIN LATERAL aclexplode(c.relacl) x
        LEFT JOIN pg_catalog.pg_roles r ON r.oid = x.grantee
        WHERE c.oid = ANY (v_new::regclass []) AND x.grantee <> c.relowner
    LOOP
        EXECUTE format('REVOKE ALL ON TABLE %s FROM %s', v_right.relation, v_right.grantee);
    END LOOP;
END
$$;
DO $$
BEGIN
    PERFORM ml_internal.require_metrics();
END
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE TABLE IF NOT EXISTS public.ref_labels (
    name varchar(50) NOT NULL,
    description text NOT NULL,
    needs_horizon boolean NOT NULL,
    is_change boolean NOT NULL,
    has_stop boolean NOT NULL,
    certain_operators_csv text NOT NULL,
    wording text NOT NULL,
    found text NOT NULL,
    judged text NOT NULL,
    judged_together text,
    CONSTRAINT ref_labels_pkey PRIMARY KEY (name)
);
CREATE OR REPLACE PROCEDURE ml_internal.define_label(
    name text,
    description text,
    wording text,
    found text,
    judged text DEFAULT 'ml_internal.is_positive($1, o.found, o.goal)',
    needs_horizon boolean DEFAULT true,
    is_change boolean DEFAULT false,
    has_stop boolean DEFAULT false,
    certain_operators_csv text DEFAULT '',
    judged_together text DEFAULT NULL
)
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    INSERT INTO public.ref_labels (
        name, description, needs_horizon, is_change, has_stop, certain_operators_csv, wording, found, judged, judged_together
    )
    VALUES (
        define_label.name, define_label.description, define_label.needs_horizon, define_label.is_change, define_label.has_stop,
        define_label.certain_operators_csv, define_label.wording, define_label.found, define_label.judged,
        define_label.judged_together
    )
    ON CONFLICT (name) DO UPDATE SET
        description = EXCLUDED.description,
        needs_horizon = EXCLUDED.needs_horizon,
        is_change = EXCLUDED.is_change,
        has_stop = EXCLUDED.has_stop,
        certain_operators_csv = EXCLUDED.certain_operators_csv,
        wording = EXCLUDED.wording,
        found = EXCLUDED.found,
        judged = EXCLUDED.judged,
        judged_together = EXCLUDED.judged_together;
$$;
CREATE OR REPLACE FUNCTION ml_internal.is_positive(
    operator text,
    target numeric,
    value numeric
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN CASE operator
    WHEN '>' THEN target > value
    WHEN '<' THEN target < value
    WHEN '>=' THEN target >= value
    WHEN '<=' THEN target <= value
    WHEN '=' THEN target = value
    WHEN '!=' THEN target <> value
END;
CREATE OR REPLACE FUNCTION ml_internal.changed_by(
    base numeric,
    percent numeric
)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN CASE WHEN base > 0 AND base < 'Infinity' THEN base * ((100 + percent) * 0.01) END;
CREATE OR REPLACE FUNCTION ml_internal.label_text(
    label text,
    target text,
    operator text,
    value numeric,
    future_minutes integer,
    base text,
    stop_value numeric,
    uncovered text
)
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
RETURN (
    SELECT concat(
        CASE WHEN r.needs_horizon THEN format(r.wording, target, operator, trim_scale(value), future_minutes, base, trim_scale(stop_value))
        ELSE concat_ws(' ', target, operator, trim_scale(value), 'after ' || future_minutes || ' min') END,
        CASE uncovered WHEN 'negative' THEN ', a coin that stops is negative' END
    )
    FROM public.ref_labels r
    WHERE r.name = label
);
CREATE OR REPLACE FUNCTION ml_internal.unlabelled_text(
    future_minutes integer,
    base text
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT concat(
        CASE
            WHEN future_minutes IS NULL THEN 'the target is NULL'
            ELSE format('the coin has no row %s to %s minutes later within the period, or no target until then', future_minutes, 2 * future_minutes)
        END,
        ', or ' || base || ' is NULL, zero or negative'
    );
$$;
CREATE OR REPLACE FUNCTION ml_internal.left_out_text(
    num_unlabelled bigint,
    num_without_base bigint,
    num_uncovered bigint,
    uncovered text
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT concat(
        '; without a label: ' || ml_internal.count_text(nullif(num_unlabelled, 0)),
        '; without a base: ' || ml_internal.count_text(nullif(num_without_base, 0)),
        '; coin stops: ' || ml_internal.count_text(nullif(num_uncovered, 0)) || CASE uncovered WHEN 'negative' THEN ' (negative)' ELSE ' (left out)' END
    );
$$;
SET search_path TO pg_catalog, pg_temp;
CALL ml_internal.define_label(
    'value',
    'the target in the row itself, or with a horizon of N minutes in the first row of the coin between N and 2 N minutes later',
    needs_horizon => false,
    wording => '%1$s %2$s %3$s',
    found => 'first_value(s.target) OVER ahead'
);
SET search_path TO pg_catalog, pg_temp;
CALL ml_internal.define_label(
    'change',
    'the change, in percent, from the own value of the row to the first row of the coin between N and 2 N minutes later',
    is_change => true,
    wording => 'after %4$s min, %1$s changes %2$s %3$s %% from %5$s',
    found => 'first_value(s.target) OVER ahead'
);
SET search_path TO pg_catalog, pg_temp;
CALL ml_internal.define_label(
    'highest',
    'the greatest value of the target later than the row, by at most N minutes',
    certain_operators_csv => '>,>=',
    wording => 'within %4$s min, the highest %1$s %2$s %3$s',
    found => 'max(s.target) OVER path'
);
SET search_path TO pg_catalog, pg_temp;
CALL ml_internal.define_label(
    'lowest',
    'the least value of the target later than the row, by at most N minutes',
    certain_operators_csv => '<,<=',
    wording => 'within %4$s min, the lowest %1$s %2$s %3$s',
    found => 'min(s.target) OVER path'
);
SET search_path TO pg_catalog, pg_temp;
CALL ml_internal.define_label(
    'highest_change',
    'the greatest value of the target later than the row, by at most N minutes, as a change in percent from the own value of the row',
    is_change => true,
    certain_operators_csv => '>,>=',
    wording => 'within %4$s min, %1$s rises %2$s %3$s %% over %5$s',
    found => 'max(s.target) OVER path'
);
SET search_path TO pg_catalog, pg_temp;
CALL ml_internal.define_label(
    'lowest_change',
    'the least value of the target later than the row, by at most N minutes, as a change in percent from the own value of the row',
    is_change => true,
    certain_operators_csv => '<,<=',
    wording => 'within %4$s min, %1$s falls %2$s %3$s %% from %5$s',
    found => 'min(s.target) OVER path'
);
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.records(
    moments numeric [],
    targets numeric []
)
RETURNS numeric []
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_place integer := 0;
    v_target numeric;
    v_low numeric;
    v_high numeric;
    v_found numeric [];
BEGIN
    IF targets IS NULL THEN
        RETURN NULL;
    END IF;
    FOREACH v_target IN ARRAY targets LOOP
        v_place := v_place + 1;
        IF v_target BETWEEN v_low AND v_high OR v_target IS NULL THEN
            CONTINUE;
        END IF;
        v_low := least(v_low, v_target);
        v_high := greatest(v_high, v_target);
        v_found := v_found || ARRAY[ARRAY[moments[v_place], v_target]];
    END LOOP;
    RETURN v_found;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.touches_first(
    path numeric [],
    goal numeric,
    stop numeric
)
RETURNS boolean
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_one numeric [];
    v_reached_at numeric;
BEGIN
    IF path IS NULL THEN
        RETURN NULL;
    END IF;
    FOREACH v_one SLICE 1 IN ARRAY path LOOP
        EXIT WHEN v_one[1] > v_reached_at;
        IF (CASE WHEN goal > stop THEN v_one[2] <= stop ELSE v_one[2] >= stop END) THEN
            RETURN false;
        ELSIF (CASE WHEN goal > stop THEN v_one[2] >= goal ELSE v_one[2] <= goal END) THEN
            v_reached_at := v_one[1];
        END IF;
    END LOOP;
    RETURN v_reached_at IS NOT NULL;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.first_touches(
    moments timestamptz [],
    targets numeric [],
    goals numeric [],
    stops numeric [],
    horizon interval
)
RETURNS boolean []
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_num integer := cardinality(moments);
    v_touches boolean [] := array_fill(NULL::boolean, ARRAY[v_num]);
    v_highs integer [] := array_fill(0, ARRAY[v_num]);
    v_lows integer [] := array_fill(0, ARRAY[v_num]);
    v_num_highs integer := 0;
    v_num_lows integer := 0;
    v_next integer := v_num; -- the last row that is not among the later ones
    v_target numeric;
    v_bound numeric;
    v_end timestamptz;
    v_from integer;
    v_to integer;
    v_middle integer;
    v_up timestamptz;
    v_down timestamptz;
BEGIN
    FOR v_row IN REVERSE v_num..1 LOOP
        WHILE moments[v_next] > moments[v_row] LOOP
            v_target := targets[v_next];
            IF v_target IS NOT NULL THEN
                WHILE v_num_highs > 0 AND targets[v_highs[v_num_highs]] <= v_target LOOP
                    v_num_highs := v_num_highs - 1;
                END LOOP;
                v_num_highs := v_num_highs + 1;
                v_highs[v_num_highs] := v_next;
                WHILE v_num_lows > 0 AND targets[v_lows[v_num_lows]] >= v_target LOOP
                    v_num_lows := v_num_lows - 1;
                END LOOP;
                v_num_lows := v_num_lows + 1;
                v_lows[v_num_lows] := v_next;
            END IF;
            v_next := v_next - 1;
        END LOOP;
        v_end := moments[v_row] + horizon;
        CONTINUE WHEN goals[v_row] IS NULL OR v_num_highs = 0 OR moments[v_highs[v_num_highs]] > v_end;
        v_bound := greatest(goals[v_row], stops[v_row]);
        v_from := 0;
        v_to := v_num_highs;
        WHILE v_from < v_to LOOP
            v_middle := (v_from + v_to + 1) / 2;
            IF targets[v_highs[v_middle]] >= v_bound THEN
                v_from := v_middle;
            ELSE
                v_to := v_middle - 1;
            END IF;
        END LOOP;
        v_up := CASE WHEN v_from > 0 THEN moments[v_highs[v_from]] ELSE 'infinity' END;
        v_bound := least(goals[v_row], stops[v_row]);
        v_from := 0;
        v_to := v_num_lows;
        WHILE v_from < v_to LOOP
            v_middle := (v_from + v_to + 1) / 2;
            IF targets[v_lows[v_middle]] <= v_bound THEN
                v_from := v_middle;
            ELSE
                v_to := v_middle - 1;
            END IF;
        END LOOP;
        v_down := CASE WHEN v_from > 0 THEN moments[v_lows[v_from]] ELSE 'infinity' END;
        v_touches[v_row] := CASE WHEN goals[v_row] > stops[v_row] THEN v_up <= v_end AND v_up < v_down ELSE v_down <= v_end AND v_down < v_up END;
    END LOOP;
    RETURN v_touches;
END
$$;
CALL ml_internal.define_label(
    'first_touch',
    'whether the target changes by train_value percent before it changes by train_stop_value, which has the other sign, within N minutes',
    is_change => true,
    has_stop => true,
    certain_operators_csv => '>=,<=',
    wording => 'within %4$s min, %1$s reaches %3$s %% before %6$s %% from %5$s',
    found => 'ml_internal.records(array_agg(extract(epoch FROM s."timestamp")) OVER path, array_agg(s.target) OVER path)',
    judged => 'ml_internal.touches_first(o.found, o.goal, o.stop)',
    judged_together => 'ml_internal.first_touches(c.moments, c.targets, c.goals, c.stops, c.horizon)'
);
SET search_path TO pg_catalog, pg_temp;
CREATE TABLE IF NOT EXISTS public.ml_sources (
    name varchar(100) NOT NULL,
    schema_name name NOT NULL,
    relation_name name NOT NULL,
    key_column name,
    moment_column name NOT NULL,
    phase_column name,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by name NOT NULL DEFAULT current_user,
    rights_given text [] NOT NULL DEFAULT '{}',
    CONSTRAINT ml_sources_pkey PRIMARY KEY (name),
    CONSTRAINT ml_sources_name_not_blank CHECK (name <> '' AND name = btrim(name))
);
INSERT INTO public.ml_sources (name, schema_name, relation_name, key_column, moment_column, phase_column)
VALUES ('coin_metrics', 'public', 'coin_metrics', 'mint', 'timestamp', 'phase_id_at_time')
ON CONFLICT DO NOTHING;
CREATE OR REPLACE FUNCTION ml_internal.numeric_types()
RETURNS regtype []
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT '{int2,int4,int8,float4,float8,numeric,bool}'::regtype [];
$$;
CREATE OR REPLACE FUNCTION ml_internal.column_type(
    p_relation oid,
    p_column text
)
RETURNS regtype
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT CASE t.typtype WHEN 'd' THEN ml_internal.base_type(t.oid) ELSE t.oid END
        FROM pg_attribute a
        JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = p_relation AND a.attname = p_column AND a.attnum > 0 AND NOT a.attisdropped
    );
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.find_source(
    p_source text,
    OUT name text,
    OUT relation text,
    OUT id oid,
    OUT kind "char",
    OUT is_temporary boolean,
    OUT has_row_security boolean,
    OUT key_column name,
    OUT key_type regtype,
    OUT moment_column name,
    OUT moment_type regtype,
    OUT phase_column name,
    OUT phase_type regtype
)
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET quote_all_identifiers TO off
AS $$
#variable_conflict use_column
BEGIN
    SELECT
        s.name, format('%I.%I', s.schema_name, s.relation_name), c.oid, c.relkind, c.relpersistence = 't', c.relrowsecurity,
        s.key_column, CASE WHEN s.key_column IS NOT NULL THEN ml_internal.column_type(c.oid, s.key_column) END,
        s.moment_column, ml_internal.column_type(c.oid, s.moment_column),
        s.phase_column, CASE WHEN s.phase_column IS NOT NULL THEN ml_internal.column_type(c.oid, s.phase_column) END
    INTO name, relation, id, kind, is_temporary, has_row_security, key_column, key_type, moment_column, moment_type, phase_column, phase_type
    FROM public.ml_sources s
    LEFT JOIN pg_namespace n ON n.nspname = s.schema_name
    LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.relation_name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    WHERE s.name = p_source;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.describe_source(
    p_source text
)
RETURNS jsonb
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET quote_all_identifiers TO off
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'name', s.name,
            'relation', s.relation,
            'kind', s.kind,
            'key', CASE
                WHEN s.key_column IS NULL THEN '''''::text'
                ELSE format(
                    CASE
                        WHEN s.key_type = 'numeric'::regtype THEN 'coalesce(trim_scale(m.%I)::text, '''')'
                        WHEN s.key_type IN ('float4'::regtype, 'float8'::regtype) THEN 'coalesce((m.%I + 0::%s)::text, '''')' -- no -0
                        WHEN s.key_type = 'bytea'::regtype THEN 'coalesce(encode(m.%I, ''hex''), '''')'
                        WHEN (SELECT t.typname FROM pg_type t WHERE t.oid = s.key_type) = 'citext' THEN 'coalesce(lower(m.%I::text), '''')'
                        ELSE 'coalesce(m.%I::text, '''')'
                    END, s.key_column, s.key_type
                )
            END,
            'moment', format(
                CASE s.moment_type
                    WHEN 'timestamp'::regtype THEN '(m.%I AT TIME ZONE ''UTC'')'
                    WHEN 'date'::regtype THEN '(m.%I::timestamp AT TIME ZONE ''UTC'')'
                    ELSE 'm.%I::timestamptz'
                END, s.moment_column
            ),
            'moment_column', format('m.%I', s.moment_column),
            'bound', CASE s.moment_type
                WHEN 'timestamp'::regtype THEN '({} AT TIME ZONE ''UTC'')'
                WHEN 'date'::regtype THEN '(({} AT TIME ZONE ''UTC'') + interval ''1 day'' - interval ''1 microsecond'')::date'
                ELSE '{}'
            END,
            'phase', CASE WHEN s.phase_type IS NOT NULL THEN format('m.%I', s.phase_column) END
        )
        FROM ml_internal.find_source(p_source) s
        WHERE s.name IS NOT NULL
    );
END
$$;
CREATE OR REPLACE VIEW public.ml_metric_columns WITH (security_invoker = true) AS
SELECT
    a.attname::text AS column_name,
    pg_catalog.format_type(a.atttypid, a.atttypmod) AS data_type,
    CASE t.typtype WHEN 'd' THEN ml_internal.base_type(t.oid) ELSE t.oid END = ANY (ml_internal.numeric_types()) AND a.attname !~ '[,;=]|^[[:space:]]|[[:space:]]$' AS is_numeric,
    s.name::text AS source
FROM public.ml_sources s
JOIN pg_catalog.pg_namespace n ON n.nspname = s.schema_name
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = s.relation_name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
ORDER BY s.name <> 'coin_metrics', s.name, a.attnum;
CREATE OR REPLACE FUNCTION ml_internal.number_expression(
    p_source text,
    p_column text
)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_type regtype := (SELECT ml_internal.column_type(s.id, p_column) FROM ml_internal.find_source(p_source) s);
    v_fault record;
BEGIN
    CASE
        WHEN v_type IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) THEN
            RETURN format('m.%I::numeric', p_column);
        WHEN v_type IN ('float4'::regtype, 'float8'::regtype, 'numeric'::regtype) THEN
            RETURN format('nullif(m.%I::numeric, ''NaN'')', p_column);
        WHEN v_type = 'bool'::regtype THEN
            RETURN format('m.%I::integer::numeric', p_column);
        ELSE
            v_fault := ml_internal.column_fault(p_source, p_column, v_type);
            RAISE EXCEPTION USING MESSAGE = v_fault.message, HINT = v_fault.hint, ERRCODE = v_fault.code, TABLE = p_source, COLUMN = p_column;
    END CASE;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.number_hint(
    p_column text,
    p_type text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
SET quote_all_identifiers TO off
AS $$
    SELECT format('Write in a view what it says in numbers, and add that view as a source: %s.', CASE
        WHEN p_type ~ '^(timestamp|date|time|interval)' THEN format('extract(epoch FROM %I) AS %I', p_column, left(p_column, 50) || '_seconds')
        ELSE format('CASE WHEN %I = ''x'' THEN 1 ELSE 0 END AS %I', p_column, left(p_column, 50) || '_is_x')
    END);
$$;
CREATE OR REPLACE FUNCTION ml_internal.column_fault(
    p_source text,
    p_column text,
    p_type regtype,
    OUT message text,
    OUT hint text,
    OUT code text
)
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT
        CASE
            WHEN p_type IS NULL THEN format('%s has no column %L any more', p_source, p_column)
            WHEN p_source = 'coin_metrics' THEN format('column %L is %s now, not numeric', p_column, p_type)
            ELSE format('column %L of %s is %s now, not numeric', p_column, p_source, p_type)
        END,
        CASE
            WHEN p_type IS NULL THEN 'Bring it back under this name, or train another model without it.'
            ELSE 'Make it a number or a boolean again, or train another model without it.'
        END,
        CASE WHEN p_type IS NULL THEN '42703' ELSE '42804' END;
$$;
CREATE OR REPLACE FUNCTION ml_internal.asker_fault(
    p_relation oid
)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET quote_all_identifiers TO off
AS $$
DECLARE
    v_fault text;
BEGIN
    IF EXISTS (SELECT FROM pg_class c WHERE c.oid = p_relation AND c.relkind <> 'v') THEN
        RETURN (SELECT format('%s has row security', c.oid::regclass) FROM pg_class c WHERE c.oid = p_relation AND c.relrowsecurity);
    END IF;
    WITH RECURSIVE below AS (
        SELECT p_relation AS id
        UNION
        SELECT x.found[1]::oid
        FROM below b
        JOIN pg_class c ON c.oid = b.id AND c.relkind = 'v'
        JOIN pg_rewrite w ON w.ev_class = c.oid AND w.ev_type = '1'
        CROSS JOIN LATERAL regexp_matches(w.ev_action::text, ':relid ([1-9][0-9]*)', 'g') x (found)
    ),
    views AS (
        SELECT c.oid AS id, w.ev_action::text AS tree
        FROM below b
        JOIN pg_class c ON c.oid = b.id AND c.relkind = 'v'
        JOIN pg_rewrite w ON w.ev_class = c.oid AND w.ev_type = '1'
    ),
    routines AS (
        SELECT DISTINCT v.id, x.found[1]::oid AS routine
        FROM views v
        CROSS JOIN LATERAL regexp_matches(v.tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) ([1-9][0-9]*)', 'g') x (found)
    ),
    faults AS (
        SELECT 1 AS place, c.oid AS id, format('%s has row security', c.oid::regclass) AS said
        FROM below b
        JOIN pg_class c ON c.oid = b.id
        WHERE c.relrowsecurity
        UNION ALL
        SELECT 2, c.oid, format('the view %s is read with the rights of whoever asks (security_invoker)', c.oid::regclass)
        FROM below b
        JOIN pg_class c ON c.oid = b.id
        CROSS JOIN LATERAL pg_options_to_table(c.reloptions) o
        WHERE c.relkind = 'v' AND o.option_name = 'security_invoker' AND o.option_value::boolean
        UNION ALL
        SELECT 3, c.oid, format('the view %s is one of the system, which may show each role something else', c.oid::regclass)
        FROM below b
        JOIN pg_class c ON c.oid = b.id
        WHERE c.relkind = 'v' AND c.relnamespace IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
        UNION ALL
        SELECT 4, v.id, format('the view %s asks who reads it (current_user)', v.id::regclass)
        FROM views v
        WHERE v.tree ~ '[{]SQLVALUEFUNCTION :op (9|10|11|12|14) '
        UNION ALL
        SELECT 5, r.id, format('the view %s asks who reads it (%s)', r.id::regclass, p.proname)
        FROM routines r
        JOIN pg_proc p ON p.oid = r.routine
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ (
            '^(current_setting|set_config|current_user|session_user|current_schemas?|current_query|getpgusername|has_.*_privilege|pg_has_role'
            '|row_security_active|inet_client_.*|pg_backend_pid|currval|lastval|pg_my_temp_schema|pg_.*_is_visible|to_reg.*'
            '|.*_to_xml.*|lo_get|loread|pg_read_.*|pg_ls_.*|pg_stat_get_.*|pg_show_.*|ts_stat)$'
        )
        UNION ALL
        SELECT 6, r.id, format('the view %s calls %s, which is not IMMUTABLE and may ask who reads it', r.id::regclass, p.oid::regprocedure)
        FROM routines r
        JOIN pg_proc p ON p.oid = r.routine
        WHERE p.pronamespace <> 'pg_catalog'::regnamespace
            AND (
                p.provolatile <> 'i' AND p.prokind <> 'a'
                OR p.prosrc ~* '(current_user|session_user|current_role|current_setting|has_[a-z_]*privilege|pg_has_role)'
            )
            AND (p.proname ~ '^dblink' OR NOT EXISTS (
                SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
            ))
    )
    SELECT f.said INTO v_fault FROM faults f ORDER BY f.place, f.id LIMIT 1;
    RETURN v_fault;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.foreign_fault(
    p_relation oid,
    p_role oid
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN x.of_worker THEN format('the server %s knows the worker by a user mapping of its own, and others by another or none', s.srvname)
        WHEN NOT x.of_all AND (x.of_any OR w.fdwname = 'postgres_fdw') THEN format('the server %s has no user mapping for the worker', s.srvname)
        WHEN x.of_role THEN format('the server %s knows %s by a user mapping of its own, and not by that of the worker', s.srvname, p_role::regrole)
    END
    FROM pg_foreign_table f
    JOIN pg_foreign_server s ON s.oid = f.ftserver
    JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
    CROSS JOIN LATERAL (
        SELECT
            count(*) > 0 AS of_any,
            count(*) FILTER (WHERE u.umuser = 0) > 0 AS of_all,
            count(*) FILTER (WHERE u.umuser = 'ml_worker'::regrole) > 0 AS of_worker,
            count(*) FILTER (WHERE u.umuser = p_role AND p_role <> 0) > 0 AS of_role
        FROM pg_user_mappings u
        WHERE u.srvid = s.oid
    ) x
    WHERE f.ftrelid = p_relation;
$$;
CREATE OR REPLACE FUNCTION ml_internal.source_fault(
    p_source text,
    p_columns text [] DEFAULT '{}',
    p_phases boolean DEFAULT false,
    p_role oid DEFAULT 0,
    OUT message text,
    OUT hint text,
    OUT code text
)
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET quote_all_identifiers TO off
AS $$
DECLARE
    v record;
    v_is_first boolean := p_source = 'coin_metrics';
    v_column text;
    v_type regtype;
    v_wanted text [];
    v_said text;
BEGIN
    SELECT s.* INTO v FROM ml_internal.find_source(p_source) s;
    IF v.name IS NULL THEN
        message := format('there is no source %L', left(p_source, 100));
        hint := ml_internal.suggest_names(p_source, ARRAY(SELECT s.name::text FROM public.ml_sources s ORDER BY s.name))
            || ' TABLE ml_sources; shows them, and the owner adds one: CALL ml.add_source(...);';
        code := '23514';
        RETURN;
    ELSIF v.id IS NULL THEN
        message := format('%s, the relation of the source %s, is gone', v.relation, v.name);
        hint := 'Bring it back under this name, or, as the owner, remove the source and add it again with another relation.';
        code := '42P01';
        RETURN;
    END IF;
    IF NOT v_is_first THEN
        IF v.is_temporary THEN
            message := format('%s is temporary, and no other session sees it', v.relation);
            hint := 'Make it a relation that stays: CREATE TABLE, or CREATE MATERIALIZED VIEW.';
            code := '42809';
            RETURN;
        END IF;
        IF v.moment_type IS NULL OR v.key_column IS NOT NULL AND v.key_type IS NULL OR p_phases AND v.phase_column IS NOT NULL AND v.phase_type IS NULL THEN
            message := format(
                '%s has no column %L any more, which is the %s of the source %s', v.relation,
                CASE WHEN v.moment_type IS NULL THEN v.moment_column WHEN v.key_type IS NULL AND v.key_column IS NOT NULL THEN v.key_column ELSE v.phase_column END,
                CASE WHEN v.moment_type IS NULL THEN 'moment' WHEN v.key_type IS NULL AND v.key_column IS NOT NULL THEN 'key' ELSE 'phase' END,
                v.name
            );
            hint := 'Bring it back under this name, or, as the owner, remove the source and add it again with another column.';
            code := '42703';
            RETURN;
        ELSIF v.moment_type NOT IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype) THEN
            message := format('the moment of the source %s, the column %L, is %s, not timestamptz, timestamp or date', v.name, v.moment_column, v.moment_type);
            hint := ml_internal.moment_hint(v.moment_column, v.moment_type);
            code := '42804';
            RETURN;
        ELSIF v.phase_type NOT IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) THEN
            message := format('the phase of the source %s, the column %L, is %s, not integer', v.name, v.phase_column, v.phase_type);
            hint := 'Make a view in which it is an integer, and add that as the source.';
            code := '42804';
            RETURN;
        END IF;
    END IF;
    v_said := CASE WHEN v.kind = 'v' OR v.has_row_security THEN ml_internal.asker_fault(v.id) WHEN v.kind = 'f' THEN ml_internal.foreign_fault(v.id, coalesce(p_role, 0)) END;
    IF v_said IS NOT NULL THEN
        message := format('what the source %s shows depends on who reads it: %s', v.name, v_said);
        hint := CASE
            WHEN v.kind = 'f' THEN 'Give the server one user mapping for all: CREATE USER MAPPING FOR PUBLIC SERVER ...; or copy its rows into a materialized view.'
            ELSE 'Make a source that shows all its readers the same: a materialized view of the rows that one team may see, '
                'or for each team a view whose WHERE names the team; and GRANT SELECT on it to that team alone.'
        END;
        code := '42501';
        RETURN;
    ELSIF NOT v_is_first AND NOT has_table_privilege('ml_worker', v.id, 'SELECT') THEN
        message := format('the worker may not read %s, the source %s', v.relation, v.name);
        hint := format('As its owner: GRANT SELECT ON %s TO ml_worker;', v.relation);
        code := '42501';
        RETURN;
    END IF;
    FOREACH v_column IN ARRAY p_columns LOOP
        v_type := ml_internal.column_type(v.id, v_column);
        IF v_type IS NULL OR v_type <> ALL (ml_internal.numeric_types()) THEN
            SELECT f.message, f.hint, f.code INTO message, hint, code FROM ml_internal.column_fault(v.name, v_column, v_type) f;
            RETURN;
        END IF;
    END LOOP;
    IF p_role IS NULL AND NOT v_is_first THEN
        message := format('the role that inserted the job is gone, and with it the right to read %s', v.relation);
        hint := 'Insert the job again as a role that may.';
        code := '42501';
    ELSIF p_role <> 0 AND NOT has_table_privilege(p_role, v.id, 'SELECT') THEN
        v_wanted := ARRAY(
            SELECT quote_ident(w.name)
            FROM (
                SELECT DISTINCT x.name FROM unnest(
                    p_columns || v.key_column::text || v.moment_column::text || CASE WHEN p_phases THEN v.phase_column::text END
                ) x (name)
            ) w
            WHERE ml_internal.column_type(v.id, w.name) IS NOT NULL AND NOT has_column_privilege(p_role, v.id, w.name, 'SELECT')
            ORDER BY w.name
        );
        IF v_wanted <> '{}' THEN
            message := format('%s may not read %s of %s', p_role::regrole, array_to_string(v_wanted, ', '), v.relation);
            hint := format('As its owner: GRANT SELECT (%s) ON %s TO %s;', array_to_string(v_wanted, ', '), v.relation, p_role::regrole);
            code := '42501';
        END IF;
    END IF;
    IF message IS NULL AND p_role <> 0 AND NOT has_schema_privilege(p_role, (SELECT c.relnamespace FROM pg_class c WHERE c.oid = v.id), 'USAGE') THEN
        message := format('%s may not use the schema of %s', p_role::regrole, v.relation);
        hint := format('As its owner: GRANT USAGE ON SCHEMA %s TO %s;', split_part(v.relation, '.', 1), p_role::regrole);
        code := '42501';
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.metrics_are_plain(
    p_columns text [],
    p_role oid
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
        SELECT
        FROM pg_class c
        WHERE c.oid = to_regclass('public.coin_metrics') AND c.relkind IN ('r', 'p', 'm') AND NOT c.relrowsecurity
            AND (p_role IS NULL OR has_table_privilege(p_role, c.oid, 'SELECT'))
            AND p_columns <@ ARRAY(
                SELECT a.attname::text
                FROM pg_attribute a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.atttypid = ANY (ml_internal.numeric_types())
            )
    );
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.moment_hint(
    p_column name,
    p_type regtype
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
SET quote_all_identifiers TO off
AS $$
    SELECT format('Make a view in which it is one, and add that as the source: %s AS %I.', CASE
        WHEN p_type IN ('int4'::regtype, 'int8'::regtype, 'numeric'::regtype, 'float8'::regtype)
            THEN format('to_timestamp(%I), or to_timestamp(%1$I / 1000.0) where it is in milliseconds,', p_column)
        ELSE format('%I::timestamptz', p_column)
    END, p_column);
$$;
CREATE OR REPLACE FUNCTION ml_internal.require_source(
    p_source text,
    p_columns text [] DEFAULT '{}',
    p_phases boolean DEFAULT false,
    p_role oid DEFAULT 0
)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_fault record;
BEGIN
    IF p_source = 'coin_metrics' AND ml_internal.metrics_are_plain(p_columns, p_role) THEN
        RETURN;
    END IF;
    v_fault := ml_internal.source_fault(p_source, p_columns, p_phases, p_role);
    IF v_fault.message IS NOT NULL THEN
        RAISE EXCEPTION USING MESSAGE = v_fault.message, HINT = v_fault.hint, ERRCODE = v_fault.code, TABLE = left(p_source, 63);
    END IF;
END
$$;
CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_sources');
CALL ml_internal.allow('ml_reader', 'EXECUTE', '
    ml_internal.numeric_types, ml_internal.column_type, ml_internal.find_source, ml_internal.describe_source, ml_internal.source_fault, ml_internal.column_fault,
    ml_internal.asker_fault, ml_internal.foreign_fault, ml_internal.moment_hint, ml_internal.require_source, ml_internal.metrics_are_plain
');
SET search_path TO pg_catalog, pg_temp;
CREATE TABLE IF NOT EXISTS public.ref_model_types (
    id integer NOT NULL,
    name varchar(50) NOT NULL,
    description text NOT NULL,
    default_params_csv text NOT NULL,
    takes_weights boolean NOT NULL DEFAULT false,
    CONSTRAINT ref_model_types_pkey PRIMARY KEY (id),
    CONSTRAINT ref_model_types_name_unique UNIQUE (name)
);
CREATE TABLE IF NOT EXISTS public.ref_model_params (
    model_type varchar(50) NOT NULL,
    name varchar(50) NOT NULL,
    kind varchar(10) NOT NULL,
    min_value numeric,
    max_value numeric,
    choices_csv text,
    default_value text NOT NULL,
    description text NOT NULL,
    CONSTRAINT ref_model_params_pkey PRIMARY KEY (model_type, name),
    CONSTRAINT ref_model_params_model_type_fkey FOREIGN KEY (model_type) REFERENCES public.ref_model_types (name),
    CONSTRAINT ref_model_params_kind_known CHECK (kind IN ('integer', 'number', 'boolean', 'choice', 'layers')),
    CONSTRAINT ref_model_params_numbers_have_bounds CHECK (
        (kind IN ('integer', 'number', 'layers')) = (min_value IS NOT NULL AND max_value IS NOT NULL)
    ),
    CONSTRAINT ref_model_params_min_below_max CHECK (min_value <= max_value),
    CONSTRAINT ref_model_params_choice_has_choices CHECK (kind <> 'choice' OR choices_csv IS NOT NULL)
);
SET search_path TO pg_catalog, pg_temp;
INSERT INTO public.ref_model_types (id, name, description, default_params_csv, takes_weights)
VALUES
    (1, 'random_forest', 'Good for beginners, robust', 'n_estimators=100;max_depth=10;min_samples_split=2', true)
ON CONFLICT (name) DO UPDATE SET
    description = EXCLUDED.description,
    default_params_csv = EXCLUDED.default_params_csv,
    takes_weights = EXCLUDED.takes_weights;
INSERT INTO public.ref_model_params (model_type, name, kind, min_value, max_value, choices_csv, default_value, description)
VALUES
    ('random_forest', 'n_estimators', 'integer', 1, 10000, NULL, '100', 'Number of trees'),
    ('random_forest', 'max_depth', 'integer', 1, 1000, 'none', '10', 'Largest depth of a tree; none: no limit'),
    ('random_forest', 'min_samples_split', 'integer', 2, 1000000, NULL, '2', 'Rows that a node needs to be split'),
    ('random_forest', 'min_samples_leaf', 'integer', 1, 1000000, NULL, '1', 'Rows that a leaf must keep'),
    ('random_forest', 'max_features', 'number', 0.01, 1, 'sqrt,log2', 'sqrt', 'Features tried at a split: a share of all, or sqrt or log2 of their number'),
    ('random_forest', 'max_leaf_nodes', 'integer', 2, 1000000, 'none', 'none', 'Largest number of leaves of a tree; none: no limit'),
    ('random_forest', 'criterion', 'choice', NULL, NULL, 'gini,entropy,log_loss', 'gini', 'Measure of the quality of a split'),
    ('random_forest', 'bootstrap', 'boolean', NULL, NULL, NULL, 'true', 'Whether each tree sees a random draw of the rows'),
    ('random_forest', 'class_weight', 'choice', NULL, NULL, 'none,balanced,balanced_subsample', 'none', 'balanced: a rare class weighs as much as a frequent one')
ON CONFLICT (model_type, name) DO UPDATE SET
    kind = EXCLUDED.kind,
    min_value = EXCLUDED.min_value,
    max_value = EXCLUDED.max_value,
    choices_csv = EXCLUDED.choices_csv,
    default_value = EXCLUDED.default_value,
    description = EXCLUDED.description;
SET search_path TO pg_catalog, pg_temp;
INSERT INTO public.ref_model_types (id, name, description, default_params_csv, takes_weights)
VALUES
    (2, 'xgboost', 'Very strong, wants tuning', 'n_estimators=100;max_depth=6;learning_rate=0.1', true)
ON CONFLICT (name) DO UPDATE SET
    description = EXCLUDED.description,
    default_params_csv = EXCLUDED.default_params_csv,
    takes_weights = EXCLUDED.takes_weights;
INSERT INTO public.ref_model_params (model_type, name, kind, min_value, max_value, choices_csv, default_value, description)
VALUES
    ('xgboost', 'n_estimators', 'integer', 1, 10000, NULL, '100', 'Number of trees'),
    ('xgboost', 'max_depth', 'integer', 0, 100, NULL, '6', 'Largest depth of a tree; 0: no limit'),
    ('xgboost', 'learning_rate', 'number', 0.0001, 1, NULL, '0.1', 'Shrinkage of each tree''s step'),
    ('xgboost', 'subsample', 'number', 0.01, 1, NULL, '1', 'Share of the rows that a tree sees'),
    ('xgboost', 'colsample_bytree', 'number', 0.01, 1, NULL, '1', 'Share of the features that a tree sees'),
    ('xgboost', 'min_child_weight', 'number', 0, 1000000, NULL, '1', 'Least weight (hessian) of a leaf'),
    ('xgboost', 'gamma', 'number', 0, 1000000, NULL, '0', 'Least gain of a split'),
    ('xgboost', 'reg_alpha', 'number', 0, 1000000, NULL, '0', 'L1 penalty on the leaves'),
    ('xgboost', 'reg_lambda', 'number', 0, 1000000, NULL, '1', 'L2 penalty on the leaves'),
    ('xgboost', 'scale_pos_weight', 'number', 0.000001, 1000000, NULL, '1', 'Weight of a positive row'),
    ('xgboost', 'max_bin', 'integer', 2, 4096, NULL, '256', 'Histogram bins a feature'),
    ('xgboost', 'grow_policy', 'choice', NULL, NULL, 'depthwise,lossguide', 'depthwise', 'Order in which nodes are split')
ON CONFLICT (model_type, name) DO UPDATE SET
    kind = EXCLUDED.kind,
    min_value = EXCLUDED.min_value,
    max_value = EXCLUDED.max_value,
    choices_csv = EXCLUDED.choices_csv,
    default_value = EXCLUDED.default_value,
    description = EXCLUDED.description;
SET search_path TO pg_catalog, pg_temp;
INSERT INTO public.ref_model_types (id, name, description, default_params_csv, takes_weights)
VALUES
    (3, 'gradient_boosting', 'Similar to xgboost', 'n_estimators=100;max_depth=3;learning_rate=0.1', true)
ON CONFLICT (name) DO UPDATE SET
    description = EXCLUDED.description,
    default_params_csv = EXCLUDED.default_params_csv,
    takes_weights = EXCLUDED.takes_weights;
INSERT INTO public.ref_model_params (model_type, name, kind, min_value, max_value, choices_csv, default_value, description)
VALUES
    ('gradient_boosting', 'n_estimators', 'integer', 1, 10000, NULL, '100', 'Number of trees'),
    ('gradient_boosting', 'max_depth', 'integer', 1, 1000, 'none', '3', 'Largest depth of a tree; none: no limit'),
    ('gradient_boosting', 'learning_rate', 'number', 0.0001, 1, NULL, '0.1', 'Shrinkage of each tree''s step'),
    ('gradient_boosting', 'max_leaf_nodes', 'integer', 2, 10000, 'none', '31', 'Largest number of leaves of a tree; none: no limit'),
    ('gradient_boosting', 'min_samples_leaf', 'integer', 1, 1000000, NULL, '20', 'Rows that a leaf must keep'),
    ('gradient_boosting', 'l2_regularization', 'number', 0, 1000000, NULL, '0', 'L2 penalty on the leaves'),
    ('gradient_boosting', 'max_features', 'number', 0.01, 1, NULL, '1', 'Share of the features tried at a split'),
    ('gradient_boosting', 'max_bins', 'integer', 2, 255, NULL, '255', 'Histogram bins a feature'),
    ('gradient_boosting', 'class_weight', 'choice', NULL, NULL, 'none,balanced', 'none', 'balanced: a rare class weighs as much as a frequent one')
ON CONFLICT (model_type, name) DO UPDATE SET
    kind = EXCLUDED.kind,
    min_value = EXCLUDED.min_value,
    max_value = EXCLUDED.max_value,
    choices_csv = EXCLUDED.choices_csv,
    default_value = EXCLUDED.default_value,
    description = EXCLUDED.description;
SET search_path TO pg_catalog, pg_temp;
INSERT INTO public.ref_model_types (id, name, description, default_params_csv, takes_weights)
VALUES
    (4, 'logistic_regression', 'Simple, fast, easy to interpret', 'C=1.0;max_iter=100', true)
ON CONFLICT (name) DO UPDATE SET
    description = EXCLUDED.description,
    default_params_csv = EXCLUDED.default_params_csv,
    takes_weights = EXCLUDED.takes_weights;
INSERT INTO public.ref_model_params (model_type, name, kind, min_value, max_value, choices_csv, default_value, description)
VALUES
    ('logistic_regression', 'C', 'number', 0.000001, 1000000, NULL, '1.0', 'Inverse of the penalty''s strength'),
    ('logistic_regression', 'max_iter', 'integer', 1, 100000, NULL, '100', 'Largest number of iterations'),
    ('logistic_regression', 'tol', 'number', 0.0000001, 1, NULL, '0.0001', 'Change at which the fit has converged'),
    ('logistic_regression', 'solver', 'choice', NULL, NULL, 'lbfgs,newton-cholesky,sag,saga', 'lbfgs', 'Algorithm of the fit'),
    ('logistic_regression', 'fit_intercept', 'boolean', NULL, NULL, NULL, 'true', 'Whether the model has a constant term'),
    ('logistic_regression', 'class_weight', 'choice', NULL, NULL, 'none,balanced', 'none', 'balanced: a rare class weighs as much as a frequent one')
ON CONFLICT (model_type, name) DO UPDATE SET
    kind = EXCLUDED.kind,
    min_value = EXCLUDED.min_value,
    max_value = EXCLUDED.max_value,
    choices_csv = EXCLUDED.choices_csv,
    default_value = EXCLUDED.default_value,
    description = EXCLUDED.description;
SET search_path TO pg_catalog, pg_temp;
INSERT INTO public.ref_model_types (id, name, description, default_params_csv, takes_weights)
VALUES
    (5, 'neural_network', 'Complex, needs much data', 'hidden_layers=100,50;activation=relu;max_iter=200', true)
ON CONFLICT (name) DO UPDATE SET
    description = EXCLUDED.description,
    default_params_csv = EXCLUDED.default_params_csv,
    takes_weights = EXCLUDED.takes_weights;
INSERT INTO public.ref_model_params (model_type, name, kind, min_value, max_value, choices_csv, default_value, description)
VALUES
    ('neural_network', 'hidden_layers', 'layers', 1, 1024, NULL, '100,50', 'Units of each hidden layer, at most 10 layers'),
    ('neural_network', 'activation', 'choice', NULL, NULL, 'identity,logistic,tanh,relu', 'relu', 'Activation of the hidden units'),
    ('neural_network', 'max_iter', 'integer', 1, 10000, NULL, '200', 'Largest number of epochs'),
    ('neural_network', 'solver', 'choice', NULL, NULL, 'adam,sgd', 'adam', 'Algorithm of the fit'),
    ('neural_network', 'alpha', 'number', 0, 1000, NULL, '0.0001', 'L2 penalty on the weights'),
    ('neural_network', 'learning_rate_init', 'number', 0.000001, 1, NULL, '0.001', 'Step of the first epoch'),
    ('neural_network', 'batch_size', 'integer', 1, 1000000, 'auto', 'auto', 'Rows a step; auto: 200, or all where there are fewer'),
    ('neural_network', 'tol', 'number', 0.0000001, 1, NULL, '0.0001', 'Least improvement of the loss that counts'),
    ('neural_network', 'n_iter_no_change', 'integer', 1, 10000, NULL, '10', 'Epochs without such improvement that end the fit')
ON CONFLICT (model_type, name) DO UPDATE SET
    kind = EXCLUDED.kind,
    min_value = EXCLUDED.min_value,
    max_value = EXCLUDED.max_value,
    choices_csv = EXCLUDED.choices_csv,
    default_value = EXCLUDED.default_value,
    description = EXCLUDED.description;
SET search_path TO pg_catalog, pg_temp;
CREATE TABLE IF NOT EXISTS public.ml_models (
    id bigint GENERATED ALWAYS AS IDENTITY,
    name varchar(255) NOT NULL,
    model_type varchar(50) NOT NULL,
    status varchar(50) NOT NULL DEFAULT 'TRAINING',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    is_deleted boolean NOT NULL DEFAULT false,
    deleted_at timestamptz,
    target_variable varchar(100) NOT NULL,
    target_operator varchar(10) NOT NULL,
    target_value numeric NOT NULL,
    future_minutes integer,
    train_start timestamptz NOT NULL,
    train_end timestamptz NOT NULL,
    test_size numeric(3, 2) NOT NULL DEFAULT 0.2,
    random_state integer NOT NULL DEFAULT 42,
    features_csv text NOT NULL,
    phases_csv text,
    params_csv text,
    feature_importance_csv text,
    training_accuracy numeric(5, 4),
    training_f1 numeric(5, 4),
    training_precision numeric(5, 4),
    training_recall numeric(5, 4),
    model_file_path text,
    description text,
    train_job_id bigint,
    label varchar(50) NOT NULL DEFAULT 'value',
    base_variable varchar(100),
    stop_value numeric,
    uncovered varchar(10),
    source varchar(100) NOT NULL DEFAULT 'coin_metrics',
    threshold_rule text NOT NULL DEFAULT '0.5',
    threshold double precision DEFAULT 0.5,
    split varchar(20) NOT NULL DEFAULT 'coins',
    folds integer,
    weights varchar(20) NOT NULL DEFAULT 'none',
    CONSTRAINT ml_models_pkey PRIMARY KEY (id),
    CONSTRAINT ml_models_model_type_fkey FOREIGN KEY (model_type) REFERENCES public.ref_model_types (name),
    CONSTRAINT ml_models_label_fkey FOREIGN KEY (label) REFERENCES public.ref_labels (name),
    CONSTRAINT ml_models_uncovered_known CHECK (uncovered IN ('leave_out', 'negative')),
    CONSTRAINT ml_models_split_known CHECK (split IN ('coins', 'time', 'coins_and_time')),
    CONSTRAINT ml_models_folds_between_2_and_20 CHECK (folds BETWEEN 2 AND 20),
    CONSTRAINT ml_models_weights_known CHECK (weights IN ('none', 'uniqueness')),
    CONSTRAINT ml_models_train_job_id_unique UNIQUE (train_job_id),
    CONSTRAINT ml_models_name_not_blank CHECK (name ~ E'\\S'),
    CONSTRAINT ml_models_status_known CHECK (status IN ('TRAINING', 'READY', 'FAILED')),
    CONSTRAINT ml_models_start_before_end CHECK (train_start < train_end),
    CONSTRAINT ml_models_future_minutes_positive CHECK (future_minutes > 0),
    CONSTRAINT ml_models_test_size_between_0_and_1 CHECK (test_size > 0 AND test_size < 1),
    CONSTRAINT ml_models_deleted_has_time CHECK (is_deleted = (deleted_at IS NOT NULL)),
    CONSTRAINT ml_models_threshold_between_0_and_1 CHECK (threshold BETWEEN 0 AND 1),
    CONSTRAINT ml_models_ready_has_threshold CHECK (status <> 'READY' OR threshold IS NOT NULL),
    CONSTRAINT ml_models_ready_has_file CHECK (status <> 'READY' OR model_file_path IS NOT NULL),
    CONSTRAINT ml_models_metrics_between_0_and_1 CHECK (
        training_accuracy BETWEEN 0 AND 1
        AND training_f1 BETWEEN 0 AND 1
        AND training_precision BETWEEN 0 AND 1
        AND training_recall BETWEEN 0 AND 1
    )
);
CALL ml_internal.keep_constraint('public.ml_models', 'ml_models_operator_known', 'ml_internal.is_positive(target_operator, 0, 0) IS NOT NULL');
CREATE INDEX IF NOT EXISTS idx_models_status ON public.ml_models (status);
CREATE INDEX IF NOT EXISTS idx_models_created ON public.ml_models (created_at DESC);
CREATE UNIQUE INDEX IF NOT EXISTS ml_models_name_taken
ON public.ml_models (name)
WHERE NOT is_deleted AND status <> 'FAILED';
CREATE OR REPLACE FUNCTION ml_internal.label_text(
    model public.ml_models
)
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.label_text(
        model.label, model.target_variable, model.target_operator, model.target_value, model.future_minutes,
        model.base_variable, model.stop_value, model.uncovered
    ) || CASE WHEN model.source <> 'coin_metrics' THEN ', in ' || model.source ELSE '' END;
$$;
CREATE OR REPLACE FUNCTION ml_internal.keep_model_rules()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.is_deleted AND NEW.status = 'TRAINING' THEN
        RAISE EXCEPTION 'model % is being trained and cannot be deleted', OLD.id
            USING ERRCODE = 'ML002', TABLE = 'ml_models', COLUMN = 'is_deleted',
            HINT = format('Cancel its job first: CALL ml.cancel_job(%s);', OLD.train_job_id);
    END IF;
    IF NEW.is_deleted IS NULL THEN
        RAISE EXCEPTION 'is_deleted of model % cannot be NULL', OLD.id
            USING ERRCODE = 'not_null_violation', TABLE = 'ml_models', COLUMN = 'is_deleted',
            HINT = 'Set it to true to delete the model, to false to take it back.';
    END IF;
    IF NEW.name IS NULL OR NEW.name !~ '[^ ]' THEN
        RAISE EXCEPTION 'the name of model % cannot be blank', OLD.id
            USING ERRCODE = 'check_violation', TABLE = 'ml_models', COLUMN = 'name',
            HINT = 'Give it a name, or leave the old one.';
    END IF;
    IF NEW.name <> OLD.name OR (OLD.is_deleted AND NOT NEW.is_deleted) THEN
        CALL ml_internal.require_fit_name(NEW.name, 'ml_models', 'name');
    END IF;
    IF length(NEW.description) > 10000 AND NEW.description IS DISTINCT FROM OLD.description THEN
        RAISE EXCEPTION 'the description of model % has % characters', OLD.id, length(NEW.description)
            USING ERRCODE = 'check_violation', TABLE = 'ml_models', COLUMN = 'description',
            HINT = 'Describe the model in at most 10000 characters.';
    END IF;
    IF NOT NEW.is_deleted AND (NEW.name <> OLD.name OR OLD.is_deleted) THEN
        CALL ml_internal.reserve_name(NEW.name);
        CALL ml_internal.require_free_name(NEW.name, NEW.train_job_id);
    END IF;
    NEW.updated_at := now();
    NEW.deleted_at := CASE WHEN NEW.is_deleted THEN coalesce(OLD.deleted_at, now()) END;
    RETURN NEW;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.require_ready_model(
    p_model_id bigint
)
RETURNS public.ml_models
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET datestyle TO 'ISO, MDY'
AS $$
DECLARE
    v_model public.ml_models;
BEGIN
    SELECT * INTO v_model FROM public.ml_models m WHERE m.id = p_model_id;
    IF v_model.id IS NULL THEN
        RAISE EXCEPTION 'model % does not exist', p_model_id
            USING ERRCODE = 'foreign_key_violation', TABLE = 'ml_models',
            HINT = 'SELECT id, name FROM ml_leaderboard; lists the models that can be used.';
    ELSIF v_model.is_deleted THEN
        RAISE EXCEPTION 'model % ("%") was deleted on %', p_model_id, v_model.name, v_model.deleted_at
            USING ERRCODE = 'foreign_key_violation', TABLE = 'ml_models',
            HINT = format('Use another model, or take it back: UPDATE ml_models SET is_deleted = false WHERE id = %s;', p_model_id);
    ELSIF v_model.status <> 'READY' THEN
        RAISE EXCEPTION 'model % ("%") is %, not READY', p_model_id, v_model.name, v_model.status
            USING ERRCODE = 'foreign_key_violation', TABLE = 'ml_models',
            HINT = CASE v_model.status
                WHEN 'TRAINING' THEN format('Wait until job %s has trained it.', v_model.train_job_id)
                ELSE format('Its training failed; see error_msg of job %s. Use another model, or train a new one.', v_model.train_job_id)
            END;
    END IF;
    RETURN v_model;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.require_source_of_model(
    p_model public.ml_models,
    p_team integer
)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM ml_internal.require_source(
        p_model.source, ml_internal.columns_of_model(p_model), p_model.phases_csv IS NOT NULL, ml_internal.role_of_team(p_team)
    );
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.columns_of_model(
    model public.ml_models
)
RETURNS text []
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT array_remove(
            ARRAY[model.target_variable::text, nullif(model.base_variable, model.target_variable)::text] || string_to_array(model.features_csv, ','), NULL
        )
    );
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.find_model(
    p_name text
)
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_id bigint;
BEGIN
    SELECT m.id INTO v_id
    FROM public.ml_models m
    WHERE m.name = p_name OR m.id = CASE WHEN p_name ~ '^[0-9]{1,18}$' THEN p_name::bigint END
    ORDER BY m.name = p_name DESC, m.is_deleted OR m.status = 'FAILED', m.id DESC
    LIMIT 1;
    IF v_id IS NULL THEN
        RAISE EXCEPTION 'no model is named %', coalesce(quote_literal(left(p_name, 255)), 'NULL')
            USING ERRCODE = 'no_data_found', TABLE = 'ml_models',
            HINT = ml_internal.suggest_names(p_name, ARRAY(
                SELECT m.name::text
                FROM public.ml_models m
                WHERE m.status = 'READY' AND NOT m.is_deleted
                ORDER BY m.id DESC
                LIMIT 1000
            ), 'SELECT id, name FROM ml_leaderboard; lists the models that can be used.');
    END IF;
    RETURN v_id;
END
$$;
CREATE OR REPLACE TRIGGER ml_models_10_owned_columns
BEFORE UPDATE ON public.ml_models
FOR EACH ROW EXECUTE FUNCTION ml_internal.keep_owned_columns('name', 'description', 'is_deleted');
CREATE OR REPLACE TRIGGER ml_models_30_rules
BEFORE UPDATE ON public.ml_models
FOR EACH ROW EXECUTE FUNCTION ml_internal.keep_model_rules();
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE PROCEDURE ml_internal.require_fit_name(
    p_name text,
    p_table text,
    p_column text
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_fault text := ml_internal.name_fault(p_name);
    v_job_id bigint := substring(p_name FROM '_job_([1-9][0-9]{0,17})(?:_[0-9]+)?$')::bigint;
BEGIN
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION '% %', p_column, v_fault
            USING ERRCODE = 'check_violation', TABLE = p_table, COLUMN = p_column,
            HINT = 'Name the model by characters that show, for example letters, digits and blanks.';
    ELSIF EXISTS (SELECT FROM public.ref_model_types t WHERE starts_with(p_name, t.name || '_job_' || v_job_id))
        AND NOT EXISTS (SELECT FROM public.ml_jobs j WHERE j.id = v_job_id)
    THEN
        RAISE EXCEPTION 'the name "%" is kept for job %, should it have none', p_name, v_job_id
            USING ERRCODE = 'reserved_name', TABLE = p_table, COLUMN = p_column,
            HINT = 'Choose another name, or give none.';
    END IF;
END
$$;
CREATE UNLOGGED TABLE IF NOT EXISTS ml_internal.names_being_taken (
    hash bigint NOT NULL,
    CONSTRAINT names_being_taken_pkey PRIMARY KEY (hash)
);
CREATE OR REPLACE PROCEDURE ml_internal.reserve_name(
    p_name text
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET lock_timeout TO '3s'
AS $$
DECLARE
    v_hash bigint := hashtextextended(p_name, 0);
BEGIN
    INSERT INTO ml_internal.names_being_taken (hash) VALUES (v_hash);
    DELETE FROM ml_internal.names_being_taken n WHERE n.hash = v_hash;
EXCEPTION
    WHEN lock_not_available THEN
        RAISE EXCEPTION 'the model name "%" is being taken by a transaction that has not ended', left(p_name, 255)
            USING ERRCODE = 'lock_not_available', TABLE = 'ml_models', COLUMN = 'name',
            HINT = 'Choose another name, or try again when that transaction has ended.';
END
$$;
CREATE OR REPLACE PROCEDURE ml_internal.require_free_name(
    p_name text,
    p_for_job_id bigint DEFAULT NULL
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off -- a plan made while the queue is empty would read it for each of thousands of jobs
AS $$
DECLARE
    v_owner text := coalesce(
        (
            SELECT 'model ' || m.id
            FROM public.ml_models m
            WHERE m.name = p_name AND NOT m.is_deleted AND m.status <> 'FAILED'
                AND m.train_job_id IS DISTINCT FROM p_for_job_id
        ),
        (
            SELECT 'job ' || j.id
            FROM public.ml_jobs j
            WHERE j.train_model_name = p_name AND j.completed_at IS NULL
                AND j.id IS DISTINCT FROM p_for_job_id
        )
    );
BEGIN
    IF v_owner IS NOT NULL THEN
        RAISE EXCEPTION 'the model name "%" is taken%', p_name, CASE
            WHEN NOT (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = 'public.ml_job_events'::regclass) THEN ' by ' || v_owner
            ELSE ''
        END
            USING ERRCODE = 'unique_violation', TABLE = 'ml_models', COLUMN = 'name', CONSTRAINT = 'ml_models_name_taken',
            HINT = 'Choose another name, or free it: rename or delete the model, or cancel the job.';
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.default_name(
    p_name text
)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off -- as in require_free_name
AS $$
DECLARE
    v_name text := p_name;
    v_number integer := 1;
BEGIN
    WHILE EXISTS (SELECT FROM public.ml_models m WHERE m.name = v_name AND NOT m.is_deleted AND m.status <> 'FAILED')
        OR EXISTS (SELECT FROM public.ml_jobs j WHERE j.train_model_name = v_name AND j.completed_at IS NULL)
    LOOP
        v_number := v_number + 1;
        v_name := p_name || '_' || v_number;
    END LOOP;
    RETURN v_name;
END
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE TABLE IF NOT EXISTS public.ml_jobs (
    id bigint GENERATED ALWAYS AS IDENTITY,
    job_type varchar(20) NOT NULL,
    status varchar(20) NOT NULL DEFAULT 'PENDING',
    priority integer NOT NULL DEFAULT 5,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    completed_at timestamptz,
    progress numeric(3, 2) NOT NULL DEFAULT 0,
    progress_msg text,
    error_msg text,
    worker_id varchar(255),
    attempt integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 3,
    lease_until timestamptz,
    created_by name NOT NULL DEFAULT current_user,
    CONSTRAINT ml_jobs_pkey PRIMARY KEY (id),
    CONSTRAINT ml_jobs_priority_between_1_and_10 CHECK (priority BETWEEN 1 AND 10),
    CONSTRAINT ml_jobs_max_attempts_between_1_and_100 CHECK (max_attempts BETWEEN 1 AND 100),
    CONSTRAINT ml_jobs_status_known CHECK (status IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED')),
    CONSTRAINT ml_jobs_progress_between_0_and_1 CHECK (progress BETWEEN 0 AND 1),
    CONSTRAINT ml_jobs_attempt_not_negative CHECK (attempt >= 0),
    CONSTRAINT ml_jobs_running_has_worker CHECK (status <> 'RUNNING' OR num_nulls(worker_id, started_at) = 0),
    CONSTRAINT ml_jobs_running_has_lease CHECK ((status = 'RUNNING') = (lease_until IS NOT NULL)),
    CONSTRAINT ml_jobs_ended_has_time CHECK ((status IN ('COMPLETED', 'FAILED', 'CANCELLED')) = (completed_at IS NOT NULL)),
    CONSTRAINT ml_jobs_failed_has_reason CHECK ((status = 'FAILED') = (error_msg IS NOT NULL))
);
CREATE INDEX IF NOT EXISTS idx_jobs_status ON public.ml_jobs (status, priority, created_at);
CREATE INDEX IF NOT EXISTS ml_jobs_turns ON public.ml_jobs (job_type, priority, created_by, created_at, id) WHERE (status = 'PENDING') IS TRUE;
CREATE INDEX IF NOT EXISTS ml_jobs_started ON public.ml_jobs (priority, started_at) WHERE started_at IS NOT NULL;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conname = 'ml_models_train_job_id_fkey') THEN
        ALTER TABLE public.ml_models
        ADD CONSTRAINT ml_models_train_job_id_fkey FOREIGN KEY (train_job_id) REFERENCES public.ml_jobs (id);
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.refuse_own_id()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    BEGIN
        IF NEW.id = currval('public.ml_jobs_id_seq') THEN
            RETURN NEW;
        END IF;
    EXCEPTION
        WHEN object_not_in_prerequisite_state THEN NULL; -- it has drawn none
    END;
    IF pg_has_role((SELECT c.relowner FROM pg_class c WHERE c.oid = TG_RELID), 'USAGE') THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a new job cannot have the id %', coalesce(NEW.id::text, 'NULL')
        USING ERRCODE = 'generated_always', TABLE = 'ml_jobs', COLUMN = 'id',
        HINT = 'Leave id out, or write DEFAULT: the service gives the numbers, and RETURNING id tells which.';
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_11_own_id
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.id IS DISTINCT FROM pg_sequence_last_value('public.ml_jobs_id_seq'))
EXECUTE FUNCTION ml_internal.refuse_own_id();
CREATE OR REPLACE FUNCTION ml_internal.refuse_new_request()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_changed text [] := ml_internal.changed_columns(to_jsonb(OLD), to_jsonb(NEW), TG_ARGV);
BEGIN
    IF v_changed <> '{}' THEN
        RAISE EXCEPTION 'the request of job % cannot be changed: %', OLD.id, array_to_string(v_changed, ', ')
            USING ERRCODE = 'ML002', TABLE = 'ml_jobs', COLUMN = v_changed[1],
            HINT = format('Cancel it (CALL ml.cancel_job(%s)) and insert another job; only status and priority can be updated.', OLD.id);
    END IF;
    RETURN jsonb_populate_record(NEW, (
        SELECT jsonb_object_agg(o.key, o.value) FROM jsonb_each(to_jsonb(OLD)) o WHERE o.key = ANY (TG_ARGV)
    ));
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_10_request_is_final
BEFORE UPDATE OF
    id, job_type, created_at, max_attempts
ON public.ml_jobs
FOR EACH ROW
WHEN ((NEW.id, NEW.job_type, NEW.created_at, NEW.max_attempts) IS DISTINCT FROM (OLD.id, OLD.job_type, OLD.created_at, OLD.max_attempts))
EXECUTE FUNCTION ml_internal.refuse_new_request('id', 'job_type', 'created_at', 'max_attempts');
CREATE OR REPLACE TRIGGER ml_jobs_11_owned_columns
BEFORE UPDATE ON public.ml_jobs
FOR EACH ROW EXECUTE FUNCTION ml_internal.keep_owned_columns('status', 'priority');
CREATE OR REPLACE FUNCTION ml_internal.keep_priority_rules()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.priority IS NULL OR NEW.priority NOT BETWEEN 1 AND 10 THEN
        RAISE EXCEPTION 'priority % is not between 1 and 10', coalesce(NEW.priority::text, 'NULL')
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'priority',
            HINT = '1 is the highest priority, 10 the lowest, 5 the default.';
    ELSIF NEW.priority <> OLD.priority AND OLD.status <> 'PENDING' THEN
        RAISE EXCEPTION 'job % is % and its priority can no longer be changed', OLD.id, OLD.status
            USING ERRCODE = 'ML002', TABLE = 'ml_jobs', COLUMN = 'priority',
            HINT = 'Only a PENDING job has a place in the queue; leave this one as it is, or insert another.';
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_30_priority
BEFORE UPDATE OF priority ON public.ml_jobs
FOR EACH ROW EXECUTE FUNCTION ml_internal.keep_priority_rules();
CREATE OR REPLACE FUNCTION ml_internal.keep_status_rules()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_event text;
BEGIN
    IF NEW.status = OLD.status THEN
        RETURN NEW;
    END IF;
    IF NEW.status = 'CANCELLED' AND OLD.status IN ('PENDING', 'RUNNING') THEN
        NEW.completed_at := now();
        NEW.lease_until := NULL;
        NEW.progress_msg := 'Cancelled';
        RETURN NEW;
    END IF;
    SELECT e.event INTO v_event
    FROM public.ml_job_events e
    WHERE e.job_id = OLD.id AND e.event <> 'PROGRESS'
    ORDER BY e.id DESC
    LIMIT 1;
    IF (OLD.status, v_event, NEW.status) IN (
        ('PENDING', 'CLAIMED', 'RUNNING'),
        ('PENDING', 'FAILED', 'FAILED'),
        ('RUNNING', 'COMPLETED', 'COMPLETED'),
        ('RUNNING', 'FAILED', 'FAILED'),
        ('RUNNING', 'RELEASED', 'PENDING'),
        ('RUNNING', 'EXPIRED', 'PENDING')
    ) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'job % cannot go from % to %', OLD.id, OLD.status, coalesce(NEW.status, 'NULL')
        USING ERRCODE = 'ML002', TABLE = 'ml_jobs', COLUMN = 'status',
        HINT = CASE
            WHEN OLD.status IN ('PENDING', 'RUNNING')
                THEN 'By hand a job can only be set to CANCELLED; the worker sets all other states.'
            ELSE format('%s is final; insert another job.', OLD.status)
        END;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_30_status
BEFORE UPDATE OF status ON public.ml_jobs
FOR EACH ROW EXECUTE FUNCTION ml_internal.keep_status_rules();
CREATE OR REPLACE FUNCTION ml_internal.tell_status()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.status = 'CANCELLED' THEN
        INSERT INTO public.ml_job_events (job_id, attempt, event)
        VALUES (NEW.id, NEW.attempt, 'CANCELLED');
    END IF;
    IF NEW.status IN ('PENDING', 'CANCELLED') THEN
        PERFORM ml_internal.tell('ml_jobs', '');
    END IF;
    PERFORM ml_internal.tell('ml_job_status', NEW.id || ' ' || NEW.status);
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_90_tell_status
AFTER UPDATE OF status ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.status <> OLD.status)
EXECUTE FUNCTION ml_internal.tell_status();
CREATE OR REPLACE FUNCTION ml_internal.tell_workers()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM ml_internal.tell('ml_jobs', '');
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_90_tell_workers
AFTER INSERT ON public.ml_jobs
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.tell_workers();
CREATE OR REPLACE PROCEDURE ml.cancel_job(
    p_job_id bigint
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_created_by name;
BEGIN
    UPDATE public.ml_jobs SET status = 'CANCELLED' WHERE id = p_job_id;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT j.created_by INTO v_created_by FROM public.ml_jobs j WHERE j.id = p_job_id;
    IF FOUND THEN
        RAISE EXCEPTION 'job % belongs to %', p_job_id, v_created_by
            USING ERRCODE = 'insufficient_privilege', TABLE = 'ml_jobs',
            HINT = format('Only members of that role may cancel it; as its owner: GRANT %I TO %I;', v_created_by, current_user);
    ELSE
        RAISE EXCEPTION 'job % does not exist', coalesce(p_job_id::text, 'NULL')
            USING ERRCODE = 'no_data_found', TABLE = 'ml_jobs', HINT = 'SELECT id, status FROM ml_queue; lists the jobs that can be cancelled.';
    END IF;
END
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE TABLE IF NOT EXISTS public.ml_job_events (
    id bigint GENERATED ALWAYS AS IDENTITY,
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    event varchar(20) NOT NULL,
    worker_id varchar(255),
    progress numeric(3, 2),
    message text,
    lease_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by name NOT NULL DEFAULT session_user,
    CONSTRAINT ml_job_events_pkey PRIMARY KEY (id),
    CONSTRAINT ml_job_events_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_job_events_event_known CHECK (
        event IN ('CLAIMED', 'PROGRESS', 'COMPLETED', 'FAILED', 'CANCELLED', 'RELEASED', 'EXPIRED')
    ),
    CONSTRAINT ml_job_events_lease_while_running CHECK ((event IN ('CLAIMED', 'PROGRESS')) = (lease_until IS NOT NULL)),
    CONSTRAINT ml_job_events_progress_between_0_and_1 CHECK (progress BETWEEN 0 AND 1),
    CONSTRAINT ml_job_events_progress_known CHECK ((event = 'PROGRESS') = (progress IS NOT NULL)),
    CONSTRAINT ml_job_events_loss_has_reason CHECK (event NOT IN ('FAILED', 'RELEASED', 'EXPIRED') OR message IS NOT NULL)
);
CREATE INDEX IF NOT EXISTS ml_job_events_job ON public.ml_job_events (job_id, id);
CREATE UNIQUE INDEX IF NOT EXISTS ml_job_events_claimed_once
ON public.ml_job_events (job_id, attempt)
WHERE event = 'CLAIMED';
CREATE UNIQUE INDEX IF NOT EXISTS ml_job_events_ended_once
ON public.ml_job_events (job_id, attempt)
WHERE event IN ('COMPLETED', 'RELEASED', 'EXPIRED');
CREATE OR REPLACE TRIGGER ml_job_events_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_job_events
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();
CREATE OR REPLACE PROCEDURE ml_internal.require_claimer(
    p_job_id bigint,
    p_attempt integer
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM public.ml_job_events e
        WHERE e.job_id = p_job_id AND e.attempt = p_attempt AND e.event = 'CLAIMED' AND e.created_by = session_user
    ) THEN
        RAISE EXCEPTION 'attempt % of job % was claimed by another login than %', p_attempt, p_job_id, session_user
            USING ERRCODE = 'insufficient_privilege', TABLE = 'ml_jobs',
            HINT = 'Only the login that claimed a job may go on with it.';
    END IF;
END
$$;
CREATE OR REPLACE PROCEDURE ml_internal.require_attempt(
    p_job_id bigint,
    p_attempt integer
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_status text;
    v_attempt integer;
BEGIN
    SELECT j.status, j.attempt INTO v_status, v_attempt
    FROM public.ml_jobs j
    WHERE j.id = p_job_id
    FOR NO KEY UPDATE;
    IF (v_status, v_attempt) IS DISTINCT FROM ('RUNNING', p_attempt) THEN
        RAISE EXCEPTION 'attempt % does not hold job %, which is % in attempt %',
            p_attempt, p_job_id, coalesce(v_status, 'missing'), coalesce(v_attempt, 0)
            USING ERRCODE = 'ML001', TABLE = 'ml_jobs',
            HINT = 'Stop working on it and discard what this attempt made.';
    END IF;
    CALL ml_internal.require_claimer(p_job_id, p_attempt);
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.check_event()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_status text;
    v_attempt integer;
    v_worker_id text;
BEGIN
    SELECT j.status, j.attempt, j.worker_id INTO v_status, v_attempt, v_worker_id
    FROM public.ml_jobs j
    WHERE j.id = NEW.job_id;
    IF (NEW.event, v_status, NEW.attempt) NOT IN (
        ('CLAIMED', 'PENDING', v_attempt + 1),
        ('PROGRESS', 'RUNNING', v_attempt),
        ('COMPLETED', 'RUNNING', v_attempt),
        ('RELEASED', 'RUNNING', v_attempt),
        ('EXPIRED', 'RUNNING', v_attempt),
        ('FAILED', 'RUNNING', v_attempt),
        ('FAILED', 'PENDING', v_attempt),
        ('CANCELLED', 'CANCELLED', v_attempt)
    ) THEN
        RAISE EXCEPTION 'attempt % of job % cannot be %: the job is % in attempt %',
            NEW.attempt, NEW.job_id, NEW.event, v_status, v_attempt
            USING ERRCODE = 'ML001', TABLE = 'ml_job_events',
            HINT = 'Stop working on it and discard what this attempt made.';
    END IF;
    NEW.worker_id := coalesce(NEW.worker_id, v_worker_id);
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_job_events_10_check
BEFORE INSERT ON public.ml_job_events
FOR EACH ROW EXECUTE FUNCTION ml_internal.check_event();
CREATE OR REPLACE FUNCTION ml_internal.apply_event_to_job()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    CASE NEW.event
        WHEN 'CLAIMED' THEN
            UPDATE public.ml_jobs SET
                status = 'RUNNING',
                attempt = NEW.attempt,
                worker_id = NEW.worker_id,
                lease_until = NEW.lease_until,
                started_at = NEW.created_at,
                progress = 0,
                progress_msg = 'Starting'
            WHERE id = NEW.job_id;
        WHEN 'PROGRESS' THEN
            UPDATE public.ml_jobs SET
                lease_until = NEW.lease_until,
                progress = NEW.progress,
                progress_msg = coalesce(NEW.message, progress_msg)
            WHERE id = NEW.job_id;
        WHEN 'COMPLETED' THEN
            UPDATE public.ml_jobs SET
                status = 'COMPLETED',
                lease_until = NULL,
                completed_at = NEW.created_at,
                progress = 1,
                progress_msg = 'Done'
            WHERE id = NEW.job_id;
        WHEN 'FAILED' THEN
            UPDATE public.ml_jobs SET
                status = 'FAILED',
                lease_until = NULL,
                completed_at = NEW.created_at,
                progress_msg = 'Failed',
                error_msg = NEW.message
            WHERE id = NEW.job_id;
        WHEN 'RELEASED', 'EXPIRED' THEN
            UPDATE public.ml_jobs SET
                status = 'PENDING',
                lease_until = NULL,
                progress = 0,
                progress_msg = format('Waiting again after attempt %s: %s', NEW.attempt, NEW.message)
            WHERE id = NEW.job_id;
        WHEN 'CANCELLED' THEN
            NULL;
    END CASE;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_job_events_90_apply_to_job
AFTER INSERT ON public.ml_job_events
FOR EACH ROW EXECUTE FUNCTION ml_internal.apply_event_to_job();
SET search_path TO pg_catalog, pg_temp;
CREATE TABLE IF NOT EXISTS ml.job_kinds (
    job_type text NOT NULL,
    uses_models name [] NOT NULL,
    makes_model name,
    result_table name NOT NULL,
    result_column name NOT NULL,
    result_fields name [] NOT NULL,
    result_facts name [] NOT NULL,
    page name NOT NULL,
    stays_with_model boolean NOT NULL DEFAULT true,
    reads_labels boolean NOT NULL DEFAULT true,
    CONSTRAINT job_kinds_pkey PRIMARY KEY (job_type),
    CONSTRAINT job_kinds_job_type_is_a_prefix CHECK (job_type ~ '^[A-Z]+$')
);
CREATE OR REPLACE FUNCTION ml_internal.given_fields(
    p_job public.ml_jobs,
    p_fields text []
)
RETURNS text []
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET datestyle TO 'ISO, MDY'
AS $$
DECLARE
    v_field text;
    v_value text;
    v_given text [] := '{}';
BEGIN
    FOREACH v_field IN ARRAY p_fields LOOP
        EXECUTE format('SELECT ($1).%I::text', v_field) INTO v_value USING p_job;
        IF v_value IS NOT NULL THEN
            v_given := v_given || (v_field || ' = ' || v_value);
        END IF;
    END LOOP;
    RETURN v_given;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.refuse_missing_fields()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_missing text [] := ARRAY(
        SELECT f.field
        FROM unnest(TG_ARGV) WITH ORDINALITY f (field, place)
        WHERE to_jsonb(NEW) -> f.field = 'null'
        ORDER BY f.place
    );
BEGIN
    RAISE EXCEPTION 'a % job needs %', NEW.job_type, array_to_string(v_missing, ', ')
        USING ERRCODE = 'not_null_violation', TABLE = 'ml_jobs', COLUMN = v_missing[1],
        HINT = E'Name these fields in the INSERT and give each a value; \\d+ ml_jobs says what they mean.';
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.refuse_foreign_fields()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_given text [] := ml_internal.given_fields(NEW, ARRAY(
        SELECT a.attname
        FROM ml.job_kinds k
        JOIN pg_attribute a ON a.attrelid = TG_RELID AND NOT a.attisdropped AND starts_with(a.attname, lower(k.job_type) || '_')
        WHERE k.job_type <> NEW.job_type
        ORDER BY a.attnum
    ));
BEGIN
    RAISE EXCEPTION 'a % job has no use for %', NEW.job_type, left(array_to_string(v_given, ', '), 200)
        USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = split_part(v_given[1], ' ', 1),
        HINT = format('Leave these fields out, or change job_type; a %s job uses those that begin with %s_.', NEW.job_type, lower(NEW.job_type));
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.refuse_service_fields()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_given text [];
BEGIN
    NEW.created_at := nullif(NEW.created_at, now());
    NEW.progress := nullif(NEW.progress, 0);
    NEW.attempt := nullif(NEW.attempt, 0);
    v_given := ml_internal.given_fields(
        NEW,
        '{created_at,started_at,completed_at,progress,progress_msg,error_msg,worker_id,attempt,lease_until}'
        || ARRAY(SELECT k.result_column::text FROM ml.job_kinds k ORDER BY k.result_column)
    );
    RAISE EXCEPTION 'a new job cannot set %', left(array_to_string(v_given, ', '), 200)
        USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = split_part(v_given[1], ' ', 1),
        HINT = 'Leave these fields out: the service fills them while the job runs.';
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_19_service_fields
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (
    NEW.created_at <> now() OR NEW.progress <> 0 OR NEW.attempt <> 0 OR num_nonnulls(
        NEW.started_at, NEW.completed_at, NEW.progress_msg, NEW.error_msg, NEW.worker_id, NEW.lease_until
    ) > 0
)
EXECUTE FUNCTION ml_internal.refuse_service_fields();
CREATE OR REPLACE FUNCTION ml_internal.refuse_period()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET datestyle TO 'ISO, MDY'
AS $$
DECLARE
    v_start timestamptz;
    v_end timestamptz;
BEGIN
    EXECUTE format('SELECT ($1).%I, ($1).%I', TG_ARGV[0], TG_ARGV[1]) INTO v_start, v_end USING NEW;
    IF v_start < '0002-01-01 00:00:00+00' OR v_end >= '9999-01-01 00:00:00+00' THEN
        RAISE EXCEPTION 'the period from % to % is not within the years 2 to 9998', v_start, v_end
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = TG_ARGV[0],
            HINT = 'Give both as dates, for example ''2024-01-01'' and ''2024-03-01''.';
    END IF;
    RAISE EXCEPTION 'the period starts at %, which is not before its end at %', v_start, v_end
        USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = TG_ARGV[0],
        HINT = format('Set %s to a moment before %s; the end itself is not part of the period.', TG_ARGV[0], TG_ARGV[1]);
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.refuse_job_type()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'job_type % is unknown', coalesce(quote_literal(NEW.job_type), 'NULL')
        USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'job_type',
        HINT = format(
            'Use one of: %s, in capital letters.', (SELECT string_agg(k.job_type, ', ' ORDER BY k.job_type) FROM ml.job_kinds k)
        );
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.check_result()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    CALL ml_internal.require_attempt(NEW.job_id, NEW.attempt);
    IF NOT EXISTS (SELECT FROM public.ml_jobs j WHERE j.id = NEW.job_id AND j.job_type = TG_ARGV[0]) THEN
        RAISE EXCEPTION 'job % is no % job', NEW.job_id, TG_ARGV[0]
            USING ERRCODE = 'ML002', TABLE = TG_TABLE_NAME,
            HINT = 'ml_internal.record_result knows which table a job''s result belongs in.';
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.complete_job()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO public.ml_job_events (job_id, attempt, event)
    VALUES (NEW.job_id, NEW.attempt, 'COMPLETED');
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.tables_of_jobs()
RETURNS TABLE (
    relation regclass,
    job_column name
)
LANGUAGE sql
STABLE
ROWS 20
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT c.conrelid::regclass, a.attname
    FROM pg_constraint c
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
    WHERE c.contype = 'f' AND c.confrelid = 'public.ml_jobs'::regclass AND c.conrelid <> c.confrelid
    UNION
    SELECT a.attrelid::regclass, a.attname
    FROM ml.job_kinds k
    CROSS JOIN unnest(k.result_facts) f (name)
    JOIN pg_attribute a ON a.attrelid = format('public.%I', f.name)::regclass AND a.attname = 'job_id' AND NOT a.attisdropped;
$$;
CREATE OR REPLACE FUNCTION ml_internal.page_of_kind(
    p_model_id bigint,
    p_job_type text
)
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
ROWS 10
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_jobs bigint [] := ARRAY(
        SELECT j.id
        FROM ml.job_models u
        JOIN public.ml_jobs j ON j.id = u.job_id
        WHERE u.model_id = p_model_id AND j.job_type = p_job_type AND j.status = 'COMPLETED'
        ORDER BY j.id DESC
    );
BEGIN
    RETURN QUERY VALUES (''), (format('%s jobs: %s', p_job_type, cardinality(v_jobs)));
    RETURN QUERY
    SELECT format('  job %s, %s: %s', j.id, ml_internal.period_text(j.period_start, j.period_end), j.progress_msg)
    FROM ml.jobs j
    WHERE j.id = ANY (v_jobs[1:10])
    ORDER BY j.id DESC;
END
$$;
CREATE OR REPLACE PROCEDURE ml_internal.define_kind(
    job_type text,
    needs name [],
    result_table name,
    result_column name,
    result_filled name [] DEFAULT '{}',
    result_facts name [] DEFAULT '{}',
    defaults name [] DEFAULT '{}',
    uses_models name [] DEFAULT '{}',
    makes_model name DEFAULT NULL,
    page name DEFAULT 'page_of_kind',
    stays_with_model boolean DEFAULT true,
    reads_labels boolean DEFAULT true
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_prefix text := lower(define_kind.job_type);
    v_fields name [] := ARRAY(
        SELECT a.attname FROM pg_attribute a
        WHERE a.attrelid = 'public.ml_jobs'::regclass AND NOT a.attisdropped AND starts_with(a.attname, v_prefix || '_')
        ORDER BY a.attnum
    );
    v_list text := (SELECT string_agg(quote_ident(f), ', ') FROM unnest(v_fields) f);
    v_new text := (SELECT string_agg('NEW.' || quote_ident(f), ', ') FROM unnest(v_fields) f);
    v_filled text := (SELECT string_agg(quote_ident(f), ', ') FROM unnest(needs || defaults) f);
    v_needs_new text := (SELECT string_agg('NEW.' || quote_ident(f), ', ') FROM unnest(needs) f);
    v_needs_args text := (SELECT string_agg(quote_literal(f), ', ') FROM unnest(needs) f);
    v_table name := define_kind.result_table;
    v_result name := define_kind.result_column;
    v_types text;
    v_starts text;
    v_ends text;
    v_names text;
    v_sources text;
    v_first text;
    v_second text;
    v_joins text;
BEGIN
    INSERT INTO ml.job_kinds
    SELECT
        define_kind.job_type, define_kind.uses_models, define_kind.makes_model, v_table, v_result,
        array_agg(a.attname ORDER BY a.attnum),
        define_kind.result_facts,
        define_kind.page,
        define_kind.stays_with_model,
        define_kind.reads_labels
    FROM pg_attribute a
    WHERE a.attrelid = format('public.%I', v_table)::regclass AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attgenerated = '' AND a.attidentity = ''
        AND a.attname <> ALL (result_filled || '{job_id,attempt,created_at}'::name [])
    ON CONFLICT ON CONSTRAINT job_kinds_pkey DO UPDATE SET
        uses_models = EXCLUDED.uses_models, makes_model = EXCLUDED.makes_model,
        result_table = EXCLUDED.result_table, result_column = EXCLUDED.result_column,
        result_fields = EXCLUDED.result_fields, result_facts = EXCLUDED.result_facts, page = EXCLUDED.page, stays_with_model = EXCLUDED.stays_with_model,
        reads_labels = EXCLUDED.reads_labels;
    v_types := (SELECT string_agg(quote_literal(k.job_type), ', ' ORDER BY k.job_type) FROM ml.job_kinds k);
    CALL ml_internal.keep_constraint('public.ml_jobs', 'ml_jobs_job_type_known', format('job_type IN (%s)', v_types), 'NOT VALID');
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER ml_jobs_20_job_type BEFORE INSERT ON public.ml_jobs FOR EACH ROW
            WHEN ((NEW.job_type IN (%s)) IS NOT TRUE) EXECUTE FUNCTION ml_internal.refuse_job_type()', v_types
    );
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER ml_jobs_30_%1$s_needs BEFORE INSERT ON public.ml_jobs FOR EACH ROW
            WHEN (NEW.job_type = %2$L AND num_nulls(%3$s) > 0) EXECUTE FUNCTION ml_internal.refuse_missing_fields(%4$s);
        CREATE OR REPLACE TRIGGER ml_jobs_31_%1$s_fields BEFORE INSERT ON public.ml_jobs FOR EACH ROW
            WHEN (NEW.job_type <> %2$L AND num_nonnulls(%5$s) > 0) EXECUTE FUNCTION ml_internal.refuse_foreign_fields();
        CREATE OR REPLACE TRIGGER ml_jobs_19_%1$s_result BEFORE INSERT ON public.ml_jobs FOR EACH ROW
            WHEN (NEW.%6$I IS NOT NULL) EXECUTE FUNCTION ml_internal.refuse_service_fields();
        CREATE OR REPLACE TRIGGER ml_jobs_50_%1$s_period BEFORE INSERT ON public.ml_jobs FOR EACH ROW
            WHEN (NEW.%1$s_start >= NEW.%1$s_end OR NEW.%1$s_start < ''0002-01-01 00:00:00+00''
                OR NEW.%1$s_end >= ''9999-01-01 00:00:00+00'')
            EXECUTE FUNCTION ml_internal.refuse_period(''%1$s_start'', ''%1$s_end'');
        CREATE OR REPLACE TRIGGER ml_jobs_10_%1$s_is_final BEFORE UPDATE OF %7$s ON public.ml_jobs FOR EACH ROW
            WHEN ((%5$s) IS DISTINCT FROM (%8$s)) EXECUTE FUNCTION ml_internal.refuse_new_request(%9$s)',
        v_prefix, define_kind.job_type, v_needs_new, v_needs_args, v_new, v_result, v_list,
        (SELECT string_agg('OLD.' || quote_ident(f), ', ') FROM unnest(v_fields) f),
        (SELECT string_agg(quote_literal(f), ', ') FROM unnest(v_fields) f)
    );
    CALL ml_internal.keep_constraint('public.ml_jobs', format('ml_jobs_%s_fields', v_prefix), format(
        'CASE job_type WHEN %L THEN num_nulls(%s) = 0 ELSE num_nonnulls(%s) = 0 END', define_kind.job_type,
        v_filled, v_list
    ));
    CALL ml_internal.keep_constraint('public.ml_jobs', format('ml_jobs_%s_period', v_prefix), format(
        '%1$s_start < %1$s_end AND %1$s_start >= ''0002-01-01 00:00:00+00'' AND %1$s_end < ''9999-01-01 00:00:00+00''', v_prefix
    ));
    CALL ml_internal.keep_constraint('public.ml_jobs', format('ml_jobs_%s_result', v_prefix), format(
        '(job_type = %L AND status = ''COMPLETED'') = (%I IS NOT NULL)', define_kind.job_type, v_result
    ));
    EXECUTE format(
        'GRANT INSERT (%1$s, %2$I), UPDATE (%1$s, %2$I) ON public.ml_jobs TO ml_client;
        GRANT SELECT ON public.%3$I TO ml_reader', v_list, v_result, v_table
    );
    IF uses_models <> '{}' THEN
        EXECUTE format(
            'CREATE OR REPLACE FUNCTION ml_internal.see_models_of_%1$s() RETURNS trigger
                LANGUAGE plpgsql SET search_path TO pg_catalog, pg_temp AS $f$ BEGIN %3$s RETURN NEW; END $f$;
            CREATE OR REPLACE FUNCTION ml_internal.check_models_of_%1$s() RETURNS trigger
                LANGUAGE plpgsql SECURITY DEFINER SET search_path TO pg_catalog, pg_temp AS $f$ BEGIN %4$s RETURN NEW; END $f$;
            COMMENT ON FUNCTION ml_internal.see_models_of_%1$s() IS %5$L;
            COMMENT ON FUNCTION ml_internal.check_models_of_%1$s() IS %6$L;
            CREATE OR REPLACE TRIGGER ml_jobs_15_%1$s_sees_models BEFORE INSERT ON public.ml_jobs FOR EACH ROW
                WHEN (num_nonnulls(%7$s) > 0) EXECUTE FUNCTION ml_internal.see_models_of_%1$s();
            CREATE OR REPLACE TRIGGER ml_jobs_55_%1$s_models_are_ready BEFORE INSERT ON public.ml_jobs FOR EACH ROW
                WHEN (NEW.job_type = %2$L) EXECUTE FUNCTION ml_internal.check_models_of_%1$s();
            CREATE OR REPLACE TRIGGER ml_jobs_40_%1$s_models_are_ready BEFORE UPDATE OF attempt ON public.ml_jobs FOR EACH ROW
                WHEN (NEW.job_type = %2$L AND NEW.attempt > OLD.attempt)
                EXECUTE FUNCTION ml_internal.check_models_of_%1$s()',
            v_prefix, define_kind.job_type,
            (
                SELECT string_agg(
                    format(
                        'IF NEW.%1$I IS NOT NULL AND NOT EXISTS (SELECT FROM public.ml_models m WHERE m.id = NEW.%1$I) THEN
                            RAISE EXCEPTION ''model %% does not exist'', NEW.%1$I
                                USING ERRCODE = ''foreign_key_violation'', TABLE = ''ml_models'',
                                HINT = ''SELECT id, name FROM ml_leaderboard; lists the models that can be used.'';
                        END IF;', f
                    ), ' '
                )
                FROM unnest(uses_models) f
            ),
            (SELECT string_agg(format('PERFORM ml_internal.require_source_of_model(ml_internal.require_ready_model(NEW.%I), NEW.team);', f), ' ') FROM unnest(uses_models) f),
            'Trigger: the role that inserts must see the models that its job uses.',
            'Trigger: the models that a job uses are READY and not deleted, and the role that inserted it may read their sources; at the INSERT and again at the claim.',
            (SELECT string_agg('NEW.' || quote_ident(f), ', ') FROM unnest(uses_models) f)
        );
    END IF;
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER %1$s_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.%1$I
            FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();
        CREATE OR REPLACE TRIGGER %1$s_10_check_result BEFORE INSERT ON public.%1$I
            FOR EACH ROW EXECUTE FUNCTION ml_internal.check_result(%2$L);
        CREATE OR REPLACE TRIGGER %1$s_90_complete_job AFTER INSERT ON public.%1$I
            FOR EACH ROW EXECUTE FUNCTION ml_internal.complete_job()', v_table, define_kind.job_type
    );
    SELECT
        string_agg('j.' || quote_ident(lower(k.job_type) || '_start'), ', ' ORDER BY k.job_type),
        string_agg('j.' || quote_ident(lower(k.job_type) || '_end'), ', ' ORDER BY k.job_type),
        string_agg(
            coalesce('j.' || quote_ident(k.makes_model), (
                SELECT string_agg(quote_ident(u.field) || '.name', ' || '' / '' || ' ORDER BY u.place)
                FROM unnest(k.uses_models) WITH ORDINALITY u (field, place)
            )), ', ' ORDER BY k.job_type
        )
    INTO v_starts, v_ends, v_names
    FROM ml.job_kinds k;
    SELECT
        string_agg(quote_ident(u.field), ', ' ORDER BY u.makes DESC, u.job_type) FILTER (WHERE u.place = 1),
        string_agg(quote_ident(u.field), ', ' ORDER BY u.job_type) FILTER (WHERE u.place = 2),
        string_agg(format('LEFT JOIN public.ml_models %1$I ON %1$I.id = j.%1$I', u.field), ' ' ORDER BY u.field) FILTER (WHERE NOT u.makes)
    INTO v_first, v_second, v_joins
    FROM (
        SELECT k.job_type, true AS makes, 1 AS place, k.result_column AS field FROM ml.job_kinds k WHERE k.makes_model IS NOT NULL
        UNION ALL
        SELECT k.job_type, false, u.place, u.field FROM ml.job_kinds k CROSS JOIN unnest(k.uses_models) WITH ORDINALITY u (field, place)
    ) u;
    v_sources := concat_ws(
        ', ',
        (
            SELECT string_agg('j.' || quote_ident(a.attname), ', ' ORDER BY k.job_type)
            FROM ml.job_kinds k
            JOIN pg_attribute a ON a.attrelid = 'public.ml_jobs'::regclass AND a.attname = lower(k.job_type) || '_source' AND NOT a.attisdropped
            WHERE k.makes_model IS NOT NULL
        ),
        (
            SELECT format(
                '(SELECT m.source FROM public.ml_models m WHERE m.id = coalesce(%s, NULL::bigint))',
                string_agg('j.' || quote_ident(k.uses_models[1]), ', ' ORDER BY k.job_type)
            )
            FROM ml.job_kinds k
            WHERE k.uses_models <> '{}'
            HAVING count(*) > 0
        )
    );
    EXECUTE format(
        'CREATE OR REPLACE VIEW ml.jobs WITH (security_invoker = true) AS
        SELECT
            j.id, j.job_type, j.status, j.priority, j.created_at, j.started_at, j.completed_at, j.progress, j.progress_msg,
            j.error_msg, j.worker_id, j.attempt, j.max_attempts, j.created_by,
            coalesce(%s) AS period_start, coalesce(%s) AS period_end,
            coalesce(%s) AS model_id, coalesce(%s, NULL::bigint) AS model_b_id, coalesce(%s, NULL::text)::text AS model,
            coalesce(%s, ''coin_metrics'')::text AS source
        FROM public.ml_jobs j %s',
        v_starts, v_ends, v_first, coalesce(v_second, 'NULL'), coalesce(v_names, 'NULL'), coalesce(nullif(v_sources, ''), 'NULL'), v_joins
    );
    IF v_first IS DISTINCT FROM obj_description(to_regclass('public.ml_jobs_model'), 'pg_class') THEN
        EXECUTE format(
            'DROP INDEX IF EXISTS public.ml_jobs_model;
            CREATE INDEX ml_jobs_model ON public.ml_jobs (coalesce(%1$s)) WHERE coalesce(%1$s) IS NOT NULL;
            COMMENT ON INDEX public.ml_jobs_model IS %1$L', v_first
        );
    END IF;
    EXECUTE (
        SELECT 'CREATE OR REPLACE VIEW ml.job_models WITH (security_invoker = true) AS ' || string_agg(x.part, ' UNION ALL ' ORDER BY x.part)
        FROM (
            SELECT format(
                'SELECT m.train_job_id AS job_id, 1::bigint AS place, m.id AS model_id, true AS is_made
                FROM public.ml_models m JOIN public.ml_jobs j ON j.id = m.train_job_id WHERE j.job_type = %L', k.job_type
            ) AS part
            FROM ml.job_kinds k
            WHERE k.makes_model IS NOT NULL
            UNION ALL
            SELECT format(
                'SELECT j.id AS job_id, %s::bigint AS place, j.%I AS model_id, false AS is_made
                FROM public.ml_jobs j WHERE j.%2$I IS NOT NULL', u.place, u.field
            )
            FROM ml.job_kinds k
            CROSS JOIN unnest(k.uses_models) WITH ORDINALITY u (field, place)
        ) x
    );
    EXECUTE (
        SELECT format(
            'CREATE OR REPLACE FUNCTION ml_internal.page_of_jobs(p_model_id bigint) RETURNS SETOF text
            LANGUAGE plpgsql STABLE ROWS 10 SET search_path TO pg_catalog, pg_temp AS $f$ BEGIN %s END $f$;
            COMMENT ON FUNCTION ml_internal.page_of_jobs(bigint) IS %L',
            string_agg(
                format(
                    'RETURN QUERY SELECT x.line FROM ml_internal.%I(p_model_id%s) x (line);', k.page,
                    CASE k.page WHEN 'page_of_kind' THEN format(', %L', k.job_type) END
                ), ' ' ORDER BY cardinality(k.uses_models), k.job_type
            ) FILTER (WHERE k.uses_models <> '{}'),
            'Part of ml.report: what was done with a model, kind by kind.'
        )
        FROM ml.job_kinds k
    );
END
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.sign_job()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET quote_all_identifiers TO off
AS $$
BEGIN
    NEW.created_by := coalesce(nullif(NEW.created_by, ''), current_user);
    IF NEW.created_by <> current_user THEN
        RAISE EXCEPTION 'a job of % cannot be inserted as %', NEW.created_by, current_user
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'created_by',
            HINT = format('Leave created_by out, or first become that role: SET ROLE %I;', NEW.created_by);
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_10_sign
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.created_by IS DISTINCT FROM current_user)
EXECUTE FUNCTION ml_internal.sign_job();
CREATE OR REPLACE FUNCTION ml_internal.fill_job()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    NEW.status := coalesce(nullif(NEW.status, ''), 'PENDING');
    NEW.priority := coalesce(NEW.priority, 5);
    NEW.created_at := coalesce(NEW.created_at, now());
    NEW.progress := coalesce(NEW.progress, 0);
    NEW.attempt := coalesce(NEW.attempt, 0);
    NEW.max_attempts := coalesce(NEW.max_attempts, 3);
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_12_fill
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (num_nulls(nullif(NEW.status, ''), NEW.priority, NEW.created_at, NEW.progress, NEW.attempt, NEW.max_attempts) > 0)
EXECUTE FUNCTION ml_internal.fill_job();
CREATE OR REPLACE FUNCTION ml_internal.refuse_job()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.status <> 'PENDING' THEN
        RAISE EXCEPTION 'a new job cannot have the status %', quote_literal(NEW.status)
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'status',
            HINT = 'Leave status out, or use PENDING: the worker sets the others.';
    ELSIF NEW.priority NOT BETWEEN 1 AND 10 THEN
        RAISE EXCEPTION 'priority % is not between 1 and 10', NEW.priority
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'priority',
            HINT = '1 is the highest priority, 10 the lowest, 5 the default.';
    END IF;
    RAISE EXCEPTION 'max_attempts % is not between 1 and 100', NEW.max_attempts
        USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'max_attempts',
        HINT = 'Leave it out for the default of 3.';
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_21_refuse
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.status <> 'PENDING' OR NEW.priority NOT BETWEEN 1 AND 10 OR NEW.max_attempts NOT BETWEEN 1 AND 100)
EXECUTE FUNCTION ml_internal.refuse_job();
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.may_pass(
    p_sqlstate text
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT left(p_sqlstate, 2) IN ('08', '25', '40', '53', '54', '55', '57', '58', 'XX');
$$;
CREATE OR REPLACE PROCEDURE ml_internal.fail_claim(
    p_job public.ml_jobs,
    p_worker_id text,
    p_sqlstate text,
    p_message text
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF ml_internal.may_pass(p_sqlstate) THEN
        RAISE WARNING 'job % cannot be claimed now: %', p_job.id, p_message
            USING ERRCODE = p_sqlstate, HINT = 'It waits, and a worker tries again.';
        RETURN;
    END IF;
    INSERT INTO public.ml_job_events (job_id, attempt, event, worker_id, message)
    VALUES (p_job.id, p_job.attempt, 'FAILED', p_worker_id, p_message);
EXCEPTION
    WHEN OTHERS THEN
        RAISE WARNING 'job % can neither be claimed (%) nor fail: %', p_job.id, p_message, SQLERRM
            USING ERRCODE = SQLSTATE, HINT = 'It waits; the owner of the tables must mend them.';
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.last_turn(
    p_priority integer
)
RETURNS name
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off -- a plan made while the table is small would go on reading all of it
SET enable_bitmapscan TO off
SET jit TO off
AS $$
BEGIN
    RETURN coalesce(
        (
            SELECT j.created_by
            FROM public.ml_jobs j
            WHERE j.priority = p_priority AND j.started_at <= clock_timestamp()
            ORDER BY j.started_at DESC
            LIMIT 1
        ),
        ''
    );
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.lock_next_job(
    p_kinds text [],
    p_skip bigint [],
    p_priority integer,
    p_last text -- not name, whose collation would make another of that of the kinds, and their index useless
)
RETURNS public.ml_jobs
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
SET enable_bitmapscan TO off
SET jit TO off
SET plan_cache_mode TO force_generic_plan -- to plan these queries takes ten times as long as to run them
AS $$
DECLARE
    v_priority integer := 0;
    v_last name;
    v_client name;
    v_id bigint;
    v_has_turned boolean;
    v_clients integer;
    v_waiting integer;
    v_kind text;
    v_job public.ml_jobs;
BEGIN
    LOOP
        SELECT min((
            SELECT j.priority
            FROM public.ml_jobs j
            WHERE (j.status = 'PENDING') IS TRUE AND j.job_type = k.job_type AND j.priority > v_priority
            ORDER BY j.priority
            LIMIT 1
        )) INTO v_priority
        FROM unnest(p_kinds) k (job_type);
        IF v_priority IS NULL THEN
            RETURN NULL;
        END IF;
        v_last := CASE WHEN v_priority = p_priority THEN p_last ELSE ml_internal.last_turn(v_priority) END;
        FOR v_locked IN 0..7 LOOP
            v_client := v_last;
            v_has_turned := false;
            v_clients := 0;
            v_waiting := 0;
            LOOP
                SELECT h.created_by, h.id INTO v_client, v_id
                FROM unnest(p_kinds) k (job_type)
                CROSS JOIN LATERAL (
                    SELECT j.created_by, j.created_at, j.id
                    FROM public.ml_jobs j
                    WHERE (j.status = 'PENDING') IS TRUE AND j.job_type = k.job_type AND j.priority = v_priority
                        AND j.created_by > v_client AND j.id <> ALL (p_skip)
                    ORDER BY j.created_by, j.created_at, j.id
                    LIMIT 1
                ) h
                ORDER BY h.created_by, h.created_at, h.id
                LIMIT 1;
                IF v_client IS NULL OR (v_has_turned AND v_client > v_last) THEN
                    EXIT WHEN v_has_turned;
                    v_has_turned := true;
                    v_client := '';
                    CONTINUE;
                END IF;
                v_clients := v_clients + 1;
                IF v_locked > 0 THEN
                    v_id := (
                        SELECT f.id
                        FROM unnest(p_kinds) k (job_type)
                        CROSS JOIN LATERAL (
                            SELECT j.created_at, j.id
                            FROM public.ml_jobs j
                            WHERE (j.status = 'PENDING') IS TRUE AND j.job_type = k.job_type AND j.priority = v_priority
                                AND j.created_by = v_client AND j.id <> ALL (p_skip)
                            ORDER BY j.created_at, j.id
                            LIMIT v_locked + 1
                        ) f
                        ORDER BY f.created_at, f.id
                        OFFSET v_locked
                        LIMIT 1
                    );
                    CONTINUE WHEN v_id IS NULL;
                END IF;
                v_waiting := v_waiting + 1;
                SELECT * INTO v_job
                FROM public.ml_jobs j
                WHERE j.id = v_id AND j.status = 'PENDING'
                FOR NO KEY UPDATE SKIP LOCKED;
                IF FOUND THEN
                    RETURN v_job;
                END IF;
            END LOOP;
            EXIT WHEN v_waiting = 0 OR v_clients = 1;
        END LOOP;
        CONTINUE WHEN v_waiting = 0;
        SELECT * INTO v_job
        FROM public.ml_jobs j
        WHERE j.status = 'PENDING' AND j.id = ANY (ARRAY(
            SELECT f.id
            FROM unnest(p_kinds) k (job_type)
            CROSS JOIN LATERAL (
                SELECT j.id
                FROM public.ml_jobs j
                WHERE (j.status = 'PENDING') IS TRUE AND j.job_type = k.job_type AND j.priority = v_priority AND j.id <> ALL (p_skip)
                ORDER BY j.created_by, j.created_at, j.id
                LIMIT 50
            ) f
        ))
        ORDER BY j.created_at, j.id
        LIMIT 1
        FOR NO KEY UPDATE SKIP LOCKED;
        IF FOUND THEN
            RETURN v_job;
        END IF;
        FOREACH v_kind IN ARRAY p_kinds LOOP
            SELECT * INTO v_job
            FROM public.ml_jobs j
            WHERE (j.status = 'PENDING') IS TRUE AND j.job_type = v_kind AND j.priority = v_priority AND j.id <> ALL (p_skip)
            ORDER BY j.created_by, j.created_at, j.id
            LIMIT 1
            FOR NO KEY UPDATE SKIP LOCKED;
            IF FOUND THEN
                RETURN v_job;
            END IF;
        END LOOP;
    END LOOP;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.claim_job(
    p_worker_id text,
    p_lease interval,
    p_kinds text [],
    p_except bigint [] DEFAULT '{}'
)
RETURNS SETOF public.ml_jobs
LANGUAGE plpgsql
SECURITY DEFINER
ROWS 1
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job public.ml_jobs;
    v_priority integer;
    v_last text;
    v_locked bigint [] := coalesce(p_except, '{}');
    v_is_claimed boolean := false;
    v_failed integer := 0;
    v_kinds text [] := array_remove(array_remove(p_kinds, '+sources'), '+splits');
    v_knows_sources boolean := '+sources' = ANY (p_kinds);
    v_knows_splits boolean := '+splits' = ANY (p_kinds);
BEGIN
    IF p_worker_id IS NULL OR length(p_worker_id) > 255 OR p_kinds IS NULL OR p_lease IS NULL OR p_lease NOT BETWEEN interval '0' AND interval '1 day' THEN
        RAISE EXCEPTION 'worker % cannot claim a job for %',
            coalesce(quote_literal(p_worker_id), 'NULL'), coalesce(ml_internal.interval_text(p_lease), 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Give the worker a name of at most 255 characters, a lease of at most one day, and the kinds of job that it can do.';
    END IF;
    IF NOT v_knows_sources AND EXISTS (SELECT FROM public.ml_sources s WHERE s.name <> 'coin_metrics') THEN
        v_locked := v_locked || ARRAY(SELECT j.id FROM ml.jobs j WHERE j.status = 'PENDING' AND j.source <> 'coin_metrics');
    END IF;
    IF NOT v_knows_splits THEN
        v_locked := v_locked || ARRAY(
            SELECT j.id
            FROM public.ml_jobs j
            WHERE (j.status = 'PENDING') IS TRUE AND (j.train_split <> 'coins' OR j.train_folds > 0 OR j.train_weights <> 'none')
        );
    END IF;
    LOOP
        v_job := ml_internal.lock_next_job(v_kinds, v_locked, v_priority, v_last);
        EXIT WHEN v_job.id IS NULL;
        IF NOT v_knows_sources AND EXISTS (SELECT FROM public.ml_sources s WHERE s.name <> 'coin_metrics') THEN
            IF EXISTS (SELECT FROM ml.jobs j WHERE j.id = v_job.id AND j.source <> 'coin_metrics') THEN
                v_locked := v_locked || v_job.id;
                CONTINUE;
            END IF;
        END IF;
        IF NOT v_knows_splits AND (v_job.train_split <> 'coins' OR v_job.train_folds > 0 OR v_job.train_weights <> 'none') THEN
            v_locked := v_locked || v_job.id;
            CONTINUE;
        END IF;
        BEGIN
            INSERT INTO public.ml_job_events (job_id, attempt, event, worker_id, lease_until)
            VALUES (v_job.id, v_job.attempt + 1, 'CLAIMED', p_worker_id, clock_timestamp() + p_lease);
            v_is_claimed := true;
        EXCEPTION
            WHEN lock_not_available THEN
                v_locked := v_locked || v_job.id;
            WHEN OTHERS THEN
                v_locked := v_locked || v_job.id;
                CALL ml_internal.fail_claim(v_job, p_worker_id, SQLSTATE, SQLERRM);
                v_failed := v_failed + 1;
        END;
        IF v_is_claimed THEN
            RETURN QUERY SELECT * FROM public.ml_jobs j WHERE j.id = v_job.id;
            RETURN;
        END IF;
        v_priority := v_job.priority;
        v_last := v_job.created_by;
        IF v_failed >= 100 THEN
            PERFORM ml_internal.tell('ml_jobs', '');
            RETURN;
        END IF;
    END LOOP;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.assignment(
    p_job_id bigint
)
RETURNS jsonb
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET timezone TO 'UTC'
SET extra_float_digits TO 1
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'period_start', j.period_start,
            'period_end', j.period_end,
            'phases', string_to_array(ml_internal.common_items(VARIADIC m.phases), ',')::integer [],
            'models', coalesce(m.models, '[]'),
            'library_versions', coalesce(m.libraries, '{}'),
            'thresholds', m.thresholds,
            'fitted', coalesce(m.fitted, '{}'),
            'source', ml_internal.describe_source(j.source),
            'request', (
                SELECT jsonb_object_agg(substr(f.key, length(j.job_type) + 2), f.value)
                FROM public.ml_jobs x
                CROSS JOIN LATERAL jsonb_each(to_jsonb(x)) f
                WHERE x.id = j.id AND starts_with(f.key, lower(j.job_type) || '_')
            )
        )
        FROM ml.jobs j
        CROSS JOIN LATERAL (
            SELECT
                jsonb_agg(ml_internal.describe_model(m) ORDER BY u.place) AS models,
                array_agg(m.phases_csv) AS phases,
                jsonb_object_agg(m.id, r.library_versions_csv) FILTER (WHERE r.id IS NOT NULL) AS libraries,
                jsonb_object_agg(m.id, m.threshold) AS thresholds,
                jsonb_object_agg(m.id, jsonb_build_object(
                    'share_positive', r.num_fitted_positive::double precision / nullif(r.num_fitted, 0),
                    'rule', CASE WHEN r.baseline_feature IS NOT NULL THEN jsonb_build_object(
                        'feature', r.baseline_feature, 'direction', r.baseline_direction, 'threshold', r.baseline_threshold
                    ) END,
                    'is_older', r.best_baseline IS NULL
                )) FILTER (WHERE r.num_fitted > 0) AS fitted
            FROM ml.job_models u
            JOIN public.ml_models m ON m.id = u.model_id
            LEFT JOIN public.ml_training_runs r ON r.model_id = m.id
            WHERE u.job_id = j.id
        ) m
        WHERE j.id = p_job_id
    );
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.record_progress(
    p_job_id bigint,
    p_attempt integer,
    p_progress numeric,
    p_message text,
    p_lease interval
)
RETURNS timestamptz
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_lease_until timestamptz;
BEGIN
    IF p_lease IS NULL OR p_lease NOT BETWEEN interval '0' AND interval '1 day' THEN
        RAISE EXCEPTION 'job % cannot be held for %', coalesce(p_job_id::text, 'NULL'), coalesce(ml_internal.interval_text(p_lease), 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Give a lease of at most one day.';
    END IF;
    CALL ml_internal.require_attempt(p_job_id, p_attempt);
    INSERT INTO public.ml_job_events (job_id, attempt, event, progress, message, lease_until)
    VALUES (p_job_id, p_attempt, 'PROGRESS', p_progress, p_message, clock_timestamp() + p_lease)
    RETURNING lease_until INTO v_lease_until;
    RETURN v_lease_until;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.record_facts(
    p_job_id bigint,
    p_facts jsonb,
    p_tables name []
)
RETURNS void
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_table text;
    v_columns name [];
    v_wrong text;
BEGIN
    FOREACH v_table IN ARRAY p_tables LOOP
        CONTINUE WHEN NOT p_facts ? v_table;
        v_columns := ARRAY(
            SELECT a.attname FROM pg_attribute a
            WHERE a.attrelid = format('public.%I', v_table)::regclass AND a.attnum > 0 AND NOT a.attisdropped
                AND a.attgenerated = '' AND a.attidentity = '' AND a.attname <> 'job_id'
        );
        SELECT k.key INTO v_wrong
        FROM jsonb_path_query(p_facts -> v_table, '$[0 to 999]') e (item)
        CROSS JOIN LATERAL jsonb_object_keys(e.item) k (key)
        WHERE k.key <> ALL (v_columns)
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION '% of a result has no %', v_table, v_wrong
                USING ERRCODE = 'undefined_column', TABLE = v_table, COLUMN = v_wrong,
                HINT = ml_internal.suggest_names(v_wrong, v_columns::text []);
        END IF;
        EXECUTE format(
            'INSERT INTO public.%1$I (job_id, %2$s) SELECT $1, %2$s FROM jsonb_populate_recordset(NULL::public.%1$I, $2)',
            v_table, (SELECT string_agg(quote_ident(c.column_name), ', ') FROM unnest(v_columns) c (column_name))
        ) USING p_job_id, p_facts -> v_table;
    END LOOP;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.record_result(
    p_job_id bigint,
    p_attempt integer,
    p_result jsonb
)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_kind ml.job_kinds;
    v_keys text [];
    v_id bigint;
    v_wrong text;
BEGIN
    SELECT k.* INTO v_kind
    FROM public.ml_jobs j
    JOIN ml.job_kinds k ON k.job_type = j.job_type
    WHERE j.id = p_job_id;
    IF NOT FOUND THEN
        CALL ml_internal.require_attempt(p_job_id, p_attempt);
    END IF;
    v_keys := ARRAY(SELECT k.key FROM jsonb_object_keys(p_result) k (key) WHERE k.key <> ALL (v_kind.result_facts));
    SELECT k.key INTO v_wrong FROM unnest(v_keys) k (key) WHERE k.key <> ALL (v_kind.result_fields) LIMIT 1;
    IF FOUND THEN
        IF EXISTS (
            SELECT FROM pg_attribute a
            WHERE a.attrelid = format('public.%I', v_kind.result_table)::regclass AND a.attname = v_wrong AND a.attnum > 0
        ) THEN
            RAISE EXCEPTION 'the result of a % job cannot set %', v_kind.job_type, v_wrong
                USING ERRCODE = 'generated_always', TABLE = v_kind.result_table, COLUMN = v_wrong,
                HINT = 'Leave it out: the database fills it.';
        END IF;
        RAISE EXCEPTION 'the result of a % job has no %', v_kind.job_type, v_wrong
            USING ERRCODE = 'undefined_column', TABLE = v_kind.result_table, COLUMN = v_wrong,
            HINT = ml_internal.suggest_names(v_wrong, (v_kind.result_fields || v_kind.result_facts)::text []);
    END IF;
    SELECT a.attname INTO v_wrong
    FROM pg_attribute a
    WHERE a.attrelid = format('public.%I', v_kind.result_table)::regclass
        AND a.attname = ANY (v_kind.result_fields) AND a.attnotnull AND NOT a.atthasdef
        AND coalesce(p_result -> a.attname::text, 'null') = 'null'
    ORDER BY a.attnum
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the result of a % job needs %', v_kind.job_type, v_wrong
            USING ERRCODE = 'not_null_violation', TABLE = v_kind.result_table, COLUMN = v_wrong,
            HINT = format(E'\\d+ %s says what it means.', v_kind.result_table);
    END IF;
    BEGIN
        EXECUTE format(
            'INSERT INTO public.%1$I (job_id, attempt%2$s) SELECT $1, $2%2$s FROM jsonb_populate_record(NULL::public.%1$I, $3) RETURNING id',
            v_kind.result_table, (SELECT string_agg(', ' || quote_ident(k.key), '') FROM unnest(v_keys) k (key))
        ) INTO v_id USING p_job_id, p_attempt, p_result;
    EXCEPTION
        WHEN SQLSTATE 'ML001' THEN
            EXECUTE format('SELECT r.id FROM public.%I r WHERE r.job_id = $1 AND r.attempt = $2', v_kind.result_table)
            INTO v_id USING p_job_id, p_attempt;
            IF v_id IS NULL THEN
                RAISE;
            END IF;
            CALL ml_internal.require_claimer(p_job_id, p_attempt);
            RETURN v_id;
    END;
    PERFORM ml_internal.record_facts(p_job_id, p_result, v_kind.result_facts);
    PERFORM ml_internal.show_warnings(p_job_id);
    RETURN v_id;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.record_failure(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM public.ml_jobs j WHERE j.id = p_job_id FOR NO KEY UPDATE;
    IF NOT EXISTS (
        SELECT FROM public.ml_job_events e
        WHERE e.job_id = p_job_id AND e.attempt = p_attempt AND e.event IN ('FAILED', 'EXPIRED', 'RELEASED')
        HAVING min(e.event) = 'FAILED' AND max(e.event) = 'FAILED'
    ) THEN
        CALL ml_internal.require_attempt(p_job_id, p_attempt);
        INSERT INTO public.ml_job_events (job_id, attempt, event, message)
        VALUES (p_job_id, p_attempt, 'FAILED', p_message);
    END IF;
    CALL ml_internal.require_claimer(p_job_id, p_attempt);
    RETURN 'FAILED';
END
$$;
CREATE OR REPLACE PROCEDURE ml_internal.lose_attempt(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_lost bigint;
BEGIN
    INSERT INTO public.ml_job_events (job_id, attempt, event, message)
    VALUES (p_job_id, p_attempt, 'EXPIRED', p_message);
    SELECT count(*) INTO v_lost
    FROM public.ml_job_events e
    WHERE e.job_id = p_job_id AND e.event = 'EXPIRED';
    INSERT INTO public.ml_job_events (job_id, attempt, event, message)
    SELECT j.id, j.attempt, 'FAILED', format('Lost %s of %s attempts; the last: %s', v_lost, j.max_attempts, p_message)
    FROM public.ml_jobs j
    WHERE j.id = p_job_id AND v_lost >= j.max_attempts;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.record_loss(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM public.ml_jobs j WHERE j.id = p_job_id FOR NO KEY UPDATE;
    IF NOT EXISTS (
        SELECT FROM public.ml_job_events e
        WHERE e.job_id = p_job_id AND e.attempt = p_attempt AND e.event = 'EXPIRED'
    ) THEN
        CALL ml_internal.require_attempt(p_job_id, p_attempt);
        CALL ml_internal.lose_attempt(p_job_id, p_attempt, p_message);
    END IF;
    CALL ml_internal.require_claimer(p_job_id, p_attempt);
    RETURN CASE
        WHEN EXISTS (
            SELECT FROM public.ml_job_events e
            WHERE e.job_id = p_job_id AND e.attempt = p_attempt AND e.event = 'FAILED'
        ) THEN 'FAILED'
        ELSE 'PENDING'
    END;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.release_job(
    p_job_id bigint,
    p_attempt integer,
    p_message text
)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM public.ml_jobs j WHERE j.id = p_job_id FOR NO KEY UPDATE;
    IF NOT EXISTS (
        SELECT FROM public.ml_job_events e
        WHERE e.job_id = p_job_id AND e.attempt = p_attempt AND e.event = 'RELEASED'
    ) THEN
        CALL ml_internal.require_attempt(p_job_id, p_attempt);
        INSERT INTO public.ml_job_events (job_id, attempt, event, message)
        VALUES (p_job_id, p_attempt, 'RELEASED', p_message);
    END IF;
    CALL ml_internal.require_claimer(p_job_id, p_attempt);
    RETURN 'PENDING';
END
$$;
CREATE OR REPLACE PROCEDURE ml_internal.fail_left_models()
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE public.ml_models SET status = 'FAILED'
    WHERE id IN (
        SELECT m.id
        FROM public.ml_models m
        JOIN public.ml_jobs j ON j.id = m.train_job_id
        WHERE m.status = 'TRAINING' AND j.status IN ('FAILED', 'CANCELLED')
        ORDER BY m.id
        FOR NO KEY UPDATE OF m SKIP LOCKED
    );
EXCEPTION
    WHEN OTHERS THEN NULL; -- as before; what else a worker does goes on
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.expire_leases()
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
SET datestyle TO 'ISO, MDY'
AS $$
DECLARE
    v_job public.ml_jobs;
    v_expired bigint := 0;
BEGIN
    PERFORM ml_internal.end_overtime();
    FOR v_job IN
        SELECT *
        FROM public.ml_jobs j
        WHERE j.status = 'RUNNING' AND j.lease_until < clock_timestamp()
        ORDER BY j.id
        FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        BEGIN
            CALL ml_internal.lose_attempt(
                v_job.id, v_job.attempt, format('worker %s sent no heartbeat until %s', v_job.worker_id, v_job.lease_until)
            );
            v_expired := v_expired + 1;
        EXCEPTION
            WHEN OTHERS THEN
                RAISE WARNING 'job % cannot be taken away from worker % now: %', v_job.id, v_job.worker_id, SQLERRM
                    USING ERRCODE = SQLSTATE, HINT = 'A worker tries again at each look at the queue.';
        END;
    END LOOP;
    CALL ml_internal.fail_left_models();
    RETURN v_expired;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.folder_name()
RETURNS text
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_server text;
BEGIN
    BEGIN
        v_server := (SELECT c.system_identifier::text FROM pg_control_system() c);
    EXCEPTION
        WHEN insufficient_privilege OR undefined_function OR feature_not_supported THEN
            v_server := (SELECT extract(epoch FROM min(v.installed_at))::text FROM ml.schema_version v);
    END;
    RETURN 'database_' || left(encode(sha256(convert_to(
        v_server || ' ' || (SELECT d.oid::text FROM pg_database d WHERE d.datname = current_database()), 'UTF8'
    )), 'hex'), 16);
END
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE TABLE IF NOT EXISTS public.ml_worker_signs (
    id bigint GENERATED ALWAYS AS IDENTITY,
    worker_id varchar(255) NOT NULL,
    concurrency integer NOT NULL,
    started_at timestamptz NOT NULL,
    alive_until timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by name NOT NULL DEFAULT session_user,
    reason text,
    kinds text [],
    CONSTRAINT ml_worker_signs_pkey PRIMARY KEY (id),
    CONSTRAINT ml_worker_signs_worker_id_not_blank CHECK (worker_id ~ E'\\S'),
    CONSTRAINT ml_worker_signs_concurrency_positive CHECK (concurrency > 0),
    CONSTRAINT ml_worker_signs_alive_for_a_day_at_most CHECK (alive_until BETWEEN created_at - interval '1 second' AND created_at + interval '1 day')
);
CREATE INDEX IF NOT EXISTS ml_worker_signs_worker ON public.ml_worker_signs (worker_id, id);
CREATE INDEX IF NOT EXISTS ml_worker_signs_alive ON public.ml_worker_signs (alive_until);
CREATE OR REPLACE TRIGGER ml_worker_signs_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_worker_signs
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();
CREATE OR REPLACE FUNCTION ml_internal.record_sign(
    p_worker_id text,
    p_concurrency integer,
    p_alive_for interval,
    p_reason text DEFAULT NULL,
    p_kinds text [] DEFAULT NULL
)
RETURNS timestamptz
LANGUAGE sql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
    INSERT INTO public.ml_worker_signs (worker_id, concurrency, started_at, alive_until, reason, kinds)
    SELECT
        p_worker_id,
        p_concurrency,
        coalesce(
            (SELECT s.started_at FROM public.ml_worker_signs s WHERE s.worker_id = p_worker_id ORDER BY s.id DESC LIMIT 1),
            clock_timestamp()
        ),
        clock_timestamp() + p_alive_for,
        p_reason,
        p_kinds
    RETURNING alive_until;
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.metrics_range(
    p_source text DEFAULT 'coin_metrics',
    OUT is_indexed boolean,
    OUT first_at timestamptz,
    OUT last_at timestamptz
)
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
AS $$
DECLARE
    v_source record;
    v_read jsonb;
BEGIN
    IF p_source = 'coin_metrics' THEN
        is_indexed := EXISTS (
            SELECT
            FROM pg_index i
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
            JOIN pg_class c ON c.oid = i.indexrelid
            JOIN pg_am m ON m.oid = c.relam
            WHERE i.indrelid = 'public.coin_metrics'::regclass AND a.attname = 'timestamp'
                AND m.amname = 'btree' AND i.indisvalid AND i.indpred IS NULL
        );
        IF is_indexed THEN
            SELECT min(c."timestamp"), max(c."timestamp") INTO first_at, last_at FROM public.coin_metrics c;
        END IF;
        RETURN;
    END IF;
    SELECT s.* INTO v_source FROM ml_internal.find_source(p_source) s;
    is_indexed := EXISTS (
        SELECT
        FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        JOIN pg_class c ON c.oid = i.indexrelid
        JOIN pg_am m ON m.oid = c.relam
        WHERE i.indrelid = v_source.id AND a.attname = v_source.moment_column
            AND m.amname = 'btree' AND i.indisvalid AND i.indpred IS NULL
    ) AND has_table_privilege(v_source.id, 'SELECT') AND NOT v_source.has_row_security;
    IF is_indexed THEN
        v_read := ml_internal.describe_source(p_source);
        EXECUTE format(
            'SELECT
                (SELECT %1$s FROM %2$s m WHERE %3$s IS NOT NULL ORDER BY %3$s LIMIT 1),
                (SELECT %1$s FROM %2$s m WHERE %3$s IS NOT NULL ORDER BY %3$s DESC LIMIT 1)',
            v_read ->> 'moment', v_read ->> 'relation', v_read ->> 'moment_column'
        ) INTO first_at, last_at;
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.no_rows_text(
    p_start timestamptz,
    p_end timestamptz,
    p_phases_csv text,
    p_first_at timestamptz,
    p_last_at timestamptz,
    p_source text DEFAULT 'coin_metrics'
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format('%s has no rows from %s', p_source, ml_internal.period_text(p_start, p_end))
        || coalesce(' in phases ' || p_phases_csv, '')
        || coalesce('; it has rows from ' || ml_internal.period_text(p_first_at, p_last_at), '');
$$;
CREATE OR REPLACE FUNCTION ml_internal.tell_of_jobs()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
SET jit TO off -- one plan serves all statements of a session, however many jobs the first one had
AS $$
DECLARE
    v_kind text;
    v_source text;
    v_range record;
    v_read jsonb;
    v_job record;
    v_next timestamptz;
BEGIN
    IF NOT EXISTS (SELECT FROM new_jobs) THEN
        RETURN NULL;
    END IF;
    IF NOT ml_internal.has_worker() THEN
        RAISE NOTICE 'no worker is running, so the job waits' USING HINT = 'Start one: ml-worker run';
    ELSE
        FOR v_kind IN
            SELECT DISTINCT n.job_type
            FROM new_jobs n
            WHERE NOT EXISTS (SELECT FROM public.ml_workers w WHERE n.job_type = ANY (string_to_array(w.kinds, ', ')))
        LOOP
            RAISE NOTICE 'no worker that is running does % jobs, so the job waits', v_kind
                USING HINT = 'Start one of this version: ml-worker run';
        END LOOP;
    END IF;
    FOR v_job IN
        SELECT min(n.id) AS id, j.source, j.period_start, j.period_end
        FROM new_jobs n
        CROSS JOIN LATERAL (SELECT x.source, x.period_start, x.period_end FROM ml.jobs x WHERE x.id = n.id OFFSET 0) j
        GROUP BY j.source, j.period_start, j.period_end
        ORDER BY 2, 1
        LIMIT 100
    LOOP
        IF v_job.source IS DISTINCT FROM v_source THEN
            v_source := v_job.source;
            SELECT r.* INTO v_range FROM ml_internal.metrics_range(v_source) r;
            v_read := CASE WHEN v_source <> 'coin_metrics' THEN ml_internal.describe_source(v_source) END;
        END IF;
        CONTINUE WHEN v_range.is_indexed IS NOT TRUE;
        IF v_read IS NULL THEN
            v_next := (
                SELECT c."timestamp" FROM public.coin_metrics c
                WHERE c."timestamp" >= v_job.period_start
                ORDER BY c."timestamp"
                LIMIT 1
            );
        ELSE
            EXECUTE format(
                'SELECT %s FROM %s m WHERE %3$s >= %4$s ORDER BY %3$s LIMIT 1',
                v_read ->> 'moment', v_read ->> 'relation', v_read ->> 'moment_column', replace(v_read ->> 'bound', '{}', '$1')
            ) INTO v_next USING v_job.period_start;
        END IF;
        IF v_next IS NULL OR v_next >= v_job.period_end THEN
            RAISE WARNING '% (job %)', ml_internal.no_rows_text(v_job.period_start, v_job.period_end, NULL, v_range.first_at, v_range.last_at, v_source), v_job.id
                USING HINT = format('The job fails unless rows come before its turn. To take it back: CALL ml.cancel_job(%s);', v_job.id);
            EXIT;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_90_tell
AFTER INSERT ON public.ml_jobs
REFERENCING NEW TABLE AS new_jobs
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.tell_of_jobs();
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.accuracy(tp bigint, tn bigint, fp bigint, fn bigint)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT (tp + tn)::numeric / nullif(tp + tn + fp + fn, 0);
$$;
CREATE OR REPLACE FUNCTION ml_internal.precision_score(tp bigint, fp bigint)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT tp::numeric / nullif(tp + fp, 0);
$$;
CREATE OR REPLACE FUNCTION ml_internal.recall_score(tp bigint, fn bigint)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT tp::numeric / nullif(tp + fn, 0);
$$;
CREATE OR REPLACE FUNCTION ml_internal.f1_score(tp bigint, fp bigint, fn bigint)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT (2 * tp)::numeric / nullif(2 * tp + fp + fn, 0);
$$;
CREATE OR REPLACE FUNCTION ml_internal.mcc(tp bigint, tn bigint, fp bigint, fn bigint)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT (tp::numeric * tn - fp::numeric * fn)
        / nullif(sqrt((tp + fp)::numeric * (tp + fn) * (tn + fp) * (tn + fn)), 0);
$$;
CREATE OR REPLACE FUNCTION ml_internal.counts_fit_half(threshold double precision, tp bigint, fp bigint, tp_at_half bigint, fp_at_half bigint)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN num_nulls(tp_at_half, fp_at_half) = 2 THEN threshold = 0.5
        WHEN num_nulls(tp_at_half, fp_at_half) = 1 OR least(tp_at_half, fp_at_half) < 0 THEN false
        WHEN threshold < 0.5 THEN tp_at_half <= tp AND fp_at_half <= fp
        WHEN threshold > 0.5 THEN tp_at_half >= tp AND fp_at_half >= fp
        ELSE tp_at_half = tp AND fp_at_half = fp
    END;
$$;
CREATE OR REPLACE FUNCTION ml_internal.threshold_note(
    p_measured double precision,
    p_of_model double precision
)
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format('measured at the threshold %s and not at the model''s own, %s: restart the worker', p_measured, p_of_model)
    WHERE p_measured <> p_of_model;
$$;
CREATE OR REPLACE FUNCTION ml_internal.trivial_answer(tp bigint, tn bigint, fp bigint, fn bigint)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN tp + fn > tn + fp THEN 'positive' ELSE 'negative' END;
$$;
CREATE OR REPLACE FUNCTION ml_internal.verdict(tp bigint, tn bigint, fp bigint, fn bigint)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format(
        '%s than always saying %s: accuracy %s against %s',
        CASE WHEN x.accuracy > x.trivial THEN 'better' ELSE 'no better' END,
        ml_internal.trivial_answer(tp, tn, fp, fn),
        coalesce(x.accuracy::text, 'none'),
        coalesce(x.trivial::text, 'none')
    )
    FROM (
        SELECT
            round(ml_internal.accuracy(tp, tn, fp, fn), 4) AS accuracy,
            round(greatest(tp + fn, tn + fp)::numeric / nullif(tp + tn + fp + fn, 0), 4) AS trivial
    ) x;
$$;
CREATE TABLE IF NOT EXISTS public.ml_curve_points (
    job_id bigint NOT NULL,
    threshold double precision NOT NULL,
    tp bigint NOT NULL,
    fp bigint NOT NULL,
    tn bigint NOT NULL,
    fn bigint NOT NULL,
    sum_probability double precision NOT NULL,
    CONSTRAINT ml_curve_points_pkey PRIMARY KEY (job_id, threshold),
    CONSTRAINT ml_curve_points_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_curve_points_threshold_between_0_and_1 CHECK (threshold BETWEEN 0 AND 1),
    CONSTRAINT ml_curve_points_counts_not_negative CHECK (least(tp, fp, tn, fn) >= 0),
    CONSTRAINT ml_curve_points_nothing_above_1 CHECK (threshold < 1 OR tp + fp = 0),
    CONSTRAINT ml_curve_points_sum_fits_threshold CHECK (
        sum_probability BETWEEN (tp + fp) * (threshold - 1e-6) AND (tp + fp) * (1 + 1e-6)
    )
);
CREATE OR REPLACE TRIGGER ml_curve_points_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_curve_points
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();
CREATE OR REPLACE FUNCTION ml_internal.check_curve()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint;
    v_fault text;
BEGIN
    SELECT c.job_id, c.fault INTO v_job_id, v_fault
    FROM (
        SELECT
            p.job_id,
            CASE
                WHEN count(p.num_positive) = 0 THEN 'belongs to no measurement'
                WHEN count(*) > 202 THEN 'has more than 202 points'
                WHEN bool_or(p.tp + p.fn <> p.num_positive OR p.fp + p.tn <> p.num_negative)
                    THEN 'counts other rows than its result'
                WHEN count(*) FILTER (WHERE p.threshold = ANY ('{0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1}'::double precision [])) < 11
                    THEN 'lacks one of the thresholds 0, 0.1, 0.2 to 1'
                WHEN count(*) FILTER (WHERE p.threshold = p.result_threshold) = 0
                    THEN 'lacks the threshold of its result'
                WHEN bool_or(p.threshold = p.result_threshold AND (p.tp <> p.result_tp OR p.fp <> p.result_fp))
                    THEN 'differs from its result at the threshold of that'
                WHEN bool_or(p.threshold = 0.5 AND (p.tp <> p.tp_at_half OR p.fp <> p.fp_at_half))
                    THEN 'differs from its result at the threshold 0.5'
                WHEN bool_or(p.tp > p.tp_before OR p.fp > p.fp_before OR p.sum_probability > p.sum_before)
                    THEN 'rises with the threshold'
            END AS fault
        FROM (
            SELECT
                x.*,
                r.num_positive,
                r.num_negative,
                r.tp AS result_tp,
                r.fp AS result_fp,
                r.model_threshold AS result_threshold,
                r.tp_at_half,
                r.fp_at_half,
                lag(x.tp) OVER by_threshold AS tp_before,
                lag(x.fp) OVER by_threshold AS fp_before,
                lag(x.sum_probability) OVER by_threshold AS sum_before
            FROM (SELECT DISTINCT i.job_id FROM inserted i) j
            JOIN public.ml_curve_points x ON x.job_id = j.job_id
            LEFT JOIN public.ml_measurements r ON r.job_id = j.job_id
            WINDOW by_threshold AS (PARTITION BY x.job_id ORDER BY x.threshold)
        ) p
        GROUP BY p.job_id
    ) c
    WHERE c.fault IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the curve of job % %', v_job_id, v_fault
            USING ERRCODE = 'check_violation', TABLE = 'ml_curve_points',
            HINT = 'A curve has at most 202 thresholds, among them 0, 0.1, 0.2 to 1 and that of its result; its counts are those of its result and fall as the threshold rises.';
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_curve_points_60_check_curve
AFTER INSERT ON public.ml_curve_points
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.check_curve();
SET search_path TO pg_catalog, pg_temp;
CREATE TABLE IF NOT EXISTS public.ml_intervals (
    job_id bigint NOT NULL,
    side varchar(10) NOT NULL,
    metric varchar(20) NOT NULL,
    estimate numeric(5, 4),
    lower numeric(5, 4),
    upper numeric(5, 4),
    confidence numeric NOT NULL,
    num_blocks integer NOT NULL,
    block_seconds bigint NOT NULL,
    effective_rows numeric(14, 1),
    reason text,
    CONSTRAINT ml_intervals_pkey PRIMARY KEY (job_id, side, metric),
    CONSTRAINT ml_intervals_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_intervals_side_known CHECK (side IN ('model', 'a', 'b', 'difference')),
    CONSTRAINT ml_intervals_metric_known CHECK (
        metric IN ('f1', 'precision', 'recall', 'accuracy', 'roc_auc', 'average_precision')
    ),
    CONSTRAINT ml_intervals_within_bounds CHECK (
        lower BETWEEN CASE side WHEN 'difference' THEN -1 ELSE 0 END AND estimate AND upper BETWEEN estimate AND 1
    ),
    CONSTRAINT ml_intervals_both_ends_or_a_reason CHECK (
        CASE WHEN reason IS NULL THEN num_nonnulls(estimate, lower, upper) = 3 ELSE num_nonnulls(lower, upper) = 0 END
    ),
    CONSTRAINT ml_intervals_at_least_8_blocks CHECK (num_blocks >= CASE WHEN reason IS NULL THEN 8 ELSE 0 END AND block_seconds >= 3600),
    CONSTRAINT ml_intervals_confidence_is_a_share CHECK (confidence BETWEEN 0.5 AND 0.999),
    CONSTRAINT ml_intervals_effective_rows_positive CHECK (effective_rows > 0)
);
CREATE OR REPLACE TRIGGER ml_intervals_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_intervals
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();
CREATE OR REPLACE FUNCTION ml_internal.blocks_text(
    p_num_blocks integer,
    p_block_seconds bigint
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format(
        '%s %s of %s %s',
        p_num_blocks, CASE p_num_blocks WHEN 1 THEN 'block' ELSE 'blocks' END,
        p_block_seconds / 3600, CASE p_block_seconds / 3600 WHEN 1 THEN 'hour' ELSE 'hours' END
    );
$$;
CREATE OR REPLACE FUNCTION ml_internal.percent_text(
    p_share numeric
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT trim_scale(100 * p_share) || '%';
$$;
CREATE OR REPLACE FUNCTION ml_internal.check_intervals()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint;
    v_fault text;
BEGIN
    SELECT x.job_id, x.fault INTO v_job_id, v_fault
    FROM (
        SELECT
            i.job_id,
            CASE
                WHEN r.job_id IS NULL THEN format('has an interval of side %s, which its result has not', i.side)
                WHEN abs(i.estimate - r.metrics[ml_internal.place_of_metric(i.metric)]) > 0.0001
                    OR (i.estimate IS NULL) <> (r.metrics[ml_internal.place_of_metric(i.metric)] IS NULL) AND i.side <> 'difference'
                    THEN format('has %s %s of side %s, where its result has %s',
                        i.metric, coalesce(i.estimate::text, 'NULL'), i.side,
                        coalesce(r.metrics[ml_internal.place_of_metric(i.metric)]::text, 'NULL'))
                WHEN i.effective_rows > r.num_samples THEN format('counts %s effective rows of %s', i.effective_rows, r.num_samples)
            END AS fault
        FROM inserted i
        LEFT JOIN LATERAL (
            SELECT
                m.job_id, m.num_samples,
                ARRAY[m.f1_score, m.precision_score, m.recall, m.accuracy, m.roc_auc, m.average_precision] AS metrics
            FROM public.ml_measurements m
            WHERE i.side = 'model' AND m.job_id = i.job_id
            UNION ALL
            SELECT
                c.job_id, c.num_samples,
                CASE i.side
                    WHEN 'a' THEN ARRAY[c.a_f1, c.a_precision, c.a_recall, c.a_accuracy, c.a_roc_auc, c.a_average_precision]
                    WHEN 'b' THEN ARRAY[c.b_f1, c.b_precision, c.b_recall, c.b_accuracy, c.b_roc_auc, c.b_average_precision]
                    ELSE ARRAY[
                        c.f1_difference, c.a_precision - c.b_precision, c.a_recall - c.b_recall, c.accuracy_difference,
                        c.roc_auc_difference, c.a_average_precision - c.b_average_precision
                    ]
                END
            FROM public.ml_comparisons c
            WHERE i.side <> 'model' AND c.job_id = i.job_id
        ) r ON true
    ) x
    WHERE x.fault IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'job % %', v_job_id, v_fault
            USING ERRCODE = 'check_violation', TABLE = 'ml_intervals',
            HINT = 'Intervals are of the sides that a result has: model of TRAIN and TEST; a, b and difference of COMPARE; each estimate is that of the result.';
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.place_of_metric(
    p_metric text
)
RETURNS integer
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT array_position('{f1,precision,recall,accuracy,roc_auc,average_precision}', p_metric);
$$;
CREATE OR REPLACE FUNCTION ml_internal.metric_text(
    p_metric text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE p_metric WHEN 'f1' THEN 'F1' WHEN 'roc_auc' THEN 'ROC AUC' ELSE replace(p_metric, '_', ' ') END;
$$;
CREATE OR REPLACE TRIGGER ml_intervals_60_check_intervals
AFTER INSERT ON public.ml_intervals
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.check_intervals();
CREATE OR REPLACE FUNCTION ml_internal.interval_lines(
    p_job_id bigint
)
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
ROWS 4
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT format(
        '  At %s, by %s%s:', ml_internal.percent_text(max(i.confidence)), ml_internal.blocks_text(max(i.num_blocks), max(i.block_seconds)),
        '; these rows tell as much as ' || ml_internal.count_text(greatest(round(max(i.effective_rows)), 1)::bigint) || ' independent ones'
    )
    FROM public.ml_intervals i
    WHERE i.job_id = p_job_id AND i.side = 'model' AND i.lower IS NOT NULL
    HAVING count(*) > 0;
    RETURN QUERY
    SELECT '    ' || string_agg(
        format('%s %s (%s to %s)', ml_internal.metric_text(x.metric), x.estimate, x.lower, x.upper), ', ' ORDER BY x.place
    )
    FROM (
        SELECT i.*, ml_internal.place_of_metric(i.metric) AS place
        FROM public.ml_intervals i
        WHERE i.job_id = p_job_id AND i.side = 'model' AND i.lower IS NOT NULL
    ) x
    GROUP BY (x.place - 1) / 3
    ORDER BY (x.place - 1) / 3;
    RETURN QUERY
    SELECT '  No interval: ' || i.reason
    FROM public.ml_intervals i
    WHERE i.job_id = p_job_id AND i.side = 'model' AND i.estimate IS NOT NULL AND i.reason IS NOT NULL
    GROUP BY i.reason
    ORDER BY i.reason;
END
$$;
CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_intervals');
CALL ml_internal.allow('ml_reader', 'EXECUTE', 'ml_internal.blocks_text, ml_internal.percent_text, ml_internal.place_of_metric, ml_internal.metric_text, ml_internal.interval_lines');
SET search_path TO pg_catalog, pg_temp;
CREATE TABLE IF NOT EXISTS public.ml_baselines (
    job_id bigint NOT NULL,
    place integer NOT NULL,
    baseline text NOT NULL,
    rule text,
    tp bigint,
    tn bigint,
    fp bigint,
    fn bigint,
    num_unknown bigint,
    accuracy numeric(5, 4) GENERATED ALWAYS AS (ml_internal.accuracy(tp, tn, fp, fn)) STORED,
    precision_score numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(tp, fp)) STORED,
    recall numeric(5, 4) GENERATED ALWAYS AS (ml_internal.recall_score(tp, fn)) STORED,
    f1_score numeric(5, 4) GENERATED ALWAYS AS (ml_internal.f1_score(tp, fp, fn)) STORED,
    mcc numeric(5, 4) GENERATED ALWAYS AS (ml_internal.mcc(tp, tn, fp, fn)) STORED,
    roc_auc numeric(5, 4),
    average_precision numeric(5, 4),
    log_loss numeric(9, 6),
    brier_score numeric(7, 6),
    reason text,
    CONSTRAINT ml_baselines_pkey PRIMARY KEY (job_id, place, baseline),
    CONSTRAINT ml_baselines_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_baselines_baseline_known CHECK (
        baseline IN ('always_positive', 'always_negative', 'positive_share', 'persistence', 'best_feature')
    ),
    CONSTRAINT ml_baselines_place_of_model CHECK (
        place BETWEEN 0 AND 2 AND (place > 0) = (baseline IN ('positive_share', 'best_feature'))
    ),
    CONSTRAINT ml_baselines_counted_or_reason CHECK (
        num_nulls(tp, tn, fp, fn, rule) = 0 AND reason IS NULL
        OR num_nonnulls(tp, tn, fp, fn, rule, num_unknown, roc_auc, average_precision, log_loss, brier_score) = 0
        AND coalesce(reason, '') <> ''
    ),
    CONSTRAINT ml_baselines_counts_not_negative CHECK (least(tp, tn, fp, fn, num_unknown) >= 0 AND num_unknown <= tp + tn + fp + fn),
    CONSTRAINT ml_baselines_scores_of_answers CHECK (
        roc_auc BETWEEN 0 AND 1 AND average_precision BETWEEN 0 AND 1
        AND coalesce(log_loss, 0) >= 0 AND coalesce(brier_score, 0) BETWEEN 0 AND 1
    )
);
CREATE OR REPLACE TRIGGER ml_baselines_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_baselines
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();
CREATE OR REPLACE PROCEDURE ml_internal.add_baseline(
    p_table name,
    p_prefix text DEFAULT '',
    p_only_if text DEFAULT 'true'
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format(
        'ALTER TABLE public.%1$I
            ADD COLUMN IF NOT EXISTS %2$sbest_baseline text,
            ADD COLUMN IF NOT EXISTS %2$sbaseline_f1 numeric(5, 4),
            ADD COLUMN IF NOT EXISTS %2$sbaseline_difference double precision,
            ADD COLUMN IF NOT EXISTS %2$sbaseline_lower double precision,
            ADD COLUMN IF NOT EXISTS %2$sbaseline_upper double precision,
            ADD COLUMN IF NOT EXISTS %2$sbaseline_note text,
            ADD COLUMN IF NOT EXISTS %2$sbeats_baseline boolean GENERATED ALWAYS AS (
                CASE WHEN %2$sbest_baseline IS NOT NULL THEN coalesce(%2$sbaseline_lower > 0 AND %10$s, false) END
            ) STORED;
        COMMENT ON COLUMN public.%1$I.%2$sbest_baseline IS %3$L;
        COMMENT ON COLUMN public.%1$I.%2$sbaseline_f1 IS %4$L;
        COMMENT ON COLUMN public.%1$I.%2$sbaseline_difference IS %5$L;
        COMMENT ON COLUMN public.%1$I.%2$sbaseline_lower IS %6$L;
        COMMENT ON COLUMN public.%1$I.%2$sbaseline_upper IS %7$L;
        COMMENT ON COLUMN public.%1$I.%2$sbaseline_note IS %8$L;
        COMMENT ON COLUMN public.%1$I.%2$sbeats_baseline IS %9$L',
        p_table, p_prefix,
        'Baseline with the highest F1 on the same rows, see ml_baselines; NULL before version 8.',
        'F1 of that baseline.',
        'F1 of the model less that of the baseline; an F1 that is undefined counts as 0.',
        'Lower end of the 95 % interval of the difference, by a paired bootstrap of blocks of time (see ml_internal.baseline_verdict); NULL: baseline_note says why.',
        'Upper end of the 95 % interval of the difference.',
        'Why the difference has no interval; NULL where it has one.',
        'Whether the difference from the best baseline is above 0 beyond chance: its 95 % interval is. False where nothing is proven, and on rows of the training period; NULL before version 8.',
        p_only_if
    );
    CALL ml_internal.keep_constraint(format('public.%I', p_table)::regclass, format('%s_%sbaseline_interval_or_note', p_table, p_prefix), format(
        'CASE WHEN %1$sbest_baseline IS NULL
            THEN num_nonnulls(%1$sbaseline_f1, %1$sbaseline_difference, %1$sbaseline_lower, %1$sbaseline_upper, %1$sbaseline_note) = 0
            WHEN %1$sbaseline_note IS NULL THEN coalesce(
                %1$sbaseline_lower <= %1$sbaseline_difference AND %1$sbaseline_difference <= %1$sbaseline_upper
                AND %1$sbaseline_lower >= -1 AND %1$sbaseline_upper <= 1 AND %1$sbaseline_f1 BETWEEN 0 AND 1, false)
            ELSE num_nonnulls(%1$sbaseline_lower, %1$sbaseline_upper) = 0
                AND coalesce(%1$sbaseline_difference BETWEEN -1 AND 1 AND %1$sbaseline_f1 BETWEEN 0 AND 1, false) END',
        p_prefix
    ));
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.baseline_text(
    p_baseline text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE p_baseline
        WHEN 'positive_share' THEN 'share of positives'
        WHEN 'best_feature' THEN 'best feature'
        ELSE replace(p_baseline, '_', ' ')
    END;
$$;
CREATE OR REPLACE FUNCTION ml_internal.baseline_verdict(
    p_beats boolean,
    p_baseline text,
    p_f1 numeric,
    p_baseline_f1 numeric,
    p_lower double precision,
    p_upper double precision,
    p_note text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format(
        '%s its best baseline, %s: F1 %s against %s, %s',
        CASE WHEN p_beats THEN 'beats' WHEN p_upper < 0 THEN 'does worse than' ELSE 'does not provably beat' END,
        ml_internal.baseline_text(p_baseline),
        coalesce(round(p_f1, 4)::text, 'none'),
        round(p_baseline_f1, 4),
        coalesce(
            p_note,
            format('difference %s to %s', to_char(p_lower, 'FM90.0000'), to_char(p_upper, 'FM90.0000'))
            || CASE WHEN p_lower > 0 AND NOT p_beats THEN ' on rows of its training period' ELSE '' END
        )
    )
    WHERE p_baseline IS NOT NULL;
$$;
CREATE OR REPLACE FUNCTION ml_internal.check_baselines()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint;
    v_fault text;
BEGIN
    WITH jobs AS (
        SELECT DISTINCT i.job_id FROM inserted i
    ),
    results AS (
        SELECT r.job_id, 1 AS place, 1 AS num_models, r.num_positive, r.num_negative, r.best_baseline, r.baseline_f1
        FROM jobs JOIN public.ml_training_runs r USING (job_id)
        UNION ALL
        SELECT t.job_id, 1, 1, t.num_positive, t.num_negative, t.best_baseline, t.baseline_f1
        FROM jobs JOIN public.ml_test_results t USING (job_id)
        UNION ALL
        SELECT c.job_id, x.place, 2, c.a_tp + c.a_fn, c.a_tn + c.a_fp, x.best_baseline, x.baseline_f1
        FROM jobs
        JOIN public.ml_comparisons c USING (job_id)
        CROSS JOIN LATERAL (
            VALUES (1, c.a_best_baseline, c.a_baseline_f1), (2, c.b_best_baseline, c.b_baseline_f1)
        ) x (place, best_baseline, baseline_f1)
    )
    SELECT f.job_id, f.fault INTO v_job_id, v_fault
    FROM (
        SELECT
            jobs.job_id,
            CASE
                WHEN r.job_id IS NULL THEN 'belong to no measurement'
                WHEN count(b.baseline) <> 5
                    OR (SELECT count(*) FROM public.ml_baselines x WHERE x.job_id = jobs.job_id) <> 3 + 2 * r.num_models
                    THEN 'are not those that there are'
                WHEN bool_or(b.tp + b.fn <> r.num_positive OR b.fp + b.tn <> r.num_negative)
                    THEN 'count other rows than their result'
                WHEN bool_or(b.baseline = r.best_baseline AND b.f1_score = r.baseline_f1) IS NOT TRUE
                    OR max(b.f1_score) <> r.baseline_f1
                    THEN 'have not the best one that their result names'
            END AS fault
        FROM jobs
        LEFT JOIN results r USING (job_id)
        LEFT JOIN public.ml_baselines b ON b.job_id = jobs.job_id AND b.place IN (0, r.place)
        GROUP BY jobs.job_id, r.job_id, r.place, r.num_models, r.best_baseline, r.baseline_f1
    ) f
    WHERE f.fault IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the baselines of job % %', v_job_id, v_fault
            USING ERRCODE = 'check_violation', TABLE = 'ml_baselines',
            HINT = 'A measurement has each baseline once, counted on its own rows; those that know of the fitted rows once for each model. The result names the one with the highest F1.';
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_baselines_60_check_baselines
AFTER INSERT ON public.ml_baselines
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.check_baselines();
CREATE OR REPLACE FUNCTION ml_internal.draw_baselines(
    p_job_id bigint
)
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
ROWS 6
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT format(
        '  %-18s  %9s %9s %9s %9s %9s   %s', x.name, x.f1, x.accuracy, x.precision_score, x.recall, x.roc_auc, x.rule
    )
    FROM (
        SELECT 0 AS place, 'baselines' AS name, 'F1' AS f1, 'accuracy' AS accuracy, 'precision' AS precision_score, 'recall' AS recall, 'ROC AUC' AS roc_auc, '' AS rule
        WHERE EXISTS (SELECT FROM public.ml_baselines b WHERE b.job_id = p_job_id)
        UNION ALL
        SELECT
            array_position('{always_positive,always_negative,positive_share,persistence,best_feature}', b.baseline),
            ml_internal.baseline_text(b.baseline),
            coalesce(b.f1_score::text, '-'), coalesce(b.accuracy::text, '-'), coalesce(b.precision_score::text, '-'),
            coalesce(b.recall::text, '-'), coalesce(b.roc_auc::text, '-'),
            CASE
                WHEN b.baseline IN ('always_positive', 'always_negative') THEN ''
                WHEN b.num_unknown > 0 THEN format('%s; unknown, so negative: %s rows', b.rule, ml_internal.count_text(b.num_unknown))
                ELSE coalesce(b.rule, b.reason)
            END
        FROM public.ml_baselines b
        WHERE b.job_id = p_job_id
    ) x
    ORDER BY x.place;
END
$$;
CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_baselines');
CALL ml_internal.allow('ml_reader', 'EXECUTE', 'ml_internal.baseline_verdict, ml_internal.baseline_text, ml_internal.draw_baselines');
SET search_path TO pg_catalog, pg_temp;
CREATE TABLE IF NOT EXISTS public.ref_warnings (
    code varchar(50) NOT NULL,
    means text NOT NULL,
    advice text NOT NULL,
    CONSTRAINT ref_warnings_pkey PRIMARY KEY (code)
);
INSERT INTO public.ref_warnings (code, means, advice)
VALUES
    ('feature_tells_label', 'One feature tells the label almost alone: its ROC AUC is 0.99 or more, by its order or by bands of values.', 'See how the column is made: most often it knows what comes after its moment. Leave it out.'),
    ('features_tell_label', 'Two features together tell the label almost alone, by their sum, difference, product or ratio, or by cells of both.', 'See how they are made: most often one knows what comes after its moment. Leave it out.'),
    ('feature_is_target', 'Without a horizon, a feature that is a monotone function of the target in the same row.', 'Leave it out, or give train_future_minutes to have something to forecast.'),
    ('same_series', 'The same series under two keys: rows of both have the same features at the same distance in time.', 'Keep one of the two: rows that are there twice count twice, and a copy that is held out is no new coin.'),
    ('feature_of_moment', 'A feature that is the same for all coins at a moment. It tells moments apart, and coins of one moment share their fate.', 'Hold out by time, or leave it out: while whole coins are held out, their moments are known from the others.'),
    ('constant_feature', 'A feature with one value in all rows that were fitted.', 'Leave it out: nothing can be learned from it.'),
    ('period_overlaps', 'The period measured shares time with the training of the model.', 'Measure on a later period: what was fitted is not measured by itself.'),
    ('period_earlier', 'The period measured begins before the training of the model.', 'Measure on a later period: doing well in the past of what was fitted is no forecast.'),
    ('seen_coins', 'A model does better on coins that it was fitted on than on others, by more than chance.', 'Look at ml_seen_unseen, and judge it by the coins that it has not seen if new ones will come.'),
    ('rows_without_label', 'Many rows have no label, or some have none and differ from the rest.', 'The figures hold for rows like those that are left. See why the others have none.'),
    ('rows_without_window', 'Many rows are of coins that stop before their window ends, or some are and differ from the rest.', 'The figures hold for coins that go on; train_uncovered says what the others count as.'),
    ('one_answer', 'All rows get the same answer.', 'Look at ROC AUC and at other thresholds (ml_threshold_sweep): F1 and accuracy say nothing here.'),
    ('constant_probability', 'All rows get the same probability, or nearly so.', 'The model has learned nothing: see whether the features vary, and whether the hyperparameters let it learn.'),
    ('few_positives', 'The model was fitted on few rows of a class.', 'Choose a longer period or another threshold (ml.targets lists some).'),
    ('one_class_measured', 'All rows measured are of one class, so that F1 or ROC AUC are undefined.', 'Measure on a longer period.'),
    ('feature_shift', 'A feature is distributed otherwise than in training: its population stability index is 0.25 or more, beyond chance.', 'See whether the feature still means the same; if so, train on a newer period, or use a ratio instead of a level.'),
    ('fit', 'What the library said of the fit.', 'Do as it says: most often more iterations, or other hyperparameters.'),
    ('not_in_sql', 'The model has no numbers in the database.', 'Use a SCORE job where ml.predict cannot be asked.')
ON CONFLICT ON CONSTRAINT ref_warnings_pkey DO UPDATE SET
    means = EXCLUDED.means,
    advice = EXCLUDED.advice;
CREATE TABLE IF NOT EXISTS public.ml_warnings (
    id bigint GENERATED ALWAYS AS IDENTITY,
    job_id bigint NOT NULL,
    model_id bigint NOT NULL,
    code varchar(50) NOT NULL,
    severity varchar(10) NOT NULL,
    sentence text NOT NULL,
    feature text,
    other_feature text,
    key text,
    other_key text,
    number double precision,
    CONSTRAINT ml_warnings_pkey PRIMARY KEY (id),
    CONSTRAINT ml_warnings_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_warnings_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_warnings_code_fkey FOREIGN KEY (code) REFERENCES public.ref_warnings (code),
    CONSTRAINT ml_warnings_severity_known CHECK (severity IN ('info', 'warning', 'severe')),
    CONSTRAINT ml_warnings_sentence_not_blank CHECK (sentence ~ '[^ ]' AND length(sentence) <= 2000)
);
CREATE INDEX IF NOT EXISTS ml_warnings_job ON public.ml_warnings (job_id);
CREATE INDEX IF NOT EXISTS ml_warnings_model ON public.ml_warnings (model_id);
CREATE OR REPLACE TRIGGER ml_warnings_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_warnings
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();
CREATE OR REPLACE FUNCTION ml_internal.rank_of_severity(
    p_severity text
)
RETURNS integer
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT array_position('{severe,warning,info}'::text [], p_severity);
$$;
CREATE OR REPLACE FUNCTION ml_internal.period_warnings(
    p_model public.ml_models,
    p_start timestamptz,
    p_end timestamptz
)
RETURNS TABLE (
    code text,
    severity text,
    sentence text,
    number double precision
)
LANGUAGE plpgsql -- which does not ask for overlap_note until it is used: it comes with 61_kind_test.sql
STABLE
ROWS 2
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT
        'period_overlaps', 'severe',
        format('%s of model %s: its figures flatter', ml_internal.overlap_note(tstzrange(p_start, p_end), x.trained), p_model.id),
        (extract(epoch FROM upper(x.common) - lower(x.common)) / extract(epoch FROM p_end - p_start))::double precision
    FROM (
        SELECT tstzrange(p_model.train_start, p_model.train_end) AS trained,
            tstzrange(p_start, p_end) * tstzrange(p_model.train_start, p_model.train_end) AS common
    ) x
    WHERE NOT isempty(x.common)
    UNION ALL
    SELECT
        'period_earlier', 'warning',
        format(
            'the period from %s begins before the training of model %s, which is from %s: that is no forecast',
            p_start, p_model.id, p_model.train_start
        ),
        (extract(epoch FROM least(p_end, p_model.train_start) - p_start) / extract(epoch FROM p_end - p_start))::double precision
    WHERE p_start < p_model.train_start;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.warn_of_period()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO public.ml_warnings (job_id, model_id, code, severity, sentence, number)
    SELECT NEW.job_id, m.id, w.code, w.severity, w.sentence, w.number
    FROM ml.job_models u
    JOIN public.ml_models m ON m.id = u.model_id
    CROSS JOIN LATERAL ml_internal.period_warnings(m, NEW.test_start, NEW.test_end) w
    WHERE u.job_id = NEW.job_id AND NOT u.is_made
    ORDER BY u.place, ml_internal.rank_of_severity(w.severity);
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.warnings_text(
    p_job_id bigint
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN count(*) = 1 THEN format('a %s: %s', CASE min(w.severity) WHEN 'severe' THEN 'severe warning' ELSE 'warning' END, min(w.sentence))
        WHEN count(*) > 1 THEN format(
            '%s warnings%s, the first: %s', count(*),
            nullif(format(' (%s severe)', count(*) FILTER (WHERE w.severity = 'severe')), ' (0 severe)'),
            (array_agg(w.sentence ORDER BY ml_internal.rank_of_severity(w.severity), w.id))[1]
        )
    END
    FROM public.ml_warnings w
    WHERE w.job_id = p_job_id AND w.severity <> 'info';
$$;
CREATE OR REPLACE FUNCTION ml_internal.show_warnings(
    p_job_id bigint
)
RETURNS void
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_text text := ml_internal.warnings_text(p_job_id);
BEGIN
    IF v_text IS NOT NULL THEN
        UPDATE public.ml_jobs SET progress_msg = concat_ws('; ', progress_msg, v_text) WHERE id = p_job_id;
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.page_of_warnings(
    p_model_id bigint,
    p_job_ids bigint []
)
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
ROWS 5
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT format(
        '%s %-9s%s%s', CASE WHEN row_number() OVER places = 1 THEN 'Warnings: ' ELSE '          ' END,
        x.severity, x.sentence,
        CASE WHEN x.alike > 1 THEN format(
            ' (and %s more like it: SELECT sentence FROM ml_warnings WHERE job_id = %s AND code = %L;)', x.alike - 1, x.job_id, x.code
        ) END
    )
    FROM (
        SELECT
            w.*,
            count(*) OVER (PARTITION BY w.job_id, w.code, w.severity) AS alike,
            row_number() OVER (PARTITION BY w.job_id, w.code, w.severity ORDER BY w.id) AS place
        FROM public.ml_warnings w
        WHERE w.model_id = p_model_id AND w.job_id = ANY (p_job_ids)
    ) x
    WHERE x.place = 1
    WINDOW places AS (ORDER BY ml_internal.rank_of_severity(x.severity), x.job_id, x.id)
    ORDER BY ml_internal.rank_of_severity(x.severity), x.job_id, x.id;
END
$$;
CREATE OR REPLACE VIEW public.ml_fact_warnings WITH (security_invoker = true) AS
SELECT
    w.id AS warning_id, w.job_id, j.job_type, j.completed_at AS created_at, w.model_id, m.name AS model_name,
    w.code, w.severity, w.sentence, w.feature, w.other_feature, w.key, w.other_key, w.number,
    r.means, r.advice
FROM public.ml_warnings w
JOIN public.ml_jobs j ON j.id = w.job_id
JOIN public.ml_models m ON m.id = w.model_id
JOIN public.ref_warnings r ON r.code = w.code;
CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ref_warnings, public.ml_warnings, public.ml_fact_warnings');
CALL ml_internal.allow('ml_reader', 'EXECUTE', 'ml_internal.rank_of_severity, ml_internal.overlap_note, ml_internal.period_warnings, ml_internal.page_of_warnings');
SET search_path TO pg_catalog, pg_temp;
CREATE TABLE IF NOT EXISTS public.ml_feature_stats (
    job_id bigint NOT NULL,
    feature text NOT NULL,
    num_rows bigint NOT NULL,
    num_null bigint NOT NULL,
    minimum double precision,
    maximum double precision,
    mean double precision,
    d1 double precision,
    d2 double precision,
    d3 double precision,
    d4 double precision,
    d5 double precision,
    d6 double precision,
    d7 double precision,
    d8 double precision,
    d9 double precision,
    n0 bigint NOT NULL,
    n1 bigint NOT NULL,
    n2 bigint NOT NULL,
    n3 bigint NOT NULL,
    n4 bigint NOT NULL,
    n5 bigint NOT NULL,
    n6 bigint NOT NULL,
    n7 bigint NOT NULL,
    n8 bigint NOT NULL,
    n9 bigint NOT NULL,
    n_null bigint NOT NULL,
    null_share double precision GENERATED ALWAYS AS (num_null::double precision / num_rows) STORED,
    CONSTRAINT ml_feature_stats_pkey PRIMARY KEY (job_id, feature),
    CONSTRAINT ml_feature_stats_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_feature_stats_counts_fit CHECK (
        num_rows > 0 AND num_null BETWEEN 0 AND num_rows
        AND least(n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n_null) >= 0
        AND n0 + n1 + n2 + n3 + n4 + n5 + n6 + n7 + n8 + n9 + n_null <= num_rows
    ),
    CONSTRAINT ml_feature_stats_mean_within CHECK (mean BETWEEN minimum AND maximum),
    CONSTRAINT ml_feature_stats_deciles_rise CHECK (
        minimum <= d1 AND d1 <= d2 AND d2 <= d3 AND d3 <= d4 AND d4 <= d5 AND d5 <= d6 AND d6 <= d7 AND d7 <= d8 AND d8 <= d9
        AND d9 <= maximum
    )
);
CREATE TABLE IF NOT EXISTS public.ml_fitted_coins (
    job_id bigint NOT NULL,
    num_coins bigint NOT NULL,
    keys text [] NOT NULL,
    CONSTRAINT ml_fitted_coins_pkey PRIMARY KEY (job_id),
    CONSTRAINT ml_fitted_coins_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_fitted_coins_counted CHECK (num_coins = cardinality(keys) AND array_position(keys, NULL) IS NULL)
);
CREATE TABLE IF NOT EXISTS public.ml_feature_shifts (
    job_id bigint NOT NULL,
    model_id bigint NOT NULL,
    feature text NOT NULL,
    psi double precision NOT NULL,
    chance double precision NOT NULL,
    num_rows bigint NOT NULL,
    null_share double precision NOT NULL,
    mean double precision,
    CONSTRAINT ml_feature_shifts_pkey PRIMARY KEY (job_id, model_id, feature),
    CONSTRAINT ml_feature_shifts_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_feature_shifts_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_feature_shifts_not_negative CHECK (least(psi, chance) >= 0 AND num_rows > 0 AND null_share BETWEEN 0 AND 1)
);
CREATE INDEX IF NOT EXISTS ml_feature_shifts_model ON public.ml_feature_shifts (model_id);
CREATE TABLE IF NOT EXISTS public.ml_seen_unseen (
    job_id bigint NOT NULL,
    model_id bigint NOT NULL,
    is_seen boolean NOT NULL,
    num_coins bigint NOT NULL,
    num_samples bigint GENERATED ALWAYS AS (tp + tn + fp + fn) STORED,
    num_positive bigint GENERATED ALWAYS AS (tp + fn) STORED,
    tp bigint NOT NULL,
    tn bigint NOT NULL,
    fp bigint NOT NULL,
    fn bigint NOT NULL,
    accuracy numeric(5, 4) GENERATED ALWAYS AS (ml_internal.accuracy(tp, tn, fp, fn)) STORED,
    f1_score numeric(5, 4) GENERATED ALWAYS AS (ml_internal.f1_score(tp, fp, fn)) STORED,
    precision_score numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(tp, fp)) STORED,
    recall numeric(5, 4) GENERATED ALWAYS AS (ml_internal.recall_score(tp, fn)) STORED,
    roc_auc numeric(5, 4),
    CONSTRAINT ml_seen_unseen_pkey PRIMARY KEY (job_id, model_id, is_seen),
    CONSTRAINT ml_seen_unseen_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_seen_unseen_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_seen_unseen_counts_not_negative CHECK (least(tp, tn, fp, fn) >= 0 AND num_coins > 0),
    CONSTRAINT ml_seen_unseen_roc_auc_between_0_and_1 CHECK (roc_auc BETWEEN 0 AND 1)
);
CREATE INDEX IF NOT EXISTS ml_seen_unseen_model ON public.ml_seen_unseen (model_id);
DO $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY '{ml_feature_stats,ml_fitted_coins,ml_feature_shifts,ml_seen_unseen}'::text [] LOOP
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER %1$s_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.%1$I
                FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact()', v_table
        );
    END LOOP;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.stability_index(
    p_trained bigint [],
    p_found bigint [],
    OUT psi double precision,
    OUT chance double precision
)
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT
        coalesce(sum((b.p - b.q) * ln(b.p / b.q)), 0),
        coalesce(
            (1 / nullif(min(b.n), 0) + 1 / nullif(min(b.m), 0)) * greatest(count(*) - 1, 1)
            * power(1 - 2 / (9.0 * greatest(count(*) - 1, 1)) + 3.0902 * sqrt(2 / (9.0 * greatest(count(*) - 1, 1))), 3), 0
        )
    FROM (
        SELECT
            x.n, x.m,
            (x.trained + 0.5) / (x.n + 0.5 * count(*) OVER ()) AS p,
            (x.found + 0.5) / (x.m + 0.5 * count(*) OVER ()) AS q
        FROM (
            SELECT
                u.trained::double precision AS trained, u.found::double precision AS found,
                sum(u.trained) OVER ()::double precision AS n, sum(u.found) OVER ()::double precision AS m
            FROM unnest(p_trained, p_found) u (trained, found)
        ) x
        WHERE x.trained + x.found > 0
    ) b;
$$;
CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_feature_stats, public.ml_fitted_coins, public.ml_feature_shifts, public.ml_seen_unseen');
CALL ml_internal.allow('ml_reader', 'EXECUTE', 'ml_internal.stability_index');
SET search_path TO pg_catalog, pg_temp;
CREATE TABLE IF NOT EXISTS public.ml_folds (
    job_id bigint NOT NULL,
    fold integer NOT NULL,
    fitted_start timestamptz NOT NULL,
    fitted_end timestamptz NOT NULL,
    measured_start timestamptz NOT NULL,
    measured_end timestamptz NOT NULL,
    num_fitted bigint NOT NULL,
    num_fitted_positive bigint NOT NULL,
    num_purged bigint NOT NULL,
    num_samples bigint NOT NULL,
    num_positive bigint NOT NULL,
    num_negative bigint NOT NULL,
    tp bigint,
    tn bigint,
    fp bigint,
    fn bigint,
    accuracy numeric(5, 4) GENERATED ALWAYS AS (ml_internal.accuracy(tp, tn, fp, fn)) STORED,
    f1_score numeric(5, 4) GENERATED ALWAYS AS (ml_internal.f1_score(tp, fp, fn)) STORED,
    precision_score numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(tp, fp)) STORED,
    recall numeric(5, 4) GENERATED ALWAYS AS (ml_internal.recall_score(tp, fn)) STORED,
    mcc numeric(5, 4) GENERATED ALWAYS AS (ml_internal.mcc(tp, tn, fp, fn)) STORED,
    roc_auc numeric(5, 4),
    average_precision numeric(5, 4),
    log_loss numeric(9, 6),
    brier_score numeric(7, 6),
    reason text,
    threshold double precision,
    num_set_aside bigint,
    CONSTRAINT ml_folds_pkey PRIMARY KEY (job_id, fold),
    CONSTRAINT ml_folds_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_folds_fold_between_1_and_20 CHECK (fold BETWEEN 1 AND 20),
    CONSTRAINT ml_folds_fitted_before_measured CHECK (
        fitted_start <= fitted_end AND fitted_end <= measured_start AND measured_start <= measured_end
    ),
    CONSTRAINT ml_folds_counts_not_negative CHECK (
        least(num_fitted_positive, num_purged, num_positive, num_negative, tp, tn, fp, fn) >= 0
        AND num_fitted_positive <= num_fitted AND num_positive + num_negative = num_samples
    ),
    CONSTRAINT ml_folds_measured_or_reason CHECK (
        num_nulls(tp, tn, fp, fn) = CASE WHEN reason IS NULL THEN 0 ELSE 4 END
    ),
    CONSTRAINT ml_folds_threshold_between_0_and_1 CHECK (threshold BETWEEN 0 AND 1 AND num_set_aside BETWEEN 0 AND num_fitted),
    CONSTRAINT ml_folds_confusion_matrix_adds_up CHECK (tp + fn = num_positive AND tn + fp = num_negative),
    CONSTRAINT ml_folds_scores_within_bounds CHECK (
        roc_auc BETWEEN 0 AND 1 AND average_precision BETWEEN 0 AND 1 AND log_loss >= 0 AND brier_score BETWEEN 0 AND 1
    )
);
CREATE OR REPLACE TRIGGER ml_folds_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_folds
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();
CREATE OR REPLACE FUNCTION ml_internal.check_folds()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint;
    v_fault text;
BEGIN
    SELECT c.job_id, c.fault INTO v_job_id, v_fault
    FROM (
        SELECT
            f.job_id,
            CASE
                WHEN coalesce(min(f.asked), 0) = 0 THEN 'were not asked for'
                WHEN count(*) <> min(f.asked) OR max(f.fold) <> count(*) THEN format('are not those from 1 to %s', min(f.asked))
                WHEN bool_or(f.measured_start < f.end_before) THEN 'overlap in what they are measured on'
                WHEN bool_or(f.num_fitted < f.fitted_before) THEN 'are fitted on ever fewer rows'
            END AS fault
        FROM (
            SELECT
                x.*,
                j.train_folds AS asked,
                lag(x.measured_end) OVER by_fold AS end_before,
                lag(x.num_fitted) OVER by_fold AS fitted_before
            FROM (SELECT DISTINCT i.job_id FROM inserted i) n
            JOIN public.ml_folds x ON x.job_id = n.job_id
            JOIN public.ml_jobs j ON j.id = n.job_id
            WINDOW by_fold AS (PARTITION BY x.job_id ORDER BY x.fold)
        ) f
        GROUP BY f.job_id
    ) c
    WHERE c.fault IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the folds of job % %', v_job_id, v_fault
            USING ERRCODE = 'check_violation', TABLE = 'ml_folds',
            HINT = 'A job has as many folds as its train_folds says, numbered from 1; each is fitted on what lies before it.';
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_folds_60_check_folds
AFTER INSERT ON public.ml_folds
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.check_folds();
CREATE OR REPLACE FUNCTION ml_internal.range_text(
    least_score numeric,
    greatest_score numeric
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN least_score IS NULL THEN 'undefined'
        WHEN round(least_score, 2) = round(greatest_score, 2) THEN round(least_score, 2)::text
        ELSE format('%s to %s', round(least_score, 2), round(greatest_score, 2))
    END;
$$;
CREATE OR REPLACE FUNCTION ml_internal.folds_text(
    p_job_id bigint
)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT CASE
            WHEN f.num_folds = 0 THEN NULL
            WHEN f.num_measured = 0 THEN format('in none of %s later periods could it be measured: %s', f.num_folds, f.reason)
            ELSE concat(
                format(
                    'in %s later period%s F1 was %s, ROC AUC %s',
                    concat(CASE WHEN f.num_measured < f.num_folds THEN f.num_measured || ' of ' END, f.num_folds),
                    CASE WHEN f.num_folds > 1 THEN 's' END,
                    ml_internal.range_text(f.least_f1, f.greatest_f1),
                    ml_internal.range_text(f.least_auc, f.greatest_auc)
                ),
                '; else ' || f.reason
            )
        END
        FROM (
            SELECT
                count(*) AS num_folds,
                count(*) FILTER (WHERE x.reason IS NULL) AS num_measured,
                min(x.f1_score) AS least_f1,
                max(x.f1_score) AS greatest_f1,
                min(x.roc_auc) AS least_auc,
                max(x.roc_auc) AS greatest_auc,
                (array_agg(x.reason ORDER BY x.fold) FILTER (WHERE x.reason IS NOT NULL))[1] AS reason
            FROM public.ml_folds x
            WHERE x.job_id = p_job_id
        ) f
    );
END
$$;
CREATE OR REPLACE VIEW public.ml_fact_folds WITH (security_invoker = true) AS
SELECT
    m.id AS model_id, m.name AS model_name, f.job_id, f.fold,
    f.fitted_start, f.fitted_end, f.measured_start, f.measured_end,
    f.num_fitted, f.num_fitted_positive, f.num_purged, f.num_samples, f.num_positive, f.num_negative,
    f.tp, f.fp, f.tn, f.fn, f.accuracy, f.precision_score, f.recall, f.f1_score, f.roc_auc, f.average_precision,
    f.mcc, f.log_loss, f.brier_score, f.reason
FROM public.ml_folds f
JOIN public.ml_models m ON m.train_job_id = f.job_id;
CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_fact_folds');
CALL ml_internal.allow('ml_reader', 'EXECUTE', 'ml_internal.folds_text, ml_internal.range_text');
SET search_path TO pg_catalog, pg_temp;
CREATE TABLE IF NOT EXISTS public.ml_test_day_counts (
    job_id bigint NOT NULL,
    day date NOT NULL,
    tp bigint NOT NULL,
    fp bigint NOT NULL,
    tn bigint NOT NULL,
    fn bigint NOT NULL,
    roc_auc numeric(5, 4),
    CONSTRAINT ml_test_day_counts_pkey PRIMARY KEY (job_id, day),
    CONSTRAINT ml_test_day_counts_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_test_day_counts_counts_not_negative CHECK (least(tp, fp, tn, fn) >= 0 AND tp + fp + tn + fn > 0),
    CONSTRAINT ml_test_day_counts_roc_auc_between_0_and_1 CHECK (roc_auc BETWEEN 0 AND 1)
);
CREATE TABLE IF NOT EXISTS public.ml_test_coin_counts (
    job_id bigint NOT NULL,
    place integer NOT NULL,
    key text,
    num_coins integer NOT NULL,
    tp bigint NOT NULL,
    fp bigint NOT NULL,
    tn bigint NOT NULL,
    fn bigint NOT NULL,
    CONSTRAINT ml_test_coin_counts_pkey PRIMARY KEY (job_id, place),
    CONSTRAINT ml_test_coin_counts_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_test_coin_counts_place_not_negative CHECK (place >= 0),
    CONSTRAINT ml_test_coin_counts_key_is_of_one CHECK (num_coins > 0 AND (key IS NULL OR num_coins = 1)),
    CONSTRAINT ml_test_coin_counts_counts_not_negative CHECK (least(tp, fp, tn, fn) >= 0 AND tp + fp + tn + fn > 0)
);
CREATE OR REPLACE TRIGGER ml_test_day_counts_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_test_day_counts
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();
CREATE OR REPLACE TRIGGER ml_test_coin_counts_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_test_coin_counts
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();
CREATE OR REPLACE FUNCTION ml_internal.check_test_parts()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_fault record;
    v_query text := format(
        'SELECT p.job_id, CASE
            WHEN t.job_id IS NULL THEN ''are of no test''
            WHEN (p.tp, p.fp, p.tn, p.fn) IS DISTINCT FROM (t.tp, t.fp, t.tn, t.fn) THEN ''do not sum to its confusion matrix''
            WHEN p.num_keys < p.num_parts - p.num_others OR p.num_others > 1 THEN ''name one twice''
        END AS fault
        FROM (
            SELECT x.job_id, sum(x.tp) AS tp, sum(x.fp) AS fp, sum(x.tn) AS tn, sum(x.fn) AS fn, %s
            FROM public.%I x
            WHERE x.job_id IN (SELECT i.job_id FROM inserted i)
            GROUP BY x.job_id
        ) p
        LEFT JOIN public.ml_test_results t ON t.job_id = p.job_id',
        CASE TG_ARGV[0]
            WHEN 'coins' THEN 'count(DISTINCT x.key COLLATE "C") AS num_keys, count(*) AS num_parts, count(*) FILTER (WHERE x.key IS NULL) AS num_others'
            ELSE 'count(*) AS num_keys, count(*) AS num_parts, 0 AS num_others'
        END,
        TG_TABLE_NAME
    );
BEGIN
    EXECUTE 'SELECT * FROM (' || v_query || ') f WHERE f.fault IS NOT NULL LIMIT 1' INTO v_fault;
    IF v_fault.job_id IS NOT NULL THEN
        RAISE EXCEPTION 'the % of job % %', TG_ARGV[0], v_fault.job_id, v_fault.fault
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME,
            HINT = 'Give each part of a test once, with its result; their counts sum to those of the result.';
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_test_day_counts_60_check_parts
AFTER INSERT ON public.ml_test_day_counts
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.check_test_parts('days');
CREATE OR REPLACE TRIGGER ml_test_coin_counts_60_check_parts
AFTER INSERT ON public.ml_test_coin_counts
REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.check_test_parts('coins');
CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_test_day_counts, public.ml_test_coin_counts');
SET search_path TO pg_catalog, pg_temp;
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
        SELECT
            a.number,
            CASE WHEN a.by_band OR a.area >= 0.5 THEN a.area ELSE 1 - a.area END::double precision AS area,
            CASE WHEN a.by_band OR a.area >= 0.5 THEN a.area_of_part ELSE 1 - a.area_of_part END::double precision AS area_of_part
        FROM areas a
    ) x
    ORDER BY x.number, x.area DESC;
$$;
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
SET search_path TO pg_catalog, pg_temp;
ALTER TABLE public.ml_jobs
ADD COLUMN IF NOT EXISTS train_target_var text,
ADD COLUMN IF NOT EXISTS train_operator text,
ADD COLUMN IF NOT EXISTS train_value numeric
CONSTRAINT ml_jobs_train_value_finite CHECK (train_value NOT IN ('NaN', 'Infinity', '-Infinity')),
ADD COLUMN IF NOT EXISTS train_start timestamptz,
ADD COLUMN IF NOT EXISTS train_end timestamptz,
ADD COLUMN IF NOT EXISTS train_features_csv text,
ADD COLUMN IF NOT EXISTS train_phases_csv text,
ADD COLUMN IF NOT EXISTS train_params_csv text,
ADD COLUMN IF NOT EXISTS train_model_type text
CONSTRAINT ml_jobs_train_model_type_fkey REFERENCES public.ref_model_types (name),
ADD COLUMN IF NOT EXISTS train_model_name text
CONSTRAINT ml_jobs_model_name_not_blank CHECK (train_model_name ~ E'\\S' AND length(train_model_name) <= 255),
ADD COLUMN IF NOT EXISTS train_description text,
ADD COLUMN IF NOT EXISTS train_test_size numeric
CONSTRAINT ml_jobs_test_size_between_0_and_1 CHECK (
    train_test_size BETWEEN 0.01 AND 0.99 AND train_test_size = round(train_test_size, 2)
),
ADD COLUMN IF NOT EXISTS train_random_state integer
CONSTRAINT ml_jobs_random_state_not_negative CHECK (train_random_state >= 0),
ADD COLUMN IF NOT EXISTS train_future_minutes integer
CONSTRAINT ml_jobs_future_minutes_within_a_year CHECK (train_future_minutes BETWEEN 1 AND 525600),
ADD COLUMN IF NOT EXISTS result_model_id bigint
CONSTRAINT ml_jobs_result_model_id_fkey REFERENCES public.ml_models (id);
ALTER TABLE public.ml_jobs
ADD COLUMN IF NOT EXISTS train_label text
CONSTRAINT ml_jobs_train_label_fkey REFERENCES public.ref_labels (name),
ADD COLUMN IF NOT EXISTS train_base_var text,
ADD COLUMN IF NOT EXISTS train_stop_value numeric
CONSTRAINT ml_jobs_train_stop_value_finite CHECK (train_stop_value NOT IN ('NaN', 'Infinity', '-Infinity')),
ADD COLUMN IF NOT EXISTS train_uncovered text
CONSTRAINT ml_jobs_train_uncovered_known CHECK (train_uncovered IN ('leave_out', 'negative'));
ALTER TABLE public.ml_jobs
ADD COLUMN IF NOT EXISTS train_source text;
ALTER TABLE public.ml_jobs
ADD COLUMN IF NOT EXISTS train_threshold text
CONSTRAINT ml_jobs_train_threshold_known CHECK (
    train_threshold ~ '^(f1|mcc|((precision|recall)>=)?0[.][0-9]{0,30}[1-9]|(precision|recall)>=1)$'
);
ALTER TABLE public.ml_jobs
ADD COLUMN IF NOT EXISTS train_split text
CONSTRAINT ml_jobs_train_split_known CHECK (train_split IN ('coins', 'time', 'coins_and_time')),
ADD COLUMN IF NOT EXISTS train_folds integer
CONSTRAINT ml_jobs_train_folds_between_2_and_20 CHECK (train_folds = 0 OR train_folds BETWEEN 2 AND 20),
ADD COLUMN IF NOT EXISTS train_weights text
CONSTRAINT ml_jobs_train_weights_known CHECK (train_weights IN ('none', 'uniqueness'));
CALL ml_internal.keep_constraint(
    'public.ml_jobs', 'ml_jobs_operator_known', 'train_operator IS NULL OR ml_internal.is_positive(train_operator, 0, 0) IS NOT NULL'
);
CREATE UNIQUE INDEX IF NOT EXISTS ml_jobs_model_name_taken
ON public.ml_jobs (train_model_name)
WHERE completed_at IS NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_validated ON public.ml_jobs (id)
WHERE (status = 'PENDING') IS TRUE AND (train_split <> 'coins' OR train_folds > 0 OR train_weights <> 'none');
CREATE INDEX IF NOT EXISTS ml_jobs_result_model ON public.ml_jobs (result_model_id) WHERE result_model_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS public.ml_training_runs (
    id bigint GENERATED ALWAYS AS IDENTITY,
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    model_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    holdout varchar(20) NOT NULL,
    num_coins bigint NOT NULL,
    num_fitted bigint NOT NULL,
    num_fitted_positive bigint NOT NULL,
    num_gap bigint NOT NULL,
    num_unlabelled bigint NOT NULL,
    num_samples bigint NOT NULL,
    num_positive bigint NOT NULL,
    num_negative bigint NOT NULL,
    tp bigint NOT NULL,
    tn bigint NOT NULL,
    fp bigint NOT NULL,
    fn bigint NOT NULL,
    accuracy numeric(5, 4) GENERATED ALWAYS AS (ml_internal.accuracy(tp, tn, fp, fn)) STORED,
    f1_score numeric(5, 4) GENERATED ALWAYS AS (ml_internal.f1_score(tp, fp, fn)) STORED,
    precision_score numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(tp, fp)) STORED,
    recall numeric(5, 4) GENERATED ALWAYS AS (ml_internal.recall_score(tp, fn)) STORED,
    roc_auc numeric(5, 4),
    feature_importance_csv text,
    artifact_path text NOT NULL,
    artifact_sha256 char(64) NOT NULL,
    artifact_bytes bigint NOT NULL,
    data_fingerprint char(64) NOT NULL,
    library_versions_csv text NOT NULL,
    seconds_loading numeric(12, 3) NOT NULL,
    seconds_fitting numeric(12, 3) NOT NULL,
    warnings text,
    engine varchar(50),
    average_precision numeric(5, 4),
    num_without_base bigint,
    num_uncovered bigint,
    mcc numeric(5, 4) GENERATED ALWAYS AS (ml_internal.mcc(tp, tn, fp, fn)) STORED,
    log_loss numeric(9, 6),
    brier_score numeric(7, 6),
    threshold double precision NOT NULL DEFAULT 0.5,
    num_set_aside bigint,
    num_set_aside_positive bigint,
    tp_at_half bigint,
    fp_at_half bigint,
    accuracy_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.accuracy(coalesce(tp_at_half, tp), tn + fp - coalesce(fp_at_half, fp), coalesce(fp_at_half, fp), tp + fn - coalesce(tp_at_half, tp))
    ) STORED,
    f1_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.f1_score(coalesce(tp_at_half, tp), coalesce(fp_at_half, fp), tp + fn - coalesce(tp_at_half, tp))
    ) STORED,
    precision_at_half numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(coalesce(tp_at_half, tp), coalesce(fp_at_half, fp))) STORED,
    recall_at_half numeric(5, 4) GENERATED ALWAYS AS (ml_internal.recall_score(coalesce(tp_at_half, tp), tp + fn - coalesce(tp_at_half, tp))) STORED,
    mean_uniqueness numeric(7, 6),
    CONSTRAINT ml_training_runs_pkey PRIMARY KEY (id),
    CONSTRAINT ml_training_runs_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_training_runs_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_training_runs_one_a_job UNIQUE (job_id),
    CONSTRAINT ml_training_runs_one_a_model UNIQUE (model_id),
    CONSTRAINT ml_training_runs_holdout_known CHECK (holdout IN ('coins', 'time', 'coins_and_time')),
    CONSTRAINT ml_training_runs_counts_not_negative CHECK (
        least(num_coins, num_fitted_positive, num_gap, num_unlabelled, tp, tn, fp, fn) >= 0
        AND num_fitted_positive <= num_fitted
    ),
    CONSTRAINT ml_training_runs_windows_not_negative CHECK (least(num_without_base, num_uncovered) >= 0),
    CONSTRAINT ml_training_runs_confusion_matrix_adds_up CHECK (
        tp + fn = num_positive AND tn + fp = num_negative AND num_positive + num_negative = num_samples
    ),
    CONSTRAINT ml_training_runs_roc_auc_between_0_and_1 CHECK (roc_auc BETWEEN 0 AND 1),
    CONSTRAINT ml_training_runs_average_precision_between_0_and_1 CHECK (average_precision BETWEEN 0 AND 1),
    CONSTRAINT ml_training_runs_scores_of_probabilities CHECK (log_loss >= 0 AND brier_score BETWEEN 0 AND 1),
    CONSTRAINT ml_training_runs_threshold_between_0_and_1 CHECK (threshold BETWEEN 0 AND 1),
    CONSTRAINT ml_training_runs_set_aside_counts CHECK (num_set_aside_positive BETWEEN 0 AND num_set_aside),
    CONSTRAINT ml_training_runs_half_fits CHECK (
        ml_internal.counts_fit_half(threshold, tp, fp, tp_at_half, fp_at_half)
        AND coalesce(tp_at_half <= num_positive AND fp_at_half <= num_negative, true)
    ),
    CONSTRAINT ml_training_runs_mean_uniqueness_between_0_and_1 CHECK (mean_uniqueness BETWEEN 0 AND 1),
    CONSTRAINT ml_training_runs_sha256_is_hexadecimal CHECK (artifact_sha256 ~ '^[0-9a-f]{64}$' AND data_fingerprint ~ '^[0-9a-f]{64}$')
);
CREATE INDEX IF NOT EXISTS ml_training_runs_created ON public.ml_training_runs (created_at) INCLUDE (model_id, artifact_bytes);
CALL ml_internal.add_baseline('ml_training_runs');
ALTER TABLE public.ml_training_runs
ADD COLUMN IF NOT EXISTS baseline_feature text,
ADD COLUMN IF NOT EXISTS baseline_direction text
CONSTRAINT ml_training_runs_baseline_direction_known CHECK (baseline_direction IN ('>', '<')),
ADD COLUMN IF NOT EXISTS baseline_threshold double precision
CONSTRAINT ml_training_runs_baseline_threshold_finite CHECK (baseline_threshold NOT IN ('NaN', 'Infinity', '-Infinity'))
CONSTRAINT ml_training_runs_baseline_rule_is_whole CHECK (num_nulls(baseline_feature, baseline_direction, baseline_threshold) IN (0, 3));
CALL ml_internal.define_kind(
    'TRAIN',
    needs => '{train_target_var,train_operator,train_value,train_start,train_end,train_features_csv,train_model_type}',
    defaults => '{train_model_name,train_test_size,train_random_state}',
    makes_model => 'train_model_name',
    result_table => 'ml_training_runs',
    result_column => 'result_model_id',
    result_filled => '{model_id,num_samples}',
    result_facts => '{ml_curve_points,ml_intervals,ml_baselines,ml_folds,ml_model_inputs,ml_model_trees,ml_model_layers,ml_model_samples,ml_model_numbers,ml_warnings,ml_feature_stats,ml_fitted_coins}'
);
CREATE OR REPLACE FUNCTION ml_internal.tidy_threshold(
    p_threshold text
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT coalesce(x.found[1] || trim_scale(x.found[2]::numeric), x.said)
    FROM (
        SELECT
            t.said,
            regexp_match(
                t.said, '^(|precision>=|recall>=)((?:[0-9]{1,10}(?:[.][0-9]{0,31})?|[.][0-9]{1,31})(?:e[+-]?[0-9]{1,2})?)$'
            ) AS found
        FROM (SELECT lower(regexp_replace(left(p_threshold, 100), '[[:space:]]+', '', 'g')) AS said) t
    ) x;
$$;
CREATE OR REPLACE FUNCTION ml_internal.threshold_text(
    p_rule text,
    p_threshold double precision,
    p_num_set_aside bigint
)
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT concat_ws(': ', p_threshold, CASE
        WHEN p_rule ~ '^[0-9]' THEN NULL
        ELSE concat(
            'the ',
            CASE
                WHEN p_rule = 'f1' THEN 'highest F1'
                WHEN p_rule = 'mcc' THEN 'highest Matthews correlation'
                WHEN p_rule LIKE 'precision%' THEN 'highest recall with ' || replace(p_rule, '>=', ' >= ')
                WHEN p_rule LIKE 'recall%' THEN 'highest precision with ' || replace(p_rule, '>=', ' >= ')
                ELSE p_rule
            END,
            ' on ' || ml_internal.count_text(p_num_set_aside) || ' rows that were neither fitted nor measured'
        )
    END);
$$;
CREATE OR REPLACE FUNCTION ml_internal.fill_train()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_column text := CASE
        WHEN length(NEW.train_features_csv) > 20000 THEN 'train_features_csv'
        WHEN length(NEW.train_phases_csv) > 20000 THEN 'train_phases_csv'
        WHEN length(NEW.train_params_csv) > 20000 THEN 'train_params_csv'
    END;
    v_label public.ref_labels;
BEGIN
    IF v_column IS NOT NULL THEN
        RAISE EXCEPTION '% has more than 20000 characters', v_column
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = v_column,
            HINT = 'Name each item once, without blanks.';
    END IF;
    NEW.train_target_var := btrim(NEW.train_target_var);
    NEW.train_operator := btrim(NEW.train_operator);
    NEW.train_model_type := btrim(NEW.train_model_type);
    NEW.train_source := coalesce(btrim(NEW.train_source), 'coin_metrics');
    IF NEW.train_label IS NULL THEN
        NEW.train_label := 'value'; -- which has neither base nor stop
    ELSE
        NEW.train_label := btrim(NEW.train_label);
        SELECT r.* INTO v_label FROM public.ref_labels r WHERE r.name = NEW.train_label;
    END IF;
    NEW.train_base_var := coalesce(btrim(NEW.train_base_var), CASE WHEN v_label.is_change THEN NEW.train_target_var END);
    NEW.train_uncovered := coalesce(btrim(NEW.train_uncovered), CASE WHEN NEW.train_future_minutes IS NOT NULL THEN 'leave_out' END);
    IF v_label.has_stop THEN -- what is to be reached lies above or below
        NEW.train_operator := coalesce(NEW.train_operator, CASE WHEN NEW.train_value < 0 THEN '<=' ELSE '>=' END);
    END IF;
    IF concat(NEW.train_features_csv, NEW.train_phases_csv, NEW.train_params_csv) ~ E'\\s'
        OR '' IN (NEW.train_features_csv, NEW.train_phases_csv, NEW.train_params_csv)
    THEN
        NEW.train_features_csv := ml_internal.tidy_list(NEW.train_features_csv);
        NEW.train_phases_csv := ml_internal.tidy_list(NEW.train_phases_csv);
        NEW.train_params_csv := ml_internal.tidy_list(NEW.train_params_csv);
    END IF;
    IF NEW.train_model_name IS NOT NULL THEN
        IF NEW.train_model_name ~ '[^ ]' AND length(NEW.train_model_name) <= 255 THEN
            CALL ml_internal.require_fit_name(NEW.train_model_name, 'ml_jobs', 'train_model_name');
        END IF;
        CALL ml_internal.reserve_name(NEW.train_model_name);
    ELSE
        NEW.train_model_name := ml_internal.default_name(NEW.train_model_type || '_job_' || NEW.id);
    END IF;
    NEW.train_test_size := coalesce(NEW.train_test_size, 0.2);
    NEW.train_random_state := coalesce(NEW.train_random_state, 42);
    NEW.train_threshold := coalesce(ml_internal.tidy_threshold(NEW.train_threshold), '0.5');
    NEW.train_split := coalesce(btrim(NEW.train_split), 'coins');
    NEW.train_weights := coalesce(btrim(NEW.train_weights), 'none');
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_22_train_fill
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'TRAIN')
EXECUTE FUNCTION ml_internal.fill_train();
CREATE OR REPLACE FUNCTION ml_internal.check_train()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_column text;
    v_message text;
    v_hint text;
    v_label public.ref_labels;
BEGIN
    IF NEW.train_label <> 'value' OR num_nonnulls(NEW.train_base_var, NEW.train_stop_value) > 0 THEN -- the default looks at its row alone
        SELECT r.* INTO v_label FROM public.ref_labels r WHERE r.name = NEW.train_label;
    END IF;
    IF NEW.train_label <> 'value' AND v_label.name IS NULL THEN
        v_column := 'train_label';
        v_message := format('train_label %L is unknown', left(NEW.train_label, 100));
        v_hint := ml_internal.suggest_names(NEW.train_label, (SELECT array_agg(r.name::text ORDER BY r.name) FROM public.ref_labels r));
    ELSIF ml_internal.is_positive(NEW.train_operator, 0, 0) IS NULL THEN
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
    ELSIF NEW.train_threshold !~ '^(f1|mcc|((precision|recall)>=)?0[.][0-9]{0,30}[1-9]|(precision|recall)>=1)$' THEN
        v_column := 'train_threshold';
        v_message := CASE
            WHEN NEW.train_threshold ~ '^[0-9]' AND NEW.train_threshold !~ '[^0-9.]'
                THEN format('train_threshold %s is not between 0 and 1', left(NEW.train_threshold, 50))
            WHEN NEW.train_threshold ~ '^(precision|recall)>=[0-9.]+$'
                THEN format('train_threshold %s asks for a share that is not above 0 and at most 1', left(NEW.train_threshold, 50))
            ELSE format('train_threshold %L is unknown', left(NEW.train_threshold, 50))
        END;
        v_hint := 'Give a number between 0 and 1, above which a probability is a yes (0.5 is the default), or have it chosen: f1, mcc, precision>=0.8 or recall>=0.8.';
    ELSIF NEW.train_future_minutes NOT BETWEEN 1 AND 525600 THEN
        v_column := 'train_future_minutes';
        v_message := format('train_future_minutes %s is not between 1 and 525600', NEW.train_future_minutes);
        v_hint := 'Give the minutes to look ahead, at most a year; leave it out to read the label in the same row.';
    ELSIF v_label.needs_horizon AND NEW.train_future_minutes IS NULL THEN
        v_column := 'train_future_minutes';
        v_message := format('the label %s looks ahead, and train_future_minutes is missing', NEW.train_label);
        v_hint := 'Give the minutes to look ahead, for example 10.';
    ELSIF NOT v_label.is_change AND NEW.train_base_var IS NOT NULL THEN
        v_column := 'train_base_var';
        v_message := format('the label %s is no change, and train_base_var is %L', NEW.train_label, left(NEW.train_base_var, 100));
        v_hint := 'Leave it out, or choose a label that is a change: '
            || (SELECT string_agg(r.name, ', ' ORDER BY r.name) FROM public.ref_labels r WHERE r.is_change) || '.';
    ELSIF NOT v_label.has_stop AND NEW.train_stop_value IS NOT NULL THEN
        v_column := 'train_stop_value';
        v_message := format('the label %s has no stop, and train_stop_value is %s', NEW.train_label, NEW.train_stop_value);
        v_hint := 'Leave it out, or choose a label that has one: '
            || (SELECT string_agg(r.name, ', ' ORDER BY r.name) FROM public.ref_labels r WHERE r.has_stop) || '.';
    ELSIF v_label.has_stop AND (NEW.train_stop_value IS NULL OR NEW.train_stop_value IN ('NaN', 'Infinity', '-Infinity')
        OR sign(NEW.train_stop_value) * sign(NEW.train_value) <> -1)
    THEN
        v_column := 'train_stop_value';
        v_message := CASE
            WHEN NEW.train_stop_value IS NULL THEN format('the label %s needs train_stop_value', NEW.train_label)
            ELSE format('train_stop_value %s and train_value %s are not on two sides of zero', NEW.train_stop_value, NEW.train_value)
        END;
        v_hint := 'Give two changes in percent of different sign, for example train_value 30 and train_stop_value -15.';
    ELSIF v_label.has_stop AND NEW.train_operator <> (CASE WHEN NEW.train_value > 0 THEN '>=' ELSE '<=' END) THEN
        v_column := 'train_operator';
        v_message := format('train_operator %s does not fit: a change of %s is reached by %s', NEW.train_operator, NEW.train_value, CASE WHEN NEW.train_value > 0 THEN '>=' ELSE '<=' END);
        v_hint := format('Leave train_operator out: the label %s knows it.', NEW.train_label);
    ELSIF NEW.train_uncovered NOT IN ('leave_out', 'negative') THEN
        v_column := 'train_uncovered';
        v_message := format('train_uncovered %L is unknown', left(NEW.train_uncovered, 100));
        v_hint := 'Use leave_out (the default), or negative where a coin that stops trading is a loser.';
    ELSIF NEW.train_uncovered IS NOT NULL AND NEW.train_future_minutes IS NULL THEN
        v_column := 'train_uncovered';
        v_message := 'train_uncovered is given, and train_future_minutes is not';
        v_hint := 'A label that is read in the same row has no window: leave train_uncovered out.';
    ELSIF NOT EXISTS (SELECT FROM public.ref_model_types t WHERE t.name = NEW.train_model_type) THEN
        v_column := 'train_model_type';
        v_message := format('train_model_type %L is unknown', left(NEW.train_model_type, 100));
        v_hint := ml_internal.suggest_names(NEW.train_model_type, (SELECT array_agg(t.name::text ORDER BY t.id) FROM public.ref_model_types t));
    ELSIF NEW.train_split NOT IN ('coins', 'time', 'coins_and_time') THEN
        v_column := 'train_split';
        v_message := format('train_split %L is unknown', left(NEW.train_split, 100));
        v_hint := 'Use coins (the default: whole coins are held out), time (the last part of the period), or coins_and_time (later rows of coins that are not fitted).';
    ELSIF NEW.train_folds <> 0 AND NEW.train_folds NOT BETWEEN 2 AND 20 THEN
        v_column := 'train_folds';
        v_message := format('train_folds %s is not between 2 and 20', NEW.train_folds);
        v_hint := 'In so many later periods, one after another, the recipe is measured besides; leave it out, or give 0, for none.';
    ELSIF NEW.train_weights NOT IN ('none', 'uniqueness') THEN
        v_column := 'train_weights';
        v_message := format('train_weights %L is unknown', left(NEW.train_weights, 100));
        v_hint := 'Use none (the default), or uniqueness where labels that overlap shall count less.';
    ELSIF NEW.train_weights <> 'none' AND NOT EXISTS (SELECT FROM public.ref_model_types t WHERE t.name = NEW.train_model_type AND t.takes_weights) THEN
        v_column := 'train_weights';
        v_message := format('the model type %s takes no weights, and train_weights is %s', NEW.train_model_type, NEW.train_weights);
        v_hint := 'Leave train_weights out, or choose a type that takes them: '
            || (SELECT string_agg(t.name, ', ' ORDER BY t.id) FROM public.ref_model_types t WHERE t.takes_weights) || '.';
    ELSIF NEW.train_model_name !~ '[^ ]' THEN
        v_column := 'train_model_name';
        v_message := 'train_model_name is blank';
        v_hint := 'Give the model a name, or leave the field out: the default is the model type and the job''s number.';
    ELSIF length(NEW.train_model_name) > 255 THEN
        v_column := 'train_model_name';
        v_message := format('train_model_name %L... has %s characters', left(NEW.train_model_name, 50), length(NEW.train_model_name));
        v_hint := 'Give the model a name of at most 255 characters.';
    ELSIF length(NEW.train_description) > 10000 THEN
        v_column := 'train_description';
        v_message := format('train_description has %s characters', length(NEW.train_description));
        v_hint := 'Describe the model in at most 10000 characters.';
    END IF;
    IF v_message IS NOT NULL THEN
        RAISE EXCEPTION USING MESSAGE = v_message, HINT = v_hint,
            ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = v_column;
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_40_train_check
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'TRAIN')
EXECUTE FUNCTION ml_internal.check_train();
CREATE OR REPLACE FUNCTION ml_internal.require_train_name()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    CALL ml_internal.require_free_name(NEW.train_model_name, NEW.id);
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_55_train_name
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'TRAIN' AND NEW.train_model_name IS DISTINCT FROM NEW.train_model_type || '_job_' || NEW.id)
EXECUTE FUNCTION ml_internal.require_train_name();
CREATE OR REPLACE FUNCTION ml_internal.param_fits(
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
                OR p_param.kind = 'number' AND p_value ~ '^-?([0-9]{1,30}([.][0-9]{0,30})?|[.][0-9]{1,30})([eE][+-]?[0-9]{1,3})?$'
                THEN p_value::numeric BETWEEN p_param.min_value AND p_param.max_value
            WHEN p_param.kind = 'layers' AND p_value ~ '^[0-9]{1,18}(,[0-9]{1,18}){0,9}$'
                THEN (SELECT bool_and(i.item::numeric BETWEEN p_param.min_value AND p_param.max_value) FROM ml_internal.list_items(p_value) i)
            ELSE false
        END;
$$;
CREATE OR REPLACE FUNCTION ml_internal.check_train_lists()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
SET jit TO off -- compiling these queries takes longer than thousands of jobs
AS $$
DECLARE
    v_fault record;
    v_others boolean := EXISTS (SELECT FROM new_jobs j WHERE j.train_source <> 'coin_metrics');
BEGIN
    IF v_others THEN
        SELECT f.message, f.hint, f.code INTO v_fault
        FROM (SELECT DISTINCT j.train_source AS source FROM new_jobs j WHERE j.train_source <> 'coin_metrics') j
        CROSS JOIN LATERAL ml_internal.source_fault(j.source) f
        WHERE f.message IS NOT NULL
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION USING MESSAGE = v_fault.message, HINT = v_fault.hint,
                ERRCODE = v_fault.code, TABLE = 'ml_jobs', COLUMN = 'train_source';
        END IF;
    END IF;
    WITH jobs AS (
        SELECT DISTINCT
            j.train_target_var AS target,
            j.train_base_var AS base,
            j.train_features_csv AS features_csv,
            j.train_future_minutes IS NULL AS same_row,
            j.train_source AS source
        FROM new_jobs j
        WHERE j.job_type = 'TRAIN'
    ),
    wanted AS (
        SELECT DISTINCT 'train_target_var' AS field, j.target AS item, 1 AS times, j.target AS csv, 0 AS place, j.source FROM jobs j
        UNION ALL
        SELECT DISTINCT 'train_base_var', j.base, 1, j.base, 0, j.source FROM jobs j WHERE j.base <> j.target
        UNION ALL
        SELECT 'train_features_csv', i.item, count(*), f.features_csv, min(i.place), f.source
        FROM (SELECT DISTINCT j.features_csv, j.source FROM jobs j) f
        CROSS JOIN LATERAL ml_internal.list_items(f.features_csv) i
        GROUP BY i.item, f.features_csv, f.source
    ),
    columns AS MATERIALIZED (
        SELECT c.* FROM public.ml_metric_columns c WHERE c.source IN (SELECT j.source FROM jobs j)
    ),
    faults AS (
        SELECT
            w.field,
            w.place,
            CASE
                WHEN w.item = '' THEN format('%s %L has an empty name', w.field, left(w.csv, 200))
                WHEN u.column_name IS NOT NULL THEN format('column %L cannot be used: its name has a comma, semicolon, equals sign or outer blank (%s)', u.column_name, w.field)
                WHEN c.column_name IS NULL THEN format('%s has no column %L (%s)', w.source, left(w.item, 200), w.field)
                WHEN NOT c.is_numeric THEN format('column %L is %s, not numeric (%s)', w.item, c.data_type, w.field)
                WHEN w.times > 1 THEN format('feature %L is given %s times', w.item, w.times)
            END AS message,
            CASE
                WHEN w.item = '' THEN 'Write the names separated by single commas, for example price_open,volume_sol.'
                WHEN u.column_name IS NOT NULL THEN format(
                    'In a list it could not be told from its neighbours. Rename it: ALTER TABLE %2$s RENAME COLUMN %1$I TO ...; '
                    'or give its values another name: ADD COLUMN ... GENERATED ALWAYS AS (%1$I) STORED.', u.column_name,
                    CASE w.source WHEN 'coin_metrics' THEN w.source ELSE (SELECT s.relation FROM ml_internal.find_source(w.source) s) END
                )
                WHEN w.times > 1 AND c.is_numeric THEN 'Name each feature once.'
                WHEN c.column_name IS NOT NULL AND (w.source <> 'coin_metrics' OR c.data_type !~ '^(timestamp|date)') THEN concat_ws(' ', ml_internal.number_hint(w.item, c.data_type), ml_internal.suggest_names(
                    w.item, (SELECT array_agg(n.column_name) FROM columns n WHERE n.is_numeric AND n.source = w.source)
                ))
                ELSE ml_internal.suggest_names(
                    w.item, (SELECT array_agg(n.column_name) FROM columns n WHERE n.is_numeric AND n.source = w.source)
                )
            END AS hint
        FROM wanted w
        LEFT JOIN columns c ON c.column_name = w.item AND c.source = w.source
        LEFT JOIN LATERAL (
            SELECT n.column_name
            FROM columns n
            WHERE n.source = w.source AND c.is_numeric IS NOT TRUE AND strpos(w.csv, n.column_name) > 0 AND n.column_name ~ '[,;=]|^[[:space:]]|[[:space:]]$'
            ORDER BY length(n.column_name) DESC
            LIMIT 1
        ) u ON true
        WHERE w.item = '' OR c.is_numeric IS NOT TRUE OR w.times > 1
        UNION ALL
        SELECT
            'train_features_csv',
            0,
            format('the target %L is among the features, where the model could simply read it', j.target),
            'Leave it out of train_features_csv, or set train_future_minutes to predict its value later.'
        FROM jobs j
        WHERE j.same_row AND j.target IN (SELECT i.item FROM ml_internal.list_items(j.features_csv) i)
    )
    SELECT f.field, f.message, f.hint INTO v_fault FROM faults f ORDER BY f.place LIMIT 1;
    IF v_fault IS NULL THEN
        SELECT
            'train_phases_csv' AS field,
            CASE
                WHEN f.phase_column IS NULL THEN format('the source %s has no phase, which train_phases_csv would be compared with', f.name)
                ELSE format('%s has no column %s, which train_phases_csv would be compared with', f.name, f.phase_column)
            END AS message,
            CASE
                WHEN f.phase_column IS NULL THEN 'Leave train_phases_csv out, or have the owner add a source with one: CALL ml.add_source(..., phase => ...);'
                ELSE format('Leave train_phases_csv out, or add the column to %s.', f.name)
            END AS hint
        INTO v_fault
        FROM (SELECT DISTINCT j.train_source AS source FROM new_jobs j WHERE j.train_phases_csv IS NOT NULL) j
        CROSS JOIN LATERAL ml_internal.find_source(j.source) f
        WHERE f.phase_type IS NULL
        LIMIT 1;
    END IF;
    IF v_fault IS NULL THEN
        SELECT
            'train_phases_csv' AS field,
            format(
                'train_phases_csv %L %s', left(p.csv, 200), CASE
                    WHEN p.times > 1 THEN 'names a phase twice'
                    WHEN p.is_first THEN 'has an unknown phase: ' || quote_literal(left(p.item, 50))
                    ELSE 'has what is no integer: ' || quote_literal(left(p.item, 50))
                END
            ) AS message,
            CASE
                WHEN p.is_first THEN 'Known phases: '
                    || (SELECT string_agg(r.id || ' (' || r.name || ')', ', ' ORDER BY r.id) FROM public.ref_coin_phases r)
                    || '. Name each once, separated by commas.'
                ELSE 'Name each phase once, as an integer, separated by commas: 1,2,3.'
            END AS hint
        INTO v_fault
        FROM (
            SELECT d.csv, d.is_first, i.item, count(*) AS times
            FROM (SELECT DISTINCT j.train_phases_csv AS csv, j.train_source = 'coin_metrics' AS is_first FROM new_jobs j) d
            CROSS JOIN LATERAL ml_internal.list_items(d.csv) i
            GROUP BY d.csv, d.is_first, i.item
        ) p
        WHERE p.times > 1 OR CASE
            WHEN p.is_first THEN NOT EXISTS (SELECT FROM public.ref_coin_phases r WHERE r.id::text = p.item)
            ELSE p.item !~ '^(0|-?[1-9][0-9]{0,8})$'
        END
        LIMIT 1;
    END IF;
    IF v_fault IS NULL THEN
        WITH lists AS MATERIALIZED (
            SELECT DISTINCT j.train_model_type AS model_type, j.train_params_csv AS csv
            FROM new_jobs j
            WHERE j.train_params_csv IS NOT NULL
        ),
        items AS MATERIALIZED (
            SELECT l.model_type, l.csv, i.item
            FROM lists l
            CROSS JOIN LATERAL unnest(string_to_array(l.csv, ';')) i (item)
        ),
        good AS MATERIALIZED (
            SELECT d.model_type, d.item, i.name
            FROM (SELECT DISTINCT i.model_type, i.item FROM items i) d
            CROSS JOIN LATERAL ml_internal.param_items(d.item) i
            JOIN public.ref_model_params r ON r.model_type = d.model_type AND r.name = i.name
            WHERE i.value <> '' AND ml_internal.param_fits(r, i.value)
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
                    THEN ml_internal.suggest_names(
                        p.name, (SELECT array_agg(a.name::text ORDER BY a.name) FROM public.ref_model_params a WHERE a.model_type = p.model_type)
                    )
                WHEN p.times > 1 THEN 'Give each hyperparameter once.'
                WHEN p.value ~ ',[^=]*=' THEN format('Separate hyperparameters by semicolons: %s.', regexp_replace(p.item, E',\\s*([^,=]+=)', E';\\1', 'g'))
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
            CROSS JOIN LATERAL ml_internal.param_items(g.csv) i
        ) p
        LEFT JOIN public.ref_model_params r ON r.model_type = p.model_type AND r.name = p.name
        WHERE p.times > 1 OR p.value = '' OR r.name IS NULL OR NOT ml_internal.param_fits(r, p.value)
        ORDER BY p.place
        LIMIT 1;
    END IF;
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION USING MESSAGE = v_fault.message, HINT = v_fault.hint,
            ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = v_fault.field;
    END IF;
    IF NOT v_others AND ml_internal.metrics_are_plain('{}', to_regrole(quote_ident((SELECT j.created_by FROM new_jobs j LIMIT 1)))) THEN
        RETURN NULL;
    END IF;
    SELECT f.message, f.hint, f.code INTO v_fault
    FROM (
        SELECT
            j.train_source AS source, j.created_by, bool_or(j.train_phases_csv IS NOT NULL) AS has_phases,
            string_agg(DISTINCT concat_ws(',', j.train_target_var, j.train_base_var, j.train_features_csv), ',') AS columns_csv
        FROM new_jobs j
        WHERE j.job_type = 'TRAIN'
        GROUP BY j.train_source, j.created_by
    ) j
    CROSS JOIN LATERAL ml_internal.source_fault(
        j.source, ARRAY(SELECT DISTINCT i.item FROM ml_internal.list_items(j.columns_csv) i), j.has_phases, to_regrole(quote_ident(j.created_by))
    ) f
    WHERE f.message IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING MESSAGE = v_fault.message, HINT = v_fault.hint,
            ERRCODE = v_fault.code, TABLE = 'ml_jobs', COLUMN = 'train_source';
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_60_train_lists
AFTER INSERT ON public.ml_jobs
REFERENCING NEW TABLE AS new_jobs
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.check_train_lists();
CREATE OR REPLACE FUNCTION ml_internal.check_train_again()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    CALL ml_internal.require_free_name(NEW.train_model_name, NEW.id);
    PERFORM ml_internal.require_source(
        coalesce(NEW.train_source, 'coin_metrics'),
        array_remove(ARRAY[NEW.train_target_var, NEW.train_base_var] || string_to_array(NEW.train_features_csv, ','), NULL),
        NEW.train_phases_csv IS NOT NULL,
        ml_internal.role_of_team(NEW.team)
    );
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_40_train_again
BEFORE UPDATE OF attempt ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'TRAIN' AND NEW.attempt > OLD.attempt)
EXECUTE FUNCTION ml_internal.check_train_again();
CREATE OR REPLACE FUNCTION ml_internal.planned_model(
    p_job public.ml_jobs
)
RETURNS public.ml_models
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT jsonb_populate_record(NULL::public.ml_models, jsonb_build_object(
        'name', p_job.train_model_name,
        'model_type', p_job.train_model_type,
        'description', p_job.train_description,
        'train_job_id', p_job.id,
        'target_variable', p_job.train_target_var,
        'target_operator', p_job.train_operator,
        'target_value', p_job.train_value,
        'future_minutes', p_job.train_future_minutes,
        'label', coalesce(p_job.train_label, 'value'), -- NULL: older than kinds of label
        'base_variable', p_job.train_base_var,
        'stop_value', p_job.train_stop_value,
        'uncovered', p_job.train_uncovered,
        'source', coalesce(p_job.train_source, 'coin_metrics'), -- NULL: older than sources
        'threshold_rule', coalesce(p_job.train_threshold, '0.5'), -- NULL: older than thresholds
        'threshold', CASE
            WHEN p_job.train_threshold IS NULL THEN 0.5
            WHEN p_job.train_threshold ~ '^[0-9]' THEN p_job.train_threshold::numeric
        END,
        'train_start', p_job.train_start,
        'train_end', p_job.train_end,
        'test_size', p_job.train_test_size,
        'random_state', p_job.train_random_state,
        'features_csv', p_job.train_features_csv,
        'phases_csv', p_job.train_phases_csv,
        'params_csv', ml_internal.merge_params(t.default_params_csv, p_job.train_params_csv),
        'split', coalesce(p_job.train_split, 'coins'),
        'folds', nullif(p_job.train_folds, 0),
        'weights', coalesce(p_job.train_weights, 'none')
    ))
    FROM public.ref_model_types t
    WHERE t.name = p_job.train_model_type;
$$;
CREATE OR REPLACE FUNCTION ml_internal.keep_model_of_job()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.status IN ('FAILED', 'CANCELLED') THEN
        BEGIN
            UPDATE public.ml_models SET status = 'FAILED' WHERE train_job_id = NEW.id;
        EXCEPTION
            WHEN OTHERS THEN
                RAISE WARNING 'the model of job % could not be set to FAILED: %', NEW.id, SQLERRM
                    USING ERRCODE = SQLSTATE, HINT = 'A worker tries again at each look at the queue.';
        END;
    ELSIF NEW.status = 'RUNNING' THEN
        INSERT INTO public.ml_models (
            name, model_type, description, train_job_id,
            target_variable, target_operator, target_value, future_minutes,
            label, base_variable, stop_value, uncovered, source, threshold_rule, threshold,
            train_start, train_end, test_size, random_state,
            features_csv, phases_csv, params_csv, split, folds, weights
        )
        SELECT
            m.name, m.model_type, m.description, m.train_job_id,
            m.target_variable, m.target_operator, m.target_value, m.future_minutes,
            m.label, m.base_variable, m.stop_value, m.uncovered, m.source, m.threshold_rule, m.threshold,
            m.train_start, m.train_end, m.test_size, m.random_state,
            m.features_csv, m.phases_csv, m.params_csv, m.split, m.folds, m.weights
        FROM ml_internal.planned_model(NEW) m
        WHERE NOT EXISTS (SELECT FROM public.ml_models x WHERE x.train_job_id = NEW.id);
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_70_train_model
AFTER UPDATE OF status ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'TRAIN' AND OLD.status <> NEW.status)
EXECUTE FUNCTION ml_internal.keep_model_of_job();
CREATE OR REPLACE FUNCTION ml_internal.apply_training_to_model()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE public.ml_models SET
        status = 'READY',
        training_accuracy = NEW.accuracy,
        training_f1 = NEW.f1_score,
        training_precision = NEW.precision_score,
        training_recall = NEW.recall,
        feature_importance_csv = NEW.feature_importance_csv,
        model_file_path = NEW.artifact_path,
        threshold = NEW.threshold
    WHERE id = NEW.model_id;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_training_runs_70_apply_to_model
AFTER INSERT ON public.ml_training_runs
FOR EACH ROW EXECUTE FUNCTION ml_internal.apply_training_to_model();
CREATE OR REPLACE FUNCTION ml_internal.keep_model_status()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF OLD.status = 'TRAINING' AND NEW.status = 'READY' AND EXISTS (
        SELECT FROM public.ml_training_runs r WHERE r.model_id = OLD.id
    ) OR OLD.status = 'TRAINING' AND NEW.status = 'FAILED' AND EXISTS (
        SELECT FROM public.ml_jobs j WHERE j.id = OLD.train_job_id AND j.status IN ('FAILED', 'CANCELLED')
    ) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'model % cannot go from % to %', OLD.id, OLD.status, NEW.status
        USING ERRCODE = 'ML002', TABLE = 'ml_models', COLUMN = 'status',
        HINT = 'READY and FAILED are final, and a TRAIN job alone sets them; train another model with a new TRAIN job.';
END
$$;
CREATE OR REPLACE TRIGGER ml_models_20_status
BEFORE UPDATE OF status ON public.ml_models
FOR EACH ROW
WHEN (NEW.status IS DISTINCT FROM OLD.status)
EXECUTE FUNCTION ml_internal.keep_model_status();
CREATE OR REPLACE FUNCTION ml_internal.fill_training_run()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_model public.ml_models;
BEGIN
    SELECT m.* INTO v_model FROM public.ml_models m WHERE m.train_job_id = NEW.job_id;
    NEW.model_id := v_model.id;
    IF NEW.num_set_aside IS NULL AND v_model.threshold_rule <> '0.5' THEN
        NEW.warnings := concat_ws('; ', NEW.warnings, format(
            'the threshold is 0.5 and not %s: a worker of before version 8 trained it; restart the worker, and train again', v_model.threshold_rule
        ));
    END IF;
    NEW.num_samples := NEW.num_positive + NEW.num_negative;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_training_runs_20_fill
BEFORE INSERT ON public.ml_training_runs
FOR EACH ROW EXECUTE FUNCTION ml_internal.fill_training_run();
CREATE OR REPLACE FUNCTION ml_internal.show_training_run()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    SELECT m.id, format(
        'model %s, %s: %s, ROC AUC %s on held-out rows%s',
        m.id, m.name, coalesce(
            ml_internal.baseline_verdict(r.beats_baseline, r.best_baseline, r.f1_score, r.baseline_f1, r.baseline_lower, r.baseline_upper, r.baseline_note),
            format('%s, F1 %s', ml_internal.verdict(r.tp, r.tn, r.fp, r.fn), coalesce(r.f1_score::text, 'none'))
        ), coalesce(r.roc_auc::text, 'none'), ', at the threshold ' || nullif(r.threshold, 0.5)
    )
    INTO NEW.result_model_id, NEW.progress_msg
    FROM public.ml_training_runs r
    JOIN public.ml_models m ON m.id = r.model_id
    WHERE r.job_id = NEW.id;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_80_train_show
BEFORE UPDATE OF completed_at ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'TRAIN' AND OLD.status <> 'COMPLETED' AND NEW.status = 'COMPLETED')
EXECUTE FUNCTION ml_internal.show_training_run();
CREATE OR REPLACE VIEW public.ml_fact_training_runs WITH (security_invoker = true) AS
SELECT
    r.id AS training_run_id, r.job_id, r.model_id, r.created_at, r.holdout,
    r.num_coins, r.num_fitted, r.num_fitted_positive, r.num_gap, r.num_unlabelled, r.num_samples, r.num_positive, r.num_negative,
    r.tp, r.fp, r.tn, r.fn, r.accuracy, r.precision_score, r.recall, r.f1_score, r.roc_auc,
    r.artifact_bytes, r.seconds_loading, r.seconds_fitting, r.warnings,
    r.average_precision, r.num_without_base, r.num_uncovered, r.mcc, r.log_loss, r.brier_score,
    r.threshold, r.num_set_aside, r.num_set_aside_positive,
    r.accuracy_at_half, r.precision_at_half, r.recall_at_half, r.f1_at_half, r.mean_uniqueness,
    r.best_baseline, r.baseline_f1, r.baseline_difference, r.baseline_lower, r.baseline_upper, r.beats_baseline
FROM public.ml_training_runs r;
CREATE OR REPLACE FUNCTION ml_internal.fewest(
    OUT rows bigint,
    OUT of_a_class bigint,
    OUT coins bigint
)
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT 20, 2, 10;
$$;
CREATE OR REPLACE FUNCTION ml_internal.describe_model(
    p_model public.ml_models
)
RETURNS jsonb
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'id', p_model.id,
            'model_type', p_model.model_type,
            'label', jsonb_build_object(
                'kind', p_model.label,
                'target', p_model.target_variable,
                'operator', p_model.target_operator,
                'value', p_model.target_value::text,
                'future_minutes', p_model.future_minutes,
                'base', p_model.base_variable,
                'stop_value', p_model.stop_value::text,
                'uncovered', p_model.uncovered
            ),
            'test_size', p_model.test_size,
            'random_state', p_model.random_state,
            'features', string_to_array(p_model.features_csv, ','),
            'params', (
                SELECT jsonb_object_agg(v.param, jsonb_build_array(v.kind, v.value))
                FROM public.ml_model_params v
                WHERE v.model_id = p_model.id
            ),
            'fewest', to_jsonb(ml_internal.fewest()),
            'artifact_path', r.artifact_path,
            'artifact_sha256', r.artifact_sha256
        )
        FROM (SELECT) one
        LEFT JOIN public.ml_training_runs r ON r.model_id = p_model.id
    );
END
$$;
CREATE OR REPLACE FUNCTION ml.train(
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
    max_attempts integer DEFAULT NULL,
    max_minutes numeric DEFAULT NULL,
    label text DEFAULT NULL,
    base text DEFAULT NULL,
    stop_value numeric DEFAULT NULL,
    uncovered text DEFAULT NULL,
    source text DEFAULT NULL,
    threshold text DEFAULT NULL,
    split text DEFAULT NULL,
    folds integer DEFAULT NULL,
    weights text DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql -- which does not ask for a column until it is used: max_minutes comes with 63_limits.sql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_id bigint;
BEGIN
    INSERT INTO public.ml_jobs (
        job_type, priority, max_attempts, max_minutes,
        train_model_type, train_target_var, train_operator, train_value,
        train_features_csv, train_start, train_end, train_future_minutes,
        train_phases_csv, train_params_csv, train_model_name, train_description,
        train_test_size, train_random_state,
        train_label, train_base_var, train_stop_value, train_uncovered, train_source, train_threshold,
        train_split, train_folds, train_weights
    )
    VALUES (
        'TRAIN', priority, max_attempts, max_minutes,
        model_type, target, operator, value,
        features, train_start, train_end, future_minutes,
        phases, params, name, description,
        test_size, random_state,
        label, base, stop_value, uncovered, source, threshold,
        split, folds, weights
    )
    RETURNING id INTO v_id;
    RETURN v_id;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.try_train(
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
    p_max_attempts integer,
    p_max_minutes numeric,
    p_label text,
    p_base text,
    p_stop_value numeric,
    p_uncovered text,
    p_source text,
    p_threshold text DEFAULT NULL,
    p_split text DEFAULT NULL,
    p_folds integer DEFAULT NULL,
    p_weights text DEFAULT NULL
)
RETURNS public.ml_jobs
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
SET client_min_messages TO error -- what an INSERT warns of is told by the preview itself
AS $$
DECLARE
    v_id bigint;
    v_job public.ml_jobs;
BEGIN
    BEGIN
        v_id := ml.train(
            p_model_type, p_target, p_operator, p_value, p_features, p_train_start, p_train_end, p_future_minutes,
            p_phases, p_params, p_name, p_description, p_test_size, p_random_state, p_priority, p_max_attempts, p_max_minutes,
            p_label, p_base, p_stop_value, p_uncovered, p_source, p_threshold, p_split, p_folds, p_weights
        );
        SELECT * INTO v_job FROM public.ml_jobs j WHERE j.id = v_id;
        RAISE EXCEPTION 'taken back' USING ERRCODE = 'ML000', HINT = 'This is caught at once.';
    EXCEPTION
        WHEN SQLSTATE 'ML000' THEN NULL;
    END;
    RETURN v_job;
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
    max_attempts integer DEFAULT NULL,
    max_minutes numeric DEFAULT NULL,
    label text DEFAULT NULL,
    base text DEFAULT NULL,
    stop_value numeric DEFAULT NULL,
    uncovered text DEFAULT NULL,
    source text DEFAULT NULL,
    threshold text DEFAULT NULL,
    split text DEFAULT NULL,
    folds integer DEFAULT NULL,
    weights text DEFAULT NULL
)
RETURNS TABLE (
    what text,
    result text
)
LANGUAGE plpgsql
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
    v_job := ml_internal.try_train(
        model_type, target, operator, value, features, train_start, train_end, future_minutes,
        phases, params, name, description, test_size, random_state, priority, max_attempts, max_minutes,
        label, base, stop_value, uncovered, source, threshold, split, folds, weights
    );
    RETURN QUERY SELECT p.what, p.result FROM ml_internal.preview_job(v_job) p;
EXCEPTION
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS
            v_message = MESSAGE_TEXT, v_hint = PG_EXCEPTION_HINT, v_code = RETURNED_SQLSTATE,
            v_table = TABLE_NAME, v_column = COLUMN_NAME;
        RAISE EXCEPTION USING MESSAGE = v_message, HINT = v_hint, ERRCODE = v_code, TABLE = v_table, COLUMN = v_column;
END
$$;
CALL ml_internal.allow('ml_client', 'EXECUTE', 'ml.train');
CALL ml_internal.allow(
    'ml_reader', 'EXECUTE', 'ml_internal.threshold_text, ml_internal.try_train, ml_internal.fewest, ml_internal.describe_model, ml_internal.planned_model'
);
CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_fact_training_runs');
SET search_path TO pg_catalog, pg_temp;
CREATE TABLE IF NOT EXISTS public.ml_test_results (
    id bigint GENERATED ALWAYS AS IDENTITY,
    model_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    test_start timestamptz NOT NULL,
    test_end timestamptz NOT NULL,
    accuracy numeric(5, 4) GENERATED ALWAYS AS (ml_internal.accuracy(tp, tn, fp, fn)) STORED,
    f1_score numeric(5, 4) GENERATED ALWAYS AS (ml_internal.f1_score(tp, fp, fn)) STORED,
    precision_score numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(tp, fp)) STORED,
    recall numeric(5, 4) GENERATED ALWAYS AS (ml_internal.recall_score(tp, fn)) STORED,
    roc_auc numeric(5, 4),
    tp bigint NOT NULL,
    tn bigint NOT NULL,
    fp bigint NOT NULL,
    fn bigint NOT NULL,
    num_samples bigint NOT NULL,
    num_positive bigint NOT NULL,
    num_negative bigint NOT NULL,
    has_overlap boolean NOT NULL,
    overlap_note text,
    feature_importance_csv text,
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    num_unlabelled bigint NOT NULL,
    data_fingerprint char(64) NOT NULL,
    seconds_loading numeric(12, 3) NOT NULL,
    seconds_scoring numeric(12, 3) NOT NULL,
    average_precision numeric(5, 4),
    note text,
    num_without_base bigint,
    num_uncovered bigint,
    mcc numeric(5, 4) GENERATED ALWAYS AS (ml_internal.mcc(tp, tn, fp, fn)) STORED,
    log_loss numeric(9, 6),
    brier_score numeric(7, 6),
    threshold double precision NOT NULL DEFAULT 0.5,
    tp_at_half bigint,
    fp_at_half bigint,
    accuracy_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.accuracy(
            coalesce(tp_at_half, tp), tn + fp - coalesce(fp_at_half, fp), coalesce(fp_at_half, fp), tp + fn - coalesce(tp_at_half, tp)
        )
    ) STORED,
    f1_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.f1_score(coalesce(tp_at_half, tp), coalesce(fp_at_half, fp), tp + fn - coalesce(tp_at_half, tp))
    ) STORED,
    precision_at_half numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(coalesce(tp_at_half, tp), coalesce(fp_at_half, fp))) STORED,
    recall_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.recall_score(coalesce(tp_at_half, tp), tp + fn - coalesce(tp_at_half, tp))
    ) STORED,
    CONSTRAINT ml_test_results_pkey PRIMARY KEY (id),
    CONSTRAINT ml_test_results_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_test_results_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_test_results_one_a_job UNIQUE (job_id),
    CONSTRAINT ml_test_results_start_before_end CHECK (test_start < test_end),
    CONSTRAINT ml_test_results_counts_not_negative CHECK (least(tp, tn, fp, fn, num_unlabelled) >= 0),
    CONSTRAINT ml_test_results_confusion_matrix_adds_up CHECK (
        tp + fn = num_positive AND tn + fp = num_negative AND num_positive + num_negative = num_samples
    ),
    CONSTRAINT ml_test_results_roc_auc_between_0_and_1 CHECK (roc_auc BETWEEN 0 AND 1),
    CONSTRAINT ml_test_results_average_precision_between_0_and_1 CHECK (average_precision BETWEEN 0 AND 1),
    CONSTRAINT ml_test_results_scores_of_probabilities CHECK (log_loss >= 0 AND brier_score BETWEEN 0 AND 1),
    CONSTRAINT ml_test_results_threshold_between_0_and_1 CHECK (threshold BETWEEN 0 AND 1),
    CONSTRAINT ml_test_results_half_fits CHECK (
        ml_internal.counts_fit_half(threshold, tp, fp, tp_at_half, fp_at_half)
        AND coalesce(tp_at_half <= num_positive AND fp_at_half <= num_negative, true)
    ),
    CONSTRAINT ml_test_results_overlap_has_note CHECK (has_overlap = (overlap_note IS NOT NULL)),
    CONSTRAINT ml_test_results_windows_not_negative CHECK (least(num_without_base, num_uncovered) >= 0)
);
CREATE INDEX IF NOT EXISTS idx_test_results_model ON public.ml_test_results (model_id);
CREATE INDEX IF NOT EXISTS ml_test_results_latest ON public.ml_test_results (model_id, created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS idx_test_results_created ON public.ml_test_results (created_at DESC);
ALTER TABLE public.ml_jobs
ADD COLUMN IF NOT EXISTS test_model_id bigint
CONSTRAINT ml_jobs_test_model_id_fkey REFERENCES public.ml_models (id),
ADD COLUMN IF NOT EXISTS test_start timestamptz,
ADD COLUMN IF NOT EXISTS test_end timestamptz,
ADD COLUMN IF NOT EXISTS result_test_id bigint
CONSTRAINT ml_jobs_result_test_id_fkey REFERENCES public.ml_test_results (id);
CREATE INDEX IF NOT EXISTS ml_jobs_result_test ON public.ml_jobs (result_test_id) WHERE result_test_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_test_model ON public.ml_jobs (test_model_id) WHERE test_model_id IS NOT NULL;
CALL ml_internal.add_baseline('ml_test_results', p_only_if => 'NOT has_overlap');
CALL ml_internal.define_kind(
    'TEST',
    needs => '{test_model_id,test_start,test_end}',
    uses_models => '{test_model_id}',
    result_table => 'ml_test_results',
    result_column => 'result_test_id',
    result_filled => '{model_id,test_start,test_end,num_samples,has_overlap,overlap_note}',
    result_facts => '{ml_curve_points,ml_intervals,ml_baselines,ml_warnings,ml_feature_shifts,ml_seen_unseen,ml_test_day_counts,ml_test_coin_counts}',
    page => 'page_of_tests'
);
CREATE OR REPLACE FUNCTION ml_internal.overlap_note(
    p_tested tstzrange,
    p_trained tstzrange
)
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format(
        '%s%% overlap: %s to %s is part of the training period',
        CASE WHEN o.common = p_tested THEN 100
            ELSE least(greatest(
                round(
                    100 * extract(epoch FROM upper(o.common) - lower(o.common))
                    / extract(epoch FROM upper(p_tested) - lower(p_tested))
                ), 1), 99)
        END,
        lower(o.common),
        upper(o.common)
    )
    FROM (SELECT p_tested * p_trained AS common) o
    WHERE NOT isempty(o.common);
$$;
CREATE OR REPLACE FUNCTION ml_internal.fill_test_result()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    SELECT
        j.test_model_id, j.test_start, j.test_end,
        ml_internal.overlap_note(tstzrange(j.test_start, j.test_end), tstzrange(m.train_start, m.train_end)),
        nullif(concat_ws('; ', NEW.note, ml_internal.threshold_note(NEW.threshold, m.threshold)), '')
    INTO NEW.model_id, NEW.test_start, NEW.test_end, NEW.overlap_note, NEW.note
    FROM public.ml_jobs j
    JOIN public.ml_models m ON m.id = j.test_model_id
    WHERE j.id = NEW.job_id;
    NEW.has_overlap := NEW.overlap_note IS NOT NULL;
    NEW.num_samples := NEW.num_positive + NEW.num_negative;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_test_results_20_fill
BEFORE INSERT ON public.ml_test_results
FOR EACH ROW EXECUTE FUNCTION ml_internal.fill_test_result();
CREATE OR REPLACE TRIGGER ml_test_results_70_warn_of_period
AFTER INSERT ON public.ml_test_results
FOR EACH ROW EXECUTE FUNCTION ml_internal.warn_of_period();
CREATE OR REPLACE FUNCTION ml_internal.show_test_result()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    SELECT t.id, format(
        'test %s of model %s: %s, ROC AUC %s%s',
        t.id, t.model_id, coalesce(
            ml_internal.baseline_verdict(t.beats_baseline, t.best_baseline, t.f1_score, t.baseline_f1, t.baseline_lower, t.baseline_upper, t.baseline_note),
            format('%s, F1 %s', ml_internal.verdict(t.tp, t.tn, t.fp, t.fn), coalesce(t.f1_score::text, 'none'))
        ), coalesce(t.roc_auc::text, 'none'), ', at the threshold ' || nullif(t.threshold, 0.5)
    ) || coalesce('; ' || t.note, '')
    INTO NEW.result_test_id, NEW.progress_msg
    FROM public.ml_test_results t
    WHERE t.job_id = NEW.id;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_80_test_show
BEFORE UPDATE OF completed_at ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'TEST' AND OLD.status <> 'COMPLETED' AND NEW.status = 'COMPLETED')
EXECUTE FUNCTION ml_internal.show_test_result();
CREATE OR REPLACE VIEW public.ml_fact_tests WITH (security_invoker = true) AS
SELECT
    t.id AS test_id, t.job_id, t.model_id, t.created_at, t.test_start AS period_start, t.test_end AS period_end,
    t.has_overlap, t.num_unlabelled, t.num_samples, t.num_positive, t.num_negative,
    t.tp, t.fp, t.tn, t.fn, t.accuracy, t.precision_score, t.recall, t.f1_score, t.roc_auc,
    t.seconds_loading, t.seconds_scoring, t.average_precision, t.note,
    t.num_without_base, t.num_uncovered, t.mcc, t.log_loss, t.brier_score,
    t.threshold, t.accuracy_at_half, t.precision_at_half, t.recall_at_half, t.f1_at_half,
    t.best_baseline, t.baseline_f1, t.baseline_difference, t.baseline_lower, t.baseline_upper, t.beats_baseline
FROM public.ml_test_results t;
CREATE OR REPLACE FUNCTION ml_internal.page_of_tests(
    p_model_id bigint
)
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
ROWS 10
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT ('')::text;
    RETURN QUERY SELECT format('Tests: %s', (SELECT count(*) FROM public.ml_test_results t WHERE t.model_id = p_model_id));
    RETURN QUERY
    SELECT format(
        '  test %s, %s: accuracy %s, F1 %s%s, ROC AUC %s', t.id, ml_internal.period_text(t.test_start, t.test_end),
        coalesce(t.accuracy::text, '-'), coalesce(t.f1_score::text, '-'),
        CASE WHEN t.threshold <> 0.5 THEN format(' (at 0.5: %s)', coalesce(t.f1_at_half::text, '-')) END,
        coalesce(t.roc_auc::text, '-')
    ) || coalesce('; F1 of ' || ml_internal.baseline_text(t.best_baseline) || ': ' || t.baseline_f1, '')
    || coalesce('; ' || t.overlap_note, '') || coalesce('; ' || t.note, '')
    FROM public.ml_test_results t
    WHERE t.model_id = p_model_id
    ORDER BY t.created_at DESC, t.id DESC
    LIMIT 10;
END
$$;
CREATE OR REPLACE FUNCTION ml.test(
    model_id bigint,
    test_start timestamptz DEFAULT NULL,
    test_end timestamptz DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    max_minutes numeric DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql -- see ml.train
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_id bigint;
BEGIN
    INSERT INTO public.ml_jobs (job_type, priority, max_attempts, max_minutes, test_model_id, test_start, test_end)
    VALUES ('TEST', priority, max_attempts, max_minutes, model_id, test_start, test_end)
    RETURNING id INTO v_id;
    RETURN v_id;
END
$$;
CREATE OR REPLACE FUNCTION ml.test(
    model_name text,
    test_start timestamptz DEFAULT NULL,
    test_end timestamptz DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    max_minutes numeric DEFAULT NULL
)
RETURNS bigint
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml.test(ml_internal.find_model(model_name), test_start, test_end, priority, max_attempts, max_minutes);
$$;
CALL ml_internal.allow('ml_client', 'EXECUTE', 'ml.test');
CALL ml_internal.allow('ml_reader', 'EXECUTE', 'ml_internal.page_of_tests');
CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_fact_tests');
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.leader(
    model_a_id bigint,
    model_b_id bigint,
    a_tp bigint, a_tn bigint, a_fp bigint, a_fn bigint,
    b_tp bigint, b_tn bigint, b_fp bigint, b_fn bigint
)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN x.a > x.b THEN model_a_id WHEN x.a < x.b THEN model_b_id END
    FROM (
        SELECT
            ARRAY[
                round(coalesce(ml_internal.f1_score(a_tp, a_fp, a_fn), 0), 4), round(ml_internal.accuracy(a_tp, a_tn, a_fp, a_fn), 4)
            ] AS a,
            ARRAY[
                round(coalesce(ml_internal.f1_score(b_tp, b_fp, b_fn), 0), 4), round(ml_internal.accuracy(b_tp, b_tn, b_fp, b_fn), 4)
            ] AS b
    ) x;
$$;
CREATE OR REPLACE FUNCTION ml_internal.f1_difference(
    a_tp bigint, a_fp bigint, a_fn bigint,
    b_tp bigint, b_fp bigint, b_fn bigint
)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT round(coalesce(ml_internal.f1_score(a_tp, a_fp, a_fn), 0), 4) - round(coalesce(ml_internal.f1_score(b_tp, b_fp, b_fn), 0), 4);
$$;
CREATE TABLE IF NOT EXISTS public.ml_comparisons (
    id bigint GENERATED ALWAYS AS IDENTITY,
    created_at timestamptz NOT NULL DEFAULT now(),
    model_a_id bigint NOT NULL,
    model_b_id bigint NOT NULL,
    test_start timestamptz NOT NULL,
    test_end timestamptz NOT NULL,
    num_samples bigint NOT NULL,
    a_accuracy numeric(5, 4) GENERATED ALWAYS AS (ml_internal.accuracy(a_tp, a_tn, a_fp, a_fn)) STORED,
    a_f1 numeric(5, 4) GENERATED ALWAYS AS (ml_internal.f1_score(a_tp, a_fp, a_fn)) STORED,
    a_precision numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(a_tp, a_fp)) STORED,
    a_recall numeric(5, 4) GENERATED ALWAYS AS (ml_internal.recall_score(a_tp, a_fn)) STORED,
    b_accuracy numeric(5, 4) GENERATED ALWAYS AS (ml_internal.accuracy(b_tp, b_tn, b_fp, b_fn)) STORED,
    b_f1 numeric(5, 4) GENERATED ALWAYS AS (ml_internal.f1_score(b_tp, b_fp, b_fn)) STORED,
    b_precision numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(b_tp, b_fp)) STORED,
    b_recall numeric(5, 4) GENERATED ALWAYS AS (ml_internal.recall_score(b_tp, b_fn)) STORED,
    winner_id bigint,
    a_tp bigint NOT NULL,
    a_tn bigint NOT NULL,
    a_fp bigint NOT NULL,
    a_fn bigint NOT NULL,
    a_roc_auc numeric(5, 4),
    b_tp bigint NOT NULL,
    b_tn bigint NOT NULL,
    b_fp bigint NOT NULL,
    b_fn bigint NOT NULL,
    b_roc_auc numeric(5, 4),
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    num_unlabelled bigint NOT NULL,
    data_fingerprint char(64) NOT NULL,
    seconds_loading numeric(12, 3) NOT NULL,
    seconds_scoring numeric(12, 3) NOT NULL,
    note text,
    num_without_base bigint,
    num_uncovered bigint,
    a_average_precision numeric(5, 4),
    a_mcc numeric(5, 4) GENERATED ALWAYS AS (ml_internal.mcc(a_tp, a_tn, a_fp, a_fn)) STORED,
    a_log_loss numeric(9, 6),
    a_brier_score numeric(7, 6),
    b_average_precision numeric(5, 4),
    b_mcc numeric(5, 4) GENERATED ALWAYS AS (ml_internal.mcc(b_tp, b_tn, b_fp, b_fn)) STORED,
    b_log_loss numeric(9, 6),
    b_brier_score numeric(7, 6),
    confidence numeric,
    leader_id bigint GENERATED ALWAYS AS (
        ml_internal.leader(model_a_id, model_b_id, a_tp, a_tn, a_fp, a_fn, b_tp, b_tn, b_fp, b_fn)
    ) STORED,
    verdict text,
    a_overlap_note text,
    b_overlap_note text,
    f1_difference numeric(5, 4) GENERATED ALWAYS AS (ml_internal.f1_difference(a_tp, a_fp, a_fn, b_tp, b_fp, b_fn)) STORED,
    f1_difference_lower numeric(5, 4),
    f1_difference_upper numeric(5, 4),
    accuracy_difference numeric(5, 4) GENERATED ALWAYS AS (
        round(ml_internal.accuracy(a_tp, a_tn, a_fp, a_fn), 4) - round(ml_internal.accuracy(b_tp, b_tn, b_fp, b_fn), 4)
    ) STORED,
    accuracy_difference_lower numeric(5, 4),
    accuracy_difference_upper numeric(5, 4),
    roc_auc_difference numeric(5, 4) GENERATED ALWAYS AS (a_roc_auc - b_roc_auc) STORED,
    roc_auc_difference_lower numeric(5, 4),
    roc_auc_difference_upper numeric(5, 4),
    num_blocks integer,
    block_seconds bigint,
    undecided_reason text,
    a_threshold double precision NOT NULL DEFAULT 0.5,
    a_tp_at_half bigint,
    a_fp_at_half bigint,
    a_accuracy_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.accuracy(
            coalesce(a_tp_at_half, a_tp), a_tn + a_fp - coalesce(a_fp_at_half, a_fp), coalesce(a_fp_at_half, a_fp), a_tp + a_fn - coalesce(a_tp_at_half, a_tp)
        )
    ) STORED,
    a_f1_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.f1_score(coalesce(a_tp_at_half, a_tp), coalesce(a_fp_at_half, a_fp), a_tp + a_fn - coalesce(a_tp_at_half, a_tp))
    ) STORED,
    a_precision_at_half numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(coalesce(a_tp_at_half, a_tp), coalesce(a_fp_at_half, a_fp))) STORED,
    a_recall_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.recall_score(coalesce(a_tp_at_half, a_tp), a_tp + a_fn - coalesce(a_tp_at_half, a_tp))
    ) STORED,
    b_threshold double precision NOT NULL DEFAULT 0.5,
    b_tp_at_half bigint,
    b_fp_at_half bigint,
    b_accuracy_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.accuracy(
            coalesce(b_tp_at_half, b_tp), b_tn + b_fp - coalesce(b_fp_at_half, b_fp), coalesce(b_fp_at_half, b_fp), b_tp + b_fn - coalesce(b_tp_at_half, b_tp)
        )
    ) STORED,
    b_f1_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.f1_score(coalesce(b_tp_at_half, b_tp), coalesce(b_fp_at_half, b_fp), b_tp + b_fn - coalesce(b_tp_at_half, b_tp))
    ) STORED,
    b_precision_at_half numeric(5, 4) GENERATED ALWAYS AS (ml_internal.precision_score(coalesce(b_tp_at_half, b_tp), coalesce(b_fp_at_half, b_fp))) STORED,
    b_recall_at_half numeric(5, 4) GENERATED ALWAYS AS (
        ml_internal.recall_score(coalesce(b_tp_at_half, b_tp), b_tp + b_fn - coalesce(b_tp_at_half, b_tp))
    ) STORED,
    CONSTRAINT ml_comparisons_pkey PRIMARY KEY (id),
    CONSTRAINT ml_comparisons_model_a_id_fkey FOREIGN KEY (model_a_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_comparisons_model_b_id_fkey FOREIGN KEY (model_b_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_comparisons_winner_id_fkey FOREIGN KEY (winner_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_comparisons_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_comparisons_one_a_job UNIQUE (job_id),
    CONSTRAINT ml_comparisons_two_models CHECK (model_a_id <> model_b_id),
    CONSTRAINT ml_comparisons_start_before_end CHECK (test_start < test_end),
    CONSTRAINT ml_comparisons_counts_not_negative CHECK (
        least(a_tp, a_tn, a_fp, a_fn, b_tp, b_tn, b_fp, b_fn, num_unlabelled) >= 0
    ),
    CONSTRAINT ml_comparisons_same_rows CHECK (
        a_tp + a_fn = b_tp + b_fn
        AND a_tn + a_fp = b_tn + b_fp
        AND a_tp + a_fn + a_tn + a_fp = num_samples
    ),
    CONSTRAINT ml_comparisons_roc_auc_between_0_and_1 CHECK (a_roc_auc BETWEEN 0 AND 1 AND b_roc_auc BETWEEN 0 AND 1),
    CONSTRAINT ml_comparisons_scores_of_probabilities CHECK (
        least(a_average_precision, b_average_precision, a_log_loss, b_log_loss, a_brier_score, b_brier_score) >= 0
        AND greatest(a_average_precision, b_average_precision, a_brier_score, b_brier_score) <= 1
    ),
    CONSTRAINT ml_comparisons_windows_not_negative CHECK (least(num_without_base, num_uncovered) >= 0),
    CONSTRAINT ml_comparisons_confidence_is_a_share_or_0 CHECK (confidence = 0 OR confidence BETWEEN 0.5 AND 0.999),
    CONSTRAINT ml_comparisons_intervals_contain_differences CHECK (
        num_nonnulls(f1_difference_lower, f1_difference_upper) IN (0, 2)
        AND num_nonnulls(accuracy_difference_lower, accuracy_difference_upper) IN (0, 2)
        AND num_nonnulls(roc_auc_difference_lower, roc_auc_difference_upper) IN (0, 2)
        AND f1_difference BETWEEN f1_difference_lower - 0.0001 AND f1_difference_upper + 0.0001
        AND accuracy_difference BETWEEN accuracy_difference_lower - 0.0001 AND accuracy_difference_upper + 0.0001
        AND roc_auc_difference BETWEEN roc_auc_difference_lower - 0.0001 AND roc_auc_difference_upper + 0.0001
    ),
    CONSTRAINT ml_comparisons_interval_of_at_least_8_blocks CHECK (
        CASE
            WHEN num_nonnulls(f1_difference_lower, accuracy_difference_lower, roc_auc_difference_lower) = 0 THEN num_blocks >= 0
            ELSE coalesce(num_blocks, 0) >= 8
        END
        AND (num_blocks IS NULL) = (block_seconds IS NULL)
    ),
    CONSTRAINT ml_comparisons_winner_leads CHECK (winner_id IS NOT DISTINCT FROM leader_id OR winner_id IS NULL),
    CONSTRAINT ml_comparisons_winner_is_beyond_chance CHECK (
        winner_id IS NULL OR confidence IS NULL OR confidence = 0
        OR coalesce(CASE winner_id WHEN model_a_id THEN f1_difference_lower > 0 ELSE f1_difference_upper < 0 END, false)
    ),
    CONSTRAINT ml_comparisons_winner_was_not_trained_on_it CHECK (
        winner_id IS NULL OR CASE winner_id WHEN model_a_id THEN a_overlap_note ELSE b_overlap_note END IS NULL
    ),
    CONSTRAINT ml_comparisons_thresholds_between_0_and_1 CHECK (a_threshold BETWEEN 0 AND 1 AND b_threshold BETWEEN 0 AND 1),
    CONSTRAINT ml_comparisons_half_fits CHECK (
        ml_internal.counts_fit_half(a_threshold, a_tp, a_fp, a_tp_at_half, a_fp_at_half)
        AND ml_internal.counts_fit_half(b_threshold, b_tp, b_fp, b_tp_at_half, b_fp_at_half)
        AND coalesce(greatest(a_tp_at_half, b_tp_at_half) <= a_tp + a_fn AND greatest(a_fp_at_half, b_fp_at_half) <= a_tn + a_fp, true)
    )
);
CREATE INDEX IF NOT EXISTS idx_comparisons_models ON public.ml_comparisons (model_a_id, model_b_id);
CREATE INDEX IF NOT EXISTS ml_comparisons_model_b ON public.ml_comparisons (model_b_id);
CREATE INDEX IF NOT EXISTS ml_comparisons_winner ON public.ml_comparisons (winner_id);
CREATE INDEX IF NOT EXISTS ml_comparisons_created ON public.ml_comparisons (created_at);
ALTER TABLE public.ml_jobs
ADD COLUMN IF NOT EXISTS compare_model_a_id bigint
CONSTRAINT ml_jobs_compare_model_a_id_fkey REFERENCES public.ml_models (id),
ADD COLUMN IF NOT EXISTS compare_model_b_id bigint
CONSTRAINT ml_jobs_compare_model_b_id_fkey REFERENCES public.ml_models (id)
CONSTRAINT ml_jobs_compares_two_models CHECK (compare_model_a_id <> compare_model_b_id),
ADD COLUMN IF NOT EXISTS compare_start timestamptz,
ADD COLUMN IF NOT EXISTS compare_end timestamptz,
ADD COLUMN IF NOT EXISTS result_comparison_id bigint
CONSTRAINT ml_jobs_result_comparison_id_fkey REFERENCES public.ml_comparisons (id),
ADD COLUMN IF NOT EXISTS compare_confidence numeric
CONSTRAINT ml_jobs_compare_confidence_is_a_share_or_0 CHECK (compare_confidence = 0 OR compare_confidence BETWEEN 0.5 AND 0.999);
CREATE INDEX IF NOT EXISTS ml_jobs_result_comparison ON public.ml_jobs (result_comparison_id) WHERE result_comparison_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_compare_model_a ON public.ml_jobs (compare_model_a_id) WHERE compare_model_a_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_compare_model_b ON public.ml_jobs (compare_model_b_id) WHERE compare_model_b_id IS NOT NULL;
CALL ml_internal.add_baseline('ml_comparisons', 'a_', 'a_overlap_note IS NULL');
CALL ml_internal.add_baseline('ml_comparisons', 'b_', 'b_overlap_note IS NULL');
CALL ml_internal.define_kind(
    'COMPARE',
    needs => '{compare_model_a_id,compare_model_b_id,compare_start,compare_end}',
    uses_models => '{compare_model_a_id,compare_model_b_id}',
    result_table => 'ml_comparisons',
    result_column => 'result_comparison_id',
    result_filled => '{model_a_id,model_b_id,test_start,test_end,winner_id,confidence,verdict,a_overlap_note,b_overlap_note}',
    result_facts => '{ml_intervals,ml_baselines,ml_warnings,ml_feature_shifts,ml_seen_unseen}',
    page => 'page_of_comparisons'
);
CREATE OR REPLACE FUNCTION ml_internal.fill_compare()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    NEW.compare_confidence := coalesce(NEW.compare_confidence, 0.95);
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_22_compare_fill
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'COMPARE')
EXECUTE FUNCTION ml_internal.fill_compare();
CREATE OR REPLACE FUNCTION ml_internal.refuse_confidence()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'compare_confidence % is neither 0 nor from 0.5 to 0.999', NEW.compare_confidence
        USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'compare_confidence',
        HINT = 'Leave it out for 0.95, or give a share; with 0 the higher F1 wins, be it by chance.';
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_40_compare_confidence
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'COMPARE' AND NEW.compare_confidence <> 0 AND NEW.compare_confidence NOT BETWEEN 0.5 AND 0.999)
EXECUTE FUNCTION ml_internal.refuse_confidence();
CREATE OR REPLACE FUNCTION ml_internal.refuse_comparing_itself()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'model % cannot be compared with itself', NEW.compare_model_a_id
        USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'compare_model_b_id',
        HINT = 'Give compare_model_a_id and compare_model_b_id two different models.';
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_40_compare_itself
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.compare_model_a_id = NEW.compare_model_b_id)
EXECUTE FUNCTION ml_internal.refuse_comparing_itself();
CREATE OR REPLACE FUNCTION ml_internal.require_comparable_models()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_a public.ml_models;
    v_b public.ml_models;
    v_predicts_a text;
    v_predicts_b text;
BEGIN
    SELECT * INTO v_a FROM public.ml_models m WHERE m.id = NEW.compare_model_a_id;
    SELECT * INTO v_b FROM public.ml_models m WHERE m.id = NEW.compare_model_b_id;
    v_predicts_a := ml_internal.label_text(v_a);
    v_predicts_b := ml_internal.label_text(v_b);
    IF v_a.source <> v_b.source THEN
        RAISE EXCEPTION 'models % and % learn from different sources: % and %', v_a.id, v_b.id, v_a.source, v_b.source
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'compare_model_b_id',
            HINT = 'Both are scored on the same rows; compare models of the same source.';
    ELSIF v_predicts_a <> v_predicts_b THEN
        RAISE EXCEPTION 'models % and % predict different things: % and %', v_a.id, v_b.id, v_predicts_a, v_predicts_b
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'compare_model_b_id',
            HINT = 'Compare models with the same label: SELECT id, name, target FROM ml_leaderboard; shows what each predicts.';
    ELSIF ml_internal.common_items(v_a.phases_csv, v_b.phases_csv) = '' THEN
        RAISE EXCEPTION 'models % and % have no phase in common: % and %', v_a.id, v_b.id, v_a.phases_csv, v_b.phases_csv
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'compare_model_b_id',
            HINT = 'Both are scored on the same rows; compare models that were trained on at least one common phase.';
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_56_compare_models
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'COMPARE')
EXECUTE FUNCTION ml_internal.require_comparable_models();
CREATE OR REPLACE FUNCTION ml_internal.comparison_verdict(
    c public.ml_comparisons,
    p_leader bigint
)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_follows boolean := p_leader IS DISTINCT FROM c.model_a_id; -- what is told is of the leader, then of the other
    v_other bigint := CASE WHEN v_follows THEN c.model_a_id ELSE c.model_b_id END;
    v_f1 numeric(5, 4) [] := ARRAY[ml_internal.f1_score(c.a_tp, c.a_fp, c.a_fn), ml_internal.f1_score(c.b_tp, c.b_fp, c.b_fn)];
    v_accuracy numeric(5, 4) [] := ARRAY[
        ml_internal.accuracy(c.a_tp, c.a_tn, c.a_fp, c.a_fn), ml_internal.accuracy(c.b_tp, c.b_tn, c.b_fp, c.b_fn)
    ];
    v_leads integer := CASE WHEN v_follows THEN 2 ELSE 1 END;
    v_difference numeric := abs(ml_internal.f1_difference(c.a_tp, c.a_fp, c.a_fn, c.b_tp, c.b_fp, c.b_fn));
    v_interval text := format(
        '%s to %s at %s, %s',
        CASE WHEN v_follows THEN -c.f1_difference_upper ELSE c.f1_difference_lower END,
        CASE WHEN v_follows THEN -c.f1_difference_lower ELSE c.f1_difference_upper END,
        ml_internal.percent_text(coalesce(nullif(c.confidence, 0), 0.95)), ml_internal.blocks_text(c.num_blocks, c.block_seconds)
    );
    v_leading_note text := CASE WHEN v_follows THEN c.b_overlap_note ELSE c.a_overlap_note END;
    v_said text;
BEGIN
    IF p_leader IS NULL THEN
        RETURN format('a tie, no winner: both have %s and accuracy %s', coalesce('F1 ' || v_f1[1], 'no F1'), coalesce(v_accuracy[1]::text, 'none'));
    END IF;
    v_said := CASE
        WHEN v_difference = 0 THEN format(
            '%s of both, accuracy %s of model %s and %s of model %s',
            coalesce('F1 ' || v_f1[v_leads], 'no F1'), v_accuracy[v_leads], p_leader, v_accuracy[3 - v_leads], v_other
        )
        ELSE format(
            'F1 %s of model %s is %s higher than %s of model %s%s',
            v_f1[v_leads], p_leader, v_difference, coalesce(v_f1[3 - v_leads]::text, 'none'), v_other,
            CASE WHEN c.f1_difference_lower IS NOT NULL THEN format(' (%s)', v_interval) END
        )
    END;
    RETURN CASE
        WHEN c.winner_id IS NOT NULL AND coalesce(c.confidence, 0) > 0 THEN format(
            'model %s wins: %s; shown of these two fitted models at their thresholds on these rows, not of their recipes', c.winner_id, v_said
        )
        WHEN c.winner_id IS NOT NULL THEN format('model %s wins by the plain rule: %s; chance was not considered', c.winner_id, v_said)
        WHEN v_leading_note IS NOT NULL THEN format('no winner: %s, but a model cannot win on rows of its training', v_said)
        WHEN c.num_blocks IS NULL THEN format('no clear winner: %s, and the worker gave no interval; it is older than this database', v_said)
        WHEN c.f1_difference_lower IS NULL THEN format('no clear winner: %s, and there is no interval: %s', v_said, coalesce(c.undecided_reason, 'no reason given'))
        ELSE format('no clear winner: %s, which chance explains', v_said)
    END || coalesce('; model ' || c.model_a_id || ': ' || c.a_overlap_note, '') || coalesce('; model ' || c.model_b_id || ': ' || c.b_overlap_note, '');
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.fill_comparison()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_leader bigint;
BEGIN
    SELECT
        j.compare_model_a_id, j.compare_model_b_id, j.compare_start, j.compare_end, j.compare_confidence,
        ml_internal.overlap_note(tstzrange(j.compare_start, j.compare_end), tstzrange(a.train_start, a.train_end)),
        ml_internal.overlap_note(tstzrange(j.compare_start, j.compare_end), tstzrange(b.train_start, b.train_end))
    INTO NEW.model_a_id, NEW.model_b_id, NEW.test_start, NEW.test_end, NEW.confidence, NEW.a_overlap_note, NEW.b_overlap_note
    FROM public.ml_jobs j
    JOIN public.ml_models a ON a.id = j.compare_model_a_id
    JOIN public.ml_models b ON b.id = j.compare_model_b_id
    WHERE j.id = NEW.job_id;
    v_leader := ml_internal.leader(
        NEW.model_a_id, NEW.model_b_id, NEW.a_tp, NEW.a_tn, NEW.a_fp, NEW.a_fn, NEW.b_tp, NEW.b_tn, NEW.b_fp, NEW.b_fn
    );
    NEW.note := nullif(concat_ws(
        '; ', NEW.note,
        (
            SELECT 'model a ' || ml_internal.threshold_note(NEW.a_threshold, m.threshold) FROM public.ml_models m WHERE m.id = NEW.model_a_id
        ),
        (
            SELECT 'model b ' || ml_internal.threshold_note(NEW.b_threshold, m.threshold) FROM public.ml_models m WHERE m.id = NEW.model_b_id
        )
    ), '');
    NEW.winner_id := CASE
        WHEN CASE v_leader WHEN NEW.model_a_id THEN NEW.a_overlap_note ELSE NEW.b_overlap_note END IS NOT NULL THEN NULL
        WHEN coalesce(NEW.confidence, 0) = 0 THEN v_leader
        WHEN CASE v_leader WHEN NEW.model_a_id THEN NEW.f1_difference_lower > 0 ELSE NEW.f1_difference_upper < 0 END THEN v_leader
    END;
    NEW.verdict := ml_internal.comparison_verdict(NEW, v_leader);
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_comparisons_20_fill
BEFORE INSERT ON public.ml_comparisons
FOR EACH ROW EXECUTE FUNCTION ml_internal.fill_comparison();
CREATE OR REPLACE TRIGGER ml_comparisons_70_warn_of_period
AFTER INSERT ON public.ml_comparisons
FOR EACH ROW EXECUTE FUNCTION ml_internal.warn_of_period();
CREATE OR REPLACE FUNCTION ml_internal.show_comparison()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    SELECT c.id, concat_ws('; ', c.verdict, CASE
        WHEN c.a_beats_baseline AND c.b_beats_baseline THEN 'both beat their best baseline'
        WHEN c.a_beats_baseline THEN format('model %s alone beats its best baseline', c.model_a_id)
        WHEN c.b_beats_baseline THEN format('model %s alone beats its best baseline', c.model_b_id)
        WHEN num_nulls(c.a_beats_baseline, c.b_beats_baseline) = 0 THEN format(
            'neither provably beats its best baseline (F1 of %s: %s)',
            ml_internal.baseline_text(c.a_best_baseline), c.a_baseline_f1
        )
    END, c.note)
    INTO NEW.result_comparison_id, NEW.progress_msg
    FROM public.ml_comparisons c
    WHERE c.job_id = NEW.id;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_80_compare_show
BEFORE UPDATE OF completed_at ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'COMPARE' AND OLD.status <> 'COMPLETED' AND NEW.status = 'COMPLETED')
EXECUTE FUNCTION ml_internal.show_comparison();
CREATE OR REPLACE VIEW public.ml_fact_comparisons WITH (security_invoker = true) AS
SELECT
    c.id AS comparison_id, c.job_id, c.model_a_id, c.model_b_id, c.winner_id, c.created_at,
    c.test_start AS period_start, c.test_end AS period_end, c.num_samples, c.num_unlabelled,
    c.a_accuracy, c.a_precision, c.a_recall, c.a_f1, c.a_roc_auc,
    c.b_accuracy, c.b_precision, c.b_recall, c.b_f1, c.b_roc_auc,
    c.seconds_loading, c.seconds_scoring, c.note,
    c.num_without_base, c.num_uncovered,
    c.a_average_precision, c.a_mcc, c.a_log_loss, c.a_brier_score,
    c.b_average_precision, c.b_mcc, c.b_log_loss, c.b_brier_score,
    c.confidence, c.leader_id, c.verdict, c.a_overlap_note, c.b_overlap_note,
    c.f1_difference, c.f1_difference_lower, c.f1_difference_upper,
    c.accuracy_difference, c.accuracy_difference_lower, c.accuracy_difference_upper,
    c.roc_auc_difference, c.roc_auc_difference_lower, c.roc_auc_difference_upper,
    c.num_blocks, c.block_seconds, c.undecided_reason,
    c.a_threshold, c.a_accuracy_at_half, c.a_precision_at_half, c.a_recall_at_half, c.a_f1_at_half,
    c.b_threshold, c.b_accuracy_at_half, c.b_precision_at_half, c.b_recall_at_half, c.b_f1_at_half,
    c.a_best_baseline, c.a_baseline_f1, c.a_beats_baseline, c.b_best_baseline, c.b_baseline_f1, c.b_beats_baseline
FROM public.ml_comparisons c;
CREATE OR REPLACE FUNCTION ml_internal.page_of_comparisons(
    p_model_id bigint
)
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
ROWS 10
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT ('')::text;
    RETURN QUERY SELECT format(
        'Comparisons: %s', (SELECT count(*) FROM public.ml_comparisons c WHERE p_model_id IN (c.model_a_id, c.model_b_id))
    );
    RETURN QUERY
    SELECT l.line
    FROM (
        SELECT
            row_number() OVER (ORDER BY c.created_at DESC, c.id DESC) AS place,
            format(
                '  %s model %s, %s (%s): F1 %s to %s',
                CASE
                    WHEN c.winner_id = p_model_id THEN 'won against'
                    WHEN c.winner_id IS NOT NULL THEN 'lost to'
                    WHEN c.leader_id IS NULL THEN 'drew with'
                    WHEN c.leader_id = p_model_id THEN 'no winner, but ahead of'
                    ELSE 'no winner, but behind'
                END,
                o.id, o.name, ml_internal.period_text(c.test_start, c.test_end),
                coalesce(CASE WHEN o.id = c.model_b_id THEN c.a_f1 ELSE c.b_f1 END::text, '-'),
                coalesce(CASE WHEN o.id = c.model_b_id THEN c.b_f1 ELSE c.a_f1 END::text, '-')
            ) || coalesce(
                '; F1 of ' || CASE
                    WHEN o.id = c.model_b_id THEN ml_internal.baseline_text(c.a_best_baseline) || ': ' || c.a_baseline_f1
                    ELSE ml_internal.baseline_text(c.b_best_baseline) || ': ' || c.b_baseline_f1
                END, ''
            ) || coalesce('; ' || c.note, '') AS headline,
            '    ' || c.verdict AS verdict
        FROM public.ml_comparisons c
        JOIN public.ml_models o ON o.id IN (c.model_a_id, c.model_b_id) AND o.id <> p_model_id
        WHERE p_model_id IN (c.model_a_id, c.model_b_id)
        ORDER BY place
        LIMIT 10
    ) x
    CROSS JOIN LATERAL (VALUES (1, x.headline), (2, x.verdict)) l (place, line)
    WHERE l.line IS NOT NULL
    ORDER BY x.place, l.place;
END
$$;
CREATE OR REPLACE FUNCTION ml.compare(
    model_a_id bigint,
    model_b_id bigint,
    compare_start timestamptz DEFAULT NULL,
    compare_end timestamptz DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    max_minutes numeric DEFAULT NULL,
    compare_confidence numeric DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql -- see ml.train
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_id bigint;
BEGIN
    INSERT INTO public.ml_jobs (
        job_type, priority, max_attempts, max_minutes, compare_model_a_id, compare_model_b_id, compare_start, compare_end,
        compare_confidence
    )
    VALUES (
        'COMPARE', priority, max_attempts, max_minutes, model_a_id, model_b_id, compare_start, compare_end, compare_confidence
    )
    RETURNING id INTO v_id;
    RETURN v_id;
END
$$;
CREATE OR REPLACE FUNCTION ml.compare(
    model_a_name text,
    model_b_name text,
    compare_start timestamptz DEFAULT NULL,
    compare_end timestamptz DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    max_minutes numeric DEFAULT NULL,
    compare_confidence numeric DEFAULT NULL
)
RETURNS bigint
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml.compare(
        ml_internal.find_model(model_a_name), ml_internal.find_model(model_b_name), compare_start, compare_end, priority, max_attempts, max_minutes,
        compare_confidence
    );
$$;
CALL ml_internal.allow('ml_client', 'EXECUTE', 'ml.compare');
CALL ml_internal.allow('ml_reader', 'EXECUTE', 'ml_internal.page_of_comparisons');
CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_fact_comparisons');
SET search_path TO pg_catalog, pg_temp;
ALTER TABLE public.ml_jobs
ADD COLUMN IF NOT EXISTS max_minutes numeric
CONSTRAINT ml_jobs_max_minutes_within_a_year CHECK (max_minutes > 0 AND max_minutes <= 525600);
CREATE TABLE IF NOT EXISTS public.ml_client_limits (
    client name NOT NULL,
    max_pending integer,
    best_priority integer,
    default_minutes numeric,
    max_minutes numeric,
    CONSTRAINT ml_client_limits_pkey PRIMARY KEY (client),
    CONSTRAINT ml_client_limits_max_pending_not_negative CHECK (max_pending >= 0),
    CONSTRAINT ml_client_limits_best_priority_between_1_and_10 CHECK (best_priority BETWEEN 1 AND 10),
    CONSTRAINT ml_client_limits_default_minutes_within_a_year CHECK (default_minutes > 0 AND default_minutes <= 525600),
    CONSTRAINT ml_client_limits_max_minutes_within_a_year CHECK (max_minutes > 0 AND max_minutes <= 525600),
    CONSTRAINT ml_client_limits_default_within_max CHECK (default_minutes <= max_minutes)
);
CREATE TABLE IF NOT EXISTS ml_internal.client_inserts (
    client name NOT NULL,
    inserts bigint NOT NULL,
    CONSTRAINT client_inserts_pkey PRIMARY KEY (client)
);
CREATE OR REPLACE FUNCTION ml_internal.require_client()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.client <> 'public' AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = NEW.client) THEN
        RAISE EXCEPTION 'role % does not exist', quote_ident(NEW.client)
            USING ERRCODE = 'undefined_object', TABLE = 'ml_client_limits', COLUMN = 'client',
            HINT = 'Name the role that inserts the jobs, or public for all that have no row of their own.';
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_client_limits_10_client
BEFORE INSERT OR UPDATE ON public.ml_client_limits
FOR EACH ROW EXECUTE FUNCTION ml_internal.require_client();
CREATE OR REPLACE FUNCTION ml_internal.limits_of(
    p_client name
)
RETURNS public.ml_client_limits
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_limits public.ml_client_limits;
BEGIN
    SELECT l.* INTO v_limits
    FROM public.ml_client_limits l
    WHERE l.client IN (p_client, 'public')
    ORDER BY l.client = p_client DESC
    LIMIT 1;
    RETURN v_limits;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.fill_limits()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_limits public.ml_client_limits;
BEGIN
    v_limits := ml_internal.limits_of(NEW.created_by);
    NEW.priority := coalesce(NEW.priority, greatest(5, v_limits.best_priority));
    NEW.max_minutes := coalesce(NEW.max_minutes, v_limits.default_minutes, v_limits.max_minutes);
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_11_limits
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (num_nulls(NEW.priority, NEW.max_minutes) > 0 AND pg_relation_size('public.ml_client_limits', 'main') > 0)
EXECUTE FUNCTION ml_internal.fill_limits();
CREATE OR REPLACE FUNCTION ml_internal.refuse_max_minutes()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'max_minutes % is not above 0 and at most 525600', NEW.max_minutes
        USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'max_minutes',
        HINT = 'Give the minutes after which the job is to fail, or leave it out.';
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_21_max_minutes
BEFORE INSERT ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.max_minutes <= 0 OR NEW.max_minutes > 525600)
EXECUTE FUNCTION ml_internal.refuse_max_minutes();
CREATE OR REPLACE TRIGGER ml_jobs_10_max_minutes_is_final
BEFORE UPDATE OF max_minutes ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.max_minutes IS DISTINCT FROM OLD.max_minutes)
EXECUTE FUNCTION ml_internal.refuse_new_request('max_minutes');
CREATE OR REPLACE FUNCTION ml_internal.check_limits()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
SET enable_bitmapscan TO off
SET jit TO off
AS $$
DECLARE
    v_new record;
    v_limits public.ml_client_limits;
    v_pending bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM public.ml_client_limits) THEN
        RETURN NULL;
    END IF;
    FOR v_new IN
        SELECT n.created_by AS client, min(n.priority) AS priority, max(n.max_minutes) AS max_minutes
        FROM new_jobs n
        GROUP BY n.created_by
        ORDER BY n.created_by
    LOOP
        v_limits := ml_internal.limits_of(v_new.client);
        CALL ml_internal.require_priority(v_new.client, v_new.priority, v_limits.best_priority);
        IF v_new.max_minutes > v_limits.max_minutes THEN
            RAISE EXCEPTION 'max_minutes % is more than the % that % may give',
                trim_scale(v_new.max_minutes), trim_scale(v_limits.max_minutes), quote_ident(v_new.client)
                USING ERRCODE = 'configuration_limit_exceeded', TABLE = 'ml_jobs', COLUMN = 'max_minutes',
                HINT = 'Give less, or leave it out; the owner of the service sets the limit in ml_client_limits.';
        END IF;
        CONTINUE WHEN v_limits.max_pending IS NULL;
        INSERT INTO ml_internal.client_inserts AS i (client, inserts)
        VALUES (v_new.client, 1)
        ON CONFLICT ON CONSTRAINT client_inserts_pkey DO UPDATE SET inserts = i.inserts + 1;
        SELECT count(*) INTO v_pending
        FROM ml.job_kinds k
        CROSS JOIN generate_series(1, 10) p (priority)
        CROSS JOIN LATERAL (
            SELECT
            FROM public.ml_jobs j
            WHERE (j.status = 'PENDING') IS TRUE AND j.job_type = k.job_type AND j.priority = p.priority
                AND j.created_by = v_new.client
            OFFSET 0
        ) j;
        IF v_pending > v_limits.max_pending THEN
            RAISE EXCEPTION '% may have % jobs PENDING and would have %', quote_ident(v_new.client), v_limits.max_pending, v_pending
                USING ERRCODE = 'configuration_limit_exceeded', TABLE = 'ml_jobs',
                HINT = 'Insert it again when others have run, or cancel some of them; the owner of the service sets the limit in ml_client_limits.';
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_65_limits
AFTER INSERT ON public.ml_jobs
REFERENCING NEW TABLE AS new_jobs
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.check_limits();
CREATE OR REPLACE PROCEDURE ml_internal.require_priority(
    p_client name,
    p_priority integer,
    p_best integer
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF p_priority < p_best THEN
        RAISE EXCEPTION 'priority % is better than the best that % may use, %', p_priority, quote_ident(p_client), p_best
            USING ERRCODE = 'configuration_limit_exceeded', TABLE = 'ml_jobs', COLUMN = 'priority',
            HINT = format('Give a priority from %s to 10; the owner of the service sets the limit in ml_client_limits.', p_best);
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.limit_priority()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT (SELECT pg_has_role(current_user, c.relowner, 'USAGE') FROM pg_class c WHERE c.oid = TG_RELID) THEN
        CALL ml_internal.require_priority(current_user::name, NEW.priority, (ml_internal.limits_of(current_user::name)).best_priority);
        CALL ml_internal.require_priority(NEW.created_by, NEW.priority, (ml_internal.limits_of(NEW.created_by)).best_priority);
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_35_priority_limit
BEFORE UPDATE OF priority ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.priority < OLD.priority)
EXECUTE FUNCTION ml_internal.limit_priority();
CREATE OR REPLACE FUNCTION ml_internal.end_overtime()
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job public.ml_jobs;
    v_ended bigint := 0;
BEGIN
    FOR v_job IN
        SELECT *
        FROM public.ml_jobs j
        WHERE j.status = 'RUNNING' AND j.started_at + make_interval(secs => (60 * j.max_minutes)::double precision) <= clock_timestamp()
        ORDER BY j.id
        FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        BEGIN
            INSERT INTO public.ml_job_events (job_id, attempt, event, message)
            VALUES (v_job.id, v_job.attempt, 'FAILED', format(
                'it ran for longer than its max_minutes of %s; give it more, or a shorter period, fewer features or a smaller model',
                trim_scale(v_job.max_minutes)
            ));
            v_ended := v_ended + 1;
        EXCEPTION
            WHEN lock_not_available THEN NULL;
        END;
    END LOOP;
    IF v_ended > 0 THEN
        PERFORM ml_internal.tell('ml_jobs', ''); -- so that its worker looks, and ends its child
    END IF;
    RETURN v_ended;
END
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.number(
    value double precision
)
RETURNS double precision
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN value;
CREATE OR REPLACE FUNCTION ml_internal.number(
    value boolean
)
RETURNS double precision
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN value::integer::double precision;
CREATE OR REPLACE FUNCTION ml_internal.single(
    value double precision
)
RETURNS real
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN CASE
    WHEN value BETWEEN -3.4028234663852886e38::double precision AND 3.4028234663852886e38::double precision
        THEN CASE WHEN abs(value) > 7.006492321624086e-46::double precision THEN value::real ELSE 0::real END
    WHEN value = 'NaN'::double precision THEN NULL
    WHEN value > 0::double precision THEN 3.4028234663852886e38::real
    WHEN value < 0::double precision THEN -3.4028234663852886e38::real
END;
CREATE OR REPLACE FUNCTION ml_internal.logistic(
    value double precision
)
RETURNS double precision
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN 1::double precision / (1::double precision + exp(-greatest(least(value, 100::double precision), -100::double precision)));
CREATE OR REPLACE FUNCTION ml_internal.activate(
    activation text,
    value double precision
)
RETURNS double precision
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN CASE activation
    WHEN 'identity' THEN value
    WHEN 'relu' THEN CASE WHEN value > 0::double precision THEN value ELSE 0::double precision END
    WHEN 'tanh' THEN tanh(value)
    WHEN 'logistic' THEN ml_internal.logistic(value)
END;
SET search_path TO pg_catalog, pg_temp;
CREATE SCHEMA IF NOT EXISTS ml_generated;
CALL ml_internal.allow('ml_reader', 'USAGE', 'ml_generated');
CREATE OR REPLACE FUNCTION ml_internal.are_finite(
    p_values double precision []
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT coalesce('Infinity' > ALL (p_values) AND '-Infinity' < ALL (p_values), false);
$$;
CREATE OR REPLACE FUNCTION ml_internal.are_nodes(
    p_feature smallint [],
    p_bound real [],
    p_less integer [],
    p_more integer [],
    p_missing_less boolean []
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT coalesce(
        cardinality(p_feature) BETWEEN 1 AND 64 AND cardinality(p_feature) = ALL (ARRAY[
            cardinality(p_bound), cardinality(p_less), cardinality(p_more), cardinality(p_missing_less)
        ])
        AND -1 <= ALL (p_feature) AND '-Infinity' < ALL (p_bound) AND 'Infinity' >= ALL (p_bound)
        AND 0 <= ALL (p_less) AND 0 <= ALL (p_more) AND array_position(p_missing_less, NULL) IS NULL,
        false
    );
$$;
CREATE TABLE IF NOT EXISTS public.ml_model_inputs (
    job_id bigint NOT NULL,
    place integer NOT NULL,
    feature text NOT NULL,
    fill double precision,
    center double precision,
    scale double precision,
    CONSTRAINT ml_model_inputs_pkey PRIMARY KEY (job_id, place),
    CONSTRAINT ml_model_inputs_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_model_inputs_all_or_none CHECK (num_nulls(fill, center, scale) IN (0, 3)),
    CONSTRAINT ml_model_inputs_finite CHECK (fill IS NULL OR (ml_internal.are_finite(ARRAY[fill, center, scale]) AND scale > 0))
);
CREATE TABLE IF NOT EXISTS public.ml_model_trees (
    job_id bigint NOT NULL,
    chunk integer NOT NULL,
    tree integer NOT NULL,
    feature smallint [] NOT NULL,
    bound real [] NOT NULL,
    less integer [] NOT NULL,
    more integer [] NOT NULL,
    missing_less boolean [] NOT NULL,
    value double precision [] NOT NULL,
    CONSTRAINT ml_model_trees_pkey PRIMARY KEY (job_id, chunk, tree),
    CONSTRAINT ml_model_trees_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_model_trees_place_not_negative CHECK (least(chunk, tree) >= 0),
    CONSTRAINT ml_model_trees_nodes CHECK (
        ml_internal.are_nodes(feature, bound, less, more, missing_less) AND cardinality(value) = cardinality(feature)
    ),
    CONSTRAINT ml_model_trees_finite CHECK (ml_internal.are_finite(value))
);
CREATE TABLE IF NOT EXISTS public.ml_model_layers (
    job_id bigint NOT NULL,
    layer integer NOT NULL,
    unit integer NOT NULL,
    activation varchar(10) NOT NULL,
    bias double precision NOT NULL,
    weights double precision [] NOT NULL,
    CONSTRAINT ml_model_layers_pkey PRIMARY KEY (job_id, layer, unit),
    CONSTRAINT ml_model_layers_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_model_layers_place_not_negative CHECK (least(layer, unit) >= 0),
    CONSTRAINT ml_model_layers_activation_known CHECK (activation IN ('identity', 'logistic', 'tanh', 'relu')),
    CONSTRAINT ml_model_layers_finite CHECK (ml_internal.are_finite(weights || bias))
);
CREATE TABLE IF NOT EXISTS public.ml_model_numbers (
    job_id bigint NOT NULL,
    answer varchar(10) NOT NULL,
    base double precision NOT NULL,
    is_single boolean NOT NULL,
    num_trees integer NOT NULL,
    num_nodes bigint NOT NULL,
    num_layers integer NOT NULL,
    num_weights bigint NOT NULL,
    CONSTRAINT ml_model_numbers_pkey PRIMARY KEY (job_id),
    CONSTRAINT ml_model_numbers_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_model_numbers_answer_known CHECK (answer IN ('logistic', 'share')),
    CONSTRAINT ml_model_numbers_finite CHECK (ml_internal.are_finite(ARRAY[base])),
    CONSTRAINT ml_model_numbers_trees_or_layers CHECK (
        (num_trees > 0 AND num_nodes >= num_trees AND num_layers = 0 AND num_weights = 0)
        OR (num_layers > 0 AND num_weights > 0 AND num_trees = 0 AND num_nodes = 0 AND answer = 'logistic')
    )
);
CREATE TABLE IF NOT EXISTS public.ml_model_samples (
    job_id bigint NOT NULL,
    place integer NOT NULL,
    inputs double precision [] NOT NULL,
    probability double precision NOT NULL,
    CONSTRAINT ml_model_samples_pkey PRIMARY KEY (job_id, place),
    CONSTRAINT ml_model_samples_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_model_samples_at_most_50 CHECK (place BETWEEN 0 AND 49),
    CONSTRAINT ml_model_samples_probability_between_0_and_1 CHECK (probability BETWEEN 0 AND 1)
);
DO $$
DECLARE
    v_table name;
BEGIN
    FOREACH v_table IN ARRAY '{ml_model_numbers,ml_model_inputs,ml_model_trees,ml_model_layers,ml_model_samples}'::name [] LOOP
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER %1$s_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.%1$I
                FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact()', v_table
        );
    END LOOP;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.numbers_fault(
    p_numbers public.ml_model_numbers
)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint := p_numbers.job_id;
    v_features text [];
    v_found record;
BEGIN
    SELECT string_to_array(m.features_csv, ',') INTO v_features FROM public.ml_models m WHERE m.train_job_id = v_job_id;
    IF v_features IS DISTINCT FROM ARRAY(SELECT i.feature FROM public.ml_model_inputs i WHERE i.job_id = v_job_id ORDER BY i.place)
        OR (SELECT max(i.place) FROM public.ml_model_inputs i WHERE i.job_id = v_job_id) IS DISTINCT FROM cardinality(v_features) - 1
    THEN
        RETURN 'have other inputs than its features';
    END IF;
    IF (SELECT bool_or((i.scale IS NULL) <> (p_numbers.num_layers = 0)) FROM public.ml_model_inputs i WHERE i.job_id = v_job_id) THEN
        RETURN 'scale inputs of trees, or do not those of layers';
    END IF;
    SELECT count(*) AS trees, sum(t.nodes) AS nodes, bool_and(t.is_whole) AS are_whole
    INTO v_found
    FROM (
        SELECT
            sum(c.nodes) AS nodes,
            max(c.chunk) = count(*) - 1 AND count(*) FILTER (WHERE c.nodes = 64) >= max(c.chunk)
            AND max(c.feature) < cardinality(v_features)
            AND max(c.child) < sum(c.nodes)
            AND sum(c.parents) * 2 = sum(c.nodes) - 1
            AND sum(c.children) * 2 = sum(c.nodes) * (sum(c.nodes) - 1)
            AND bool_and(c.goes_down) AS is_whole
        FROM (
            SELECT x.tree, x.chunk, n.*
            FROM public.ml_model_trees x
            CROSS JOIN LATERAL (
                SELECT
                    count(*) AS nodes, max(u.feature) AS feature, max(greatest(u.less, u.more)) AS child,
                    count(*) FILTER (WHERE u.feature >= 0) AS parents, sum(u.less::bigint + u.more) AS children,
                    bool_and(CASE
                        WHEN u.feature < 0 THEN u.less = 0 AND u.more = 0
                        ELSE u.less <> u.more AND least(u.less, u.more) > x.chunk * 64 + u.place - 1
                    END) AS goes_down
                FROM unnest(x.feature, x.less, x.more) WITH ORDINALITY u (feature, less, more, place)
            ) n
            WHERE x.job_id = v_job_id
        ) c
        GROUP BY c.tree
    ) t;
    IF v_found.trees <> p_numbers.num_trees OR coalesce(v_found.nodes, 0) <> p_numbers.num_nodes OR NOT v_found.are_whole
        OR EXISTS (SELECT FROM public.ml_model_trees t WHERE t.job_id = v_job_id AND t.tree >= p_numbers.num_trees)
    THEN
        RETURN 'have trees that are not whole';
    END IF;
    SELECT count(*) AS layers, sum(l.weights) AS weights, bool_and(l.is_whole) AS are_whole, bool_and(l.units = 1) FILTER (WHERE l.is_last) AS ends_in_one
    INTO v_found
    FROM (
        SELECT
            x.layer, count(*) AS units, sum(cardinality(x.weights)) AS weights,
            x.layer = max(x.layer) OVER () AS is_last,
            max(x.unit) = count(*) - 1 AND min(cardinality(x.weights)) = max(cardinality(x.weights))
            AND x.layer = row_number() OVER by_layer - 1
            AND max(cardinality(x.weights)) = coalesce(lag(count(*)) OVER by_layer, cardinality(v_features)) AS is_whole
        FROM public.ml_model_layers x
        WHERE x.job_id = v_job_id
        GROUP BY x.layer
        WINDOW by_layer AS (ORDER BY x.layer)
    ) l;
    IF v_found.layers <> p_numbers.num_layers OR coalesce(v_found.weights, 0) <> p_numbers.num_weights
        OR NOT v_found.are_whole OR NOT v_found.ends_in_one
    THEN
        RETURN 'have layers that do not fit each other';
    END IF;
    IF EXISTS (SELECT FROM public.ml_model_samples s WHERE s.job_id = v_job_id AND cardinality(s.inputs) <> cardinality(v_features)) THEN
        RETURN 'have samples of other inputs';
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.check_model_numbers()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_fault text := ml_internal.numbers_fault(NEW);
BEGIN
    IF v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'the numbers of job % %', NEW.job_id, v_fault
            USING ERRCODE = 'check_violation', TABLE = 'ml_model_numbers',
            HINT = 'A worker gives the rows of ml_model_inputs and of ml_model_trees or ml_model_layers first, all of them.';
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_model_numbers_60_check
AFTER INSERT ON public.ml_model_numbers
FOR EACH ROW EXECUTE FUNCTION ml_internal.check_model_numbers();
CREATE OR REPLACE FUNCTION ml_internal.is_numeric(
    p_type oid
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN p_type = ANY (ml_internal.numeric_types()) OR ml_internal.base_type(p_type) = ANY (ml_internal.numeric_types());
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.row_types_of(
    p_job_id bigint
)
RETURNS oid []
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ARRAY(
        SELECT c.reltype
        FROM public.ml_model_inputs i
        JOIN pg_attribute a ON a.attname = i.feature AND a.attnum > 0
        JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
        WHERE i.job_id = p_job_id AND ml_internal.is_numeric(a.atttypid)
        GROUP BY c.reltype
        HAVING count(*) = (SELECT count(*) FROM public.ml_model_inputs x WHERE x.job_id = p_job_id)
        ORDER BY c.reltype = (SELECT m.reltype FROM pg_class m WHERE m.oid = 'public.coin_metrics'::regclass) DESC, c.reltype
        LIMIT 100
    );
$$;
CREATE OR REPLACE FUNCTION ml_internal.is_small(
    p_numbers public.ml_model_numbers
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT p_numbers.num_nodes <= 20000 AND p_numbers.num_weights <= 12000;
$$;
CREATE OR REPLACE FUNCTION ml_internal.code_of_trees(
    p_numbers public.ml_model_numbers
)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
SET extra_float_digits TO 1
AS $$
DECLARE
    v_type text := CASE WHEN p_numbers.is_single THEN 'real' ELSE 'double precision' END;
    v_node record;
    v_code text [];
    v_depth integer [];
    v_trees text [] := '{}';
    v_body text [] := ARRAY[format('s %s := %s;', v_type, quote_literal(p_numbers.base)), 'BEGIN'];
BEGIN
    FOR v_node IN
        SELECT
            t.tree, t.chunk * 64 + n.place::integer AS number, n.feature, n.bound, n.less + 1 AS less, n.more + 1 AS more,
            n.missing_less, n.value
        FROM public.ml_model_trees t
        CROSS JOIN LATERAL unnest(t.feature, t.bound, t.less, t.more, t.missing_less, t.value)
            WITH ORDINALITY n (feature, bound, less, more, missing_less, value, place)
        WHERE t.job_id = p_numbers.job_id
        ORDER BY t.tree, number DESC
    LOOP
        IF v_code IS NULL THEN
            v_code := array_fill(NULL::text, ARRAY[v_node.number]);
            v_depth := array_fill(0, ARRAY[v_node.number]);
        END IF;
        IF v_node.feature < 0 THEN
            v_code[v_node.number] := quote_literal(v_node.value) || '::' || v_type;
        ELSIF v_node.missing_less THEN
            v_code[v_node.number] := format(
                'CASE WHEN f%s >= %L::real THEN %s ELSE %s END', v_node.feature, v_node.bound, v_code[v_node.more], v_code[v_node.less]
            );
        ELSE
            v_code[v_node.number] := format(
                'CASE WHEN f%s < %L::real THEN %s ELSE %s END', v_node.feature, v_node.bound, v_code[v_node.less], v_code[v_node.more]
            );
        END IF;
        IF v_node.feature >= 0 THEN
            v_depth[v_node.number] := 1 + greatest(v_depth[v_node.less], v_depth[v_node.more]);
            IF v_depth[v_node.number] > 100 OR length(v_code[v_node.number]) > 10000000 THEN
                RETURN NULL;
            END IF;
        END IF;
        IF v_node.number = 1 THEN
            v_trees := v_trees || v_code[1];
            v_code := NULL;
            IF cardinality(v_trees) = 10 THEN
                v_body := v_body || ('s := s + ' || array_to_string(v_trees, E'\n+ ') || ';');
                v_trees := '{}';
            END IF;
        END IF;
    END LOOP;
    IF v_trees <> '{}' THEN
        v_body := v_body || ('s := s + ' || array_to_string(v_trees, E'\n+ ') || ';');
    END IF;
    RETURN array_to_string(v_body, E'\n');
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.code_of_layers(
    p_numbers public.ml_model_numbers
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
SET extra_float_digits TO 1
AS $$
    WITH statements AS (
        SELECT
            l.layer, l.unit, w.part, string_agg(w.product, ' + ' ORDER BY w.place) AS products,
            format('z%s_%s', l.layer + 1, l.unit) AS variable, l.bias, l.activation
        FROM public.ml_model_layers l
        CROSS JOIN LATERAL (
            SELECT x.place, (x.place - 1) / 50 AS part, format('%L::double precision * z%s_%s', x.weight, l.layer, x.place - 1) AS product
            FROM unnest(l.weights) WITH ORDINALITY x (weight, place)
        ) w
        WHERE l.job_id = p_numbers.job_id
        GROUP BY l.job_id, l.layer, l.unit, w.part
    )
    SELECT concat_ws(
        E'\n',
        (
            SELECT string_agg(
                format(
                    E'a%1$s double precision := coalesce(f%1$s::double precision, %2$L) - %3$L;\nb%1$s double precision := ml_internal.single(a%1$s)::double precision / %4$L;\nz0_%1$s double precision := ml_internal.single(b%1$s)::double precision;',
                    i.place, i.fill, i.center, i.scale
                ), E'\n' ORDER BY i.place
            )
            FROM public.ml_model_inputs i
            WHERE i.job_id = p_numbers.job_id
        ),
        (SELECT string_agg(s.variable || ' double precision;', E'\n' ORDER BY s.layer, s.unit) FROM statements s WHERE s.part = 0),
        's double precision;',
        'BEGIN',
        (
            SELECT string_agg(
                format('%s := %s + %s;', s.variable, CASE s.part WHEN 0 THEN quote_literal(s.bias) || '::double precision' ELSE s.variable END, s.products)
                || CASE WHEN s.is_last AND s.activation <> 'identity' THEN format(E'\n%s := ml_internal.activate(%L, %1$s);', s.variable, s.activation) ELSE '' END,
                E'\n' ORDER BY s.layer, s.unit, s.part
            )
            FROM (SELECT x.*, x.part = max(x.part) OVER (PARTITION BY x.layer, x.unit) AS is_last FROM statements x) s
        ),
        format('s := z%s_0;', p_numbers.num_layers)
    );
$$;
CREATE OR REPLACE PROCEDURE ml_internal.make_model_function(
    p_job_id bigint,
    p_is_separated boolean DEFAULT NULL -- as it is
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_numbers public.ml_model_numbers;
    v_code text;
BEGIN
    SELECT * INTO v_numbers FROM public.ml_model_numbers n WHERE n.job_id = p_job_id;
    IF ml_internal.is_small(v_numbers)
        AND NOT coalesce(p_is_separated, (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = 'public.ml_job_events'::regclass)) THEN
        v_code := CASE WHEN v_numbers.num_trees > 0 THEN ml_internal.code_of_trees(v_numbers) ELSE ml_internal.code_of_layers(v_numbers) END;
    END IF;
    IF v_code IS NULL THEN
        v_code := format(E'BEGIN\nRETURN ml_internal.answer_row(%s, inputs);\nEND', p_job_id);
    ELSE
        v_code := format(
            E'DECLARE\nv double precision [] := CASE WHEN pg_typeof(inputs) = ''record''::regtype THEN ml_internal.inputs_of_record(%1$s, inputs) END;\nis_fit boolean := v IS NOT NULL OR pg_typeof(inputs) = ANY (%2$L::oid []) OR ml_internal.require_features(%1$s, inputs);\n%3$s\n%4$s\nRETURN %5$s;\nEND',
            p_job_id,
            ml_internal.row_types_of(p_job_id),
            (
                SELECT string_agg(
                    format(
                        E'd%s double precision := CASE WHEN v IS NULL THEN ml_internal.number(inputs.%I) ELSE v[%s] END;\nf%1$s real := ml_internal.single(d%1$s);',
                        i.place, i.feature, i.place + 1
                    ), E'\n' ORDER BY i.place
                )
                FROM public.ml_model_inputs i
                WHERE i.job_id = p_job_id
            ),
            v_code,
            CASE v_numbers.answer WHEN 'share' THEN 'greatest(least(s, 1), 0)' ELSE 'ml_internal.logistic(s)' END
        );
    END IF;
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION ml_generated.model_of_job_%s(inputs anyelement) RETURNS double precision
            LANGUAGE plpgsql STABLE PARALLEL SAFE AS %L;
        REVOKE ALL ON FUNCTION ml_generated.model_of_job_%1$s(anyelement) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION ml_generated.model_of_job_%1$s(anyelement) TO ml_reader;
        COMMENT ON FUNCTION ml_generated.model_of_job_%1$s(anyelement) IS %L',
        p_job_id, v_code, 'Probability that the model of this job gives a row; ml.predict asks it.'
    );
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.keep_model_function()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        EXECUTE format('DROP FUNCTION IF EXISTS ml_generated.model_of_job_%s(anyelement)', OLD.job_id);
        RETURN NULL;
    END IF;
    CALL ml_internal.make_model_function(NEW.job_id);
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_model_numbers_70_function
AFTER INSERT OR DELETE ON public.ml_model_numbers
FOR EACH ROW EXECUTE FUNCTION ml_internal.keep_model_function();
DO $$
DECLARE
    v_job_id bigint;
BEGIN
    FOR v_job_id IN
        SELECT n.job_id
        FROM public.ml_model_numbers n
        JOIN pg_catalog.pg_class c ON c.oid = 'public.coin_metrics'::regclass
        WHERE NOT EXISTS (
            SELECT
            FROM pg_catalog.pg_proc p
            WHERE p.pronamespace = 'ml_generated'::regnamespace AND p.proname = 'model_of_job_' || n.job_id
                AND (strpos(p.prosrc, format('(''{%s', c.reltype)) > 0 OR strpos(p.prosrc, 'ml_internal.answer_row') > 0)
        )
    LOOP
        CALL ml_internal.make_model_function(v_job_id);
    END LOOP;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.record_numbers(
    p_model_id bigint,
    p_facts jsonb
)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint;
BEGIN
    SELECT r.job_id INTO v_job_id FROM public.ml_training_runs r WHERE r.model_id = p_model_id;
    PERFORM FROM public.ml_jobs j WHERE j.id = v_job_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'model % has no training run that its numbers could belong to', p_model_id
            USING ERRCODE = 'no_data_found', TABLE = 'ml_training_runs', HINT = 'Record the numbers of a READY model.';
    ELSIF EXISTS (SELECT FROM public.ml_model_numbers n WHERE n.job_id = v_job_id) THEN
        RETURN false;
    END IF;
    PERFORM ml_internal.record_facts(v_job_id, p_facts, '{ml_model_inputs,ml_model_trees,ml_model_layers,ml_model_samples,ml_model_numbers}');
    RETURN true;
END
$$;
CALL ml_internal.allow('ml_reader', 'EXECUTE', '
    ml_internal.is_numeric, ml_internal.number, ml_internal.single, ml_internal.logistic, ml_internal.activate, ml_internal.is_small
');
CALL ml_internal.allow('ml_worker', 'EXECUTE', 'ml_internal.record_numbers');
SET search_path TO pg_catalog, pg_temp;
CREATE TABLE IF NOT EXISTS public.ml_settings (
    is_the_only_row boolean NOT NULL DEFAULT true,
    max_stored_model_bytes bigint NOT NULL DEFAULT 104857600,
    CONSTRAINT ml_settings_pkey PRIMARY KEY (is_the_only_row),
    CONSTRAINT ml_settings_has_one_row CHECK (is_the_only_row),
    CONSTRAINT ml_settings_max_stored_model_bytes_fit_a_value CHECK (max_stored_model_bytes BETWEEN 0 AND 1000000000)
);
INSERT INTO public.ml_settings DEFAULT VALUES ON CONFLICT DO NOTHING;
CREATE OR REPLACE FUNCTION ml_internal.keep_only_row()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% needs its row: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation', TABLE = TG_TABLE_NAME,
        HINT = 'UPDATE the setting instead.';
END
$$;
CREATE OR REPLACE TRIGGER ml_settings_10_stay
BEFORE DELETE OR TRUNCATE ON public.ml_settings
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.keep_only_row();
CREATE TABLE IF NOT EXISTS public.ml_model_files (
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    content bytea NOT NULL,
    num_bytes bigint GENERATED ALWAYS AS (octet_length(content)) STORED,
    sha256 char(64) GENERATED ALWAYS AS (encode(sha256(content), 'hex')) STORED,
    CONSTRAINT ml_model_files_pkey PRIMARY KEY (job_id),
    CONSTRAINT ml_model_files_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id)
);
ALTER TABLE public.ml_model_files ALTER COLUMN content SET STORAGE EXTERNAL;
CREATE OR REPLACE TRIGGER ml_model_files_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_model_files
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();
CREATE OR REPLACE FUNCTION ml_internal.check_model_file()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_run public.ml_training_runs;
    v_most bigint := (SELECT s.max_stored_model_bytes FROM public.ml_settings s);
BEGIN
    IF NEW.num_bytes > v_most THEN
        RAISE EXCEPTION 'a model file of % bytes is larger than the % that are kept in the database', NEW.num_bytes, v_most
            USING ERRCODE = 'configuration_limit_exceeded', TABLE = 'ml_model_files',
            HINT = 'The owner of the service sets the limit: UPDATE ml_settings SET max_stored_model_bytes = ...;';
    END IF;
    SELECT r.* INTO v_run FROM public.ml_training_runs r WHERE r.job_id = NEW.job_id;
    IF NOT FOUND THEN
        CALL ml_internal.require_attempt(NEW.job_id, NEW.attempt);
    ELSIF (v_run.attempt, v_run.artifact_sha256) IS DISTINCT FROM (NEW.attempt, NEW.sha256) THEN
        RAISE EXCEPTION 'this is not the file of model %', v_run.model_id
            USING ERRCODE = 'ML002', TABLE = 'ml_model_files',
            HINT = 'Its SHA-256 is not the one that the training run recorded.';
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_model_files_10_check
AFTER INSERT ON public.ml_model_files
FOR EACH ROW EXECUTE FUNCTION ml_internal.check_model_file();
CREATE OR REPLACE FUNCTION ml_internal.drop_model_file()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('ml.pruning', 'on', true);
    DELETE FROM public.ml_model_files f WHERE f.job_id = NEW.job_id;
    PERFORM set_config('ml.pruning', 'off', true);
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_job_events_91_drop_model_file
AFTER INSERT ON public.ml_job_events
FOR EACH ROW
WHEN (NEW.event IN ('FAILED', 'CANCELLED', 'RELEASED', 'EXPIRED'))
EXECUTE FUNCTION ml_internal.drop_model_file();
CREATE OR REPLACE FUNCTION ml_internal.check_file_of_run()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_sha256 text := (SELECT f.sha256 FROM public.ml_model_files f WHERE f.job_id = NEW.job_id);
    v_most bigint := (SELECT s.max_stored_model_bytes FROM public.ml_settings s);
BEGIN
    IF v_sha256 IS NULL AND NEW.artifact_bytes > v_most THEN
        NEW.warnings := concat_ws('; ', NEW.warnings, format(
            'the model file has %s bytes, more than the %s that the database keeps: it is in the folder of the worker alone',
            NEW.artifact_bytes, v_most
        ));
    ELSIF v_sha256 <> NEW.artifact_sha256 THEN
        RAISE EXCEPTION 'the file of job % in the database is not the one of this result', NEW.job_id
            USING ERRCODE = 'ML002', TABLE = 'ml_training_runs', COLUMN = 'artifact_sha256',
            HINT = 'An attempt stores its own file, and then records its own result.';
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_training_runs_30_file
BEFORE INSERT ON public.ml_training_runs
FOR EACH ROW EXECUTE FUNCTION ml_internal.check_file_of_run();
CREATE OR REPLACE FUNCTION ml_internal.store_model_file(
    p_job_id bigint,
    p_attempt integer,
    p_content bytea
)
RETURNS void
LANGUAGE sql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
    INSERT INTO public.ml_model_files (job_id, attempt, content)
    VALUES (p_job_id, p_attempt, p_content)
    ON CONFLICT DO NOTHING;
$$;
CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_model_files, public.ml_settings');
CALL ml_internal.allow('ml_worker', 'EXECUTE', 'ml_internal.store_model_file');
SET search_path TO pg_catalog, pg_temp;
CREATE TABLE IF NOT EXISTS public.ml_scorings (
    id bigint GENERATED ALWAYS AS IDENTITY,
    created_at timestamptz NOT NULL DEFAULT now(),
    model_id bigint NOT NULL,
    score_start timestamptz NOT NULL,
    score_end timestamptz NOT NULL,
    num_samples bigint NOT NULL,
    num_positive bigint NOT NULL,
    share_positive numeric(5, 4) GENERATED ALWAYS AS (num_positive::numeric / nullif(num_samples, 0)) STORED,
    data_fingerprint char(64) NOT NULL,
    seconds_loading numeric(12, 3) NOT NULL,
    seconds_scoring numeric(12, 3) NOT NULL,
    note text,
    job_id bigint NOT NULL,
    attempt integer NOT NULL,
    threshold double precision NOT NULL DEFAULT 0.5,
    CONSTRAINT ml_scorings_pkey PRIMARY KEY (id),
    CONSTRAINT ml_scorings_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_scorings_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_scorings_one_a_job UNIQUE (job_id),
    CONSTRAINT ml_scorings_threshold_between_0_and_1 CHECK (threshold BETWEEN 0 AND 1),
    CONSTRAINT ml_scorings_start_before_end CHECK (score_start < score_end),
    CONSTRAINT ml_scorings_positive_among_samples CHECK (num_positive BETWEEN 0 AND num_samples)
);
CREATE INDEX IF NOT EXISTS ml_scorings_model ON public.ml_scorings (model_id, id);
CREATE INDEX IF NOT EXISTS ml_scorings_created ON public.ml_scorings (created_at DESC);
CREATE TABLE IF NOT EXISTS public.ml_prediction_blocks (
    job_id bigint NOT NULL,
    model_id bigint NOT NULL,
    key text NOT NULL,
    moments timestamptz [] NOT NULL,
    probabilities double precision [] NOT NULL,
    last_moment timestamptz GENERATED ALWAYS AS (moments[cardinality(moments)]) STORED,
    CONSTRAINT ml_prediction_blocks_probabilities_between_0_and_1 CHECK (0 <= ALL (probabilities) AND 1 >= ALL (probabilities)),
    CONSTRAINT ml_prediction_blocks_nothing_unknown CHECK (
        array_position(moments, NULL) IS NULL AND array_position(probabilities, NULL) IS NULL
    ),
    CONSTRAINT ml_prediction_blocks_an_answer_each_moment CHECK (
        cardinality(moments) = cardinality(probabilities) AND cardinality(moments) > 0
    )
);
CREATE INDEX IF NOT EXISTS ml_predictions_key ON public.ml_prediction_blocks (key, model_id, last_moment, job_id);
CREATE INDEX IF NOT EXISTS ml_predictions_job ON public.ml_prediction_blocks (job_id);
ALTER TABLE public.ml_prediction_blocks ALTER COLUMN probabilities SET STORAGE EXTERNAL;
CREATE OR REPLACE VIEW public.ml_predictions WITH (security_invoker = true) AS
SELECT b.job_id, b.model_id, b.key, a.moment, a.probability
FROM public.ml_prediction_blocks b
CROSS JOIN LATERAL unnest(b.moments, b.probabilities) a (moment, probability);
CREATE TABLE IF NOT EXISTS public.ml_prediction_bins (
    job_id bigint NOT NULL,
    model_id bigint NOT NULL,
    day date NOT NULL,
    bin smallint NOT NULL,
    num_answers bigint NOT NULL,
    num_positive bigint,
    CONSTRAINT ml_prediction_bins_positive_among_answers CHECK (num_positive BETWEEN 0 AND num_answers),
    CONSTRAINT ml_prediction_bins_pkey PRIMARY KEY (job_id, day, bin),
    CONSTRAINT ml_prediction_bins_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.ml_jobs (id),
    CONSTRAINT ml_prediction_bins_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.ml_models (id),
    CONSTRAINT ml_prediction_bins_bin_between_1_and_10 CHECK (bin BETWEEN 1 AND 10),
    CONSTRAINT ml_prediction_bins_not_empty CHECK (num_answers > 0)
);
CREATE INDEX IF NOT EXISTS ml_prediction_bins_model ON public.ml_prediction_bins (model_id, day);
ALTER TABLE public.ml_jobs
ADD COLUMN IF NOT EXISTS score_model_id bigint
CONSTRAINT ml_jobs_score_model_id_fkey REFERENCES public.ml_models (id),
ADD COLUMN IF NOT EXISTS score_start timestamptz,
ADD COLUMN IF NOT EXISTS score_end timestamptz,
ADD COLUMN IF NOT EXISTS result_scoring_id bigint
CONSTRAINT ml_jobs_result_scoring_id_fkey REFERENCES public.ml_scorings (id);
CREATE INDEX IF NOT EXISTS ml_jobs_result_scoring ON public.ml_jobs (result_scoring_id) WHERE result_scoring_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_score_model ON public.ml_jobs (score_model_id) WHERE score_model_id IS NOT NULL;
CALL ml_internal.define_kind(
    'SCORE',
    needs => '{score_model_id,score_start,score_end}',
    uses_models => '{score_model_id}',
    result_table => 'ml_scorings',
    result_column => 'result_scoring_id',
    result_filled => '{model_id,score_start,score_end,num_samples,num_positive,threshold}',
    result_facts => '{ml_prediction_blocks,ml_warnings,ml_feature_shifts}',
    page => 'page_of_scorings',
    stays_with_model => false,
    reads_labels => false
);
CREATE OR REPLACE TRIGGER ml_prediction_bins_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_prediction_bins
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();
CREATE OR REPLACE TRIGGER ml_prediction_blocks_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ml_prediction_blocks
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_change_of_fact();
CREATE OR REPLACE TRIGGER ml_predictions_append_only
INSTEAD OF UPDATE OR DELETE ON public.ml_predictions
FOR EACH ROW EXECUTE FUNCTION ml_internal.refuse_change_of_fact();
CREATE UNLOGGED TABLE IF NOT EXISTS ml_internal.prediction_parts (
    job_id bigint NOT NULL,
    num_samples bigint NOT NULL,
    num_positive bigint NOT NULL,
    days date [] NOT NULL,
    bins smallint [] NOT NULL,
    counts bigint [] NOT NULL,
    positives bigint []
);
CREATE OR REPLACE FUNCTION ml_internal.refuse_predictions_by_hand()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('ml.storing', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'ml_predictions takes answers from workers alone'
        USING ERRCODE = 'ML002', TABLE = 'ml_predictions',
        HINT = 'Insert a SCORE job to have some; a worker calls ml_internal.store_predictions.';
END
$$;
CREATE OR REPLACE TRIGGER ml_prediction_blocks_10_by_workers
BEFORE INSERT ON public.ml_prediction_blocks
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.refuse_predictions_by_hand();
CREATE OR REPLACE TRIGGER ml_predictions_10_by_workers
INSTEAD OF INSERT ON public.ml_predictions
FOR EACH ROW EXECUTE FUNCTION ml_internal.refuse_predictions_by_hand();
CREATE OR REPLACE FUNCTION ml_internal.refuse_predictions_alone()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM ml_internal.prediction_parts p WHERE p.job_id = NEW.job_id) THEN
        RAISE EXCEPTION 'the answers of job % have no result', NEW.job_id
            USING ERRCODE = 'ML006', TABLE = 'ml_predictions',
            HINT = 'Record the result in the transaction that stores the answers, after them.';
    END IF;
    RETURN NULL;
END
$$;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = 'ml_internal.prediction_parts'::regclass AND t.tgname = 'prediction_parts_90_have_result') THEN
        CREATE CONSTRAINT TRIGGER prediction_parts_90_have_result
        AFTER INSERT ON ml_internal.prediction_parts
        DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION ml_internal.refuse_predictions_alone();
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.store_predictions(
    p_job_id bigint,
    p_attempt integer,
    p_names text [],
    p_coins integer [],
    p_moments timestamptz [],
    p_probabilities double precision []
)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
SET enable_nestloop TO off -- nobody tells the planner how long the arrays are
SET enable_mergejoin TO off
SET jit TO off
AS $$
DECLARE
    v_model_id bigint;
    v_threshold double precision;
    v_stored bigint;
BEGIN
    SELECT j.score_model_id, m.threshold INTO v_model_id, v_threshold
    FROM public.ml_jobs j
    JOIN public.ml_models m ON m.id = j.score_model_id
    WHERE j.id = p_job_id AND j.status = 'RUNNING' AND j.attempt = p_attempt;
    IF v_model_id IS NULL THEN
        CALL ml_internal.require_attempt(p_job_id, p_attempt);
        RAISE EXCEPTION 'job % is no SCORE job', p_job_id
            USING ERRCODE = 'ML002', TABLE = 'ml_predictions', HINT = 'Only a SCORE job has answers to store.';
    END IF;
    CALL ml_internal.require_claimer(p_job_id, p_attempt);
    PERFORM set_config('ml.storing', 'on', true);
    WITH blocks AS (
        INSERT INTO public.ml_prediction_blocks (job_id, model_id, key, moments, probabilities)
        SELECT p_job_id, v_model_id, n.name, b.moments, b.probabilities
        FROM (
            SELECT a.coin, array_agg(a.moment) AS moments, array_agg(a.probability) AS probabilities
            FROM (
                SELECT x.coin, x.moment, x.probability
                FROM unnest(p_coins, p_moments, p_probabilities) x (coin, moment, probability)
                ORDER BY x.coin, x.moment
            ) a
            GROUP BY a.coin
        ) b
        JOIN unnest(p_names) WITH ORDINALITY n (name, number) ON n.number = b.coin
        ORDER BY b.coin
        RETURNING cardinality(moments) AS num_answers
    )
    SELECT coalesce(sum(b.num_answers), 0) INTO v_stored FROM blocks b;
    PERFORM set_config('ml.storing', 'off', true);
    IF v_stored <> cardinality(p_coins) THEN
        RAISE EXCEPTION 'only % of % answers have the name of a coin', v_stored, cardinality(p_coins)
            USING ERRCODE = 'invalid_parameter_value', TABLE = 'ml_predictions', HINT = 'Number the names from 1.';
    END IF;
    INSERT INTO ml_internal.prediction_parts (job_id, num_samples, num_positive, days, bins, counts, positives)
    SELECT
        p_job_id, v_stored, coalesce(sum(b.num_positive), 0),
        array_agg(b.day), array_agg(b.bin), array_agg(b.num_answers), array_agg(b.num_positive)
    FROM (
        SELECT
            (a.moment AT TIME ZONE 'UTC')::date AS day, greatest(ceil(a.probability * 10), 1)::smallint AS bin,
            count(*) AS num_answers, count(*) FILTER (WHERE a.probability > v_threshold) AS num_positive
        FROM unnest(p_moments, p_probabilities) a (moment, probability)
        GROUP BY 1, 2
    ) b
    HAVING v_stored > 0;
    RETURN v_stored;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.fill_scoring()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    SELECT
        j.score_model_id, j.score_start, j.score_end,
        concat_ws('; ', ml_internal.overlap_note(tstzrange(j.score_start, j.score_end), tstzrange(m.train_start, m.train_end)), NEW.note),
        m.threshold
    INTO NEW.model_id, NEW.score_start, NEW.score_end, NEW.note, NEW.threshold
    FROM public.ml_jobs j
    JOIN public.ml_models m ON m.id = j.score_model_id
    WHERE j.id = NEW.job_id;
    NEW.note := nullif(NEW.note, '');
    WITH counted AS (
        DELETE FROM ml_internal.prediction_parts p WHERE p.job_id = NEW.job_id RETURNING p.*
    ),
    binned AS (
        INSERT INTO public.ml_prediction_bins (job_id, model_id, day, bin, num_answers, num_positive)
        SELECT NEW.job_id, NEW.model_id, b.day, b.bin, sum(b.num_answers), sum(b.num_positive)
        FROM counted c
        CROSS JOIN LATERAL unnest(c.days, c.bins, c.counts, c.positives) b (day, bin, num_answers, num_positive)
        GROUP BY b.day, b.bin
    )
    SELECT sum(c.num_samples), sum(c.num_positive) INTO NEW.num_samples, NEW.num_positive FROM counted c;
    IF NEW.num_samples IS NULL THEN
        RAISE EXCEPTION 'attempt % of job % has stored no answers', NEW.attempt, NEW.job_id
            USING ERRCODE = 'ML002', TABLE = 'ml_scorings',
            HINT = 'Store them (ml_internal.store_predictions) in the transaction that records the result, before it.';
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_scorings_20_fill
BEFORE INSERT ON public.ml_scorings
FOR EACH ROW EXECUTE FUNCTION ml_internal.fill_scoring();
CREATE OR REPLACE FUNCTION ml_internal.scoring_text(
    p_num_samples bigint,
    p_num_positive bigint
)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format(
        '%s row%s, %s %% positive',
        to_char(p_num_samples, 'FM999,999,999,999,999'),
        CASE WHEN p_num_samples <> 1 THEN 's' END,
        CASE
            WHEN p_num_positive = 0 THEN '0'
            WHEN p_num_positive = p_num_samples THEN '100'
            ELSE to_char(least(greatest(100.0 * p_num_positive / p_num_samples, 0.1), 99.9), 'FM990.0')
        END
    );
$$;
CREATE OR REPLACE FUNCTION ml_internal.show_scoring()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    SELECT s.id, format(
        'scoring %s of model %s: %s', s.id, s.model_id, ml_internal.scoring_text(s.num_samples, s.num_positive)
    ) || coalesce('; ' || s.note, '')
    INTO NEW.result_scoring_id, NEW.progress_msg
    FROM public.ml_scorings s
    WHERE s.job_id = NEW.id;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_80_score_show
BEFORE UPDATE OF status ON public.ml_jobs
FOR EACH ROW
WHEN (NEW.job_type = 'SCORE' AND OLD.status <> 'COMPLETED' AND NEW.status = 'COMPLETED')
EXECUTE FUNCTION ml_internal.show_scoring();
CREATE OR REPLACE VIEW public.ml_fact_scorings WITH (security_invoker = true) AS
SELECT
    s.id AS scoring_id, s.job_id, s.model_id, s.created_at, s.score_start AS period_start, s.score_end AS period_end,
    s.num_samples, s.num_positive, s.share_positive, s.seconds_loading, s.seconds_scoring, s.note, s.threshold
FROM public.ml_scorings s;
CREATE OR REPLACE VIEW public.ml_fact_predictions WITH (security_invoker = true) AS
SELECT
    b.model_id, b.day, b.bin, (b.bin - 1) / 10.0 AS bin_start, b.bin / 10.0 AS bin_end,
    sum(b.num_answers)::bigint AS num_answers
FROM public.ml_prediction_bins b
GROUP BY b.model_id, b.day, b.bin;
CREATE OR REPLACE FUNCTION ml_internal.page_of_scorings(
    p_model_id bigint
)
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
ROWS 10
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_number bigint := (SELECT count(*) FROM public.ml_scorings s WHERE s.model_id = p_model_id);
BEGIN
    IF v_number = 0 THEN
        RETURN;
    END IF;
    RETURN QUERY VALUES (''), (format('Scorings: %s', v_number));
    RETURN QUERY
    SELECT format(
        '  scoring %s, %s: %s', s.id, ml_internal.period_text(s.score_start, s.score_end),
        ml_internal.scoring_text(s.num_samples, s.num_positive)
    ) || coalesce('; ' || s.note, '')
    FROM public.ml_scorings s
    WHERE s.model_id = p_model_id
    ORDER BY s.id DESC
    LIMIT 10;
END
$$;
CREATE OR REPLACE FUNCTION ml.score(
    model_id bigint,
    score_start timestamptz DEFAULT NULL,
    score_end timestamptz DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    max_minutes numeric DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql -- see ml.train
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_id bigint;
BEGIN
    INSERT INTO public.ml_jobs (job_type, priority, max_attempts, max_minutes, score_model_id, score_start, score_end)
    VALUES ('SCORE', priority, max_attempts, max_minutes, model_id, score_start, score_end)
    RETURNING id INTO v_id;
    RETURN v_id;
END
$$;
CREATE OR REPLACE FUNCTION ml.score(
    model_name text,
    score_start timestamptz DEFAULT NULL,
    score_end timestamptz DEFAULT NULL,
    priority integer DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    max_minutes numeric DEFAULT NULL
)
RETURNS bigint
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml.score(ml_internal.find_model(model_name), score_start, score_end, priority, max_attempts, max_minutes);
$$;
CREATE OR REPLACE FUNCTION ml.newest_answers(
    model_id bigint
)
RETURNS SETOF public.ml_predictions
LANGUAGE plpgsql
STABLE
ROWS 500
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off -- a plan made while the table is small would go on reading all of it
SET enable_bitmapscan TO off
SET enable_sort TO off
SET jit TO off
AS $$
BEGIN
    RETURN QUERY
    WITH RECURSIVE coins AS (
        (SELECT b.key FROM public.ml_prediction_blocks b ORDER BY b.key LIMIT 1)
        UNION ALL
        SELECT (SELECT b.key FROM public.ml_prediction_blocks b WHERE b.key > c.key ORDER BY b.key LIMIT 1)
        FROM coins c
        WHERE c.key IS NOT NULL
    )
    SELECT n.job_id, n.model_id, n.key, n.last_moment, n.probabilities[cardinality(n.probabilities)]
    FROM coins c
    CROSS JOIN LATERAL (
        SELECT b.*
        FROM public.ml_prediction_blocks b
        WHERE b.key = c.key AND b.model_id = newest_answers.model_id
        ORDER BY b.last_moment DESC, b.job_id DESC
        LIMIT 1
    ) n
    WHERE c.key IS NOT NULL;
END
$$;
CREATE OR REPLACE FUNCTION ml.newest_answers(
    model_name text
)
RETURNS SETOF public.ml_predictions
LANGUAGE sql
STABLE
ROWS 500
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT * FROM ml.newest_answers(ml_internal.find_model(model_name));
$$;
CALL ml_internal.allow('ml_client', 'EXECUTE', 'ml.score');
CALL ml_internal.allow('ml_reader', 'EXECUTE', 'ml.newest_answers, ml_internal.page_of_scorings, ml_internal.scoring_text');
CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_predictions, public.ml_prediction_bins, public.ml_fact_scorings, public.ml_fact_predictions');
CALL ml_internal.allow('ml_worker', 'EXECUTE', 'ml_internal.store_predictions');
SET search_path TO pg_catalog, pg_temp;
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conname = 'ml_jobs_job_type_known' AND NOT c.convalidated) THEN
        ALTER TABLE public.ml_jobs VALIDATE CONSTRAINT ml_jobs_job_type_known;
    END IF;
END
$$;
CALL ml_internal.allow('ml_reader', 'SELECT', 'ml.job_kinds, ml.jobs, ml.job_models');
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE VIEW public.ml_workers WITH (security_invoker = true) AS
SELECT
    s.worker_id,
    split_part(s.worker_id, ':', 1) AS host,
    CASE WHEN s.reason IS NOT NULL THEN 'PAUSED' WHEN r.running = 0 THEN 'IDLE' ELSE 'BUSY' END AS state,
    s.concurrency,
    r.running,
    r.job_ids,
    s.started_at,
    s.created_at AS last_sign_at,
    s.alive_until,
    s.created_by AS login,
    s.reason,
    coalesce(array_to_string(s.kinds, ', '), 'COMPARE, TEST, TRAIN') AS kinds
FROM public.ml_worker_signs s
CROSS JOIN LATERAL (
    SELECT count(*) AS running, string_agg(j.id::text, ',' ORDER BY j.id) AS job_ids
    FROM public.ml_jobs j
    WHERE j.status = 'RUNNING' AND j.worker_id = s.worker_id
) r
WHERE s.alive_until > statement_timestamp()
    AND NOT EXISTS (SELECT FROM public.ml_worker_signs n WHERE n.worker_id = s.worker_id AND n.id > s.id)
ORDER BY s.started_at, s.worker_id;
CREATE OR REPLACE FUNCTION ml_internal.has_worker()
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM public.ml_workers);
$$;
CREATE OR REPLACE FUNCTION ml_internal.pause_text(
    p_job_type text
)
RETURNS text
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN count(*) = 0 THEN format('no worker that is running does %s jobs; start one of this version: ml-worker run', p_job_type)
        WHEN bool_and(w.state = 'PAUSED') THEN format('worker %s has paused: %s', min(w.worker_id), min(w.reason))
    END
    FROM public.ml_workers w
    WHERE p_job_type = ANY (string_to_array(w.kinds, ', '));
$$;
CREATE OR REPLACE VIEW public.ml_queue WITH (security_invoker = true) AS
SELECT
    CASE WHEN j.status = 'PENDING' THEN row_number() OVER (PARTITION BY j.status ORDER BY j.priority, j.round, j.created_by <= t.client, j.created_by) END AS position,
    j.id,
    j.job_type,
    j.model,
    j.status,
    j.priority,
    date_trunc('second', CASE WHEN j.status = 'RUNNING' THEN j.started_at ELSE now() END - j.created_at) AS waiting,
    CASE WHEN j.status = 'RUNNING' THEN date_trunc('second', now() - j.started_at) END AS running,
    j.progress,
    rpad(repeat('#', (j.progress * 20)::integer), 20, '.') AS bar,
    CASE
        WHEN j.status <> 'PENDING' THEN j.progress_msg
        WHEN NOT (SELECT ml_internal.has_worker()) THEN 'no worker is running; start one: ml-worker run'
        ELSE coalesce(h.said, j.progress_msg)
    END AS progress_msg,
    j.attempt,
    j.worker_id,
    j.created_at,
    j.source
FROM (
    SELECT x.*, row_number() OVER (PARTITION BY x.status, x.priority, x.created_by ORDER BY x.created_at, x.id) AS round
    FROM ml.jobs x
    WHERE x.status IN ('PENDING', 'RUNNING')
) j
LEFT JOIN (SELECT p.priority, ml_internal.last_turn(p.priority) AS client FROM generate_series(1, 10) p (priority)) t ON t.priority = j.priority
LEFT JOIN (SELECT k.job_type, ml_internal.pause_text(k.job_type) AS said FROM ml.job_kinds k OFFSET 0) h ON h.job_type = j.job_type
ORDER BY j.status = 'RUNNING' DESC, j.priority, position, j.created_at, j.id;
CREATE OR REPLACE FUNCTION ml_internal.next_jobs(
    p_limit integer,
    OUT place bigint,
    OUT id bigint
)
RETURNS SETOF record
LANGUAGE plpgsql
STABLE
ROWS 100
SET search_path TO pg_catalog, pg_temp
SET enable_seqscan TO off
SET enable_bitmapscan TO off
SET jit TO off
AS $$
BEGIN
    RETURN QUERY
    WITH RECURSIVE clients AS (
        SELECT k.job_type, h.priority, h.created_by
        FROM ml.job_kinds k
        CROSS JOIN LATERAL (
            SELECT j.priority, j.created_by
            FROM public.ml_jobs j
            WHERE (j.status = 'PENDING') IS TRUE AND j.job_type = k.job_type
            ORDER BY j.priority, j.created_by
            LIMIT 1
        ) h
        UNION ALL
        SELECT c.job_type, h.priority, h.created_by
        FROM clients c
        CROSS JOIN LATERAL (
            SELECT j.priority, j.created_by
            FROM public.ml_jobs j
            WHERE (j.status = 'PENDING') IS TRUE AND j.job_type = c.job_type AND (j.priority, j.created_by) > (c.priority, c.created_by)
            ORDER BY j.priority, j.created_by
            LIMIT 1
        ) h
    ),
    firsts AS (
        SELECT c.priority, c.created_by, f.id, row_number() OVER (PARTITION BY c.priority, c.created_by ORDER BY f.created_at, f.id) AS round
        FROM clients c
        CROSS JOIN LATERAL (
            SELECT j.created_at, j.id
            FROM public.ml_jobs j
            WHERE (j.status = 'PENDING') IS TRUE AND j.job_type = c.job_type AND j.priority = c.priority AND j.created_by = c.created_by
            ORDER BY j.created_at, j.id
            LIMIT p_limit
        ) f
    )
    SELECT row_number() OVER (ORDER BY f.priority, f.round, f.created_by <= t.client, f.created_by), f.id
    FROM firsts f
    JOIN (SELECT p.priority, ml_internal.last_turn(p.priority) AS client FROM generate_series(1, 10) p (priority)) t ON t.priority = f.priority
    ORDER BY 1
    LIMIT p_limit;
END
$$;
SET search_path TO pg_catalog, pg_temp;
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
            string_agg(
                format('count(*) FILTER (WHERE o.label IS NOT NULL AND abs(o.f%s) >= 3.4028235677973366e38)', f.place),
                ', ' ORDER BY f.place
            ),
            string_agg(CASE WHEN f.type = 'numeric'::regtype THEN format('count(*) FILTER (WHERE o.f%1$s <> 0 AND abs(o.f%1$s) < 1e-308)', f.place) ELSE '0' END, ', ' ORDER BY f.place),
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
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS v_message = MESSAGE_TEXT, v_hint = PG_EXCEPTION_HINT, v_code = RETURNED_SQLSTATE;
        RAISE EXCEPTION USING MESSAGE = v_message, ERRCODE = v_code, TABLE = p_model.source,
            HINT = coalesce(nullif(v_hint, ''), ml_internal.reading_hint(p_model.source));
END
$$;
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
        RETURN QUERY SELECT 'recommended', concat_ws(
            ', ', CASE WHEN v_label.split <> 'time' THEN 'split => ''time''' END, CASE WHEN v_label.folds IS NULL THEN 'folds => 5' END
        ) || ': what a model gives in the last part of the period, and its recipe in later parts one after another, forecasts the next period best'
        WHERE v_label.split <> 'time' OR v_label.folds IS NULL;
    END IF;
    RETURN QUERY
    SELECT 'NULL in ' || f.name, ml_internal.count_text(v_rows.num_labelled - v_rows.num_known[f.place], v_rows.num_labelled)
    FROM unnest(v_features) WITH ORDINALITY AS f (name, place)
    ORDER BY f.place;
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
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS
            v_message = MESSAGE_TEXT, v_hint = PG_EXCEPTION_HINT, v_code = RETURNED_SQLSTATE,
            v_table = TABLE_NAME, v_column = COLUMN_NAME;
        RAISE EXCEPTION USING MESSAGE = v_message, HINT = v_hint, ERRCODE = v_code, TABLE = v_table, COLUMN = v_column;
END
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.describe_job(
    p_job_id bigint,
    OUT has_ended boolean,
    OUT line text
)
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT
        j.completed_at IS NOT NULL,
        ml_internal.plain_text(format('job %s %s', j.id, j.status) || CASE j.status
            WHEN 'PENDING' THEN concat(
                ': ' || j.progress_msg,
                CASE
                    WHEN NOT ml_internal.has_worker() THEN ': no worker is running; start one: ml-worker run'
                    ELSE ': ' || ml_internal.pause_text(j.job_type)
                END
            )
            WHEN 'RUNNING' THEN format(', %s %%: %s', round(100 * j.progress), j.progress_msg)
            WHEN 'FAILED' THEN ': ' || j.error_msg
            WHEN 'CANCELLED' THEN ''
            ELSE ': ' || j.progress_msg
        END)
    FROM public.ml_jobs j
    WHERE j.id = p_job_id;
$$;
CREATE OR REPLACE PROCEDURE ml.wait(
    job_ids bigint [],
    timeout interval DEFAULT '1 hour'
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_until pg_catalog.timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) timeout;
    v_step pg_catalog.interval := '50 milliseconds';
    v_left pg_catalog.int8 [] := job_ids;
    v_said pg_catalog.text := '';
    v_job_id pg_catalog.int8;
    v_has_ended pg_catalog.bool;
    v_line pg_catalog.text;
BEGIN
    CALL ml_internal.require_autocommit('ml.wait');
    LOOP
        FOREACH v_job_id IN ARRAY v_left LOOP
            SELECT d.has_ended, d.line INTO v_has_ended, v_line FROM ml_internal.describe_job(v_job_id) d;
            IF v_line IS NULL THEN
                RAISE EXCEPTION 'job % does not exist', v_job_id
                    USING ERRCODE = 'no_data_found', TABLE = 'ml_jobs', HINT = 'SELECT id, status FROM ml_jobs ORDER BY id DESC; lists the jobs.';
            END IF;
            IF (v_has_ended OR v_job_id OPERATOR(pg_catalog.=) v_left[1]) AND v_line OPERATOR(pg_catalog.<>) v_said THEN
                RAISE NOTICE '%', v_line;
                v_said := v_line;
            END IF;
            IF v_has_ended THEN
                v_left := pg_catalog.array_remove(v_left, v_job_id);
            END IF;
        END LOOP;
        EXIT WHEN pg_catalog.cardinality(v_left) OPERATOR(pg_catalog.=) 0;
        IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>=) v_until THEN
            SELECT d.line INTO v_line FROM ml_internal.describe_job(v_left[1]) d;
            RAISE EXCEPTION '% (waited for %)', v_line, ml_internal.interval_text(timeout)
                USING ERRCODE = 'ML004', TABLE = 'ml_jobs',
                HINT = pg_catalog.format('Wait again: CALL ml.wait(%s, ''1 hour''); or end the job: CALL ml.cancel_job(%1$s);', v_left[1]);
        END IF;
        COMMIT;
        PERFORM pg_catalog.pg_sleep_until(LEAST(pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) v_step, v_until));
        v_step := LEAST(v_step OPERATOR(pg_catalog.*) 1.5, '1 second'::pg_catalog.interval);
    END LOOP;
END
$$;
CREATE OR REPLACE PROCEDURE ml.wait(
    job_id bigint,
    timeout interval DEFAULT '1 hour'
)
LANGUAGE plpgsql
AS $$
BEGIN
    CALL ml.wait(ARRAY[job_id], timeout);
END
$$;
CREATE OR REPLACE PROCEDURE ml.wait(
    job_id bigint,
    seconds double precision
)
LANGUAGE plpgsql
AS $$
BEGIN
    CALL ml.wait(ARRAY[job_id], pg_catalog.make_interval(secs => seconds));
END
$$;
CREATE OR REPLACE PROCEDURE ml.wait(
    job_id bigint,
    timeout text
)
LANGUAGE plpgsql
AS $$
BEGIN
    CALL ml.wait(ARRAY[job_id], timeout::pg_catalog.interval);
END
$$;
CREATE OR REPLACE PROCEDURE ml.wait()
LANGUAGE plpgsql
AS $$
DECLARE
    v_mine pg_catalog.int8 [] := ARRAY(
        SELECT j.id
        FROM public.ml_jobs j
        WHERE j.completed_at IS NULL AND j.team OPERATOR(pg_catalog.=) (
            SELECT t.id
            FROM ml.teams t
            WHERE t.role OPERATOR(pg_catalog.=) pg_catalog.to_regrole(pg_catalog.quote_ident(current_user))
                AND t.cluster OPERATOR(pg_catalog.=) (SELECT c.system_identifier FROM pg_catalog.pg_control_system() c)
        )
        ORDER BY j.id
    );
BEGIN
    CALL ml.wait(v_mine);
END
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.draw_scores(
    p_tp bigint,
    p_tn bigint,
    p_fp bigint,
    p_fn bigint,
    p_roc_auc numeric,
    p_job_id bigint,
    p_baseline text
)
RETURNS SETOF text
LANGUAGE sql
STABLE
ROWS 6
SET search_path TO pg_catalog, pg_temp
AS $$
    WITH answers AS (
        SELECT 'model' AS name, p_tp AS tp, p_tn AS tn, p_fp AS fp, p_fn AS fn, p_roc_auc AS roc_auc
        UNION ALL
        SELECT ml_internal.baseline_text(b.baseline), b.tp, b.tn, b.fp, b.fn, b.roc_auc
        FROM public.ml_baselines b
        WHERE b.job_id = p_job_id AND b.baseline = p_baseline
        UNION ALL
        SELECT 'always ' || x.answer, x.tp, x.tn, x.fp, x.fn, p_roc_auc * 0 + 0.5
        FROM (
            VALUES ('positive', p_tp + p_fn, 0, p_fp + p_tn, 0), ('negative', 0, p_tn + p_fp, 0, p_fn + p_tp)
        ) x (answer, tp, tn, fp, fn)
        WHERE x.answer = ml_internal.trivial_answer(p_tp, p_tn, p_fp, p_fn)
            AND p_baseline IS NULL
    ),
    scores AS (
        SELECT s.place, s.name, string_agg(lpad(coalesce(s.score, '-'), CASE a.name WHEN 'model' THEN 9 ELSE 17 END), '' ORDER BY a.name = 'model' DESC) AS line
        FROM answers a
        CROSS JOIN LATERAL (
            VALUES
                (1, '', a.name),
                (2, 'accuracy', round(ml_internal.accuracy(a.tp, a.tn, a.fp, a.fn), 4)::text),
                (3, 'F1', round(ml_internal.f1_score(a.tp, a.fp, a.fn), 4)::text),
                (4, 'precision', round(ml_internal.precision_score(a.tp, a.fp), 4)::text),
                (5, 'recall', round(ml_internal.recall_score(a.tp, a.fn), 4)::text),
                (6, 'ROC AUC', round(a.roc_auc, 4)::text)
        ) s (place, name, score)
        GROUP BY s.place, s.name
    )
    SELECT format('  %-9s%s   %-11s %s', s.name, s.line, m.title, m.line)
    FROM scores s
    JOIN (
        VALUES
            (1, '', 'said positive   negative'),
            (2, '', '+-----------+-----------+'),
            (3, 'is positive', format('|%10s |%10s |', ml_internal.count_text(p_tp), ml_internal.count_text(p_fn))),
            (4, '', '+-----------+-----------+'),
            (5, 'is negative', format('|%10s |%10s |', ml_internal.count_text(p_fp), ml_internal.count_text(p_tn))),
            (6, '', '+-----------+-----------+')
    ) m (place, title, line) USING (place)
    ORDER BY place;
$$;
CREATE OR REPLACE FUNCTION ml_internal.half_text(
    p_accuracy numeric,
    p_f1 numeric,
    p_precision numeric,
    p_recall numeric
)
RETURNS text
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT format(
        '  at the threshold 0.5: accuracy %s, F1 %s, precision %s, recall %s',
        coalesce(p_accuracy::text, '-'), coalesce(p_f1::text, '-'), coalesce(p_precision::text, '-'), coalesce(p_recall::text, '-')
    );
$$;
CREATE OR REPLACE FUNCTION ml_internal.report_lines(
    model_id bigint
)
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
ROWS 50
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_model public.ml_models;
    v_run public.ml_training_runs;
    v_test public.ml_test_results;
BEGIN
    SELECT * INTO v_model FROM public.ml_models m WHERE m.id = report_lines.model_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'model % does not exist', model_id
            USING ERRCODE = 'no_data_found', TABLE = 'ml_models', HINT = 'SELECT id, name FROM ml_leaderboard; lists the models that can be used.';
    END IF;
    SELECT * INTO v_run FROM public.ml_training_runs r WHERE r.model_id = v_model.id;
    RETURN QUERY SELECT format('Model %s, %s: %s', v_model.id, v_model.name, v_model.status);
    IF v_model.is_deleted THEN
        RETURN QUERY SELECT format(
            'Deleted on %s; to take it back: UPDATE ml_models SET is_deleted = false WHERE id = %s;',
            to_char(v_model.deleted_at, 'YYYY-MM-DD HH24:MI'), v_model.id
        );
    END IF;
    RETURN QUERY SELECT d.line FROM string_to_table(v_model.description, E'\n') AS d (line);
    SELECT * INTO v_test
    FROM public.ml_test_results t
    WHERE t.model_id = v_model.id
    ORDER BY t.has_overlap, t.created_at DESC, t.id DESC
    LIMIT 1;
    RETURN QUERY
    SELECT w.line
    FROM ml_internal.page_of_warnings(v_model.id, ARRAY[v_run.job_id, v_test.job_id, (
        SELECT c.job_id
        FROM public.ml_comparisons c
        WHERE v_model.id IN (c.model_a_id, c.model_b_id)
        ORDER BY c.created_at DESC, c.id DESC
        LIMIT 1
    )]) w (line);
    IF v_run.id IS NOT NULL THEN
        RETURN QUERY SELECT 'Held out: ' || coalesce(
            ml_internal.baseline_verdict(
                v_run.beats_baseline, v_run.best_baseline, v_run.f1_score, v_run.baseline_f1, v_run.baseline_lower, v_run.baseline_upper, v_run.baseline_note
            ), ml_internal.verdict(v_run.tp, v_run.tn, v_run.fp, v_run.fn)
        );
        RETURN QUERY SELECT 'Folds:    ' || f.said FROM ml_internal.folds_text(v_run.job_id) f (said) WHERE f.said <> '';
    END IF;
    IF v_test.id IS NOT NULL THEN
        RETURN QUERY SELECT 'Test:     ' || coalesce(
            ml_internal.baseline_verdict(
                v_test.beats_baseline, v_test.best_baseline, v_test.f1_score, v_test.baseline_f1, v_test.baseline_lower, v_test.baseline_upper, v_test.baseline_note
            ), ml_internal.verdict(v_test.tp, v_test.tn, v_test.fp, v_test.fn)
        );
        RETURN QUERY SELECT '          but ' || v_test.overlap_note WHERE v_test.has_overlap;
    END IF;
    RETURN QUERY SELECT ('')::text;
    RETURN QUERY
    SELECT format('  %-10s %s', x.what, x.said)
    FROM (
        VALUES
            ('predicts', ml_internal.label_text(v_model)),
            ('from', replace(v_model.features_csv, ',', ', ')),
            ('in', nullif(v_model.source, 'coin_metrics')),
            ('in phases', coalesce(replace(v_model.phases_csv, ',', ', '), 'all')),
            ('by', v_model.model_type || ': ' || replace(v_model.params_csv, ';', ', ')),
            ('period', ml_internal.period_text(v_model.train_start, v_model.train_end)),
            ('trained on', concat(
                ml_internal.count_text(v_run.num_fitted) || ' rows, positive: '
                || ml_internal.count_text(v_run.num_fitted_positive, v_run.num_fitted),
                ml_internal.left_out_text(v_run.num_unlabelled, v_run.num_without_base, v_run.num_uncovered, v_model.uncovered)
            )),
            ('threshold', CASE
                WHEN v_model.threshold_rule <> '0.5' THEN ml_internal.threshold_text(v_model.threshold_rule, v_model.threshold, v_run.num_set_aside)
            END),
            ('overlap', CASE WHEN v_run.mean_uniqueness < 1 THEN format(
                'mean uniqueness of the labels %s%s', round(v_run.mean_uniqueness, 4),
                CASE v_model.weights WHEN 'uniqueness' THEN ', by which rows are weighted' END
            ) END),
            ('warnings', CASE WHEN NOT EXISTS (SELECT FROM public.ml_warnings w WHERE w.job_id = v_run.job_id) THEN v_run.warnings END)
    ) x (what, said)
    WHERE x.said <> '';
    RETURN QUERY SELECT ('')::text;
    IF v_run.id IS NULL THEN
        RETURN QUERY
        SELECT format('Job %s is %s', j.id, j.status) || coalesce(': ' || coalesce(j.error_msg, j.progress_msg), '')
        FROM public.ml_jobs j
        WHERE j.id = v_model.train_job_id;
        RETURN;
    END IF;
    RETURN QUERY SELECT format(
        'Held out: %s rows, %s', ml_internal.count_text(v_run.num_samples),
        CASE v_run.holdout
            WHEN 'coins' THEN 'whole coins'
            WHEN 'coins_and_time' THEN 'later rows of coins that were not fitted'
            ELSE 'the last part of the period'
        END
    );
    RETURN QUERY SELECT d.line FROM ml_internal.draw_scores(v_run.tp, v_run.tn, v_run.fp, v_run.fn, v_run.roc_auc, v_run.job_id, v_run.best_baseline) AS d (line);
    RETURN QUERY SELECT i.line FROM ml_internal.interval_lines(v_run.job_id) AS i (line);
    RETURN QUERY SELECT ml_internal.half_text(v_run.accuracy_at_half, v_run.f1_at_half, v_run.precision_at_half, v_run.recall_at_half)
        WHERE v_run.threshold <> 0.5;
    RETURN QUERY SELECT d.line FROM ml_internal.draw_baselines(v_run.job_id) AS d (line);
    RETURN QUERY
    SELECT f.line
    FROM (
        SELECT 0 AS place, '' AS line
        UNION ALL
        SELECT 0, 'Folds: its recipe fitted on all rows before each of these periods'
        UNION ALL
        SELECT x.fold, format('  fold %s, %s: ', x.fold, ml_internal.period_text(x.measured_start, x.measured_end)) || coalesce(
            x.reason, format('F1 %s, ROC AUC %s', coalesce(x.f1_score::text, '-'), coalesce(x.roc_auc::text, '-'))
        )
        FROM public.ml_folds x
        WHERE x.job_id = v_run.job_id
    ) f
    WHERE EXISTS (SELECT FROM public.ml_folds x WHERE x.job_id = v_run.job_id)
    ORDER BY f.place, f.line;
    IF v_test.id IS NOT NULL THEN
        RETURN QUERY SELECT ('')::text;
        RETURN QUERY SELECT format(
            'Latest test: %s rows, %s%s', ml_internal.count_text(v_test.num_samples), ml_internal.period_text(v_test.test_start, v_test.test_end),
            ml_internal.left_out_text(v_test.num_unlabelled, v_test.num_without_base, v_test.num_uncovered, v_model.uncovered)
        );
        RETURN QUERY SELECT d.line FROM ml_internal.draw_scores(v_test.tp, v_test.tn, v_test.fp, v_test.fn, v_test.roc_auc, v_test.job_id, v_test.best_baseline) AS d (line);
        RETURN QUERY SELECT i.line FROM ml_internal.interval_lines(v_test.job_id) AS i (line);
        RETURN QUERY SELECT ml_internal.half_text(v_test.accuracy_at_half, v_test.f1_at_half, v_test.precision_at_half, v_test.recall_at_half)
            WHERE v_test.threshold <> 0.5;
        RETURN QUERY SELECT d.line FROM ml_internal.draw_baselines(v_test.job_id) AS d (line);
        RETURN QUERY
        SELECT format(
            '  %-17s %s, %s: F1 %s, ROC AUC %s',
            CASE WHEN s.is_seen THEN 'coins it has seen' ELSE 'other coins' END,
            ml_internal.count_text(s.num_coins), ml_internal.count_text(s.num_samples, v_test.num_samples) || ' of the rows',
            coalesce(s.f1_score::text, '-'), coalesce(s.roc_auc::text, '-')
        )
        FROM public.ml_seen_unseen s
        WHERE s.job_id = v_test.job_id
        ORDER BY s.is_seen DESC;
    END IF;
    RETURN QUERY SELECT ('')::text;
    RETURN QUERY SELECT ('What it looks at: share of the permutation importance')::text;
    RETURN QUERY
    SELECT format(
        '  %s %s %s', rpad(f.feature, least(f.width, 40)), coalesce(round(f.importance, 4)::text, '     -'),
        repeat('#', round(40 * f.importance / f.most)::integer)
    )
    FROM (
        SELECT
            x.*,
            nullif(max(x.importance) OVER (), 0) AS most,
            max(length(x.feature)) OVER () AS width
        FROM public.ml_model_features x
        WHERE x.model_id = v_model.id
        ORDER BY x.importance DESC NULLS LAST, x.place
        LIMIT 10
    ) f
    ORDER BY f.importance DESC NULLS LAST, f.place;
    RETURN QUERY SELECT x.line FROM ml_internal.page_of_jobs(v_model.id) x (line);
END
$$;
CREATE OR REPLACE FUNCTION ml.report(
    model_id bigint
)
RETURNS SETOF text
LANGUAGE sql
STABLE
ROWS 50
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml_internal.plain_text(l.line) FROM ml_internal.report_lines(model_id) l (line);
$$;
CREATE OR REPLACE FUNCTION ml.report(
    model_name text
)
RETURNS SETOF text
LANGUAGE sql
STABLE
ROWS 50
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ml.report(ml_internal.find_model(model_name));
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.job_with_numbers(
    p_model_id bigint
)
RETURNS bigint
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_model public.ml_models := ml_internal.require_ready_model(p_model_id);
BEGIN
    IF NOT EXISTS (SELECT FROM public.ml_model_numbers n WHERE n.job_id = v_model.train_job_id) THEN
        RAISE EXCEPTION 'model % ("%") has no numbers in the database', v_model.id, v_model.name
            USING ERRCODE = 'object_not_in_prerequisite_state', TABLE = 'ml_model_numbers',
            HINT = 'If it is of before version 7, ml-worker numbers records them from its file; if it is too large, '
                'the warnings of its training run say so: train a smaller one.';
    END IF;
    RETURN v_model.train_job_id;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.features_of(
    p_job_id bigint
)
RETURNS text []
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ARRAY(SELECT i.feature FROM public.ml_model_inputs i WHERE i.job_id = p_job_id ORDER BY i.place);
$$;
CREATE OR REPLACE FUNCTION ml_internal.refuse_missing_features(
    p_job_id bigint,
    p_what text,
    p_missing text [],
    p_hint text
)
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% no %', p_what, array_to_string(p_missing, ', ')
        USING ERRCODE = 'undefined_column', COLUMN = p_missing[1],
        HINT = format('The model needs %s. %s', array_to_string(ml_internal.features_of(p_job_id), ', '), p_hint);
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.inputs_of_row(
    p_job_id bigint,
    p_row jsonb
)
RETURNS double precision []
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_features text [] := ml_internal.features_of(p_job_id);
    v_feature text;
BEGIN
    IF jsonb_typeof(p_row) <> 'object' THEN
        RAISE EXCEPTION 'a model cannot be asked about %', left(p_row::text, 100)
            USING ERRCODE = 'datatype_mismatch',
            HINT = 'Give a row, as in ml.predict(''storms'', c) FROM coin_metrics c, or features as text: ''volatility_pct=3.1;volume_sol=12''.';
    ELSIF NOT p_row ?& v_features THEN
        PERFORM ml_internal.refuse_missing_features(
            p_job_id, 'the row has',
            ARRAY(SELECT u.f FROM unnest(v_features) WITH ORDINALITY u (f, place) WHERE NOT p_row ? u.f ORDER BY u.place),
            'Give a row that has them as columns, by these names.'
        );
    END IF;
    SELECT f INTO v_feature
    FROM unnest(v_features) f
    WHERE jsonb_typeof(p_row -> f) NOT IN ('number', 'boolean', 'null') AND p_row -> f NOT IN ('"NaN"', '"Infinity"', '"-Infinity"')
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the feature % of the row is no number: %', v_feature, left(p_row ->> v_feature, 100)
            USING ERRCODE = 'datatype_mismatch', COLUMN = v_feature,
            HINT = 'Cast the column to a number or a boolean.';
    END IF;
    RETURN ARRAY(
        SELECT CASE jsonb_typeof(p_row -> u.f) WHEN 'boolean' THEN (p_row -> u.f)::boolean::integer ELSE (p_row ->> u.f)::double precision END
        FROM unnest(v_features) WITH ORDINALITY u (f, place)
        ORDER BY u.place
    );
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.inputs_of_record(
    p_job_id bigint,
    p_row anyelement
)
RETURNS double precision []
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
SET extra_float_digits TO 1
AS $$
BEGIN
    RETURN ml_internal.inputs_of_row(p_job_id, to_jsonb(p_row));
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.require_features(
    p_job_id bigint,
    p_row anyelement
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_relation oid;
BEGIN
    IF pg_typeof(p_row) <> 'record'::regtype THEN
        SELECT t.typrelid INTO v_relation FROM pg_type t WHERE t.oid = pg_typeof(p_row);
        IF NOT EXISTS (
            SELECT
            FROM public.ml_model_inputs i
            LEFT JOIN pg_attribute a ON a.attrelid = v_relation AND a.attname = i.feature AND ml_internal.is_numeric(a.atttypid)
            WHERE i.job_id = p_job_id AND a.attname IS NULL
        ) THEN
            RETURN true;
        ELSIF v_relation <> 0 THEN
            PERFORM ml_internal.inputs_of_row(p_job_id, (
                SELECT jsonb_object_agg(a.attname, CASE
                    WHEN ml_internal.is_numeric(a.atttypid) THEN '0'
                    ELSE to_jsonb('it is ' || format_type(a.atttypid, a.atttypmod))
                END)
                FROM pg_attribute a
                WHERE a.attrelid = v_relation AND a.attnum > 0 AND NOT a.attisdropped
            ));
        END IF;
    END IF;
    RETURN ml_internal.inputs_of_row(p_job_id, to_jsonb(p_row)) IS NOT NULL;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.inputs_of_text(
    p_job_id bigint,
    p_text text
)
RETURNS double precision []
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_features text [] := ml_internal.features_of(p_job_id);
    v_item record;
    v_names text [] := '{}';
    v_inputs double precision [] := array_fill(NULL::double precision, ARRAY[cardinality(v_features)]);
BEGIN
    FOR v_item IN
        SELECT btrim(split_part(i.item, '=', 1)) AS name, btrim(substr(i.item, nullif(strpos(i.item, '='), 0) + 1)) AS value, i.item
        FROM string_to_table(p_text, ';') i (item)
        WHERE btrim(i.item) <> ''
    LOOP
        IF v_item.value IS NULL THEN
            RAISE EXCEPTION '% is not feature=value', quote_literal(left(btrim(v_item.item), 200))
                USING ERRCODE = 'invalid_text_representation', HINT = 'Write features as ''volatility_pct=3.1;volume_sol=12''.';
        ELSIF v_item.name <> ALL (v_features) THEN
            RAISE EXCEPTION 'the model has no feature %', quote_literal(left(v_item.name, 200))
                USING ERRCODE = 'undefined_column', COLUMN = left(v_item.name, 63), HINT = ml_internal.suggest_names(v_item.name, v_features);
        ELSIF v_item.name = ANY (v_names) THEN
            RAISE EXCEPTION 'the feature % is given twice', v_item.name
                USING ERRCODE = 'duplicate_column', COLUMN = v_item.name, HINT = 'Give each feature once.';
        END IF;
        v_names := v_names || v_item.name;
        IF v_item.value ~ '^[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]{1,4})?$' THEN
            v_inputs[array_position(v_features, v_item.name)] := v_item.value::double precision;
        ELSIF lower(v_item.value) IN ('true', 'false') THEN
            v_inputs[array_position(v_features, v_item.name)] := ml_internal.number(v_item.value::boolean);
        ELSIF lower(v_item.value) NOT IN ('null', '') THEN
            RAISE EXCEPTION 'the feature % cannot be %', v_item.name, quote_literal(left(v_item.value, 200))
                USING ERRCODE = 'invalid_text_representation', COLUMN = v_item.name,
                HINT = 'Give a number with a decimal point, true, false, or NULL for a value that is not known.';
        END IF;
    END LOOP;
    IF NOT v_names @> v_features THEN
        PERFORM ml_internal.refuse_missing_features(
            p_job_id, 'there is',
            ARRAY(SELECT u.f FROM unnest(v_features) WITH ORDINALITY u (f, place) WHERE u.f <> ALL (v_names) ORDER BY u.place),
            'Write NULL for a value that is not known, as in volume_sol=NULL.'
        );
    END IF;
    RETURN v_inputs;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.walk_trees(
    p_numbers public.ml_model_numbers,
    p_inputs real [],
    p_explain boolean,
    OUT total double precision,
    OUT start double precision,
    OUT contributions double precision []
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_chunk public.ml_model_trees;
    v_node integer;
    v_at integer;
    v_feature integer;
    v_mean double precision;
    v_single real := p_numbers.base;
BEGIN
    total := p_numbers.base;
    start := p_numbers.base;
    contributions := array_fill(0::double precision, ARRAY[cardinality(p_inputs)]);
    FOR v_chunk IN SELECT * FROM public.ml_model_trees t WHERE t.job_id = p_numbers.job_id AND t.chunk = 0 ORDER BY t.tree LOOP
        v_at := 1;
        v_mean := v_chunk.value[1];
        start := start + v_mean;
        LOOP
            v_feature := v_chunk.feature[v_at] + 1;
            EXIT WHEN v_feature = 0;
            IF coalesce(p_inputs[v_feature] < v_chunk.bound[v_at], v_chunk.missing_less[v_at]) THEN
                v_node := v_chunk.less[v_at];
            ELSE
                v_node := v_chunk.more[v_at];
            END IF;
            IF v_node >> 6 <> v_chunk.chunk THEN
                SELECT * INTO v_chunk FROM public.ml_model_trees t
                WHERE t.job_id = p_numbers.job_id AND t.chunk = v_node >> 6 AND t.tree = v_chunk.tree;
            END IF;
            v_at := (v_node & 63) + 1;
            IF p_explain THEN
                contributions[v_feature] := contributions[v_feature] + v_chunk.value[v_at] - v_mean;
                v_mean := v_chunk.value[v_at];
            END IF;
        END LOOP;
        IF p_numbers.is_single THEN
            v_single := v_single + v_chunk.value[v_at]::real;
        ELSE
            total := total + v_chunk.value[v_at];
        END IF;
    END LOOP;
    IF p_numbers.is_single THEN
        total := v_single;
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.scale_inputs(
    p_job_id bigint,
    p_inputs real []
)
RETURNS double precision []
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ARRAY(
        SELECT ml_internal.single(ml_internal.single(coalesce(p_inputs[i.place + 1]::double precision, i.fill) - i.center)::double precision / i.scale)
        FROM public.ml_model_inputs i
        WHERE i.job_id = p_job_id
        ORDER BY i.place
    );
$$;
CREATE OR REPLACE FUNCTION ml_internal.walk_layers(
    p_numbers public.ml_model_numbers,
    p_scaled double precision []
)
RETURNS double precision
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_values double precision [] := p_scaled;
BEGIN
    FOR v_layer IN 0..p_numbers.num_layers - 1 LOOP
        v_values := ARRAY(
            SELECT ml_internal.activate(l.activation, l.bias + (SELECT sum(w.weight * w.value) FROM unnest(l.weights, v_values) w (weight, value)))
            FROM public.ml_model_layers l
            WHERE l.job_id = p_numbers.job_id AND l.layer = v_layer
            ORDER BY l.unit
        );
    END LOOP;
    RETURN v_values[1];
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.as_singles(
    p_inputs double precision []
)
RETURNS real []
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ARRAY(SELECT ml_internal.single(u.value) FROM unnest(p_inputs) WITH ORDINALITY u (value, place) ORDER BY u.place);
$$;
CREATE OR REPLACE FUNCTION ml_internal.probability(
    p_answer text,
    p_sum double precision
)
RETURNS double precision
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT CASE p_answer WHEN 'share' THEN greatest(least(p_sum, 1), 0) ELSE ml_internal.logistic(p_sum) END;
$$;
CREATE OR REPLACE FUNCTION ml_internal.answer(
    p_job_id bigint,
    p_inputs double precision []
)
RETURNS double precision
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
SET jit TO off -- compiling a query that is asked a thousand times takes longer than the answers
SET enable_seqscan TO off -- a plan made while there are few models would read them all for each row later
AS $$
DECLARE
    v_numbers public.ml_model_numbers;
BEGIN
    SELECT * INTO v_numbers FROM public.ml_model_numbers n WHERE n.job_id = p_job_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no model of job % has numbers here', p_job_id
            USING ERRCODE = 'no_data_found', TABLE = 'ml_model_numbers', HINT = 'SELECT id, name FROM ml_leaderboard; lists the models that can be used.';
    END IF;
    RETURN ml_internal.probability(v_numbers.answer, CASE
        WHEN v_numbers.num_trees > 0 THEN (ml_internal.walk_trees(v_numbers, ml_internal.as_singles(p_inputs), false)).total
        ELSE ml_internal.walk_layers(v_numbers, ml_internal.scale_inputs(p_job_id, ml_internal.as_singles(p_inputs)))
    END);
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.answer_row(
    p_job_id bigint,
    p_row anyelement
)
RETURNS double precision
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ml_internal.answer(p_job_id, ml_internal.inputs_of_record(p_job_id, p_row));
END
$$;
CREATE OR REPLACE FUNCTION ml.predict(
    model text,
    inputs anyelement
)
RETURNS double precision
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
SET jit TO off
AS $$
DECLARE
    v_job_id bigint;
    v_answer double precision;
BEGIN
    SELECT m.train_job_id INTO v_job_id
    FROM public.ml_models m
    WHERE m.name = predict.model AND NOT m.is_deleted AND m.status <> 'FAILED';
    IF to_regproc('ml_generated.model_of_job_' || v_job_id) IS NULL THEN
        v_job_id := ml_internal.job_with_numbers(ml_internal.find_model(model));
        IF to_regproc('ml_generated.model_of_job_' || v_job_id) IS NULL THEN -- as where tables alone were copied
            RETURN CASE WHEN inputs IS DISTINCT FROM NULL THEN ml_internal.answer_row(v_job_id, inputs) END;
        END IF;
    END IF;
    IF inputs IS DISTINCT FROM NULL THEN
        EXECUTE 'SELECT ml_generated.model_of_job_' || v_job_id || '($1)' INTO v_answer USING inputs;
    END IF;
    RETURN v_answer;
END
$$;
CREATE OR REPLACE FUNCTION ml.predict(
    model bigint,
    inputs anyelement
)
RETURNS double precision
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
SET jit TO off
AS $$
DECLARE
    v_job_id bigint;
    v_answer double precision;
BEGIN
    SELECT m.train_job_id INTO v_job_id
    FROM public.ml_models m
    WHERE m.id = predict.model AND NOT m.is_deleted AND m.status <> 'FAILED';
    IF to_regproc('ml_generated.model_of_job_' || v_job_id) IS NULL THEN
        v_job_id := ml_internal.job_with_numbers(model);
        IF to_regproc('ml_generated.model_of_job_' || v_job_id) IS NULL THEN -- as where tables alone were copied
            RETURN CASE WHEN inputs IS DISTINCT FROM NULL THEN ml_internal.answer_row(v_job_id, inputs) END;
        END IF;
    END IF;
    IF inputs IS DISTINCT FROM NULL THEN
        EXECUTE 'SELECT ml_generated.model_of_job_' || v_job_id || '($1)' INTO v_answer USING inputs;
    END IF;
    RETURN v_answer;
END
$$;
CREATE OR REPLACE FUNCTION ml.predict(
    model bigint,
    inputs text
)
RETURNS double precision
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint := ml_internal.job_with_numbers(model);
BEGIN
    RETURN CASE WHEN inputs IS NOT NULL THEN ml_internal.answer(v_job_id, ml_internal.inputs_of_text(v_job_id, inputs)) END;
END
$$;
CREATE OR REPLACE FUNCTION ml.predict(
    model text,
    inputs text
)
RETURNS double precision
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ml.predict(ml_internal.find_model(model), inputs);
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.threshold_of(
    model bigint
)
RETURNS double precision
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT m.threshold FROM public.ml_models m WHERE m.id = threshold_of.model);
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.threshold_of(
    model text
)
RETURNS double precision
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_threshold double precision;
BEGIN
    SELECT m.threshold INTO v_threshold
    FROM public.ml_models m
    WHERE m.name = threshold_of.model AND NOT m.is_deleted AND m.status <> 'FAILED';
    IF NOT FOUND THEN
        v_threshold := ml_internal.threshold_of(ml_internal.find_model(model));
    END IF;
    RETURN v_threshold;
END
$$;
CREATE OR REPLACE FUNCTION ml.decide(
    model text,
    inputs anyelement
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ml.predict(model, inputs) > ml_internal.threshold_of(model);
END
$$;
CREATE OR REPLACE FUNCTION ml.decide(
    model text,
    inputs text
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ml.predict(model, inputs) > ml_internal.threshold_of(model);
END
$$;
CREATE OR REPLACE FUNCTION ml.decide(
    model bigint,
    inputs anyelement
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ml.predict(model, inputs) > ml_internal.threshold_of(model);
END
$$;
CREATE OR REPLACE FUNCTION ml.decide(
    model bigint,
    inputs text
)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ml.predict(model, inputs) > ml_internal.threshold_of(model);
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.sample_difference(
    p_model_id bigint
)
RETURNS double precision
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_job_id bigint := (SELECT m.train_job_id FROM public.ml_models m WHERE m.id = p_model_id);
    v_walked double precision;
    v_called double precision;
BEGIN
    SELECT max(abs(ml_internal.answer(v_job_id, s.inputs) - s.probability)) INTO v_walked
    FROM public.ml_model_samples s
    WHERE s.job_id = v_job_id;
    IF to_regproc('ml_generated.model_of_job_' || v_job_id) IS NULL THEN
        RETURN v_walked;
    END IF;
    EXECUTE format(
        'SELECT max(abs(ml_generated.model_of_job_%s(r) - s.probability))
        FROM public.ml_model_samples s CROSS JOIN LATERAL (SELECT %s OFFSET 0) r WHERE s.job_id = $1',
        v_job_id, (
            SELECT string_agg(format('s.inputs[%s] AS %I', i.place + 1, i.feature), ', ' ORDER BY i.place)
            FROM public.ml_model_inputs i
            WHERE i.job_id = v_job_id
        )
    ) INTO v_called USING v_job_id;
    RETURN greatest(v_walked, v_called);
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.unequal_models()
RETURNS TABLE (
    model_id bigint,
    name text,
    difference double precision
)
LANGUAGE sql
STABLE
ROWS 10
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT x.id, x.name, x.difference
    FROM (
        SELECT m.id, m.name::text AS name, ml_internal.sample_difference(m.id) AS difference, CASE WHEN n.num_layers > 1 THEN 1e-5 ELSE 1e-6 END AS most
        FROM public.ml_models m
        JOIN public.ml_model_numbers n ON n.job_id = m.train_job_id
        WHERE EXISTS (SELECT FROM public.ml_model_samples s WHERE s.job_id = n.job_id)
    ) x
    WHERE x.difference > x.most
    ORDER BY x.id;
$$;
CALL ml_internal.allow('ml_reader', 'EXECUTE', '
    ml.predict, ml.decide, ml_internal.threshold_of,
    ml_internal.require_ready_model, ml_internal.job_with_numbers, ml_internal.features_of, ml_internal.refuse_missing_features,
    ml_internal.inputs_of_row, ml_internal.inputs_of_record, ml_internal.require_features, ml_internal.inputs_of_text,
    ml_internal.walk_trees, ml_internal.scale_inputs, ml_internal.walk_layers, ml_internal.as_singles,
    ml_internal.probability, ml_internal.answer, ml_internal.answer_row, ml_internal.sample_difference, ml_internal.unequal_models
');
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.explain_layers(
    p_numbers public.ml_model_numbers,
    p_scaled double precision [],
    OUT start double precision,
    OUT contributions double precision []
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_inputs integer := cardinality(p_scaled);
    v_none double precision [] := array_fill(0::double precision, ARRAY[v_inputs]); -- the mean of each
    v_changed double precision [];
    v_direction integer;
    v_place integer;
    v_before double precision;
    v_after double precision;
BEGIN
    IF p_numbers.num_layers = 1 THEN
        SELECT l.bias, ARRAY(
            SELECT w.weight * w.value FROM unnest(l.weights, p_scaled) WITH ORDINALITY w (weight, value, place) ORDER BY w.place
        )
        INTO start, contributions
        FROM public.ml_model_layers l
        WHERE l.job_id = p_numbers.job_id;
        RETURN;
    END IF;
    start := ml_internal.walk_layers(p_numbers, v_none);
    contributions := v_none;
    FOREACH v_direction IN ARRAY '{1,-1}'::integer [] LOOP
        FOR v_first IN 0..v_inputs - 1 LOOP
            v_changed := v_none;
            v_before := start;
            v_place := v_first;
            FOR v_step IN 1..v_inputs LOOP
                v_changed[v_place + 1] := p_scaled[v_place + 1];
                v_after := ml_internal.walk_layers(p_numbers, v_changed);
                contributions[v_place + 1] := contributions[v_place + 1] + (v_after - v_before) / (2 * v_inputs);
                v_before := v_after;
                v_place := (v_place + v_direction + v_inputs) % v_inputs;
            END LOOP;
        END LOOP;
    END LOOP;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.explain_inputs(
    p_job_id bigint,
    p_inputs double precision []
)
RETURNS TABLE (
    feature text,
    value double precision,
    contribution double precision,
    share double precision,
    base double precision,
    total double precision,
    probability double precision
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
ROWS 10
SET search_path TO pg_catalog, pg_temp
SET jit TO off
SET enable_seqscan TO off -- as in ml_internal.answer
AS $$
DECLARE
    v_numbers public.ml_model_numbers;
    v_singles real [] := ml_internal.as_singles(p_inputs);
    v_base double precision;
    v_contributions double precision [];
BEGIN
    SELECT * INTO v_numbers FROM public.ml_model_numbers n WHERE n.job_id = p_job_id;
    IF v_numbers.num_trees > 0 THEN
        SELECT w.start, w.contributions INTO v_base, v_contributions FROM ml_internal.walk_trees(v_numbers, v_singles, true) w;
    ELSE
        SELECT w.start, w.contributions INTO v_base, v_contributions
        FROM ml_internal.explain_layers(v_numbers, ml_internal.scale_inputs(p_job_id, v_singles)) w;
    END IF;
    RETURN QUERY
    SELECT
        i.feature,
        nullif(p_inputs[i.place + 1], 'NaN'),
        v_contributions[i.place + 1],
        abs(v_contributions[i.place + 1]) / nullif(s.size, 0),
        v_base,
        v_base + s.added,
        ml_internal.probability(v_numbers.answer, v_base + s.added)
    FROM public.ml_model_inputs i
    CROSS JOIN (SELECT sum(c) AS added, sum(abs(c)) AS size FROM unnest(v_contributions) c) s
    WHERE i.job_id = p_job_id
    ORDER BY abs(v_contributions[i.place + 1]) DESC, i.place;
END
$$;
CREATE OR REPLACE FUNCTION ml.explain(
    model text,
    inputs anyelement
)
RETURNS TABLE (
    feature text,
    value double precision,
    contribution double precision,
    share double precision,
    base double precision,
    total double precision,
    probability double precision
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
ROWS 10
SET search_path TO pg_catalog, pg_temp
SET extra_float_digits TO 1
AS $$
DECLARE
    v_job_id bigint := ml_internal.job_with_numbers(ml_internal.find_model(model));
BEGIN
    IF inputs IS DISTINCT FROM NULL THEN
        RETURN QUERY SELECT * FROM ml_internal.explain_inputs(v_job_id, ml_internal.inputs_of_row(v_job_id, to_jsonb(inputs)));
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION ml.explain(
    model bigint,
    inputs anyelement
)
RETURNS TABLE (
    feature text,
    value double precision,
    contribution double precision,
    share double precision,
    base double precision,
    total double precision,
    probability double precision
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
ROWS 10
SET search_path TO pg_catalog, pg_temp
SET extra_float_digits TO 1
AS $$
DECLARE
    v_job_id bigint := ml_internal.job_with_numbers(model);
BEGIN
    IF inputs IS DISTINCT FROM NULL THEN
        RETURN QUERY SELECT * FROM ml_internal.explain_inputs(v_job_id, ml_internal.inputs_of_row(v_job_id, to_jsonb(inputs)));
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION ml.explain(
    model text,
    inputs text
)
RETURNS TABLE (
    feature text,
    value double precision,
    contribution double precision,
    share double precision,
    base double precision,
    total double precision,
    probability double precision
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
ROWS 10
SET search_path TO pg_catalog, pg_temp
SET extra_float_digits TO 1
AS $$
DECLARE
    v_job_id bigint := ml_internal.job_with_numbers(ml_internal.find_model(model));
BEGIN
    IF inputs IS DISTINCT FROM NULL THEN
        RETURN QUERY SELECT * FROM ml_internal.explain_inputs(v_job_id, ml_internal.inputs_of_text(v_job_id, inputs));
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION ml.explain(
    model bigint,
    inputs text
)
RETURNS TABLE (
    feature text,
    value double precision,
    contribution double precision,
    share double precision,
    base double precision,
    total double precision,
    probability double precision
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
ROWS 10
SET search_path TO pg_catalog, pg_temp
SET extra_float_digits TO 1
AS $$
DECLARE
    v_job_id bigint := ml_internal.job_with_numbers(model);
BEGIN
    IF inputs IS DISTINCT FROM NULL THEN
        RETURN QUERY SELECT * FROM ml_internal.explain_inputs(v_job_id, ml_internal.inputs_of_text(v_job_id, inputs));
    END IF;
END
$$;
CALL ml_internal.allow('ml_reader', 'EXECUTE', 'ml.explain, ml_internal.explain_layers, ml_internal.explain_inputs');
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.judged_query(
    p_model public.ml_models,
    p_key text,
    p_value text,
    p_stop text,
    p_known_until text
)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_together text := (SELECT r.judged_together FROM public.ref_labels r WHERE r.name = p_model.label);
BEGIN
    RETURN format(
        'SELECT s.mint, s."timestamp", s.phase, s.is_covered, %s AS label, %s AS has_base FROM (%s) s',
        ml_internal.label_of_row(p_model, p_value, p_stop, p_known_until, CASE WHEN v_together IS NOT NULL THEN 'o.found' END),
        ml_internal.base_of_row(p_model),
        CASE
            WHEN v_together IS NULL THEN ml_internal.label_query(p_model, '{}', NULL, p_key)
            ELSE format(
                $query$
                SELECT c.mint, r.*
                FROM (
                    SELECT
                        s.mint,
                        array_agg(s."timestamp") AS moments,
                        array_agg(s.phase) AS phases,
                        array_agg(s.base) AS bases,
                        array_agg(s.is_covered) AS are_covered,
                        array_agg(s.target) AS targets,
                        array_agg(ml_internal.changed_by(s.base, %s)) AS goals,
                        array_agg(ml_internal.changed_by(s.base, %s)) AS stops,
                        %L::interval AS horizon
                    FROM (%s ORDER BY s.mint, s."timestamp") s
                    GROUP BY s.mint
                ) c
                CROSS JOIN LATERAL unnest(c.moments, c.phases, c.bases, c.are_covered, %s) r ("timestamp", phase, base, is_covered, found)
                $query$,
                p_value, p_stop, make_interval(mins => p_model.future_minutes),
                ml_internal.label_query(p_model, '{}', NULL, p_key, 'NULL::boolean'), v_together
            )
        END
    );
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.outcomes_of_jobs(
    p_model_id bigint,
    p_job_ids bigint [],
    p_start timestamptz,
    p_end timestamptz,
    p_key text DEFAULT NULL
)
RETURNS TABLE (
    job_id bigint,
    key text,
    moment timestamptz,
    probability double precision,
    outcome boolean,
    reason text
)
LANGUAGE plpgsql
STABLE
ROWS 10000
COST 100000
SET search_path TO pg_catalog, pg_temp
SET timezone TO 'UTC'
SET extra_float_digits TO 1
SET datestyle TO 'ISO, MDY'
SET enable_nestloop TO off -- nobody knows how many rows a query in a query gives, and few are guessed
SET jit TO off
AS $$
DECLARE
    v_model public.ml_models;
    v_source jsonb;
    v_reason text;
    v_reach interval;
    v_newest timestamptz;
    v_message text;
    v_hint text;
    v_code text;
BEGIN
    SELECT m.* INTO v_model FROM public.ml_models m WHERE m.id = p_model_id;
    v_reason := (ml_internal.source_fault(
        v_model.source, array_remove(ARRAY[v_model.target_variable::text, v_model.base_variable::text], NULL), v_model.phases_csv IS NOT NULL, to_regrole(quote_ident(current_user))
    )).message;
    IF v_reason IS NOT NULL THEN
        RETURN QUERY
        SELECT p.job_id, p.key, p.moment, p.probability, NULL::boolean, v_reason
        FROM public.ml_predictions p
        WHERE p.job_id = ANY (p_job_ids) AND p.model_id = p_model_id AND p.moment >= p_start AND p.moment < p_end
            AND (p_key IS NULL OR p.key = p_key);
        RETURN;
    ELSIF v_model.source = 'coin_metrics' THEN
        PERFORM ml_internal.require_metrics();
    END IF;
    v_source := ml_internal.describe_source(v_model.source);
    v_reach := make_interval(mins => 2 * coalesce(v_model.future_minutes, 0));
    EXECUTE format(
        'SELECT %1$s FROM %2$s m WHERE %3$s < ''infinity'' ORDER BY %3$s DESC LIMIT 1',
        v_source ->> 'moment', v_source ->> 'relation', v_source ->> 'moment_column'
    )
    INTO v_newest;
    RETURN QUERY EXECUTE format(
        $query$
        WITH labels AS (
            SELECT
                o.mint,
                o."timestamp" AS moment,
                CASE WHEN count(o.label) = count(*) AND bool_and(o.label) = bool_or(o.label) THEN bool_and(o.label) END AS label,
                count(o.label) > 0 AS is_torn,
                bool_or(o.has_base) AS has_base,
                bool_or(o.is_covered) AS is_covered
            FROM (%1$s) o
            WHERE o."timestamp" < $10 AND ($4 IS NULL OR o.phase = ANY ($4))
            GROUP BY o.mint, o."timestamp"
        )
        SELECT
            p.job_id,
            p.key,
            p.moment,
            p.probability,
            l.label,
            CASE
                WHEN l.mint IS NULL THEN 'the row is gone'
                WHEN l.label IS NOT NULL THEN NULL
                WHEN l.is_torn THEN 'rows of this moment differ'
                WHEN NOT l.has_base THEN %2$L || ' is NULL, zero or negative'
                WHEN l.is_covered THEN %3$L
                WHEN p.moment < $9 - $12 THEN 'the coin stops'
                ELSE 'not known yet'
            END
        FROM public.ml_predictions p
        LEFT JOIN labels l ON l.mint = p.key COLLATE "C" AND l.moment = p.moment
        WHERE p.job_id = ANY ($8) AND p.model_id = $11 AND p.moment >= $2 AND p.moment < $10 AND ($7 IS NULL OR p.key = $7)
        $query$,
        ml_internal.judged_query(v_model, CASE WHEN p_key IS NOT NULL THEN '$7' END, '$5', '$6', '$9'),
        v_model.base_variable,
        CASE WHEN v_model.future_minutes IS NULL THEN v_model.target_variable || ' is NULL' ELSE format('there is no %s until then', v_model.target_variable) END
    )
    USING v_model.target_operator, p_start, least(p_end, v_newest + interval '1 microsecond') + v_reach + interval '1 microsecond',
        string_to_array(v_model.phases_csv, ',')::integer [], v_model.target_value, v_model.stop_value, p_key,
        p_job_ids, v_newest, p_end, p_model_id, v_reach;
EXCEPTION
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS v_message = MESSAGE_TEXT, v_hint = PG_EXCEPTION_HINT, v_code = RETURNED_SQLSTATE;
        RAISE EXCEPTION USING MESSAGE = v_message, ERRCODE = v_code, TABLE = v_model.source,
            HINT = coalesce(nullif(v_hint, ''), ml_internal.reading_hint(v_model.source));
END
$$;
CREATE OR REPLACE VIEW public.ml_prediction_outcomes WITH (security_invoker = true) AS
SELECT
    s.job_id,
    s.model_id,
    o.key,
    o.moment,
    o.probability,
    o.probability > s.threshold AS is_predicted,
    o.outcome,
    o.reason
FROM public.ml_scorings s
CROSS JOIN LATERAL ml_internal.outcomes_of_jobs(s.model_id, ARRAY[s.job_id], s.score_start, s.score_end) o;
CREATE OR REPLACE FUNCTION ml_internal.answered_periods(
    p_model_id bigint,
    p_start timestamptz DEFAULT NULL,
    p_end timestamptz DEFAULT NULL
)
RETURNS TABLE (
    job_ids bigint [],
    period_start timestamptz,
    period_end timestamptz
)
LANGUAGE sql
STABLE
ROWS 10
SET search_path TO pg_catalog, pg_temp
AS $$
    WITH asked AS MATERIALIZED (
        SELECT s.job_id, greatest(s.score_start, p_start) AS score_start, least(s.score_end, p_end) AS score_end
        FROM public.ml_scorings s
        WHERE s.model_id = p_model_id AND greatest(s.score_start, p_start) < least(s.score_end, p_end)
    )
    SELECT array_agg(a.job_id), min(a.score_start), max(a.score_end)
    FROM (SELECT range_agg(tstzrange(x.score_start - interval '1 day', x.score_end)) AS all_of_them FROM asked x) r
    CROSS JOIN LATERAL unnest(r.all_of_them) p (period)
    JOIN asked a ON a.score_start <@ p.period
    GROUP BY p.period;
$$;
CREATE OR REPLACE FUNCTION ml.outcomes(
    model bigint,
    period_start timestamptz DEFAULT NULL,
    period_end timestamptz DEFAULT NULL,
    of_key text DEFAULT NULL
)
RETURNS SETOF public.ml_prediction_outcomes
LANGUAGE sql
STABLE
ROWS 10000
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT o.job_id, outcomes.model, o.key, o.moment, o.probability, o.probability > (SELECT m.threshold FROM public.ml_models m WHERE m.id = outcomes.model), o.outcome, o.reason
    FROM ml_internal.answered_periods(outcomes.model, period_start, period_end) p
    CROSS JOIN LATERAL ml_internal.outcomes_of_jobs(outcomes.model, p.job_ids, p.period_start, p.period_end, of_key) o;
$$;
CREATE OR REPLACE FUNCTION ml.outcomes(
    model text,
    period_start timestamptz DEFAULT NULL,
    period_end timestamptz DEFAULT NULL,
    of_key text DEFAULT NULL
)
RETURNS SETOF public.ml_prediction_outcomes
LANGUAGE sql
STABLE
ROWS 10000
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT * FROM ml.outcomes(ml_internal.find_model(model), period_start, period_end, of_key);
$$;
CREATE OR REPLACE FUNCTION ml_internal.quality_by_day(
    p_model_id bigint,
    p_start timestamptz DEFAULT NULL,
    p_end timestamptz DEFAULT NULL
)
RETURNS TABLE (
    day date,
    num_answers bigint,
    num_known bigint,
    tp bigint,
    fp bigint,
    tn bigint,
    fn bigint,
    accuracy numeric,
    f1_score numeric,
    precision_score numeric,
    recall numeric,
    roc_auc numeric,
    brier_score numeric,
    test_id bigint,
    test_samples bigint,
    test_accuracy numeric,
    test_f1_score numeric,
    test_precision_score numeric,
    test_recall numeric,
    test_roc_auc numeric,
    test_brier_score numeric,
    test_overlap text
)
LANGUAGE sql
STABLE
ROWS 100
SET search_path TO pg_catalog, pg_temp
SET jit TO off
AS $$
    WITH answers AS (
        SELECT
            (o.moment AT TIME ZONE 'UTC')::date AS day, o.probability, o.outcome,
            o.job_id = max(o.job_id) OVER (PARTITION BY o.moment, o.key COLLATE "C") AS is_newest
        FROM ml_internal.answered_periods(p_model_id, p_start, p_end) p
        CROSS JOIN LATERAL ml_internal.outcomes_of_jobs(p_model_id, p.job_ids, p.period_start, p.period_end) o
    ),
    probabilities AS (
        SELECT
            a.day, a.probability, count(*) AS num_answers,
            count(*) FILTER (WHERE a.outcome) AS positive,
            count(*) FILTER (WHERE NOT a.outcome) AS negative
        FROM answers a
        WHERE a.is_newest
        GROUP BY a.day, a.probability
    ),
    ranked AS (
        SELECT
            p.*,
            (SELECT m.threshold FROM public.ml_models m WHERE m.id = p_model_id) AS threshold,
            p.positive * (sum(p.negative) OVER (PARTITION BY p.day ORDER BY p.probability) - p.negative / 2.0) AS won
        FROM probabilities p
    ),
    days AS (
        SELECT
            r.day,
            sum(r.num_answers)::bigint AS num_answers,
            sum(r.positive + r.negative)::bigint AS num_known,
            coalesce(sum(r.positive) FILTER (WHERE r.probability > r.threshold), 0)::bigint AS tp,
            coalesce(sum(r.negative) FILTER (WHERE r.probability > r.threshold), 0)::bigint AS fp,
            coalesce(sum(r.negative) FILTER (WHERE r.probability <= r.threshold), 0)::bigint AS tn,
            coalesce(sum(r.positive) FILTER (WHERE r.probability <= r.threshold), 0)::bigint AS fn,
            sum(r.won) / nullif(sum(r.positive) * sum(r.negative), 0) AS roc_auc,
            sum(r.positive * (1 - r.probability) ^ 2 + r.negative * r.probability ^ 2) AS squares
        FROM ranked r
        GROUP BY r.day
    )
    SELECT
        d.day, d.num_answers, d.num_known, d.tp, d.fp, d.tn, d.fn,
        round(ml_internal.accuracy(d.tp, d.tn, d.fp, d.fn), 4),
        round(ml_internal.f1_score(d.tp, d.fp, d.fn), 4),
        round(ml_internal.precision_score(d.tp, d.fp), 4),
        round(ml_internal.recall_score(d.tp, d.fn), 4),
        round(d.roc_auc, 4),
        round((d.squares / nullif(d.num_known, 0))::numeric, 4),
        t.id, t.num_samples, t.accuracy, t.f1_score, t.precision_score, t.recall, t.roc_auc,
        t.brier_score,
        t.overlap_note
    FROM days d
    LEFT JOIN (
        SELECT x.*
        FROM public.ml_test_results x
        WHERE x.model_id = p_model_id
        ORDER BY x.created_at DESC, x.id DESC
        LIMIT 1
    ) t ON true
    ORDER BY d.day;
$$;
CREATE OR REPLACE VIEW public.ml_prediction_quality WITH (security_invoker = true) AS
SELECT m.id AS model_id, m.name AS model_name, q.*
FROM public.ml_models m
CROSS JOIN LATERAL ml_internal.quality_by_day(m.id) q;
CREATE OR REPLACE FUNCTION ml.quality(
    model bigint,
    period_start timestamptz DEFAULT NULL,
    period_end timestamptz DEFAULT NULL
)
RETURNS SETOF public.ml_prediction_quality
LANGUAGE sql
STABLE
ROWS 100
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT m.id, m.name, q.*
    FROM public.ml_models m
    CROSS JOIN LATERAL ml_internal.quality_by_day(m.id, period_start, period_end) q
    WHERE m.id = quality.model;
$$;
CREATE OR REPLACE FUNCTION ml.quality(
    model text,
    period_start timestamptz DEFAULT NULL,
    period_end timestamptz DEFAULT NULL
)
RETURNS SETOF public.ml_prediction_quality
LANGUAGE sql
STABLE
ROWS 100
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT * FROM ml.quality(ml_internal.find_model(model), period_start, period_end);
$$;
CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_prediction_outcomes, public.ml_prediction_quality');
CALL ml_internal.allow('ml_reader', 'EXECUTE', '
    ml.outcomes, ml.quality, ml_internal.judged_query, ml_internal.outcomes_of_jobs, ml_internal.answered_periods, ml_internal.quality_by_day
');
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE VIEW public.ml_test_days WITH (security_invoker = true) AS
SELECT
    t.id AS test_id,
    t.job_id,
    t.model_id,
    m.name AS model_name,
    t.test_start AS period_start,
    t.test_end AS period_end,
    c.day,
    c.tp + c.fp + c.tn + c.fn AS num_samples,
    c.tp + c.fn AS num_positive,
    c.fp + c.tn AS num_negative,
    c.tp,
    c.fp,
    c.tn,
    c.fn,
    round(ml_internal.accuracy(c.tp, c.tn, c.fp, c.fn), 4) AS accuracy,
    round(ml_internal.precision_score(c.tp, c.fp), 4) AS precision_score,
    round(ml_internal.recall_score(c.tp, c.fn), 4) AS recall,
    round(ml_internal.f1_score(c.tp, c.fp, c.fn), 4) AS f1_score,
    round(ml_internal.mcc(c.tp, c.tn, c.fp, c.fn), 4) AS mcc,
    c.roc_auc
FROM public.ml_test_day_counts c
JOIN public.ml_test_results t ON t.job_id = c.job_id
JOIN public.ml_models m ON m.id = t.model_id;
CREATE OR REPLACE VIEW public.ml_test_coins WITH (security_invoker = true) AS
SELECT
    t.id AS test_id,
    t.job_id,
    t.model_id,
    m.name AS model_name,
    t.test_start AS period_start,
    t.test_end AS period_end,
    c.place,
    c.key,
    c.num_coins,
    c.tp + c.fp + c.tn + c.fn AS num_samples,
    c.tp + c.fn AS num_positive,
    c.fp + c.tn AS num_negative,
    c.tp,
    c.fp,
    c.tn,
    c.fn,
    round(ml_internal.accuracy(c.tp, c.tn, c.fp, c.fn), 4) AS accuracy,
    round(ml_internal.precision_score(c.tp, c.fp), 4) AS precision_score,
    round(ml_internal.recall_score(c.tp, c.fn), 4) AS recall,
    round(ml_internal.f1_score(c.tp, c.fp, c.fn), 4) AS f1_score,
    round(ml_internal.mcc(c.tp, c.tn, c.fp, c.fn), 4) AS mcc
FROM public.ml_test_coin_counts c
JOIN public.ml_test_results t ON t.job_id = c.job_id
JOIN public.ml_models m ON m.id = t.model_id;
CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_test_days, public.ml_test_coins');
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE VIEW public.ml_measurements WITH (security_invoker = true) AS
SELECT
    x.model_id,
    m.name AS model_name,
    m.model_type,
    x.source,
    x.source_id,
    x.job_id,
    coalesce(x.test_start, m.train_start) AS period_start,
    coalesce(x.test_end, m.train_end) AS period_end,
    x.created_at,
    x.num_samples,
    x.num_positive,
    x.num_negative,
    x.tp,
    x.fp,
    x.tn,
    x.fn,
    x.accuracy,
    x.precision_score,
    x.recall,
    x.f1_score,
    x.roc_auc,
    x.average_precision,
    x.mcc,
    x.log_loss,
    x.brier_score,
    x.threshold AS model_threshold,
    coalesce(x.tp_at_half, x.tp) AS tp_at_half,
    coalesce(x.fp_at_half, x.fp) AS fp_at_half,
    x.accuracy_at_half,
    x.precision_at_half,
    x.recall_at_half,
    x.f1_at_half,
    x.best_baseline,
    x.baseline_f1,
    x.beats_baseline
FROM (
    SELECT
        r.model_id, 'training' AS source, r.id AS source_id, r.job_id,
        NULL::timestamptz AS test_start, NULL::timestamptz AS test_end,
        r.created_at, r.num_samples, r.num_positive, r.num_negative, r.tp, r.fp, r.tn, r.fn,
        r.accuracy, r.precision_score, r.recall, r.f1_score, r.roc_auc, r.average_precision, r.mcc, r.log_loss, r.brier_score,
        r.threshold, r.tp_at_half, r.fp_at_half, r.accuracy_at_half, r.precision_at_half, r.recall_at_half, r.f1_at_half,
        r.best_baseline, r.baseline_f1, r.beats_baseline
    FROM public.ml_training_runs r
    UNION ALL
    SELECT
        t.model_id, 'test' AS source, t.id AS source_id, t.job_id, t.test_start, t.test_end,
        t.created_at, t.num_samples, t.num_positive, t.num_negative, t.tp, t.fp, t.tn, t.fn,
        t.accuracy, t.precision_score, t.recall, t.f1_score, t.roc_auc, t.average_precision, t.mcc, t.log_loss, t.brier_score,
        t.threshold, t.tp_at_half, t.fp_at_half, t.accuracy_at_half, t.precision_at_half, t.recall_at_half, t.f1_at_half,
        t.best_baseline, t.baseline_f1, t.beats_baseline
    FROM public.ml_test_results t
) x
JOIN public.ml_models m ON m.id = x.model_id;
CREATE OR REPLACE VIEW public.ml_threshold_sweep WITH (security_invoker = true) AS
SELECT
    s.model_id,
    s.model_name,
    s.source,
    s.source_id,
    s.period_start,
    s.period_end,
    p.threshold,
    p.tp,
    p.fp,
    p.tn,
    p.fn,
    (p.tp + p.tn)::double precision / nullif(s.num_samples, 0) AS accuracy,
    p.tp::double precision / nullif(p.tp + p.fp, 0) AS precision_score,
    p.tp::double precision / nullif(p.tp + p.fn, 0) AS recall,
    2 * p.tp::double precision / nullif(2 * p.tp + p.fp + p.fn, 0) AS f1_score
FROM public.ml_measurements s
JOIN public.ml_curve_points p ON p.job_id = s.job_id;
CREATE OR REPLACE VIEW public.ml_roc_curve WITH (security_invoker = true) AS
SELECT
    s.model_id,
    s.model_name,
    s.source,
    s.source_id,
    s.period_start,
    s.period_end,
    x.threshold,
    x.fp::double precision / nullif(s.num_negative, 0) AS fpr,
    x.tp::double precision / nullif(s.num_positive, 0) AS tpr
FROM public.ml_measurements s
JOIN public.ml_curve_points p ON p.job_id = s.job_id
CROSS JOIN LATERAL (
    SELECT p.threshold, p.tp, p.fp
    UNION ALL
    SELECT NULL, p.tp + p.fn, p.fp + p.tn WHERE p.threshold = 0 AND p.tn + p.fn > 0
) x;
CREATE OR REPLACE VIEW public.ml_pr_curve WITH (security_invoker = true) AS
SELECT
    s.model_id,
    s.model_name,
    s.source,
    s.source_id,
    s.period_start,
    s.period_end,
    x.threshold,
    x.tp::double precision / nullif(s.num_positive, 0) AS recall,
    x.tp::double precision / (x.tp + x.fp) AS precision_score
FROM public.ml_measurements s
JOIN public.ml_curve_points p ON p.job_id = s.job_id
CROSS JOIN LATERAL (
    SELECT p.threshold, p.tp, p.fp WHERE p.tp + p.fp > 0
    UNION ALL
    SELECT NULL, p.tp + p.fn, p.fp + p.tn WHERE p.threshold = 0 AND p.tn + p.fn > 0
) x;
CREATE OR REPLACE VIEW public.ml_calibration WITH (security_invoker = true) AS
SELECT
    s.model_id,
    s.model_name,
    s.source,
    s.source_id,
    s.period_start,
    s.period_end,
    b.bin,
    low.threshold AS bin_start,
    high.threshold AS bin_end,
    n.num_samples,
    (low.sum_probability - high.sum_probability) / nullif(n.num_samples, 0) AS mean_predicted,
    n.num_positive::double precision / nullif(n.num_samples, 0) AS share_positive
FROM public.ml_measurements s
CROSS JOIN generate_series(1, 10) b (bin)
JOIN public.ml_curve_points low ON low.job_id = s.job_id AND low.threshold = (b.bin - 1) / 10::double precision
JOIN public.ml_curve_points high ON high.job_id = s.job_id AND high.threshold = b.bin / 10::double precision
CROSS JOIN LATERAL (
    SELECT
        CASE b.bin WHEN 1 THEN s.num_positive ELSE low.tp END - high.tp AS num_positive,
        CASE b.bin WHEN 1 THEN s.num_samples ELSE low.tp + low.fp END - high.tp - high.fp AS num_samples
) n;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.f1_standard_error(
    tp bigint,
    fp bigint,
    fn bigint
)
RETURNS double precision
LANGUAGE plpgsql -- of which a plan is kept
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_j double precision := tp::double precision / nullif(tp + fp + fn, 0);
BEGIN
    RETURN 2 / (1 + v_j) ^ 2 * sqrt(v_j * (1 - v_j) / (tp + fp + fn));
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.greatest_of_equals(
    n bigint
)
RETURNS double precision
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_t double precision;
BEGIN
    IF n <= 5 THEN
        RETURN ('{0,0.56419,0.84628,1.02938,1.16296}'::double precision [])[n];
    END IF;
    v_t := sqrt(-2 * ln(0.625::double precision / (n + 0.25)));
    RETURN v_t - (2.515517 + 0.802853 * v_t + 0.010328 * v_t ^ 2) / (1 + 1.432788 * v_t + 0.189269 * v_t ^ 2 + 0.001308 * v_t ^ 3);
END
$$;
CREATE OR REPLACE VIEW public.ml_leaderboard WITH (security_invoker = true) AS
SELECT
    e.rank_by_f1,
    e.rank_by_roc_auc,
    e.rank_by_average_precision,
    e.id,
    e.name,
    e.model_type,
    e.target,
    e.training_accuracy,
    e.training_f1,
    e.training_roc_auc,
    e.training_average_precision,
    e.test_start,
    e.test_end,
    e.test_samples,
    e.test_accuracy,
    e.test_f1,
    e.test_precision,
    e.test_recall,
    e.test_roc_auc,
    e.test_average_precision,
    e.test_overlap,
    e.tests,
    e.comparisons_won,
    e.created_at,
    e.source,
    e.phases_csv,
    CASE
        WHEN e.test_id IS NOT NULL THEN NULL
        WHEN e.test_overlap IS NOT NULL THEN 'no test outside the training period: ' || e.test_overlap
        ELSE 'not tested'
    END AS rank_note,
    g.num_models AS num_models_tried,
    g.num_tests AS num_tests_tried,
    CASE WHEN e.test_id IS NOT NULL
        THEN least(1, round((e.mean_f1 + e.standard_error * ml_internal.greatest_of_equals(g.num_models))::numeric, 4))
    END AS best_of_equals_f1,
    e.threshold,
    e.test_f1_at_half,
    e.test_mcc,
    e.test_log_loss,
    e.test_brier_score,
    e.f1_lower AS test_f1_lower,
    e.f1_upper AS test_f1_upper,
    e.roc_auc_lower AS test_roc_auc_lower,
    e.roc_auc_upper AS test_roc_auc_upper,
    e.effective_rows AS test_effective_rows,
    CASE WHEN e.folds > 0 THEN ml_internal.folds_text(e.train_job_id) END AS later_periods,
    e.best_baseline,
    e.baseline_f1,
    e.beats_baseline
FROM (
    SELECT
        a.*,
        CASE WHEN a.test_id IS NOT NULL THEN rank() OVER (
            of_group ORDER BY a.test_f1 DESC NULLS LAST, a.test_accuracy DESC NULLS LAST, a.training_f1 DESC NULLS LAST
        ) END AS rank_by_f1,
        CASE WHEN a.test_id IS NOT NULL THEN rank() OVER (
            of_group ORDER BY a.test_roc_auc DESC NULLS LAST, a.training_roc_auc DESC NULLS LAST
        ) END AS rank_by_roc_auc,
        CASE WHEN a.test_id IS NOT NULL THEN rank() OVER (
            of_group ORDER BY a.test_average_precision DESC NULLS LAST, a.training_average_precision DESC NULLS LAST
        ) END AS rank_by_average_precision,
        avg(a.test_f1) OVER of_group AS mean_f1,
        sqrt(avg(a.standard_error_of_one ^ 2) OVER of_group) AS standard_error
    FROM (
        SELECT
            m.id, m.name, m.model_type, m.target_variable, m.target_operator, m.target_value, m.future_minutes,
            m.label, m.base_variable, m.stop_value, m.uncovered, m.source, m.phases_csv, m.threshold, m.created_at,
            ml_internal.label_text(m) AS target,
            m.training_accuracy, m.training_f1, r.roc_auc AS training_roc_auc, r.average_precision AS training_average_precision,
            t.id AS test_id, t.test_start, t.test_end, t.num_samples AS test_samples,
            t.accuracy AS test_accuracy, t.f1_score AS test_f1, t.precision_score AS test_precision, t.recall AS test_recall,
            t.roc_auc AS test_roc_auc, t.average_precision AS test_average_precision, t.f1_at_half AS test_f1_at_half,
            t.mcc AS test_mcc, t.log_loss AS test_log_loss, t.brier_score AS test_brier_score,
            CASE WHEN t.id IS NULL THEN (
                SELECT x.overlap_note FROM public.ml_test_results x WHERE x.model_id = m.id ORDER BY x.created_at DESC, x.id DESC LIMIT 1
            ) END AS test_overlap,
            (SELECT count(*) FROM public.ml_test_results x WHERE x.model_id = m.id) AS tests,
            (SELECT count(*) FROM public.ml_comparisons c WHERE c.winner_id = m.id) AS comparisons_won,
            i.f1_lower, i.f1_upper, i.roc_auc_lower, i.roc_auc_upper, i.effective_rows,
            t.best_baseline, t.baseline_f1, t.beats_baseline, m.train_job_id, m.folds,
            coalesce((i.f1_upper - i.f1_lower)::double precision / 3.92, ml_internal.f1_standard_error(t.tp, t.fp, t.fn)) AS standard_error_of_one
        FROM public.ml_models m
        LEFT JOIN public.ml_training_runs r ON r.model_id = m.id
        LEFT JOIN LATERAL (
            SELECT DISTINCT ON (x.test_start, x.test_end) x.*
            FROM public.ml_test_results x
            WHERE x.model_id = m.id AND NOT x.has_overlap
            ORDER BY x.test_start, x.test_end, x.created_at DESC, x.id DESC
        ) t ON true
        LEFT JOIN LATERAL (
            SELECT
                max(x.lower) FILTER (WHERE x.metric = 'f1') AS f1_lower,
                max(x.upper) FILTER (WHERE x.metric = 'f1') AS f1_upper,
                max(x.lower) FILTER (WHERE x.metric = 'roc_auc') AS roc_auc_lower,
                max(x.upper) FILTER (WHERE x.metric = 'roc_auc') AS roc_auc_upper,
                max(x.effective_rows) AS effective_rows
            FROM public.ml_intervals x
            WHERE x.job_id = t.job_id AND x.side = 'model'
        ) i ON true
        WHERE m.status = 'READY' AND NOT m.is_deleted
    ) a
    WINDOW of_group AS (
        PARTITION BY
            a.source, a.label, a.target_variable, a.target_operator, a.target_value, a.future_minutes, a.base_variable,
            a.stop_value, a.uncovered, a.phases_csv, a.test_start, a.test_end
    )
) e
LEFT JOIN (
    SELECT
        m.source, m.label, m.target_variable, m.target_operator, m.target_value, coalesce(m.future_minutes, 0) AS future_minutes,
        coalesce(m.base_variable, '') AS base_variable, coalesce(m.stop_value, 0) AS stop_value, coalesce(m.uncovered, '') AS uncovered,
        coalesce(m.phases_csv, '') AS phases_csv, x.test_start, x.test_end, count(*) AS num_models, sum(x.num_tests)::bigint AS num_tests
    FROM (
        SELECT t.model_id, t.test_start, t.test_end, count(*) AS num_tests
        FROM public.ml_test_results t
        WHERE NOT t.has_overlap
        GROUP BY t.model_id, t.test_start, t.test_end
    ) x
    JOIN public.ml_models m ON m.id = x.model_id
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
) g ON g.source = e.source AND g.label = e.label AND g.target_variable = e.target_variable AND g.target_operator = e.target_operator
    AND g.target_value = e.target_value AND g.future_minutes = coalesce(e.future_minutes, 0)
    AND g.base_variable = coalesce(e.base_variable, '') AND g.stop_value = coalesce(e.stop_value, 0)
    AND g.uncovered = coalesce(e.uncovered, '') AND g.phases_csv = coalesce(e.phases_csv, '')
    AND g.test_start = e.test_start AND g.test_end = e.test_end
ORDER BY
    e.target_variable, e.target_operator, e.target_value, e.future_minutes, e.target,
    e.test_end DESC NULLS LAST, e.test_start DESC, e.phases_csv, e.rank_by_f1, e.id;
CREATE OR REPLACE VIEW public.ml_model_features WITH (security_invoker = true) AS
SELECT
    m.id AS model_id,
    m.name AS model_name,
    f.place::integer AS place,
    btrim(f.feature) AS feature,
    substring(i.item FROM '=([+-]?([0-9]{1,30}([.][0-9]{0,30})?|[.][0-9]{1,30})([eE][+-]?[0-9]{1,3})?)$')::numeric AS importance
FROM public.ml_models m
CROSS JOIN LATERAL unnest(string_to_array(m.features_csv, ',')) WITH ORDINALITY AS f (feature, place)
LEFT JOIN LATERAL unnest(string_to_array(m.feature_importance_csv, ';')) AS i (item) ON substring(i.item FROM '^(.*)=') = btrim(f.feature)
ORDER BY m.id, importance DESC NULLS LAST, f.place;
CREATE OR REPLACE VIEW public.ml_model_params WITH (security_invoker = true) AS
SELECT
    m.id AS model_id,
    m.name AS model_name,
    p.name AS param,
    p.kind,
    coalesce(g.value, p.default_value) AS value,
    g.value IS NOT NULL AS is_given,
    p.default_value,
    p.description
FROM public.ml_models m
JOIN public.ref_model_params p ON p.model_type = m.model_type
LEFT JOIN LATERAL (
    SELECT split_part(i.item, '=', 2) AS value
    FROM unnest(string_to_array(m.params_csv, ';')) AS i (item)
    WHERE split_part(i.item, '=', 1) = p.name
) g ON true
ORDER BY m.id, is_given DESC, p.name;
SET search_path TO pg_catalog, pg_temp;
CREATE INDEX IF NOT EXISTS ml_jobs_ended
ON public.ml_jobs (completed_at) INCLUDE (job_type, status, created_at, started_at, attempt, worker_id)
WHERE completed_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS ml_jobs_created ON public.ml_jobs (created_at) INCLUDE (job_type);
CREATE INDEX IF NOT EXISTS ml_jobs_stopped ON public.ml_jobs (completed_at) WHERE status IN ('FAILED', 'CANCELLED');
CREATE INDEX IF NOT EXISTS ml_job_events_lost
ON public.ml_job_events (created_at) INCLUDE (job_id, attempt, event)
WHERE event IN ('EXPIRED', 'RELEASED');
CREATE INDEX IF NOT EXISTS ml_models_types ON public.ml_models (id) INCLUDE (model_type, is_deleted);
CREATE OR REPLACE VIEW public.ml_last_days WITH (security_invoker = true) AS
SELECT
    d.day,
    d.day::timestamp AT TIME ZONE 'UTC' AS day_start,
    (d.day + 1)::timestamp AT TIME ZONE 'UTC' AS day_end
FROM (SELECT (now() AT TIME ZONE 'UTC')::date - n AS day FROM generate_series(0, 29) n) d;
CREATE OR REPLACE VIEW public.ml_daily_jobs WITH (security_invoker = true) AS
SELECT d.day, x.job_type, x.submitted, x.completed, x.failed, x.cancelled, x.retried
FROM public.ml_last_days d
CROSS JOIN LATERAL (
    SELECT
        t.job_type,
        coalesce(s.submitted, 0) AS submitted,
        coalesce(e.completed, 0) AS completed,
        coalesce(e.failed, 0) AS failed,
        coalesce(e.cancelled, 0) AS cancelled,
        coalesce(e.retried, 0) AS retried
    FROM ml.job_kinds t
    LEFT JOIN (
        SELECT j.job_type, count(*) AS submitted
        FROM public.ml_jobs j
        WHERE j.created_at >= d.day_start AND j.created_at < d.day_end
        GROUP BY j.job_type
    ) s ON s.job_type = t.job_type
    LEFT JOIN (
        SELECT
            j.job_type,
            count(*) FILTER (WHERE j.status = 'COMPLETED') AS completed,
            count(*) FILTER (WHERE j.status = 'FAILED') AS failed,
            count(*) FILTER (WHERE j.status = 'CANCELLED') AS cancelled,
            count(*) FILTER (WHERE j.attempt > 1) AS retried
        FROM public.ml_jobs j
        WHERE j.completed_at >= d.day_start AND j.completed_at < d.day_end
        GROUP BY j.job_type
    ) e ON e.job_type = t.job_type
) x;
CREATE OR REPLACE VIEW public.ml_daily_durations WITH (security_invoker = true) AS
SELECT
    d.day,
    x.job_type,
    coalesce(x.completed, 0) AS completed,
    x.waiting [1] AS waiting_p50,
    x.waiting [2] AS waiting_p90,
    x.waiting [3] AS waiting_p99,
    x.running [1] AS running_p50,
    x.running [2] AS running_p90,
    x.running [3] AS running_p99
FROM public.ml_last_days d
CROSS JOIN LATERAL (
    SELECT t.job_type, e.completed, e.waiting, e.running
    FROM ml.job_kinds t
    LEFT JOIN (
        SELECT
            j.job_type,
            count(*) AS completed,
            percentile_cont('{0.5,0.9,0.99}'::double precision []) WITHIN GROUP (ORDER BY date_part('epoch', j.started_at - j.created_at)) AS waiting,
            percentile_cont('{0.5,0.9,0.99}'::double precision []) WITHIN GROUP (ORDER BY date_part('epoch', j.completed_at - j.started_at)) AS running
        FROM public.ml_jobs j
        WHERE j.completed_at >= d.day_start AND j.completed_at < d.day_end AND j.status = 'COMPLETED'
        GROUP BY j.job_type
    ) e ON e.job_type = t.job_type
) x;
CREATE OR REPLACE VIEW public.ml_daily_losses WITH (security_invoker = true) AS
SELECT
    (e.created_at AT TIME ZONE 'UTC')::date AS day,
    j.job_type,
    count(*) FILTER (WHERE e.event = 'EXPIRED') AS expired,
    count(*) FILTER (WHERE e.event = 'RELEASED') AS released,
    count(DISTINCT e.job_id) AS jobs
FROM public.ml_job_events e
JOIN public.ml_jobs j ON j.id = e.job_id
WHERE e.event IN ('EXPIRED', 'RELEASED') AND e.created_at >= date_trunc('day', now(), 'UTC') - interval '29 days'
GROUP BY day, j.job_type;
CREATE OR REPLACE VIEW public.ml_failures WITH (security_invoker = true) AS
SELECT
    f.job_type,
    f.reason,
    count(*) AS failures,
    min(f.completed_at) AS first_at,
    max(f.completed_at) AS last_at,
    max(f.id) AS example_job_id,
    (array_agg(f.error_msg ORDER BY f.id DESC))[1] AS example
FROM (
    SELECT
        j.job_type, j.completed_at, j.id, j.error_msg,
        regexp_replace(left(j.error_msg, 300), E'"[^"]*"|''[^'']*''|\\d[\\w.:+-]*', '...', 'g') AS reason
    FROM public.ml_jobs j
    WHERE j.status = 'FAILED' AND j.completed_at >= date_trunc('day', now(), 'UTC') - interval '29 days'
) f
GROUP BY f.job_type, f.reason;
CREATE OR REPLACE VIEW public.ml_artifact_sizes WITH (security_invoker = true) AS
SELECT
    m.model_type,
    count(*) AS artifacts,
    count(*) FILTER (WHERE m.is_deleted) AS of_deleted_models,
    sum(r.artifact_bytes)::bigint AS total_bytes,
    round(avg(r.artifact_bytes))::bigint AS mean_bytes,
    max(r.artifact_bytes) AS largest_bytes
FROM public.ml_training_runs r
JOIN public.ml_models m ON m.id = r.model_id
GROUP BY m.model_type;
CREATE OR REPLACE VIEW public.ml_daily_quality WITH (security_invoker = true) AS
SELECT
    t.day,
    m.model_type,
    count(*) AS tests,
    max(t.f1_score) AS best_f1,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY t.f1_score) AS median_f1,
    max(t.roc_auc) AS best_roc_auc,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY t.roc_auc) AS median_roc_auc
FROM (
    SELECT (r.created_at AT TIME ZONE 'UTC')::date AS day, r.model_id, r.f1_score, r.roc_auc
    FROM public.ml_test_results r
    WHERE r.created_at >= date_trunc('day', now(), 'UTC') - interval '29 days'
) t
JOIN public.ml_models m ON m.id = t.model_id
GROUP BY t.day, m.model_type;
CREATE OR REPLACE VIEW public.ml_worker_days WITH (security_invoker = true) AS
WITH by_end AS MATERIALIZED (
    SELECT d.day_start, x.worker_id, x.attempts, x.busy, x.started_before
    FROM public.ml_last_days d
    CROSS JOIN LATERAL (
        SELECT
            j.worker_id,
            count(*) AS attempts,
            sum(j.completed_at - greatest(j.started_at, d.day_start)) AS busy,
            array_agg(j.started_at) FILTER (WHERE j.started_at < d.day_start) AS started_before
        FROM public.ml_jobs j
        WHERE j.completed_at >= d.day_start AND j.completed_at < d.day_end AND j.status = 'COMPLETED'
        GROUP BY j.worker_id
    ) x
    UNION ALL
    SELECT
        a.day_start,
        a.worker_id,
        count(*) AS attempts,
        sum(a.ended_at - greatest(a.started_at, a.day_start)) AS busy,
        array_agg(a.started_at) FILTER (WHERE a.started_at < a.day_start) AS started_before
    FROM (
        SELECT date_trunc('day', j.completed_at, 'UTC') AS day_start, j.worker_id, j.started_at, j.completed_at AS ended_at
        FROM public.ml_jobs j
        WHERE j.status IN ('FAILED', 'CANCELLED') AND j.completed_at >= date_trunc('day', now(), 'UTC') - interval '29 days'
            AND j.started_at IS NOT NULL
            AND NOT EXISTS (
                SELECT
                FROM public.ml_job_events e
                WHERE e.job_id = j.id AND e.attempt = j.attempt AND e.event IN ('EXPIRED', 'RELEASED')
            )
        UNION ALL
        SELECT date_trunc('day', e.created_at, 'UTC') AS day_start, c.worker_id, c.created_at AS started_at, e.created_at AS ended_at
        FROM public.ml_job_events e
        JOIN public.ml_job_events c ON c.job_id = e.job_id AND c.attempt = e.attempt AND c.event = 'CLAIMED'
        WHERE e.event IN ('EXPIRED', 'RELEASED') AND e.created_at >= date_trunc('day', now(), 'UTC') - interval '29 days'
        UNION ALL
        SELECT date_trunc('day', now(), 'UTC') AS day_start, j.worker_id, j.started_at, now() AS ended_at
        FROM public.ml_jobs j
        WHERE j.status = 'RUNNING' AND j.started_at <= now()
    ) a
    GROUP BY a.day_start, a.worker_id
)
SELECT
    d.day,
    p.worker_id,
    split_part(p.worker_id, ':', 1) AS host,
    sum(p.attempts)::bigint AS attempts,
    date_part('epoch', sum(p.busy)) AS busy_seconds,
    date_part('epoch', sum(p.busy)) / nullif(date_part('epoch', least(d.day_end, now()) - d.day_start), 0) AS busy_share
FROM (
    SELECT e.worker_id, e.day_start, e.attempts, e.busy
    FROM by_end e
    UNION ALL
    SELECT e.worker_id, b.day_start, 0, b.day_end - greatest(s.started_at, b.day_start)
    FROM by_end e
    CROSS JOIN unnest(e.started_before) s (started_at)
    JOIN public.ml_last_days b ON b.day_start < e.day_start AND b.day_end > s.started_at
) p
JOIN public.ml_last_days d ON d.day_start = p.day_start
GROUP BY d.day, d.day_start, d.day_end, p.worker_id;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE VIEW public.ml_dim_models WITH (security_invoker = true) AS
SELECT
    m.id AS model_id,
    m.name AS model_name,
    m.model_type,
    m.status,
    m.is_deleted,
    m.created_at,
    m.deleted_at,
    ml_internal.label_text(m) AS target,
    m.target_variable,
    m.target_operator,
    m.target_value,
    m.future_minutes,
    m.train_start,
    m.train_end,
    m.test_size,
    m.random_state,
    m.description,
    m.train_job_id AS job_id,
    m.label,
    m.base_variable,
    m.stop_value,
    m.uncovered,
    m.source,
    m.threshold_rule,
    m.threshold,
    m.split,
    m.folds,
    m.weights
FROM public.ml_models m;
CREATE OR REPLACE VIEW public.ml_dim_features WITH (security_invoker = true) AS
SELECT c.column_name AS feature, c.data_type, c.description, c.source
FROM (
    SELECT m.column_name, m.data_type, col_description(a.attrelid, a.attnum) AS description, m.source
    FROM public.ml_metric_columns m
    JOIN public.ml_sources s ON s.name = m.source
    JOIN pg_catalog.pg_namespace n ON n.nspname = s.schema_name
    JOIN pg_catalog.pg_class r ON r.relnamespace = n.oid AND r.relname = s.relation_name
    JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attname = m.column_name
    WHERE m.is_numeric
) c;
CREATE OR REPLACE VIEW public.ml_fact_jobs WITH (security_invoker = true) AS
SELECT
    j.id AS job_id,
    j.job_type,
    j.status,
    j.priority,
    j.created_at,
    j.started_at,
    j.completed_at,
    date_part('epoch', j.started_at - j.created_at) AS waiting_seconds,
    date_part('epoch', CASE j.status WHEN 'RUNNING' THEN now() ELSE j.completed_at END - j.started_at) AS running_seconds,
    j.attempt AS attempts,
    j.worker_id,
    j.model_id,
    j.model_b_id,
    j.period_start,
    j.period_end,
    j.error_msg,
    j.source
FROM ml.jobs j;
CREATE OR REPLACE VIEW public.ml_fact_importances WITH (security_invoker = true) AS
SELECT
    x.model_id,
    x.source,
    x.source_id,
    substring(i.item FROM '^(.*)=') AS feature,
    i.place::integer AS rank,
    substring(i.item FROM '=([+-]?([0-9]{1,30}([.][0-9]{0,30})?|[.][0-9]{1,30})([eE][+-]?[0-9]{1,3})?)$')::numeric AS importance
FROM (
    SELECT r.model_id, 'training' AS source, r.id AS source_id, r.feature_importance_csv FROM public.ml_training_runs r
    UNION ALL
    SELECT t.model_id, 'test' AS source, t.id AS source_id, t.feature_importance_csv FROM public.ml_test_results t
) x
CROSS JOIN LATERAL unnest(string_to_array(x.feature_importance_csv, ';')) WITH ORDINALITY AS i (item, place)
WHERE i.item LIKE '%=%';
CREATE OR REPLACE VIEW public.ml_fact_intervals WITH (security_invoker = true) AS
SELECT
    i.job_id,
    x.source,
    x.source_id,
    i.side,
    x.model_id,
    x.period_start,
    x.period_end,
    x.created_at,
    i.metric,
    i.estimate,
    i.lower,
    i.upper,
    i.confidence,
    i.num_blocks,
    i.block_seconds,
    x.num_samples,
    i.effective_rows,
    i.reason
FROM public.ml_intervals i
JOIN (
    SELECT m.job_id, 'model' AS side, m.source, m.source_id, m.model_id, m.period_start, m.period_end, m.created_at, m.num_samples
    FROM public.ml_measurements m
    UNION ALL
    SELECT c.job_id, s.side, 'comparison' AS source, c.id, s.model_id, c.test_start, c.test_end, c.created_at, c.num_samples
    FROM public.ml_comparisons c
    CROSS JOIN LATERAL (VALUES ('a', c.model_a_id), ('b', c.model_b_id), ('difference', NULL)) s (side, model_id)
) x ON x.job_id = i.job_id AND x.side = i.side;
CALL ml_internal.allow('ml_reader', 'SELECT', 'public.ml_fact_intervals');
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml.help()
RETURNS TABLE (
    you_want_to text,
    you_type text
)
LANGUAGE plpgsql
STABLE
ROWS 19
SET search_path TO pg_catalog, pg_temp
SET datestyle TO 'ISO, MDY'
AS $$
DECLARE
    v_range record := ml_internal.metrics_range();
    v_start date := coalesce(v_range.first_at, '2024-01-01');
    v_end date := coalesce(v_range.last_at, '2024-04-01') + interval '1 day';
    v_middle date := v_start + (v_end - v_start) * 2 / 3;
    v_job bigint := coalesce((SELECT max(j.id) FROM public.ml_jobs j), 1);
    v_open bigint := coalesce((SELECT max(j.id) FROM public.ml_jobs j WHERE j.completed_at IS NULL), v_job);
    v_models text [] := ARRAY(
        SELECT m.name FROM public.ml_models m WHERE m.status = 'READY' AND NOT m.is_deleted ORDER BY m.id DESC LIMIT 2
    ) || '{my_model,my_other_model}'::text [];
    v_train text := format('''xgboost'', ''price_close'', ''>'', 0.00005, ''price_open,volume_sol'', %L, %L, 10', v_start, v_middle);
BEGIN
    RETURN QUERY
    VALUES
        ('see what a training would find', format('SELECT * FROM ml.preview(%s);', v_train)),
        ('see what could be learned at all', 'SELECT * FROM ml.targets(''price_close'', ''highest_change'', 10);'),
        ('train a model; returns the job''s number', format('SELECT ml.train(%s);', v_train)),
        ('have it choose where to say yes', format('SELECT ml.train(%s, threshold => ''f1'');', v_train)),
        ('train, and measure the recipe in later periods', format('SELECT ml.train(%s, split => ''time'', folds => 5);', v_train)),
        ('see what it gave in each of them', format('SELECT * FROM ml_fact_folds WHERE model_name = %L;', v_models[1])),
        ('test a model on a later period', format('SELECT ml.test(%L, %L, %L);', v_models[1], v_middle, v_end)),
        ('compare two models on the same rows', format('SELECT ml.compare(%L, %L, %L, %L);', v_models[1], v_models[2], v_middle, v_end)),
        ('ask a model about all rows of a period', format('SELECT ml.score(%L, %L, %L);', v_models[1], v_middle, v_end)),
        ('take the newest answer for each coin', format('SELECT * FROM ml.newest_answers(%L) ORDER BY probability DESC LIMIT 10;', v_models[1])),
        ('wait for a job, or for all of yours', format('CALL ml.wait(%s);  CALL ml.wait();', v_job)),
        ('watch the queue', 'SELECT id, status, bar, progress_msg FROM ml_queue;'),
        ('cancel a job', format('CALL ml.cancel_job(%s);', v_open)),
        ('rank the models', 'SELECT rank_by_f1, name, test_f1, test_roc_auc FROM ml_leaderboard;'),
        ('ask a model about rows, at once', format('SELECT c.*, ml.predict(%L, c) AS probability FROM coin_metrics c LIMIT 10;', v_models[1])),
        ('take the rows that it says yes to', format('SELECT * FROM coin_metrics c WHERE ml.decide(%L, c) LIMIT 10;', v_models[1])),
        ('ask why, a feature a row', format('SELECT e.* FROM (SELECT * FROM coin_metrics LIMIT 1) c, ml.explain(%L, c) e;', v_models[1])),
        ('see whether its answers came true', format('SELECT * FROM ml.outcomes(%L) WHERE outcome IS NOT NULL LIMIT 10;', v_models[1])),
        ('see how good they were, a day a row', format('SELECT * FROM ml.quality(%L);', v_models[1])),
        ('read about a model', format('SELECT ml.report(%L);', v_models[1])),
        ('see a job''s rows before it runs', format('SELECT * FROM ml.preview(%s);', v_job)),
        ('find sources to learn from', 'SELECT name, relation_name, key_column, moment_column FROM ml_sources;'),
        ('find columns to learn from', 'SELECT column_name, data_type FROM ml_metric_columns WHERE is_numeric AND source = ''coin_metrics'';'),
        ('find kinds of label', 'SELECT name, description FROM ref_labels;'),
        ('find hyperparameters', 'SELECT name, default_value FROM ref_model_params WHERE model_type = ''xgboost'';'),
        ('see which workers are alive', 'SELECT worker_id, state, job_ids, reason FROM ml_workers;'),
        ('hear of jobs without polling', 'LISTEN ml_job_status;'),
        (
            'as the owner, let others learn from a table or view',
            'CALL ml.add_source(''my_source'', ''public.coin_metrics'', key => ''mint'', moment => ''timestamp'');  CALL ml.remove_source(''my_source'');'
        ),
        ('as the owner, remove what is old', 'CALL ml.prune(''90 days'');'),
        ('as the owner, keep teams apart', 'CALL ml.separate_teams(true);  CALL ml.separate_teams(false);');
END
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE TABLE IF NOT EXISTS ml.teams (
    id integer NOT NULL,
    role oid NOT NULL,
    cluster bigint NOT NULL,
    name name,
    CONSTRAINT teams_pkey PRIMARY KEY (id),
    CONSTRAINT teams_one_a_role UNIQUE (role, cluster)
);
CREATE OR REPLACE FUNCTION ml_internal.team_of(
    p_name name,
    p_role oid
)
RETURNS integer
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_cluster bigint := (SELECT c.system_identifier FROM pg_control_system() c);
    v_id integer;
BEGIN
    IF p_role IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT t.id INTO v_id FROM ml.teams t WHERE t.role = p_role AND t.cluster = v_cluster;
    IF FOUND THEN
        UPDATE ml.teams t SET name = p_name
        WHERE t.id IN (SELECT x.id FROM ml.teams x WHERE x.id = v_id AND x.name IS DISTINCT FROM p_name FOR UPDATE SKIP LOCKED);
        RETURN v_id;
    END IF;
    SELECT max(t.id) INTO v_id FROM ml.teams t WHERE t.name = p_name AND t.cluster <> v_cluster;
    IF v_id IS NOT NULL THEN
        UPDATE ml.teams t SET role = p_role, cluster = v_cluster WHERE t.id = v_id;
        RETURN v_id;
    END IF;
    UPDATE ml.teams t SET name = (SELECT r.rolname FROM pg_roles r WHERE r.oid = t.role)
    WHERE t.id IN (SELECT x.id FROM ml.teams x WHERE x.name = p_name FOR UPDATE SKIP LOCKED);
    LOOP
        INSERT INTO ml.teams (id, role, cluster, name)
        VALUES (1 + floor(random() * 2147483646)::integer, p_role, v_cluster, p_name)
        ON CONFLICT DO NOTHING;
        SELECT t.id INTO v_id FROM ml.teams t WHERE t.role = p_role AND t.cluster = v_cluster;
        EXIT WHEN FOUND;
    END LOOP;
    RETURN v_id;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.my_teams()
RETURNS integer []
LANGUAGE sql
PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT ARRAY(
        SELECT t.id
        FROM ml.teams t
        CROSS JOIN pg_control_system() c
        WHERE pg_has_role(CASE t.cluster WHEN c.system_identifier THEN t.role ELSE to_regrole(quote_ident(t.name)) END, 'MEMBER')
    );
$$;
CREATE OR REPLACE FUNCTION ml_internal.role_of_team(
    p_team integer
)
RETURNS oid
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT CASE to_regrole(quote_ident(t.name))
            WHEN t.role THEN t.role
            ELSE (
                SELECT r.oid
                FROM pg_control_system() c
                JOIN pg_roles r ON r.oid = CASE t.cluster WHEN c.system_identifier THEN t.role ELSE to_regrole(quote_ident(t.name)) END
            )
        END
        FROM ml.teams t
        WHERE t.id = p_team
    );
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.sign_team()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_role oid;
    v_team integer;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.created_by = OLD.created_by THEN
        v_team := OLD.team;
    ELSE
        v_role := to_regrole(quote_ident(NEW.created_by));
        SELECT t.id INTO v_team FROM ml.teams t WHERE t.role = v_role AND t.name = NEW.created_by;
        IF v_team IS NULL THEN
            v_team := ml_internal.team_of(NEW.created_by, v_role);
        END IF;
    END IF;
    IF NEW.team <> v_team AND NOT (TG_OP = 'UPDATE' AND NEW.team IS NOT DISTINCT FROM OLD.team) THEN
        RAISE EXCEPTION 'the team of a job of % is not %', NEW.created_by, NEW.team
            USING ERRCODE = 'check_violation', TABLE = 'ml_jobs', COLUMN = 'team',
            HINT = 'Leave team out: it follows from created_by.';
    END IF;
    NEW.team := v_team;
    RETURN NEW;
END
$$;
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_attribute a WHERE a.attrelid = 'public.ml_jobs'::regclass AND a.attname = 'team' AND NOT a.attisdropped
    ) THEN
        ALTER TABLE public.ml_jobs ADD COLUMN team integer;
        UPDATE public.ml_jobs j SET team = x.team
        FROM (
            SELECT d.created_by, ml_internal.team_of(d.created_by, to_regrole(quote_ident(d.created_by))) AS team
            FROM (SELECT DISTINCT y.created_by FROM public.ml_jobs y) d
        ) x
        WHERE j.created_by = x.created_by;
    END IF;
END
$$;
UPDATE ml.teams t SET name = (SELECT r.rolname FROM pg_roles r WHERE r.oid = t.role)
FROM pg_control_system() c
WHERE t.cluster = c.system_identifier AND t.name IS DISTINCT FROM (SELECT r.rolname FROM pg_roles r WHERE r.oid = t.role);
DO $$
BEGIN
    PERFORM ml_internal.team_of(r.rolname, r.oid)
    FROM pg_roles r
    WHERE r.rolname IN (
        SELECT t.name FROM ml.teams t CROSS JOIN pg_control_system() c WHERE t.cluster <> c.system_identifier
    );
END
$$;
CREATE OR REPLACE TRIGGER ml_jobs_11_team
BEFORE INSERT OR UPDATE OF created_by, team ON public.ml_jobs
FOR EACH ROW EXECUTE FUNCTION ml_internal.sign_team();
CREATE UNLOGGED TABLE IF NOT EXISTS ml_internal.model_updates (
    transaction xid8 NOT NULL
);
CREATE INDEX IF NOT EXISTS model_updates_transaction ON ml_internal.model_updates (transaction);
CREATE OR REPLACE FUNCTION ml_internal.note_model_update()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_WHEN = 'BEFORE' THEN
        INSERT INTO ml_internal.model_updates (transaction) VALUES (pg_current_xact_id());
    ELSE
        DELETE FROM ml_internal.model_updates u WHERE u.transaction = pg_current_xact_id();
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER ml_models_10_note_update
BEFORE UPDATE ON public.ml_models
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.note_model_update();
CREATE OR REPLACE TRIGGER ml_models_90_note_update
AFTER UPDATE ON public.ml_models
FOR EACH STATEMENT EXECUTE FUNCTION ml_internal.note_model_update();
CREATE OR REPLACE FUNCTION ml_internal.is_model_update()
RETURNS boolean
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM ml_internal.model_updates u WHERE u.transaction = pg_current_xact_id_if_assigned());
$$;
CREATE OR REPLACE PROCEDURE ml.separate_teams(
    separate boolean
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET lock_timeout TO '0'
AS $$
DECLARE
    v_table regclass;
    v_tables regclass[] := ARRAY['public.ml_jobs'::regclass] || ARRAY(
        SELECT t.relation FROM ml_internal.tables_of_jobs() t ORDER BY t.relation::text
    );
    v_always regclass[] := '{public.ml_jobs,public.ml_models}';
    v_mine text := 'team = ANY ((SELECT ml_internal.my_teams())::integer [])';
    v_began timestamptz;
    v_holders text;
    v_has_said boolean := false;
    v_job_id bigint;
    v_made bigint [];
BEGIN
    IF separate IS NULL THEN
        RAISE EXCEPTION 'teams cannot be separated by NULL'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'CALL ml.separate_teams(true); or CALL ml.separate_teams(false);';
    ELSIF NOT EXISTS (
        SELECT FROM pg_class c
        WHERE c.oid = ANY (v_tables) AND (
            c.relrowsecurity <> (separate OR c.oid = ANY (v_always))
            OR NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'own_team')
            OR c.oid = ANY (v_always)
            AND separate = EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'all_teams')
        )
    ) THEN
        RETURN;
    END IF;
    LOCK TABLE ml.schema_version IN SHARE ROW EXCLUSIVE MODE;
    v_made := ARRAY(SELECT n.job_id FROM public.ml_model_numbers n);
    FOREACH v_job_id IN ARRAY v_made LOOP
        CALL ml_internal.make_model_function(v_job_id, separate);
    END LOOP;
    PERFORM set_config('lock_timeout', '100', true);
    v_began := clock_timestamp();
    LOOP
        BEGIN
            EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', array_to_string(v_tables, ', '));
            EXIT;
        EXCEPTION
            WHEN lock_not_available THEN
                IF clock_timestamp() > v_began + interval '2 seconds' THEN
                    SELECT string_agg(DISTINCT format('process %s of %s', a.pid, a.usename), ', ') INTO v_holders
                    FROM pg_locks l
                    JOIN pg_stat_activity a ON a.pid = l.pid
                    WHERE l.granted AND l.relation = ANY (v_tables) AND a.datname = current_database() AND a.pid <> pg_backend_pid();
                    IF clock_timestamp() > v_began + interval '60 seconds' THEN
                        RAISE EXCEPTION 'open transactions are in the way: %', v_holders
                            USING ERRCODE = 'lock_not_available', HINT = 'COMMIT them or end the sessions, and try again.';
                    ELSIF NOT v_has_said THEN
                        RAISE NOTICE 'waiting for open transactions: %', v_holders;
                        v_has_said := true;
                    END IF;
                END IF;
                PERFORM pg_sleep(0.1);
        END;
    END LOOP;
    FOREACH v_table IN ARRAY v_tables LOOP
        IF NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = v_table AND p.polname = 'own_team') THEN
            EXECUTE CASE v_table
                WHEN 'public.ml_jobs'::regclass THEN format('CREATE POLICY own_team ON public.ml_jobs USING (%s) WITH CHECK (true)', v_mine)
                ELSE (
                    SELECT format(
                        'CREATE POLICY own_team ON %s FOR SELECT USING (EXISTS (SELECT FROM public.ml_jobs j WHERE j.id = %I))',
                        t.relation, t.job_column
                    )
                    FROM ml_internal.tables_of_jobs() t
                    WHERE t.relation = v_table
                )
            END;
            EXECUTE format('COMMENT ON POLICY own_team ON %s IS %L', v_table, 'Members of the role that inserted the job.');
        END IF;
        EXECUTE format(
            'ALTER TABLE %s %s ROW LEVEL SECURITY', v_table, CASE WHEN separate OR v_table = ANY (v_always) THEN 'ENABLE' ELSE 'DISABLE' END
        );
    END LOOP;
    FOREACH v_table IN ARRAY v_always LOOP
        EXECUTE format('DROP POLICY IF EXISTS all_teams ON %s', v_table);
        IF NOT separate THEN
            EXECUTE format('CREATE POLICY all_teams ON %s FOR SELECT USING (true)', v_table);
            EXECUTE format('COMMENT ON POLICY all_teams ON %s IS %L', v_table, 'While teams are not separated, all see all.');
        END IF;
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = 'public.ml_models'::regclass AND p.polname = 'own_models') THEN
        EXECUTE format(
            'CREATE POLICY own_models ON public.ml_models FOR UPDATE
                USING ((SELECT ml_internal.is_model_update()) AND EXISTS (SELECT FROM public.ml_jobs j WHERE j.id = train_job_id AND j.%s))
                WITH CHECK (true)', v_mine
        );
        COMMENT ON POLICY own_models ON public.ml_models IS 'Members of the role that inserted the job that made it may change it.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = 'public.ml_jobs'::regclass AND p.polname = 'workers') THEN
        CREATE POLICY workers ON public.ml_jobs FOR SELECT TO ml_worker USING (true);
        COMMENT ON POLICY workers ON public.ml_jobs IS 'A worker reads the jobs of all teams, and what derives from them.';
    END IF;
    FOR v_job_id IN SELECT n.job_id FROM public.ml_model_numbers n WHERE n.job_id <> ALL (v_made) LOOP
        CALL ml_internal.make_model_function(v_job_id, separate);
    END LOOP;
END
$$;
CALL ml_internal.allow('ml_reader', 'SELECT', 'ml.teams');
CALL ml_internal.allow('ml_reader', 'EXECUTE', 'ml_internal.my_teams, ml_internal.role_of_team');
CALL ml_internal.allow('ml_client', 'SELECT', 'ml_internal.model_updates');
CALL ml_internal.allow('ml_client', 'EXECUTE', 'ml_internal.is_model_update');
DO $$
DECLARE
    v_separate boolean := (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = 'public.ml_job_events'::regclass);
BEGIN
    CALL ml.separate_teams(v_separate);
END
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.prune_events(
    p_before timestamptz,
    p_from bigint,
    p_batch integer
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_to bigint;
BEGIN
    SELECT max(x.id) INTO v_to
    FROM (
        SELECT e.id, e.created_at FROM public.ml_job_events e WHERE e.id > p_from ORDER BY e.id LIMIT p_batch
    ) x
    WHERE x.created_at < p_before;
    PERFORM set_config('ml.pruning', 'on', true);
    DELETE FROM public.ml_job_events e
    WHERE e.id > p_from AND e.id <= v_to AND e.event = 'PROGRESS' AND e.created_at < p_before;
    PERFORM set_config('ml.pruning', 'off', true);
    RETURN v_to;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.prune_signs(
    p_before timestamptz,
    p_from bigint,
    p_batch integer
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_to bigint;
BEGIN
    SELECT max(x.id) INTO v_to
    FROM (
        SELECT s.id, s.created_at FROM public.ml_worker_signs s WHERE s.id > p_from ORDER BY s.id LIMIT p_batch
    ) x
    WHERE x.created_at < p_before;
    PERFORM set_config('ml.pruning', 'on', true);
    DELETE FROM public.ml_worker_signs s
    WHERE s.id > p_from AND s.id <= v_to AND s.created_at < p_before AND s.alive_until < clock_timestamp();
    PERFORM set_config('ml.pruning', 'off', true);
    RETURN v_to;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.prune_jobs(
    p_before timestamptz,
    p_below bigint,
    p_batch integer
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_delete text := (
        SELECT format(
            'WITH %s DELETE FROM public.ml_jobs j WHERE j.id = ANY ($1)',
            string_agg(format('%I AS (DELETE FROM %s WHERE %I = ANY ($1))', 'of_' || t.relation::oid, t.relation, t.job_column), ', ')
        )
        FROM ml_internal.tables_of_jobs() t
    );
    v_down_to bigint;
    v_old bigint[];
    v_makes boolean;
    v_locked bigint[];
    v_jobs bigint[];
BEGIN
    SELECT min(x.id) INTO v_down_to
    FROM (SELECT j.id FROM public.ml_jobs j WHERE j.id < p_below ORDER BY j.id DESC LIMIT p_batch) x;
    v_old := ARRAY(
        SELECT j.id
        FROM public.ml_jobs j
        WHERE j.id >= v_down_to AND j.id < p_below AND j.completed_at < p_before
        FOR UPDATE SKIP LOCKED
    );
    v_locked := ARRAY(
        SELECT m.train_job_id
        FROM public.ml_models m
        WHERE m.train_job_id = ANY (v_old) AND m.id NOT IN (
            SELECT x.id FROM public.ml_models x WHERE x.train_job_id = ANY (v_old) FOR UPDATE SKIP LOCKED
        )
    );
    PERFORM set_config('ml.pruning', 'on', true);
    FOREACH v_makes IN ARRAY ARRAY[false, true] LOOP
        v_jobs := ARRAY(
            SELECT j.id
            FROM public.ml_jobs j
            JOIN ml.job_kinds k ON k.job_type = j.job_type
            WHERE j.id = ANY (v_old) AND j.id <> ALL (v_locked) AND (k.makes_model IS NOT NULL) = v_makes
                AND NOT EXISTS (
                    SELECT
                    FROM ml.job_models u
                    JOIN public.ml_models m ON m.id = u.model_id
                    WHERE u.job_id = j.id AND (u.is_made OR (j.status = 'COMPLETED' AND k.stays_with_model))
                        AND (
                            NOT (m.status = 'FAILED' OR (m.is_deleted AND m.deleted_at < p_before))
                            OR (u.is_made AND EXISTS (SELECT FROM ml.job_models y WHERE y.model_id = m.id AND NOT y.is_made))
                        )
                )
        );
        EXECUTE v_delete USING v_jobs;
    END LOOP;
    PERFORM set_config('ml.pruning', 'off', true);
    RETURN v_down_to;
END
$$;
CREATE OR REPLACE FUNCTION ml_internal.prune_files(
    p_before timestamptz,
    p_from bigint,
    p_batch integer
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_jobs bigint [] := ARRAY(
        SELECT f.job_id FROM public.ml_model_files f WHERE f.job_id > p_from ORDER BY f.job_id LIMIT p_batch
    );
BEGIN
    PERFORM set_config('ml.pruning', 'on', true);
    DELETE FROM public.ml_model_files f
    USING public.ml_models m
    WHERE f.job_id = ANY (v_jobs) AND m.train_job_id = f.job_id AND m.is_deleted AND m.deleted_at < p_before;
    PERFORM set_config('ml.pruning', 'off', true);
    RETURN v_jobs[cardinality(v_jobs)];
END
$$;
CREATE OR REPLACE PROCEDURE ml.prune(
    older_than interval
)
LANGUAGE plpgsql
AS $$
DECLARE
    v_before timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) older_than;
    v_at bigint := 0;
BEGIN
    IF older_than IS NULL OR older_than OPERATOR(pg_catalog.<) '0'::pg_catalog.interval THEN
        RAISE EXCEPTION 'cannot prune what is older than %', coalesce(ml_internal.interval_text(older_than), 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give an age, for example: CALL ml.prune(''90 days'');';
    END IF;
    CALL ml_internal.require_autocommit('ml.prune');
    WHILE v_at IS NOT NULL LOOP
        v_at := ml_internal.prune_events(v_before, v_at, 10000);
        COMMIT;
    END LOOP;
    v_at := 0;
    WHILE v_at IS NOT NULL LOOP
        v_at := ml_internal.prune_signs(v_before, v_at, 10000);
        COMMIT;
    END LOOP;
    v_at := 0;
    WHILE v_at IS NOT NULL LOOP
        v_at := ml_internal.prune_files(v_before, v_at, 1000);
        COMMIT;
    END LOOP;
    v_at := 9223372036854775807;
    WHILE v_at IS NOT NULL LOOP
        v_at := ml_internal.prune_jobs(v_before, v_at, 500);
        COMMIT;
    END LOOP;
END
$$;
SET search_path TO pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION ml_internal.share_of_a_day(
    p_source text
)
RETURNS double precision
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET jit TO off
AS $$
DECLARE
    v_source jsonb := ml_internal.describe_source(p_source);
    v_plans jsonb [] := '{}';
    v_plan jsonb;
    v_where text;
BEGIN
    FOREACH v_where IN ARRAY ARRAY['true', format(
        '%1$s >= %2$s AND %1$s < %3$s', v_source ->> 'moment_column',
        replace(v_source ->> 'bound', '{}', '''1000-01-01 00:00:00+00''::timestamptz'),
        replace(v_source ->> 'bound', '{}', '''1000-01-02 00:00:00+00''::timestamptz')
    )] LOOP
        EXECUTE format('EXPLAIN (FORMAT JSON) SELECT m.* FROM %s m WHERE %s', v_source ->> 'relation', v_where) INTO v_plan;
        v_plans := v_plans || (v_plan -> 0 -> 'Plan');
    END LOOP;
    RETURN (
        WITH RECURSIVE nodes AS (
            SELECT p.node, p.place FROM unnest(v_plans) WITH ORDINALITY p (node, place)
            UNION ALL
            SELECT x.node, n.place
            FROM nodes n
            CROSS JOIN LATERAL jsonb_array_elements(n.node -> 'Plans') x (node)
            WHERE n.node ? 'Plans'
        )
        SELECT
            coalesce(sum((n.node ->> 'Total Cost')::double precision) FILTER (WHERE n.place = 2), 0)
            / nullif(sum((n.node ->> 'Total Cost')::double precision) FILTER (WHERE n.place = 1), 0)
        FROM nodes n
        WHERE NOT n.node ? 'Plans' AND n.node ->> 'Node Type' <> 'Foreign Scan' -- there another server plans
        HAVING sum((n.node ->> 'Plan Rows')::double precision) FILTER (WHERE n.place = 1) >= 1000
    );
EXCEPTION
    WHEN insufficient_privilege THEN RETURN NULL; -- the worker may read it, and the owner may not
END
$$;
CREATE OR REPLACE PROCEDURE ml.add_source(
    name text,
    relation text,
    key text DEFAULT NULL,
    moment text DEFAULT NULL,
    phase text DEFAULT NULL
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET quote_all_identifiers TO off
AS $$
DECLARE
    v_name text := btrim(add_source.name);
    v_fault text := ml_internal.name_fault(v_name);
    v_parts text [];
    v_found record;
    v_relation record;
    v_column record;
    v_given text [] := '{}';
BEGIN
    IF v_name IS NULL OR v_name = '' OR length(v_name) > 100 OR v_fault IS NOT NULL THEN
        RAISE EXCEPTION 'the name of a source %', coalesce(v_fault, 'has 1 to 100 characters')
            USING ERRCODE = 'check_violation', TABLE = 'ml_sources', COLUMN = 'name',
            HINT = 'Name it by characters that show, for example trades.';
    ELSIF EXISTS (SELECT FROM public.ml_sources s WHERE s.name = v_name) THEN
        RAISE EXCEPTION 'the source % is there already', v_name
            USING ERRCODE = 'unique_violation', TABLE = 'ml_sources', COLUMN = 'name', CONSTRAINT = 'ml_sources_pkey',
            HINT = CASE v_name
                WHEN 'coin_metrics' THEN 'Choose another name: this one is the default.'
                ELSE format('Choose another name, or first: CALL ml.remove_source(%L);', v_name)
            END;
    END IF;
    BEGIN
        v_parts := parse_ident(add_source.relation);
    EXCEPTION
        WHEN invalid_parameter_value THEN v_parts := '{}';
    END;
    SELECT
        count(*) AS number,
        bool_or(c.relnamespace = 'public'::regnamespace) AS in_public,
        string_agg(format('%I.%I', n.nspname, c.relname), ', ' ORDER BY n.nspname) AS names
    INTO v_found
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = v_parts[cardinality(v_parts)] AND cardinality(v_parts) <= 2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND CASE cardinality(v_parts) WHEN 2 THEN n.nspname = v_parts[1] ELSE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' END;
    IF v_found.number = 0 THEN
        RAISE EXCEPTION 'there is no table or view %', coalesce(quote_literal(left(add_source.relation, 200)), 'NULL')
            USING ERRCODE = 'undefined_table', TABLE = coalesce(left(add_source.relation, 63), ''),
            HINT = 'Name it as in SQL, with its schema: public.trades_5m; in double quotes what is in capital letters.';
    ELSIF v_found.number > 1 AND NOT v_found.in_public THEN
        RAISE EXCEPTION '% is in several schemas: %', quote_literal(add_source.relation), v_found.names
            USING ERRCODE = 'ambiguous_alias', TABLE = left(add_source.relation, 63), HINT = 'Name it with its schema.';
    END IF;
    SELECT c.oid AS id, n.nspname AS schema_name, c.relname AS relation_name, c.relkind AS kind, format('%I.%I', n.nspname, c.relname) AS said
    INTO v_relation
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = v_parts[cardinality(v_parts)] AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND CASE cardinality(v_parts) WHEN 2 THEN n.nspname = v_parts[1] ELSE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' END
    ORDER BY n.nspname = 'public' DESC
    LIMIT 1;
    FOR v_column IN
        SELECT w.what, w.given, ml_internal.column_type(v_relation.id, w.given) AS type, (
            SELECT array_agg(a.attname::text ORDER BY a.attnum)
            FROM pg_attribute a
            WHERE a.attrelid = v_relation.id AND a.attnum > 0 AND NOT a.attisdropped
                AND CASE w.what
                    WHEN 'moment' THEN ml_internal.column_type(a.attrelid, a.attname) IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)
                    WHEN 'phase' THEN ml_internal.column_type(a.attrelid, a.attname) IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
                    ELSE true
                END
        ) AS allowed
        FROM (VALUES ('moment', add_source.moment), ('key', add_source.key), ('phase', add_source.phase)) w (what, given)
    LOOP
        IF v_column.what = 'moment' AND v_column.given IS NULL THEN
            RAISE EXCEPTION 'a source needs a moment: the column that says when a row was taken'
                USING ERRCODE = 'not_null_violation', TABLE = v_relation.relation_name, HINT = format(
                    'CALL ml.add_source(%L, %L, moment => %L);', v_name, v_relation.said, coalesce(v_column.allowed[1], 'at')
                );
        ELSIF v_column.given IS NOT NULL AND v_column.type IS NULL THEN
            RAISE EXCEPTION '% has no column % (%)', v_relation.said, quote_literal(left(v_column.given, 200)), v_column.what
                USING ERRCODE = 'undefined_column', TABLE = v_relation.relation_name, COLUMN = left(v_column.given, 63),
                HINT = CASE
                    WHEN v_column.allowed IS NULL THEN format('It has none that could be the %s: make a view that has.', v_column.what)
                    ELSE ml_internal.suggest_names(v_column.given, v_column.allowed)
                END;
        END IF;
    END LOOP;
    INSERT INTO public.ml_sources (name, schema_name, relation_name, key_column, moment_column, phase_column)
    VALUES (v_name, v_relation.schema_name, v_relation.relation_name, add_source.key, add_source.moment, add_source.phase);
    IF NOT has_schema_privilege('ml_worker', v_relation.schema_name, 'USAGE') THEN
        IF NOT has_schema_privilege(v_relation.schema_name, 'USAGE WITH GRANT OPTION') THEN
            RAISE EXCEPTION 'the worker may not use the schema %, and % may not allow it', v_relation.schema_name, current_user
                USING ERRCODE = 'insufficient_privilege', SCHEMA = v_relation.schema_name,
                HINT = format('As its owner: GRANT USAGE ON SCHEMA %I TO ml_worker; then add the source again.', v_relation.schema_name);
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO ml_worker', v_relation.schema_name);
        v_given := v_given || 'schema'::text;
    END IF;
    IF NOT has_table_privilege('ml_worker', v_relation.id, 'SELECT') THEN
        IF NOT has_table_privilege(v_relation.id, 'SELECT WITH GRANT OPTION') THEN
            RAISE EXCEPTION 'the worker may not read %, and % may not allow it', v_relation.said, current_user
                USING ERRCODE = 'insufficient_privilege', TABLE = v_relation.relation_name,
                HINT = format('As its owner: GRANT SELECT ON %s TO ml_worker; then add the source again.', v_relation.said);
        END IF;
        EXECUTE format('GRANT SELECT ON %s TO ml_worker', v_relation.said);
        v_given := v_given || 'relation'::text;
    END IF;
    UPDATE public.ml_sources s SET rights_given = v_given WHERE s.name = v_name AND v_given <> '{}';
    PERFORM ml_internal.require_source(v_name, '{}', true);
    IF ml_internal.share_of_a_day(v_name) >= 0.5 THEN
        IF v_relation.kind = 'v' THEN
            RAISE WARNING 'a job of one day will read all that is below the view %', v_relation.said
                USING HINT = format(
                    'Give the table below an index on its moment. Through window functions, groups and DISTINCT by anything else a period does '
                    'not pass: then make a materialized view of it with an index on %I, and add that as the source.', add_source.moment
                );
        ELSE
            RAISE WARNING 'a job of one day will read all of %: no index leads to its moment', v_relation.said
                USING HINT = format('CREATE INDEX ON %s (%I);', v_relation.said, add_source.moment);
        END IF;
    END IF;
END
$$;
CREATE OR REPLACE PROCEDURE ml.remove_source(
    name text
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET quote_all_identifiers TO off
AS $$
DECLARE
    v_source public.ml_sources;
    v_heir text;
    v_waiting bigint;
BEGIN
    IF remove_source.name = 'coin_metrics' THEN
        RAISE EXCEPTION 'the source coin_metrics cannot be removed'
            USING ERRCODE = 'check_violation', TABLE = 'ml_sources', COLUMN = 'name', HINT = 'It is the default; leave it empty if you do not need it.';
    END IF;
    DELETE FROM public.ml_sources s WHERE s.name = remove_source.name RETURNING * INTO v_source;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no source %', coalesce(quote_literal(left(remove_source.name, 100)), 'NULL')
            USING ERRCODE = 'no_data_found', TABLE = 'ml_sources', COLUMN = 'name',
            HINT = ml_internal.suggest_names(remove_source.name, ARRAY(SELECT s.name::text FROM public.ml_sources s ORDER BY s.name));
    END IF;
    IF 'relation' = ANY (v_source.rights_given) THEN
        v_heir := NULL;
        UPDATE public.ml_sources s SET rights_given = s.rights_given || 'relation'::text
        WHERE s.name = (
            SELECT min(x.name) FROM public.ml_sources x
            WHERE (x.schema_name, x.relation_name) = (v_source.schema_name, v_source.relation_name)
        )
        RETURNING s.name INTO v_heir;
        IF v_heir IS NULL AND EXISTS (
            SELECT FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE (n.nspname, c.relname) = (v_source.schema_name, v_source.relation_name)
        ) THEN
            EXECUTE format('REVOKE SELECT ON %I.%I FROM ml_worker', v_source.schema_name, v_source.relation_name);
        END IF;
    END IF;
    IF 'schema' = ANY (v_source.rights_given) THEN
        v_heir := NULL;
        UPDATE public.ml_sources s SET rights_given = s.rights_given || 'schema'::text
        WHERE s.name = (SELECT min(x.name) FROM public.ml_sources x WHERE x.schema_name = v_source.schema_name)
        RETURNING s.name INTO v_heir;
        IF v_heir IS NULL AND EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = v_source.schema_name) THEN
            EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM ml_worker', v_source.schema_name);
        END IF;
    END IF;
    SELECT count(*) INTO v_waiting FROM ml.jobs j WHERE j.status = 'PENDING' AND j.source = v_source.name;
    IF v_waiting > 0 THEN
        RAISE NOTICE 'jobs that wait and will fail without the source %: %', v_source.name, v_waiting
            USING HINT = 'A source that is added again under this name, with the same columns, serves them, and the models that were trained on it.';
    END IF;
END
$$;
SET search_path TO pg_catalog, pg_temp;
CALL ml_internal.allow('ml_reader', 'SELECT', '
    public.ref_model_types, public.ref_model_params, public.ref_labels,
    public.ml_jobs, public.ml_job_events, public.ml_models,
    public.ml_worker_signs, public.ml_client_limits,
    public.ml_curve_points,
    public.ml_metric_columns, public.ml_queue, public.ml_workers, public.ml_leaderboard, public.ml_model_features, public.ml_model_params,
    public.ml_measurements, public.ml_threshold_sweep, public.ml_roc_curve, public.ml_pr_curve, public.ml_calibration,
    public.ml_last_days, public.ml_daily_jobs, public.ml_daily_durations, public.ml_daily_losses, public.ml_daily_quality,
    public.ml_failures, public.ml_artifact_sizes, public.ml_worker_days,
    public.ml_dim_models, public.ml_dim_features,
    public.ml_fact_jobs, public.ml_fact_importances,
    ml.schema_version
');
CALL ml_internal.allow('ml_reader', 'EXECUTE', '
    ml.help, ml.preview, ml.report, ml.targets, ml.wait,
    ml_internal.count_rows, ml_internal.base_type, ml_internal.number_expression, ml_internal.require_metrics, ml_internal.preview_job, ml_internal.count_text,
    ml_internal.is_positive, ml_internal.changed_by, ml_internal.touches_first, ml_internal.label_text,
    ml_internal.label_query, ml_internal.within_period, ml_internal.label_of_row, ml_internal.base_of_row, ml_internal.reading_hint, ml_internal.columns_of_model, ml_internal.sample_coins, ml_internal.unlabelled_text,
    ml_internal.left_out_text, ml_internal.records, ml_internal.first_touches,
    ml_internal.common_items, ml_internal.list_items, ml_internal.param_items, ml_internal.merge_params,
    ml_internal.describe_job, ml_internal.has_worker, ml_internal.pause_text, ml_internal.metrics_range, ml_internal.no_rows_text,
    ml_internal.suggest_names, ml_internal.trivial_answer, ml_internal.verdict, ml_internal.f1_standard_error, ml_internal.greatest_of_equals, ml_internal.mcc,
    ml_internal.require_autocommit, ml_internal.find_model,
    ml_internal.last_turn, ml_internal.next_jobs, ml_internal.report_lines, ml_internal.plain_text, ml_internal.is_control,
    ml_internal.accuracy, ml_internal.precision_score, ml_internal.recall_score, ml_internal.f1_score,
    ml_internal.period_text, ml_internal.interval_text, ml_internal.commit_is_impossible, ml_internal.draw_scores, ml_internal.half_text, ml_internal.page_of_jobs, ml_internal.page_of_kind
');
CALL ml_internal.allow('ml_client', 'SELECT', 'public.ml_jobs_id_seq');
CALL ml_internal.allow('ml_client', 'EXECUTE', '
    ml.cancel_job, ml_internal.changed_columns, ml_internal.limits_of, ml_internal.require_priority
');
CALL ml_internal.allow('ml_worker', 'EXECUTE', '
    ml_internal.claim_job, ml_internal.assignment, ml_internal.record_result, ml_internal.record_progress,
    ml_internal.record_failure, ml_internal.record_loss, ml_internal.release_job, ml_internal.expire_leases,
    ml_internal.record_sign, ml_internal.folder_name
');
CREATE OR REPLACE FUNCTION ml_internal.own_objects()
RETURNS TABLE (
    class regclass,
    id oid,
    name text,
    keyword text,
    owner oid,
    acl aclitem []
)
LANGUAGE sql
STABLE
ROWS 400
SET search_path TO pg_catalog, pg_temp
AS $$
    WITH relations AS (
        SELECT c.oid
        FROM pg_class c
        WHERE c.relnamespace IN ('ml'::regnamespace, 'ml_internal'::regnamespace)
        UNION
        SELECT to_regclass(r.object) FROM ml_internal.rights r WHERE r.object LIKE 'public.%'
        UNION
        SELECT to_regclass(format('public.%I', t.name))
        FROM ml.job_kinds k
        CROSS JOIN unnest(k.result_table || k.result_facts) t (name)
    )
    SELECT
        'pg_class'::regclass, c.oid, c.oid::regclass::text,
        CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
        c.relowner, coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner))
    FROM pg_class c
    WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S') AND (
        c.oid IN (SELECT x.oid FROM relations x)
        OR c.relkind = 'S' AND EXISTS (
            SELECT FROM pg_depend d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
                AND d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT x.oid FROM relations x)
        )
    )
    UNION ALL
    SELECT
        'pg_proc'::regclass, p.oid, p.oid::regprocedure::text, 'ROUTINE',
        p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
    FROM pg_proc p
    WHERE p.pronamespace IN ('ml'::regnamespace, 'ml_internal'::regnamespace)
    UNION ALL
    SELECT
        'pg_namespace'::regclass, n.oid, quote_ident(n.nspname), 'SCHEMA',
        n.nspowner, coalesce(n.nspacl, acldefault('n', n.nspowner))
    FROM pg_namespace n
    WHERE n.nspname IN ('ml', 'ml_internal', 'ml_generated');
$$;
CREATE OR REPLACE FUNCTION ml_internal.rights_found()
RETURNS TABLE (
    class regclass,
    id oid,
    name text,
    keyword text,
    columns text,
    grantee oid,
    privilege text,
    is_as_listed boolean,
    is_by_default boolean
)
LANGUAGE sql
STABLE
ROWS 900
SET search_path TO pg_catalog, pg_temp
AS $$
    SELECT
        o.class, o.id, o.name, o.keyword, '', x.grantee, x.privilege_type,
        x.grantor = o.owner AND NOT x.is_grantable,
        o.class = 'pg_proc'::regclass AND NOT EXISTS (SELECT FROM pg_proc p WHERE p.oid = o.id AND p.proacl IS NOT NULL)
    FROM ml_internal.own_objects() o
    CROSS JOIN LATERAL aclexplode(o.acl) x
    WHERE x.grantee <> o.owner
    UNION ALL
    SELECT
        o.class, o.id, o.name, o.keyword, format(' (%I)', a.attname), x.grantee, x.privilege_type,
        x.grantor = o.owner AND NOT x.is_grantable, false
    FROM ml_internal.own_objects() o
    JOIN pg_attribute a ON o.class = 'pg_class'::regclass AND a.attrelid = o.id AND NOT a.attisdropped
    CROSS JOIN LATERAL aclexplode(a.attacl) x
    WHERE x.grantee <> o.owner;
$$;
CREATE OR REPLACE FUNCTION ml_internal.rights_listed()
RETURNS TABLE (
    class regclass,
    id oid,
    name text,
    keyword text,
    columns text,
    grantee oid,
    privilege text
)
LANGUAGE sql
STABLE
ROWS 900
SET search_path TO pg_catalog, pg_temp
AS $$
    WITH listed AS (
        SELECT r.grantee, r.privilege, r.object, r.column_name FROM ml_internal.rights r
        UNION
        SELECT 'ml_reader', 'SELECT', format('public.%I', t.name), ''
        FROM ml.job_kinds k
        CROSS JOIN unnest(k.result_table || k.result_facts) t (name)
        UNION
        SELECT 'ml_client', x.privilege, x.object, a.attname
        FROM (
            VALUES ('INSERT', 'public.ml_jobs'), ('UPDATE', 'public.ml_jobs'), ('UPDATE', 'public.ml_models')
        ) x (privilege, object)
        JOIN pg_attribute a ON a.attrelid = x.object::regclass AND a.attnum > 0 AND NOT a.attisdropped
        WHERE x.privilege = 'INSERT' OR a.attname <> 'id'
    )
    SELECT o.class, o.id, o.name, o.keyword, CASE WHEN l.column_name = '' THEN '' ELSE format(' (%I)', l.column_name) END, g.oid, l.privilege
    FROM listed l
    JOIN pg_roles g ON g.rolname = l.grantee
    JOIN ml_internal.own_objects() o ON CASE o.class
        WHEN 'pg_class'::regclass THEN o.id = to_regclass(l.object) AND l.privilege <> 'EXECUTE'
        WHEN 'pg_proc'::regclass THEN l.privilege = 'EXECUTE' AND l.object = (
            SELECT format('%I.%I', p.pronamespace::regnamespace, p.proname) FROM pg_proc p WHERE p.oid = o.id
        )
        ELSE o.name = l.object AND l.privilege = 'USAGE'
    END
    UNION ALL
    SELECT o.class, o.id, o.name, o.keyword, '', o.owner, x.privilege_type
    FROM ml_internal.own_objects() o
    CROSS JOIN LATERAL aclexplode(acldefault(CASE o.keyword WHEN 'SEQUENCE' THEN 's'::"char" WHEN 'TABLE' THEN 'r' WHEN 'ROUTINE' THEN 'f' ELSE 'n' END, o.owner)) x
    WHERE x.grantee = o.owner
        AND NOT EXISTS (SELECT FROM aclexplode(o.acl) y WHERE y.grantee = o.owner AND y.privilege_type = x.privilege_type);
$$;
CREATE OR REPLACE PROCEDURE ml_internal.keep_rights()
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    v_change record;
    v_taken text [] := '{}';
    v_who text;
    v_what text;
BEGIN
    FOR v_change IN
        WITH listed AS MATERIALIZED (SELECT * FROM ml_internal.rights_listed())
        SELECT
            f.keyword, f.name, coalesce(quote_ident(r.rolname), 'PUBLIC') AS who,
            string_agg(f.privilege || f.columns, ', ' ORDER BY f.privilege, f.columns) AS rights,
            bool_and(f.is_by_default) AS is_by_default
        FROM ml_internal.rights_found() f
        LEFT JOIN listed l ON (l.class, l.id, l.columns, l.grantee, l.privilege) = (f.class, f.id, f.columns, f.grantee, f.privilege)
        LEFT JOIN pg_roles r ON r.oid = f.grantee
        WHERE (l.id IS NULL OR NOT f.is_as_listed) AND (f.grantee = 0 OR r.oid IS NOT NULL)
        GROUP BY f.class, f.id, f.keyword, f.name, r.rolname
        ORDER BY who, f.keyword DESC, f.name
    LOOP
        EXECUTE format('REVOKE %s ON %s %s FROM %s CASCADE', v_change.rights, v_change.keyword, v_change.name, v_change.who);
        IF NOT v_change.is_by_default THEN
            v_taken := v_taken || ARRAY[ARRAY[v_change.who, format('%s on %s', v_change.rights, v_change.name)]];
        END IF;
    END LOOP;
    FOR v_change IN
        WITH found AS MATERIALIZED (SELECT * FROM ml_internal.rights_found())
        SELECT l.keyword, l.name, quote_ident(r.rolname) AS who, string_agg(l.privilege || l.columns, ', ') AS rights
        FROM ml_internal.rights_listed() l
        JOIN pg_roles r ON r.oid = l.grantee
        LEFT JOIN found f ON (l.class, l.id, l.columns, l.grantee, l.privilege) = (f.class, f.id, f.columns, f.grantee, f.privilege)
        WHERE f.id IS NULL
        GROUP BY l.class, l.id, l.keyword, l.name, r.rolname
    LOOP
        EXECUTE format('GRANT %s ON %s %s TO %s', v_change.rights, v_change.keyword, v_change.name, v_change.who);
    END LOOP;
    FOR v_who, v_what IN
        SELECT v_taken[n][1], string_agg(v_taken[n][2], '; ' ORDER BY n)
        FROM generate_subscripts(v_taken, 1) n
        GROUP BY 1
        ORDER BY 1
    LOOP
        RAISE WARNING 'rights that are not on the list were taken from %: %', v_who, CASE
            WHEN length(v_what) > 500 THEN left(v_what, 500) || '...'
            ELSE v_what
        END
            USING DETAIL = v_what,
            HINT = 'What a role may do comes with ml_reader, ml_client or ml_worker, for example: GRANT ml_reader TO anna;';
    END LOOP;
END
$$;
DO $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['public.coin_metrics', 'public.ref_coin_phases'] LOOP
        IF NOT has_table_privilege('ml_reader', v_table, 'SELECT') THEN
            BEGIN
                EXECUTE format('GRANT SELECT ON %s TO ml_reader', v_table);
            EXCEPTION
                WHEN insufficient_privilege THEN
                    RAISE EXCEPTION 'ml_reader may not read %, and this login may not allow it', v_table
                        USING ERRCODE = 'insufficient_privilege',
                        HINT = format('As its owner: CREATE ROLE ml_reader; GRANT SELECT ON %s TO ml_reader; then install again.', v_table);
            END;
        END IF;
    END LOOP;
END
$$;
CALL ml_internal.keep_rights();
SET search_path TO pg_catalog, pg_temp;
INSERT INTO ml.schema_version (version)
VALUES (8)
ON CONFLICT DO NOTHING;
