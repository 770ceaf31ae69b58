import { eventCodec, upcasters } from '../src/application/log/codec.js';
import type { EventStores, NewEvent } from '../src/application/ports/event-store.js';
import { uuidIds } from '../src/infrastructure/process/uuid-ids.js';

// What the benches fill a log with.

export const codec = eventCodec(upcasters);
/** How many orders are under way at the same time: an order's four events lie so far apart. */
const openOrders = 300;

/** Orders that are placed, approved, paid and shipped, side by side. */
function* history(count: number): Generator<{ stream: string; expectedVersion: number; events: NewEvent<'orders'>[] }> {
  const start = Date.UTC(2026, 0, 1);
  for (let step = 0; step < count / 4 + openOrders * 3; step++) {
    for (let stage = 0; stage < 4; stage++) {
      const number = step - stage * openOrders;
      if (number < 0 || number >= count / 4) continue;
      const ids = { orderId: `o-${number}`, customerId: `c-${number % 997}` };
      const at = new Date(start + step * 1_000).toISOString();
      const totalMinor = 4_490 + (number % 50) * 100;
      const data = [
        { type: 'OrderPlaced', ...ids, customerName: `Customer ${number % 997}`, currency: 'EUR', lines: [{ sku: `sku-${number % 211}`, name: 'Oak chair, oiled', quantity: 1, unitPriceMinor: totalMinor - 490 }], shippingMinor: 490, subtotalMinor: totalMinor - 490, totalMinor, at },
        { type: 'OrderApproved', ...ids, at },
        { type: 'OrderPaid', ...ids, paymentReference: `p-${number}`, totalMinor, at },
        { type: 'OrderShipped', ...ids, carrier: 'Post', at },
      ] as const;
      const event = data[stage];
      if (event === undefined) continue;
      yield { stream: `order-o-${number}`, expectedVersion: stage, events: [{ data: event, metadata: { id: uuidIds.next(), correlationId: uuidIds.next(), causationId: null, principal: 'bench', commandId: uuidIds.next() } }] };
    }
  }
}

export async function fill(log: EventStores['orders'], events: number): Promise<void> {
  let open: Promise<unknown>[] = [];
  for (const append of history(events)) {
    open.push(log.append(append));
    // An order's stages lie further apart than this.
    if (open.length === openOrders / 2) { await Promise.all(open); open = []; }
  }
  await Promise.all(open);
}
