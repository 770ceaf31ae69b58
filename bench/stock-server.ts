import express from 'express';
import pg from 'pg';
import { uuidIds } from '../src/infrastructure/process/uuid-ids.js';

// The baseline of the HTTP figure: what one writes first. Stock Express, its JSON parser, and one named statement per command on a pool of 10,
// which appends one event. Its position is an identity column, or with GAPLESS=1 it comes from a head row under a lock. No validation, no access check, no idempotency.
// DATABASE_URL names an empty database; the port goes to standard output.

interface Body { customerId: string; currency: string; lines: { quantity: number; unitPriceMinor: number; discountMinor?: number }[]; shippingMinor?: number }

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
await pool.query(`
  create table events(position bigint generated always as identity primary key, stream text not null, version int not null, type text not null, data json not null,
    metadata json not null, recorded_at timestamptz not null default clock_timestamp(), unique (stream, version))`);

await pool.query('create table head(position bigint not null)');
await pool.query('insert into head values (0)');

const append = {
  name: 'append',
  text: process.env.GAPLESS === '1'
    ? `with h as (update head set position = position + 1 returning position)
      insert into events(position, stream, version, type, data, metadata) overriding system value select h.position, $1, 1, 'OrderPlaced', $2, $3 from h returning position`
    : "insert into events(stream, version, type, data, metadata) values ($1, 1, 'OrderPlaced', $2, $3) returning position",
};

const app = express();
app.use(express.json());
app.post('/orders', async (request, response) => {
  const { customerId, currency, lines, shippingMinor = 0 } = request.body as Body;
  const orderId = uuidIds.next();
  const subtotalMinor = lines.reduce((total, line) => total + line.quantity * line.unitPriceMinor - (line.discountMinor ?? 0), 0);
  const data = { orderId, customerId, currency, lines, shippingMinor, subtotalMinor, totalMinor: subtotalMinor + shippingMinor, at: new Date().toISOString() };
  const metadata = { id: uuidIds.next(), correlationId: uuidIds.next(), principal: 'anonymous', commandId: uuidIds.next() };
  const { rows } = await pool.query<{ position: string }>({ ...append, values: [`order-${orderId}`, JSON.stringify(data), JSON.stringify(metadata)] });
  response.status(201).json({ id: orderId, version: 1, position: Number(rows[0]?.position), events: ['OrderPlaced'] });
});
const server = app.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (typeof address === 'object' && address !== null) console.log(`http://127.0.0.1:${address.port}`);
});
process.once('SIGTERM', () => { process.exit(0); });
