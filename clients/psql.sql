\pset pager off
SET client_min_messages = notice;
DROP SCHEMA IF EXISTS c_psql CASCADE;
CREATE SCHEMA c_psql;
SET search_path = c_psql, public;
CREATE TABLE t(id int PRIMARY KEY, name text NOT NULL, amount numeric(10,2));
\copy t from 'in.tsv'
SELECT count(*), sum(amount), max(name) FROM t;
\copy (SELECT * FROM t ORDER BY id) to 'out.tsv'
\copy t from 'broken.tsv'
SELECT count(*) FROM t;
COPY t TO STDOUT WITH (FORMAT csv, HEADER);
\d t
\dt c_psql.*
\df c_psql.*
\dn c_psql
CREATE VIEW v AS SELECT id, upper(name) AS name FROM t WHERE id < 5;
\d+ v
TABLE v ORDER BY id;
INSERT INTO t VALUES (1, 'twice', 0);
INSERT INTO t VALUES (3001, NULL, 0);
SELECT * FROM nowhere;
SELECT 1/0;
SELECT 'abc'::int;
BEGIN;
INSERT INTO t VALUES (3002, 'in a transaction', 1);
SAVEPOINT a;
INSERT INTO t VALUES (1, 'twice', 0);
SELECT 1;
ROLLBACK TO a;
SELECT count(*) FROM t;
COMMIT;
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM t ORDER BY id;
FETCH 3 FROM c;
MOVE 100 IN c;
FETCH 2 FROM c;
CLOSE c;
ROLLBACK;
PREPARE p(int) AS SELECT name FROM t WHERE id = $1;
EXECUTE p(7);
EXECUTE p(8);
DEALLOCATE p;
EXECUTE p(9);
LISTEN c_psql;
NOTIFY c_psql, 'hello';
SELECT 1 AS after_notify;
UNLISTEN *;
DO $$ BEGIN RAISE NOTICE 'a notice'; RAISE WARNING 'a warning' USING HINT = 'a hint', DETAIL = 'a detail'; END $$;
DO $$ BEGIN RAISE EXCEPTION 'own error' USING ERRCODE = 'P0007', HINT = 'h', DETAIL = 'd', TABLE = 't', COLUMN = 'c', CONSTRAINT = 'k', DATATYPE = 'y', SCHEMA = 's'; END $$;
\set FETCH_COUNT 100
SELECT count(*) FROM (SELECT * FROM t) x;
SELECT id FROM t WHERE id <= 5 ORDER BY id;
\set FETCH_COUNT 0
SELECT id, name FROM t WHERE id = 1 \gdesc
SELECT 'SELECT ' || generate_series(1, 3) AS q \gexec
SELECT 5 AS five \gset
\echo :five
\crosstabview
SELECT * FROM t WHERE id = :five \gx
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE id = 5;
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SELECT 'a\'b';
RESET standard_conforming_strings;
SELECT U&'\00e9', E'\u00e9', $tag$ 'quoted' $tag$;
SELECT repeat('x', 100000) = repeat('x', 100000) AS long;
SELECT array[1,2,3], '{"a": 1}'::jsonb, '\xdeadbeef'::bytea, interval '1 day 2 hours', 'NaN'::float8, NULL AS nothing;
SET ROLE NONE;
VACUUM t;
CREATE INDEX CONCURRENTLY t_name ON t(name);
TRUNCATE t;
SELECT count(*) FROM t;
;
SELECT 1 AS one; SELECT 2 AS two;
\errverbose
SELECT 1 \; SELECT 2 \; SELECT 3;
DISCARD ALL;
SHOW search_path;
