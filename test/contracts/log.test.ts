import { expect } from 'chai';
import { eventCodec, upcasters } from '../../src/application/log/codec.js';
import type { CheckpointStore } from '../../src/application/ports/checkpoint-store.js';
import type { Progress } from '../../src/application/ports/event-feed.js';
import type { Leadership } from '../../src/application/ports/leadership.js';
import type { LogSignal } from '../../src/application/ports/log-signal.js';
import type { SnapshotStore } from '../../src/application/ports/snapshot-store.js';
import { MemoryCheckpointStore } from '../../src/infrastructure/memory/memory-checkpoint-store.js';
import { MemoryEventStore } from '../../src/infrastructure/memory/memory-event-store.js';
import { MemoryLeadership } from '../../src/infrastructure/memory/memory-leadership.js';
import { MemoryLogSignal } from '../../src/infrastructure/memory/memory-log-signal.js';
import { MemorySnapshotStore } from '../../src/infrastructure/memory/memory-snapshot-store.js';
import { openDatabase, type Database } from '../../src/infrastructure/postgres/connection/database.js';
import { PostgresCheckpointStore } from '../../src/infrastructure/postgres/log/postgres-checkpoint-store.js';
import { PostgresEventStore } from '../../src/infrastructure/postgres/log/postgres-event-store.js';
import { PostgresLeadership } from '../../src/infrastructure/postgres/log/postgres-leadership.js';
import { PostgresLogSignal } from '../../src/infrastructure/postgres/log/postgres-log-signal.js';
import { PostgresSnapshotStore } from '../../src/infrastructure/postgres/log/postgres-snapshot-store.js';
import { newEvent } from '../support/events.js';
import { embedded, onEachPostgres, postgresServers, type TestServer } from '../support/postgres.js';
import { keptBy } from '../support/signals.js';
import { eventStoreContract } from './event-store.contract.js';

/** A new database, and one part of the log opened on it. */
async function openOn<T>(server: TestServer, make: (database: Database, customers: Database) => T): Promise<{ opened: T; close: () => Promise<void> }> {
  const fresh = await server.freshDatabase();
  const [database, customers] = [openDatabase(fresh.url, 'orders'), openDatabase(fresh.url, 'customers')];
  const close = async () => {
    await Promise.all([database.close(), customers.close()]);
    await fresh.drop();
  };
  return { opened: make(database, customers), close };
}

eventStoreContract('memory', async (codec) => {
  const stores = new MemoryEventStore('orders', codec, new MemoryLogSignal());
  return { reopen: (other) => (other === codec ? stores : stores.withCodec(other)), close: async () => undefined };
});
onEachPostgres('The log on postgres', (server) => {
  eventStoreContract(server.name, async () => {
    const { opened, close } = await openOn(server, (database) => database);
    return { reopen: (codec) => new PostgresEventStore(opened, 'orders', codec, new MemoryLogSignal()), close };
  });
});

describe('an append that waits in PostgreSQL\'s queue', function () {
  this.timeout(20_000);
  it('is not stored when the right to it is lost while it waits', async () => {
    const { opened: store, close } = await openOn(embedded, (database) => new PostgresEventStore(database, 'orders', eventCodec(upcasters), new MemoryLogSignal()));
    try {
      let may = true;
      const append = (expectedVersion: number, rest = {}) => store.append({ stream: 's', expectedVersion, events: [newEvent()], ...rest }).then(({ status }) => status);
      const two = [append(0), append(0)].map((one) => one.finally(() => { may = false; }));
      // A stream is in a batch once, and there are two at a time: this one waits for one of them.
      const waiting = append(1, { mayAppend: () => may });
      expect((await Promise.all(two)).sort()).to.deep.equal(['appended', 'conflict']);
      expect(await waiting).to.equal('withdrawn');
      expect(await store.readStream('s')).to.have.length(1);
    } finally {
      await close();
    }
  });
});

