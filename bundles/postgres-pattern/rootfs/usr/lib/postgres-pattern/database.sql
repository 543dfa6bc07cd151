-- The database of an instance. One of that name that belongs to somebody else is left alone.
SET client_min_messages = error;
SET lock_timeout = '20s';
SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING ''UTF8''', :'database', :'role')
    WHERE NOT EXISTS (
        SELECT FROM pg_database JOIN pg_roles ON pg_roles.oid = datdba
            WHERE datname = :'database' AND rolname = :'role') \gexec
-- Everybody else could connect to it.
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
ALTER DATABASE :"database" CONNECTION LIMIT :limit;
