import type { Header } from '@lockstep/shared/protocol/frame.ts';
import { defaultLimits, limitTable, limitsWith } from '@lockstep/shared/protocol/limits.ts';
import { type NodeToCoordinator, protocolVersion } from '@lockstep/shared/protocol/messages.ts';
import { decideNumerics } from '@lockstep/shared/protocol/numerics.ts';
import { parseCoordinatorMessage, parseNodeMessage } from '@lockstep/shared/protocol/parse.ts';
import { encodeFrame } from '@lockstep/shared/protocol/frame.ts';
import { exitCodeOf } from '@lockstep/shared/base/errors.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';
import { coordinatorMessages, helloMessage, nodeMessages } from './samples.ts';

const directions = [
  { name: 'node to coordinator', messages: nodeMessages, parse: parseNodeMessage },
  { name: 'coordinator to node', messages: coordinatorMessages, parse: parseCoordinatorMessage },
] as const;

/** Values that fit no field of any message. */
const nonsense = [
  undefined,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  -1.5,
  1e300,
  2n ** 63n,
  'x'.repeat(3000),
  [],
  Array.from({ length: 2000 }, () => 0),
  { evil: true },
  Symbol.iterator,
];

for (const { name, messages, parse } of directions) {
  test(`${name}: a field missing, unknown or nonsensical is refused by name`, (t) => {
    assertProperty(
      fc.property(
        messages as fc.Arbitrary<object>,
        fc.nat(),
        fc.constantFrom(...nonsense),
        (message, pick, value) => {
          const sound = parse(message as Header);
          if (!sound.ok) return false;
          const keys = Object.keys(message);
          const key = keys[pick % keys.length] as string;
          const without = Object.fromEntries(Object.entries(message).filter(([k]) => k !== key));
          // A real number may be any finite one.
          const real = key === 'lossSum' && (value === -1.5 || value === 1e300);
          const wrong = [without, { ...message, extra: 1 }, ...(real ? [] : [{ ...message, [key]: value }])];
          return wrong.every((header) => {
            const parsed = parse(header);
            // `{ evil: true }` has the form of a recipe; what a recipe may hold is for `parseRecipe`.
            if (parsed.ok) return key === 'recipe';
            return parsed.code === 'MESSAGE_INVALID' || parsed.code === 'PROTOCOL_VERSION';
          });
        },
      ),
      1000,
    );
    t.pass();
  });

  test(`${name}: no message of the other direction passes, except those both have`, (t) => {
    const other = name === 'node to coordinator' ? coordinatorMessages : nodeMessages;
    assertProperty(fc.property(other as fc.Arbitrary<object>, (message) => !parse(message as Header).ok));
    t.pass();
  });
}

test('another version is refused by name of both, whatever else it says', (t) => {
  const parsed = parseNodeMessage({ type: 'hello', protocolVersion: protocolVersion + 5, colour: 'green' });
  t.like(parsed, { ok: false, code: 'PROTOCOL_VERSION' });
  if (!parsed.ok)
    t.regex(parsed.reason, new RegExp(`version ${protocolVersion} .*version ${protocolVersion + 5}`));
  t.like(parseCoordinatorMessage({ type: 'welcome', protocolVersion: protocolVersion - 1 }), {
    ok: false,
    code: 'PROTOCOL_VERSION',
  });
  t.like(parseNodeMessage({ ...helloMessage, protocolVersion: 'new' }), {
    ok: false,
    code: 'MESSAGE_INVALID',
  });
});

test('a refusal shows no token', (t) => {
  const parsed = parseNodeMessage({ ...helloMessage, token: 'my-secret'.repeat(100) } as Header);
  t.false(parsed.ok);
  t.notRegex(JSON.stringify(parsed), /my-secret/);
});

test('the largest hello is a tiny frame, and the largest answer fits a header', (t) => {
  const long = '\u{10ffff}'.repeat(64);
  const big = {
    ...helloMessage,
    token: 'ü'.repeat(256),
    name: long,
    fingerprints: { fma: 'c'.repeat(64), mulAdd: 'd'.repeat(64) },
    runtime: { lockstep: long, node: long, platform: long },
  };
  t.true(parseNodeMessage(big as Header).ok);
  t.true(encodeFrame(big as Header).length <= defaultLimits.helloFrameBytes);
  const report = { samples: 65_536, lossSum: 0.1, correct: 65_536, loadSeconds: 0.1, computeSeconds: 0.1 };
  const done: NodeToCoordinator = {
    type: 'subtree-done',
    assignment: Number.MAX_SAFE_INTEGER,
    step: 1e9,
    subtree: 1023,
    shards: Array.from({ length: 1024 }, (_, shard) => ({ shard, ...report })),
  };
  t.true(parseNodeMessage(done as Header).ok);
  t.true(encodeFrame(done as Header).length <= defaultLimits.headerBytes);
});

test('every limit has a unit, an error code and words; overrides replace the value alone', (t) => {
  for (const [name, limit] of Object.entries(limitTable)) {
    t.true(limit.value > 0 && limit.code in exitCodeOf && limit.about.length > 10, name);
  }
  t.is(limitsWith({ silence: 100 }).silence, 100);
  t.is(limitsWith({ silence: 100 }).heartbeatEvery, defaultLimits.heartbeatEvery);
  t.true(defaultLimits.heartbeatEvery * 3 < defaultLimits.silence);
});

test('numerics: equal fingerprints of the run’s arithmetic join, others are told why', (t) => {
  const [a, b] = ['a'.repeat(64), 'b'.repeat(64)];
  t.true(decideNumerics('fma', { fma: a, mulAdd: b }, { fma: a, mulAdd: null }).admit);
  t.true(decideNumerics('mul-add', { fma: a, mulAdd: b }, { fma: b, mulAdd: b }).admit);
  const differ = decideNumerics('fma', { fma: a, mulAdd: b }, { fma: b, mulAdd: b });
  t.like(differ, { admit: false, code: 'NUMERICS_DIFFER' });
  if (!differ.admit) t.regex(differ.advice, /mul-add/);
  const unable = decideNumerics('fma', { fma: a, mulAdd: b }, { fma: null, mulAdd: null });
  t.regex(unable.reason, /cannot compute/);
  t.false(decideNumerics('fma', { fma: null, mulAdd: b }, { fma: null, mulAdd: b }).admit);
});
