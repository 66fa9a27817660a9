/** A short chaos run of real processes; LOCKSTEP_CHAOS_FAULTS and LOCKSTEP_CHAOS_SEED make it another one. */
import test from 'ava';
import { runChaos } from './chaos-run.ts';

const faults = Number(process.env['LOCKSTEP_CHAOS_FAULTS'] ?? 14);
const seed = Number(process.env['LOCKSTEP_CHAOS_SEED'] ?? 1);

test.serial('disturbed in every way, the run ends like the one that was left alone', async (t) => {
  t.timeout(15 * 60_000 + faults * 10_000);
  const report = await runChaos({ seed, faults, threads: 0, recipe: [], log: (line) => t.log(line) });
  t.is(report.weightsSha256, report.expectedSha256);
  t.deepEqual(report.complaints, []);
  t.log(JSON.stringify(report));
});
