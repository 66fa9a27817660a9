/** Ctrl-C at a node that has not got as far as working: it ends at once, with the code of the signal. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { WebSocketServer } from 'ws';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { closedPort, portOf, resultOf, startCoordinator, startNode } from '../helpers/cluster.ts';
import { endLeftovers, type LockstepProcess } from '../helpers/lockstep-process.ts';
import { TcpProxy } from '../helpers/tcp-proxy.ts';
import { requireDataset } from '../helpers/training-process.ts';

const seconds = 60;
/** Milliseconds from the signal to the end; a timeout of the protocol takes 5 s at least. */
const prompt = 3000;

test.afterEach.always(endLeftovers);

/**
 * Brings a node to where it is to be left, sends the signal and checks how it ends: with the code of the signal, and
 * without having waited for anything. The best of three: on a busy machine the end of a process may take longer.
 *
 * @returns the node that was prompt
 */
async function leaves(
  t: ExecutionContext,
  code: number,
  bring: (attempt: string) => Promise<LockstepProcess>,
  { signal = 'SIGINT' as NodeJS.Signals, within = prompt } = {},
): Promise<LockstepProcess> {
  for (let attempt = 1; ; attempt++) {
    const node = await bring(String(attempt));
    const begun = performance.now();
    const end = await node.stop(signal);
    const milliseconds = performance.now() - begun;
    t.is(end.code, code, node.name);
    t.is(node.last('result')?.['interrupted'], true, node.name);
    const told = node.events.findIndex(({ text }) => String(text).startsWith(`${signal}: `));
    t.true(told >= 0, node.name);
    // What it waited for in vain it would have told, and tried again.
    const later = node.events.slice(told + 1).map(({ type }) => type);
    t.false(later.includes('reconnecting') || later.includes('connecting'), later.join());
    if (milliseconds < within) return node;
    if (attempt === 3) throw node.trouble(`took ${milliseconds} ms to leave, the third time`);
  }
}

/** A server of nothing but TCP. */
async function listen(onSocket: (socket: Socket) => void) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onSocket(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, close };
}

test.serial('nobody answers: while it pauses, while it connects, while it waits for the upgrade', (t) =>
  withFolder(async (folder) => {
    const mute = await listen(() => {});
    // The kernel answers nothing from an address of the block for documentation, or says that it cannot be reached.
    const cases: [name: string, options: { port: number; host?: string }, wait: string][] = [
      ['pausing', { port: closedPort }, 'reconnecting'],
      ['no upgrade', { port: mute.port }, 'connecting'],
      ['no address', { port: 7070, host: '192.0.2.1' }, 'connecting'],
    ];
    await Promise.all(
      cases.map(([name, options, wait]) =>
        leaves(t, 130, async (attempt) => {
          const node = startNode({ folder, name: `${name} ${attempt}`, ...options });
          await node.waitFor(wait, ({ type }) => type === wait, seconds);
          await sleep(200);
          return node;
        }),
      ),
    );
    mute.close();
  }),
);

test.serial('the coordinator has the hello and says nothing; SIGTERM has a code of its own', (t) =>
  withFolder(async (folder) => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const bring = async (attempt: string) => {
      const hello = once(server, 'connection').then(([socket]) => once(socket, 'message'));
      const node = startNode({ folder, name: `unheard ${attempt}`, port });
      await hello;
      return node;
    };
    await leaves(t, 143, bring, { signal: 'SIGTERM' });
    for (const client of server.clients) client.terminate();
    server.close();
  }),
);

test.serial('in the middle of its data, and before its ranks: no thread and no lock is left behind', (t) =>
  withFolder(async (folder) => {
    await requireDataset('mnist');
    const shape = ['--model', 'lenet5', '--dataset', 'mnist', '--batch-size', '64', '--shards', '4'];
    const recipe = [...shape, '--steps', '5'];
    const out = join(folder, 'run');
    const coordinator = startCoordinator({ folder, recipe, threads: 0, minNodes: 1, out });
    const port = await portOf(coordinator);
    const proxy = await TcpProxy.open(() => port);
    const { name } = await leaves(t, 130, async (attempt) => {
      // Slow enough that it is never done; then nothing comes at all.
      proxy.set('down', { hold: false, rate: 5 * 2 ** 20 });
      const node = startNode({ folder, name: `node ${attempt}`, port: proxy.port });
      await node.waitFor('data', ({ type }) => type === 'data-progress', seconds);
      proxy.set('down', { hold: true });
      return node;
    });
    const left = await coordinator.waitFor(
      'its end',
      (event) => event.type === 'node-left' && event['name'] === name,
      seconds,
    );
    t.is(left['code'], null);

    // A second node of the same machine waits for the lock of the first, and is told to leave.
    proxy.set('down', { hold: false, rate: 2 ** 20 });
    const env = { LOCKSTEP_CACHE: join(folder, 'cache', 'shared') };
    const holder = startNode({ folder, name: 'holder', port: proxy.port, env });
    await holder.waitFor('data', ({ type }) => type === 'data-progress', seconds);
    await leaves(t, 130, async (attempt) => {
      const waiting = startNode({ folder, name: `waiting ${attempt}`, port, env });
      await waiting.waitFor('joined', ({ type }) => type === 'joined', seconds);
      await sleep(500);
      return waiting;
    });
    t.is(holder.end, null, 'the lock was not held any more');
    t.is((await holder.stop('SIGINT')).code, 130);
    await proxy.close();

    // What they left behind stops nobody: the next one takes the same cache.
    const last = startNode({ folder, name: 'last', port, env });
    await coordinator.ended;
    t.is(resultOf(coordinator)['steps'], 5);
    t.is((await last.ended).code, 0);
  }),
);

test.serial('while ranks start, and twice in a row', (t) =>
  withFolder(async (folder) => {
    const shape = ['--model', 'resnet20', '--dataset', 'synthetic', '--batch-size', '16', '--shards', '4'];
    const recipe = [...shape, '--steps', '3'];
    const out = join(folder, 'run');
    const coordinator = startCoordinator({ folder, recipe, threads: 0, minNodes: 2, out });
    const port = await portOf(coordinator);
    const bring = async (attempt: string) => {
      const starting = startNode({ folder, name: `starting ${attempt}`, port, threads: 3 });
      await starting.waitFor('joined', ({ type }) => type === 'joined', seconds);
      return starting;
    };
    // Threads that start have to be there before they can end.
    await leaves(t, 130, bring, { within: 5 * prompt });

    const node = startNode({ folder, name: 'ready', port });
    await node.waitFor('ready', ({ type }) => type === 'ready', seconds);
    node.kill('SIGINT');
    // Closer together they count as one press.
    await sleep(250);
    const { code, signal } = await node.stop('SIGINT');
    // What a shell makes of the signal is 130 as well: it may come when the handlers are gone already.
    t.true(code === 130 || signal === 'SIGINT', `code ${code}, signal ${signal}`);
    await coordinator.stop('SIGTERM');
  }),
);
