import { expect } from 'chai';
import type { Admin, Kafka } from 'kafkajs';
import { eventCodec, upcasters } from '../../../src/application/log/codec.js';
import { chained, encodeMessage } from '../../../src/application/log/message.js';
import { furthest, partitionOf } from '../../../src/application/log/partition.js';
import type { Progress } from '../../../src/application/ports/event-feed.js';
import type { RecordedEvent } from '../../../src/application/ports/event-store.js';
import { orders } from '../../../src/application/views/index.js';
import { runProjector } from '../../../src/application/views/projector.js';
import { runRelay } from '../../../src/application/log/relay.js';
import { pause } from '../../../src/application/concurrency/pause.js';
import { connectKafka } from '../../../src/infrastructure/kafka/server/kafka-client.js';
import { KafkaEventPublisher } from '../../../src/infrastructure/kafka/events/kafka-event-publisher.js';
import { KafkaFeed } from '../../../src/infrastructure/kafka/events/kafka-feed.js';
import { ensureTopic, eventsTopic } from '../../../src/infrastructure/kafka/server/kafka-topics.js';
import { MemoryCheckpointStore } from '../../../src/infrastructure/memory/memory-checkpoint-store.js';
import { MemoryEventStore } from '../../../src/infrastructure/memory/memory-event-store.js';
import { MemoryLogSignal } from '../../../src/infrastructure/memory/memory-log-signal.js';
import { MemoryViewStore } from '../../../src/infrastructure/memory/memory-view-store.js';
import { uuidIds } from '../../../src/infrastructure/process/uuid-ids.js';
import { within } from '../../../src/application/concurrency/within.js';
import { checkTopic } from '../../support/chain.js';
import { clock, newEvent, quiet } from '../../support/events.js';
import { forgetTopics, kafkaConfig, kafkaSettings, notRun, runPrefix } from '../../support/infra.js';
import { readTopic } from '../../support/kafka.js';
import { eventually } from '../../support/service.js';

const codec = eventCodec(upcasters);
const partitions = 3;
const patienceMs = 45_000;
const cleanUpMs = 15_000;

if (kafkaSettings === undefined) notRun('topics of Kafka that lose what they had');
else withKafka();

