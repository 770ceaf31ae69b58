import { isDeepStrictEqual } from 'node:util';
import type { Kafka } from 'kafkajs';
import { eventCodec, upcasters } from '../../src/application/log/codec.js';
import { partitionOf } from '../../src/application/log/partition.js';
import type { EventStore, RecordedEvent } from '../../src/application/ports/event-store.js';
import type { StoredDocument, View, ViewStore } from '../../src/application/ports/view-store.js';
import { views as declared } from '../../src/application/views/index.js';
import { contexts, type Context } from '../../src/domain/events.js';
import { MemoryLogSignal } from '../../src/infrastructure/memory/memory-log-signal.js';
import { openDatabase } from '../../src/infrastructure/postgres/connection/database.js';
import { PostgresEventStore } from '../../src/infrastructure/postgres/log/postgres-event-store.js';
import { readTopic } from '../support/kafka.js';
import { fail } from './support.js';

// What must be so in the end, worked out from the logs alone.

export type Logs = Record<Context, RecordedEvent[]>;

export const views = Object.values(declared) as unknown as View<object>[];

const pageSize = 5_000;

export async function readLog(store: EventStore): Promise<RecordedEvent[]> {
  const log: RecordedEvent[] = [];
  for (;;) {
    const { events } = await store.readLog({ after: log.length, limit: pageSize });
    log.push(...events);
    if (events.length < pageSize) break;
  }
  log.forEach(({ context, position }, index) => { if (position !== index + 1) fail(`${context}: position ${position} where ${index + 1} was due`); });
  return log;
}

export async function readLogs(url: string): Promise<Logs> {
  const read = async (context: Context) => {
    const database = openDatabase(url, context);
    try {
      return await readLog(new PostgresEventStore(database, context, eventCodec(upcasters), new MemoryLogSignal()));
    } finally {
      await database.close();
    }
  };
  return { customers: await read('customers'), orders: await read('orders') };
}

/** The documents of a view as plain calls of its handlers make them, one event after the other, by id. */
export function naiveFold(view: View<object>, logs: Logs): Map<string, object> {
  const documents = new Map<string, object>();
  for (const context of view.contexts) {
    for (const recorded of logs[context]) {
      const handler = view.on[recorded.data.type] as ((document: object | undefined, data: object, event: RecordedEvent) => object | undefined) | undefined;
      const id = (recorded.data as { orderId?: string; customerId: string })[view.key];
      const document = id === undefined ? undefined : handler?.(documents.get(id), recorded.data, recorded);
      if (id !== undefined && document !== undefined) documents.set(id, document);
    }
  }
  return documents;
}

/** Every document that a query can find. */
export async function everything(view: View<object>, store: ViewStore<object>): Promise<Map<string, StoredDocument<object>>> {
  const found = new Map<string, StoredDocument<object>>();
  const [field] = view.sortable;
  if (field === undefined) throw new Error(`${view.name} cannot be listed`);
  for (let after: { after?: readonly [value: number | string, id: string] } = {}; ;) {
    const { items, next } = await store.find({ where: [], sort: { field, descending: false }, limit: 1_000, ...after });
    for (const item of items) found.set(item.id, item);
    if (next === undefined) return found;
    after = { after: next };
  }
}

/** @returns what the view says that it has not applied yet, if anything */
export async function lagOf(logs: Logs, view: View<object>, store: ViewStore<object>, partitions: number): Promise<string | undefined> {
  const applied: Record<string, number | undefined> = (await store.progress())?.applied ?? {};
  for (const [source, position] of headsOf(view, logs, partitions)) {
    if ((applied[source] ?? 0) < position) return `${view.name} is at ${applied[source] ?? 0} of ${position} in ${source}`;
  }
  return undefined;
}

/** @returns what is wrong with the view, if anything */
export async function differenceFrom(logs: Logs, view: View<object>, store: ViewStore<object>, partitions: number): Promise<string | undefined> {
  const wanted = naiveFold(view, logs);
  const lag = await lagOf(logs, view, store, partitions);
  if (lag !== undefined) return lag;
  const listed = view.sortable.length === 0 ? await store.read([...wanted.keys()]) : await everything(view, store);
  for (const [id, document] of wanted) {
    const stored = listed.get(id);
    if (stored === undefined) return `${view.name} does not show ${id}`;
    if (!isDeepStrictEqual(plain(stored.document), plain(document))) return `${view.name} has ${id} as ${JSON.stringify(stored.document)}, the log says ${JSON.stringify(document)}`;
  }
  if (listed.size !== wanted.size) return `${view.name} shows ${listed.size} documents, the log has ${wanted.size}`;
  return undefined;
}

