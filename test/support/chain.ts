import { eventCodec, upcasters } from '../../src/application/log/codec.js';
import { chained, decodeMessage, endOf } from '../../src/application/log/message.js';
import type { Source } from '../../src/application/ports/event-feed.js';
import type { EventPublisher, Message } from '../../src/application/ports/event-publisher.js';
import type { PublishedTopic, TopicEnd } from '../../src/application/ports/published-topic.js';
import type { RecordedEvent } from '../../src/application/ports/event-store.js';
import type { Context } from '../../src/domain/events.js';

const codec = eventCodec(upcasters);

export class TopicInMemory implements EventPublisher, PublishedTopic {
  readonly messages: Message[] = [];
  private seen = 0;

  ends(context: Context): Promise<ReadonlyMap<Source, TopicEnd>> {
    this.seen = this.messages.length;
    return Promise.resolve(new Map(this.messages.map(({ partition, value }) => [`${context}/${partition}`, endOf(value)!])));
  }

  unchanged(): Promise<boolean> {
    return Promise.resolve(this.messages.length === this.seen);
  }

  async publish(_context: Context, messages: readonly Message[]): Promise<void> {
    this.messages.push(...messages.map((message) => ({ ...message })));
    this.seen += messages.length;
  }
}

/**
 * Compares a topic with the log that it was published from. @returns how many messages came more than once
 * @throws Error that names an event that is lost, out of order by its first appearance, in the wrong partition or wrongly linked
 */
export function checkTopic(messages: readonly Pick<Message, 'partition' | 'value'>[], log: readonly RecordedEvent[], partitions: number): number {
  const links = new Map(chained(log, partitions, new Map()).map((link) => [link.event.position, link]));
  const values = new Map<number, string>();
  const last = new Map<number, number>();
  for (const { partition, value } of messages) {
    const { source, prev, event } = decodeMessage(value, codec);
    const link = links.get(event.position);
    if (link === undefined) throw new Error(`position ${event.position} is published, and not in the log`);
    if (link.source !== source || link.source !== `${event.context}/${partition}`) throw new Error(`position ${event.position} is in partition ${partition}, and belongs to ${link.source}`);
    if (link.prev !== prev) throw new Error(`position ${event.position} is linked to ${prev} instead of ${link.prev}`);
    const before = values.get(event.position);
    if (before !== undefined && before !== value) throw new Error(`position ${event.position} was published as two different messages`);
    if (before !== undefined) continue;
    values.set(event.position, value);
    if (event.position < (last.get(partition) ?? 0)) throw new Error(`position ${event.position} comes after ${last.get(partition) ?? 0} in partition ${partition}`);
    last.set(partition, event.position);
  }
  const lost = log.filter(({ position }) => !values.has(position)).map(({ position }) => position);
  if (lost.length > 0) throw new Error(`lost: ${lost.length} of ${log.length} events, positions ${lost.slice(0, 10).join(', ')}`);
  return messages.length - values.size;
}
