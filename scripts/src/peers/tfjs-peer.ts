/**
 * TensorFlow.js as a peer: one configuration a process, whole steps when asked.
 *
 *   node tfjs-peer.ts --folder FOLDER --backend cpu|wasm --model resnet20 --batch 2
 */
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { peakMemory } from './peak-memory.ts';
import { parseMeasureRequest } from './peer-message.ts';
import type { Tfjs } from './tfjs-interface.ts';
import { residualNetwork } from './tfjs-network.ts';

const { values: flags } = parseArgs({
  options: {
    folder: { type: 'string', default: '.' },
    backend: { type: 'string', default: 'cpu' },
    model: { type: 'string', default: 'resnet20' },
    batch: { type: 'string', default: '2' },
  },
});
const batch = Number(flags.batch);

/** Steps of a measurement, after one that warms up: seconds would mean nothing at this speed. */
const measuredSteps = 2;

function say(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** Loads the library from the user's folder with the back end that was asked for. */
async function load(): Promise<Tfjs> {
  const require = createRequire(resolve(flags.folder, 'package.json'));
  const tf = require('@tensorflow/tfjs') as Tfjs;
  // Loading the package registers the back end.
  const loaded: unknown = flags.backend === 'wasm' ? require('@tensorflow/tfjs-backend-wasm') : tf;
  if (!loaded || !(await tf.setBackend(flags.backend)))
    throw new Error(`the back end ${flags.backend} does not start`);
  return tf;
}

/** A function that makes one step: forward, backward, Adam, on random images. */
function prepareStep(tf: Tfjs): () => void {
  const network = residualNetwork(tf, flags.model);
  const optimizer = tf.train.adam(0.001);
  return () => {
    const pixels = Float32Array.from({ length: batch * 32 * 32 * 3 }, () => 4 * Math.random() - 2);
    const labels = Int32Array.from({ length: batch }, (_, i) => i % 10);
    tf.tidy(() => {
      const images = tf.tensor4d(pixels, [batch, 32, 32, 3]);
      const wanted = tf.oneHot(labels, 10);
      optimizer.minimize(() => tf.losses.softmaxCrossEntropy(wanted, network(images)), true);
    });
  };
}

async function main(): Promise<void> {
  const tf = await load();
  const step = prepareStep(tf);
  // Also finds out whether the back end has every kernel that training needs.
  step();
  const version = `TensorFlow.js ${tf.version['tfjs'] ?? '?'} on Node ${process.versions.node}`;
  say({ ready: { version, detail: '' } });
  for await (const line of createInterface({ input: process.stdin })) {
    if (parseMeasureRequest(line) === null) continue;
    const begun = performance.now();
    for (let i = 0; i < measuredSteps; i++) step();
    const imagesPerSecond = (measuredSteps * batch) / ((performance.now() - begun) / 1000);
    say({ imagesPerSecond, steps: measuredSteps, peakBytes: peakMemory() });
  }
}

try {
  await main();
} catch (thrown) {
  say({ error: thrown instanceof Error ? thrown.message : String(thrown) });
  process.exitCode = 1;
}
