/** What all tasks of a rank work with: its arena, the store, its programs, and the weights it holds. */
import { type KernelInstance, instantiateKernels } from '@lockstep/shared/kernels/instance.ts';
import { dtypeCodes } from '@lockstep/shared/kernels/short-floats.ts';
import type { CompileOptions } from '@lockstep/shared/model/compilation.ts';
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import type { GradientPiece } from '@lockstep/shared/model/parameter-places.ts';
import type { Program, ProgramMode, Step } from '@lockstep/shared/model/program.ts';
import type { SharedCall } from '@lockstep/shared/model/run-sharing.ts';
import { placeWeights, type WeightUnit } from '@lockstep/shared/model/weight-units.ts';
import { Arena } from '@lockstep/shared/tensor/arena.ts';
import { normalisationTable } from '../data/augmentation.ts';
import { type PackedWeights, PackingBoard } from './packing-board.ts';
import { execute, type Profile, ProfileBook } from './profile.ts';
import type { RankSetup } from './rank.ts';
import { compileOptionsOf } from './run-shape.ts';
import { loadShard, type LoadRequest } from './shard-loader.ts';
import { type Side, Store } from './store.ts';

/** How long a rank waits for weights before it gives its shard back. */
const weightsMilliseconds = 20_000;

/** Where a program in mode `sync` lies in the arena, and for how large a batch. */
export type SyncPlace = NonNullable<CompileOptions['sync']>;

/** Calls, of one run where several ranks may make them together. */
export interface Block {
  readonly steps: readonly Step[];
  /** Index among the program's shared runs. */
  readonly run: number | null;
}

/** Calls, and what of the gradient is final behind them. */
export interface Stop {
  readonly blocks: readonly Block[];
  readonly pieces: readonly GradientPiece[];
  /** Numbers of parts that these pieces complete. */
  readonly parts: readonly number[];
}

/** A program with its calls cut where something happens between them. */
export interface CutProgram extends Program {
  readonly forwardBlocks: readonly Block[];
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
  /** Floats of weights that this rank has packed. */
  packed = 0;
  /** For drills: ends the thread. */
  midway: (() => never) | null = null;
  private readonly kernels: KernelInstance;
  private readonly programs = new Map<string, CutProgram>();
  private readonly board: PackingBoard;
  /** The packed weights that this rank uses. */
  private held: PackedWeights | null = null;
  private readonly book = new ProfileBook();

