import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** A TCP proxy in front of a server, that can misbehave as networks do. */
export interface TcpProxy {
  port: number;
  /** Refuses new connections and cuts the open ones, until `restore`. */
  cut(): void;
  /** Forwards the next request that contains `text`, but drops its answer with the connection. */
  dropAnswerTo(text: string): void;
  restore(): void;
  close(): Promise<void>;
}

export async function tcpProxy(target: { host: string; port: number }): Promise<TcpProxy> {
  const open = new Set<Socket>();
  let refusing = false;
  let dropping: string | undefined;
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
    }
    let dropsAnswer = false;
    client.on('data', (chunk) => {
      if (dropping !== undefined && chunk.includes(dropping)) {
        dropping = undefined;
        dropsAnswer = true;
      }
      upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      if (dropsAnswer) client.destroy();
      else client.write(chunk);
    });
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const cutAll = () => { for (const socket of open) socket.destroy(); };
  return {
    port: (server.address() as AddressInfo).port,
    cut() {
      refusing = true;
      cutAll();
    },
    dropAnswerTo(text) { dropping = text; },
    restore() { refusing = false; },
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
