/** Bytes of a WebSocket, read in pieces of any size: they come out as they went in, large frames in one piece. */
import { WholeFrames } from '@lockstep/shared/protocol/whole-frames.ts';
import test from 'ava';
import fc from 'fast-check';
import { assertProperty } from '../../helpers/property.ts';

/** A WebSocket frame (RFC 6455, 5.2) with a payload that says where it is. */
function webSocketFrame(size: number, masked: boolean, seed: number): Buffer {
  const length =
    size < 126
      ? Buffer.from([size])
      : size < 65_536
        ? Buffer.from([126, size >> 8, size & 255])
        : Buffer.concat([
            Buffer.from([127, 0, 0, 0, 0]),
            Buffer.from(Uint32Array.of(size).buffer).toReversed(),
          ]);
  length[0] = (length[0] as number) | (masked ? 128 : 0);
  const payload = Buffer.from(Uint8Array.from({ length: size }, (_, i) => (i * 31 + seed) & 255));
  return Buffer.concat([Buffer.from([0x82]), length, Buffer.alloc(masked ? 4 : 0), payload]);
}

/** Reads a stream in pieces of these sizes, over and over. @returns what is passed on */
function readIn(frames: WholeFrames, stream: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const passed: Uint8Array[] = [];
  for (let at = 0, read = 0; at < stream.length; read++) {
    const room = frames.room();
    const count = Math.min(room.length, sizes[read % sizes.length] ?? 1, stream.length - at);
    room.set(stream.subarray(at, at + count));
    at += count;
    passed.push(...frames.take(count));
  }
  return passed;
}

/** As `readIn`, but the pieces were read elsewhere, to memory that is gone afterwards. */
function feedIn(frames: WholeFrames, stream: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const passed: Uint8Array[] = [];
  for (let at = 0, read = 0; at < stream.length; read++) {
    const piece = Uint8Array.from(stream.subarray(at, at + (sizes[read % sizes.length] ?? 1)));
    at += piece.length;
    const out = frames.feed(piece).map((bytes) => Buffer.from(bytes));
    passed.push(...out);
    piece.fill(0);
  }
  return passed;
}

const someFrames = fc.array(
  fc.tuple(
    fc.oneof(
      fc.nat(300),
      fc.integer({ min: 65_000, max: 66_000 }),
      fc.integer({ min: 30_000, max: 200_000 }),
    ),
    fc.boolean(),
    fc.nat(255),
  ),
  { minLength: 1, maxLength: 8 },
);
const someSizes = fc.array(
  fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 100, max: 100_000 })),
  {
    minLength: 1,
    maxLength: 6,
  },
);

test('whatever the pieces, bytes come out as they went in, and nothing stays behind', (t) => {
  assertProperty(
    fc.property(someFrames, someSizes, fc.boolean(), (given, sizes, preface) => {
      const head = preface
        ? Buffer.from('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n')
        : [];
      const stream = Buffer.concat([head, ...given.map((one) => webSocketFrame(...one))].map(Buffer.from));
      // Small pieces of large frames would take long.
      const quick = stream.length < 20_000 ? sizes : sizes.map((size) => size * 50);
      const frames = new WholeFrames({ largest: 150_000, preface });
      return Buffer.concat(readIn(frames, stream, quick)).equals(stream);
    }),
    150,
  );
  t.pass();
});

test('so they do when they were read elsewhere', (t) => {
  assertProperty(
    fc.property(someFrames, someSizes, (given, sizes) => {
      const stream = Buffer.concat(given.map((one) => webSocketFrame(...one)));
      const quick = stream.length < 20_000 ? sizes : sizes.map((size) => size * 50);
      const frames = new WholeFrames({ largest: 150_000, preface: false });
      return Buffer.concat(feedIn(frames, stream, quick)).equals(stream);
    }),
    150,
  );
  t.pass();
});

test('a large frame that came in records of TLS is one piece, what is around it stands alone', (t) => {
  const frames = new WholeFrames({ largest: 150_000, preface: false });
  const sizes = [50, 100_000, 70_000, 3, 120_000];
  const sent = sizes.map((size, i) => webSocketFrame(size, true, i));
  const passed = feedIn(frames, Buffer.concat(sent), [16_384]);
  t.true(Buffer.concat(passed).equals(Buffer.concat(sent)));
  for (const i of [1, 2, 4]) t.true(passed.some((bytes) => sent[i]?.equals(bytes)));
});

test('a large frame is one piece, its payload at a multiple of 8, in memory that is lent again when given back', (t) => {
  for (const masked of [false, true]) {
    const frames = new WholeFrames({ largest: 100_000, preface: false });
    const header = masked ? 14 : 10;
    const memory = new Set<ArrayBufferLike>();
    for (let round = 0; round < 5; round++) {
      const sent = [webSocketFrame(50, masked, round), webSocketFrame(90_000, masked, round)];
      const passed = readIn(frames, Buffer.concat(sent), [777, 40_000]);
      const whole = passed.filter(({ length }) => length === 90_000 + header);
      t.is(whole.length, 1);
      const payload = (whole[0] as Uint8Array).subarray(header);
      t.is(payload.byteOffset % 8, 0);
      t.true(Buffer.concat(passed).equals(Buffer.concat(sent)));
      memory.add(payload.buffer);
      frames.release(payload);
      // Whatever else is given back is not lent.
      frames.release(passed[0] as Uint8Array);
      frames.release(payload);
    }
    t.is(memory.size, 1);
  }
});

test('messages that are kept are never written over', (t) => {
  const frames = new WholeFrames({ largest: 100_000, preface: false });
  const sent = Array.from({ length: 40 }, (_, i) => webSocketFrame(i % 3 === 0 ? 80_000 : 2000, true, i));
  const kept = sent.map((frame) => Buffer.concat(readIn(frames, frame, [5000, 60_000])));
  const views = sent.flatMap((frame) => readIn(frames, frame, [90_000]));
  t.true(Buffer.concat(kept).equals(Buffer.concat(sent)));
  t.true(Buffer.concat(views).equals(Buffer.concat(sent)));
});

test('a frame above the limit, and every one of a stranger, is passed on as it comes', (t) => {
  for (const largest of [0, 60_000]) {
    const frames = new WholeFrames({ largest, preface: false });
    const frame = webSocketFrame(70_000, true, 1);
    const passed = readIn(frames, frame, [10_000]);
    t.is(passed.length, 8);
    t.true(Buffer.concat(passed).equals(frame));
    // It costs what was read, not what was announced.
    const announced = Buffer.from([0x82, 127, 0, 0, 255, 255, 255, 255, 255, 255]);
    t.deepEqual(
      readIn(frames, announced, [10]).map(({ length }) => length),
      [10],
    );
  }
});
