"""psycopg 3: text and binary values, server-side cursors, pipelines, COPY, notifications, cancelling."""

import datetime
import decimal
import threading
import time
import uuid

import psycopg
from psycopg.types.json import Jsonb

c = psycopg.connect("", autocommit=True)
c.add_notice_handler(lambda diag: print("notice:", diag.severity, diag.message_primary))
print(c.info.server_version // 10000, c.info.parameter_status("server_encoding"), c.info.transaction_status.name)
c.execute("CREATE TABLE p(id int PRIMARY KEY, t text, n numeric, j jsonb, u uuid, d timestamptz, b bytea, a int[])")
row = (
    1,
    "naïve ☃",
    decimal.Decimal("12345.6789"),
    Jsonb({"a": [1, 2, None]}),
    uuid.UUID(int=7),
    datetime.datetime(2026, 3, 3, 9, 30, tzinfo=datetime.timezone.utc),
    bytes(range(256)),
    [1, None, 3],
)
for binary in (False, True):
    with c.cursor(binary=binary) as cur:
        marks = ", ".join(["%b" if binary else "%t"] * 8)
        cur.execute(f"INSERT INTO p VALUES ({marks})", (1 + binary, *row[1:]))
        cur.execute("SELECT * FROM p WHERE id = %s", (1 + binary,))
        found = cur.fetchone()
        print(cur.rowcount, found[1:3], found[3], found[4], found[5].astimezone(datetime.timezone.utc), len(found[6]), found[7])
        print([(col.name, col.type_code) for col in cur.description])

with c.transaction():
    with c.cursor(name="far") as cur:
        cur.itersize = 100
        cur.execute("SELECT i FROM generate_series(1, 1000) i")
        print("server-side:", sum(i for (i,) in cur))
    with c.cursor(name="back", scrollable=True) as cur:
        cur.execute("SELECT i FROM generate_series(1, 10) i")
        cur.scroll(5)
        print(cur.fetchone())
        cur.scroll(-3)
        print(cur.fetchmany(2))

with c.pipeline() as pipeline:
    first = c.execute("SELECT %s::int", (1,))
    second = c.execute("INSERT INTO p(id, t) VALUES (10, 'piped') RETURNING id")
    pipeline.sync()
    print("pipeline:", first.fetchone(), second.fetchone())
try:
    with c.pipeline() as pipeline:
        c.execute("INSERT INTO p(id) VALUES (11)")
        c.execute("INSERT INTO p(id) VALUES (11)")
        c.execute("INSERT INTO p(id) VALUES (12)")
except psycopg.Error as error:
    print("pipeline failed:", error.sqlstate, error.diag.constraint_name, error.diag.table_name)
print(c.execute("SELECT array_agg(id ORDER BY id) FROM p").fetchone())

c.execute("CREATE TABLE q(i int, t text)")
with c.cursor() as cur:
    with cur.copy("COPY q FROM STDIN") as copy:
        for i in range(5000):
            copy.write_row((i, "x" * (i % 50)))
    print("copied in:", cur.rowcount)
    with cur.copy("COPY q FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["int4", "text"])
        for i in range(100):
            copy.write_row((i, "binary"))
    with cur.copy("COPY (SELECT * FROM q ORDER BY i, t) TO STDOUT") as copy:
        print("copied out:", sum(1 for _ in copy.rows()))
    with cur.copy("COPY q TO STDOUT (FORMAT BINARY)") as copy:
        print("bytes:", sum(len(part) for part in copy))
    try:
        with cur.copy("COPY q FROM STDIN") as copy:
            copy.write("1\tfine\n")
            copy.write("wrong\tline\n")
    except psycopg.Error as error:
        print("copy failed:", error.sqlstate, error.diag.context)
    try:
        with cur.copy("COPY q FROM STDIN") as copy:
            copy.write("1\tfine\n")
            raise ValueError("mine")
    except ValueError as error:
        print("copy given up:", error)
    print(cur.execute("SELECT count(*) FROM q").fetchone())

c.execute("LISTEN here")
c.execute("NOTIFY here, 'there'")
for notification in c.notifies(timeout=5, stop_after=1):
    print("notified:", notification.channel, notification.payload)

def cancel():
    time.sleep(0.5)
    c.cancel_safe() if hasattr(c, "cancel_safe") else c.cancel()

thread = threading.Thread(target=cancel)
thread.start()
try:
    c.execute("SELECT pg_sleep(30)")
except psycopg.Error as error:
    print("cancelled:", error.sqlstate)
thread.join()

c.execute("DO $$ BEGIN RAISE NOTICE 'to you'; END $$")
for query in ("SELECT 1/0", "SELEC", "SELECT * FROM nowhere", "SELECT 'x'::int", "SELECT no(1)"):
    try:
        c.execute(query)
    except psycopg.Error as error:
        diag = error.diag
        print(type(error).__name__, error.sqlstate, diag.message_primary, diag.statement_position, diag.source_function)
for _ in range(10):
    c.execute("SELECT id FROM p WHERE id = %s", (1,), prepare=True)
print("prepared:", c.execute("SELECT count(*) > 0 FROM pg_prepared_statements").fetchone())
print(c.execute("SELECT 1; SELECT 2; SELECT 3").nextset())
tpc = psycopg.connect("")
try:
    tpc.tpc_begin("mine")
    tpc.execute("INSERT INTO p(id) VALUES (50)")
    tpc.tpc_prepare()
    tpc.tpc_commit()
except psycopg.Error as error:
    print("two-phase:", error.sqlstate)
tpc.close()
c.close()
with psycopg.connect("", options="-c work_mem=1234kB -c DateStyle=German", application_name="clients") as other:
    print(other.execute("SHOW work_mem").fetchone(), other.execute("SHOW DateStyle").fetchone())
    print(other.execute("SHOW application_name").fetchone())
