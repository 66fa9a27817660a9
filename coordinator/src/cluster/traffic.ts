/** Bytes of one connection, step for step: what is sent before the first step, such as the data set, does not count. */

interface Mark {
  readonly step: number;
  readonly down: number;
  readonly up: number;
}

export class Traffic {
  private first: Mark | null = null;
  private last: Mark | null = null;

  /** A step begins. @param down bytes sent so far @param up bytes received so far */
  stepBegins(step: number, down: number, up: number): void {
    const mark = { step, down, up };
    this.first ??= mark;
    this.last = mark;
  }

  /** Means over the steps that are over; 0 while there is none. */
  get perStep(): { readonly down: number; readonly up: number } {
    const { first, last } = this;
    if (first === null || last === null || last.step === first.step) return { down: 0, up: 0 };
    const steps = last.step - first.step;
    return {
      down: Math.round((last.down - first.down) / steps),
      up: Math.round((last.up - first.up) / steps),
    };
  }
}
