/** The entry of a rank's thread, in this thread: a rank that cannot be built fails its tasks. */
import runTask, { rankApi } from '@lockstep/worker/rank/rank-thread.ts';
import type { RankSetup } from '@lockstep/worker/rank/rank.ts';
import test from 'ava';

test('a task that waits for a rank whose set-up failed is refused instead of waiting for ever', async (t) => {
  const task = { kind: 'shard', step: 0, side: 0, epoch: 0, shard: 0, samples: [] } as const;
  const early = t.throwsAsync(runTask(task));
  const setup = { index: 0, arenaBytes: 2 ** 33 } as RankSetup;
  t.throws(() => rankApi.setUp(setup), { code: 'ARENA_TOO_LARGE' });
  const late = t.throwsAsync(runTask(task));
  t.like(await early, { code: 'ARENA_TOO_LARGE' });
  t.like(await late, { code: 'ARENA_TOO_LARGE' });
  t.is(rankApi.describe().arenaBytes, 0);
});
