import { readConfig, settings, type Config, type Setting } from '../../../infrastructure/process/config.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** Each setting with the value that is in force, be it given, the default or derived from others. Secrets are masked, in URLs too. */
export function settingsInForce(environment: Environment): Record<Setting, string> {
  const derived = derivedFrom(environment);
  return Object.fromEntries((Object.keys(settings) as Setting[]).map((name) => {
    const given = environment[name] === '' ? undefined : environment[name];
    return [name, derived[name] ?? (given === undefined ? usual(name) : masked(name, given))];
  })) as Record<Setting, string>;
}

function usual(name: Setting): string {
  const { flags } = settings[name].schema.describe() as { flags?: { default?: unknown } };
  const value = flags?.default;
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '(none)';
}

/** The settings whose values are not simply those that were given. A configuration that is refused has none. */
function derivedFrom(environment: Environment): Partial<Record<Setting, string>> {
  let config: Config;
  try {
    config = readConfig(environment);
  } catch {
    return {};
  }
  const { adapters, roles, contexts, dataDir, auth, databases, cursorSecret } = config;
  const derived: Partial<Record<Setting, string>> = {
    FEED: adapters.feed,
    VIEWS: adapters.views,
    COMMAND_QUEUE: adapters.commands,
    ROLES: roles.join(','),
    CONTEXTS: contexts.join(','),
    DATA_DIR: dataDir,
    AUTH: auth.mode,
  };
  if (adapters.log === 'postgres' && databases === undefined) derived.DATABASE_URL = '(our own PostgreSQL)';
  if (cursorSecret === undefined) derived.CURSOR_SECRET = '(made by itself)';
  return derived;
}

function masked(name: Setting, value: string): string {
  if (/SECRET|PASSWORD|API_KEY/.test(name)) return '********';
  return value.replace(/(:\/\/[^:/@\s]*:)\S*@/g, '$1********@').replace(/([?&]\w*(?:password|secret|token|key)=)[^&]*/gi, '$1********');
}
