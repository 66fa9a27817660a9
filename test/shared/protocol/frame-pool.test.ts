/** Memory of frames that is used again: nobody ever sees another frame's bytes. */
import { encodeFrame, encodeFrameIn } from '@lockstep/shared/protocol/frame.ts';
import { FramePool, SharedFrame } from '@lockstep/shared/protocol/frame-pool.ts';
import test from 'ava';

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
