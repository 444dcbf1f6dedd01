"""asyncpg: always the extended protocol, always binary, types looked up in the catalogue."""

import asyncio
import datetime
import decimal
import os
import uuid

import asyncpg


async def main():
    c = await asyncpg.connect(ssl=os.environ.get("PGSSLMODE", "prefer"))
    await c.execute(
        "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (a int, b text);"
        "CREATE TABLE a(id serial PRIMARY KEY, m mood, p pair, r int4range, t timestamptz, n numeric, u uuid, i inet, l text[])"
    )
    row = await c.fetchrow(
        "INSERT INTO a(m, p, r, t, n, u, i, l) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *",
        "ok", (1, "one"), asyncpg.Range(1, 5), datetime.datetime(2026, 3, 3, tzinfo=datetime.timezone.utc),
        decimal.Decimal("1.50"), uuid.UUID(int=9), "10.0.0.1", ["x", None, "z"],
    )
    print(dict(row))
    await c.executemany("INSERT INTO a(n) VALUES ($1)", [(decimal.Decimal(i),) for i in range(200)])
    print(await c.fetchval("SELECT count(*) FROM a"))
    async with c.transaction():
        total = 0
        async for record in c.cursor("SELECT id FROM a ORDER BY id", prefetch=17):
            total += record["id"]
        print("cursor:", total)
        cursor = await c.cursor("SELECT id FROM a ORDER BY id")
        print([r["id"] for r in await cursor.fetch(3)], await cursor.forward(10), (await cursor.fetchrow())["id"])
    try:
        async with c.transaction():
            await c.execute("INSERT INTO a(id) VALUES (1)")
    except asyncpg.UniqueViolationError as error:
        print(error.sqlstate, error.constraint_name, error.detail)
    async with c.transaction(isolation="serializable", readonly=True):
        print(await c.fetchval("SHOW transaction_isolation"))
        try:
            async with c.transaction():
                await c.execute("DELETE FROM a")
        except asyncpg.PostgresError as error:
            print(error.sqlstate)
    statement = await c.prepare("SELECT $1::int + $2::int AS sum")
    print(await statement.fetchval(1, 2), [p.name for p in statement.get_parameters()], statement.get_statusmsg())
    print(await c.copy_records_to_table("a", records=[(i + 1000,) for i in range(1000)], columns=["id"]))
    out = []
    async def sink(data):
        out.append(len(data))
    print(await c.copy_from_query("SELECT id FROM a WHERE id > $1", 1000, output=sink), sum(out))
    heard = asyncio.get_running_loop().create_future()
    await c.add_listener("here", lambda *parts: heard.done() or heard.set_result(parts[2:]))
    await c.execute("NOTIFY here, 'there'")
    print("heard:", await asyncio.wait_for(heard, 5))
    await c.remove_listener("here", lambda *parts: None)
    try:
        await asyncio.wait_for(c.fetch("SELECT pg_sleep(30)"), 0.5)
    except asyncio.TimeoutError:
        print("cancelled after a timeout")
    print(await c.fetchval("SELECT 'still here'"))
    try:
        await c.fetch("SELECT 1/0")
    except asyncpg.PostgresError as error:
        print(type(error).__name__, error.sqlstate)
    await c.reset()
    pool = await asyncpg.create_pool(min_size=2, max_size=5, ssl=os.environ.get("PGSSLMODE", "prefer"))
    print(sorted(await asyncio.gather(*[pool.fetchval("SELECT $1::int * 2", i) for i in range(50)]))[-1])
    await pool.close()
    await c.close()


asyncio.run(main())
