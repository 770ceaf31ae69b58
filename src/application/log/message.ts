import type { Context } from '../../domain/events.js';
import type { EventCodec } from './codec.js';
import { sourceOf } from './partition.js';
import type { FeedEvent, Source } from '../ports/event-feed.js';
import type { Message } from '../ports/event-publisher.js';
import type { TopicEnd } from '../ports/published-topic.js';
import type { RecordedEvent } from '../ports/event-store.js';

/** By this header a reader knows the structured mode of CloudEvents' binding for Kafka. */
export const contentType = 'application/cloudevents+json; charset=UTF-8';

/** A message as a consumer has it: the event, and its place in the chain of its partition. */
export interface ChainedEvent extends FeedEvent {
  /** Position of the event before it in the same partition; 0 for the first one. */
  prev: number;
  /** Of the log that it comes from. */
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

/** `prev` and the partition are functions of the log and the number of partitions alone: what is published again carries the same. */
export function encodeMessage(event: RecordedEvent, { prev, partition, epoch }: { prev: number; partition: number; epoch: string }, codec: EventCodec): Message {
  const { type, schemaVersion, data } = codec.encode(event.data);
  const { id, correlationId, causationId, principal, commandId, traceparent } = event.metadata;
  const envelope: Envelope = {
    specversion: '1.0', id, source: `/${event.context}`, type, subject: event.stream, time: event.data.at, datacontenttype: 'application/json',
    schemaversion: schemaVersion, streamversion: event.version, recordedtime: event.recordedAt, position: event.position, prev, partition, epoch,
    correlationid: correlationId, ...(causationId !== null && { causationid: causationId }), principal, commandid: commandId, ...(traceparent !== undefined && { traceparent }),
    data,
  };
  return {
    partition, key: event.data.customerId, timestamp: Date.parse(event.recordedAt), value: JSON.stringify(envelope),
    headers: { 'content-type': contentType, ...(traceparent !== undefined && { traceparent }) },
  };
}

/** @throws Error when it is not a message of ours */
export function decodeMessage(value: string, codec: EventCodec): ChainedEvent {
  const envelope = JSON.parse(value) as Envelope;
  const { id, source, type, subject, schemaversion, streamversion, recordedtime, position, prev, partition, epoch, correlationid, causationid, principal, commandid, traceparent, data } = envelope;
  const numbers: unknown[] = [position, prev, partition, schemaversion, streamversion];
  const strings: unknown[] = [source, epoch, type, subject];
  if (!numbers.every(Number.isSafeInteger) || !strings.every((one) => typeof one === 'string') || typeof data !== 'object' || (data as unknown) === null) throw new Error('this is not an event of ours');
  const context = source.slice(1) as Context;
  return {
    source: `${context}/${partition}`, prev, epoch,
    event: {
      context, stream: subject, version: streamversion, position, recordedAt: recordedtime, data: codec.decode({ type, schemaVersion: schemaversion, data }),
      metadata: { id, correlationId: correlationid, causationId: causationid ?? null, principal, commandId: commandid, ...(traceparent !== undefined && { traceparent }) },
    },
  };
}

/** Where a message belongs, without its event; `undefined` when it is not a message of ours. */
export function endOf(value: string): TopicEnd | undefined {
  try {
    const { position, id, epoch } = JSON.parse(value) as Partial<Envelope>;
    return typeof position === 'number' && Number.isSafeInteger(position) && typeof id === 'string' && typeof epoch === 'string' ? { position, id, epoch } : undefined;
  } catch {
    return undefined;
  }
}

/** What a message is to a reader that has everything of its partition up to `have`. */
export function linkOf({ prev, event: { position } }: Pick<ChainedEvent, 'prev' | 'event'>, have: number): 'duplicate' | 'next' | 'gap' {
  if (position <= have) return 'duplicate';
  return prev <= have ? 'next' : 'gap';
}

/** Links each event of a log to the one before it in its partition. `last`: by source, what was linked already; it is moved along. */
export function chained(events: readonly RecordedEvent[], partitions: number, last: Map<Source, number>): { source: Source; prev: number; event: RecordedEvent }[] {
  return events.map((event) => {
    const source = sourceOf(event, partitions);
    const prev = last.get(source) ?? 0;
    last.set(source, event.position);
    return { source, prev, event };
  });
}
