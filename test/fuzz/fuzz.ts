/** The long fuzz test: `npm run fuzz --workspace test -- --frames 100000 --seed 3`. */
import { parseArgs } from 'node:util';
import { runFuzz } from './fuzz-run.ts';

// The children are killed as this process exits, so it has to exit and not just die.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const { values } = parseArgs({
  options: {
    frames: { type: 'string', default: '100000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    pace: { type: 'string', default: '1000' },
    speed: { type: 'boolean', default: true },
  },
  allowNegative: true,
});

/** Under attack the run may lose so much of its speed. */
const slowest = 0.9;

const [frames, seed, pace] = [Number(values.frames), Number(values.seed), Number(values.pace)];
console.log(`npm run fuzz --workspace test -- --frames ${frames} --seed ${seed} --pace ${pace}`);
try {
  const log = (line: string) => console.log(line);
  const options = { seed, frames, pace, heartbeatSeconds: 2, compareSpeed: values.speed, log };
  const { complaints: _, ...report } = await runFuzz(options);
  console.log(JSON.stringify(report));
  if (report.speedRatio !== null && !(report.speedRatio >= slowest)) {
    console.error(
      `speed under attack: ${report.speedRatio.toFixed(3)} of that in peace; at least ${slowest}`,
    );
    process.exitCode = 1;
  }
} catch (thrown) {
  console.error(thrown instanceof Error ? thrown.message : String(thrown));
  process.exitCode = 1;
}
