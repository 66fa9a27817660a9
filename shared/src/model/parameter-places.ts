/**
 * Where a program finds its weights and leaves its gradients. `kept`: both flat vectors lie in the arena. `passing`:
 * the weights are there only to be packed, and each group's gradient only until somebody has taken it over, in
 * memory that activations use before and after. Of a model with many weights that is a third of the arena.
 */
import type { Buffer, Pointer } from './buffer.ts';
import { gradientGroups } from './gradient-parts.ts';
import type { Layout, LayoutEntry, ParameterRole, RunningRole } from './layout.ts';
import type { Model } from './spec.ts';
import type { Tape } from './tape.ts';

type Entry = LayoutEntry<ParameterRole | RunningRole>;

/** Part of the flat gradient with the place in the arena where it is found. */
export interface GradientPiece {
  /** Floats [from, to) of the flat gradient. */
  readonly from: number;
  readonly to: number;
  /** Byte offset of float `from`. */
  readonly place: number;
  /** Calls of `backward` behind which it is final; where parameters pass, it is lost with the next call. */
  readonly calls: number;
}

export interface ParameterPlaces {
  /** float32: the flat weights, or where those are put that a unit of packing reads. */
  readonly weights: Buffer;
  /** The flat gradient; null where gradients pass. */
  readonly gradients: Buffer | null;
  /** What calls of `forward` and `backward` read, and what `prepare` reads of a convolution's weights. */
  value(layer: string, role: ParameterRole | RunningRole): Pointer;
  gradient(layer: string, role: ParameterRole): Pointer;
  /**
   * Of a program whose tape is finished, in the order in which `backward` comes to them; empty where gradients are kept.
   *
   * @param forwardCalls number of calls before the first one of `backward`
   */
  pieces(forwardCalls: number): GradientPiece[];
}

/**
 * Both vectors as they are, in regions that somebody else has placed.
 *
 * @param trains whether there is a backward pass: it reads no running statistics
 */
export function keptParameters(
  layout: Layout,
  tape: Tape,
  weights: Buffer,
  gradients: Buffer,
  trains: boolean,
): ParameterPlaces {
  for (const { offset, size } of [...layout.parameters, ...(trains ? [] : layout.running)]) {
    tape.need({ from: offset, to: offset + size });
  }
  return {
    weights: tape.keptWeights(weights),
    gradients,
    value: (layer, role) => weights.at(4 * entryOf(layout, layer, role).offset),
    gradient: (layer, role) => gradients.at(4 * entryOf(layout, layer, role).offset),
    pieces: () => [],
  };
}

/**
 * @param place lays out a region that is the same in every program of the model: for what is read unpacked
 * @param trains whether there is a backward pass
 */
export function passingParameters(
  model: Model,
  layout: Layout,
  tape: Tape,
  place: (name: string, bytes: number) => Buffer,
  trains: boolean,
): ParameterPlaces {
  const convolutions = new Set(
    model.layers.flatMap(({ kind, name }) => (kind === 'convolution' ? [name] : [])),
  );
  const isPacked = ({ layer, role }: Entry): boolean => role === 'weight' && convolutions.has(layer);
  const weights = tape.passingWeights();
  const values = new Map<Entry, Pointer>();
  for (const run of neighbours(
    [...layout.parameters, ...layout.running].filter((entry) => !isPacked(entry)),
  )) {
    const [{ layer, offset: from }] = run;
    const size = run.reduce((sum, entry) => sum + entry.size, 0);
    const out = place(`${layer}:unpacked`, 4 * size);
    // Training reads no running statistics, and in its place somebody may be at those of the step before.
    const to = trains ? Math.min(from + size, layout.parameterCount) : from + size;
    const copy = { values: weights.at(4 * from), n: to - from, dtype: 0, out };
    if (to > from) tape.prepare(layer, `${to - from}`, 'roundFloats', copy, { from, to });
    for (const entry of run) values.set(entry, out.at(4 * (entry.offset - from)));
  }
  const gradients = (trains ? gradientGroups(layout) : []).map(({ from, to }) => ({
    from,
    to,
    buffer: tape.pooled(`gradient of ${from}..${to}`, 4 * (to - from)),
  }));
  return {
    weights,
    gradients: null,
    value(layer, role) {
      const entry = entryOf(layout, layer, role);
      return values.get(entry) ?? weights.at(4 * entry.offset);
    },
    gradient(layer, role) {
      const { offset } = entryOf(layout, layer, role);
      const group = gradients.find(({ from, to }) => from <= offset && offset < to);
      if (!group) throw new Error(`nobody has room for the gradient of ${role} of layer ${layer}`);
      return group.buffer.at(4 * (offset - group.from));
    },
    pieces(forwardCalls) {
      return gradients
        .map(({ from, to, buffer: { place: at, to: last } }) => {
          if (at === null) throw new Error(`nobody writes floats ${from}..${to} of the gradient`);
          return { from, to, place: at, calls: last + 1 - forwardCalls };
        })
        .toSorted((a, b) => a.calls - b.calls || b.from - a.from);
    },
  };
}

/** Entries that lie one behind the other, together. */
function neighbours(entries: readonly Entry[]): [Entry, ...Entry[]][] {
  const runs: [Entry, ...Entry[]][] = [];
  let end = -1;
  for (const entry of entries) {
    if (entry.offset === end) runs.at(-1)?.push(entry);
    else runs.push([entry]);
    end = entry.offset + entry.size;
  }
  return runs;
}

/** A parameter or running statistic of a layer. */
export function entryOf(layout: Layout, layer: string, role: ParameterRole | RunningRole): Entry {
  const all: readonly Entry[] = role.startsWith('running') ? layout.running : layout.parameters;
  const found = all.find((entry) => entry.layer === layer && entry.role === role);
  if (!found) throw new Error(`no ${role} of layer ${layer}`);
  return found;
}
