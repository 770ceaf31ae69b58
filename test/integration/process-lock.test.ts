import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { OperatorError } from '../../src/infrastructure/process/operator-error.js';
import { exclusively } from '../../src/infrastructure/process/process-lock.js';

describe('a lock among processes', function () {
  this.timeout(20_000);
  let directory: string;
  let file: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'orderfold-lock-'));
    file = join(directory, 'starting.lock');
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));
  const work = async () => readFile(file, 'utf8');
  /** What a process has written that is gone by now; `start` as it was then. */
  const left = (pid: number, start = '5f1b6a5e-0000-0000-0000-000000000000 4711') => writeFile(file, `${pid} ${start}`);

  it('is held by one at a time, and given back, also when the work fails', async () => {
    let working = 0;
    let most = 0;
    const works = Array.from({ length: 5 }, (_, n) => exclusively(file, async () => {
      most = Math.max(most, ++working);
      await new Promise((resolve) => setTimeout(resolve, 20));
      working--;
      if (n % 2 === 0) throw new Error('broken');
    }));
    expect((await Promise.allSettled(works)).map(({ status }) => status).sort()).to.deep.equal(['fulfilled', 'fulfilled', 'rejected', 'rejected', 'rejected']);
    expect(most).to.equal(1);
    expect(existsSync(file)).to.equal(false);
  });

  it('is taken over from a process that is gone', async () => {
    const child = spawn(process.execPath, ['-e', '']);
    await once(child, 'exit');
    await left(child.pid!);
    expect(await exclusively(file, work, 5_000)).to.match(new RegExp(`^${process.pid} `));
  });
  it('is taken over from a process whose number is ours now', async () => {
    await left(process.pid);
    expect(await exclusively(file, work, 5_000)).to.match(new RegExp(`^${process.pid} `));
    await writeFile(file, String(process.pid));
    expect(await exclusively(file, work, 5_000)).to.match(new RegExp(`^${process.pid} `));
  });
  it('is taken over from a process whose number is another one\'s now', async () => {
    await left(process.ppid);
    expect(await exclusively(file, work, 5_000)).to.match(new RegExp(`^${process.pid} `));
  });
  it('is taken over when it was left empty', async () => {
    await writeFile(file, '');
    expect(await exclusively(file, work, 5_000)).to.match(new RegExp(`^${process.pid} `));
  });
  it('is taken over by one of many, and nobody loses theirs by that', async () => {
    await left(process.ppid);
    let working = 0;
    await Promise.all(Array.from({ length: 8 }, () => exclusively(file, async () => {
      expect(++working).to.equal(1);
      await new Promise((resolve) => setTimeout(resolve, 10));
      working--;
    }, 5_000)));
  });
  it('is not waited for in vain: who holds it is named', async () => {
    await exclusively(file, async () => {
      const error = await exclusively(file, work, 100).catch((reason: unknown) => reason);
      expect(error).to.be.instanceOf(OperatorError).with.property('message').that.includes(`Process ${process.pid} `).and.includes(file);
    });
  });
});
