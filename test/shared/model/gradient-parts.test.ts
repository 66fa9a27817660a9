/** Parts of the gradient: they tile it, and each is final when the program says so. */
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import { gradientParts, largestPartCount } from '@lockstep/shared/model/gradient-parts.ts';
import { layOut } from '@lockstep/shared/model/layout.ts';
import type { Model } from '@lockstep/shared/model/spec.ts';
import { buildModel } from '@lockstep/shared/model/zoo.ts';
import test from 'ava';
import fc from 'fast-check';
import { sameWords } from '../../helpers/bits.ts';
import { runProgram, spoil } from '../../helpers/program-run.ts';
import { assertProperty } from '../../helpers/property.ts';
import { randomModels } from '../../helpers/random-model.ts';
import { randomInput } from '../../helpers/reference-program.ts';
import { unusualModels, zooModels } from '../../helpers/test-models.ts';

/** Runs a program and looks at each part behind the call that is said to finish it. @throws Error */
function checkParts(model: Model, n: number): void {
  const program = compileProgram(model, 'train', n, { batchNormEpsilon: 1e-5 });
  const { parts, layout, forward, regions } = program;
  let to = layout.parameterCount;
  for (const part of parts) {
    if (part.to !== to || part.from >= part.to) throw new Error(`${part.from}..${part.to} after ${to}`);
    to = part.from;
  }
  if (to !== 0 || parts.length > largestPartCount) throw new Error(`${parts.length} parts end at ${to}`);
  spoil(program, 'fma-narrow');
  const early = parts.map(() => new Float32Array());
  let call = 0;
  const { gradients } = runProgram(program, 'fma-narrow', randomInput(model, n, 3), (_, arena) => {
    call += 1;
    for (const [i, part] of parts.entries()) {
      if (forward.length + part.calls !== call) continue;
      early[i] = arena.float32(regions.gradients + 4 * part.from, part.to - part.from).slice();
    }
  });
  for (const [i, part] of parts.entries()) {
    sameWords(early[i] as Float32Array, gradients.subarray(part.from, part.to), `${model.name}, part ${i}`);
  }
}

for (const model of [...zooModels, ...unusualModels]) {
  test(`${model.name}: every part is final behind its call`, (t) => {
    for (const n of [1, 3]) t.notThrows(() => checkParts(model, n));
  });
}

test('any graph: every part is final behind its call', (t) => {
  assertProperty(
    fc.property(randomModels, (model) => {
      checkParts(model, 2);
      return true;
    }),
    60,
  );
  t.pass();
});

test('ResNet-18 and ResNet-20: several parts, of which the last, that nothing hides, is the only small one', (t) => {
  const images = { height: 32, width: 32, channels: 3 };
  for (const [name, count, lastShare, firstCalls] of [
    ['resnet18', 8, 0.01, 1 / 3],
    // It is so small that all but its last part is one frame: that is there half-way.
    ['resnet20', 2, 0.08, 0.55],
  ] as const) {
    const built = buildModel(name, { images, classes: 10, shortcut: 'B' });
    const program = compileProgram(built, 'train', 2, { batchNormEpsilon: 1e-5 });
    const { parts, layout, backward } = program;
    t.is(parts.length, count, name);
    t.true(parts.slice(0, -1).every(({ from, to }) => to - from >= 98_304));
    const last = parts.at(-1);
    t.true(last !== undefined && last.to - last.from < lastShare * layout.parameterCount);
    t.is(last?.calls, backward.length);
    // The first one leaves much of the backward pass to its journey.
    t.true((parts[0]?.calls ?? 0) < firstCalls * backward.length, `${parts[0]?.calls} of ${backward.length}`);
    // Where the cuts are does not depend on the shard size.
    const other = compileProgram(built, 'train', 3, { batchNormEpsilon: 1e-5 });
    t.deepEqual(
      other.parts.map(({ from, to }) => ({ from, to })),
      gradientParts(layOut(built)),
    );
  }
});
