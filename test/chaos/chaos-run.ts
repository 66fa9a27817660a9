/** One chaos run: a training that is disturbed by a plan, and has to end like the one that was left alone. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, pause, resultOf, trainAlone } from '../helpers/cluster.ts';
import { ChaosCoordinator } from './chaos-coordinator.ts';
import { ChaosPlace } from './chaos-nodes.ts';
import { auditCommits } from './commit-ledger.ts';
import { type Fault, faultInWords, planFaults } from './fault-plan.ts';

export interface ChaosOptions {
  readonly seed: number;
  readonly faults: number;
  /** Threads with which the coordinator itself computes. */
  readonly threads: number;
  /** Added to the recipe: `--batch-norm sync`. */
  readonly recipe: readonly string[];
  readonly log: (line: string) => void;
}

export interface ChaosReport {
  readonly steps: number;
  readonly samples: number;
  readonly weightsSha256: string;
  readonly expectedSha256: string;
  readonly complaints: readonly string[];
  readonly coordinatorLives: number;
  readonly nodeLives: number;
  readonly repeatedSteps: number;
  readonly damages: number;
  readonly seconds: number;
}

const shape = { nodes: 3, guests: 2, firstStep: 6 };
const checkpointEvery = 5;

/** Without a commit for so long the run hangs. Generous: CI machines are slow, and faults pile up. */
const stallSeconds = 90;

/** Uneven shards, and a smaller batch at the end of each epoch: 2048 samples. */
const recipe = ['--model', 'resnet8', '--dataset', 'synthetic', '--batch-size', '36', '--shards', '8'];

/** Runs the plan of a seed. @throws Error with the seed, the command that repeats it and the folder of the logs */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-chaos-'));
  const run = new ChaosRun(options, folder);
  try {
    const report = await run.go();
    if (report.complaints.length > 0) throw new Error(report.complaints.join('; '));
    await run.close();
    await rm(folder, { recursive: true, force: true });
    return report;
  } catch (thrown) {
    await run.close();
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    const again = `npm run chaos --workspace test -- ${commandFlags(options)}`;
    const words = [why, `seed ${options.seed}; again: ${again}`, `logs of all processes: ${folder}`];
    throw new Error(words.join('\n  '), { cause: thrown });
  }
}

/** The flags of `npm run chaos` that repeat a run. */
export function commandFlags({ seed, faults, threads, recipe: more }: ChaosOptions): string {
  const own = `--faults ${faults} --seed ${seed} --threads ${threads}`;
  return more.length === 0 ? own : `${own} --recipe '${more.join(' ')}'`;
}

class ChaosRun {
  private readonly options: ChaosOptions;
  private readonly folder: string;
  private readonly places: ChaosPlace[] = [];
  private readonly begun = performance.now();
  private coordinator: ChaosCoordinator | null = null;
  private progressAt = performance.now();
  private failure: Error | null = null;
  private over = false;
  /** What must not happen, but does not end the run. */
  private readonly complaints: string[] = [];

  constructor(options: ChaosOptions, folder: string) {
    this.options = options;
    this.folder = folder;
  }

