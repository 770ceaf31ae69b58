import { createHash } from 'node:crypto';
import type { Progress } from '../../../application/ports/event-feed.js';
import type {
  FacetCount, StoredDocument, View, ViewDeclaration, ViewPage, ViewProgress, ViewQuery, ViewStore, ViewStores,
} from '../../../application/ports/view-store.js';
import { fieldAt } from '../../../application/views/declaration.js';
import { wordsOf } from '../../../application/views/text.js';
import { bySource, notBegun, overall, ViewSetBack, type ProgressBySource } from '../../../application/views/progress.js';
import { countedUpTo, totalOf } from '../../../application/views/total.js';
import type { Database } from '../connection/database.js';
import { refusingOutages } from '../connection/outage.js';
import { findStatement } from './postgres-view-query.js';
import { columnValue, createTable, separator, tableOf, type Table } from './postgres-view-table.js';
import { writeStatement } from './postgres-view-write.js';

export class PostgresViewStores implements ViewStores {
  constructor(private readonly databaseOf: (view: ViewDeclaration) => Database) {}

  async open<D extends object>(view: View<D>): Promise<ViewStore<D>> {
    const table = tableOf(view);
    const database = this.databaseOf(view);
    await createTable(view, table, database);
    return new PostgresViewStore(view, table, database);
  }
}

interface ProgressRow { sources: ProgressBySource; epochs: ViewProgress['epochs'] }

interface FoundRow<D> extends StoredDocument<D> {
  place: string | number;
  total: number | null;
  progress: ProgressRow | null;
  facets: Record<string, FacetCount[] | null> | null;
}

class PostgresViewStore<D extends object> implements ViewStore<D> {
  private readonly progressName: string;
  private readonly writeText: string;

  constructor(private readonly view: View<D>, private readonly table: Table, private readonly database: Database) {
    this.progressName = `${view.name} r${view.revision}`;
    this.writeText = writeStatement(table);
  }

  async read(ids: readonly string[]): Promise<Map<string, StoredDocument<D>>> {
    const { rows } = await this.ask<StoredDocument<D>>(`read ${this.progressName}`,
      `select id, revision, applied, deleted, document from ${this.table.name} where id = any($1)`, [ids]);
    return new Map(rows.map((row) => [row.id, row]));
  }

  async write(documents: readonly StoredDocument<D>[], progress: ViewProgress, counted: Progress = {}): Promise<string[]> {
    // Always in the same order: two writers of the same documents must not wait for each other in a circle.
    const sorted = [...documents].sort((a, b) => (a.id < b.id ? -1 : 1));
    const { rows } = await refusingOutages('view.unavailable', () => this.database.derived.query<{ id: string | null }>({
      name: `write ${this.progressName}`,
      text: this.writeText,
      values: [
        sorted.map(({ id }) => id),
        sorted.map(({ revision }) => revision),
        sorted.map(({ applied }) => JSON.stringify(applied)).join(separator),
        sorted.map(({ deleted }) => deleted),
        sorted.map(({ document }) => JSON.stringify(document)).join(separator),
        sorted.map(({ document }) => wordsOf(this.view, document).join(' ')).join(separator),
        this.progressName,
        JSON.stringify(bySource(progress)),
        JSON.stringify(progress.epochs),
        JSON.stringify(counted),
        ...[...this.table.sets, ...this.table.keys].map((column) => sorted.map(({ document }) => columnValue(document, column))),
      ],
    }));
    if (rows.some(({ id }) => id === null)) throw new ViewSetBack(this.view.name);
    if (rows.length === documents.length) return [];
    const stored = new Set(rows.map(({ id }) => id));
    return documents.map(({ id }) => id).filter((id) => !stored.has(id));
  }

  async progress(): Promise<ViewProgress | undefined> {
    const { rows } = await this.ask<ProgressRow>('progress', 'select sources, epochs from view_sources where view = $1', [this.progressName]);
    return rows[0] && progressOf(rows[0]);
  }

  async find(query: ViewQuery): Promise<ViewPage<D>> {
    const { countUpTo = countedUpTo, limit, facets = [] } = query;
    const { text, values } = findStatement(this.view, this.table, this.progressName, { ...query, countUpTo });
    const { rows: [counts, ...found] } = await this.ask<FoundRow<D>>(this.statementName(query, text), text, values);
    const items = found.slice(0, limit);
    const last = items.at(-1);
    return {
      items: items.map(({ id, revision, applied, deleted, document }) => ({ id, revision, applied, deleted, document })),
      ...totalOf(counts?.total ?? 0, countUpTo),
      ...(found.length > limit && last !== undefined && { next: [last.place, last.id] as const }),
      facets: Object.fromEntries(facets.map((path) => [path, counts?.facets?.[path] ?? []])),
      progress: counts?.progress ? progressOf(counts.progress) : notBegun,
    };
  }

  async reset(): Promise<void> {
    await refusingOutages('view.unavailable', () => this.database.derived.query(
      `with gone as (delete from view_sources where view = '${this.progressName}'), keyless as (delete from ${this.table.name})
       delete from ${this.table.keysName}`));
  }

  /** Names the statements of the usual lists, so that the server parses their text once a connection. The others are too many, as filters combine freely. */
  private statementName({ where, words, facets = [] }: ViewQuery, text: string): string | undefined {
    const usual = words === undefined && facets.length === 0 && where.length <= 2 && where.every((one) => {
      const field = fieldAt(this.view, one.field);
      return 'in' in one && one.in.length === 1 && field.kind === 'keyword' && field.lookup === true;
    });
    return usual ? `find ${this.progressName} ${createHash('md5').update(text).digest('base64')}` : undefined;
  }

  private ask<R extends object>(name: string | undefined, text: string, values: unknown[]) {
    return refusingOutages('view.unavailable', () => this.database.statements.query<R>({ ...(name !== undefined && { name }), text, values }));
  }
}

function progressOf({ sources, epochs }: ProgressRow): ViewProgress {
  return overall(sources, epochs);
}
