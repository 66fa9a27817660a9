/** The coordinator of a chaos run, through all its lives. */
import { startCoordinator } from '../helpers/cluster.ts';
import type { JsonLine, LockstepProcess } from '../helpers/lockstep-process.ts';

export interface ChaosCoordinatorOptions {
  readonly folder: string;
  readonly out: string;
  /** Without its length. */
  readonly recipe: readonly string[];
  readonly threads: number;
  readonly checkpointEvery: number;
}

/** The usual one: the plan has faults that are shorter, and some that are longer. */
const heartbeatSeconds = 2;

export class ChaosCoordinator {
  readonly lives: LockstepProcess[] = [];
  private readonly options: ChaosCoordinatorOptions;
  private readonly onStep: () => void;
  /** Steps committed, as far as is known here. */
  step = 0;
  /** Commits of all lives: never goes back. */
  commits = 0;
  /** Where its newest life listens; each has a port of its own, that nobody else can have taken in between. */
  port = 0;
  /** Settles when the last fault of the coordinator is over. */
  busy: Promise<void> = Promise.resolve();

  constructor(options: ChaosCoordinatorOptions, onStep: () => void) {
    this.options = options;
    this.onStep = onStep;
  }

  get process(): LockstepProcess {
    return this.lives.at(-1) as LockstepProcess;
  }

  /** A new life; every one but the first goes on from the newest checkpoint. @param steps null: no end */
  start(steps: number | null = null): void {
    const life = this.lives.length + 1;
    const length = steps === null ? ['--epochs', '100000'] : ['--steps', String(steps)];
    const recipe = [...this.options.recipe, ...length];
    const process = startCoordinator({
      ...this.options,
      name: `coordinator-${life}`,
      minNodes: 0,
      heartbeatSeconds,
      recipe,
      resume: life > 1,
    });
    process.listen((event) => this.take(event));
    this.lives.push(process);
  }

  events(): JsonLine[][] {
    return this.lives.map(({ events }) => events);
  }

  private take(event: JsonLine): void {
    if (event.type === 'listening') this.port = Number(new URL(String(event['url'])).port);
    if (event.type === 'start') this.step = event['fromStep'] as number;
    if (event.type !== 'step') return;
    this.step = event['step'] as number;
    this.commits++;
    this.onStep();
  }
}
