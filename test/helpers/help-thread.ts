/**
 * A thread that leads and helps as a rank does, on a board whose runs are sums: what comes of a run depends on the order in which
 * its calls are made, and must be what one rank alone gets. It may end anywhere, without a word.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { HelpBoard, type OpenRun } from '@lockstep/worker/rank/help-board.ts';
import { Dice } from './dice.ts';
import { type HelpWork, largestUnits, totalWords, unitsOf } from './help-thread-work.ts';

const work = workerData as HelpWork;
const dice = new Dice(work.seed, work.seat);
const board = new HelpBoard(work.words, work.seats, work.seat, work.seats);
const numbers = new Int32Array(work.numbers);
const totals = new Int32Array(work.totals);
board.clear();

function risk(factor = 1): void {
  if (dice.chance(factor * work.mortality)) process.exit(3);
}

/** Takes up to 20 us: nobody comes to help with what is over at once. */
function compute(): void {
  const end = performance.now() + dice.below(20) / 1000;
  while (performance.now() < end);
}

const fold = (before: number, unit: number): number => Math.imul(before, 31) + unit + 1;

/** @returns false when the run is broken */
function takePart(open: OpenRun): boolean {
  const { desk, run } = open;
  const at = desk * (largestUnits + 1);
  // Helpers are few, and are to end as often.
  const factor = desk === work.seat ? 1 : 200;
  return board.workAll(open, unitsOf(run), (unit) => {
    risk(factor);
    compute();
    numbers[at + 1 + unit] = run;
    if (!board.awaitTurn(open, { counter: 0, count: unit })) return false;
    const before = numbers[at] as number;
    risk(factor);
    numbers[at] = fold(before, unit);
    risk(factor);
    board.count(open, 0);
    risk(factor);
    return true;
  });
}

const total = (name: keyof typeof totalWords): void => void Atomics.add(totals, totalWords[name], 1);

function lead(run: number): void {
  const at = work.seat * (largestUnits + 1);
  const units = unitsOf(run);
  for (;;) {
    numbers.fill(-1, at, at + largestUnits + 1);
    const open = board.open(run, 7);
    if (takePart(open) && board.awaitFinished(open, units)) break;
    total('broken');
    board.clear();
  }
  let expected = -1;
  for (let unit = 0; unit < units; unit++) {
    expected = fold(expected, unit);
    if (numbers[at + 1 + unit] !== run) total('wrong');
  }
  if (numbers[at] !== expected) total('wrong');
}

function help(): void {
  board.volunteer();
  const open = board.look();
  if (open === null) return;
  board.enter(open);
  takePart(open);
  total('shared');
  board.volunteer();
}

for (let round = 0; round < work.rounds; round++) {
  if (dice.chance(0.5)) {
    board.withdraw();
    lead(dice.below(1000));
  } else for (let i = 0; i < 4; i++) help();
}
board.withdraw();
parentPort?.postMessage('finished', []);
