import { Transport, type Client } from '@elastic/elasticsearch';
import type { Kafka } from 'kafkajs';
import { createCustomerCommands } from '../../src/application/customers/customer-commands.js';
import { eventCodec, upcasters } from '../../src/application/log/codec.js';
import { createExecute } from '../../src/application/commands/execute.js';
import { createOrderCommands } from '../../src/application/orders/order-commands.js';
import { decideOrder, holdOrReleaseCredit, runPolicy } from '../../src/application/policies/index.js';
import type { EventFeed } from '../../src/application/ports/event-feed.js';
import type { EventPublisher, Message } from '../../src/application/ports/event-publisher.js';
import type { EventStore } from '../../src/application/ports/event-store.js';
import type { StoredDocument, View, ViewProgress, ViewStore } from '../../src/application/ports/view-store.js';
import { runProjector } from '../../src/application/views/projector.js';
import { runRelay } from '../../src/application/log/relay.js';
import { contexts, type Context } from '../../src/domain/events.js';
import { connectElasticsearch, type ElasticsearchConfig } from '../../src/infrastructure/elasticsearch/elasticsearch-client.js';
import { ElasticsearchViewStores } from '../../src/infrastructure/elasticsearch/elasticsearch-view-store.js';
import { connectKafka, type KafkaConfig } from '../../src/infrastructure/kafka/server/kafka-client.js';
import { KafkaEventPublisher } from '../../src/infrastructure/kafka/events/kafka-event-publisher.js';
import { KafkaFeed } from '../../src/infrastructure/kafka/events/kafka-feed.js';
import { eventsTopic } from '../../src/infrastructure/kafka/server/kafka-topics.js';
import { LogFeed } from '../../src/application/log/log-feed.js';
import { MemoryCheckpointStore } from '../../src/infrastructure/memory/memory-checkpoint-store.js';
import { MemoryEventStore } from '../../src/infrastructure/memory/memory-event-store.js';
import { MemoryLogSignal } from '../../src/infrastructure/memory/memory-log-signal.js';
import { MemoryViewStore } from '../../src/infrastructure/memory/memory-view-store.js';
import { uuidIds } from '../../src/infrastructure/process/uuid-ids.js';
import { clock, quiet } from '../support/events.js';
import { forgetTopics } from '../support/infra.js';
import { readTopic } from '../support/kafka.js';
import { request } from '../support/memory-application.js';
import { Breaking, Died, flavours, type Flavour } from './breaking.js';
import { fail, random, type Random } from './support.js';
import { checkSagas, checkTopic, differenceFrom, lagOf, readLog, views, type Logs, type Published } from './truth.js';

// Relay, projectors and policies are broken at every call that they make to a port, one after the other, and started again from what is stored.

const partitions = 4;
const codec = eventCodec(upcasters);
const deadlineMs = 20_000;
/** More calls than any of these pieces of work makes. */
const endless = 100_000;

/** A part of the service at work, until `stop`; with whatever fails in it. */
type Work = (breaking: Breaking, stop: AbortSignal) => Promise<void>;

interface World {
  work: Work;
  /** What is not yet so; `undefined` at the end. */
  unfinished(): Promise<string | undefined>;
  /** Throws when a promise was broken. */
  check(): Promise<void>;
  close?(): Promise<void>;
}

