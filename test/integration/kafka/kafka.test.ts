import { expect } from 'chai';
import { Kafka as KafkaBinding, type KafkaMessage } from 'cloudevents';
import type { Admin, Kafka } from 'kafkajs';
import { eventCodec, upcasters } from '../../../src/application/log/codec.js';
import { chained, encodeMessage } from '../../../src/application/log/message.js';
import type { Message } from '../../../src/application/ports/event-publisher.js';
import { furthest, partitionOf, sourceOf } from '../../../src/application/log/partition.js';
import type { EventFeed, FeedBatch, Progress, Source } from '../../../src/application/ports/event-feed.js';
import type { RecordedEvent } from '../../../src/application/ports/event-store.js';
import { connectKafka, loadKafkajs } from '../../../src/infrastructure/kafka/server/kafka-client.js';
import { KafkaEventPublisher } from '../../../src/infrastructure/kafka/events/kafka-event-publisher.js';
import { KafkaFeed } from '../../../src/infrastructure/kafka/events/kafka-feed.js';
import { ensureTopic, eventsTopic, topicState } from '../../../src/infrastructure/kafka/server/kafka-topics.js';
import { MemoryEventStore } from '../../../src/infrastructure/memory/memory-event-store.js';
import { MemoryLogSignal } from '../../../src/infrastructure/memory/memory-log-signal.js';
import { OperatorError } from '../../../src/infrastructure/process/operator-error.js';
import { lostAnswers, TrustingPublisher } from '../../faults/lost-answers.js';
import { checkTopic } from '../../support/chain.js';
import { newEvent, partitions, quiet } from '../../support/events.js';
import { forgetTopics, kafkaConfig, notRun, plainBroker, runPrefix } from '../../support/infra.js';
import { proxiedKafka, readTopic } from '../../support/kafka.js';

const codec = eventCodec(upcasters);
const at = '2026-01-01T00:00:00.000Z';
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

if (plainBroker === undefined) notRun('Kafka');
else withKafka(plainBroker);

/** A log of orders in memory, and the topic that a test fills from it. */
class Trial {
  readonly store = new MemoryEventStore('orders', codec, new MemoryLogSignal());
  readonly topic: string;
  private readonly publisher: KafkaEventPublisher;
  private appended = 0;

  constructor(readonly kafka: Kafka, readonly topicPrefix: string) {
    this.topic = eventsTopic(topicPrefix, 'orders');
    this.publisher = new KafkaEventPublisher(kafka, { topicPrefix, partitions });
  }

  /** @returns the messages of these new events */
  async append(count: number): Promise<Message[]> {
    for (let n = 0; n < count; n++) {
      const id = ++this.appended;
      await this.store.append({ stream: `order-${id}`, expectedVersion: 0, events: [newEvent({ type: 'OrderApproved', orderId: `o-${id}`, customerId: `c-${id % 50}`, at })] });
    }
    return (await this.messages()).slice(-count);
  }

  async log(): Promise<RecordedEvent[]> {
    return (await this.store.readLog({ after: 0, limit: Infinity })).events;
  }

  async messages(): Promise<Message[]> {
    const { epoch } = await this.store.head();
    return chained(await this.log(), partitions, new Map()).map(({ prev, event }) => encodeMessage(event, { prev, partition: partitionOf(event.data.customerId, partitions), epoch }, codec));
  }

  async publish(messages: readonly Message[]): Promise<void> {
    await this.publisher.publish('orders', messages);
  }

  feed({ log = false, logger = quiet }: { log?: boolean; logger?: typeof quiet } = {}): EventFeed {
    return new KafkaFeed({ kafka: this.kafka, codec, stores: log ? { orders: this.store } : {}, logger, topicPrefix: this.topicPrefix, partitions });
  }

  async end(): Promise<void> {
    await this.publisher.close();
    await forgetTopics(this.kafka, this.topicPrefix);
  }
}

/** A subscriber that remembers what it was given, as a view does. */
class Follower {
  readonly batches: FeedBatch[] = [];
  applied: Progress = {};
  readonly ended: Promise<unknown>;
  private readonly stopped = new AbortController();

