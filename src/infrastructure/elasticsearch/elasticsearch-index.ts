import { isDeepStrictEqual } from 'node:util';
import type { Client, estypes } from '@elastic/elasticsearch';
import { valuesAt } from '../../application/views/declaration.js';
import type { Field, ViewDeclaration } from '../../application/ports/view-store.js';
import { OperatorError } from '../process/operator-error.js';

/** The names of a view in Elasticsearch: each revision has an alias, which points to the index of one generation. */
export interface IndexNames {
  alias: string;
  /** Generations count from 1. */
  index(generation: number): string;
}

export function indexNamesOf({ name, revision }: ViewDeclaration, prefix: string): IndexNames {
  const alias = `${prefix}-${name}-r${revision}`;
  return { alias, index: (generation) => `${alias}-g${generation}` };
}

/** Declared fields are stored under `fields`, each under its path: a condition on `status` queries `fields.status`. */
export function fieldName(path: string): string {
  return `fields.${path}`;
}

const kinds: Record<Exclude<Field['kind'], 'nested' | 'text'>, estypes.MappingProperty> = {
  keyword: { type: 'keyword' },
  long: { type: 'long' },
  date: { type: 'date', format: 'strict_date_time' },
  boolean: { type: 'boolean' },
};

/** The mapping is strict: a document that does not fit its declaration is refused. */
export function mappingOf(view: ViewDeclaration): estypes.MappingTypeMapping {
  const fields: Record<string, estypes.MappingProperty> = {};
  for (const [path, kind] of queriedFields(view)) nest(fields, path.split('.'), kinds[kind]);
  return {
    dynamic: 'strict',
    _meta: { view: view.name, revision: view.revision },
    properties: {
      id: { type: 'keyword' },
      revision: { type: 'long' },
      deleted: { type: 'boolean' },
      // Stored and returned, never queried.
      applied: { type: 'object', enabled: false },
      document: { type: 'object', enabled: false },
      progress: { type: 'object', enabled: false },
      // Words arrive folded and separated by spaces: only those are left to analyze. Prefixes begin at 1: a pictograph is one character, though two code units.
      words: { type: 'text', analyzer: 'whitespace', norms: false, index_options: 'docs', index_prefixes: { min_chars: 1, max_chars: 5 } },
      fields: { type: 'object', properties: fields },
    },
  };
}

/** The values of a document that can be queried, by path. */
export function fieldsOf(view: ViewDeclaration, document: object): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const [path] of queriedFields(view)) {
    const values = valuesAt(document, path);
    if (values.length > 0) fields[path] = values.length === 1 ? values[0] : values;
  }
  return fields;
}

function queriedFields({ fields }: ViewDeclaration): [path: string, kind: keyof typeof kinds][] {
  return Object.entries(fields).flatMap(([path, field]) => {
    if (field.kind === 'text') return [];
    if (field.kind !== 'nested') return [[path, field.kind] as [string, keyof typeof kinds]];
    return Object.entries(field.fields)
      .filter(([, { kind }]) => kind === 'keyword')
      .map(([name]): [string, keyof typeof kinds] => [`${path}.${name}`, 'keyword']);
  });
}

function nest(properties: Record<string, estypes.MappingProperty>, [name = '', ...rest]: string[], kind: estypes.MappingProperty): void {
  if (rest.length === 0) {
    properties[name] = kind;
    return;
  }
  const outer = (properties[name] ??= { properties: {} }) as { properties: Record<string, estypes.MappingProperty> };
  nest(outer.properties, rest, kind);
}

/** An index compared with the declaration of its view. */
export interface IndexState {
  alias: string;
  /** `undefined` when the alias is missing. */
  index?: string;
  /** Paths at which the mapping is not the declared one. */
  drift: string[];
}

export async function indexState(client: Client, view: ViewDeclaration, prefix: string): Promise<IndexState> {
  const { alias } = indexNamesOf(view, prefix);
  const index = await indexBehind(client, alias);
  if (index === undefined) return { alias, drift: [] };
  return { alias, index, drift: driftOf(view, await client.indices.getMapping({ index }), index) };
}

function driftOf(view: ViewDeclaration, mappings: estypes.IndicesGetMappingResponse, index: string): string[] {
  return differences(flat(mappingOf(view)), flat(mappings[index]?.mappings ?? {}));
}

