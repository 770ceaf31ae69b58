import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** Cuts one direction of one connection into messages. What is not a whole message yet is kept for later. */
export type Framing = () => (chunk: Buffer) => Buffer[];

/** A TCP proxy in front of a server, that can misbehave as networks do. */
export interface TcpProxy {
  port: number;
  /** Refuses new connections and cuts the open ones, until `restore`. */
  cut(): void;
  /** Accepts connections and forwards nothing, until `restore`: what came in meanwhile goes on then, as after a long outage of a network. */
  blackHole(): void;
  /** Forwards everything this much later, in either direction. */
  delay(ms: number): void;
  /** Forwards the next request that contains `text`, but drops its answer with the connection. */
  dropAnswerTo(text: string): void;
  /** Forwards every `every`th request that matches, but drops its answer with the connection; at most `most` times. */
  dropAnswers(matches: (request: Buffer) => boolean, every: number, most?: number): void;
  /** How many answers `dropAnswers` has dropped so far. */
  readonly dropped: number;
  /** Back to an honest proxy. */
  restore(): void;
  close(): Promise<void>;
}

/** `framing`: of the server's protocol, one answer to each request and in their order. Without it a chunk counts as a request, and what comes next as its answer. */
export async function tcpProxy(target: { host: string; port: number }, framing?: Framing): Promise<TcpProxy> {
  const open = new Set<Socket>();
  let refusing = false;
  let holding = false;
  let delayMs = 0;
  let droppingTo: string | undefined;
  let rule: { matches: (request: Buffer) => boolean; every: number; left: number; seen: number } | undefined;
  let dropped = 0;

  function isToBeDropped(request: Buffer): boolean {
    if (droppingTo !== undefined && request.includes(droppingTo)) {
      droppingTo = undefined;
      return true;
    }
    if (rule === undefined || rule.left === 0 || !rule.matches(request) || ++rule.seen % rule.every !== 0) return false;
    rule.left--;
    dropped++;
    return true;
  }

  const server = createServer((client) => {
    if (refusing) {
      client.destroy();
      return;
    }
    const upstream = connect(target);
    for (const [one, other] of [[client, upstream], [upstream, client]] as const) {
      open.add(one);
      one.on('error', () => undefined);
      one.on('close', () => {
        open.delete(one);
        other.destroy();
      });
      if (holding) one.pause();
    }
    const frames = { requests: framing?.(), answers: framing?.() };
    let asked = 0;
    let answered = 0;
    /** Number of the answer that is not to arrive. */
    let dropAt = Infinity;
    client.on('data', (chunk) => {
      for (const request of frames.requests?.(chunk) ?? [chunk]) {
        asked++;
        if (isToBeDropped(request)) dropAt = Math.min(dropAt, frames.requests === undefined ? answered + 1 : asked);
      }
      later(() => upstream.write(chunk));
    });
    upstream.on('data', (chunk) => {
      for (const answer of frames.answers?.(chunk) ?? [chunk]) {
        answered++;
        later(answered < dropAt ? () => client.write(answer) : () => client.destroy());
      }
    });
  });
  function later(work: () => void): void {
    if (delayMs > 0) setTimeout(work, delayMs);
    else work();
  }
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const cutAll = () => { for (const socket of open) socket.destroy(); };
  return {
    port: (server.address() as AddressInfo).port,
    get dropped() { return dropped; },
    cut() {
      refusing = true;
      cutAll();
    },
    blackHole() {
      holding = true;
      for (const socket of open) socket.pause();
    },
    delay(ms) { delayMs = ms; },
    dropAnswerTo(text) { droppingTo = text; },
    dropAnswers(matches, every, most = Infinity) { rule = { matches, every, left: most, seen: 0 }; },
    restore() {
      refusing = false;
      holding = false;
      delayMs = 0;
      rule = undefined;
      for (const socket of open) socket.resume();
    },
    async close() {
      cutAll();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The same URL, through a proxy. */
export async function proxied(url: string): Promise<{ proxy: TcpProxy; url: string }> {
  const target = new URL(url);
  const proxy = await tcpProxy({ host: target.hostname, port: Number(target.port) });
  target.port = String(proxy.port);
  return { proxy, url: target.toString() };
}
