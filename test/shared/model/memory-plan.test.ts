/** Places of buffers: nothing that is alive is written over, and what is fixed stays where it is. */
import {
  convBackwardWeightsScratchBytes,
  outputSize,
} from '@lockstep/shared/kernels/convolution-geometry.ts';
import { activationBytes } from '@lockstep/shared/kernels/kernel.ts';
import { firstFreeByte } from '@lockstep/shared/kernels/build-name.ts';
import { namedArguments } from '@lockstep/shared/kernels/table.ts';
import {
  winogradBackwardDataScratchBytes,
  winogradBackwardWeightsScratchBytes,
  winogradScratchBytes,
  winogradSumsBytes,
} from '@lockstep/shared/kernels/winograd.ts';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { compileProgram, imageBytes, largestArenaBytes } from '@lockstep/shared/model/compile.ts';
import { align, bufferAlignment, type Lifetime, planMemory } from '@lockstep/shared/model/memory-plan.ts';
import type { PlacedBuffer, Program, ProgramMode } from '@lockstep/shared/model/program.ts';
import type { Model } from '@lockstep/shared/model/spec.ts';
import { buildModel } from '@lockstep/shared/model/zoo.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';
import { randomModels } from '../../helpers/random-model.ts';
import { unusualModels, zooModels } from '../../helpers/test-models.ts';

const compile = (model: Model, n: number, mode: ProgramMode = 'train', ownAt?: number): Program =>
  compileProgram(model, mode, n, { batchNormEpsilon: 1e-5, ...(ownAt === undefined ? {} : { ownAt }) });

const lifetimes: fc.Arbitrary<Lifetime> = fc.record({
  bytes: fc.integer({ min: 0, max: 3000 }),
  from: fc.integer({ min: -1, max: 30 }),
  to: fc.integer({ min: 0, max: 12 }),
});

/** Two buffers that are alive together and share a byte. */
function conflict(buffers: readonly PlacedBuffer[]): string | null {
  for (const [i, a] of buffers.entries()) {
    for (const b of buffers.slice(i + 1)) {
      const together = a.from <= b.to && b.from <= a.to;
      const apart = a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
      if (together && !apart) return `${a.name} and ${b.name}`;
    }
  }
  return null;
}

test('any lifetimes: buffers that are alive together do not overlap, are aligned and lie inside', (t) => {
  assertProperty(
    fc.property(fc.array(lifetimes, { maxLength: 40 }), (drafts) => {
      const buffers = drafts.map(({ bytes, from, to }) => ({ bytes, from, to: from + to }));
      const { offsets, bytes } = planMemory(buffers);
      const placed = buffers.map((b, i) => ({ ...b, name: `${i}`, offset: offsets[i] as number }));
      const inside = placed.every((b) => b.offset >= 0 && b.offset % 64 === 0 && b.offset + b.bytes <= bytes);
      return inside && conflict(placed) === null;
    }),
    500,
  );
  t.pass();
});

test('any lifetimes: never more memory than all of them, never less than those alive at once', (t) => {
  assertProperty(
    fc.property(fc.array(lifetimes, { minLength: 1, maxLength: 30 }), (drafts) => {
      const buffers = drafts.map(({ bytes, from, to }) => ({ bytes: align(bytes), from, to: from + to }));
      const sum = (list: readonly Lifetime[]) => list.reduce((total, b) => total + b.bytes, 0);
      const peak = buffers.map(({ from }) => sum(buffers.filter((b) => b.from <= from && from <= b.to)));
      const { bytes } = planMemory(buffers);
      return bytes <= sum(buffers) && bytes >= Math.max(...peak);
    }),
    300,
  );
  t.pass();
});

test('buffers whose lives do not meet share their space', (t) => {
  const line = Array.from({ length: 10 }, (_, i) => ({ bytes: 640, from: 2 * i, to: 2 * i + 1 }));
  t.is(planMemory(line).bytes, 640);
  t.is(align(1), bufferAlignment);
});

/** The buffer that covers a range of bytes at a time, or the fixed part of the arena. */
function isCovered(program: Program, time: number, from: number, bytes: number): boolean {
  if (from + bytes <= program.regions.pool) return true;
  return program.buffers.some(
    (b) => b.from <= time && time <= b.to && b.offset <= from && from + bytes <= b.offset + b.bytes,
  );
}

