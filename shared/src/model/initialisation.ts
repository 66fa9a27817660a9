/**
 * First weights, from the recipe's seed alone. Kaiming uniform (He et al., "Delving deep into rectifiers",
 * 2015): weights in +-sqrt(6 / fanIn) before a ReLU; the uniform distribution needs only a square root, which
 * every platform rounds alike.
 */
import { randomWords, toUnit } from '../base/random.ts';
import type { Layout, LayoutEntry, ParameterRole } from './layout.ts';

/**
 * The flat vector at step 0: parameters, running means 0, running variances 1.
 *
 * @param flat where to put it; a vector of its own would stay in memory until somebody collects the garbage
 * @returns float32 `[layout.totalCount]`
 */
export function initialise(
  layout: Layout,
  seed: number,
  flat: Float32Array = new Float32Array(layout.totalCount),
): Float32Array {
  flat.fill(0);
  layout.parameters.forEach((entry, index) => {
    const isLogits = entry.layer === layout.parameters.at(-1)?.layer;
    if (entry.role === 'weight') fillUniform(flat, entry, seed, index, isLogits ? 1 : 6);
    if (entry.role === 'gamma') flat.fill(1, entry.offset, entry.offset + entry.size);
  });
  for (const entry of layout.running) {
    if (entry.role === 'running-variance') flat.fill(1, entry.offset, entry.offset + entry.size);
  }
  return flat;
}

/** The logits have no ReLU behind them and start small: +-sqrt(1 / fanIn), as PyTorch's linear layer. */
function fillUniform(
  flat: Float32Array,
  entry: LayoutEntry<ParameterRole>,
  seed: number,
  index: number,
  gain: number,
): void {
  const fanIn = entry.shape.slice(0, -1).reduce((a, b) => a * b, 1);
  const bound = Math.sqrt(gain / fanIn);
  for (let i = 0; i < entry.size; i += 4) {
    const words = randomWords(seed, 'initialise', i / 4, index);
    for (let j = 0; j < 4 && i + j < entry.size; j++) {
      flat[entry.offset + i + j] = (2 * toUnit(words[j] as number) - 1) * bound;
    }
  }
}
