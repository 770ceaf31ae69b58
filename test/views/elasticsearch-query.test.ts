import { expect } from 'chai';
import type { StoredDocument, ViewDeclaration, ViewQuery } from '../../src/application/ports/view-store.js';
import { pageOf, searchFor } from '../../src/infrastructure/elasticsearch/elasticsearch-query.js';

const view: ViewDeclaration = {
  name: 'orders', revision: 1, key: 'orderId', contexts: ['orders'], servedBy: 'orders', home: 'views', searched: [], sortable: [],
  fields: { status: { kind: 'keyword' }, totalMinor: { kind: 'long' }, placedAt: { kind: 'date' } },
};
const byTotal: ViewQuery = { where: [], sort: { field: 'totalMinor', descending: false }, limit: 2 };
const byDate: ViewQuery = { where: [], sort: { field: 'placedAt', descending: true }, limit: 2 };
const date = '2026-01-01T00:00:00.000Z';
const filterOf = (query: Partial<ViewQuery>) => searchFor(view, { ...byTotal, ...query }).query?.bool?.filter;

const stored = (id: string): StoredDocument<object> => ({ id, revision: 1, applied: {}, deleted: false, document: { id } });
const answer = (total: number, ...places: [number, string][]) => ({
  hits: {
    total: { value: total, relation: 'eq' as const },
    hits: places.map((sort) => ({ _index: 'i', _id: sort[1], _source: { ...stored(sort[1]), words: 'w', fields: {} }, sort })),
  },
});

describe('a query of Elasticsearch', () => {
  it('asks for what is not deleted, under the declared fields', () => {
    expect(filterOf({})).to.deep.equal([{ term: { deleted: false } }]);
    const where = [{ field: 'status', in: ['placed'] }, { field: 'totalMinor', from: 1, before: 9 }, { field: 'placedAt', to: date }];
    expect(filterOf({ where })).to.deep.equal([
      { term: { deleted: false } }, { terms: { 'fields.status': ['placed'] } },
      { range: { 'fields.totalMinor': { gte: 1, lt: 9 } } }, { range: { 'fields.placedAt': { lte: date } } },
    ]);
  });

  it('asks for whole words, and for the last one as a prefix; no words are found nowhere', () => {
    expect(filterOf({ words: ['oat', 'mil'] })).to.deep.equal([{ term: { deleted: false } }, { term: { words: 'oat' } }, { prefix: { words: 'mil' } }]);
    expect(filterOf({ words: [] })).to.deep.equal([{ term: { deleted: false } }, { match_none: {} }]);
  });

  it('counts one more than it is to say, everything, or nothing', () => {
    const tracked = (query: Partial<ViewQuery>) => searchFor(view, { ...byTotal, ...query }).track_total_hits;
    expect([tracked({ countUpTo: 10 }), tracked({ countUpTo: Infinity }), tracked({ countUpTo: 0 }), tracked({})]).to.deep.equal([11, true, false, 10_001]);
  });

  it('begins behind a place, and says where the next one begins: dates are milliseconds to Elasticsearch', () => {
    expect(searchFor(view, { ...byDate, after: [date, 'o-1'] }).search_after).to.deep.equal([Date.parse(date), 'o-1']);
    expect(searchFor(view, { ...byTotal, after: [7, 'o-1'] }).search_after).to.deep.equal([7, 'o-1']);
    expect(searchFor(view, byTotal)).to.not.have.any.keys('search_after', 'aggregations');
    const found = answer(3, [Date.parse(date) + 1, 'a'], [Date.parse(date), 'b'], [0, 'c']);
    expect(pageOf(view, byDate, found)).to.deep.equal({ items: [stored('a'), stored('b')], total: 3, next: [date, 'b'], facets: {} });
    expect(pageOf(view, byTotal, answer(2, [1, 'a'], [2, 'b']))).to.deep.equal({ items: [stored('a'), stored('b')], total: 2, facets: {} });
  });

  it('says that there are more than were counted, or says nothing of a total', () => {
    expect(pageOf(view, { ...byTotal, countUpTo: 10 }, answer(11))).to.include({ total: 10, totalIsAtLeast: true });
    expect(pageOf(view, { ...byTotal, countUpTo: 0 }, answer(0))).to.not.have.any.keys('total', 'totalIsAtLeast');
  });

  it('counts the values of a facet, and the months of a date', () => {
    const { aggregations } = searchFor(view, { ...byTotal, facets: ['status', 'placedAt'] });
    expect(aggregations).to.have.all.keys('status', 'placedAt');
    expect(aggregations?.placedAt?.date_histogram).to.include({ field: 'fields.placedAt', calendar_interval: 'month' });
    const buckets = {
      status: { buckets: [{ key: 'placed', doc_count: 2 }] },
      placedAt: { buckets: [{ key: Date.parse(date), key_as_string: '2026-01', doc_count: 2 }] },
    };
    expect(pageOf(view, { ...byTotal, facets: ['status', 'placedAt'] }, { ...answer(2), aggregations: buckets }).facets)
      .to.deep.equal({ status: [{ key: 'placed', count: 2 }], placedAt: [{ key: '2026-01', count: 2 }] });
  });

  it('knows no field that the view does not declare', () => {
    expect(() => searchFor(view, { ...byTotal, where: [{ field: 'nothing', in: [] }] })).to.throw();
    expect(() => searchFor(view, { ...byTotal, sort: { field: 'nothing', descending: false } })).to.throw();
    expect(() => searchFor(view, { ...byTotal, facets: ['nothing'] })).to.throw();
  });
});
