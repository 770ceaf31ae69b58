import type { Progress } from '../../application/ports/event-feed.js';
import type { Condition, FacetCount, StoredDocument, ViewPage, ViewProgress, ViewQuery, ViewStore, ViewStores } from '../../application/ports/view-store.js';
import type { View } from '../../application/projections/projection.js';
import { wordsOf } from '../../application/text.js';
import { bySource, notBegun, overall, ViewSetBack, type ProgressBySource } from '../../application/view-progress.js';
import { countedUpTo, totalOf } from '../../application/view-total.js';
import type { Database } from './database.js';
import { refusingOutages } from './outage.js';
import { columnAt, columnValue, createTable, element, separator, tableOf, type Column, type Table } from './postgres-view-table.js';

const facetSize = 100;
const preparedShapes = 100;

export class PostgresViewStores implements ViewStores {
  constructor(private readonly databaseOf: (home: View<object>['home']) => Database) {}

  async open<D extends object>(view: View<D>): Promise<ViewStore<D>> {
    const table = tableOf(view);
    const database = this.databaseOf(view.home);
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
  private readonly prepared = new Map<string, string>();

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
        this.progressName, JSON.stringify(bySource(progress)), JSON.stringify(progress.epochs), JSON.stringify(counted),
        ...this.table.columns.map((column) => sorted.map(({ document }) => columnValue(document, column))),
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

  async find({ where, words, sort, limit, after, countUpTo = countedUpTo, facets = [] }: ViewQuery): Promise<ViewPage<D>> {
    const values: unknown[] = [this.progressName];
    const value = (one: unknown) => `$${values.push(one)}`;
    const column = (path: string) => columnAt(this.view, this.table.columns, path);
    const conditions = ['not deleted', ...where.map((condition) => holds(condition, column(condition.field), value)),
      ...(words === undefined ? [] : [words.length === 0 ? 'false' : `words @@ ${value(tsquery(words))}::tsquery`])].join(' and ');
    const by = column(sort.field);
    const direction = sort.descending ? 'desc' : 'asc';
    const behind = after === undefined ? '' : ` and (${by.name}, id) ${sort.descending ? '<' : '>'} (${value(after[0])}, ${value(after[1])})`;
    // One statement is one snapshot: the counts and the progress (a first row of their own) belong to the page behind them.
    const text = `
      select null::text as id, null::int as revision, null::json as applied, null::boolean as deleted, null::json as document, null::${by.type} as place,
        ${counted(this.table.name, conditions, countUpTo)} as total,
        (select row_to_json(p) from view_sources p where view = $1) as progress,
        ${facets.length === 0 ? 'null::json' : `json_build_object(${facets.map((path) => `${value(path)}::text, ${facet(column(path), this.view.fields[path]?.kind === 'date', this.table.name, conditions)}`).join(', ')})`} as facets
      union all (
        select id, revision, applied, deleted, document, ${by.name}, null, null, null from ${this.table.name}
        where ${conditions}${behind} order by ${by.name} ${direction}, id ${direction} limit ${value(limit + 1)})`;
    const { rows: [counts, ...found] } = await this.ask<FoundRow<D>>(this.nameOf(text), text, values);
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

  /** The shapes that are asked for again and again are prepared; there are too many to prepare them all. */
  private nameOf(text: string): string | undefined {
    const name = this.prepared.get(text) ?? (this.prepared.size < preparedShapes ? `find ${this.progressName} ${this.prepared.size}` : undefined);
    if (name !== undefined) this.prepared.set(text, name);
    return name;
  }

  async reset(): Promise<void> {
    await refusingOutages('view.unavailable', () => this.database.derived.query(
      `with gone as (delete from view_sources where view = '${this.progressName}') delete from ${this.table.name}`));
  }

  private ask<R extends object>(name: string | undefined, text: string, values: unknown[]) {
    return refusingOutages('view.unavailable', () => this.database.reads.query<R>({ ...(name !== undefined && { name }), text, values }));
  }
}

function progressOf({ sources, epochs }: ProgressRow): ViewProgress {
  return overall(sources, epochs);
}

/**
 * One statement is one transaction: the documents whose revision is the next one, and the progress only if that was all of them. A row without an id: nothing
 * was stored, because less is applied than $10 counts on. The row of the progress is kept from being deleted meanwhile, not from being moved by others.
 */
function writeStatement({ name, columns }: Table): string {
  const first = 11;
  const parameter = (column: Column, index: number) => `$${first + index}::${column.type === 'text[]' ? 'text' : column.type}[]`;
  const value = ({ name: own, type }: Column) => (type === 'text[]' ? `string_to_array(i.${own}, '${separator}')` : `i.${own}`);
  // Neither JSON nor words contain the separator; reading them as text[] would take longer than storing them.
  const list = (joined: string) => `string_to_array(${joined}::text, '${separator}')`;
  const names = columns.map((column) => `, ${column.name}`).join('');
  return `
    with held as materialized (
      select sources from view_sources where view = $7 for key share
    ), whole as materialized (
      select not exists (
        select from jsonb_each_text($10::jsonb) as c(source, position)
        where c.position::bigint > coalesce(((select sources from held) -> c.source ->> 'position')::bigint, 0)) as ok
    ), input as (
      select * from unnest($1::text[], $2::int[], ${list('$3')}, $4::boolean[], ${list('$5')}, ${list('$6')}${columns.map((column, index) => `, ${parameter(column, index)}`).join('')})
        as i(id, revision, applied, deleted, document, words${names})
    ), stored as (
      insert into ${name} as t (id, revision, applied, deleted, document, words${names})
      select i.id, i.revision, i.applied::json, i.deleted, i.document::json, array_to_tsvector(string_to_array(coalesce(i.words, ''), ' '))${columns.map((column) => `, ${value(column)}`).join('')}
      from input i where (select ok from whole) and (i.revision = 1 or (select true from ${name} e where e.id = i.id))
      on conflict (id) do update set (revision, applied, deleted, document, words${names}) =
        row(excluded.revision, excluded.applied, excluded.deleted, excluded.document, excluded.words${columns.map((column) => `, excluded.${column.name}`).join('')})
      where t.revision = excluded.revision - 1
      returning id
    ), progress as (
      insert into view_sources as p (view, sources, epochs)
      select $7, $8::jsonb, $9::jsonb where (select ok from whole) and (select count(*) from stored) = cardinality($1::text[])
      on conflict (view) do update set epochs = p.epochs || excluded.epochs, sources = p.sources || (
        select coalesce(jsonb_object_agg(source, told || jsonb_build_object('position', greatest((told ->> 'position')::bigint, (p.sources -> source ->> 'position')::bigint))), '{}')
        from jsonb_each(excluded.sources) as e(source, told))
    )
    select id from stored union all select null from whole where not ok`;
}

function holds(condition: Condition, { name, type }: Column, value: (one: unknown) => string): string {
  if ('in' in condition) {
    if (type === 'text[]') return `${name} && ${value(condition.in.map(element))}::text[]`;
    return condition.in.length === 1 ? `${name} = ${value(condition.in[0])}` : `${name} = any(${value(condition.in)}::${type}[])`;
  }
  const { from, to, before } = condition;
  const bounds = [
    ...(from === undefined ? [] : [`${name} >= ${value(from)}`]),
    ...(to === undefined ? [] : [`${name} <= ${value(to)}`]),
    ...(before === undefined ? [] : [`${name} < ${value(before)}`]),
  ];
  return bounds.length === 0 ? `${name} is not null` : bounds.join(' and ');
}

/** Stops one above: that there are more is all that is wanted then. */
function counted(table: string, conditions: string, upTo: number): string {
  if (upTo === 0) return 'null::bigint';
  return upTo === Infinity ? `(select count(*) from ${table} where ${conditions})` : `(select count(*) from (select from ${table} where ${conditions} limit ${upTo + 1}) as counted)`;
}

function facet({ name }: Column, months: boolean, table: string, conditions: string): string {
  const key = months ? `left(${name}, 7)` : `${name}::text collate "C"`;
  return `(select json_agg(f) from (select ${key} as key, count(*) as count from ${table} where ${conditions} and ${name} is not null
    group by 1 order by ${months ? 'key' : `count desc, key limit ${facetSize}`}) f)`;
}

/** Folded words as lexemes, quoted: nothing in them is query syntax. The last one as a prefix. */
function tsquery(words: readonly string[]): string {
  return words.map((word, index) => `'${word.replaceAll('\\', '\\\\').replaceAll("'", "''")}'${index === words.length - 1 ? ':*' : ''}`).join(' & ');
}
