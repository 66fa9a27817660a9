/**
 * Assignments of a step that this node is not at: of the next one, given ahead so that ranks can go on by themselves, or
 * of the one before, when somebody was lost who had its last shards. Pure decisions, and the list they are about.
 */
import type { CoordinatorMessage } from '@lockstep/shared/protocol/messages.ts';

export interface Standing {
  /** The step that the node is at. */
  readonly step: number;
  /** Whether it has subtrees of it that are not complete. */
  readonly isBusy: boolean;
  /** Whether its ranks can compute them: while they cannot, nothing of them has been sent. */
  readonly isComputable: boolean;
  /** The lowest step that an assignment is held of; null for none. */
  readonly held: number | null;
}

/** stay: go on as before. turn: begin with what is held. turn back: put down what is begun, for an older step. */
export type Turn = 'stay' | 'turn' | 'turn back';

/** Pure: does the node go to another step? A step that can be finished is, whichever it is. */
export function decideTurn({ step, isBusy, isComputable, held }: Standing): Turn {
  if (held === null) return 'stay';
  if (!isBusy) return 'turn';
  return held < step && !isComputable ? 'turn back' : 'stay';
}

export class HeldAssignments {
  private messages: CoordinatorMessage<'assign'>[] = [];

  /** The lowest step of what is held, or null. */
  get step(): number | null {
    const { messages } = this;
    return messages.length === 0 ? null : Math.min(...messages.map(({ step }) => step));
  }

  hold(message: CoordinatorMessage<'assign'>): void {
    this.messages.push(message);
  }

  has(assignment: number): boolean {
    return this.messages.some((message) => message.assignment === assignment);
  }

  drop(assignment: number): void {
    this.messages = this.messages.filter((message) => message.assignment !== assignment);
  }

  clear(): void {
    this.messages = [];
  }

  /** Those of a step, in the order in which they came; they are not held any more. */
  take(step: number): CoordinatorMessage<'assign'>[] {
    const taken = this.messages.filter((message) => message.step === step);
    this.messages = this.messages.filter((message) => message.step !== step);
    return taken;
  }
}
