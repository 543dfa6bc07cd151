-- Prints the version of the server, a blank, and "superuser" or "role".
SET client_min_messages = error;
DO $$
BEGIN
    IF current_setting('server_version_num')::int < 140000 THEN
        RAISE EXCEPTION 'it is older than version 14';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolcreaterole AND rolcreatedb)) THEN
        RAISE EXCEPTION 'the role % needs CREATEROLE and CREATEDB', quote_ident(current_user);
    END IF;
END
$$;
-- A server that follows another takes no changes, whoever asks.
BEGIN;
CREATE ROLE :"probe" NOLOGIN CREATEROLE CREATEDB;
ROLLBACK;
SELECT current_setting('server_version'), CASE WHEN rolsuper THEN 'superuser' ELSE 'role' END
    FROM pg_roles WHERE rolname = current_user;
