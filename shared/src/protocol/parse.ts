/** From a header to a message: the schema of the direction, and the version before anything else. */
import type { z } from 'zod';
import type { Header } from './frame.ts';
import {
  type CoordinatorToNode,
  coordinatorToNode,
  type NodeToCoordinator,
  nodeToCoordinator,
  protocolVersion,
} from './messages.ts';
import { type Refusal, refusal } from './refusal.ts';

export interface Parsed<M> {
  readonly ok: true;
  readonly message: M;
}

/** Checks what a node sent. @returns MESSAGE_INVALID with the field's name, or PROTOCOL_VERSION */
export function parseNodeMessage(header: Header): Parsed<NodeToCoordinator> | Refusal {
  return versionTrouble(header, 'hello', 'node') ?? parse(nodeToCoordinator, header);
}

/** Checks what the coordinator sent. @returns MESSAGE_INVALID with the field's name, or PROTOCOL_VERSION */
export function parseCoordinatorMessage(header: Header): Parsed<CoordinatorToNode> | Refusal {
  return versionTrouble(header, 'welcome', 'coordinator') ?? parse(coordinatorToNode, header);
}

/** A greeting of another version may have other fields: its version is named, not its fields. */
function versionTrouble(header: Header, greeting: string, peer: string): Refusal | null {
  const { type, protocolVersion: theirs } = header;
  if (type !== greeting || !Number.isSafeInteger(theirs) || theirs === protocolVersion) return null;
  return refusal(
    'PROTOCOL_VERSION',
    `this side speaks version ${protocolVersion} of the protocol, the ${peer} version ${String(theirs)}`,
  );
}

function parse<M>(schema: z.ZodType<M>, header: Header): Parsed<M> | Refusal {
  const parsed = schema.safeParse(header);
  if (parsed.success) return { ok: true, message: parsed.data };
  const { type } = header;
  const name = typeof type === 'string' ? `'${type.slice(0, 40)}'` : 'without a type';
  const issue = parsed.error.issues[0];
  const where = issue?.path.length ? `${issue.path.join('.')}: ` : '';
  return refusal('MESSAGE_INVALID', `message ${name}: ${where}${issue?.message.slice(0, 200) ?? 'invalid'}`);
}
