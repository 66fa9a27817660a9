/**
 * A process that writes checkpoints into a folder until it is killed or fails:
 * `node checkpoint-writer.ts FOLDER WEIGHTS KEEP [COUNT]`. Prints the step of each finished one, or the error's code.
 */

import { writeCheckpoint } from '@lockstep/coordinator/checkpoint/writer.ts';
import { asLockstepError } from '@lockstep/shared/base/errors.ts';
import { sampleCheckpoint } from './checkpoint-sample.ts';

const [folder = '.', weights = '1000', keep = '3', count = 'Infinity'] = process.argv.slice(2);
try {
  for (let step = 1; step <= Number(count); step++) {
    await writeCheckpoint(folder, sampleCheckpoint(step, Number(weights)), { keep: Number(keep) });
    process.stdout.write(`${step}\n`);
  }
} catch (thrown) {
  const { code, message } = asLockstepError(thrown);
  process.stdout.write(`${code} ${message}\n`);
  process.exitCode = 1;
}