function headsOf(view: View<object>, logs: Logs, partitions: number): Map<string, number> {
  const heads = new Map<string, number>();
  for (const context of view.contexts) for (const { data, position } of logs[context]) heads.set(`${context}/${partitionOf(data.customerId, partitions)}`, position);
  return heads;
}

function plain(value: object): unknown {
  return JSON.parse(JSON.stringify(value));
}

export interface Published { partition: number; value: string }

/** Every event of the log is in its partition with equal content, and first appears in the log's order, chained to the one before it. @returns how often events appear again */
export function checkTopic(context: Context, log: readonly RecordedEvent[], messages: readonly Published[], partitions: number): number {
  const last = new Map<number, number>();
  const first = new Map<number, string>();
  let repeated = 0;
  for (const { partition, value } of messages) {
    const { position, prev } = JSON.parse(value) as { position: number; prev: number };
    const before = first.get(position);
    if (before !== undefined) {
      if (before !== value) fail(`${context} ${position} was published as ${before} and as ${value}`);
      repeated++;
      continue;
    }
    if (prev !== (last.get(partition) ?? 0)) fail(`${context}/${partition}: ${position} says that ${prev} is before it, and ${last.get(partition) ?? 0} is`);
    last.set(partition, position);
    first.set(position, value);
  }
  const partitionOfPosition = new Map(messages.map(({ partition, value }) => [(JSON.parse(value) as { position: number }).position, partition]));
  for (const event of log) {
    const value = first.get(event.position);
    if (value === undefined) fail(`${context} ${event.position} is not in the topic`);
    const { id, type, subject, streamversion, recordedtime, data } = JSON.parse(value) as Record<string, unknown>;
    const { type: _type, ...fields } = event.data;
    const wanted = { id: event.metadata.id, type: event.data.type, subject: event.stream, streamversion: event.version, recordedtime: event.recordedAt, data: plain(fields) };
    if (!isDeepStrictEqual({ id, type, subject, streamversion, recordedtime, data }, wanted)) fail(`${context} ${event.position} is in the topic as ${value}`);
    if (partitionOfPosition.get(event.position) !== partitionOf(event.data.customerId, partitions)) fail(`${context} ${event.position} is in the wrong partition`);
  }
  if (first.size !== log.length) fail(`${context} has ${first.size} events in the topic and ${log.length} in the log`);
  return repeated;
}

/** @returns how often events appear again */
export async function checkTopics(kafka: Kafka, topicPrefix: string, logs: Logs, partitions: number): Promise<number> {
  let repeated = 0;
  for (const context of contexts) repeated += checkTopic(context, logs[context], await readTopic(kafka, `${topicPrefix}${context}.events`), partitions);
  return repeated;
}

/** Each order was decided once, what the saga did it did once, and credit is held for exactly the orders that are open. */
export function checkSagas({ customers, orders }: Logs): void {
  const byOrder = new Map<string, Map<string, number>>();
  for (const { data } of [...customers, ...orders]) {
    if (!('orderId' in data)) continue;
    const counts = byOrder.get(data.orderId) ?? new Map<string, number>();
    byOrder.set(data.orderId, counts.set(data.type, (counts.get(data.type) ?? 0) + 1));
  }
  for (const [orderId, counts] of byOrder) {
    const happened = (...types: string[]) => types.reduce((total, type) => total + (counts.get(type) ?? 0), 0);
    if (happened('OrderPlaced') !== 1) fail(`${orderId} was placed ${happened('OrderPlaced')} times`);
    if (happened('CreditReserved', 'CreditRefused') !== 1) fail(`credit for ${orderId} was decided ${happened('CreditReserved', 'CreditRefused')} times`);
    if (happened('OrderApproved', 'OrderRejected') > 1) fail(`${orderId} was decided ${happened('OrderApproved', 'OrderRejected')} times`);
    if (happened('OrderApproved', 'OrderRejected', 'OrderCancelled') === 0) fail(`${orderId} was never decided`);
    const released = happened('CreditReserved') === 1 && happened('OrderPaid', 'OrderCancelled') > 0 ? 1 : 0;
    if (happened('CreditReleased') !== released) fail(`credit for ${orderId} was released ${happened('CreditReleased')} times where ${released} was due`);
    for (const type of ['OrderPaid', 'OrderShipped', 'OrderDelivered', 'OrderCancelled']) if (happened(type) > 1) fail(`${orderId} has ${type} ${happened(type)} times`);
  }
}