function contract<T>(port: string, adapters: Record<string, () => Promise<{ opened: T; close: () => Promise<void> }>>, tests: (get: () => T) => void) {
  for (const [adapter, open] of Object.entries(adapters)) {
    describe(`${port} contract: ${adapter}`, function () {
      this.timeout(20_000);
      let current: { opened: T; close: () => Promise<void> };
      beforeEach(async () => { current = await open(); });
      afterEach(() => current.close());
      tests(() => current.opened);
    });
  }
}
/** The same adapter on each server. */
const onPostgres = <T>(open: (server: TestServer) => Promise<{ opened: T; close: () => Promise<void> }>) =>
  Object.fromEntries(postgresServers.map((server) => [server.name, () => open(server)]));
const inMemory = <T>(make: () => T) => async () => ({ opened: make(), close: async () => undefined });

contract<SnapshotStore>('SnapshotStore', {
  memory: inMemory(() => new MemorySnapshotStore()),
  ...onPostgres((server) => openOn(server, (database) => new PostgresSnapshotStore(database))),
}, (get) => {
  const snapshot = { stream: 's', version: 200, revision: 1, position: 900, at: '2026-01-01T00:00:00.000Z', state: { deep: { list: [1, null, 'Ä'] } } };
  it('loads what was saved, and nothing for another stream', async () => {
    await get().save(snapshot);
    expect(await get().load('s')).to.deep.equal(snapshot);
    expect(await get().load('t')).to.equal(undefined);
  });
  it('keeps the newest', async () => {
    await get().save({ ...snapshot, version: 400 });
    await get().save(snapshot);
    expect(await get().load('s')).to.include({ version: 400 });
  });
});

contract<CheckpointStore>('CheckpointStore', {
  memory: inMemory(() => new MemoryCheckpointStore()),
  ...onPostgres((server) => openOn(server, (database) => new PostgresCheckpointStore(database))),
}, (get) => {
  it('merges per source, and a position never goes back', async () => {
    expect(await get().load('p')).to.deep.equal({});
    await get().save('p', { 'orders/0': 5, 'orders/1': 7 });
    await get().save('p', { 'orders/0': 3, 'orders/2': 1 });
    expect(await get().load('p')).to.deep.equal({ 'orders/0': 5, 'orders/1': 7, 'orders/2': 1 });
    expect(await get().load('q')).to.deep.equal({});
  });
  it('advances from what is expected, and from nothing else', async () => {
    expect(await get().advance('p', {}, { 'orders/0': 5 })).to.equal(true);
    expect(await get().advance('p', {}, { 'orders/0': 9 })).to.equal(false);
    expect(await get().advance('p', { 'orders/0': 4 }, { 'orders/0': 9 })).to.equal(false);
    expect(await get().advance('p', { 'orders/0': 5, 'orders/1': 1 }, { 'orders/0': 9, 'orders/1': 2 })).to.equal(false);
    expect(await get().load('p')).to.deep.equal({ 'orders/0': 5 });
    expect(await get().advance('p', { 'orders/0': 5 }, { 'orders/0': 6, 'orders/11': 7 })).to.equal(true);
    expect(await get().advance('p', { 'orders/0': 6 }, { 'orders/0': 9 })).to.equal(false);
    expect(await get().advance('p', { 'orders/11': 7, 'orders/0': 6 }, { 'orders/0': 6, 'orders/11': 8 })).to.equal(true);
    expect(await get().load('p')).to.deep.equal({ 'orders/0': 6, 'orders/11': 8 });
    expect(await get().load('q')).to.deep.equal({});
  });
  it('lets one of several advance that expect the same, be it nothing, the same source or other ones', async () => {
    let expected: Progress = {};
    for (let round = 1; round <= 30; round++) {
      const nexts = Array.from({ length: 4 }, (_, one): Progress => ({ ...expected, [`orders/${round % 2 === 0 ? one : round * 10 + one}`]: round * 10 + one }));
      const won = await Promise.all(nexts.map((next) => get().advance('p', expected, next)));
      expect(won.filter((one) => one), `round ${round}`).to.have.length(1);
      expected = nexts[won.indexOf(true)]!;
      expect(await get().load('p')).to.deep.equal(expected);
    }
  });
});

