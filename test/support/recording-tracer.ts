import type { Attributes, Span, SpanOptions, Tracer } from '../../src/application/ports/tracer.js';

export interface RecordedSpan {
  name: string;
  kind: NonNullable<SpanOptions['kind']>;
  traceparent: string;
  parent: string | undefined;
  links: readonly string[];
  attributes: Attributes;
  failed: boolean;
}

/** Keeps every span that has ended, in that order. */
export class RecordingTracer implements Tracer {
  readonly spans: RecordedSpan[] = [];
  private begun = 0;

  async span<T>(name: string, { kind = 'internal', parent, links = [], attributes }: SpanOptions, work: (span: Span) => Promise<T>): Promise<T> {
    const number = (++this.begun).toString(16);
    const [, trace = number.padStart(32, '0')] = /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/.exec(parent ?? '') ?? [];
    const span: RecordedSpan = { name, kind, traceparent: `00-${trace}-${number.padStart(16, '0')}-01`, parent, links: [...links], attributes: { ...attributes }, failed: false };
    try {
      return await work({ traceparent: span.traceparent, set: (more) => { span.attributes = { ...span.attributes, ...more }; } });
    } catch (error) {
      span.failed = true;
      throw error;
    } finally {
      this.spans.push(span);
    }
  }

  named(name: string): RecordedSpan[] {
    return this.spans.filter((span) => span.name === name);
  }
}
