import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { Place } from '../../../application/ports/view-store.js';
import { Rejection } from '../../../domain/shared/rejection.js';

/** Places in a list as opaque text: signed, and bound to the query that they belong to. */
export interface Cursors {
  write(place: Place, query: unknown): string;
  /** @throws Rejection `input.cursor-invalid` when it was changed, or belongs to another query */
  read(cursor: string, query: unknown): Place;
}

export function createCursors(secret: string): Cursors {
  const sign = (place: string, query: unknown) =>
    createHmac('sha256', secret).update(createHash('sha256').update(JSON.stringify(query)).digest()).update(place).digest().subarray(0, 16);
  return {
    write(place, query) {
      const text = JSON.stringify(place);
      return `${Buffer.from(text).toString('base64url')}.${sign(text, query).toString('base64url')}`;
    },
    read(cursor, query) {
      const [place = '', signature = ''] = cursor.split('.');
      const text = Buffer.from(place, 'base64url').toString();
      const given = Buffer.from(signature, 'base64url');
      const right = sign(text, query);
      if (given.length !== right.length || !timingSafeEqual(given, right)) throw new Rejection('input.cursor-invalid');
      return JSON.parse(text) as Place;
    },
  };
}
