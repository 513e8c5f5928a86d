-- What an INSERT into ml_jobs tells beside accepting the job: that no worker is alive, and that the period has no rows
-- yet. Once per statement, however many jobs it inserts.

SET search_path TO pg_catalog, pg_temp;

-- The first and the last moment of a source, where an index tells them at once. No view has one, so that no code of others
-- runs here. A worker of version 6 names no source, and means coin_metrics.
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
    -- The default, whose plans are kept: an INSERT asks.
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
        -- One that was not restarted after an upgrade does not know every kind.
        FOR v_kind IN
            SELECT DISTINCT n.job_type
            FROM new_jobs n
            WHERE NOT EXISTS (SELECT FROM public.ml_workers w WHERE n.job_type = ANY (string_to_array(w.kinds, ', ')))
        LOOP
            RAISE NOTICE 'no worker that is running does % jobs, so the job waits', v_kind
                USING HINT = 'Start one of this version: ml-worker run';
        END LOOP;
    END IF;
    -- Each period once, as the jobs of a sweep mostly have the same. OFFSET 0: each job is found by its number, however
    -- few jobs the planner knows of.
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

COMMENT ON FUNCTION ml_internal.metrics_range(text) IS 'First and last moment of a source, if an index on its time tells them.';
COMMENT ON FUNCTION ml_internal.no_rows_text(timestamptz, timestamptz, text, timestamptz, timestamptz, text) IS 'That a period has no rows, and when there are some.';
COMMENT ON FUNCTION ml_internal.tell_of_jobs() IS 'Trigger: says that no worker is alive, and that a period has no rows.';
