-- The source data: one row per coin and moment, and the phases of a coin's life.
-- Both belong to the user's own collectors: created only where missing, never altered.

SET search_path TO pg_catalog, pg_temp;

-- What a type stands for: a domain for its type, a domain over a domain for that one's.
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

-- A second, empty table beside the collectors' own would be found by nobody, and be taken for theirs by everybody. The
-- files set a search_path of their own; those of the users are the defaults of the session, the database and the roles.
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

-- What the service reads of every row: which coin, when, and in which phase if there are phases.
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

    -- What the platform gives by itself on a new table is not the owner's word; what he grants later is.
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

COMMENT ON FUNCTION ml_internal.base_type(oid) IS 'The type that a domain, or a domain over a domain, stands for; any other type itself.';
COMMENT ON PROCEDURE ml_internal.require_in_public(name) IS 'Refuses to install beside a table of the user''s own that stands in another schema of a search_path.';
COMMENT ON FUNCTION ml_internal.require_metrics() IS 'Refuses a coin_metrics whose coin, time or phase cannot be read, and says how to make it one that can.';
