/** What cores give threads that share nothing. */
import { compileKernels } from '@lockstep/worker/rank/kernel-file.ts';
import { CoreTrial } from '@lockstep/worker/rank/core-trial.ts';
import test from 'ava';

test.serial(
  'threads that share nothing say how much they compute, each for as long as it is told',
  async (t) => {
    const build = 'fma-narrow';
    const trial = await CoreTrial.start({ build, module: await compileKernels(build) }, 3);
    t.teardown(() => trial.close());
    const rates: number[] = [];
    for (const threads of [1, 2, 3]) {
      const begun = performance.now();
      rates.push(await trial.rate(threads, 100));
      t.true(performance.now() - begun > 99);
    }
    t.log(rates.map((rate) => `${(rate / 1e9).toFixed(1)} GFLOP/s`).join(', '));
    // A slow machine makes less than a hundredth of it without the optimising compiler.
    t.true(rates.every((rate) => rate > 1e8 && rate < 1e13));
  },
);
