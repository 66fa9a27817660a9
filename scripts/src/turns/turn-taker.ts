/** A training run that can be stopped and let go on, with all of its processes: its steps count while it is its turn. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LineProcess } from '../peers/line-process.ts';

export interface TurnRun {
  readonly model: string;
  readonly batch: number;
  readonly shards: number;
  /** Nodes of one thread, or threads of one process. */
  readonly ranks: number;
  readonly nodes: boolean;
}

/** A step, in milliseconds of `performance.now()`. */
export interface SeenStep {
  readonly endedAt: number;
  readonly duration: number;
}

const binary = fileURLToPath(new URL('../../../coordinator/bin/lockstep.js', import.meta.url));
/** Seconds that one line may take: others have their turns meanwhile. */
const patience = 600;

export class TurnTaker {
  readonly steps: SeenStep[] = [];
  /** Rejects when the run ends. */
  readonly over: Promise<never>;
  private readonly first: LineProcess;
  private readonly joined: LineProcess[] = [];
  private readonly folder: string;
  private readonly ranks: number;

  private constructor(run: TurnRun, folder: string) {
    const { model, batch, shards, ranks, nodes } = run;
    this.folder = folder;
    this.ranks = ranks;
    const who = nodes
      ? ['coordinator', '--threads', '0', '--min-nodes', String(ranks), '--listen', '127.0.0.1:0']
      : ['train', '--threads', String(ranks), '--no-baseline'];
    const args = [
      [binary, ...who, '--model', model, '--dataset', 'synthetic', '--batch-size', String(batch)],
      ['--shards', String(shards), '--steps', '1000000', '--no-evaluate', '--out', folder, '--json'],
      ['--checkpoint-seconds', '100000', '--seed', '1'],
    ].flat();
    this.first = new LineProcess({ file: process.execPath, args, env: { LOCKSTEP_TOKEN: undefined } });
    this.over = this.follow();
    // Whoever waits for a turn to end sees why.
    this.over.catch(() => {});
  }

  static async start(run: TurnRun): Promise<TurnTaker> {
    return new TurnTaker(run, await mkdtemp(join(tmpdir(), 'lockstep-turns-')));
  }

  /** Stops all of its processes where they are. Each sees that it slept, so nobody is thought to be gone. */
  pause(): void {
    for (const { id } of this.processes) process.kill(id, 'SIGSTOP');
  }

  resume(): void {
    for (const { id } of this.processes) process.kill(id, 'SIGCONT');
  }

  async stop(): Promise<void> {
    this.resume();
    await Promise.all(this.processes.map((child) => child.stop(1)));
    await rm(this.folder, { recursive: true, force: true });
  }

  private get processes(): LineProcess[] {
    return [this.first, ...this.joined];
  }

  private async follow(): Promise<never> {
    for (;;) {
      const event = JSON.parse(await this.first.nextLine(patience)) as Record<string, unknown>;
      if (event['type'] === 'error') throw new Error(String(event['message']));
      if (event['type'] === 'step') {
        this.steps.push({ endedAt: performance.now(), duration: Number(event['seconds']) * 1000 });
      }
      if (event['type'] !== 'listening') continue;
      for (let i = 0; i < this.ranks; i++) {
        const words = ['join', String(event['url']), '--threads', '1', '--name', `node-${i}`, '--json'];
        const command = {
          file: process.execPath,
          args: [binary, ...words],
          env: { LOCKSTEP_TOKEN: undefined },
        };
        this.joined.push(new LineProcess(command));
      }
    }
  }
}

/** Pure: durations of the steps that lie wholly in a turn. @param from milliseconds, as `to` */
export function stepsWithin(steps: readonly SeenStep[], from: number, to: number): number[] {
  return steps
    .filter(({ endedAt, duration }) => endedAt - duration >= from && endedAt <= to)
    .map(({ duration }) => duration);
}
