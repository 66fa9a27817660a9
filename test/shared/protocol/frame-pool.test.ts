/** Memory of frames that is used again: nobody ever sees another frame's bytes. */
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { decodeFrame, encodeFrame, encodeFrameIn } from '@lockstep/shared/protocol/frame.ts';
import {
  FramePool,
  freeReceived,
  ReceivedChunks,
  SharedFrame,
} from '@lockstep/shared/protocol/frame-pool.ts';
import { defaultLimits } from '@lockstep/shared/protocol/limits.ts';
import test from 'ava';
import { WebSocket, WebSocketServer } from 'ws';

test('a frame in used memory is the frame in new memory', (t) => {
  const pool = new FramePool(100_000);
  const payload = Float32Array.from({ length: 9000 }, (_, i) => i / 7);
  const used = pool.take(36_100);
  used.fill(0xff);
  pool.give(used);
  for (const name of ['', 'a', 'abcdefg', 'ab']) {
    const wanted = encodeFrame({ type: 'test', name }, payload);
    const made = encodeFrameIn((bytes) => pool.take(bytes), { type: 'test', name }, payload);
    t.is(made.buffer, used.buffer, 'the memory is lent again');
    t.deepEqual(made, wanted);
    pool.give(made);
  }
});

test('memory is lent to one at a time, comes back when the last reader is done, and no more than a limit waits', (t) => {
  const pool = new FramePool(65_536);
  const frame = new SharedFrame(pool.take(40_000), pool);
  frame.use();
  frame.use();
  frame.done();
  frame.done();
  t.not(pool.take(40_000).buffer, frame.bytes.buffer, 'somebody still reads it');
  frame.done();
  t.is(pool.take(40_000).buffer, frame.bytes.buffer);
  const [one, two] = [pool.take(40_000), pool.take(40_000)];
  t.not(one.buffer, two.buffer);
  pool.give(one);
  pool.give(two);
  t.is(pool.take(40_000).buffer, one.buffer);
  t.not(pool.take(40_000).buffer, two.buffer, 'two of them are more than may wait');
});

test('what was received is freed, but never what shares its memory', (t) => {
  const whole = Buffer.allocUnsafeSlow(100_000);
  freeReceived(whole.subarray(0, 50_000));
  t.is(whole.length, 100_000);
  freeReceived(whole);
  t.is(whole.length, 0);
  const shared = new Uint8Array(new SharedArrayBuffer(100_000));
  freeReceived(shared);
  t.is(shared.length, 100_000);
});

test('chunks without messages do not pile up', (t) => {
  const chunks = new ReceivedChunks();
  for (let i = 0; i < 1000; i++) chunks.add(Buffer.allocUnsafeSlow(i % 2 === 0 ? 65_536 : 6));
  t.true(chunks.length <= 64);
  const message = Buffer.from('a message');
  t.deepEqual(chunks.take(message), message);
  t.is(chunks.length, 0);
});

test('over a real WebSocket large and small messages arrive whole, and small ones stay whole', async (t) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  const kept: { readonly data: Buffer; readonly number: number }[] = [];
  const count = 400;
  const sizeOf = (i: number): number => (i % 7 === 0 ? 300_000 + i * 37 : (i * 7919) % 3000);
  const received = new Promise<void>((resolve, reject) => {
    server.on('connection', (socket, request) => {
      const chunks = new ReceivedChunks();
      (request.socket as Socket).on('data', (bytes: Buffer) => chunks.add(bytes));
      let number = 0;
      socket.on('message', (data) => {
        const own = chunks.take(data as Buffer);
        const frame = decodeFrame(own, defaultLimits, 2 ** 24);
        if (!frame.ok || frame.header['number'] !== number || frame.payload.length !== sizeOf(number))
          reject(new Error(`message ${number}: ${frame.ok ? frame.payload.length : frame.reason}`));
        if (own.length > 16_384) freeReceived(own);
        else kept.push({ data: own, number });
        number += 1;
        if (number === count) resolve();
      });
    });
  });
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  await once(client, 'open');
  const bytesOf = (i: number): Uint8Array => new Uint8Array(sizeOf(i)).fill(i);
  for (let number = 0; number < count; number++) client.send(encodeFrame({ number }, bytesOf(number)));
  await received;
  t.true(kept.length > count / 2);
  for (const { data, number } of kept) {
    const frame = decodeFrame(data, defaultLimits, 2 ** 24);
    t.deepEqual(frame.ok && Uint8Array.from(frame.payload), bytesOf(number), `message ${number}`);
  }
  client.terminate();
  server.close();
});
