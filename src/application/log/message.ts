import type { Context } from '../../domain/events.js';
import type { EventCodec } from './codec.js';
import { sourceOf } from './partition.js';
import type { FeedEvent, Source } from '../ports/event-feed.js';
import type { Message } from '../ports/event-publisher.js';
import type { TopicEnd } from '../ports/published-topic.js';
import type { Metadata, RecordedEvent } from '../ports/event-store.js';

/** This header tells a reader that messages are in the structured mode of CloudEvents' binding for Kafka. */
export const contentType = 'application/cloudevents+json; charset=UTF-8';

/** A message as a consumer gets it: the event, and its place in the chain of its partition. */
export interface ChainedEvent extends FeedEvent {
  /** Position of the event before it in the same partition; 0 for the first one. */
  prev: number;
  /** Names the log that it comes from. */
  epoch: string;
}

/** CloudEvents 1.0 in JSON, with our own attributes: the public contract of the topics. */
export interface Envelope {
  specversion: '1.0';
  id: string;
  /** `/<context>` */
  source: string;
  type: string;
  /** The stream. */
  subject: string;
  /** When it happened. */
  time: string;
  datacontenttype: 'application/json';
  schemaversion: number;
  streamversion: number;
  recordedtime: string;
  position: number;
  prev: number;
  partition: number;
  epoch: string;
  correlationid: string;
  causationid?: string;
  principal: string;
  commandid: string;
  traceparent?: string;
  data: Record<string, unknown>;
}

interface Link {
  prev: number;
  partition: number;
  epoch: string;
}

/** `prev` and the partition depend on the log and the number of partitions alone: a message that is published again carries the same ones. */
export function encodeMessage(event: RecordedEvent, { prev, partition, epoch }: Link, codec: EventCodec): Message {
  const { type, schemaVersion, data } = codec.encode(event.data);
  const { id, correlationId, causationId, principal, commandId, traceparent } = event.metadata;
  const envelope: Envelope = {
    specversion: '1.0',
    id,
    source: `/${event.context}`,
    type,
    subject: event.stream,
    time: event.data.at,
    datacontenttype: 'application/json',
    schemaversion: schemaVersion,
    streamversion: event.version,
    recordedtime: event.recordedAt,
    position: event.position,
    prev,
    partition,
    epoch,
    correlationid: correlationId,
    ...(causationId !== null && { causationid: causationId }),
    principal,
    commandid: commandId,
    ...(traceparent !== undefined && { traceparent }),
    data,
  };
  return {
    partition,
    key: event.data.customerId,
    timestamp: Date.parse(event.recordedAt),
    value: JSON.stringify(envelope),
    headers: { 'content-type': contentType, ...(traceparent !== undefined && { traceparent }) },
  };
}

/** @throws Error when it is not a message of ours */
export function decodeMessage(value: string, codec: EventCodec): ChainedEvent {
  const envelope = JSON.parse(value) as Envelope;
  const { source, type, subject, schemaversion, streamversion, position, prev, partition, epoch, data } = envelope;
  const numbers: unknown[] = [position, prev, partition, schemaversion, streamversion];
  const strings: unknown[] = [source, epoch, type, subject];
  const hasFields = numbers.every(Number.isSafeInteger) && strings.every((one) => typeof one === 'string');
  if (!hasFields || typeof data !== 'object' || (data as unknown) === null) throw new Error('this is not an event of ours');
  const context = source.slice(1) as Context;
  return {
    source: `${context}/${partition}`,
    prev,
    epoch,
    event: {
      context,
      stream: subject,
      version: streamversion,
      position,
      recordedAt: envelope.recordedtime,
      data: codec.decode({ type, schemaVersion: schemaversion, data }),
      metadata: metadataOf(envelope),
    },
  };
}

function metadataOf({ id, correlationid, causationid, principal, commandid, traceparent }: Envelope): Metadata {
  const metadata: Metadata = { id, correlationId: correlationid, causationId: causationid ?? null, principal, commandId: commandid };
  if (traceparent !== undefined) metadata.traceparent = traceparent;
  return metadata;
}

/** What a message says of its place, without its event; `undefined` when it is not a message of ours. */
export function endOf(value: string): TopicEnd | undefined {
  try {
    const { position, id, epoch } = JSON.parse(value) as Partial<Envelope>;
    if (typeof position !== 'number' || !Number.isSafeInteger(position) || typeof id !== 'string' || typeof epoch !== 'string') return undefined;
    return { position, id, epoch };
  } catch {
    return undefined;
  }
}

/** What a message is to a reader that has everything of its partition up to `have`. */
export function linkOf({ prev, event: { position } }: Pick<ChainedEvent, 'prev' | 'event'>, have: number): 'duplicate' | 'next' | 'gap' {
  if (position <= have) return 'duplicate';
  return prev <= have ? 'next' : 'gap';
}

export interface LinkedEvent {
  source: Source;
  /** Position of the event before it in the same partition; 0 for the first one. */
  prev: number;
  event: RecordedEvent;
}

/** Links each event of a log to the one before it in its partition. `last`: by source, the last position that was linked; it is updated. */
export function chained(events: readonly RecordedEvent[], partitions: number, last: Map<Source, number>): LinkedEvent[] {
  return events.map((event) => {
    const source = sourceOf(event, partitions);
    const prev = last.get(source) ?? 0;
    last.set(source, event.position);
    return { source, prev, event };
  });
}
