/**
 * Lockstep as a peer: one configuration a process, whole committed steps when asked.
 *
 *   node lockstep-peer.ts --model resnet20 --batch 128 --shards 8 --threads 1
 *
 * LOCKSTEP_KERNELS=narrow in the environment makes it run as in an engine without revectorization.
 */
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { sampleSteps } from '@lockstep/coordinator/metrics/step-sampling.ts';
import { openSession, type Session } from '@lockstep/coordinator/session.ts';
import type { Dataset } from '@lockstep/worker/data/dataset.ts';
import { openDataset } from '@lockstep/worker/data/open-dataset.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { peakMemory } from './peak-memory.ts';
import { parseMeasureRequest } from './peer-message.ts';
import { peerRecipe } from './peer-recipe.ts';

const { values: flags } = parseArgs({
  options: {
    model: { type: 'string', default: 'resnet20' },
    batch: { type: 'string', default: '128' },
    shards: { type: 'string', default: '8' },
    threads: { type: 'string', default: '1' },
  },
});

const recipe = peerRecipe({
  model: flags.model,
  batch: Number(flags.batch),
  shards: Number(flags.shards),
});

function say(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** Commits steps until the time is over. */
async function measure(session: Session, dataset: Dataset, seconds: number): Promise<object> {
  const sample = await sampleSteps(session, { recipe, dataset }, (so) => so.seconds >= seconds);
  return { imagesPerSecond: sample.images / sample.seconds, steps: sample.steps, peakBytes: peakMemory() };
}

async function main(): Promise<void> {
  const dataset = await openDataset('synthetic', { fetchIfMissing: false });
  const session = await openSession({ recipe, dataset, threads: Number(flags.threads) });
  try {
    session.truth.begin(recipe.seed);
    const version = `Lockstep ${packageJson.version} on Node ${process.versions.node}`;
    const { build } = session.kernels;
    say({ ready: { version, detail: `${build} kernels, ${recipe.shardsPerStep} shards` } });
    for await (const line of createInterface({ input: process.stdin })) {
      const seconds = parseMeasureRequest(line);
      if (seconds !== null) say(await measure(session, dataset, seconds));
    }
  } finally {
    await session.close();
  }
}

try {
  await main();
} catch (thrown) {
  say({ error: thrown instanceof Error ? thrown.message : String(thrown) });
  process.exitCode = 1;
}
