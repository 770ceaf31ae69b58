import { createServer } from 'node:http';
import type { AddressInfo, Server } from 'node:net';
import { rm } from 'node:fs/promises';
import { errors, type Client } from '@elastic/elasticsearch';
import { expect } from 'chai';
import sinon from 'sinon';
import { eventCodec, upcasters } from '../../../src/application/log/codec.js';
import type { StoredDocument, View, ViewProgress, ViewStore } from '../../../src/application/ports/view-store.js';
import { customerHistory, orders, type CustomerHistory, type OrderDocument } from '../../../src/application/views/index.js';
import { runProjector } from '../../../src/application/views/projector.js';
import { Rejection } from '../../../src/domain/shared/rejection.js';
import { compose } from '../../../src/infrastructure/composition/compose.js';
import { readConfig } from '../../../src/infrastructure/process/config.js';
import { connectElasticsearch } from '../../../src/infrastructure/elasticsearch/elasticsearch-client.js';
import { createIndex, indexNamesOf } from '../../../src/infrastructure/elasticsearch/elasticsearch-index.js';
import { ElasticsearchViewStores } from '../../../src/infrastructure/elasticsearch/elasticsearch-view-store.js';
import { LogFeed } from '../../../src/application/log/log-feed.js';
import { MemoryEventStore } from '../../../src/infrastructure/memory/memory-event-store.js';
import { MemoryLogSignal } from '../../../src/infrastructure/memory/memory-log-signal.js';
import { MemoryViewStores } from '../../../src/infrastructure/memory/memory-view-store.js';
import { OperatorError } from '../../../src/infrastructure/process/operator-error.js';
import { run, type Environment } from '../../support/cli.js';
import { clock, newEvent, partitions, quiet } from '../../support/events.js';
import { elasticsearchSettings, forgetIndices, notRun, runPrefix } from '../../support/infra.js';
import { temporaryDirectory } from '../../support/postgres.js';
import { startService, type TestService } from '../../support/service.js';
import { proxied, type TcpProxy } from '../../support/tcp-proxy.js';
import { testAuthority, type TestAuthority } from '../../support/test-authority.js';

const codec = eventCodec(upcasters);
const byCustomer = { where: [], sort: { field: 'customerId', descending: false }, limit: 200 } as const;
const byPlaced = { where: [], sort: { field: 'placedAt', descending: false }, limit: 200 } as const;

function orderDocument(orderId: string, rest: Partial<StoredDocument<OrderDocument>> = {}, document: Partial<OrderDocument> = {}): StoredDocument<OrderDocument> {
  return {
    id: orderId, revision: 1, applied: { 'orders/1': 1 }, deleted: false,
    document: {
      orderId, customerId: 'c-1', customerName: 'Ada', status: 'placed', paid: false, currency: 'EUR', lines: [], shippingMinor: 0, subtotalMinor: 1, totalMinor: 1, version: 1,
      placedAt: '2026-01-01T00:00:00.000Z', ...document,
    },
    ...rest,
  };
}

function reached(position: number): ViewProgress {
  return { applied: { 'orders/1': position }, behindSince: null, checkedAt: '2026-01-01T00:00:00.000Z', epochs: {} };
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!await holds()) {
    if (performance.now() > deadline) throw new Error('it did not come to that');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(() => undefined, (error: unknown) => error);
}

