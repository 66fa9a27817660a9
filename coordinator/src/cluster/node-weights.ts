/** The weights of one node: what it has been sent of them, what it lacks, and whether it holds what it should. */
import { encodeFrame } from '@lockstep/shared/protocol/frame.ts';
import { noteHashAsked } from '@lockstep/shared/protocol/node-guard.ts';
import type { NodeLink } from './node-link.ts';
import type { WeightsBroadcast, WeightsFrame } from './weights-broadcast.ts';

export class NodeWeights {
  private readonly link: NodeLink;
  private readonly weights: WeightsBroadcast;
  /** Pieces of the next step's weights that it has been sent, by first float. */
  private readonly ahead = new Set<number>();
  private aheadStep = -1;
  /** It lacks the running statistics of the newest weights, which only evaluations and hashes need. */
  private lacksStatistics = false;
  /** SHA-256 by step, of weights whose hash was asked for. */
  private readonly expected = new Map<number, string>();

  constructor(link: NodeLink, weights: WeightsBroadcast) {
    this.link = link;
    this.weights = weights;
  }

  /**
   * Sends the newest weights, less what went ahead, and less running statistics alone: a frame for their sake would wake
   * the node beside the very ranks that compute. Older ones that still wait are not sent any more.
   */
  send(): void {
    const { weights, link } = this;
    const isAhead = this.aheadStep === weights.step;
    if (!isAhead) link.outbox.takeBack('weights');
    const rest = weights.frames().filter(({ from }) => !(isAhead && this.ahead.has(from)));
    this.lacksStatistics = !weights.hashed && rest.every(({ isStatistics }) => isStatistics);
    if (!this.lacksStatistics) this.post(rest, weights.hashed);
  }

  /** Sends the running statistics of the newest weights, unless it has them. */
  sendStatistics(): void {
    if (!this.lacksStatistics) return;
    this.lacksStatistics = false;
    this.post(
      this.weights.frames().filter(({ isStatistics }) => isStatistics),
      false,
    );
  }

  /** Sends a piece of the weights of the step to come. */
  sendAhead(frame: WeightsFrame): void {
    const { step, from } = frame;
    if (this.aheadStep !== step) {
      // Whoever computes has the step's weights by now; for others the next ones do. So nothing piles up.
      this.link.outbox.takeBack('weights');
      this.ahead.clear();
      this.aheadStep = step;
      this.lacksStatistics = false;
    }
    this.ahead.add(from);
    this.push(frame);
  }

  /** It holds others than those of the run: sends all of them once more, and asks for their hash. */
  sendAgain(reason: string): void {
    const { link, weights } = this;
    this.lacksStatistics = false;
    link.outbox.takeBack('weights');
    this.aheadStep = -1;
    link.push('message', encodeFrame({ type: 'resynchronise', step: weights.step, reason }));
    this.post(weights.framesToProve(), true);
  }

  /** Whether a hash that it sends is the right one; null when none of this step is expected. */
  judge(step: number, sha256: string): boolean | null {
    const expected = this.expected.get(step);
    this.expected.delete(step);
    return expected === undefined ? null : expected === sha256;
  }

  private post(frames: readonly WeightsFrame[], hashed: boolean): void {
    const { link, weights } = this;
    if (hashed) {
      link.guard = noteHashAsked(link.guard, weights.step);
      this.expected.set(weights.step, weights.sha256);
    }
    for (const frame of frames) this.push(frame);
  }

  private push({ shared }: WeightsFrame): void {
    shared.use();
    this.link.push('weights', shared.bytes, () => shared.done());
  }
}
