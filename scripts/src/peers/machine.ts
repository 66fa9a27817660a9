/** What a reader must know of the machine to judge the figures. */
import { availableParallelism, cpus } from 'node:os';

/** `2 x AMD EPYC 9R14`: processors that may be used, and their name. */
export function machineLine(): string {
  return `${availableParallelism()} x ${(cpus()[0]?.model ?? 'unknown processor').trim()}`;
}

/** Vector instructions that the other libraries may be held to, so that all compute with the same width. */
export const vectorLimits = ['avx2'] as const;
export type VectorLimit = (typeof vectorLimits)[number];

/**
 * The environment that holds oneDNN (both of its spellings) and PyTorch's own loops to these instructions. WebAssembly
 * computes with 256 bits at most; where 512-bit units are twice as wide, the limit tells arithmetic from width.
 */
export function limitedEnvironment(limit: VectorLimit | null): Record<string, string> {
  if (limit === null) return {};
  const isa = limit.toUpperCase();
  return { ONEDNN_MAX_CPU_ISA: isa, DNNL_MAX_CPU_ISA: isa, ATEN_CPU_CAPABILITY: limit };
}

/** What a heading says about a limit. */
export function limitInWords(limit: VectorLimit | null): string {
  return limit === null ? '' : `; other libraries held to ${limit.toUpperCase()}`;
}
