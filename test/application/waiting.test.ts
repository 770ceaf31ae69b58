import { expect } from 'chai';
import { supervise, type WorkerStatus } from '../../src/application/concurrency/supervisor.js';
import { pause } from '../../src/application/concurrency/pause.js';
import { MemoryCommandQueue } from '../../src/infrastructure/memory/memory-command-queue.js';
import { MemoryLeadership } from '../../src/infrastructure/memory/memory-leadership.js';
import { Wakeable } from '../../src/application/concurrency/wakeable.js';
import { quiet } from '../support/events.js';
import { memoryApplication } from '../support/memory-application.js';
import { keptBy } from '../support/signals.js';

describe('what waits on a signal that lives as long as the process', () => {
  const news = new Wakeable();
  const queue = new MemoryCommandQueue(10);
  const { feed } = memoryApplication();
  const ways: Record<string, (stop: AbortSignal) => Promise<unknown>> = {
    'a pause': (stop) => pause(1, stop),
    'news that do not come': (stop) => news.wait(news.seen, 1, stop),
    'news that come': (stop) => {
      const waited = news.wait(news.seen, 1_000, stop);
      news.wake();
      return waited;
    },
    'an empty queue': (stop) => queue.lease({ limit: 1, leaseMs: 1_000, waitMs: 1 }, stop),
    'a leader': (stop) => new MemoryLeadership().lead('w', stop, () => Promise.resolve()),
    'a feed that fails': (stop) => feed.run({ group: 'g', contexts: ['customers', 'orders'], reached: () => Promise.resolve({}), onBatch: () => Promise.reject(new Error('broken')) }, stop).catch(() => undefined),
  };
  for (const [name, wait] of Object.entries(ways)) {
    it(`leaves nothing behind at it: ${name}`, async () => {
      const { signal } = new AbortController();
      for (let n = 0; n < 20; n++) await wait(signal);
      expect(keptBy(signal)).to.equal(0);
    });
  }

  it('goes on at once when it is aborted, before or meanwhile', async () => {
    const began = performance.now();
    for (const when of ['before', 'meanwhile']) {
      const stop = new AbortController();
      if (when === 'before') stop.abort();
      else setTimeout(() => { stop.abort(); }, 5);
      await Promise.all([pause(60_000, stop.signal), news.wait(news.seen, 60_000, stop.signal)]);
    }
    expect(performance.now() - began).to.be.lessThan(10_000);
  });
});

describe('a supervised worker', () => {
  it('stands by, and is healthy, while another process does what it had failed at', async function () {
    this.timeout(20_000);
    const leadership = new MemoryLeadership();
    const stop = new AbortController();
    const status: WorkerStatus = { name: 'w', state: 'standby' };
    const seen: string[] = [];
    let successor: Promise<void> | undefined;
    const running = supervise(status, { leadership, logger: { ...quiet, error: () => { seen.push(`${status.state} ${status.error ?? ''}`); } } }, stop.signal, async () => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      // It waits, and has its turn as soon as this one has failed.
      successor ??= leadership.lead('w', stop.signal, (ends) => new Promise((resolve) => { ends.addEventListener('abort', () => { resolve(); }); }));
      throw new Error('broken');
    });
    try {
      for (const deadline = Date.now() + 10_000; seen.length === 0 || status.state !== 'standby';) {
        if (Date.now() > deadline) throw new Error(`it is ${status.state} after ${seen.join()}`);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      expect(status).to.deep.equal({ name: 'w', state: 'standby' });
      expect(seen).to.deep.equal(['failing broken']);
    } finally {
      stop.abort();
      await Promise.all([running, successor]);
    }
  });
});
