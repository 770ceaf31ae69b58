import { randomUUID } from 'node:crypto';
import type { Admin, Kafka } from 'kafkajs';
import { contexts } from '../../../domain/events.js';
import type { Check } from '../../network/check.js';
import { OperatorError } from '../../process/operator-error.js';
import { certificateOf, checkListening, tlsFaultOf, type Address } from '../../network/tls.js';
import { within } from '../../../application/concurrency/within.js';
import { connectKafka, leave, loadKafkajs, tlsMaterial, type KafkaConfig } from './kafka-client.js';
import { isStarting, kafkaFaultOf, tellingFaults, toldOfKafka } from './kafka-fault.js';
import { assignments, commandsTopic, eventsTopic, retention, topicState } from './kafka-topics.js';

export interface KafkaSettings extends KafkaConfig {
  partitions: number;
  /** What goes through Kafka. */
  carries: { events: boolean; commands: boolean };
}

interface Wanted {
  topic: string;
  partitions: number;
  settings: Readonly<Record<string, string>>;
  /** What a loss means: a broker has gone that alone had a record. */
  loss: string;
}

/** How long Kafka may take to let a reader join its group, and to answer its first fetch. */
const readTimeoutMs = 20_000;
/** An invalid value: a broker checks the rights first, then refuses the request, and writes nothing. */
const noSuchAcks = 2;

/** The checks of Kafka that an operator runs. They need no database, and make no topic. */
export function administerKafka(settings: KafkaSettings): { checks: readonly Check[]; close(): Promise<void> } {
  const kafka = connectKafka(settings, { retry: { retries: 1, initialRetryTime: 100 } });
  const admin = kafka.admin();
  const telling = <T>(work: () => Promise<T>) => tellingFaults(settings.brokers, work);
  return {
    checks: [
      { what: 'connection', vital: true, ask: () => connection(settings) },
      { what: 'TLS', vital: true, ask: () => certificate(settings) },
      { what: 'login', vital: true, ask: () => telling(() => login(admin, settings)) },
      { what: 'right to make topics', vital: false, ask: () => telling(() => creation(admin, settings)) },
      ...wantedOf(settings).flatMap((wanted): Check[] => [
        { what: `topic ${wanted.topic}`, vital: false, ask: () => telling(() => topic(admin, wanted)) },
        { what: `replication of ${wanted.topic}`, vital: false, ask: () => telling(() => replication(admin, wanted)) },
        { what: `rights in ${wanted.topic}`, vital: false, ask: () => telling(() => rights(kafka, admin, wanted, settings)) },
      ]),
    ],
    close: () => leave(admin),
  };
}

function wantedOf({ topicPrefix, partitions, carries }: KafkaSettings): Wanted[] {
  const events = contexts.map((context) => ({
    topic: eventsTopic(topicPrefix, context),
    partitions,
    settings: retention,
    loss: 'what is lost with it is read from the log again',
  }));
  const commands = contexts.map((context) => ({
    topic: commandsTopic(topicPrefix, context),
    partitions: 1,
    settings: { ...retention, 'message.timestamp.type': 'LogAppendTime' },
    loss: 'commands that are lost with it are lost',
  }));
  return [...(carries.events ? events : []), ...(carries.commands ? commands : [])];
}

/** One broker that answers is enough: it names the others. */
async function connection({ brokers }: KafkaConfig): Promise<string | { warning: string }> {
  const answers = await Promise.all(brokers.map((broker) => checkListening(addressOf(broker)).then(
    () => [],
    (error: unknown) => [`${broker} cannot be reached (${(error as Error).message})`],
  )));
  const away = answers.flat();
  if (away.length === brokers.length) throw new OperatorError(`${away.join(', ')}: check KAFKA_BROKERS`);
  return away.length === 0 ? brokers.join(', ') : { warning: away.join(', ') };
}

async function certificate({ brokers, tls }: KafkaConfig): Promise<string | { warning: string }> {
  if (tls === undefined) return 'none: KAFKA_TLS is not set, and everything travels in the clear';
  const material = tlsMaterial(tls);
  const shown = await Promise.all(brokers.map((broker) => certificateOf(addressOf(broker), material).then(
    (found) => ({ broker, ...found }),
    (error: unknown) => ({ broker, error: error as Error }),
  )));
  const found = shown.flatMap((one) => ('error' in one ? [] : [one]));
  const [first] = shown;
  if (found.length === 0 && first !== undefined && 'error' in first) {
    throw new OperatorError(toldOfKafka(tlsFaultOf(first.error.message) ?? 'hung up', [first.broker]));
  }
  for (const { broker, refusal, validUntil } of found) {
    if (refusal === undefined) continue;
    throw new OperatorError(`${toldOfKafka(tlsFaultOf(refusal) ?? 'certificate not trusted', [broker])} It is valid until ${validUntil}`);
  }
  return found
    .map(({ broker, validUntil, daysLeft }) => `the certificate of ${broker} is trusted, and valid until ${validUntil}: ${daysLeft} days left`)
    .join('; ');
}

async function login(admin: Admin, { sasl }: KafkaConfig): Promise<string> {
  await admin.connect();
  const { brokers } = await admin.describeCluster();
  const who = sasl === undefined ? 'without a login' : `${sasl.username}, by ${sasl.mechanism}`;
  return `${who}; the cluster has ${brokers.length} broker${brokers.length === 1 ? '' : 's'}`;
}

