/** Nodes that join properly and then lie: named, worked around, and the run keeps its bits. */
import { join } from 'node:path';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { portOf, resultOf, startCoordinator, startNode, trainAlone } from '../helpers/cluster.ts';
import { FakeNode, type Message } from '../helpers/fake-node.ts';
import { endLeftovers } from '../helpers/lockstep-process.ts';

const lenet = ['--model', 'lenet5', '--dataset', 'synthetic', '--batch-size', '64', '--shards', '4'];
const recipe = [...lenet, '--steps', '60'];
const seconds = 60;

test.afterEach.always(endLeftovers);

async function start(folder: string, threads: number, flags: readonly string[] = [], run = recipe) {
  const out = join(folder, 'run');
  const coordinator = startCoordinator({ folder, recipe: run, threads, minNodes: 1, out, flags });
  return { port: await portOf(coordinator), coordinator };
}

test.serial(
  'a node that gives everything up, again and again, costs its shards a second try and no more',
  (t) =>
    withFolder(async (folder) => {
      const alone = await trainAlone(recipe, folder, 1);
      const { port, coordinator } = await start(folder, 1);
      const fake = await FakeNode.open(port);
      const causes = ['rank-lost', 'not-finite', 'other'];
      const given = { assignments: 0 };
      fake.onHeard = ({ type, assignment }) => {
        if (type === 'assign') {
          const cause = causes[given.assignments++ % causes.length];
          fake.say({ type: 'failed', assignment, cause, reason: 'it says so' });
        }
        if (type === 'revoke') fake.say({ type: 'released', assignment });
      };
      // The fastest of all, if one believes it: every step begins with its shards.
      await fake.join(1e6);
      fake.beat(200);
      await coordinator.ended;
      t.is(resultOf(coordinator)['weightsSha256'], alone.weightsSha256);
      t.true(given.assignments >= 50, `${given.assignments} assignments`);
      t.is(
        fake.heard.find(({ type }) => type === 'refused'),
        undefined,
      );
      const again = coordinator.events.filter(
        ({ type, reason }) =>
          type === 'decision' && /work of fake goes out again: it says so/.test(`${reason}`),
      );
      // Its word may come when somebody else has been asked already, and is then no news.
      t.true(again.length >= 30 && again.length <= given.assignments, `${again.length} decisions`);
    }),
);

type Lie = readonly [name: string, tell: (fake: FakeNode, assign: Message) => void, code: string];

/** A part of the first subtree's gradient, changed. */
function part(fake: FakeNode, { assignment, step }: Message, change: object, values: ArrayBufferView): void {
  const right = { type: 'gradient-part', assignment, step, subtree: 0, from: 0, to: 4, dtype: 'f32' };
  fake.say({ ...right, ...change }, values);
}

const four = new Float32Array(4);
const report = { samples: 16, lossSum: 1, correct: 1, loadSeconds: 0, computeSeconds: 0 };

