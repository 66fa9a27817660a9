/** Lockstep's own kernels for the operations of the comparison. */
import {
  convBackwardWeightsScratchBytes,
  convPackedBackwardDataBytes,
  convPackedBytes,
} from '@lockstep/shared/kernels/convolution.ts';
import { activationBytes } from '@lockstep/shared/kernels/kernel.ts';
import { matmulScratchBytes } from '@lockstep/shared/kernels/matmul.ts';
import { type Call, call } from '@lockstep/shared/kernels/table.ts';
import {
  usesWinograd,
  winogradBackwardDataScratchBytes,
  winogradBackwardWeightsScratchBytes,
  winogradPackedBackwardDataBytes,
  winogradPackedBytes,
  winogradScratchBytes,
  winogradSumsBytes,
} from '@lockstep/shared/kernels/winograd.ts';
import type { Place } from '../bench/kernel-case.ts';
import type { ConvolutionCase, OperationCase, ProductCase } from './kernel-shapes.ts';

export const algorithms = ['direct', 'winograd'] as const;
export type Algorithm = (typeof algorithms)[number];

/** The kernels' own names of the passes. */
const passNames = {
  forward: 'forward',
  'backward-data': 'backwardData',
  'backward-weights': 'backwardWeights',
} as const;

/** What a training program takes for this operation. */
export function usedAlgorithm(entry: OperationCase): Algorithm {
  if (entry.kind === 'product') return 'direct';
  const shape = { ...shapeOf(entry), KH: 3, KW: 3 };
  return usesWinograd(shape, passNames[entry.pass]) ? 'winograd' : 'direct';
}

/** Places the buffers and makes the call; null when the algorithm does not do this operation. */
export function kernelCall(entry: OperationCase, algorithm: Algorithm, place: Place): Call | null {
  if (entry.kind === 'product') return algorithm === 'direct' ? productCall(entry, place) : null;
  return algorithm === 'direct' ? directCall(entry, place) : winogradCall(entry, place);
}

function productCall({ size }: ProductCase, place: Place): Call {
  const matrix = () => place(4 * size * size);
  const scratch = place(matmulScratchBytes(size, size, size));
  const operands = { A: matrix(), lda: size, B: matrix(), ldb: size, C: matrix(), ldc: size };
  return call('matmul', {
    ...operands,
    transA: 0,
    transB: 0,
    M: size,
    N: size,
    K: size,
    accumulate: 0,
    scratch,
  });
}

function shapeOf({ images, size, channels }: ConvolutionCase) {
  return { N: images, H: size, W: size, IC: channels, OC: channels, stride: 1, pad: 1 };
}

/** Activations with the halo of a training program: a pixel around what a convolution reads. */
function activation(entry: ConvolutionCase, place: Place, halo: number): number {
  return place(activationBytes(entry.images, entry.size, entry.size, entry.channels, halo));
}

/** Weights are packed beforehand, as a program does once a step: the other side's reorders are not timed either. */
function directCall(entry: ConvolutionCase, place: Place): Call {
  const shape = { ...shapeOf(entry), KH: 3, KW: 3 };
  const { channels } = entry;
  if (entry.pass === 'forward') {
    const packed = place(convPackedBytes(3, 3, channels, channels));
    const [x, y] = [activation(entry, place, 1), activation(entry, place, 0)];
    return call('convForward', { ...shape, x, xHalo: 1, packed, y, yHalo: 0 });
  }
  if (entry.pass === 'backward-data') {
    const packed = place(convPackedBackwardDataBytes(3, 3, channels, channels));
    const [dy, dx] = [activation(entry, place, 1), activation(entry, place, 0)];
    return call('convBackwardData', { ...shape, dy, dyHalo: 1, packed, dx });
  }
  const [x, dy] = [activation(entry, place, 1), activation(entry, place, 1)];
  const dw = place(4 * 9 * channels * channels);
  const scratch = place(convBackwardWeightsScratchBytes(shape));
  return call('convBackwardWeights', { ...shape, x, xHalo: 1, dy, dyHalo: 1, dw, accumulate: 0, scratch });
}

function winogradCall(entry: ConvolutionCase, place: Place): Call {
  const shape = shapeOf(entry);
  const { channels } = entry;
  if (entry.pass === 'forward') {
    const packed = place(winogradPackedBytes(channels, channels));
    const [x, y] = [activation(entry, place, 1), activation(entry, place, 0)];
    const scratch = place(winogradScratchBytes(shape));
    return call('winogradForward', { ...shape, x, xHalo: 1, packed, y, yHalo: 0, scratch });
  }
  if (entry.pass === 'backward-data') {
    const packed = place(winogradPackedBackwardDataBytes(channels, channels));
    const [dy, dx] = [activation(entry, place, 1), activation(entry, place, 0)];
    const scratch = place(winogradBackwardDataScratchBytes(shape));
    return call('winogradBackwardData', { ...shape, dy, dyHalo: 1, packed, dx, scratch });
  }
  const [x, dy] = [activation(entry, place, 1), activation(entry, place, 1)];
  const dw = place(4 * 9 * channels * channels);
  const scratch = place(winogradBackwardWeightsScratchBytes(shape));
  const alone = { accumulate: 0, finish: 1, sums: place(winogradSumsBytes(shape)) };
  return call('winogradBackwardWeights', { ...shape, x, xHalo: 1, dy, dyHalo: 1, dw, ...alone, scratch });
}
