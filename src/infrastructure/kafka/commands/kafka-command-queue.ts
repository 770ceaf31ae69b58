import type { Kafka } from 'kafkajs';
import type { CommandEnd, CommandQueue, CommandRecord, CommandStatus, Lease, LeaseName, NewCommand } from '../../../application/ports/command-queue.js';
import type { IdempotencyKey } from '../../../application/ports/event-store.js';
import type { Logger } from '../../../application/ports/logger.js';
import type { Context } from '../../../domain/events.js';
import { Rejection } from '../../../domain/shared/rejection.js';
import { ofSameRequest } from '../../../application/commands/command-table.js';
import { Wakeable } from '../../../application/concurrency/wakeable.js';
import { within } from '../../../application/concurrency/within.js';
import { CommandOperations, type Written } from './command-operations.js';
import { leave } from '../server/kafka-client.js';
import { commandsTopic, ensureTopic } from '../server/kafka-topics.js';
import { OperationReader } from './operation-reader.js';
import { OperationWriter } from './operation-writer.js';
import { PendingOperations } from './pending-operations.js';

interface Options {
  context: Context;
  topicPrefix: string;
  /** How many commands may be unfinished. */
  limit: number;
  /** How long the topic keeps what became of a command; longer, where a process has not forgotten it. */
  retentionHours: number;
  logger: Logger;
}

const pollMs = 200;
const closeMs = 5_000;
const hourMs = 3_600_000;

/**
 * The topic `<context>.commands` with one partition is the queue: every change is an operation in it, and a caller has its answer when its own operation
 * has come back. Leases and deadlines are measured by the broker's clock, which stamps each operation.
 */
export class KafkaCommandQueue implements CommandQueue {
  private operations = new CommandOperations();
  private readonly news = new Wakeable();
  private readonly stop = new AbortController();
  private readonly topic: string;
  private readonly writer: OperationWriter;
  private readonly reader: OperationReader;
  private readonly pending: PendingOperations;
  private reading: Promise<void> | undefined;
  private caughtUp: Promise<unknown> | undefined;

  constructor(private readonly kafka: Kafka, private readonly options: Options) {
    const topic = this.topic = commandsTopic(options.topicPrefix, options.context);
    const { signal } = this.stop;
    const prepare = () => ensureTopic(kafka, topic, 1, { 'message.timestamp.type': 'LogAppendTime' });
    const shared = { kafka, topic, logger: options.logger, prepare };
    this.reader = new OperationReader({
      ...shared,
      apply: (value, at, offset) => { this.apply(value, at, offset); },
      news: () => { this.news.wake(); },
      startOver: () => {
        this.operations = new CommandOperations();
        this.caughtUp = undefined;
      },
    }, signal);
    this.writer = new OperationWriter({
      ...shared,
      read: () => this.reader.next,
      written: (offset, before) => { if (offset < before) this.reader.startOver(); },
    }, signal);
    this.pending = new PendingOperations(this.writer, signal);
  }

  async enqueue(command: NewCommand): Promise<CommandRecord> {
    await this.ready();
    const earlier = this.table.earlier(command, this.pending.now());
    if (earlier !== undefined) return ofSameRequest(earlier, command);
    const { limit } = this.options;
    if (this.table.depth >= limit) throw new Rejection('queue.full', { limit });
    await this.pending.perform({ type: 'enqueue', command });
    const kept = this.table.earlier(command, this.pending.now());
    if (kept === undefined) throw new Rejection('log.unavailable', { reason: 'the command queue is read anew', outcome: 'unknown' });
    return ofSameRequest(kept, command);
  }

  async find(name: string | IdempotencyKey): Promise<CommandRecord | undefined> {
    await this.ready();
    const found = this.table.find(name, this.pending.now());
    if (found !== undefined) return found;
    // Another process may have accepted it this moment.
    await this.pending.perform({ type: 'look' });
    return this.table.find(name, this.pending.now());
  }

