/** What computes and what carries: processors, the threads on them, and links. */
import type { EventQueue } from './event-queue.ts';

interface Running {
  left: number;
  readonly done: () => void;
}

/** What else there is on a machine. */
export interface Crowd {
  /** Threads of others that always want a core. */
  readonly others: number;
  /** How much longer work takes while all cores are busy. */
  readonly crowding: number;
  /** How much longer than that while more threads, of several processes, want a core than there are. */
  readonly switching: number;
}

const alone: Crowd = { others: 0, crowding: 1, switching: 1 };

/**
 * The cores of one machine, shared evenly: with more threads at work than cores, each runs at cores/threads.
 * Work is in seconds of one core of a machine that does nothing else.
 */
export class Processor {
  private readonly queue: EventQueue;
  private readonly cores: number;
  private readonly crowd: Crowd;
  private readonly running = new Set<Running>();
  private updatedAt = 0;
  private busy = 0;
  /** Only the newest wake-up counts: a change of the load makes older ones void. */
  private wakeUp = 0;

  constructor(queue: EventQueue, cores: number, crowd: Crowd = alone) {
    this.queue = queue;
    this.cores = cores;
    this.crowd = crowd;
  }

  /** Processor time that its work has taken until now. */
  get busySeconds(): number {
    this.advance();
    return this.busy;
  }

  /** Does some work of one thread. */
  work(seconds: number, done: () => void): void {
    this.advance();
    this.running.add({ left: seconds, done });
    this.plan();
  }

  /** Share of a core that each thread has. */
  private get share(): number {
    return Math.min(1, this.cores / (this.running.size + this.crowd.others));
  }

  private get rate(): number {
    const { others, crowding, switching } = this.crowd;
    // One busy core has the machine for itself; from there on neighbours are felt more and more.
    const neighbours = Math.max(0, this.running.size + others - 1);
    const fullness = Math.min(1, neighbours / Math.max(1, this.cores - 1));
    const excess = Math.min(1, Math.max(0, this.running.size + others - this.cores));
    return this.share / (1 + (crowding - 1) * fullness) / (1 + (switching - 1) * excess);
  }

  private advance(): void {
    const elapsed = this.queue.now - this.updatedAt;
    this.updatedAt = this.queue.now;
    if (elapsed <= 0) return;
    const done = elapsed * this.rate;
    this.busy += elapsed * this.share * this.running.size;
    for (const task of this.running) task.left -= done;
  }

  private plan(): void {
    let least = Number.POSITIVE_INFINITY;
    for (const { left } of this.running) least = Math.min(least, left);
    const wakeUp = ++this.wakeUp;
    if (least === Number.POSITIVE_INFINITY) return;
    this.queue.after(Math.max(0, least) / this.rate, () => {
      if (wakeUp === this.wakeUp) this.finish();
    });
  }

  /** Ends what had as little left as the shortest. */
  private finish(): void {
    // Computed anew: somebody who asked for the busy time in between has moved them all.
    let least = Number.POSITIVE_INFINITY;
    for (const { left } of this.running) least = Math.min(least, left);
    // Not by the clock: rounding would leave a rest that takes no time at all.
    this.busy += (this.queue.now - this.updatedAt) * this.share * this.running.size;
    this.updatedAt = this.queue.now;
    for (const task of this.running) task.left -= least;
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

/** Threads that take tasks from one queue: whichever is free has the next. */
export class ThreadPool {
  private readonly threads: readonly Thread[];
  private readonly free: Thread[];
  private readonly waiting: { readonly seconds: number; readonly done: () => void }[] = [];

  constructor(processor: Processor, threads: number) {
    this.threads = Array.from({ length: threads }, () => new Thread(processor));
    this.free = [...this.threads];
  }

  get size(): number {
    return this.threads.length;
  }

  do(seconds: number, done: () => void): void {
    const thread = this.free.pop();
    if (thread === undefined) this.waiting.push({ seconds, done });
    else this.give(thread, seconds, done);
  }

  private give(thread: Thread, seconds: number, done: () => void): void {
    thread.do(seconds, () => {
      done();
      const next = this.waiting.shift();
      if (next === undefined) this.free.push(thread);
      else this.give(thread, next.seconds, next.done);
    });
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
