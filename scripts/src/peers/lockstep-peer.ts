/**
 * Lockstep as a peer: one configuration a process, whole committed steps when asked.
 *
 *   node lockstep-peer.ts --model resnet20 --batch 128 --shards 8 --threads 1
 *
 * LOCKSTEP_KERNELS=narrow in the environment makes it run as in an engine without revectorization.
 */
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { runSteps } from '@lockstep/coordinator/run-loop.ts';
import { openSession, type Session } from '@lockstep/coordinator/session.ts';
import { openDataset } from '@lockstep/worker/data/open-dataset.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { peakMemory } from './peak-memory.ts';
import { parseMeasureRequest } from './peer-message.ts';
import { peerRecipe } from './peer-recipe.ts';

const { values: flags } = parseArgs({
  options: {
    model: { type: 'string', default: 'resnet20' },
    batch: { type: 'string', default: '128' },
    shards: { type: 'string' },
    threads: { type: 'string', default: '1' },
  },
});

const recipe = peerRecipe({
  model: flags.model,
  batch: Number(flags.batch),
  shards: flags.shards === undefined ? null : Number(flags.shards),
});

function say(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** Commits steps until the time is over. */
async function measure(session: Session, trainCount: number, seconds: number): Promise<object> {
  const { workforce, truth } = session;
  const enough = new AbortController();
  let images = 0;
  let steps = 0;
  const lastStep = Number.MAX_SAFE_INTEGER;
  const begun = performance.now();
  await runSteps(
    { recipe, trainCount, lastStep, workforce, truth, signal: enough.signal },
    async ({ plan }) => {
      images += plan.samples;
      steps += 1;
      if (performance.now() - begun >= seconds * 1000) enough.abort();
    },
  );
  const imagesPerSecond = images / ((performance.now() - begun) / 1000);
  return { imagesPerSecond, steps, peakBytes: peakMemory() };
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
      if (seconds !== null) say(await measure(session, dataset.train.count, seconds));
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
