/**
 * The other end of the wire measurement, a process of its own: takes frames as a node does, or sends as one does,
 * and tells how much processor time that took. `node wire-peer.ts URL BYTES`.
 */
import { decodeFrame, encodeFrame } from '@lockstep/shared/protocol/frame.ts';
import { defaultLimits, largestFrameBytes } from '@lockstep/shared/protocol/limits.ts';
import { connect } from '@lockstep/worker/node/coordinator-socket.ts';
import { collectGarbageSeldom } from '@lockstep/worker/node/garbage.ts';
import { processorSeconds } from './process-time.ts';
import { warmUpBytes } from './warm-up.ts';

collectGarbageSeldom();

const [url = '', size = '0'] = process.argv.slice(2);
const total = Number(size);
const target = new Float32Array(new SharedArrayBuffer(defaultLimits.partBytes));
const largest = largestFrameBytes(defaultLimits);

let received = 0;
let before = Number.NaN;
const { socket, reading } = connect({ url, ca: null, limits: defaultLimits }, (data) => {
  const frame = decodeFrame(data, defaultLimits, largest);
  if (!frame.ok) throw new Error(frame.reason);
  if (frame.payload.length === 0) {
    // What came before only warmed up.
    before = processorSeconds();
    received = 0;
    return;
  }
  // As a node puts weights into its store: nobody looks at them.
  new Uint8Array(target.buffer).set(frame.payload);
  received += frame.payload.length;
  reading.frames.release(data);
  if (received < total || Number.isNaN(before)) return;
  const receiveSeconds = processorSeconds() - before;
  const part = Buffer.from(encodeFrame({ type: 'part' }, target));
  for (let sent = 0; sent < warmUpBytes; sent += target.byteLength) socket.send(part);
  socket.send(encodeFrame({ type: 'begin' }));
  const sendBefore = processorSeconds();
  for (let sent = 0; sent < total; sent += target.byteLength) socket.send(part);
  const header = () => ({ type: 'times', receiveSeconds, sendSeconds: processorSeconds() - sendBefore });
  const last = setInterval(() => {
    if (socket.bufferedAmount > 0) return;
    clearInterval(last);
    socket.send(encodeFrame(header()));
  }, 1);
});
socket.on('close', () => process.exit());
