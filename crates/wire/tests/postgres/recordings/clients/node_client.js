// node-postgres: unnamed and named statements, portals with row limits, errors behind each other, queries queued at once.
const { Client } = require("pg");
const Cursor = require("pg-cursor");

async function main() {
  const client = new Client({ host: process.env.PGHOST, port: +process.env.PGPORT, user: "pencil", password: "pencil", database: "shop" });
  await client.connect();
  await client.query("create temp table t (id int primary key, name text)");
  await Promise.all([1, 2, 3].map((n) => client.query("insert into t values ($1, $2)", [n, "name"])));
  const named = { name: "by-id", text: "select * from t where id = $1" };
  for (const n of [1, 2, 9]) await client.query({ ...named, values: [n] });
  for (const text of ["select 1/0", "selec 1", "select $1::int"]) {
    await client.query(text, text.includes("$") ? ["x"] : undefined).catch((error) => console.log(error.code));
  }
  const cursor = client.query(new Cursor("select generate_series(1, 25)"));
  for (let rows = await cursor.read(10); rows.length; rows = await cursor.read(10)) console.log(rows.length);
  await cursor.close();
  console.log((await client.query("select 1; select 2")).length);
  await client.end();
}

main().catch((error) => { console.error(error); process.exit(1); });
