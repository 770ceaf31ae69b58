import type { Context } from '../../domain/events.js';
import type { BehindLog } from '../log/behind-log.js';
import { causesOf } from '../log/causes.js';
import { keepNewest } from '../concurrency/keep-newest.js';
import { furthest } from '../log/partition.js';
import type { Clock } from '../ports/clock.js';
import type { EventFeed, FeedBatch, FeedEvent, Progress } from '../ports/event-feed.js';
import type { EventStores, LogHead } from '../ports/event-store.js';
import type { Logger } from '../ports/logger.js';
import { untraced, type Tracer } from '../ports/tracer.js';
import type { StoredDocument, View, ViewProgress, ViewStore } from '../ports/view-store.js';
import { documentIdOf, fold } from './fold.js';

interface Dependencies<D> {
  store: ViewStore<D>;
  feed: EventFeed;
  /** The logs at hand, to notice one that was replaced. */
  stores: Partial<EventStores>;
  /** For a feed that does not come straight from the log: since when the log has had an event that the feed has not delivered. */
  behindLog?: BehindLog;
  clock: Clock;
  logger: Logger;
  tracer?: Tracer;
}

const rememberedDocuments = 5_000;

/** Keeps one view up to date until `stop`. It fails as soon as anything does: nothing is skipped, and the other views go on. */
export async function runProjector<D extends object>(
  view: View<D>, { store, feed, stores, behindLog, clock, logger, tracer = untraced }: Dependencies<D>, stop: AbortSignal,
): Promise<void> {
  // The progress is read before the heads: a log only grows, so unless it is another log, no view can be ahead of it.
  const before = await store.progress();
  const heads = await Promise.all(view.contexts.flatMap((context) => stores[context]?.head().then((head) => [context, head] as const) ?? []));
  const epochs: Record<string, string> = { ...before?.epochs, ...Object.fromEntries(heads.map(([context, { epoch }]) => [context, epoch])) };
  // What was last written, so that it need not be read again. It may be old: the store refuses a stale revision.
  const remembered = new Map<string, StoredDocument<D>>();
  // The progress that the store has reported or confirmed: the feed goes on from there.
  let counted: Progress = {};

  async function onBatch(batch: FeedBatch): Promise<void> {
    for (const [context, epoch] of Object.entries(batch.epochs)) {
      if ((epochs[context] ??= epoch) === epoch) continue;
      await store.reset();
      throw new Error(`${view.name} was folded from another log of ${context}: it is folded anew`);
    }
    const behindSince = batch.behindSince ?? await behindLog?.(batch.progress) ?? null;
    const progress: ViewProgress = { applied: batch.progress, behindSince, checkedAt: clock.now().toISOString(), epochs: { ...epochs } };
    let open = byDocument(view, batch.events);
    let refused = false;
    do {
      const documents = await apply(open, refused);
      const conflicts = await store.write(documents, progress, counted);
      for (const document of documents) keepNewest(remembered, document.id, document, rememberedDocuments);
      for (const id of conflicts) remembered.delete(id);
      refused = true;
      open = new Map(conflicts.map((id) => [id, open.get(id) ?? []]));
    } while (open.size > 0);
    counted = furthest(counted, batch.progress);
  }

  /** The documents that these events change, each with the revision that it is to be written at. `refused`: another writer came first. */
  async function apply(open: ReadonlyMap<string, readonly FeedEvent[]>, refused: boolean): Promise<StoredDocument<D>[]> {
    const known = new Map<string, StoredDocument<D>>();
    const unknown: string[] = [];
    for (const [id, events] of open) {
      const document = remembered.get(id);
      if (document !== undefined) known.set(id, document);
      // A document begins with this event, so there should be none yet. If there is one, the store refuses the write, and the document is read then.
      else if (refused || events[0]?.event.data.type !== view.begins) unknown.push(id);
    }
    if (unknown.length > 0) for (const [id, document] of await store.read(unknown)) known.set(id, document);
    const changed: StoredDocument<D>[] = [];
    for (const [id, events] of open) {
      const before = known.get(id);
      const after = events.reduce<StoredDocument<D> | undefined>((document, event) => fold(view, id, document, event), before);
      if (after !== undefined && after !== before) changed.push({ ...after, revision: (before?.revision ?? 0) + 1 });
    }
    return changed;
  }

  // An empty batch is not traced.
  async function traced(batch: FeedBatch): Promise<void> {
    if (batch.events.length === 0) return onBatch(batch);
    const attributes = {
      'messaging.operation.name': 'apply',
      'messaging.operation.type': 'process',
      'messaging.batch.message_count': batch.events.length,
    };
    return tracer.span(`apply ${view.name}`, { kind: 'consumer', ...causesOf(batch.events.map(({ event }) => event)), attributes }, () => onBatch(batch));
  }

  const strange = before && heads.find(([context, head]) => isFromAnotherLog(before, context, head));
  if (strange !== undefined) {
    const [context, { position }] = strange;
    logger.warn({ view: view.name, context, position }, 'the view was folded from another log, or from more of it than there is: it is folded anew');
    await store.reset();
  }
  const reached = async () => {
    const { applied = {} } = await store.progress() ?? {};
    counted = furthest(counted, applied);
    return applied;
  };
  await feed.run({ group: `${view.name}-r${view.revision}`, contexts: view.contexts, epochs: () => epochs, reached, onBatch: traced }, stop);
}

function isFromAnotherLog({ applied, epochs }: ViewProgress, context: Context, { position, epoch }: LogHead): boolean {
  return epochs[context] !== epoch || Object.entries(applied).some(([source, reached]) => source.startsWith(`${context}/`) && (reached ?? 0) > position);
}

function byDocument<D extends object>(view: View<D>, events: readonly FeedEvent[]): Map<string, FeedEvent[]> {
  const groups = new Map<string, FeedEvent[]>();
  for (const event of events) {
    const id = documentIdOf(view, event.event);
    if (id === undefined) continue;
    const group = groups.get(id);
    if (group === undefined) groups.set(id, [event]);
    else group.push(event);
  }
  return groups;
}
