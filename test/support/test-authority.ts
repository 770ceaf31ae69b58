import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A certificate authority of the tests' own, which signs what nobody else would. */
export interface TestAuthority {
  /** PEM file. */
  ca: string;
  /** PEM files of a certificate that is valid from year to year, for these names, and of its key. */
  certificate(wanted: Wanted): Promise<{ certificate: string; key: string }>;
  /** A server on 127.0.0.1 whose certificate is valid from year to year, for these names. */
  serve(wanted: Wanted): Promise<{ url: string; server: Server }>;
}

interface Wanted { from?: number; to?: number; names?: string }

export async function testAuthority(directory: string): Promise<TestAuthority> {
  const file = (name: string) => join(directory, name);
  const openssl = (...args: string[]) => run('openssl', args, { cwd: directory });
  await writeFile(file('ca.cnf'), ['[ca]', 'default_ca = own', '[own]', 'database = index.txt', 'rand_serial = yes', 'new_certs_dir = .', 'default_md = sha256', 'policy = any', 'unique_subject = no', '[any]', 'commonName = supplied', ''].join('\n'));
  await writeFile(file('index.txt'), '');
  await openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '3650', '-subj', '/CN=Test CA', '-keyout', 'ca.key', '-out', 'ca.crt');
  let count = 0;
  const certificate: TestAuthority['certificate'] = async ({ from = 2020, to = 2049, names = 'IP:127.0.0.1' }) => {
    const name = `server-${++count}`;
    await writeFile(file(`${name}.ext`), `basicConstraints = CA:FALSE\nsubjectAltName = ${names}\n`);
    await openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=server', '-keyout', `${name}.key`, '-out', `${name}.csr`);
    await openssl('ca', '-batch', '-config', 'ca.cnf', '-cert', 'ca.crt', '-keyfile', 'ca.key', '-in', `${name}.csr`, '-out', `${name}.crt`, '-notext',
      '-startdate', `${from}0101000000Z`, '-enddate', `${to}0101000000Z`, '-extfile', `${name}.ext`);
    return { certificate: file(`${name}.crt`), key: file(`${name}.key`) };
  };
  return {
    ca: file('ca.crt'),
    certificate,
    async serve(wanted) {
      const made = await certificate(wanted);
      const server = createServer({ cert: await readFile(made.certificate), key: await readFile(made.key) }, (_request, answer) => { answer.end('{}'); });
      await new Promise<void>((listening) => { server.listen(0, '127.0.0.1', listening); });
      return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
    },
  };
}
