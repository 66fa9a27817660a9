/**
 * One evaluation, piece by piece, by everybody who is there: the nodes, and the ranks of this process where they
 * compute or where nobody else can. The reports come back in the order of the pieces, so sums over them do not depend
 * on who made them.
 */
import type { EvaluationReport, EvaluationTask } from '@lockstep/worker/rank/tasks.ts';
import { decideEvaluation, dueAfter, type EvaluationHand, type OpenPiece } from './evaluation-plan.ts';
import type { Evaluator, Member } from './member.ts';

export interface EvaluationSetup {
  readonly tasks: readonly EvaluationTask[];
  /** Everybody who is there; those without an evaluator are passed over. */
  readonly members: () => Iterable<Pick<Member, 'id' | 'name' | 'ranks' | 'fit' | 'evaluator'>>;
  readonly own: OwnRanks;
  /** Number of a new assignment: ascending over the run. */
  readonly nextId: () => number;
  /** Told what was decided, and why. */
  readonly decide: (reason: string) => void;
  /** A piece is done; called once for each. */
  readonly onDone: () => void;
  readonly now?: () => number;
}

/** The ranks of this process. */
export interface OwnRanks {
  readonly ranks: number;
  /** Whether they take part, or only do what nobody else can. */
  readonly computes: boolean;
  /** @throws LockstepError RANK_FAILED */
  readonly evaluate: (task: EvaluationTask) => Promise<EvaluationReport>;
}

/** Who has a piece. */
interface Holder {
  readonly id: number;
  readonly assignment: number;
  /** Null for the ranks of this process. */
  readonly evaluator: Evaluator | null;
  /** Milliseconds. */
  readonly since: number;
}

interface Piece {
  readonly task: EvaluationTask;
  readonly failed: number[];
  holders: Holder[];
  done: { readonly by: number; readonly report: EvaluationReport } | null;
}

/** Most pieces at one node: with the work of a step they stay below what it accepts. */
const mostRoom = 128;
/** Id of the ranks of this process among the members. */
const ownId = 0;

export class EvaluationRound {
  private readonly setup: EvaluationSetup;
  private readonly pieces: readonly Piece[];
  private readonly ended = Promise.withResolvers<void>();
  private readonly now: () => number;
  private readonly names = new Map([[ownId, 'coordinator']]);
  private readonly running = new Set<Promise<void>>();
  /** Members whose pieces others had to do, and that have not been heard of since. */
  private readonly late = new Set<number>();
  /** Seconds that pieces were out. */
  private readonly taken: number[] = [];
  private told = 0;
  private over = false;

  constructor(setup: EvaluationSetup) {
    this.setup = setup;
    this.now = setup.now ?? (() => performance.now());
    this.pieces = setup.tasks.map((task) => ({ task, failed: [], holders: [], done: null }));
  }

  /** @returns the reports in the order of the tasks. @throws LockstepError RANK_FAILED */
  async run(): Promise<EvaluationReport[]> {
    try {
      this.distribute();
      await this.ended.promise;
      // A rank that is still at a piece that came from elsewhere would be in the way of the next step.
      await Promise.all(this.running);
    } finally {
      for (const piece of this.pieces) this.callOff(piece, 'the evaluation is over');
    }
    this.setup.decide(`evaluated ${this.pieces.length} pieces: ${this.shares()}`);
    return this.pieces.map(({ done }) => done?.report as EvaluationReport);
  }

  /** Gives out what nobody has, and what is overdue once more. Called whenever something has changed, and on ticks. */
  distribute(): void {
    this.over ||= this.pieces.every(({ done }) => done !== null);
    if (this.over) return this.ended.resolve();
    const now = this.now();
    const open: OpenPiece[] = [];
    for (const [piece, { done, holders, failed }] of this.pieces.entries()) {
      if (done !== null) continue;
      const ages = holders.map(({ id, since }) => ({ id, age: (now - since) / 1000 }));
      open.push({ piece, holders: ages, failed });
    }
    const evaluators = new Map<number, Evaluator>();
    for (const { piece, id, again } of decideEvaluation(open, this.hands(evaluators), dueAfter(this.taken))) {
      const chosen = this.pieces[piece] as Piece;
      if (again !== null) {
        const { from } = chosen.task;
        this.setup.decide(`images from ${from} on: ${again}; they go to ${this.names.get(id)} too`);
        for (const holder of chosen.holders) this.late.add(holder.id);
      }
      this.give(chosen, id, evaluators.get(id) ?? null);
    }
  }

