import { execFile, spawn } from 'node:child_process';
import { chmod, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../../src/infrastructure/process/free-port.js';
import { temporaryDirectory } from './postgres.js';

const run = promisify(execFile);
const startMs = 10_000;

export interface Pooler {
  url: string;
  close(): Promise<void>;
}

/** Where Debian and others put it; `undefined`: it is not installed. */
export const pgbouncer = await Promise.any(['pgbouncer', '/usr/sbin/pgbouncer', '/usr/local/sbin/pgbouncer'].map((path) => run(path, ['--version']).then(() => path))).catch(() => undefined);

/** A PgBouncer of its own before the server of `target`, which names a user with a password or one that needs none. */
export async function startPgBouncer(binary: string, target: string, poolMode: 'session' | 'transaction' | 'statement'): Promise<Pooler> {
  const directory = await temporaryDirectory();
  const { hostname, port: targetPort, username, password, pathname } = new URL(target);
  const port = await freePort();
  const file = join(directory, 'pgbouncer.ini');
  await writeFile(file, `[databases]
* = host=${hostname} port=${targetPort || '5432'} user=${username}${password === '' ? '' : ` password=${decodeURIComponent(password)}`}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = ${poolMode}
default_pool_size = 60
`, { mode: 0o600 });
  // It refuses to run as root.
  const account = process.getuid?.() === 0 ? { uid: Number((await run('id', ['-u', 'postgres'])).stdout), gid: Number((await run('id', ['-g', 'postgres'])).stdout) } : {};
  if (account.uid !== undefined) await run('chown', ['-R', `${account.uid}:${account.gid}`, directory]);
  await chmod(directory, 0o755);
  const child = spawn(binary, ['--quiet', file], { ...account, cwd: '/', stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => { child.once('exit', () => { resolve(); }); child.once('error', () => { resolve(); }); });
  const close = async () => {
    if (child.exitCode === null) child.kill('SIGKILL');
    await ended;
    await rm(directory, { recursive: true, force: true });
  };
  for (const deadline = performance.now() + startMs; !await answers(port);) {
    if (performance.now() < deadline && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 20));
    else {
      await close();
      throw new Error(`PgBouncer did not listen on ${port}`);
    }
  }
  return { url: `postgres://${username}@127.0.0.1:${port}${pathname}`, close };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const done = (open: boolean) => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', () => { done(true); });
    socket.once('error', () => { done(false); });
  });
}
