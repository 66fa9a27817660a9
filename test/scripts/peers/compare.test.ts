import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { repositoryRoot } from '../../helpers/command-line.ts';

const peers = join(repositoryRoot, 'scripts', 'src', 'peers');

async function run(args: readonly string[]): Promise<Record<string, unknown>[]> {
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 2 ** 24 });
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('a quick comparison of Lockstep alone, with the others reported as missing', async (t) => {
  const flags =
    '--json --quick --seconds 0.05 --model resnet8 --batch 8 --shards 2 --engines lockstep,pytorch --python /nowhere/python';
  const objects = await run([join(peers, 'compare.ts'), ...flags.split(' ')]);
  const measured = objects.filter(({ type }) => type === 'peer');
  t.deepEqual(
    measured.map(({ role, cores }) => [role, cores]),
    [
      ['lockstep', 1],
      ['lockstep-narrow', 1],
      ['lockstep', 2],
      ['lockstep-narrow', 2],
    ],
  );
  for (const { imagesPerSecond, peakBytes, detail, role } of measured) {
    t.true(Number(imagesPerSecond) > 0);
    t.true(Number(peakBytes) > 2 ** 20);
    if (role === 'lockstep-narrow') t.regex(String(detail), /^fma-narrow kernels, 2 shards$/);
  }
  t.deepEqual(
    objects.filter(({ type }) => type === 'missing').map(({ title }) => title),
    ['TensorFlow.js', 'PyTorch'],
  );
  t.is(objects.at(-1)?.['type'], 'result');
});

test('when Lockstep itself fails, so does the comparison', async (t) => {
  const args = [join(peers, 'compare.ts'), '--json', '--quick', '--batch', '2', '--shards', '4'];
  const error = await t.throwsAsync<Error & { code: number }>(run(args));
  t.is(error?.code, 2);
});
