import { connect } from 'node:net';
import { Kafka, logLevel, type KafkaConfig } from 'kafkajs';
import { tcpProxy, type Framing, type TcpProxy } from './tcp-proxy.js';

const sizeBytes = 4;
const produceKey = 0;

/** Kafka's protocol, either way: four bytes of length, then the message. A message is handed on with its length. */
export const kafkaRequests: Framing = () => {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const messages: Buffer[] = [];
    while (rest.length >= sizeBytes && rest.length >= sizeBytes + rest.readInt32BE(0)) {
      const end = sizeBytes + rest.readInt32BE(0);
      messages.push(rest.subarray(0, end));
      rest = rest.subarray(end);
    }
    return messages;
  };
};

export function isProduce(request: Buffer): boolean {
  return request.length >= sizeBytes + 2 && request.readInt16BE(sizeBytes) === produceKey;
}

/** A client whose every connection goes through a proxy, whatever address the broker says that it has. */
export async function proxiedKafka(broker: string, options: Partial<KafkaConfig> = {}): Promise<{ kafka: Kafka; proxy: TcpProxy }> {
  const [host = '', port] = broker.split(':');
  const proxy = await tcpProxy({ host, port: Number(port) }, kafkaRequests);
  const kafka = new Kafka({
    clientId: 'proxied', brokers: [broker], connectionTimeout: 3_000, requestTimeout: 10_000,
    retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 5 }, logLevel: logLevel.NOTHING,
    socketFactory: ({ onConnect }) => connect({ host: '127.0.0.1', port: proxy.port }, onConnect),
    ...options,
  });
  return { kafka, proxy };
}

export interface Published { partition: number; key: string; value: string; headers: Record<string, string> }

/** Everything that a topic holds now, in order per partition. */
export async function readTopic(kafka: Kafka, topic: string): Promise<Published[]> {
  const admin = kafka.admin();
  await admin.connect();
  const ends = (await admin.fetchTopicOffsets(topic)).filter(({ low, high }) => BigInt(high) > BigInt(low));
  const groupId = `${topic}-reader-${Math.random()}`;
  const found: Published[] = [];
  const open = new Map(ends.map(({ partition, high }) => [partition, BigInt(high)]));
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 50 });
  try {
    if (open.size === 0) return found;
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await new Promise<void>((resolve, reject) => {
      consumer.on(consumer.events.CRASH, ({ payload: { error } }) => { reject(error); });
      consumer.run({
        autoCommit: false,
        async eachMessage({ partition, message: { key, value, headers = {}, offset } }) {
          if (!open.has(partition)) return;
          found.push({ partition, key: String(key), value: String(value), headers: Object.fromEntries(Object.entries(headers).map(([name, header]) => [name, String(header)])) });
          if (BigInt(offset) + 1n >= (open.get(partition) ?? 0n)) open.delete(partition);
          if (open.size === 0) resolve();
        },
      }).catch(reject);
    });
    return found;
  } finally {
    await consumer.disconnect();
    if (found.length > 0) await admin.deleteGroups([groupId]).catch(() => undefined);
    await admin.disconnect();
  }
}
