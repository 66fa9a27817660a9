/** Ctrl-C at a node that has not got as far as working: it ends at once, with the code of the signal. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { WebSocketServer } from 'ws';
import { withFolder } from '../helpers/checkpoint-sample.ts';
import { freePort, resultOf, startCoordinator, startNode } from '../helpers/cluster.ts';
import { endLeftovers, type LockstepProcess } from '../helpers/lockstep-process.ts';
import { TcpProxy } from '../helpers/tcp-proxy.ts';
import { requireDataset } from '../helpers/training-process.ts';

const seconds = 60;
/** Milliseconds from the signal to the end; a timeout of the protocol takes 5 s at least. */
const prompt = 3000;

test.afterEach.always(endLeftovers);

/** Sends the signal and checks how the node ends. @returns milliseconds that it took */
async function leave(node: LockstepProcess, signal: NodeJS.Signals = 'SIGINT') {
  const begun = performance.now();
  const end = await node.stop(signal, 20);
  return { ...end, milliseconds: performance.now() - begun, result: node.last('result') };
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
      ['pausing', { port: await freePort() }, 'reconnecting'],
      ['no upgrade', { port: mute.port }, 'connecting'],
      ['no address', { port: 7070, host: '192.0.2.1' }, 'connecting'],
    ];
    await Promise.all(
      cases.map(async ([name, options, wait]) => {
        const node = startNode({ folder, name, ...options });
        await node.waitFor(wait, ({ type }) => type === wait, seconds);
        await sleep(200);
        const { code, milliseconds, result } = await leave(node);
        t.is(code, 130, name);
        t.true(milliseconds < prompt, `${name}: ${milliseconds} ms`);
        t.is(result?.['interrupted'], true, name);
      }),
    );
    mute.close();
  }),
);

test.serial('the coordinator has the hello and says nothing; SIGTERM has a code of its own', (t) =>
  withFolder(async (folder) => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(server, 'listening');
    const hello = once(server, 'connection').then(([socket]) => once(socket, 'message'));
    const node = startNode({ folder, name: 'unheard', port: (server.address() as AddressInfo).port });
    await hello;
    const { code, milliseconds, result } = await leave(node, 'SIGTERM');
    t.is(code, 143);
    t.true(milliseconds < prompt, `${milliseconds} ms`);
    t.is(result?.['interrupted'], true);
    for (const client of server.clients) client.terminate();
    server.close();
  }),
);

test.serial('in the middle of its data, and before its ranks: no thread and no lock is left behind', (t) =>
  withFolder(async (folder) => {
    await requireDataset('mnist');
    const shape = ['--model', 'lenet5', '--dataset', 'mnist', '--batch-size', '64', '--shards', '4'];
    const recipe = [...shape, '--steps', '5'];
    const port = await freePort();
    const out = join(folder, 'run');
    const coordinator = startCoordinator({ folder, recipe, port, threads: 0, minNodes: 1, out });
    await coordinator.waitFor('port', ({ type }) => type === 'listening', seconds);
    const proxy = await TcpProxy.open(() => port);
    // Slow enough that it is never done; then nothing comes at all.
    proxy.set('down', { rate: 5 * 2 ** 20 });
    const node = startNode({ folder, name: 'node', port: proxy.port });
    await node.waitFor('data', ({ type }) => type === 'data-progress', seconds);
    proxy.set('down', { hold: true });
    const fetching = await leave(node);
    t.is(fetching.code, 130);
    t.true(fetching.milliseconds < prompt, `fetching: ${fetching.milliseconds} ms`);
    t.is(fetching.result?.['interrupted'], true);
    const left = await coordinator.waitFor('its end', ({ type }) => type === 'node-left', seconds);
    t.is(left['code'], null);

    // A second node of the same machine waits for the lock of the first, and is told to leave.
    proxy.set('down', { hold: false, rate: 2 ** 20 });
    const env = { LOCKSTEP_CACHE: join(folder, 'cache', 'shared') };
    const holder = startNode({ folder, name: 'holder', port: proxy.port, env });
    await holder.waitFor('data', ({ type }) => type === 'data-progress', seconds);
    const waiting = startNode({ folder, name: 'waiting', port, env });
    await waiting.waitFor('joined', ({ type }) => type === 'joined', seconds);
    await sleep(500);
    const locked = await leave(waiting);
    t.is(locked.code, 130);
    t.true(locked.milliseconds < prompt, `waiting for the lock: ${locked.milliseconds} ms`);
    t.is((await leave(holder)).code, 130);
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
    const port = await freePort();
    const out = join(folder, 'run');
    const coordinator = startCoordinator({ folder, recipe, port, threads: 0, minNodes: 2, out });
    await coordinator.waitFor('port', ({ type }) => type === 'listening', seconds);
    const starting = startNode({ folder, name: 'starting', port, threads: 3 });
    await starting.waitFor('joined', ({ type }) => type === 'joined', seconds);
    const early = await leave(starting);
    t.is(early.code, 130);
    t.true(early.milliseconds < 2 * prompt, `${early.milliseconds} ms`);

    const node = startNode({ folder, name: 'ready', port });
    await node.waitFor('ready', ({ type }) => type === 'ready', seconds);
    node.kill('SIGINT');
    // Closer together they count as one press.
    await sleep(250);
    const { code, signal, milliseconds } = await leave(node);
    // What a shell makes of the signal is 130 as well: it may come when the handlers are gone already.
    t.true(code === 130 || signal === 'SIGINT', `code ${code}, signal ${signal}`);
    t.true(milliseconds < prompt, `${milliseconds} ms`);
    await coordinator.stop('SIGTERM');
  }),
);
