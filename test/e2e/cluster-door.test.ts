/** Strangers and liars at a real coordinator: refused with the reason, the run unharmed. */
import { join } from 'node:path';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { lockstep } from '../helpers/command-line.ts';
import {
  endless,
  goesOn,
  interrupt,
  portOf,
  resultOf,
  startCoordinator,
  startNode,
  testToken,
  trainAlone,
} from '../helpers/cluster.ts';
import { endLeftovers } from '../helpers/lockstep-process.ts';
import { FakeNode, fakeHello, type Message } from '../helpers/fake-node.ts';

const shape = ['--model', 'lenet5', '--dataset', 'synthetic', '--batch-size', '64', '--shards', '4'];
const recipe = [...shape, '--steps', '60'];

test.afterEach.always(endLeftovers);

test.serial(
  'wrong token, other version, other numerics, text, noise: refused by name, then the run is trained',
  (t) =>
    withFolder(async (folder) => {
      const alone = await trainAlone(recipe, folder, 1);
      const out = join(folder, 'run');
      // The model has no running statistics: a node that has them all ahead of the commit would answer too early.
      const flags = ['--check-weights-every', '1'];
      const coordinator = startCoordinator({ folder, recipe, threads: 0, minNodes: 1, out, flags });
      const port = await portOf(coordinator);

      const zeros = '0'.repeat(64);
      const refusals: [change: Record<string, unknown>, code: string][] = [
        [{ token: 'another-token' }, 'TOKEN_WRONG'],
        [{ token: null }, 'TOKEN_REQUIRED'],
        [{ protocolVersion: 99 }, 'PROTOCOL_VERSION'],
        [{ fingerprints: { fma: zeros, mulAdd: zeros } }, 'NUMERICS_DIFFER'],
        [{ threads: -1 }, 'MESSAGE_INVALID'],
      ];
      for (const [change, code] of refusals) {
        const fake = await FakeNode.open(port);
        fake.say(await fakeHello(change));
        t.is((await fake.hear('refused'))['code'], code);
        await fake.closed;
      }
      for (const [bytes, code] of [
        ['hello', 'FRAME_MALFORMED'],
        [Uint8Array.from({ length: 100 }, (_, i) => i), 'FRAME_TOO_LARGE'],
        [new Uint8Array(100_000), 'FRAME_TOO_LARGE'],
      ] as const) {
        const fake = await FakeNode.open(port);
        fake.raw(bytes);
        t.is((await fake.hear('refused'))['code'], code);
        await fake.closed;
      }
      const wrong = await lockstep(['join', `ws://127.0.0.1:${port}`, '--token', 'not-the-token', '--json']);
      t.is(wrong.code, 1);
      t.regex(wrong.stderr, /TOKEN_WRONG/);

      const refused = await lockstep(['status', `ws://127.0.0.1:${port}`, '--token', 'not-the-token']);
      t.is(refused.code, 1);
      const status = await lockstep(['status', `ws://127.0.0.1:${port}`, '--token', testToken, '--json']);
      t.deepEqual(status.objects()[0]?.['members'], []);

      startNode({ folder, name: 'honest', port });
      await coordinator.waitFor('result', ({ type }) => type === 'result', 120);
      await coordinator.ended;
      t.is(resultOf(coordinator)['weightsSha256'], alone.weightsSha256);
      const text = coordinator.events.map((event) => JSON.stringify(event)).join('\n');
      t.false(text.includes(testToken));
    }),
);

test.serial('a node that sends a NaN, another size or another step: dropped, its shards recomputed', (t) =>
  withFolder(async (folder) => {
    const out = join(folder, 'run');
    const run = [...shape, ...endless];
    const coordinator = startCoordinator({ folder, recipe: run, threads: 1, minNodes: 1, out });
    const port = await portOf(coordinator);
    const lies: [say: (fake: FakeNode, assign: Message) => void, code: string][] = [
      [
        (fake, { assignment, step }) => {
          const part = { assignment, step, subtree: 0, from: 0, to: 4, dtype: 'f32' };
          fake.say({ type: 'gradient-part', ...part }, Float32Array.of(1, Number.NaN, 0, 0));
        },
        'GRADIENT_INVALID',
      ],
      [
        (fake, { assignment, step }) => {
          const part = { assignment, step, subtree: 0, from: 0, to: 4, dtype: 'f32' };
          fake.say({ type: 'gradient-part', ...part }, Float32Array.of(1, 2));
        },
        'GRADIENT_INVALID',
      ],
      [
        (fake, { assignment, step }) => {
          const part = { assignment, step: Number(step) + 1, subtree: 0, from: 0, to: 1, dtype: 'f32' };
          fake.say({ type: 'gradient-part', ...part }, Float32Array.of(1));
        },
        'GRADIENT_INVALID',
      ],
    ];
    for (const [lie, code] of lies) {
      const fake = await FakeNode.open(port);
      await fake.join(1e6);
      lie(fake, await fake.hear('assign'));
      t.is((await fake.hear('refused'))['code'], code);
      await fake.closed;
    }
    await goesOn(coordinator, 3);
    const { steps, weightsSha256 } = await interrupt(coordinator);
    const alone = await trainAlone([...shape, '--steps', String(steps)], folder, 1);
    t.is(weightsSha256, alone.weightsSha256);
    const codes = coordinator.events.filter(({ type }) => type === 'node-left').map((event) => event['code']);
    t.deepEqual(
      codes,
      lies.map(([, code]) => code),
    );
  }),
);

test.serial(
  'a node whose weights are others is named and sent them again, and dropped the second time',
  (t) =>
    withFolder(async (folder) => {
      const out = join(folder, 'run');
      const run = [...shape, ...endless];
      const flags = ['--check-weights-every', '1'];
      const coordinator = startCoordinator({ folder, recipe: run, threads: 1, minNodes: 1, out, flags });
      const port = await portOf(coordinator);

      const fake = await FakeNode.open(port);
      await fake.join(1);
      fake.onHeard = (message) => {
        // Of the pieces of a step's weights this one is never sent before the hash may be told.
        if (message.type === 'weights' && message['from'] === 0)
          fake.say({ type: 'weights-hash', step: message['step'], sha256: 'f'.repeat(64) });
        if (message.type === 'revoke') fake.say({ type: 'released', assignment: message['assignment'] });
      };
      for (const message of fake.heard) fake.onHeard(message);
      await fake.hear('resynchronise');
      t.is((await fake.hear('refused'))['code'], 'WEIGHTS_DIVERGED');
      startNode({ folder, name: 'honest', port });
      const isHonest = ({ type, name }: { type: string; name?: unknown }) =>
        type === 'node-joined' && name === 'honest';
      await coordinator.waitFor('the honest one', isHonest, 60);
      await goesOn(coordinator, 3);
      const { steps, weightsSha256 } = await interrupt(coordinator);
      const alone = await trainAlone([...shape, '--steps', String(steps)], folder, 1);
      t.is(weightsSha256, alone.weightsSha256);
      t.true(
        coordinator.events.some(({ type, reason }) => type === 'decision' && /\(fake\)/.test(String(reason))),
      );
    }),
);
