-- Drop the database of an instance, whatever a binding calls it now, with all sessions in it; print the bindings' roles.
SET client_min_messages = error;
SET lock_timeout = '20s';
-- Only a member may drop what a role owns, and end the sessions of a role.
SELECT format('GRANT %I TO CURRENT_USER', rolname) FROM pg_roles
    WHERE (rolname = :'role' OR rolname ~ ('^' || :'role' || '_[0-9a-f]{16}$')) AND NOT pg_has_role(rolname, 'USAGE')
    ORDER BY rolname DESC \gexec
SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database JOIN pg_roles ON pg_roles.oid = datdba
    WHERE rolname = :'role' \gexec
SELECT rolname FROM pg_roles WHERE rolname ~ ('^' || :'role' || '_[0-9a-f]{16}$');
