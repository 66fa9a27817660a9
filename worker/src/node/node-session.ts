/** One connection of a node: from the hello to whatever ends it. */
import { createHash } from 'node:crypto';
import { asLockstepError } from '@lockstep/shared/base/errors.ts';
import {
  type CoordinatorGuard,
  judgeCoordinatorTime,
  noteCoordinatorAlive,
  noteFinished,
  noteJoined,
  noteReady,
  noteRequested,
  openCoordinatorGuard,
} from '@lockstep/shared/protocol/coordinator-guard.ts';
import { receiveFromCoordinator } from '@lockstep/shared/protocol/door.ts';
import { encodeFrame } from '@lockstep/shared/protocol/frame.ts';
import type { Limits } from '@lockstep/shared/protocol/limits.ts';
import type {
  CoordinatorMessage,
  CoordinatorToNode,
  NodeMessage,
  NodeToCoordinator,
} from '@lockstep/shared/protocol/messages.ts';
import type { WholeFrames } from '@lockstep/shared/protocol/whole-frames.ts';
import { WebSocket } from 'ws';
import { ChunkRequests } from './chunk-requests.ts';
import { connect, explain } from './coordinator-socket.ts';
import type { Machine } from './fingerprints.ts';
import type { NodeListener } from './node-events.ts';
import type { Outbox } from './outbox.ts';
import { ShardDesk } from './shard-desk.ts';
import { agreeOn, type Workplace } from './workplace.ts';
import { prepareWorkplace, suits } from './workplace-preparation.ts';

export interface SessionSetup {
  readonly url: string;
  readonly hello: NodeMessage<'hello'>;
  readonly machine: Machine;
  readonly threads: number;
  readonly dataPath: string | null;
  /** PEM certificates that the coordinator's may be signed by; null for the system's. */
  readonly ca: string | null;
  readonly limits: Limits;
  readonly listen: NodeListener;
  /** The ranks of the connection before, if its run is the same. */
  readonly workplace: Workplace | null;
  /** Whose ranks these were. */
  readonly previous: ShardDesk | null;
}

/** How a connection ended. */
export interface SessionEnd {
  /** over: the run has ended, or the coordinator wants no more of this node. left: this side said goodbye. */
  readonly kind: 'over' | 'left' | 'refused' | 'lost';
  /** Of a refusal, by either side; null when the network ended it. */
  readonly code: string | null;
  readonly reason: string;
  readonly advice: string;
  /** Whether the coordinator was ever heard. */
  readonly welcomed: boolean;
}

export class NodeSession {
  readonly ended: Promise<SessionEnd>;
  workplace: Workplace | null;
  desk: ShardDesk | null = null;
  private readonly setup: SessionSetup;
  private readonly socket: WebSocket;
  private readonly frames: WholeFrames;
  private readonly outbox: Outbox;
  private readonly settle: (end: SessionEnd) => void;
  private readonly cancelled = new AbortController();
  private readonly chunks = new ChunkRequests();
  private guard: CoordinatorGuard;
  private timer: NodeJS.Timeout | null = null;
  private tickedAt: number;
  private joinedAt = performance.now();
  private welcomed = false;
  private over = false;

