import type { Context } from '../../domain/events.js';
import type { CheckpointStore } from '../ports/checkpoint-store.js';
import type { Progress, Source } from '../ports/event-feed.js';
import type { EventStore } from '../ports/event-store.js';

/**
 * Whether the log `epoch` takes the place of `other` in a topic and in the views. A log begins under a random UUID; the epochs that it is given later
 * (`orderfold log new-epoch`) are UUIDv7, which are in order of time. Of two random ones, neither takes the other's place.
 */
export function supersedes(epoch: string, other: string): boolean {
  return isGiven(epoch) && (!isGiven(other) || epoch > other);
}

function isGiven(epoch: string): boolean {
  return epoch.charAt(14) === '7';
}

interface Dependencies {
  store: EventStore;
  policies: readonly { name: string; from: Context; to: Context }[];
  /** The checkpoints of both contexts: a policy that reacts to this log keeps its checkpoint beside the other one. */
  checkpoints: Readonly<Record<Context, CheckpointStore>>;
  /** Stores the epoch of the log. */
  give: (epoch: string) => Promise<void>;
}

/**
 * Gives a log another epoch. After that, the views are folded from it anew and its relay publishes all of it again. A policy whose checkpoint is beyond
 * the end of this log goes on behind the log's last event: what it did for events that are no longer there stays done.
 * @returns the position of the last event that the new epoch begins with
 */
export async function beginEpoch(context: Context, epoch: string, { store, policies, checkpoints, give }: Dependencies): Promise<number> {
  const { position } = await store.head();
  for (const { name, from, to } of policies) {
    if (from !== context) continue;
    const done = await checkpoints[to].load(name);
    const sources = Object.entries(done) as [Source, number][];
    const within: Progress = Object.fromEntries(sources.map(([source, reached]) => [source, Math.min(reached, position)]));
    if (!await checkpoints[to].advance(name, done, within)) throw new Error(`the policy ${name} is running: stop every process of the service first`);
  }
  await give(epoch);
  return position;
}
