import type { Kafka, Producer } from 'kafkajs';
import type { Logger } from '../../../application/ports/logger.js';
import { pause } from '../../../application/concurrency/pause.js';
import { within } from '../../../application/concurrency/within.js';
import { leave, loadKafkajs } from '../server/kafka-client.js';

export interface Outgoing {
  text: string;
  /** It may have been written: from then on only the topic can tell. */
  sent: boolean;
}

interface Dependencies {
  kafka: Kafka;
  topic: string;
  logger: Logger;
  /** Makes the topic where it is missing. */
  prepare: () => Promise<void>;
  /** Called with the first offset of what was written; `before`: the answer of `read` before it was sent. */
  written: (offset: bigint, before: bigint) => void;
  /** The offset up to which this process has read. */
  read: () => bigint;
}

const mostAtOnce = 500;
/** A broker refuses more than 1 MB at a time. */
const mostBytesAtOnce = 500_000;
const deadlineMs = 5_000;
const retryMs = 100;

/**
 * Writes to a topic of one partition in the order of the calls. As for events (docs/decisions/0006), it has one `send` in flight, and opens another producer
 * after any error. A retry can make duplicates.
 */
export class OperationWriter {
  private outgoing: Outgoing[] = [];
  private inFlight: Outgoing[] = [];
  private sending: Promise<void> | undefined;
  private producer: Promise<Producer> | undefined;

  constructor(private readonly dependencies: Dependencies, private readonly stop: AbortSignal) {}

  write(one: Outgoing): void {
    this.outgoing.push(one);
    this.sending ??= this.send();
  }

  /** From now on it is not sent, or not sent again. */
  withdraw(one: Outgoing): void {
    this.outgoing = this.outgoing.filter((other) => other !== one);
    this.inFlight = this.inFlight.filter((other) => other !== one);
  }

  /** To be called once `stop` is aborted. */
  async close(): Promise<void> {
    await this.sending;
    const { producer } = this;
    if (producer !== undefined) await leave({ disconnect: async () => { await (await producer).disconnect(); } });
  }

  private async send(): Promise<void> {
    // Operations of the same turn of the event loop are sent together.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.outgoing.length > 0 && !this.stop.aborted) {
      this.inFlight = this.outgoing.splice(0, this.fitting());
      const before = this.dependencies.read();
      try {
        const offset = await within(deadlineMs, () => new Error(`Kafka has not taken the operations within ${deadlineMs} ms`), this.sendOnce());
        if (offset !== undefined) this.dependencies.written(offset, before);
      } catch (error) {
        this.dependencies.logger.warn({ err: error, topic: this.dependencies.topic }, 'operations on the command queue could not be written yet');
        // Not awaited: a producer that hangs must not delay the next attempt.
        void this.producer?.then((producer) => producer.disconnect()).catch(() => undefined);
        this.producer = undefined;
        this.outgoing.unshift(...this.inFlight);
        this.inFlight = [];
        await pause(retryMs, this.stop);
      }
    }
    this.inFlight = [];
    this.sending = undefined;
  }

  /** @returns the offset of the first operation */
  private async sendOnce(): Promise<bigint | undefined> {
    const opening = this.producer ??= this.open();
    const producer = await opening;
    // Opening took so long that a later attempt has replaced this one, or nobody waits for these operations any more.
    if (this.producer !== opening || this.inFlight.length === 0) return undefined;
    for (const one of this.inFlight) one.sent = true;
    const [answer] = await producer.send({
      topic: this.dependencies.topic,
      acks: -1,
      messages: this.inFlight.map(({ text }) => ({ partition: 0, value: text })),
    });
    return answer?.baseOffset === undefined ? undefined : BigInt(answer.baseOffset);
  }

  private fitting(): number {
    let bytes = 0;
    const tooMany = this.outgoing.findIndex(({ text }, index) => {
      bytes += Buffer.byteLength(text);
      return index === mostAtOnce || index > 0 && bytes > mostBytesAtOnce;
    });
    return tooMany === -1 ? this.outgoing.length : tooMany;
  }

  private async open(): Promise<Producer> {
    const { kafka, prepare } = this.dependencies;
    await prepare();
    const producer = kafka.producer({
      idempotent: false,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner: loadKafkajs().Partitioners.DefaultPartitioner,
      retry: { retries: 1 },
    });
    await producer.connect();
    return producer;
  }
}
