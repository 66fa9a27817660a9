/** Runs that take turns: which steps count, and that one that was stopped goes on. */
import { type SeenStep, stepsWithin, TurnTaker } from '@lockstep/scripts/src/turns/turn-taker.ts';
import test from 'ava';

test('a step counts in a turn when all of it lies there', (t) => {
  const steps: SeenStep[] = [
    { endedAt: 100, duration: 50 },
    { endedAt: 160, duration: 60 },
    { endedAt: 200, duration: 40 },
    { endedAt: 290, duration: 90 },
  ];
  t.deepEqual(stepsWithin(steps, 60, 250), [60, 40]);
  t.deepEqual(stepsWithin(steps, 50, 290), [50, 60, 40, 90]);
  t.deepEqual(stepsWithin(steps, 300, 400), []);
});

test.serial(
  'two nodes and their coordinator are stopped in the middle, for longer than silence is allowed, and go on',
  async (t) => {
    const run = await TurnTaker.start({ model: 'resnet8', batch: 16, shards: 4, ranks: 2, nodes: true });
    t.teardown(() => run.stop());
    const sleep = (seconds: number): Promise<void> =>
      new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
    const until = async (count: number): Promise<void> => {
      while (run.steps.length < count) await Promise.race([sleep(0.01), run.over]);
    };
    await until(5);
    run.pause();
    await sleep(0.1);
    const before = run.steps.length;
    await sleep(3);
    t.is(run.steps.length, before, 'nothing happens while others have their turn');
    run.resume();
    await until(before + 5);
  },
);
