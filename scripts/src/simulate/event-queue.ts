/** Simulated time: what happens, in the order of its times. Seconds. */

interface Entry {
  readonly time: number;
  /** Events of one time happen in the order in which they were planned. */
  readonly order: number;
  readonly happen: () => void;
}

function before(a: Entry, b: Entry): boolean {
  return a.time < b.time || (a.time === b.time && a.order < b.order);
}

export class EventQueue {
  now = 0;
  /** A binary heap: no entry comes before its parent. */
  private readonly heap: Entry[] = [];
  private planned = 0;

  /** Plans an event `seconds` from now. */
  after(seconds: number, happen: () => void): void {
    if (!(seconds >= 0)) throw new RangeError(`an event ${seconds} s from now`);
    const entry = { time: this.now + seconds, order: this.planned++, happen };
    const { heap } = this;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (before(heap[parent] as Entry, entry)) break;
      heap[at] = heap[parent] as Entry;
      at = parent;
    }
    heap[at] = entry;
  }

  /** Lets everything happen. @returns the time of the last event */
  run(): number {
    for (let next = this.take(); next !== undefined; next = this.take()) {
      this.now = next.time;
      next.happen();
    }
    return this.now;
  }

  private take(): Entry | undefined {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Entry, heap[child] as Entry)) child++;
      if (before(last, heap[child] as Entry)) break;
      heap[at] = heap[child] as Entry;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}
