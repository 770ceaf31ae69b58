import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { RecordedEvent } from '../../src/application/ports/event-store.js';
import { fail, openStore, sampleEvent } from './support.js';

// Four processes write to the same few streams as fast as they can, while a reader follows the log.
// Run as a child (with `process.send`) it is one of the writers.

interface Settings { url: string; streams: number; inFlight: number; seconds: number; writer: number }
type Stored = [stream: string, version: number, position: number, id: string];

/** @returns what was measured; throws when a promise of the log was broken */
export async function hotStreams(url: string, { processes = 4, inFlight = 64, streams = 20, seconds = 60 } = {}): Promise<string> {
  const { store, close } = openStore(url);
  const stop = new AbortController();
  const seen: RecordedEvent[] = [];
  const tail = (async () => {
    for (let after = 0; ;) {
      const ended = stop.signal.aborted;
      const { events, next } = await store.readLog({ after, limit: 1_000 });
      seen.push(...events);
      if (ended && events.length === 0) return;
      if (events.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
      after = next;
    }
  })();
  try {
    const acknowledged = (await Promise.all(Array.from({ length: processes }, (_, writer) => child({ url, streams, inFlight, seconds, writer })))).flat();
    stop.abort();
    await tail;

    seen.forEach((event, index) => {
      if (event.position !== index + 1) fail(`the reader saw position ${event.position} where ${index + 1} was due`);
    });
    const versions = new Map<string, number>();
    for (const { stream, version } of seen) {
      if (version !== (versions.get(stream) ?? 0) + 1) fail(`${stream} has version ${version} after ${versions.get(stream) ?? 0}`);
      versions.set(stream, version);
    }
    const stored = new Map(seen.map((event) => [event.metadata.id, event]));
    if (acknowledged.length !== seen.length) fail(`${acknowledged.length} events were acknowledged, ${seen.length} are stored`);
    for (const [stream, version, position, id] of acknowledged) {
      const event = stored.get(id);
      if (event?.stream !== stream || event.version !== version || event.position !== position) fail(`the acknowledged event ${id} is not stored as it was said`);
    }
    const { position } = await store.head();
    if (position !== seen.length) fail(`the head is at ${position}, the log has ${seen.length} events`);
    return `${processes} processes x ${inFlight} appends in flight on ${versions.size} streams for ${seconds} s: ${position} events, `
      + 'positions and versions without a hole, acknowledged = stored, the reader saw each once and in order';
  } finally {
    stop.abort();
    await tail.catch(() => undefined);
    await close();
  }
}

function child(settings: Settings): Promise<Stored[]> {
  return new Promise((resolve, reject) => {
    const writer: ChildProcess = fork(fileURLToPath(import.meta.url), [], { execArgv: process.execArgv, serialization: 'advanced' });
    let result: Stored[] | undefined;
    writer.on('message', (message) => { result = message as Stored[]; });
    writer.on('exit', (code) => {
      if (result === undefined) reject(new Error(`a writer ended with code ${code ?? 'none'}`));
      else resolve(result);
    });
    writer.send(settings);
  });
}

async function write({ url, streams, inFlight, seconds, writer }: Settings): Promise<Stored[]> {
  const { store, close } = openStore(url);
  const acknowledged: Stored[] = [];
  const versions = new Map<string, number>();
  const deadline = performance.now() + seconds * 1_000;

  async function append(lane: number): Promise<void> {
    for (let round = lane; performance.now() < deadline; round++) {
      const stream = `order-hot-${round % streams}`;
      const expectedVersion = versions.get(stream) ?? 0;
      const events = [sampleEvent(stream), sampleEvent(stream)];
      const outcome = await store.append({ stream, expectedVersion, events });
      if (outcome.status === 'appended') {
        versions.set(stream, Math.max(versions.get(stream) ?? 0, outcome.version));
        events.forEach(({ metadata }, index) => {
          acknowledged.push([stream, outcome.version - events.length + 1 + index, outcome.position - events.length + 1 + index, metadata.id]);
        });
      } else {
        const behind = await store.readStream(stream, { after: expectedVersion });
        versions.set(stream, Math.max(versions.get(stream) ?? 0, behind.at(-1)?.version ?? expectedVersion));
      }
    }
  }

  await Promise.all(Array.from({ length: inFlight }, (_, lane) => append(writer * inFlight + lane)));
  await close();
  return acknowledged;
}

if (process.send !== undefined && process.argv[1] === fileURLToPath(import.meta.url)) {
  process.once('message', (settings) => {
    void write(settings as Settings).then((acknowledged) => process.send?.(acknowledged, () => { process.disconnect(); }));
  });
}
