/** What `lockstep status` is told: plain data. */
import type { ClusterWorkforce } from './cluster-workforce.ts';
import type { NodeMember } from './node-member.ts';
import type { WeightsBroadcast } from './weights-broadcast.ts';

export interface MemberStatus {
  /** 0 is the coordinator itself. */
  readonly node: number;
  readonly name: string;
  readonly ranks: number;
  readonly shards: number;
  readonly samples: number;
  /** Results that came too late to count. */
  readonly late: number;
  readonly imagesPerSecond: number;
  /** Bytes a step, down to the node and up from it; 0 for the coordinator. */
  readonly bytesDown: number;
  readonly bytesUp: number;
  /** Summed over ranks since it joined; null for the coordinator. */
  readonly computeSeconds: number | null;
  readonly waitSeconds: number | null;
  readonly wireSeconds: number | null;
  /** What most of its time goes into. */
  readonly phase: 'computing' | 'waiting' | 'on the wire';
}

export interface ClusterStatus {
  readonly type: 'result';
  readonly step: number;
  readonly seconds: number;
  readonly members: readonly MemberStatus[];
  /** Name and phase of the slowest rank for rank; null when there is nobody. */
  readonly slowest: { readonly name: string; readonly phase: string } | null;
  readonly lastDecision: string;
}

export function clusterStatus(
  workforce: ClusterWorkforce,
  nodes: readonly NodeMember[],
  weights: WeightsBroadcast,
  seconds: number,
): ClusterStatus {
  const members = workforce.present().map((member): MemberStatus => {
    const { id, name, ranks, record } = member;
    const node = nodes.find((one) => one.id === id);
    const { down, up } = node?.traffic.perStep ?? { down: 0, up: 0 };
    const { computeSeconds, waitSeconds, wireSeconds } = record;
    const phases = [
      ['computing', computeSeconds],
      ['waiting', waitSeconds],
      ['on the wire', wireSeconds],
    ] as const;
    const [phase] = node === undefined ? phases[0] : phases.reduce((a, b) => (b[1] > a[1] ? b : a));
    return {
      node: id,
      name,
      ranks,
      shards: record.shards,
      samples: record.samples,
      late: record.late,
      phase,
      imagesPerSecond: record.imagesPerSecond,
      bytesDown: down,
      bytesUp: up,
      computeSeconds: node === undefined ? null : computeSeconds,
      waitSeconds: node === undefined ? null : waitSeconds,
      wireSeconds: node === undefined ? null : wireSeconds,
    };
  });
  const slowest = members.toSorted((a, b) => a.imagesPerSecond / a.ranks - b.imagesPerSecond / b.ranks)[0];
  return {
    type: 'result',
    step: weights.step,
    seconds,
    members,
    slowest: slowest === undefined ? null : { name: slowest.name, phase: slowest.phase },
    lastDecision: workforce.lastDecision,
  };
}
