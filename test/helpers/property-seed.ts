/**
 * Loaded before every test file. Property tests draw new cases at each run and print their seed when they fail;
 * LOCKSTEP_TEST_SEED repeats such a run. In CI the cases are always the same: a run there says something about
 * the change and not about luck.
 */
import fc from 'fast-check';

const given = process.env['LOCKSTEP_TEST_SEED'] ?? (process.env['CI'] ? '20261124' : undefined);

/** Milliseconds. Where one case takes a second, making a counterexample small could go on for hours. */
const interruptAfterTimeLimit = 120_000;

fc.configureGlobal({
  ...fc.readConfigureGlobal(),
  interruptAfterTimeLimit,
  ...(given === undefined ? {} : { seed: Number(given) }),
});
