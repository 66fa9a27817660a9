/** Standard output as the displays see it: a few properties and a write that never throws. */

import { styleText } from 'node:util';

export interface Output {
  /** True when a person watches: bars may be redrawn in place. */
  readonly isTty: boolean;
  /** Width in characters. */
  readonly columns: () => number;
  readonly write: (text: string) => void;
  /** The text in a style, or as it is when the terminal has no colours. */
  readonly style: (style: Style, text: string) => string;
  /** The stream itself, for cli-progress. */
  readonly stream: NodeJS.WriteStream;
}

export type Style = 'bold' | 'dim' | 'green' | 'yellow' | 'red';

/** Standard output; NO_COLOR and FORCE_COLOR are honoured. */
export function standardOutput(stream: NodeJS.WriteStream = process.stdout): Output {
  return {
    isTty: stream.isTTY === true,
    columns: () => (stream.columns > 0 ? stream.columns : 80),
    write: (text) => void stream.write(text),
    style: (style, text) => styleText(style, text, { stream, validateStream: true }),
    stream,
  };
}

/**
 * Makes a reader that goes away (`lockstep ... | head`) harmless: what is still written is dropped.
 *
 * @param gone called once, so that a long run can end; other write errors are thrown as ever
 */
export function tolerateClosedPipe(gone: () => void = () => undefined): void {
  let told = false;
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') throw error;
      if (!told && stream === process.stdout) gone();
      told = true;
    });
  }
}
