import test from 'ava';
import { firstFreeByte } from '@lockstep/shared/kernels/build-name.ts';
import type { Kernel } from '@lockstep/shared/kernels/kernel.ts';
import { kernels, namedArguments } from '@lockstep/shared/kernels/table.ts';
import { algorithms, kernelCall, usedAlgorithm } from '@lockstep/scripts/src/peers/kernel-calls.ts';
import { kernelMarkdown, operationFigures, productLine } from '@lockstep/scripts/src/peers/kernel-figures.ts';
import {
  onednnRequest,
  operationCases,
  operationFlops,
  operationTitle,
  type OperationCase,
} from '@lockstep/scripts/src/peers/kernel-shapes.ts';
import { buildOnednn, compilerReason } from '@lockstep/scripts/src/peers/onednn-build.ts';

const [product, forward] = operationCases as readonly [OperationCase, OperationCase];

test('both sides count the same operations', (t) => {
  for (const entry of operationCases) {
    for (const algorithm of algorithms) {
      const made = kernelCall(entry, algorithm, () => firstFreeByte);
      if (made === null) continue;
      const { flops } = kernels[made.kernel] as Kernel;
      t.is(flops(namedArguments(made)), operationFlops(entry), `${made.kernel}, ${operationTitle(entry)}`);
    }
  }
});

test('every operation is asked for once, with the targets of issue 4', (t) => {
  t.is(new Set(operationCases.map(operationTitle)).size, 22);
  const targetsOf = (channels: number, size: number) =>
    operationCases.filter((e) => e.kind === 'convolution' && e.channels === channels && e.size === size);
  t.deepEqual(
    targetsOf(16, 32).map(({ target }) => target),
    [1.4, 1.4, 1.4],
  );
  t.deepEqual(
    targetsOf(256, 8).map(({ target }) => target),
    [1.9, 1.9, 1.9],
  );
  t.is(product.target, 0.88);
});

test('oneDNN is asked in words', (t) => {
  t.is(onednnRequest(product, 100), 'sgemm 512 512 512 100');
  t.is(onednnRequest(forward, 20), 'convolution forward 32 16 32 32 20');
});

test('ratios are those of the kernel that a program takes', (t) => {
  const used = usedAlgorithm(forward);
  const samples = { entry: forward, used, onednn: [100, 50], direct: [90, 45], winograd: [180, 90] };
  const figures = operationFigures(samples, [90, 45]);
  t.is(used, 'winograd');
  t.is(figures.ratio, 1.8);
  t.is(figures.registerShare, 2);
  t.true(figures.met);
  t.is(usedAlgorithm(product), 'direct');
});

test('without oneDNN there are our own rates and no ratio', (t) => {
  const samples = { entry: product, used: 'direct', onednn: [], direct: [89], winograd: [] } as const;
  const figures = operationFigures(samples, [100]);
  t.is(figures.ratio, null);
  t.is(figures.met, null);
  t.regex(productLine([figures]), /0\.89 of the register-only rate, target at least 0\.9: MISSED/);
  t.is(kernelMarkdown([figures]).split('\n').length, 3);
  t.is(productLine([]), '');
});

test('a compiler that is not there is a reason and a remedy', async (t) => {
  const built = await buildOnednn('/nowhere/compiler', 'never-built');
  t.true('missing' in built);
  if (!('missing' in built)) return;
  t.regex(built.missing.reason, /ENOENT/);
  t.regex(built.missing.remedy, /libdnnl-dev/);
});

test('of what a compiler says, the first error counts, without the path before it', (t) => {
  const text =
    'Command failed: g++\n/a/b/kernels.cpp:12:10: fatal error: oneapi/dnnl/dnnl.hpp: No such file\nmore';
  t.is(compilerReason(text), 'kernels.cpp:12:10: fatal error: oneapi/dnnl/dnnl.hpp: No such file');
  t.is(compilerReason('/usr/bin/ld: cannot find -ldnnl'), '/usr/bin/ld: cannot find -ldnnl');
});
