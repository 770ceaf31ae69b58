import { Rejection } from '../../domain/shared/rejection.js';
import { jsonPointer } from './command-schemas.js';

// JSON as it may come from outside. JSON.parse lets pass what would be kept differently from how it was meant: duplicate keys, numbers that are rounded,
// text that no store can hold. Checked in one walk over the parsed value; only a text that is wrong is scanned again to name the place.

const deepest = 32;
const decoder = new TextDecoder('utf-8', { fatal: true });

/** @throws Rejection `input.malformed` that names the place */
export function parseStrictJson(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    throw malformed('', 'must be UTF-8');
  }
  return parseStrictText(text);
}

/** @throws Rejection `input.malformed` that names the place */
export function parseStrictText(text: string): unknown {
  if (text.trim() === '') throw malformed('', 'must be JSON, not empty');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw malformed('', `must be JSON: ${(error as Error).message}`);
  }
  // A member has one colon outside strings: fewer members than colons means that keys were dropped.
  if (inspect(value, []) !== colons(text)) throw malformed(duplicateKey(text), 'is there twice');
  return value;
}

/** Checks a value and all within it. @returns how many members its objects have together */
function inspect(value: unknown, path: (string | number)[]): number {
  switch (typeof value) {
    case 'string':
      checkText(value, path);
      return 0;
    case 'number':
      if (!Number.isFinite(value) || Math.abs(value) > Number.MAX_SAFE_INTEGER) throw malformed(jsonPointer(path), 'must be a number within ±(2^53 − 1)');
      return 0;
    case 'object': {
      if (value === null) return 0;
      if (path.length >= deepest) throw malformed(jsonPointer(path), `must not be nested deeper than ${deepest} levels`);
      let members = 0;
      if (Array.isArray(value)) {
        for (let i = 0; i < value.length; i++) {
          path.push(i);
          members += inspect(value[i], path);
          path.pop();
        }
        return members;
      }
      for (const key of Object.keys(value)) {
        path.push(key);
        checkText(key, path);
        members += 1 + inspect((value as Record<string, unknown>)[key], path);
        path.pop();
      }
      return members;
    }
    default:
      return 0;
  }
}

function checkText(text: string, path: readonly (string | number)[]): void {
  if (text.includes('\0')) throw malformed(jsonPointer(path), 'must not contain NUL');
  if (!text.isWellFormed()) throw malformed(jsonPointer(path), 'must not contain half of a surrogate pair');
}

const quote = 34;
const backslash = 92;
const colon = 58;

function colons(text: string): number {
  let count = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (inString) {
      if (code === backslash) i++;
      else if (code === quote) inString = false;
    } else if (code === quote) inString = true;
    else if (code === colon) count++;
  }
  return count;
}

/** Pointer to the first key that its object has twice. `text` is valid JSON. */
function duplicateKey(text: string): string {
  const levels: { keys: Set<string> | undefined; at: string | number }[] = [];
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"\s*:|"(?:[^"\\]|\\.)*"|[{}[\],]/g)) {
    const level = levels.at(-1);
    if (token === '{') levels.push({ keys: new Set(), at: '' });
    else if (token === '[') levels.push({ keys: undefined, at: 0 });
    else if (token === '}' || token === ']') levels.pop();
    else if (token === ',' && typeof level?.at === 'number') level.at++;
    else if (token.endsWith(':') && level?.keys !== undefined) {
      const key = JSON.parse(token.slice(0, token.lastIndexOf('"') + 1)) as string;
      level.at = key;
      if (level.keys.has(key)) return jsonPointer(levels.map(({ at }) => at));
      level.keys.add(key);
    }
  }
  return '';
}

function malformed(pointer: string, message: string): Rejection {
  return new Rejection('input.malformed', { errors: [{ pointer, message }] });
}
