import type { QueryConfig } from 'pg';
import type { EventCodec } from '../../../application/log/codec.js';
import type { AppendRequest } from '../../../application/ports/event-store.js';

/** A row of `append_batch` (migrations/log): a conflict has none. `first` and `second`: digest and response, or scope and key. */
export type OutcomeRow = [
  ord: number, status: 'appended' | 'duplicate' | 'taken', position: number | null, recordedAt: string | null, first: string | null, second: string | null,
];

const parameters = [
  'text[]', 'int[]', 'int[]', 'int[]', 'int[]', 'text[]', 'int[]', 'text', 'text',
  'int[]', 'text[]', 'text[]', 'text[]', 'text[]', 'int[]', 'text[]', 'text[]', 'int[]', 'text[]', 'text[]',
];
const text = `select ord, status, pos, at, first, second from append_batch(${parameters.map((type, index) => `$${index + 1}::${type}`).join(', ')})`;
/** Between JSON texts; they cannot contain it. */
const separator = '\u001f';

/** One call for a whole batch. */
export function encodeBatch(requests: readonly AppendRequest[], codec: EventCodec): QueryConfig {
  const p = { stream: [] as string[], expected: [] as number[], n: [] as number[] };
  const e = { ord: [] as number[], idx: [] as number[], type: [] as string[], schema: [] as number[], data: [] as string[], metadata: [] as string[] };
  const k = { ord: [] as number[], principal: [] as string[], key: [] as string[], digest: [] as string[], response: [] as string[] };
  const c = { ord: [] as number[], scope: [] as string[], key: [] as string[] };
  const r = { ord: [] as number[], scope: [] as string[], key: [] as string[] };
  requests.forEach(({ stream, expectedVersion, events, idempotency, claims = [], releases = [] }, index) => {
    const ord = index + 1;
    p.stream.push(stream);
    p.expected.push(expectedVersion);
    p.n.push(events.length);
    events.forEach((event, before) => {
      const { type, schemaVersion, data } = codec.encode(event.data);
      e.ord.push(ord);
      e.idx.push(before + 1);
      e.type.push(type);
      e.schema.push(schemaVersion);
      e.data.push(JSON.stringify(data));
      e.metadata.push(JSON.stringify(event.metadata));
    });
    if (idempotency !== undefined) {
      k.ord.push(ord);
      k.principal.push(idempotency.principal);
      k.key.push(idempotency.key);
      k.digest.push(idempotency.digest);
      k.response.push(idempotency.response);
    }
    for (const [list, keys] of [[c, claims], [r, releases]] as const) {
      for (const { scope, key } of keys) {
        list.ord.push(ord);
        list.scope.push(scope);
        list.key.push(key);
      }
    }
  });
  return {
    name: 'append-batch',
    text,
    values: [
      p.stream, p.expected, p.n, e.ord, e.idx, e.type, e.schema, e.data.join(separator), e.metadata.join(separator),
      k.ord, k.principal, k.key, k.digest, k.response, c.ord, c.scope, c.key, r.ord, r.scope, r.key,
    ],
  };
}
