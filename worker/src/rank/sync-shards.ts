/**
 * Batch-norm mode `sync` on a rank: the shards of a task advance together, segment by segment. Each has its own bay of
 * the arena, so its state stays while the others compute and while the rank waits for the whole batch's totals. A shard
 * whose state is not here is computed from its beginning with the totals that are known: recovery needs nothing else.
 */
import { layOut } from '@lockstep/shared/model/layout.ts';
import type { SyncPoint } from '@lockstep/shared/model/program.ts';
import type { PartProgress } from './part-progress.ts';
import { bayBytesOf } from './run-shape.ts';
import type { ShardReport, SyncReport, SyncTask } from './tasks.ts';
import type { CutProgram, Workbench } from './workbench.ts';

/** How long a rank sleeps at a point before it comes back to ask whether anybody still computes the others. */
const totalsMilliseconds = 20_000;

type Member = SyncTask['shards'][number];

/** A shard in the arena. */
interface Bay {
  readonly shift: number;
  meeting: number;
  member: Member | null;
  program: CutProgram | null;
  /** The segment that comes next. */
  next: number;
  loadSeconds: number;
  computeSeconds: number;
}

export class SyncShards {
  private readonly bench: Workbench;
  private readonly parts: PartProgress;
  private readonly bays: Bay[] = [];
  private bayBytes = 0;

  constructor(bench: Workbench, parts: PartProgress) {
    this.bench = bench;
    this.parts = parts;
  }

  /** The arena has been used for something else. */
  forget(): void {
    for (const bay of this.bays) bay.member = null;
  }

  run(task: SyncTask): SyncReport {
    const { control } = this.bench.store;
    const unfinished = { kind: 'sync', finished: false, shards: [] } as const;
    const members = task.shards.filter(({ samples }) => samples.length > 0);
    const isRevoked = (): boolean =>
      control.isPaused || task.shards.some(({ shard }) => control.isRevoked(shard));
    const points = 2 * layOut(this.bench.setup.model).batchNorms.length;
    for (const { shard, samples, subtree } of task.shards) {
      if (samples.length > 0) continue;
      this.parts.finishEmpty(shard, subtree);
      control.reach(shard, points);
    }
    const bays = this.hold(task, members);
    for (const bay of bays) if (bay.next === 0) this.load(task, bay);
    if (bays.length > 0 && task.awaitWeights && !this.bench.awaitWeights(task.step, task.side, isRevoked)) {
      return unfinished;
    }
    for (let segment = 0; segment <= points; segment++) {
      const behind = bays.filter(({ next }) => next === segment);
      if (behind.length === 0) continue;
      const waited = performance.now();
      // Whoever is waited for may need other weights first.
      if (control.knownTotals < segment) this.bench.letGo();
      control.waitUntil(() => control.knownTotals >= segment || isRevoked(), totalsMilliseconds);
      this.bench.account('waiting for the batch', waited);
      if (control.knownTotals < segment) return unfinished;
      for (const bay of behind) this.advance(task, bay);
      control.tell();
    }
    this.bench.letGo();
    const reports = task.shards.map((member) => this.report(member, bays));
    this.forget();
    return { kind: 'sync', finished: true, shards: reports };
  }

  /** The bays of a task's shards: with the state of this meeting where there is one, else at the beginning. */
  private hold(task: SyncTask, members: readonly Member[]): Bay[] {
    const { ownAt, ownBytes } = this.bench.setup.hall;
    const wanted = new Set(members.map(({ shard }) => shard));
    const isHeld = (bay: Bay): boolean =>
      bay.member !== null && bay.meeting === task.meeting && wanted.has(bay.member.shard);
    const held = new Map(this.bays.filter(isHeld).map((bay) => [bay.member?.shard, bay]));
    const free = this.bays.filter((bay) => !isHeld(bay));
    return members.map((member) => {
      const known = held.get(member.shard);
      if (known) {
        known.member = member;
        return known;
      }
      const { pool } = this.bench.program('train', member.samples.length, {
        batchSamples: task.batchSamples,
        shift: 0,
      }).regions;
      this.bayBytes ||= bayBytesOf(this.bench.setup.recipe, this.bench.setup.model, this.bench.setup.dataset);
      let bay = free.shift();
      if (!bay) {
        bay = {
          shift: this.bays.length * this.bayBytes,
          meeting: 0,
          member: null,
          program: null,
          next: 0,
          loadSeconds: 0,
          computeSeconds: 0,
        };
        if (pool + bay.shift + this.bayBytes > ownAt + ownBytes)
          throw new Error(`no room for ${members.length} shards`);
        this.bays.push(bay);
      }
      const place = { batchSamples: task.batchSamples, shift: bay.shift };
      const program = this.bench.program('train', member.samples.length, place);
      Object.assign(bay, {
        meeting: task.meeting,
        member,
        program,
        next: 0,
        loadSeconds: 0,
        computeSeconds: 0,
      });
      return bay;
    });
  }

