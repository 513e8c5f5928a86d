-- A procedure that commits as it goes cannot run inside a transaction of its caller.

SET search_path TO pg_catalog, pg_temp;

-- PostgreSQL says so only as 'invalid transaction termination', at the first COMMIT. The one here is refused in any
-- case, because of the EXCEPTION, but with another message where nothing else is in the way. A clock would not tell:
-- drivers parse a call with parameters before they run it. In another language this refuses nobody, and the message
-- of PostgreSQL remains.
CREATE OR REPLACE PROCEDURE ml.require_autocommit(
    p_routine text
)
LANGUAGE plpgsql
AS $$
BEGIN
    COMMIT;
EXCEPTION
    WHEN invalid_transaction_termination THEN
        IF SQLERRM OPERATOR(pg_catalog.=) 'invalid transaction termination' THEN
            RAISE EXCEPTION '% commits as it goes and cannot run inside a transaction', p_routine
                USING ERRCODE = 'active_sql_transaction', HINT = 'COMMIT or ROLLBACK first; in a client, turn autocommit on.';
        END IF;
END
$$;

COMMENT ON PROCEDURE ml.require_autocommit(text) IS 'Refuses a caller who is inside a transaction, for a routine that commits.';
