-- What the masking corpus is asked about. Every protected value has `planted` in it, or is listed in `main.rs`.
CREATE SCHEMA crm;
CREATE TYPE crm.mood AS ENUM ('planted_glad', 'planted_sad');
CREATE DOMAIN crm.code AS text CHECK (length(VALUE) < 100);
CREATE TABLE crm.people (
  id int PRIMARY KEY, name text, city text,
  email text UNIQUE, phone varchar(40), card text, salary bigint, score numeric(20, 4), rate float8, grade int,
  born date, seen timestamptz, token uuid, note jsonb, doc json, page xml, photo bytea, tags text[], mood crm.mood,
  home inet, active bool, secret crm.code, initials char(30), span int4range,
  email_lower text GENERATED ALWAYS AS (lower(email)) STORED
);
INSERT INTO crm.people (id, name, city, email, phone, card, salary, score, rate, grade, born, seen, token, note, doc, page,
                        photo, tags, mood, home, active, secret, initials, span)
SELECT n, (ARRAY['Ann', 'Bob', 'Cat'])[n % 3 + 1], (ARRAY['Oslo', 'Rome'])[n % 2 + 1],
       'planted-' || n || '-kestrel@mail.example', '+49 170 5551' || 2345 + n, '4929-planted-card-1234', 7318264519,
       918273.4455, 64738.25, 1928374655, '1973-11-29', '2019-08-07 06:05:04.123456+00',
       '9f1c2b3a-4d5e-4f60-8a9b-0c1d2e3f4a5b', '{"k": "planted-jsonb"}', '{"k": "planted-json"}', '<a>planted-xml</a>',
       'planted-bytea', '{planted-tag,planted-other}', 'planted_glad', '10.77.88.99', true, 'planted-domain',
       'planted-padded', '[1928374,2837465)'
FROM generate_series(1, 200) n;
ANALYZE crm.people;
CREATE TABLE crm.orders (id int PRIMARY KEY, person int REFERENCES crm.people, total numeric, email text);
INSERT INTO crm.orders SELECT n, n, n * 10, 'clean-' || n FROM generate_series(1, 20) n;
CREATE TABLE crm.log (id int, what text);
CREATE VIEW crm.contacts AS SELECT id, name, email AS mail FROM crm.people;
CREATE VIEW crm.contacts_of_oslo AS SELECT c.id, c.mail AS address FROM crm.contacts c JOIN crm.people p USING (id) WHERE p.city = 'Oslo';
CREATE VIEW crm.shouting AS SELECT id, upper(email) AS loud FROM crm.people;
CREATE VIEW crm.tall AS WITH w AS (SELECT id, (SELECT p.email) AS e FROM crm.people p) SELECT * FROM w UNION ALL SELECT 0, 'nobody';
CREATE VIEW crm.cities AS SELECT city, count(*) AS people FROM crm.people GROUP BY city;
CREATE MATERIALIZED VIEW crm.stored AS SELECT id, email FROM crm.people;
CREATE TABLE crm.events (id int, email text, at date) PARTITION BY RANGE (at);
CREATE TABLE crm.events_2024 PARTITION OF crm.events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO crm.events VALUES (1, 'planted-event', '2024-05-05');
CREATE TABLE crm.base (id int, email text);
CREATE TABLE crm.derived (more text) INHERITS (crm.base);
INSERT INTO crm.derived VALUES (1, 'planted-inherited', 'x');
CREATE FUNCTION crm.email_of(int) RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT email FROM crm.people WHERE id = $1';
CREATE FUNCTION crm.everybody() RETURNS SETOF crm.people LANGUAGE sql AS 'SELECT * FROM crm.people ORDER BY id LIMIT 3';
CREATE FUNCTION crm.tell(int) RETURNS void LANGUAGE plpgsql AS
  $$BEGIN RAISE NOTICE 'mail is %', (SELECT email FROM crm.people WHERE id = $1); END$$;
CREATE FUNCTION crm.fail(int) RETURNS void LANGUAGE plpgsql AS
  $$BEGIN RAISE EXCEPTION 'mail is %', (SELECT email FROM crm.people WHERE id = $1); END$$;
CREATE PROCEDURE crm.note(int) LANGUAGE plpgsql AS
  $$BEGIN RAISE NOTICE 'mail is %', (SELECT email FROM crm.people WHERE id = $1); END$$;
CREATE FUNCTION crm.same(a text, b text) RETURNS bool LANGUAGE sql AS 'SELECT a = b';
CREATE OPERATOR crm.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = crm.same);
GRANT ALL ON SCHEMA crm TO shop_writer;
GRANT USAGE ON SCHEMA crm TO shop_looker;
GRANT ALL ON ALL TABLES IN SCHEMA crm TO shop_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA crm TO shop_looker;
GRANT ALL ON SCHEMA public TO shop_writer;
DO $$BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO shop_writer', current_database()); END$$;
ALTER TABLE crm.log OWNER TO shop_writer;