function withKafka(): void {
  describe('topics of Kafka that lose what they had', function () {
    this.timeout(120_000);
    const kafka: Kafka = connectKafka(kafkaConfig());
    const signal = new MemoryLogSignal();
    let trials = 0;
    let topicPrefix: string;
    let topic: string;
    let store: MemoryEventStore<'orders'>;
    let publisher: KafkaEventPublisher;
    let stop: AbortController;
    let running: Promise<unknown>[];
    let admin: Admin;
    beforeEach(async () => {
      topicPrefix = `${runPrefix}-lost-topic-${++trials}.`;
      topic = eventsTopic(topicPrefix, 'orders');
      store = new MemoryEventStore('orders', codec, signal);
      publisher = new KafkaEventPublisher(kafka, { topicPrefix, partitions });
      stop = new AbortController();
      running = [];
      admin = kafka.admin();
      await admin.connect();
    });
    // Whatever hangs here is not waited for: a test that failed must not stop those after it.
    afterEach(async () => {
      stop.abort();
      const late = () => new Error('the trial has not ended in time');
      await within(cleanUpMs, late, Promise.allSettled(running)).catch(() => undefined);
      await within(cleanUpMs, late, publisher.close()).catch(() => undefined);
      await within(cleanUpMs, late, forgetTopics(kafka, topicPrefix)).catch(() => undefined);
      await within(cleanUpMs, late, admin.disconnect()).catch(() => undefined);
    });

    const append = async (count: number, name = 'Ada') => {
      const { position } = await store.head();
      for (let n = position + 1; n <= position + count; n++) {
        await store.append({
          stream: `order-${n}`, expectedVersion: 0,
          events: [newEvent({
            type: 'OrderPlaced', orderId: `o-${n}`, customerId: `c-${n % 20}`, customerName: `${name} ${n}`, currency: 'EUR', lines: [], shippingMinor: 0, subtotalMinor: 0, totalMinor: 0,
            at: '2026-01-01T00:00:00.000Z',
          })],
        });
      }
    };
    const names = (events: readonly RecordedEvent[]) => events.map(({ data }) => ('customerName' in data ? data.customerName : '')).sort().join();
    const log = async () => (await store.readLog({ after: 0, limit: Infinity })).events;
    /** Again and again, as a supervisor does. */
    const keep = (work: () => Promise<void>) => {
      running.push((async () => {
        while (!stop.signal.aborted) {
          await work().catch(() => undefined);
          await pause(100, stop.signal);
        }
      })());
    };
    const relay = () => {
      const checkpoints = new MemoryCheckpointStore();
      keep(() => runRelay('orders', { store, checkpoints, signal, publisher, topic: publisher, codec, partitions, checkEveryMs: 500 }, stop.signal));
    };
    const ends = async () => (await admin.fetchTopicOffsets(topic).catch(() => [])).reduce((total, { high }) => total + Number(high), 0);
    const deleteTopic = async () => {
      await admin.deleteTopics({ topics: [topic] });
      await eventually('the topic is gone', async () => !(await admin.listTopics()).includes(topic), patienceMs, 100);
    };
    /** A view without the log: it has only what the topic brings. */
    const follow = (group: string) => {
      const feed = new KafkaFeed({ kafka, codec, stores: {}, logger: quiet, topicPrefix, partitions });
      const view = { applied: {} as Progress, positions: [] as number[] };
      keep(() => feed.run({
        group, contexts: ['orders'], reached: () => Promise.resolve(view.applied),
        onBatch: (batch) => {
          view.positions.push(...batch.events.map(({ event }) => event.position));
          view.applied = furthest(view.applied, batch.progress);
          return Promise.resolve();
        },
      }, stop.signal));
      return view;
    };

    it('are filled again from the log while the relay runs, and their readers go on', async () => {
      await append(60);
      relay();
      const reader = follow('reader');
      await eventually('the reader has everything', async () => reader.positions.length === 60, patienceMs);
      await deleteTopic();
      await eventually('everything is published again, with no new event', async () => await ends() >= 60, patienceMs, 100);
      const later = follow('later');
      await eventually('a new reader has everything', async () => later.positions.length === 60, patienceMs);
      await append(10);
      await eventually('both have what comes later', async () => reader.positions.length === 70 && later.positions.length === 70, patienceMs);
      checkTopic(await readTopic(kafka, topic), await log(), partitions);
    });

    for (const at of ['is', 'is not']) {
      it(`are led on under a new epoch by a log that was restored from a backup, and the views are folded from it (the log ${at} at hand)`, async () => {
        await append(40);
        const backup = await log();
        await append(20, 'lost');
        relay();
        const view = new MemoryViewStore(orders);
        const stores = () => (at === 'is' ? { orders: store } : {});
        /** In a process of its own. */
        const project = () => {
          const feed = new KafkaFeed({ kafka, codec, stores: stores(), logger: quiet, topicPrefix, partitions });
          keep(() => runProjector(orders, { store: view, feed, stores: stores(), clock, logger: quiet }, stop.signal));
        };
        const shown = async () => (await view.find({ where: [], sort: { field: 'placedAt', descending: false }, limit: 200 })).items.map(({ document }) => document.customerName).sort().join();
        project();
        await eventually('the view has everything', async () => await shown() === names(await log()), patienceMs);
        stop.abort();
        await Promise.all(running.splice(0));
        stop = new AbortController();
        const restored = new MemoryEventStore('orders', codec, signal, uuidIds.next());
        for (const { stream, data, metadata } of backup) await restored.append({ stream, expectedVersion: 0, events: [{ data, metadata }] });
        store = restored;
        await append(10, 'new');
        relay();
        project();
        await eventually('the view is that of the restored log', async () => await shown() === names(await log()), patienceMs);
        await append(5, 'newer');
        await eventually('and goes on with it', async () => await shown() === names(await log()), patienceMs);
      });
    }

    it('are filled again where they went on behind the loss, which the broker\'s offsets tell', async () => {
      await append(60);
      const checkpoints = new MemoryCheckpointStore();
      const relayed = async () => {
        const until = new AbortController();
        const { position } = await store.head();
        await runRelay('orders', { store, checkpoints, signal, publisher, topic: publisher, codec, partitions }, until.signal, (state) => { if (state.position === position) until.abort(); });
      };
      await relayed();
      await deleteTopic();
      await ensureTopic(kafka, topic, partitions);
      // A third of it is there again, and the relay, which has noticed nothing, goes on with what is new.
      const { epoch } = await store.head();
      await append(20);
      const messages = chained(await log(), partitions, new Map())
        .map(({ prev, event }) => encodeMessage(event, { prev, partition: partitionOf(event.data.customerId, partitions), epoch }, codec));
      const other = new KafkaEventPublisher(kafka, { topicPrefix, partitions });
      try {
        await other.publish('orders', messages.slice(0, 20));
      } finally {
        await within(cleanUpMs, () => new Error('late'), other.close()).catch(() => undefined);
      }
      const error = await publisher.publish('orders', messages.slice(60)).catch((reason: unknown) => reason);
      expect(error).to.be.an('error').with.property('message').that.matches(/has lost messages: partition \d goes on at offset \d+ instead of \d+/);
      await relayed();
      const positions = new Set((await readTopic(kafka, topic)).map(({ value }) => (JSON.parse(value) as { position: number }).position));
      expect(positions.size).to.equal(80);
      expect(await publisher.unchanged('orders')).to.equal(true);
    });
  });
}
