/** One measurement of `bench-kernels`. */
import type { Call } from '@lockstep/shared/kernels/table.ts';

/**
 * Places a buffer of so many bytes, filled with small float32 values or with the int32 given, and returns its
 * byte offset.
 */
export type Place = (bytes: number, integers?: readonly number[]) => number;

export interface KernelCase {
  readonly label: string;
  /** Places the buffers and returns the call to measure. */
  readonly make: (place: Place) => Call;
}
