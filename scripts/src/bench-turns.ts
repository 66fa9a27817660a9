/**
 * What a cluster costs against threads on a machine whose speed changes from second to second: nodes over loopback and as
 * many threads of one process are started side by side and take turns of a few seconds, while the others are stopped.
 *
 *   npm run bench:turns -- [--model resnet20] [--nodes 2] [--turns 12] [--seconds 4] [--warm-up 20] [--json]
 */
import { median } from '@lockstep/coordinator/plan/program-timing.ts';
import { checkModelName } from '@lockstep/shared/model/zoo.ts';
import { commandLine, numberFlag, readFlags } from './flags.ts';
import { stepsWithin, TurnTaker } from './turns/turn-taker.ts';

const { model, ranks, batch, turns, seconds, warmUp, json } = commandLine(() => {
  const { values } = readFlags({
    options: {
      model: { type: 'string', default: 'resnet20' },
      nodes: { type: 'string', default: '2' },
      batch: { type: 'string', default: '128' },
      turns: { type: 'string', default: '12' },
      seconds: { type: 'string', default: '4' },
      'warm-up': { type: 'string', default: '20' },
      json: { type: 'boolean', default: false },
    },
  });
  checkModelName(values.model);
  return {
    model: values.model,
    ranks: numberFlag('nodes', values.nodes, { whole: true, most: 64 }),
    batch: numberFlag('batch', values.batch, { whole: true }),
    turns: numberFlag('turns', values.turns, { whole: true }),
    seconds: numberFlag('seconds', values.seconds),
    warmUp: numberFlag('warm-up', values['warm-up'], { least: 0 }),
    json: values.json,
  };
});
/** Milliseconds after which a run that goes on has its code and data in the caches again. */
const settling = 150;

const sleep = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** One turn. @returns milliseconds of each step that lies in it */
async function turn(run: TurnTaker): Promise<number[]> {
  run.resume();
  const from = performance.now() + settling;
  await Promise.race([sleep(1000 * seconds), run.over]);
  run.pause();
  const to = performance.now();
  // Lines that were on their way.
  await sleep(20);
  return stepsWithin(run.steps, from, to);
}

const runs: TurnTaker[] = [];
let isInterrupted = false;
/** Nobody is left behind, stopped. */
const stopAll = (): Promise<void[]> => Promise.all(runs.map((run) => run.stop()));
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => {
    isInterrupted = true;
    void stopAll().finally(() => process.exit(code));
  });
}
try {
  for (const nodes of [false, true]) {
    const run = await TurnTaker.start({ model, batch, shards: 8, ranks, nodes });
    runs.push(run);
    await Promise.race([sleep(1000 * warmUp), run.over]);
    run.pause();
  }
  const [threads, nodes] = runs as [TurnTaker, TurnTaker];
  const all: [number[], number[]] = [[], []];
  const ratios: number[] = [];
  for (let i = 0; i < turns; i++) {
    // Whoever is first changes, so that what becomes slower steadily favours nobody.
    const second = i % 2 === 0 ? null : await turn(nodes);
    const own = await turn(threads);
    const other = second ?? (await turn(nodes));
    if (own.length === 0 || other.length === 0)
      throw new Error('no step fits into a turn: use more --seconds');
    all[0].push(...own);
    all[1].push(...other);
    ratios.push(mean(own) / mean(other));
    const line = { type: 'turn', turn: i + 1, threads: mean(own), nodes: mean(other), ratio: ratios.at(-1) };
    if (json) process.stdout.write(`${JSON.stringify(line)}\n`);
  }
  const ratio = mean(all[0]) / mean(all[1]);
  const [low, high] = [0.25, 0.75].map((part) => ratios.toSorted((a, b) => a - b)[Math.floor(part * turns)]);
  const steps = all.map(({ length }) => length);
  if (json) {
    const result = {
      type: 'result',
      model,
      ranks,
      ratio,
      median: median(ratios),
      low,
      high,
      steps,
    };
    process.stdout.write(`${JSON.stringify(result)}\n`);
  } else {
    process.stdout.write(
      `${model}, batch ${batch}: ${ranks} nodes of one thread reach ${ratio.toFixed(3)} of ${ranks} threads ` +
        `(all steps; turn by turn ${median(ratios).toFixed(3)}, half of them ${low?.toFixed(3)} to ${high?.toFixed(3)})\n` +
        `${((1000 * batch) / mean(all[0])).toFixed(0)} images/s on threads, ${((1000 * batch) / mean(all[1])).toFixed(0)} on nodes; ` +
        `${steps.join(' and ')} steps\n`,
    );
  }
} catch (thrown) {
  // A terminal interrupts the runs as well: that they have ended is no news.
  if (!isInterrupted) throw thrown;
} finally {
  await stopAll();
}
