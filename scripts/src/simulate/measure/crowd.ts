/**
 * A process that computes on all cores until it is ended: what the wire costs is to be measured beside it. Writes a line when
 * its code is compiled and its memory touched. `node crowd.ts MODEL IMAGES`.
 */
import { availableParallelism } from 'node:os';
import { sampleSteps } from '@lockstep/coordinator/metrics/step-sampling.ts';
import { openSession } from '@lockstep/coordinator/session.ts';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import { openDataset } from '@lockstep/worker/data/open-dataset.ts';

const [model = '', images = ''] = process.argv.slice(2);
const threads = availableParallelism();
const shardsPerStep = 2 * threads;
const recipe = parseRecipe({
  model,
  dataset: 'synthetic',
  batchSize: Number(images) * shardsPerStep,
  shardsPerStep,
});
const dataset = await openDataset(recipe.dataset, { fetchIfMissing: false });
const session = await openSession({ recipe, dataset, threads });
session.truth.begin(recipe.seed);
// Whoever started it may be gone without a word.
process.stdin.on('end', () => process.exit());
process.stdin.resume();
await sampleSteps(session, { recipe, dataset }, ({ steps }) => {
  if (steps === 2) process.stdout.write('ready\n');
  return false;
});
