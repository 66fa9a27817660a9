/**
 * A thread that packs and reads as a rank does, on a board whose units are numbers: what lies in a unit must be the
 * weights that the thread holds, as long as it holds them. It may end anywhere, without a word.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { PackingBoard } from '@lockstep/worker/rank/packing-board.ts';
import { Dice } from './dice.ts';

export interface PackingWork {
  readonly words: SharedArrayBuffer;
  /** int32: a number for each unit. */
  readonly packed: SharedArrayBuffer;
  readonly seats: number;
  readonly seat: number;
  readonly seed: number;
  readonly rounds: number;
  /** Of weights that threads ask for. */
  readonly versions: number;
  /** Chance that the thread ends, at each place of a round where it may. */
  readonly mortality: number;
}

const work = workerData as PackingWork;
const dice = new Dice(work.seed, work.seat);
const board = new PackingBoard(work.words, work.seats, work.seat);
const packed = new Int32Array(work.packed);

function risk(): void {
  if (dice.chance(work.mortality)) process.exit(3);
}

let wrong = 0;
let units = 0;
for (let round = 0; round < work.rounds; round++) {
  const version = dice.below(work.versions);
  const weights = { step: version, publication: 7, side: version % 2, mode: 'train' } as const;
  const count = packed.length - (version % 2);
  risk();
  board.hold(weights, count);
  risk();
  board.packAll((unit) => {
    risk();
    // Half packed is what it must not be taken for.
    Atomics.store(packed, unit, -1);
    Atomics.store(packed, unit, version + 1);
    units += 1;
  });
  for (let look = 0; look < 3; look++) {
    for (let unit = 0; unit < count; unit++) if (Atomics.load(packed, unit) !== version + 1) wrong += 1;
  }
  risk();
  board.letGo();
}
parentPort?.postMessage({ wrong, units }, []);
