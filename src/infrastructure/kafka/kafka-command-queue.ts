import { randomUUID } from 'node:crypto';
import type { Consumer, Kafka, Producer } from 'kafkajs';
import { keepNewest } from '../../application/keep-newest.js';
import type { CommandEnd, CommandQueue, CommandRecord, CommandStatus, Lease, LeaseName, NewCommand } from '../../application/ports/command-queue.js';
import type { Logger } from '../../application/ports/logger.js';
import { pause } from '../../application/supervisor.js';
import type { Context } from '../../domain/events.js';
import { Rejection } from '../../domain/shared/rejection.js';
import { CommandTable, ofSameRequest } from '../memory/command-table.js';
import { Wakeable } from '../wakeable.js';
import { loadKafkajs } from './kafka-client.js';
import { commandsTopic, ensureTopic } from './kafka-topics.js';

/** What is written to the topic: the same operations in the same order, at the broker's times, make the same table in every process. */
type Operation =
  | { type: 'look' }
  | { type: 'enqueue'; command: NewCommand }
  | { type: 'cancel'; commandId: string }
  | { type: 'lease'; limit: number; leaseMs: number }
  | { type: 'renew'; leases: readonly LeaseName[]; leaseMs: number }
  | { type: 'finish'; lease: LeaseName; end: CommandEnd };

interface Outgoing {
  id: string;
  operation: Operation;
  /** By `performance.now()`: whoever waits has given up by then. */
  until: number;
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
}

interface Options {
  context: Context;
  topicPrefix: string;
  /** Of unfinished commands. */
  limit: number;
  logger: Logger;
}

const unavailableAfterMs = 5_000;
const retryMs = 100;
const pollMs = 200;
const mostAtOnce = 500;
/** An operation that is written twice, because an answer was lost, is done once. */
const rememberedOperations = 100_000;

/**
 * The topic `<context>.commands` with one partition is the queue: every change is an operation in it, and a caller has its answer when its own operation has come
 * back. Leases are measured by the broker's clock, which stamps each operation.
 */
export class KafkaCommandQueue implements CommandQueue {
  private readonly table = new CommandTable();
  private readonly news = new Wakeable();
  private readonly outgoing: Outgoing[] = [];
  private readonly waiting = new Map<string, Outgoing>();
  private readonly done = new Map<string, true>();
  private readonly stop = new AbortController();
  private readonly topic: string;
  private nextOffset = 0n;
  private sending: Promise<void> | undefined;
  private producer: Promise<Producer> | undefined;
  private following: Promise<void> | undefined;
  private caughtUp: Promise<unknown> | undefined;

  constructor(private readonly kafka: Kafka, private readonly options: Options) {
    this.topic = commandsTopic(options.topicPrefix, options.context);
  }

  async enqueue(command: NewCommand): Promise<CommandRecord> {
    await this.ready();
    const earlier = this.table.earlier(command, Date.now());
    if (earlier !== undefined) return ofSameRequest(earlier, command);
    const { limit } = this.options;
    if (this.table.depth >= limit) throw new Rejection('queue.full', { limit });
    return ofSameRequest(await this.perform<CommandRecord>({ type: 'enqueue', command }), command);
  }

  async find(commandId: string): Promise<CommandRecord | undefined> {
    await this.ready();
    const found = this.table.find(commandId, Date.now());
    if (found !== undefined) return found;
    // Another process may have accepted it this moment.
    await this.perform({ type: 'look' });
    return this.table.find(commandId, Date.now());
  }

  async list(filter: { statuses?: readonly CommandStatus[]; limit: number }): Promise<CommandRecord[]> {
    await this.ready();
    await this.perform({ type: 'look' });
    return this.table.list(filter, Date.now());
  }

  async cancel(commandId: string): Promise<CommandRecord | undefined> {
    await this.ready();
    return this.perform({ type: 'cancel', commandId });
  }

  async depth(): Promise<number> {
    await this.ready();
    return this.table.depth;
  }

  async lease({ limit, leaseMs, waitMs }: { limit: number; leaseMs: number; waitMs: number }, stop: AbortSignal): Promise<Lease[]> {
    await this.ready();
    const until = performance.now() + waitMs;
    while (!stop.aborted) {
      const { seen } = this.news;
      // Asked for only where there seems to be something: the topic is no place for polling.
      if (this.table.nextDue(Date.now()) <= Date.now()) {
        const leases = await this.perform<Lease[]>({ type: 'lease', limit, leaseMs });
        if (leases.length > 0) return leases;
      }
      const left = until - performance.now();
      if (left <= 0) break;
      await this.news.wait(seen, Math.min(left, pollMs), stop);
    }
    return [];
  }

  async renew(leases: readonly LeaseName[], leaseMs: number): Promise<string[]> {
    await this.ready();
    return this.perform({ type: 'renew', leases: leases.map(named), leaseMs });
  }

  async finish(lease: LeaseName, end: CommandEnd): Promise<boolean> {
    await this.ready();
    return this.perform({ type: 'finish', lease: named(lease), end });
  }

  async close(): Promise<void> {
    this.stop.abort();
    await this.sending;
    await this.following;
    await this.producer?.then((producer) => producer.disconnect()).catch(() => undefined);
  }

  /** Once everything that was in the topic has been read. */
  private ready(): Promise<unknown> {
    this.following ??= this.follow();
    this.caughtUp ??= this.perform({ type: 'look' }).catch((error: unknown) => {
      this.caughtUp = undefined;
      throw error;
    });
    return this.caughtUp;
  }

