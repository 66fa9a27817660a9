/** Runs whose calls several ranks make: the bits of one rank, in any order that is allowed. */
import { namedArguments } from '@lockstep/shared/kernels/table.ts';
import type { CompileOptions } from '@lockstep/shared/model/compilation.ts';
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import type { Program } from '@lockstep/shared/model/program.ts';
import type { Model } from '@lockstep/shared/model/spec.ts';
import { buildModel } from '@lockstep/shared/model/zoo.ts';
import test from 'ava';
import fc from 'fast-check';
import { sameWords } from '../../helpers/bits.ts';
import { Dice } from '../../helpers/dice.ts';
import { resultWords, runProgram, spoil } from '../../helpers/program-run.ts';
import { assertProperty } from '../../helpers/property.ts';
import { randomModelsOn } from '../../helpers/random-model.ts';
import { randomInput } from '../../helpers/reference-program.ts';
import { sharedExecution } from '../../helpers/shared-execution.ts';
import { unusualModels, zooModels } from '../../helpers/test-models.ts';

const options: CompileOptions = { batchNormEpsilon: 1e-5, parameters: 'passing' };

const cifar = { images: { height: 32, width: 32, channels: 3 }, classes: 10, shortcut: 'B' } as const;

/** The program of each of so many ranks, whose own memories lie one behind the other. */
function programsOf(
  model: Model,
  images: number,
  ranks: number,
  more: Partial<CompileOptions> = {},
): Program[] {
  const all = { ...options, ...more };
  const first = compileProgram(model, 'train', images, all);
  const { own } = first.regions;
  const bytes = first.arenaBytes - own;
  return Array.from({ length: ranks }, (_, rank) =>
    compileProgram(model, 'train', images, { ...all, ownAt: own + rank * bytes }),
  );
}

/** @throws Error when ranks together leave other bits than one alone */
function checkSharing(model: Model, images: number, ranks: number, seed: number): void {
  const programs = programsOf(model, images, ranks);
  const [first] = programs as [Program];
  const input = randomInput(model, images, seed);
  spoil(first, 'fma-narrow', 'prepared');
  const alone = resultWords(runProgram(first, 'fma-narrow', input));
  for (let order = 0; order < 3; order++) {
    spoil(first, 'fma-narrow', 'prepared');
    const share = sharedExecution(programs, new Dice(seed, order));
    const together = resultWords(runProgram(first, 'fma-narrow', input, null, share));
    sameWords(together, alone, `${model.name}, ${images} images, ${ranks} ranks, order ${order}`);
  }
}

for (const model of [...zooModels, ...unusualModels]) {
  test(`${model.name}: two and three ranks give the bits of one`, (t) => {
    t.notThrows(() => checkSharing(model, 5, 2, 3));
    t.notThrows(() => checkSharing(model, 12, 3, 4));
  });
}

for (const kind of ['A', 'B'] as const) {
  const images = { height: 16, width: 16, channels: 3 };
  const resnet = buildModel('resnet8', { images, classes: 10, shortcut: kind });

  test(`resnet8 with shortcut ${kind}, several ranges of images: the bits of one`, (t) => {
    const [program] = programsOf(resnet, 11, 1) as [Program];
    const ofRanges = program.sharedRuns.filter(({ units }) =>
      units.flat().some(({ after }) => after?.count === 2 && units.length > 2),
    );
    t.true(ofRanges.length > 5, `${ofRanges.length} runs of several ranges`);
    t.notThrows(() => checkSharing(resnet, 11, 2, 5));
    t.notThrows(() => checkSharing(resnet, 11, 4, 6));
  });
}

test('no two ranks share scratch, or what belongs to one range', (t) => {
  for (const name of ['resnet8', 'resnet20']) {
    const program = compileProgram(buildModel(name, cifar), 'train', 16, options);
    let places = 0;
    for (const { from, to, units } of program.sharedRuns) {
      const scratch = program.buffers.filter((b) => b.name === 'scratch' && b.from >= from && b.to < to);
      for (const { step, moved } of units.flat()) {
        const isScratch = (value: number): boolean =>
          scratch.some(({ offset, bytes }) => offset <= value && value < offset + bytes);
        places += step.call.values.filter(isScratch).length;
        t.false(
          moved.some((at) => isScratch(step.call.values[at] as number)),
          step.call.kernel,
        );
      }
    }
    t.true(places > 50, `${places} places of scratch`);
  }
});

test('what a run touches lives through all of it, since ranks make its calls in other orders', (t) => {
  for (const model of [...zooModels, ...unusualModels, buildModel('resnet20', cifar)]) {
    const { sharedRuns, buffers } = compileProgram(model, 'train', 6, options);
    for (const { from, to } of sharedRuns) {
      const early = buffers.find((buffer) => buffer.to >= from && buffer.to < to - 1);
      const late = buffers.find((buffer) => buffer.from > from && buffer.from < to);
      t.is(early?.name ?? late?.name, undefined, model.name);
    }
  }
});

test('what nobody shares is not cut for several ranks: evaluation, and batch-norm over the whole batch', (t) => {
  const model = buildModel('resnet8', cifar);
  const shared = (mode: 'train' | 'evaluate', more: Partial<CompileOptions> = {}): number =>
    compileProgram(model, mode, 6, { batchNormEpsilon: 1e-5, ...more }).sharedRuns.length;
  t.true(shared('train') > 5);
  t.is(shared('evaluate'), 0);
  t.is(shared('train', { sync: { batchSamples: 12, shift: 0 } }), 0);
});

test('any model, any number of images and ranks: the bits of one', (t) => {
  assertProperty(
    fc.property(
      randomModelsOn(2, 14),
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 4 }),
      fc.nat(999),
      (model, images, ranks, seed) => checkSharing(model, images, ranks, seed),
    ),
    150,
  );
  assertProperty(
    fc.property(randomModelsOn(14, 24), fc.integer({ min: 5, max: 14 }), fc.nat(999), (model, images, seed) =>
      checkSharing(model, images, 2, seed),
    ),
    25,
  );
  t.pass();
});

test('nearly all of a shard can be shared: every call of a run but single ones', (t) => {
  for (const name of ['resnet20', 'resnet18']) {
    const program = compileProgram(buildModel(name, cifar), 'train', 16, options);
    const all = [...program.forward, ...program.backward];
    const shared = program.sharedRuns.reduce((sum, { from, to }) => sum + to - from, 0);
    t.true(shared > 0.8 * all.length, `${name}: ${shared} of ${all.length}`);
    for (const { from, to, units } of program.sharedRuns) {
      const images = (calls: readonly { kernel: string; values: readonly number[] }[]): number =>
        calls.reduce((sum, call) => sum + (namedArguments(call as never)['N'] ?? 0), 0);
      t.is(
        images(units.flat().map(({ step }) => step.call)),
        images(all.slice(from, to).map(({ call }) => call)),
      );
    }
  }
});
