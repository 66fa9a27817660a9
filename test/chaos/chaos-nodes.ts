/** The nodes of a chaos run: one place each, with a link of its own to the coordinator. */
import { join } from 'node:path';
import { pause, startNode } from '../helpers/cluster.ts';
import type { LockstepProcess } from '../helpers/lockstep-process.ts';
import { goodLink, TcpProxy } from '../helpers/tcp-proxy.ts';
import type { Fault } from './fault-plan.ts';

/** Seconds that a node may take to leave politely: it has nothing to finish, but the machine may be slow. */
const leaveSeconds = 60;
/** Seconds that a guest may take to get ready; then it leaves, ready or not. */
const readySeconds = 30;

export class ChaosPlace {
  readonly slot: number;
  readonly proxy: TcpProxy;
  private readonly folder: string;
  /** Told when a node ends that nobody has ended. */
  private readonly onDeserted: (trouble: string) => void;
  /** Nodes that were told to end, or killed. */
  private readonly dismissed = new Set<LockstepProcess>();
  private closing = false;
  /** Nodes that were here, one after the other. */
  nodes = 0;
  process: LockstepProcess | null = null;
  /** Settles when the last fault here is over. */
  busy: Promise<void> = Promise.resolve();

  private constructor(slot: number, proxy: TcpProxy, folder: string, onDeserted: (trouble: string) => void) {
    this.slot = slot;
    this.proxy = proxy;
    this.folder = folder;
    this.onDeserted = onDeserted;
  }

  static async open(
    slot: number,
    coordinatorPort: () => number,
    folder: string,
    onDeserted: (trouble: string) => void,
  ): Promise<ChaosPlace> {
    return new ChaosPlace(slot, await TcpProxy.open(coordinatorPort), folder, onDeserted);
  }

  /** A new node comes to this place. Its data cache is the place's: what the one before fetched is still there. */
  start(): void {
    this.nodes++;
    const process = startNode({
      folder: this.folder,
      name: `node-${this.slot}-${this.nodes}`,
      port: this.proxy.port,
      env: { LOCKSTEP_CACHE: join(this.folder, 'cache', `place-${this.slot}`) },
    });
    this.process = process;
    void process.ended.then(({ code }) => {
      // Code 0: the run is over.
      if (this.closing || code === 0 || this.dismissed.has(process)) return;
      this.onDeserted(process.trouble('gave up by itself').message);
      if (this.process === process) this.start();
    });
  }

  /** Ends whoever is here. @returns why that was not as it should be, or null */
  async leave(): Promise<string | null> {
    const { process } = this;
    if (process === null || process.end !== null) return null;
    this.dismissed.add(process);
    const { code, signal } = await process.stop('SIGINT', leaveSeconds);
    if (signal === 'SIGKILL') return `${process.name} did not leave within ${leaveSeconds} s`;
    // A signal that came before Lockstep was loaded ends the process as it ends any other.
    const politely = code === 0 || code === 130 || signal === 'SIGINT';
    return politely ? null : process.trouble('left impolitely').message;
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
        if (process) this.dismissed.add(process);
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
        if (!running()) return;
        this.start();
        // It may come while nobody listens; then it just goes again.
        await this.process
          ?.waitFor('ready', ({ type }) => type === 'ready', readySeconds)
          .catch(() => undefined);
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
    this.closing = true;
    await this.process?.stop('SIGKILL');
    await this.proxy.close();
  }
}
