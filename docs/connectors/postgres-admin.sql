-- Makes the login Gatepass uses on a PostgreSQL target, with no more than it needs. Run it once as a superuser:
--
--   psql -d orders -v admin=gatepass_admin -v groups=orders_reader,orders_writer -f postgres-admin.sql
--   psql -d orders -c '\password gatepass_admin'
--
-- `groups` are the group roles that the catalogue's `grants` name on this target. Run it again when there are more.
\set ON_ERROR_STOP on

SELECT current_setting('server_version_num')::int >= 160000 AS scoped \gset

SELECT format('CREATE ROLE %I LOGIN CREATEROLE CONNECTION LIMIT 20', :'admin')
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'admin') \gexec

-- To end the sessions of the logins it made; never those of superusers.
GRANT pg_signal_backend TO :"admin";

-- From PostgreSQL 16 on CREATEROLE reaches only what it was given: the right to hand the groups on, and neither
-- their privileges nor SET ROLE to them. Up to 15 CREATEROLE may already hand on every role but a superuser's.
\if :scoped
-- So that it still gets in, to end sessions, when those have taken all connections (see reserved_connections).
GRANT pg_use_reserved_connections TO :"admin";
SELECT format('GRANT %I TO %I WITH ADMIN TRUE, INHERIT FALSE, SET FALSE', trim(g), :'admin')
  FROM regexp_split_to_table(:'groups', ',') AS g \gexec
\endif
