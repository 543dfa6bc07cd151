-- Nobody can use the role any more. Prints the databases where something depends on it, or "-" where there is no such role.
SET client_min_messages = error;
SET lock_timeout = '20s';
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') AS exists \gset
\if :exists
    ALTER ROLE :"role" NOLOGIN;
    -- Only a member may end the sessions of a role and give away what it owns; a superuser is a member of all.
    SELECT format('GRANT %I TO CURRENT_USER', :'role') WHERE NOT pg_has_role(:'role', 'USAGE') \gexec
    SELECT count(pg_terminate_backend(pid, 5000)) AS ended FROM pg_stat_activity WHERE usename = :'role' \gset
    SELECT datname FROM pg_database
        WHERE datallowconn AND EXISTS (
            SELECT FROM pg_shdepend JOIN pg_roles ON pg_roles.oid = refobjid
                WHERE rolname = :'role' AND refclassid = 'pg_authid'::regclass
                    AND (dbid = pg_database.oid OR dbid = 0 AND datname = current_database()));
\else
    \echo -
\endif
