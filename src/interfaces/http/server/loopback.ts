import { isIPv4 } from 'node:net';
import type { IncomingHttpHeaders } from 'node:http';
import { Rejection } from '../../../domain/shared/rejection.js';

/**
 * Without authentication, whoever reaches the service may do everything. Any web page that is open on this machine can reach it: by a name of its own
 * that resolves to 127.0.0.1, or by a form. Such requests name the page in `Host` or `Origin`, and are refused.
 * @throws Rejection `access.not-loopback`
 */
export function refuseOtherNames({ host, origin }: IncomingHttpHeaders): void {
  if (host !== undefined && !isLoopback(`http://${host}`)) throw new Rejection('access.not-loopback', { header: 'Host' });
  if (origin !== undefined && !isLoopback(origin)) throw new Rejection('access.not-loopback', { header: 'Origin' });
}

function isLoopback(origin: string): boolean {
  if (!/^https?:\/\/[^/?#@\\\s]+$/i.test(origin) || !URL.canParse(origin)) return false;
  const name = new URL(origin).hostname.replace(/\.$/, '');
  return name === 'localhost' || name.endsWith('.localhost') || name === '[::1]' || (isIPv4(name) && name.startsWith('127.'));
}
