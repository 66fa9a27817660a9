/** Cases of the Winograd convolution: rates count the direct convolution's operations, so they compare with its. */
import { outputSize } from '@lockstep/shared/kernels/convolution-geometry.ts';
import { activationBytes } from '@lockstep/shared/kernels/kernel.ts';
import { call } from '@lockstep/shared/kernels/table.ts';
import {
  winogradBackwardDataScratchBytes,
  winogradBackwardWeightsScratchBytes,
  winogradPackedBackwardDataBytes,
  winogradPackedBytes,
  winogradScratchBytes,
  winogradSumsBytes,
} from '@lockstep/shared/kernels/winograd.ts';
import type { KernelCase } from './kernel-case.ts';

/** The three passes and both packings of one square 3x3 layer with padding 1. */
export function winogradLayer(
  N: number,
  { size, IC, OC, stride }: { size: number; IC: number; OC: number; stride: number },
): KernelCase[] {
  const shape = { N, H: size, W: size, IC, OC, stride, pad: 1 };
  const outputs = outputSize(size, 3, stride, 1);
  const weightBytes = 36 * IC * OC;
  const x = activationBytes(N, size, size, IC, 1);
  const dy = activationBytes(N, outputs, outputs, OC, 1);
  const label = `${IC} -> ${OC}, ${size} x ${size}, 3 x 3/${stride}, N ${N}`;
  const calls: KernelCase['make'][] = [
    (place) =>
      call('winogradForward', {
        x: place(x),
        xHalo: 1,
        packed: place(winogradPackedBytes(IC, OC)),
        y: place(activationBytes(N, outputs, outputs, OC, 0)),
        yHalo: 0,
        ...shape,
        scratch: place(winogradScratchBytes(shape)),
      }),
    (place) =>
      call('winogradBackwardData', {
        dy: place(dy),
        dyHalo: 1,
        packed: place(winogradPackedBackwardDataBytes(IC, OC)),
        dx: place(activationBytes(N, size, size, IC, 0)),
        ...shape,
        scratch: place(winogradBackwardDataScratchBytes(shape)),
      }),
    (place) =>
      call('winogradBackwardWeights', {
        x: place(x),
        xHalo: 1,
        dy: place(dy),
        dyHalo: 1,
        dw: place(weightBytes),
        ...shape,
        accumulate: 0,
        finish: 1,
        sums: place(winogradSumsBytes(shape)),
        scratch: place(winogradBackwardWeightsScratchBytes(shape)),
      }),
    (place) =>
      call('winogradPackForward', {
        w: place(weightBytes),
        packed: place(winogradPackedBytes(IC, OC)),
        IC,
        OC,
        stride,
        fromTap: 0,
        toTap: 9,
      }),
    (place) =>
      call('winogradPackBackwardData', {
        w: place(weightBytes),
        packed: place(winogradPackedBackwardDataBytes(IC, OC)),
        IC,
        OC,
        stride,
        fromTap: 0,
        toTap: 9,
      }),
  ];
  return calls.map((make) => ({ label, make }));
}
