SET client_min_messages = error;
DROP ROLE IF EXISTS :"role";
