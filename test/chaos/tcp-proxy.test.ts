/** The proxy does to a stream what it says, and nothing else. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import test from 'ava';
import { pause } from '../helpers/cluster.ts';
import { type Damage, TcpProxy } from '../helpers/tcp-proxy.ts';

const damage = (kind: Damage['kind'], after: number, bytes = 0): Damage => ({ kind, after, bytes, bit: 3 });

/**
 * What a server received through a proxy, after `use` has written to it.
 *
 * @param use is told how to wait for the first bytes at the server
 */
async function through(
  use: (client: Socket, proxy: TcpProxy, begun: Promise<void>) => Promise<void> | void,
): Promise<{ received: Buffer; broken: boolean }> {
  const chunks: Buffer[] = [];
  let broken = false;
  const begun = Promise.withResolvers<void>();
  const server = createServer();
  const ended = new Promise<void>((resolve) => {
    server.on('connection', (socket) => {
      socket.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        begun.resolve();
      });
      socket.on('error', () => (broken = true));
      socket.once('close', () => resolve());
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const proxy = await TcpProxy.open(() => (typeof address === 'object' && address ? address.port : 0));
  const client = connect(proxy.port, '127.0.0.1');
  client.on('error', () => undefined);
  await once(client, 'connect');
  await use(client, proxy, begun.promise);
  await ended;
  client.destroy();
  await proxy.close();
  server.close();
  return { received: Buffer.concat(chunks), broken };
}

const text = Buffer.from('0123456789'.repeat(20_000));

test('a good link passes every byte', async (t) => {
  const { received } = await through((client) => void client.end(text));
  t.true(received.equals(text));
});

test('a cut holds bytes back and loses none', async (t) => {
  const { received } = await through(async (client, proxy) => {
    proxy.set('up', { hold: true });
    client.end(text);
    await pause(150);
    t.is(proxy.bytes('up'), 0);
    proxy.set('up', { hold: false });
  });
  t.true(received.equals(text));
});

test('a slow and late link takes its time', async (t) => {
  const begun = performance.now();
  const { received } = await through((client, proxy) => {
    proxy.set('up', { rate: 1_000_000, delay: 100 });
    client.end(text);
  });
  t.true(received.equals(text));
  // 200,000 bytes at a million a second, less the piece that is on its way at once, and the delay.
  t.true(performance.now() - begun > 250);
});

test('a flip changes one bit, a drop leaves bytes out, a truncation ends the stream', async (t) => {
  const flipped = await through((client, proxy) => {
    proxy.damage('up', damage('flip', 70_000));
    client.end(text);
  });
  const changed = [...flipped.received.keys()].filter((i) => flipped.received[i] !== text[i]);
  t.deepEqual(changed, [70_000]);
  t.is((flipped.received[70_000] ?? 0) ^ (text[70_000] ?? 0), 8);

  const dropped = await through((client, proxy) => {
    proxy.damage('up', damage('drop', 10, 5));
    client.end(text);
  });
  t.is(dropped.received.length, text.length - 5);
  t.is(dropped.received.subarray(8, 12).toString(), '8956');

  const truncated = await through((client, proxy) => {
    proxy.damage('up', damage('truncate', 123));
    client.write(text);
  });
  t.true(truncated.received.equals(text.subarray(0, 123)));
});

test('a reset reaches the other side as one', async (t) => {
  const { broken } = await through(async (client, proxy, begun) => {
    client.write('something');
    await begun;
    t.is(proxy.reset(), 1);
  });
  t.true(broken);
});
