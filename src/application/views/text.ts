import { valuesAt } from './declaration.js';
import type { ViewDeclaration } from '../ports/view-store.js';

// Text becomes words here, for documents and for queries alike: no analyzer of a store is used, so `q` means the same everywhere.

/** Longer words are cut, in documents as in queries (UTF-16 code units). The stores' own limits are far above. */
const longestWord = 64;
const ascii = /^[\0-\x7f]*$/;
const segmenter = new Intl.Segmenter('en', { granularity: 'word' });

/**
 * The words of a text: compatibility forms, marks and case are levelled (`Ångström` is `angstrom`), everything but letters, digits and pictographs separates,
 * and scripts that write without spaces are cut by the Unicode rules. `A-100` is two words, an emoji is one.
 */
export function foldWords(text: string): string[] {
  // Plain ASCII needs none of the tables: the slow way gives the same words.
  if (ascii.test(text)) return text.toLowerCase().split(/[^a-z0-9]+/).filter((word) => word !== '').map(cut);
  const levelled = text.normalize('NFKD').replace(/\p{M}+/gu, '').toLowerCase().normalize('NFKD').replace(/\p{M}+/gu, '').replaceAll('ς', 'σ')
    .replace(/[^\p{L}\p{N}\p{Extended_Pictographic}]+/gu, ' ');
  return levelled.split(' ')
    .filter((part) => part !== '')
    .flatMap((part) => (ascii.test(part) ? [part] : Array.from(segmenter.segment(part), ({ segment }) => segment)))
    .map(cut);
}

function cut(word: string): string {
  return word.length <= longestWord ? word : word.slice(0, longestWord).replace(/[\ud800-\udbff]$/, '');
}

/** The words that `q` finds a document by, each once. */
export function wordsOf(view: ViewDeclaration, document: object): string[] {
  return [...new Set(view.searched.flatMap((path) => valuesAt(document, path)).flatMap((value) => foldWords(String(value))))];
}
