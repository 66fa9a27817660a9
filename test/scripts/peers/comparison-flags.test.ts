import test from 'ava';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { parseFlags } from '@lockstep/scripts/src/peers/comparison-flags.ts';

test('without flags: both networks, every engine, five rounds', (t) => {
  const { workloads, options, memory, format } = parseFlags([]);
  t.deepEqual(
    workloads.map(({ model, batch }) => [model, batch]),
    [
      ['resnet20', 128],
      ['resnet18', 64],
    ],
  );
  t.is(options.rounds, 5);
  t.is(options.limit, null);
  t.deepEqual(options.engines, ['lockstep', 'pytorch', 'tfjs']);
  t.is(format, 'terminal');
  t.false(memory);
});

test('--quick is one round, and --rounds still has the last word', (t) => {
  t.is(parseFlags(['--quick']).options.rounds, 1);
  t.is(parseFlags(['--quick', '--rounds', '3']).options.rounds, 3);
});

test('everybody warms up before the first round: for long where speed is asked for, as long as --warm-up says', (t) => {
  const warmUp = (...args: string[]): number => parseFlags(args).options.warmUp;
  t.is(warmUp(), 20);
  t.is(warmUp('--seconds', '2'), 20);
  t.is(warmUp('--quick'), 0.5);
  t.is(warmUp('--memory', '--seconds', '3'), 1.5);
  t.is(warmUp('--quick', '--warm-up', '7'), 7);
  const wrong = t.throws(() => parseFlags(['--warm-up', '0']), { instanceOf: LockstepError });
  t.is(wrong.code, 'USAGE');
});

test('--memory is ResNet-18 at batch 128, float32 on two cores only', (t) => {
  const { workloads, options, memory } = parseFlags(['--memory']);
  t.true(memory);
  t.deepEqual(workloads, [{ model: 'resnet18', batch: 128, shards: 8 }]);
  const spec = (role: 'lockstep' | 'float32' | 'bf16', cores: number) =>
    options.select?.({
      engine: 'pytorch',
      title: '',
      cores,
      role,
      once: false,
      command: { file: '', args: [] },
    });
  t.deepEqual(
    [spec('lockstep', 2), spec('float32', 2), spec('float32', 1), spec('bf16', 2)],
    [true, true, false, false],
  );
});

test('--model with --batch and --shards is one workload', (t) => {
  const { workloads } = parseFlags(['--model', 'resnet8', '--batch', '16', '--shards', '2']);
  t.deepEqual(workloads, [{ model: 'resnet8', batch: 16, shards: 2 }]);
});

test('shards of 16 images unless --shards says otherwise, and at least two', (t) => {
  const shards = (args: string): number[] =>
    parseFlags(args.split(' ').filter(Boolean)).workloads.map((workload) => workload.shards);
  t.deepEqual(shards(''), [8, 4]);
  t.deepEqual(shards('--shards 16'), [16, 16]);
  t.deepEqual(
    ['8', '16', '40', '256'].map((batch) => shards(`--model resnet8 --batch ${batch}`)[0]),
    [2, 2, 3, 16],
  );
});

const wrong: readonly (readonly [readonly string[], string])[] = [
  [['--rounds', '0'], 'USAGE'],
  [['--rounds', '1.5'], 'USAGE'],
  [['--seconds', 'NaN'], 'USAGE'],
  [['--engines', 'lockstep,caffe'], 'USAGE'],
  [['--vectors', 'avx9'], 'USAGE'],
  [['--colour'], 'USAGE'],
  [['--model', 'resnet21'], 'MODEL_UNKNOWN'],
  [['--batch', '4', '--shards', '8'], 'BATCH_TOO_SMALL'],
];

for (const [args, code] of wrong) {
  test(`${args.join(' ')} is refused: ${code}`, (t) => {
    const error = t.throws(() => parseFlags(args), { instanceOf: LockstepError });
    t.is(error?.code, code as LockstepError['code']);
  });
}