  /**
   * A member is gone, or what it does is worth nothing.
   *
   * @param distrust its results so far are worth nothing either
   */
  forget(id: number, reason: string, distrust = false): void {
    if (this.over) return;
    let lost = 0;
    for (const piece of this.pieces) {
      const kept = piece.holders.filter((holder) => holder.id !== id);
      if (kept.length < piece.holders.length && piece.done === null) lost += 1;
      for (const holder of piece.holders)
        if (holder.id === id) holder.evaluator?.takeBack(holder.assignment, reason);
      piece.holders = kept;
      if (!distrust || piece.done?.by !== id) continue;
      piece.done = null;
      lost += 1;
    }
    if (lost > 0) {
      this.setup.decide(
        `${lost} pieces of the evaluation go from ${this.names.get(id)} to others: ${reason}`,
      );
    }
    this.distribute();
  }

  private hands(evaluators: Map<number, Evaluator>): EvaluationHand[] {
    const { own, members, tasks } = this.setup;
    const outOf = (id: number): number =>
      this.pieces.filter(({ holders }) => holders.some((holder) => holder.id === id)).length;
    const hands: EvaluationHand[] = [];
    // No more than the ranks can be at: nothing is gained by a queue in this process.
    const { ranks } = own;
    hands.push({
      id: ownId,
      name: 'coordinator',
      ranks,
      room: ranks,
      out: outOf(ownId),
      late: false,
      reserve: !own.computes,
    });
    for (const { id, name, ranks: theirs, fit, evaluator } of members()) {
      if (evaluator === undefined || !fit || !evaluator.has(tasks[0]?.step ?? 0)) continue;
      this.names.set(id, name);
      evaluators.set(id, evaluator);
      const room = Math.min(mostRoom, 2 * theirs);
      const late = this.late.has(id);
      hands.push({ id, name, ranks: theirs, out: outOf(id), room, late, reserve: false });
    }
    return hands;
  }

  private give(piece: Piece, id: number, evaluator: Evaluator | null): void {
    const assignment = evaluator === null ? 0 : this.setup.nextId();
    const holder: Holder = { id, assignment, evaluator, since: this.now() };
    piece.holders.push(holder);
    if (evaluator === null) {
      const work = this.setup.own.evaluate(piece.task).then(
        (report) => this.take(piece, holder, report),
        (thrown: unknown) => this.ended.reject(thrown),
      );
      this.running.add(work);
      void work.finally(() => this.running.delete(work));
      return;
    }
    evaluator.give(assignment, piece.task, {
      onReport: (report) => this.take(piece, holder, report),
      onFailure: (reason) => this.fail(piece, holder, reason),
    });
  }

  private take(piece: Piece, holder: Holder, report: EvaluationReport): void {
    piece.holders = piece.holders.filter((other) => other !== holder);
    this.late.delete(holder.id);
    if (piece.done === null) {
      piece.done = { by: holder.id, report };
      this.taken.push((this.now() - holder.since) / 1000);
      this.callOff(piece, 'somebody else was faster');
      // A piece that was distrusted and is done again is no news.
      if (this.pieces.filter(({ done }) => done !== null).length > this.told) {
        this.told += 1;
        this.setup.onDone();
      }
    }
    this.distribute();
  }

  private fail(piece: Piece, holder: Holder, reason: string): void {
    piece.holders = piece.holders.filter((other) => other !== holder);
    piece.failed.push(holder.id);
    const { from } = piece.task;
    this.setup.decide(`images from ${from} on go to others: ${this.names.get(holder.id)}: ${reason}`);
    this.distribute();
  }

  /** Whoever has the piece need not finish it; a rank of this process cannot be stopped. */
  private callOff(piece: Piece, reason: string): void {
    for (const { evaluator, assignment } of piece.holders) evaluator?.takeBack(assignment, reason);
    piece.holders = piece.holders.filter(({ evaluator }) => evaluator === null);
  }

  private shares(): string {
    const counts = new Map<number, number>();
    for (const { done } of this.pieces) if (done) counts.set(done.by, (counts.get(done.by) ?? 0) + 1);
    return [...counts].map(([id, count]) => `${this.names.get(id)} ${count}`).join(', ');
  }
}
