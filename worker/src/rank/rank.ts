/**
 * A rank computes shards. It owns an arena and the programs compiled for it; it knows nothing of threads, so
 * tests run it where they like.
 */
import { type KernelInstance, instantiateKernels } from '@lockstep/shared/kernels/instance.ts';
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import type { Program, ProgramMode } from '@lockstep/shared/model/program.ts';
import type { Model } from '@lockstep/shared/model/spec.ts';
import { stateNames, updateCall } from '@lockstep/shared/optimizer/rule.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import { Arena } from '@lockstep/shared/tensor/arena.ts';
import { normalisationTable } from '../data/augmentation.ts';
import type { Dataset } from '../data/dataset.ts';
import { execute, executeProfiled, type Profile } from './profile.ts';
import { loadShard, type LoadRequest } from './shard-loader.ts';
import { chunkFloats, otherSide, type Side, Store, type StoreLayout } from './store.ts';
import type {
  EvaluationReport,
  EvaluationTask,
  RankReport,
  RankTask,
  ShardReport,
  ShardTask,
  SliceReport,
  SliceTask,
} from './tasks.ts';

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
  /** Bytes of this rank's arena: the largest of its programs. */
  readonly arenaBytes: number;
  /** Measure every kernel call. */
  readonly profiled: boolean;
}

export class Rank {
  private readonly setup: RankSetup;
  private readonly arena: Arena;
  private readonly kernels: KernelInstance;
  private readonly store: Store;
  private readonly storeKernels: KernelInstance;
  private readonly programs = new Map<string, Program>();
  /** Which weights lie in the arena, and for which mode they are packed. */
  private loadedStep = -1;
  private preparedFor: ProgramMode | null = null;
  private profile: Profile = {};

  constructor(setup: RankSetup) {
    this.setup = setup;
    this.arena = Arena.allocate(setup.arenaBytes);
    this.kernels = instantiateKernels(setup.module, this.arena.memory);
    this.store = new Store(setup.storeLayout, new Arena(setup.storeMemory));
    this.storeKernels = instantiateKernels(setup.module, setup.storeMemory);
  }

  /** Does one task; throws what the kernels throw. */
  run(task: RankTask): RankReport {
    switch (task.kind) {
      case 'shard':
        return this.computeShard(task);
      case 'slice':
        return this.updateSlice(task);
      case 'evaluation':
        return this.evaluate(task);
    }
  }

  /** Seconds by kernel group since the last call; empty unless set up as profiled. */
  takeProfile(): Profile {
    const taken = this.profile;
    this.profile = {};
    return taken;
  }

  /** Bytes of the arena. */
  get arenaBytes(): number {
    return this.arena.bytes.byteLength;
  }

  private computeShard(task: ShardTask): ShardReport {
    const { shard, samples } = task;
    const slot = this.store.slot(shard);
    if (samples.length === 0) {
      slot.fill(0);
      return { kind: 'shard', shard, samples: 0, lossSum: 0, correct: 0, loadSeconds: 0, computeSeconds: 0 };
    }
    const begun = performance.now();
    const program = this.program('train', samples.length);
    const { seed, augmentation } = this.setup.recipe;
    this.load(program, { split: this.setup.dataset.train, samples, augmentation, seed, epoch: task.epoch });
    const loaded = performance.now();
    this.takeWeights(task.step, task.side, program);
    this.execute(program.forward);
    this.execute(program.backward);
    const { gradients, moments, totals } = program.regions;
    const { parameterCount, batchNormChannels } = program.layout;
    slot.set(this.arena.float32(gradients, parameterCount));
    this.store.moments(shard).set(this.arena.float64(moments, 2 * batchNormChannels));
    const [lossSum = Number.NaN, correct = 0] = this.arena.float64(totals, 2);
    const done = performance.now();
    return {
      kind: 'shard',
      shard,
      samples: samples.length,
      lossSum,
      correct,
      loadSeconds: (loaded - begun) / 1000,
      computeSeconds: (done - loaded) / 1000,
    };
  }

