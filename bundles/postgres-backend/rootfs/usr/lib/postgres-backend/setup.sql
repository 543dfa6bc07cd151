-- One transaction makes the role of an interaction, and once the lasting role that it acts as.
SET client_min_messages = error;
SET lock_timeout = '20s';
BEGIN;
-- Of two that begin together, one makes the owner.
SELECT pg_advisory_xact_lock(hashtext('tweed ' || :'owner')) AS lock, set_config('tweed.owner', :'owner', true) AS owner \gset
DO $$
DECLARE
    owner text := current_setting('tweed.owner');
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = owner AND (rolsuper OR rolcanlogin)) THEN
        RAISE EXCEPTION 'the role % is somebody else''s; configure another prefix', owner;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = owner) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN CREATEROLE CREATEDB', owner);
    END IF;
    -- To tear down, we have to be able to give it what the interaction's role owns.
    IF NOT pg_has_role(owner, 'USAGE') THEN
        EXECUTE format('GRANT %I TO CURRENT_USER', owner);
    END IF;
    IF NOT has_database_privilege(owner, current_database(), 'CONNECT') THEN
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), owner);
    END IF;
END
$$;
CREATE ROLE :"role" LOGIN IN ROLE :"owner";
-- Sessions of the role begin as the owner: what they make belongs to it, and outlives the role.
ALTER ROLE :"role" SET role TO :"owner";
-- psql sends a verifier (SCRAM-SHA-256), so no log of the server can hold the password itself.
\password :role
COMMIT;
