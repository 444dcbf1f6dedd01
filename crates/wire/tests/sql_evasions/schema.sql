-- Traps for the corpus of evasions, beside those of `sql_corpus/schema.sql`. What stands in for built-ins is in the
-- schema `shadow`, which only a changed search path reaches.

CREATE EXTENSION dblink;
CREATE EXTENSION postgres_fdw;

DO $$BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'evasion_reader') THEN
    CREATE ROLE evasion_reader LOGIN;
    GRANT pg_read_all_data TO evasion_reader;
  END IF;
END$$;

-- Everything that is called leaves its name behind.
CREATE FUNCTION note(what text) RETURNS void LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO public.audit_log VALUES (now(), what); END$$;
CREATE FUNCTION noted(what text, x anyelement) RETURNS anyelement LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO public.audit_log VALUES (now(), what); RETURN x; END$$;
CREATE FUNCTION stable_liar(int) RETURNS int LANGUAGE plpgsql STABLE AS
  $$BEGIN PERFORM public.note('stable'); RETURN $1; END$$;
CREATE FUNCTION sql_liar(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT public.liar($1)';
CREATE FUNCTION definer() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS
  $$BEGIN INSERT INTO public.audit_log VALUES (now(), 'definer'); RETURN 1; END$$;
CREATE FUNCTION rows_of_evil() RETURNS SETOF int LANGUAGE plpgsql AS
  $$BEGIN PERFORM public.note('rows'); RETURN NEXT 1; END$$;
CREATE FUNCTION defaulted_call(a int DEFAULT public.evil()) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION runs(statement text) RETURNS int LANGUAGE plpgsql AS
  $$BEGIN EXECUTE statement; RETURN 1; END$$;
CREATE FUNCTION spare(VARIADIC numbers int[] DEFAULT '{}') RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION closes() RETURNS int LANGUAGE plpgsql AS
  $$BEGIN PERFORM set_config('search_path', 'shadow, public, pg_catalog', false); RETURN 1; END$$;
CREATE PROCEDURE proceed() LANGUAGE plpgsql AS $$BEGIN PERFORM public.note('procedure'); END$$;
CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$BEGIN PERFORM public.note('commits'); COMMIT; END$$;
CREATE FUNCTION noisy_step(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
  $$BEGIN PERFORM public.note('step'); RETURN coalesce($1, 0) + $2; END$$;
CREATE AGGREGATE noisy(int) (SFUNC = noisy_step, STYPE = int);
CREATE FUNCTION noisy_equal(int, int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS
  $$BEGIN PERFORM public.note('equal'); RETURN true; END$$;
CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = noisy_equal);
CREATE OPERATOR @@@ (RIGHTARG = int, FUNCTION = liar);

-- Shadows.
CREATE SCHEMA shadow;
CREATE FUNCTION shadow.lower(text) RETURNS text LANGUAGE plpgsql AS
  $$BEGIN PERFORM public.note('lower'); RETURN $1; END$$;
CREATE FUNCTION shadow.abs(int) RETURNS int LANGUAGE plpgsql AS
  $$BEGIN PERFORM public.note('abs'); RETURN $1; END$$;
CREATE FUNCTION shadow.now() RETURNS timestamptz LANGUAGE plpgsql AS
  $$BEGIN PERFORM public.note('now'); RETURN clock_timestamp(); END$$;
CREATE FUNCTION shadow.length(int) RETURNS int LANGUAGE plpgsql AS
  $$BEGIN PERFORM public.note('length'); RETURN $1; END$$;
CREATE FUNCTION shadow.concat(text, text) RETURNS text LANGUAGE plpgsql AS
  $$BEGIN PERFORM public.note('concat'); RETURN $1; END$$;
CREATE FUNCTION shadow.generate_series(int, int) RETURNS SETOF int LANGUAGE plpgsql AS
  $$BEGIN PERFORM public.note('series'); RETURN NEXT 1; END$$;
CREATE AGGREGATE shadow.sum(int) (SFUNC = public.noisy_step, STYPE = int);
CREATE AGGREGATE shadow.count(*) (SFUNC = public.liar, STYPE = int, INITCOND = '0');
CREATE FUNCTION shadow.plus(int, int) RETURNS int LANGUAGE plpgsql AS
  $$BEGIN PERFORM public.note('plus'); RETURN 0; END$$;
CREATE OPERATOR shadow.+ (LEFTARG = int, RIGHTARG = int, FUNCTION = shadow.plus);
CREATE FUNCTION shadow.same(text, text) RETURNS bool LANGUAGE plpgsql AS
  $$BEGIN PERFORM public.note('same'); RETURN true; END$$;
CREATE OPERATOR shadow.= (LEFTARG = text, RIGHTARG = text, FUNCTION = shadow.same);
CREATE OPERATOR shadow.~~ (LEFTARG = text, RIGHTARG = text, FUNCTION = shadow.same);
CREATE OPERATOR shadow.< (LEFTARG = text, RIGHTARG = text, FUNCTION = shadow.same);
CREATE OPERATOR shadow.>= (LEFTARG = int, RIGHTARG = int, FUNCTION = public.noisy_equal);
CREATE OPERATOR shadow.= (LEFTARG = int, RIGHTARG = int, FUNCTION = public.noisy_equal);
CREATE FUNCTION shadow.minus(int) RETURNS int LANGUAGE plpgsql AS
  $$BEGIN PERFORM public.note('minus'); RETURN 0; END$$;
CREATE OPERATOR shadow.- (RIGHTARG = int, FUNCTION = shadow.minus);
CREATE FUNCTION shadow.noisy_check(text) RETURNS bool LANGUAGE plpgsql AS
  $$BEGIN PERFORM public.note('check'); RETURN true; END$$;
CREATE DOMAIN shadow.label AS text CHECK (shadow.noisy_check(VALUE));
CREATE DOMAIN shadow.uuid AS text CHECK (shadow.noisy_check(VALUE));
CREATE VIEW shadow.orders AS SELECT public.evil() AS id, 'x'::text AS status, 1 AS customer;
CREATE VIEW shadow.pg_class AS SELECT public.evil() AS oid, 'x'::name AS relname;
CREATE TABLE shadow.todo (id int);
INSERT INTO shadow.todo VALUES (1);

-- Relations that lead to code.
CREATE TABLE counted (id int);
CREATE STATISTICS counted_liar ON (liar(id)), (id + 1) FROM counted;
CREATE TABLE partly (id int);
CREATE INDEX ON partly (id) WHERE liar(id) > 0;
CREATE TABLE constrained (id int, CHECK (liar(id) > 0));
CREATE TABLE keyed (id int) PARTITION BY RANGE (liar(id));
CREATE TABLE keyed_low PARTITION OF keyed FOR VALUES FROM (0) TO (100);
CREATE TABLE generated (id int, x int GENERATED ALWAYS AS (liar(id)) STORED);
CREATE TABLE late (id int);
CREATE CONSTRAINT TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON late DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION on_write();
CREATE TABLE parted (id int) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (100) TO (200);
CREATE TRIGGER t AFTER INSERT ON parted_high FOR EACH ROW EXECUTE FUNCTION on_write();
CREATE TABLE shelves (id int) PARTITION BY RANGE (id);
CREATE TABLE shelves_low PARTITION OF shelves FOR VALUES FROM (0) TO (100);
CREATE TABLE shelves_high PARTITION OF shelves FOR VALUES FROM (100) TO (200);
CREATE TABLE elders (id int);
CREATE TABLE youngsters (name text) INHERITS (elders);
CREATE TABLE chiefs (id int PRIMARY KEY);
CREATE TABLE followers (id int PRIMARY KEY REFERENCES chiefs ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE hangers_on (id int REFERENCES followers ON DELETE SET NULL ON UPDATE CASCADE);
CREATE VIEW todo_view AS SELECT id FROM todo;
CREATE VIEW todo_views AS SELECT id FROM todo_view;
CREATE VIEW instead_view AS SELECT 1 AS id;
CREATE FUNCTION on_instead() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN PERFORM public.note('instead'); RETURN NEW; END$$;
CREATE TRIGGER t INSTEAD OF INSERT OR UPDATE OR DELETE ON instead_view FOR EACH ROW EXECUTE FUNCTION on_instead();
CREATE TABLE redirected (id int);
CREATE RULE r AS ON INSERT TO redirected DO INSTEAD INSERT INTO audit_log VALUES (now(), 'redirected');
CREATE RULE u AS ON UPDATE TO redirected DO INSTEAD DELETE FROM todo;
CREATE TABLE statement_trigger (id int);
CREATE TRIGGER t AFTER TRUNCATE ON statement_trigger FOR EACH STATEMENT EXECUTE FUNCTION on_write();
CREATE TRIGGER u BEFORE UPDATE ON statement_trigger FOR EACH STATEMENT EXECUTE FUNCTION on_write();
CREATE MATERIALIZED VIEW stored_evil AS SELECT evil() AS x;
CREATE TYPE noisy_label AS ENUM ('a', 'b');
CREATE FUNCTION lower(noisy_label) RETURNS text LANGUAGE plpgsql AS
  $$BEGIN PERFORM public.note('label'); RETURN 'x'; END$$;
CREATE TABLE labels (id int, label noisy_label);
CREATE FUNCTION extra(labels) RETURNS text LANGUAGE plpgsql AS
  $$BEGIN PERFORM public.note('extra'); RETURN 'x'; END$$;
CREATE FUNCTION noisy_json(noisy_label) RETURNS json LANGUAGE plpgsql AS
  $$BEGIN PERFORM public.note('json'); RETURN '1'; END$$;
CREATE CAST (noisy_label AS json) WITH FUNCTION noisy_json(noisy_label);
CREATE FUNCTION noisy_diff(float8, float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS
  $$BEGIN PERFORM public.note('diff'); RETURN 1; END$$;
CREATE TYPE noisy_range AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = noisy_diff);
CREATE TABLE ranges (id int, r noisy_range);
CREATE TYPE checked_pair AS (a checked, b int);
CREATE TABLE feelings_of (id int, feelings mood[]);

CREATE SERVER itself FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{folder}', port '5432', dbname 'evasions');
CREATE USER MAPPING FOR PUBLIC SERVER itself OPTIONS (user 'postgres', password_required 'false');
CREATE FOREIGN TABLE far_log (at timestamptz, what text) SERVER itself OPTIONS (schema_name 'public', table_name 'audit_log');
CREATE FOREIGN TABLE far_evil (x int, id int) SERVER itself OPTIONS (schema_name 'public', table_name 'evil_view');

-- Cursors behind the back of whoever declared them.
CREATE FUNCTION opens(c refcursor) RETURNS refcursor LANGUAGE plpgsql AS
  $$BEGIN OPEN c FOR SELECT public.evil() FROM public.orders; RETURN c; END$$;
CREATE FUNCTION swaps(c refcursor) RETURNS refcursor LANGUAGE plpgsql AS
  $$BEGIN CLOSE c; OPEN c FOR SELECT public.evil() FROM public.orders; RETURN c; END$$;
CREATE FUNCTION fetches(c refcursor) RETURNS int LANGUAGE plpgsql AS
  $$DECLARE x int; BEGIN FETCH c INTO x; RETURN x; END$$;
CREATE FUNCTION lures() RETURNS int LANGUAGE plpgsql AS
  $$BEGIN PERFORM set_config('search_path', 'shadow, public, pg_catalog', true); RETURN 1; END$$;
CREATE FUNCTION quiet_settings() RETURNS int LANGUAGE sql SET search_path = shadow, public, pg_catalog AS
  $$SELECT length(1)$$;

-- Code that only a write meets.
CREATE FUNCTION noisy_compare(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
  $$BEGIN PERFORM public.note('compare'); RETURN $1 - $2; END$$;
CREATE OPERATOR CLASS noisy_at_write_ops FOR TYPE int USING btree AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 noisy_compare(int, int);
CREATE TABLE sorted (id int);
CREATE INDEX ON sorted (id noisy_at_write_ops);
CREATE TABLE computed (id int);
CREATE INDEX ON computed ((id + liar(id)));
CREATE TABLE checked_by_domain (id int, c checked);
CREATE TABLE defaults (id int, at int DEFAULT stable_liar(1), n int DEFAULT nextval('tickets'));
CREATE TABLE excluded_ones (id int, EXCLUDE USING btree (id noisy_at_write_ops WITH =));
CREATE TABLE kept (id int, x int GENERATED ALWAYS AS (id + 1) STORED);
CREATE TABLE told (id int);
CREATE TRIGGER t BEFORE INSERT ON told FOR EACH ROW WHEN (liar(NEW.id) > 0) EXECUTE FUNCTION on_write();
CREATE TABLE walled (id int, owner text);
ALTER TABLE walled ENABLE ROW LEVEL SECURITY;
ALTER TABLE walled FORCE ROW LEVEL SECURITY;
CREATE POLICY seen ON walled FOR SELECT USING (definer() > 0);
CREATE POLICY made ON walled FOR INSERT WITH CHECK (definer() > 0);
GRANT SELECT, INSERT ON walled TO PUBLIC;
CREATE VIEW behind AS SELECT id FROM walled;
CREATE COLLATION shadow.other (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE FUNCTION as_text(pair) RETURNS text LANGUAGE plpgsql AS
  $$BEGIN PERFORM public.note('as_text'); RETURN 'x'; END$$;
CREATE CAST (pair AS text) WITH FUNCTION as_text(pair) AS ASSIGNMENT;
CREATE TABLE pairs (id int, p pair);
CREATE CAST (text AS pair) WITH INOUT;

-- What the traps themselves run is not lured along the path of whoever calls.
DO $$DECLARE f regprocedure; BEGIN
  FOR f IN SELECT p.oid FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
           WHERE l.lanname = 'plpgsql' AND p.prokind = 'f' AND p.oid >= 16384 AND p.proname NOT IN ('closes', 'runs', 'lures') LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog', f);
  END LOOP;
END$$;

-- Rows, so that functions are called and rows are there to be changed.
INSERT INTO customers SELECT i, 'name ' || i, i || '@example.com', '2000-01-01', '{a,b}', '{"a": 1}'
  FROM generate_series(1, 20) i;
INSERT INTO orders SELECT i, i, 'open', i, now() FROM generate_series(1, 20) i;
INSERT INTO order_items (order_id, amount) SELECT i, i FROM generate_series(1, 20) i;
INSERT INTO todo SELECT generate_series(1, 20);
INSERT INTO tenant.orders VALUES (1, 'note');
INSERT INTO feelings VALUES (1, 'ok');
INSERT INTO dishes VALUES (1, 'hot');
INSERT INTO domains VALUES (1);
INSERT INTO insensitive VALUES ('A');
INSERT INTO labels VALUES (1, 'a');
INSERT INTO measurements VALUES ('2024-02-02', 1);
INSERT INTO parents VALUES (1);
INSERT INTO wards VALUES (1, 1);
INSERT INTO chiefs VALUES (1);
INSERT INTO followers VALUES (1);
INSERT INTO hangers_on VALUES (1);
INSERT INTO elders VALUES (1);
INSERT INTO youngsters VALUES (2, 'x');
INSERT INTO shelves VALUES (1), (101);
INSERT INTO parted VALUES (1), (101);
INSERT INTO late VALUES (1);
INSERT INTO counted SELECT generate_series(1, 20);
INSERT INTO partly SELECT generate_series(1, 20);
INSERT INTO ranges VALUES (1, '[1,2)');
INSERT INTO guarded VALUES (1, 'postgres');
INSERT INTO family_child VALUES (1);
INSERT INTO ruled VALUES (1);
INSERT INTO triggered VALUES (1);
INSERT INTO redirected VALUES (1);
INSERT INTO sorted VALUES (1), (2), (3);
INSERT INTO computed VALUES (1);
INSERT INTO kept VALUES (1);
INSERT INTO pairs VALUES (1, ROW(1, 'a'));
ALTER TABLE walled DISABLE ROW LEVEL SECURITY;
INSERT INTO walled VALUES (1, 'x');
ALTER TABLE walled ENABLE ROW LEVEL SECURITY;
ANALYZE customers, orders, todo, feelings, labels, shelves;
TRUNCATE audit_log;
