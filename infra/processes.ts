import { spawn } from 'node:child_process';
import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { OperatorError } from '../src/infrastructure/process/operator-error.js';

export interface ServerCommand {
  name: string;
  command: string;
  args: readonly string[];
  cwd: string;
  env: Record<string, string>;
  account?: Account | undefined;
  pidFile: string;
  logFile: string;
  /** Rejects until the server answers. */
  ready: () => Promise<void>;
}

/** Whom a server runs as. */
export interface Account { uid: number; gid: number }

const startMs = 120_000;
const stopMs = 30_000;

/** Starts a server that outlives this process, and waits until it answers. */
export async function startServer({ name, command, args, cwd, env, account, pidFile, logFile, ready }: ServerCommand): Promise<void> {
  const log = await open(logFile, 'a');
  const child = spawn(command, args, { cwd, env, ...account, detached: true, stdio: ['ignore', log.fd, log.fd] });
  await log.close();
  const gone = new Promise<never>((_, reject) => {
    child.once('error', (error) => { reject(new OperatorError(`${name} could not be started: ${error.message}`)); });
    child.once('exit', () => { reject(new OperatorError(`${name} ended while it started: see ${logFile}`)); });
  });
  gone.catch(() => undefined);
  if (child.pid !== undefined) await writeFile(pidFile, String(child.pid));
  const deadline = performance.now() + startMs;
  for (;;) {
    const error = await Promise.race([ready().then(() => undefined, (reason: unknown) => reason as Error), gone]);
    if (error === undefined) break;
    if (performance.now() > deadline) throw new OperatorError(`${name} did not answer within ${startMs / 1_000} s (${error.message}): see ${logFile}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  child.unref();
}

/** The process that was started with this pid file, if it still runs. */
export async function runningPid(pidFile: string, command: string): Promise<number | undefined> {
  const pid = Number(await readFile(pidFile, 'utf8').catch(() => ''));
  if (!(pid > 0)) return undefined;
  // A pid is used again after a while: what is not our command is not ours to end.
  const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => (process.platform === 'linux' || !isAlive(pid) ? '' : command));
  return line.includes(command) ? pid : undefined;
}

export async function stopServer(pidFile: string, command: string): Promise<boolean> {
  const pid = await runningPid(pidFile, command);
  if (pid !== undefined) {
    process.kill(pid, 'SIGTERM');
    const deadline = performance.now() + stopMs;
    while (await runningPid(pidFile, command) !== undefined) {
      if (performance.now() > deadline) process.kill(pid, 'SIGKILL');
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  await rm(pidFile, { force: true });
  return pid !== undefined;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
