import { expect } from 'chai';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { isProduce, kafkaRequests } from '../support/kafka.js';
import { tcpProxy, type TcpProxy } from '../support/tcp-proxy.js';

/** As Kafka frames it: length, api key, and some text. */
function request(apiKey: number, text: string): Buffer {
  const body = Buffer.alloc(2 + text.length);
  body.writeInt16BE(apiKey, 0);
  body.write(text, 2);
  const size = Buffer.alloc(4);
  size.writeInt32BE(body.length, 0);
  return Buffer.concat([size, body]);
}

describe('requests of Kafka', () => {
  it('are told apart however they arrive in chunks', () => {
    const sent = [request(0, 'first'), request(3, ''), request(0, 'x'.repeat(300))];
    const bytes = Buffer.concat(sent);
    for (const size of [1, 2, 3, 5, 7, 11, 100, bytes.length]) {
      const frames = kafkaRequests();
      const found: Buffer[] = [];
      for (let from = 0; from < bytes.length; from += size) found.push(...frames(bytes.subarray(from, from + size)));
      expect(found.map(String)).to.deep.equal(sent.map(String));
      expect(found.map(isProduce)).to.deep.equal([true, false, true]);
    }
  });
});

describe('the proxy of the tests', () => {
  let received: Buffer;
  let server: Server;
  let proxy: TcpProxy;
  let client: Socket;
  let answers: Buffer;
  beforeEach(async () => {
    received = Buffer.alloc(0);
    answers = Buffer.alloc(0);
    server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (chunk) => {
        received = Buffer.concat([received, chunk]);
        socket.write(chunk);
      });
    });
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    proxy = await tcpProxy({ host: '127.0.0.1', port: (server.address() as AddressInfo).port }, kafkaRequests);
    client = await dial();
  });
  afterEach(async () => {
    client.destroy();
    await proxy.close();
    await new Promise((resolve) => server.close(resolve));
  });

  async function dial(): Promise<Socket> {
    const socket = connect({ host: '127.0.0.1', port: proxy.port });
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => { answers = Buffer.concat([answers, chunk]); });
    await new Promise<void>((resolve) => { socket.once('connect', () => { resolve(); }); });
    return socket;
  }
  const answered = async (bytes: Buffer) => { while (!answers.equals(bytes)) await new Promise((resolve) => setTimeout(resolve, 1)); };
  const closed = () => new Promise((resolve) => client.once('close', resolve));

  it('forwards each third produce request and drops its answer alone, with the connection', async () => {
    proxy.dropAnswers(isProduce, 3);
    const sent = [request(0, 'a'), request(3, 'b'), request(0, 'c'), request(1, 'd'), request(0, 'e'), request(1, 'f')];
    const gone = closed();
    client.write(Buffer.concat(sent));
    await gone;
    expect(answers.equals(Buffer.concat(sent.slice(0, 4)))).to.equal(true);
    expect(received.equals(Buffer.concat(sent))).to.equal(true);
    expect(proxy.dropped).to.equal(1);
  });

  it('drops no more answers than it was told, and none once it is restored', async () => {
    proxy.dropAnswers(isProduce, 1, 1);
    const gone = closed();
    client.write(request(0, 'a'));
    await gone;
    client = await dial();
    client.write(request(0, 'b'));
    await answered(request(0, 'b'));
    proxy.dropAnswers(isProduce, 1);
    proxy.restore();
    client.write(request(0, 'c'));
    await answered(Buffer.concat([request(0, 'b'), request(0, 'c')]));
    expect(proxy.dropped).to.equal(1);
  });

  it('holds everything back in a black hole, of old connections and new ones, until it is restored', async () => {
    client.write(request(3, 'a'));
    await answered(request(3, 'a'));
    proxy.blackHole();
    const other = await dial();
    client.write(request(3, 'b'));
    other.write(request(3, 'b'));
    // As long again as the first answer took, many times over.
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(received.equals(request(3, 'a'))).to.equal(true);
    proxy.restore();
    await answered(Buffer.concat([request(3, 'a'), request(3, 'b'), request(3, 'b')]));
    other.destroy();
  });

  it('delays either way, and keeps the order', async () => {
    proxy.delay(40);
    const began = performance.now();
    client.write(request(3, 'a'));
    await new Promise((resolve) => setTimeout(resolve, 5));
    client.write(request(3, 'b'));
    await answered(Buffer.concat([request(3, 'a'), request(3, 'b')]));
    expect(performance.now() - began).to.be.greaterThan(75);
  });
});
