type Entry<V> = readonly [key: string, value: V];
/** Several entries only where their keys have one hash. */
interface Leaf<V> { readonly hash: number; readonly entries: readonly Entry<V>[] }
/** `present`: a bit for each of the 32 places that has a child; the children, in that order. */
interface Branch<V> { readonly present: number; readonly children: readonly Node<V>[] }
type Node<V> = Leaf<V> | Branch<V>;

const bitsALevel = 5;

/**
 * A map that is never changed: each change makes another one that shares with it whatever is the same, so that it costs as much as the tree is deep, not as
 * the map is large. A hash array mapped trie (Bagwell, "Ideal Hash Trees", 2001).
 */
export class PersistentMap<V> implements Iterable<Entry<V>> {
  private constructor(readonly size: number, private readonly root: Node<V> | undefined) {}

  static of<V>(entries: Iterable<Entry<V>> = []): PersistentMap<V> {
    let map = new PersistentMap<V>(0, undefined);
    for (const [key, value] of entries) map = map.with(key, value);
    return map;
  }

  get(key: string): V | undefined {
    const hash = hashOf(key);
    let node = this.root;
    for (let shift = 0; node !== undefined && 'present' in node; shift += bitsALevel) {
      const bit = bitOf(hash, shift);
      node = (node.present & bit) === 0 ? undefined : node.children[placeOf(node.present, bit)];
    }
    return node?.hash === hash ? node.entries.find(([one]) => one === key)?.[1] : undefined;
  }

  with(key: string, value: V): PersistentMap<V> {
    const placed = { grows: true };
    const root = put(this.root, 0, { hash: hashOf(key), entries: [[key, value]] }, key, placed);
    return new PersistentMap(placed.grows ? this.size + 1 : this.size, root);
  }

  without(key: string): PersistentMap<V> {
    return this.get(key) === undefined ? this : new PersistentMap(this.size - 1, remove(this.root, 0, hashOf(key), key));
  }

  /** In no particular order. */
  *[Symbol.iterator](): Iterator<Entry<V>> {
    const open = this.root === undefined ? [] : [this.root];
    for (let node = open.pop(); node !== undefined; node = open.pop()) {
      if ('present' in node) open.push(...node.children);
      else yield* node.entries;
    }
  }
}

/** Tells `placed` when the key was there already. */
function put<V>(node: Node<V> | undefined, shift: number, leaf: Leaf<V>, key: string, placed: { grows: boolean }): Node<V> {
  if (node === undefined) return leaf;
  if (!('present' in node)) {
    if (node.hash === leaf.hash) {
      const others = node.entries.filter(([one]) => one !== key);
      placed.grows = others.length === node.entries.length;
      return { hash: leaf.hash, entries: [...others, ...leaf.entries] };
    }
    // Their hashes part here, or further down.
    return put({ present: bitOf(node.hash, shift), children: [node] }, shift, leaf, key, placed);
  }
  const bit = bitOf(leaf.hash, shift);
  const place = placeOf(node.present, bit);
  if ((node.present & bit) === 0) return { present: node.present | bit, children: [...node.children.slice(0, place), leaf, ...node.children.slice(place)] };
  return { present: node.present, children: node.children.with(place, put(node.children[place], shift + bitsALevel, leaf, key, placed)) };
}

/** What is there without `key`, which is there. */
function remove<V>(node: Node<V> | undefined, shift: number, hash: number, key: string): Node<V> | undefined {
  if (node === undefined) return undefined;
  if (!('present' in node)) {
    const entries = node.entries.filter(([one]) => one !== key);
    return entries.length === 0 ? undefined : { hash, entries };
  }
  const bit = bitOf(hash, shift);
  const place = placeOf(node.present, bit);
  const child = remove(node.children[place], shift + bitsALevel, hash, key);
  const children = child === undefined ? node.children.toSpliced(place, 1) : node.children.with(place, child);
  const [only] = children;
  // A leaf lies as high as it can: after any changes the tree has the shape that its entries give it.
  if (only === undefined || children.length === 1 && !('present' in only)) return only;
  return { present: child === undefined ? node.present & ~bit : node.present, children };
}

/** FNV-1a, 32 bit, over UTF-16 code units. */
function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return hash ^ (hash >>> 16);
}

function bitOf(hash: number, shift: number): number {
  return 1 << ((hash >>> shift) & 31);
}

/** How many of the places before `bit` are taken. */
function placeOf(present: number, bit: number): number {
  let bits = present & (bit - 1);
  bits -= (bits >>> 1) & 0x55555555;
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
