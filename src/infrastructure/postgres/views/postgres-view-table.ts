import pg from 'pg';
import { fieldAt, valuesAt } from '../../../application/views/declaration.js';
import type { Field, ViewDeclaration } from '../../../application/ports/view-store.js';
import type { Database } from '../connection/database.js';

/** A declared field as a column. */
export interface Column {
  path: string;
  name: string;
  type: 'text' | 'bigint' | 'boolean' | 'text[]';
}

/**
 * How a view lies in PostgreSQL: docs/decisions/0018. The documents, with what is searched in them by GIN indexes, in one table a revision; what lists are
 * filtered, sorted and counted by in another one, of narrow rows. A view that has nothing of that kind has the first table alone: then both are the same.
 */
export interface Table {
  name: string;
  keysName: string;
  /** Of the documents: values of nested fields, which are searched as sets. */
  sets: readonly Column[];
  keys: readonly Column[];
}

/** Between the values of a nested field on their way into an array. */
export const separator = '\u001f';

export function tableOf(view: ViewDeclaration): Table {
  const columns = Object.entries(view.fields).flatMap(([path, field]) => (path === view.key ? [] : columnsOf(path, field)));
  const keys = columns.filter(({ type }) => type !== 'text[]');
  const name = `${view.name.replaceAll('-', '_')}_r${view.revision}`;
  return {
    name: pg.escapeIdentifier(name),
    keysName: pg.escapeIdentifier(keys.length > 0 ? `${name}_keys` : name),
    sets: columns.filter(({ type }) => type === 'text[]'),
    keys,
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

/** @throws Error when the view declares no such field. The key of a view is its documents' id. */
export function columnAt(view: ViewDeclaration, { keys, sets }: Table, path: string): Column {
  fieldAt(view, path);
  if (path === view.key) return { path, name: 'id', type: 'text' };
  const column = [...keys, ...sets].find((one) => one.path === path);
  if (column === undefined) throw new Error(`${view.name}: ${path} can only be searched`);
  return column;
}

/** The next revision of a document finds room beside it, and then no index is touched: docs/decisions/0018. */
const documentsFillfactor = 50;
/** A million documents that lie as they did before there were keys take half a minute. */
const layoutMs = 600_000;

/** Makes the tables and their indexes where they are missing; safe when several processes do it at once. */
export async function createTable(view: ViewDeclaration, table: Table, database: Database): Promise<void> {
  const client = await database.connect('owner');
  try {
    await client.query('begin');
    await client.query(`set local statement_timeout = ${layoutMs}`);
    await client.query("select pg_advisory_xact_lock(hashtext('orderfold views'))");
    for (const statement of tables(table)) await client.query(statement);
    await takeKeysOut(table, client);
    for (const statement of [...indexes(view, table), `grant select, insert, update, delete on view_sources, ${table.name}, ${table.keysName} to ${pg.escapeIdentifier(`orderfold_${database.schema}`)}`]) await client.query(statement);
    await client.query('commit');
  } finally {
    await client.end();
  }
}

const sqlTypes: Record<Column['type'], string> = { text: 'text collate "C"', 'text[]': 'text[] collate "C"', bigint: 'bigint', boolean: 'boolean' };

function tables({ name, keysName, keys, sets }: Table): string[] {
  const defined = (columns: readonly Column[]) => columns.map((column) => `, ${column.name} ${sqlTypes[column.type]}`).join('');
  return [
    'create table if not exists view_sources (view text primary key, sources jsonb not null, epochs jsonb not null)',
    // json, not jsonb: documents are written and read whole, never looked into.
    `create table if not exists ${name} (id text collate "C" primary key, revision int not null, applied json not null, deleted boolean not null,
      document json not null, words tsvector not null${defined(sets)}) with (fillfactor = ${documentsFillfactor})`,
    ...(keysName === name ? [] : [`create table if not exists ${keysName} (id text collate "C" primary key, deleted boolean not null${defined(keys)}) with (fillfactor = 90)`]),
  ];
}

/** What was written last lies in a list that every search goes through: 4 MB of it, the default, take 100 ms. */
const pendingList = 'gin_pending_list_limit = 256';

function gin(column: string): string {
  return `using gin (${column}) with (${pendingList})`;
}

/**
 * An index begins with what is asked for, and goes on in the order that lists are shown in: the first of the declared ones. Without the deleted ones, of which
 * no list knows, what matches is counted in the index alone.
 */
function indexes(view: ViewDeclaration, table: Table): string[] {
  const index = (of: string, suffix: string, on: string) => `create index if not exists ${pg.escapeIdentifier(`${of.slice(1, -1)}_${suffix}`)} on ${of} ${on}`;
  const sortable = view.sortable.filter((path) => path !== view.key).map((path) => columnAt(view, table, path));
  const [first] = sortable;
  const filters = table.keys.filter(({ path, type }) => (type === 'text' || type === 'boolean') && !view.sortable.includes(path));
  const ordered = ({ path }: Column) => { const field = fieldAt(view, path); return first !== undefined && field.kind === 'keyword' && field.lookup === true; };
  return [
    ...sortable.map((column) => index(table.keysName, `by_${column.path}`, `(${column.name}, id) where not deleted`)),
    ...filters.map((column) => index(table.keysName, `of_${column.path}`, `(${column.name}${ordered(column) ? `, ${first?.name ?? 'id'}, id` : ''}) where not deleted`)),
    ...table.sets.map((column) => index(table.name, `in_${column.path}`, gin(column.name))),
    ...(view.searched.length > 0 ? [index(table.name, 'words', gin('words'))] : []),
  ];
}

/** Once there was one table, with a column for every field: documents that lie so are kept. */
async function takeKeysOut({ name, keysName, keys, sets }: Table, client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ column: string }>(
    "select attname as column from pg_attribute where attrelid = $1::regclass and attname like 'f\\_%' and attname <> all ($2) and not attisdropped", [name, sets.map((column) => column.name.slice(1, -1))]);
  if (rows.length === 0) return;
  await client.query(`lock table ${name} in access exclusive mode`);
  const names = keys.map((column) => `, ${column.name}`).join('');
  if (keysName !== name) await client.query(`insert into ${keysName} (id, deleted${names}) select id, deleted${names} from ${name} on conflict (id) do nothing`);
  await client.query(`alter table ${name} ${rows.map(({ column }) => `drop column ${pg.escapeIdentifier(column)}`).join(', ')}, set (fillfactor = ${documentsFillfactor})`);
  const { rows: old } = await client.query<{ index: string }>(
    "select i.indexrelid::regclass::text as index from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam where i.indrelid = $1::regclass and a.amname = 'gin'", [name]);
  for (const { index } of old) await client.query(`alter index ${index} set (${pendingList})`);
}
