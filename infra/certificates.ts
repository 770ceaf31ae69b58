import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { OperatorError } from '../src/infrastructure/process/operator-error.js';

const run = promisify(execFile);

/** PEM files. */
export interface Certificates {
  ca: string;
  certificate: string;
  key: string;
}

/** A certificate authority of our own, and a certificate for 127.0.0.1 and localhost that it has signed: made once. @throws OperatorError where openssl is missing */
export async function makeCertificates(directory: string): Promise<Certificates> {
  const file = (name: string) => join(directory, name);
  const made = { ca: file('ca.crt'), certificate: file('server.crt'), key: file('server.key') };
  if (Object.values(made).every((one) => existsSync(one))) return made;
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  await writeFile(file('server.cnf'), 'basicConstraints = CA:FALSE\nextendedKeyUsage = serverAuth\nsubjectAltName = IP:127.0.0.1, DNS:localhost\n');
  const openssl = async (...args: string[]) => {
    await run('openssl', args, { cwd: directory }).catch((error: Error & { stderr?: string }) => {
      throw new OperatorError(`openssl is needed to make certificates (${error.stderr?.trim().split('\n')[0] ?? error.message}).`);
    });
  };
  await openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '3650', '-subj', '/CN=Orderfold infrastructure CA', '-keyout', 'ca.key', '-out', 'ca.crt');
  await openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost', '-keyout', 'server.key', '-out', 'server.csr');
  await openssl('x509', '-req', '-in', 'server.csr', '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '825', '-extfile', 'server.cnf', '-out', 'server.crt');
  return made;
}
