import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { serve, type Running } from '../support/cli.js';
import { ask, eventually } from '../support/service.js';
import { fill, smallDisk } from './small-disk.js';
import { fail } from './support.js';

const clients = 4;
const answerMs = 6_000;
const recoveryMs = 90_000;

/** The embedded server on a small file system of its own that is filled to the last byte under load, and emptied again. Needs root, to mount it. */
export async function fullDisk({ times }: { times: number }): Promise<string> {
  const { directory, remove } = await smallDisk(256);
  let running: Running | undefined;
  try {
    running = await serve({ DATA_DIR: directory, LOG_LEVEL: 'fatal' });
    const { url } = running;
    const acknowledged: number[] = [];
    const refused = new Map<number, number>();
    let slowestMs = 0;
    let limit = 0;
    let stopped = false;
    await ask(url, 'POST', '/customers', { customerId: 'ada', name: 'Ada', currency: 'EUR' });
    const client = async () => {
      while (!stopped) {
        const creditLimitMinor = ++limit;
        const began = performance.now();
        const { status, headers } = await ask(url, 'PUT', '/customers/ada/credit-limit', { creditLimitMinor });
        slowestMs = Math.max(slowestMs, performance.now() - began);
        if (status === 200) acknowledged.push(creditLimitMinor);
        else if ((status === 503 || status === 507) && headers.get('retry-after') !== null) refused.set(status, (refused.get(status) ?? 0) + 1);
        else fail(`a command was answered with ${status}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    const load = Array.from({ length: clients }, client);
    const recovered: number[] = [];
    for (let n = 0; n < times; n++) {
      const ballast = join(directory, 'ballast');
      await fill(ballast);
      await eventually('readiness is red', async () => (await ask(url, 'GET', '/health/ready')).status === 503, 30_000, 100);
      await new Promise((resolve) => setTimeout(resolve, 5_000));
      const before = acknowledged.length;
      await rm(ballast);
      const began = performance.now();
      await eventually('commands are done again, and it is ready', async () => acknowledged.length > before && (await ask(url, 'GET', '/health/ready')).body.status === 'ready', recoveryMs, 100);
      recovered.push(Math.round(performance.now() - began));
    }
    stopped = true;
    await Promise.all(load);
    if (slowestMs > answerMs) fail(`a command was answered after ${Math.round(slowestMs)} ms`);
    const stored = await storedLimits(url);
    const lost = acknowledged.filter((one) => !stored.has(one));
    if (lost.length > 0) fail(`${lost.length} acknowledged commands are not stored`);
    return `${times} times full: ${acknowledged.length} commands done and stored, refused ${[...refused].map(([status, count]) => `${count} with ${status}`).join(', ')}, `
      + `the slowest answered after ${Math.round(slowestMs)} ms; ready again ${recovered.join(', ')} ms after there was space`;
  } finally {
    await running?.stop();
    await remove();
  }
}

async function storedLimits(url: string): Promise<Set<number>> {
  const limits = new Set<number>();
  for (let after = 0; ;) {
    const { body } = await ask(url, 'GET', `/customers/ada/events?limit=200&after=${after}`);
    for (const { version, data } of body.items as { version: number; data: { creditLimitMinor?: number } }[]) {
      after = version;
      if (data.creditLimitMinor !== undefined) limits.add(data.creditLimitMinor);
    }
    if (body.items.length < 200) return limits;
  }
}
