-- The database that the corpus is judged against: ordinary tables beside every trap that a catalogue can hold.

CREATE EXTENSION citext;

-- Plain data.
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, email varchar(200), born date, tags text[], extra jsonb);
CREATE TABLE orders (
  id int PRIMARY KEY, customer int REFERENCES customers ON DELETE CASCADE,
  status text CHECK (status <> ''), total numeric(10, 2) DEFAULT 0, created timestamptz DEFAULT now()
);
CREATE INDEX ON orders (lower(status));
CREATE TABLE order_items (
  id serial PRIMARY KEY, order_id int REFERENCES orders ON DELETE CASCADE ON UPDATE CASCADE, amount int
);
CREATE TABLE todo (id int);
CREATE TABLE audit_log (at timestamptz, what text);
CREATE SEQUENCE tickets;
CREATE MATERIALIZED VIEW totals AS SELECT customer, sum(total) AS sum FROM orders GROUP BY customer;
CREATE SCHEMA tenant;
CREATE TABLE tenant.orders (id int, note text);
CREATE TABLE tenant.only_here (id int);
CREATE TABLE measurements (at timestamptz, value float8) PARTITION BY RANGE (at);
CREATE TABLE measurements_2024 PARTITION OF measurements FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');

-- Functions that write.
CREATE FUNCTION evil() RETURNS int LANGUAGE plpgsql VOLATILE AS
  $$BEGIN INSERT INTO public.audit_log VALUES (now(), 'evil'); RETURN 1; END$$;
CREATE FUNCTION liar(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
  $$BEGIN PERFORM public.evil(); RETURN $1; END$$;
CREATE FUNCTION shadowed(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
-- Shadows of built-ins.
CREATE FUNCTION initcap(varchar) RETURNS text LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO public.audit_log VALUES (now(), 'initcap'); RETURN 'x'; END$$;
CREATE FUNCTION "json_value"(text, text) RETURNS text LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO public.audit_log VALUES (now(), 'json_value'); RETURN 'x'; END$$;
CREATE FUNCTION fullname(customers) RETURNS text LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO public.audit_log VALUES (now(), 'fullname'); RETURN 'x'; END$$;
CREATE FUNCTION evil_xor(text, int) RETURNS int LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO public.audit_log VALUES (now(), 'xor'); RETURN 1; END$$;
CREATE OPERATOR # (LEFTARG = text, RIGHTARG = int, FUNCTION = evil_xor);
CREATE OPERATOR tenant.|| (LEFTARG = text, RIGHTARG = int, FUNCTION = evil_xor);

-- Types.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE feelings (id int, mood mood);
CREATE FUNCTION upper(mood) RETURNS text LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO public.audit_log VALUES (now(), 'upper'); RETURN 'x'; END$$;
CREATE TYPE spicy AS ENUM ('mild', 'hot');
CREATE FUNCTION spicy_text(spicy) RETURNS text LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO public.audit_log VALUES (now(), 'cast'); RETURN 'x'; END$$;
CREATE CAST (spicy AS text) WITH FUNCTION spicy_text(spicy) AS IMPLICIT;
CREATE TABLE dishes (id int, heat spicy);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE FUNCTION evil_check(int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS
  $$BEGIN PERFORM public.evil(); RETURN true; END$$;
CREATE DOMAIN checked AS int CHECK (evil_check(VALUE));
CREATE DOMAIN ticket AS int CHECK (VALUE < nextval('tickets'));
CREATE TABLE domains (id positive);
CREATE TABLE checked_rows (id checked);
CREATE TABLE insensitive (name citext);
CREATE TYPE pair AS (a int, b text);
CREATE TYPE bad_pair AS (a checked, b text);
CREATE TYPE span AS RANGE (subtype = int4);

-- Relations that lead to code.
CREATE VIEW open_orders AS SELECT * FROM orders WHERE status = 'open';
CREATE VIEW open_totals AS SELECT c.name, sum(o.total) AS total FROM open_orders o JOIN customers c ON c.id = o.customer
  GROUP BY c.name;
CREATE VIEW evil_view AS SELECT evil() AS x, id FROM orders;
CREATE VIEW nested_evil AS SELECT id FROM evil_view;
CREATE VIEW next_ticket AS SELECT nextval('tickets') AS n;
CREATE VIEW locking_view AS SELECT id FROM orders FOR UPDATE;
CREATE VIEW spicy_view AS SELECT lower(heat) AS heat FROM dishes;
CREATE VIEW catalogue_view AS SELECT relname, pg_size_pretty(pg_relation_size(oid)) AS size FROM pg_class;
CREATE TABLE indexed (id int);
CREATE INDEX ON indexed ((liar(1) + id));
CREATE TABLE guarded (id int, owner text);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON guarded USING (owner = current_user AND liar(id) > 0);
CREATE TABLE triggered (id int);
CREATE FUNCTION on_write() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO public.audit_log VALUES (now(), 'trigger'); RETURN NEW; END$$;
CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON triggered FOR EACH ROW EXECUTE FUNCTION on_write();
CREATE TABLE ruled (id int);
CREATE RULE r AS ON DELETE TO ruled DO ALSO INSERT INTO audit_log VALUES (now(), 'rule');
CREATE TABLE defaulted (id int, x int DEFAULT evil());
CREATE TABLE family (id int);
CREATE TABLE family_child () INHERITS (family);
CREATE INDEX ON family_child (liar(id));
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE wards (id int, parent int REFERENCES parents ON DELETE CASCADE);
CREATE TRIGGER t AFTER DELETE ON wards FOR EACH ROW EXECUTE FUNCTION on_write();
CREATE TABLE index_parents (id int PRIMARY KEY);
CREATE INDEX ON index_parents ((liar(1) + id));
CREATE TABLE index_children (parent int REFERENCES index_parents);
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER far FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE remote (id int) SERVER far;