  /** Chunk by chunk: sum all shards, look for NaN, update. Reads one side of the store, writes the other. */
  private updateSlice(task: SliceTask): SliceReport {
    const begun = performance.now();
    const { layout } = this.store;
    const { recipe } = this.setup;
    const { side } = task;
    const sum = layout.scratch + this.setup.index * layout.rankScratchBytes;
    const scratch = sum + 4 * chunkFloats;
    let notFinite = 0;
    for (let from = task.from; from < task.to; from += chunkFloats) {
      const n = Math.min(chunkFloats, task.to - from);
      const { slots, slotBytes, shardsPerStep } = layout;
      this.storeKernels.treeSum(slots, slotBytes, shardsPerStep, from, n, sum, scratch);
      notFinite += this.storeKernels.countNonFinite(sum, n) ?? 0;
      const at = (base: number): number => base + 4 * from;
      const call = updateCall(recipe, task.update, task.learningRate, 1 / task.samples, {
        weights: at(layout.weights[side]),
        gradient: sum,
        weightsOut: at(layout.weights[otherSide(side)]),
        state: layout.optimizer[side].map(at),
        stateOut: layout.optimizer[otherSide(side)].map(at),
        n,
      });
      this.storeKernels[call.kernel](...call.values);
    }
    const seconds = (performance.now() - begun) / 1000;
    if (this.setup.profiled) this.profile['reduction'] = (this.profile['reduction'] ?? 0) + seconds;
    return { kind: 'slice', notFinite, seconds };
  }

  private evaluate(task: EvaluationTask): EvaluationReport {
    const program = this.program('evaluate', task.count);
    const samples = Array.from({ length: task.count }, (_, i) => task.from + i);
    const split = this.setup.dataset[task.split];
    this.load(program, { split, samples, augmentation: 'none', seed: 0, epoch: 0 });
    this.takeWeights(task.step, task.side, program);
    this.execute(program.forward);
    const [lossSum = Number.NaN, correct = 0] = this.arena.float64(program.regions.totals, 2);
    const predictions = [...this.arena.int32(program.input.predictions, task.count)];
    return { kind: 'evaluation', from: task.from, lossSum, correct, predictions };
  }

  private execute(steps: Program['forward']): void {
    if (this.setup.profiled) executeProfiled(steps, this.kernels, this.profile);
    else execute(steps, this.kernels);
  }

  private load(program: Program, request: LoadRequest): void {
    const begun = performance.now();
    loadShard(this.arena, this.kernels, program, request);
    if (this.setup.profiled) {
      this.profile['loading'] = (this.profile['loading'] ?? 0) + (performance.now() - begun) / 1000;
    }
  }

  /** Copies the weights of a step into the arena and packs them, unless they are there. */
  private takeWeights(step: number, side: Side, program: Program): void {
    if (this.loadedStep !== step) {
      this.arena.float32(program.regions.weights, program.layout.totalCount).set(this.store.weights(side));
      this.loadedStep = step;
      this.preparedFor = null;
    }
    if (this.preparedFor !== program.mode) {
      this.execute(program.prepare);
      this.preparedFor = program.mode;
    }
  }

  private program(mode: ProgramMode, size: number): Program {
    const key = `${mode} ${size}`;
    const known = this.programs.get(key);
    if (known) return known;
    const { model, dataset, recipe } = this.setup;
    const program = compileProgram(model, mode, size, recipe);
    const table = normalisationTable(dataset.mean, dataset.deviation, dataset.channels);
    this.arena.float32(program.regions.pixelTable, table.length).set(table);
    this.programs.set(key, program);
    return program;
  }
}

/** Names of the optimizer's state vectors in the store of a recipe. */
export function storeStates(recipe: Recipe): readonly string[] {
  return stateNames(recipe.optimizer);
}
