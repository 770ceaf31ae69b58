import pg from 'pg';
import { fieldAt, valuesAt, type Field, type ViewDeclaration } from '../../application/projections/projection.js';
import type { Database } from './database.js';

/** A declared field as a column. */
export interface Column {
  path: string;
  name: string;
  type: 'text' | 'bigint' | 'boolean' | 'text[]';
}

/** How a view lies in PostgreSQL: one table a revision, a typed column for each field that can be asked for. */
export interface Table {
  name: string;
  columns: readonly Column[];
}

/** Between the values of a nested field on their way into an array. */
export const separator = '\u001f';

export function tableOf(view: ViewDeclaration): Table {
  return {
    name: pg.escapeIdentifier(`${view.name.replaceAll('-', '_')}_r${view.revision}`),
    columns: Object.entries(view.fields).flatMap(([path, field]) => columnsOf(path, field)),
  };
}

function columnsOf(path: string, field: Field): Column[] {
  const column = (at: string, type: Column['type']): Column => ({ path: at, name: pg.escapeIdentifier(`f_${at.replaceAll('.', '_')}`), type });
  switch (field.kind) {
    case 'text': return [];
    case 'keyword': case 'date': return [column(path, 'text')];
    case 'long': return [column(path, 'bigint')];
    case 'boolean': return [column(path, 'boolean')];
    case 'nested': return Object.entries(field.fields).filter(([, { kind }]) => kind === 'keyword').map(([name]) => column(`${path}.${name}`, 'text[]'));
  }
}

/** What goes into the column for a document, as a value of `unnest`. */
export function columnValue(document: object, { path, type }: Column): unknown {
  const values = valuesAt(document, path);
  return type === 'text[]' ? values.map(element).join(separator) : values[0] ?? null;
}

/** A value of an array as it is stored and asked for: without the separator. */
export function element(value: unknown): string {
  return String(value).replace(/[\u001e\u001f]/g, (mark) => (mark === separator ? '\u001e1' : '\u001e0'));
}

/** Makes the table and its indexes where they are missing; safe when several processes do it at once. */
export async function createTable(view: ViewDeclaration, { name, columns }: Table, database: Database): Promise<void> {
  const runtime = pg.escapeIdentifier(`orderfold_${database.schema}`);
  const type = (column: Column) => (column.type === 'text' ? 'text collate "C"' : column.type === 'text[]' ? 'text[] collate "C"' : column.type);
  const index = (suffix: string, on: string) => `create index if not exists ${pg.escapeIdentifier(`${name.slice(1, -1)}_${suffix}`)} on ${name} ${on}`;
  const sortable = view.sortable.map((path) => columnAt(view, columns, path));
  const lookups = columns.filter(({ path }) => { const field = fieldAt(view, path); return field.kind === 'keyword' && 'lookup' in field; });
  const statements = [
    'create table if not exists view_sources (view text primary key, sources jsonb not null, epochs jsonb not null)',
    // json, not jsonb: documents are written and read whole, never looked into.
    `create table if not exists ${name} (id text collate "C" primary key, revision int not null, applied json not null, deleted boolean not null,
      document json not null, words tsvector not null${columns.map((column) => `, ${column.name} ${type(column)}`).join('')})`,
    ...sortable.map((column) => index(`by_${column.path}`, `(${column.name}, id)`)),
    ...lookups.map((column) => index(`of_${column.path}`, `(${column.name})`)),
    ...columns.filter((column) => column.type === 'text[]').map((column) => index(`in_${column.path}`, `using gin (${column.name})`)),
    ...(view.searched.length > 0 ? [index('words', 'using gin (words)')] : []),
    `grant select, insert, update, delete on view_sources, ${name} to ${runtime}`,
  ];
  const client = await database.connect('owner');
  try {
    await client.query('begin');
    await client.query("select pg_advisory_xact_lock(hashtext('orderfold views'))");
    for (const statement of statements) await client.query(statement);
    await client.query('commit');
  } finally {
    await client.end();
  }
}

/** @throws Error when the view declares no such field */
export function columnAt(view: ViewDeclaration, columns: readonly Column[], path: string): Column {
  fieldAt(view, path);
  const column = columns.find((one) => one.path === path);
  if (column === undefined) throw new Error(`${view.name}: ${path} can only be searched`);
  return column;
}
