-- From version 5 to 6: rights are given by the list alone, clients take turns, and no worker of version 3 lives.

SET search_path TO pg_catalog, pg_temp;

DROP FUNCTION IF EXISTS ml_internal.curve_of_version_3(bigint, bigint, double precision []);

-- They have a further argument, which a worker of version 5 leaves out.
DROP FUNCTION IF EXISTS ml_internal.claim_job(text, interval, text []);
DROP FUNCTION IF EXISTS ml_internal.record_sign(text, integer, interval);

ALTER TABLE IF EXISTS public.ml_worker_signs ADD COLUMN reason text;

DO $$
DECLARE
    v_routine regprocedure;
BEGIN
    FOR v_routine IN
        SELECT p.oid
        FROM pg_proc p
        WHERE p.pronamespace = 'ml'::regnamespace
            AND p.proname IN (
                'claim_job', 'record_progress', 'record_failure', 'record_loss', 'release_job', 'expire_leases',
                'record_sign', 'record_training', 'record_test', 'record_comparison', 'require_attempt',
                'lose_attempt', 'require_free_name', 'require_ready_model', 'store_curve'
            )
    LOOP
        EXECUTE format('DROP ROUTINE %s', v_routine);
    END LOOP;
END
$$;

-- Teams were known by the names of roles (made anew by 90_teams.sql).
DROP POLICY IF EXISTS own_team ON public.ml_jobs;
DROP POLICY IF EXISTS own_team ON public.ml_models;
DROP POLICY IF EXISTS own_team ON public.ml_job_events;
DROP POLICY IF EXISTS own_team ON public.ml_training_runs;
DROP POLICY IF EXISTS own_team ON public.ml_test_results;
DROP POLICY IF EXISTS own_team ON public.ml_comparisons;
DROP POLICY IF EXISTS own_team ON public.ml_curve_points;

-- The source tables that an installation made are the user's own; what the platform alone gave on them is taken away.
DO $$
DECLARE
    v_right record;
BEGIN
    FOR v_right IN
        SELECT c.oid::regclass AS relation, coalesce(quote_ident(r.rolname), 'PUBLIC') AS who, string_agg(x.privilege_type, ', ') AS rights
        FROM pg_class c
        CROSS JOIN LATERAL aclexplode(c.relacl) x
        LEFT JOIN pg_roles r ON r.oid = x.grantee
        WHERE c.oid IN ('public.coin_metrics'::regclass, 'public.ref_coin_phases'::regclass)
            AND col_description(c.oid, 1) IN ('The coin.', 'Phase number, as in coin_metrics.phase_id_at_time and in phases_csv.')
            AND pg_has_role(c.relowner, 'USAGE')
            AND x.grantee <> c.relowner AND r.rolname IS DISTINCT FROM 'ml_reader'
            AND EXISTS (
                SELECT
                FROM pg_default_acl d
                CROSS JOIN LATERAL aclexplode(d.defaclacl) y
                WHERE d.defaclrole = c.relowner AND d.defaclobjtype = 'r' AND d.defaclnamespace IN (0, c.relnamespace)
                    AND (y.grantee, y.privilege_type) = (x.grantee, x.privilege_type)
            )
        GROUP BY 1, 2
    LOOP
        EXECUTE format('REVOKE %s ON TABLE %s FROM %s', v_right.rights, v_right.relation, v_right.who);
        RAISE WARNING 'rights that default privileges alone gave were taken from %: % on %', v_right.who, v_right.rights, v_right.relation
            USING HINT = format('If that was meant: GRANT %s ON %s TO %s;', v_right.rights, v_right.relation, v_right.who);
    END LOOP;
END
$$;
-- What a worker says of a result in words: that the model was made by other versions of the libraries.
ALTER TABLE public.ml_test_results ADD COLUMN note text;
ALTER TABLE public.ml_comparisons ADD COLUMN note text;

-- It counts what is too small as well.
DROP FUNCTION IF EXISTS ml_internal.count_rows(text, text, numeric, integer, text [], text, timestamptz, timestamptz);

-- What a job asks for is kept one step earlier now.
DO $$
DECLARE
    v_trigger name;