  constructor(feed: EventFeed, { group = 'view', start = {}, onBatch = async () => undefined }: { group?: string; start?: Progress; onBatch?: (batch: FeedBatch) => Promise<void> } = {}) {
    this.applied = start;
    this.ended = feed.run({
      group, contexts: ['orders'], reached: async () => this.applied,
      onBatch: async (batch) => {
        await onBatch(batch);
        this.batches.push(batch);
        this.applied = furthest(this.applied, batch.progress);
      },
    }, this.stopped.signal).then(() => undefined, (error: unknown) => error);
  }

  get positions(): number[] {
    return this.batches.flatMap(({ events }) => events.map(({ event }) => event.position));
  }

  async until(enough: () => boolean | Promise<boolean>): Promise<this> {
    let ended: { error: unknown } | undefined;
    const whether = () => ended;
    void this.ended.then((error) => { ended = { error }; });
    while (!await enough()) {
      const over = whether();
      if (over !== undefined) throw over.error as Error | undefined ?? new Error('it was stopped');
      await pause(10);
    }
    return this;
  }

  async stop(): Promise<void> {
    this.stopped.abort();
    const error = await this.ended;
    if (error !== undefined) throw error as Error;
  }
}

const ascending = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b);
const oneTo = (count: number) => Array.from({ length: count }, (_, n) => n + 1);
function expectOrder(batches: readonly FeedBatch[]): void {
  const last = new Map<Source, number>();
  for (const { source, event } of batches.flatMap(({ events }) => events)) {
    expect(source).to.equal(sourceOf(event, partitions));
    expect(event.position).to.be.greaterThan(last.get(source) ?? 0);
    last.set(source, event.position);
  }
}
function listening() {
  const said: { level: string; facts: Record<string, unknown>; text: string }[] = [];
  const say = (level: string) => (facts: unknown, text?: string) => { said.push({ level, facts: facts as Record<string, unknown>, text: text ?? '' }); };
  return { said, logger: { info: () => undefined, warn: say('warn'), error: say('error') } as unknown as typeof quiet };
}

