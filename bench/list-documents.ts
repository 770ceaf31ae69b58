import type { StoredDocument, ViewStore } from '../src/application/ports/view-store.js';
import type { OrderDocument } from '../src/application/views/index.js';

// What the lists are measured on: orders over three years, each customer with a hundred, but for one that has a tenth of all.

const start = Date.UTC(2023, 0, 1);
const threeYearsMs = 3 * 365 * 86_400_000;
const materials = ['linen', 'wool', 'cotton', 'silk', 'hemp', 'felt', 'jute', 'down', 'foam', 'cork'];
const perWrite = 2_000;

function orderAt(n: number, count: number): StoredDocument<OrderDocument> {
  const customer = n % 10 === 3 ? 0 : 1 + (n * 7_919) % Math.max(1, count / 100);
  // Nearly all are delivered long since; those that wait for something are among the newest.
  const status = n >= count - count / 1_000 ? 'placed' : n >= count - count / 50 ? 'approved' : n >= count - count / 20 ? 'shipped' : n % 20 === 7 ? 'cancelled' : n % 50 === 9 ? 'rejected' : 'delivered';
  const placedAt = new Date(start + Math.floor(n * threeYearsMs / count)).toISOString();
  const orderId = `${n.toString(16).padStart(8, '0')}-0000-7000-8000-${((n * 2_654_435_761) % 2 ** 40).toString(16).padStart(12, '0')}`;
  const totalMinor = 5_000 + (n * 104_729) % 1_000_003;
  return {
    id: orderId, revision: 1, applied: { [`orders/${customer % 12}`]: n + 1 }, deleted: false,
    document: {
      orderId, customerId: `c-${customer}`, customerName: `Customer ${customer}`, status, paid: status === 'delivered' || status === 'shipped', currency: n % 100 === 0 ? 'CHF' : n % 20 === 1 ? 'USD' : 'EUR',
      lines: [
        { sku: `sku-${n % (count / 100)}`, name: 'Oak chair, oiled', quantity: 1, unitPriceMinor: totalMinor - 490 },
        { sku: `sku-${(n * 7) % (count / 100)}`, name: `${materials[n % materials.length] ?? ''} cushion`, quantity: 1, unitPriceMinor: 0 },
      ],
      shippingMinor: 490, subtotalMinor: totalMinor - 490, totalMinor, version: 1, placedAt,
    },
  };
}

export async function fillList(store: ViewStore<OrderDocument>, count: number): Promise<void> {
  for (let from = 0; from < count; from += perWrite) {
    const documents = Array.from({ length: Math.min(perWrite, count - from) }, (_, n) => orderAt(from + n, count));
    const conflicts = await store.write(documents, { applied: { 'orders/0': from + documents.length }, behindSince: null, checkedAt: new Date().toISOString(), epochs: { orders: 'bench' } });
    if (conflicts.length > 0) throw new Error(`${conflicts.length} documents were there already`);
  }
}