BEGIN
    FOR v_trigger IN
        SELECT t.tgname
        FROM pg_trigger t
        WHERE t.tgrelid = 'public.ml_jobs'::regclass AND t.tgname LIKE 'ml_jobs_30_%_is_final'
    LOOP
        EXECUTE format('DROP TRIGGER %I ON public.ml_jobs', v_trigger);
    END LOOP;
END
$$;

-- They have one more argument, max_minutes.
DO $$
DECLARE
    v_routine regprocedure;
BEGIN
    FOR v_routine IN
        SELECT p.oid
        FROM pg_proc p
        WHERE (p.pronamespace = 'ml'::regnamespace AND p.proname IN ('train', 'test', 'compare'))
            OR (p.proname IN ('preview', 'try_train') AND p.pronamespace IN ('ml'::regnamespace, 'ml_internal'::regnamespace) AND p.pronargs = 16)
    LOOP
        EXECUTE format('DROP ROUTINE %s', v_routine);
    END LOOP;
END
$$;

DROP INDEX public.ml_jobs_queue;
DROP INDEX IF EXISTS public.ml_jobs_queue_of_kind;
ALTER TABLE public.ml_job_events ALTER created_at SET DEFAULT clock_timestamp();
-- Kinds of label: every model so far has the kind value. The table is that of 11_labels.sql, which fills it.
DROP VIEW IF EXISTS public.ml_leaderboard;
DROP VIEW IF EXISTS public.ml_dim_models;
DROP FUNCTION IF EXISTS ml_internal.label_text(text, text, numeric, integer);
DROP FUNCTION IF EXISTS ml_internal.label_expression(integer);

CREATE TABLE public.ref_labels (
    name varchar(50) NOT NULL,
    description text NOT NULL,
    needs_horizon boolean NOT NULL,
    is_change boolean NOT NULL,
    has_stop boolean NOT NULL,
    certain_operators_csv text NOT NULL,
    wording text NOT NULL,
    found text NOT NULL,
    judged text NOT NULL,
    CONSTRAINT ref_labels_pkey PRIMARY KEY (name)
);
INSERT INTO public.ref_labels VALUES ('value', '', false, false, false, '', '', '', '');

ALTER TABLE public.ml_jobs
ADD COLUMN train_label text
CONSTRAINT ml_jobs_train_label_fkey REFERENCES public.ref_labels (name),
ADD COLUMN train_base_var text,
ADD COLUMN train_stop_value numeric
CONSTRAINT ml_jobs_train_stop_value_finite CHECK (train_stop_value NOT IN ('NaN', 'Infinity', '-Infinity')),
ADD COLUMN train_uncovered text
CONSTRAINT ml_jobs_train_uncovered_known CHECK (train_uncovered IN ('leave_out', 'negative'));

ALTER TABLE public.ml_models
ADD COLUMN label varchar(50) NOT NULL DEFAULT 'value'
CONSTRAINT ml_models_label_fkey REFERENCES public.ref_labels (name),
ADD COLUMN base_variable varchar(100),
ADD COLUMN stop_value numeric,
ADD COLUMN uncovered varchar(10)
CONSTRAINT ml_models_uncovered_known CHECK (uncovered IN ('leave_out', 'negative'));

ALTER TABLE public.ml_training_runs
ADD COLUMN num_without_base bigint,
ADD COLUMN num_uncovered bigint,
ADD CONSTRAINT ml_training_runs_windows_not_negative CHECK (least(num_without_base, num_uncovered) >= 0);
ALTER TABLE public.ml_test_results
ADD COLUMN num_without_base bigint,
ADD COLUMN num_uncovered bigint,
ADD CONSTRAINT ml_test_results_windows_not_negative CHECK (least(num_without_base, num_uncovered) >= 0);
ALTER TABLE public.ml_comparisons
ADD COLUMN num_without_base bigint,
ADD COLUMN num_uncovered bigint,
ADD CONSTRAINT ml_comparisons_windows_not_negative CHECK (least(num_without_base, num_uncovered) >= 0);

INSERT INTO ml.schema_version (version)
VALUES (6);
