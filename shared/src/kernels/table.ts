/** The typed table of all kernels: what programs are made of. */
import { activationKernels } from './activation.ts';
import { batchNormKernels } from './batch-norm.ts';
import { batchNormBackwardKernels } from './batch-norm-backward.ts';
import { biasKernels } from './bias.ts';
import { convolutionKernels } from './convolution.ts';
import { dataMovementKernels } from './data-movement.ts';
import { elementwiseKernels } from './elementwise.ts';
import { imageKernels } from './image.ts';
import type { Kernel, KernelGroup } from './kernel.ts';
import { lossKernels } from './loss.ts';
import { matmulKernels } from './matmul.ts';
import { optimizerKernels } from './optimizer.ts';
import { poolingKernels } from './pooling.ts';
import { reductionKernels } from './reduction.ts';
import { shortFloatKernels } from './short-floats.ts';
import { winogradKernels } from './winograd.ts';

export const kernels = {
  ...elementwiseKernels,
  ...matmulKernels,
  ...convolutionKernels,
  ...winogradKernels,
  ...batchNormKernels,
  ...batchNormBackwardKernels,
  ...biasKernels,
  ...activationKernels,
  ...poolingKernels,
  ...dataMovementKernels,
  ...imageKernels,
  ...lossKernels,
  ...optimizerKernels,
  ...reductionKernels,
  ...shortFloatKernels,
} as const;

export type KernelName = keyof typeof kernels;

/** The arguments of one kernel, by name. */
export type KernelArguments<K extends KernelName> =
  (typeof kernels)[K] extends Kernel<infer Names> ? Readonly<Record<Names, number>> : never;

/** A kernel call with every argument fixed. */
export interface Call {
  readonly kernel: KernelName;
  /** In the order of the kernel's parameters. */
  readonly values: readonly number[];
}

/** Builds a call; the compiler checks that every argument is named. */
export function call<K extends KernelName>(kernel: K, named: KernelArguments<K>): Call {
  const { parameters } = kernels[kernel] as Kernel;
  return { kernel, values: parameters.map((name) => (named as Record<string, number>)[name] as number) };
}

/** The arguments of a call, by name. */
export function namedArguments(made: Call): Record<string, number> {
  const { parameters } = kernels[made.kernel] as Kernel;
  return Object.fromEntries(parameters.map((name, i) => [name, made.values[i] as number]));
}

/** What a call costs: its kernel's group, floating point operations, and bytes that must move at least. */
export function costOf(made: Call): {
  readonly group: KernelGroup;
  readonly flops: number;
  readonly bytes: number;
} {
  const { group, flops, bytes } = kernels[made.kernel] as Kernel;
  const named = namedArguments(made);
  return { group, flops: flops(named), bytes: bytes(named) };
}
