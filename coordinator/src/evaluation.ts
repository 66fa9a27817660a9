/** Accuracy on a split: forward passes with running statistics, by everybody who computes. */
import type { Dataset, SplitName } from '@lockstep/worker/data/dataset.ts';
import { evaluationShard } from '@lockstep/worker/rank/run-shape.ts';
import type { Checkpoint } from './checkpoint/checkpoint.ts';
import type { Workforce } from './cluster/workforce.ts';
import { type ClassFigures, classFigures, confusionMatrix } from './metrics/confusion.ts';
import type { RunListener } from './metrics/events.ts';
import type { Truth } from './reduce/truth.ts';
import { openSession } from './session.ts';

export interface SplitFigures {
  readonly samples: number;
  /** Mean over the samples. */
  readonly loss: number;
  readonly accuracy: number;
  /** `[samples]`: the predicted class of each. */
  readonly predictions: Uint8Array;
}

/** Evaluates the truth on a split. The order of the sums is that of the samples. */
export async function evaluateSplit(
  truth: Truth,
  workforce: Workforce,
  dataset: Dataset,
  split: SplitName,
  onProgress: (done: number, total: number) => void,
): Promise<SplitFigures> {
  const { count } = dataset[split];
  const { step, side } = truth;
  const starts = Array.from({ length: Math.ceil(count / evaluationShard) }, (_, i) => i * evaluationShard);
  let done = 0;
  const reports = await workforce.evaluate(
    starts.map((from) => ({
      ...({ kind: 'evaluation', step, side, split, from } as const),
      count: Math.min(evaluationShard, count - from),
    })),
    () => {
      done += 1;
      onProgress(Math.min(count, done * evaluationShard), count);
    },
  );
  const predictions = new Uint8Array(count);
  let lossSum = 0;
  let correct = 0;
  for (const report of reports) {
    predictions.set(report.predictions, report.from);
    lossSum += report.lossSum;
    correct += report.correct;
  }
  return { samples: count, loss: lossSum / count, accuracy: correct / count, predictions };
}

export interface EvaluationReport {
  readonly type: 'result';
  /** Path; filled in by the command that read it. */
  readonly checkpoint: string;
  readonly dataset: string;
  readonly samples: number;
  readonly loss: number;
  readonly accuracy: number;
  /** `[true class][predicted class]`. */
  readonly confusion: number[][];
  readonly classes: ClassFigures[];
  readonly weightsSha256: string;
  readonly seconds: number;
}

export interface EvaluationOptions {
  readonly checkpoint: Checkpoint;
  readonly dataset: Dataset;
  readonly threads: number;
}

/**
 * Evaluates a checkpoint on the test split of a data set.
 *
 * @throws LockstepError as `openSession`; MODEL_INVALID when the images do not fit the model
 */
export async function evaluateCheckpoint(
  { checkpoint, dataset, threads }: EvaluationOptions,
  listen: RunListener,
): Promise<EvaluationReport> {
  const begun = performance.now();
  const session = await openSession({ recipe: checkpoint.recipe, dataset, threads });
  try {
    const { truth, workforce } = session;
    truth.restore(checkpoint.weights, [], checkpoint.step, checkpoint.optimizerSteps);
    const figures = await evaluateSplit(truth, workforce, dataset, 'test', (done, total) => {
      listen({ type: 'evaluation-progress', done, total });
    });
    const { samples, loss, accuracy, predictions } = figures;
    const confusion = confusionMatrix(dataset.test.labels, predictions, dataset.classes.length);
    return {
      type: 'result',
      checkpoint: '',
      dataset: dataset.name,
      samples,
      loss,
      accuracy,
      confusion,
      classes: classFigures(confusion, dataset.classes),
      weightsSha256: truth.weightsSha256(),
      seconds: (performance.now() - begun) / 1000,
    };
  } finally {
    await session.close();
  }
}
