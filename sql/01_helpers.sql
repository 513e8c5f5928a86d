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

-- Clients may name every column of a row that they update, because ORMs do, but change only some. Among the columns that
-- are kept, a moment is the same to the millisecond: JavaScript and others read no more of it.
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

-- Arguments: the columns that a client may change. The owner may change all, and so may our definer routines.
CREATE OR REPLACE FUNCTION ml_internal.keep_owned_columns()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    -- The service sets updated_at whatever an ORM sends.
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

-- Characters that no name may have: U+0000 to 001F and 007F to 009F, control characters; 061C, 200E, 200F, 202A to 202E and
-- 2066 to 206F, which turn the direction of what follows; 2028 and 2029, FFF9 to FFFB and 1D173 to 1D17A, which break
-- lines, annotate and beam. As numbers: it does not matter how a session reads a backslash.
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

-- Why a text cannot be a name, in words that follow its field; NULL: it can. A name must show: one of invisible characters
-- alone (blanks of all widths, fillers, joiners, selectors, tags) looks like none.
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

-- A line of text as a terminal can be given it: what would control it or turn its direction is replaced.
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

COMMENT ON FUNCTION ml_internal.is_control(integer) IS 'Whether a character, given by its code, is a control character or direction mark.';
COMMENT ON FUNCTION ml_internal.name_fault(text) IS 'Why a text cannot be a name, in words that follow its field; NULL: it can.';
COMMENT ON FUNCTION ml_internal.code_text(integer) IS 'The code of a character as it follows U+.';
COMMENT ON FUNCTION ml_internal.plain_text(text) IS 'A line of text without control characters and direction marks.';
-- A notification only hastens what a timer does too: rather than let a COMMIT fail it is left out while the server's queue
-- is nearly full. To ask how full it is frees what nobody waits for any more.
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

COMMENT ON FUNCTION ml_internal.tell(text, text) IS 'Sends a notification, unless the server''s queue of them is nearly full.';
COMMENT ON PROCEDURE ml_internal.keep_constraint(regclass, text, text, text) IS 'Adds a CHECK to a table (how: NOT VALID or nothing), or replaces one that was defined differently.';
COMMENT ON FUNCTION ml_internal.changed_columns(jsonb, jsonb, text []) IS 'Which of these columns differ in two versions of a row; a moment is the same to the millisecond.';
COMMENT ON FUNCTION ml_internal.keep_owned_columns() IS 'Trigger: a client may send every column of a row, and change only those named.';
COMMENT ON FUNCTION ml_internal.refuse_change_of_fact() IS 'Trigger: refuses UPDATE, DELETE and TRUNCATE on a fact table.';
COMMENT ON PROCEDURE ml_internal.require_autocommit(text) IS 'Refuses a caller who is inside a transaction, for a routine that commits.';
COMMENT ON FUNCTION ml_internal.commit_is_impossible() IS 'What PostgreSQL says of a COMMIT inside a transaction, in the language of the session.';
