/** The status of a cluster as a table. Pure. */
import Table from 'cli-table3';
import type { ClusterStatus } from '../cluster/cluster-status.ts';
import { asBytes, asDuration, asRate, inThousands } from './format.ts';

export function statusText(status: ClusterStatus): string {
  const table = new Table({
    style: { head: [], border: [], compact: true },
    head: [
      'node',
      'ranks',
      'shards',
      'late',
      'images/s',
      'down/step',
      'up/step',
      'computing',
      'waiting',
      'on the wire',
    ],
    colAligns: ['left', ...Array.from({ length: 9 }, () => 'right' as const)],
  });
  const time = (seconds: number | null): string => (seconds === null ? '-' : asDuration(seconds));
  for (const member of status.members) {
    table.push([
      member.node === 0 ? member.name : `${member.node} ${member.name}`,
      String(member.ranks),
      inThousands(member.shards),
      inThousands(member.late),
      asRate(member.imagesPerSecond),
      member.node === 0 ? '-' : asBytes(member.bytesDown),
      member.node === 0 ? '-' : asBytes(member.bytesUp),
      time(member.computeSeconds),
      time(member.waitSeconds),
      time(member.wireSeconds),
    ]);
  }
  const { slowest } = status;
  return [
    `${inThousands(status.step)} steps committed, up for ${asDuration(status.seconds)}`,
    status.members.length === 0 ? 'nobody computes' : table.toString(),
    ...(slowest === null ? [] : [`slowest: ${slowest.name}, ${slowest.phase}`]),
    `last decision: ${status.lastDecision}`,
  ].join('\n');
}
