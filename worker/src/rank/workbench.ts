/** What all tasks of a rank work with: its arena, the store, its programs, and the weights it holds. */
import { type KernelInstance, instantiateKernels } from '@lockstep/shared/kernels/instance.ts';
import { dtypeCodes } from '@lockstep/shared/kernels/short-floats.ts';
import type { CompileOptions } from '@lockstep/shared/model/compilation.ts';
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import type { GradientPiece } from '@lockstep/shared/model/parameter-places.ts';
import type { Program, ProgramMode, Step } from '@lockstep/shared/model/program.ts';
import { Arena } from '@lockstep/shared/tensor/arena.ts';
import { normalisationTable } from '../data/augmentation.ts';
import { execute, type Profile, ProfileBook } from './profile.ts';
import type { RankSetup } from './rank.ts';
import { compileOptionsOf } from './run-shape.ts';
import { loadShard, type LoadRequest } from './shard-loader.ts';
import { type Side, Store } from './store.ts';

/** How long a rank waits for weights before it gives its shard back. */
const weightsMilliseconds = 20_000;

/** Where a program in mode `sync` lies in the arena, and for how large a batch. */
export type SyncPlace = NonNullable<CompileOptions['sync']>;

/** Calls, and what of the gradient is final behind them. */
export interface Stop {
  readonly steps: readonly Step[];
  readonly pieces: readonly GradientPiece[];
  /** Numbers of parts that these pieces complete. */
  readonly parts: readonly number[];
}

/** A program with its calls cut where something happens between them. */
export interface CutProgram extends Program {
  /** Mode `shard`: the calls of `backward` up to where something of the gradient is final. */
  readonly stops: readonly Stop[];
  /** Mode `sync`: forward ++ backward, cut at the points. */
  readonly segments: readonly (readonly Step[])[];
}

export class Workbench {
  readonly setup: RankSetup;
  readonly arena: Arena;
  readonly store: Store;
  readonly storeKernels: KernelInstance;
  /** For drills: ends the thread. */
  midway: (() => never) | null = null;
  private readonly kernels: KernelInstance;
  private readonly programs = new Map<string, CutProgram>();
  /** Which weights lie in the arena, and for which mode they are packed. */
  private loadedStep = -1;
  private loadedPublication = -1;
  private preparedFor: ProgramMode | null = null;
  private readonly book = new ProfileBook();

  constructor(setup: RankSetup) {
    this.setup = setup;
    this.arena = Arena.allocate(setup.arenaBytes);
    this.kernels = instantiateKernels(setup.module, this.arena.memory);
    this.store = new Store(setup.storeLayout, new Arena(setup.storeMemory));
    this.storeKernels = instantiateKernels(setup.module, setup.storeMemory);
  }

  /** Where the time went since the last call; empty unless set up as profiled. */
  takeProfile(): Profile {
    return this.book.take();
  }

  execute(steps: readonly Step[]): void {
    if (this.setup.profiled) this.book.execute(steps, this.kernels);
    else execute(steps, this.kernels);
  }

  /** Writes the time since `begun` (milliseconds) into the profile. @param bytes that were moved, if they were counted */
  account(group: string, begun: number, name = group, bytes = 0): void {
    if (this.setup.profiled) this.book.note(group, name, (performance.now() - begun) / 1000, bytes);
  }

  load(program: Program, request: LoadRequest): void {
    const begun = performance.now();
    loadShard(this.arena, this.kernels, program, request);
    this.account('loading', begun);
  }

  /** Sleeps until the weights of a step are in the store. @returns false when the task was taken back, or it took too long */
  awaitWeights(step: number, side: Side, isRevoked: () => boolean): boolean {
    const { control } = this.store;
    const isThere = (): boolean => this.isLoaded(step, side) || control.hasWeights(side, step);
    const begun = performance.now();
    control.waitUntil(() => isThere() || isRevoked(), weightsMilliseconds);
    this.account('waiting for weights', begun);
    return isThere() && !isRevoked();
  }

  /**
   * Copies the weights of a step into the arena and packs them, unless they lie there packed for the program's mode.
   * With a short wire type they and the running statistics are rounded to it, whether they have travelled or not.
   */
  takeWeights(step: number, side: Side, program: Program): void {
    if (this.preparedFor === program.mode && this.isLoaded(step, side)) return;
    // Before the copy: weights that are published meanwhile count as newer than it.
    this.loadedPublication = this.store.control.publication(side);
    const { regions, layout, mode } = program;
    // Training needs no running statistics, and the main thread may be at those of the step before.
    const count = mode === 'train' ? layout.parameterCount : layout.totalCount;
    this.arena.float32(regions.weights, count).set(this.store.weights(side).subarray(0, count));
    const dtype = dtypeCodes[this.setup.recipe.wireDtype];
    this.kernels.roundFloats(regions.weights, count, dtype, regions.weights);
    this.execute(program.prepare);
    this.loadedStep = step;
    this.preparedFor = program.mode;
  }

  private isLoaded(step: number, side: Side): boolean {
    return this.loadedStep === step && this.loadedPublication === this.store.control.publication(side);
  }

  /** The program for so many images; in mode `sync` one that lies in its own place. */
  program(mode: ProgramMode, size: number, place: SyncPlace | null = null): CutProgram {
    const { model, dataset, recipe } = this.setup;
    const sync = place ?? (recipe.batchNorm === 'sync' ? { batchSamples: size, shift: 0 } : null);
    const key = [mode, size, ...(sync ? [sync.batchSamples, sync.shift] : [])].join(' ');
    const known = this.programs.get(key);
    if (known) return known;
    const program = cut(compileProgram(model, mode, size, compileOptionsOf(recipe, sync ?? undefined)));
    const table = normalisationTable(dataset.mean, dataset.deviation, dataset.channels);
    this.arena.float32(program.regions.pixelTable, table.length).set(table);
    this.programs.set(key, program);
    return program;
  }
}

function cut(program: Program): CutProgram {
  const { forward, backward, parts, pieces, points } = program;
  const stops = [...new Set([...pieces, ...parts].map(({ calls }) => calls))].toSorted((a, b) => a - b);
  const between = (steps: readonly Step[], ends: readonly number[]): Step[][] =>
    ends.map((end, i) => steps.slice(i === 0 ? 0 : (ends[i - 1] as number), end));
  const all = [...forward, ...backward];
  return {
    ...program,
    stops: between(backward, stops).map((steps, i) => ({
      steps,
      pieces: pieces.filter(({ calls }) => calls === stops[i]),
      parts: [...parts.keys()].filter((part) => parts[part]?.calls === stops[i]),
    })),
    segments: between(all, [...points.map(({ calls }) => calls), all.length]),
  };
}
