/** What a run remembers of its steps: losses, accuracy, speed. */
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { CommittedStep } from '../run-loop.ts';
import type { StepEvent } from './events.ts';
import { Throughput } from './throughput.ts';

export class TrainingRecord {
  /** Samples consumed by committed steps, in all runs that led here. */
  samples: number;
  private readonly losses: number[];
  private readonly throughput = new Throughput();
  /** Sums of the epoch that is running or has just ended. */
  private epoch = { number: -1, samples: 0, loss: 0, correct: 0 };

  /** @param from the checkpoint that the run goes on from */
  constructor(from: Checkpoint | null) {
    this.samples = from?.samples ?? 0;
    this.losses = [...(from?.lossHistory ?? [])];
  }

  /** Mean rate after the warm-up. */
  get imagesPerSecond(): number | null {
    return this.throughput.mean;
  }

  /** Mean loss of each step so far, float32. */
  lossHistory(): Float32Array {
    return Float32Array.from(this.losses);
  }

  /** Takes note of a step and tells of it. */
  add(committed: CommittedStep, stepsLeft: number, batchSize: number): StepEvent {
    const { plan, shards, seconds, decision } = committed;
    const lossSum = shards.reduce((sum, shard) => sum + shard.lossSum, 0);
    const correct = shards.reduce((sum, shard) => sum + shard.correct, 0);
    const loss = lossSum / plan.samples;
    this.samples += plan.samples;
    this.losses.push(loss);
    this.throughput.add(plan.samples, seconds);
    if (this.epoch.number !== plan.epoch)
      this.epoch = { number: plan.epoch, samples: 0, loss: 0, correct: 0 };
    this.epoch.samples += plan.samples;
    this.epoch.loss += lossSum;
    this.epoch.correct += correct;
    return {
      type: 'step',
      step: plan.step + 1,
      epoch: plan.epoch + 1,
      stepInEpoch: plan.stepInEpoch + 1,
      samples: plan.samples,
      loss,
      accuracy: correct / plan.samples,
      learningRate: committed.learningRate,
      seconds,
      imagesPerSecond: this.throughput.current,
      secondsLeft: this.throughput.secondsFor(stepsLeft * batchSize),
      reason: decision.reason,
    };
  }

  /** Loss and accuracy over the samples of the last epoch; null when there was no step. */
  lastEpoch(): { samples: number; loss: number | null; trainAccuracy: number | null } {
    const { samples, loss, correct } = this.epoch;
    if (samples === 0) return { samples: this.samples, loss: null, trainAccuracy: null };
    return { samples: this.samples, loss: loss / samples, trainAccuracy: correct / samples };
  }
}
