-- From version 7 to 8.

SET search_path TO pg_catalog, pg_temp;

-- It has a further argument, and the other is a loop in ml.separate_teams now.
DROP PROCEDURE IF EXISTS ml_internal.make_model_function(bigint);
DROP PROCEDURE IF EXISTS ml_internal.keep_model_functions();

INSERT INTO ml.schema_version (version)
VALUES (8);
