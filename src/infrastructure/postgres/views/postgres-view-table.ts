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
 * The tables of one revision of a view (docs/decisions/0018). The first holds the documents, with the values that are searched by GIN indexes. The second has
 * narrow rows with the values that lists are filtered, sorted and counted by. A view without such values has only the first table: both names are the same.
 */
export interface Table {
  name: string;
  keysName: string;
  /** Columns of the documents' table: the values of nested fields, which are searched as sets. */
  sets: readonly Column[];
  keys: readonly Column[];
}

/** Separates values that are sent to PostgreSQL as one text, to be split into an array there. */
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
    case 'nested': return Object.entries(field.fields)
      .filter(([, { kind }]) => kind === 'keyword')
      .map(([name]) => column(`${path}.${name}`, 'text[]'));
  }
}

/** The value of a column for a document, as an argument of `unnest`. */
export function columnValue(document: object, { path, type }: Column): unknown {
  const values = valuesAt(document, path);
  return type === 'text[]' ? values.map(element).join(separator) : values[0] ?? null;
}

/** The form in which a value of a set is stored and queried: it does not contain the separator. */
export function element(value: unknown): string {
  return String(value).replace(/[\u001e\u001f]/g, (mark) => (mark === separator ? '\u001e1' : '\u001e0'));
}

/** The column of a field; the key of a view is the id of its documents. @throws Error when the view declares no such field, or it has no column */
export function columnAt(view: ViewDeclaration, { keys, sets }: Table, path: string): Column {
  fieldAt(view, path);
  if (path === view.key) return { path, name: 'id', type: 'text' };
  const column = [...keys, ...sets].find((one) => one.path === path);
  if (column === undefined) throw new Error(`${view.name}: ${path} can only be searched`);
  return column;
}

/** Leaves room for the next revision of a document in its page: then no index is touched (docs/decisions/0018). */
const documentsFillfactor = 50;
/** To move a million documents to the layout with keys takes half a minute. */
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
    for (const statement of indexes(view, table)) await client.query(statement);
    const role = pg.escapeIdentifier(`orderfold_${database.schema}`);
    await client.query(`grant select, insert, update, delete on view_sources, ${table.name}, ${table.keysName} to ${role}`);
    await client.query('commit');
  } finally {
    await client.end();
  }
}

const sqlTypes: Record<Column['type'], string> = {
  text: 'text collate "C"',
  'text[]': 'text[] collate "C"',
  bigint: 'bigint',
  boolean: 'boolean',
};

function tables({ name, keysName, keys, sets }: Table): string[] {
  const defined = (columns: readonly Column[]) => columns.map((column) => `, ${column.name} ${sqlTypes[column.type]}`).join('');
  const statements = [
    'create table if not exists view_sources (view text primary key, sources jsonb not null, epochs jsonb not null)',
    // json, not jsonb: documents are written and read whole, never queried.
    `create table if not exists ${name} (id text collate "C" primary key, revision int not null, applied json not null, deleted boolean not null,
      document json not null, words tsvector not null${defined(sets)}) with (fillfactor = ${documentsFillfactor})`,
  ];
  if (keysName !== name) {
    statements.push(`create table if not exists ${keysName} (id text collate "C" primary key, deleted boolean not null${defined(keys)})
      with (fillfactor = 90)`);
  }
  return statements;
}

/** GIN keeps recent writes in a pending list, which every search reads whole: 4 MB of it, the default, take 100 ms. */
const pendingList = 'gin_pending_list_limit = 256';

function gin(column: string): string {
  return `using gin (${column}) with (${pendingList})`;
}

/**
 * An index begins with the column that is filtered by, and goes on with the usual order of lists, by the first sortable field. Deleted documents, which no
 * list shows, are left out: so matches are counted in the index alone.
 */
function indexes(view: ViewDeclaration, table: Table): string[] {
  const index = (of: string, suffix: string, on: string) => {
    const name = pg.escapeIdentifier(`${of.slice(1, -1)}_${suffix}`);
    return `create index if not exists ${name} on ${of} ${on}`;
  };
  const sortable = view.sortable.filter((path) => path !== view.key).map((path) => columnAt(view, table, path));
  const [first] = sortable;
  const filters = table.keys.filter(({ path, type }) => (type === 'text' || type === 'boolean') && !view.sortable.includes(path));
  const order = ({ path }: Column) => {
    const field = fieldAt(view, path);
    return first !== undefined && field.kind === 'keyword' && field.lookup === true ? `, ${first.name}, id` : '';
  };
  return [
    ...sortable.map((column) => index(table.keysName, `by_${column.path}`, `(${column.name}, id) where not deleted`)),
    ...filters.map((column) => index(table.keysName, `of_${column.path}`, `(${column.name}${order(column)}) where not deleted`)),
    ...table.sets.map((column) => index(table.name, `in_${column.path}`, gin(column.name))),
    ...(view.searched.length > 0 ? [index(table.name, 'words', gin('words'))] : []),
  ];
}

/** Converts the earlier layout, one table with a column for every field: its documents are kept. */
async function takeKeysOut({ name, keysName, keys, sets }: Table, client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ column: string }>(
    `select attname as column from pg_attribute
     where attrelid = $1::regclass and attname like 'f\\_%' and attname <> all ($2) and not attisdropped`,
    [name, sets.map((column) => column.name.slice(1, -1))]);
  if (rows.length === 0) return;
  await client.query(`lock table ${name} in access exclusive mode`);
  const names = keys.map((column) => `, ${column.name}`).join('');
  if (keysName !== name) {
    await client.query(`insert into ${keysName} (id, deleted${names}) select id, deleted${names} from ${name} on conflict (id) do nothing`);
  }
  const dropped = rows.map(({ column }) => `drop column ${pg.escapeIdentifier(column)}`).join(', ');
  await client.query(`alter table ${name} ${dropped}, set (fillfactor = ${documentsFillfactor})`);
  const { rows: old } = await client.query<{ index: string }>(
    `select i.indexrelid::regclass::text as index
     from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam
     where i.indrelid = $1::regclass and a.amname = 'gin'`, [name]);
  for (const { index } of old) await client.query(`alter index ${index} set (${pendingList})`);
}
