/** A training run that can be stopped and let go on, with all of its processes: its steps count while it is its turn. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LineProcess } from '../peers/line-process.ts';
import { coordinatorCommand, nodeCommand, threadsCommand } from '../simulate/measure/run-commands.ts';

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

/** More than anybody waits for. */
const endless = 1_000_000;
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
    const { ranks, nodes } = run;
    this.folder = folder;
    this.ranks = ranks;
    const measured = { ...run, steps: endless, folder };
    this.first = new LineProcess(
      nodes ? coordinatorCommand(measured, ranks) : threadsCommand(measured, ranks),
    );
    this.over = this.follow();
    // Whoever waits for a turn to end sees why.
    this.over.catch(() => {});
  }

  static async start(run: TurnRun): Promise<TurnTaker> {
    return new TurnTaker(run, await mkdtemp(join(tmpdir(), 'lockstep-turns-')));
  }

  /** Stops all of its processes where they are. Each sees that it slept, so nobody is thought to be gone. */
  pause(): void {
    for (const child of this.processes) child.signal('SIGSTOP');
  }

  resume(): void {
    for (const child of this.processes) child.signal('SIGCONT');
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
      for (let i = 0; i < this.ranks; i++)
        this.joined.push(new LineProcess(nodeCommand(String(event['url']), i)));
    }
  }
}

/** Pure: durations of the steps that lie wholly in a turn. @param from milliseconds, as `to` */
export function stepsWithin(steps: readonly SeenStep[], from: number, to: number): number[] {
  return steps
    .filter(({ endedAt, duration }) => endedAt - duration >= from && endedAt <= to)
    .map(({ duration }) => duration);
}
