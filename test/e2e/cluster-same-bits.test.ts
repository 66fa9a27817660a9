/** The cluster's shape does not touch the result: real processes, real sockets, one SHA-256. */
import { join } from 'node:path';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import {
  contributors,
  portOf,
  resultOf,
  startCoordinator,
  startNode,
  trainAlone,
  untilAll,
} from '../helpers/cluster.ts';

const lenet = [
  ['--model', 'lenet5', '--dataset', 'synthetic', '--batch-size', '60'],
  ['--shards', '7', '--steps', '40'],
].flat();

/** Runs the recipe on a cluster and returns its result. */
async function trainOn(
  folder: string,
  name: string,
  threads: number,
  nodes: readonly number[],
  recipe: readonly string[] = lenet,
) {
  const out = join(folder, name);
  const coordinator = startCoordinator({ folder, name, recipe, threads, minNodes: nodes.length, out });
  const port = await portOf(coordinator);
  const joined = nodes.map((count, i) => startNode({ folder, name: `${name}-${i}`, port, threads: count }));
  await coordinator.ended;
  const ends = await Promise.all(joined.map((node) => node.ended));
  return { result: resultOf(coordinator), ends, nodes: joined, contributors: contributors(coordinator) };
}

test.serial('1 and 2 threads, 1, 2 and 3 nodes, uneven threads, with and without own threads', (t) =>
  withFolder(async (folder) => {
    const alone = await trainAlone(lenet, folder, 1);
    t.is((await trainAlone(lenet, folder, 2)).weightsSha256, alone.weightsSha256);
    const shapes: [name: string, threads: number, nodes: number[]][] = [
      ['own-threads', 2, []],
      ['one-node', 0, [1]],
      ['two-nodes', 0, [1, 2]],
      ['three-nodes', 0, [1, 1, 3]],
      ['mixed', 1, [2]],
    ];
    for (const [name, threads, nodes] of shapes) {
      const members = nodes.length + Math.sign(threads);
      const attempt = async (number: number) => {
        const run = await trainOn(folder, `${name}-${number}`, threads, nodes);
        t.is(run.result['weightsSha256'], alone.weightsSha256, name);
        t.is(run.result['samples'], alone.samples, name);
        t.is(run.result['nodes'], run.contributors.size, name);
        t.deepEqual(
          run.ends.map(({ code }) => code),
          nodes.map(() => 0),
        );
        const shards = run.nodes.reduce((sum, node) => sum + Number(node.last('result')?.['shards'] ?? 0), 0);
        if (threads === 0) t.true(shards >= 7 * 40, `${name}: ${shards} shards`);
        return run.contributors.size;
      };
      t.is(await untilAll(members, attempt), members, name);
    }
  }),
);

const residual = [
  ['--model', 'resnet20', '--dataset', 'synthetic', '--batch-size', '30'],
  ['--shards', '7', '--steps', '5'],
].flat();

for (const flags of [
  ['--batch-norm', 'sync'],
  ['--wire-dtype', 'bf16'],
  ['--batch-norm', 'sync', '--wire-dtype', 'bf16'],
]) {
  test.serial(`${flags.join(' ')}: one thread, two nodes, own threads and a node`, (t) =>
    withFolder(async (folder) => {
      const recipe = [...residual, ...flags];
      const alone = await trainAlone(recipe, folder, 1);
      for (const [name, threads, nodes] of [
        ['nodes', 0, [1, 2]],
        ['mixed', 1, [1]],
      ] as const) {
        const { result } = await trainOn(folder, name, threads, nodes, recipe);
        t.is(result['weightsSha256'], alone.weightsSha256, name);
      }
    }),
  );
}
