import { expect } from 'chai';
import type { Client } from 'pg';
import type { ViewQuery } from '../../../src/application/ports/view-store.js';
import { orders } from '../../../src/application/views/index.js';
import { openDatabase, type Database } from '../../../src/infrastructure/postgres/connection/database.js';
import { findStatement } from '../../../src/infrastructure/postgres/views/postgres-view-query.js';
import { PostgresViewStores } from '../../../src/infrastructure/postgres/views/postgres-view-store.js';
import { tableOf } from '../../../src/infrastructure/postgres/views/postgres-view-table.js';
import { fillList } from '../../../bench/list-documents.js';
import { freshDatabase, type TestDatabase } from '../../support/postgres.js';

const count = 4_000;
const shown = 20;

interface Node { 'Node Type': string; 'Actual Rows'?: number; 'Actual Loops'?: number; 'Rows Removed by Filter'?: number; Plans?: Node[]; [more: string]: unknown }

/** How many rows of tables a statement has looked at. */
function looked(node: Node): number {
  const own = node['Node Type'].endsWith('Scan') && !['Subquery Scan', 'CTE Scan', 'Bitmap Index Scan'].includes(node['Node Type'])
    ? ((node['Actual Rows'] ?? 0) + (node['Rows Removed by Filter'] ?? 0)) * (node['Actual Loops'] ?? 1) : 0;
  return own + (node.Plans ?? []).reduce((sum, plan) => sum + looked(plan), 0);
}

