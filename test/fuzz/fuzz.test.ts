/** A few thousand hostile frames during a training; LOCKSTEP_FUZZ_FRAMES and LOCKSTEP_FUZZ_SEED change it. */
import test from 'ava';
import { runFuzz } from './fuzz-run.ts';

const frames = Number(process.env['LOCKSTEP_FUZZ_FRAMES'] ?? 4000);
const seed = Number(process.env['LOCKSTEP_FUZZ_SEED'] ?? 1);

test.serial('under attack a run neither crashes nor changes, and its memory comes back', async (t) => {
  t.timeout(10 * 60_000 + frames * 20);
  const log = (line: string) => t.log(line);
  // More than a busy machine may let a process stand still: the honest node must not be lost for what others send.
  const report = await runFuzz({ seed, frames, pace: 1000, heartbeatSeconds: 8, compareSpeed: false, log });
  t.deepEqual(report.complaints, []);
  t.true(report.frames >= frames);
  // Every door was tried.
  for (const code of [
    'FRAME_MALFORMED',
    'FRAME_CORRUPT',
    'MESSAGE_INVALID',
    'TOKEN_WRONG',
    'MESSAGE_UNEXPECTED',
  ]) {
    t.true((report.refusals[code] ?? 0) > 0, `nobody was refused with ${code}`);
  }
  t.log(JSON.stringify(report));
});
