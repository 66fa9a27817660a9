import { crc32 } from 'node:zlib';
import { decodeFrame, encodeFrame, type Header, largePayload } from '@lockstep/shared/protocol/frame.ts';
import { defaultLimits, largestFrameBytes, limitsWith } from '@lockstep/shared/protocol/limits.ts';
import { parseCoordinatorMessage, parseNodeMessage } from '@lockstep/shared/protocol/parse.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';
import { coordinatorMessages, nodeMessages } from './samples.ts';

const largest = largestFrameBytes(defaultLimits);
const payloads = fc.uint8Array({ maxLength: 100 });

function decode(bytes: Uint8Array) {
  return decodeFrame(bytes, defaultLimits, largest);
}

/** A frame with any bytes as its header, and a right checksum. */
function frameOf(
  packed: Uint8Array | readonly number[],
  payload: readonly number[] = [],
  padding = 0,
): Uint8Array {
  const start = 8 + Math.ceil(packed.length / 8) * 8;
  const frame = new Uint8Array(start + payload.length);
  frame.set(packed, 8);
  frame.fill(padding, 8 + packed.length, start);
  frame.set(payload, start);
  new DataView(frame.buffer).setUint32(0, packed.length, true);
  return withChecksum(frame);
}

function withChecksum(frame: Uint8Array): Uint8Array {
  const sum = crc32(frame.subarray(8), crc32(frame.subarray(0, 4)));
  new DataView(frame.buffer, frame.byteOffset).setUint32(4, sum, true);
  return frame;
}

function text(words: string): number[] {
  return [0xa0 + words.length, ...Buffer.from(words)];
}

test('every message comes back as it went, with its payload, aligned', (t) => {
  assertProperty(
    fc.property(
      fc.oneof(nodeMessages, coordinatorMessages),
      payloads,
      fc.nat(9),
      (message, payload, shift) => {
        const frame = encodeFrame(message as Header, payload.subarray(0, 3), payload.subarray(3));
        // As a socket may deliver it: anywhere in a larger buffer.
        const moved = new Uint8Array(frame.length + shift + 5);
        moved.set(frame, shift);
        const decoded = decode(moved.subarray(shift, shift + frame.length));
        if (!decoded.ok) return false;
        const parsed = [parseNodeMessage(decoded.header), parseCoordinatorMessage(decoded.header)];
        t.deepEqual(decoded.header, message as Header);
        t.deepEqual([...decoded.payload], [...payload]);
        return decoded.payload.byteOffset % 8 === 0 && parsed.some((p) => p.ok);
      },
    ),
    400,
  );
});

test('views of shared memory travel too', (t) => {
  const shared = new Float32Array(new SharedArrayBuffer(16)).fill(1.5);
  const decoded = decode(encodeFrame({ type: 'x' }, shared));
  t.true(decoded.ok);
  if (decoded.ok) t.deepEqual([...new Float32Array(decoded.payload.slice().buffer)], [1.5, 1.5, 1.5, 1.5]);
});

test('a frame that changed on its way is refused, whatever changed', (t) => {
  const change = fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 }));
  assertProperty(
    fc.property(
      nodeMessages,
      payloads,
      fc.array(change, { minLength: 1, maxLength: 4 }),
      (message, payload, changes) => {
        const frame = encodeFrame(message as Header, payload);
        const changed = frame.slice();
        for (const [at, by] of changes)
          changed[at % frame.length] = (changed[at % frame.length] as number) ^ by;
        return Buffer.compare(frame, changed) === 0 || !decode(changed).ok;
      },
    ),
    2000,
  );
  assertProperty(
    fc.property(nodeMessages, payloads, fc.nat(), (message, payload, cut) => {
      const frame = encodeFrame(message as Header, payload);
      return !decode(frame.subarray(0, cut % frame.length)).ok && !decode(Buffer.concat([frame, frame])).ok;
    }),
    300,
  );
  t.pass();
});

test('a large payload that changed on its way is refused as a small one is, wherever it changed', (t) => {
  for (const size of [largePayload - 1, largePayload, largePayload + 1, 5 * largePayload + 3]) {
    const payload = Uint8Array.from({ length: size }, (_, i) => i * 7);
    const frame = encodeFrame({ type: 'x' }, payload);
    const decoded = decode(frame);
    t.true(decoded.ok && Buffer.compare(decoded.payload, payload) === 0);
    assertProperty(
      fc.property(fc.nat(frame.length - 1), fc.nat(7), (at, bit) => {
        const flip = (): void => void (frame[at] = (frame[at] as number) ^ (1 << bit));
        flip();
        const found = decode(frame);
        flip();
        return !found.ok;
      }),
      300,
    );
    // Two neighbouring floats in each other's place, and a page of zeros.
    const swapped = frame.slice();
    swapped.set(frame.subarray(1000, 1004), 1004);
    swapped.set(frame.subarray(1004, 1008), 1000);
    const emptied = frame.slice().fill(0, 8192, 12_288);
    for (const changed of [swapped, emptied]) t.false(decode(changed).ok);
  }
});

