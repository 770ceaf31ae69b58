import { expect } from 'chai';
import { foldWords } from '../../src/application/views/text.js';
import { book, lastMonth, ownCurrencies, ownIds, sourceAnswers } from '../support/book.js';
import { ask, askAll, eventually, type TestAnswer } from '../support/service.js';

/** The service on one profile, with the book already in it. */
export interface LoadedService {
  url: string;
  /** How many lines of the book were applied. */
  applied: number;
  end(): Promise<void>;
}

/** By question, what a profile answered: the same on every profile. */
export type Answers = Map<string, string>;

interface Order { orderId: string; customerId: string; customerName: string; status: string; paid: boolean; currency: string; totalMinor: number; placedAt: string; lines: { sku: string; name: string }[] }
interface Customer { customerId: string; name: string; contactName?: string; email?: string; status: string; registeredAt: string; address?: Record<string, string> }

const orderIds = book.flatMap(({ type, orderId }) => (type === 'PlaceOrder' && orderId !== undefined ? [orderId] : []));
const customerIds = book.flatMap(({ type, customerId }) => (type === 'RegisterCustomer' && customerId !== undefined ? [customerId] : []));

const q = encodeURIComponent;
/** What these words find among the lines that were added to the book. */
const searches: Record<string, readonly string[]> = {
  // Order numbers, hyphens, prefixes of the last word only.
  'A-100': ['words'], 'a 100': ['words'], '100 a': ['words'], 'x-ray-9': ['words'], 'ray x': ['words'], 'ra 9000': [],
  'creme brulee': ['words'], 'CRÈME BRÛ': ['words'], 'röntgengerat': ['words'],
  '浮世絵': ['words'], 'カタカナ': ['words'], 'ﾊﾝｶｸ': ['words'], 'ハンカク': ['words'],
  '🚲': ['control', 'emoji'], 'fahr': ['emoji'], 'fahrrad 🚲 kaffee': ['emoji'],
  'donaudampf': ['long-word'], [`${'w'.repeat(64)}x`]: ['long-word'],
  'schweizer kase': ['cheese'], 'new after': ['after-renaming'], 'old name': ['before-renaming'],
  'quoted:* & | !': ['control'], "o'neill gold": ['huge'], 'jean luc gift': ['free'],
  'łukasik': ['long-word', 'words'], 'ÅNGSTROM-łuk': ['long-word', 'words'], '--': [], '\\': [], 'nobody has this': [],
};
const customerSearches: Record<string, readonly string[]> = {
  '東京': ['tokyo'], '商店': ['tokyo'], 'angstrom': ['Zed'], 'ångström łukasik': ['Zed'], 'zoe.angstrom@example.com': ['Zed'], 'ipek': ['Zed'], 'ohringen': ['Zed'],
  'abc fine': ['a.b'], 'no 1': ['a.b'], '🏳️‍🌈': ['a_b'], '👩‍💻': ['a_b'], 'jean-luc': ['B', 'b'], 'jean luc s': ['B'], 'luc jean sohne': ['B'], 'free@example': ['closed'],
};

