import { expect } from 'chai';
import fc from 'fast-check';
import { PersistentMap } from '../../src/domain/shared/persistent-map.js';

// These pairs have one hash each (FNV-1a, 32 bit).
const colliding = ['costarring', 'liquid', 'declinate', 'macallums', 'altarage', 'zinke'];
const keys = fc.oneof(fc.constantFrom('', 'a', 'b', '__proto__', 'constructor', ...colliding), fc.string({ maxLength: 3 }), fc.nat(200).map((n) => `order-${n}`));
const changes = fc.array(fc.tuple(keys, fc.option(fc.nat(), { nil: undefined })), { maxLength: 200 });
const apply = (map: PersistentMap<number>, [key, value]: readonly [string, number | undefined]) => (value === undefined ? map.without(key) : map.with(key, value));
const sorted = (entries: Iterable<readonly [string, number]>) => [...entries].sort(([a], [b]) => (a < b ? -1 : 1));

describe('a persistent map', () => {
  it('holds what a Map would, and each earlier one still holds what it held', () => {
    fc.assert(fc.property(changes, (asked) => {
      const plain = new Map<string, number>();
      let map = PersistentMap.of<number>();
      const earlier = [{ map, entries: sorted(plain) }];
      for (const [key, value] of asked) {
        if (value === undefined) plain.delete(key);
        else plain.set(key, value);
        map = apply(map, [key, value]);
        expect([map.get(key), map.size]).to.deep.equal([plain.get(key), plain.size]);
        earlier.push({ map, entries: sorted(plain) });
      }
      for (const one of earlier) {
        expect(sorted(one.map)).to.deep.equal(one.entries);
        for (const [key, value] of one.entries) expect(one.map.get(key)).to.equal(value);
      }
    }));
  });

  it('has the shape that its entries give it, whatever happened to it before', () => {
    fc.assert(fc.property(changes, (asked) => {
      const map = asked.reduce(apply, PersistentMap.of<number>());
      const anew = PersistentMap.of(sorted(map).filter(([key]) => !colliding.includes(key)));
      expect(colliding.reduce((rest, key) => rest.without(key), map)).to.deep.equal(anew);
    }));
  });

  it('keeps keys apart that have one hash', () => {
    const map = PersistentMap.of(colliding.map((key, n) => [key, n] as const));
    expect(colliding.map((key) => map.get(key))).to.deep.equal([0, 1, 2, 3, 4, 5]);
    expect(colliding.map((key) => map.without(key).get(key))).to.deep.equal(colliding.map(() => undefined));
    expect([map.size, map.without('liquid').size, map.without('liquid').get('costarring')]).to.deep.equal([6, 5, 0]);
  });
});
