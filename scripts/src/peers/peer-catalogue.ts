/** Which configurations of which library are compared. Pure: plain data, nothing is started here. */
import { join } from 'node:path';
import type { Command } from './line-process.ts';
import { limitedEnvironment, type VectorLimit } from './machine.ts';

/** What one table compares. Images are 32x32x3, ten classes. */
export interface Workload {
  readonly model: string;
  /** Images of a step. */
  readonly batch: number;
  /** Shards of a step, for Lockstep. */
  readonly shards: number;
}

export const engineNames = ['lockstep', 'pytorch', 'tfjs'] as const;
export type EngineName = (typeof engineNames)[number];

/** What a configuration is compared as: the targets name roles, and the best of a role and of so many cores counts. */
export type Role = 'lockstep' | 'lockstep-narrow' | 'float32' | 'bf16' | 'other';

export interface PeerSpec {
  readonly engine: EngineName;
  readonly title: string;
  /** Threads, over all its processes. */
  readonly cores: number;
  readonly role: Role;
  /** Too slow to take part in every round: measured a single time, at the end. */
  readonly once: boolean;
  readonly command: Command;
}

const here = import.meta.dirname;

function words(text: string): string[] {
  return text.split(' ');
}

function nodeCommand(script: string, args: readonly string[], env: Command['env'] = {}): Command {
  return { file: process.execPath, args: [join(here, script), ...args], env };
}

/** The default kernels, and those of an engine without revectorization, with one thread and with two. */
export function lockstepPeers({ model, batch, shards }: Workload): PeerSpec[] {
  const flags = ['--model', model, '--batch', String(batch), '--shards', String(shards)];
  const peer = (role: 'lockstep' | 'lockstep-narrow', title: string, threads: number): PeerSpec => ({
    engine: 'lockstep',
    title,
    cores: threads,
    role,
    once: false,
    command: nodeCommand('lockstep-peer.ts', [...flags, '--threads', String(threads)], {
      LOCKSTEP_KERNELS: role === 'lockstep' ? undefined : 'narrow',
    }),
  });
  const narrow = 'Lockstep, 128-bit only (as in a browser)';
  return [1, 2].flatMap((threads) => [
    peer('lockstep', 'Lockstep', threads),
    peer('lockstep-narrow', narrow, threads),
  ]);
}

const layouts = [
  { flag: 'nchw', title: 'NCHW' },
  { flag: 'channels_last', title: 'channels_last' },
] as const;

const precisions = [
  { flag: 'float32', title: 'float32' },
  { flag: 'bf16', title: 'bf16 autocast' },
] as const;

/**
 * Eager PyTorch in both layouts and both precisions, with threads and with two processes over gloo. Held to AVX2 it
 * has no fast bf16, so there is none.
 */
export function pytorchPeers(
  { model, batch }: Workload,
  python: string,
  limit: VectorLimit | null,
): PeerSpec[] {
  const peer = (
    title: string,
    cores: number,
    role: 'float32' | 'bf16',
    flags: readonly string[],
  ): PeerSpec => ({
    engine: 'pytorch',
    title: `PyTorch ${title}`,
    cores,
    role,
    once: false,
    command: {
      file: python,
      args: [join(here, 'pytorch_peer.py'), '--model', model, '--batch', String(batch), ...flags],
      env: {
        OMP_NUM_THREADS: flags.includes('--world') ? '1' : String(cores),
        PYTHONDONTWRITEBYTECODE: '1',
        ...limitedEnvironment(limit),
      },
    },
  });
  const threaded = [1, 2].flatMap((threads) =>
    precisions
      .slice(0, limit === null ? 2 : 1)
      .flatMap((precision) =>
        layouts.map((layout) =>
          peer(
            `${precision.title}, ${layout.title}`,
            threads,
            precision.flag,
            words(`--threads ${threads} --layout ${layout.flag} --precision ${precision.flag}`),
          ),
        ),
      ),
  );
  if (batch % 2 !== 0) return threaded;
  const distributed = layouts.map((layout) =>
    peer(
      `float32, ${layout.title}, DDP over gloo, 2 processes`,
      2,
      'float32',
      words(`--threads 1 --layout ${layout.flag} --world 2`),
    ),
  );
  return [...threaded, ...distributed];
}

/** Images of a TensorFlow.js step: at its speed a larger batch would take a quarter of an hour. */
const tfjsBatch = 2;

/** TensorFlow.js on its plain JavaScript back end and on WebAssembly. `folder` holds its node_modules. */
export function tfjsPeers({ model }: Workload, folder: string, backends: readonly string[]): PeerSpec[] {
  return backends.map((backend) => ({
    engine: 'tfjs',
    title: tfjsTitle(backend),
    cores: 1,
    role: 'other',
    once: true,
    command: nodeCommand('tfjs-peer.ts', [
      ...words(`--model ${model} --batch ${tfjsBatch} --backend ${backend} --folder`),
      folder,
    ]),
  }));
}

export function tfjsTitle(backend: string): string {
  const name = backend === 'cpu' ? 'plain JS' : backend;
  return `TensorFlow.js, ${name} back end, batch ${tfjsBatch}`;
}

/** Depths of the 6n+2 family and ResNet-18: what the other peers have a model for. */
export function hasCounterpart(model: string): boolean {
  if (model === 'resnet18') return true;
  const depth = Number(/^resnet(\d+)$/.exec(model)?.[1] ?? Number.NaN);
  return depth >= 8 && (depth - 2) % 6 === 0;
}
