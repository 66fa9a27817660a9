/** Carries out hostile sessions against a port, some at a time, at a stated pace. */
import { connect } from 'node:net';
import { decodeFrame, encodeFrame } from '@lockstep/shared/protocol/frame.ts';
import { defaultLimits, largestFrameBytes } from '@lockstep/shared/protocol/limits.ts';
import {
  coordinatorToNode,
  type CoordinatorMessage,
  protocolVersion,
} from '@lockstep/shared/protocol/messages.ts';
import { pause } from '../helpers/cluster.ts';
import { Dice } from '../helpers/dice.ts';
import { RawWebSocket, upgradeRequest, webSocketFrame } from '../helpers/raw-websocket.ts';
import { honestFrame, hostileFrame } from './frame-mutations.ts';
import { type Hello, poisonedFloats } from './sample-messages.ts';

export interface AttackOptions {
  readonly port: number;
  readonly seed: number;
  /** A hello that the coordinator accepts: with its token and the right fingerprints. */
  readonly hello: Hello;
  /** Frames a second, all sessions together. */
  readonly pace: number;
  /** Sessions at a time. */
  readonly width: number;
}

export type SessionKind = 'garbage' | 'silent' | 'touch' | 'stranger' | 'impostor' | 'traitor';

/** How often each kind comes; a traitor takes work and spoils it, so it costs the run a recomputation. */
const weights: readonly (readonly [SessionKind, number])[] = [
  ['garbage', 10],
  ['silent', 3],
  ['touch', 17],
  ['stranger', 45],
  ['impostor', 24],
  ['traitor', 1],
];

/** Milliseconds after which a session is given up. */
const sessionLimit = 8000;

/** Milliseconds within which it is told why it is sent away, if it is: a busy machine answers late. */
const answerLimit = 4000;

/** What a session has heard. */
interface Heard {
  welcome: CoordinatorMessage<'welcome'> | null;
  assign: CoordinatorMessage<'assign'> | null;
  refused: boolean;
}

export class Attacker {
  private readonly options: AttackOptions;
  private next = 0;
  frames = 0;
  connections = 0;
  readonly sessions = Object.fromEntries(weights.map(([kind]) => [kind, 0])) as Record<SessionKind, number>;
  /** Codes with which the coordinator sent sessions away. */
  readonly refusals = new Map<string, number>();
  /** Times that the coordinator could not be reached at all: it must never happen. */
  unreachable = 0;

  constructor(options: AttackOptions) {
    this.options = options;
  }

  /** Attacks until so many frames were sent in all, or until `until` says so. @param kinds to leave out */
  async attack(frames: number, stop: () => boolean, without: readonly SessionKind[] = []): Promise<void> {
    const begun = performance.now();
    const before = this.frames;
    const worker = async () => {
      while (this.frames < frames && !stop()) {
        await this.session(this.next++, without);
        // Ahead of the pace: wait.
        const due = begun + ((this.frames - before) / this.options.pace) * 1000;
        if (due > performance.now()) await pause(Math.min(1000, due - performance.now()));
      }
    };
    await Promise.all(Array.from({ length: this.options.width }, worker));
  }

  private kindOf(dice: Dice, without: readonly SessionKind[]): SessionKind {
    const allowed = weights.filter(([kind]) => !without.includes(kind));
    let left = dice.below(allowed.reduce((sum, [, weight]) => sum + weight, 0));
    for (const [kind, weight] of allowed) {
      left -= weight;
      if (left < 0) return kind;
    }
    return 'stranger';
  }

  private async session(index: number, without: readonly SessionKind[]): Promise<void> {
    const dice = new Dice(this.options.seed, index);
    const kind = this.kindOf(dice, without);
    this.sessions[kind]++;
    try {
      if (kind === 'touch') return await this.touch(dice);
      const peer = await RawWebSocket.open(this.options.port);
      this.connections++;
      try {
        await this.behave(kind, dice, peer);
      } finally {
        if (dice.chance(0.5)) peer.socket.destroy();
        else peer.socket.resetAndDestroy();
      }
    } catch (thrown) {
      if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ECONNREFUSED') this.unreachable++;
      else if (!(thrown instanceof Error && 'code' in thrown)) throw thrown;
    }
  }

  private async behave(kind: SessionKind, dice: Dice, peer: RawWebSocket): Promise<void> {
    if (kind === 'garbage') return await this.garbage(dice, peer);
    if (kind === 'silent') {
      this.frames++;
      // Half a handshake, or none; a second of it is enough to fill the places of strangers.
      if (dice.chance(0.5))
        peer.socket.write(upgradeRequest(this.options.port).slice(0, dice.between(1, 100)));
      else await peer.upgrade();
      await peer.change(dice.between(100, 1500));
      return;
    }
    if (!(await peer.upgrade())) return;
    if (kind === 'stranger') return await this.stranger(dice, peer);
    await this.impostor(dice, peer, kind === 'traitor');
  }

