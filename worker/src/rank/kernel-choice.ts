/** Which build of the kernels runs: decided by a feature test, a check and a short measurement. */
import { createHash } from 'node:crypto';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import {
  type Arithmetic,
  type BuildName,
  firstFreeByte,
  type Width,
} from '@lockstep/shared/kernels/build-name.ts';
import { instantiateKernels, type KernelInstance } from '@lockstep/shared/kernels/instance.ts';
import { matmulScratchBytes } from '@lockstep/shared/kernels/matmul.ts';
import { Arena } from '@lockstep/shared/tensor/arena.ts';
import { compileKernels } from './kernel-file.ts';

/** What was found out about one build. */
export interface Candidate {
  readonly width: Width;
  /** Hash of a small fixed computation; null when the build does not run here. */
  readonly fingerprint: string | null;
  /** Rate of a small matrix product, GFLOP/s. */
  readonly rate: number;
  readonly trouble: string | null;
}

export interface KernelChoice {
  readonly build: BuildName;
  readonly module: WebAssembly.Module;
  /** Hash of a small fixed computation: machines with the same one give the same bits. */
  readonly fingerprint: string;
  readonly reason: string;
}

export interface WidthDecision {
  readonly width: Width | null;
  readonly reason: string;
}

/**
 * Pure: picks the faster width. The narrow build is the reference: it needs no experimental compiler pass.
 * A wide build whose bits differ from it is never taken.
 */
export function decideWidth(narrow: Candidate, wide: Candidate): WidthDecision {
  if (narrow.fingerprint === null) {
    return { width: null, reason: `the 128-bit kernels do not run here: ${narrow.trouble}` };
  }
  if (wide.fingerprint === null)
    return { width: 'narrow', reason: `wide kernels do not run: ${wide.trouble}` };
  if (wide.fingerprint !== narrow.fingerprint) {
    return { width: 'narrow', reason: 'the wide kernels give other bits than the narrow ones' };
  }
  const figures = `${wide.rate.toFixed(0)} GFLOP/s wide, ${narrow.rate.toFixed(0)} narrow`;
  return wide.rate > narrow.rate
    ? { width: 'wide', reason: `revectorized 256-bit code is faster: ${figures}` }
    : { width: 'narrow', reason: `128-bit code is faster: ${figures}` };
}

/** Pure: the width asked for, unless it does not run or gives other bits than the narrow one. */
export function decideForced(forced: Width, narrow: Candidate, wide: Candidate): WidthDecision {
  if (forced === 'wide' && (wide.fingerprint === null || wide.fingerprint !== narrow.fingerprint)) {
    return decideWidth(narrow, wide);
  }
  const { fingerprint, trouble, rate } = forced === 'narrow' ? narrow : wide;
  if (fingerprint === null) {
    return { width: null, reason: `the kernels that ${widthVariable} asks for do not run here: ${trouble}` };
  }
  return { width: forced, reason: `${widthVariable} asks for it: ${rate.toFixed(0)} GFLOP/s` };
}

/** Environment variable that fixes the width, for comparisons: nobody needs it to train. */
export const widthVariable = 'LOCKSTEP_KERNELS';

/** Pure: the width that the environment asks for; null leaves it to the measurement. @throws LockstepError USAGE */
export function forcedWidth(value: string | undefined): Width | null {
  if (value === undefined || value === '') return null;
  if (value === 'narrow' || value === 'wide') return value;
  throw new LockstepError(
    'USAGE',
    `The environment variable ${widthVariable} is '${value.slice(0, 80)}'.`,
    "Allowed: 'narrow', 'wide', or leave it unset.",
    { variable: widthVariable, value },
  );
}

/**
 * Tries both widths of an arithmetic and picks one. Takes about 0.2 s. When the environment asks for `narrow`,
 * V8's flag stays unset, so that the code is what an engine without revectorization makes of it.
 *
 * @throws LockstepError NUMERICS_UNSUPPORTED when this machine cannot do the arithmetic; KERNELS_MISSING; USAGE
 */
