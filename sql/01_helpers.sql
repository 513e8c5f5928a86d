-- What many files use: facts that never change, and procedures that commit as they go.

SET search_path TO pg_catalog, pg_temp;

-- Facts are inserted and never changed. Old ones may go, but only through ml.prune (91_pruning.sql), which alone says
-- that it is pruning.
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

-- What PostgreSQL says of a COMMIT where none is possible, in the language of the session: inside a function none is.
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

-- A procedure that commits cannot run inside a transaction of its caller.
-- PostgreSQL says so only as 'invalid transaction termination', at the first COMMIT. The one here is refused in any
-- case, because of the EXCEPTION, but with another message where nothing else is in the way. A clock would not tell:
-- drivers parse a call with parameters before they run it.
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

-- Adds a constraint, or replaces one of another definition: a check reads the whole table, so not without need.
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

COMMENT ON PROCEDURE ml_internal.keep_constraint(regclass, text, text, text) IS 'Adds a CHECK to a table (how: NOT VALID or nothing), or replaces one that was defined differently.';
COMMENT ON FUNCTION ml_internal.refuse_change_of_fact() IS 'Trigger: refuses UPDATE, DELETE and TRUNCATE on a fact table.';
COMMENT ON PROCEDURE ml_internal.require_autocommit(text) IS 'Refuses a caller who is inside a transaction, for a routine that commits.';
COMMENT ON FUNCTION ml_internal.commit_is_impossible() IS 'What PostgreSQL says of a COMMIT inside a transaction, in the language of the session.';
