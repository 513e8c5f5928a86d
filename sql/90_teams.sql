-- Teams: a role that inserts jobs, with its members. Only they may change a job and its model, or lock their rows:
-- whoever locks a row holds up all that is done with it. CALL ml.separate_teams(true) hides from all others, too, every
-- job and what derives from it. A team's members insert as it (SET ROLE, or ALTER ROLE anna SET role).
-- The owner of the tables sees and changes all; a policy on ml_jobs that lets a role see more lets it see what derives.

SET search_path TO pg_catalog, pg_temp;

-- ── Whose a job is ──────────────────────────────────────────────────────────────────────────────────

-- A job keeps the role itself and not its name, which may change or pass to another role. But the number of a role means
-- nothing on another server, where a backup may be restored: there, and only there, the team is found by its name.
CREATE TABLE IF NOT EXISTS ml.teams (
    id integer NOT NULL,
    role oid NOT NULL,
    cluster bigint NOT NULL,
    name name,
    CONSTRAINT teams_pkey PRIMARY KEY (id),
    CONSTRAINT teams_one_a_role UNIQUE (role, cluster)
);

-- The team of a role, which joins the table with its first job. Whatever is done here waits for nobody but the role's
-- own transactions.
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
    -- The name may have been that of a role that was renamed or dropped.
    UPDATE ml.teams t SET name = (SELECT r.rolname FROM pg_roles r WHERE r.oid = t.role)
    WHERE t.id IN (SELECT x.id FROM ml.teams x WHERE x.name = p_name FOR UPDATE SKIP LOCKED);
    -- No sequence: lastval() after an INSERT is the number of the job. No next number: two roles would wait for each other.
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

-- The teams that the role that asks is a member of. Volatile, so that it sees one that joins with this very statement.
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

-- The role of a team, by its number; NULL where it is gone.
CREATE OR REPLACE FUNCTION ml_internal.role_of_team(
    p_team integer
)
RETURNS oid
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    -- Mostly the role still has the name, and then it is the same on whichever server. To ask which one this is reads a file.
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

-- Runs after created_by is known to be the role that inserts, and when the owner gives a job to another.
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

-- The jobs of an older version know a name alone.
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

-- Names as they are now, for a backup of this database; and teams of a restored one whose roles are here. A role that is
-- gone leaves no name, or another would be taken for it.
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

-- A client may change its models but not lock them: a SELECT FOR UPDATE would hold up every test of them, whose rows refer
-- to theirs, and those are others'. An UPDATE of what a client may change does not. Only the statement itself can tell that
-- it is one: it leaves its transaction's number here while it runs.
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

-- ── Who sees and changes it ─────────────────────────────────────────────────────────────────────────

-- Jobs and models have their policies for good: all_teams shows them to all, until teams are separated. Other tables
-- nobody changes or locks; they have theirs while teams are separated.
-- It never waits for a lock for long while it holds others: somebody may hold that one and wait for these.
CREATE OR REPLACE PROCEDURE ml.separate_teams(
    separate boolean
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET lock_timeout TO '0'
AS $$
DECLARE
    v_table regclass;
    -- The jobs, and what is of them.
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
    -- Functions of thousands of models take a minute, so nobody is locked out yet but another of these calls.
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
                -- Who it is that inserts, a trigger has seen to.
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

-- Whether teams are separated, ml_job_events tells; a table that a newer version brings follows it.
DO $$
DECLARE
    v_separate boolean := (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = 'public.ml_job_events'::regclass);
BEGIN
    CALL ml.separate_teams(v_separate);
END
$$;

COMMENT ON TABLE ml.teams IS 'Roles that have inserted jobs: teams, whose members may change these.';
COMMENT ON COLUMN ml.teams.id IS 'Number of the team, as in ml_jobs.team.';
COMMENT ON COLUMN ml.teams.role IS 'The role, by its oid.';
COMMENT ON COLUMN ml.teams.cluster IS 'Server on which the role has this oid, by its system identifier.';
COMMENT ON COLUMN ml.teams.name IS 'Name that it was last seen by; a backup restored on another server knows the role by it.';
COMMENT ON COLUMN public.ml_jobs.team IS 'Team that the job belongs to: the role that created_by named when it was inserted.';
COMMENT ON TABLE ml_internal.model_updates IS 'Transactions in which an UPDATE of ml_models runs at this moment; each sees only itself.';
COMMENT ON COLUMN ml_internal.model_updates.transaction IS 'Number of the transaction.';
COMMENT ON FUNCTION ml_internal.note_model_update() IS 'Trigger: says to the policy of ml_models that an UPDATE runs, and no SELECT FOR UPDATE.';
COMMENT ON FUNCTION ml_internal.is_model_update() IS 'Whether an UPDATE of ml_models runs, as its policy asks.';
COMMENT ON FUNCTION ml_internal.team_of(name, oid) IS 'Number of the team of a role; NULL if there is no such role.';
COMMENT ON FUNCTION ml_internal.role_of_team(integer) IS 'Role that a team is, by its number; NULL: it is gone.';
COMMENT ON FUNCTION ml_internal.my_teams() IS 'Teams that the role that asks is a member of.';
COMMENT ON FUNCTION ml_internal.sign_team() IS 'Trigger: a job belongs to the role itself that created_by names.';
COMMENT ON PROCEDURE ml.separate_teams(boolean) IS 'Owner: true hides jobs, models and results from all but members of the role that inserted the job; false, as installed, shows all to all.';