export async function chooseKernels(arithmetic: Arithmetic): Promise<KernelChoice> {
  const forced = forcedWidth(process.env[widthVariable]);
  const narrow = await tryBuild(arithmetic, 'narrow', forced !== 'narrow');
  const wide = forced === 'narrow' ? narrow : await tryBuild(arithmetic, 'wide', true);
  const rates = bestRates([narrow.multiply, wide.multiply]);
  const candidates = [narrow, wide].map(({ found }, i) => ({ ...found, rate: rates[i] ?? 0 }));
  const [first, second] = candidates as [Candidate, Candidate];
  const { width, reason } = forced ? decideForced(forced, first, second) : decideWidth(first, second);
  const { found, module } = width === 'wide' ? wide : narrow;
  const { fingerprint } = found;
  if (width === null || fingerprint === null || !module) {
    throw new LockstepError(
      'NUMERICS_UNSUPPORTED',
      `This machine cannot compute with arithmetic '${arithmetic}': ${reason}.`,
      arithmetic === 'fma' ? "Use arithmetic 'mul-add' in the recipe." : 'Use a newer Node.',
      { arithmetic },
    );
  }
  return { build: `${arithmetic}-${width}`, module, fingerprint, reason };
}

/** A build, and a product to measure it by; null where it does not run. */
interface Trial {
  readonly found: Omit<Candidate, 'rate'>;
  readonly module: WebAssembly.Module | null;
  readonly multiply: (() => void) | null;
}

const size = 160;
const warmMilliseconds = 40;
const rounds = 16;
const repeats = 4;

async function tryBuild(arithmetic: Arithmetic, width: Width, revectorize: boolean): Promise<Trial> {
  let module: WebAssembly.Module | null = null;
  const failed = (trouble: string): Trial => ({
    found: { width, fingerprint: null, trouble },
    module,
    multiply: null,
  });
  try {
    module = await compileKernels(`${arithmetic}-${width}`, revectorize);
    const arena = Arena.allocate(2 ** 22);
    const kernels = instantiateKernels(module, arena.memory);
    if (arithmetic === 'fma' && !isFused(arena, kernels)) {
      return failed('the processor multiplies and adds with two roundings');
    }
    const multiply = prepareProduct(arena, kernels);
    multiply();
    const product = arena.bytes.slice(places.c, places.c + 4 * size * size);
    const fingerprint = createHash('sha256').update(product).digest('hex');
    return { found: { width, fingerprint, trouble: null }, module, multiply };
  } catch (thrown) {
    if (thrown instanceof LockstepError) throw thrown;
    return failed(thrown instanceof Error ? thrown.message : String(thrown));
  }
}

const matrixBytes = 4 * size * size;
const places = {
  a: firstFreeByte,
  b: firstFreeByte + matrixBytes,
  c: firstFreeByte + 2 * matrixBytes,
  scratch: firstFreeByte + 3 * matrixBytes,
};

/** A product of two matrices whose entries need all 24 bits, longer than one block of K. */
function prepareProduct(arena: Arena, kernels: KernelInstance): () => void {
  const { a, b, c, scratch } = places;
  if (scratch + matmulScratchBytes(size, size, size) > arena.bytes.byteLength)
    throw new Error('arena too small');
  let state = 1;
  const fill = (offset: number): void => {
    const values = arena.float32(offset, size * size);
    for (let i = 0; i < values.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      values[i] = state / 2 ** 31 - 1;
    }
  };
  fill(a);
  fill(b);
  return () => void kernels.matmul(0, 0, size, size, size, a, size, b, size, c, size, 0, scratch);
}

/** (1 + 2^-12)^2 - (1 + 2^-11) is 2^-24 with one rounding and 0 with two. */
function isFused(arena: Arena, kernels: KernelInstance): boolean {
  const { a, b, c, scratch } = places;
  arena.float32(a, 2).set([-(1 + 2 ** -11), 1 + 2 ** -12]);
  arena.float32(b, 2).set([1, 1 + 2 ** -12]);
  kernels.matmul(0, 0, 1, 1, 2, a, 2, b, 1, c, 1, 0, scratch);
  return arena.float32(c, 1)[0] === 2 ** -24;
}

/**
 * GFLOP/s of each product, the best of several rounds, after the compiler has had time to optimise; 0 for what does not run.
 * They take turns: what shares the core with us may make it half as fast for tenths of a second, and one after the other they
 * would not be measured alike.
 *
 * @param now milliseconds
 */
export function bestRates(
  products: readonly ((() => void) | null)[],
  now: () => number = () => performance.now(),
): number[] {
  const best = products.map(() => Number.POSITIVE_INFINITY);
  for (const multiply of products) {
    if (multiply === null) continue;
    const warmUntil = now() + warmMilliseconds;
    while (now() < warmUntil) multiply();
  }
  for (let round = 0; round < rounds; round++) {
    for (const [i, multiply] of products.entries()) {
      if (multiply === null) continue;
      const begun = now();
      for (let repeat = 0; repeat < repeats; repeat++) multiply();
      best[i] = Math.min(best[i] as number, now() - begun);
    }
  }
  return best.map((milliseconds) => (2 * size ** 3 * repeats) / milliseconds / 1e6);
}
