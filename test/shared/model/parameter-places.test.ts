/** Programs through which weights and gradients pass: the same calls, the same bits, a smaller arena. */
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import { gradientParts } from '@lockstep/shared/model/gradient-parts.ts';
import { namedArguments } from '@lockstep/shared/kernels/table.ts';
import type { Program } from '@lockstep/shared/model/program.ts';
import type { Model } from '@lockstep/shared/model/spec.ts';
import { buildModel } from '@lockstep/shared/model/zoo.ts';
import test from 'ava';
import fc from 'fast-check';
import { sameWords } from '../../helpers/bits.ts';
import { resultWords, runProgram, spoil } from '../../helpers/program-run.ts';
import { assertProperty } from '../../helpers/property.ts';
import { randomModels } from '../../helpers/random-model.ts';
import { randomInput } from '../../helpers/reference-program.ts';
import { unusualModels, zooModels } from '../../helpers/test-models.ts';

type Mode = Program['mode'];

const compiled = (model: Model, mode: Mode, n: number, parameters: 'kept' | 'passing'): Program =>
  compileProgram(model, mode, n, { batchNormEpsilon: 1e-5, parameters });

/** @throws Error */
function checkPassing(model: Model, mode: Mode, n: number): void {
  const input = randomInput(model, n, 5);
  const kept = compiled(model, mode, n, 'kept');
  const passing = compiled(model, mode, n, 'passing');
  const run = (program: Program): Float32Array => resultWords(runProgram(program, 'fma-narrow', input));
  const wanted = run(kept);
  spoil(passing, 'fma-narrow', 'prepared');
  sameWords(run(passing), wanted, `${model.name} to ${mode}`);
}

/**
 * Every weight that the mode reads is in one unit, and units may be packed in any order, by several ranks: each finds only
 * its own weights. @throws Error
 */
function checkUnits(model: Model, mode: Mode): void {
  const input = randomInput(model, 2, 6);
  for (const parameters of ['kept', 'passing'] as const) {
    const program = compiled(model, mode, 2, parameters);
    const { layout, prepare } = program;
    let end = 0;
    for (const { from, to } of prepare) {
      if (from !== end || to <= from)
        throw new Error(`${model.name}: a unit of ${from}..${to} behind ${end}`);
      end = to;
    }
    const wanted = mode === 'train' ? layout.parameterCount : layout.totalCount;
    if (end !== wanted) throw new Error(`${model.name} to ${mode}: units end at ${end}`);
    const forwards = resultWords(runProgram(program, 'fma-narrow', input));
    spoil(program, 'fma-narrow', 'prepared');
    const backwards = { ...program, prepare: prepare.toReversed() };
    sameWords(resultWords(runProgram(backwards, 'fma-narrow', input)), forwards, `${model.name} to ${mode}`);
  }
}

/** Every float of the gradient is handed over once, and each part is complete behind its last piece. @throws Error */
function checkPieces(model: Model): void {
  const { pieces, parts, layout } = compiled(model, 'train', 2, 'passing');
  let end = 0;
  for (const { from, to } of pieces.toSorted((a, b) => a.from - b.from)) {
    if (from !== end) throw new Error(`${model.name}: a piece from ${from} behind ${end}`);
    end = to;
  }
  if (end !== layout.parameterCount) throw new Error(`${model.name}: pieces end at ${end}`);
  for (const [i, part] of parts.entries()) {
    const { from, to } = gradientParts(layout)[i] ?? { from: -1, to: -1 };
    if (part.from !== from || part.to !== to) throw new Error(`${model.name}: part ${i} is another one`);
    const inside = pieces.filter((piece) => piece.from < to && piece.to > from);
    if (inside.some((piece) => piece.from < from || piece.to > to || piece.calls > part.calls)) {
      throw new Error(`${model.name}: a piece of part ${i} is not whole when the part is`);
    }
  }
}

for (const model of [...zooModels, ...unusualModels]) {
  test(`${model.name}: parameters that pass give the bits of those that are kept`, (t) => {
    for (const n of [1, 3]) t.notThrows(() => checkPassing(model, 'train', n));
    t.notThrows(() => checkPassing(model, 'evaluate', 2));
    t.notThrows(() => checkPieces(model));
    for (const mode of ['train', 'evaluate'] as const) t.notThrows(() => checkUnits(model, mode));
  });
}

test('any graph: parameters that pass give the bits of those that are kept', (t) => {
  assertProperty(
    fc.property(randomModels, fc.constantFrom('train', 'evaluate'), (model, mode) => {
      checkPassing(model, mode, 2);
      checkPieces(model);
      checkUnits(model, mode);
      return true;
    }),
    60,
  );
  t.pass();
});

test('what lasts lies at the same place for every number of images', (t) => {
  const model = buildModel('resnet20', {
    images: { height: 32, width: 32, channels: 3 },
    classes: 10,
    shortcut: 'A',
  });
  const [a, b] = [3, 4].map((n) => compiled(model, 'train', n, 'passing')) as [Program, Program];
  const lasting = ({ regions }: Program) => [regions.moments, regions.totals, regions.prepared, regions.pool];
  t.deepEqual(lasting(a), lasting(b));
  const targets = ({ prepare }: Program) =>
    prepare.flatMap(({ steps }) =>
      steps.map(({ call }) => namedArguments(call)['packed'] ?? call.values.at(-1)),
    );
  t.deepEqual(targets(a), targets(b));
});

test('ResNet-18: the arena is a quarter smaller', (t) => {
  const model = buildModel('resnet18', {
    images: { height: 32, width: 32, channels: 3 },
    classes: 10,
    shortcut: 'B',
  });
  const bytes = (parameters: 'kept' | 'passing'): number =>
    compiled(model, 'train', 16, parameters).arenaBytes;
  t.true(bytes('passing') < 0.75 * bytes('kept'), `${bytes('passing')} of ${bytes('kept')}`);
});
