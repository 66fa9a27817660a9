/** Gradients of weights whose sum goes on from call to call, a few images each: still those of all images. */
import { buildNames } from '@lockstep/shared/kernels/build-name.ts';
import { convBackwardWeightsScratchBytes } from '@lockstep/shared/kernels/convolution.ts';
import { outputSize } from '@lockstep/shared/kernels/convolution-geometry.ts';
import { activationBytes } from '@lockstep/shared/kernels/kernel.ts';
import type { KernelArguments } from '@lockstep/shared/kernels/table.ts';
import { winogradBackwardWeightsScratchBytes, winogradSumsBytes } from '@lockstep/shared/kernels/winograd.ts';
import test from 'ava';
import fc from 'fast-check';
import { sameWords } from '../../helpers/bits.ts';
import { convolutionCases, setUpConvolution } from '../../helpers/convolution-case.ts';
import { type Calls, checkCalls, type NamedCall, runCalls } from '../../helpers/kernel-check.ts';
import type { KernelHarness, TestBuffer } from '../../helpers/kernel-harness.ts';
import { assertProperty } from '../../helpers/property.ts';
import { setUpWinograd, type WinogradCase, winogradCases } from '../../helpers/winograd-case.ts';

/** Cuts N images into ranges of `together`; the last one may be shorter. */
function rangesOf(N: number, together: number): { from: number; count: number }[] {
  const ranges = [];
  for (let from = 0; from < N; from += together) ranges.push({ from, count: Math.min(together, N - from) });
  return ranges;
}

const nan = (harness: KernelHarness, bytes: number): TestBuffer =>
  harness.buffer('f32', bytes / 4, () => Number.NaN);

/** What other calls of a run do to the scratch that they share. */
const spoilt = ({ offset, data }: TestBuffer): NamedCall => [
  'fill',
  { p: offset, floats: data.length, value: Number.NaN },
];

/** The calls of one sum by Winograd's kernel, over garbage. */
function winogradSum(c: WinogradCase, together: number) {
  const { harness, x, dy, dw } = setUpWinograd(c);
  const { N, H, W, IC, OC, stride, pad } = c;
  const goesOn = together < N;
  const largest = { ...c, N: Math.min(together, N) };
  const sums = nan(harness, winogradSumsBytes(largest, goesOn));
  const scratch = nan(harness, winogradBackwardWeightsScratchBytes(largest, goesOn));
  const [OH, OW] = [outputSize(H, 3, stride, pad), outputSize(W, 3, stride, pad)];
  const calls: Calls = rangesOf(N, together).flatMap(({ from, count }): NamedCall[] => [
    spoilt(scratch),
    [
      'winogradBackwardWeights',
      {
        x: x.buffer.offset + from * activationBytes(1, H, W, IC, x.halo),
        xHalo: x.halo,
        dy: dy.buffer.offset + from * activationBytes(1, OH, OW, OC, dy.halo),
        dyHalo: dy.halo,
        dw: dw.offset,
        N: count,
        H,
        W,
        IC,
        OC,
        stride,
        pad,
        accumulate: Number(from > 0),
        finish: Number(from + count === N),
        sums: sums.offset,
        scratch: scratch.offset,
      },
    ],
  ]);
  return { harness, calls, dw, pixels: N * OH * OW };
}

function checkWinograd(c: WinogradCase, together: number): void {
  const { harness, calls, dw, pixels } = winogradSum(c, together);
  checkCalls(harness, calls, [{ name: 'dw', buffer: dw, tolerance: 4e-5, floor: Math.sqrt(pixels) }]);
}

const upToAll = fc.integer({ min: 1, max: 7 });

test('Winograd, any shape in ranges of any length, scratch spoilt between them: the sum over all images', (t) => {
  t.timeout(60_000);
  const cases = winogradCases({ N: 7 }).filter(({ N }) => N > 0);
  assertProperty(fc.property(cases, upToAll, checkWinograd), 60);
  t.pass();
});

test('Winograd, ranges of one block of tiles, of several, and of a tile', (t) => {
  const plain = { stride: 1, pad: 1, halos: [0, 0, 0], seed: 1 } as const;
  checkWinograd({ N: 3, H: 32, W: 32, IC: 16, OC: 16, ...plain }, 1);
  checkWinograd({ N: 5, H: 32, W: 32, IC: 20, OC: 12, ...plain }, 2);
  checkWinograd({ N: 4, H: 4, W: 4, IC: 40, OC: 36, ...plain }, 1);
  checkWinograd({ N: 4, H: 21, W: 30, IC: 12, OC: 20, ...plain, stride: 2 }, 3);
  t.pass();
});

/** The calls of one sum by the direct kernel. */
function directSum(c: Parameters<typeof setUpConvolution>[0], together: number) {
  const { harness, calls, dw } = setUpConvolution(c);
  const whole = calls.at(-1)?.[1] as unknown as KernelArguments<'convBackwardWeights'>;
  const { x, xHalo, dy, dyHalo, H, W, IC, OC } = whole;
  const scratch = nan(harness, convBackwardWeightsScratchBytes({ ...c, N: Math.min(together, c.N) }));
  const OH = outputSize(H, c.KH, c.stride, c.pad);
  const OW = outputSize(W, c.KW, c.stride, c.pad);
  const cut: Calls = rangesOf(c.N, together).flatMap(({ from, count }): NamedCall[] => [
    spoilt(scratch),
    [
      'convBackwardWeights',
      {
        ...whole,
        x: x + from * activationBytes(1, H, W, IC, xHalo),
        dy: dy + from * activationBytes(1, OH, OW, OC, dyHalo),
        N: count,
        accumulate: Number(from > 0),
        scratch: scratch.offset,
      },
    ],
  ]);
  return { harness, calls: cut, dw, pixels: c.N * OH * OW };
}

test('direct, any shape in ranges of any length: the sum over all images', (t) => {
  t.timeout(60_000);
  const cases = convolutionCases().filter(({ N }) => N > 0);
  assertProperty(
    fc.property(cases, upToAll, (c, together) => {
      const { harness, calls, dw, pixels } = directSum(c, together);
      checkCalls(harness, calls, [{ name: 'dw', buffer: dw, tolerance: 4e-5, floor: Math.sqrt(pixels) }]);
    }),
    60,
  );
  t.pass();
});

test('direct, images of a block each: ranges change no bit', (t) => {
  const c = { N: 5, H: 16, W: 17, IC: 5, OC: 7, KH: 3, KW: 3, stride: 1, pad: 1, extra: [0, 0, 0], seed: 3 };
  for (const build of buildNames) {
    const [all, ...others] = [5, 1, 2, 3].map((together) => {
      const { harness, calls, dw } = directSum(c as never, together);
      return Float32Array.from(runCalls(harness, build, calls).read(dw));
    });
    for (const other of others) t.notThrows(() => sameWords(all as Float32Array, other, build));
  }
});
