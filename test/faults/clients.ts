import { fail, type Random } from './support.js';

// Clients of the service, that keep their own record of what was acknowledged, and ask again under the same key when no answer came.

export interface Acknowledged { method: string; path: string; key: string; body: string; answer: string }
interface Outcome { id: string; version: number; position: number; events: string[] }
interface LoggedType { stream: string; version: number; type: string; orderId: string }

export interface AskedService {
  /** Ended, and not to be started again. */
  readonly gone: boolean;
  /** `undefined` when no answer came. */
  request(method: string, path: string, body?: string, headers?: Record<string, string>): Promise<{ status: number; body: string } | undefined>;
}

export type Ask = (method: string, path: string, body: object) => Promise<number>;

/** One client: asks until there is an answer, or the service is gone (0). */
export function client(name: string, service: AskedService, record: Acknowledged[], stop: AbortSignal): Ask {
  let asked = 0;
  return async (method, path, body) => {
    const key = `${name}-${asked++}`;
    for (;;) {
      if (stop.aborted && service.gone) return 0;
      const answer = await service.request(method, path, JSON.stringify(body), { 'idempotency-key': key });
      // No answer, or one that says "try again": the key makes it safe.
      if (answer === undefined || answer.status === 503 || answer.status === 409 && answer.body.includes('in-progress')) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        continue;
      }
      if (answer.status < 300) record.push({ method, path, key, body: JSON.stringify(body), answer: answer.body });
      return answer.status;
    }
  };
}

export function someLines(dice: Random): object[] {
  return [{ sku: `sku-${Math.floor(dice() * 50)}`, name: 'A thing', quantity: 1 + Math.floor(dice() * 5), unitPriceMinor: 100 }];
}

/** Registers a customer, then takes one order after the other through its life, until it is told to stop and has no question open. */
export async function takeOrders(number: number, service: AskedService, record: Acknowledged[], dice: Random, stop: AbortSignal): Promise<void> {
  const ask = client(`client-${number}`, service, record, stop);
  const customerId = `c-${number}`;
  await ask('POST', '/customers', { customerId, name: `Customer ${number}`, currency: 'EUR', creditLimitMinor: null });
  for (let order = 0; !stop.aborted; order++) {
    const orderId = `o-${number}-${order}`;
    const until = async (wanted: number, path: string, body: object) => { while (await ask('POST', path, body) !== wanted && !service.gone) await new Promise((resolve) => setTimeout(resolve, 10)); };
    await until(201, '/orders', { orderId, customerId, currency: 'EUR', lines: someLines(dice) });
    if (dice() < 0.2) {
      await ask('POST', `/orders/${orderId}/cancel`, { reason: 'changed my mind' });
      continue;
    }
    await until(200, `/orders/${orderId}/pay`, { paymentReference: `p-${orderId}` });
    if (dice() < 0.7) await ask('POST', `/orders/${orderId}/ship`, { carrier: 'Post' });
  }
}

/** Now and then a command, whatever became of the ones before: orders do not wait for each other. */
export async function order(number: number, service: AskedService, record: Acknowledged[], dice: Random, stop: AbortSignal, { everyMs, held }: { everyMs: number; held: () => Promise<void> }): Promise<void> {
  const ask = client(`client-${number}`, service, record, stop);
  const customerId = `c-${number}`;
  await ask('POST', '/customers', { customerId, name: `Customer ${number}`, currency: 'EUR', creditLimitMinor: dice() < 0.5 ? null : 100_000 });
  const open: string[] = [];
  for (let n = 0; !stop.aborted; n++) {
    await held();
    await new Promise((resolve) => setTimeout(resolve, everyMs * 2 * dice()));
    const chance = dice();
    const older = open[Math.floor(dice() * open.length)];
    if (chance < 0.45 || older === undefined) {
      const orderId = `o-${number}-${n}`;
      if (await ask('POST', '/orders', { orderId, customerId, currency: 'EUR', lines: someLines(dice) }) === 201) open.push(orderId);
    } else if (chance < 0.55) await ask('POST', `/orders/${open.at(-1) ?? older}/cancel`, { reason: 'changed my mind' });
    else if (chance < 0.75) await ask('POST', `/orders/${older}/pay`, { paymentReference: `p-${older}` });
    else if (chance < 0.9) await ask('POST', `/orders/${older}/ship`, { carrier: 'Post' });
    else await ask('PATCH', `/customers/${customerId}`, { name: `Customer ${number}, ${n}` });
    if (open.length > 20) open.shift();
  }
}

/** What was acknowledged is in the log, where it was said to be; nothing of an order happened twice, and credit was reserved once. */
export function checkAcknowledged(record: readonly Acknowledged[], logs: { customers: readonly LoggedType[]; orders: readonly LoggedType[] }): void {
  for (const { path, answer } of record) {
    const { id, version, position, events } = JSON.parse(answer) as Outcome;
    const log = path.startsWith('/customers') ? logs.customers : logs.orders;
    const stream = `${path.startsWith('/customers') ? 'customer' : 'order'}-${id}`;
    events.forEach((type, index) => {
      const stored = log[position - events.length + index];
      if (stored?.stream !== stream || stored.version !== version - events.length + 1 + index || stored.type !== type) {
        fail(`acknowledged but not stored: ${type} of ${stream} at ${position}`);
      }
    });
  }
  const twice = new Map<string, number>();
  for (const { stream, type } of logs.orders) twice.set(`${stream} ${type}`, (twice.get(`${stream} ${type}`) ?? 0) + 1);
  for (const [what, count] of twice) if (count > 1) fail(`${what} happened ${count} times`);
  const reservations = new Map<string, number>();
  for (const { type, orderId } of logs.customers) if (type === 'CreditReserved') reservations.set(orderId, (reservations.get(orderId) ?? 0) + 1);
  for (const [orderId, count] of reservations) if (count > 1) fail(`credit was reserved ${count} times for ${orderId}`);
}
