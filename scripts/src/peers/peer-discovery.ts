/** Which peers this machine has. What is missing is a value with a reason and a way to get it. */
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import type { VectorLimit } from './machine.ts';
import {
  type EngineName,
  hasCounterpart,
  type PeerSpec,
  pytorchPeers,
  tfjsPeers,
  tfjsTitle,
  type Workload,
} from './peer-catalogue.ts';

export interface Missing {
  readonly title: string;
  readonly reason: string;
  /** How to get it; empty when nothing helps. */
  readonly remedy: string;
}

export interface Discovery {
  readonly peers: readonly PeerSpec[];
  readonly missing: readonly Missing[];
}

const pythonRemedy =
  'On Debian: apt-get install python3-torch. Or name a Python that has torch: --python PATH.';
const tfjsRemedy =
  'npm install --no-save @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0, or --tfjs FOLDER that has them in its node_modules.';

/** The user's choice alone, or the Python of the path and then the system's, where Debian's packages are. */
export function pythonCandidates(asked: string | undefined): string[] {
  return asked === undefined ? ['python3', '/usr/bin/python3'] : [asked];
}

/** The first Python that can import torch, or why each cannot. */
export async function findPython(
  candidates: readonly string[],
): Promise<{ python: string } | { reason: string }> {
  const reasons: string[] = [];
  for (const python of candidates) {
    try {
      await promisify(execFile)(python, ['-c', 'import torch']);
      return { python };
    } catch (thrown) {
      const text = thrown instanceof Error ? thrown.message : String(thrown);
      reasons.push(`${python}: ${text.trim().split('\n').at(-1)}`);
    }
  }
  return { reason: reasons.join('; ') };
}

export async function findPytorch(
  workload: Workload,
  asked: string | undefined,
  limit: VectorLimit | null,
): Promise<Discovery> {
  const title = 'PyTorch';
  if (!hasCounterpart(workload.model)) return { peers: [], missing: [withoutCounterpart(title, workload)] };
  const found = await findPython(pythonCandidates(asked));
  if ('reason' in found)
    return { peers: [], missing: [{ title, reason: found.reason, remedy: pythonRemedy }] };
  const slow = { title: 'PyTorch bf16 autocast', reason: 'the limit of --vectors has no bf16', remedy: '' };
  return { peers: pytorchPeers(workload, found.python, limit), missing: limit === null ? [] : [slow] };
}

const tfjsPackages = { cpu: '@tensorflow/tfjs', wasm: '@tensorflow/tfjs-backend-wasm' } as const;

/** @param hurried a quick comparison, which such a slow peer would not fit into */
export function findTfjs(workload: Workload, asked: string | undefined, hurried: boolean): Discovery {
  const titles = [tfjsTitle('cpu'), tfjsTitle('wasm')];
  const none = (reason: string, remedy: string): Discovery => ({
    peers: [],
    missing: titles.map((title) => ({ title, reason, remedy })),
  });
  if (!hasCounterpart(workload.model)) {
    return { peers: [], missing: titles.map((title) => withoutCounterpart(title, workload)) };
  }
  if (workload.model === 'resnet18') {
    return none('left out: about 0.01 images/s, minutes for an image', 'Its ResNet-20 shows the ratio.');
  }
  const folder = resolve(asked ?? import.meta.dirname);
  const installed = (name: string): boolean => {
    try {
      createRequire(resolve(folder, 'package.json')).resolve(name);
      return true;
    } catch {
      return false;
    }
  };
  if (!installed(tfjsPackages.cpu)) return none('not installed', tfjsRemedy);
  if (hurried) return none('left out: a step takes longer than a quick comparison', 'Run without --quick.');
  if (installed(tfjsPackages.wasm))
    return { peers: tfjsPeers(workload, folder, ['cpu', 'wasm']), missing: [] };
  const missing = [{ title: tfjsTitle('wasm'), reason: 'not installed', remedy: tfjsRemedy }];
  return { peers: tfjsPeers(workload, folder, ['cpu']), missing };
}

function withoutCounterpart(title: string, { model }: Workload): Missing {
  return { title, reason: `there is no counterpart of '${model}' there`, remedy: '' };
}

/** Engines that the flags leave out are listed, too. */
export function leftOut(engine: EngineName): Missing {
  const titles = { lockstep: 'Lockstep', pytorch: 'PyTorch', tfjs: 'TensorFlow.js' };
  return { title: titles[engine], reason: 'left out (--engines, --memory)', remedy: '' };
}

/** Pure: what is missing, as one line. */
export function missingLine({ title, reason, remedy }: Missing): string {
  return `not measured: ${title}: ${reason}${remedy === '' ? '' : `. ${remedy}`}`;
}
