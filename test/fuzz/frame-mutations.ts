/** Valid messages made wrong: in a field, in the frame around it, in the WebSocket's frame around that. Pure. */
import { encodeFrame, type Header } from '@lockstep/shared/protocol/frame.ts';
import type { Dice } from '../helpers/dice.ts';
import { opcodes, webSocketFrame } from '../helpers/raw-websocket.ts';
import { type Hello, type Sample, sampleMessage } from './sample-messages.ts';

/** Values that a field may suddenly have. */
const oddities: readonly ((dice: Dice) => unknown)[] = [
  () => null,
  () => true,
  () => -1,
  () => 0.5,
  () => Number.NaN,
  () => Number.POSITIVE_INFINITY,
  () => Number.MAX_SAFE_INTEGER,
  () => 2 ** 53,
  () => '',
  (dice) => 'x'.repeat(dice.between(1, 5000)),
  (dice) => dice.bytes(dice.between(0, 40)).toString('latin1'),
  () => '__proto__',
  () => [],
  (dice) => Array.from({ length: dice.between(1, 2000) }, (_, i) => i),
  () => ({ type: 'hello' }),
  (dice) => nested(dice.between(2, 60)),
];

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value };
  return value;
}

/** The message with a field changed, left out or added. */
export function mutateHeader(dice: Dice, message: Header): Header {
  const header: Record<string, unknown> = { ...message };
  const key = dice.pick(Object.keys(header));
  const kind = dice.below(6);
  if (kind === 0) delete header[key];
  else if (kind === 1)
    header[dice.pick(['constructor', 'toString', 'x', 'payload'])] = dice.pick(oddities)(dice);
  else if (kind === 2) header['type'] = dice.pick(['welcome', 'assign', 'goodbye', 'HELLO', '', 'weights']);
  else header[key] = dice.pick(oddities)(dice);
  return header;
}

/** Bytes of a frame, damaged. */
export function mutateBytes(dice: Dice, frame: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> {
  const bytes = Buffer.from(frame);
  switch (dice.below(6)) {
    case 0:
      return bytes.subarray(0, dice.below(bytes.length + 1));
    case 1:
      return Buffer.concat([bytes, dice.bytes(dice.between(1, 64))]);
    case 2:
      for (let i = dice.between(1, 8); i > 0; i--) {
        const at = dice.below(bytes.length);
        bytes[at] = (bytes[at] as number) ^ (1 << dice.below(8));
      }
      return bytes;
    case 3:
      // A header length that is not the header's.
      bytes.writeUInt32LE(dice.pick([0, 1, 7, 0x7fffffff, 0xffffffff, 65_536, bytes.length]), 0);
      return bytes;
    case 4:
      return dice.bytes(dice.between(0, 300));
    default:
      // Two frames in one message.
      return Buffer.concat([bytes, frame]);
  }
}

/** How the WebSocket's own frame is broken; most of the time it is not. */
function wrap(dice: Dice, frame: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> {
  if (!dice.chance(0.15)) return webSocketFrame(frame);
  switch (dice.below(8)) {
    case 0:
      return webSocketFrame(frame, { masked: false });
    case 1:
      return webSocketFrame(frame, { opcode: opcodes.text });
    case 2:
      return webSocketFrame(frame, { opcode: dice.between(3, 15) });
    case 3:
      return webSocketFrame(frame, { claimed: dice.pick([2 ** 40, 2 ** 53 - 1, 2 ** 31, 2_000_000]) });
    case 4:
      return webSocketFrame(frame, { final: false });
    case 5:
      return webSocketFrame(frame, { opcode: opcodes.continuation });
    case 6:
      return webSocketFrame(frame, { reserved: dice.between(1, 7) });
    default:
      return Buffer.concat(
        Array.from({ length: 20 }, () => webSocketFrame(dice.bytes(10), { opcode: opcodes.ping })),
      );
  }
}

function asBuffer(bytes: Uint8Array<ArrayBuffer>): Buffer<ArrayBuffer> {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A frame as it would be right. */
export function honestFrame({ message, payload }: Sample): Buffer<ArrayBuffer> {
  return webSocketFrame(asBuffer(encodeFrame(message, payload)));
}

/** A hostile frame, ready for the socket: sometimes right in form, so that it gets past the first doors. */
export function hostileFrame(dice: Dice, hello: Hello): Buffer<ArrayBuffer> {
  const sample = sampleMessage(dice, hello);
  const kind = dice.below(10);
  if (kind < 3) return wrap(dice, asBuffer(encodeFrame(sample.message, sample.payload)));
  if (kind < 6) return wrap(dice, asBuffer(encodeFrame(mutateHeader(dice, sample.message), sample.payload)));
  if (kind < 7) {
    // Oversized: more than any frame may have, or than a stranger's.
    const size = dice.chance(0.05) ? 6 * 2 ** 20 : dice.between(4096, 20_000);
    return wrap(dice, asBuffer(encodeFrame(sample.message, new Uint8Array(size))));
  }
  return wrap(dice, mutateBytes(dice, asBuffer(encodeFrame(sample.message, sample.payload))));
}
