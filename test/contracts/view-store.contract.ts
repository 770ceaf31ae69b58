import { expect } from 'chai';
import type { StoredDocument, ViewProgress, ViewQuery, ViewStore, ViewStores } from '../../src/application/ports/view-store.js';
import { customers, orders, type CustomerDocument, type OrderDocument } from '../../src/application/views/index.js';
import { foldWords } from '../../src/application/views/text.js';
import { ViewSetBack } from '../../src/application/views/progress.js';

const progress = (applied: ViewProgress['applied'], rest: Partial<ViewProgress> = {}): ViewProgress =>
  ({ applied, behindSince: null, checkedAt: '2026-01-01T00:00:00.000Z', epochs: { orders: 'e' }, ...rest });

function stored(orderId: string, document: Partial<OrderDocument> = {}, rest: Partial<StoredDocument<OrderDocument>> = {}): StoredDocument<OrderDocument> {
  return {
    id: orderId, revision: 1, applied: { 'orders/3': 7 }, deleted: false,
    document: {
      orderId, customerId: 'c-1', customerName: 'Ada', status: 'placed', paid: false, currency: 'EUR', lines: [], shippingMinor: 0, subtotalMinor: 100, totalMinor: 100, version: 1,
      placedAt: '2026-01-01T00:00:00.000Z', ...document,
    },
    ...rest,
  };
}

const byPlaced = { field: 'placedAt', descending: false };

