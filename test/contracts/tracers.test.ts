import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { expect } from 'chai';
import { untraced, type Tracer } from '../../src/application/ports/tracer.js';
import { Rejection } from '../../src/domain/shared/rejection.js';
import { OpenTelemetryTracer } from '../../src/infrastructure/opentelemetry/opentelemetry-tracer.js';
import { RecordingTracer } from '../support/recording-tracer.js';

const parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

/** What every Tracer promises. */
function tracerContract(adapter: string, open: () => Tracer) {
  describe(`Tracer contract: ${adapter}`, () => {
    it('gives back what the work gives', async () => {
      expect(await open().span('a', {}, async () => 7)).to.equal(7);
    });

    it('fails as the work fails', async () => {
      const error = new Error('as it was');
      expect(await open().span('a', {}, () => Promise.reject(error)).catch((reason: unknown) => reason)).to.equal(error);
    });

    it('hands on the trace that it was told of', async () => {
      const handedOn = await open().span('a', { parent }, async ({ traceparent }) => traceparent);
      expect(handedOn?.slice(0, 35)).to.equal(parent.slice(0, 35));
    });

    it('takes any attributes, and anything as a parent or a link', async () => {
      for (const strange of ['', 'nonsense', `00-${'0'.repeat(32)}-${'0'.repeat(16)}-01`, parent.replace(/^00/, 'ff')]) {
        expect(await open().span('a', { parent: strange, links: [strange], attributes: { a: undefined, b: ['c'], d: true } }, async ({ set }) => { set({ e: 1 }); return 'done'; })).to.equal('done');
      }
    });
  });
}

function openTelemetry() {
  const exporter = new InMemorySpanExporter();
  return { exporter, tracer: new OpenTelemetryTracer(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).getTracer('test')) };
}

tracerContract('untraced', () => untraced);
tracerContract('recording', () => new RecordingTracer());
tracerContract('OpenTelemetry', () => openTelemetry().tracer);

describe('spans of OpenTelemetry', () => {
  const recorded = async (options: Parameters<Tracer['span']>[1], work: Parameters<Tracer['span']>[2] = async () => undefined) => {
    const { exporter, tracer } = openTelemetry();
    await tracer.span('a', options, work).catch(() => undefined);
    return exporter.getFinishedSpans();
  };

  it('are children of their parent, and say so to what they lead to', async () => {
    const { exporter, tracer } = openTelemetry();
    await tracer.span('outer', { kind: 'server', parent }, ({ traceparent }) => tracer.span('inner', { parent: traceparent }, async () => undefined));
    const [inner, outer] = exporter.getFinishedSpans();
    expect(outer?.parentSpanContext).to.include({ traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', isRemote: true });
    expect(inner?.parentSpanContext).to.include({ traceId: '0af7651916cd43dd8448eb211c80319c', spanId: outer?.spanContext().spanId, isRemote: false });
  });

  it('begin a trace where the parent is none', async () => {
    const [span] = await recorded({ parent: 'nonsense' });
    expect(span?.parentSpanContext).to.equal(undefined);
    expect(span?.spanContext().traceId).to.match(/^[0-9a-f]{32}$/);
  });

  it('are not recorded when the caller asked for that, and what they lead to is not either', async () => {
    const unsampled = parent.replace(/01$/, '00');
    let handedOn: string | undefined;
    expect(await recorded({ parent: unsampled }, async ({ traceparent }) => { handedOn = traceparent; })).to.have.length(0);
    expect(handedOn).to.match(/^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-00$/);
  });

  it('keep their links, but for those that are none', async () => {
    const [span] = await recorded({ kind: 'consumer', links: [parent, 'nonsense'] });
    expect(span?.links.map(({ context }) => context.spanId)).to.deep.equal(['b7ad6b7169203331']);
  });

  it('tell a refusal from a failure', async () => {
    const [refused] = await recorded({}, () => Promise.reject(new Rejection('order.unknown')));
    expect(refused?.status.code).to.equal(0);
    expect(refused?.attributes).to.deep.equal({ 'orderfold.refusal': 'order.unknown' });
    const [failed] = await recorded({}, () => Promise.reject(new TypeError('broken')));
    expect(failed?.status).to.deep.equal({ code: 2, message: 'broken' });
    expect(failed?.attributes).to.deep.equal({ 'error.type': 'TypeError' });
  });
});
