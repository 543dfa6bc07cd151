-- The role that an instance's database belongs to. Nothing is made where one of the extensions cannot be had.
SET client_min_messages = error;
SET lock_timeout = '20s';
BEGIN;
SELECT set_config('tweed.wanted', :'wanted', true) AS wanted \gset
DO $$
DECLARE
    missing text := (
        SELECT string_agg(name, ', ') FROM jsonb_array_elements_text(current_setting('tweed.wanted')::jsonb) name
            WHERE name NOT IN (SELECT name FROM pg_available_extensions));
BEGIN
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'it has no extension %', missing;
    END IF;
END
$$;
SELECT format('CREATE ROLE %I LOGIN', :'role')
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
-- Who makes a database for a role has to be a member of that role.
SELECT format('GRANT %I TO CURRENT_USER', :'role') WHERE NOT pg_has_role(:'role', 'USAGE') \gexec
-- psql sends a verifier (SCRAM-SHA-256), so no log of the server can hold the password itself.
\password :role
COMMIT;
