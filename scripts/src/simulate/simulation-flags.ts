/** The command line of the simulation. */
import { checkModelName } from '@lockstep/shared/model/zoo.ts';
import { numberFlag, numberListFlag, readFlags } from '../flags.ts';
import type { ScenarioOptions } from './scenarios.ts';

export const usage = `Predicts the efficiency of a cluster from a measurement on this machine.

  npm run simulate --workspace scripts -- [flags]

  --model NAME         network that is measured and predicted (default: resnet18); ResNet-50 follows by its sizes
  --nodes LIST         numbers of nodes (default: 1,2,4,8,16,32,64,128,256)
  --gigabits LIST      Gbit/s of the coordinator's and of each node's link (default: 1,10,25)
  --latency MS         one way (default: 0.1)
  --spread SHARE       speeds of nodes lie within 1 - SHARE .. 1 + SHARE (default: 0.1)
  --threads N          threads of a node, each as fast as one here (default: 2)
  --images N           images of a shard (default: 16)
  --shards N           shards a step for each thread (default: 2)
  --short              two bytes a float on the wire (bf16, f16)
  --seconds S          seconds of each calibration run (default: 5)
  --check              compare with real runs of 1, 2 and 3 nodes on loopback; exit code 1 when one is off by 15 %
  --rounds N           rounds of that, every run between two calibrations; their medians count (default: 3)
  --steps N            steps of each of these runs that count (default: 8)
  --markdown, --json   tables for the README, or one JSON object a line`;

export interface Flags {
  readonly model: string;
  readonly scenario: ScenarioOptions;
  readonly seconds: number;
  readonly calibrationBatch: number;
  readonly check: boolean;
  readonly checkBatch: number;
  readonly checkShards: number;
  readonly steps: number;
  readonly rounds: number;
  readonly format: 'terminal' | 'markdown' | 'json';
  readonly help: boolean;
}

/** Pure. @throws LockstepError USAGE, MODEL_UNKNOWN */
export function parseFlags(args: readonly string[]): Flags {
  const values = read(args);
  checkModelName(values.model);
  return {
    model: values.model,
    scenario: {
      nodeCounts: numberListFlag('nodes', values.nodes, { whole: true }),
      gigabits: numberListFlag('gigabits', values.gigabits),
      threadsPerNode: numberFlag('threads', values.threads, { whole: true }),
      imagesPerShard: numberFlag('images', values.images, { whole: true }),
      shardsPerThread: numberFlag('shards', values.shards, { whole: true }),
      spread: numberFlag('spread', values.spread, { least: 0, most: 0.9 }),
      latency: numberFlag('latency', values.latency, { least: 0, most: 10_000 }) / 1000,
      coordinatorThreads: numberFlag('threads', values.threads, { whole: true }),
      bytesPerFloat: values.short ? 2 : 4,
    },
    seconds: numberFlag('seconds', values.seconds),
    calibrationBatch: 32,
    check: values.check,
    checkBatch: 48,
    checkShards: 12,
    steps: numberFlag('steps', values.steps, { whole: true }),
    rounds: numberFlag('rounds', values.rounds, { whole: true }),
    format: values.json ? 'json' : values.markdown ? 'markdown' : 'terminal',
    help: values.help,
  };
}

function read(args: readonly string[]) {
  return readFlags(
    {
      args: [...args],
      options: {
        model: { type: 'string', default: 'resnet18' },
        nodes: { type: 'string', default: '1,2,4,8,16,32,64,128,256' },
        gigabits: { type: 'string', default: '1,10,25' },
        latency: { type: 'string', default: '0.1' },
        spread: { type: 'string', default: '0.1' },
        threads: { type: 'string', default: '2' },
        images: { type: 'string', default: '16' },
        shards: { type: 'string', default: '2' },
        seconds: { type: 'string', default: '5' },
        steps: { type: 'string', default: '8' },
        rounds: { type: 'string', default: '3' },
        short: { type: 'boolean', default: false },
        check: { type: 'boolean', default: false },
        markdown: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    },
    'Try --help.',
  ).values;
}