  async go(): Promise<ChaosReport> {
    const { seed, faults, threads } = this.options;
    const plan = planFaults(seed, faults, shape);
    const whole = [...recipe, '--steps', String(plan.steps), ...this.options.recipe];
    this.say(`seed ${seed}: ${faults} faults in ${plan.steps} steps`);
    const reference = await trainAlone(whole, this.folder);
    this.say(
      `undisturbed: ${reference.seconds.toFixed(1)} s, weights ${reference.weightsSha256.slice(0, 12)}`,
    );

    const port = await freePort();
    const out = join(this.folder, 'run');
    const coordinator = new ChaosCoordinator(
      { folder: this.folder, out, port, recipe: whole, threads, checkpointEvery },
      () => (this.progressAt = performance.now()),
    );
    this.coordinator = coordinator;
    coordinator.start();
    for (let slot = 0; slot < shape.nodes + shape.guests; slot++) {
      const place = await ChaosPlace.open(slot, port, this.folder, (trouble) => {
        this.say(trouble);
        this.complaints.push(trouble);
      });
      this.places.push(place);
      if (slot < shape.nodes) place.start();
    }
    const { restless, calm } = this.watch();
    try {
      await Promise.race([this.disturb(plan.faults, coordinator), restless]);
      this.say(`all ${faults} faults done at step ${coordinator.step}`);
      await Promise.race([this.untilOver(coordinator), restless]);
    } finally {
      this.over = true;
      calm();
    }
    const result = resultOf(coordinator.process);
    const ledger = auditCommits(coordinator.events(), reference);
    const weightsSha256 = String(result['weightsSha256']);
    const complaints = [...this.complaints, ...ledger.complaints];
    if (coordinator.process.events.at(-1) !== result) {
      complaints.push("the coordinator's last line is not its result");
    }
    if (weightsSha256 !== reference.weightsSha256) {
      complaints.push(`weights ${weightsSha256} instead of ${reference.weightsSha256}`);
    }
    if (result['samples'] !== reference.samples || result['steps'] !== plan.steps) {
      complaints.push(`the result tells of ${result['steps']} steps and ${result['samples']} samples`);
    }
    return {
      steps: plan.steps,
      samples: ledger.samples,
      weightsSha256,
      expectedSha256: reference.weightsSha256,
      complaints,
      coordinatorLives: coordinator.lives.length,
      nodeLives: this.places.reduce((sum, { nodes }) => sum + nodes, 0),
      repeatedSteps: ledger.repeated,
      damages: this.places.reduce((sum, { proxy }) => sum + proxy.damagesDone, 0),
      seconds: (performance.now() - this.begun) / 1000,
    };
  }

  /** Lets one fault after the other happen; those of one place wait for each other. */
  private async disturb(faults: readonly Fault[], coordinator: ChaosCoordinator): Promise<void> {
    const started: Promise<void>[] = [];
    for (const fault of faults) {
      while (coordinator.step < fault.step) await pause(5);
      await pause(fault.offset);
      const owner = fault.kind.startsWith('coordinator') ? coordinator : this.places[fault.slot];
      if (owner === undefined) throw new Error(`there is no place ${fault.slot}`);
      await owner.busy;
      this.say(`step ${coordinator.step}: fault ${fault.number}, ${faultInWords(fault)}`);
      const running = () => !this.over;
      const done =
        owner instanceof ChaosPlace ? owner.suffer(fault, running) : this.strikeCoordinator(owner, fault);
      owner.busy = done.catch((thrown: unknown) => {
        this.failure ??= thrown instanceof Error ? thrown : new Error(String(thrown));
      });
      started.push(owner.busy);
    }
    await Promise.all(started);
  }

  private async strikeCoordinator(coordinator: ChaosCoordinator, fault: Fault): Promise<void> {
    const { process } = coordinator;
    if (fault.kind === 'coordinator-pause') {
      process.kill('SIGSTOP');
      await pause(fault.milliseconds);
      process.kill('SIGCONT');
      return;
    }
    process.kill('SIGKILL');
    await process.ended;
    await pause(fault.milliseconds);
    coordinator.start();
    // A second kill before there is anything to kill would be no fault.
    await coordinator.process.waitFor('start', ({ type }) => type === 'start', stallSeconds);
  }

  private async untilOver(coordinator: ChaosCoordinator): Promise<void> {
    await coordinator.process.ended;
  }

  /** Rejects as soon as something is wrong that waiting will not mend. */
  private watch(): { restless: Promise<never>; calm: () => void } {
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => undefined);
    const timer = setInterval(() => {
      if (this.failure !== null) reject(this.failure);
      const { process, step, busy } = this.coordinator as ChaosCoordinator;
      const ended = process.end;
      if (ended !== null && ended.signal !== 'SIGKILL' && ended.code !== 0) {
        void busy.then(() => reject(process.trouble('ended')));
      }
      if (performance.now() - this.progressAt > stallSeconds * 1000) {
        reject(new Error(`no commit for ${stallSeconds} s after step ${step}`));
      }
    }, 100);
    return { restless: promise, calm: () => clearInterval(timer) };
  }

  /** Ends everything. Nodes may still be at work when the test failed. */
  async close(): Promise<void> {
    this.over = true;
    await this.coordinator?.busy;
    if (this.coordinator) await this.coordinator.process.stop('SIGKILL');
    await Promise.all(this.places.map((place) => place.close()));
  }

  private say(line: string): void {
    const seconds = ((performance.now() - this.begun) / 1000).toFixed(1).padStart(6);
    this.options.log(`${seconds} s  ${line}`);
  }
}