const soon = (condition: () => boolean) => new Promise<void>((resolve, reject) => {
  const deadline = Date.now() + 5_000;
  const look = () => {
    if (condition()) resolve();
    else if (Date.now() > deadline) reject(new Error('it did not happen'));
    else setTimeout(look, 10);
  };
  look();
});

contract<LogSignal & { close?: () => Promise<void> }>('LogSignal', {
  memory: inMemory(() => new MemoryLogSignal()),
  ...onPostgres(async (server) => {
    const { opened, close } = await openOn(server, (orders, customers) => new PostgresLogSignal({ orders, customers }, new MemoryLogSignal()));
    return { opened, close: async () => { await opened.close(); await close(); } };
  }),
}, (get) => {
  it('wakes the readers of that context until they leave', async () => {
    const woken = { orders: 0, customers: 0 };
    const leave = get().subscribe('orders', () => { woken.orders++; });
    get().subscribe('customers', () => { woken.customers++; });
    get().raise('orders');
    await soon(() => woken.orders > 0);
    expect(woken.customers).to.equal(0);
    leave();
    const before = woken.orders;
    get().raise('orders');
    get().raise('customers');
    await soon(() => woken.customers > 0);
    expect(woken.orders).to.equal(before);
  });
});

contract<Leadership>('Leadership', {
  memory: inMemory(() => new MemoryLeadership()),
  ...onPostgres((server) => openOn(server, (database) => new PostgresLeadership(database))),
}, (get) => {
  it('lets one work at a time, and the next one when it ends', async () => {
    const stop = new AbortController();
    let working = 0;
    let most = 0;
    const works = Array.from({ length: 3 }, () => get().lead('work', stop.signal, async () => {
      most = Math.max(most, ++working);
      await new Promise((resolve) => setTimeout(resolve, 30));
      working--;
    }));
    await Promise.all(works);
    expect(most).to.equal(1);
  });
  it('lets works of different names go side by side', async () => {
    const stop = new AbortController();
    let inner = false;
    await get().lead('a', stop.signal, () => get().lead('b', stop.signal, async () => { inner = true; }));
    expect(inner).to.equal(true);
  });
  it('ends the waiting and the work when it is told to stop', async () => {
    const stop = new AbortController();
    let begun = false;
    const first = get().lead('work', stop.signal, (stopped) => new Promise((resolve) => { begun = true; stopped.addEventListener('abort', () => { resolve(); }); }));
    await soon(() => begun);
    let second = false;
    const waiting = get().lead('work', stop.signal, async () => { second = true; });
    setTimeout(() => { stop.abort(); }, 20);
    await Promise.all([first, waiting]);
    expect(second).to.equal(false);
  });
  it('says that it stands by while another one leads, and only then', async () => {
    const stop = new AbortController();
    let [begun, waits] = [false, 0];
    const first = get().lead('work', stop.signal, async () => {
      begun = true;
      await soon(() => waits > 0);
    }, () => { throw new Error('nobody else leads'); });
    await soon(() => begun);
    await get().lead('work', stop.signal, async () => undefined, () => { waits++; });
    await first;
    expect(waits).to.be.greaterThan(0);
  });
  it('leaves nothing at a signal that lives on', async () => {
    const { signal } = new AbortController();
    for (let n = 0; n < 5; n++) {
      const first = get().lead('work', signal, () => new Promise((resolve) => { setTimeout(resolve, 10); }));
      await Promise.all([first, get().lead('work', signal, async () => undefined)]);
    }
    expect(keptBy(signal)).to.equal(0);
  });
  it('hands on what the work failed with, and gives the lead back', async () => {
    const stop = new AbortController();
    const failed = await get().lead('work', stop.signal, async () => { throw new Error('broken'); }).catch((error: unknown) => error);
    expect(failed).to.be.an('error').with.property('message', 'broken');
    let again = false;
    await get().lead('work', stop.signal, async () => { again = true; });
    expect(again).to.equal(true);
  });
});