/** Validates the request for a topic without making it. */
async function creation(admin: Admin, { topicPrefix }: KafkaConfig): Promise<string> {
  await admin.createTopics({
    validateOnly: true,
    waitForLeaders: false,
    topics: [{ topic: `${topicPrefix}check-${randomUUID()}`, numPartitions: 1, replicationFactor: -1 }],
  });
  return `topics that begin with ${topicPrefix} may be made`;
}

async function topic(admin: Admin, { topic: name, partitions: wanted, settings }: Wanted): Promise<string | { warning: string }> {
  const { partitions, drift } = await topicState(admin, name, settings);
  if (partitions === 0) return { warning: 'it is not there: the service makes it when it starts' };
  if (partitions !== wanted) {
    throw new OperatorError(`it has ${partitions} partitions, and ${wanted} are configured (KAFKA_PARTITIONS): the number is fixed for a log's life`);
  }
  if (drift.length > 0) {
    throw new OperatorError(`it would forget what it holds, or is not set up as it must be (${drift.join(', ')}): set ${assignments(settings)}`);
  }
  return `${partitions} partition${partitions === 1 ? '' : 's'}, kept for ever`;
}

async function replication(admin: Admin, { topic: name, loss }: Wanted): Promise<string | { warning: string }> {
  const { drift: [setting = ''], partitions: count } = await topicState(admin, name, { 'min.insync.replicas': '' });
  if (count === 0) return 'not known: the topic is not there';
  const least = Number(setting.split('=')[1]);
  const { topics: [found] } = await admin.fetchTopicMetadata({ topics: [name] });
  const partitions = found?.partitions ?? [];
  const replicas = Math.min(...partitions.map((one) => one.replicas.length));
  const behind = partitions.filter(({ isr }) => isr.length < least).map(({ partitionId }) => partitionId).sort((a, b) => a - b);
  if (behind.length > 0) {
    throw new OperatorError(`fewer than min.insync.replicas=${least} have partition${behind.length === 1 ? '' : 's'} ${behind.join(', ')}: `
      + 'nothing can be written there');
  }
  const said = `${replicas} replica${replicas === 1 ? '' : 's'}, min.insync.replicas=${least}`;
  return replicas === 1 || least === 1 ? { warning: `${said}: a record may be with one broker only, and ${loss}` } : said;
}

async function rights(kafka: Kafka, admin: Admin, wanted: Wanted, { topicPrefix, sasl }: KafkaSettings): Promise<string | { warning: string }> {
  if ((await topicState(admin, wanted.topic, {})).partitions === 0) return 'not known: the topic is not there';
  const lacking: string[] = [];
  const may = async (right: string, work: () => Promise<void>) => {
    await work().catch((error: unknown) => {
      if (kafkaFaultOf(error) !== 'not allowed') throw error;
      lacking.push(`${right} (${(error as Error).message})`);
    });
  };
  await may('write', () => write(kafka, wanted.topic));
  await may('read', () => read(kafka, admin, wanted.topic, `${topicPrefix}check-${randomUUID()}`));
  const who = sasl?.username ?? 'whoever comes without a login';
  if (lacking.length > 0) throw new OperatorError(`${who} may not ${lacking.join(' and ')}: check the ACLs`);
  return `${who} may write, and read in a group that begins with ${topicPrefix}`;
}

async function write(kafka: Kafka, name: string): Promise<void> {
  const { Partitioners } = loadKafkajs();
  const producer = kafka.producer({ allowAutoTopicCreation: false, createPartitioner: Partitioners.DefaultPartitioner, retry: { retries: 0 } });
  await producer.connect();
  try {
    await producer.send({ topic: name, acks: noSuchAcks, messages: [{ partition: 0, value: '' }] }).catch((error: unknown) => {
      if ((error as { type?: string }).type !== 'INVALID_REQUIRED_ACKS') throw error;
    });
  } finally {
    await leave(producer);
  }
}

async function read(kafka: Kafka, admin: Admin, name: string, groupId: string): Promise<void> {
  const until = performance.now() + readTimeoutMs;
  for (;;) {
    try {
      await readOnce(kafka, admin, name, groupId);
      return;
    } catch (error) {
      if (!isStarting(error) || performance.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

/** Reads as a member of a group of its own, which is deleted afterwards. */
async function readOnce(kafka: Kafka, admin: Admin, name: string, groupId: string): Promise<void> {
  const consumer = kafka.consumer({
    groupId,
    allowAutoTopicCreation: false,
    maxWaitTimeInMs: 50,
    retry: { retries: 1, restartOnFailure: () => Promise.resolve(false) },
  });
  try {
    await consumer.connect();
    await consumer.subscribe({ topics: [name] });
    const fetched = new Promise<void>((resolve, reject) => {
      consumer.on(consumer.events.FETCH, () => { resolve(); });
      consumer.on(consumer.events.CRASH, ({ payload: { error } }) => { reject(error); });
    });
    await Promise.all([
      within(readTimeoutMs, () => new OperatorError(`nothing could be read within ${readTimeoutMs / 1_000} s`), fetched),
      consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch: () => Promise.resolve() }),
    ]);
  } finally {
    await leave(consumer);
    // The user may lack the right; Kafka deletes an empty group by itself after a week.
    await admin.deleteGroups([groupId]).catch(() => undefined);
  }
}

function addressOf(broker: string): Address {
  const colon = broker.lastIndexOf(':');
  return { host: broker.slice(0, colon), port: Number(broker.slice(colon + 1)) };
}
