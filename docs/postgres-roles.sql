-- The role that the nodes use, with what they need and no more. The log is append-only for it: it can add events, and
-- neither change nor delete one. What people wrote lies beside the log: it can be deleted, and not changed. Run by the
-- owner of Gatepass's tables, in their database, after every `gatepass-server migrate`:
--
--   psql -d gatepass -v service=gatepass -f postgres-roles.sql
--
-- The role is made without a password if it is not there; set one with \password.

\set ON_ERROR_STOP on
SELECT format('CREATE ROLE %I LOGIN', :'service')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'service') \gexec

BEGIN;
-- Before PostgreSQL 15 everybody may make tables.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM :"service";
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM :"service";
GRANT USAGE ON SCHEMA public TO :"service";
GRANT SELECT ON refinery_schema_history TO :"service";
GRANT SELECT, INSERT ON event, subtree, command, sight TO :"service";
GRANT SELECT, UPDATE ON head, directory TO :"service";
GRANT SELECT, INSERT, DELETE ON outbox, text TO :"service";
GRANT SELECT, INSERT, UPDATE ON request, person, device, setting, drift TO :"service";
GRANT SELECT, INSERT, UPDATE, DELETE ON invite, job, sealed, note, node TO :"service";
GRANT USAGE ON SEQUENCE request_number TO :"service";
COMMIT;
