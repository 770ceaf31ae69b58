// Appends of two events to new streams, 64 in flight, with emmett. DATABASE_URL names the database; its argument is how many milliseconds; prints appends per second.
import { randomUUID } from 'node:crypto';
import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql';

const inFlight = 64;
const ms = Number(process.argv[2]);
const store = getPostgreSQLEventStore(process.env.DATABASE_URL);
await store.schema.migrate();

const eventsOf = (orderId) => {
  const at = new Date().toISOString();
  const metadata = () => ({ correlationId: randomUUID(), causationId: null, principal: 'bench', commandId: randomUUID() });
  const lines = [
    { sku: 'sku-1', name: 'Oak chair, oiled', quantity: 2, unitPriceMinor: 12_900, discountMinor: 500 },
    { sku: 'sku-2', name: 'Linen cushion', quantity: 4, unitPriceMinor: 1_950 },
  ];
  return [
    { type: 'OrderPlaced', data: { orderId, customerId: 'c-1', customerName: 'Customer 1', currency: 'EUR', lines, shippingMinor: 490, subtotalMinor: 33_100, totalMinor: 33_590, at }, metadata: metadata() },
    { type: 'OrderApproved', data: { orderId, customerId: 'c-1', at }, metadata: metadata() },
  ];
};

async function appendFor(duration) {
  let count = 0;
  const began = performance.now();
  await Promise.all(Array.from({ length: inFlight }, async () => {
    while (performance.now() - began < duration) {
      const orderId = randomUUID();
      await store.appendToStream(`order-${orderId}`, eventsOf(orderId), { expectedStreamVersion: 'STREAM_DOES_NOT_EXIST' });
      count++;
    }
  }));
  return count * 1_000 / (performance.now() - began);
}

await appendFor(500);
console.log(await appendFor(ms));
await store.close();
