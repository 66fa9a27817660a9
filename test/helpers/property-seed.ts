/**
 * Loaded before every test file. Property tests draw new cases at each run and print their seed when they fail;
 * LOCKSTEP_TEST_SEED repeats such a run. In CI the cases are always the same: a run there says something about
 * the change and not about luck.
 */
import fc from 'fast-check';

const given = process.env['LOCKSTEP_TEST_SEED'] ?? (process.env['CI'] ? '20261124' : undefined);
if (given !== undefined) fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(given) });
