import type { Context } from '../domain/events.js';
import type { EventCodec } from './event-codec.js';
import { chained, encodeMessage } from './message.js';
import type { CheckpointStore } from './ports/checkpoint-store.js';
import type { Progress, Source } from './ports/event-feed.js';
import type { EventPublisher } from './ports/event-publisher.js';
import type { EventStore } from './ports/event-store.js';
import type { LogSignal } from './ports/log-signal.js';
import { untraced, type Tracer } from './ports/tracer.js';
import { createAlarm } from './alarm.js';
import { pause } from './supervisor.js';
import { causesOf } from './causes.js';

interface Dependencies {
  store: EventStore;
  checkpoints: CheckpointStore;
  signal: LogSignal;
  publisher: EventPublisher;
  codec: EventCodec;
  partitions: number;
  tracer?: Tracer;
}

/** Of a relay: what it has published, and what there was to publish when it last looked. */
export interface RelayState {
  context: Context;
  published: Progress;
  /** Position of the last event that was published. */
  position: number;
  /** `recordedAt` of the oldest event that is not published; `null` when there is none. */
  behindSince: string | null;
}

export const relayCheckpoint = 'relay';
const pageSize = 2_000;
const pollMs = 400;
/** From one page to the next where there is no backlog: under load, many small ones cost three round trips each. */
const paceMs = 20;

/**
 * Takes the log of a context to its topic until `stop`: read, publish, move the checkpoint. Killed anywhere, it publishes again what it had not noted, and loses nothing.
 * @throws Error when publishing fails, or another relay has moved the checkpoint: it is to be started again, and goes on from there
 */
export async function runRelay(
  context: Context, { store, checkpoints, signal, publisher, codec, partitions, tracer = untraced }: Dependencies, stop: AbortSignal, report: (state: RelayState) => void = () => undefined,
): Promise<void> {
  const alarm = createAlarm(stop);
  const unsubscribe = signal.subscribe(context, alarm.ring);
  try {
    const { epoch } = await store.head();
    // The position of a partition's last event is its end of the chain; the greatest of them is how far the log is published.
    let published = await checkpoints.load(relayCheckpoint);
    const last = new Map(Object.entries(published) as [Source, number][]);
    let after = Math.max(0, ...last.values());
    const read = async (from: number) => (await store.readLog({ after: from, limit: pageSize + 1 })).events;
    let ahead: ReturnType<typeof read> | undefined;
    while (!stop.aborted) {
      alarm.reset();
      const found = await (ahead ?? read(after));
      ahead = undefined;
      const events = found.slice(0, pageSize);
      const next = found[pageSize];
      const end = events.at(-1);
      if (end !== undefined) {
        if (next !== undefined) {
          ahead = read(end.position);
          ahead.catch(() => undefined);
        }
        report({ context, published, position: after, behindSince: events[0]?.recordedAt ?? null });
        const messages = chained(events, partitions, last).map(({ source, prev, event }) =>
          encodeMessage(event, { prev, partition: Number(source.slice(source.indexOf('/') + 1)), epoch }, codec));
        const attributes = { 'messaging.operation.name': 'publish', 'messaging.operation.type': 'send', 'messaging.batch.message_count': messages.length };
        await tracer.span(`publish ${context}`, { kind: 'producer', ...causesOf(events), attributes }, () => publisher.publish(context, messages));
        const reached: Progress = Object.fromEntries(last);
        if (!await checkpoints.advance(relayCheckpoint, published, reached)) throw new Error(`another relay of ${context} has moved the checkpoint`);
        published = reached;
        after = end.position;
      }
      report({ context, published, position: after, behindSince: next?.recordedAt ?? null });
      if (next !== undefined) continue;
      if (end !== undefined) await pause(paceMs, stop);
      await alarm.wait(pollMs);
    }
  } finally {
    unsubscribe();
  }
}
