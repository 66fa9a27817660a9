/** `train`: a session, the run-loop, and everything that happens after a commit. */
import { stateNames } from '@lockstep/shared/optimizer/rule.ts';
import { type Recipe, recipeSha256 } from '@lockstep/shared/recipe.ts';
import type { Dataset } from '@lockstep/worker/data/dataset.ts';
import { fingerprintOf } from '@lockstep/worker/node/fingerprints.ts';
import { evaluateSplit, type SplitFigures } from './evaluation.ts';
import { otherNumerics, type ResumePoint } from './checkpoint/resume.ts';
import type { WorkEnd } from './cluster/workforce.ts';
import { writeCheckpoint } from './checkpoint/writer.ts';
import { type Baseline, measureBaseline } from './metrics/baseline.ts';
import type { ResultEvent, RunListener } from './metrics/events.ts';
import { TrainingRecord } from './metrics/training-record.ts';
import { lastStepOf, stepsPerEpoch } from '@lockstep/shared/plan/batch-plan.ts';
import { type CommittedStep, runSteps } from './run-loop.ts';
import { openSession, type Session, type WorkforceFactory } from './session.ts';

export interface TrainingOptions {
  readonly recipe: Recipe;
  readonly dataset: Dataset;
  readonly threads: number;
  readonly runDirectory: string;
  readonly resume: ResumePoint | null;
  /** A checkpoint after so many steps; null: by time and at the end of an epoch. */
  readonly checkpointEvery: number | null;
  readonly checkpointSeconds: number;
  /** Checkpoints to keep. */
  readonly keep: number;
  readonly evaluate: boolean;
  readonly baseline: boolean;
  readonly signal: AbortSignal;
  /** Who computes; the threads of this process unless somebody says otherwise. */
  readonly workforce?: WorkforceFactory;
}

/** Seconds that the single-thread baseline may take at the end of a run. */
const baselineSeconds = 4;

/**
 * Trains until the recipe's last step or until the signal is raised, and saves what there is.
 *
 * @throws LockstepError; whatever happens, checkpoints already written stay whole
 */
export async function train(options: TrainingOptions, listen: RunListener): Promise<ResultEvent> {
  const { recipe, dataset, threads } = options;
  let step = 0;
  const session = await openSession({
    recipe,
    dataset,
    threads,
    ...(options.workforce === undefined ? {} : { workforce: options.workforce }),
    onLost: (_, shard, reason) => listen({ type: 'rank-lost', step: step + 1, shard, reason }),
  });
  let end: WorkEnd = { reason: 'the run has failed', again: false };
  try {
    const training = new Training(options, session, listen);
    await training.start();
    const run = {
      recipe,
      trainCount: dataset.train.count,
      lastStep: training.lastStep,
      signal: options.signal,
      restsAfter: (steps: number) => training.evaluatesAfter(steps),
    };
    await runSteps({ ...run, workforce: session.workforce, truth: session.truth }, async (committed) => {
      step = committed.plan.step + 1;
      await training.afterCommit(committed);
    });
    const result = await training.finish();
    end = result.interrupted
      ? { reason: 'the coordinator was interrupted', again: true }
      : { reason: 'the run is over', again: false };
    return result;
  } finally {
    await session.close(end);
  }
}

/** What a run does besides computing steps. */
class Training {
  readonly lastStep: number;
  private readonly options: TrainingOptions;
  private readonly session: Session;
  private readonly listen: RunListener;
  private readonly record: TrainingRecord;
  private readonly perEpoch: number;
  private readonly begun = performance.now();
  private numerics = '';
  private savedStep = -1;
  private savedAt = performance.now();
  private savedPath: string | null = null;
  private evaluated: { step: number; figures: SplitFigures } | null = null;

  constructor(options: TrainingOptions, session: Session, listen: RunListener) {
    this.options = options;
    this.session = session;
    this.listen = listen;
    const { recipe, dataset } = options;
    this.lastStep = lastStepOf(recipe, dataset.train.count);
    this.perEpoch = stepsPerEpoch(dataset.train.count, recipe.batchSize);
    this.record = new TrainingRecord(options.resume?.checkpoint ?? null);
  }

