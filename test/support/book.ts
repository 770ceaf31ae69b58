import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../src/infrastructure/process/package-root.js';

// A file of commands for the whole service: a real order book where there is one, and lines that try what such a book has not.

const northwind = join(packageRoot, '../shared/data/northwind');
const source = existsSync(northwind) ? join(northwind, 'northwind.ndjson') : join(packageRoot, 'samples/orders.ndjson');

export interface Line { id: string; at: string; type: string; customerId?: string; orderId?: string }

/** Answers that the database of the real order book gave itself. */
export const sourceAnswers = existsSync(northwind)
  ? JSON.parse(readFileSync(join(northwind, 'expected.json'), 'utf8')) as { customers: number; orders: number; shipped: number; ordersPerMonth: Record<string, number>; revenueMinor: number }
  : undefined;

/** Currencies that only the lines added here have. */
export const ownCurrencies = ['JPY', 'CHF'];

/** The middle of the calendar month before now. */
export const lastMonth = new Date(Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth() - 1, 15)).toISOString();

const at = (day: number, time = '12:00:00.000') => `2024-02-${String(day).padStart(2, '0')}T${time}Z`;
const line = (sku: string, name: string, unitPriceMinor = 100, quantity = 1) => ({ sku, name, quantity, unitPriceMinor });

function ownLines(): Line[] {
  const lines: Line[] = [];
  const add = (time: string, type: string, fields: Record<string, unknown>) => { lines.push({ id: `own:${lines.length}`, at: time, type, ...fields }); };
  const registered = (customerId: string, name: string, rest: object = {}) => { add(at(1), 'RegisterCustomer', { customerId, name, currency: 'JPY', ...rest }); };
  const placed = (orderId: string, customerId: string, time: string, ...bought: object[]) => { add(time, 'PlaceOrder', { orderId, customerId, currency: 'JPY', lines: bought }); };

  // Names that stores might order, cut or fold each in their own way.
  registered('tokyo', '東京 商店', { address: { city: '東京都', country: 'Japan' } });
  registered('Zed', 'Zoë Ångström-Łukasik', { contactName: 'Ünal İpek', email: 'Zoe.Angstrom@Example.COM', address: { street: 'Straße 12', city: 'Öhringen', country: 'Deutschland' } });
  registered('a.b', 'ａｂｃ ﬁne № ①');
  registered('a-b', '☕ Kaffee 🚲 Rad');
  registered('a_b', '🏳️‍🌈 Flag 👩‍💻');
  registered('B', 'Jean-Luc O\'Neill & Söhne, GmbH');
  registered('b', 'jean luc');
  registered('tiny', 'Tiny', { creditLimitMinor: 1_000 });
  registered('swiss', 'Schweizer Käse AG', { currency: 'CHF', creditLimitMinor: null });
  registered('renamed', 'Old Name');
  registered('suspended', 'Suspended');
  registered('closed', 'Closed', { email: 'free@example.com' });

  // Ties in both sort orders, told apart by ids that collations order differently.
  for (const id of ['tie-a', 'tie-B', 'tie.c', 'tie_d', 'tie10', 'tie9', 'TIE']) placed(id, 'tokyo', at(2), line('tie', 'Tie 🎀'));
  placed('words', 'Zed', at(3), line('A-100', 'Crème brûlée'), line('x-ray-9000', 'Röntgengerät'), line('絵-1', '浮世絵 カタカナ ﾊﾝｶｸ'));
  placed('long-word', 'Zed', at(3), line('w'.repeat(64), 'Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft'));
  placed('emoji', 'a-b', at(4), line('🚲', 'Fahrrad 🚲'), line('a', 'Alpha'), line('b', 'Beta'));
  placed('control', 'a-b', at(4), line('c\u001fd', 'Con\ttrol \\ "quoted" \'single\' :* & | ! <->'));
  placed('free', 'B', at(5), line('gift', 'Gift', 0));
  placed('huge', 'B', at(5), line('gold', 'Gold', Number.MAX_SAFE_INTEGER));
  // Both sides of a month, a leap day between them.
  placed('last-of-february', 'b', at(29, '23:59:59.999'), line('edge', 'Edge'));
  placed('first-of-march', 'b', '2024-03-01T00:00:00.000Z', line('edge', 'Edge'));
  placed('long-ago', 'b', '1969-07-20T20:17:40.000Z', line('edge', 'Edge'));
  placed('last-month', 'b', lastMonth, line('edge', 'Edge'));
  // The saga and what may follow it.
  placed('within', 'tiny', at(6), line('t', 'T', 600));
  placed('beyond', 'tiny', at(7), line('t', 'T', 600));
  add(at(8), 'CancelOrder', { orderId: 'within', reason: 'changed my mind' });
  placed('within-again', 'tiny', at(9), line('t', 'T', 1_000));
  add(at(10), 'PayOrder', { orderId: 'within-again', paymentReference: 'p-1' });
  add(at(11), 'ShipOrder', { orderId: 'within-again', carrier: 'Post', trackingNumber: 'T 1' });
  add(at(12), 'DeliverOrder', { orderId: 'within-again' });
  add(at(6), 'PlaceOrder', { orderId: 'cheese', customerId: 'swiss', currency: 'CHF', lines: [{ ...line('käse', 'Käse', 333, 3), discountMinor: 99 }], shippingMinor: 700 });
  add(at(7), 'PayOrder', { orderId: 'cheese', paymentReference: 'p-2' });
  placed('before-renaming', 'renamed', at(6), line('r', 'R'));
  add(at(7), 'ChangeCustomerDetails', { customerId: 'renamed', name: 'New Name', email: 'new@example.com' });
  placed('after-renaming', 'renamed', at(8), line('r', 'R'));
  // Regretted at once: approved all the same, and then cancelled.
  for (let n = 0; n < 20; n++) {
    placed(`regretted-${n}`, 'renamed', at(8), line('r', 'R'));
    add(at(8, '12:00:01.000'), 'CancelOrder', { orderId: `regretted-${n}`, reason: 'regretted' });
  }
  add(at(6), 'SuspendCustomer', { customerId: 'suspended', reason: 'does not pay' });
  add(at(6), 'CloseCustomer', { customerId: 'closed', reason: 'moved away' });
  add(at(7), 'SetCreditLimit', { customerId: 'swiss', creditLimitMinor: 100_000 });
  return lines;
}

const own = ownLines();

/** The ids of the customers and orders that the added lines make. */
export const ownIds: ReadonlySet<string> = new Set(own.flatMap(({ type, orderId, customerId }) => (type === 'PlaceOrder' ? [orderId ?? ''] : type === 'RegisterCustomer' ? [customerId ?? ''] : [])));

/** In order of time as far as a customer or an order is concerned. */
export const book: readonly Line[] = [...readFileSync(source, 'utf8').trim().split('\n').map((text) => JSON.parse(text) as Line), ...own];
