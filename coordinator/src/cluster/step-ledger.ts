/** The shards of one step: which are counted, by whom, and what is out. */
import { shardsOf } from '@lockstep/shared/protocol/subtree.ts';
import type { Cover, ShardReport } from '@lockstep/worker/rank/tasks.ts';
import { decideFailure, type Failure, type FailureDecision } from './failure.ts';
import type { Work } from './member.ts';

export class StepLedger {
  readonly step: number;
  readonly works = new Map<number, Work>();
  private readonly reports: (ShardReport | null)[];
  private readonly failures = new Map<number, Failure[]>();
  /** By first shard. */
  private readonly counted = new Map<number, Cover>();
  private left: number;

  /** @param shards numbers of the shards to compute */
  constructor(step: number, shards: readonly number[]) {
    this.step = step;
    this.reports = [];
    for (const shard of shards) this.reports[shard] = null;
    this.left = shards.length;
  }

  get complete(): boolean {
    return this.left === 0;
  }

  /** Reports in the order of the shards. @throws never after `complete` */
  results(): ShardReport[] {
    return this.reports.filter((report) => report !== undefined && report !== null) as ShardReport[];
  }

  isCounted(shard: number): boolean {
    return this.reports[shard] !== null;
  }

  /** Shards of a piece of work that are not counted. */
  openShards({ subtrees }: Pick<Work, 'subtrees'>): number[] {
    return subtrees.flatMap(shardsOf).filter((shard) => !this.isCounted(shard));
  }

  /** Shards that are neither counted nor given to anybody. */
  free(): number[] {
    const out = new Set([...this.works.values()].flatMap(({ subtrees }) => subtrees.flatMap(shardsOf)));
    const all = this.reports.keys();
    return [...all].filter((shard) => this.reports[shard] === null && !out.has(shard));
  }

  /** Subtrees whose sums make the step's, in order. */
  covers(): Cover[] {
    return [...this.counted.values()].toSorted((a, b) => a.from - b.from);
  }

  /**
   * Counts a sum. The first complete result of a shard counts; only a wider sum, which holds it, takes its place.
   *
   * @returns false when all of it is counted already
   */
  count(sum: Cover, reports: readonly ShardReport[]): boolean {
    const { from, width } = sum;
    const shards = shardsOf(sum);
    if (shards.every((shard) => this.isCounted(shard))) return false;
    // Subtrees nest or are apart: whatever is counted of it lies inside it.
    for (const cover of this.counted.values()) {
      if (cover.from >= from && cover.from < from + width) this.counted.delete(cover.from);
    }
    this.left -= shards.filter((shard) => !this.isCounted(shard)).length;
    for (const report of reports) this.reports[report.shard] = report;
    this.counted.set(from, sum);
    return true;
  }

  /** A member could not compute a shard. */
  failed(shard: number, failure: Failure): void {
    this.failures.set(shard, [...(this.failures.get(shard) ?? []), failure]);
  }

  /** How often a shard was given up, by whomever. */
  attempts(shard: number): number {
    return this.failures.get(shard)?.length ?? 0;
  }

  /** What becomes of a shard after its failures. @param present members that may be given work now */
  decide(shard: number, present: readonly number[]): FailureDecision {
    return decideFailure({ shard, failures: this.failures.get(shard) ?? [], present });
  }
}
