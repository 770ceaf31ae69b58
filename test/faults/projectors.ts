import { setTimeout as sleep } from 'node:timers/promises';
import type { Servers } from './behind-proxies.js';
import { order, type Acknowledged } from './clients.js';
import { Production } from './production.js';
import { fail, random } from './support.js';
import { differenceFrom, readLogs } from './truth.js';

// Three projectors share the partitions of every view; one after the other is killed with -9 while events flow. A reader sees no document go back.

const projectors = 3;
const clients = 4;
const caughtUpMs = 60_000;

/** @returns what was seen; throws when a promise was broken */
export async function projectorKills(environment: Servers, { seed = 1, seconds = 120, everyMs = 5_000 } = {}): Promise<string> {
  const dice = random(seed);
  const production = await Production.start(environment, { projectors });
  const record: Acknowledged[] = [];
  const stop = new AbortController();
  const load = Array.from({ length: clients }, (_, n) => order(n, production, record, random(seed * 1_000 + n), stop.signal, { everyMs: 100, held: () => Promise.resolve() }));
  const reader = new AbortController();
  const reading = readBack(production, reader.signal);
  // A broken promise of the reader is told in the end, or at once when nothing else goes on.
  reading.catch(() => undefined);
  let kills = 0;
  const starting = new Map<string, Promise<void>>();
  try {
    for (const deadline = performance.now() + seconds * 1_000; performance.now() < deadline;) {
      await sleep(everyMs);
      const name = `projector-${Math.floor(dice() * projectors)}`;
      // One that has not come back yet is not killed again: the others fold its partitions.
      if (starting.has(name)) continue;
      await production.kill(name);
      kills++;
      starting.set(name, production.run(name, 'projector').then(() => { starting.delete(name); }));
    }
    await Promise.all(starting.values());
    stop.abort();
    await Promise.all(load);
    if (kills === 0) fail('no projector was killed');
    const ended = performance.now();
    const events = await untilFolded(production);
    const caughtUp = performance.now() - ended;
    reader.abort();
    const { reads, documents } = await reading;
    return `${projectors} projectors, ${kills} times one of them killed, under ${record.length} commands: every view is the fold of ${events} events ${(caughtUp / 1_000).toFixed(1)} s after the last one; `
      + `${reads} reads of ${documents} documents saw none go back`;
  } catch (error) {
    throw new Error(`the processes said: ${production.lastWords}`, { cause: error });
  } finally {
    stop.abort();
    reader.abort();
    await Promise.allSettled(starting.values());
    await production.stop();
    await Promise.allSettled([...load, reading]);
    await production.forget();
  }
}

async function untilFolded(production: Production): Promise<number> {
  return production.look(async ({ stores, databaseUrl }) => {
    for (const deadline = performance.now() + caughtUpMs; ;) {
      const logs = await readLogs(databaseUrl);
      let difference: string | undefined;
      for (const [view, store] of stores) difference ??= await differenceFrom(logs, view, store, production.partitions);
      const { customers, orders } = await readLogs(databaseUrl);
      // The saga may still be at it.
      if (difference === undefined && customers.length === logs.customers.length && orders.length === logs.orders.length) return customers.length + orders.length;
      if (performance.now() > deadline) fail(difference ?? 'the logs still grow');
      await sleep(200);
    }
  });
}

/** Reads a sample of documents by id, and lists others, every few milliseconds. */
async function readBack(production: Production, stop: AbortSignal): Promise<{ reads: number; documents: number }> {
  return production.look(async ({ stores }) => {
    const searched = [...stores].filter(([{ home }]) => home === 'views');
    // A search may be behind a read by id, and neither behind itself.
    const seen = new Map<string, number>();
    const samples = new Map<string, string[]>();
    let reads = 0;
    const note = (how: string, id: string, revision: number) => {
      const before = seen.get(`${how} ${id}`) ?? 0;
      if (revision < before) fail(`${how} showed ${id} at revision ${revision} after ${before}`);
      seen.set(`${how} ${id}`, revision);
      reads++;
    };
    while (!stop.aborted) {
      for (const [view, store] of searched) {
        const [field = ''] = view.sortable;
        const sample = samples.get(view.name) ?? [];
        for (const { id, revision } of (await store.read(sample)).values()) note(`${view.name} by id`, id, revision);
        for (const { id, revision } of (await store.find({ where: [], sort: { field, descending: true }, limit: 20 })).items) {
          note(`${view.name} in a list`, id, revision);
          if (sample.length < 100 && !sample.includes(id)) sample.push(id);
        }
        samples.set(view.name, sample);
      }
      await sleep(5);
    }
    return { reads, documents: seen.size };
  });
}
