/** The door: from received bytes to a checked message, in one call. A connection hands every frame to it first. */
import {
  admittedCoordinatorBytes,
  type CoordinatorGuard,
  judgeCoordinatorMessage,
} from './coordinator-guard.ts';
import { decodeFrame, type Header } from './frame.ts';
import type { Limits } from './limits.ts';
import type { CoordinatorToNode, NodeToCoordinator } from './messages.ts';
import { admittedFrameBytes, judgeNodeMessage, type NodeGuard } from './node-guard.ts';
import { type Parsed, parseCoordinatorMessage, parseNodeMessage } from './parse.ts';
import type { Refusal } from './refusal.ts';
import { type Drop, drop, type Verdict } from './verdict.ts';

/** What to do with a frame. Only an accepted one shows its message. */
export type Received<M> =
  | { readonly kind: 'accept'; readonly message: M; readonly payload: Uint8Array; readonly reason: string }
  | { readonly kind: 'ignore'; readonly reason: string }
  | Drop;

interface Opened<M> {
  readonly message: M;
  readonly payload: Uint8Array;
}

function open<M>(
  bytes: Uint8Array,
  limits: Limits,
  largest: number,
  parse: (header: Header) => Parsed<M> | Refusal,
): Opened<M> | Drop {
  const frame = decodeFrame(bytes, limits, largest);
  if (!frame.ok) return drop(frame.code, frame.reason);
  const parsed = parse(frame.header);
  if (!parsed.ok) return drop(parsed.code, parsed.reason);
  return { message: parsed.message, payload: frame.payload };
}

function received<M>({ message, payload }: Opened<M>, verdict: Verdict): Received<M> {
  if (verdict.kind === 'drop') return verdict;
  const { kind, reason } = verdict;
  return kind === 'accept' ? { kind, message, payload, reason } : { kind, reason };
}

/** A frame from a node. @param now milliseconds of a clock that never goes back */
export function receiveFromNode(
  guard: NodeGuard,
  bytes: Uint8Array,
  now: number,
): { readonly guard: NodeGuard; readonly received: Received<NodeToCoordinator> } {
  const opened = open(bytes, guard.limits, admittedFrameBytes(guard), parseNodeMessage);
  if ('kind' in opened) return { guard, received: opened };
  const judged = judgeNodeMessage(guard, opened.message, opened.payload.length, now);
  return { guard: judged.guard, received: received(opened, judged.verdict) };
}

/** A frame from the coordinator. @param now milliseconds of a clock that never goes back */
export function receiveFromCoordinator(
  guard: CoordinatorGuard,
  bytes: Uint8Array,
  now: number,
): { readonly guard: CoordinatorGuard; readonly received: Received<CoordinatorToNode> } {
  const opened = open(bytes, guard.limits, admittedCoordinatorBytes(guard), parseCoordinatorMessage);
  if ('kind' in opened) return { guard, received: opened };
  const judged = judgeCoordinatorMessage(guard, opened.message, opened.payload.length, now);
  return { guard: judged.guard, received: received(opened, judged.verdict) };
}
