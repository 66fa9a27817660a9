import { compileProgram } from '@lockstep/shared/model/compile.ts';
import { buildModel } from '@lockstep/shared/model/zoo.ts';
import { examineMachine } from '@lockstep/worker/node/fingerprints.ts';
import { digestOf, type SoftwareSample, softwareDigest } from '@lockstep/worker/node/software-digest.ts';
import test from 'ava';

const images = { height: 8, width: 8, channels: 3 };
const model = buildModel('resnet8', { images, classes: 10, shortcut: 'B' });
const batchNormEpsilon = 1e-5;

const sample: SoftwareSample = {
  kernels: [Uint8Array.of(1, 2, 3), Uint8Array.of(4)],
  programs: [compileProgram(model, 'train', 4, { batchNormEpsilon })],
  plans: [[0, 3, 1], { flip: true }],
};

test('the digest changes with a byte of the kernels, a call of a program and a plan', (t) => {
  const changes: Partial<SoftwareSample>[] = [
    { kernels: [Uint8Array.of(1, 2, 3), Uint8Array.of(5)] },
    { programs: [compileProgram(model, 'train', 4, { batchNormEpsilon, convolution: 'direct' })] },
    { programs: [compileProgram(model, 'train', 4, { batchNormEpsilon: 1e-3 })] },
    { programs: [] },
    { plans: [[0, 1, 3], { flip: true }] },
    { plans: [[0, 3, 1], { flip: false }] },
  ];
  const digests = new Set([sample, ...changes].map((change) => digestOf({ ...sample, ...change })));
  t.is(digests.size, changes.length + 1);
});

test('this version has one digest for each arithmetic, and it is part of the fingerprint', async (t) => {
  const [fma, mulAdd] = [await softwareDigest('fma'), await softwareDigest('mul-add')];
  t.not(fma, mulAdd);
  t.is(await softwareDigest('fma'), fma);
  const machine = await examineMachine();
  t.regex(machine.fingerprints.fma ?? '', /^[0-9a-f]{64}$/);
  t.not(machine.fingerprints.fma, machine.kernels.fma?.fingerprint ?? null);
});
