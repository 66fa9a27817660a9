/** Which build runs: the decision from what was found out, and the real choice on this machine. */
import { instantiateKernels } from '@lockstep/shared/kernels/instance.ts';
import { kernels } from '@lockstep/shared/kernels/table.ts';
import { Arena } from '@lockstep/shared/tensor/arena.ts';
import {
  bestRates,
  type Candidate,
  chooseKernels,
  decideForced,
  decideWidth,
  forcedWidth,
} from '@lockstep/worker/rank/kernel-choice.ts';
import test from 'ava';

const candidate = (width: 'narrow' | 'wide', changed: Partial<Candidate> = {}): Candidate => ({
  width,
  fingerprint: 'abc',
  rate: 50,
  trouble: null,
  ...changed,
});
const narrow = candidate('narrow');
const broken = (width: 'narrow' | 'wide') =>
  candidate(width, { fingerprint: null, rate: 0, trouble: 'no relaxed SIMD' });

test('the faster width is taken, the narrow one when they are equal', (t) => {
  const faster = decideWidth(narrow, candidate('wide', { rate: 90 }));
  t.is(faster.width, 'wide');
  t.regex(faster.reason, /faster: 90 GFLOP\/s wide, 50 narrow/);
  t.is(decideWidth(narrow, candidate('wide', { rate: 40 })).width, 'narrow');
  t.is(decideWidth(narrow, candidate('wide')).width, 'narrow');
});

test('wide kernels with other bits are never taken, however fast', (t) => {
  const { width, reason } = decideWidth(narrow, candidate('wide', { fingerprint: 'abd', rate: 1000 }));
  t.is(width, 'narrow');
  t.regex(reason, /other bits/);
});

test('wide kernels that do not run are no obstacle, narrow ones are', (t) => {
  const fallback = decideWidth(narrow, broken('wide'));
  t.is(fallback.width, 'narrow');
  t.regex(fallback.reason, /wide kernels do not run: no relaxed SIMD/);
  const none = decideWidth(broken('narrow'), candidate('wide'));
  t.is(none.width, null);
  t.regex(none.reason, /128-bit kernels do not run here: no relaxed SIMD/);
});

test('a width that is asked for is taken when it runs and has the right bits', (t) => {
  const slow = candidate('wide', { rate: 1 });
  t.is(decideForced('wide', narrow, slow).width, 'wide');
  t.is(decideForced('narrow', narrow, candidate('wide', { rate: 1000 })).width, 'narrow');
  t.is(decideForced('wide', narrow, broken('wide')).width, 'narrow');
  t.is(decideForced('wide', narrow, candidate('wide', { fingerprint: 'abd' })).width, 'narrow');
  t.is(decideForced('narrow', broken('narrow'), slow).width, null);
  t.is(forcedWidth(undefined), null);
  t.is(forcedWidth(''), null);
  t.is(forcedWidth('wide'), 'wide');
  t.like(
    t.throws(() => forcedWidth('512')),
    { code: 'USAGE', exitCode: 2 },
  );
});

test('a machine that is slow for a while does not change which product is faster', (t) => {
  for (let slowFrom = 0; slowFrom < 120; slowFrom++) {
    let time = 0;
    const product = (milliseconds: number) => (): void => {
      const isSlow = time >= slowFrom && time < slowFrom + 25;
      time += isSlow ? 2 * milliseconds : milliseconds;
    };
    const [slow = 0, fast = 0, none] = bestRates([product(0.12), product(0.09), null], () => time);
    t.true(fast > 1.2 * slow, `slow from ${slowFrom}: ${fast} and ${slow}`);
    t.is(none, 0);
  }
});

test('on this machine: a build that has every kernel, and a fingerprint for each arithmetic', async (t) => {
  const choices = [await chooseKernels('fma'), await chooseKernels('mul-add')];
  for (const { build, module, fingerprint, reason } of choices) {
    t.regex(build, /^(fma|mul-add)-(narrow|wide)$/);
    t.regex(fingerprint, /^[0-9a-f]{64}$/);
    t.true(reason.length > 0);
    const instance = instantiateKernels(module, Arena.allocate(65536).memory);
    t.true(Object.keys(kernels).every((name) => name in instance));
  }
  t.not(choices[0]?.fingerprint, choices[1]?.fingerprint, 'one rounding or two');
  t.is((await chooseKernels('fma')).fingerprint, choices[0]?.fingerprint);
});
