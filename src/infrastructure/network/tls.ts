import { connect as connectTcp } from 'node:net';
import { connect, type PeerCertificate } from 'node:tls';

/** Why a TLS connection that can be trusted was not made. */
export type TlsFault =
  | 'certificate expired'
  | 'certificate not yet valid'
  | 'certificate of another host'
  | 'certificate not trusted'
  | 'own certificate refused'
  | 'not TLS'
  | 'no common TLS';

/** Node.js has no common code for these: the texts are OpenSSL's and its own. */
const faults: [RegExp, TlsFault][] = [
  // The other side refuses our certificate by an alert.
  [/alert (.*certificate|unknown ca)/i, 'own certificate refused'],
  [/certificate has expired|CERT_HAS_EXPIRED/i, 'certificate expired'],
  [/certificate is not yet valid|CERT_NOT_YET_VALID/i, 'certificate not yet valid'],
  [/altname|does not match certificate/i, 'certificate of another host'],
  [/self.signed|certificate|CERT_|UNABLE_TO_/i, 'certificate not trusted'],
  [/wrong version number|packet length too long|unknown protocol/i, 'not TLS'],
  [/EPROTO|SSL routines/, 'no common TLS'],
];

/** Finds the fault in an error message of OpenSSL, of Node.js or of a client; `undefined` when the message is about something else. */
export function tlsFaultOf(message: string): TlsFault | undefined {
  return faults.find(([text]) => text.test(message))?.[1];
}

export interface Address { host: string; port: number }

/** The contents of PEM files. */
export interface TlsMaterial { ca?: Buffer; cert?: Buffer; key?: Buffer }

/** The certificate that a server presents. */
interface ServerCertificate {
  /** Why it is not trusted; absent: it is. */
  refusal?: string;
  /** ISO 8601. */
  validUntil: string;
  daysLeft: number;
}

const timeoutMs = 5_000;
const dayMs = 86_400_000;

/** Rejects unless something listens there. */
export function checkListening({ host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host, port, timeout: timeoutMs }, () => {
      socket.destroy();
      resolve();
    });
    socket.on('timeout', () => { socket.destroy(new Error('no answer')); });
    socket.on('error', reject);
  });
}

/** Reads the certificate of a server, even one that is not trusted: the date says more than the refusal. Rejects when the server does not speak TLS. */
export async function certificateOf({ host, port }: Address, material: TlsMaterial): Promise<ServerCertificate> {
  // An IP address is no server name.
  const servername = /^[\d.]+$|:/.test(host) ? '' : host;
  const { refusal, shown } = await new Promise<{ refusal?: string; shown: PeerCertificate }>((resolve, reject) => {
    const socket = connect({ host, port, servername, rejectUnauthorized: false, ...material, timeout: timeoutMs }, () => {
      const shown = socket.getPeerCertificate();
      const refusal = String((socket.authorizationError as Error | string | undefined) ?? 'not trusted');
      const found = socket.authorized ? { shown } : { shown, refusal };
      socket.destroy();
      resolve(found);
    });
    socket.on('timeout', () => { socket.destroy(new Error('no answer')); });
    socket.on('error', reject);
  });
  return {
    ...(refusal !== undefined && { refusal }),
    validUntil: new Date(shown.valid_to).toISOString(),
    daysLeft: Math.floor((Date.parse(shown.valid_to) - Date.now()) / dayMs),
  };
}
