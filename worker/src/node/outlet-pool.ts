/** Who uses which outbox of the store: one is given out again only when nobody can write into it any more. */

export class OutletPool {
  /** Users of each: the subtree it is open for, and every task that names it. */
  private readonly users: number[];

  constructor(count: number) {
    this.users = Array.from({ length: count }, () => 0);
  }

  /** The number of an outbox that nobody uses, with one user; null when there is none. */
  take(): number | null {
    const free = this.users.indexOf(0);
    if (free < 0) return null;
    this.users[free] = 1;
    return free;
  }

  hold(outbox: number): void {
    this.users[outbox] = (this.users[outbox] ?? 0) + 1;
  }

  release(outbox: number): void {
    this.users[outbox] = (this.users[outbox] ?? 0) - 1;
  }
}
