/** A bar that is redrawn in place, with lines of text above it. */

import { type Options, SingleBar } from 'cli-progress';
import { type BarPart, barLine } from './bar-line.ts';
import type { Output } from './output.ts';

/** What the bar shows at one moment. */
export interface BarState {
  readonly label: string;
  readonly done: number;
  readonly total: number;
  readonly parts: readonly BarPart[];
}

export class ProgressBar {
  readonly #output: Output;
  #bar: SingleBar | null = null;
  #state: BarState = { label: '', done: 0, total: 1, parts: [] };

  constructor(output: Output) {
    this.#output = output;
  }

  /** Draws the bar, at most ten times a second. */
  show(state: BarState): void {
    this.#state = state;
    if (this.#bar === null) {
      this.#bar = new SingleBar(this.#options());
      this.#bar.start(state.total, state.done);
    } else {
      this.#bar.setTotal(state.total);
      this.#bar.update(state.done);
    }
  }

  /** Prints whole lines above the bar, which moves down. */
  print(text: string): void {
    const shown = this.#bar !== null;
    // cli-progress returns to where the bar began when it stops, so a line may never come in between.
    this.clear();
    this.#output.write(`${text}\n`);
    if (shown) this.show(this.#state);
  }

  /** Takes the bar away. */
  clear(): void {
    this.#bar?.stop();
    this.#bar = null;
  }

  #options(): Options {
    return {
      // Drawn here and not by a template: only so does the line always fit, and nothing has to be
      // restored in the terminal (wrapping, cursor) when the process is killed.
      format: () => {
        const { label, done, total, parts } = this.#state;
        return barLine(label, total > 0 ? done / total : 0, parts, this.#output.columns());
      },
      stream: this.#output.stream,
      fps: 10,
      clearOnComplete: true,
      stopOnComplete: false,
      gracefulExit: false,
      linewrap: true,
      hideCursor: false,
      forceRedraw: true,
    };
  }
}
