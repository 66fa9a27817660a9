// Command lines of measurements: a slip ends at once, with a code and what is allowed.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { numberFlag, numberListFlag } from '@lockstep/scripts/src/flags.ts';
import test from 'ava';

test('numbers as they are written, within their range', (t) => {
  t.is(numberFlag('seconds', '0.5'), 0.5);
  t.is(numberFlag('warm-up', '0', { least: 0 }), 0);
  t.deepEqual(numberListFlag('ranks', '1,2,64', { whole: true }), [1, 2, 64]);
  for (const text of ['', ' ', 'x', '0', '-1', 'NaN', 'Infinity', '1e9', '2,'])
    t.throws(() => numberListFlag('seconds', text), { code: 'USAGE', message: /--seconds/ }, text);
  for (const text of ['1.5', '0', '65'])
    t.throws(() => numberFlag('nodes', text, { whole: true, most: 64 }), { code: 'USAGE' }, text);
});

const slips: readonly (readonly [string, ...string[]])[] = [
  ['bench-cluster', '--rounds', 'many'],
  ['bench-turns', '--seconds', '-1'],
  ['bench-turns', '--no-such-flag'],
  ['bench-scaling', '--ranks', '1,,2'],
  ['bench-kernels', '--build', 'fastest'],
  ['bench-compare', '--rounds', '3'],
];

for (const [script, ...flags] of slips) {
  test(`${[script, ...flags].join(' ')} is refused before anything is measured`, async (t) => {
    const file = fileURLToPath(new URL(`../../scripts/src/${script}.ts`, import.meta.url));
    const child = spawn(process.execPath, [file, ...flags, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (text += String(bytes)));
    const code = await new Promise((resolve) => child.on('close', resolve));
    t.not(code, 0);
    t.regex(text, /USAGE/, text);
    t.notRegex(text, /\n\s+at /, 'no stack');
  });
}