describe('a page of a list on PostgreSQL', function () {
  this.timeout(120_000);
  let fresh: TestDatabase;
  let database: Database;
  let client: Client;
  before(async () => {
    fresh = await freshDatabase();
    database = openDatabase(fresh.url, 'views');
    const store = await new PostgresViewStores(() => database).open(orders);
    client = await database.connect('owner');
    // What is never analyzed is to stay so.
    for (const table of ['orders_r1', 'orders_r1_keys']) await client.query(`alter table ${table} set (autovacuum_enabled = off)`);
    await fillList(store, count);
  });
  after(async () => {
    await client.end();
    await database.close();
    await fresh.drop();
  });

  const rowsOf = async (query: ViewQuery, sortedHits?: number) => {
    const { text, values } = findStatement(orders, tableOf(orders), 'orders r1', { countUpTo: 0, ...query }, sortedHits);
    const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: Node }] }>(`explain (analyze, timing off, format json) ${text}`, values);
    return looked(rows[0]!['QUERY PLAN'][0].Plan);
  };

  const middles = { placedAt: '2024-07-01T00:00:00.000Z', totalMinor: 505_000 };
  const pages = (['placedAt', 'totalMinor'] as const).flatMap((field) => [true, false].flatMap((descending) => [undefined, [middles[field], ''] as const]
    .map((after) => ({ sort: { field, descending }, limit: shown, ...(after && { after }) }))));
  // Beside each: how many documents match at most, where they are few.
  const filters: [string, Pick<ViewQuery, 'where' | 'words'>, number?][] = [
    ['without a filter', { where: [] }],
    ['of a customer', { where: [{ field: 'customerId', in: ['c-7'] }] }, 100],
    ['of nobody', { where: [{ field: 'customerId', in: ['nobody'] }] }, 0],
    ['with a status that nearly all have', { where: [{ field: 'status', in: ['delivered'] }] }],
    ['with a status that only the newest have', { where: [{ field: 'status', in: ['placed'] }] }, 4],
    ['that were paid', { where: [{ field: 'paid', in: [true] }] }],
    ['in a currency that none has', { where: [{ field: 'currency', in: ['JPY'] }] }, 0],
    ['with a SKU', { where: [{ field: 'lines.sku', in: ['sku-7'] }] }, 200],
    ['with a word that a tenth have', { where: [], words: ['silk'] }, count / 10],
  ];

  const looksAtLittle = (known: typeof filters) => {
    for (const [name, filter, matching] of known) {
      it(`looks at little more than it shows: orders ${name}`, async () => {
        for (const query of pages) {
          const rows = await rowsOf({ ...query, ...filter });
          // Each shown row is looked at in the keys and in the documents; where few match, all of them may be: in an index, then in the keys, then in the documents.
          expect(rows, JSON.stringify(query)).to.be.below(matching === undefined ? 15 * shown : 3 * (matching + shown) + 10);
        }
      });
    }
    it('looks at few more documents than are sorted: orders with a word that all have', async () => {
      for (const query of pages) expect(await rowsOf({ ...query, where: [], words: ['oak'] }, 100), JSON.stringify(query)).to.be.below(2 * 101 + 15 * shown);
    });
    it('counts no further than it is asked to', async () => {
      const uncounted = await rowsOf({ where: [], sort: { field: 'placedAt', descending: true }, limit: shown });
      const counted = await rowsOf({ where: [], sort: { field: 'placedAt', descending: true }, limit: shown, countUpTo: 500 });
      expect(counted - uncounted).to.equal(501);
    });
  };
  describe('never analyzed', () => {
    // So few documents may all be sorted: nothing says yet how many have a status.
    looksAtLittle(filters.filter(([name]) => name !== 'with a status that nearly all have'));
  });
  describe('analyzed', () => {
    before(async () => { await client.query('analyze orders_r1, orders_r1_keys'); });
    looksAtLittle(filters);
  });

  it('takes over documents that lie as they did before there were keys', async () => {
    const old = { ...orders, revision: 9 };
    for (const statement of [
      `create table orders_r9 (id text collate "C" primary key, revision int not null, applied json not null, deleted boolean not null, document json not null, words tsvector not null,
        "f_orderId" text collate "C", "f_customerId" text collate "C", f_status text collate "C", f_paid boolean, f_currency text collate "C", "f_totalMinor" bigint, "f_placedAt" text collate "C",
        "f_lines_sku" text[] collate "C")`,
      'create index "orders_r9_by_placedAt" on orders_r9 ("f_placedAt", id)',
      'create index "orders_r9_in_lines.sku" on orders_r9 using gin ("f_lines_sku")',
      `insert into orders_r9 select d.id, d.revision, d.applied, d.deleted, d.document, d.words, d.id, k."f_customerId", k.f_status, k.f_paid, k.f_currency, k."f_totalMinor", k."f_placedAt", d."f_lines_sku"
        from orders_r1 d join orders_r1_keys k on k.id = d.id where k."f_customerId" = 'c-7'`,
    ]) await client.query(statement);
    const stores = await Promise.all([1, 2].map(() => new PostgresViewStores(() => database).open(old)));
    const now = await new PostgresViewStores(() => database).open(orders);
    const { items: [one] } = await now.find({ where: [{ field: 'customerId', in: ['c-7'] }], sort: { field: 'placedAt', descending: false }, limit: 1 });
    const asked: ViewQuery = { where: [{ field: 'currency', in: ['EUR', 'USD', 'CHF'] }, { field: 'lines.sku', in: [one!.document.lines[0]!.sku] }], words: ['oak'], sort: { field: 'totalMinor', descending: true }, limit: 50 };
    const expected = await now.find({ ...asked, where: [...asked.where, { field: 'customerId', in: ['c-7'] }] });
    expect(expected.items).to.have.length.above(0);
    for (const store of stores) expect((await store.find(asked)).items).to.deep.equal(expected.items);
    const { rows } = await client.query<{ column: string }>("select attname as column from pg_attribute where attrelid = 'orders_r9'::regclass and attnum > 0 and not attisdropped");
    expect(rows.map(({ column }) => column)).to.deep.equal(['id', 'revision', 'applied', 'deleted', 'document', 'words', 'f_lines_sku']);
    const { rows: options } = await client.query<{ name: string; options: string[] }>(
      "select relname as name, reloptions as options from pg_class where relname in ('orders_r9', 'orders_r9_in_lines.sku', 'orders_r9_words') order by relname");
    expect(options.map((one) => one.options.join())).to.deep.equal(['fillfactor=50', 'gin_pending_list_limit=256', 'gin_pending_list_limit=256']);
  });
});
