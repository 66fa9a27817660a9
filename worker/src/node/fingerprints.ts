/** What this machine makes of a run, for both arithmetics, with the kernels that do it. */
import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import type { Arithmetic } from '@lockstep/shared/kernels/build-name.ts';
import type { Fingerprints } from '@lockstep/shared/protocol/numerics.ts';
import { chooseKernels, type KernelChoice } from '../rank/kernel-choice.ts';
import { softwareDigest } from './software-digest.ts';

export interface Machine {
  /** See `fingerprintOf`. */
  readonly fingerprints: Fingerprints;
  /** By arithmetic; null where this machine cannot do it. */
  readonly kernels: Readonly<Record<Arithmetic, KernelChoice | null>>;
}

/** Measures and fingerprints both arithmetics; takes half a second. @throws LockstepError KERNELS_MISSING, USAGE */
export async function examineMachine(known: KernelChoice | null = null): Promise<Machine> {
  const choose = async (arithmetic: Arithmetic): Promise<KernelChoice | null> => {
    if (known?.build.startsWith(`${arithmetic}-`) === true) return known;
    try {
      return await chooseKernels(arithmetic);
    } catch (thrown) {
      if (thrown instanceof LockstepError && thrown.code === 'NUMERICS_UNSUPPORTED') return null;
      throw thrown;
    }
  };
  const kernels = { fma: await choose('fma'), 'mul-add': await choose('mul-add') };
  const fingerprints = {
    fma: kernels.fma && (await fingerprintOf(kernels.fma)),
    mulAdd: kernels['mul-add'] && (await fingerprintOf(kernels['mul-add'])),
  };
  return { kernels, fingerprints };
}

/** SHA-256 of what this machine makes of the kernels and of the code: equal ones give equal bits. */
export async function fingerprintOf({ build, fingerprint }: KernelChoice): Promise<string> {
  const software = await softwareDigest(build.startsWith('fma-') ? 'fma' : 'mul-add');
  return createHash('sha256').update(fingerprint).update(software).digest('hex');
}

/** Matrix-product speed that a number of threads may reach, GFLOP/s; 0 when it was not measured. */
export function gigaflopsOf(machine: Machine, threads: number): number {
  const text = (machine.kernels.fma ?? machine.kernels['mul-add'])?.reason ?? '';
  const rates = [...text.matchAll(/(\d+)(?= GFLOP|\s+narrow)/g)].map((match) => Number(match[1]));
  return Math.max(0, ...rates) * Math.min(threads, availableParallelism());
}
