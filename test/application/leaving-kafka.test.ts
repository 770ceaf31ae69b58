import { expect } from 'chai';
import type { Kafka } from 'kafkajs';
import sinon, { type SinonFakeTimers } from 'sinon';
import { eventCodec, upcasters } from '../../src/application/log/codec.js';
import { contentType } from '../../src/application/log/message.js';
import { KafkaEventPublisher } from '../../src/infrastructure/kafka/events/kafka-event-publisher.js';
import { KafkaFeed } from '../../src/infrastructure/kafka/events/kafka-feed.js';
import { ensureTopic, retention } from '../../src/infrastructure/kafka/server/kafka-topics.js';
import { OperationWriter } from '../../src/infrastructure/kafka/commands/operation-writer.js';
import { partitions, quiet } from '../support/events.js';

const never = () => new Promise<never>(() => undefined);
const once = () => Promise.resolve();
const limitMs = 10_000;

/** It does what it is asked to, until it is to end: that it never does. `silent`: it answers nothing at all. */
function hangingKafka({ silent = false } = {}): { kafka: Kafka; begun: () => number } {
  let begun = 0;
  const connection = {
    connect: silent ? never : once, disconnect: never, events: {}, on: () => undefined, subscribe: once,
    run: () => { begun++; return once(); },
    send: () => { begun++; return Promise.resolve([{ partition: 0, baseOffset: '0' }]); },
    fetchTopicMetadata: ({ topics }: { topics: string[] }) => Promise.resolve({ topics: topics.map((name) => ({ name, partitions: Array.from({ length: partitions }) })) }),
    describeConfigs: () => Promise.resolve({ resources: [{ configEntries: Object.entries(retention).map(([configName, configValue]) => ({ configName, configValue })) }] }),
  };
  return { kafka: { admin: () => connection, producer: () => connection, consumer: () => connection } as unknown as Kafka, begun: () => begun };
}

describe('connections to Kafka that never end', () => {
  let time: SinonFakeTimers;
  beforeEach(() => { time = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] }); });
  afterEach(() => { time.restore(); });

  /** Lets time go on, to the limit and no further. */
  async function inTime(work: Promise<unknown>): Promise<void> {
    const seen: string[] = [];
    void work.then(() => { seen.push('ended'); });
    for (let at = 0; at < limitMs && seen.length === 0; at += 250) await time.tickAsync(250);
    expect(seen).to.deep.equal(['ended']);
  }
  const publish = (kafka: Kafka) => {
    const publisher = new KafkaEventPublisher(kafka, { topicPrefix: '', partitions });
    const published = publisher.publish('orders', [{ partition: 0, key: 'c', value: '{"position":1,"id":"e","epoch":"x"}', timestamp: 0, headers: { 'content-type': contentType } }]);
    published.catch(() => undefined);
    return { publisher, published };
  };
  function feed(kafka: Kafka) {
    const stop = new AbortController();
    const running = new KafkaFeed({ kafka, codec: eventCodec(upcasters), stores: {}, logger: quiet, topicPrefix: '', partitions })
      .run({ group: 'view', contexts: ['orders'], reached: () => Promise.resolve({}), onBatch: once }, stop.signal);
    return { stop, running };
  }

  it('do not keep a topic from being looked at', async () => {
    await inTime(ensureTopic(hangingKafka().kafka, 'orders.events', partitions));
  });

  it('do not keep the publisher open', async () => {
    const { publisher, published } = publish(hangingKafka().kafka);
    await inTime(published);
    await inTime(publisher.close());
  });

  it('do not keep the publisher open while they begin', async () => {
    const { publisher } = publish(hangingKafka({ silent: true }).kafka);
    await time.tickAsync(100);
    await inTime(publisher.close());
  });

  it('do not keep a feed running', async () => {
    const { kafka, begun } = hangingKafka();
    const { stop, running } = feed(kafka);
    for (let ms = 0; ms < limitMs && begun() === 0; ms += 250) await time.tickAsync(250);
    expect(begun()).to.equal(1);
    stop.abort();
    await inTime(running);
  });

  it('do not keep a feed running while they begin', async () => {
    const { stop, running } = feed(hangingKafka({ silent: true }).kafka);
    await time.tickAsync(100);
    stop.abort();
    await inTime(running);
  });

  it('do not keep the command queue open', async () => {
    const { kafka, begun } = hangingKafka();
    const stop = new AbortController();
    const writer = new OperationWriter({ kafka, topic: 't', logger: quiet, prepare: once, written: () => undefined, read: () => 0n }, stop.signal);
    writer.write({ text: 'one', sent: false });
    for (let n = 0; n < 100 && begun() === 0; n++) {
      await new Promise((resolve) => setImmediate(resolve));
      await time.tickAsync(1);
    }
    expect(begun()).to.equal(1);
    stop.abort();
    await inTime(writer.close());
  });
});
