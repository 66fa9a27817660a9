/**
 * What a cluster costs against threads: so many nodes of one thread each over loopback, and as many threads of one
 * process, round by round on the same cores. Also the bytes of a step and node against those that must travel.
 *
 *   npm run bench:cluster -- [--models resnet20,resnet18] [--nodes 2] [--rounds 5] [--steps 40] [--json]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { median } from '@lockstep/coordinator/plan/program-timing.ts';
import { checkModelName } from '@lockstep/shared/model/zoo.ts';
import Table from 'cli-table3';
import { commandLine, numberFlag, readFlags } from './flags.ts';
import { LineProcess } from './peers/line-process.ts';
import { type ClusterFigures, measureCluster, warmUp } from './simulate/measure/cluster-run.ts';
import { threadsCommand } from './simulate/measure/run-commands.ts';

const { models, nodes, rounds, steps, batch, json } = commandLine(() => {
  const { values } = readFlags({
    options: {
      models: { type: 'string', default: 'resnet20,resnet18' },
      nodes: { type: 'string', default: '2' },
      rounds: { type: 'string', default: '5' },
      steps: { type: 'string', default: '40' },
      batch: { type: 'string', default: '128' },
      json: { type: 'boolean', default: false },
    },
  });
  const names = values.models.split(',');
  for (const name of names) checkModelName(name);
  return {
    models: names,
    nodes: numberFlag('nodes', values.nodes, { whole: true, most: 64 }),
    rounds: numberFlag('rounds', values.rounds, { whole: true }),
    steps: numberFlag('steps', values.steps, { whole: true }),
    batch: numberFlag('batch', values.batch, { whole: true }),
    json: values.json,
  };
});
const shards = 8;
/** Seconds that one line may take. */
const patience = 120;

interface LocalFigures {
  readonly seconds: number;
  readonly weightsSha256: string;
  /** Of the gradient, and of the weights with the running statistics, in float32. */
  readonly gradientBytes: number;
}

/** The same recipe on threads of one process. */
async function measureThreads(model: string): Promise<LocalFigures> {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-threads-'));
  const run = { model, batch, shards, steps: steps + warmUp, folder };
  const child = new LineProcess(threadsCommand(run, nodes));
  try {
    const seconds: number[] = [];
    let parameters = 0;
    for (;;) {
      const event = JSON.parse(await child.nextLine(patience)) as Record<string, unknown>;
      if (event['type'] === 'start') parameters = event['parameters'] as number;
      if (event['type'] === 'step') seconds.push(event['seconds'] as number);
      if (event['type'] === 'error') throw new Error(String(event['message']));
      if (event['type'] === 'result') {
        const weightsSha256 = String(event['weightsSha256']);
        return { seconds: median(seconds.slice(warmUp)), weightsSha256, gradientBytes: 4 * parameters };
      }
    }
  } finally {
    await child.stop(1);
    await rm(folder, { recursive: true, force: true });
  }
}

for (const model of models) {
  const ratios: number[] = [];
  let cluster: ClusterFigures | null = null;
  const table = new Table({ head: ['round', `${nodes} threads`, `${nodes} nodes`, 'ratio', 'taken over'] });
  let gradientBytes = 0;
  for (let round = 1; round <= rounds; round++) {
    const threads = await measureThreads(model);
    cluster = await measureCluster({ model, batch, shards, nodes, steps });
    if (cluster.weightsSha256 !== threads.weightsSha256) throw new Error(`${model}: other bits on nodes`);
    const ratio = threads.seconds / cluster.seconds;
    ratios.push(ratio);
    gradientBytes = threads.gradientBytes;
    const speed = (seconds: number): string => `${(batch / seconds).toFixed(1)} images/s`;
    table.push([round, speed(threads.seconds), speed(cluster.seconds), ratio.toFixed(3), cluster.stolen]);
    if (json) {
      process.stdout.write(
        `${JSON.stringify({ type: 'round', model, nodes, round, threads, cluster, ratio })}\n`,
      );
    }
  }
  const up = (cluster?.bytesUp ?? 0) / gradientBytes;
  const down = (cluster?.bytesDown ?? 0) / gradientBytes;
  if (json) {
    const figures = { model, nodes, ratio: median(ratios), up, down };
    process.stdout.write(`${JSON.stringify({ type: 'result', ...figures })}\n`);
  } else {
    process.stdout.write(
      `${model}, batch ${batch}: ${nodes} nodes of one thread reach ${median(ratios).toFixed(3)} of ${nodes} threads\n` +
        `${table.toString()}\n` +
        `bytes of a step and node: ${down.toFixed(3)} times the weights down, ${up.toFixed(3)} times the gradient up\n\n`,
    );
  }
}
