/**
 * A look at msgpack bytes before they are decoded. The decoder trusts declared lengths and knows extensions
 * (records, typed arrays, regular expressions, errors); a header is made of maps, lists, texts, numbers,
 * booleans and nil only, and whatever else comes from a stranger stops here, without an allocation.
 */
import type { Limits } from './limits.ts';

/** What one value takes: bytes of its own, and values inside it. */
interface Taken {
  readonly bytes: number;
  readonly inside: number;
  readonly kind: 'plain' | 'text' | 'list' | 'map';
}

function plain(bytes: number): Taken {
  return { bytes, inside: 0, kind: 'plain' };
}

function container(kind: 'list' | 'map', bytes: number, length: number): Taken {
  return { bytes, inside: kind === 'map' ? 2 * length : length, kind };
}

/** The value whose tag is at `at`; null for a tag that a header does not hold. Reads past the end give 0. */
function take(bytes: Uint8Array, at: number): Taken | null {
  const tag = bytes[at] as number;
  const unsigned = (size: number): number => {
    let value = 0;
    for (let i = 1; i <= size; i++) value = value * 256 + (bytes[at + i] ?? 0);
    return value;
  };
  if (tag <= 0x7f || tag >= 0xe0) return plain(1);
  if (tag <= 0x8f) return container('map', 1, tag & 15);
  if (tag <= 0x9f) return container('list', 1, tag & 15);
  if (tag <= 0xbf) return { bytes: 1 + (tag & 31), inside: 0, kind: 'text' };
  if (tag === 0xc0 || tag === 0xc2 || tag === 0xc3) return plain(1);
  if (tag === 0xca) return plain(5);
  if (tag === 0xcb) return plain(9);
  if (tag >= 0xcc && tag <= 0xcf) return plain(1 + 2 ** (tag - 0xcc));
  if (tag >= 0xd0 && tag <= 0xd3) return plain(1 + 2 ** (tag - 0xd0));
  if (tag >= 0xd9 && tag <= 0xdb) {
    const size = 2 ** (tag - 0xd9);
    return { bytes: 1 + size + unsigned(size), inside: 0, kind: 'text' };
  }
  if (tag === 0xdc || tag === 0xdd)
    return container('list', tag === 0xdc ? 3 : 5, unsigned(tag === 0xdc ? 2 : 4));
  if (tag === 0xde || tag === 0xdf)
    return container('map', tag === 0xde ? 3 : 5, unsigned(tag === 0xde ? 2 : 4));
  return null;
}

/** Why these bytes are not exactly one map of plain values; null when they are. */
export function headerTrouble(
  bytes: Uint8Array,
  limits: Pick<Limits, 'headerItems' | 'headerDepth'>,
): string | null {
  /** Values still to come in each open container, and whether it is a map. */
  const open: { left: number; readonly map: boolean }[] = [];
  let at = 0;
  let items = 0;
  do {
    if (at >= bytes.length) return 'the header ends inside a value';
    const value = take(bytes, at);
    if (value === null) return `the header holds a value of a foreign type (tag ${bytes[at]})`;
    if (items === 0 && value.kind !== 'map') return 'the header is not a map';
    if (++items > limits.headerItems) return `the header holds more than ${limits.headerItems} values`;
    const parent = open.at(-1);
    // A map's values alternate: key, value, key, value.
    if (parent?.map && parent.left % 2 === 0 && value.kind !== 'text')
      return 'a key of the header is not a text';
    if (parent) parent.left--;
    at += value.bytes;
    if (at > bytes.length) return 'the header ends inside a value';
    if (value.inside > bytes.length - at) return 'the header declares more values than it has bytes';
    if (value.inside > 0) open.push({ left: value.inside, map: value.kind === 'map' });
    if (open.length > limits.headerDepth) return `the header nests deeper than ${limits.headerDepth}`;
    while (open.at(-1)?.left === 0) open.pop();
  } while (open.length > 0);
  return at === bytes.length ? null : `${bytes.length - at} bytes follow the header's map`;
}
