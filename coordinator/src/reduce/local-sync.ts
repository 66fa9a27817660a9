/** Batch-norm mode `sync` on the ranks of this process alone. */
import type { Layout } from '@lockstep/shared/model/layout.ts';
import type { Store } from '@lockstep/worker/rank/store.ts';
import { StoreExchange } from '@lockstep/worker/rank/sync-exchange.ts';
import type { ShardReport, ShardTask, SyncReport, SyncTask } from '@lockstep/worker/rank/tasks.ts';
import { SyncStep } from './sync-step.ts';

/** Gives a task to some rank, and to another one when that is lost. */
export type RunSync = (task: SyncTask) => Promise<SyncReport>;

export class LocalSync {
  private readonly layout: Layout;
  private readonly exchange: StoreExchange;
  private meeting = 0;

  constructor(store: Store, layout: Layout) {
    this.layout = layout;
    this.exchange = new StoreExchange(store, layout);
  }

  /**
   * Computes the shards of a step together; those that are given are the batch.
   *
   * @param ranks ranks that may compute at the same time; each holds the same shards to the end of the step
   * @throws what `run` throws; the ranks have then come back
   */
  async compute(tasks: readonly ShardTask[], ranks: number, run: RunSync): Promise<ShardReport[]> {
    const { exchange } = this;
    const step = new SyncStep(
      this.layout,
      tasks.map((task) => task.samples.length),
    );
    this.meeting += 1;
    const samples: number[] = [];
    for (const task of tasks) samples[task.shard] = task.samples.length;
    exchange.begin(samples);
    exchange.admit(tasks.map(({ shard }) => shard));
    const shards = tasks.map(({ shard }) => ({ from: shard, width: 1 }));
    const places = new Map(tasks.map(({ shard }, place) => [shard, place]));
    const stop = exchange.watch(shards, ({ from }, point, { values }) => {
      const place = { from: places.get(from) as number, width: 1 };
      for (const total of step.add(place, point, values)) exchange.publish(total.point, total.values);
    });
    let failed = false;
    const untilFinished = async (task: SyncTask): Promise<readonly ShardReport[]> => {
      try {
        for (;;) {
          const report = await run(task);
          if (report.finished || failed) return report.shards;
        }
      } catch (thrown) {
        // The others would wait for shards that nobody computes.
        failed = true;
        exchange.pause();
        throw thrown;
      }
    };
    const groups = await Promise.allSettled(syncTasks(tasks, ranks, this.meeting).map(untilFinished));
    stop();
    const lost = groups.find((group) => group.status === 'rejected');
    if (lost) throw lost.reason;
    return groups.flatMap((group) => (group.status === 'fulfilled' ? group.value : []));
  }
}

/** Shards as tasks for so many ranks: neighbours together, as even as whole shards allow. */
export function syncTasks(tasks: readonly ShardTask[], ranks: number, meeting: number): SyncTask[] {
  const groups = Math.max(1, Math.min(ranks, tasks.length));
  const batchSamples = tasks.reduce((sum, { samples }) => sum + samples.length, 0);
  return Array.from({ length: groups }, (_, i) => {
    const own = tasks.slice((tasks.length * i) / groups, (tasks.length * (i + 1)) / groups);
    const { step, side, epoch } = own[0] as ShardTask;
    const shards = own.map(({ shard, samples }) => ({ shard, samples }));
    return { kind: 'sync', step, side, epoch, batchSamples, meeting, shards };
  });
}
