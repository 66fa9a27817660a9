/** A real run on loopback: a coordinator that only reduces, and nodes of one thread each. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { median } from '@lockstep/coordinator/plan/program-timing.ts';
import type { ClusterStatus } from '@lockstep/coordinator/cluster/cluster-status.ts';
import { LineProcess } from '../../peers/line-process.ts';
import { processSeconds } from './process-time.ts';
import { coordinatorCommand, nodeCommand } from './run-commands.ts';

export interface ClusterRun {
  readonly model: string;
  readonly batch: number;
  readonly shards: number;
  readonly nodes: number;
  readonly steps: number;
}

/**
 * Steps that do not count: kernels are compiled, memory is touched, speeds are learnt. Nodes that share two cores have had
 * few shards each by then: three took 1.0 to 1.8 s for their first ten steps and 0.75 s ever after (docs/log.md).
 */
export const warmUp = 12;

async function askStatus(url: string): Promise<ClusterStatus> {
  const answer = await fetch(new URL('/status', url.replace(/^ws/, 'http')));
  return (await answer.json()) as ClusterStatus;
}

/** Seconds that one line may take: a step of the largest model on a busy machine. */
const patience = 120;

export interface ClusterFigures {
  /** Median of a step. */
  readonly seconds: number;
  /** Processor time of a step, of all processes together; null where the system does not tell. */
  readonly processorSeconds: number | null;
  /** Means of a step and node, towards the end of the run. */
  readonly bytesDown: number;
  readonly bytesUp: number;
  /** Shards that were taken over in the steps that count. */
  readonly stolen: number;
  readonly weightsSha256: string;
}

/** @throws Error with the coordinator's last words */
export async function measureCluster(run: ClusterRun): Promise<ClusterFigures> {
  const { model, batch, shards, nodes, steps } = run;
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-simulate-'));
  const command = coordinatorCommand({ model, batch, shards, steps: steps + warmUp, folder }, nodes);
  const coordinator = new LineProcess(command);
  const joined: LineProcess[] = [];
  try {
    const seconds: number[] = [];
    const stolen: number[] = [];
    let url = '';
    let status: ClusterStatus | null = null;
    let before: number | null = null;
    let after: number | null = null;
    const used = () => processSeconds([coordinator, ...joined].map(({ id }) => id));
    for (;;) {
      const event = JSON.parse(await coordinator.nextLine(patience)) as Record<string, unknown>;
      if (event['type'] === 'listening') {
        url = String(event['url']);
        for (let i = 0; i < nodes; i++) joined.push(new LineProcess(nodeCommand(url, i)));
      }
      if (event['type'] === 'step') seconds.push(event['seconds'] as number);
      if (event['type'] === 'step' && seconds.length === steps + warmUp - 2) status = await askStatus(url);
      if (event['type'] === 'step' && seconds.length === warmUp) before = await used();
      // Before the last one: then everybody leaves.
      if (event['type'] === 'step' && seconds.length === steps + warmUp - 1) after = await used();
      if (event['type'] === 'stolen') stolen.push(event['step'] as number);
      if (event['type'] === 'error') throw new Error(String(event['message']));
      if (event['type'] === 'result') {
        const { members = [] } = status ?? {};
        return {
          seconds: median(seconds.slice(warmUp)),
          processorSeconds:
            before === null || after === null || steps < 2 ? null : (after - before) / (steps - 1),
          bytesDown: median(members.map(({ bytesDown }) => bytesDown)),
          bytesUp: median(members.map(({ bytesUp }) => bytesUp)),
          stolen: stolen.filter((step) => step > warmUp).length,
          weightsSha256: String(event['weightsSha256']),
        };
      }
    }
  } finally {
    await Promise.all([coordinator, ...joined].map((child) => child.stop(1)));
    await rm(folder, { recursive: true, force: true });
  }
}