/** Checks what programs say of their own memory. @returns what is wrong, or null */
function faultOf(program: Program): string | null {
  const { buffers, arenaBytes, regions, shardSize } = program;
  const outside = buffers.find((b) => b.offset < regions.pool || b.offset + b.bytes > arenaBytes);
  if (outside) return `${outside.name} lies outside of the pool`;
  const meeting = conflict(buffers);
  if (meeting) return `${meeting} are alive together and overlap`;
  for (const [time, { call }] of [...program.forward, ...program.backward].entries()) {
    const a = namedArguments(call);
    const read = (name: string) => a[name] as number;
    const [N, H, W, C] = [read('N'), read('H'), read('W'), read('C')];
    const ranges: (readonly [from: number, bytes: number])[] = [];
    if (/(Forward|BackwardWeights)$/.test(call.kernel) && a.x !== undefined && a.IC !== undefined) {
      ranges.push([read('x'), activationBytes(N, H, W, read('IC'), read('xHalo'))]);
    }
    if (/^(conv|winograd)Backward/.test(call.kernel)) {
      const along = (size: number, K: number) => outputSize(size, K, read('stride'), read('pad'));
      const [OH, OW] = [along(H, a.KH ?? 3), along(W, a.KW ?? 3)];
      ranges.push([read('dy'), activationBytes(N, OH, OW, read('OC'), read('dyHalo'))]);
    }
    if (call.kernel === 'winogradBackwardWeights') {
      const goesOn = !(read('accumulate') === 0 && read('finish') === 1);
      ranges.push([read('sums'), winogradSumsBytes(a as never, goesOn)]);
      ranges.push([read('scratch'), winogradBackwardWeightsScratchBytes(a as never, goesOn)]);
    }
    if (call.kernel === 'convBackwardWeights') {
      ranges.push([read('scratch'), convBackwardWeightsScratchBytes(a as never)]);
    }
    if (call.kernel === 'winogradForward') ranges.push([read('scratch'), winogradScratchBytes(a as never)]);
    if (call.kernel === 'winogradBackwardData') {
      ranges.push([read('scratch'), winogradBackwardDataScratchBytes(a as never)]);
    }
    if (call.kernel === 'convBackwardData' || call.kernel === 'winogradBackwardData')
      ranges.push([read('dx'), activationBytes(N, H, W, read('IC'), 0)]);
    if (['batchNormApply', 'biasForward', 'reluForward', 'addForward'].includes(call.kernel)) {
      ranges.push([read('y'), activationBytes(N, H, W, C, read('yHalo'))]);
    }
    if (call.kernel === 'batchNormBackwardApply' || call.kernel === 'biasBackward') {
      ranges.push([read('dz'), activationBytes(N, H, W, C, read('dzHalo'))]);
    }
    const bare = ranges.find(([from, bytes]) => !isCovered(program, time, from, bytes));
    if (bare) return `call ${time}, ${call.kernel}: bytes ${bare[0]} + ${bare[1]} are nobody's`;
  }
  const { input } = program;
  const loaded = [
    [input.images, shardSize * imageBytes(program)],
    [input.labels, 4 * shardSize],
  ] as const;
  const unloaded = loaded.find(([from, bytes]) => !isCovered(program, -1, from, bytes));
  if (unloaded) return `the loader writes ${unloaded[1]} bytes at ${unloaded[0]}, which are nobody's`;
  const end = Number.MAX_SAFE_INTEGER;
  return isCovered(program, end, input.predictions, 4 * shardSize) ? null : 'predictions end too early';
}

for (const model of [...zooModels, ...unusualModels]) {
  test(`${model.name}: no two buffers that are alive overlap, and every call stays inside its own`, (t) => {
    for (const n of [1, 3, 16]) {
      for (const mode of ['train', 'evaluate'] as const) t.is(faultOf(compile(model, n, mode)), null);
    }
  });

  test(`${model.name}: regions are the same for every shard size`, (t) => {
    const { regions } = compile(model, 1);
    for (const n of [2, 7, 32]) t.deepEqual(compile(model, n).regions, regions);
    // A rank's own stay where they are told to be, whatever is packed in front of them; training packs more.
    t.deepEqual(compile(model, 5, 'evaluate', regions.own).regions, regions);
    const moved = compile(model, 1, 'train', regions.own + 65536);
    t.is(moved.arenaBytes, compile(model, 1).arenaBytes + 65536);
    t.deepEqual(moved.prepare, compile(model, 1).prepare);
    t.throws(() => compile(model, 1, 'train', firstFreeByte), { instanceOf: RangeError });
    const packs = (mode: ProgramMode) =>
      compile(model, 4, mode)
        .prepare.flatMap(({ steps }) => steps)
        .filter(({ call }) => call.kernel === 'convPackForward');
    t.deepEqual(packs('evaluate'), packs('train'));
  });
}

test('any graph: no two buffers that are alive overlap', (t) => {
  assertProperty(
    fc.property(randomModels, fc.integer({ min: 1, max: 4 }), (model, n) => {
      const fault = faultOf(compile(model, n));
      if (fault) throw new Error(fault);
      return true;
    }),
    150,
  );
  t.pass();
});

test('space is used again: a deep program takes hardly more than is alive at once', (t) => {
  const images = { height: 32, width: 32, channels: 3 };
  const program = compile(buildModel('resnet20', { images, classes: 10, shortcut: 'A' }), 16);
  const calls = program.forward.length + program.backward.length;
  const alive = Array.from({ length: calls }, (_, now) =>
    program.buffers
      .filter(({ from, to }) => from <= now && now <= to)
      .reduce((sum, { bytes }) => sum + bytes, 0),
  );
  const pool = program.arenaBytes - program.regions.pool;
  t.true(pool < 1.05 * Math.max(...alive), `${pool} for ${Math.max(...alive)}`);
  const all = program.buffers.reduce((sum, { bytes }) => sum + bytes, 0);
  t.true(pool < 0.6 * all, `${pool} of ${all}`);
  const evaluation = compile(buildModel('resnet20', { images, classes: 10, shortcut: 'A' }), 16, 'evaluate');
  t.true(evaluation.arenaBytes - evaluation.regions.pool < pool / 3);
});

test('a program beyond 4 GiB is refused with the figure and what to change', (t) => {
  const images = { height: 224, width: 224, channels: 3 };
  const model = buildModel('resnet18', { images, classes: 1000, shortcut: 'B' });
  const error = t.throws(() => compile(model, 1024), { instanceOf: LockstepError });
  t.is(error.code, 'ARENA_TOO_LARGE');
  const { bytes, shardSize, limit } = error.values as Record<string, number>;
  t.is(shardSize, 1024);
  t.is(limit, largestArenaBytes);
  t.true((bytes as number) > largestArenaBytes);
  t.regex(
    error.message,
    new RegExp(`1024 images needs an arena of about ${((bytes as number) / 2 ** 30).toFixed(2)} GiB`),
  );
  t.regex(error.advice, /shardsPerStep/);
  t.true(compile(model, 16).arenaBytes <= largestArenaBytes);
});
