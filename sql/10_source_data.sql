-- The source data: one row per coin and moment, and the phases of a coin's life.
-- Both belong to the user's own collectors: created only where missing, never altered.

SET search_path TO pg_catalog, pg_temp;

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

CREATE OR REPLACE VIEW public.ml_metric_columns WITH (security_invoker = true) AS
SELECT
    a.attname::text AS column_name,
    pg_catalog.format_type(a.atttypid, a.atttypmod) AS data_type,
    coalesce(nullif(t.typbasetype, 0), t.oid) IN (
        'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'float4'::regtype, 'float8'::regtype, 'numeric'::regtype
    ) AS is_numeric
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = 'public.coin_metrics'::regclass
    AND a.attnum > 0
    AND NOT a.attisdropped
ORDER BY a.attnum;

COMMENT ON VIEW public.ml_metric_columns IS 'Columns of coin_metrics as they are now; the numeric ones can be features and targets.';
COMMENT ON COLUMN public.ml_metric_columns.column_name IS 'Name of the column, as in features_csv.';
COMMENT ON COLUMN public.ml_metric_columns.data_type IS 'SQL type of the column.';
COMMENT ON COLUMN public.ml_metric_columns.is_numeric IS 'Whether it can be a feature or a target.';
