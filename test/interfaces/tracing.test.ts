import { expect } from 'chai';
import { eventCodec, upcasters } from '../../src/application/log/codec.js';
import type { Message } from '../../src/application/ports/event-publisher.js';
import { runRelay } from '../../src/application/log/relay.js';
import { MemoryCheckpointStore } from '../../src/infrastructure/memory/memory-checkpoint-store.js';
import { MemoryLogSignal } from '../../src/infrastructure/memory/memory-log-signal.js';
import { causesOf } from '../../src/application/log/causes.js';
import { RecordingTracer, type RecordedSpan } from '../support/recording-tracer.js';
import { startService, type TestService } from '../support/service.js';

const fromOutside = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const order = (customerId: string) => ({ customerId, currency: 'EUR', lines: [{ sku: 'a', name: 'Chair', quantity: 1, unitPriceMinor: 500 }] });

describe('traces', () => {
  let tracer: RecordingTracer;
  let service: TestService;
  beforeEach(async () => {
    tracer = new RecordingTracer();
    service = await startService({}, undefined, tracer);
  });
  afterEach(() => service.end());

  const spanOf = async (name: string, matches: (span: RecordedSpan) => boolean = () => true): Promise<RecordedSpan> => {
    for (let tries = 0; tries < 400; tries++) {
      const found = tracer.named(name).find(matches);
      if (found !== undefined) return found;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    throw new Error(`there is no span ${name} of that kind among ${tracer.spans.map((span) => span.name).join(', ')}`);
  };
  const register = async (customerId: string, headers: Record<string, string> = {}) => {
    const { status, headers: answered } = await service.ask('POST', '/customers', { customerId, name: 'Ada', currency: 'EUR' }, headers);
    expect(status).to.equal(201);
    return answered.get('consistency-token')!;
  };
  async function relayed(messages: number): Promise<Message[]> {
    const published: Message[] = [];
    const stop = new AbortController();
    const relay = runRelay('customers', {
      store: service.stores.customers!, checkpoints: new MemoryCheckpointStore(), signal: new MemoryLogSignal(), codec: eventCodec(upcasters), partitions: 12, tracer,
      publisher: { publish: async (_context, batch) => { published.push(...batch); } },
    }, stop.signal, () => { if (published.length >= messages) stop.abort(); });
    await relay;
    return published;
  }

  it('lead from the request over the log and the topic to the view', async () => {
    await register('ada', { traceparent: fromOutside, 'x-correlation-id': 'mine' });
    const [message] = await relayed(1);
    const http = await spanOf('POST /customers');
    const append = await spanOf('append');
    const publish = await spanOf('publish customers');
    const apply = await spanOf('apply customers');

    expect(http).to.include({ kind: 'server', parent: fromOutside });
    expect(http.attributes).to.include({ 'http.request.method': 'POST', 'http.route': '/customers', 'url.path': '/customers', 'url.scheme': 'http', 'http.response.status_code': 201, 'orderfold.correlation_id': 'mine' });
    expect(append).to.include({ kind: 'internal', parent: http.traceparent });
    expect(append.attributes).to.deep.include({ 'orderfold.context': 'customers', 'orderfold.stream': 'customer-ada', 'orderfold.events': ['CustomerRegistered'], 'orderfold.outcome': 'appended' });
    expect(publish).to.deep.include({ kind: 'producer', parent: append.traceparent, links: [append.traceparent] });
    expect(apply).to.deep.include({ kind: 'consumer', parent: append.traceparent, links: [append.traceparent] });
    expect(new Set([http, append, publish, apply].map(({ traceparent }) => traceparent.slice(3, 35)))).to.deep.equal(new Set([fromOutside.slice(3, 35)]));

    const { events: [event] } = await service.stores.customers!.readLog({ after: 0, limit: 1 });
    expect(event?.metadata.traceparent).to.equal(append.traceparent);
    expect(message?.headers.traceparent).to.equal(append.traceparent);
    expect(JSON.parse(message!.value)).to.include({ traceparent: append.traceparent });
  });

  it('hold the commands of policies together with the request that caused them', async () => {
    const token = await register('ada');
    await service.ask('POST', '/orders', { orderId: 'o-1', ...order('ada') }, { 'consistency-token': token });
    const placed = await spanOf('append', ({ attributes }) => String(attributes['orderfold.events']) === 'OrderPlaced');
    const hold = await spanOf('react hold-or-release-credit', ({ attributes }) => attributes['orderfold.event'] === 'OrderPlaced');
    const reserved = await spanOf('append', ({ attributes }) => String(attributes['orderfold.events']) === 'CreditReserved');
    const decide = await spanOf('react decide-order');
    const approved = await spanOf('append', ({ attributes }) => String(attributes['orderfold.events']) === 'OrderApproved');
    expect(placed.parent).to.equal((await spanOf('POST /orders')).traceparent);
    expect([hold.parent, reserved.parent, decide.parent, approved.parent]).to.deep.equal([placed.traceparent, hold.traceparent, reserved.traceparent, decide.traceparent]);
    expect(hold.kind).to.equal('consumer');
  });

  it('link a batch to each of the requests that it comes from', async () => {
    for (const customerId of ['ada', 'bob', 'eve']) await register(customerId);
    await relayed(3);
    const publish = await spanOf('publish customers');
    expect(publish.links).to.deep.equal(tracer.named('append').map(({ traceparent }) => traceparent));
    expect(publish.parent).to.equal(undefined);
    expect(publish.attributes).to.include({ 'messaging.batch.message_count': 3 });
  });

  it('say what a request was refused with, and that it stored nothing', async () => {
    const { status } = await service.ask('POST', '/orders/nothing/pay', { paymentReference: 'p' });
    const http = await spanOf('POST /orders/:orderId/pay');
    expect(http.attributes).to.include({ 'http.response.status_code': status, 'url.path': '/orders/nothing/pay' });
    expect(http.attributes).not.to.have.property('error.type');
    expect(tracer.named('append')).to.deep.equal([]);
  });

  it('show what failed, and where', async () => {
    service.stores.customers!.append = () => Promise.reject(new Error('the disk is full'));
    await service.ask('POST', '/customers', { name: 'Ada', currency: 'EUR' });
    expect((await spanOf('POST /customers')).attributes).to.include({ 'http.response.status_code': 500, 'error.type': '500' });
    expect(await spanOf('append')).to.include({ failed: true });
  });

  it('do not grow while nothing happens', async () => {
    await register('ada');
    await spanOf('apply customer-history');
    await spanOf('apply order-customers');
    await spanOf('apply customers');
    const before = tracer.spans.length;
    const { progress } = (await service.viewStates())[0]!;
    // The projectors look at the feed at least once a second: by then each has had a batch without events.
    for (let later = progress; later?.checkedAt === progress?.checkedAt; later = (await service.viewStates())[0]!.progress) await new Promise((resolve) => setTimeout(resolve, 50));
    expect(tracer.spans.slice(before).map(({ name }) => name)).to.deep.equal([]);
  });

  it('begin with the request when its traceparent is none', async () => {
    await register('ada', { traceparent: 'nonsense' });
    expect((await spanOf('POST /customers')).parent).to.equal(undefined);
  });
});

describe('without tracing', () => {
  it('a traceparent that came in is kept with the events, and handed to policies', async () => {
    const service = await startService();
    try {
      const registered = await service.ask('POST', '/customers', { customerId: 'ada', name: 'Ada', currency: 'EUR' });
      await service.ask('POST', '/orders', order('ada'), { traceparent: fromOutside, 'consistency-token': registered.headers.get('consistency-token')! });
      await service.settled(5_000);
      const { events } = await service.stores.orders!.readLog({ after: 0, limit: 10 });
      expect(events.map(({ data, metadata }) => [data.type, metadata.traceparent])).to.deep.equal([['OrderPlaced', fromOutside], ['OrderApproved', fromOutside]]);
    } finally {
      await service.end();
    }
  });
});

describe('the causes of a batch', () => {
  const event = (traceparent?: string) => ({ metadata: { id: '', correlationId: '', causationId: null, principal: '', commandId: '', ...(traceparent !== undefined && { traceparent }) } });

  it('are each there once, and at most 128', () => {
    expect(causesOf(['a', 'b', 'a', undefined].map(event)).links).to.deep.equal(['a', 'b']);
    expect(causesOf(Array.from({ length: 200 }, (_, n) => event(String(n)))).links).to.have.length(128);
  });

  it('name a parent only when all of it has the same one', () => {
    expect(causesOf([event('a'), event('a')])).to.deep.equal({ links: ['a'], parent: 'a' });
    expect(causesOf([event('a'), event('b')])).not.to.have.property('parent');
    expect(causesOf([event()])).to.deep.equal({ links: [] });
  });
});
