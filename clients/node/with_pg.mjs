// node-postgres: queries, prepared statements, cursors, streams, COPY, notifications, pools.
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import pg from 'pg'
import { from as copyFrom, to as copyTo } from 'pg-copy-streams'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'

const ssl = process.env.PGSSLMODE === 'require' ? { rejectUnauthorized: false } : false
const client = new pg.Client({ ssl })
client.on('notice', (notice) => console.log('notice:', notice.severity, notice.message))
await client.connect()
await client.query('CREATE TABLE n(id int PRIMARY KEY, t text, j jsonb, b bytea, d timestamptz, a text[])')
const inserted = await client.query({
  name: 'insert',
  text: 'INSERT INTO n VALUES ($1, $2, $3, $4, $5, $6) RETURNING *',
  values: [1, 'naïve ☃', { a: [1, null] }, Buffer.from([0, 1, 255]), new Date(0), ['x', null]],
})
console.log(inserted.command, inserted.rowCount, JSON.stringify(inserted.rows), inserted.fields.map((f) => f.dataTypeID))
for (let id = 2; id < 50; id++) await client.query({ name: 'insert', text: 'INSERT INTO n VALUES ($1, $2, $3, $4, $5, $6) RETURNING *', values: [id, null, null, null, null, null] })
const several = await client.query('SELECT 1 AS a; SELECT 2 AS b; INSERT INTO n(id) VALUES (60)')
console.log(several.map((result) => [result.command, result.rowCount, result.rows]))
const cursor = client.query(new Cursor('SELECT id FROM n ORDER BY id'))
console.log((await cursor.read(3)).length, (await cursor.read(100)).length)
await cursor.close()
let streamed = 0
for await (const row of client.query(new QueryStream('SELECT * FROM generate_series(1, 5000) i', [], { batchSize: 100 }))) streamed += row.i
console.log('streamed:', streamed)
await pipeline(Readable.from(Array.from({ length: 1000 }, (_, i) => `${i + 1000}\tcopied\n`)), client.query(copyFrom('COPY n(id, t) FROM STDIN')))
let bytes = 0
await pipeline(client.query(copyTo('COPY n TO STDOUT')), new Writable({ write(chunk, _, done) { bytes += chunk.length; done() } }))
console.log('copied:', bytes, (await client.query('SELECT count(*)::int FROM n')).rows[0].count)
try {
  await pipeline(Readable.from(['not a number\tx\n']), client.query(copyFrom('COPY n(id, t) FROM STDIN')))
} catch (error) {
  console.log('copy failed:', error.code, error.where)
}
for (const [text, values] of [['SELECT 1/0'], ['INSERT INTO n(id) VALUES ($1)', [1]], ['SELECT * FROM nowhere'], ['SELECT $1::int', ['x']]]) {
  try {
    await client.query(text, values)
  } catch (error) {
    console.log(error.code, error.message, error.detail, error.constraint, error.position, error.routine)
  }
}
await client.query('BEGIN')
await client.query('INSERT INTO n(id) VALUES (70)')
await client.query('SAVEPOINT s')
await client.query('INSERT INTO n(id) VALUES (70)').catch((error) => console.log(error.code))
await client.query('SELECT 1').catch((error) => console.log(error.code))
await client.query('ROLLBACK TO s')
await client.query('COMMIT')
console.log((await client.query('SELECT count(*)::int FROM n WHERE id = 70')).rows)
const heard = new Promise((resolve) => client.once('notification', ({ channel, payload }) => resolve([channel, payload])))
await client.query('LISTEN here')
await client.query("NOTIFY here, 'there'")
console.log('heard:', await heard)
const together = await Promise.all([1, 2, 3, 4].map((i) => client.query('SELECT $1::int AS i', [i])))
console.log(together.map((result) => result.rows[0].i))
await client.end()
const pool = new pg.Pool({ ssl, max: 5 })
const sums = await Promise.all(Array.from({ length: 50 }, (_, i) => pool.query('SELECT $1::int * 2 AS x', [i])))
console.log(sums.reduce((sum, result) => sum + result.rows[0].x, 0))
await pool.end()
