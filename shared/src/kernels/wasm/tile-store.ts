// Bringing a computed tile from scratch to its place in a matrix of any width.
import { NR } from './lanes';

/** Adds a full tile [rows][NR] to c; loads and stores stay apart, which revectorization needs. */
export function tileAdd(tile: usize, c: usize, cRow: i32, rows: i32): void {
  if (rows > 0) do {
    const s0 = f32x4.add(v128.load(c), v128.load(tile));
    const s1 = f32x4.add(v128.load(c, 16), v128.load(tile, 16));
    let s2 = s0, s3 = s0;
    if (NR == 16) {
      s2 = f32x4.add(v128.load(c, 32), v128.load(tile, 32));
      s3 = f32x4.add(v128.load(c, 48), v128.load(tile, 48));
    }
    v128.store(c, s1, 16);
    v128.store(c, s0);
    if (NR == 16) {
      v128.store(c, s3, 48);
      v128.store(c, s2, 32);
    }
    c += cRow;
    tile += 4 * NR;
  } while (--rows);
}

/**
 * Stores or adds the first `rows` x `columns` of a packed tile [..][NR] to the matrix at c.
 *
 * cRow: bytes between the rows of c. add: 1 for c += tile, 0 for c = tile. Nothing outside rows x columns is touched.
 */
export function placeTile(tile: usize, c: usize, cRow: i32, rows: i32, columns: i32, add: bool): void {
  if (add && columns == NR) {
    tileAdd(tile, c, cRow, rows);
    return;
  }
  for (let i = 0; i < rows; i++) {
    const from = tile + 4 * i * NR;
    const to = c + i * cRow;
    if (!add) {
      memory.copy(to, from, 4 * columns);
      continue;
    }
    let j = 0;
    for (; j + 4 <= columns; j += 4) {
      v128.store(to + 4 * j, f32x4.add(v128.load(to + 4 * j), v128.load(from + 4 * j)));
    }
    for (; j < columns; j++) store<f32>(to + 4 * j, load<f32>(to + 4 * j) + load<f32>(from + 4 * j));
  }
}
