/**
 * The long chaos test: `npm run chaos --workspace test -- --faults 200 --seed 7`.
 * Prints the seed first, every fault as it happens, and one line at the end.
 */
import { parseArgs } from 'node:util';
import { commandFlags, runChaos } from './chaos-run.ts';

// The children are killed as this process exits, so it has to exit and not just die.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const { values } = parseArgs({
  options: {
    faults: { type: 'string', default: '200' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    threads: { type: 'string', default: '0' },
    recipe: { type: 'string', default: '' },
  },
});

const options = {
  seed: Number(values.seed),
  faults: Number(values.faults),
  threads: Number(values.threads),
  recipe: values.recipe.split(' ').filter((word) => word !== ''),
  log: (line: string) => console.log(line),
};
console.log(`npm run chaos --workspace test -- ${commandFlags(options)}`);
try {
  const { complaints: _, ...report } = await runChaos(options);
  console.log(JSON.stringify(report));
} catch (thrown) {
  console.error(thrown instanceof Error ? thrown.message : String(thrown));
  process.exitCode = 1;
}
// A node that does not want to end is killed as this process ends.
process.exit();