  constructor(setup: RankSetup) {
    const { memory, words, seats, seat } = setup.hall;
    this.setup = setup;
    this.arena = new Arena(memory);
    this.board = new PackingBoard(words, seats, seat);
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

  /** A call of a shared run. @param shift bytes from where this rank's own memory begins to where the shard's rank has its own */
  executeShared({ step, moved }: SharedCall, shift: number): void {
    const { kernel, values } = step.call;
    const begun = performance.now();
    const placed = shift === 0 ? values : values.slice();
    if (shift !== 0) for (const at of moved) (placed as number[])[at] = (values[at] as number) + shift;
    this.kernels[kernel](...placed);
    if (this.setup.profiled) this.book.count(step, (performance.now() - begun) / 1000);
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

  /**
   * Sleeps until the weights of a step are in the store, or packed: then they are held.
   *
   * @returns false when the task was taken back, or it took too long
   */
  awaitWeights(step: number, side: Side, isRevoked: () => boolean): boolean {
    const { control } = this.store;
    const isThere = (): boolean => this.holdPacked(step, side) || control.hasWeights(side, step);
    const begun = performance.now();
    control.waitUntil(() => isThere() || isRevoked(), weightsMilliseconds);
    this.account('waiting for weights', begun);
    if (isThere() && !isRevoked()) return true;
    this.letGo();
    return false;
  }

  /**
   * Sees to it that the weights of a step are packed for the program's mode, and holds them: until `letGo` nobody packs
   * others in this hall. What is to be packed the ranks of a hall share among them.
   */
  takeWeights(step: number, side: Side, program: Program): void {
    if (this.held !== null) return;
    const { board } = this;
    const { mode, prepare } = program;
    const begun = performance.now();
    this.held = this.weightsOf(step, side, mode);
    const slept = board.hold(this.held, prepare.length);
    if (slept) this.account('waiting to pack weights', begun);
    const waited = board.packAll((unit) => this.pack(prepare[unit] as WeightUnit, side));
    if (waited > 0) this.account('waiting for packed weights', performance.now() - waited);
  }

  /** For training. @returns whether the rank holds them now */
  private holdPacked(step: number, side: Side): boolean {
    if (this.held !== null) return true;
    const weights = this.weightsOf(step, side, 'train');
    if (this.board.holdPacked(weights)) this.held = weights;
    return this.held !== null;
  }

  /** To be asked for before anything is copied: weights that are published meanwhile count as newer than what is packed. */
  private weightsOf(step: number, side: Side, mode: ProgramMode): PackedWeights {
    return { step, publication: this.store.control.publication(side), side, mode };
  }

  /** Others may be packed now. Without weights that are held nothing happens. */
  letGo(): void {
    if (this.held !== null) this.board.letGo();
    this.held = null;
  }

  /** With a short wire type weights and running statistics are rounded to it, whether they have travelled or not. */
  private pack(unit: WeightUnit, side: Side): void {
    const { from, to, place, steps } = unit;
    const begun = performance.now();
    const { wireDtype } = this.setup.recipe;
    placeWeights(unit, this.store.weights(side), this.arena.floats);
    if (wireDtype !== 'f32') this.kernels.roundFloats(place, to - from, dtypeCodes[wireDtype], place);
    this.packed += to - from;
    this.account('pack', begun, 'copy weights', 8 * (to - from));
    this.execute(steps);
  }

  /** The program for so many images; in mode `sync` one that lies in its own place. */
  program(mode: ProgramMode, size: number, place: SyncPlace | null = null): CutProgram {
    const { model, dataset, recipe, hall } = this.setup;
    const sync = place ?? (recipe.batchNorm === 'sync' ? { batchSamples: size, shift: 0 } : null);
    const key = [mode, size, ...(sync ? [sync.batchSamples, sync.shift] : [])].join(' ');
    const known = this.programs.get(key);
    if (known) return known;
    const options = { ...compileOptionsOf(recipe, sync ?? undefined), ownAt: hall.ownAt };
    const program = cut(compileProgram(model, mode, size, options));
    const table = normalisationTable(dataset.mean, dataset.deviation, dataset.channels);
    this.arena.float32(program.regions.pixelTable, table.length).set(table);
    this.programs.set(key, program);
    return program;
  }
}

function cut(program: Program): CutProgram {
  const { forward, backward, parts, pieces, points } = program;
  const stops = [...new Set([...pieces, ...parts].map(({ calls }) => calls))].toSorted((a, b) => a - b);
  const all = [...forward, ...backward];
  const between = (ends: readonly number[], first = 0): [number, number][] =>
    ends.map((end, i) => [i === 0 ? first : (ends[i - 1] as number), end]);
  const first = forward.length;
  return {
    ...program,
    forwardBlocks: blocksOf(program, all, 0, first),
    stops: between(
      stops.map((calls) => first + calls),
      first,
    ).map(([from, to]) => ({
      blocks: blocksOf(program, all, from, to),
      pieces: pieces.filter(({ calls }) => first + calls === to),
      parts: [...parts.keys()].filter((part) => parts[part]?.calls === to - first),
    })),
    segments: between([...points.map(({ calls }) => calls), all.length]).map(([from, to]) =>
      all.slice(from, to),
    ),
  };
}

/** Calls [from, to), cut where a shared run that lies in them begins or ends. */
function blocksOf({ sharedRuns }: Program, all: readonly Step[], from: number, to: number): Block[] {
  const blocks: Block[] = [];
  let at = from;
  const upTo = (end: number, run: number | null): void => {
    if (end > at) blocks.push({ steps: all.slice(at, end), run });
    at = end;
  };
  for (const [index, run] of sharedRuns.entries()) {
    if (run.from < from || run.to > to) continue;
    upTo(run.from, null);
    upTo(run.to, index);
  }
  upTo(to, null);
  return blocks;
}
