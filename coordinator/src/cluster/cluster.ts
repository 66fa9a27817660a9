/** A coordinator's cluster: port, front desk, members and workforce, put together for one run. */
import { networkInterfaces } from 'node:os';
import type { Limits } from '@lockstep/shared/protocol/limits.ts';
import { examineMachine } from '@lockstep/worker/node/fingerprints.ts';
import { gradientBlocks } from '@lockstep/shared/protocol/blocks.ts';
import { collectGarbageSeldom } from '@lockstep/worker/node/garbage.ts';
import { measureSpeed } from '@lockstep/worker/rank/speed-trial.ts';
import type { RunListener } from '../metrics/events.ts';
import type { WorkforceFactory } from '../session.ts';
import { ClusterWorkforce } from './cluster-workforce.ts';
import { clusterStatus } from './cluster-status.ts';
import { FrontDesk, type Guest } from './front-desk.ts';
import { dialUrl, type ListenAddress } from './listen-address.ts';
import { type Certificate, Listener } from './listener.ts';
import { InboxPool } from './inbox-pool.ts';
import { NodeMember } from './node-member.ts';
import { factsOf } from './run-facts.ts';
import type { TokenDecision } from './token.ts';
import { longestGap } from './waking-clock.ts';
import { WeightsBroadcast } from './weights-broadcast.ts';
import type { WorkEnd, Workforce } from './workforce.ts';

export interface ClusterOptions {
  readonly address: ListenAddress;
  readonly certificate: Certificate | null;
  readonly token: TokenDecision;
  readonly minNodes: number;
  /** Whether the coordinator's own threads compute shards. */
  readonly computes: boolean;
  /** Commits between two comparisons of weights; 0 for none. */
  readonly hashEvery: number;
  readonly limits: Limits;
}

/** Milliseconds between two looks at the clock: heartbeats, late shards, idle members. */
const tickEvery = 100;

/** A factory for `openSession`. @throws LockstepError LISTEN_FAILED, CERTIFICATE_INVALID */
export function clusterWorkforce(options: ClusterOptions, listen: RunListener): WorkforceFactory {
  return async (parts) => {
    const { address, certificate, token, limits, minNodes, computes } = options;
    const { host, recipe, kernels, onLost } = parts;
    collectGarbageSeldom();
    const facts = factsOf(parts, limits);
    const { fingerprints } = await examineMachine(kernels);
    const speed = computes ? await measureSpeed(host, recipe, parts.dataset.train.count) : null;
    const { layout, store } = host;
    const dtype = facts.terms.wireDtype;
    const { hashEvery } = options;
    const weights = new WeightsBroadcast({ store, wire: host.wire, layout, dtype, limits, hashEvery });
    const members = new Map<Guest, NodeMember>();
    const inboxes = new InboxPool(host);
    const begun = performance.now();
    let closing = false;
    const workforce: ClusterWorkforce = new ClusterWorkforce({
      host,
      computes,
      speed,
      minNodes,
      listen,
      onLost,
      sync: recipe.batchNorm === 'sync',
      blocks: gradientBlocks(layout, dtype, limits),
      onUpdated: (range) => {
        if (members.size === 0) return;
        const frame = weights.ahead(range);
        if (frame !== null) for (const member of members.values()) member.sendAhead(frame);
      },
      onPublish: (step, side) => {
        weights.publish(step, side);
        for (const member of members.values()) member.sendWeights();
      },
    });
    const desk: FrontDesk = new FrontDesk({
      token: token.token,
      recipe,
      facts,
      fingerprints,
      limits,
      onReady: (guest, { ranks, imagesPerSecond }) => {
        const member: NodeMember = new NodeMember(
          {
            guest,
            ranks,
            store,
            dataset: parts.dataset,
            weights,
            inboxes,
            events: workforce.events,
            now: workforce.clock.now,
            onDiverged: (reason) => {
              listen({
                type: 'decision',
                step: weights.step,
                reason: `node ${guest.id} (${member.name}): ${reason}`,
              });
              workforce.discard(member, reason);
            },
            onFit: () => workforce.tick(),
          },
          imagesPerSecond,
        );
        members.set(guest, member);
        const { name } = guest;
        const { runtime } = guest.hello;
        const { address: from } = guest.link;
        listen({
          type: 'node-joined',
          step: weights.step,
          node: guest.id,
          name,
          ranks,
          address: from,
          runtime,
        });
        if (weights.step >= 0) member.sendWeights();
        workforce.add(member);
      },
      onMessage: (guest, message, payload) => {
        if (message.type === 'heartbeat' && !members.has(guest)) {
          return guest.link.send({ type: 'heartbeat', echo: message.sentAt });
        }
        return members.get(guest)?.take(message, payload);
      },
      onGone: (guest, code, reason) => {
        const member = members.get(guest);
        members.delete(guest);
        member?.dispose();
        const { name } = guest;
        // At the end everybody leaves, and the result has been told.
        if (!closing) listen({ type: 'node-left', step: weights.step, node: guest.id, name, code, reason });
        if (member !== undefined) workforce.remove(member, reason);
      },
      onRefused: (from, code, reason) => listen({ type: 'node-refused', address: from, code, reason }),
      status: () =>
        clusterStatus(workforce, [...members.values()], weights, (performance.now() - begun) / 1000),
    });
    const listener = await Listener.open({
      address,
      certificate,
      limits,
      onRequest: (request, response) => desk.answer(request, response),
      admits: () => desk.admits(),
      onConnection: (connection) => desk.accept(connection),
    });
    const url = dialUrl(listener.address, certificate !== null, networkInterfaces());
    const flag = token.token === null ? '' : ` --token ${token.token}`;
    const join = `lockstep join ${url}${token.generated ? flag : token.token === null ? '' : ' --token ...'}`;
    listen({ type: 'listening', url, join, reason: token.reason });
    let tickedAt = performance.now();
    const timer = setInterval(() => {
      const now = performance.now();
      desk.tick(now - tickedAt > longestGap);
      tickedAt = now;
      workforce.tick();
    }, tickEvery);
    const close = async (end: WorkEnd = { reason: 'the run is over', again: false }): Promise<void> => {
      closing = true;
      clearInterval(timer);
      // First the port: who has heard that the run is over must not find a coordinator that still welcomes.
      await listener.close();
      await desk.close(end.reason, end.again);
      await workforce.close();
    };
    return withClose(workforce, close);
  };
}

/** The workforce, whose end is also that of the port. */
function withClose(workforce: ClusterWorkforce, close: Workforce['close']): Workforce {
  return {
    get ranks() {
      return workforce.ranks;
    },
    get nodes() {
      return workforce.nodes;
    },
    get covers() {
      return workforce.covers;
    },
    publish: (step, side) => workforce.publish(step, side),
    gathered: (signal) => workforce.gathered(signal),
    computeShards: (...step) => workforce.computeShards(...step),
    foresee: (tasks) => workforce.foresee(tasks),
    updateSlices: (tasks) => workforce.updateSlices(tasks),
    evaluate: (tasks, onDone) => workforce.evaluate(tasks, onDone),
    close,
  };
}