  /** Opens and drops connections. */
  private async touch(dice: Dice): Promise<void> {
    const count = dice.between(1, 20);
    await Promise.all(
      Array.from({ length: count }, () => {
        this.connections++;
        this.frames++;
        return new Promise<void>((resolve) => {
          const socket = connect(this.options.port, '127.0.0.1');
          socket.on('error', (error: NodeJS.ErrnoException) => {
            if (error.code === 'ECONNREFUSED') this.unreachable++;
            resolve();
          });
          socket.once('connect', () => socket.destroy());
          socket.once('close', () => resolve());
        });
      }),
    );
  }

  /** Bytes that are no HTTP, or hardly. */
  private async garbage(dice: Dice, peer: RawWebSocket): Promise<void> {
    const pieces = dice.between(1, 4);
    for (let i = 0; i < pieces && !peer.closed; i++) {
      const request = upgradeRequest(this.options.port, {
        [dice.pick(['Sec-WebSocket-Key', 'Sec-WebSocket-Version', 'Content-Length', 'X'])]: dice
          .bytes(dice.between(0, 20))
          .toString('hex'),
      });
      peer.socket.write(dice.chance(0.5) ? dice.bytes(dice.between(1, 3000)) : request);
      this.frames++;
      await peer.change(30);
    }
  }

  /** Hostile frames instead of a hello, several in one write. */
  private async stranger(dice: Dice, peer: RawWebSocket): Promise<void> {
    const wrong: Hello = dice.chance(0.5)
      ? { ...this.options.hello, token: dice.pick([null, '', 'guess', 'x'.repeat(256)]) }
      : { ...this.options.hello, protocolVersion: dice.pick([0, protocolVersion + 1, 999]) };
    const count = dice.between(1, 12);
    const heard = this.listen(peer);
    const frames = Array.from({ length: count }, () => hostileFrame(dice, wrong));
    this.frames += count;
    peer.socket.write(Buffer.concat(frames));
    await sentAway(peer, heard);
  }

  /** Joins with the right token and then sends what it should not; as a traitor it takes work first. */
  private async impostor(dice: Dice, peer: RawWebSocket, traitor: boolean): Promise<void> {
    const { hello } = this.options;
    const instance = dice.bytes(16).toString('hex');
    const heard = this.listen(peer);
    const until = performance.now() + sessionLimit;
    peer.socket.write(honestFrame({ message: { ...hello, instance }, payload: new Uint8Array(0) }));
    this.frames++;
    const waiting = () => !peer.closed && performance.now() < until;
    while (heard.welcome === null && waiting()) await peer.change(200);
    if (heard.welcome === null) return;
    if (traitor) {
      const { dataset } = heard.welcome;
      const shas = { train: dataset.train.sha256, test: dataset.test.sha256 };
      const ready = { type: 'ready', dataset: shas, ranks: 1, imagesPerSecond: 1e6 } as const;
      peer.socket.write(honestFrame({ message: ready, payload: new Uint8Array(0) }));
      this.frames++;
      while (heard.assign === null && waiting()) await peer.change(200);
      if (heard.assign !== null) peer.socket.write(this.betrayal(dice, heard.assign));
    }
    const count = dice.between(1, 30);
    this.frames += count;
    peer.socket.write(Buffer.concat(Array.from({ length: count }, () => hostileFrame(dice, hello))));
    await sentAway(peer, heard);
  }

  /** A gradient for one's own assignment that is poisoned, of another step, too long, or never ends. */
  private betrayal(dice: Dice, assign: CoordinatorMessage<'assign'>): Buffer {
    this.frames++;
    const { assignment } = assign;
    const step = assign.step + dice.pick([0, 0, 0, 1, -1]);
    const floats = dice.pick([1000, 75_290, 200_000]);
    const header = { type: 'gradient-part', assignment, step: Math.max(0, step), subtree: 0, dtype: 'f32' };
    const payload = poisonedFloats(dice, floats);
    return webSocketFrame(encodeFrame({ ...header, from: 0, to: floats }, payload));
  }

  private open(bytes: Uint8Array) {
    const frame = decodeFrame(bytes, defaultLimits, largestFrameBytes(defaultLimits));
    if (!frame.ok) return null;
    const parsed = coordinatorToNode.safeParse(frame.header);
    return parsed.success ? parsed.data : null;
  }

  private listen(peer: RawWebSocket): Heard {
    const heard: Heard = { welcome: null, assign: null, refused: false };
    peer.onFrame = (bytes) => {
      const message = this.open(bytes);
      if (message?.type === 'welcome') heard.welcome = message;
      if (message?.type === 'assign') heard.assign = message;
      if (message?.type !== 'refused') return;
      heard.refused = true;
      this.refusals.set(message.code, (this.refusals.get(message.code) ?? 0) + 1);
    };
    return heard;
  }
}

async function sentAway(peer: RawWebSocket, heard: Heard): Promise<void> {
  const until = performance.now() + answerLimit;
  while (!heard.refused && !peer.closed && performance.now() < until) await peer.change(200);
}
