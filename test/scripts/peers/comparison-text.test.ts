import test from 'ava';
import type { Comparison } from '@lockstep/scripts/src/peers/comparison.ts';
import {
  asFactor,
  jsonObjects,
  markdownText,
  modelTitle,
  rows,
  terminalText,
  verdictLine,
} from '@lockstep/scripts/src/peers/comparison-text.ts';
import { type Samples, verdicts } from '@lockstep/scripts/src/peers/figures.ts';

function sample(engine: 'lockstep' | 'pytorch', cores: number, rates: number[]): Samples {
  const role = engine === 'lockstep' ? 'lockstep' : 'float32';
  const spec = { engine, title: engine, cores, role, once: false } as const;
  return { spec, version: `${engine} 1.2`, detail: 'detail', rates, peakBytes: 3 * 2 ** 20 };
}

const comparison: Comparison = {
  workload: { model: 'resnet20', batch: 128, shards: 8 },
  rounds: 3,
  seconds: 4,
  warmUp: 20,
  limit: null,
  samples: [
    sample('pytorch', 1, [100, 110, 90]),
    sample('lockstep', 2, [380, 400, 390]),
    sample('lockstep', 1, [200, 220, 180]),
  ],
  missing: [{ title: 'TensorFlow.js', reason: 'not installed', remedy: 'npm install it.' }],
};
const closing = verdicts(comparison.samples, 'resnet20');

test('rows go by cores, Lockstep before the others', (t) => {
  t.deepEqual(rows(comparison.samples), [
    ['lockstep', '1', '200', '180-220', '3 MiB', ''],
    ['pytorch', '1', '100', '90.0-110', '3 MiB', '2.00x'],
    ['lockstep', '2', '390', '380-400', '3 MiB', ''],
  ]);
});

test('Markdown holds a table, the versions, what is missing and every ratio', (t) => {
  const lines = markdownText(comparison, closing).split('\n');
  t.true(lines[0]?.includes('ResNet-20, batch 128'));
  t.is(lines.filter((line) => line.startsWith('|')).length, 5);
  t.true(lines.some((line) => line.includes('lockstep 1.2 (detail)') && line.includes('pytorch 1.2')));
  t.true(lines.includes('- not measured: TensorFlow.js: not installed. npm install it.'));
  t.is(lines.filter((line) => /^- .*(met|MISSED|not measured)$/.test(line)).length, 5);
});

test('the terminal gets the same', (t) => {
  const text = terminalText(comparison, closing);
  t.true(text.includes('medians of 3 alternating rounds of 4 s after 20 s that do not count'));
  t.true(text.includes('not measured: TensorFlow.js: not installed'));
  t.true(text.includes('target at least 1.6: met'));
});

test('a limit of the other libraries is said in the heading', (t) => {
  t.true(markdownText({ ...comparison, limit: 'avx2' }, []).includes('other libraries held to AVX2'));
});

test('JSON has one object for each peer, each missing one and each ratio', (t) => {
  const objects = jsonObjects(comparison, closing);
  const types = objects.map(({ type }) => type);
  t.deepEqual(types, ['peer', 'peer', 'peer', 'missing', ...closing.map(() => 'ratio')]);
  t.is(objects[0]?.['lockstepRatio'], 2);
  t.is(objects[0]?.['model'], 'resnet20');
  t.deepEqual(objects[0]?.['rates'], [100, 110, 90]);
});

test('a closing line says target and outcome, or why there is none', (t) => {
  const verdict = {
    title: 'a / b',
    against: 'b',
    ratio: 1.555,
    target: 1.6,
    bound: 'at least',
    met: false,
  } as const;
  t.is(verdictLine(verdict), 'a / b: 1.55 (b), target at least 1.6: MISSED');
  t.is(verdictLine({ ...verdict, target: null, met: null }), 'a / b: 1.55 (b), no target');
  t.is(verdictLine({ ...verdict, ratio: null, met: null }), 'a / b: not measured');
});

test('names and factors as people write them', (t) => {
  t.is(modelTitle('resnet18'), 'ResNet-18');
  t.is(modelTitle('mlp'), 'mlp');
  t.is(asFactor(1.849), '1.85x');
  t.is(asFactor(2000.4).replace(/\s/g, ' '), '2 000x');
});
