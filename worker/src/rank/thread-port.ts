/**
 * comlink over a worker_threads MessagePort. comlink's Node adapter is wrapped here, once.
 * For threads of one process only: it lets the other side walk and call properties.
 */
import type { MessagePort } from 'node:worker_threads';
import { expose, type Remote, releaseProxy, wrap } from 'comlink';
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs';

/** Serves an object's methods on a port. */
export function exposeOn(port: MessagePort, api: object): void {
  expose(api, nodeEndpoint(port));
}

/** A thread's API seen from outside, with calls that fail instead of hanging when the thread is gone. */
export class ThreadApi<Api extends object> {
  private readonly port: MessagePort;
  private readonly remote: Remote<Api>;
  /** Rejects when the port closes, that is when its thread has ended. */
  private readonly gone: Promise<never>;
  /** Calls under way: the first answer must not let the process end while another one is awaited. */
  private pending = 0;

  constructor(port: MessagePort) {
    this.port = port;
    this.remote = wrap<Api>(nodeEndpoint(port));
    this.gone = new Promise((_, reject) => {
      port.once('close', () => reject(new Error('the thread has ended')));
    });
    // Nobody may be waiting when it happens.
    this.gone.catch(() => {});
    port.unref();
  }

  /** Calls a method: `api.call((remote) => remote.describe())`. Rejects when the thread ends first. */
  async call<T>(ask: (remote: Remote<Api>) => Promise<T>): Promise<T> {
    this.pending += 1;
    this.port.ref();
    try {
      return await Promise.race([ask(this.remote), this.gone]);
    } finally {
      this.pending -= 1;
      if (this.pending === 0) this.port.unref();
    }
  }

  /** Calls `then` once the thread has ended. */
  onGone(then: () => void): void {
    this.gone.catch(then);
  }

  close(): void {
    this.remote[releaseProxy]();
    this.port.close();
  }
}
