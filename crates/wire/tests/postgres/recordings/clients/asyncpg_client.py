"""asyncpg: named statements, binary everywhere, executemany in one batch, portals with row limits, errors while preparing."""

import asyncio

import asyncpg


async def main():
    connection = await asyncpg.connect(database="shop", user="pencil", password="pencil")
    await connection.execute("create temp table t (id int primary key, name text)")
    await connection.executemany("insert into t values ($1, $2)", [(n, f"name {n}") for n in range(300)])
    statement = await connection.prepare("select * from t where id < $1")
    print(len(await statement.fetch(10)), len(await statement.fetch(250)))
    async with connection.transaction():
        async for row in connection.cursor("select * from t", prefetch=100):
            last = row
        try:
            async with connection.transaction():
                await connection.execute("select 1/0")
        except asyncpg.DivisionByZeroError:
            pass
    for text in ["select nothing", "insert into t values (1, 'twice')"]:
        try:
            await connection.fetch(text)
        except asyncpg.PostgresError as error:
            print(type(error).__name__)
    try:
        await connection.executemany("insert into t values ($1)", [(1000,), (1000,), (1001,)])
    except asyncpg.UniqueViolationError:
        pass
    await connection.copy_records_to_table("t", records=[(n, "copied") for n in range(2000, 2050)])
    print(last, await connection.fetchval("select count(*) from t"))
    await connection.close()


asyncio.run(main())
