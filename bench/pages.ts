import type { ViewQuery, ViewStore, ViewStores } from '../src/application/ports/view-store.js';
import { orders, type OrderDocument } from '../src/application/views/index.js';
import { connectElasticsearch } from '../src/infrastructure/elasticsearch/elasticsearch-client.js';
import { ElasticsearchViewStores } from '../src/infrastructure/elasticsearch/elasticsearch-view-store.js';
import { openDatabase } from '../src/infrastructure/postgres/connection/database.js';
import { PostgresViewStores } from '../src/infrastructure/postgres/views/postgres-view-store.js';
import { elasticsearchSettings, forgetIndices } from '../test/support/infra.js';
import { freshDatabase } from '../test/support/postgres.js';
import { spread, type Measurement } from './figures.js';
import { fillList } from './list-documents.js';

const fewer = 10_000;
const most = 1_000_000;
const times = 11;

type Asked = Pick<ViewQuery, 'where' | 'words' | 'facets' | 'countUpTo'>;

const filters: Record<string, Asked> = {
  'all': { where: [] },
  'a customer with 100 orders': { where: [{ field: 'customerId', in: ['c-77'] }] },
  'an unknown customer': { where: [{ field: 'customerId', in: ['nobody'] }] },
  'a customer with a tenth of all': { where: [{ field: 'customerId', in: ['c-0'] }] },
  'delivered (nearly all)': { where: [{ field: 'status', in: ['delivered'] }] },
  'cancelled (a twentieth)': { where: [{ field: 'status', in: ['cancelled'] }] },
  'placed (a thousandth, the newest)': { where: [{ field: 'status', in: ['placed'] }] },
  'approved (a fiftieth, the newest)': { where: [{ field: 'status', in: ['approved'] }] },
  'paid': { where: [{ field: 'paid', in: [true] }] },
  'not paid (a tenth)': { where: [{ field: 'paid', in: [false] }] },
  'in CHF (a hundredth)': { where: [{ field: 'currency', in: ['CHF'] }] },
  'in a currency that no order has': { where: [{ field: 'currency', in: ['JPY'] }] },
  'in a month': { where: [{ field: 'placedAt', from: '2024-03-01T00:00:00.000Z', before: '2024-04-01T00:00:00.000Z' }] },
  'above a total (a hundred and fiftieth)': { where: [{ field: 'totalMinor', from: 998_000 }] },
  'a SKU in 200 orders': { where: [{ field: 'lines.sku', in: ['sku-77'] }] },
  'q, in every order': { where: [], words: ['oak'] },
  'q, in a tenth': { where: [], words: ['silk'] },
  'q, in 300 orders': { where: [], words: ['77', 'customer'] },
  'a customer\'s shipped orders': { where: [{ field: 'customerId', in: ['c-77'] }, { field: 'status', in: ['shipped'] }] },
  'all, not counted': { where: [], countUpTo: 0 },
  'all, counted exactly': { where: [], countUpTo: Infinity },
  'all, with facets': { where: [], facets: ['status', 'placedAt'] },
  'a customer with 100 orders, with facets': { where: [{ field: 'customerId', in: ['c-77'] }], facets: ['status', 'placedAt'] },
};

/** Where a page begins that is far behind the first one. */
const middles = { placedAt: '2024-07-01T00:00:00.000Z', totalMinor: 505_000 };
const places = (['placedAt', 'totalMinor'] as const).flatMap((field) => [true, false].flatMap((descending) => [undefined, [middles[field], ''] as const].map((after) => ({ sort: { field, descending }, after }))));

/** A page of 20 orders in every sort order, the first one and one in the middle: among a million against among ten thousand, in turn. */
export async function benchPagesInPostgres(scale: number): Promise<Measurement[]> {
  const database = await freshDatabase();
  const views = openDatabase(database.url, 'views');
  try {
    return await measured(new PostgresViewStores(() => views), scale, async () => {
      // As autovacuum does within minutes.
      const client = await views.connect('owner');
      await client.query('vacuum analyze');
      await client.end();
    });
  } finally {
    await views.close();
    await database.drop();
  }
}

export async function benchPagesInElasticsearch(scale: number): Promise<Measurement[]> {
  if (elasticsearchSettings === undefined) throw new Error('Elasticsearch is needed: npm run infra:up');
  const indexPrefix = `orderfold-bench-pages-${process.pid}`;
  const { ELASTICSEARCH_URL: url, ELASTICSEARCH_USERNAME: username, ELASTICSEARCH_PASSWORD: password, ELASTICSEARCH_CA: ca } = elasticsearchSettings;
  const client = await connectElasticsearch({ url, username, password, ca, indexPrefix });
  try {
    return await measured(new ElasticsearchViewStores(client, { indexPrefix, refreshEveryMs: 0 }), scale);
  } finally {
    await forgetIndices(client, indexPrefix);
    await client.close();
  }
}

async function measured(stores: ViewStores, scale: number, settle: () => Promise<void> = () => Promise.resolve()): Promise<Measurement[]> {
  const many = Math.round(most * scale);
  const [few, full] = [await stores.open({ ...orders, revision: 1001 }), await stores.open({ ...orders, revision: 1002 })];
  await fillList(few, fewer);
  await fillList(full, many);
  await settle();
  const figures: Measurement[] = [];
  const ratios: number[] = [];
  for (const [name, asked] of Object.entries(filters)) {
    const pages: { few: number; full: number; what: string }[] = [];
    for (const { sort: { field, descending }, after } of countsAll(asked) ? places.slice(0, 1) : places) {
      const query: ViewQuery = { ...asked, sort: { field, descending }, limit: 20, ...(after && { after }) };
      pages.push({ ...await inTurn(few, full, query), what: `${descending ? '-' : ''}${field}${after === undefined ? '' : ' from the middle'}` });
    }
    const [fewMs, fullMs] = [spread(pages.map((page) => page.few)).median, spread(pages.map((page) => page.full)).median];
    if (!countsAll(asked)) ratios.push(...pages.map((page) => page.full / page.few));
    const slowest = pages.reduce((a, b) => (a.full > b.full ? a : b));
    figures.push({
      name: `a page of orders: ${name}; among ${fewer.toLocaleString('en')} ${fewMs.toFixed(1)} ms, ratio ${(fullMs / fewMs).toFixed(1)}; slowest sorted by ${slowest.what} (there ${slowest.few.toFixed(1)} ms)`,
      unit: `ms among ${many.toLocaleString('en')}`, values: pages.map((page) => page.full),
    });
  }
  return [...figures, { name: `a page among ${many.toLocaleString('en')} against one among ${fewer.toLocaleString('en')}, every sort order, place and filter of the above but exact counts and facets`, unit: 'times', values: ratios }];
}

/** Takes so long among a million that one place is enough. */
function countsAll({ facets, countUpTo }: Asked): boolean {
  return facets !== undefined || countUpTo === Infinity;
}

async function inTurn(few: ViewStore<OrderDocument>, full: ViewStore<OrderDocument>, query: ViewQuery): Promise<{ few: number; full: number }> {
  const took = { few: [] as number[], full: [] as number[] };
  for (let time = 0; time < times; time++) {
    for (const [side, store] of [['few', few], ['full', full]] as const) {
      const began = performance.now();
      await store.find(query);
      took[side].push(performance.now() - began);
    }
  }
  return { few: spread(took.few).median, full: spread(took.full).median };
}