/** Breaks two lives of the work at their `at`-th call, then lets it finish. @returns whether there was such a call */
async function breakAt(world: World, flavour: Flavour, at: number): Promise<boolean> {
  let broken = false;
  for (const life of [at, at, endless]) {
    const breaking = new Breaking(flavour, life);
    const stop = new AbortController();
    const end = { reached: false };
    const until = (async () => {
      const deadline = performance.now() + deadlineMs;
      for (;;) {
        if (stop.signal.aborted) return;
        const left = await world.unfinished();
        if (left === undefined) break;
        if (performance.now() > deadline) fail(`not finished after ${deadlineMs / 1_000} s: ${left}`);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      end.reached = true;
      stop.abort();
    })();
    const working = world.work(breaking, stop.signal).catch((error: unknown) => { if (!breaking.hasFailed) throw error; }).finally(() => { if (!end.reached) stop.abort(); });
    await Promise.all([working, until.catch((error: unknown) => { stop.abort(); throw error; })]);
    broken ||= breaking.hasFailed;
    if (life === endless && !end.reached) fail('it ended before its work was done');
  }
  await world.check();
  return broken;
}

/** At the first call, the second one … until a run makes no such call. */
async function atEveryCall(open: () => Promise<World>, which: readonly Flavour[], places: (at: number) => boolean = () => true, last = endless): Promise<number> {
  let breaks = 0;
  for (const flavour of which) {
    for (let at = 1; at <= last; at++) {
      if (!places(at)) continue;
      const world = await open();
      try {
        if (!await breakAt(world, flavour, at)) break;
        breaks++;
      } catch (error) {
        throw new Error(`broken when call ${at} ${flavour}`, { cause: error });
      } finally {
        await world.close?.();
      }
    }
  }
  return breaks;
}

interface Memory { signal: MemoryLogSignal; stores: { customers: MemoryEventStore<'customers'>; orders: MemoryEventStore<'orders'> }; logs: () => Promise<Logs> }

function memory(): Memory {
  const signal = new MemoryLogSignal();
  const stores = { customers: new MemoryEventStore('customers', codec, signal), orders: new MemoryEventStore('orders', codec, signal) };
  return { signal, stores, logs: async () => ({ customers: await readLog(stores.customers), orders: await readLog(stores.orders) }) };
}

function commandsOf({ stores }: { stores: { customers: EventStore<'customers'>; orders: EventStore<'orders'> } }) {
  const execute = createExecute({ stores, snapshots: {}, ids: uuidIds, logger: quiet, partitions });
  const copy: StoredDocument<{ customerId: string; name: string; status: 'active'; currency: string; nameVersion: number; statusVersion: number }> =
    { id: '', revision: 1, applied: {}, deleted: false, document: { customerId: '', name: 'Ada', status: 'active', currency: 'EUR', nameVersion: 1, statusVersion: 1 } };
  const known = { read: async (ids: readonly string[]) => new Map(ids.map((id) => [id, copy])), progress: async () => undefined };
  return { customers: createCustomerCommands(execute), orders: createOrderCommands(execute, known) };
}

/** Customers with orders, some of them cancelled before anybody could react to them. */
async function someHistory(memory: Memory, dice: Random, { customers = 4, orders = 12 } = {}): Promise<void> {
  const handle = commandsOf(memory);
  for (let n = 0; n < customers; n++) await handle.customers({ type: 'RegisterCustomer', customerId: `c-${n}`, name: 'Ada', currency: 'EUR', creditLimitMinor: n === 0 ? 150 : null }, request());
  for (let n = 0; n < orders; n++) {
    const orderId = `o-${n}`;
    const customerId = `c-${Math.floor(dice() * customers)}`;
    await handle.orders({ type: 'PlaceOrder', orderId, customerId, currency: 'EUR', lines: [{ sku: 's', name: 'A thing', quantity: 1, unitPriceMinor: 100 }] }, request());
    if (dice() < 0.4) await handle.orders({ type: 'CancelOrder', orderId, reason: 'changed my mind' }, request());
    else if (dice() < 0.5) await handle.orders({ type: 'ApproveOrder', orderId }, request());
    if (dice() < 0.3) await handle.customers({ type: 'ChangeCustomerDetails', customerId, name: `Ada ${n}` }, request());
  }
}

/** A topic that appends what it is given. */
class MemoryTopic implements EventPublisher {
  readonly messages: Published[] = [];
  publish(_context: Context, messages: readonly Message[]): Promise<void> {
    this.messages.push(...messages);
    return Promise.resolve();
  }
}

async function relayWorld(seed: number): Promise<World> {
  const dice = random(seed);
  const world = memory();
  await someHistory(world, dice);
  const topic = new MemoryTopic();
  const checkpoints = new MemoryCheckpointStore();
  const log = await readLog(world.stores.orders);
  return {
    work: (breaking, stop) => runRelay('orders', {
      store: breaking.wrap(world.stores.orders, ['head', 'readLog']), checkpoints: breaking.wrap(checkpoints, ['load', 'advance']), signal: world.signal, codec, partitions,
      // A broker takes the partitions of a request one by one.
      publisher: breaking.wrap(topic, ['publish'], {
        publish: (context: Context, messages: readonly Message[]) => topic.publish(context, messages.filter(({ partition }) => partition % 2 === 0)),
      }),
    }, stop),
    async unfinished() {
      const position = Math.max(0, ...Object.values(await checkpoints.load('relay')).map((one) => one ?? 0));
      return position < log.length ? `the checkpoint is at ${position} of ${log.length}` : undefined;
    },
    async check() { checkTopic('orders', log, topic.messages, partitions); },
  };
}

async function projectorWorld(view: View<object>, seed: number): Promise<World> {
  const dice = random(seed);
  const world = memory();
  await someHistory(world, dice);
  const store: ViewStore<object> = new MemoryViewStore(view);
  const feed = smallBatches(new LogFeed(world.stores, world.signal, partitions), 5);
  const logs = await world.logs();
  const wrong = () => differenceFrom(logs, view, store, partitions);
  return {
    work: (breaking, stop) => runProjector(view, {
      store: breaking.wrap(store, ['read', 'write', 'progress'], {
        // As a bulk does: some documents are stored, the others and the progress are not.
        write: async (documents: readonly StoredDocument<object>[]) => {
          const none: ViewProgress = { applied: {}, behindSince: null, checkedAt: '2026-01-01T00:00:00.000Z', epochs: {} };
          const before = await store.progress();
          await store.write(documents.filter(() => dice() < 0.5), before ?? none);
        },
      }),
      feed, stores: world.stores, clock, logger: quiet,
    }, stop),
    unfinished: wrong,
    async check() {
      const difference = await wrong();
      if (difference !== undefined) fail(difference);
    },
  };
}

/** Hands on what a feed brings, a few events at a time. */
function smallBatches(feed: EventFeed, size: number): EventFeed {
  return {
    shared: feed.shared,
    run: (subscription, stop) => feed.run({
      ...subscription,
      async onBatch(batch) {
        for (let from = 0; from + size < batch.events.length; from += size) {
          const events = batch.events.slice(from, from + size);
          const seen = batch.events.slice(0, from + size);
          await subscription.onBatch({ ...batch, events, progress: Object.fromEntries(seen.map(({ source, event }) => [source, event.position] as const)) });
        }
        await subscription.onBatch({ ...batch, events: batch.events.slice(Math.floor(Math.max(0, batch.events.length - 1) / size) * size) });
      },
    }, stop),
  };
}

async function policiesWorld(seed: number, batch: number): Promise<World> {
  const world = memory();
  await someHistory(world, random(seed), { customers: 2, orders: 6 });
  const checkpoints = { customers: new MemoryCheckpointStore(), orders: new MemoryCheckpointStore() };
  const feed = smallBatches(new LogFeed(world.stores, world.signal, partitions), batch);
  return {
    async work(breaking, stop) {
      const stores = {
        customers: breaking.wrap<EventStore<'customers'>>(world.stores.customers, ['append', 'readStream']),
        orders: breaking.wrap<EventStore<'orders'>>(world.stores.orders, ['append', 'readStream']),
      };
      const handle = commandsOf({ stores });
      const ended = new AbortController();
      const either = AbortSignal.any([stop, ended.signal]);
      // What fails is started again at once, as long as its process lives.
      const supervised = async (run: () => Promise<void>) => {
        while (!either.aborted) await run().catch((error: unknown) => { if (error instanceof Died) { ended.abort(); throw error; } });
      };
      await Promise.all([
        supervised(() => runPolicy(holdOrReleaseCredit, { feed, checkpoints: breaking.wrap(checkpoints.customers, ['load', 'save']), handle: handle.customers, logger: quiet }, either)),
        supervised(() => runPolicy(decideOrder, { feed, checkpoints: breaking.wrap(checkpoints.orders, ['load', 'save']), handle: handle.orders, logger: quiet }, either)),
      ]);
    },
    async unfinished() {
      const heads = { customers: (await world.stores.customers.head()).position, orders: (await world.stores.orders.head()).position };
      const least = async (own: MemoryCheckpointStore, name: string) => {
        const reached = Object.values(await own.load(name));
        return reached.length < partitions ? 0 : Math.min(...reached.map((position) => position ?? 0));
      };
      const held = await least(checkpoints.customers, holdOrReleaseCredit.name);
      const decided = await least(checkpoints.orders, decideOrder.name);
      return held < heads.orders || decided < heads.customers ? `the policies are at ${held} of ${heads.orders} and ${decided} of ${heads.customers}` : undefined;
    },
    async check() { checkSagas(await world.logs()); },
  };
}

interface Servers { kafka: KafkaConfig; elasticsearch: ElasticsearchConfig }

async function realRelayWorld(config: KafkaConfig, kafka: Kafka, seed: number): Promise<World> {
  const topicPrefix = `${config.topicPrefix}${uuidIds.next()}.`;
  const world = memory();
  await someHistory(world, random(seed));
  const log = await readLog(world.stores.orders);
  const checkpoints = new MemoryCheckpointStore();
  return {
    async work(breaking, stop) {
      const publisher = new KafkaEventPublisher(kafka, { topicPrefix, partitions });
      try {
        await runRelay('orders', {
          store: breaking.wrap(world.stores.orders, ['head', 'readLog']), checkpoints: breaking.wrap(checkpoints, ['load', 'advance']), signal: world.signal, codec, partitions,
          publisher: breaking.wrap<EventPublisher>(publisher, ['publish']),
        }, stop);
      } finally {
        await publisher.close();
      }
    },
    async unfinished() {
      const position = Math.max(0, ...Object.values(await checkpoints.load('relay')).map((one) => one ?? 0));
      return position < log.length ? `the checkpoint is at ${position} of ${log.length}` : undefined;
    },
    async check() { checkTopic('orders', log, await readTopic(kafka, eventsTopic(topicPrefix, 'orders')), partitions); },
    close: () => forgetTopics(kafka, topicPrefix),
  };
}

/** Breaks the requests to Elasticsearch: what a store does between two of them is no call to a port. `feedOf`: where the events come from. */
async function searchWorld(config: ElasticsearchConfig, view: View<object>, world: Memory, feed: EventFeed): Promise<World> {
  const indexPrefix = `${config.indexPrefix}-${uuidIds.next()}`;
  const admin = await connectElasticsearch(config);
  const logs = await world.logs();
  const open = (client: Client) => new ElasticsearchViewStores(client, { indexPrefix, refreshEveryMs: 0 }).open(view);
  const seen = await open(admin);
  return {
    async work(breaking, stop) {
      const client = await connectElasticsearch(config, { Transport: breakingTransport(breaking) });
      try {
        await runProjector(view, { store: await open(client), feed, stores: world.stores, clock, logger: quiet }, stop);
      } finally {
        await client.close();
      }
    },
    unfinished: () => lagOf(logs, view, seen, partitions),
    // What the progress says has been applied can be found, at once.
    async check() {
      const difference = await differenceFrom(logs, view, seen, partitions);
      if (difference !== undefined) fail(difference);
    },
    async close() {
      await admin.indices.delete({ index: Object.keys(await admin.indices.get({ index: `${indexPrefix}-*` })) });
      await admin.close();
    },
  };
}

function breakingTransport(breaking: Breaking): typeof Transport {
  return class extends Transport {
    // oxlint-disable-next-line typescript/no-explicit-any
    override request(...args: Parameters<Transport['request']>): Promise<any> {
      return breaking.call(() => super.request(...args));
    }
  };
}

/** Every call, in memory. @returns what was seen; throws when a promise was broken */
export async function crashPoints({ seed = 1, flavours: which = flavours }: { seed?: number; flavours?: readonly Flavour[] } = {}): Promise<string> {
  const relay = await atEveryCall(() => relayWorld(seed), which);
  let projectors = 0;
  for (const view of views) projectors += await atEveryCall(() => projectorWorld(view, seed), which);
  let policies = 0;
  for (const batch of [1, 3, endless]) policies += await atEveryCall(() => policiesWorld(seed, batch), which);
  return `broken at every call and started again: the relay ${relay} times, ${views.length} projectors ${projectors} times, the policies ${policies} times; `
    + 'the topic holds the log in its order, the views are the fold, and every command was applied once';
}

/** The same on real servers, with the calls that matter most. `quick`: only with those that something was lost at before. */
export async function realCrashPoints({ kafka: kafkaConfig, elasticsearch }: Servers, { seed = 1, quick = false } = {}): Promise<string> {
  const kafka = connectKafka(kafkaConfig);
  const relay = await atEveryCall(() => realRelayWorld(kafkaConfig, kafka, seed), quick ? ['fails after'] : ['dies before', 'dies after', 'fails after'], (at) => at >= 3, quick ? 4 : 5);
  const world = memory();
  await someHistory(world, random(seed));
  const view = views.find(({ name }) => name === 'customer-history');
  if (view === undefined) throw new Error('there is no such view');
  const direct = smallBatches(new LogFeed(world.stores, world.signal, partitions), 10);
  const requests = await atEveryCall(() => searchWorld(elasticsearch, view, world, direct),
    quick ? ['dies before'] : ['dies before', 'dies after', 'fails before', 'fails after'], (at) => !quick || at >= 14, quick ? 16 : endless);

  const topicPrefix = `${kafkaConfig.topicPrefix}${uuidIds.next()}.`;
  const publisher = new KafkaEventPublisher(kafka, { topicPrefix, partitions });
  try {
    for (const context of contexts) {
      const stop = new AbortController();
      const last = (await world.stores[context].head()).position;
      await runRelay(context, { store: world.stores[context], checkpoints: new MemoryCheckpointStore(), signal: world.signal, publisher, codec, partitions }, stop.signal,
        ({ position }) => { if (position === last) stop.abort(); });
    }
    const feed = new KafkaFeed({ kafka, codec, stores: {}, logger: quiet, topicPrefix, partitions });
    const both = await atEveryCall(() => searchWorld(elasticsearch, view, world, feed), ['dies after'], (at) => at >= 5, quick ? 5 : 6);
    return `on real servers: the relay broken ${relay} times, a projector at ${requests} requests to Elasticsearch, and at ${both} of them behind Kafka`;
  } finally {
    await publisher.close();
    await forgetTopics(kafka, topicPrefix);
  }
}
