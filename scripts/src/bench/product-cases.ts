/** Cases of the matrix product and of the convolutions. */
import {
  backwardDataHalo,
  convBackwardWeightsScratchBytes,
  convPackedBackwardDataBytes,
  convPackedBytes,
} from '@lockstep/shared/kernels/convolution.ts';
import { type ConvolutionShape, outputSize } from '@lockstep/shared/kernels/convolution-geometry.ts';
import { activationBytes } from '@lockstep/shared/kernels/kernel.ts';
import { matmulScratchBytes } from '@lockstep/shared/kernels/matmul.ts';
import { call } from '@lockstep/shared/kernels/table.ts';
import type { KernelCase } from './kernel-case.ts';
import { winogradLayer } from './winograd-cases.ts';

function product(M: number, N: number, K: number, transA = 0, transB = 0): KernelCase {
  const marks = `${transA ? ' A^T' : ''}${transB ? ' B^T' : ''}`;
  return {
    label: `${M} x ${N} x ${K}${marks}`,
    make: (place) =>
      call('matmul', {
        transA,
        transB,
        M,
        N,
        K,
        A: place(4 * M * K),
        lda: transA ? M : K,
        B: place(4 * K * N),
        ldb: transB ? K : N,
        C: place(4 * M * N),
        ldc: N,
        accumulate: 0,
        scratch: place(matmulScratchBytes(M, N, K)),
      }),
  };
}

interface Layer {
  readonly size: number;
  readonly IC: number;
  readonly OC: number;
  readonly kernel?: number;
  readonly stride?: number;
}

/** The three passes and both packings of one square layer; padding (kernel - 1) / 2. */
function layer(N: number, { size, IC, OC, kernel = 3, stride = 1 }: Layer): KernelCase[] {
  const pad = (kernel - 1) / 2;
  const shape: ConvolutionShape = { N, H: size, W: size, IC, OC, KH: kernel, KW: kernel, stride, pad };
  const out = outputSize(size, kernel, stride, pad);
  const dyHalo = backwardDataHalo(size, size, kernel, kernel, stride, pad);
  const weights = { KH: kernel, KW: kernel, IC, OC, fromTap: 0, toTap: kernel * kernel };
  const weightBytes = 4 * kernel * kernel * IC * OC;
  const x = () => activationBytes(N, size, size, IC, pad);
  const y = (halo: number) => activationBytes(N, out, out, OC, halo);
  const label = `${IC} -> ${OC}, ${size} x ${size}, ${kernel} x ${kernel}/${stride}, N ${N}`;
  const calls: KernelCase['make'][] = [
    (place) =>
      call('convForward', {
        x: place(x()),
        xHalo: pad,
        packed: place(convPackedBytes(kernel, kernel, IC, OC)),
        y: place(y(0)),
        yHalo: 0,
        ...shape,
      }),
    (place) =>
      call('convBackwardData', {
        dy: place(y(dyHalo)),
        dyHalo,
        packed: place(convPackedBackwardDataBytes(kernel, kernel, IC, OC)),
        dx: place(activationBytes(N, size, size, IC, 0)),
        ...shape,
      }),
    (place) =>
      call('convBackwardWeights', {
        x: place(x()),
        xHalo: pad,
        dy: place(y(dyHalo)),
        dyHalo,
        dw: place(weightBytes),
        ...shape,
        accumulate: 0,
        scratch: place(convBackwardWeightsScratchBytes(shape)),
      }),
    (place) =>
      call('convPackForward', {
        w: place(weightBytes),
        packed: place(convPackedBytes(kernel, kernel, IC, OC)),
        ...weights,
      }),
    (place) =>
      call('convPackBackwardData', {
        w: place(weightBytes),
        packed: place(convPackedBackwardDataBytes(kernel, kernel, IC, OC)),
        ...weights,
        stride,
        pad,
      }),
  ];
  return calls.map((make) => ({ label, make }));
}

/** Shapes of ResNet-20 (16 to 64 channels), of ResNet-18 on 32 x 32 images (64 to 512), and some that fill no panel. */
const layers: readonly Layer[] = [
  { size: 32, IC: 3, OC: 16 },
  { size: 32, IC: 16, OC: 16 },
  { size: 16, IC: 32, OC: 32 },
  { size: 8, IC: 64, OC: 64 },
  { size: 32, IC: 64, OC: 64 },
  { size: 16, IC: 128, OC: 128 },
  { size: 8, IC: 256, OC: 256 },
  { size: 4, IC: 512, OC: 512 },
  { size: 32, IC: 16, OC: 32, stride: 2 },
  { size: 16, IC: 32, OC: 64, stride: 2 },
  { size: 32, IC: 64, OC: 128, stride: 2 },
  { size: 16, IC: 128, OC: 256, stride: 2 },
  { size: 8, IC: 256, OC: 512, stride: 2 },
  { size: 16, IC: 128, OC: 256, kernel: 1, stride: 2 },
  { size: 7, IC: 256, OC: 64, kernel: 1 },
  { size: 2, IC: 256, OC: 256 },
  { size: 28, IC: 8, OC: 8 },
  { size: 14, IC: 24, OC: 24 },
  { size: 7, IC: 64, OC: 64 },
  { size: 14, IC: 6, OC: 24, kernel: 5 },
];

/** The same layer by Winograd, where that is possible and not for three channels. */
function winograd(N: number, { size, IC, OC, kernel = 3, stride = 1 }: Layer): KernelCase[] {
  return kernel === 3 && IC >= 8 ? winogradLayer(N, { size, IC, OC, stride }) : [];
}

export const productCases: readonly KernelCase[] = [
  product(512, 512, 512),
  product(512, 512, 512, 1, 0),
  product(512, 512, 512, 0, 1),
  product(16, 10, 64),
  product(32, 1000, 512),
  ...[16, 32].flatMap((N) => layers.flatMap((l) => [...layer(N, l), ...winograd(N, l)])),
];
