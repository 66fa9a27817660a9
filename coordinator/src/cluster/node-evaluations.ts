/** Pieces of an evaluation at one node: `evaluate` goes out, and what comes back is checked before it counts. */
import type { NodeMessage } from '@lockstep/shared/protocol/messages.ts';
import { noteEvaluating, noteRevoked } from '@lockstep/shared/protocol/node-guard.ts';
import type { Dataset } from '@lockstep/worker/data/dataset.ts';
import type { EvaluationTask } from '@lockstep/worker/rank/tasks.ts';
import { evaluationTrouble } from './evaluation-plan.ts';
import type { Evaluator, PieceEvents } from './member.ts';
import type { NodeLink } from './node-link.ts';
import type { WeightsBroadcast } from './weights-broadcast.ts';

export class NodeEvaluations implements Evaluator {
  private readonly link: NodeLink;
  private readonly weights: WeightsBroadcast;
  private readonly dataset: Dataset;
  private readonly sendRest: () => void;
  private readonly pieces = new Map<
    number,
    { readonly task: EvaluationTask; readonly events: PieceEvents }
  >();

  /** @param sendRest sends what the node lacks of the newest weights */
  constructor(link: NodeLink, weights: WeightsBroadcast, dataset: Dataset, sendRest: () => void) {
    this.link = link;
    this.weights = weights;
    this.dataset = dataset;
    this.sendRest = sendRest;
  }

  /** Every node is sent the parameters of every commit, whether it had work in the step or not; the rest when it needs it. */
  has(step: number): boolean {
    return this.weights.step === step;
  }

  give(assignment: number, task: EvaluationTask, events: PieceEvents): void {
    const { step, split, from, count } = task;
    this.pieces.set(assignment, { task, events });
    this.sendRest();
    this.link.guard = noteEvaluating(this.link.guard, { assignment, step, count });
    this.link.send({ type: 'evaluate', assignment, step, split, from, count });
  }

  takeBack(assignment: number, reason: string): void {
    if (!this.pieces.delete(assignment)) return;
    this.link.guard = noteRevoked(this.link.guard, assignment);
    this.link.send({ type: 'revoke', assignment, reason });
  }

  /** A result that passed the guard. */
  take({ assignment, lossSum, correct }: NodeMessage<'evaluation-done'>, payload: Uint8Array): void {
    const piece = this.pieces.get(assignment);
    if (piece === undefined) return;
    const { from, count, split } = piece.task;
    const predictions = new Int32Array(payload.buffer, payload.byteOffset, payload.byteLength / 4);
    const labels = this.dataset[split].labels.subarray(from, from + count);
    const wrong = evaluationTrouble({ lossSum, correct }, predictions, labels, this.dataset.classes.length);
    // Left in its place: the connection ends, and with it the piece goes to somebody else.
    if (wrong !== null) return this.link.drop('MESSAGE_INVALID', `an evaluation came back with ${wrong}`);
    this.pieces.delete(assignment);
    piece.events.onReport({ kind: 'evaluation', from, lossSum, correct, predictions: [...predictions] });
  }

  /** The node could not do it. @returns false when it is none of these pieces */
  fail(assignment: number, reason: string): boolean {
    const piece = this.pieces.get(assignment);
    this.pieces.delete(assignment);
    piece?.events.onFailure(reason);
    return piece !== undefined;
  }

  clear(): void {
    this.pieces.clear();
  }
}
