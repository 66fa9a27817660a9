/** Messages over real sockets, both ways, read into memory that is used again. */
import { once } from 'node:events';
import { Listener } from '@lockstep/coordinator/cluster/listener.ts';
import type { Connection } from '@lockstep/coordinator/cluster/node-link.ts';
import { decodeFrame, encodeFrame } from '@lockstep/shared/protocol/frame.ts';
import { defaultLimits, largestFrameBytes } from '@lockstep/shared/protocol/limits.ts';
import type { WholeFrames } from '@lockstep/shared/protocol/whole-frames.ts';
import { connect } from '@lockstep/worker/node/coordinator-socket.ts';
import test from 'ava';
import type { WebSocket } from 'ws';
import { type MadeCertificate, makeCertificate } from '../../helpers/certificate.ts';

const largest = largestFrameBytes(defaultLimits);
const count = 300;
const sizeOf = (i: number): number => (i % 7 === 0 ? 300_000 + i * 37 : (i * 7919) % 3000);
const payloadOf = (i: number): Uint8Array => new Uint8Array(sizeOf(i)).fill(i);

function send(socket: WebSocket): void {
  for (let number = 0; number < count; number++) socket.send(encodeFrame({ number }, payloadOf(number)));
}

/** Takes messages as both sides do: large ones give their memory back, small ones are kept. */
class Receiver {
  readonly done: Promise<void>;
  readonly kept: Buffer[] = [];
  readonly memory = new Set<ArrayBufferLike>();
  private readonly settle: PromiseWithResolvers<void>;
  private next = 0;

  constructor() {
    this.settle = Promise.withResolvers();
    this.done = this.settle.promise;
  }

  take(data: Buffer, frames: WholeFrames): void {
    const frame = decodeFrame(data, defaultLimits, largest);
    const whole = frame.ok && Buffer.from(frame.payload).equals(payloadOf(this.next));
    if (!whole || frame.header['number'] !== this.next) this.settle.reject(new Error(`message ${this.next}`));
    if (data.length > 250_000) {
      this.memory.add(data.buffer);
      frames.release(data);
    } else this.kept.push(data);
    this.next += 1;
    if (this.next === count) this.settle.resolve();
  }
}

/** Plain, or encrypted with a certificate that the node is told of. */
async function listen(
  certificate: MadeCertificate | null = null,
): Promise<{ listener: Listener; connection: Promise<Connection>; url: string }> {
  const { promise, resolve } = Promise.withResolvers<Connection>();
  const listener = await Listener.open({
    address: { host: '127.0.0.1', port: 0 },
    certificate,
    limits: defaultLimits,
    onRequest: (_request, response) => void response.end('here'),
    admits: () => true,
    onConnection: resolve,
  });
  return {
    listener,
    connection: promise,
    url: `${certificate === null ? 'ws' : 'wss'}://127.0.0.1:${listener.address.port}`,
  };
}

const wires = [
  ['ws', null],
  ['wss', makeCertificate()],
] as const;
for (const [scheme, certificate] of wires) {
  test(`${scheme}: large and small messages arrive whole on both sides, and those that are kept stay whole`, async (t) => {
    const { listener, connection, url } = await listen(certificate);
    const [up, down] = [new Receiver(), new Receiver()];
    const { socket, reading } = connect(
      { url, ca: certificate?.cert ?? null, limits: defaultLimits },
      (data) => down.take(data, reading.frames),
    );
    const heard = { here: 0, there: 0 };
    reading.onBytes = (bytes) => void (heard.here += bytes);
    const other = await connection;
    other.socket.binaryType = 'nodebuffer';
    other.reading.frames.largest = largest;
    other.reading.onBytes = (bytes) => void (heard.there += bytes);
    other.socket.on('message', (data) => up.take(data as Buffer, other.reading.frames));
    await once(socket, 'open');
    send(socket);
    send(other.socket);
    await Promise.all([up.done, down.done]);
    const small = Array.from({ length: count }, (_, i) => i).filter((i) => i % 7 !== 0);
    const bytes = Array.from({ length: count }, (_, i) => sizeOf(i)).reduce((a, b) => a + b);
    for (const { kept, memory } of [up, down]) {
      t.deepEqual(
        kept
          .map((data) => decodeFrame(data, defaultLimits, largest))
          .map((frame) => frame.ok && frame.header['number']),
        small,
      );
      // Sizes differ by a few pages, and a frame may come before the last one was given back.
      t.true(memory.size <= 8, `${memory.size} pieces of memory for ${count - small.length} messages`);
    }
    t.true(heard.here > bytes && heard.there > bytes, 'all bytes are told of');
    socket.close(1000, 'enough');
    const [code] = (await once(other.socket, 'close')) as [number];
    t.is(code, 1000);
    await listener.close();
  });
}

test('a connection that was taken over ends on both sides when either does, and the port closes', async (t) => {
  for (const side of ['node', 'coordinator'])
    for (const [, certificate] of wires) {
      const { listener, connection, url } = await listen(certificate);
      const { socket } = connect({ url, ca: certificate?.cert ?? null, limits: defaultLimits }, () => {});
      socket.on('error', () => {});
      const other = await connection;
      t.is(other.raw.remoteAddress, '127.0.0.1');
      t.true((other.raw.remotePort ?? 0) > 0);
      await once(socket, 'open');
      const ended = Promise.all([once(socket, 'close'), once(other.socket, 'close')]);
      (side === 'node' ? socket : other.socket).terminate();
      await ended;
      await listener.close();
      const { connection: second, listener: again } = await listen();
      void second;
      await again.close();
    }
});
