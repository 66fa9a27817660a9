/** Threads that may end anywhere: whoever ends before it is through is followed by another one in its seat. */
import { Worker } from 'node:worker_threads';

export interface MortalThreads<Work> {
  /** The module that every thread runs; it posts one message when it is through. */
  readonly entry: URL;
  readonly seats: number;
  /** What a thread is given. @param generation how many sat there before */
  readonly workOf: (seat: number, generation: number) => Work;
  /** A thread has ended. */
  readonly release: (seat: number) => void;
  readonly onThrough?: (message: unknown) => void;
}

/** Until every seat has had a thread that was through. @returns how many ended before */
export async function liveAndDie<Work>(threads: MortalThreads<Work>): Promise<number> {
  const { entry, seats, workOf, release, onThrough } = threads;
  let lost = 0;
  const life = (seat: number, generation: number): Promise<boolean> =>
    new Promise((resolve, reject) => {
      const thread = new Worker(entry, { workerData: workOf(seat, generation) });
      let isThrough = false;
      thread.on('message', (message: unknown) => {
        isThrough = true;
        onThrough?.(message);
      });
      thread.on('error', reject);
      thread.on('exit', () => {
        release(seat);
        resolve(isThrough);
      });
    });
  const live = async (seat: number): Promise<void> => {
    for (let generation = 0; !(await life(seat, generation)); generation++) lost += 1;
  };
  await Promise.all(Array.from({ length: seats }, (_, seat) => live(seat)));
  return lost;
}