/** What every ViewStore promises. An adapter is correct when this passes, and only then. */
export function viewStoreContract(adapter: string, open: () => Promise<{ stores: ViewStores; close: () => Promise<void> }>) {
  describe(`ViewStore contract: ${adapter}`, function () {
    this.timeout(30_000);
    let stores: ViewStores;
    let close: () => Promise<void>;
    let store: ViewStore<OrderDocument>;
    beforeEach(async () => {
      ({ stores, close } = await open());
      store = await stores.open(orders);
    });
    afterEach(() => close());

    const put = (...documents: StoredDocument<OrderDocument>[]) => store.write(documents, progress({ 'orders/0': 1 }));
    const ids = async (query: Partial<ViewQuery>) => (await store.find({ where: [], sort: byPlaced, limit: 100, ...query })).items.map(({ id }) => id);

    describe('writing', () => {
      it('gives back what was written, by id', async () => {
        const document = stored('o-1', { lines: [{ sku: 's', name: 'Ä "x" \\ 😀', quantity: 1, unitPriceMinor: 2 ** 52 }], reason: 'why' });
        expect(await put(document, stored('o-2'))).to.deep.equal([]);
        expect(await store.read(['o-1', 'nobody'])).to.deep.equal(new Map([['o-1', document]]));
      });
      it('takes the next revision only, reports the others, and loses nothing else', async () => {
        await put(stored('a'), stored('b'));
        expect(await put(stored('a', { status: 'approved' }, { revision: 2 }), stored('b', { status: 'approved' }, { revision: 3 }), stored('c'))).to.deep.equal(['b']);
        expect(await put(stored('a')), 'a second first write').to.deep.equal(['a']);
        expect(await put(stored('new', {}, { revision: 2 })), 'a second revision of nothing').to.deep.equal(['new']);
        const found = await store.read(['a', 'b', 'c', 'new']);
        expect([...found].map(([id, { revision, document }]) => [id, revision, document.status]).sort()).to.deep.equal([['a', 2, 'approved'], ['b', 1, 'placed'], ['c', 1, 'placed']]);
      });
      it('lets one of several writers of the same document win', async () => {
        await put(stored('a'));
        const conflicts = await Promise.all(Array.from({ length: 6 }, (_, n) => put(stored('a', { totalMinor: n }, { revision: 2 }))));
        expect(conflicts.filter((ones) => ones.length === 0)).to.have.length(1);
      });
      it('moves the progress only when everything was stored, and never back', async () => {
        expect(await store.progress()).to.equal(undefined);
        await store.write([stored('a')], progress({ 'orders/0': 5, 'orders/1': 2 }));
        await store.write([stored('a')], progress({ 'orders/0': 9 }));
        expect((await store.progress())?.applied).to.deep.equal({ 'orders/0': 5, 'orders/1': 2 });
        await store.write([], progress({ 'orders/0': 3, 'orders/2': 1 }, { checkedAt: '2026-01-03T00:00:00.000Z', epochs: { orders: 'f' } }));
        expect(await store.progress()).to.deep.equal({
          applied: { 'orders/0': 5, 'orders/1': 2, 'orders/2': 1 }, behindSince: null, checkedAt: '2026-01-01T00:00:00.000Z', epochs: { orders: 'f' },
        });
        expect((await store.find({ where: [], sort: byPlaced, limit: 1 })).progress).to.deep.equal(await store.progress());
      });
      it('stores nothing where less is applied than its writer counts on', async () => {
        await store.write([stored('a')], progress({ 'orders/0': 5, 'orders/1': 2 }));
        expect(await store.write([stored('b')], progress({ 'orders/0': 6 }), { 'orders/0': 5, 'orders/1': 2 })).to.deep.equal([]);
        for (const counted of [{ 'orders/0': 7 }, { 'orders/0': 6, 'orders/2': 1 }]) {
          expect(await store.write([stored('c')], progress({ 'orders/0': 9 }), counted).catch((error: unknown) => error)).to.be.instanceOf(ViewSetBack);
        }
        expect((await store.read(['a', 'b', 'c'])).size).to.equal(2);
        expect((await store.progress())?.applied).to.deep.equal({ 'orders/0': 6, 'orders/1': 2 });
        await store.reset();
        expect(await store.write([], progress({ 'orders/0': 9 }), { 'orders/0': 6 }).catch((error: unknown) => error)).to.be.an('error');
        expect(await store.progress()).to.equal(undefined);
      });
      it('is as far behind as the slowest source, whoever writes its progress', async () => {
        const at = (checkedAt: string, behindSince: string | null) => ({ checkedAt, behindSince });
        await store.write([], progress({ 'orders/0': 5, 'orders/1': 5 }, at('2026-01-01T00:00:10.000Z', '2026-01-01T00:00:05.000Z')));
        await store.write([], progress({ 'orders/2': 9 }, at('2026-01-01T00:00:11.000Z', null)));
        expect(await store.progress()).to.include(at('2026-01-01T00:00:10.000Z', '2026-01-01T00:00:05.000Z'));
        await store.write([], progress({ 'orders/0': 6 }, at('2026-01-01T00:00:12.000Z', null)));
        expect(await store.progress()).to.include(at('2026-01-01T00:00:10.000Z', '2026-01-01T00:00:05.000Z'));
        await store.write([], progress({ 'orders/1': 7 }, at('2026-01-01T00:00:12.000Z', null)));
        expect(await store.progress()).to.include(at('2026-01-01T00:00:11.000Z', null));
      });
      it('cannot be changed through what was handed in or returned', async () => {
        const document = stored('a', { lines: [{ sku: 's', name: 'n', quantity: 1, unitPriceMinor: 1 }] });
        const original = structuredClone(document);
        await put(document);
        (document.document.lines[0] as { sku: string }).sku = 'changed';
        const read = (await store.read(['a'])).get('a')!;
        read.document.status = 'cancelled';
        const { items: [item] } = await store.find({ where: [], sort: byPlaced, limit: 1 });
        item!.document.status = 'cancelled';
        expect((await store.read(['a'])).get('a')).to.deep.equal(original);
      });
      it('forgets everything when it is reset, and only its own', async () => {
        const other = await stores.open(customers);
        await other.write([], progress({ 'customers/0': 1 }));
        await put(stored('a'));
        await store.reset();
        expect(await store.progress()).to.equal(undefined);
        expect(await store.read(['a'])).to.deep.equal(new Map());
        expect(await put(stored('a'))).to.deep.equal([]);
        expect((await other.progress())?.applied).to.deep.equal({ 'customers/0': 1 });
      });
      it('keeps another revision of a view apart', async () => {
        await put(stored('a'));
        const next = await stores.open({ ...orders, revision: 2 });
        expect(await next.read(['a'])).to.deep.equal(new Map());
        expect(await next.progress()).to.equal(undefined);
      });
    });

    describe('finding', () => {
      it('shows no deleted document', async () => {
        await put(stored('a'), stored('b', {}, { deleted: true }));
        expect(await ids({})).to.deep.equal(['a']);
        expect((await store.read(['b'])).get('b')?.deleted).to.equal(true);
      });
      it('filters by each kind of field, all conditions together', async () => {
        const line = (sku: string) => ({ sku, name: sku, quantity: 1, unitPriceMinor: 1 });
        await put(
          stored('a', { status: 'placed', paid: false, totalMinor: 10, placedAt: '2026-01-01T00:00:00.000Z', lines: [line('x'), line('y')] }),
          stored('b', { status: 'shipped', paid: true, totalMinor: 20, placedAt: '2026-01-02T00:00:00.000Z', lines: [line('y')] }),
          stored('c', { status: 'cancelled', paid: true, totalMinor: 30, placedAt: '2026-02-01T00:00:00.000Z', customerId: 'c-2' }),
        );
        expect(await ids({ where: [{ field: 'status', in: ['placed', 'shipped'] }] })).to.deep.equal(['a', 'b']);
        expect(await ids({ where: [{ field: 'status', in: ['shipped'] }] })).to.deep.equal(['b']);
        expect(await ids({ where: [{ field: 'paid', in: [true] }] })).to.deep.equal(['b', 'c']);
        expect(await ids({ where: [{ field: 'totalMinor', from: 10, to: 20 }] })).to.deep.equal(['a', 'b']);
        expect(await ids({ where: [{ field: 'totalMinor', before: 20 }] })).to.deep.equal(['a']);
        expect(await ids({ where: [{ field: 'placedAt', from: '2026-01-02T00:00:00.000Z', before: '2026-02-01T00:00:00.000Z' }] })).to.deep.equal(['b']);
        expect(await ids({ where: [{ field: 'lines.sku', in: ['y'] }] })).to.deep.equal(['a', 'b']);
        expect(await ids({ where: [{ field: 'lines.sku', in: ['x', 'nothing'] }] })).to.deep.equal(['a']);
        expect(await ids({ where: [{ field: 'lines.sku', in: ['y'] }, { field: 'paid', in: [true] }, { field: 'customerId', in: ['c-1'] }] })).to.deep.equal(['b']);
        expect(await ids({ where: [{ field: 'status', in: [] }] })).to.deep.equal([]);
        expect(await ids({ where: [{ field: 'status', in: ["'; drop table x; --"] }] })).to.deep.equal([]);
      });
      it('refuses a field that was not declared: that is a bug', async () => {
        for (const query of [{ where: [{ field: 'reason', in: ['x'] }] }, { sort: { field: 'nothing', descending: false } }, { facets: ['shippingMinor'] }]) {
          const error = await ids(query).catch((reason: unknown) => reason);
          expect(error).to.be.an('error').with.property('message').that.matches(/declares no field/);
        }
      });
      it('pages through every sort order while others are inserted, neither skipping nor repeating', async () => {
        const documents = Array.from({ length: 57 }, (_, n) => stored(`o-${n}`, { totalMinor: (n * 7) % 5, placedAt: new Date(Date.UTC(2026, 0, 1 + (n * 11) % 6)).toISOString() }));
        await put(...documents);
        for (const field of ['placedAt', 'totalMinor']) {
          for (const descending of [true, false]) {
            const seen: string[] = [];
            let after: ViewQuery['after'];
            for (let page = 0; ; page++) {
              const found = await store.find({ where: [], sort: { field, descending }, limit: 10, ...(after && { after }) });
              seen.push(...found.items.map(({ id }) => id));
              await put(stored(`new-${field}-${descending}-${page}`, { totalMinor: page % 5, placedAt: new Date(Date.UTC(2026, 0, 1 + page % 6)).toISOString() }));
              if (found.next === undefined) break;
              after = found.next;
            }
            const old = seen.filter((id) => id.startsWith('o-'));
            expect([...old].sort(), `${field} ${descending}`).to.deep.equal(documents.map(({ id }) => id).sort());
            const values = new Map(documents.map(({ id, document }) => [id, document[field as 'placedAt']]));
            const expected = [...old].sort((a, b) => (descending ? -1 : 1) * ((values.get(a)! < values.get(b)! ? -1 : values.get(a)! > values.get(b)! ? 1 : 0) || (a < b ? -1 : 1)));
            expect(old, `${field} ${descending}`).to.deep.equal(expected);
          }
        }
      });
      it('says that nothing follows when the last page is full', async () => {
        await put(stored('a'), stored('b'));
        const page = await store.find({ where: [], sort: byPlaced, limit: 2 });
        expect(page.next).to.equal(undefined);
        expect(page.total).to.equal(2);
        const empty = await store.find({ where: [{ field: 'status', in: ['shipped'] }], sort: byPlaced, limit: 2, facets: ['status'] });
        expect({ items: empty.items, total: empty.total, facets: empty.facets }).to.deep.equal({ items: [], total: 0, facets: { status: [] } });
      });
      it('counts up to a bound, and says when there are more', async () => {
        await put(...Array.from({ length: 5 }, (_, n) => stored(`o-${n}`, { status: n < 4 ? 'placed' : 'shipped' })), stored('gone', {}, { deleted: true }));
        const total = async (countUpTo: number, rest: Partial<ViewQuery> = {}) => {
          const { items: _items, next: _next, facets: _facets, progress: _progress, ...told } = await store.find({ where: [], sort: byPlaced, limit: 2, countUpTo, ...rest });
          return told;
        };
        expect(await total(6)).to.deep.equal({ total: 5 });
        expect(await total(5), 'as many as the bound').to.deep.equal({ total: 5 });
        expect(await total(4), 'one more than the bound').to.deep.equal({ total: 4, totalIsAtLeast: true });
        expect(await total(4, { where: [{ field: 'status', in: ['placed'] }] })).to.deep.equal({ total: 4 });
        expect(await total(3, { words: ['ada'] })).to.deep.equal({ total: 3, totalIsAtLeast: true });
        expect(await total(4, { after: ['2026-01-01T00:00:00.000Z', 'o-3'] }), 'on a later page').to.deep.equal({ total: 4, totalIsAtLeast: true });
        expect(await total(Infinity)).to.deep.equal({ total: 5 });
        expect(await total(0)).to.deep.equal({});
        expect(await total(0, { where: [{ field: 'status', in: ['cancelled'] }] }), 'nothing, not counted').to.deep.equal({});
      });
      it('counts exactly up to 10,000 unless it is told otherwise', async () => {
        await put(...Array.from({ length: 10_000 }, (_, n) => stored(`o-${n}`)));
        const page = () => store.find({ where: [], sort: byPlaced, limit: 1 });
        expect(await page()).to.include({ total: 10_000 }).and.not.to.have.property('totalIsAtLeast');
        await put(stored('one more'));
        expect(await page()).to.include({ total: 10_000, totalIsAtLeast: true });
        expect(await store.find({ where: [], sort: byPlaced, limit: 1, countUpTo: Infinity })).to.include({ total: 10_001 }).and.not.to.have.property('totalIsAtLeast');
      }).timeout(90_000);
      it('sorts text by code point, not by any language', async () => {
        const view = await stores.open(customers);
        const named = (customerId: string, name: string): StoredDocument<CustomerDocument> => ({
          id: customerId, revision: 1, applied: {}, deleted: false,
          document: { customerId, name, currency: 'EUR', status: 'active', creditLimitMinor: null, reservedMinor: 0, openOrders: 0, version: 1, registeredAt: '2026-01-01T00:00:00.000Z' },
        });
        const names = ['Zoë', 'adam', 'Ärger', 'Adam', '\uff5e', '𝒳', 'zoe', 'a b', 'a-b'];
        await view.write(names.map((name, n) => named(`c-${n}`, name)), progress({}));
        const { items } = await view.find({ where: [], sort: { field: 'name', descending: false }, limit: 50 });
        expect(items.map(({ document }) => document.name)).to.deep.equal([...names].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
      });
      it('counts facets over everything that matches, months in order', async () => {
        await put(
          stored('a', { status: 'shipped', placedAt: '2025-12-31T23:59:59.999Z', paid: true }),
          stored('b', { status: 'shipped', placedAt: '2026-01-01T00:00:00.000Z' }),
          stored('c', { status: 'placed', placedAt: '2026-01-31T00:00:00.000Z' }),
          stored('d', { status: 'approved', customerId: 'c-0', currency: 'USD' }),
        );
        const { facets, total, items } = await store.find({ where: [{ field: 'currency', in: ['EUR'] }], sort: byPlaced, limit: 1, facets: ['status', 'placedAt', 'customerId', 'paid'] });
        expect(items).to.have.length(1);
        expect(total).to.equal(3);
        expect(facets).to.deep.equal({
          status: [{ key: 'shipped', count: 2 }, { key: 'placed', count: 1 }],
          placedAt: [{ key: '2025-12', count: 1 }, { key: '2026-01', count: 2 }],
          customerId: [{ key: 'c-1', count: 3 }],
          paid: [{ key: 'false', count: 2 }, { key: 'true', count: 1 }],
        });
      });
    });

    describe('searching', () => {
      const corpus: Record<string, string> = {
        accents: 'Crème brûlée Ångström Łódź', cjk: '東京都の天気 北京烤鸭', emoji: 'party 🎉🎉 hat', hyphens: 'A-100/B_200 semi-detached', numbers: '10248 3.14 1,000',
        long: `${'x'.repeat(300)} ${'y'.repeat(3_000)}`, syntax: "a & b | !c <-> 'd' \\ (e):* \"f\"", greek: 'Οδυσσεύς', empty: '...',
      };
      const found = async (q: string) => (await ids({ words: foldWords(q) })).sort();
      beforeEach(() => put(...Object.entries(corpus).map(([id, name]) => stored(id, { lines: [{ sku: `sku-${id}`, name, quantity: 1, unitPriceMinor: 1 }] }))));

      const cases: [string, string[]][] = [
        ['creme BRULEE', ['accents']], ['ångström', ['accents']], ['angs', ['accents']], ['brul creme', []], ['creme bru', ['accents']],
        ['天気', ['cjk']], ['北京', ['cjk']], ['🎉', ['emoji']], ['party hat', ['emoji']],
        ['A-100', ['hyphens']], ['b_200', ['hyphens']], ['semi', ['hyphens']], ['detached', ['hyphens']], ['10248', ['numbers']], ['102', ['numbers']], ['3.14', ['numbers']],
        ['x'.repeat(300), ['long']], ['y'.repeat(2_999), ['long']], ['x'.repeat(10), ['long']],
        ["a & b | !c", ['hyphens', 'syntax']], ["'d'", ['hyphens', 'syntax']], ['(e):*', ['emoji', 'empty', 'syntax']], ['\\', []], ['!!!', []], ['οδυσσευς', ['greek']],
        ['sku-greek', ['greek']], ['sku', Object.keys(corpus).sort()], ['ada', Object.keys(corpus).sort()], ['nothing-like-it', []],
      ];
      for (const [q, expected] of cases) it(`"${q.slice(0, 20)}" finds ${expected.length > 3 ? 'all' : expected.join(' and ') || 'nothing'}`, async () => { expect(await found(q)).to.deep.equal(expected); });

      it('follows a document that changes', async () => {
        await put(stored('emoji', { customerName: 'Bob' }, { revision: 2 }));
        expect(await found('party')).to.deep.equal([]);
        expect(await found('bob')).to.deep.equal(['emoji']);
      });
    });
  });
}
