// @clickhouse/client at its defaults.

import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { createClient } from '@clickhouse/client';

const { ENGINE, PASSWORD, DATABASE, VIEWS } = process.env;
const options = { url: `http://${ENGINE}`, password: PASSWORD, database: DATABASE };
const client = createClient(options);

const select = async (query, query_params = {}) =>
  (await client.query({ query, query_params, format: 'JSONEachRow' })).json();

// A table, an insert, and every type of our views.
await client.command({
  query: `CREATE TABLE node (id UInt64, name LowCardinality(String), note Nullable(String),
    day Date, at DateTime64(3, 'UTC'), ok Bool, tags Array(String)) ENGINE = MergeTree ORDER BY id`,
});
const rows = Array.from({ length: 100_000 }, (_, n) => ({
  id: String(n), name: `n${n % 3}`, note: n % 2 ? null : 'x', day: '2026-03-01',
  at: '2026-03-01 09:12:33.123', ok: n % 2 === 1, tags: ['a', 'ü'],
}));
await client.insert({ table: 'node', values: Readable.from(rows), format: 'JSONEachRow' });
const quoted = 'SETTINGS output_format_json_quote_64bit_integers = 1';
const found = await select(`SELECT * FROM node ORDER BY id ${quoted}`);
assert.deepEqual([found.length, found[0], found[99_999]], [100_000, rows[0], rows[99_999]]);
assert.equal((await select('SELECT * FROM node WHERE id = {id: UInt64}', { id: 7 })).length, 1);
for (const view of VIEWS.split(',')) {
  assert.ok((await select(`SELECT * FROM ${view}`)).length > 0, view);
}

// A session with a temporary table.
const session = createClient({ ...options, session_id: 'of node' });
await session.command({ query: 'CREATE TEMPORARY TABLE kept (n UInt8)' });
await session.insert({ table: 'kept', values: [{ n: 1 }, { n: 2 }], format: 'JSONEachRow' });
const kept = await session.query({ query: 'SELECT sum(n) AS n FROM kept', format: 'JSONEachRow' });
assert.equal(Number((await kept.json())[0].n), 3);

// Packed both ways.
const compression = { request: true, response: true };
const packed = createClient({ ...options, compression });
await packed.insert({ table: 'node', values: [{ id: '100000' }], format: 'JSONEachRow' });
assert.equal((await select('SELECT * FROM node')).length, 100_001);

// Errors, one of them while the client is still sending.
await assert.rejects(select('SELECT * FROM nowhere'), { code: '60', type: 'UNKNOWN_TABLE' });
async function* endless() {
  for (let n = 0; n < 300_000; n += 1) yield { a: 'x'.repeat(100) };
}
await assert.rejects(
  client.insert({ table: 'nowhere', values: Readable.from(endless()), format: 'JSONEachRow' }),
  { code: '60', type: 'UNKNOWN_TABLE' },
);
await assert.rejects(
  client.insert({
    table: 'node',
    values: Readable.from(endless()),
    format: 'JSONEachRow',
    clickhouse_settings: { no_such_setting: 1 },
  }),
  { code: '115', type: 'UNKNOWN_SETTING' },
);
await Promise.all([client, session, packed].map((each) => each.close()));
console.log('done');
