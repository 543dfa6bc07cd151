-- The role of a binding, which acts as the owner of the instance.
SET client_min_messages = error;
SET lock_timeout = '20s';
BEGIN;
CREATE ROLE :"role" LOGIN IN ROLE :"owner";
ALTER ROLE :"role" SET role TO :"owner";
-- psql sends a verifier (SCRAM-SHA-256), so no log of the server can hold the password itself.
\password :role
COMMIT;
