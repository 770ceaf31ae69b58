import type { Context } from '../../domain/events.js';
import { supersedes } from './epoch.js';
import { sourceOf } from './partition.js';
import type { Progress, Source } from '../ports/event-feed.js';
import type { TopicEnd } from '../ports/published-topic.js';
import type { EventStore, RecordedEvent } from '../ports/event-store.js';

/** How a partition of the topic compares to the log: `behind` lacks what comes after a position, `foreign` holds what is not of this log. */
export type Verdict = 'whole' | 'foreign' | { behind: number };

interface Known {
  /** Names the log. */
  epoch: string;
  /** Position of the last published event of this partition, from the relay's checkpoint; 0 for none. */
  published: number;
  /** The event of the log that has the position of the topic's last message, when it is one of this partition. */
  found: RecordedEvent | undefined;
}

export function compareEnd(end: TopicEnd | undefined, { epoch, published, found }: Known): Verdict {
  const after = (position: number): Verdict => (position < published ? { behind: position } : 'whole');
  if (end === undefined || supersedes(epoch, end.epoch)) return after(0);
  if (end.epoch !== epoch || found?.metadata.id !== end.id) return 'foreign';
  return after(end.position);
}

interface PublishedLog {
  store: EventStore;
  published: Progress;
  epoch: string;
  partitions: number;
}

/**
 * Compares the ends of a topic with its log.
 * @returns by source, the position after which the topic lacks what was published
 * @throws Error when it holds events that are not in this log: publishing into it would be in vain
 */
export async function missingInTopic(
  context: Context, ends: ReadonlyMap<Source, TopicEnd>, { store, published, epoch, partitions }: PublishedLog,
): Promise<Map<Source, number>> {
  const missing = new Map<Source, number>();
  for (const one of new Set([...ends.keys(), ...Object.keys(published) as Source[]])) {
    const end = ends.get(one);
    const [event] = end?.epoch !== epoch ? [] : (await store.readLog({ after: end.position - 1, limit: 1 })).events;
    const found = event !== undefined && event.position === end?.position && sourceOf(event, partitions) === one ? event : undefined;
    const verdict = compareEnd(end, { epoch, published: published[one] ?? 0, found });
    if (verdict === 'foreign') throw new Error(statement(context, one, end));
    if (verdict !== 'whole') missing.set(one, verdict.behind);
  }
  return missing;
}

function statement(context: Context, source: Source, end: TopicEnd | undefined): string {
  return `the topic of ${context} ends in ${source} with position ${end?.position ?? 0} (event ${end?.id ?? ''}), which is not in this log: `
    + 'the log was restored from an older backup, or the topic belongs to another log. Nothing more is published. '
    + `Stop every process of the service and run "orderfold log new-epoch --context ${context}" to lead the topic on with this log, `
    + 'or give it topics of its own with KAFKA_TOPIC_PREFIX';
}
