/** The command line of the comparison. */
import { checkModelName } from '@lockstep/shared/model/zoo.ts';
import { choiceFlag, numberFlag, type NumberRange, readFlags, wrongFlag } from '../flags.ts';
import type { ComparisonOptions } from './comparison.ts';
import { type VectorLimit, vectorLimits } from './machine.ts';
import { type EngineName, engineNames, type Workload } from './peer-catalogue.ts';
import { peerRecipe } from './peer-recipe.ts';

export const usage = `Training steps of Lockstep and of other libraries, side by side in one run.

  npm run peers -- [flags]

  --rounds N        rounds that count (default 5)
  --seconds S       seconds of each measurement (default 4)
  --warm-up S       seconds that each library works before that (default 20; half a measurement with --quick, --memory)
  --quick           one short round
  --model NAME      one model only, with --batch N (default: resnet20 with 128 and resnet18 with 64)
  --batch N         images of a step
  --shards N        Lockstep's shards of a step (default: so many that each has 16 images)
  --engines LIST    some of lockstep,pytorch,tfjs (default: all)
  --python PATH     a Python that has torch (default: python3, then the system's)
  --tfjs FOLDER     a folder whose node_modules has @tensorflow/tfjs, and perhaps @tensorflow/tfjs-backend-wasm
  --vectors avx2    hold the other libraries to these vector instructions (default: their best)
  --memory          only the peak memory of ResNet-18 at batch 128, two threads
  --markdown        tables for the README
  --json            one JSON object a line`;

export interface Flags {
  readonly workloads: readonly Workload[];
  readonly options: ComparisonOptions;
  readonly memory: boolean;
  readonly format: 'terminal' | 'markdown' | 'json';
  readonly help: boolean;
}

/**
 * Seconds. V8 compiles the program of a step over some 200 steps, on the cores that are measured: until then two ranks wait
 * for a core for 2 % of a step longer, and one rank, which has a core to spare, does not (docs/log.md).
 */
const defaultWarmUp = 20;

/** Pure. @throws LockstepError USAGE, MODEL_UNKNOWN, BATCH_TOO_SMALL */
export function parseFlags(args: readonly string[]): Flags {
  const values = read(args);
  const memory = values.memory === true;
  const quick = values.quick === true;
  const given = (flag: 'rounds' | 'seconds' | 'warm-up' | 'shards', range?: NumberRange): number | null => {
    const text = values[flag];
    return text === undefined ? null : numberFlag(flag, text, range);
  };
  const shards = given('shards', { whole: true });
  const workloads = workloadsOf(values.model, values.batch, memory).map((workload) => ({
    ...workload,
    shards: shards ?? shardsFor(workload.batch),
  }));
  for (const workload of workloads) peerRecipe(workload);
  const isShort = quick || memory;
  const seconds = given('seconds') ?? (quick ? 1 : 4);
  const everybody = memory ? 'lockstep,pytorch' : engineNames.join(',');
  const engines = (values.engines ?? everybody).split(',').map(engineFrom);
  return {
    workloads,
    options: {
      rounds: given('rounds', { whole: true }) ?? (isShort ? 1 : 5),
      seconds,
      warmUp: given('warm-up') ?? (isShort ? seconds / 2 : defaultWarmUp),
      engines,
      quick,
      limit: values.vectors === undefined ? null : limitFrom(values.vectors),
      python: values.python,
      tfjs: values.tfjs,
      ...(memory
        ? { select: (spec) => spec.cores === 2 && ['lockstep', 'float32'].includes(spec.role) }
        : {}),
    },
    memory,
    format: values.json === true ? 'json' : values.markdown === true ? 'markdown' : 'terminal',
    help: values.help === true,
  };
}

/**
 * Images of a shard: those of the default recipe. In smaller shards the filters of 512 channels are transformed for too few
 * tiles (docs/log.md), and everybody is to be in its best configuration.
 */
const shardImages = 16;

/** For two threads as well. */
function shardsFor(batch: number): number {
  return Math.max(Math.min(2, batch), Math.round(batch / shardImages));
}

function workloadsOf(
  model: string | undefined,
  batch: string | undefined,
  memory: boolean,
): Omit<Workload, 'shards'>[] {
  const size = (fallback: number) =>
    batch === undefined ? fallback : numberFlag('batch', batch, { whole: true });
  if (memory) return [{ model: model ?? 'resnet18', batch: size(128) }];
  if (model !== undefined) {
    checkModelName(model);
    return [{ model, batch: size(model === 'resnet18' ? 64 : 128) }];
  }
  return [
    { model: 'resnet20', batch: size(128) },
    { model: 'resnet18', batch: size(64) },
  ];
}

function read(args: readonly string[]) {
  const { values } = readFlags(
    {
      args: [...args],
      options: {
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        'warm-up': { type: 'string' },
        quick: { type: 'boolean' },
        model: { type: 'string' },
        batch: { type: 'string' },
        shards: { type: 'string' },
        engines: { type: 'string' },
        python: { type: 'string' },
        tfjs: { type: 'string' },
        vectors: { type: 'string' },
        memory: { type: 'boolean' },
        markdown: { type: 'boolean' },
        json: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    },
    'Try --help.',
  );
  return values;
}

/** Pure. @throws LockstepError USAGE */
export function limitFrom(text: string): VectorLimit {
  return choiceFlag('vectors', text, vectorLimits);
}

function engineFrom(text: string): EngineName {
  const engine = engineNames.find((name) => name === text);
  if (engine !== undefined) return engine;
  throw wrongFlag(
    `--engines names '${text}'.`,
    `Allowed: ${engineNames.join(', ')}, with commas between them.`,
  );
}
