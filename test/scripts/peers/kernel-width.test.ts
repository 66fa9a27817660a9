import test from 'ava';
import type { Width } from '@lockstep/shared/kernels/build-name.ts';
import { type Candidate, decideForced, forcedWidth } from '@lockstep/worker/rank/kernel-choice.ts';

function candidate(width: Width, fingerprint: string | null, trouble: string | null = null): Candidate {
  return { width, fingerprint, rate: 50, trouble };
}

test('the environment asks for a width, for none, or for nonsense', (t) => {
  t.is(forcedWidth(undefined), null);
  t.is(forcedWidth(''), null);
  t.is(forcedWidth('narrow'), 'narrow');
  t.is(forcedWidth('wide'), 'wide');
  t.throws(() => forcedWidth('Narrow'), { message: /LOCKSTEP_KERNELS is 'Narrow'.*'narrow', 'wide'/ });
});

test('the width asked for is taken, although the other may be faster', (t) => {
  const [narrow, wide] = [candidate('narrow', 'a'), { ...candidate('wide', 'a'), rate: 90 }];
  t.is(decideForced('narrow', narrow, wide).width, 'narrow');
  t.is(decideForced('wide', wide, wide).width, 'wide');
});

test('a build whose bits differ is never taken, even if asked for', (t) => {
  const decision = decideForced('wide', candidate('narrow', 'a'), candidate('wide', 'b'));
  t.is(decision.width, 'narrow');
  t.regex(decision.reason, /other bits/);
});

test('a build that does not run is no choice', (t) => {
  const broken = candidate('narrow', null, 'no SIMD');
  const decision = decideForced('narrow', broken, broken);
  t.is(decision.width, null);
  t.regex(decision.reason, /no SIMD/);
});
