/** The entry of a rank's thread, in this thread: a rank that cannot be built fails its tasks. */
import { Halls } from '@lockstep/worker/rank/hall.ts';
import runTask, { rankApi } from '@lockstep/worker/rank/rank-thread.ts';
import type { RankSetup } from '@lockstep/worker/rank/rank.ts';
import test from 'ava';

test('a task that waits for a rank whose set-up failed is refused instead of waiting for ever', async (t) => {
  const task = { kind: 'shard', step: 0, side: 0, epoch: 0, shard: 0, samples: [] } as const;
  const early = t.throwsAsync(runTask(task));
  const hall = new Halls({ sharedBytes: 65536, ownBytes: 65536, units: 1 }, 1).seat(0);
  const module = {} as WebAssembly.Module;
  const setup = { index: 0, hall, module } as RankSetup;
  const failure = { instanceOf: TypeError, message: /WebAssembly\.Module/ };
  t.throws(() => rankApi.setUp(setup), failure);
  const late = t.throwsAsync(runTask(task));
  t.regex((await early)?.message ?? '', failure.message);
  t.regex((await late)?.message ?? '', failure.message);
  t.is(rankApi.describe().arenaBytes, 0);
});
