import { tmpdir } from 'node:os';
import test from 'ava';
import { hasCounterpart, lockstepPeers, pytorchPeers } from '@lockstep/scripts/src/peers/peer-catalogue.ts';
import {
  findPython,
  findPytorch,
  findTfjs,
  missingLine,
  pythonCandidates,
} from '@lockstep/scripts/src/peers/peer-discovery.ts';

const resnet20 = { model: 'resnet20', batch: 128, shards: 8 };

test('a Python that is not there is missing, with the reason and what to install', async (t) => {
  const { peers, missing } = await findPytorch(resnet20, '/nowhere/python', null);
  t.is(peers.length, 0);
  t.is(missing.length, 1);
  const line = missingLine(missing[0] as (typeof missing)[number]);
  t.regex(line, /^not measured: PyTorch: \/nowhere\/python: .*ENOENT/);
  t.regex(line, /apt-get install python3-torch/);
});

test('a program that cannot import torch is no Python with torch', async (t) => {
  const found = await findPython(['false']);
  t.true('reason' in found && found.reason.startsWith('false: '));
});

test('the path has precedence over the system, and --python over both', (t) => {
  t.deepEqual(pythonCandidates('mine'), ['mine']);
  t.is(pythonCandidates(undefined)[0], 'python3');
});

test('TensorFlow.js that is not installed is missing on both back ends', (t) => {
  const { peers, missing } = findTfjs(resnet20, tmpdir(), false);
  t.is(peers.length, 0);
  t.deepEqual(
    missing.map(({ title, reason }) => [/plain JS|wasm/.exec(title)?.[0], reason]),
    [
      ['plain JS', 'not installed'],
      ['wasm', 'not installed'],
    ],
  );
  t.true(missing.every(({ remedy }) => remedy.includes('npm install --no-save')));
});

test('models that the others do not have are said to be missing', async (t) => {
  const lenet = { model: 'lenet5', batch: 8, shards: 8 };
  t.regex((await findPytorch(lenet, undefined, null)).missing[0]?.reason ?? '', /no counterpart of 'lenet5'/);
  t.is(findTfjs(lenet, undefined, false).missing.length, 2);
  t.true(hasCounterpart('resnet56'));
  t.true(hasCounterpart('resnet18'));
  t.false(hasCounterpart('resnet19'));
});

test('Lockstep takes part with both builds on one core and on two', (t) => {
  t.deepEqual(
    lockstepPeers(resnet20).map(({ role, cores, command }) => [
      role,
      cores,
      command.env?.['LOCKSTEP_KERNELS'],
    ]),
    [
      ['lockstep', 1, undefined],
      ['lockstep-narrow', 1, 'narrow'],
      ['lockstep', 2, undefined],
      ['lockstep-narrow', 2, 'narrow'],
    ],
  );
});

test('PyTorch takes part in both layouts and precisions on one core and on two, and distributed', (t) => {
  const peers = pytorchPeers(resnet20, 'python3', null);
  const count = (role: string, cores: number) =>
    peers.filter((peer) => peer.role === role && peer.cores === cores).length;
  t.deepEqual([count('float32', 1), count('bf16', 1), count('float32', 2), count('bf16', 2)], [2, 2, 4, 2]);
  for (const { title, cores, command } of peers) {
    const threads = title.includes('DDP') ? '1' : String(cores);
    t.is(command.env?.['OMP_NUM_THREADS'], threads, title);
    t.is(command.args[command.args.indexOf('--threads') + 1], threads, title);
  }
});

test('an odd batch cannot be halved, and AVX2 has no bf16', (t) => {
  t.false(
    pytorchPeers({ ...resnet20, batch: 7 }, 'python3', null).some(({ title }) => title.includes('DDP')),
  );
  const limited = pytorchPeers(resnet20, 'python3', 'avx2');
  t.false(limited.some(({ role }) => role === 'bf16'));
  t.true(limited.every(({ command }) => command.env?.['ONEDNN_MAX_CPU_ISA'] === 'AVX2'));
});
