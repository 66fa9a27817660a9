/** JSON with one spelling for one value, so that its hash means something. */

/**
 * JSON text with keys sorted at every depth and no white space; the same for every order of insertion.
 *
 * @param value plain data: null, booleans, finite numbers, strings, arrays and objects of these
 */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner === 'number' && !Number.isFinite(inner)) throw new RangeError('not a JSON number');
    if (inner === null || typeof inner !== 'object' || Array.isArray(inner)) return inner;
    // fromEntries defines own properties, so a key named `__proto__` stays data.
    return Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  });
}
