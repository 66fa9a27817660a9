/** What computes and what carries: processors, the threads on them, and links. */
import type { EventQueue } from './event-queue.ts';

interface Running {
  left: number;
  readonly done: () => void;
}

/**
 * The cores of one machine, shared evenly: with more threads at work than cores, each runs at cores/threads.
 * Work is in seconds of one core.
 */
export class Processor {
  private readonly queue: EventQueue;
  private readonly cores: number;
  private readonly running = new Set<Running>();
  private updatedAt = 0;
  /** Only the newest wake-up counts: a change of the load makes older ones void. */
  private wakeUp = 0;

  constructor(queue: EventQueue, cores: number) {
    this.queue = queue;
    this.cores = cores;
  }

  /** Does some work of one thread. */
  work(seconds: number, done: () => void): void {
    this.advance();
    this.running.add({ left: seconds, done });
    this.plan();
  }

  private get rate(): number {
    return Math.min(1, this.cores / this.running.size);
  }

  private advance(): void {
    const done = (this.queue.now - this.updatedAt) * this.rate;
    this.updatedAt = this.queue.now;
    if (done > 0) for (const task of this.running) task.left -= done;
  }

  private plan(): void {
    let least = Number.POSITIVE_INFINITY;
    for (const { left } of this.running) least = Math.min(least, left);
    const wakeUp = ++this.wakeUp;
    if (least === Number.POSITIVE_INFINITY) return;
    this.queue.after(Math.max(0, least) / this.rate, () => {
      if (wakeUp === this.wakeUp) this.finish(least);
    });
  }

  /** Ends what had as much left as the shortest. */
  private finish(least: number): void {
    // Not by the clock: rounding would leave a rest that takes no time at all.
    for (const task of this.running) task.left -= least;
    this.updatedAt = this.queue.now;
    const over = [...this.running].filter(({ left }) => left <= 1e-12);
    for (const task of over) this.running.delete(task);
    for (const { done } of over) done();
    this.plan();
  }
}

/** A thread: one piece of work after the other, on the cores of its machine. */
export class Thread {
  private readonly processor: Processor;
  private readonly waiting: { readonly seconds: number; readonly done: () => void }[] = [];
  private next = 0;
  private busy = false;

  constructor(processor: Processor) {
    this.processor = processor;
  }

  do(seconds: number, done: () => void): void {
    this.waiting.push({ seconds, done });
    if (!this.busy) this.start();
  }

  private start(): void {
    this.busy = true;
    for (;;) {
      const task = this.waiting[this.next];
      if (task === undefined) break;
      this.next++;
      if (task.seconds > 0) {
        this.processor.work(task.seconds, () => {
          task.done();
          this.start();
        });
        return;
      }
      // Free work takes no turn on the processor.
      task.done();
    }
    this.busy = false;
    this.waiting.length = 0;
    this.next = 0;
  }
}

/** One direction of a link: frames one behind the other, then the way. */
export class Link {
  private readonly queue: EventQueue;
  private readonly bytesPerSecond: number;
  private readonly latency: number;
  private freeAt = 0;

  /** @param latency seconds from the last byte's departure to its arrival */
  constructor(queue: EventQueue, bytesPerSecond: number, latency: number) {
    this.queue = queue;
    this.bytesPerSecond = bytesPerSecond;
    this.latency = latency;
  }

  send(bytes: number, arrived: () => void): void {
    this.freeAt = Math.max(this.freeAt, this.queue.now) + bytes / this.bytesPerSecond;
    this.queue.after(this.freeAt - this.queue.now + this.latency, arrived);
  }
}
