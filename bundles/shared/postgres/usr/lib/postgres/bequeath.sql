-- Nothing in this database depends on the role any more.
SET client_min_messages = error;
SET lock_timeout = '20s';
SELECT :'heir' <> '' AS inherited \gset
\if :inherited
    REASSIGN OWNED BY :"role" TO :"heir";
\endif
-- Its privileges are left, which nobody inherits.
DROP OWNED BY :"role";
