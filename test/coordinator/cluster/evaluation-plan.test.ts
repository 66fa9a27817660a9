/** Who evaluates which piece, and which results are believed. */
import {
  decideEvaluation,
  dueAfter,
  type EvaluationHand,
  evaluationTrouble,
  type OpenPiece,
} from '@lockstep/coordinator/cluster/evaluation-plan.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

const hand = (id: number, out = 0, reserve = false, ranks = 1): EvaluationHand => ({
  id,
  name: `m${id}`,
  ranks,
  out,
  room: 2 * ranks,
  late: false,
  reserve,
});
const free = (...pieces: number[]): OpenPiece[] =>
  pieces.map((piece) => ({ piece, holders: [], failed: [] }));
const pairs = (pieces: readonly OpenPiece[], hands: readonly EvaluationHand[], due = 5): number[][] =>
  decideEvaluation(pieces, hands, due).map(({ piece, id }) => [piece, id]);

test('pieces go round, to whoever has least to do, and never more than there is room for', (t) => {
  t.deepEqual(pairs(free(0, 1, 2, 3, 4), [hand(1), hand(2, 1)]), [
    [0, 1],
    [1, 1],
    [2, 2],
  ]);
  t.deepEqual(pairs(free(0, 1, 2), [hand(1), hand(2, 0, false, 4)]), [
    [0, 1],
    [1, 2],
    [2, 2],
  ]);
  t.deepEqual(pairs(free(0), [hand(1, 2)]), []);
});

test('the reserve does what nobody else can, and nothing more', (t) => {
  t.deepEqual(pairs(free(0), [hand(0, 0, true), hand(1)]), [[0, 1]]);
  t.deepEqual(pairs(free(0), [hand(0, 0, true), hand(1, 2)]), []);
  t.deepEqual(pairs(free(0, 1, 2), [hand(0, 0, true)]), [
    [0, 0],
    [1, 0],
  ]);
  const failed = [{ piece: 7, holders: [], failed: [1] }];
  t.deepEqual(pairs(failed, [hand(0, 0, true), hand(1), hand(2)]), [[7, 2]]);
  t.deepEqual(pairs(failed, [hand(0, 0, true), hand(1)]), [[7, 0]]);
  t.deepEqual(pairs(free(0), [hand(0, 0, true), { ...hand(1), late: true }]), [[0, 0]]);
});

test('an overdue piece goes to an idle member as well, to the reserve last, and says why', (t) => {
  const late = (age: number, failed: number[] = []): OpenPiece[] => [
    { piece: 3, holders: [{ id: 1, age }], failed },
  ];
  t.deepEqual(pairs(late(4), [hand(1, 1), hand(2)]), []);
  t.deepEqual(pairs(late(6), [hand(0, 0, true), hand(1, 1), hand(2)]), [[3, 2]]);
  t.deepEqual(pairs(late(6), [hand(0, 0, true), hand(1, 1), hand(2, 1)]), []);
  t.deepEqual(pairs(late(6), [hand(0, 0, true), hand(1, 1)]), [[3, 0]]);
  t.deepEqual(pairs(late(6, [2]), [hand(1, 1), hand(2)]), []);
  t.deepEqual(pairs(late(6), [hand(1, 1)]), []);
  const [gift] = decideEvaluation(late(6), [hand(2)], 5);
  t.is(gift?.again, 'has been out for 6.0 s, longer than 5.0 s');
  // Whoever took it over has its own time.
  const twice = [
    {
      piece: 3,
      holders: [
        { id: 1, age: 60 },
        { id: 2, age: 1 },
      ],
      failed: [],
    },
  ];
  t.deepEqual(pairs(twice, [hand(3)]), []);
});

test('due follows from what pieces took', (t) => {
  t.is(dueAfter([]), 10);
  t.is(dueAfter([1, 100, 2]), 8.5);
});

test('nobody gets more than fits, nothing is given twice, nothing waits while an able member has room', (t) => {
  const hands = fc.uniqueArray(
    fc.record({
      id: fc.integer({ min: 1, max: 6 }),
      ranks: fc.integer({ min: 1, max: 3 }),
      out: fc.nat(8),
      late: fc.boolean(),
    }),
    { selector: ({ id }) => id, maxLength: 5 },
  );
  const pieces = fc.array(
    fc.record({
      holders: fc.uniqueArray(fc.record({ id: fc.nat(6), age: fc.nat(10) }), { selector: ({ id }) => id }),
      failed: fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 4 }),
    }),
    { maxLength: 12 },
  );
  assertProperty(
    fc.property(hands, pieces, (members, list) => {
      const all = [
        hand(0, 0, true),
        ...members.map(({ id, ranks, out, late }) => ({
          ...hand(id, Math.min(out, 2 * ranks), false, ranks),
          late,
        })),
      ];
      const open = list.map((piece, i) => ({ ...piece, piece: i }));
      const gifts = decideEvaluation(open, all, 5);
      const now = new Map(all.map(({ id, out }) => [id, out]));
      for (const { piece, id } of gifts) {
        const { holders, failed } = open[piece] as OpenPiece;
        if (holders.some((holder) => holder.id === id) || failed.includes(id)) return false;
        if (all.find((one) => one.id === id)?.late !== false) return false;
        now.set(id, (now.get(id) as number) + 1);
      }
      if (new Set(gifts.map(({ piece }) => piece)).size !== gifts.length) return false;
      const spare = all.filter(({ id, room, late }) => !late && (now.get(id) as number) < room && id !== 0);
      const waiting = open.filter(
        ({ piece, holders }) => holders.length === 0 && !gifts.some((gift) => gift.piece === piece),
      );
      if (waiting.some(({ failed }) => spare.some(({ id }) => !failed.includes(id)))) return false;
      return all.every(({ id, room }) => (now.get(id) as number) <= room);
    }),
    300,
  );
  t.pass();
});

test('numbers that cannot be are not believed', (t) => {
  const labels = [0, 1, 2, 1];
  const trouble = (lossSum: number, correct: number, predictions: number[]): string | null =>
    evaluationTrouble({ lossSum, correct }, predictions, labels, 3);
  t.is(trouble(1.5, 3, [0, 1, 2, 2]), null);
  t.regex(trouble(Number.NaN, 3, [0, 1, 2, 2]) ?? '', /loss of NaN/);
  t.regex(trouble(Number.POSITIVE_INFINITY, 3, [0, 1, 2, 2]) ?? '', /loss of Infinity/);
  t.regex(trouble(1.5, 4, [0, 1, 2, 2]) ?? '', /4 counted as correct where 3 of 4 are/);
  t.regex(trouble(1.5, -1, [1, 0, 0, 0]) ?? '', /-1 counted/);
  t.regex(trouble(1.5, 3, [0, 1, 2, 3]) ?? '', /class 3 of 3/);
  t.regex(trouble(1.5, 3, [0, 1, 2, -1]) ?? '', /class -1 of 3/);
  t.regex(trouble(1.5, 3, [0, 1, 2]) ?? '', /3 predictions for 4/);
});
