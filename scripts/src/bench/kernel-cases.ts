/** What `bench-kernels` measures. To add a case, append an entry that places its buffers to one of these lists. */
import type { KernelCase } from './kernel-case.ts';
import { productCases } from './product-cases.ts';
import { tensorCases } from './tensor-cases.ts';

export const kernelCases: readonly KernelCase[] = [...productCases, ...tensorCases];
