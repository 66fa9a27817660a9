/**
 * Every limit of the protocol: its value, its unit, the error code of whoever breaks it, and what it is for.
 * Guards take the values as an argument, so tests may set their own.
 */
import type { ErrorCode } from '../base/errors.ts';

export type LimitUnit = 'bytes' | 'milliseconds' | 'characters' | 'items' | 'per second';

export interface Limit {
  readonly value: number;
  readonly unit: LimitUnit;
  readonly code: ErrorCode;
  readonly about: string;
}

const KiB = 1024;
const MiB = 1024 * KiB;

function limit(value: number, unit: LimitUnit, code: ErrorCode, about: string): Limit {
  return { value, unit, code, about };
}

export const limitTable = {
  // Frames. No frame depends on the model's size: vectors travel in parts, so a stranger cannot make either
  // side keep more than one part, and heartbeats pass between the parts on a slow link.
  headerBytes: limit(256 * KiB, 'bytes', 'FRAME_TOO_LARGE', 'msgpack header of a frame'),
  headerItems: limit(20_000, 'items', 'FRAME_MALFORMED', 'values inside a header'),
  headerDepth: limit(8, 'items', 'FRAME_MALFORMED', 'maps and lists inside one another in a header'),
  partBytes: limit(MiB, 'bytes', 'FRAME_TOO_LARGE', 'payload of one part of weights or of a gradient'),
  momentsBytes: limit(4 * MiB, 'bytes', 'FRAME_TOO_LARGE', 'payload of moments or batch-norm sums'),
  chunkBytes: limit(MiB, 'bytes', 'FRAME_TOO_LARGE', 'one chunk of a data set'),
  helloFrameBytes: limit(4 * KiB, 'bytes', 'FRAME_TOO_LARGE', 'any frame before the hello is accepted'),

  // Times.
  helloTimeout: limit(5_000, 'milliseconds', 'HANDSHAKE_TIMEOUT', 'from the connection to the hello'),
  heartbeatEvery: limit(500, 'milliseconds', 'HEARTBEAT_LOST', 'between two heartbeats of either side'),
  silence: limit(2_000, 'milliseconds', 'HEARTBEAT_LOST', 'without any frame from the other side'),

  // Rates and counts of one connection.
  unaskedPerSecond: limit(50, 'per second', 'FLOOD', 'messages that nobody asked for, sustained'),
  unaskedBurst: limit(100, 'items', 'FLOOD', 'messages that nobody asked for, at once'),
  dataRequestsInFlight: limit(4, 'items', 'FLOOD', 'data requests not yet answered'),
  dataPasses: limit(3, 'items', 'DATA_BUDGET', 'times that one connection may fetch the whole data set'),
  openRuns: limit(1024, 'items', 'GRADIENT_INVALID', 'separate runs of a vector whose parts are coming in'),
  openAssignments: limit(256, 'items', 'MESSAGE_UNEXPECTED', 'assignments and evaluations open at a node'),

  // Counts of one coordinator, for whoever owns the sockets.
  nodes: limit(1024, 'items', 'COORDINATOR_FULL', 'nodes that have joined'),
  pendingHandshakes: limit(64, 'items', 'COORDINATOR_FULL', 'connections that have not said hello'),
  sendBufferBytes: limit(8 * MiB, 'bytes', 'FLOOD', 'unsent bytes of a connection above which sending waits'),
} as const satisfies Record<string, Limit>;

export type LimitName = keyof typeof limitTable;
export type Limits = Readonly<Record<LimitName, number>>;

/** The limits that hold unless somebody says otherwise. */
export const defaultLimits: Limits = limitsWith({});

/** The default limits with some of them replaced. */
export function limitsWith(overrides: Partial<Limits>): Limits {
  const values = Object.entries(limitTable).map(([name, { value }]) => [name, value]);
  return { ...(Object.fromEntries(values) as Limits), ...overrides };
}

/** Bytes in front of a frame's header, and the most that padding adds behind it. */
export const frameOverheadBytes = 16;

/**
 * The largest frame that any peer may send: what a WebSocket's `maxPayload` is set to. The sending side cuts
 * vectors into parts of at most `partBytes`.
 */
export function largestFrameBytes(limits: Limits): number {
  const payload = Math.max(limits.partBytes, limits.momentsBytes, limits.chunkBytes);
  return frameOverheadBytes + limits.headerBytes + payload;
}

/** Parts in which one vector may come: generous for small parts, bounded for crumbs. */
export function largestPartCount(floats: number): number {
  return 64 + Math.ceil(floats / 4096);
}
