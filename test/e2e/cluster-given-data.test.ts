/** `lockstep join --data PATH`: a node that has the official files fetches nothing, and one that has not says so and ends. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { cacheFolder, datasetFolder } from '@lockstep/worker/data/cache-folder.ts';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { portOf, resultOf, startCoordinator, startNode } from '../helpers/cluster.ts';
import { requireDataset } from '../helpers/training-process.ts';
import { damagedCopy } from '../helpers/unwell-cache.ts';
import { writeFiles } from '../worker/data/fixtures.ts';

const recipe = [
  ['--model', 'lenet5', '--dataset', 'mnist'],
  ['--batch-size', '60', '--shards', '6', '--steps', '3'],
].flat();

test.serial('official files, zipped; a path that is not there; a file that is not what it should be', (t) =>
  withFolder(async (folder) => {
    await requireDataset('mnist');
    const out = join(folder, 'run');
    const coordinator = startCoordinator({ folder, recipe, threads: 0, minNodes: 1, out });
    const port = await portOf(coordinator);

    const lost = startNode({ folder, name: 'lost', port, flags: ['--data', join(folder, 'nowhere')] });
    const damaged = join(folder, 'damaged');
    await damagedCopy(damaged, 'mnist', 't10k-labels-idx1-ubyte', (bytes) => {
      bytes[100] = ((bytes[100] as number) + 1) % 10;
      return bytes;
    });
    const wrong = startNode({ folder, name: 'wrong', port, flags: ['--data', damaged] });
    for (const [node, code] of [
      [lost, 'FILE_UNREADABLE'],
      [wrong, 'DATA_CORRUPT'],
    ] as const) {
      t.is((await node.ended).code, 1, code);
      const error = node.last('error');
      t.is(error?.['code'], code);
      // What to do about it is said once.
      t.is(String(error?.['message']).split(String(error?.['advice'])).length, 2, code);
      t.false(node.events.some(({ type }) => type === 'reconnecting'));
    }

    const official = join(folder, 'official');
    const from = datasetFolder(cacheFolder(), 'mnist');
    const names = (await readdir(from)).filter((name) => name.endsWith('ubyte'));
    const zipped = names.map(async (name) => {
      const bytes = gzipSync(await readFile(join(from, name)), { level: 1 });
      return [`${name}.gz`, bytes] as const;
    });
    await writeFiles(official, new Map(await Promise.all(zipped)));
    const node = startNode({ folder, name: 'node', port, flags: ['--data', official] });
    await coordinator.ended;
    t.is((await node.ended).code, 0);
    t.is(resultOf(coordinator)['nodes'], 1);
    t.false(node.events.some(({ type }) => type === 'data-progress'));
    await t.throwsAsync(readdir(join(folder, 'cache', 'node')), { code: 'ENOENT' });
  }),
);
