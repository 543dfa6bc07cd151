-- The owner may make the extensions that PostgreSQL calls trusted. Prints all that there are, with their versions.
SET client_min_messages = error;
SET lock_timeout = '20s';
SELECT format('CREATE EXTENSION IF NOT EXISTS %I CASCADE', name) FROM jsonb_array_elements_text(:'wanted') name \gexec
SELECT extname, extversion FROM pg_extension ORDER BY extname;
