/** An evaluation by nodes says what one process says, bit for bit, also when a node is killed in the middle of it. */
import { join } from 'node:path';
import { evaluationShard } from '@lockstep/worker/rank/run-shape.ts';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { portOf, resultOf, startCoordinator, startNode, untilAll } from '../helpers/cluster.ts';
import { endLeftovers, type JsonLine, LockstepProcess } from '../helpers/lockstep-process.ts';

const seconds = 60;

/** Of the 512 images that the synthetic data set has for tests. */
const pieces = Math.ceil(512 / evaluationShard);

test.afterEach.always(endLeftovers);

function recipeOf(model: string, ...flags: string[]): string[] {
  return [
    ['--model', model, '--dataset', 'synthetic', '--batch-size', '60'],
    ['--shards', '4', '--steps', '3', ...flags],
  ].flat();
}

interface Figures {
  readonly loss: unknown;
  readonly accuracy: unknown;
  readonly samples: unknown;
  readonly testAccuracy: unknown;
  readonly weightsSha256: unknown;
}

function figuresOf(run: LockstepProcess): Figures {
  const { testAccuracy, weightsSha256 } = resultOf(run);
  const { loss, accuracy, samples } = run.last('evaluation') as JsonLine;
  return { loss, accuracy, samples, testAccuracy, weightsSha256 };
}

async function alone(folder: string, recipe: readonly string[]): Promise<Figures> {
  const args = [
    'train',
    ...recipe,
    '--json',
    '--no-baseline',
    '--threads',
    '2',
    '--out',
    join(folder, 'alone'),
  ];
  const run = new LockstepProcess({ name: 'alone', args, folder });
  await run.ended;
  return figuresOf(run);
}

/** A coordinator that waits for so many nodes. */
async function open(
  folder: string,
  name: string,
  recipe: readonly string[],
  threads: number,
  minNodes: number,
) {
  // Longer than an evaluation: a node that says nothing is there all the same.
  const shape = { threads, minNodes, out: join(folder, name), evaluate: true, heartbeatSeconds: 100 };
  const coordinator = startCoordinator({ folder, name, recipe, ...shape });
  const port = await portOf(coordinator);
  return { coordinator, join: (node: string) => startNode({ folder, name: `${name}-${node}`, port }) };
}

/** Who has evaluated how many pieces, as the coordinator tells. */
function sharesOf(coordinator: LockstepProcess): Map<string, number> {
  const told = coordinator.events.findLast(({ reason }) => /^evaluated \d+ pieces: /.test(String(reason)));
  const list = String(told?.['reason']).replace(/^.*?: /, '');
  return new Map(list.split(', ').map((part) => [part.split(' ')[0] ?? '', Number(part.split(' ')[1])]));
}

const sum = (counts: Iterable<number>): number => [...counts].reduce((a, b) => a + b, 0);

for (const [model, ...flags] of [
  ['lenet5'],
  ['resnet8', '--batch-norm', 'sync', '--wire-dtype', 'bf16'],
] as const) {
  test.serial(`${[model, ...flags].join(' ')}: two nodes, own threads and a node, nobody at all`, (t) =>
    withFolder(async (folder) => {
      const recipe = recipeOf(model, ...flags);
      const expected = await alone(folder, recipe);
      t.is(expected.samples, 512);
      t.is(expected.testAccuracy, expected.accuracy);

      // Each has pieces from the first moment on, but what is late is done by somebody else as well, who may be first.
      const taking = async (name: string, threads: number, joining: readonly string[]): Promise<number> => {
        const { coordinator, join: come } = await open(folder, name, recipe, threads, joining.length);
        for (const node of joining) come(node);
        await coordinator.ended;
        t.deepEqual(figuresOf(coordinator), expected);
        const shares = sharesOf(coordinator);
        t.is(sum(shares.values()), pieces);
        const members = joining.map((node) => `${name}-${node}`).concat(threads > 0 ? ['coordinator'] : []);
        return members.filter((member) => shares.has(member)).length;
      };
      t.is(await untilAll(2, (number) => taking(`two-${number}`, 0, ['a', 'b'])), 2);
      t.is(await untilAll(2, (number) => taking(`mixed-${number}`, 1, ['a'])), 2);

      // Resumed at its end: nothing is left to compute, and nobody has come.
      const shape = { threads: 0, minNodes: 0, out: join(folder, 'two-1'), resume: true, evaluate: true };
      const over = startCoordinator({ folder, name: 'over', recipe, ...shape });
      await over.ended;
      t.is(over.last('evaluation')?.['loss'], expected.loss);
      t.is(resultOf(over)['testAccuracy'], expected.testAccuracy);
    }),
  );
}

test.serial('a node that is killed, and one that is stopped, in the middle of an evaluation', (t) =>
  withFolder(async (folder) => {
    const recipe = recipeOf('resnet32');
    const expected = await alone(folder, recipe);
    for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
      // It is still there for the coordinator when the pieces are given out, and cannot do any of its own: whatever
      // else the machine does, it is in the middle of them.
      const { coordinator, join: come } = await open(folder, signal, recipe, 0, 2);
      const lame = come('lame');
      await coordinator.waitFor('its coming', ({ type }) => type === 'node-joined', seconds);
      lame.kill('SIGSTOP');
      const kept = come('kept');
      await coordinator.waitFor('first piece', ({ type }) => type === 'evaluation-progress', seconds);
      lame.kill(signal);
      await coordinator.ended;
      lame.kill('SIGKILL');
      t.deepEqual(figuresOf(coordinator), expected, signal);
      const lost = coordinator.events.filter(({ reason }) =>
        /pieces of the evaluation go from|has been out for/.test(String(reason)),
      );
      t.true(lost.length > 0, signal);
      const shares = sharesOf(coordinator);
      t.is(sum(shares.values()), pieces);
      t.false(shares.has(lame.name), signal);
      t.is((await kept.ended).code, 0, signal);
    }
  }),
);