  constructor(setup: SessionSetup) {
    const { promise, resolve } = Promise.withResolvers<SessionEnd>();
    this.setup = setup;
    this.ended = promise;
    this.settle = resolve;
    this.workplace = setup.workplace;
    this.guard = openCoordinatorGuard(setup.limits, performance.now());
    this.tickedAt = performance.now();
    const { socket, reading, outbox } = connect(setup, (data, binary) => this.take(data, binary));
    reading.onBytes = () => {
      this.guard = noteCoordinatorAlive(this.guard, performance.now());
    };
    this.socket = socket;
    this.frames = reading.frames;
    this.outbox = outbox;
    this.socket.on('open', () => {
      // It has been left while it was connecting: ticking would keep the process alive.
      if (this.over) return this.socket.terminate();
      this.guard = openCoordinatorGuard(setup.limits, performance.now());
      this.send(setup.hello);
      this.startTicking(setup.limits.heartbeatEvery);
    });
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      const { code, advice } = explain(error);
      this.end('lost', code, error.message, advice);
    });
    this.socket.on('close', (_code, why) =>
      this.end('lost', null, why.toString() || 'the connection was closed'),
    );
  }

  /** Hands back whatever this node has and ends the connection. */
  async leave(reason: string): Promise<void> {
    if (!this.over && this.socket.readyState === WebSocket.OPEN && this.welcomed) {
      this.desk?.close();
      await new Promise<void>((resolve) => {
        setTimeout(resolve, 1000).unref();
        this.socket.send(encodeFrame({ type: 'leaving', reason }), () => resolve());
      });
      this.socket.close(1000, 'leaving');
    }
    this.end('left', null, reason);
  }

  private take(data: Buffer, binary: boolean): void {
    if (this.over) return;
    if (!binary) return this.breakOff('FRAME_MALFORMED', 'a text message from the coordinator');
    const now = performance.now();
    const { guard, received } = receiveFromCoordinator(this.guard, data, now);
    this.guard = guard;
    if (received.kind === 'drop') return this.breakOff(received.code, received.reason);
    if (received.kind === 'ignore') return;
    try {
      this.act(received.message, received.payload);
      if (received.message.type === 'weights') this.frames.release(data);
    } catch (thrown) {
      const { code, message } = asLockstepError(thrown);
      this.breakOff(code, message);
    }
  }

  private act(message: CoordinatorToNode, payload: Uint8Array): void {
    switch (message.type) {
      case 'welcome':
        this.welcomed = true;
        void this.prepare(message).catch((thrown: unknown) => {
          if (this.over) return;
          const { code, message: text, advice } = asLockstepError(thrown);
          this.end('refused', code, text, advice);
        });
        return;
      case 'refused':
        return this.end('refused', message.code, message.reason, message.advice);
      case 'goodbye':
        return this.end(message.again ? 'lost' : 'over', null, message.reason);
      case 'data-chunk':
        return this.chunks.arrive(message.hash, message.offset, payload);
      case 'weights':
        return this.takeWeights(message, payload);
      case 'assign':
        return this.desk?.assign(message);
      case 'evaluate':
        return this.desk?.evaluate(message);
      case 'progress-request':
        return this.desk?.tellProgress(message.assignment);
      case 'revoke':
        this.desk?.revoke(message.assignment);
        this.guard = noteFinished(this.guard, message.assignment);
        return this.send({ type: 'released', assignment: message.assignment });
      case 'resynchronise':
        return this.desk?.forgetWeights();
      case 'sync-total':
        return this.desk?.takeTotal(message, payload);
      case 'heartbeat':
    }
  }

  private takeWeights(message: CoordinatorMessage<'weights'>, payload: Uint8Array): void {
    const { desk } = this;
    if (desk === null) return;
    desk.takeWeights(message, payload);
    const { weights: state } = this.guard;
    if (state?.computable) desk.weightsComputable(message.step);
    if (!state?.whole) return;
    if (message.hash) {
      const sha256 = createHash('sha256').update(desk.weights(message.step)).digest('hex');
      this.send({ type: 'weights-hash', step: message.step, sha256 });
    }
    desk.weightsComplete(message.step);
  }

  /** From the welcome to `ready`: agree, fetch, start ranks. */
  private async prepare(welcome: CoordinatorMessage<'welcome'>): Promise<void> {
    const { listen, hello, limits } = this.setup;
    const begun = performance.now();
    this.joinedAt = begun;
    const { heartbeatMilliseconds, silenceMilliseconds } = welcome;
    this.guard = {
      ...this.guard,
      limits: { ...limits, heartbeatEvery: heartbeatMilliseconds, silence: silenceMilliseconds },
    };
    this.startTicking(heartbeatMilliseconds);
    const agreement = agreeOn(welcome);
    const { recipe, terms, modelTitle } = agreement;
    this.guard = noteJoined(this.guard, terms);
    const { nodeId, dataset: description } = welcome;
    listen({
      type: 'joined',
      node: nodeId,
      name: hello.name,
      model: modelTitle,
      dataset: description.title,
      recipeSha256: welcome.recipeSha256,
    });
    const { train, test } = terms.splits;
    const kept = this.workplace;
    if (!suits(kept, { welcome, agreement })) {
      this.workplace = null;
      await kept?.host.pool.close();
      this.workplace = await prepareWorkplace({
        ...this.setup,
        welcome,
        agreement,
        fetchChunk: (hash, offset, length) => this.fetchChunk(hash, offset, length),
        signal: this.cancelled.signal,
      });
    }
    const { workplace } = this;
    // What the connection before had given out must be over: slots and outboxes are the same.
    await this.setup.previous?.idle();
    if (this.over || workplace === null) return;
    const { host } = workplace;
    const desk = { recipe, trainCount: train.count, host, wireDtype: terms.wireDtype, limits };
    this.desk = new ShardDesk(desk, this.outbox, (assignment) => {
      this.guard = noteFinished(this.guard, assignment);
    });
    this.send({
      type: 'ready',
      dataset: { train: train.sha256, test: test.sha256 },
      ranks: host.pool.size,
      imagesPerSecond: workplace.imagesPerSecond,
    });
    this.guard = noteReady(this.guard);
    listen({ type: 'ready', ranks: host.pool.size, seconds: (performance.now() - begun) / 1000 });
  }

  private fetchChunk(hash: string, offset: number, length: number): Promise<Uint8Array> {
    const chunk = this.chunks.expect(hash, offset);
    this.guard = noteRequested(this.guard, { hash, offset, length });
    this.send({ type: 'data-request', hash, offset, length });
    return chunk;
  }

  private startTicking(milliseconds: number): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = setInterval(() => this.tick(milliseconds), milliseconds);
  }

  private tick(milliseconds: number): void {
    const now = performance.now();
    // This process was paused, or its thread was busy: it could not have heard anything.
    if (now - this.tickedAt > 2 * milliseconds) this.guard = noteCoordinatorAlive(this.guard, now);
    this.tickedAt = now;
    const late = judgeCoordinatorTime(this.guard, now);
    if (late !== null) return this.end('lost', late.code, late.reason);
    if (!this.welcomed || this.socket.readyState !== WebSocket.OPEN) return;
    const { desk } = this;
    const elapsed = (now - this.joinedAt) / 1000;
    const computeSeconds = desk?.computeSeconds ?? 0;
    const ranks = this.workplace?.host.pool.size ?? 0;
    this.send({
      type: 'heartbeat',
      sentAt: now,
      computing: desk?.computing ?? 0,
      queued: desk?.queued ?? 0,
      computeSeconds,
      waitSeconds: Math.max(0, elapsed * ranks - computeSeconds),
      sendSeconds: this.outbox.busy / 1000,
    });
  }

  private send(message: NodeToCoordinator): void {
    if (this.socket.readyState === WebSocket.OPEN) this.outbox.urgent(encodeFrame(message));
  }

  private breakOff(code: string, reason: string): void {
    this.end('refused', code, `the coordinator's message was refused: ${reason}`);
  }

  private end(kind: SessionEnd['kind'], code: string | null, reason: string, advice = ''): void {
    if (this.over) return;
    this.over = true;
    if (this.timer !== null) clearInterval(this.timer);
    this.desk?.close();
    this.cancelled.abort(new Error(reason));
    this.chunks.abandon(new Error(reason));
    if (kind !== 'left') this.socket.terminate();
    else setTimeout(() => this.socket.terminate(), 200);
    this.settle({ kind, code, reason, advice, welcomed: this.welcomed });
  }
}