test('a forged frame with a right checksum is refused or a valid message, and nothing throws', (t) => {
  const change = fc.tuple(fc.nat(), fc.nat(255));
  let accepted = 0;
  assertProperty(
    fc.property(
      fc.oneof(nodeMessages, coordinatorMessages),
      fc.array(change, { maxLength: 3 }),
      (message, changes) => {
        const frame = encodeFrame(message as Header);
        for (const [at, to] of changes) frame[8 + (at % (frame.length - 8))] = to;
        const decoded = decode(withChecksum(frame));
        if (!decoded.ok) return decoded.code === 'FRAME_MALFORMED' || decoded.code === 'FRAME_TOO_LARGE';
        for (const parse of [parseNodeMessage, parseCoordinatorMessage]) {
          const parsed = parse(decoded.header);
          if (!parsed.ok) continue;
          accepted++;
          // What was accepted is a message of its own right: it survives another trip unchanged.
          const again = decode(encodeFrame(parsed.message as Header));
          if (!again.ok || !parse(again.header).ok) return false;
        }
        return true;
      },
    ),
    5000,
  );
  t.true(accepted > 100);
});

test('random bytes never throw and are never a frame', (t) => {
  assertProperty(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => !decode(bytes).ok),
    3000,
  );
  assertProperty(
    fc.property(fc.uint8Array({ maxLength: 60 }), (packed) => {
      const decoded = decode(frameOf(packed));
      return !decoded.ok || !parseNodeMessage(decoded.header).ok;
    }),
    5000,
  );
  t.pass();
});

test('headers that are not one plain map are refused with the reason', (t) => {
  const deep = [...Array.from({ length: 20 }, () => [0x81, ...text('a')]).flat(), 0xc0];
  const cases: [string, Uint8Array | number[], RegExp][] = [
    ['nothing', [], /ends inside/],
    ['a list', [0x91, 1], /not a map/],
    ['a number', [1], /not a map/],
    ['something behind', [0x80, 0xc0], /1 bytes follow/],
    ['a value missing', [0x81, ...text('a')], /more values than it has bytes|ends inside/],
    ['a text cut short', [0x81, 0xa5, 0x61], /ends inside|more values/],
    ['a number as a key', [0x81, 1, 1], /key/],
    ['a list of four billion', [0x81, ...text('a'), 0xdd, 255, 255, 255, 255], /more values/],
    ['a map of four billion', [0xdf, 255, 255, 255, 255], /more values/],
    ['a text of four billion', [0x81, ...text('a'), 0xdb, 255, 255, 255, 255], /ends inside/],
    ['binary data', [0x81, ...text('a'), 0xc4, 1, 0], /foreign type/],
    ['a typed array', [0x81, ...text('a'), 0xd5, 0x74, 0, 0], /foreign type/],
    ['a regular expression', [0x81, ...text('a'), 0xc7, 1, 0x78, 0], /foreign type/],
    ['a record definition', [0x81, ...text('a'), 0xd4, 0x72, 0x40], /foreign type/],
    ['a time stamp', [0x81, ...text('a'), 0xd6, 255, 0, 0, 0, 0], /foreign type/],
    ['the tag that is never used', [0x81, ...text('a'), 0xc1], /foreign type/],
    ['depth', deep, /nests deeper/],
  ];
  for (const [what, packed, reason] of cases) {
    const decoded = decode(frameOf(packed));
    t.false(decoded.ok, what);
    if (!decoded.ok) {
      t.is(decoded.code, 'FRAME_MALFORMED', what);
      t.regex(decoded.reason, reason, what);
    }
  }
  const many = [0x81, ...text('a'), 0xdc, 0x75, 0x30, ...Array.from({ length: 30_000 }, () => 0xc0)];
  t.like(decode(frameOf(many)), { ok: false, code: 'FRAME_MALFORMED' });
});

test('a key named __proto__ is data and changes no prototype', (t) => {
  const packed = [0x81, ...text('__proto__'), 0x81, ...text('evil'), 1];
  const decoded = decode(frameOf(packed));
  t.is(({} as { evil?: number }).evil, undefined);
  if (decoded.ok) {
    t.is((decoded.header as { evil?: number }).evil, undefined);
    t.false(parseNodeMessage(decoded.header).ok);
  }
});

test('sizes are checked before anything is read', (t) => {
  const small = limitsWith({ headerBytes: 16 });
  t.like(decodeFrame(encodeFrame({ type: 'x' }, new Uint8Array(100)), defaultLimits, 50), {
    ok: false,
    code: 'FRAME_TOO_LARGE',
  });
  t.like(decodeFrame(encodeFrame({ type: 'a long type for it' }), small, largest), {
    ok: false,
    code: 'FRAME_TOO_LARGE',
  });
  t.like(decode(new Uint8Array(7)), { ok: false, code: 'FRAME_MALFORMED' });
  t.like(decode(Uint8Array.of(200, 0, 0, 0, 0, 0, 0, 0)), { ok: false, code: 'FRAME_MALFORMED' });
  t.like(decode(frameOf([0x80], [], 1)), {
    ok: false,
    code: 'FRAME_MALFORMED',
    reason: 'the padding is not zero',
  });
});
