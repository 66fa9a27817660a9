/** The nodes of a chaos run: one place each, with a link of its own to the coordinator. */
import { join } from 'node:path';
import { pause, startNode } from '../helpers/cluster.ts';
import type { LockstepProcess } from '../helpers/lockstep-process.ts';
import { goodLink, TcpProxy } from '../helpers/tcp-proxy.ts';
import type { Fault } from './fault-plan.ts';

/** Seconds that a node may take to leave politely; it has nothing to finish. */
const leaveSeconds = 15;

export class ChaosPlace {
  readonly slot: number;
  readonly proxy: TcpProxy;
  private readonly folder: string;
  /** Nodes that were here, one after the other. */
  nodes = 0;
  process: LockstepProcess | null = null;
  /** Settles when the last fault here is over. */
  busy: Promise<void> = Promise.resolve();

  private constructor(slot: number, proxy: TcpProxy, folder: string) {
    this.slot = slot;
    this.proxy = proxy;
    this.folder = folder;
  }

  static async open(slot: number, coordinatorPort: number, folder: string): Promise<ChaosPlace> {
    return new ChaosPlace(slot, await TcpProxy.open(() => coordinatorPort), folder);
  }

  /** A new node comes to this place. Its data cache is the place's: what the one before fetched is still there. */
  start(): void {
    this.nodes++;
    this.process = startNode({
      folder: this.folder,
      name: `node-${this.slot}-${this.nodes}`,
      port: this.proxy.port,
      env: { XDG_CACHE_HOME: join(this.folder, 'cache', `place-${this.slot}`) },
    });
  }

  /** Ends whoever is here. @returns why that was not as it should be, or null */
  async leave(): Promise<string | null> {
    const { process } = this;
    if (process === null || process.end !== null) return null;
    const begun = performance.now();
    const { code, signal } = await process.stop('SIGINT', leaveSeconds);
    const seconds = (performance.now() - begun) / 1000;
    if (signal === 'SIGKILL') return `${process.name} did not leave within ${leaveSeconds} s`;
    return code === 0 || code === 130 ? null : `${process.name} left with code ${code} after ${seconds} s`;
  }

  /** Makes this place's link or node bad, and good again after the fault's time. @throws Error when it stays bad */
  async suffer(fault: Fault, running: () => boolean): Promise<void> {
    const { kind, milliseconds, direction, amount, after, bit } = fault;
    const { proxy, process } = this;
    const both = (change: Parameters<TcpProxy['set']>[1]) => {
      proxy.set('up', change);
      proxy.set('down', change);
    };
    switch (kind) {
      case 'kill':
        process?.kill('SIGKILL');
        await pause(milliseconds);
        if (running()) this.start();
        return;
      case 'leave': {
        const trouble = await this.leave();
        if (trouble !== null) throw new Error(trouble);
        await pause(milliseconds);
        if (running()) this.start();
        return;
      }
      case 'join': {
        if (running()) this.start();
        await pause(milliseconds);
        const trouble = await this.leave();
        if (trouble !== null) throw new Error(trouble);
        return;
      }
      case 'pause':
        process?.kill('SIGSTOP');
        await pause(milliseconds);
        process?.kill('SIGCONT');
        return;
      case 'cut':
        both({ hold: true });
        break;
      case 'cut-one-way':
        proxy.set(direction, { hold: true });
        break;
      case 'slow':
        both({ rate: amount });
        break;
      case 'late':
        both({ delay: amount });
        break;
      case 'reset':
        proxy.reset();
        return;
      case 'truncate':
      case 'flip':
      case 'drop':
        proxy.damage(direction, { kind, after, bytes: amount, bit });
        return;
      default:
        throw new Error(`${kind} is no fault of a node`);
    }
    await pause(milliseconds);
    both(goodLink);
  }

  async close(): Promise<void> {
    await this.process?.stop('SIGKILL');
    await this.proxy.close();
  }
}
