/**
 * Compares the kernels and memory plans of two checkouts, call by call, in one process: shards of one and of the other in
 * turn, so that a machine whose speed changes changes both. Which physical pages a memory gets alone makes a shard 4 %
 * faster or slower, so each version runs in several memories.
 *
 *   npm run bench:compare --workspace scripts -- OTHER [--model resnet20] [--images 16] [--build fma-wide]
 *     [--rounds 30] [--copies 3] [--rows 15] [--json]
 *
 * OTHER: the folder of a checkout of the version before, with its kernels built.
 */
import { standardOutput } from '@lockstep/coordinator/terminal/output.ts';
import { ProgressBar } from '@lockstep/coordinator/terminal/progress-bar.ts';
import { buildNames } from '@lockstep/shared/kernels/build-name.ts';
import { checkModelName } from '@lockstep/shared/model/zoo.ts';
import { askForRevectorization } from '@lockstep/worker/rank/kernel-file.ts';
import Table from 'cli-table3';
import { Checkout } from './compare/checkout.ts';
import { compareTimings, type Row, type Timing, timeShard } from './compare/shard-timing.ts';
import { choiceFlag, commandLine, numberFlag, readFlags, wrongFlag } from './flags.ts';

const { other, workload, rounds, copyCount, rowCount, json } = commandLine(() => {
  const { values, positionals } = readFlags({
    allowPositionals: true,
    options: {
      model: { type: 'string', default: 'resnet20' },
      images: { type: 'string', default: '16' },
      build: { type: 'string', default: 'fma-wide' },
      rounds: { type: 'string', default: '30' },
      copies: { type: 'string', default: '3' },
      rows: { type: 'string', default: '15' },
      json: { type: 'boolean', default: false },
    },
  });
  checkModelName(values.model);
  const count = (name: 'images' | 'rounds' | 'copies' | 'rows'): number =>
    numberFlag(name, values[name], { whole: true });
  const [folder] = positionals;
  if (folder === undefined)
    throw wrongFlag('No checkout is named.', 'Name the folder of the one to compare with.');
  return {
    other: folder,
    workload: {
      model: values.model,
      images: count('images'),
      build: choiceFlag('build', values.build, buildNames),
    },
    rounds: count('rounds'),
    copyCount: count('copies'),
    rowCount: count('rows'),
    json: values.json,
  };
});
/** Shards before the first that counts: by then the optimised code is in use. */
const warmUp = 8;

askForRevectorization();
const here = new URL('../..', import.meta.url).pathname;
const before = await Checkout.load(other, workload.build);
const now = await Checkout.load(here, workload.build);
const copies = Array.from(
  { length: copyCount },
  () => [before.prepare(workload), now.prepare(workload)] as const,
);
for (const one of copies.flat()) for (let i = 0; i < warmUp; i++) timeShard(one);

const pairs: (readonly [Timing, Timing])[] = [];
const errors = standardOutput(process.stderr);
const bar = new ProgressBar(errors);
for (let round = 0; round < rounds; round++) {
  for (const [first, second] of copies) {
    // Neither version is always the one that finds the other's data in the caches.
    const swapped = round % 2 === 1;
    const [a, b] = swapped ? [second, first] : [first, second];
    const [earlier, later] = [timeShard(a), timeShard(b)];
    pairs.push(swapped ? [later, earlier] : [earlier, later]);
  }
  const [all] = compareTimings(pairs);
  const parts = [{ text: `${all?.ratio.toFixed(3)} times as fast`, rank: 1 }];
  if (errors.isTty) bar.show({ label: workload.model, done: round + 1, total: rounds, parts });
}
bar.clear();

const rows: Row[] = compareTimings(pairs).slice(0, rowCount + 1);
if (json) {
  for (const row of rows) console.log(JSON.stringify(row));
} else {
  const table = new Table({
    style: { head: [], border: [], compact: true },
    head: [`${workload.model}, a shard of ${workload.images}`, 'other ms', 'this ms', 'times as fast'],
    colAligns: ['left', 'right', 'right', 'right'],
  });
  for (const { name, milliseconds, ratio } of rows) {
    table.push([name, ...milliseconds.map((ms) => ms.toFixed(3)), ratio.toFixed(3)]);
  }
  console.log(table.toString());
}