const lies: readonly Lie[] = [
  ['NaN', (fake, a) => part(fake, a, {}, Float32Array.of(0, Number.NaN, 0, 0)), 'GRADIENT_INVALID'],
  ['infinity', (fake, a) => part(fake, a, {}, Float32Array.of(0, 0, 0, -1 / 0)), 'GRADIENT_INVALID'],
  ['too short', (fake, a) => part(fake, a, {}, new Float32Array(3)), 'GRADIENT_INVALID'],
  ['too long', (fake, a) => part(fake, a, {}, new Float32Array(5)), 'GRADIENT_INVALID'],
  ['other type', (fake, a) => part(fake, a, { dtype: 'bf16' }, new Uint16Array(4)), 'GRADIENT_INVALID'],
  ['past the end', (fake, a) => part(fake, a, { from: 1e8, to: 1e8 + 4 }, four), 'GRADIENT_INVALID'],
  ['backwards', (fake, a) => part(fake, a, { from: 4, to: 4 }, new Float32Array(0)), 'GRADIENT_INVALID'],
  ['next step', (fake, a) => part(fake, a, { step: Number(a['step']) + 1 }, four), 'GRADIENT_INVALID'],
  ['no such subtree', (fake, a) => part(fake, a, { subtree: 3 }, four), 'GRADIENT_INVALID'],
  ['nobody asked', (fake, a) => part(fake, a, { assignment: 999_999 }, four), 'MESSAGE_UNEXPECTED'],
  [
    'twice',
    (fake, a) => {
      part(fake, a, {}, four);
      part(fake, a, { from: 3, to: 7 }, four);
    },
    'GRADIENT_INVALID',
  ],
  [
    'done with nothing sent',
    (fake, { assignment, step }) => {
      const shards = [0, 1, 2, 3].map((shard) => ({ shard, ...report }));
      fake.say({ type: 'subtree-done', assignment, step, subtree: 0, shards });
    },
    'GRADIENT_INVALID',
  ],
  [
    'a point that the run does not have',
    (fake, { assignment, step }) => {
      fake.say({ type: 'sync-part', assignment, step, subtree: 0, point: 0 }, new Float64Array(2));
    },
    'GRADIENT_INVALID',
  ],
  [
    'samples that nobody gave it',
    (fake, { assignment, step }) => {
      const evaluation = { type: 'evaluation-done', assignment, step, count: 1, lossSum: 0, correct: 1 };
      fake.say(evaluation, Int32Array.of(1));
    },
    'MESSAGE_UNEXPECTED',
  ],
  [
    'failed twice',
    (fake, { assignment }) => {
      const failed = { type: 'failed', assignment, cause: 'other', reason: 'no' };
      fake.say(failed);
      fake.say(failed);
    },
    'MESSAGE_UNEXPECTED',
  ],
  [
    'released though nothing was taken back',
    (fake, { assignment }) => fake.say({ type: 'released', assignment }),
    'MESSAGE_UNEXPECTED',
  ],
  [
    'a hash that nobody asked for',
    (fake) => fake.say({ type: 'weights-hash', step: 12_345, sha256: '0'.repeat(64) }),
    'MESSAGE_UNEXPECTED',
  ],
];

test.serial(
  'each lie about a gradient ends the connection by its name, and the run waits for somebody else',
  (t) =>
    withFolder(async (folder) => {
      const alone = await trainAlone(recipe, folder, 1);
      const { port, coordinator } = await start(folder, 0);
      const stranger = await FakeNode.open(port);
      await stranger.join(1, {}, { train: '0'.repeat(64) });
      t.is((await stranger.hear('refused'))['code'], 'MESSAGE_INVALID', 'other data');
      for (const [name, tell, code] of lies) {
        const fake = await FakeNode.open(port);
        await fake.join(1e6, { name });
        tell(fake, await fake.hear('assign'));
        const refused = await fake.hear('refused');
        t.is(refused['code'], code, `${name}: ${refused['reason']}`);
        await fake.closed;
      }
      startNode({ folder, name: 'honest', port });
      await coordinator.ended;
      t.is(resultOf(coordinator)['weightsSha256'], alone.weightsSha256);
      const left = coordinator.events.filter(({ type }) => type === 'node-left');
      t.deepEqual(
        left.slice(1).map(({ name, code }) => [name, code]),
        lies.map(([name, , code]) => [name, code]),
      );
    }),
);

test.serial(
  'what comes for work that was taken back is not counted; after `released` it is an offence',
  (t) =>
    withFolder(async (folder) => {
      const alone = await trainAlone(recipe, folder, 1);
      const { port, coordinator } = await start(folder, 1);
      const fake = await FakeNode.open(port);
      fake.beat(200);
      await fake.join(1e6);
      // It keeps the work, so that somebody else does it too and it is taken back.
      const { assignment } = await fake.hear('revoke');
      const assign = fake.heard.find((one) => one.type === 'assign' && one['assignment'] === assignment);
      t.truthy(assign);
      part(fake, assign as Message, {}, Float32Array.of(9, 9, 9, 9));
      await coordinator.waitFor(
        'further steps',
        ({ type, step }) => type === 'step' && Number(step) > 2,
        seconds,
      );
      t.is(
        fake.heard.find(({ type }) => type === 'refused'),
        undefined,
      );
      fake.say({ type: 'released', assignment });
      part(fake, assign as Message, { from: 4, to: 8 }, Float32Array.of(9, 9, 9, 9));
      t.is((await fake.hear('refused'))['code'], 'MESSAGE_UNEXPECTED');
      await coordinator.ended;
      t.is(resultOf(coordinator)['weightsSha256'], alone.weightsSha256);
    }),
);

