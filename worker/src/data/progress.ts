/** How the data room tells a caller what it is doing: one small value, often. */

export interface DataProgress {
  readonly phase: 'download' | 'unpack' | 'convert' | 'verify';
  /** Bytes of this phase that are done. */
  readonly doneBytes: number;
  /** Bytes of this phase, or null while nobody knows. */
  readonly totalBytes: number | null;
  /** The file that is being worked on: a name without folders. */
  readonly file: string;
}

export type OnProgress = (progress: DataProgress) => void;