/** What can be asked by a URL alone. */
const questions = [
  ...['', 'limit=200', 'limit=1', 'status=shipped&limit=3', 'status=approved,cancelled,rejected,delivered', 'paid=true', 'paid=false&limit=2', 'currency=JPY,CHF', `customerId=${customerIds[0]}`, `customerId=${customerIds[1]},tiny`,
    'placedFrom=2024-02-29T23:59:59.999Z&placedTo=2024-03-01T00:00:00.000Z', 'placedFrom=2024-03-01', 'placedTo=1970-01-01T00:00:00Z', 'placedFrom=1997-01-01T01:00:00%2B01:00&placedTo=1997-02-01&limit=50',
    'minTotalMinor=9007199254740991', 'maxTotalMinor=0', 'minTotalMinor=100&maxTotalMinor=100&sort=totalMinor', 'sku=tie', 'sku=%F0%9F%9A%B2', 'sku=a,b', 'sku=c', 'sku=c%1Fd', 'sku=k%C3%A4se',
    'period=last-month', 'period=this-month', 'period=last-7-days', 'period=last-30-days',
    'facets=status,currency,customerId,month&limit=1', 'facets=month&status=shipped&limit=1', 'facets=customerId,status&currency=JPY&limit=1', 'facets=status&q=nobody&limit=1', 'q=lamp&facets=status,month', 'q=chef', 'q=alfreds%20fut', 'q=mexico',
    // Refused, everywhere in the same words.
    'limit=0', 'limit=201', 'sort=name', 'status=lost', 'cursor=x.y', 'q=', 'facets=sku', 'period=last-month&placedFrom=2024-01-01', 'placedFrom=yesterday', 'placedFrom=2024-13-45', 'placedFrom=%2B012024-01-01T00:00:00Z', 'placedFrom=2024-W05', 'placedTo=-000001-01-01', 'placedTo=0000-01-01', 'placedFrom=9999-12-31T23:59:59.999Z', 'placedFrom=9999-12-31T23:59:59-01:00', 'limit=1&limit=2', 'colour=red', 'minTotalMinor=1e3', 'minTotalMinor=9007199254740992',
  ].map((query) => `/orders?${query}`),
  ...Object.keys(searches).map((text) => `/orders?q=${q(text)}&sort=placedAt&limit=50&facets=status`),
  ...['', 'limit=200', 'limit=3&sort=-name', 'status=suspended,closed', 'status=active&limit=2', 'country=Germany', 'country=Japan,Deutschland', 'country=%C3%96sterreich', 'limit=2&sort=registeredAt', 'q=berlin', 'sort=customerId', 'country='].map((query) => `/customers?${query}`),
  ...Object.keys(customerSearches).map((text) => `/customers?q=${q(text)}`),
  ...[...orderIds.slice(0, 3), 'huge', 'cheese', 'beyond', 'within-again', 'nothing', 'a%20b', 'TIE', 'tie'].flatMap((id) => [`/orders/${id}`, `/orders/${id}/events`, `/orders/${id}?version=1`, `/orders/${id}?version=2`, `/orders/${id}?version=99`]),
  ...[...customerIds.slice(0, 3), 'tiny', 'renamed', 'closed', 'suspended', 'Zed', 'nobody'].flatMap((id) => [`/customers/${id}`, `/customers/${id}/history`, `/customers/${id}/events`, `/customers/${id}/events?after=1&limit=1`, `/customers/${id}?version=1`]),
  ...customerIds.map((id) => `/customers/${id}/history`),
  '/traces/unknown', '/nothing', '/openapi.json', '/health/live', '/ops/sagas', '/problems/order.unknown',
];

/** What this run made up itself: ids, and times of today. Positions in a log depend on which customer's line came first. */
function masked(text: string): string {
  return text
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, '<id>')
    // A view that was not looked at for some seconds names its partitions.
    .replace(/^view-position: .*$/m, (header) => header.replace(/;p\d+=\d+/g, ''))
    .replace(/("recordedAt":)"[^"]*"/g, '$1<time>').replace(/("position":)\d+/g, '$1<position>')
    .replace(new RegExp(`"${new Date().toISOString().slice(0, 11)}[^"]*"`, 'g'), '<now>');
}

