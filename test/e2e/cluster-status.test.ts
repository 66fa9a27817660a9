/** `lockstep status`: what a running coordinator says of its nodes, and what it says when there is none. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { ClusterStatus } from '@lockstep/coordinator/cluster/cluster-status.ts';
import test from 'ava';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import {
  closedPort,
  endless,
  goesOn,
  portOf,
  startCoordinator,
  startNode,
  testToken,
  untilStep,
} from '../helpers/cluster.ts';
import { lockstep } from '../helpers/command-line.ts';
import { endLeftovers } from '../helpers/lockstep-process.ts';

const shape = ['--model', 'lenet5', '--dataset', 'synthetic', '--batch-size', '32', '--shards', '8'];
const recipe = [...shape, ...endless];
const seconds = 60;
/** Bytes a step that may be something else than weights and gradients. */
const megabyte = 2 ** 20;

test.afterEach.always(endLeftovers);

test.serial('nodes, ranks, shards, speeds, bytes, times, the slowest and the last decision', (t) =>
  withFolder(async (folder) => {
    const out = join(folder, 'run');
    const coordinator = startCoordinator({ folder, recipe, threads: 1, minNodes: 2, out });
    const port = await portOf(coordinator);
    const url = `ws://127.0.0.1:${port}`;
    const start = await coordinator.waitFor('start', ({ type }) => type === 'start', seconds);
    startNode({ folder, name: 'one', port, threads: 1 });
    startNode({ folder, name: 'two', port, threads: 2 });
    await untilStep(coordinator, 30, seconds);
    // The nodes' account of themselves comes with their heartbeats: when, is up to the machine.
    const asked = async (): Promise<ClusterStatus> => {
      const answer = await lockstep(['status', url, '--token', testToken, '--json']);
      t.is(answer.code, 0, answer.stderr);
      const [first, ...rest] = answer.objects();
      t.deepEqual(rest, []);
      return first as unknown as ClusterStatus;
    };
    // Bytes are means of steps that are over: who has just delivered its first shard has none yet.
    const accounted = ({ members }: ClusterStatus) =>
      members.length === 3 &&
      members.every(
        (one) => one.shards > 0 && one.computeSeconds !== 0 && (one.node === 0 || one.bytesUp > 0),
      );
    let status = await asked();
    for (let tries = 0; !accounted(status) && tries < 60; tries++) status = await asked();
    t.is(status.type, 'result');
    t.true(status.step >= 30);
    t.true(status.seconds > 0);
    const names = status.members.map(({ name }) => name);
    t.is(names.length, 3);
    t.deepEqual(names.slice(1).toSorted(), ['one', 'two']);
    const member = (name: string) => status.members.find((one) => one.name === name);
    t.deepEqual([status.members[0]?.node, member('one')?.ranks, member('two')?.ranks], [0, 1, 2]);

    // Every shard of every committed step was done by somebody; those of the running one may be on top.
    const shards = status.members.reduce((sum, one) => sum + one.shards, 0);
    t.true(shards >= 8 * status.step && shards <= 8 * (status.step + 1), `${shards} for ${status.step}`);
    const weightBytes = 4 * Number(start['parameters']);
    for (const one of status.members) {
      t.true(one.imagesPerSecond > 0 && Number.isFinite(one.imagesPerSecond), one.name);
      t.true(one.samples >= one.shards, one.name);
      t.true(['computing', 'waiting', 'on the wire'].includes(one.phase), one.name);
      if (one.node === 0) {
        t.deepEqual([one.bytesDown, one.bytesUp, one.computeSeconds], [0, 0, null]);
        continue;
      }
      // Weights down each step, but those that newer ones overtook; and at most one gradient for each shard up.
      t.true(one.bytesDown > 0 && one.bytesDown < weightBytes + megabyte, one.name);
      t.true(one.bytesUp > 0 && one.bytesUp < 8 * weightBytes + megabyte, one.name);
      t.true((one.computeSeconds ?? 0) > 0, one.name);
      t.true((one.waitSeconds ?? -1) >= 0 && (one.wireSeconds ?? -1) >= 0, one.name);
    }
    const perRank = status.members.map((one) => one.imagesPerSecond / one.ranks);
    const slowest = status.members[perRank.indexOf(Math.min(...perRank))];
    t.deepEqual(status.slowest, { name: slowest?.name, phase: slowest?.phase });
    t.true(status.lastDecision.length > 10);

    const table = await lockstep(['status', url, '--token', testToken]);
    t.is(table.code, 0, table.stderr);
    for (const part of [
      'steps committed',
      'ranks',
      'shards',
      'images/s',
      'down/step',
      'up/step',
      'slowest: ',
    ])
      t.true(table.stdout.includes(part), part);
    for (const part of [/\d one /, /\d two /, /last decision: \S/]) t.regex(table.stdout, part);

    for (const given of [['--token', 'another-token'], []]) {
      const wrong = await lockstep(['status', url, '--json', ...given]);
      t.is(wrong.code, 1);
      t.is(wrong.objects()[0]?.['code'], 'TOKEN_WRONG');
    }
    // Asking has not disturbed it.
    await goesOn(coordinator, 5);
    t.is((await coordinator.stop('SIGINT')).code, 130);
  }),
);

test.serial('a coordinator on loopback without a token: anybody on this machine may ask and join', (t) =>
  withFolder(async (folder) => {
    // Empty: the environment of the test run may hold a token.
    const env = { LOCKSTEP_TOKEN: '' };
    const options = { folder, recipe, threads: 0, minNodes: 1, out: join(folder, 'run'), env };
    const coordinator = startCoordinator(options);
    const port = await portOf(coordinator);
    const url = `ws://127.0.0.1:${port}`;
    const listening = await coordinator.waitFor('port', ({ type }) => type === 'listening', seconds);
    t.is(listening['join'], `lockstep join ${url}`);
    const empty = await lockstep(['status', url], { env });
    t.is(empty.code, 0, empty.stderr);
    t.regex(empty.stdout, /nobody computes/);
    startNode({ folder, name: 'open', port, env });
    await untilStep(coordinator, 3, seconds);
    const status = await lockstep(['status', `http://127.0.0.1:${port}/`, '--json'], { env });
    t.is((status.objects()[0] as unknown as ClusterStatus).members[0]?.name, 'open');
    await coordinator.stop('SIGTERM');
  }),
);

test.serial('nobody listens, something else listens, no address at all: each by its code', async (t) => {
  const nobody = await lockstep(['status', `ws://127.0.0.1:${closedPort}`, '--json']);
  t.is(nobody.code, 1);
  t.is(nobody.objects()[0]?.['code'], 'COORDINATOR_UNREACHABLE');
  t.regex(nobody.stderr, /ECONNREFUSED/);

  const answers = ['<html>hello</html>', 'null'];
  const server = createServer((_request, response) => response.end(answers.shift()));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  while (answers.length > 0) {
    const other = await lockstep(['status', `ws://127.0.0.1:${port}`, '--json']);
    t.is(other.code, 1);
    t.is(other.objects()[0]?.['code'], 'COORDINATOR_UNREACHABLE');
  }
  server.close();

  for (const address of ['127.0.0.1', 'ftp://127.0.0.1']) {
    const wrong = await lockstep(['status', address, '--json']);
    t.is(wrong.code, 2, address);
    t.is(wrong.objects()[0]?.['code'], 'USAGE', address);
  }
});
