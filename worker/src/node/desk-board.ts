/**
 * What the desk of a node and its helpers all look at: the subtrees that are open, the shards that are computed, what
 * has been done so far, and the way out to the coordinator.
 */
import { planStep, type StepPlan } from '@lockstep/shared/plan/batch-plan.ts';
import { encodeFrame } from '@lockstep/shared/protocol/frame.ts';
import type { Limits } from '@lockstep/shared/protocol/limits.ts';
import type {
  CoordinatorMessage,
  NodeToCoordinator,
  Subtree,
  WireDtype,
} from '@lockstep/shared/protocol/messages.ts';
import { shardsOf } from '@lockstep/shared/protocol/subtree.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import type { RankHost } from '../rank/rank-host.ts';
import type { ShardReport } from '../rank/tasks.ts';
import type { Outbox } from './outbox.ts';
import { OutletPool } from './outlet-pool.ts';

export interface DeskSetup {
  readonly recipe: Recipe;
  readonly trainCount: number;
  readonly host: RankHost;
  readonly wireDtype: WireDtype;
  readonly limits: Limits;
}

/** A subtree of an assignment that is not complete. */
export interface OpenSubtree {
  readonly assignment: number;
  readonly index: number;
  readonly step: number;
  readonly subtree: Subtree;
  /** Where its sum is made; null until it is begun. */
  outbox: number | null;
  stopWatching: () => void;
  /** Parts that are on their way. */
  parts: number;
  sent: boolean;
}

type AssignmentMessage = Extract<NodeToCoordinator, { readonly assignment: number }>;

export class DeskBoard {
  readonly setup: DeskSetup;
  readonly outbox: Outbox;
  readonly outlets: OutletPool;
  open: OpenSubtree[] = [];
  /** Step of the task that a rank is at, by shard: two ranks never write one slot. Null: its result is of no use. */
  readonly running = new Map<number, number | null>();
  /** Evaluations that ranks are at and somebody waits for. */
  readonly evaluating = new Set<number>();
  /** Shards of the step whose gradients lie in their slots. */
  readonly reports = new Map<number, ShardReport>();
  step = -1;
  closed = false;
  /** Shards of the step's assignments. */
  private readonly given = new Map<number, readonly number[]>();
  computeSeconds = 0;
  shardsDone = 0;
  samplesDone = 0;
  private plan: StepPlan | null = null;

  constructor(setup: DeskSetup, outbox: Outbox) {
    this.setup = setup;
    this.outbox = outbox;
    this.outlets = new OutletPool(setup.host.store.layout.outboxes ?? 0);
  }

  planOf(step: number): StepPlan {
    if (this.plan?.step !== step) this.plan = planStep(this.setup.recipe, this.setup.trainCount, step);
    return this.plan;
  }

  /** A step begins: nothing of an older one matters. */
  enter(step: number): void {
    this.step = step;
    this.reports.clear();
    this.given.clear();
  }

  /** An assignment of the step is to be computed. */
  add({ assignment, step, subtrees }: CoordinatorMessage<'assign'>): void {
    this.given.set(assignment, subtrees.flatMap(shardsOf));
    for (const [index, subtree] of subtrees.entries()) {
      const stopWatching = (): void => {};
      const state = { outbox: null, stopWatching, parts: 0, sent: false };
      this.open.push({ assignment, index, step, subtree, ...state });
    }
  }

  /** What is open, as it was given; of nothing of it may anything have been sent. */
  assignments(): CoordinatorMessage<'assign'>[] {
    const byAssignment = Map.groupBy(this.open, ({ assignment }) => assignment);
    return [...byAssignment].map(([assignment, open]) => ({
      type: 'assign',
      assignment,
      step: this.step,
      subtrees: open.map(({ subtree }) => subtree),
    }));
  }

  /** Tells the coordinator how far an assignment is, unless its last word is on its way. @param isHeld for later */
  tellProgress(assignment: number, isHeld: boolean): void {
    if (this.closed || (!isHeld && !this.open.some((open) => open.assignment === assignment))) return;
    const { control } = this.setup.host.store;
    const shards = this.given.get(assignment) ?? [];
    const ages = shards.map((shard) => (this.reports.has(shard) ? Infinity : control.sinceBegun(shard)));
    const begun = ages.filter((age) => age !== null);
    // Those that ranks without anything else have been given: their turn has come, though nobody has begun them yet.
    const isAtWork = [...this.running.keys()].some(
      (shard) => control.sinceBegun(shard) !== null && this.reportOf(shard) === null,
    );
    const inHand = shards.filter((shard, i) => ages[i] === null && this.running.has(shard)).length;
    const starting = isAtWork ? 0 : Math.min(inHand, this.setup.host.pool.size);
    const newest = Math.min(...begun);
    const seconds = Number.isFinite(newest) ? newest / 1000 : 0;
    const count = begun.length + starting;
    this.outbox.urgent(encodeFrame({ type: 'progress', assignment, begun: count, seconds }));
  }

  /**
   * What a shard of the step came to; null when it is not computed. Known when its last part is, before the rank has
   * answered: a message that nobody need wait for.
   */
  reportOf(shard: number): ShardReport | null {
    const known = this.reports.get(shard);
    if (known !== undefined) return known;
    // Of another step, or with weights that are wrong, it is of no use.
    const result = this.running.get(shard) === this.step ? this.setup.host.store.result(shard) : null;
    const samples = this.planOf(this.step).shards[shard]?.length ?? 0;
    return result === null ? null : { kind: 'shard', samples, ...result };
  }

  /** A shard is computed: told by the rank's answer, or by what it has left in the store. */
  record(report: ShardReport): void {
    const isNew = !this.reports.has(report.shard);
    this.reports.set(report.shard, report);
    if (!isNew) return;
    this.shardsDone += 1;
    this.samplesDone += report.samples;
  }

  account({ loadSeconds, computeSeconds }: ShardReport): void {
    this.computeSeconds += loadSeconds + computeSeconds;
  }

  /** Nobody writes into the subtree's outbox for its sake any more. */
  letGo(open: OpenSubtree): void {
    open.stopWatching();
    if (open.outbox !== null) this.outlets.release(open.outbox);
    open.outbox = null;
  }

  /** Puts a message about an assignment behind the parts that wait; `released` must not overtake it. */
  say(message: AssignmentMessage, ...payload: ArrayBufferView[]): void {
    if (this.closed) return;
    const frame = encodeFrame(message, ...payload);
    this.outbox.push({ key: keyOf(message.assignment), frame: () => frame });
  }
}

/** Under which an assignment's frames wait in the outbox. */
export function keyOf(assignment: number): string {
  return `assignment ${assignment}`;
}
