/** One chaos run: a training that is disturbed by a plan, and has to end like the one that was left alone. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pause, resultOf, trainAlone } from '../helpers/cluster.ts';
import { type JsonLine, parseLine } from '../helpers/lockstep-process.ts';
import { ChaosCoordinator } from './chaos-coordinator.ts';
import { ChaosPlace } from './chaos-nodes.ts';
import { auditCommits, livesOf } from './commit-ledger.ts';
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
/** Steps behind the last fault, and again behind the interruption. */
const closingSteps = 5;

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
  return more.length === 0 ? own : `${own} --recipe='${more.join(' ')}'`;
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
  /** The coordinator was told to end. */
  private finishing = false;
  /** What must not happen, but does not end the run. */
  private readonly complaints: string[] = [];

  constructor(options: ChaosOptions, folder: string) {
    this.options = options;
    this.folder = folder;
  }

  async go(): Promise<ChaosReport> {
    const { seed, faults, threads } = this.options;
    this.say(`seed ${seed}: ${faults} faults`);
    const whole = [...recipe, ...this.options.recipe];
    const out = join(this.folder, 'run');
    const coordinator = new ChaosCoordinator(
      { folder: this.folder, out, recipe: whole, threads, checkpointEvery },
      () => (this.progressAt = performance.now()),
    );
    this.coordinator = coordinator;
    coordinator.start();
    for (let slot = 0; slot < shape.nodes + shape.guests; slot++) {
      const port = () => coordinator.port;
      const place = await ChaosPlace.open(slot, port, this.folder, (trouble) => {
        this.say(trouble);
        this.complaints.push(trouble);
      });
      this.places.push(place);
      if (slot < shape.nodes) place.start();
    }
    const { restless, calm } = this.watch();
    let steps: number;
    try {
      await Promise.race([this.disturb(planFaults(seed, faults, shape), coordinator), restless]);
      this.say(`all ${faults} faults done at step ${coordinator.step}`);
      steps = await Promise.race([this.finish(coordinator), restless]);
    } finally {
      this.over = true;
      calm();
    }
    this.say(`the end at step ${steps}; the same undisturbed`);
    const reference = await trainAlone([...whole, '--steps', String(steps)], this.folder);
    const result = resultOf(coordinator.process);
    const ledger = auditCommits(coordinator.events(), reference);
    const weightsSha256 = String(result['weightsSha256']);
    const kept = auditCommits(livesOf(await this.keptLog(out)), reference);
    const complaints = [
      ...this.complaints,
      ...ledger.complaints,
      ...kept.complaints.map((complaint) => `events.jsonl: ${complaint}`),
    ];
    if (coordinator.process.events.at(-1) !== result) {
      complaints.push("the coordinator's last line is not its result");
    }
    if (weightsSha256 !== reference.weightsSha256) {
      complaints.push(`weights ${weightsSha256} instead of ${reference.weightsSha256}`);
    }
    if (result['samples'] !== reference.samples || result['steps'] !== steps) {
      complaints.push(`the result tells of ${result['steps']} steps and ${result['samples']} samples`);
    }
    return {
      steps,
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
      const due = coordinator.commits + fault.gap;
      while (coordinator.commits < due) await pause(5);
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

  /**
   * How many steps there are until all faults have happened depends on the machine. So the run has no end until
   * then: it is interrupted, and goes on for a few steps more as one that has. @returns the steps of the whole
   */
  private async finish(coordinator: ChaosCoordinator): Promise<number> {
    const due = coordinator.commits + closingSteps;
    while (coordinator.commits < due) await pause(5);
    this.finishing = true;
    const interrupted = coordinator.process;
    await interrupted.stop('SIGINT', stallSeconds);
    const done = interrupted.last('result')?.['steps'];
    if (typeof done !== 'number') throw interrupted.trouble('was interrupted and ended without a result');
    coordinator.start(done + closingSteps);
    await coordinator.process.ended;
    return done + closingSteps;
  }

  /** The run's own log; of a long run the older half lies beside it. */
  private async keptLog(out: string): Promise<JsonLine[]> {
    const older = await readFile(join(out, 'events.1.jsonl'), 'utf8').catch(() => '');
    const text = older + (await readFile(join(out, 'events.jsonl'), 'utf8'));
    const lines = text.split('\n').filter((line) => line !== '');
    return lines.map((line) => {
      const event = parseLine(line);
      if (event === null) this.complaints.push(`a line of events.jsonl is no event: ${line.slice(0, 200)}`);
      return event ?? { type: 'none' };
    });
  }

  /** Rejects as soon as something is wrong that waiting will not mend. */
  private watch(): { restless: Promise<never>; calm: () => void } {
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => undefined);
    const timer = setInterval(() => {
      if (this.failure !== null) reject(this.failure);
      const { process, step, busy } = this.coordinator as ChaosCoordinator;
      const ended = process.end;
      if (ended !== null && ended.signal !== 'SIGKILL' && ended.code !== 0 && !this.finishing) {
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
