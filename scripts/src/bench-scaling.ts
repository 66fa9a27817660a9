/**
 * What a step costs besides its arithmetic when there are more ranks, also more than cores: messages, bytes, sleeps and
 * processor time against the number of ranks. What must not grow with it is shown not to.
 *
 *   npm run bench:scaling -- [--model resnet20] [--batch 128] [--shards 64] [--ranks 1,2,4,8,16,32,64]
 *     [--rounds 3] [--seconds 4] [--json]
 */
import { availableParallelism } from 'node:os';
import { median } from '@lockstep/coordinator/plan/program-timing.ts';
import { checkModelName } from '@lockstep/shared/model/zoo.ts';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import { openDataset } from '@lockstep/worker/data/open-dataset.ts';
import { chooseKernels } from '@lockstep/worker/rank/kernel-choice.ts';
import Table from 'cli-table3';
import { commandLine, numberFlag, numberListFlag, readFlags } from './flags.ts';
import { measureRanks, type RankFigures } from './scaling/rank-measurement.ts';

const { recipe, counts, rounds, seconds, json } = commandLine(() => {
  const { values } = readFlags({
    options: {
      model: { type: 'string', default: 'resnet20' },
      batch: { type: 'string', default: '128' },
      shards: { type: 'string', default: '64' },
      ranks: { type: 'string', default: '1,2,4,8,16,32,64' },
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '4' },
      json: { type: 'boolean', default: false },
    },
  });
  checkModelName(values.model);
  return {
    recipe: parseRecipe({
      model: values.model,
      dataset: 'synthetic',
      batchSize: numberFlag('batch', values.batch, { whole: true }),
      shardsPerStep: numberFlag('shards', values.shards, { whole: true }),
    }),
    counts: numberListFlag('ranks', values.ranks, { whole: true, most: 256 }),
    rounds: numberFlag('rounds', values.rounds, { whole: true }),
    seconds: numberFlag('seconds', values.seconds),
    json: values.json,
  };
});

/** The figures that are compared. */
const compared = [
  ...(['ranks', 'imagesPerSecond', 'cpuSeconds', 'sleeps'] as const),
  ...(['tasks', 'messageBytes', 'reducedFloats', 'packedFloats'] as const),
];

type Row = Record<(typeof compared)[number], number>;

/** Figure by figure, over the rounds. */
function medians(figures: readonly RankFigures[]): Row {
  return Object.fromEntries(compared.map((name) => [name, median(figures.map((one) => one[name]))])) as Row;
}

const { model, batchSize, shardsPerStep } = recipe;
const dataset = await openDataset(recipe.dataset);
const kernels = await chooseKernels(recipe.arithmetic);
const measured = new Map<number, RankFigures[]>(counts.map((count) => [count, []]));
for (let round = 1; round <= rounds; round++) {
  for (const count of counts) {
    const figures = await measureRanks(count, { recipe, dataset, kernels, seconds });
    measured.get(count)?.push(figures);
    process.stderr.write(
      `round ${round} of ${rounds}: ${count} ranks, ${figures.imagesPerSecond.toFixed(0)} images/s\n`,
    );
  }
}
const all = [...measured.values()].flat();
const hashes = new Set(all.map(({ weightsSha256 }) => weightsSha256));
if (hashes.size !== 1)
  throw new Error(`the weights depend on the number of ranks: ${[...hashes].join(', ')}`);
const rows = [...measured.values()].map(medians);
const [first] = all;
if (json) process.stdout.write(`${JSON.stringify({ model, rows, gradient: first?.gradient })}\n`);
else {
  const table = new Table({
    head: ['ranks', 'images/s', 'CPU ms', 'sleeps', 'messages', 'their KiB', 'floats reduced', 'packed'],
    colAligns: ['right', 'right', 'right', 'right', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows) {
    table.push([
      row.ranks,
      row.imagesPerSecond.toFixed(0),
      (1000 * row.cpuSeconds).toFixed(1),
      row.sleeps.toFixed(0),
      row.tasks.toFixed(2),
      (row.messageBytes / 1024).toFixed(2),
      row.reducedFloats.toFixed(0),
      row.packedFloats.toFixed(0),
    ]);
  }
  const { written = 0, read = 0, handOvers = 0 } = first?.gradient ?? {};
  const cores = availableParallelism();
  process.stdout.write(
    `${model}, batch ${batchSize}, ${shardsPerStep} shards, ${cores} cores; of one step:\n${table.toString()}\n` +
      `gradient: ${(written / 2 ** 20).toFixed(1)} MiB written to slots, ${(read / 2 ** 20).toFixed(1)} MiB read, ` +
      `${handOvers} chunks handed over, for any number of ranks; one SHA-256 (${[...hashes][0]?.slice(0, 16)})\n`,
  );
}
