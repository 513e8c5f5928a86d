-- Facts are inserted and never changed: the trigger that every fact table shares.

SET search_path TO pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION ml.refuse_change_of_fact()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'ML003', TABLE = TG_TABLE_NAME,
        HINT = 'Facts are inserted by the worker''s procedures and stay as they are.';
END
$$;

COMMENT ON FUNCTION ml.refuse_change_of_fact() IS 'Trigger: refuses UPDATE, DELETE and TRUNCATE on a fact table.';
