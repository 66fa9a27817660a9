/**
 * A rank computes shards. It owns an arena and the programs compiled for it; it knows nothing of threads, so
 * tests run it where they like.
 */
import type { Program } from '@lockstep/shared/model/program.ts';
import type { Model } from '@lockstep/shared/model/spec.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import type { Dataset } from '../data/dataset.ts';
import type { HallSeat } from './hall.ts';
import { PartProgress } from './part-progress.ts';
import type { Profile } from './profile.ts';
import { RoundWork } from './round-work.ts';
import { SharedWork } from './shared-work.ts';
import { SliceSums } from './slice-sums.ts';
import type { StoreLayout } from './store.ts';
import { SyncShards } from './sync-shards.ts';
import type {
  EvaluationReport,
  EvaluationTask,
  RankReport,
  RankTask,
  ShardReport,
  ShardTask,
  SubtreeReport,
  SubtreeTask,
} from './tasks.ts';
import { type CutProgram, Workbench } from './workbench.ts';

/** Everything a rank needs; posted to its thread once. */
export interface RankSetup {
  /** Position in the pool: which scratch of the store is this rank's. */
  readonly index: number;
  readonly recipe: Recipe;
  readonly model: Model;
  readonly dataset: Dataset;
  readonly module: WebAssembly.Module;
  readonly storeMemory: WebAssembly.Memory;
  readonly storeLayout: StoreLayout;
  /** Where its arena is, and the weights that are packed for it: see `rankSpaceOf`. */
  readonly hall: HallSeat;
  /** Measure every kernel call. */
  readonly profiled: boolean;
}

export class Rank {
  private readonly bench: Workbench;
  private readonly sums: SliceSums;
  private readonly parts: PartProgress;
  private readonly shared: SharedWork;
  private readonly sync: SyncShards;
  private readonly round: RoundWork;

  constructor(setup: RankSetup) {
    this.bench = new Workbench(setup);
    this.sums = new SliceSums(this.bench);
    this.shared = new SharedWork(this.bench);
    this.parts = new PartProgress(this.bench, this.sums, (part) => this.round.passed(part));
    this.sync = new SyncShards(this.bench, this.parts);
    this.round = new RoundWork(this.bench, this.sums, this.shared, (task) => this.computeShard(task));
  }

  /** Does one task; throws what the kernels throw. */
  run(task: RankTask): RankReport {
    switch (task.kind) {
      case 'shard':
        return this.computeShard(task);
      case 'shards':
        return { kind: 'shards', shards: task.tasks.map((one) => this.computeShard(one)) };
      case 'round':
        return this.round.run(task);
      case 'sync':
        return this.sync.run(task);
      case 'subtree':
        return this.sumSubtree(task);
      case 'slice':
        return this.sums.update(task);
      case 'evaluation':
        return this.evaluate(task);
    }
  }

  /** For drills: calls `end` in the middle of the next shard. */
  endMidway(end: () => never): void {
    this.bench.midway = end;
  }

  /** Where the time went since the last call; empty unless set up as profiled. */
  takeProfile(): Profile {
    return this.bench.takeProfile();
  }

  /** Bytes of the arena, without what it shares. */
  get arenaBytes(): number {
    return this.bench.setup.hall.ownBytes;
  }

  private computeShard(task: ShardTask): ShardReport {
    const { bench } = this;
    const { shard, samples } = task;
    // Alone it would normalise by the moments of nobody.
    if (bench.setup.recipe.batchNorm === 'sync') throw new Error('in mode sync shards come in sync tasks');
    const none = { kind: 'shard', shard, lossSum: 0, correct: 0, loadSeconds: 0, computeSeconds: 0 } as const;
    const { control } = bench.store;
    if (samples.length === 0) {
      control.enter(shard);
      bench.store.putResult(none);
      this.parts.finishEmpty(shard, task.subtree, task.side);
      return { ...none, samples: 0 };
    }
    const isRevoked = (): boolean => control.isRevoked(shard);
    // It may have waited behind another task.
    if (isRevoked()) return { ...none, samples: 0, revoked: true };
    control.enter(shard);
    const begun = performance.now();
    const program = bench.program('train', samples.length);
    const { seed, augmentation } = bench.setup.recipe;
    bench.load(program, { split: bench.setup.dataset.train, samples, augmentation, seed, epoch: task.epoch });
    const loaded = performance.now();
    const revoked = { ...none, samples: 0, loadSeconds: (loaded - begun) / 1000, revoked: true } as const;
    if (task.awaitWeights && !bench.awaitWeights(task.step, task.side, isRevoked)) return revoked;
    const started = performance.now();
    bench.takeWeights(task.step, task.side, program);
    const report = this.execute(task, program, isRevoked, { loadSeconds: (loaded - begun) / 1000, started });
    bench.letGo();
    // What a lost helper was at is not known; what has been handed over already was whole, and is not taken twice.
    if (report === 'helper lost') return this.computeShard(task);
    return report ?? revoked;
  }

  /** The calls of a shard whose images and weights are there. @returns null when it was taken back */
  private execute(
    task: ShardTask,
    program: CutProgram,
    isRevoked: () => boolean,
    times: { readonly loadSeconds: number; readonly started: number },
  ): ShardReport | 'helper lost' | null {
    const { bench } = this;
    const { shard, samples } = task;
    if (!this.shared.execute(program.forwardBlocks, program)) return 'helper lost';
    // Of the forward pass, and there before the last part is handed over: whoever sees that needs nothing else.
    this.putMoments(program, task);
    const [lossSum = Number.NaN, correct = 0] = bench.arena.float64(program.regions.totals, 2);
    const result = (): ShardReport => ({
      kind: 'shard',
      shard,
      samples: samples.length,
      lossSum,
      correct,
      loadSeconds: times.loadSeconds,
      computeSeconds: (performance.now() - times.started) / 1000,
    });
    for (const [at, stop] of program.stops.entries()) {
      if (isRevoked()) return null;
      if (!this.shared.execute(stop.blocks, program)) return 'helper lost';
      if (2 * at >= program.stops.length) bench.midway?.();
      this.parts.take(stop.pieces, shard, task.side);
      if (at === program.stops.length - 1) bench.store.putResult(result());
      for (const part of stop.parts) this.parts.pass(part, shard, task.subtree);
    }
    return result();
  }

  private putMoments({ regions, layout }: Program, { shard, side }: ShardTask): void {
    const { arena, store } = this.bench;
    store.moments(shard, side).set(arena.float64(regions.moments, 2 * layout.batchNormChannels));
  }

  private sumSubtree(task: SubtreeTask): SubtreeReport {
    const begun = performance.now();
    const notFinite = this.sums.collect(task, task.slice);
    return { kind: 'subtree', notFinite, seconds: (performance.now() - begun) / 1000 };
  }

  private evaluate(task: EvaluationTask): EvaluationReport {
    const { bench } = this;
    const program = bench.program('evaluate', task.count);
    const samples = Array.from({ length: task.count }, (_, i) => task.from + i);
    const split = bench.setup.dataset[task.split];
    bench.load(program, { split, samples, augmentation: 'none', seed: 0, epoch: 0 });
    bench.takeWeights(task.step, task.side, program);
    // It overwrites whatever shards lie in the arena.
    this.sync.forget();
    bench.execute(program.forward);
    bench.letGo();
    const [lossSum = Number.NaN, correct = 0] = bench.arena.float64(program.regions.totals, 2);
    const predictions = [...bench.arena.int32(program.input.predictions, task.count)];
    return { kind: 'evaluation', from: task.from, lossSum, correct, predictions };
  }
}
