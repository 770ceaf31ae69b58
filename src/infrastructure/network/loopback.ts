import { isIPv4 } from 'node:net';

/** Whether nobody but this machine is there; names other than `localhost` are not looked up. */
export function isLoopback(host: string): boolean {
  return ['localhost', '::1', '[::1]'].includes(host) || (isIPv4(host) && host.startsWith('127.'));
}