  async list(filter: { statuses?: readonly CommandStatus[]; limit: number }): Promise<CommandRecord[]> {
    await this.ready();
    await this.pending.perform({ type: 'look' });
    return this.table.list(filter, this.pending.now());
  }

  async cancel(commandId: string): Promise<CommandRecord | undefined> {
    await this.ready();
    await this.pending.perform({ type: 'cancel', commandId });
    return this.table.find(commandId, this.pending.now());
  }

  async depth(): Promise<number> {
    await this.ready();
    return this.table.depth;
  }

  async lease({ limit, leaseMs, waitMs }: { limit: number; leaseMs: number; waitMs: number }, stop: AbortSignal): Promise<Lease[]> {
    await this.ready();
    const until = performance.now() + waitMs;
    for (let left = Infinity; left > 0 && !stop.aborted;) {
      const { seen } = this.news;
      // Asked for only where there seems to be something: the topic is no place for polling.
      const now = this.pending.now();
      if (this.table.nextDue(now) <= now) {
        const leases = await this.pending.perform<Lease[]>({ type: 'lease', limit, leaseMs });
        if (leases.length > 0) return leases;
      }
      left = until - performance.now();
      // Also whoever does not want to wait lets the news come in: asked in a loop, this would keep them out.
      await this.news.wait(seen, Math.max(0, Math.min(left, pollMs)), stop);
    }
    return [];
  }

  async renew(leases: readonly LeaseName[], leaseMs: number): Promise<boolean[]> {
    await this.ready();
    return this.pending.perform({ type: 'renew', leases: leases.map(named), leaseMs });
  }

  async finish(lease: LeaseName, end: CommandEnd): Promise<boolean> {
    await this.ready();
    return this.pending.perform({ type: 'finish', lease: named(lease), end });
  }

  /** Deletes from the topic what ended longer ago than it is kept, up to a moment at which nothing waited. Any process may, at any time. */
  async forgetOld(): Promise<void> {
    if (this.reading === undefined) return;
    await this.ready();
    const offset = this.operations.lastQuietBefore(this.pending.now() - this.options.retentionHours * hourMs);
    if (offset === undefined) return;
    const admin = this.kafka.admin();
    try {
      await admin.connect();
      // It knows no topic that it was not asked about.
      await admin.fetchTopicMetadata({ topics: [this.topic] });
      await admin.deleteTopicRecords({ topic: this.topic, partitions: [{ partition: 0, offset: String(offset) }] });
    } finally {
      await leave(admin);
    }
  }

  /** Takes no longer than some seconds, also while Kafka is away. */
  async close(): Promise<void> {
    this.stop.abort();
    this.pending.giveUp();
    await within(closeMs, () => new Error('it is left to itself'), Promise.allSettled([this.reading, this.writer.close()])).catch(() => undefined);
  }

  private get table() {
    return this.operations.table;
  }

  /** Once everything that was in the topic has been read: for as long as that goes on. */
  private ready(): Promise<unknown> {
    this.reading ??= this.reader.run();
    const catchingUp = this.caughtUp ??= this.catchUp();
    catchingUp.catch(() => { if (this.caughtUp === catchingUp) this.caughtUp = undefined; });
    return catchingUp;
  }

  private async catchUp(): Promise<void> {
    for (;;) {
      const before = this.reader.next;
      try {
        await this.pending.perform({ type: 'look' });
        return;
      } catch (error) {
        if (this.reader.next === before) throw error;
      }
    }
  }

  private apply(value: string, at: number, offset: bigint): void {
    let written: Written;
    try {
      written = JSON.parse(value) as Written;
      const result = this.operations.apply(written, at, offset);
      this.pending.answer(written.id, result, at);
    } catch (error) {
      // In every process alike.
      const facts = { err: error, topic: this.topic, offset: String(offset) };
      this.options.logger.error(facts, 'an operation on the command queue means nothing, and is passed over');
    }
  }
}

function named({ fence, command: { commandId } }: LeaseName): LeaseName {
  return { fence, command: { commandId } };
}
