/** Binding the compiled kernels to one memory. No file system here: the bytes come from the caller. */
import type { KernelName } from './table.ts';

export type KernelFunction = (...values: number[]) => number | undefined;

/** Every kernel of the table as a function over one memory. */
export type KernelInstance = Readonly<Record<KernelName, KernelFunction>>;

/**
 * Instantiates a compiled build over a shared memory.
 *
 * @throws WebAssembly.LinkError when the memory is not shared or larger than the import allows
 */
export function instantiateKernels(module: WebAssembly.Module, memory: WebAssembly.Memory): KernelInstance {
  const abort = (): never => {
    throw new WebAssembly.RuntimeError('a kernel aborted');
  };
  const instance = new WebAssembly.Instance(module, { env: { memory, abort } });
  return instance.exports as unknown as KernelInstance;
}
