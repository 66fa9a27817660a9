/** A desk of a node with real ranks, whose coordinator is a test. */
import { createHash } from 'node:crypto';
import { decodeFrame } from '@lockstep/shared/protocol/frame.ts';
import { defaultLimits } from '@lockstep/shared/protocol/limits.ts';
import type { NodeToCoordinator } from '@lockstep/shared/protocol/messages.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import { Outbox } from '@lockstep/worker/node/outbox.ts';
import { tasksPerRank } from '@lockstep/worker/rank/tasks-in-hand.ts';
import { outboxCount, ShardDesk } from '@lockstep/worker/node/shard-desk.ts';
import { compileKernels } from '@lockstep/worker/rank/kernel-file.ts';
import { type RankHost, startHost } from '@lockstep/worker/rank/rank-host.ts';
import { smallDataset } from './small-run.ts';

const dataset = smallDataset(64, 12);
/** Of a step on the bench. */
export const benchShards = 4;
const whole = { from: 0, width: benchShards };

/** A desk whose coordinator is this test. */
export class DeskBench {
  readonly desk: ShardDesk;
  /** Types of what was sent, with their assignments. */
  readonly sent: { readonly type: string; readonly assignment: number; readonly begun?: number }[] = [];
  /** By assignment. */
  private readonly gradients = new Map<number, Float32Array>();
  private readonly layout: RankHost['layout'];
  private readonly unanswered = new Set<number>();
  private wake: () => void = () => {};
  private next = 1;

  constructor(recipe: Recipe, host: RankHost) {
    this.layout = host.layout;
    const wire = {
      bufferedAmount: 0,
      send: (bytes: Uint8Array, done: () => void): void => {
        this.take(bytes);
        setImmediate(done);
      },
    };
    const setup = {
      recipe,
      trainCount: dataset.train.count,
      host,
      wireDtype: 'f32',
      limits: defaultLimits,
    } as const;
    this.desk = new ShardDesk(setup, new Outbox(wire, 2 ** 20), () => {});
  }

  /** All weights of a step, in two parts. */
  weights(step: number, values: Float32Array): void {
    const middle = Math.floor(values.length / 2);
    for (const [from, to] of [
      [0, middle],
      [middle, values.length],
    ] as const) {
      const part = values.subarray(from, to);
      const bytes = new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
      this.desk.takeWeights(
        { type: 'weights', step, from, to, dtype: 'f32', hash: false },
        Uint8Array.from(bytes),
      );
    }
    this.desk.weightsComplete(step);
  }

  /** The parameters of a step, and nothing else: ranks can compute with them. */
  parameters(step: number, values: Float32Array): void {
    const to = this.layout.parameterCount;
    const bytes = Uint8Array.from(new Uint8Array(values.buffer, values.byteOffset, 4 * to));
    this.desk.takeWeights({ type: 'weights', step, from: 0, to, dtype: 'f32', hash: false }, bytes);
    this.desk.weightsComputable(step);
  }

  /**
   * Gives out the whole step.
   *
   * @param answered whether its batch-norm points become totals: never those of a node whose hash is wrong, for that comes first
   * @returns its assignment
   */
  assign(step: number, answered = true): number {
    const assignment = this.next++;
    if (!answered) this.unanswered.add(assignment);
    this.gradients.set(assignment, new Float32Array(this.layout.parameterCount).fill(Number.NaN));
    this.desk.assign({ type: 'assign', assignment, step, subtrees: [whole] });
    return assignment;
  }

  /** Asks how far an assignment is. @returns shards that are begun; null when nothing is answered */
  progress(assignment: number): number | null {
    const before = this.sent.length;
    this.desk.tellProgress(assignment);
    return this.sent.slice(before).find(({ type }) => type === 'progress')?.begun ?? null;
  }

  async has(type: string, assignment: number): Promise<void> {
    while (!this.sent.some((one) => one.type === type && one.assignment === assignment))
      await new Promise<void>((resolve) => (this.wake = resolve));
  }

  /** Hash of an assignment's gradient, once it is done. */
  async done(assignment: number): Promise<string> {
    await this.has('subtree-done', assignment);
    const gradient = this.gradients.get(assignment) as Float32Array;
    return createHash('sha256').update(gradient).digest('hex');
  }

  private take(bytes: Uint8Array): void {
    const frame = decodeFrame(bytes, defaultLimits, 2 ** 24);
    if (!frame.ok) throw new Error(frame.reason);
    const message = frame.header as NodeToCoordinator;
    if (!('assignment' in message)) return;
    if (message.type === 'failed') throw new Error(message.reason);
    this.sent.push(message);
    const { payload } = frame;
    if (message.type === 'gradient-part') {
      const { from, to, assignment } = message;
      this.gradients
        .get(assignment)
        ?.set(new Float32Array(payload.buffer, payload.byteOffset, to - from), from);
    }
    if (message.type === 'sync-part' && !this.unanswered.has(message.assignment)) {
      // The subtree is the whole batch: what it adds to a point is the total.
      const { step, point } = message;
      const values = Uint8Array.from(payload);
      setImmediate(() => this.desk.takeTotal({ type: 'sync-total', step, point }, values));
    }
    this.wake();
  }
}

/** Ranks for one test. */
export async function withHost(
  recipe: Recipe,
  threads: number,
  use: (host: RankHost) => Promise<void>,
): Promise<void> {
  const module = await compileKernels('fma-narrow');
  const kernels = { build: 'fma-narrow', module, fingerprint: '', reason: 'a test asks for it' } as const;
  const outboxes = outboxCount(threads, recipe);
  const host = await startHost({ recipe, dataset, threads, kernels, state: [], outboxes, tasksPerRank });
  // A rank that computes keeps no process alive.
  const alive = setInterval(() => {}, 1000);
  try {
    await use(host);
  } finally {
    clearInterval(alive);
    await host.pool.close();
  }
}
