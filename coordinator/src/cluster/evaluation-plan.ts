/** Which member evaluates which piece of a split: pure decisions, with time as an argument. */

/** A member that may evaluate. */
export interface EvaluationHand {
  readonly id: number;
  readonly name: string;
  readonly ranks: number;
  /** Pieces that it has. */
  readonly out: number;
  /** Pieces that it may have at a time. */
  readonly room: number;
  /** A piece of its was overdue, and nothing has come from it since: it gets no more. */
  readonly late: boolean;
  /** The ranks of a coordinator that should not compute: they do only what nobody else can. */
  readonly reserve: boolean;
}

/** A piece that is not done. */
export interface OpenPiece {
  readonly piece: number;
  /** Who has it, and for how many seconds. */
  readonly holders: readonly { readonly id: number; readonly age: number }[];
  /** Members that could not do it. */
  readonly failed: readonly number[];
}

export interface EvaluationGift {
  readonly piece: number;
  readonly id: number;
  /** Why somebody has it a second time; null when nobody else has it. */
  readonly again: string | null;
}

/** Seconds after which a piece counts as overdue before any other has come back. */
const firstDue = 10;
/** A piece counts as overdue when it has been out for so many times what others were, and a little more. */
const overdue = { factor: 4, seconds: 0.5 } as const;

/** Seconds after which a piece is overdue. @param taken seconds that pieces were out which have come back */
export function dueAfter(taken: readonly number[]): number {
  if (taken.length === 0) return firstDue;
  const median = taken.toSorted((a, b) => a - b)[taken.length >> 1] as number;
  return overdue.factor * median + overdue.seconds;
}

/**
 * Pieces that nobody has go to whoever has least to do, a few at a time, so that a fast member takes more. Overdue ones
 * go to a member with an idle rank as well: the first result counts, and both are the same.
 *
 * @param pieces in order
 * @param due seconds, as `dueAfter` says
 */
export function decideEvaluation(
  pieces: readonly OpenPiece[],
  hands: readonly EvaluationHand[],
  due: number,
): EvaluationGift[] {
  const out = new Map(hands.map(({ id, out: count }) => [id, count]));
  const load = ({ id, ranks }: EvaluationHand): number => (out.get(id) as number) / ranks;
  const gifts: EvaluationGift[] = [];
  const give = (
    { piece, holders, failed }: OpenPiece,
    room: 'room' | 'ranks',
    again: string | null,
  ): void => {
    const others = hands.filter(({ id }) => !failed.includes(id) && !holders.some((one) => one.id === id));
    const able = others.filter(({ late, reserve }) => !late && !reserve);
    // Whoever is able and busy is waited for: a piece is short.
    const taker = (able.length > 0 ? able : others.filter(({ reserve }) => reserve))
      .filter((hand) => (out.get(hand.id) as number) < hand[room])
      .toSorted((one, two) => load(one) - load(two) || one.id - two.id)[0];
    if (taker === undefined) return;
    out.set(taker.id, (out.get(taker.id) as number) + 1);
    gifts.push({ piece, id: taker.id, again });
  };
  for (const piece of pieces) if (piece.holders.length === 0) give(piece, 'room', null);
  for (const piece of pieces) {
    // Once it has been given again, that attempt has its own time.
    const age = Math.min(...piece.holders.map((holder) => holder.age));
    if (piece.holders.length === 0 || age <= due) continue;
    const why = `has been out for ${age.toFixed(1)} s, longer than ${due.toFixed(1)} s`;
    // A queue is no place for what is late already.
    give(piece, 'ranks', why);
  }
  return gifts;
}

/** What is wrong with a result that a node sent; null when nothing is. The coordinator has the labels. */
export function evaluationTrouble(
  { lossSum, correct }: { readonly lossSum: number; readonly correct: number },
  predictions: ArrayLike<number>,
  labels: ArrayLike<number>,
  classes: number,
): string | null {
  if (!Number.isFinite(lossSum)) return `a loss of ${lossSum}`;
  if (predictions.length !== labels.length) {
    return `${predictions.length} predictions for ${labels.length} samples`;
  }
  let right = 0;
  for (let i = 0; i < labels.length; i++) {
    const predicted = predictions[i] as number;
    if (!Number.isInteger(predicted) || predicted < 0 || predicted >= classes) {
      return `class ${predicted} of ${classes} as a prediction`;
    }
    if (predicted === labels[i]) right += 1;
  }
  return right === correct ? null : `${correct} counted as correct where ${right} of ${labels.length} are`;
}