function withKafka(plain: string): void {
  const kafka = connectKafka(kafkaConfig());
  let trials = 0;
  const newTrial = () => new Trial(kafka, `${runPrefix}-kafka-${++trials}.`);

  describe('topics of Kafka', function () {
    this.timeout(30_000);
    let admin: Admin;
    let topic: string;
    const prefix = `${runPrefix}-topics-`;
    let topics = 0;
    before(async () => {
      admin = kafka.admin();
      await admin.connect();
    });
    after(async () => {
      await admin.disconnect();
      await forgetTopics(kafka, prefix);
    });
    beforeEach(() => { topic = `${prefix}${++topics}.orders.events`; });

    const refusal = async (count: number) => {
      const error = await ensureTopic(kafka, topic, count).catch((reason: unknown) => reason);
      expect(error).to.be.instanceOf(OperatorError);
      return (error as OperatorError).message;
    };

    it('are made with the number of partitions that was asked for, and keep everything for ever', async () => {
      await ensureTopic(kafka, topic, 7);
      const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: loadKafkajs().ConfigResourceTypes.TOPIC, name: topic, configNames: ['retention.ms', 'retention.bytes', 'cleanup.policy'] }] });
      expect(Object.fromEntries(resources[0]!.configEntries.map(({ configName, configValue }) => [configName, configValue])))
        .to.deep.equal({ 'retention.ms': '-1', 'retention.bytes': '-1', 'cleanup.policy': 'delete' });
      expect(await topicState(admin, topic)).to.deep.equal({ topic, partitions: 7, drift: [] });
    });

    it('may be made by several processes in the same moment', async () => {
      await Promise.all(Array.from({ length: 5 }, () => ensureTopic(kafka, topic, 3)));
      expect(await topicState(admin, topic)).to.include({ partitions: 3 });
    });

    it('with another number of partitions are refused, and the setting to change is named', async () => {
      await ensureTopic(kafka, topic, 3);
      expect(await refusal(12)).to.match(new RegExp(`${topic} has 3 partitions, and KAFKA_PARTITIONS is 12.*Set KAFKA_PARTITIONS=3`));
    });

    for (const [name, value] of [['retention.ms', '604800000'], ['retention.bytes', '1000000'], ['cleanup.policy', 'compact']] as const) {
      it(`that would forget events by ${name} are refused`, async () => {
        await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: 3, configEntries: [{ name: 'retention.ms', value: '-1' }, { name, value }] }] });
        expect(await refusal(3)).to.contain(topic).and.contain(`${name}=${value}`);
      });
    }
  });

  describe('the publisher to Kafka', function () {
    this.timeout(60_000);
    let trial: Trial;
    beforeEach(() => { trial = newTrial(); });
    afterEach(() => trial.end());

    it('puts each message into its partition, in order, with its key', async () => {
      const messages = await trial.append(2_500);
      await trial.publish(messages);
      const published = await readTopic(kafka, trial.topic);
      // A partition that was made this moment may refuse its part at first: then all of it is sent again.
      checkTopic(published, await trial.log(), partitions);
      expect(new Map(published.map(({ value, key }) => [value, key]))).to.deep.equal(new Map(messages.map(({ value, key }) => [value, key])));
    });

    it('writes what the SDK of CloudEvents reads', async () => {
      const messages = await trial.append(30);
      await trial.publish(messages);
      const read = (await readTopic(kafka, trial.topic)).map((message) => KafkaBinding.toEvent(message as unknown as KafkaMessage) as { id: string; data: unknown });
      const sent = messages.map(({ value }) => JSON.parse(value) as { id: string; data: unknown });
      expect(new Map(read.map(({ id, data }) => [id, data]))).to.deep.equal(new Map(sent.map(({ id, data }) => [id, data])));
    });

    it('takes many large events of one customer at once', async () => {
      for (let n = 1; n <= 1_200; n++) {
        await trial.store.append({ stream: `order-${n}`, expectedVersion: 0, events: [newEvent({ type: 'OrderCancelled', orderId: `o-${n}`, customerId: 'c-1', reason: 'ß'.repeat(1_000), totalMinor: 1, at })] });
      }
      await trial.publish(await trial.messages());
      checkTopic(await readTopic(kafka, trial.topic), await trial.log(), partitions);
    });

    it('rejects while the broker is away, and goes on with another producer', async () => {
      const { kafka: through, proxy } = await proxiedKafka(plain);
      const publisher = new KafkaEventPublisher(through, { topicPrefix: trial.topicPrefix, partitions });
      try {
        const messages = await trial.append(30);
        await publisher.publish('orders', messages.slice(0, 10));
        proxy.cut();
        expect(await publisher.publish('orders', messages.slice(10)).catch((reason: unknown) => reason)).to.be.an('error');
        proxy.restore();
        await publisher.publish('orders', messages.slice(10));
        checkTopic(await readTopic(kafka, trial.topic), await trial.log(), partitions);
      } finally {
        await publisher.close();
        await proxy.close();
      }
    });

    it('loses no event when answers of the broker are lost', async () => {
      expect(await lostAnswers(plain, { times: 16, topicPrefix: `${runPrefix}-lost.` })).to.match(/^16 answers of Kafka lost, .* none lost, [1-9]\d* repeated, in order/);
    });

    it('is tried by something that catches a publisher which trusts the idempotent producer', async () => {
      const error = await lostAnswers(plain, { times: 16, topicPrefix: `${runPrefix}-mutant.`, publisher: (...args) => new TrustingPublisher(...args) }).catch((reason: unknown) => reason);
      expect(error).to.be.an('error').with.property('message').that.matches(/^lost: \d+ of \d+ events/);
    });
  });

  describe('the feed from Kafka', function () {
    this.timeout(60_000);
    let trial: Trial;
    let followers: Follower[];
    beforeEach(() => {
      trial = newTrial();
      followers = [];
    });
    afterEach(async () => {
      await Promise.allSettled(followers.map((one) => one.stop()));
      await trial.end();
    });
    const follow = (...args: ConstructorParameters<typeof Follower>) => {
      const follower = new Follower(...args);
      followers.push(follower);
      return follower;
    };
    /** Until the group has noted that it has read the topic, up to the message that it reads again. */
    async function committed(group: string): Promise<void> {
      const admin = kafka.admin();
      await admin.connect();
      try {
        for (;;) {
          await trial.publish(await trial.append(50));
          const [offsets] = await admin.fetchOffsets({ groupId: `${trial.topicPrefix}${group}`, topics: [trial.topic] });
          if (offsets!.partitions.filter(({ offset }) => Number(offset) >= 0).length === busy(await trial.log()).length) return;
          await pause(300);
        }
      } finally {
        await admin.disconnect();
      }
    }
    /** Until the group has noted something that was published after these. @returns what it has noted of one partition */
    async function notedBehind(group: string, messages: readonly Message[], partition: number): Promise<number> {
      const admin = kafka.admin();
      await admin.connect();
      try {
        for (;;) {
          await trial.publish(await trial.append(50));
          const [offsets] = await admin.fetchOffsets({ groupId: `${trial.topicPrefix}${group}`, topics: [trial.topic] });
          const noted = new Map(offsets!.partitions.map((one) => [one.partition, Number(one.offset)]));
          const published = (of: number) => messages.filter((one) => one.partition === of).length;
          if ([...noted].some(([of, offset]) => of !== partition && published(of) > 0 && offset > published(of))) return noted.get(partition) ?? 0;
          await pause(300);
        }
      } finally {
        await admin.disconnect();
      }
    }
    const busy = (log: readonly RecordedEvent[]) => [...new Set(log.map((event) => sourceOf(event, partitions)))];

    it('fills what the topic lacks from the log, and says so', async () => {
      const messages = await trial.append(400);
      await trial.publish(messages.filter((_, index) => index % 7 !== 3 && (index < 100 || index > 160)));
      const { said, logger } = listening();
      const follower = follow(trial.feed({ log: true, logger }));
      const last = new Map(messages.map(({ partition }, index) => [partition, index]));
      // Behind a partition's last message nobody can know that one is missing.
      const known = messages.flatMap(({ partition }, index) => {
        const end = messages.findLastIndex((one, n) => one.partition === partition && n % 7 !== 3);
        return index <= end ? [index + 1] : [];
      });
      expect(last.size).to.be.greaterThan(3);
      await follower.until(() => follower.positions.length >= known.length);
      await follower.stop();
      expect(ascending(follower.positions)).to.deep.equal(known);
      expectOrder(follower.batches);
      expect(said.map(({ level }) => level)).to.include('warn').and.not.include('error');
      expect(said[0]?.text).to.match(/missing in the topic: they are read from the log/);
      expect(said[0]?.facts).to.include.keys('group', 'source', 'after', 'upTo');
    });

    it('fills a hole that is longer than a batch in pieces', async () => {
      const messages = await trial.append(14_000);
      await trial.publish(messages.slice(-600));
      const follower = follow(trial.feed({ log: true }));
      await follower.until(() => follower.positions.length >= 14_000);
      await follower.stop();
      expect(ascending(follower.positions)).to.deep.equal(oneTo(14_000));
      expectOrder(follower.batches);
    });

    it('stops a partition whose missing events are not in the log either', async () => {
      const emptied = new MemoryEventStore('orders', codec, new MemoryLogSignal(), (await trial.store.head()).epoch);
      const messages = await trial.append(100);
      const gone = messages[60]!;
      await trial.publish(messages.filter((one) => one !== gone));
      const { said, logger } = listening();
      const empty = new KafkaFeed({ kafka, codec, stores: { orders: emptied }, logger, topicPrefix: trial.topicPrefix, partitions });
      const expected = messages.flatMap(({ partition }, index) => partition !== gone.partition || index < 60 ? [index + 1] : []);
      const follower = follow(empty);
      await follower.until(() => follower.positions.length >= expected.length && said.some(({ level }) => level === 'error'));
      await follower.stop();
      expect(ascending(follower.positions)).to.deep.equal(expected);
      expect(said.find(({ level }) => level === 'error')?.text).to.match(/not|in the log: this partition stops/);
    });

    for (const log of [true, false]) {
      it(`gives a view that was emptied everything again, although its group had read it all and nothing new comes (the log ${log ? 'is' : 'is not'} at hand)`, async () => {
        const first = follow(trial.feed({ log }));
        await committed('view');
        await first.until(async () => first.positions.length >= (await trial.log()).length);
        await first.stop();
        const count = (await trial.log()).length;
        const second = follow(trial.feed({ log }));
        await second.until(() => second.positions.length >= count);
        expect(ascending(second.positions)).to.deep.equal(oneTo(count));
        expectOrder(second.batches);
        await second.stop();
      });

      it(`gives a view that was put back to an older state what it lacks, although nothing new comes (the log ${log ? 'is' : 'is not'} at hand)`, async () => {
        const first = follow(trial.feed({ log }));
        await committed('view');
        await first.until(async () => first.positions.length >= (await trial.log()).length);
        await first.stop();
        const whole = await trial.log();
        const half = Math.floor(whole.length / 2);
        const start = Object.fromEntries(busy(whole).map((source) => [source, half]));
        const second = follow(trial.feed({ log }), { start });
        await second.until(() => second.positions.length >= whole.length - half);
        expect(ascending(second.positions)).to.deep.equal(oneTo(whole.length).slice(half));
        expectOrder(second.batches);
        await second.stop();
      });
    }

    for (const restarted of [false, true]) {
      it(`goes on without the log when what was missing is published again, behind what came after it${restarted ? ', also when it is started again meanwhile' : ''}`, async () => {
        const messages = await trial.append(200);
        const gone = messages[120]!;
        const isLost = ({ partition }: Message, index: number) => partition === gone.partition && index >= 120;
        await trial.publish(messages.filter((one) => one !== gone));
        const { said, logger } = listening();
        let follower = follow(trial.feed({ logger }));
        const behind = () => follower.batches.at(-1)?.behindSince ?? null;
        const others = messages.filter((one, index) => !isLost(one, index)).length;
        await follower.until(() => follower.positions.length >= others && said.some(({ level }) => level === 'error') && behind() !== null);
        let before: number[] = [];
        if (restarted) {
          const hole = messages.filter(({ partition }, index) => partition === gone.partition && index < 120).length;
          expect(await notedBehind('view', messages, gone.partition), 'its group waits before the hole').to.be.at.most(hole);
          await follower.stop();
          before = follower.positions;
          follower = follow(trial.feed({ logger }), { start: follower.applied });
          await follower.until(() => follower.batches.length > 0 && behind() !== null);
        }
        await trial.publish((await trial.messages()).filter(isLost));
        await trial.publish(await trial.append(100));
        const whole = await trial.log();
        const positions = () => [...new Set([...before, ...follower.positions])];
        await follower.until(() => positions().length >= whole.length && behind() === null);
        await follower.stop();
        expect(ascending(positions())).to.deep.equal(oneTo(whole.length));
        expectOrder(follower.batches);
      });
    }

    it('says nothing of the end of a topic that it has not looked at', async () => {
      await trial.publish(await trial.append(3_000));
      const follower = follow(trial.feed());
      await follower.until(() => follower.positions.length >= 3_000);
      await follower.stop();
      expect(follower.batches[0]?.events).not.to.be.empty;
    });

    it('drops duplicates, also where whole batches were published again', async () => {
      const messages = await trial.append(300);
      await trial.publish(messages.slice(0, 120));
      await trial.publish(messages.slice(0, 120));
      await trial.publish(messages.slice(60, 200));
      const follower = follow(trial.feed());
      await follower.until(() => follower.positions.length >= 200);
      await trial.publish(messages.slice(150));
      await trial.publish(messages);
      await trial.publish(await trial.append(50));
      await follower.until(() => follower.positions.includes(350) && follower.positions.length >= 350);
      await follower.stop();
      expect(ascending(follower.positions)).to.deep.equal(oneTo(350));
      expectOrder(follower.batches);
    });

    const strange: Record<string, (good: Message) => string | null> = {
      'that is not JSON': () => 'not JSON',
      'without a value': () => null,
      'that lacks its position': ({ value }) => JSON.stringify({ ...JSON.parse(value), position: undefined }),
      'of another partition': ({ value, partition }) => JSON.stringify({ ...JSON.parse(value), partition: (partition + 1) % partitions }),
    };
    for (const [what, make] of Object.entries(strange)) {
      it(`stops at a message ${what}, and says where it is`, async () => {
        const [good] = await trial.append(1);
        await ensureTopic(kafka, trial.topic, partitions);
        const producer = kafka.producer();
        await producer.connect();
        await producer.send({ topic: trial.topic, messages: [{ partition: good!.partition, value: make(good!) }] });
        await producer.disconnect();
        const error = await follow(trial.feed()).ended;
        followers = [];
        expect(error).to.be.an('error').with.property('message').that.matches(new RegExp(`${trial.topic}/${good!.partition} at offset 0 holds a message that cannot be read`));
      });
    }

    it('refuses the events of two logs in one topic', async () => {
      const other = newTrial();
      await trial.publish(await trial.append(100));
      await other.append(100);
      await trial.publish(await other.messages());
      const error = await follow(trial.feed()).ended;
      followers = [];
      expect(error).to.be.an('error').with.property('message').that.matches(/begins another log of orders.*KAFKA_TOPIC_PREFIX/);
    });

    it('stops with an error when the broker is gone, and goes on where it was when it is started again', async () => {
      const { kafka: through, proxy } = await proxiedKafka(plain);
      const feed = new KafkaFeed({ kafka: through, codec, stores: {}, logger: quiet, topicPrefix: trial.topicPrefix, partitions });
      try {
        await trial.publish(await trial.append(50));
        const first = follow(feed);
        await first.until(() => first.positions.length >= 50);
        proxy.cut();
        expect(await first.ended).to.be.an('error');
        proxy.restore();
        await trial.publish(await trial.append(50));
        const last = follow(feed, { start: first.applied });
        await last.until(() => last.positions.length >= 50);
        await last.stop();
        expect(ascending(last.positions)).to.deep.equal(oneTo(100).slice(50));
      } finally {
        followers = [];
        await proxy.close();
      }
    });

    it('shares the partitions among the members of a group, and hands them on when one of them is stopped in the middle', async () => {
      // Both write to one view, as two processes do.
      let applied: Progress = {};
      const order: { member: string; source: Source; position: number }[] = [];
      const member = (name: string, feed: EventFeed) => {
        const follower = follow(feed, {
          async onBatch(batch) {
            await pause(5);
            for (const { source, event } of batch.events) order.push({ member: name, source, position: event.position });
            applied = furthest(applied, batch.progress);
          },
        });
        return follower;
      };
      const shared = (feed: EventFeed): EventFeed => ({ shared: true, run: (subscription, stop) => feed.run({ ...subscription, reached: async () => applied }, stop) });
      const a = member('a', shared(trial.feed()));
      const b = member('b', shared(trial.feed()));
      const positions = () => new Set(order.map(({ position }) => position));
      const both = () => new Set(order.slice(-100).map((one) => one.member)).size === 2;
      const publishing = (async () => {
        // Until both have a share of it, and for a while after the first one has gone.
        for (let left = Infinity; left > 0; left--) {
          await trial.publish(await trial.append(20));
          if (left === Infinity && both()) {
            left = 60;
            void pause(30).then(() => a.stop());
          }
        }
      })();
      await publishing;
      const whole = await trial.log();
      await b.until(() => positions().size >= whole.length);
      await a.stop();
      await b.stop();
      expect(ascending([...positions()])).to.deep.equal(oneTo(whole.length));
      const last = new Map<Source, number>();
      for (const { source, position } of order) {
        if (position <= (last.get(source) ?? 0)) continue;
        // The next one of its partition: nothing is applied before what comes before it.
        const next = whole.find((event) => event.position > (last.get(source) ?? 0) && sourceOf(event, partitions) === source);
        expect(position, source).to.equal(next?.position);
        last.set(source, position);
      }
      expect(new Set(order.map((one) => one.member))).to.deep.equal(new Set(['a', 'b']));
    });
  });

  // These take as long as they take: they run side by side.
  describe('Kafka, over a long time', function () {
    this.timeout(90_000);
    const slowMs = 15_000;
    const watchedMs = 45_000;
    const silentMs = 20_000;
    const endings: (() => Promise<unknown>)[] = [];
    let slow: Promise<void>;
    let holed: Promise<void>;
    let unpublished: Promise<void>;
    let unheard: Promise<void>;
    before(() => {
      slow = slowSubscriber();
      holed = missingMessage();
      unpublished = silenceForThePublisher();
      unheard = silenceForTheFeed();
      for (const one of [slow, holed, unpublished, unheard]) one.catch(() => undefined);
    });
    after(async () => {
      await Promise.allSettled([slow, holed, unpublished, unheard]);
      for (const end of endings.reverse()) await end().catch(() => undefined);
    });
    const ends = <T>(what: T, end: (it: T) => Promise<unknown>): T => {
      endings.push(() => end(what));
      return what;
    };

    async function slowSubscriber(): Promise<void> {
      const trial = ends(newTrial(), (it) => it.end());
      let held = 0;
      const onBatch = async ({ events }: FeedBatch) => {
        if (events.length === 0 || held++ > 0) return;
        await pause(slowMs);
      };
      const members = [0, 1].map(() => ends(new Follower(trial.feed(), { onBatch }), (it) => it.stop()));
      const all = () => members.flatMap((one) => one.positions);
      await Promise.all(members.map((one) => one.until(() => one.batches.length > 0)));
      await trial.publish(await trial.append(500));
      const began = performance.now();
      await members[0]!.until(() => all().length >= 500);
      expect(performance.now() - began).to.be.greaterThan(slowMs - 1_000);
      await trial.publish(await trial.append(100));
      await members[0]!.until(() => all().length >= 600);
      for (const one of members) expect(one.positions).not.to.be.empty;
      // Whoever had lost a partition, or been given one, would have been given events again.
      expect(ascending(all())).to.deep.equal(oneTo(600));
    }

    async function missingMessage(): Promise<void> {
      const trial = ends(newTrial(), (it) => it.end());
      const messages = await trial.append(200);
      const gone = messages[120]!;
      await trial.publish(messages.filter((one) => one !== gone));
      const { said, logger } = listening();
      const follower = ends(new Follower(trial.feed({ logger })), (it) => it.stop());
      const given = (all: readonly Message[]) => all.flatMap(({ partition }, index) => partition !== gone.partition || index < 120 ? [index + 1] : []);
      await follower.until(() => follower.positions.length >= given(messages).length && said.length > 0);
      const began = performance.now();
      // The other partitions go on all the while, and longer than the watchdog would wait.
      while (performance.now() - began < watchedMs) {
        await trial.publish(await trial.append(50));
        const expected = given(await trial.messages());
        await follower.until(() => follower.positions.length >= expected.length);
        expect(ascending(follower.positions)).to.deep.equal(expected);
        await pause(1_000);
      }
      expectOrder(follower.batches);
      expect(said[0]).to.deep.include({ level: 'error', text: 'events are missing in the topic, and their log is not at hand: this partition stops until they are there' });
      expect(said[0]?.facts).to.include({ source: `orders/${gone.partition}`, upTo: 121 });
      // Whoever asks is told that the view is behind.
      expect(follower.batches.slice(-3).map(({ behindSince }) => behindSince)).not.to.include(null);
      // With the log at hand the partition goes on.
      await follower.stop();
      const healed = ends(new Follower(trial.feed({ log: true }), { start: follower.applied }), (it) => it.stop());
      const whole = await trial.log();
      await healed.until(() => healed.positions.length + follower.positions.length >= whole.length);
      expect(ascending([...healed.positions, ...follower.positions])).to.deep.equal(oneTo(whole.length));
    }

    async function silenceForThePublisher(): Promise<void> {
      const trial = ends(newTrial(), (it) => it.end());
      const { kafka: through, proxy } = ends(await proxiedKafka(plain), (it) => it.proxy.close());
      const publisher = ends(new KafkaEventPublisher(through, { topicPrefix: trial.topicPrefix, partitions }), (it) => it.close());
      const messages = await trial.append(30);
      await publisher.publish('orders', messages.slice(0, 10));
      proxy.blackHole();
      const began = performance.now();
      expect(await publisher.publish('orders', messages.slice(10, 20)).catch((reason: unknown) => reason)).to.be.an('error');
      expect(performance.now() - began).to.be.below(40_000);
      proxy.restore();
      await publisher.publish('orders', messages.slice(10));
      checkTopic(await readTopic(kafka, trial.topic), await trial.log(), partitions);
    }

    async function silenceForTheFeed(): Promise<void> {
      const trial = ends(newTrial(), (it) => it.end());
      const { kafka: through, proxy } = ends(await proxiedKafka(plain), (it) => it.proxy.close());
      const feed = new KafkaFeed({ kafka: through, codec, stores: {}, logger: quiet, topicPrefix: trial.topicPrefix, partitions });
      const follower = ends(new Follower(feed), (it) => it.stop());
      await trial.publish(await trial.append(100));
      await follower.until(() => follower.positions.length >= 100);
      proxy.blackHole();
      await trial.publish(await trial.append(100));
      await pause(3_000);
      const heard = follower.batches.length;
      await pause(silentMs - 3_000);
      // Nobody knows whether anything is new, so nobody says that nothing is.
      expect(follower.batches).to.have.length(heard);
      proxy.restore();
      await follower.until(() => follower.positions.length >= 200);
      expect(ascending(follower.positions)).to.deep.equal(oneTo(200));
      expectOrder(follower.batches);
    }

    it('leaves its partitions to a member whose subscriber takes longer for a batch than a session lasts', () => slow);
    it('has a feed that stops only the partition in which a message is missing, where the log is not at hand', () => holed);
    it('has a feed that says nothing while the network says nothing, and goes on by itself afterwards', () => unheard);
    it('has a publisher that rejects after a while of silence, and goes on with another producer', () => unpublished);
  });
}
