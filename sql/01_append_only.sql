-- Facts are inserted and never changed: the trigger that every fact table shares.
-- Old facts may go, but only through ml.prune (91_pruning.sql), which alone says that it is pruning.

SET search_path TO pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION ml.refuse_change_of_fact()
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

COMMENT ON FUNCTION ml.refuse_change_of_fact() IS 'Trigger: refuses UPDATE, DELETE and TRUNCATE on a fact table.';
