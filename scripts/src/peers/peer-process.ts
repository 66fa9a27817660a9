/**
 * A peer that has started: measures when asked, and stands still in between. Two idle processes of gloo wake 200 times a
 * second, and V8 tidies up when nothing else is to be done: whoever uses all cores would pay for it.
 */
import { type Command, LineProcess } from './line-process.ts';
import {
  type Measured,
  measureRequest,
  parsePeerMessage,
  type PeerMessage,
  type Ready,
} from './peer-message.ts';
import { wakeAtTheEnd } from './waker.ts';

/** Seconds until a peer must be ready: importing a large library on a busy machine, and its first step. */
const startLimit = 600;

/** Seconds that a measurement may take: whole steps, and a slow peer finishes the one it has begun. */
const measureLimit = 1800;

/** Windows cannot stop a process. */
const canStop = process.platform !== 'win32';

export class PeerProcess {
  readonly ready: Ready;
  private readonly lines: LineProcess;

  private constructor(lines: LineProcess, ready: Ready) {
    this.lines = lines;
    this.ready = ready;
    if (canStop) wakeAtTheEnd([lines.id, ...ready.others]);
    this.signal('SIGSTOP');
  }

  /** Starts a peer. Rejects, with the reason as the message, when it cannot run here. */
  static async start(command: Command): Promise<PeerProcess> {
    const lines = new LineProcess(command);
    try {
      return new PeerProcess(lines, await next(lines, 'ready', startLimit));
    } catch (thrown) {
      await lines.stop();
      throw thrown;
    }
  }

  /** Whole training steps for about so many seconds. Rejects with the reason when the peer fails. */
  async measure(seconds: number): Promise<Measured> {
    this.signal('SIGCONT');
    this.lines.send(measureRequest(seconds));
    try {
      return await next(this.lines, 'measured', measureLimit);
    } finally {
      this.signal('SIGSTOP');
    }
  }

  async stop(): Promise<void> {
    this.signal('SIGCONT');
    await this.lines.stop();
  }

  /** To all of its processes, unless they are gone. */
  private signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    if (!canStop) return;
    this.lines.signal(name);
    for (const id of this.ready.others) {
      try {
        process.kill(id, name);
      } catch {
        // It has ended, as the peer will tell.
      }
    }
  }
}

async function next<K extends PeerMessage['kind']>(
  lines: LineProcess,
  kind: K,
  limit: number,
): Promise<Extract<PeerMessage, { kind: K }>> {
  for (;;) {
    const message = parsePeerMessage(await lines.nextLine(limit));
    if (message?.kind === 'failed') throw new Error(message.reason);
    if (message?.kind === kind) return message as Extract<PeerMessage, { kind: K }>;
  }
}
