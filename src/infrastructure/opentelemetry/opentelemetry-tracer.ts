import { isSpanContextValid, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, type SpanContext, type Tracer as OpenTelemetry } from '@opentelemetry/api';
import type { Attributes, Span, SpanOptions, Tracer } from '../../application/ports/tracer.js';
import { Rejection } from '../../domain/shared/rejection.js';

const kinds = { server: SpanKind.SERVER, internal: SpanKind.INTERNAL, producer: SpanKind.PRODUCER, consumer: SpanKind.CONSUMER };

/** Our spans as those of OpenTelemetry. Its global state is not used: every span is told its parent. */
export class OpenTelemetryTracer implements Tracer {
  constructor(private readonly tracer: OpenTelemetry) {}

  async span<T>(name: string, { kind = 'internal', parent, links = [], attributes }: SpanOptions, work: (span: Span) => Promise<T>): Promise<T> {
    const from = contextOf(parent, kind !== 'internal');
    const span = this.tracer.startSpan(name, {
      kind: kinds[kind], links: links.flatMap((link) => contextOf(link, true) ?? []).map((context) => ({ context })), ...(attributes && { attributes }),
    }, from === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, from));
    const set = (more: Attributes) => {
      span.setAttributes(more);
      if (more['error.type'] !== undefined) span.setStatus({ code: SpanStatusCode.ERROR });
    };
    try {
      return await work({ traceparent: traceparentOf(span.spanContext()), set });
    } catch (error) {
      if (error instanceof Rejection) set({ 'orderfold.refusal': error.code });
      else {
        set({ 'error.type': error instanceof Error ? error.name : 'unknown' });
        span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.message : String(error) });
      }
      throw error;
    } finally {
      span.end();
    }
  }
}

function traceparentOf({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}

function contextOf(traceparent: string | undefined, isRemote: boolean): SpanContext | undefined {
  const [, traceId, spanId, flags] = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(traceparent ?? '') ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  const context = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote };
  return isSpanContextValid(context) ? context : undefined;
}