test.serial(
  'every part of a gradient and no word that it is done: nobody is told that the step is over',
  (t) =>
    withFolder(async (folder) => {
      const { port, coordinator } = await start(folder, 0);
      const { parameters } = await coordinator.waitFor('start', ({ type }) => type === 'start', seconds);
      const fake = await FakeNode.open(port);
      fake.beat(200);
      await fake.join(1e6);
      const assign = await fake.hear('assign');
      const step = Number(assign['step']);
      const whole = new Float32Array(Number(parameters));
      part(fake, assign, { to: whole.length }, whole);
      const ahead = (): Message[] =>
        fake.heard.filter((message) => message.type === 'weights' && Number(message['step']) === step + 1);
      // The next weights are known; shards of this step may still be asked of anybody, so one piece waits for the commit.
      // What was said is read: heartbeats behind it are answered.
      const answers = (): number => fake.heard.filter(({ type }) => type === 'heartbeat').length;
      const before = answers();
      await fake.until('answers', () => answers() >= before + 5);
      t.true(ahead().every(({ from }) => from !== 0));
      const shards = [0, 1, 2, 3].map((shard) => ({ shard, ...report }));
      fake.say({ type: 'subtree-done', assignment: assign['assignment'], step, subtree: 0, shards });
      await coordinator.waitFor('the commit', ({ type }) => type === 'step', seconds);
      await fake.until('the piece that waited', () => ahead().some(({ from }) => from === 0));
      t.is(
        fake.heard.find(({ type }) => type === 'refused'),
        undefined,
      );
    }),
);

test.serial('batch-norm over the whole batch: points that are NaN, negative, out of order or missing', (t) =>
  withFolder(async (folder) => {
    const shape = ['--model', 'resnet20', '--dataset', 'synthetic', '--batch-size', '8', '--shards', '4'];
    const sync = [...shape, '--steps', '5', '--batch-norm', 'sync'];
    const alone = await trainAlone(sync, folder, 1);
    const { port, coordinator } = await start(folder, 0, [], sync);
    const channels = 16;
    const say = (fake: FakeNode, { assignment, step }: Message, point: number, value: number): void => {
      const values = new Float64Array(2 * channels).fill(value);
      fake.say({ type: 'sync-part', assignment, step, subtree: 0, point }, values);
    };
    const wrong: readonly Lie[] = [
      ['NaN', (fake, assign) => say(fake, assign, 0, Number.NaN), 'GRADIENT_INVALID'],
      ['out of order', (fake, assign) => say(fake, assign, 1, 1), 'GRADIENT_INVALID'],
      ['negative variance', (fake, assign) => say(fake, assign, 0, -1), 'GRADIENT_INVALID'],
    ];
    for (const [name, tell, code] of wrong) {
      const fake = await FakeNode.open(port);
      await fake.join(1e6, { name });
      tell(fake, await fake.hear('assign'));
      const refused = await fake.hear('refused');
      t.is(refused['code'], code, `${name}: ${refused['reason']}`);
    }
    // One that gives up is there from the first step on; alone it would end the run, so it waits for company.
    const fake = await FakeNode.open(port);
    const kept: unknown[] = [];
    const company = { is: false };
    const giveUp = (assignment: unknown): void =>
      fake.say({ type: 'failed', assignment, cause: 'rank-lost', reason: 'no' });
    fake.onHeard = ({ type, assignment }) => {
      if (type === 'assign' && !company.is) kept.push(assignment);
      else if (type === 'assign') giveUp(assignment);
      if (type === 'revoke') fake.say({ type: 'released', assignment });
    };
    await fake.join(1e6, { name: 'gives up' });
    fake.beat(200);
    await fake.hear('assign');
    startNode({ folder, name: 'honest', port });
    await coordinator.waitFor('honest', (e) => e.type === 'node-joined' && e['name'] === 'honest', seconds);
    company.is = true;
    for (const assignment of kept) giveUp(assignment);
    await coordinator.ended;
    t.is(resultOf(coordinator)['weightsSha256'], alone.weightsSha256);
  }),
);
