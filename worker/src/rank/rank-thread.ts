/**
 * The entry of a rank's thread. piscina sends it tasks; comlink sets it up and asks it things.
 */
import { MessageChannel, parentPort, threadId } from 'node:worker_threads';
import type { Profile } from './profile.ts';
import { Rank, type RankSetup } from './rank.ts';
import type { RankReport, RankTask } from './tasks.ts';
import { exposeOn } from './thread-port.ts';

/** First message of every thread: the port on which its API is served. */
export interface RankHello {
  readonly type: 'rank-hello';
  readonly threadId: number;
}

/** How a drill makes a rank fail: `throw` in the next task, or end the thread before it begins or in the middle of it. */
export type Fault = 'throw' | 'exit' | 'exit-midway';

let rank: Rank | null = null;
let fault: Fault | null = null;
/** A task threw: whatever else has been given to this thread is lost with it. */
let isBroken = false;
const ready = Promise.withResolvers<Rank>();
ready.promise.catch(() => {});

export const rankApi = {
  /** Builds the rank: compiles nothing, allocates its arena. */
  setUp(setup: RankSetup): void {
    try {
      rank = new Rank(setup);
      ready.resolve(rank);
    } catch (thrown) {
      // Tasks that wait for this rank must fail, and not wait for ever.
      ready.reject(thrown);
      throw thrown;
    }
  },
  /** Facts for people: bytes of the arena and of the thread's heap. */
  describe(): { threadId: number; arenaBytes: number; heapBytes: number } {
    return { threadId, arenaBytes: rank?.arenaBytes ?? 0, heapBytes: process.memoryUsage().heapUsed };
  },
  takeProfile(): Profile {
    return rank?.takeProfile() ?? [];
  },
  /** For drills: the next task fails. */
  failNext(how: Fault): void {
    fault = how;
  },
};

export type RankApi = typeof rankApi;

/** Runs one task. A thread that threw is not trusted again: it ends, and the pool starts a new one. */
export default async function runTask(task: RankTask): Promise<RankReport> {
  const worker = rank ?? (await ready.promise);
  if (isBroken) return new Promise<never>(() => {});
  try {
    if (fault) fail(fault, worker);
    return worker.run(task);
  } catch (thrown) {
    isBroken = true;
    setImmediate(() => {
      throw thrown;
    });
    return new Promise<never>(() => {});
  }
}

function fail(how: Fault, worker: Rank): void {
  if (how === 'exit') process.exit(3);
  fault = null;
  if (how === 'exit-midway') return worker.endMidway(() => process.exit(3));
  throw new Error('a drill made this rank fail');
}

const { port1, port2 } = new MessageChannel();
exposeOn(port1, rankApi);
// The port serves as long as the thread lives, and is no reason to live.
port1.unref();
const hello: RankHello = { type: 'rank-hello', threadId };
parentPort?.postMessage({ ...hello, port: port2 }, [port2]);
