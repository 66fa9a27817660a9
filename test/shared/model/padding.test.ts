/** Halos and padding lanes of everything that a program writes are exactly 0, whatever was there before. */
import { outputSize } from '@lockstep/shared/kernels/convolution-geometry.ts';
import { channelStride } from '@lockstep/shared/kernels/kernel.ts';
import { namedArguments } from '@lockstep/shared/kernels/table.ts';
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import type { Step } from '@lockstep/shared/model/program.ts';
import type { Arena } from '@lockstep/shared/tensor/arena.ts';
import test from 'ava';
import { runProgram, spoil } from '../../helpers/program-run.ts';
import { randomInput } from '../../helpers/reference-program.ts';
import { unusualModels, zooModels } from '../../helpers/test-models.ts';

interface Written {
  readonly address: number;
  readonly halo: number;
  readonly shape: readonly [N: number, H: number, W: number, C: number];
}

/** The activation that a call writes, if it writes one. */
function writtenBy(kernel: string, a: Record<string, number>): Written | null {
  const read = (name: string) => a[name] ?? 0;
  const shape = [read('N'), read('H'), read('W'), read('C')] as const;
  const [N, H, W] = shape;
  const out = (K: number, C: number) => {
    const size = (x: number) => outputSize(x, K, read('stride'), read('pad'));
    return [N, size(H), size(W), C] as const;
  };
  switch (kernel) {
    case 'batchNormApply':
    case 'biasForward':
    case 'reluForward':
    case 'addForward':
      return { address: read('y'), halo: read('yHalo'), shape };
    case 'convForward':
      return { address: read('y'), halo: read('yHalo'), shape: out(read('KH'), read('OC')) };
    case 'maxPoolForward':
    case 'averagePoolForward':
      return { address: read('y'), halo: read('yHalo'), shape: out(read('K'), read('C')) };
    case 'globalAveragePoolForward':
      return { address: read('y'), halo: 0, shape: [N, 1, 1, read('C')] };
    case 'flattenForward':
      return { address: read('y'), halo: 0, shape: [N, 1, 1, H * W * read('C')] };
    case 'batchNormBackwardApply':
    case 'biasBackward':
      return { address: read('dz'), halo: read('dzHalo'), shape };
    case 'convBackwardData':
      return { address: read('dx'), halo: 0, shape: [N, H, W, read('IC')] };
    case 'softmaxCrossEntropy':
      return read('dLogits') ? { address: read('dLogits'), halo: 0, shape: [N, 1, 1, read('C')] } : null;
    default:
      return kernel.endsWith('Backward') && 'dx' in a && 'C' in a
        ? { address: read('dx'), halo: 0, shape }
        : null;
  }
}

/** @returns the number of elements looked at @throws Error naming the call that left something behind */
function checkZeros({ call, layer }: Step, arena: Arena): number {
  const written = writtenBy(call.kernel, namedArguments(call));
  if (!written) return 0;
  const { address, halo, shape } = written;
  const [N, H, W, C] = shape;
  const stride = channelStride(C);
  const [rows, columns] = [H + 2 * halo, W + 2 * halo];
  const values = arena.float32(address, N * rows * columns * stride);
  let checked = 0;
  values.forEach((value, i) => {
    const pixel = Math.floor(i / stride);
    const x = (pixel % columns) - halo;
    const y = (Math.floor(pixel / columns) % rows) - halo;
    if (i % stride < C && x >= 0 && x < W && y >= 0 && y < H) return;
    if (value !== 0)
      throw new Error(`${call.kernel} of ${layer} left ${value} at ${i}, outside of its tensor`);
    checked++;
  });
  return checked;
}

for (const model of [...zooModels, ...unusualModels]) {
  test(`${model.name}: halos and padding lanes are 0`, (t) => {
    let checked = 0;
    for (const mode of ['train', 'evaluate'] as const) {
      const program = compileProgram(model, mode, 2, { batchNormEpsilon: 1e-5 });
      for (const build of ['fma-narrow', 'fma-wide'] as const) {
        spoil(program, build, 'prepared');
        t.notThrows(() =>
          runProgram(program, build, randomInput(model, 2, 3), (step, arena) => {
            checked += checkZeros(step, arena);
          }),
        );
      }
    }
    t.true(checked > 0);
  });
}
