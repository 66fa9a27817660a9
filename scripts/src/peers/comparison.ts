/** One workload, all its peers, round by round. */
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { isFarBehind, type Samples } from './figures.ts';
import type { VectorLimit } from './machine.ts';
import {
  type EngineName,
  engineNames,
  lockstepPeers,
  type PeerSpec,
  type Workload,
} from './peer-catalogue.ts';
import { findPytorch, findTfjs, leftOut, type Missing } from './peer-discovery.ts';
import { PeerProcess } from './peer-process.ts';

export interface ComparisonOptions {
  readonly rounds: number;
  /** Seconds of each measurement. */
  readonly seconds: number;
  /** Seconds that each peer works before anything counts. */
  readonly warmUp: number;
  readonly engines: readonly EngineName[];
  readonly quick: boolean;
  /** Vector instructions that the other libraries are held to; null: their best. */
  readonly limit: VectorLimit | null;
  readonly python?: string | undefined;
  readonly tfjs?: string | undefined;
  /** Which of the peers take part; all by default. */
  readonly select?: (spec: PeerSpec) => boolean;
}

export interface Comparison {
  readonly workload: Workload;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUp: number;
  readonly limit: VectorLimit | null;
  readonly samples: readonly Samples[];
  readonly missing: readonly Missing[];
}

/** Share of the work that is done, and what is going on. */
export type OnProgress = (share: number, text: string) => void;

/** A peer that takes part: out when it fails in the middle. */
interface Participant {
  readonly spec: PeerSpec;
  readonly process: PeerProcess;
  readonly rates: number[];
  peakBytes: number | null;
  failure: string | null;
}

/**
 * Starts every peer, lets each measure once in every round after one that warms up, and stops them. Peers that are
 * missing or fail are reported; only Lockstep must work.
 *
 * @throws LockstepError RANK_FAILED when Lockstep itself fails
 */
export async function compare(
  workload: Workload,
  options: ComparisonOptions,
  onProgress: OnProgress,
): Promise<Comparison> {
  const { rounds, seconds, warmUp, engines } = options;
  const chosen = (specs: readonly PeerSpec[]) => specs.filter(options.select ?? (() => true));
  const missing: Missing[] = engineNames.filter((name) => !engines.includes(name)).map(leftOut);
  const participants: Participant[] = [];
  const start = async (spec: PeerSpec): Promise<void> => {
    try {
      const peer = await PeerProcess.start(spec.command);
      participants.push({ spec, process: peer, rates: [], peakBytes: null, failure: null });
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      if (spec.engine === 'lockstep') throw lockstepFailed(spec, reason);
      missing.push({ title: `${spec.title}, ${inCores(spec.cores)}`, reason, remedy: '' });
    }
  };
  try {
    // One after the other: ours chooses its kernels by a short measurement, the others need memory to load.
    const others: PeerSpec[] = [];
    if (engines.includes('pytorch')) {
      const found = await findPytorch(workload, options.python, options.limit);
      others.push(...found.peers);
      missing.push(...found.missing);
    }
    if (engines.includes('tfjs')) {
      const found = findTfjs(workload, options.tfjs, options.quick);
      others.push(...found.peers);
      missing.push(...found.missing);
    }
    const specs = chosen([...(engines.includes('lockstep') ? lockstepPeers(workload) : []), ...others]);
    for (const [i, spec] of specs.entries()) {
      onProgress(0, `starting ${i + 1} of ${specs.length}: ${spec.title}`);
      await start(spec);
    }
    await measureRounds(participants, options, onProgress);
  } finally {
    await Promise.all(participants.map((participant) => participant.process.stop()));
  }
  for (const { spec, failure } of participants) {
    if (failure === null) continue;
    missing.push({ title: `${spec.title}, ${inCores(spec.cores)}`, reason: failure, remedy: '' });
  }
  const samples = participants
    .filter(({ failure }) => failure === null)
    .map(({ spec, process, rates, peakBytes }) => {
      const { version, detail } = process.ready;
      return { spec, version, detail, rates, peakBytes };
    });
  return { workload, rounds, seconds, warmUp, limit: options.limit, samples, missing };
}

/** Every peer once a round, every other round in the opposite order: a machine that drifts favours nobody. */
async function measureRounds(
  participants: readonly Participant[],
  { rounds, seconds, warmUp }: ComparisonOptions,
  onProgress: OnProgress,
): Promise<void> {
  const plan: { readonly participant: Participant; readonly counts: boolean }[] = [];
  const steady = participants.filter(({ spec }) => !spec.once);
  for (let round = -1; round < rounds; round++) {
    const order = round % 2 === 0 ? steady : steady.toReversed();
    for (const participant of order) plan.push({ participant, counts: round >= 0 });
  }
  for (const participant of participants) if (participant.spec.once) plan.push({ participant, counts: true });
  for (const [i, { participant, counts }] of plan.entries()) {
    const { spec, process, rates, failure } = participant;
    if (failure !== null) continue;
    const fastest = Math.max(0, ...participants.flatMap((one) => one.rates));
    if (counts && isFarBehind(rates, fastest)) continue;
    onProgress(i / plan.length, `${spec.title}, ${inCores(spec.cores)}`);
    try {
      const measured = await process.measure(counts ? seconds : warmUp);
      if (counts) rates.push(measured.imagesPerSecond);
      participant.peakBytes = measured.peakBytes;
    } catch (thrown) {
      participant.failure = thrown instanceof Error ? thrown.message : String(thrown);
      if (spec.engine === 'lockstep') throw lockstepFailed(spec, participant.failure);
    }
  }
}

function lockstepFailed(spec: PeerSpec, reason: string): LockstepError {
  return new LockstepError('RANK_FAILED', `${spec.title}, ${inCores(spec.cores)}: ${reason}`, '');
}

/** `1 core`, `2 cores`. */
export function inCores(cores: number): string {
  return cores === 1 ? '1 core' : `${cores} cores`;
}
