/** A compiled program as rows: what `lockstep plan` shows. */
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import { layOut } from '@lockstep/shared/model/layout.ts';
import type { Program, Step } from '@lockstep/shared/model/program.ts';
import { costOf, namedArguments } from '@lockstep/shared/kernels/table.ts';
import { stateNames } from '@lockstep/shared/optimizer/rule.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import { memoryUse } from '@lockstep/worker/rank/hall.ts';
import { layOutStore } from '@lockstep/worker/rank/store.ts';
import {
  compileOptionsOf,
  type ImagesOf,
  modelFor,
  rankSpaceOf,
  sharesSlots,
  storeShapeOf,
} from '@lockstep/worker/rank/run-shape.ts';
import { shardSizes } from '@lockstep/shared/plan/batch-plan.ts';

export interface PlanRow {
  readonly section: 'prepare' | 'forward' | 'backward';
  readonly layer: string;
  readonly kernel: string;
  readonly group: string;
  /** Shapes over the whole shard. */
  readonly shapes: string;
  /** Calls that do it: one for each range of images that goes through a run together. */
  readonly calls: number;
  /** Over all its calls, as `bytes` and `share`. */
  readonly flops: number;
  readonly bytes: number;
  /** Byte offsets of the buffers that its first call names, by argument. */
  readonly offsets: Readonly<Record<string, number>>;
  /** Share of the program's time, 0..1; null when it was not measured. */
  readonly share: number | null;
}

export interface PlanReport {
  readonly type: 'result';
  readonly model: string;
  readonly dataset: string;
  readonly shardSize: number;
  readonly parameters: number;
  readonly flops: number;
  /** One rank's arena; packed weights; the run's store; images and labels; all of it for so many threads. */
  readonly arenaBytes: number;
  readonly packedBytes: number;
  readonly storeBytes: number;
  readonly datasetBytes: number;
  readonly threads: number;
  readonly totalBytes: number;
  /** What the activations would take if no space were used twice. */
  readonly unsharedBytes: number;
  readonly rows: readonly PlanRow[];
}

/** A data set as far as a plan needs it: shapes and counts, no images. */
export type PlannedData = ImagesOf & {
  readonly title: string;
  readonly trainCount: number;
  readonly testCount: number;
};

export interface PlanOptions {
  readonly recipe: Recipe;
  readonly data: PlannedData;
  readonly threads: number;
  /** Seconds of each call of prepare, forward and backward in that order; null: not measured. */
  readonly measure: ((program: Program) => number[]) | null;
}

/** Pointers: arguments that are byte offsets into the arena. */
const scalars = new Set(
  'floats from pixels total N H W C IC OC KH KW K M n stride pad fromTap toTap relu accumulate transA transB lda ldb ldc epsilon value'.split(
    ' ',
  ),
);

/** Compiles a recipe's model and lists the program. @throws LockstepError as the compiler */
export function planModel({ recipe, data, threads, measure }: PlanOptions): PlanReport {
  const model = modelFor(recipe, data);
  const layout = layOut(model);
  const [shardSize = 1] = shardSizes(recipe, data.trainCount);
  const program = compileProgram(model, 'train', shardSize, compileOptionsOf(recipe));
  const seconds = measure?.(program) ?? null;
  const all = seconds?.reduce((a, b) => a + b, 0) ?? 1;
  const sections = (['prepare', 'forward', 'backward'] as const).flatMap((section) =>
    stepsOf(program, section).map((step) => ({ section, step })),
  );
  const rows = gatherRows(
    sections.map(({ section, step }, i) => rowOf(section, step, seconds && (seconds[i] ?? 0) / all)),
  );
  const counts = { train: { count: data.trainCount }, test: { count: data.testCount } };
  const use = { state: stateNames(recipe.optimizer), ranks: threads, sharedSlots: sharesSlots(recipe) };
  const storeBytes = layOutStore(storeShapeOf(recipe, layout, use)).bytes;
  const memory = memoryUse(rankSpaceOf(recipe, model, counts), threads, storeBytes);
  const { height, width, channels } = data;
  const datasetBytes = (data.trainCount + data.testCount) * (height * width * channels + 1);
  return {
    type: 'result',
    model: model.title,
    dataset: data.title,
    shardSize,
    parameters: layout.parameterCount,
    flops: rows.reduce((sum, row) => sum + row.flops, 0),
    ...memory,
    datasetBytes,
    threads,
    totalBytes: threads * memory.arenaBytes + memory.packedBytes + storeBytes + datasetBytes,
    unsharedBytes: program.buffers.reduce((sum, buffer) => sum + buffer.bytes, 0),
    rows,
  };
}

function stepsOf(program: Program, section: PlanRow['section']): readonly Step[] {
  return section === 'prepare' ? program.prepare.flatMap(({ steps }) => steps) : program[section];
}

/** One row for the calls of a layer's kernel that differ in their images only. */
function gatherRows(calls: readonly PlanRow[]): PlanRow[] {
  const rows = new Map<string, PlanRow>();
  for (const call of calls) {
    const key = `${call.section} ${call.layer} ${call.kernel} ${call.shapes}`;
    const row = rows.get(key);
    const share = row && row.share !== null && call.share !== null ? row.share + call.share : null;
    const sum = row && {
      ...row,
      calls: row.calls + 1,
      flops: row.flops + call.flops,
      bytes: row.bytes + call.bytes,
      share,
    };
    rows.set(key, sum ?? call);
  }
  return [...rows.values()];
}

function rowOf(section: PlanRow['section'], step: Step, share: number | null): PlanRow {
  const pointers = Object.entries(namedArguments(step.call)).filter(
    ([name, value]) => !scalars.has(name) && !name.endsWith('Halo') && value !== 0,
  );
  return {
    section,
    layer: step.layer,
    kernel: step.call.kernel,
    shapes: step.shapes,
    calls: 1,
    ...costOf(step.call),
    offsets: Object.fromEntries(pointers),
    share,
  };
}
