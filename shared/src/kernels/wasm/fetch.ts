// Bringing pixels near before a transform reads or writes them.
//
// A transform reads its tile in pieces of 32 bytes: down a column, then the next column, then the next 8 channels. The
// processor's prefetchers do not recognise that as a stream, so with many channels it would wait for one cache line
// after the other. Read once in the order of memory, the pixels come as fast as memory gives them.

/** Pixels from so many bytes on are fetched; shorter ones lie so close together that the transform's order is as good. */
const LEAST_PIXEL: i32 = 256;

/** Neighbouring tiles whose pixels are fetched together: few enough that they are still near when they are used. */
// @ts-ignore: decorator
@inline
export const TILES_AHEAD: i32 = 8;

/** Whether pixels of so many bytes are worth it. */
// @ts-ignore: decorator
@inline
export function isFetched(pixel: i32): bool {
  return pixel >= LEAST_PIXEL;
}

/** Reads a word at every `step` of the first `bytes` bytes of `rows` rows; at sink, 4 bytes are overwritten. */
export function fetchRows(from: usize, rows: i32, row: i32, bytes: i32, step: i32, sink: usize): void {
  let seen: i32 = 0;
  for (let r = 0; r < rows; r++) {
    for (let k = 0; k < bytes; k += step) seen ^= load<i32>(from + k);
    from += row;
  }
  // Loads whose values nobody uses could be left out.
  store<i32>(sink, seen);
}
