import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { v7 as uuid } from 'uuid';
import { eventCodec, upcasters } from '../../src/application/log/codec.js';
import type { EventStore, NewEvent } from '../../src/application/ports/event-store.js';
import { MemoryLogSignal } from '../../src/infrastructure/memory/memory-log-signal.js';
import { openDatabase } from '../../src/infrastructure/postgres/connection/database.js';
import { PostgresEventStore } from '../../src/infrastructure/postgres/log/postgres-event-store.js';
import { packageRoot } from '../../src/infrastructure/process/package-root.js';

/** A promise was broken. */
export function fail(what: string): never {
  throw new Error(what);
}

export type Random = () => number;

/** mulberry32: the same numbers from the same seed, in [0, 1). */
export function random(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function openStore(url: string): { store: EventStore<'orders'>; close: () => Promise<void> } {
  const database = openDatabase(url, 'orders');
  return { store: new PostgresEventStore(database, 'orders', eventCodec(upcasters), new MemoryLogSignal()), close: () => database.close() };
}

export function sampleEvent(stream: string): NewEvent<'orders'> {
  return {
    data: { type: 'OrderApproved', orderId: stream.slice('order-'.length), customerId: 'c-1', at: '2026-01-01T00:00:00.000Z' },
    metadata: { id: uuid(), correlationId: uuid(), causationId: null, principal: 'trial', commandId: uuid() },
  };
}

interface LoggedEvent { stream: string; version: number; position: number; type: string; orderId: string }

/** Both logs, as `orderfold events read` prints them: what an operator would see. */
export async function readWholeLog(dataDir: string): Promise<{ customers: LoggedEvent[]; orders: LoggedEvent[] }> {
  const read = async (context: string): Promise<LoggedEvent[]> => {
    const { stdout } = await promisify(execFile)(process.execPath,
      [join(packageRoot, 'dist/interfaces/cli/main.js'), 'events', 'read', '--context', context, '--json'],
      { env: { ...process.env, DATA_DIR: dataDir, LOG_LEVEL: 'fatal' }, maxBuffer: 1 << 30 });
    return stdout.split('\n').filter((line) => line !== '').map((line) => {
      const { stream, version, position, data } = JSON.parse(line) as { stream: string; version: number; position: number; data: { type: string; orderId?: string } };
      return { stream, version, position, type: data.type, orderId: data.orderId ?? '' };
    });
  };
  return { customers: await read('customers'), orders: await read('orders') };
}
