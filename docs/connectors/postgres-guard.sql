-- Makes the watch: what ends open sessions of Gatepass's logins on the target itself when their end has come, whether
-- Gatepass is there or not. One watch serves the whole cluster. Run this once as a superuser, in any database, such as
-- the one the target's URL names:
--
--   psql -d orders -f postgres-guard.sql
--
-- Then let something on the database's own machine run this, and start it again whenever it ends (see postgres.md):
--
--   psql -d orders -U gatepass_watch -c 'CALL gatepass_watch.run()'
\set ON_ERROR_STOP on

SELECT 'CREATE ROLE gatepass_watch LOGIN CONNECTION LIMIT 2'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'gatepass_watch') \gexec

-- To end sessions; never those of superusers.
GRANT pg_signal_backend TO gatepass_watch;
SELECT 'GRANT pg_use_reserved_connections TO gatepass_watch'
 WHERE current_setting('server_version_num')::int >= 160000 \gexec

CREATE SCHEMA IF NOT EXISTS gatepass_watch;
GRANT USAGE ON SCHEMA gatepass_watch TO gatepass_watch;

-- Never returns. It writes nothing and holds no snapshot for longer than half a second. The application's name says
-- when it looked last, and is how Gatepass knows that it works; so it says so only after it has looked.
CREATE OR REPLACE PROCEDURE gatepass_watch.run() LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        PERFORM pg_terminate_backend(a.pid)
           FROM pg_roles r
           JOIN pg_shdescription d ON d.objoid = r.oid AND d.classoid = 'pg_authid'::regclass
           JOIN pg_stat_activity a ON a.usesysid = r.oid
          WHERE r.rolname LIKE 'gp\_%' AND d.description LIKE 'gatepass:%'
            AND r.rolvaliduntil <= clock_timestamp();
        PERFORM set_config('application_name', 'gatepass watch ' || extract(epoch FROM clock_timestamp()), false);
        COMMIT;
        PERFORM pg_sleep(0.5);
        COMMIT;
    END LOOP;
END $$;
REVOKE ALL ON PROCEDURE gatepass_watch.run() FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE gatepass_watch.run() TO gatepass_watch;
