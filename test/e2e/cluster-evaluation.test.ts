/** An evaluation by nodes says what one process says, bit for bit, also when a node is killed in the middle of it. */
import { join } from 'node:path';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { freePort, resultOf, startCoordinator, startNode } from '../helpers/cluster.ts';
import { type JsonLine, LockstepProcess } from '../helpers/lockstep-process.ts';

const seconds = 60;

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

interface Cluster {
  readonly coordinator: LockstepProcess;
  readonly nodes: readonly LockstepProcess[];
}

async function start(
  folder: string,
  name: string,
  recipe: readonly string[],
  threads: number,
  count: number,
): Promise<Cluster> {
  const port = await freePort();
  const out = join(folder, name);
  const shape = { port, threads, minNodes: count, out, evaluate: true };
  const coordinator = startCoordinator({ folder, name, recipe, ...shape });
  await coordinator.waitFor('port', ({ type }) => type === 'listening', seconds);
  const nodes = Array.from({ length: count }, (_, i) => startNode({ folder, name: `${name}-${i}`, port }));
  return { coordinator, nodes };
}

/** Who has evaluated how many pieces, as the coordinator tells. */
function sharesOf({ coordinator }: Cluster): Map<string, number> {
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

      const two = await start(folder, 'two', recipe, 0, 2);
      await two.coordinator.ended;
      t.deepEqual(figuresOf(two.coordinator), expected);
      const shares = sharesOf(two);
      t.deepEqual([...shares.keys()].toSorted(), ['two-0', 'two-1']);
      t.is(sum(shares.values()), 6);

      const mixed = await start(folder, 'mixed', recipe, 1, 1);
      await mixed.coordinator.ended;
      t.deepEqual(figuresOf(mixed.coordinator), expected);
      t.deepEqual([...sharesOf(mixed).keys()].toSorted(), ['coordinator', 'mixed-0']);

      // Resumed at its end: nothing is left to compute, and nobody has come.
      const port = await freePort();
      const shape = { port, threads: 0, minNodes: 0, out: join(folder, 'two'), resume: true, evaluate: true };
      const over = startCoordinator({ folder, name: 'over', recipe, ...shape });
      await over.ended;
      t.is(over.last('evaluation')?.['loss'], expected.loss);
      t.is(resultOf(over)['testAccuracy'], expected.testAccuracy);
    }),
  );
}

test.serial('a node that is killed, and one that is stopped, in the middle of an evaluation', (t) =>
  withFolder(async (folder) => {
    // Slow enough that both nodes have pieces when the first one is done.
    const recipe = recipeOf('resnet32');
    const expected = await alone(folder, recipe);
    for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
      const cluster = await start(folder, signal, recipe, 0, 2);
      const { coordinator, nodes } = cluster;
      await coordinator.waitFor('first piece', ({ type }) => type === 'evaluation-progress', seconds);
      nodes[0]?.kill(signal);
      await coordinator.ended;
      nodes[0]?.kill('SIGKILL');
      t.deepEqual(figuresOf(coordinator), expected, signal);
      const lost = coordinator.events.filter(({ reason }) =>
        /pieces of the evaluation go from|has been out for/.test(String(reason)),
      );
      t.true(lost.length > 0, signal);
      t.is(sum(sharesOf(cluster).values()), 6);
      t.is((await nodes[1]?.ended)?.code, 0, signal);
    }
  }),
);