  private perform<T>(operation: Operation): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.outgoing.push({ id: randomUUID(), operation, until: performance.now() + unavailableAfterMs, resolve: resolve as (result: unknown) => void, reject });
      this.sending ??= this.send();
    });
  }

  /** One `send` in flight, and after any error another producer: as for events. */
  private async send(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    while (this.outgoing.length > 0 && !this.stop.signal.aborted) {
      const some = this.outgoing.slice(0, mostAtOnce);
      for (const one of some) this.wait(one);
      try {
        this.producer ??= this.open();
        const producer = await this.producer;
        await producer.send({ topic: this.topic, acks: -1, messages: some.map(({ id, operation }) => ({ partition: 0, value: JSON.stringify({ id, operation }) })) });
        this.outgoing.splice(0, some.length);
      } catch (error) {
        this.options.logger.warn({ err: error, topic: this.topic }, 'operations on the command queue could not be written yet');
        void this.producer?.then((producer) => producer.disconnect()).catch(() => undefined);
        this.producer = undefined;
        await pause(retryMs, this.stop.signal);
        // Those who were told that nothing is known must not be surprised later than need be.
        const now = performance.now();
        for (let index = this.outgoing.length - 1; index >= 0; index--) if ((this.outgoing[index]?.until ?? 0) <= now) this.outgoing.splice(index, 1);
      }
    }
    this.sending = undefined;
  }

  private wait(one: Outgoing): void {
    if (this.waiting.has(one.id)) return;
    this.waiting.set(one.id, one);
    setTimeout(() => {
      if (this.waiting.delete(one.id)) one.reject(new Rejection('log.unavailable', { reason: 'Kafka cannot be reached', outcome: 'unknown' }));
    }, Math.max(0, one.until - performance.now())).unref();
  }

  private async open(): Promise<Producer> {
    await this.prepare();
    const producer = this.kafka.producer({ idempotent: false, maxInFlightRequests: 1, allowAutoTopicCreation: false, createPartitioner: loadKafkajs().Partitioners.DefaultPartitioner, retry: { retries: 1 } });
    await producer.connect();
    return producer;
  }

  private prepare(): Promise<void> {
    return ensureTopic(this.kafka, this.topic, 1, { 'message.timestamp.type': 'LogAppendTime' });
  }

  /** Reads the topic from where this process is, for as long as it lives. */
  private async follow(): Promise<void> {
    while (!this.stop.signal.aborted) {
      let consumer: Consumer | undefined;
      // Nobody shares it: every process reads everything.
      const groupId = `${this.topic}-${randomUUID()}`;
      try {
        await this.prepare();
        consumer = this.kafka.consumer({ groupId, maxWaitTimeInMs: 100, sessionTimeout: 10_000, allowAutoTopicCreation: false, retry: { retries: 2, restartOnFailure: () => Promise.resolve(false) } });
        const reading = consumer;
        const crashed = new Promise<void>((_, reject) => { reading.on(reading.events.CRASH, ({ payload: { error } }) => { reject(error); }); });
        crashed.catch(() => undefined);
        await reading.connect();
        await reading.subscribe({ topics: [this.topic], fromBeginning: true });
        await reading.run({
          autoCommit: false, eachBatchAutoResolve: false,
          eachBatch: async ({ batch, resolveOffset, heartbeat }) => {
            for (const { offset, value, timestamp } of batch.messages) {
              if (BigInt(offset) >= this.nextOffset) this.apply(value?.toString() ?? '', Number(timestamp));
              this.nextOffset = BigInt(offset) + 1n;
              resolveOffset(offset);
            }
            this.news.wake();
            await heartbeat();
          },
        });
        reading.seek({ topic: this.topic, partition: 0, offset: String(this.nextOffset) });
        const stopped = new Promise<void>((resolve) => { this.stop.signal.addEventListener('abort', () => { resolve(); }, { once: true }); });
        await Promise.race([crashed, stopped]);
      } catch (error) {
        this.options.logger.warn({ err: error, topic: this.topic }, 'the command queue could not be read, and is read again');
      }
      await consumer?.disconnect().catch(() => undefined);
      await this.forget(groupId);
      await pause(retryMs, this.stop.signal);
    }
  }

  private async forget(groupId: string): Promise<void> {
    const admin = this.kafka.admin({ retry: { retries: 0 } });
    try {
      await admin.connect();
      await admin.deleteGroups([groupId]);
    } catch {
      // The broker forgets an empty group by itself after a week.
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  }

  private apply(value: string, at: number): void {
    const { id, operation } = JSON.parse(value) as { id: string; operation: Operation };
    if (this.done.has(id)) return;
    keepNewest(this.done, id, true, rememberedOperations);
    const result = this.change(operation, at);
    const asked = this.waiting.get(id);
    this.waiting.delete(id);
    asked?.resolve(result);
  }

  private change(operation: Operation, at: number): unknown {
    switch (operation.type) {
      case 'look': return undefined;
      case 'enqueue':
        this.table.enqueue(operation.command, at);
        return this.table.earlier(operation.command, at);
      case 'cancel':
        this.table.cancel(operation.commandId, at);
        return this.table.find(operation.commandId, at);
      case 'lease': return this.table.lease(operation.limit, operation.leaseMs, at);
      case 'renew': return this.table.renew(operation.leases, operation.leaseMs, at);
      case 'finish': return this.table.finish(operation.lease, operation.end, at);
    }
  }
}

function named({ fence, command: { commandId } }: LeaseName): LeaseName {
  return { fence, command: { commandId } };
}
