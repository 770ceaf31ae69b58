import { execFile } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import { OperatorError } from './operator-error.js';

const run = promisify(execFile);
const pollMs = 50;
const ended = 'ended';
/** A file that is empty for longer than this was left by a process that ended between making and writing it. */
const leftMs = 2_000;
const patienceMs = 120_000;

/**
 * Runs `work` while holding the lock `file`: one at a time, in this process and among all processes of the machine.
 * The lock of a process that has ended is taken over, also when its pid now belongs to another process, or to this one.
 * @throws OperatorError when somebody holds it for longer than `waitMs`
 */
export async function exclusively<T>(file: string, work: () => Promise<T>, waitMs = patienceMs): Promise<T> {
  await take(file, waitMs);
  try {
    return await work();
  } finally {
    await rm(file, { force: true });
  }
}

async function take(file: string, waitMs: number): Promise<void> {
  const began = performance.now();
  const mine = `${process.pid} ${await startOf(process.pid) ?? ''}`;
  const isOld = watch();
  for (;;) {
    if (makeFile(file, mine)) return;
    const found = await readFile(file, 'utf8').catch(() => undefined);
    if (found === undefined) continue;
    if (found === '' ? isOld(file) : !await isHeld(found)) removeIfStill(file, found, isOld);
    else if (performance.now() - began > waitMs) {
      throw new OperatorError(`Process ${found.split(' ')[0]} has been starting or stopping the PostgreSQL here for ${Math.round(waitMs / 1_000)} s: `
        + `wait for it, or end it, and remove ${file} if there is none.`);
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/**
 * Several processes may find the same abandoned lock. A second lock lets one at a time look again and remove it:
 * otherwise one could remove the lock that another has taken since.
 */
function removeIfStill(file: string, found: string, isOld: (file: string) => boolean): void {
  const guard = `${file}.guard`;
  if (!makeFile(guard, '')) {
    if (isOld(guard)) rmSync(guard, { force: true });
    return;
  }
  try {
    if (existsSync(file) && readFileSync(file, 'utf8') === found) rmSync(file, { force: true });
  } finally {
    rmSync(guard, { force: true });
  }
}

/** @returns false when it is there already */
function makeFile(file: string, content: string): boolean {
  try {
    writeFileSync(file, content, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Tells whether a file was first seen so long ago that the process that was writing it must have ended. */
function watch(): (file: string) => boolean {
  const since = new Map<string, number>();
  return (file) => {
    const first = since.get(file) ?? performance.now();
    since.set(file, first);
    return performance.now() - first > leftMs;
  };
}

/** Whether the process that wrote `<pid> <start>` is still running. Earlier versions wrote the pid alone, which may belong to another process by now. */
async function isHeld(found: string): Promise<boolean> {
  const [number = '', ...rest] = found.split(' ');
  const start = rest.join(' ');
  const pid = Number(number);
  if (!(pid > 0) || !isAlive(pid)) return false;
  const now = await startOf(pid);
  // On systems that do not tell when a process started, a pid that is in use must do.
  return now === undefined || now === start;
}

/** Whether the process exists and has not ended: a zombie, whose parent has not waited for it, keeps its pid. */
export async function isRunning(pid: number): Promise<boolean> {
  return isAlive(pid) && await startOf(pid) !== ended;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** When the process was started, on Linux in clock ticks of this boot: pid and start together are unique. `undefined` when it cannot be told. */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    if (process.platform === 'linux') {
      const [stat, boot] = await Promise.all([readFile(`/proc/${pid}/stat`, 'utf8'), readFile('/proc/sys/kernel/random/boot_id', 'utf8')]);
      // The name of the program, in parentheses, may contain spaces and parentheses.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return fields[0] === 'Z' ? ended : `${boot.trim()} ${fields[19]}`;
    }
    return process.platform === 'win32' ? undefined : (await run('ps', ['-o', 'lstart=', '-p', String(pid)])).stdout.trim();
  } catch {
    return undefined;
  }
}
