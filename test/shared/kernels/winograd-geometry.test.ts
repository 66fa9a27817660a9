import type { ConvolutionShape } from '@lockstep/shared/kernels/convolution-geometry.ts';
import {
  usesWinograd,
  winogradBackwardDataScratchBytes,
  winogradBackwardWeightsScratchBytes,
  winogradPackedBytes,
  winogradScratchBytes,
} from '@lockstep/shared/kernels/winograd.ts';
import test from 'ava';

const passes = ['forward', 'backwardData', 'backwardWeights'] as const;

function square(channels: number, size: number, N = 16): ConvolutionShape {
  return { N, H: size, W: size, IC: channels, OC: channels, KH: 3, KW: 3, stride: 1, pad: 1 };
}

/** The layers of ResNet-20 and of ResNet-18 on 32 x 32 images: channels, size. */
const layers = [
  [16, 32],
  [32, 16],
  [64, 8],
  [64, 32],
  [128, 16],
  [256, 8],
  [512, 4],
] as const;

test('every 3x3 layer of stride 1 of the residual networks uses Winograd in all passes', (t) => {
  for (const [channels, size] of layers) {
    for (const pass of passes) t.true(usesWinograd(square(channels, size), pass), `${channels} ${pass}`);
  }
});

test('the layers of stride 2 use Winograd in all passes, those with few channels in none', (t) => {
  for (const [IC, size] of [
    [32, 16],
    [64, 32],
    [128, 16],
    [256, 8],
  ] as const) {
    const layer = { ...square(IC, size), OC: 2 * IC, stride: 2 };
    for (const pass of passes) t.true(usesWinograd(layer, pass), `${IC} ${pass}`);
  }
  const first = { ...square(16, 32), OC: 32, stride: 2 };
  for (const pass of passes) t.false(usesWinograd(first, pass), pass);
});

test('other kernels, strides, paddings and few channels are direct', (t) => {
  const layer = square(64, 8);
  for (const other of [
    { KH: 1, KW: 1, pad: 0 },
    { KW: 1 },
    { stride: 3 },
    { stride: 2, pad: 0 },
    { pad: 3 },
    { IC: 3 },
    { OC: 4 },
  ]) {
    for (const pass of passes) t.false(usesWinograd({ ...layer, ...other }, pass), JSON.stringify(other));
  }
});

test('tiles that lie mostly outside of the image are not worth it, nor filters for a single tile', (t) => {
  for (const pass of passes) {
    t.false(usesWinograd(square(64, 2), pass));
    t.false(usesWinograd(square(512, 4, 1), pass));
    t.true(usesWinograd(square(64, 7), pass));
    t.false(usesWinograd({ ...square(256, 10), stride: 2 }, pass));
    t.false(usesWinograd({ ...square(256, 8, 8), stride: 2 }, pass));
  }
  t.true(usesWinograd(square(32, 5), 'forward'));
  t.false(usesWinograd(square(32, 5), 'backwardWeights'));
});

test('buffers stay small: scratch below 11 MiB, packed filters below 6 times the weights', (t) => {
  for (const [channels, size, stride] of [
    ...layers.map((layer) => [...layer, 1] as const),
    [64, 32, 2] as const,
    [128, 16, 2] as const,
    [256, 8, 2] as const,
  ]) {
    const shape = { ...square(channels, size, 32), stride };
    for (const bytes of [
      winogradScratchBytes(shape),
      winogradBackwardDataScratchBytes(shape),
      winogradBackwardWeightsScratchBytes(shape),
    ]) {
      t.true(bytes < 11 * 2 ** 20, `${channels}: ${bytes}`);
    }
    const packed = winogradPackedBytes(channels, channels);
    t.true(packed < 6 * 36 * channels * channels + 16384, `${channels}: ${packed}`);
    t.log(
      `${channels} channels, ${size} x ${size}, stride ${stride}, N 32: scratch ${winogradScratchBytes(shape) >> 10} KiB forward, ` +
        `${winogradBackwardWeightsScratchBytes(shape) >> 10} KiB weights; packed ${packed >> 10} KiB`,
    );
  }
});
