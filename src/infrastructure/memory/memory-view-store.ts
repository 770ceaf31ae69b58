import type { Progress } from '../../application/ports/event-feed.js';
import type {
  Condition, FacetCount, Place, StoredDocument, View, ViewPage, ViewProgress, ViewQuery, ViewStore, ViewStores,
} from '../../application/ports/view-store.js';
import { fieldAt, valuesAt } from '../../application/views/declaration.js';
import { wordsOf } from '../../application/views/text.js';
import { bySource, checkNotSetBack, mergeSources, notBegun, overall, type ProgressBySource } from '../../application/views/progress.js';
import { countedUpTo, totalOf } from '../../application/views/total.js';

const facetSize = 100;

interface Kept<D> {
  stored: StoredDocument<D>;
  words: readonly string[];
}

export class MemoryViewStores implements ViewStores {
  private readonly stores = new Map<string, ViewStore<object>>();

  open<D extends object>(view: View<D>): Promise<ViewStore<D>> {
    const name = `${view.name} ${view.revision}`;
    const store = this.stores.get(name) ?? new MemoryViewStore(view);
    this.stores.set(name, store);
    return Promise.resolve(store as unknown as ViewStore<D>);
  }
}

/** Keeps what it is given as copies, so that nobody can change it from outside. */
export class MemoryViewStore<D extends object> implements ViewStore<D> {
  private readonly documents = new Map<string, Kept<D>>();
  private current: { sources: ProgressBySource; epochs: ViewProgress['epochs'] } | undefined;

  constructor(private readonly view: View<D>) {}

  read(ids: readonly string[]): Promise<Map<string, StoredDocument<D>>> {
    return Promise.resolve(new Map(ids.flatMap((id) => {
      const kept = this.documents.get(id);
      return kept === undefined ? [] : [[id, structuredClone(kept.stored)] as const];
    })));
  }

  async write(documents: readonly StoredDocument<D>[], progress: ViewProgress, counted: Progress = {}): Promise<string[]> {
    checkNotSetBack(this.view.name, this.current?.sources ?? {}, counted);
    const conflicts: string[] = [];
    for (const document of documents) {
      if ((this.documents.get(document.id)?.stored.revision ?? 0) !== document.revision - 1) conflicts.push(document.id);
      else this.documents.set(document.id, { stored: structuredClone(document), words: wordsOf(this.view, document.document) });
    }
    if (conflicts.length === 0) {
      this.current = {
        sources: mergeSources(this.current?.sources ?? {}, bySource(progress)),
        epochs: { ...this.current?.epochs, ...progress.epochs },
      };
    }
    return Promise.resolve(conflicts);
  }

  progress(): Promise<ViewProgress | undefined> {
    return Promise.resolve(this.progressNow());
  }

  find(query: ViewQuery): Promise<ViewPage<D>> {
    return Promise.resolve(this.findNow(query));
  }

  reset(): Promise<void> {
    this.documents.clear();
    this.current = undefined;
    return Promise.resolve();
  }

  private progressNow(): ViewProgress | undefined {
    return this.current && overall(this.current.sources, { ...this.current.epochs });
  }

  private findNow({ where, words, sort, limit, after, countUpTo = countedUpTo, facets = [] }: ViewQuery): ViewPage<D> {
    for (const path of [sort.field, ...where.map(({ field }) => field), ...facets]) fieldAt(this.view, path);
    const placeOf = ({ stored: { id, document } }: Kept<D>): Place => [valuesAt(document, sort.field)[0] as string | number, id];
    const direction = sort.descending ? -1 : 1;
    const matching = [...this.documents.values()]
      .filter(({ stored }) => !stored.deleted)
      .filter(({ stored }) => where.every((condition) => holds(condition, stored.document)))
      .filter((kept) => words === undefined || occur(words, kept.words))
      .sort((a, b) => direction * compare(placeOf(a), placeOf(b)));
    const behind = after === undefined ? matching : matching.filter((kept) => direction * compare(placeOf(kept), after) > 0);
    const items = behind.slice(0, limit);
    const last = items.at(-1);
    return {
      items: items.map(({ stored }) => structuredClone(stored)),
      ...totalOf(matching.length, countUpTo),
      ...(behind.length > limit && last !== undefined && { next: placeOf(last) }),
      facets: Object.fromEntries(facets.map((field) => [field, this.count(field, matching)])),
      progress: this.progressNow() ?? notBegun,
    };
  }

  private count(field: string, matching: readonly Kept<D>[]): FacetCount[] {
    const months = fieldAt(this.view, field).kind === 'date';
    const counts = new Map<string, number>();
    for (const { stored: { document } } of matching) {
      for (const value of valuesAt(document, field)) {
        const key = months ? String(value).slice(0, 7) : String(value);
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
    const rows = [...counts].map(([key, count]) => ({ key, count }));
    rows.sort((a, b) => (months ? 0 : b.count - a.count) || order(a.key, b.key));
    return months ? rows : rows.slice(0, facetSize);
  }
}

function holds(condition: Condition, document: object): boolean {
  const values = valuesAt(document, condition.field);
  if ('in' in condition) return values.some((value) => typeof value !== 'number' && condition.in.includes(value));
  const { from, to, before } = condition;
  return values.some((value) => typeof value !== 'boolean'
    && (from === undefined || value >= from) && (to === undefined || value <= to) && (before === undefined || value < before));
}

/** Whether every word occurs, the last one as a prefix. An empty list of words matches nothing. */
function occur(words: readonly string[], own: readonly string[]): boolean {
  const last = words.at(-1);
  return last !== undefined && words.slice(0, -1).every((word) => own.includes(word)) && own.some((word) => word.startsWith(last));
}

function compare([a, idA]: Place, [b, idB]: Place): number {
  return (typeof a === 'number' && typeof b === 'number' ? a - b : order(String(a), String(b))) || order(idA, idB);
}

const encoder = new TextEncoder();

/** Compares by code point, as PostgreSQL's "C" collation does; UTF-16 order differs above U+FFFF. */
function order(a: string, b: string): number {
  if (a === b) return 0;
  return Buffer.compare(encoder.encode(a), encoder.encode(b));
}