  private load(task: SyncTask, bay: Bay): void {
    const begun = performance.now();
    const { dataset, recipe } = this.bench.setup;
    const { seed, augmentation } = recipe;
    const { samples } = bay.member as Member;
    this.bench.load(bay.program as CutProgram, {
      split: dataset.train,
      samples,
      augmentation,
      seed,
      epoch: task.epoch,
    });
    bay.loadSeconds += (performance.now() - begun) / 1000;
  }

  /** Runs a shard's next segment, given the total in front of it, and leaves what the shard adds to the point behind it. */
  private advance(task: SyncTask, bay: Bay): void {
    const begun = performance.now();
    const { bench } = this;
    const { store } = bench;
    const program = bay.program as CutProgram;
    const { shard, subtree } = bay.member as Member;
    const segment = bay.next;
    bench.takeWeights(task.step, task.side, program);
    const before = program.points[segment - 1];
    if (before) {
      const { batchMoments, batchSums } = program.regions;
      const [which, region] =
        before.direction === 'forward' ? ([0, batchMoments] as const) : ([1, batchSums] as const);
      this.pairs(region, before).set(within(store.batchTotals(which), before));
    }
    bench.execute(program.segments[segment] ?? []);
    if (2 * segment > program.points.length) bench.midway?.();
    const point = program.points[segment];
    if (point) {
      const { moments, sums } = program.regions;
      const isForward = point.direction === 'forward';
      const own = isForward ? store.moments(shard) : store.sums(shard);
      within(own, point).set(this.pairs(isForward ? moments : sums, point));
    }
    const done = (point?.calls ?? Number.POSITIVE_INFINITY) - program.forward.length;
    const doneBefore = (before?.calls ?? 0) - program.forward.length;
    for (const [part, { calls }] of program.parts.entries()) {
      if (calls <= Math.max(0, doneBefore) || calls > done) continue;
      // In mode `sync` a piece is a part.
      this.parts.take(program.pieces.slice(part, part + 1), shard);
      this.parts.pass(part, shard, subtree);
    }
    bay.next = segment + 1;
    bay.computeSeconds += (performance.now() - begun) / 1000;
    store.control.reach(shard, segment + 1);
  }

  /** The float64 pairs of a point's channels in a region of the arena. */
  private pairs(region: number, { channel, channels }: SyncPoint): Float64Array {
    return this.bench.arena.float64(region + 16 * channel, 2 * channels);
  }

  private report({ shard, samples }: Member, bays: readonly Bay[]): ShardReport {
    const bay = bays.find(({ member }) => member?.shard === shard);
    const seconds = { loadSeconds: bay?.loadSeconds ?? 0, computeSeconds: bay?.computeSeconds ?? 0 };
    if (!bay) return { kind: 'shard', shard, samples: 0, lossSum: 0, correct: 0, ...seconds };
    const totals = (bay.program as CutProgram).regions.totals;
    const [lossSum = Number.NaN, correct = 0] = this.bench.arena.float64(totals, 2);
    return { kind: 'shard', shard, samples: samples.length, lossSum, correct, ...seconds };
  }
}

/** The pairs of a point's channels among those of all batch-norms. */
function within(all: Float64Array, { channel, channels }: SyncPoint): Float64Array {
  return all.subarray(2 * channel, 2 * (channel + channels));
}
