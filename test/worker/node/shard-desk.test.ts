/** A desk with real ranks: wrong weights that come again, for the same step, and shards that ranks have in hand. */
import { createHash } from 'node:crypto';
import { initialise } from '@lockstep/shared/model/initialisation.ts';
import { decodeFrame } from '@lockstep/shared/protocol/frame.ts';
import { defaultLimits } from '@lockstep/shared/protocol/limits.ts';
import type { NodeToCoordinator } from '@lockstep/shared/protocol/messages.ts';
import { parseRecipe, type Recipe } from '@lockstep/shared/recipe.ts';
import { Outbox } from '@lockstep/worker/node/outbox.ts';
import { tasksPerRank } from '@lockstep/worker/rank/tasks-in-hand.ts';
import { outboxCount, ShardDesk } from '@lockstep/worker/node/shard-desk.ts';
import { compileKernels } from '@lockstep/worker/rank/kernel-file.ts';
import { type RankHost, startHost } from '@lockstep/worker/rank/rank-host.ts';
import test from 'ava';
import { smallDataset } from '../../helpers/small-run.ts';

const dataset = smallDataset(64, 12);
const shards = 4;
const whole = { from: 0, width: shards };

/** A desk whose coordinator is this test. */
class Bench {
  readonly desk: ShardDesk;
  /** Types of what was sent, with their assignments. */
  readonly sent: { readonly type: string; readonly assignment: number; readonly begun?: number }[] = [];
  private readonly gradient: Float32Array;
  private readonly unanswered = new Set<number>();
  private wake: () => void = () => {};
  private next = 1;

  constructor(recipe: Recipe, host: RankHost) {
    this.gradient = new Float32Array(host.layout.parameterCount);
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

  /**
   * Gives out the whole step.
   *
   * @param answered whether its batch-norm points become totals: never those of a node whose hash is wrong, for that comes first
   * @returns its assignment
   */
  assign(step: number, answered = true): number {
    const assignment = this.next++;
    if (!answered) this.unanswered.add(assignment);
    this.gradient.fill(Number.NaN);
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
    return createHash('sha256').update(this.gradient).digest('hex');
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
      const { from, to } = message;
      this.gradient.set(new Float32Array(payload.buffer, payload.byteOffset, to - from), from);
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

async function withHost(
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

for (const batchNorm of ['shard', 'sync'] as const) {
  const given = { model: 'resnet8', dataset: 'synthetic', batchSize: 32, shardsPerStep: shards } as const;
  const recipe = parseRecipe({ ...given, batchNorm });

  test.serial(
    `${batchNorm}: weights that diverged are forgotten, packed ones too, and those that follow count`,
    (t) =>
      withHost(recipe, 2, async (host) => {
        const right = initialise(host.layout, 1);
        const expected = new Map<number, string>();
        const expectedAt = (step: number): string => expected.get(step) ?? 'never computed';
        const reference = new Bench(recipe, host);
        for (const step of [3, 4]) {
          reference.weights(step, right);
          expected.set(step, await reference.done(reference.assign(step)));
        }
        reference.desk.close();
        await reference.desk.idle();

        // One bit of a weight that ranks transform once a step: of the first convolution.
        const wrong = Float32Array.from(right);
        const bits = new Uint32Array(wrong.buffer);
        bits[5] = (bits[5] as number) ^ (1 << 23);
        const one = new Bench(recipe, host);
        one.weights(3, wrong);
        if (batchNorm === 'shard') {
          t.not(await one.done(one.assign(3)), expectedAt(3), 'the flipped bit makes no difference');
        } else {
          const first = one.assign(3, false);
          await one.has('sync-part', first);
          one.desk.revoke(first);
        }
        one.desk.forgetWeights();
        const again = one.assign(3);
        // Nothing is computed with weights that nobody trusts, though they are still there.
        await new Promise((resolve) => setTimeout(resolve, 100));
        t.is(one.desk.computing, 0);
        t.false(one.sent.some(({ assignment }) => assignment === again));
        one.weights(3, right);
        t.is(await one.done(again), expectedAt(3));
        one.weights(4, right);
        t.is(await one.done(one.assign(4)), expectedAt(4));
        one.desk.close();
        await one.desk.idle();
      }),
  );

  test.serial(`${batchNorm}: forgotten while ranks are at it, taken back and given again`, (t) =>
    withHost(recipe, 2, async (host) => {
      const right = initialise(host.layout, 1);
      const reference = new Bench(recipe, host);
      reference.weights(7, right);
      const expected = await reference.done(reference.assign(7));
      reference.desk.close();
      await reference.desk.idle();
      const wrong = right.map((value) => value * 1.5);
      // Wherever in its work a rank is when it is told.
      for (const pause of [0, 1, 2, 4, 8, 16]) {
        const bench = new Bench(recipe, host);
        bench.weights(7, wrong);
        const first = bench.assign(7, batchNorm === 'shard');
        await new Promise((resolve) => setTimeout(resolve, pause));
        bench.desk.revoke(first);
        bench.desk.forgetWeights();
        const second = bench.assign(7);
        bench.weights(7, right);
        t.is(await bench.done(second), expected, `after ${pause} ms`);
        bench.desk.close();
        await bench.desk.idle();
      }
    }),
  );
}

test.serial(
  'a rank has its next shard in hand: taken back before it begins, given again, or lost with it',
  (t) => {
    const recipe = parseRecipe({
      model: 'resnet8',
      dataset: 'synthetic',
      batchSize: 32,
      shardsPerStep: shards,
    });
    return withHost(recipe, 1, async (host) => {
      const right = initialise(host.layout, 1);
      const bench = new Bench(recipe, host);
      bench.weights(5, right);
      const first = bench.assign(5);
      t.is(bench.desk.computing, 1);
      t.is(bench.desk.queued, shards - 1);
      const seen = [bench.progress(first)];
      const looking = setInterval(() => seen.push(bench.progress(first)), 1);
      const expected = await bench.done(first);
      clearInterval(looking);
      t.is(bench.progress(first), null, 'its last word has been sent');
      const told = seen.filter((begun) => begun !== null);
      t.is(told[0], 1, 'a shard counts when its turn has come');
      t.deepEqual(
        told,
        told.toSorted((a, b) => a - b),
      );
      t.true(Math.max(...told) <= shards);
      for (const pause of [0, 1, 3, 9, 27]) {
        const other = new Bench(recipe, host);
        other.weights(5, right);
        const given = other.assign(5);
        await new Promise((resolve) => setTimeout(resolve, pause));
        other.desk.revoke(given);
        t.is(await other.done(other.assign(5)), expected, `after ${pause} ms`);
        other.desk.close();
        await other.desk.idle();
      }
      for (const how of ['throw', 'exit', 'exit-midway'] as const) {
        const other = new Bench(recipe, host);
        other.weights(5, right);
        await host.pool.failNext(0, how);
        t.is(await other.done(other.assign(5)), expected, how);
        other.desk.close();
        await other.desk.idle();
      }
      bench.desk.close();
      await bench.desk.idle();
    });
  },
);
