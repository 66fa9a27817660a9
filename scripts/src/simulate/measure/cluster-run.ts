/** A real run on loopback: a coordinator that only reduces, and nodes of one thread each. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { median } from '@lockstep/coordinator/plan/program-timing.ts';
import { LineProcess } from '../../peers/line-process.ts';

export interface ClusterRun {
  readonly model: string;
  readonly batch: number;
  readonly shards: number;
  readonly nodes: number;
  readonly steps: number;
}

const binary = fileURLToPath(new URL('../../../../coordinator/bin/lockstep.js', import.meta.url));

/** Steps that do not count: kernels are compiled, speeds are learnt. */
const warmUp = 4;

/** Seconds that one line may take: a step of the largest model on a busy machine. */
const patience = 120;

/** @returns median seconds of a step. @throws Error with the coordinator's last words */
export async function measureCluster({ model, batch, shards, nodes, steps }: ClusterRun): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-simulate-'));
  const env = { LOCKSTEP_TOKEN: undefined };
  const args = [
    [binary, 'coordinator', '--model', model, '--dataset', 'synthetic', '--batch-size', String(batch)],
    ['--shards', String(shards), '--steps', String(steps + warmUp), '--no-evaluate'],
    ['--threads', '0', '--min-nodes', String(nodes), '--listen', '127.0.0.1:0', '--out', folder],
    ['--json', '--checkpoint-seconds', '100000'],
  ].flat();
  const coordinator = new LineProcess({ file: process.execPath, args, env });
  const joined: LineProcess[] = [];
  try {
    const seconds: number[] = [];
    for (;;) {
      const event = JSON.parse(await coordinator.nextLine(patience)) as Record<string, unknown>;
      if (event['type'] === 'listening') {
        for (let i = 0; i < nodes; i++) {
          const words = ['join', String(event['url']), '--threads', '1', '--name', `node-${i}`, '--json'];
          joined.push(new LineProcess({ file: process.execPath, args: [binary, ...words], env }));
        }
      }
      if (event['type'] === 'step') seconds.push(event['seconds'] as number);
      if (event['type'] === 'error') throw new Error(String(event['message']));
      if (event['type'] === 'result') return median(seconds.slice(warmUp));
    }
  } finally {
    await Promise.all([coordinator, ...joined].map((child) => child.stop(1)));
    await rm(folder, { recursive: true, force: true });
  }
}
