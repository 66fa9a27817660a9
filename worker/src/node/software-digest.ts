/**
 * What decides a run's bits beside the processor: the code. Two versions of Lockstep that speak the same protocol may
 * compute differently, say, a convolution by another algorithm; then weights would depend on who computed which shard.
 */
import { createHash } from 'node:crypto';
import { canonicalJson } from '@lockstep/shared/base/canonical-json.ts';
import type { Arithmetic } from '@lockstep/shared/kernels/build-name.ts';
import { compileProgram } from '@lockstep/shared/model/compile.ts';
import type { Program, Step } from '@lockstep/shared/model/program.ts';
import { buildModel } from '@lockstep/shared/model/zoo.ts';
import { planStep } from '@lockstep/shared/plan/batch-plan.ts';
import { planAugmentation } from '../data/augmentation.ts';
import { readKernels } from '../rank/kernel-file.ts';

/** What a version makes of a few questions that have one answer. */
export interface SoftwareSample {
  /** The builds of an arithmetic, as bytes. */
  readonly kernels: readonly Uint8Array[];
  readonly programs: readonly Program[];
  /** Plain data: which samples go where, and what happens to them. */
  readonly plans: unknown;
}

/** Models that have a convolution of every kind, and the images of a shard. */
const models = ['resnet20', 'resnet18'] as const;
const shardSize = 16;

/** SHA-256 of a sample, as 64 hexadecimal digits. */
export function digestOf({ kernels, programs, plans }: SoftwareSample): string {
  const hash = createHash('sha256');
  for (const bytes of kernels) hash.update(bytes);
  const callsOf = (steps: readonly Step[]) => steps.map(({ call }) => [call.kernel, call.values]);
  const calls = programs.map(({ prepare, forward, backward }) =>
    [prepare.flatMap(({ steps }) => steps), forward, backward].map(callsOf),
  );
  return hash.update(canonicalJson([calls, plans])).digest('hex');
}

let known: Promise<Readonly<Record<Arithmetic, string>>> | null = null;

/** The digest of this version, which does not change while it runs. @throws LockstepError KERNELS_MISSING */
export async function softwareDigest(arithmetic: Arithmetic): Promise<string> {
  known ??= ownDigests();
  return (await known)[arithmetic];
}

async function ownDigests(): Promise<Readonly<Record<Arithmetic, string>>> {
  const images = { height: 32, width: 32, channels: 3 };
  const programs = models.map((name) => {
    const model = buildModel(name, { images, classes: 10, shortcut: 'B' });
    return compileProgram(model, 'train', shardSize, { batchNormEpsilon: 1e-5 });
  });
  const step = planStep({ seed: 1, batchSize: 64, shardsPerStep: 5 }, 200, 3);
  const augmentation = step.shards.flat().map((sample) => planAugmentation('crop-flip', 1, 0, sample));
  const plans = [step.shards, augmentation];
  const digest = async (arithmetic: Arithmetic): Promise<string> => {
    const kernels = [await readKernels(`${arithmetic}-narrow`), await readKernels(`${arithmetic}-wide`)];
    return digestOf({ kernels, programs, plans });
  };
  return { fma: await digest('fma'), 'mul-add': await digest('mul-add') };
}
