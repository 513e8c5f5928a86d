-- From version 1 to 2: signs of life, pruning, and claims that are bound to a login come with the files of sql/.

SET search_path TO pg_catalog, pg_temp;

INSERT INTO ml.schema_version (version)
VALUES (2);