export async function indexBehind(client: Client, alias: string): Promise<string | undefined> {
  const { body, statusCode } = await client.indices.getAlias({ name: alias }, { ignore: [404], meta: true });
  const [index, ...others] = statusCode === 404 ? [] : Object.keys(body);
  if (others.length > 0) throw severalBehind(alias, [index, ...others]);
  return index;
}

/** Identifies an index: one that was deleted and made again under the same name has another uuid. */
export interface Generation { index: string; uuid: string }

export async function generationBehind(client: Client, alias: string): Promise<Generation | undefined> {
  const { body, statusCode } = await client.indices.getSettings({ index: alias, name: 'index.uuid' }, { ignore: [404], meta: true });
  const [index, ...others] = statusCode === 404 ? [] : Object.keys(body);
  if (others.length > 0) throw severalBehind(alias, [index, ...others]);
  const uuid = index === undefined ? undefined : body[index]?.settings?.index?.uuid;
  return index === undefined || uuid === undefined ? undefined : { index, uuid };
}

function severalBehind(alias: string, indices: readonly (string | undefined)[]): OperatorError {
  return new OperatorError(`The alias ${alias} points to several indices (${indices.join(', ')}): leave it one.`);
}

/** The name of a new index, numbered after all that exist, so that none of them is mistaken for it. */
export async function nextGeneration(client: Client, { alias, index }: IndexNames): Promise<string> {
  const found = await client.indices.get({ index: `${alias}-g*`, features: 'aliases' });
  const generations = Object.keys(found).map((name) => Number(name.slice(alias.length + 2))).filter(Number.isSafeInteger);
  return index(Math.max(0, ...generations) + 1);
}

/**
 * Makes the index of a view and its alias where they are missing; safe when several processes do it at once.
 * @throws OperatorError when the index there is not the declared one
 */
export async function createIndex(client: Client, view: ViewDeclaration, prefix: string): Promise<void> {
  const names = indexNamesOf(view, prefix);
  let state = await indexState(client, view, prefix);
  if (state.index === undefined) {
    await createGeneration(client, view, names.index(1), names.alias);
    // Another process may have made it, or it is an older one that had lost its alias.
    state = await indexState(client, view, prefix);
  }
  if (state.drift.length > 0) {
    throw new OperatorError(`The index ${state.index ?? names.alias} is not what the view ${view.name} declares (${state.drift.join(', ')}): `
      + "raise the view's revision, or delete the index to have it folded anew.");
  }
}

export async function createGeneration(client: Client, view: ViewDeclaration, index: string, alias?: string): Promise<void> {
  try {
    await client.indices.create({
      index,
      // One shard: a view is small compared with what one shard can hold, and its counts are then exact. The projector refreshes.
      settings: { number_of_shards: 1, auto_expand_replicas: '0-1', refresh_interval: '-1' },
      mappings: mappingOf(view),
      ...(alias !== undefined && { aliases: { [alias]: {} } }),
    });
  } catch (error) {
    const type = (error as { body?: { error?: { type?: string } } }).body?.error?.type;
    if (type === 'invalid_alias_name_exception') {
      throw new OperatorError(`${alias ?? index} is an index, and should be an alias: delete it, or choose another ELASTICSEARCH_INDEX_PREFIX.`);
    }
    if (type !== 'resource_already_exists_exception') throw error;
    // Another process has just made it, or one that was killed left it without its alias.
    if (alias !== undefined && await indexBehind(client, alias) === undefined) await client.indices.putAlias({ index, name: alias });
  }
}

function flat(value: object, path = ''): Map<string, unknown> {
  const found = new Map<string, unknown>();
  for (const [name, inner] of Object.entries(value)) {
    const at = path === '' ? name : `${path}.${name}`;
    if (typeof inner === 'object' && inner !== null) for (const [deep, one] of flat(inner as object, at)) found.set(deep, one);
    else found.set(at, inner);
  }
  return found;
}

/** Elasticsearch leaves out defaults, and returns true and false as text. */
function differences(declared: Map<string, unknown>, actual: Map<string, unknown>): string[] {
  const same = (a: unknown, b: unknown) => isDeepStrictEqual(String(a), String(b));
  const isDefault = (path: string, value: unknown) => path.endsWith('.type') && value === 'object';
  const paths = new Set([...declared.keys(), ...actual.keys()]);
  return [...paths].filter((path) => {
    if (!actual.has(path)) return !isDefault(path, declared.get(path));
    if (!declared.has(path)) return !isDefault(path, actual.get(path));
    return !same(declared.get(path), actual.get(path));
  });
}
