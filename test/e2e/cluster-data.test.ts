/** How a node comes to its data: fetched in pieces, cut off, spoilt in its cache, or somebody else's. Real processes. */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from '@lockstep/worker/data/cache-folder.ts';
import { openDataset } from '@lockstep/worker/data/open-dataset.ts';
import { splitFolder } from '@lockstep/worker/node/split-cache.ts';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { portOf, resultOf, startCoordinator, startNode, trainAlone } from '../helpers/cluster.ts';
import { endLeftovers, type JsonLine, type LockstepProcess } from '../helpers/lockstep-process.ts';
import { TcpProxy } from '../helpers/tcp-proxy.ts';
import { requireDataset } from '../helpers/training-process.ts';
import { damagedCopy } from '../helpers/unwell-cache.ts';

// Synthetic images are made on every machine; these have to travel.
const shape = ['--model', 'lenet5', '--dataset', 'mnist', '--batch-size', '64', '--shards', '4'];
const recipe = [...shape, '--steps', '10'];
const seconds = 60;
const megabyte = 2 ** 20;

test.afterEach.always(endLeftovers);

function progress(node: LockstepProcess): JsonLine[] {
  return node.events.filter(({ type }) => type === 'data-progress');
}

/** Waits until so many bytes of the training split are there. */
function fetched(node: LockstepProcess, bytes: number): Promise<JsonLine> {
  const there = (event: JsonLine): boolean =>
    event.type === 'data-progress' && event['split'] === 'train' && Number(event['doneBytes']) >= bytes;
  return node.waitFor(`${bytes} bytes`, there, seconds);
}

function cacheOf(folder: string, name: string): string {
  return splitFolder(join(folder, 'cache', name));
}

async function sha256Of(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

test.serial('a download that is cut, then killed, goes on where it was and ends with the right bytes', (t) =>
  withFolder(async (folder) => {
    await requireDataset('mnist');
    const alone = await trainAlone(recipe, folder, 1);
    const out = join(folder, 'run');
    const coordinator = startCoordinator({ folder, recipe, threads: 0, minNodes: 1, out });
    const port = await portOf(coordinator);
    const proxy = await TcpProxy.open(() => port);
    proxy.set('down', { rate: 12 * megabyte });
    try {
      const node = startNode({ folder, name: 'cut', port: proxy.port });
      await fetched(node, 8 * megabyte);
      proxy.reset();
      await node.waitFor('the loss', ({ type }) => type === 'reconnecting', seconds);
      const before = Number(progress(node).at(-1)?.['doneBytes']);
      const seen = progress(node).length;
      await fetched(node, before + 4 * megabyte);
      t.true(Number(progress(node)[seen]?.['doneBytes']) > before, 'the first connection was for nothing');

      node.kill('SIGKILL');
      await node.ended;
      const last = Number(progress(node).at(-1)?.['doneBytes']);
      const [part = '', ...others] = (await readdir(cacheOf(folder, 'cut'))).filter((name) =>
        name.endsWith('.part'),
      );
      t.deepEqual(others, []);
      t.true((await stat(join(cacheOf(folder, 'cut'), part))).size >= last);
      const again = startNode({ folder, name: 'cut', port });
      await coordinator.ended;
      t.true(Number(progress(again)[0]?.['doneBytes']) > last, 'what the killed process had was for nothing');
      t.is((await again.ended).code, 0);
    } finally {
      await proxy.close();
    }
    t.is(resultOf(coordinator)['weightsSha256'], alone.weightsSha256);
    // Named by what they hold, no half file and no lock left.
    const files = await readdir(cacheOf(folder, 'cut'));
    t.is(files.length, 2);
    for (const file of files) t.is(await sha256Of(join(cacheOf(folder, 'cut'), file)), file);
  }),
);

test.serial(
  'spoilt caches are passed over, a copy of something else is refused, and the run gets its own data',
  (t) =>
    withFolder(async (folder) => {
      await requireDataset('mnist');
      const alone = await trainAlone(recipe, folder, 1);
      const { train, test: tests } = await openDataset('mnist');
      const whole = Buffer.concat([train.images, train.labels]);
      const put = async (name: string, file: string, bytes: Uint8Array): Promise<void> => {
        await mkdir(cacheOf(folder, name), { recursive: true });
        await writeFile(join(cacheOf(folder, name), file), bytes);
      };
      const flipped = Buffer.from(whole);
      flipped[12_345_678] = (flipped[12_345_678] as number) ^ 4;
      await put('flipped', train.sha256, flipped);
      await put('flipped', tests.sha256, Buffer.concat([tests.images, tests.labels]));
      // Half of a split, but of another one: that shows only when it is whole.
      const half = Buffer.from(whole.subarray(0, whole.length / 2));
      half[1000] = (half[1000] as number) ^ 1;
      await put('rotten', `${train.sha256}.part`, half);
      const elsewhere = join(folder, 'elsewhere');
      await damagedCopy(elsewhere, 'mnist', 'train-labels-idx1-ubyte', (bytes) => {
        const other = Buffer.from(bytes);
        other[1000] = ((other[1000] as number) + 1) % 10;
        return other;
      });

      const out = join(folder, 'run');
      const coordinator = startCoordinator({ folder, recipe, threads: 0, minNodes: 3, out });
      const port = await portOf(coordinator);
      const node = (name: string, flags: readonly string[] = []) => startNode({ folder, name, port, flags });
      const stranger = node('stranger', ['--data', elsewhere]);
      const nodes = {
        flipped: node('flipped'),
        rotten: node('rotten'),
        good: node('good', ['--data', cacheFolder()]),
      };
      await coordinator.ended;
      t.is(resultOf(coordinator)['weightsSha256'], alone.weightsSha256);
      for (const [name, { ended }] of Object.entries(nodes)) t.is((await ended).code, 0, name);

      const splits = (of: LockstepProcess) => [...new Set(progress(of).map(({ split }) => split))];
      t.deepEqual(splits(nodes.flipped), ['train'], 'the test split was whole and is not fetched');
      t.is(await sha256Of(join(cacheOf(folder, 'flipped'), train.sha256)), train.sha256);
      const rotten = progress(nodes.rotten).filter(({ split }) => split === 'train');
      t.true(Number(rotten[0]?.['doneBytes']) > half.length / 2, 'it goes on with the half first');
      t.is(rotten.filter(({ doneBytes }) => doneBytes === whole.length).length, 2, 'then fetches all of it');
      // Whoever names a folder means it: another data set there is no reason to fetch this one in silence.
      const { code } = await stranger.ended;
      t.not(code, 0);
      t.is(stranger.events.find(({ type }) => type === 'error')?.['code'], 'DATA_CORRUPT');
      t.deepEqual(splits(nodes.good), []);
    }),
);
