/** Which peers are measured in every round. */
import { isFarBehind } from '@lockstep/scripts/src/peers/comparison.ts';
import test from 'ava';

test('who is twenty times slower than the fastest has said so once', (t) => {
  t.false(isFarBehind([], 1000));
  t.false(isFarBehind([50], 1000));
  t.true(isFarBehind([49], 1000));
  // Once it was near: it is measured on.
  t.false(isFarBehind([49, 60], 1000));
  t.false(isFarBehind([49], 0));
});
