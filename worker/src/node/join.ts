/** A node's life: connect, compute, come back when the connection is lost, until the run is over. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { LockstepError, type ErrorCode, exitCodeOf } from '@lockstep/shared/base/errors.ts';
import { defaultLimits, type Limits } from '@lockstep/shared/protocol/limits.ts';
import { protocolVersion } from '@lockstep/shared/protocol/messages.ts';
import { decideBackOff, decideRetry } from './back-off.ts';
import { examineMachine, gigaflopsOf } from './fingerprints.ts';
import { collectGarbageSeldom } from './garbage.ts';
import type { NodeListener, NodeResult } from './node-events.ts';
import { NodeSession, type SessionEnd } from './node-session.ts';
import type { ShardDesk } from './shard-desk.ts';
import type { Workplace } from './workplace.ts';

export interface JoinOptions {
  readonly url: string;
  readonly token: string | null;
  readonly name: string;
  readonly threads: number;
  readonly dataPath: string | null;
  readonly ca: string | null;
  /** Seconds after which a coordinator that does not answer is given up. */
  readonly patience: number;
  readonly version: string;
  /** Raised: leave politely. */
  readonly signal: AbortSignal;
  readonly limits?: Limits;
  readonly random?: () => number;
}

/**
 * Works for a coordinator until it says that the run is over, or until the signal is raised.
 *
 * @throws LockstepError what the coordinator refused this node for; COORDINATOR_UNREACHABLE
 */
export async function join(options: JoinOptions, listen: NodeListener): Promise<NodeResult> {
  const { url, name, threads, signal, random = Math.random, limits = defaultLimits } = options;
  const begun = performance.now();
  collectGarbageSeldom();
  const machine = await examineMachine();
  const hello = {
    type: 'hello',
    protocolVersion,
    token: options.token,
    instance: randomBytes(16).toString('hex'),
    name,
    threads,
    gigaflops: gigaflopsOf(machine, threads),
    fingerprints: machine.fingerprints,
    runtime: {
      lockstep: options.version,
      node: process.version,
      platform: `${process.platform}-${process.arch}`,
    },
  } as const;
  let workplace: Workplace | null = null;
  let previous: ShardDesk | null = null;
  let failures = 0;
  let heardAt = performance.now();
  let connections = 0;
  const totals = { shards: 0, samples: 0 };
  const result = (reason: string): NodeResult => ({
    ...({ type: 'result', name, ...totals, connections } as const),
    seconds: (performance.now() - begun) / 1000,
    reason,
    interrupted: signal.aborted,
  });
  try {
    while (!signal.aborted) {
      listen({ type: 'connecting', url });
      const { dataPath, ca } = options;
      const session: NodeSession = new NodeSession({
        url,
        hello,
        machine,
        threads,
        dataPath,
        ca,
        limits,
        listen,
        workplace,
        previous,
      });
      const leave = (): void => void session.leave(`ended by the user`);
      signal.addEventListener('abort', leave, { once: true });
      const end: SessionEnd = await session.ended;
      signal.removeEventListener('abort', leave);
      workplace = session.workplace;
      previous = session.desk ?? previous;
      totals.shards += session.desk?.shardsDone ?? 0;
      totals.samples += session.desk?.samplesDone ?? 0;
      if (end.welcomed) {
        connections += 1;
        failures = 0;
        heardAt = performance.now();
      }
      if (end.kind === 'over' || end.kind === 'left') return result(end.reason);
      failures += 1;
      const retry = decideRetry(end.code, performance.now() - heardAt, options.patience * 1000);
      if (!retry.again) throw asError(end, url, retry.reason);
      const pause = decideBackOff(failures, random());
      const reason = `${end.reason}; ${pause.reason}`;
      listen({ type: 'reconnecting', milliseconds: pause.milliseconds, reason });
      await sleep(pause.milliseconds, undefined, { signal }).catch(() => {});
    }
    return result('ended by the user');
  } finally {
    await workplace?.host.pool.close();
  }
}

function asError({ code, reason, advice }: SessionEnd, url: string, why: string): LockstepError {
  if (code !== null && code in exitCodeOf) {
    // An error of this side's has its advice in its message already.
    const what = advice !== '' && reason.endsWith(advice) ? reason.slice(0, -advice.length).trim() : reason;
    return new LockstepError(code as ErrorCode, sentence(what), advice, { url });
  }
  return new LockstepError(
    'COORDINATOR_UNREACHABLE',
    `The coordinator at ${url} cannot be reached: ${reason} (${why}).`,
    'Check the address, the port and the network, and that the coordinator runs.',
    { url },
  );
}

function sentence(text: string): string {
  const upper = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(upper) ? upper : `${upper}.`;
}