export function everyProfileSuite(name: string, answers: Answers, open: () => Promise<LoadedService>): void {
  describe(`the service on ${name}`, function () {
    this.timeout(180_000);
    let service: LoadedService;
    let orders: Order[];
    let customers: Customer[];
    before(async () => {
      service = await open();
      orders = await askAll(service.url, '/orders');
      customers = await askAll(service.url, '/customers');
    });
    after(() => service.end());

    const get = (path: string, headers: Record<string, string> = {}) => ask(service.url, 'GET', path, undefined, headers);
    /** Remembers the answer to be compared with the other profiles', and gives it back. */
    const say = async (question: string, asking: Promise<TestAnswer>) => {
      const answer = await asking;
      // Where a view has got to is the same once it has come to rest: after the book, not among commands.
      const shown = ['content-type', 'etag', 'location', 'idempotency-replayed', 'retry-after', 'allow', ...(question.startsWith('GET ') ? ['view-position'] : [])];
      const headers = shown.map((header) => `${header}: ${answer.headers.get(header) ?? ''}`).join('\n');
      expect(answers.has(question), question).to.equal(false);
      answers.set(question, masked(`${answer.status}\n${headers}\n\n${answer.text}`));
      return answer;
    };
    const post = (path: string, body: object, headers: Record<string, string> = {}) => ask(service.url, 'POST', path, body, headers);

    it('has taken on the whole book', () => {
      expect(service.applied).to.equal(book.length);
      expect(orders.map(({ orderId }) => orderId).sort()).to.deep.equal([...orderIds].sort());
      expect(customers.map(({ customerId }) => customerId).sort()).to.deep.equal([...customerIds].sort());
      expect(orders.filter(({ status }) => status === 'placed')).to.deep.equal([]);
    });

    if (sourceAnswers !== undefined) {
      it('gives the answers of the database that the book was taken from', async () => {
        const { body } = await get('/orders?currency=USD&facets=status,month&limit=1');
        expect(body.total).to.equal(sourceAnswers!.orders);
        expect(body.facets.status.find(({ key }: { key: string }) => key === 'shipped').count).to.equal(sourceAnswers!.shipped);
        expect(Object.fromEntries(body.facets.month.map(({ key, count }: { key: string; count: number }) => [key, count]))).to.deep.equal(sourceAnswers!.ordersPerMonth);
        const usual = (await askAll(service.url, '/customers')).filter(({ currency }: { currency: string }) => !ownCurrencies.includes(currency));
        expect(usual).to.have.length(sourceAnswers!.customers);
        const revenue = orders.filter(({ currency, status }) => currency === 'USD' && status !== 'rejected' && status !== 'cancelled')
          .reduce((sum, order) => sum + (order as Order & { subtotalMinor: number }).subtotalMinor, 0);
        expect(revenue).to.equal(sourceAnswers!.revenueMinor);
      });
    }

    it('answers everything that can be asked', async () => {
      for (const path of new Set(questions)) expect((await say(`GET ${path}`, get(path))).status, path).to.be.below(500);
    });

    it('shows each order that a filter asks for, and no other', async () => {
      const some = orders[Math.floor(orders.length / 2)]!;
      const filters: Record<string, (order: Order) => boolean> = {
        'status=approved,rejected': ({ status }) => status === 'approved' || status === 'rejected',
        'paid=true': ({ paid }) => paid,
        'currency=CHF': ({ currency }) => currency === 'CHF',
        [`customerId=${some.customerId},b`]: ({ customerId }) => customerId === some.customerId || customerId === 'b',
        [`sku=${q(some.lines[0]!.sku)}`]: ({ lines }) => lines.some(({ sku }) => sku === some.lines[0]!.sku),
        [`placedFrom=${some.placedAt}`]: ({ placedAt }) => placedAt >= some.placedAt,
        [`placedTo=${some.placedAt}`]: ({ placedAt }) => placedAt < some.placedAt,
        [`minTotalMinor=${some.totalMinor}&currency=${some.currency}`]: ({ totalMinor, currency }) => totalMinor >= some.totalMinor && currency === some.currency,
        [`maxTotalMinor=${some.totalMinor}&status=shipped`]: ({ totalMinor, status }) => totalMinor <= some.totalMinor && status === 'shipped',
        'period=last-month': ({ placedAt }) => placedAt.slice(0, 7) === lastMonth.slice(0, 7),
        [`q=${q(some.customerName)}`]: (order) => foldWords(some.customerName).every((word, index, words) => foldWords([order.orderId, order.customerId, order.customerName, ...order.lines.flatMap(({ sku, name: product }) => [sku, product])].join(' '))
          .some((own) => (index === words.length - 1 ? own.startsWith(word) : own === word))),
      };
      for (const [query, holds] of Object.entries(filters)) {
        const found = (await askAll(service.url, `/orders?${query}`)).map(({ orderId }: Order) => orderId);
        const expected = orders.filter(holds).map(({ orderId }) => orderId);
        expect(found.length, query).to.be.greaterThan(0);
        expect(found.sort(), query).to.deep.equal(expected.sort());
      }
    });

    it('counts in its facets what its lists show', async () => {
      for (const query of ['', 'status=shipped', 'currency=JPY', 'q=tie']) {
        const own: Order[] = await askAll(service.url, `/orders?${query}`);
        const { body: { facets, total } } = await get(`/orders?${query}&facets=status,currency,customerId,month&limit=1`);
        expect(total, query).to.equal(own.length);
        const keys: Record<string, (order: Order) => string> = { status: ({ status }) => status, currency: ({ currency }) => currency, customerId: ({ customerId }) => customerId, month: ({ placedAt }) => placedAt.slice(0, 7) };
        for (const [facet, key] of Object.entries(keys)) {
          const counts = new Map<string, number>();
          for (const order of own) counts.set(key(order), (counts.get(key(order)) ?? 0) + 1);
          const byKey = ([a]: [string, number], [b]: [string, number]) => (a < b ? -1 : 1);
          const expected = [...counts].sort(facet === 'month' ? byKey : (a, b) => b[1] - a[1] || byKey(a, b)).slice(0, facet === 'month' ? Infinity : 100);
          expect(facets[facet].map((one: { key: string; count: number }) => [one.key, one.count]), `${query} ${facet}`).to.deep.equal(expected);
        }
      }
    });

    it('pages through every list in every order, without a repetition or a gap', async () => {
      const bytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));
      const lists: { path: string; field: string; id: string; places: (readonly [value: string | number, id: string])[] }[] = [
        { path: '/orders', field: 'placedAt', id: 'orderId', places: orders.map(({ placedAt, orderId }) => [placedAt, orderId]) },
        { path: '/orders', field: 'totalMinor', id: 'orderId', places: orders.map(({ totalMinor, orderId }) => [totalMinor, orderId]) },
        { path: '/customers', field: 'name', id: 'customerId', places: customers.map(({ name: own, customerId }) => [own, customerId]) },
        { path: '/customers', field: 'registeredAt', id: 'customerId', places: customers.map(({ registeredAt, customerId }) => [registeredAt, customerId]) },
      ];
      for (const { path, field, id, places } of lists) {
        for (const sign of ['', '-']) {
          const question = `${path}?sort=${sign}${field}`;
          let pages = '';
          const seen: string[] = [];
          for (let cursor = ''; ;) {
            const { text, body } = await get(`${question}&limit=37${cursor}`);
            pages += `${text}\n`;
            seen.push(...body.items.map((item: Record<string, string>) => item[id]));
            if (body.nextCursor === undefined) break;
            cursor = `&cursor=${q(body.nextCursor)}`;
          }
          const ascending = places.toSorted(([a, one], [b, other]) => (typeof a === 'number' ? a - Number(b) : bytes(a, String(b))) || bytes(one, other)).map(([, own]) => own);
          expect(seen, question).to.deep.equal(sign === '' ? ascending : ascending.toReversed());
          answers.set(`all pages of ${question}`, masked(pages));
        }
      }
    });

    it('finds words without case, accents and forms, whole ones and the beginning of the last', async () => {
      for (const [text, expected] of Object.entries(searches)) {
        const found = (await askAll(service.url, `/orders?q=${q(text)}`)).map(({ orderId }: Order) => orderId);
        expect(found.filter((id) => ownIds.has(id)).sort(), text).to.deep.equal(expected);
      }
      for (const [text, expected] of Object.entries(customerSearches)) {
        const found = (await askAll(service.url, `/customers?q=${q(text)}`)).map(({ customerId }: Customer) => customerId);
        expect(found.filter((id) => ownIds.has(id)).sort(), text).to.deep.equal(expected);
      }
    });

    it('has each customer\'s orders in their history', async () => {
      for (const { customerId } of customers.slice(0, 20)) {
        const own = orders.filter((order) => order.customerId === customerId);
        const { body } = await get(`/customers/${customerId}/history`);
        expect(body.orders.placed, customerId).to.equal(own.length);
        expect(body.spentMinor, customerId).to.equal(own.filter(({ status }) => status !== 'rejected' && status !== 'cancelled').reduce((sum, { totalMinor }) => sum + totalMinor, 0));
        const newest = own.toSorted((a, b) => (a.placedAt === b.placedAt ? (a.orderId < b.orderId ? 1 : -1) : a.placedAt < b.placedAt ? 1 : -1)).slice(0, 10);
        expect(body.latestOrders.map(({ orderId }: Order) => orderId), customerId).to.deep.equal(newest.map(({ orderId }) => orderId));
      }
    });

    it('tells what one line of the book caused, in both contexts', async () => {
      const { body: { items: [placed] } } = await get('/orders/beyond/events');
      const { body } = await say('the trace of an order that was rejected', get(`/traces/${placed.metadata.correlationId}`));
      const types = (nodes: { type: string; context: string; caused: never[] }[]): unknown[] => nodes.map(({ type, context, caused }) => [context, type, ...types(caused)]);
      expect(types(body.events)).to.deep.equal([['orders', 'OrderPlaced', ['customers', 'CreditRefused', ['orders', 'OrderRejected']]]]);
    });

    it('shows a caller their own writes', async () => {
      for (let n = 0; n < 10; n++) {
        const registered = await post('/customers', { customerId: `own-${n}`, name: `Own ${n}`, currency: 'EUR' });
        const token = registered.headers.get('consistency-token')!;
        const list = await get('/customers?q=own&limit=50', { 'consistency-token': token });
        expect(list.body.total).to.equal(n + 1);
        const placed = await post('/orders', { orderId: `own-${n}`, customerId: `own-${n}`, currency: 'EUR', lines: [{ sku: 'own', name: 'Own', quantity: 1, unitPriceMinor: n }] }, { 'consistency-token': token });
        expect(placed.status, placed.text).to.equal(201);
        const both = `${token}, ${placed.headers.get('consistency-token')!}`;
        expect((await get(`/orders?sku=own`, { 'consistency-token': both })).body.total).to.equal(n + 1);
        expect((await get(`/customers/own-${n}/history`, { 'consistency-token': both })).body.orders.placed).to.equal(1);
      }
      const [, position] = /:(\d+):/.exec((await post('/customers', { customerId: 'last-own', name: 'X', currency: 'EUR' })).headers.get('consistency-token')!)!;
      await say('a list that is asked for the future', get('/customers', { 'consistency-token': `customers:${Number(position) + 1_000}:3`, prefer: 'wait=0' }));
      await say('a token that is none', get('/customers', { 'consistency-token': 'yesterday' }));
    });

    it('approves what the credit limit allows, rejects what it does not, and has the credit back when an order is cancelled or paid', async () => {
      const { headers } = await post('/customers', { customerId: 'saga', name: 'Saga', currency: 'EUR', creditLimitMinor: 1_000 });
      const place = async (orderId: string, unitPriceMinor: number) => {
        const { status, text } = await post('/orders', { orderId, customerId: 'saga', currency: 'EUR', lines: [{ sku: 's', name: 'S', quantity: 1, unitPriceMinor }] }, { 'consistency-token': headers.get('consistency-token')! });
        expect(status, text).to.equal(201);
        return eventually(`${orderId} is decided`, async () => {
          const { status: found, body } = await get(`/orders/${orderId}`);
          return found === 200 && body.status !== 'placed' && body.status as string;
        });
      };
      const held = (minor: number) => eventually(`${minor} is held`, async () => (await get('/customers/saga')).body.reservedMinor === minor);
      expect(await place('saga-1', 700)).to.equal('approved');
      expect(await place('saga-2', 400)).to.equal('rejected');
      expect((await post('/orders/saga-1/cancel', { reason: 'changed my mind' })).status).to.equal(200);
      await held(0);
      expect(await place('saga-3', 1_000)).to.equal('approved');
      expect(await place('saga-4', 1)).to.equal('rejected');
      expect((await post('/orders/saga-3/pay', { paymentReference: 'p' })).status).to.equal(200);
      await held(0);
      expect(await place('saga-5', 1_000)).to.equal('approved');
      await held(1_000);
      for (const path of ['/customers/saga', '/customers/saga/events', '/orders/saga-2', '/orders/saga-3/events']) await say(`the saga: GET ${path}`, get(path));
    });

    it('gives the first answer again under the same Idempotency-Key, and does not do it twice', async () => {
      const body = { customerId: 'once', name: 'Once', currency: 'EUR' };
      const first = await say('a command under a key', post('/customers', body, { 'idempotency-key': 'k-1' }));
      const again = await say('the same under the same key', post('/customers', body, { 'idempotency-key': 'k-1' }));
      expect([again.status, again.text, again.headers.get('idempotency-replayed')]).to.deep.equal([201, first.text, 'true']);
      expect((await say('another under the same key', post('/customers', { ...body, name: 'Twice' }, { 'idempotency-key': 'k-1' }))).status).to.equal(422);
      const many = await Promise.all(Array.from({ length: 5 }, () => ask(service.url, 'PUT', '/customers/once/credit-limit', { creditLimitMinor: 5 }, { 'idempotency-key': 'k-2' })));
      for (const { status } of many) expect(status).to.be.oneOf([200, 409]);
      expect((await get('/customers/once/events')).body.items).to.have.length(2);
    });

    it('refuses in the same words', async () => {
      const command = (method: string, path: string, body: unknown, headers: Record<string, string> = {}) => say(`${method} ${path} ${JSON.stringify(body)} ${JSON.stringify(headers)}`, ask(service.url, method, path, body, headers));
      const expected: [number, Parameters<typeof command>][] = [
        [200, ['PATCH', '/customers/renamed', { name: 'Newest Name' }, { 'if-match': '"44"' }]],
        [412, ['PATCH', '/customers/renamed', { name: 'Too Late' }, { 'if-match': '"44"' }]],
        [400, ['PATCH', '/customers/renamed', { name: 'Odd' }, { 'if-match': 'W/"2"' }]],
        [200, ['PATCH', '/customers/renamed', { name: 'Newest Name' }]],
        [409, ['POST', '/customers', { customerId: 'tiny', name: 'Tiny', currency: 'EUR' }]],
        [409, ['POST', '/customers', { customerId: 'taken', name: 'Taken', email: 'ZOE.angstrom@example.com', currency: 'EUR' }]],
        [201, ['POST', '/customers', { customerId: 'heir', name: 'Heir', email: 'free@example.com', currency: 'EUR' }]],
        [422, ['POST', '/customers', { customerId: 'xxx', name: 'Xxx', currency: 'XXY' }]],
        [400, ['POST', '/customers', { customerId: ' ', name: '', currency: 'eur', extra: 1 }]],
        [400, ['POST', '/customers', '{"name": "a", "name": "b"}']],
        [400, ['POST', '/customers', '{"name": ']],
        [409, ['POST', '/customers/closed/suspend', { reason: 'r' }]],
        [404, ['POST', '/customers/nobody/close', { reason: 'r' }]],
        [409, ['POST', '/customers/tokyo/close', { reason: 'r' }]],
        [404, ['POST', '/orders', { customerId: 'nobody', currency: 'EUR', lines: [] }]],
        [409, ['POST', '/orders', { customerId: 'suspended', currency: 'JPY', lines: [] }]],
        [409, ['POST', '/orders', { customerId: 'closed', currency: 'JPY', lines: [] }]],
        [422, ['POST', '/orders', { customerId: 'tokyo', currency: 'EUR', lines: [{ sku: 'a', name: 'A', quantity: 1, unitPriceMinor: 1 }] }]],
        [422, ['POST', '/orders', { customerId: 'tokyo', currency: 'JPY', lines: [] }]],
        [422, ['POST', '/orders', { customerId: 'tokyo', currency: 'JPY', lines: [{ sku: 'a', name: 'A', quantity: 2, unitPriceMinor: Number.MAX_SAFE_INTEGER }] }]],
        [422, ['POST', '/orders', { customerId: 'tokyo', currency: 'JPY', lines: [{ sku: 'a', name: 'A', quantity: 1, unitPriceMinor: 1, discountMinor: 2 }] }]],
        [409, ['POST', '/orders', { orderId: 'huge', customerId: 'B', currency: 'JPY', lines: [{ sku: 'a', name: 'A', quantity: 1, unitPriceMinor: 1 }] }]],
        [409, ['POST', '/orders/beyond/ship', {}]],
        [409, ['POST', '/orders/within/pay', { paymentReference: 'p' }]],
        [409, ['POST', '/orders/within-again/cancel', { reason: 'r' }]],
        [409, ['POST', '/orders/cheese/pay', { paymentReference: 'another' }]],
        [200, ['POST', '/orders/cheese/pay', { paymentReference: 'p-2' }]],
        [404, ['POST', '/orders/nothing/deliver', {}]],
        [405, ['DELETE', '/orders/huge', undefined]],
        [415, ['POST', '/orders', 'text', { 'content-type': 'text/plain' }]],
        [413, ['POST', '/orders', `"${'x'.repeat(300_000)}"`]],
      ];
      for (const [status, args] of expected) expect((await command(...args)).status, JSON.stringify(args).slice(0, 200)).to.equal(status);
    });
  });
}