  /** Puts the first weights or the checkpoint in place and tells what is going to happen. */
  async start(): Promise<void> {
    const { recipe, dataset, threads, resume } = this.options;
    const { truth, model, layout, kernels, memory } = this.session;
    this.numerics = await fingerprintOf(kernels);
    if (resume) {
      const { checkpoint } = resume;
      const state = stateNames(recipe.optimizer).map((name) => checkpoint.optimizer[name] as Float32Array);
      truth.restore(checkpoint.weights, state, checkpoint.step, checkpoint.optimizerSteps);
      this.savedStep = checkpoint.step;
      this.savedPath = resume.path;
      this.listen({ type: 'notice', text: `Resumed: ${resume.reason}.` });
      const warning = otherNumerics(checkpoint.numerics, this.numerics);
      if (warning !== null) this.listen({ type: 'notice', text: warning });
    } else {
      truth.begin(recipe.seed);
    }
    this.listen({
      type: 'start',
      model: model.title,
      dataset: dataset.title,
      parameters: layout.parameterCount,
      recipeSha256: recipeSha256(recipe),
      threads,
      kernels: kernels.build,
      kernelsReason: kernels.reason,
      batchSize: recipe.batchSize,
      shardsPerStep: recipe.shardsPerStep,
      stepsPerEpoch: this.perEpoch,
      lastStep: this.lastStep,
      fromStep: truth.step,
      resumedFrom: resume?.path ?? null,
      ...memory,
    });
  }

  /** Whether the ranks evaluate between this many steps and the next one. */
  evaluatesAfter(steps: number): boolean {
    return this.options.evaluate && steps % this.perEpoch === 0 && steps < this.lastStep;
  }

  /** Metrics, progress, and a checkpoint when one is due. */
  async afterCommit(committed: CommittedStep): Promise<void> {
    const { truth } = this.session;
    this.listen(this.record.add(committed, this.lastStep - truth.step, this.options.recipe.batchSize));
    if (this.evaluatesAfter(truth.step)) await this.evaluate();
    if (this.checkpointDue(truth.step % this.perEpoch === 0)) await this.save();
  }

  /** Evaluates, saves, measures the baseline and sums up. */
  async finish(): Promise<ResultEvent> {
    const { recipe, threads, signal, dataset } = this.options;
    const { truth, workforce } = this.session;
    const interrupted = truth.step < this.lastStep;
    if (this.savedStep !== truth.step) await this.save();
    if (!interrupted) await this.evaluate();
    let baseline: Baseline | null = null;
    if (this.options.baseline && !signal.aborted && this.record.imagesPerSecond !== null) {
      this.listen({ type: 'notice', text: `Measuring one thread alone, ${baselineSeconds} s.` });
      baseline = await measureBaseline(recipe, dataset.train.count, truth, workforce, baselineSeconds);
      this.listen({ type: 'baseline', ...baseline });
    }
    const { imagesPerSecond } = this.record;
    const result: ResultEvent = {
      type: 'result',
      steps: truth.step,
      epochs: truth.step / this.perEpoch,
      ...this.record.lastEpoch(),
      testAccuracy: this.evaluated?.step === truth.step ? this.evaluated.figures.accuracy : null,
      imagesPerSecond,
      weightsSha256: truth.weightsSha256(),
      recipeSha256: recipeSha256(recipe),
      threads,
      nodes: workforce.nodes,
      seconds: (performance.now() - this.begun) / 1000,
      checkpoint: this.savedPath,
      baselineImagesPerSecond: baseline?.imagesPerSecond ?? null,
      speedup: baseline && imagesPerSecond !== null ? imagesPerSecond / baseline.imagesPerSecond : null,
      interrupted,
    };
    this.listen(result);
    return result;
  }

  /** Pure but for the clock: by steps if asked for, else by time and at the end of an epoch. */
  private checkpointDue(endsEpoch: boolean): boolean {
    const { checkpointEvery, checkpointSeconds } = this.options;
    const { step } = this.session.truth;
    if (checkpointEvery !== null) return step % checkpointEvery === 0;
    return endsEpoch || performance.now() - this.savedAt > checkpointSeconds * 1000;
  }

  private async save(): Promise<void> {
    const { recipe, runDirectory, keep } = this.options;
    const { truth } = this.session;
    const checkpoint = {
      recipe,
      step: truth.step,
      samples: this.record.samples,
      ...truth.views(),
      optimizerSteps: truth.updates,
      weightsSha256: truth.weightsSha256(),
      lossHistory: this.record.lossHistory(),
      numerics: this.numerics,
    };
    const path = await writeCheckpoint(runDirectory, checkpoint, { keep });
    this.savedStep = truth.step;
    this.savedAt = performance.now();
    this.savedPath = path;
    this.listen({ type: 'checkpoint', step: truth.step, path });
  }

  private async evaluate(): Promise<void> {
    if (!this.options.evaluate) return;
    const { truth, workforce } = this.session;
    const { dataset } = this.options;
    const figures = await evaluateSplit(truth, workforce, dataset, 'test', (done, total) => {
      this.listen({ type: 'evaluation-progress', done, total });
    });
    this.evaluated = { step: truth.step, figures };
    const { loss, accuracy, samples } = figures;
    const epoch = Math.ceil(truth.step / this.perEpoch);
    this.listen({ type: 'evaluation', step: truth.step, epoch, loss, accuracy, samples });
  }
}
