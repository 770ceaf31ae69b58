export type Attributes = Readonly<Record<string, string | number | boolean | string[] | undefined>>;

export interface SpanOptions {
  /** `server` and `consumer` continue what may have begun in another process; `producer` hands something on to others. Default: `internal`. */
  kind?: 'server' | 'internal' | 'producer' | 'consumer';
  /** `traceparent` of W3C Trace Context: what led to this. Absent, or not one: a trace begins. */
  parent?: string | undefined;
  /** More `traceparent`s that led to this, where one parent does not say it all. */
  links?: readonly string[];
  attributes?: Attributes;
}

export interface Span {
  /** To hand on to what the span leads to; where nothing is traced, the one of its parent. */
  traceparent: string | undefined;
  /** What is known only later. `error.type` marks the span as failed. */
  set(attributes: Attributes): void;
}

/**
 * Records what happened, how long it took and what led to it, for whoever looks at it elsewhere.
 * - `span` ends as `work` does: with its result or its error. A `Rejection` is an answer, any other error a failure of the span.
 * - Tracing never fails, delays or changes the work.
 * - Nothing is ambient: who is traced gets its `Span`, and hands `traceparent` on.
 */
export interface Tracer {
  span<T>(name: string, options: SpanOptions, work: (span: Span) => Promise<T>): Promise<T>;
}

/** Nothing is recorded; a `traceparent` that came in goes on as it is. */
export const untraced: Tracer = {
  span: (_name, { parent }, work) => work({ traceparent: parent, set: () => undefined }),
};

/** `traceparent` of W3C Trace Context. */
export const traceparentPattern = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;
