import type { Context } from '../../domain/events.js';
import type { EventCodec } from './codec.js';
import { chained, encodeMessage, type LinkedEvent } from './message.js';
import type { CheckpointStore } from '../ports/checkpoint-store.js';
import type { Progress, Source } from '../ports/event-feed.js';
import type { EventPublisher } from '../ports/event-publisher.js';
import type { PublishedTopic } from '../ports/published-topic.js';
import type { EventStore } from '../ports/event-store.js';
import type { Logger } from '../ports/logger.js';
import type { LogSignal } from '../ports/log-signal.js';
import { untraced, type Tracer } from '../ports/tracer.js';
import { Wakeable } from '../concurrency/wakeable.js';
import { pause } from '../concurrency/pause.js';
import { causesOf } from './causes.js';
import { createPages } from './pages.js';
import { missingInTopic } from './topic-check.js';

interface Dependencies {
  store: EventStore;
  checkpoints: CheckpointStore;
  signal: LogSignal;
  publisher: EventPublisher;
  codec: EventCodec;
  partitions: number;
  /** Checked when the relay begins, and every `checkEveryMs`; left out where a test is about the publisher alone. */
  topic?: PublishedTopic;
  checkEveryMs?: number;
  logger?: Pick<Logger, 'warn'>;
  tracer?: Tracer;
}

/** What a relay has published, and what there was to publish when it last looked. */
export interface RelayState {
  context: Context;
  published: Progress;
  /** Position of the last event that was published. */
  position: number;
  /** `recordedAt` of the oldest event that is not published; `null` when there is none, or, beside `error`, when it is not known. */
  behindSince: string | null;
  /** Why it has stopped; it is tried again. */
  error?: string;
}

/** Milliseconds since the oldest event that is not published was stored; `null` where a failure leaves that unknown. */
export function relayLagMs({ behindSince, error }: RelayState, now: Date): number | null {
  if (behindSince !== null) return Math.max(0, now.getTime() - Date.parse(behindSince));
  return error === undefined ? 0 : null;
}

export const relayCheckpoint = 'relay';
const pageSize = 2_000;
const pollMs = 400;
/** Pause between two pages when there is no backlog: under load, many small pages would cost three round trips each. */
const paceMs = 20;

/** A topic that has lost messages is noticed after this time at the latest. */
const defaultCheckEveryMs = 20_000;

/**
 * Publishes the log of a context to its topic until `stop`: read, publish, move the checkpoint. Killed anywhere, it publishes again what the checkpoint
 * does not cover, and loses nothing. Events that the topic has lost are published again first.
 * @throws Error when publishing fails, or another relay has moved the checkpoint: start it again, and it goes on from there; or when the topic holds
 *   what is not in the log
 */
export async function runRelay(
  context: Context,
  { store, checkpoints, signal, publisher, codec, partitions, topic, checkEveryMs = defaultCheckEveryMs, logger, tracer = untraced }: Dependencies,
  stop: AbortSignal, report: (state: RelayState) => void = () => undefined,
): Promise<void> {
  const news = new Wakeable();
  const unsubscribe = signal.subscribe(context, () => { news.wake(); });
  try {
    const { epoch } = await store.head();
    // The chain of a partition ends with the position of its last event; the greatest of these is how far the log is published.
    let published = await checkpoints.load(relayCheckpoint);
    const last = new Map(Object.entries(published) as [Source, number][]);
    let after = Math.max(0, ...last.values());
    const pageBehind = createPages(store, pageSize);

    async function publish(links: readonly LinkedEvent[]): Promise<void> {
      const messages = links.map(({ source, prev, event }) => {
        const partition = Number(source.slice(source.indexOf('/') + 1));
        return encodeMessage(event, { prev, partition, epoch }, codec);
      });
      const attributes = {
        'messaging.operation.name': 'publish',
        'messaging.operation.type': 'send',
        'messaging.batch.message_count': messages.length,
      };
      const options = { kind: 'producer', ...causesOf(links.map(({ event }) => event)), attributes } as const;
      await tracer.span(`publish ${context}`, options, () => publisher.publish(context, messages));
    }

    /** Comes before anything else is published: behind a gap, a reader without the log would wait for ever. */
    async function mend(of: PublishedTopic): Promise<void> {
      const missing = await missingInTopic(context, await of.ends(context), { store, published, epoch, partitions });
      if (missing.size === 0) return;
      logger?.warn({ context, after: Object.fromEntries(missing) }, 'the topic lacks events that were published: they are published again');
      const upTo = Math.max(...[...missing.keys()].map((source) => published[source] ?? 0));
      const chain = new Map(missing);
      for (let from = Math.min(...missing.values()); from < upTo && !stop.aborted;) {
        const events = (await store.readLog({ after: from, limit: pageSize })).events.filter(({ position }) => position <= upTo);
        const links = chained(events, partitions, chain).filter(({ source, event: { position } }) =>
          position > (missing.get(source) ?? Infinity) && position <= (published[source] ?? 0));
        if (links.length > 0) {
          report({ context, published, position: after, behindSince: links[0]?.event.recordedAt ?? null });
          await publish(links);
        }
        from = events.at(-1)?.position ?? upTo;
      }
    }

    if (topic !== undefined) {
      const [waiting] = (await store.readLog({ after, limit: 1 })).events;
      if (waiting !== undefined) report({ context, published, position: after, behindSince: waiting.recordedAt });
      await mend(topic);
    }
    let checkedAt = performance.now();
    while (!stop.aborted) {
      if (topic !== undefined && performance.now() - checkedAt >= checkEveryMs) {
        if ((await store.head()).epoch !== epoch) throw new Error(`the log of ${context} was given another epoch: its relay begins again`);
        if (!await topic.unchanged(context)) await mend(topic);
        checkedAt = performance.now();
      }
      const { seen } = news;
      const { events, next } = await pageBehind(after);
      const end = events.at(-1);
      if (end !== undefined) {
        report({ context, published, position: after, behindSince: events[0]?.recordedAt ?? null });
        await publish(chained(events, partitions, last));
        const reached: Progress = Object.fromEntries(last);
        if (!await checkpoints.advance(relayCheckpoint, published, reached)) throw new Error(`another relay of ${context} has moved the checkpoint`);
        published = reached;
        after = end.position;
      }
      report({ context, published, position: after, behindSince: next?.recordedAt ?? null });
      if (next !== undefined) continue;
      if (end !== undefined) await pause(paceMs, stop);
      await news.wait(seen, pollMs, stop);
    }
  } finally {
    unsubscribe();
  }
}