/** A log in memory, and projectors that fold it into the history of ten customers: to apply an event twice, or not, would show in its counts. */
function orderLog() {
  const signal = new MemoryLogSignal();
  const stores = { customers: new MemoryEventStore('customers', codec, signal), orders: new MemoryEventStore('orders', codec, signal) };
  let placed = 0;
  const customerIds = Array.from({ length: 10 }, (_, n) => `c-${n}`);
  async function place(count: number): Promise<void> {
    for (let n = 0; n < count; n++) {
      const orderId = `o-${++placed}`;
      const ids = { orderId, customerId: `c-${placed % 10}`, at: '2026-01-01T00:00:00.000Z' };
      await stores.orders.append({
        stream: `order-${orderId}`, expectedVersion: 0,
        events: [
          newEvent({ type: 'OrderPlaced', ...ids, customerName: 'Ada', currency: 'EUR', lines: [], shippingMinor: 1, subtotalMinor: 0, totalMinor: 1 }),
          newEvent({ type: 'OrderApproved', ...ids }),
        ],
      });
    }
  }
  const caughtUp = async (store: ViewStore<CustomerHistory>) => {
    const { position } = await stores.orders.head();
    return Math.max(0, ...Object.entries((await store.progress())?.applied ?? {}).map(([source, reachedHere]) => (source.startsWith('orders/') ? reachedHere ?? 0 : 0))) >= position;
  };
  /** Runs a projector, again whenever it fails, until it is stopped. */
  function start(store: ViewStore<CustomerHistory>) {
    const stop = new AbortController();
    const failures: unknown[] = [];
    const running = (async () => {
      while (!stop.signal.aborted) {
        const failure = await failureOf(runProjector(customerHistory, { store, feed: new LogFeed(stores, signal, partitions), stores, clock, logger: quiet }, stop.signal));
        if (failure !== undefined) {
          failures.push(failure);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
    })();
    return { failures, async stop() { stop.abort(); await running; } };
  }
  /** @returns what it failed with on the way */
  async function project(store: ViewStore<CustomerHistory>): Promise<unknown[]> {
    const projector = start(store);
    try {
      await until(() => caughtUp(store).catch(() => false));
    } finally {
      await projector.stop();
    }
    return projector.failures;
  }
  /** As a store that cannot fail would have it. */
  async function expected(): Promise<unknown> {
    const store = await new MemoryViewStores().open(customerHistory);
    await project(store);
    return shown(store);
  }
  async function shown(store: ViewStore<CustomerHistory>): Promise<unknown> {
    return (await store.find(byCustomer)).items.map(({ id, applied, document }) => ({ id, applied, document }));
  }
  return { place, start, project, expected, shown, caughtUp, customerIds };
}

if (elasticsearchSettings === undefined) notRun('Elasticsearch');
else {
  const { ELASTICSEARCH_URL: url, ELASTICSEARCH_USERNAME: username, ELASTICSEARCH_PASSWORD: password, ELASTICSEARCH_CA: ca } = elasticsearchSettings;
  describe('Elasticsearch', function () {
    this.timeout(120_000);
    const sandbox = sinon.createSandbox();
    let client: Client;
    let prefix: string;
    let runs = 0;
    let environment: Environment;
    before(async () => { client = await connectElasticsearch({ url, username, password, ca, indexPrefix: runPrefix }); });
    after(() => client.close());
    beforeEach(() => {
      prefix = `${runPrefix}-${++runs}`;
      environment = {
        PROFILE: 'memory', VIEWS: 'elasticsearch', PORT: '0', ELASTICSEARCH_URL: url, ELASTICSEARCH_USERNAME: username, ELASTICSEARCH_PASSWORD: password, ELASTICSEARCH_CA: ca,
        ELASTICSEARCH_INDEX_PREFIX: prefix,
      };
    });
    afterEach(async () => {
      sandbox.restore();
      await forgetIndices(client, prefix);
    });

    const indices = async () => Object.keys(await client.indices.get({ index: `${prefix}-*` })).sort();
    const open = <D extends object>(view: View<D>) => new ElasticsearchViewStores(client, { indexPrefix: prefix, refreshEveryMs: 0 }).open(view);
    const ordersAlias = () => indexNamesOf(orders, prefix).alias;

    /** Calls through, unless `instead` has something else to say. */
    function overBulk(instead: (size: number, call: number, perform: () => Promise<unknown>) => unknown): number[] {
      const sizes: number[] = [];
      const perform = client.bulk.bind(client) as (request: unknown) => Promise<unknown>;
      sandbox.stub(client, 'bulk').callsFake((async (request: { operations: unknown[] }) => {
        const size = request.operations.length / 2;
        sizes.push(size);
        return await instead(size, sizes.length, () => perform(request)) ?? perform(request);
      }) as never);
      return sizes;
    }
    const itemsOf = (size: number, status: number, type: string) => ({ errors: true, took: 1, items: Array.from({ length: size }, () => ({ index: { status, error: { type, reason: 'busy' } } })) });

    describe('is refused at start, in one line', () => {
      let directory: string;
      let authority: TestAuthority;
      const servers: Server[] = [];
      before(async () => {
        directory = await temporaryDirectory();
        authority = await testAuthority(directory);
      });
      after(async () => {
        await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
        await rm(directory, { recursive: true });
      });

      const refused = async (wrong: Environment, expected: RegExp) => {
        const failure = await failureOf(compose(readConfig({ ...environment, ...wrong }), { logger: quiet }));
        expect(failure).to.be.instanceOf(OperatorError).with.property('message').that.matches(expected).and.does.not.match(/\n/);
      };
      const served = async (certificate: Parameters<TestAuthority['serve']>[0]): Promise<Environment> => {
        const { url: elsewhere, server } = await authority.serve(certificate);
        servers.push(server);
        return { ELASTICSEARCH_URL: elsewhere, ELASTICSEARCH_CA: authority.ca };
      };

      it('when another authority has signed its certificate', () => refused({ ELASTICSEARCH_CA: authority.ca }, /^Elasticsearch at https:\S+ the certificate is not signed by the authority in ELASTICSEARCH_CA/));
      it('when no authority is named that has signed it', () => refused({ ELASTICSEARCH_CA: '' }, /the certificate is not signed by the authority/));
      it('when the authority cannot be read', () => refused({ ELASTICSEARCH_CA: '/nowhere/ca.crt' }, /cannot be read .*: check ELASTICSEARCH_CA/));
      it('when the password is wrong', () => refused({ ELASTICSEARCH_PASSWORD: 'guessed' }, /it refused the login: check ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD/));
      it('when the certificate has expired', async () => {
        const expired = await served({ to: 2022 });
        await refused(expired, /the certificate has expired: renew it/);
        const { code, out, err } = await run(['serve'], { ...environment, ...expired });
        expect([code, out, err.trim()]).to.deep.equal([1, '', `orderfold: Elasticsearch at ${expired.ELASTICSEARCH_URL ?? ''}: the certificate has expired: renew it.`]);
      });
      it('when the certificate is not valid yet', async () => refused(await served({ from: 2048 }), /the certificate is not valid yet/));
      it('when the certificate is for another host', async () => refused(await served({ names: 'DNS:elsewhere.example' }), /the certificate is for another host name: check ELASTICSEARCH_URL/));
      it('when the server is something else', async () => refused(await served({}), /what answers there is not Elasticsearch/));
      it('when the server speaks plain HTTP', async () => {
        const server = createServer((_request, answer) => { answer.end('{}'); });
        servers.push(server);
        await new Promise<void>((listening) => { server.listen(0, '127.0.0.1', listening); });
        await refused({ ELASTICSEARCH_URL: `https://127.0.0.1:${(server.address() as AddressInfo).port}` }, /it does not speak TLS there: check ELASTICSEARCH_URL/);
      });
      it('when the user may not make indices of that name', () => refused({ ELASTICSEARCH_INDEX_PREFIX: 'foreign' }, /^The view \S+ cannot be opened\. Elasticsearch: the user may not do this/));
      it('when its URL is not https', () => {
        expect(() => readConfig({ ...environment, ELASTICSEARCH_URL: url.replace('https', 'http') })).to.throw('the password would travel in the clear');
      });
      it('when certificates are not to be checked at all', () => {
        expect(() => readConfig({ ...environment, NODE_TLS_REJECT_UNAUTHORIZED: '0' })).to.throw('it would trust any certificate');
      });
      it('when an index is not what its view declares', async () => {
        await createIndex(client, { ...orders, fields: { ...orders.fields, colour: { kind: 'keyword' } } }, prefix);
        await refused({}, /^The index \S+-orders-r1-g1 is not what the view orders declares \(\S*colour\.type\): raise the view's revision/);
      });
      it('when an index has the name of an alias', async () => {
        await client.indices.create({ index: ordersAlias() });
        await refused({}, /-orders-r1 is an index, and should be an alias: delete it/);
      });

      it('and the expiry of its certificate is told by the check', async () => {
        const { code, out } = await run(['search', 'check'], { ...environment, ...await served({ to: 2022 }) });
        const [connection, tls, login] = out.trim().split('\n');
        expect(code, out).to.equal(1);
        expect(connection).to.match(/^ok {6}connection: 127\.0\.0\.1:\d+$/);
        expect(tls).to.match(/^FAILED {2}TLS: .*the certificate has expired: renew it\. It is valid until 2022-01-01T00:00:00\.000Z$/);
        expect(login).to.equal('FAILED  login: not asked without TLS');
      });
    });

    describe('on the command line', () => {
      const search = async (command: string, rest: Environment = {}) => {
        const { code, out, err } = await run(['search', command, '--json'], { ...environment, ...rest });
         
        return { code, err, body: out === '' ? undefined : JSON.parse(out) };
      };

      it('is checked, filled and looked at, with no database configured', async () => {
        const production: Environment = { PROFILE: 'production', VIEWS: '' };
        const before = await search('check', production);
        expect(before.code).to.equal(1);
        expect(before.body.map(({ check, ok }: { check: string; ok: boolean }) => [check, ok])).to.deep.equal([
          ['connection', true], ['TLS', true], ['login', true], ['rights', true], ['view orders', false], ['view customers', false], ['view customer-history', false],
        ]);
        expect(before.body[1].detail).to.match(/^the certificate is trusted, and valid until \d{4}-\d\d-\d\dT.*: \d+ days left$/);
        expect((await search('status', production)).body.indices[0]).to.include({ view: 'orders', index: null, documents: null });
        const made = await search('create', production);
        expect([made.code, made.body.map(({ outcome }: { outcome: string }) => outcome)]).to.deep.equal([0, ['made', 'made', 'made']]);
        const store = await open(orders);
        await store.write([orderDocument('a'), orderDocument('b', { deleted: true })], reached(1));
        const status = await search('status', production);
        expect(status.body.indices[0]).to.deep.include({ view: 'orders', alias: ordersAlias(), index: `${ordersAlias()}-g1`, documents: 1, drift: [] });
        expect(['green', 'yellow']).to.include(status.body.indices[0].health);
        const after = await search('check', production);
        expect([after.code, after.body.every(({ ok }: { ok: boolean }) => ok)]).to.deep.equal([0, true]);
      });

      it('says what is not as declared, and leaves it alone', async () => {
        await createIndex(client, { ...orders, fields: { ...orders.fields, colour: { kind: 'keyword' } } }, prefix);
        const made = await search('create');
        expect(made.code).to.equal(1);
        expect(made.body.map(({ outcome }: { outcome: string }) => outcome)).to.deep.equal(['refused', 'made', 'made']);
        expect(made.body[0].why).to.include('colour');
        const status = await search('status');
        expect([status.code, status.body.indices[0].drift]).to.deep.equal([0, ['properties.fields.properties.colour.type']]);
        const { code, out } = await run(['search', 'check'], environment);
        expect([code, out.split('\n').filter((line) => line.startsWith('FAILED'))], out).to.have.nested.property('[1].length', 1);
        expect(code).to.equal(1);
      });

      it('names the rights that the user lacks', async () => {
        const { code, body } = await search('check', { ELASTICSEARCH_INDEX_PREFIX: 'foreign' });
        expect(code).to.equal(1);
        expect(body[3]).to.deep.equal({ check: 'rights', ok: false, detail: 'orderfold lacks create_index, delete_index, manage, read, write on foreign-*: check the user\'s roles' });
      });

      it('is not there to be looked at when the views are elsewhere, or nothing listens', async () => {
        const elsewhere = await search('status', { PROFILE: 'embedded', VIEWS: '' });
        expect([elsewhere.code, elsewhere.err.trim()]).to.deep.equal([1, 'orderfold: The views are not in Elasticsearch here, but in postgres: set VIEWS=elasticsearch, or a PROFILE that has it.']);
        const nothing = { ELASTICSEARCH_URL: 'https://127.0.0.1:1' };
        const silent = await search('status', nothing);
        expect([silent.code, silent.err.trim()]).to.deep.equal([1, 'orderfold: Elasticsearch at https://127.0.0.1:1: it cannot be reached.']);
        const checked = await search('check', nothing);
        expect([checked.code, checked.body[0].ok, checked.body[0].detail]).to.deep.equal([1, false, '127.0.0.1:1 cannot be reached (connect ECONNREFUSED 127.0.0.1:1): check ELASTICSEARCH_URL']);
      });
    });

    describe('when it cannot be reached', () => {
      let proxy: TcpProxy;
      let service: TestService | undefined;
      beforeEach(async () => {
        const through = await proxied(url);
        proxy = through.proxy;
        environment = { ...environment, ELASTICSEARCH_URL: through.url };
      });
      afterEach(async () => {
        await service?.end();
        service = undefined;
        await proxy.close();
      });

      const register = (customerId: string) => service!.ask('POST', '/customers', { customerId, name: customerId, currency: 'EUR', creditLimitMinor: null });
      const list = (token?: string) => service!.ask('GET', '/customers', undefined, token === undefined ? {} : { 'consistency-token': token, prefer: 'wait=20' });
      const commandsOnly = async (customerId: string) => {
        const registered = await register(customerId);
        expect(registered.status).to.equal(201);
        const asked = await list();
        expect([asked.status, asked.body.type, asked.headers.get('retry-after')]).to.deep.equal([503, '/problems/view.unavailable', '2']);
        const ready = await service!.ask('GET', '/health/ready');
        expect([ready.status, ready.body.status]).to.deep.equal([200, 'degraded']);
        return registered.headers.get('consistency-token')!;
      };

      it('the service starts without it, takes commands, and shows everything once it appears', async () => {
        proxy.cut();
        service = await startService(environment);
        const token = await commandsOnly('early');
        expect(await indices()).to.deep.equal([]);
        proxy.restore();
        const found = await list(token).then((first) => (first.status === 503 ? list(token) : first));
        expect([found.status, found.body.total], found.text).to.deep.equal([200, 1]);
        await until(async () => (await service!.ask('GET', '/health/ready')).body.status === 'ready');
      });

      it('a running service goes on with its commands, and its views converge afterwards', async () => {
        service = await startService(environment);
        const before = (await register('before')).headers.get('consistency-token')!;
        expect((await list(before)).body.total).to.equal(1);
        proxy.cut();
        const token = await commandsOnly('during');
        proxy.restore();
        await until(async () => (await list()).status === 200);
        expect((await list(token)).body.total).to.equal(2);
      });

      it('a silent network holds up neither commands nor readiness, and queries not for long', async () => {
        service = await startService(environment);
        const before = (await register('before')).headers.get('consistency-token')!;
        expect((await list(before)).body.total).to.equal(1);
        proxy.blackHole();
        const began = performance.now();
        const registered = await register('during');
        expect([registered.status, performance.now() - began < 1_000]).to.deep.equal([201, true]);
        const ready = await service.ask('GET', '/health/ready');
        expect([ready.status, ready.body.status]).to.deep.equal([200, 'degraded']);
        expect(performance.now() - began).to.be.below(7_000);
        expect((await list()).status).to.equal(503);
        expect(performance.now() - began).to.be.below(20_000);
        proxy.restore();
        const found = await list(registered.headers.get('consistency-token')!).then((first) => (first.status === 503 ? list(registered.headers.get('consistency-token')!) : first));
        expect([found.status, found.body.total], found.text).to.deep.equal([200, 2]);
      });

      it('an index that is deleted underneath stops its view and no other, loudly, until it is made again', async () => {
        service = await startService(environment);
        const token = (await register('a')).headers.get('consistency-token')!;
        expect((await list(token)).body.total).to.equal(1);
        const deleted = (await indices()).filter((name) => name.startsWith(`${prefix}-customers-`));
        await client.indices.delete({ index: deleted });
        const asked = await list();
        expect([asked.status, asked.body.type], asked.text).to.deep.equal([503, '/problems/view.unavailable']);
        expect(asked.body.detail).to.include('the index is missing');
        expect((await service.ask('GET', '/customers/a')).status).to.equal(503);
        await register('b');
        await until(async () => {
          const { components } = (await service!.ask('GET', '/health/ready')).body as { components: { name: string; status: string; error?: string }[] };
          const projector = components.find(({ name }) => name === 'projector customers');
          return projector?.status === 'down' && projector.error?.includes('the index is missing') === true;
        });
        expect((await service.ask('GET', '/customers/a/history')).status, 'another view').to.equal(200);
        expect(await indices(), 'nothing makes it by itself').to.not.include(deleted[0]);
        expect((await run(['search', 'create'], environment)).code).to.equal(0);
        await until(async () => (await list()).body.total === 2);
      });
    });

    describe('keeps a view', () => {
      it('and makes one index of it, however many open it at once', async () => {
        await Promise.all(Array.from({ length: 8 }, () => open(orders)));
        expect(await indices()).to.deep.equal([`${ordersAlias()}-g1`]);
      });

      it('and refuses an index that is not as declared, naming what differs', async () => {
        await createIndex(client, { ...orders, fields: { ...orders.fields, totalMinor: { kind: 'keyword' } } }, prefix);
        expect(await failureOf(open(orders))).to.be.an('error').with.property('message').that.matches(/-orders-r1-g1 is not what the view orders declares \(\S+totalMinor\.type\)/);
      });

      it('and neither reads nor writes where its index is gone, and makes none', async () => {
        const store = await open(orders);
        await store.write([orderDocument('a')], reached(1));
        await client.indices.delete({ index: await indices() });
        const attempts = [() => store.find(byPlaced), () => store.read(['a']), () => store.progress(), () => store.write([orderDocument('a', { revision: 2 })], reached(2)), () => store.write([], reached(3))];
        for (const attempt of attempts) {
          const error = await failureOf(attempt());
          expect(error).to.be.instanceOf(Rejection).with.property('code', 'view.unavailable');
          expect((error as Rejection).message).to.include('the index is missing');
        }
        expect(await indices()).to.deep.equal([]);
      });

      it('and refuses a document that does not fit, by its name', async () => {
        const store = await open(orders);
        const failure = await failureOf(store.write([orderDocument('good'), orderDocument('bad', {}, { totalMinor: 'many' as unknown as number })], reached(1)));
        expect(failure).to.be.an('error').with.property('message').that.matches(/-orders-r1 does not take bad: \w*parsing_exception .*totalMinor/);
        expect(await store.progress()).to.equal(undefined);
      });

      it('and tries again, with smaller requests, what the node has no time for', async () => {
        const store = await open(orders);
        const sizes = overBulk((size, call) => (call === 2 ? Promise.reject(new errors.ResponseError({ statusCode: 429, body: {}, headers: {}, warnings: null, meta: {} as never })) : size > 150 ? itemsOf(size, call === 1 ? 503 : 429, 'es_rejected_execution_exception') : undefined));
        const documents = Array.from({ length: 600 }, (_, n) => orderDocument(`o-${n}`));
        expect(await store.write(documents, reached(1))).to.deep.equal([]);
        expect(sizes.slice(0, 4)).to.deep.equal([600, 300, 150, 225]);
        expect(sizes.slice(3).filter((size) => size <= 150).length, 'it goes on in small requests').to.be.greaterThan(2);
        expect((await store.find(byPlaced)).total).to.equal(600);
      });

      it('and tries a refused change again as a change, not as a conflict', async () => {
        const store = await open(orders);
        await store.write([orderDocument('a')], reached(1));
        overBulk((size, call) => (call === 1 ? itemsOf(size, 429, 'es_rejected_execution_exception') : undefined));
        expect(await store.write([orderDocument('a', { revision: 2 }, { status: 'approved' })], reached(2))).to.deep.equal([]);
        expect((await store.read(['a'])).get('a')?.document.status).to.equal('approved');
      });

      it('and gives up on a node that never has time, as an outage', async () => {
        const store = await open(orders);
        const sizes = overBulk((size) => itemsOf(size, 429, 'es_rejected_execution_exception'));
        const error = await failureOf(store.write([orderDocument('a')], reached(1)));
        expect(error).to.be.instanceOf(Rejection).with.property('code', 'view.unavailable');
        expect(sizes.length).to.equal(6);
        expect(await store.progress()).to.equal(undefined);
      });

      it('and stops at once, with the reason, where its index is blocked as on a full disk, and goes on when it is not', async () => {
        const store = await open(orders);
        await store.write([orderDocument('a')], reached(1));
        const sizes = overBulk((size, call) => (call < 3 ? itemsOf(size, call === 1 ? 429 : 403, 'cluster_block_exception') : undefined));
        for (let tries = 1; tries < 3; tries++) {
          const error = await failureOf(store.write([orderDocument('b')], reached(2)));
          expect(error).to.be.instanceOf(Rejection).with.property('code', 'view.unavailable');
          expect((error as Rejection).details.reason).to.match(/the index takes no changes, as when its disk is too full/);
          expect(sizes.length).to.equal(tries);
        }
        await client.indices.putSettings({ index: ordersAlias(), settings: { index: { blocks: { write: true } } } });
        const blocked = await failureOf(store.write([orderDocument('b')], reached(2)));
        await client.indices.putSettings({ index: ordersAlias(), settings: { index: { blocks: { write: false } } } });
        expect((blocked as Rejection).details.reason).to.match(/takes no changes/);
        expect((await store.find(byPlaced)).total).to.equal(1);
        expect(await store.write([orderDocument('b')], reached(2))).to.deep.equal([]);
        expect((await store.find(byPlaced)).total).to.equal(2);
      });

      it('and sends no request that is larger than what lies between may take', async () => {
        const store = await open(orders);
        const sizes = overBulk(() => undefined);
        const line = { sku: 's', name: 'x'.repeat(400_000), quantity: 1, unitPriceMinor: 1 };
        await store.write(Array.from({ length: 20 }, (_, n) => orderDocument(`o-${n}`, {}, { lines: [line] })), reached(1));
        expect(sizes.reduce((sum, size) => sum + size)).to.equal(20);
        expect(Math.max(...sizes)).to.be.below(13);
        expect((await store.find(byPlaced)).total).to.equal(20);
      });

      it('and answers many who ask how far it is with few requests', async () => {
        const store = await open(orders);
        await store.write([], reached(7));
        const get = sandbox.spy(client, 'get');
        const found = await Promise.all(Array.from({ length: 100 }, async (_, n) => {
          await new Promise((resolve) => setTimeout(resolve, n / 10));
          return store.progress();
        }));
        expect(found.every((progress) => progress?.applied['orders/1'] === 7)).to.equal(true);
        expect(get.callCount).to.be.below(30);
      });

      it('and lets no query fail while it is emptied', async () => {
        const store = await open(orders);
        const reader = await open(orders);
        const failures: unknown[] = [];
        let queries = 0;
        let done = false;
        const readers = Array.from({ length: 6 }, async () => {
          while (!done) {
            const failure = await failureOf(queries % 3 === 0 ? reader.read(['a']) : reader.find(byPlaced));
            queries++;
            if (failure !== undefined) failures.push(failure);
          }
        });
        for (let n = 0; n < 8; n++) {
          await store.write([orderDocument('a')], reached(1));
          await store.reset();
        }
        done = true;
        await Promise.all(readers);
        expect(failures).to.deep.equal([]);
        expect(queries).to.be.greaterThan(50);
        expect(await indices(), 'the old ones are gone').to.deep.equal([`${ordersAlias()}-g9`]);
        expect((await reader.find(byPlaced)).total).to.equal(0);
      });

      it('and is emptied once when several want it emptied', async () => {
        const stores = await Promise.all(Array.from({ length: 4 }, () => open(orders)));
        await stores[0]!.write([orderDocument('a')], reached(1));
        await Promise.all(stores.map((store) => store.progress()));
        await Promise.all(stores.map((store) => store.reset()));
        expect(await indices()).to.have.length(1);
        await stores[0]!.write([orderDocument('b')], reached(1));
        expect((await stores[3]!.find(byPlaced)).items.map(({ id }) => id)).to.deep.equal(['b']);
      });

      it('and writes nothing into a generation that another process has begun, until it has looked at it', async () => {
        const [one, other] = [await open(orders), await open(orders)];
        await one.write([orderDocument('a')], reached(5));
        await other.write([], reached(5));
        await one.reset();
        expect(await failureOf(other.write([orderDocument('b')], reached(9)))).to.be.an('error').with.property('message').that.matches(/-g2, no longer \S+-g1/);
        expect(await one.progress()).to.equal(undefined);
        expect((await one.read(['b'])).size).to.equal(0);
        expect(await other.write([orderDocument('b')], reached(1))).to.deep.equal([]);
        expect((await one.progress())?.applied).to.deep.equal({ 'orders/1': 1 });
      });
    });

    describe('ends with the right documents, each event applied once,', () => {
      it('when its index is deleted and made again under the same name, and another process has begun to fill it', async () => {
        const [one, other] = [await open(orders), await open(orders)];
        await one.write([orderDocument('a')], reached(5));
        await client.indices.delete({ index: await indices() });
        await createIndex(client, orders, prefix);
        await other.write([], reached(7));
        const failure = await failureOf(one.write([orderDocument('a', { revision: 2 })], reached(9), { 'orders/1': 5 }));
        expect(failure).to.be.an('error').with.property('message').that.matches(/-g1, no longer the index of that name that was there before/);
        expect((await one.progress())?.applied).to.deep.equal({ 'orders/1': 7 });
        expect((await one.read(['a'])).size).to.equal(0);
        expect(await one.write([orderDocument('a')], reached(9), { 'orders/1': 7 })).to.deep.equal([]);
      });

      const log = () => orderLog();

      it('when the answer to a bulk is lost', async () => {
        const { place, project, expected, shown } = log();
        await place(30);
        const sizes = overBulk(async (_size, call, perform) => {
          if (call > 1) return undefined;
          await perform();
          throw new errors.TimeoutError('the answer was lost');
        });
        const store = await open(customerHistory);
        const failures = await project(store);
        expect(failures).to.have.length(1);
        expect(failures[0]).to.be.instanceOf(Rejection).with.property('code', 'view.unavailable');
        expect(sizes, 'what was stored is not written again').to.have.length(1);
        await place(5);
        await project(store);
        expect(await shown(store)).to.deep.equal(await expected());
      });

      it('when a projector ends between its documents and their refresh, and another one goes on', async () => {
        const { place, start, project, expected, shown } = log();
        await place(30);
        const refresh = sandbox.stub(client.indices, 'refresh').rejects(new Error('killed'));
        const killed = start(await open(customerHistory));
        await until(async () => killed.failures.length > 0);
        await killed.stop();
        refresh.restore();
        const store = await open(customerHistory);
        expect(Object.keys((await store.progress())?.applied ?? {}).filter((source) => source.startsWith('orders/'))).to.deep.equal([]);
        expect(await project(store)).to.deep.equal([]);
        expect(await shown(store), 'everything that the progress claims can be found').to.deep.equal(await expected());
      });

      it('when a projector ends between its documents and its progress', async () => {
        const { place, start, project, expected, shown } = log();
        await place(30);
        const index = sandbox.stub(client, 'index').rejects(new Error('killed'));
        const killed = start(await open(customerHistory));
        await until(async () => killed.failures.length > 1);
        await killed.stop();
        index.restore();
        await place(5);
        const store = await open(customerHistory);
        await project(store);
        expect(await shown(store)).to.deep.equal(await expected());
      });

      it('when a document cannot be looked up for a while', async () => {
        const { place, project, expected, shown } = log();
        await place(10);
        const store = await open(customerHistory);
        await project(store);
        await place(10);
        const lost = { error: { type: 'no_shard_available_action_exception', reason: 'no shard' }, _id: 'c-1', _index: 'x' };
        const mget = sandbox.stub(client, 'mget').callThrough();
        for (const call of [0, 1]) mget.onCall(call).resolves({ docs: [lost] });
        const restarted = await open(customerHistory);
        expect(await project(restarted)).to.have.length(1);
        expect(await shown(restarted)).to.deep.equal(await expected());
      });

      it('when two projectors write the same documents, and no reader sees one go back', async () => {
        const { place, start, expected, shown, caughtUp, customerIds } = log();
        const [one, other, reader] = [await open(customerHistory), await open(customerHistory), await open(customerHistory)];
        const projectors = [start(one), start(other)];
        const seen = new Map<string, number>();
        const wentBack: string[] = [];
        const done = new AbortController();
        let looks = 0;
        const look = (id: string, how: string, revision: number, counted: number) => {
          for (const [key, value] of [[`${how} revision of ${id}`, revision], [`${how} count of ${id}`, counted]] as const) {
            if (value < (seen.get(key) ?? 0)) wentBack.push(`${key}: ${value} after ${seen.get(key) ?? 0}`);
            seen.set(key, value);
          }
        };
        const polling = (async () => {
          while (!done.signal.aborted) {
            for (const { id, revision, document } of (await reader.find(byCustomer)).items) look(id, 'found', revision, document.orders.placed);
            for (const [id, { revision, document }] of await reader.read(customerIds)) look(id, 'read', revision, document.orders.placed);
            looks++;
          }
        })();
        for (let n = 0; n < 25; n++) {
          await place(8);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        await until(() => caughtUp(reader));
        done.abort();
        await Promise.all([polling, ...projectors.map(({ stop }) => stop())]);
        expect(wentBack).to.deep.equal([]);
        expect(looks).to.be.greaterThan(10);
        expect(projectors.flatMap(({ failures }) => failures)).to.deep.equal([]);
        expect(await shown(reader)).to.deep.equal(await expected());
      });
    });
  });
}
