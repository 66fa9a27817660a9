/** What the project's frames cost over loopback: processor time of each side, and bandwidth. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { InboxPool } from '@lockstep/coordinator/cluster/inbox-pool.ts';
import { Listener } from '@lockstep/coordinator/cluster/listener.ts';
import type { Connection } from '@lockstep/coordinator/cluster/node-link.ts';
import { instantiateKernels } from '@lockstep/shared/kernels/instance.ts';
import { parseRecipe } from '@lockstep/shared/recipe.ts';
import { decodeFrame, encodeFrame, encodeFrameIn } from '@lockstep/shared/protocol/frame.ts';
import { FramePool } from '@lockstep/shared/protocol/frame-pool.ts';
import { defaultLimits, largestFrameBytes } from '@lockstep/shared/protocol/limits.ts';
import { chooseKernels } from '@lockstep/worker/rank/kernel-choice.ts';
import { Store } from '@lockstep/worker/rank/store.ts';
import { WireFloats } from '@lockstep/worker/rank/wire-floats.ts';
import { processorSeconds } from './process-time.ts';
import { warmUpBytes } from './warm-up.ts';

export interface WireCosts {
  readonly encodeByteSeconds: number;
  readonly sendByteSeconds: number;
  readonly receiveByteSeconds: number;
  readonly nodeSendByteSeconds: number;
  readonly nodeReceiveByteSeconds: number;
  /** Bytes a second from one process to the other, with both sides' work. */
  readonly bandwidth: number;
}

const part = new Float32Array(defaultLimits.partBytes / 4).map((_, i) => Math.sin(i));
const largest = largestFrameBytes(defaultLimits);

/** Seconds of one byte made into a frame, in memory that the last one has left. */
function encodeSeconds(): number {
  const pool = new FramePool(4 * part.byteLength);
  const header = { type: 'weights', step: 1, from: 0, to: part.length, dtype: 'f32', hash: false };
  const times = Array.from({ length: 40 }, () => {
    const begun = performance.now();
    const frame = encodeFrameIn((size) => pool.take(size), header, part);
    const seconds = (performance.now() - begun) / 1000;
    pool.give(frame);
    return seconds;
  });
  return (times.toSorted((a, b) => a - b)[20] as number) / part.byteLength;
}

/** Takes a part of a gradient as the coordinator does: into the store, where a kernel looks at every float. */
async function openInbox(): Promise<(payload: Uint8Array) => void> {
  const store = Store.allocate({
    parameterCount: part.length,
    totalCount: part.length,
    batchNormChannels: 0,
    shardsPerStep: 1,
    state: [],
    ranks: 1,
    scratchBytes: 0,
    inboxes: 1,
  });
  const { module } = await chooseKernels(parseRecipe({}).arithmetic);
  const wire = new WireFloats(store, instantiateKernels(module, store.arena.memory));
  const pool = new InboxPool({ store, wire });
  const inbox = pool.take();
  return (payload) => void pool.fill(inbox, 0, payload.length / 4, payload, 'f32');
}

/** Sends `megabytes` each way between this process and another one. @throws Error when the other one fails */
export async function measureWire(megabytes: number): Promise<WireCosts> {
  const total = megabytes * part.byteLength;
  const take = await openInbox();
  const connected = Promise.withResolvers<Connection>();
  const listener = await Listener.open({
    address: { host: '127.0.0.1', port: 0 },
    certificate: null,
    limits: defaultLimits,
    onRequest: (_request, response) => response.end(),
    admits: () => true,
    onConnection: connected.resolve,
  });
  const peer = fileURLToPath(new URL('wire-peer.ts', import.meta.url));
  const url = `ws://127.0.0.1:${listener.address.port}`;
  const child = spawn(process.execPath, [peer, url, String(total)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  try {
    const { promise, resolve, reject } = Promise.withResolvers<WireCosts>();
    child.once('exit', (code) => reject(new Error(`the other side ended with code ${code}`)));
    void connected.promise.then(({ socket, reading: { frames } }) => {
      // As of a node that has been welcomed.
      frames.largest = largest;
      socket.binaryType = 'nodebuffer';
      const frame = Buffer.from(encodeFrame({ type: 'part' }, part));
      let begun = Number.NaN;
      let before = Number.NaN;
      let sendSeconds = Number.NaN;
      let receiveBefore = Number.NaN;
      let seconds = Number.NaN;
      let sent = -warmUpBytes;
      const sendNext = () => {
        if (sent === 0) {
          socket.send(encodeFrame({ type: 'begin' }));
          begun = performance.now();
          before = processorSeconds();
        }
        sent += part.byteLength;
        socket.send(frame, sent < total ? sendNext : undefined);
      };
      sendNext();
      socket.on('message', (data: Buffer) => {
        const message = decodeFrame(data, defaultLimits, largest);
        if (!message.ok) return reject(new Error(message.reason));
        if (Number.isNaN(sendSeconds)) {
          // The other side answers when it has everything.
          seconds = (performance.now() - begun) / 1000;
          sendSeconds = processorSeconds() - before;
        }
        if (message.payload.length > 0) {
          take(message.payload);
          return frames.release(data);
        }
        if (message.header['type'] === 'begin') {
          receiveBefore = processorSeconds();
          return;
        }
        const receiveSeconds = processorSeconds() - receiveBefore;
        const times = message.header as { receiveSeconds: number; sendSeconds: number };
        resolve({
          encodeByteSeconds: encodeSeconds(),
          sendByteSeconds: sendSeconds / total,
          receiveByteSeconds: receiveSeconds / total,
          nodeSendByteSeconds: times.sendSeconds / total,
          nodeReceiveByteSeconds: times.receiveSeconds / total,
          bandwidth: total / seconds,
        });
      });
    });
    return await promise;
  } finally {
    child.removeAllListeners('exit');
    child.kill();
    await listener.close();
  }
}
