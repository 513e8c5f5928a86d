-- The login of Grafana: reads what ml_reader reads. Run again, it sets the password anew. For psql, by one who may
-- create roles; the password is the variable password, or GRAFANA_DATABASE_PASSWORD in the environment.
-- Not part of the installation, which takes the files of the folder above alone.

\set ON_ERROR_STOP on
\if :{?password}
\else
    \getenv password GRAFANA_DATABASE_PASSWORD
\endif

SELECT 'CREATE ROLE grafana' WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = 'grafana') \gexec
ALTER ROLE grafana LOGIN PASSWORD :'password';
-- Whoever edits a dashboard can send any statement: none may write, or hold the server for long.
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '30s';
GRANT ml_reader TO grafana;
