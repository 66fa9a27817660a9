/** Lets nodes in: hello, token, numerics, welcome, data. What is ready goes to the workforce. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ErrorCode } from '@lockstep/shared/base/errors.ts';
import { encodeFrame } from '@lockstep/shared/protocol/frame.ts';
import type { Limits } from '@lockstep/shared/protocol/limits.ts';
import type { NodeMessage, NodeToCoordinator } from '@lockstep/shared/protocol/messages.ts';
import { noteChunkSent } from '@lockstep/shared/protocol/node-guard.ts';
import { decideNumerics, type Fingerprints } from '@lockstep/shared/protocol/numerics.ts';
import type { Recipe } from '@lockstep/shared/recipe.ts';
import { type Connection, NodeLink } from './node-link.ts';
import { decideName } from './presence.ts';
import { type RunFacts, splitBytes } from './run-facts.ts';
import { tokensAgree } from './token.ts';

/** A node that said hello and was welcomed. */
export interface Guest {
  readonly id: number;
  /** What it calls itself, or that with a number behind it where somebody here is called so already. */
  readonly name: string;
  readonly hello: NodeMessage<'hello'>;
  readonly link: NodeLink;
}

export interface FrontDeskSetup {
  readonly token: string | null;
  readonly recipe: Recipe;
  readonly facts: RunFacts;
  readonly fingerprints: Fingerprints;
  readonly limits: Limits;
  readonly onReady: (guest: Guest, ready: NodeMessage<'ready'>) => void;
  readonly onMessage: (guest: Guest, message: NodeToCoordinator, payload: Uint8Array) => void;
  /** A guest is gone, ready or not. */
  readonly onGone: (guest: Guest, code: ErrorCode | null, reason: string) => void;
  /** A stranger was sent away. */
  readonly onRefused: (address: string, code: ErrorCode, reason: string) => void;
  readonly status: () => unknown;
}

export class FrontDesk {
  private readonly setup: FrontDeskSetup;
  private readonly links = new Map<NodeLink, Guest | null>();
  private nextId = 1;

  constructor(setup: FrontDeskSetup) {
    this.setup = setup;
  }

  /** Whether one more stranger may come in. */
  admits(): boolean {
    return this.strangers < this.setup.limits.pendingHandshakes;
  }

  private guests(): Guest[] {
    return [...this.links.values()].filter((guest) => guest !== null);
  }

  private get strangers(): number {
    return [...this.links.values()].filter((guest) => guest === null).length;
  }

  accept(connection: Connection): void {
    const link: NodeLink = new NodeLink(connection, this.setup.limits, {
      onMessage: (message, payload) => this.take(link, message, payload),
      onEnd: (code, reason) => {
        const guest = this.links.get(link) ?? null;
        this.links.delete(link);
        if (guest !== null) this.setup.onGone(guest, code, reason);
        else if (code !== null) this.setup.onRefused(link.address, code, reason);
      },
    });
    this.links.set(link, null);
  }

  /** Heartbeats out, times checked. @param paused this process was asleep and could not listen */
  tick(paused: boolean): void {
    for (const link of this.links.keys()) link.tick(paused);
  }

  /** Says goodbye to everybody. Settles when they have heard it, or had the time that each of them has. */
  async close(reason: string, again: boolean): Promise<void> {
    const links = Array.from(this.links.keys());
    for (const link of links) link.goodbye(reason, again);
    await Promise.all(links.map(({ gone }) => gone));
  }

  /** `GET /status` with the token. */
  answer(request: IncomingMessage, response: ServerResponse): void {
    const { token, status } = this.setup;
    const path = request.url?.split('?')[0];
    const offered = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? null;
    const reply = (code: number, body: unknown): void => {
      response.writeHead(code, { 'content-type': 'application/json', connection: 'close' });
      response.end(`${JSON.stringify(body)}\n`);
    };
    if (path !== '/status' || request.method !== 'GET') return reply(404, { code: 'USAGE' });
    if (token !== null && !tokensAgree(token, offered)) return reply(401, { code: 'TOKEN_WRONG' });
    return reply(200, status());
  }

  private take(link: NodeLink, message: NodeToCoordinator, payload: Uint8Array): void {
    if (message.type === 'hello') return this.greet(link, message);
    const guest = this.links.get(link);
    if (guest === undefined || guest === null) return;
    switch (message.type) {
      case 'data-request':
        return this.sendData(link, message);
      case 'ready':
        return this.setup.onReady(guest, message);
      case 'leaving':
        this.setup.onMessage(guest, message, payload);
        return link.goodbye('the node left', true);
      default:
        return this.setup.onMessage(guest, message, payload);
    }
  }

  private greet(link: NodeLink, hello: NodeMessage<'hello'>): void {
    const { token, recipe, fingerprints, facts, limits } = this.setup;
    if (token !== null && hello.token === null) {
      return link.drop(
        'TOKEN_REQUIRED',
        'this coordinator wants a token',
        'Pass it with --token or LOCKSTEP_TOKEN.',
      );
    }
    if (token !== null && !tokensAgree(token, hello.token)) {
      return link.drop(
        'TOKEN_WRONG',
        'the token is not that of this run',
        'Copy the join command of the coordinator.',
      );
    }
    const numerics = decideNumerics(recipe.arithmetic, fingerprints, hello.fingerprints);
    if (!numerics.admit) return link.drop(numerics.code, numerics.reason, numerics.advice);
    // A node that comes back before its dead connection was noticed takes its own place.
    for (const [other, guest] of this.links) {
      if (guest !== null && guest.hello.instance === hello.instance)
        other.goodbye('the node has come back', true);
    }
    if (this.links.size - this.strangers >= limits.nodes) {
      return link.drop('COORDINATOR_FULL', `there are ${limits.nodes} nodes already`);
    }
    const taken = new Set(['coordinator', ...this.guests().map(({ name }) => name)]);
    const guest: Guest = { id: this.nextId++, name: decideName(hello.name, taken), hello, link };
    this.links.set(link, guest);
    link.welcome(facts.welcome(guest.id), facts.terms);
  }

  private sendData(link: NodeLink, { hash, offset, length }: NodeMessage<'data-request'>): void {
    const { train, test } = this.setup.facts.dataset;
    const split = hash === train.sha256 ? train : test;
    link.outbox.push({
      key: 'data',
      frame: () => {
        link.guard = noteChunkSent(link.guard);
        return encodeFrame(
          { type: 'data-chunk', hash, offset, length },
          ...splitBytes(split, offset, length),
        );
      },
    });
  }
}
