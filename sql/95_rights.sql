-- Who may do what with all that kinds of job share; a kind's own results and functions are on the list by its
-- file. At the end the rights in the catalog are made those of the list.

SET search_path TO pg_catalog, pg_temp;

-- Reads everything.
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

-- Says before, during and after a job what a reader could find out by queries of his own.
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

-- Reads everything; submits, cancels and reorders jobs; names, describes and deletes models.
-- It may name every column, because ORMs do: triggers refuse, with a reason, the values that are not the client's to set
-- or to change. Column by column, because the right on a whole table would be one to lock it.
-- ml_internal.rights_listed has them all.
-- lastval() and currval(), but not nextval() and setval():
CALL ml_internal.allow('ml_client', 'SELECT', 'public.ml_jobs_id_seq');
CALL ml_internal.allow('ml_client', 'EXECUTE', '
    ml.cancel_job, ml_internal.changed_columns, ml_internal.limits_of, ml_internal.require_priority
');

-- Reads everything, also while teams are separated (90_teams.sql); changes nothing but through these routines.
CALL ml_internal.allow('ml_worker', 'EXECUTE', '
    ml_internal.claim_job, ml_internal.assignment, ml_internal.record_result, ml_internal.record_progress,
    ml_internal.record_failure, ml_internal.record_loss, ml_internal.release_job, ml_internal.expire_leases,
    ml_internal.record_sign, ml_internal.folder_name
');

-- ── The catalog is made to be the list ──────────────────────────────────────────────────────────────

-- Relations, routines and schemas of the service with their owners, what they are called in a GRANT, and the rights on
-- them. In public ours are the relations on the list: others may have tables there, and coin_metrics is the user's.
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

-- The rights as they are. A routine that nobody has granted yet is open to PUBLIC by PostgreSQL's own default, which is
-- nobody's word (is_by_default).
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

-- The rights as they shall be: the list, what each kind of job brings, and all that an owner has by nature.
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

-- Takes away and gives what differs, and says what it took away: a right that somebody gave, or a platform by itself.
-- One transaction: nobody misses a right for a moment.
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

-- The collectors' login may own these two; then it has to grant.
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

COMMENT ON FUNCTION ml_internal.own_objects() IS 'Relations, routines and schemas of the service, with their owners and rights.';
COMMENT ON FUNCTION ml_internal.rights_found() IS 'Rights on the objects of the service as they are, those of the owners left out.';
COMMENT ON FUNCTION ml_internal.rights_listed() IS 'Rights on the objects of the service as the list has them, and what their owners lack.';
COMMENT ON PROCEDURE ml_internal.keep_rights() IS 'Owner: makes the rights those of the list, and warns of what it took away.';

CALL ml_internal.keep_rights();
