import type { Context } from '../../domain/events.js';
import type { RecordedEvent } from './event-store.js';

/** `<context>/<partition>`: events of one source arrive in order of position. */
export type Source = `${Context}/${number}`;

/** By source: every event of it up to this position has been delivered (or applied). */
export type Progress = Readonly<Partial<Record<Source, number>>>;

/** "Show me at least this": an event's place, as `<context>:<position>:<partition>`; several are joined by commas. */
export interface ConsistencyToken {
  context: Context;
  position: number;
  partition: number;
}

export interface FeedEvent {
  source: Source;
  event: RecordedEvent;
}

export interface FeedBatch {
  /** In order per source. Empty when the feed only says that nothing is newer. */
  events: readonly FeedEvent[];
  /** After this batch; holds every source that the batch speaks of, with or without events of it. */
  progress: Progress;
  /**
   * Since when the subscriber is behind in these sources: `recordedAt` of the oldest event that is neither in this batch nor in an earlier one. Where the
   * feed cannot know that event yet, it is the one of the last event that was delivered before it. `null` at the end of the feed.
   */
  behindSince: string | null;
  /** Epochs of the logs that the events come from, by context, as far as the feed knows them. */
  epochs: Readonly<Record<string, string>>;
}

export interface Subscription {
  /** Durable name of the subscriber: one view, or one policy. */
  group: string;
  contexts: readonly Context[];
  /** Epochs of the logs that the subscriber has events of, by context, as far as it knows: events of an older epoch are not delivered. */
  epochs?(): Readonly<Record<string, string>>;
  /** Asked when the feed begins, and whenever it takes over sources: events at or below this are not needed again; they may come all the same. */
  reached(): Promise<Progress>;
  /** One batch at a time; the next one comes after the promise. When it rejects, the feed stops with that error. */
  onBatch(batch: FeedBatch): Promise<void>;
}

/**
 * Carries the events of the logs to a subscriber: every event at least once, in order per source.
 * At the end of the feed it delivers an empty batch at least every second, so that a subscriber can tell "nothing new" from "dead".
 */
export interface EventFeed {
  /** Whether the subscribers of one group share its events among themselves; otherwise one of them at a time is to run. */
  readonly shared: boolean;
  /** Runs until `stop` is aborted (resolves) or a batch or the feed fails (rejects). */
  run(subscription: Subscription, stop: AbortSignal): Promise<void>;
}
