/**
 * A look at msgpack bytes before they are decoded. The decoder trusts declared lengths and knows extensions
 * (records, typed arrays, regular expressions, errors); a header is made of maps, lists, texts, numbers,
 * booleans and nil only, and whatever else comes from a stranger stops here, without an allocation.
 */
import type { Limits } from './limits.ts';

const [plain, text, list, map, foreign] = [0, 1, 2, 3, 4] as const;
type Kind = typeof plain | typeof text | typeof list | typeof map | typeof foreign;

/** The value that was looked at last: every frame has dozens of them, too many for an object each. */
const value: { kind: Kind; bytes: number; inside: number } = { kind: foreign, bytes: 0, inside: 0 };

/** @param bytes of the value's own @param inside values in it */
function found(kind: Kind, bytes: number, inside = 0): void {
  value.kind = kind;
  value.bytes = bytes;
  value.inside = inside;
}

/** A big-endian number behind the tag at `at`. Reads past the end give 0. */
function unsigned(bytes: Uint8Array, at: number, size: number): number {
  let number = 0;
  for (let i = 1; i <= size; i++) number = number * 256 + (bytes[at + i] ?? 0);
  return number;
}

/** Looks at the value whose tag is at `at`; `foreign` is one that a header does not hold. */
function look(bytes: Uint8Array, at: number): void {
  const tag = bytes[at] as number;
  if (tag <= 0x7f || tag >= 0xe0) return found(plain, 1);
  if (tag <= 0x8f) return found(map, 1, 2 * (tag & 15));
  if (tag <= 0x9f) return found(list, 1, tag & 15);
  if (tag <= 0xbf) return found(text, 1 + (tag & 31));
  if (tag === 0xc0 || tag === 0xc2 || tag === 0xc3) return found(plain, 1);
  if (tag === 0xca) return found(plain, 5);
  if (tag === 0xcb) return found(plain, 9);
  if (tag >= 0xcc && tag <= 0xcf) return found(plain, 1 + (1 << (tag - 0xcc)));
  if (tag >= 0xd0 && tag <= 0xd3) return found(plain, 1 + (1 << (tag - 0xd0)));
  if (tag >= 0xd9 && tag <= 0xdb) {
    const size = 1 << (tag - 0xd9);
    return found(text, 1 + size + unsigned(bytes, at, size));
  }
  if (tag === 0xdc || tag === 0xdd) {
    const size = tag === 0xdc ? 2 : 4;
    return found(list, 1 + size, unsigned(bytes, at, size));
  }
  if (tag === 0xde || tag === 0xdf) {
    const size = tag === 0xde ? 2 : 4;
    return found(map, 1 + size, 2 * unsigned(bytes, at, size));
  }
  found(foreign, 0);
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
    look(bytes, at);
    const { kind, inside } = value;
    if (kind === foreign) return `the header holds a value of a foreign type (tag ${bytes[at]})`;
    if (items === 0 && kind !== map) return 'the header is not a map';
    if (++items > limits.headerItems) return `the header holds more than ${limits.headerItems} values`;
    const parent = open.at(-1);
    // A map's values alternate: key, value, key, value.
    if (parent?.map && parent.left % 2 === 0 && kind !== text) return 'a key of the header is not a text';
    if (parent) parent.left--;
    at += value.bytes;
    if (at > bytes.length) return 'the header ends inside a value';
    if (inside > bytes.length - at) return 'the header declares more values than it has bytes';
    if (inside > 0) open.push({ left: inside, map: kind === map });
    if (open.length > limits.headerDepth) return `the header nests deeper than ${limits.headerDepth}`;
    while (open.at(-1)?.left === 0) open.pop();
  } while (open.length > 0);
  return at === bytes.length ? null : `${bytes.length - at} bytes follow the header's map`;
}
