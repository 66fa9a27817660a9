/**
 * The kernel calls of a batch-norm with what is fused into it, ReLU and residual: moments, coefficients and their
 * application, forward, backward, and once more where the backward pass wants its output again.
 */
import {
  allocate,
  batchInWords,
  type Compilation,
  dimensions,
  normalisedPixelsOf,
  perChannelBytes,
  pixelsOf,
  type Value,
  valueOf,
  withoutHalo,
} from './compilation.ts';
import type { GradientTerms } from './gradient-terms.ts';
import type { ImageRange } from './image-runs.ts';
import { type StageOf, shapeOf } from './stages.ts';
import type { Buffer, Pointer } from './buffer.ts';
import type { Section } from './tape.ts';

type NormStage = StageOf<'batch-norm'>;

/** Where a batch-norm's moments or sums lie in a region: float64 pairs, layers one behind the other. */
function momentsOf(c: Compilation, norm: string, region: Buffer): Pointer {
  const found = c.layout.batchNorms.find(({ layer }) => layer === norm);
  if (!found) throw new Error(`no batch-norm ${norm}`);
  return region.at(16 * found.channel);
}

function coefficientsOf(c: Compilation, { norm }: NormStage): Buffer {
  const coefficients = c.norms.get(norm)?.coefficients;
  if (!coefficients) throw new Error(`batch-norm ${norm} was not recorded`);
  return coefficients;
}

/** Records the forward pass: of the shard's, or in mode `sync` the batch's, moments, or of the running ones. */
export function recordNorm(c: Compilation, stage: NormStage): void {
  const y = allocate(c, stage.output);
  const shape = shapeOf(c.shapes, stage.input);
  const { channels } = shape;
  const coefficients = c.tape.pooled(`${stage.norm}:coefficients`, perChannelBytes(channels).coefficients);
  const gamma = c.parameters.value(stage.norm, 'gamma');
  const beta = c.parameters.value(stage.norm, 'beta');
  const common = { gamma, beta, epsilon: c.options.batchNormEpsilon, C: channels, coefficients };
  if (c.mode === 'train') {
    const moments = recordMoments(c, stage);
    const pixels = normalisedPixelsOf(c, shape);
    const all = { moments, pixels, ...common };
    c.runs.whole('forward', stage.label, `${channels}`, 'batchNormCoefficients', all);
  } else {
    const runningMean = c.parameters.value(stage.norm, 'running-mean');
    const runningVariance = c.parameters.value(stage.norm, 'running-variance');
    const all = { runningMean, runningVariance, ...common };
    c.runs.whole('forward', stage.label, `${channels}`, 'batchNormRunningCoefficients', all);
  }
  c.norms.set(stage.norm, { coefficients });
  recordApplication(c, 'forward', stage, y);
}

/** @returns the moments that normalise */
function recordMoments(c: Compilation, stage: NormStage): Pointer {
  const z = withoutHalo(c, stage.input);
  const shape = shapeOf(c.shapes, stage.input);
  const moments = momentsOf(c, stage.norm, c.fixed.moments);
  const area = shape.height * shape.width;
  const words = batchInWords(c, shape);
  const sum = {
    // The deviations are taken from the shard's first pixel, so every range sees the tensor from its start.
    z: { ...z, whole: true },
    from: ({ from }: ImageRange) => from * area,
    pixels: ({ count }: ImageRange) => count * area,
    total: pixelsOf(c, shape),
    C: shape.channels,
    moments,
  };
  c.runs.images('forward', stage.label, words, 'batchNormMoments', sum, { adds: true });
  const { sync } = c.fixed;
  if (!sync) return moments;
  // The whole shard's moments have to be complete, and then the whole batch's.
  c.runs.flush();
  c.tape.cut();
  return momentsOf(c, stage.norm, sync.batchMoments);
}

function recordApplication(c: Compilation, section: Section, stage: NormStage, y: Value): void {
  const shape = shapeOf(c.shapes, stage.input);
  const residual = stage.residual === null ? null : valueOf(c, stage.residual);
  c.runs.images(section, stage.label, batchInWords(c, shape), 'batchNormApply', {
    z: withoutHalo(c, stage.input),
    coefficients: coefficientsOf(c, stage),
    residual: residual ?? 0,
    residualHalo: residual?.halo ?? 0,
    y,
    yHalo: y.halo,
    ...dimensions(shape),
    relu: Number(stage.relu),
  });
}

/**
 * A value for the backward pass. What a batch-norm without residual gives to a single reader is computed again, from what
 * its own backward pass reads in the same run: cheaper than to keep it, since a kept one is written to memory, read from
 * there, and in the way of others in the caches (docs/log.md). The bits are those of the forward pass.
 */
export function recomputed(c: Compilation, name: string, gradients: GradientTerms): Value {
  const stage = gradients.onlyFrom(name);
  if (stage?.kind !== 'batch-norm' || stage.residual !== null) return valueOf(c, name);
  const again = allocate(c, name);
  recordApplication(c, 'backward', stage, again);
  return again;
}

/** Records the backward pass: gradients of gamma, beta, the input and the residual. */
export function recordNormBackward(c: Compilation, stage: NormStage, gradients: GradientTerms): void {
  const z = withoutHalo(c, stage.input);
  const shape = shapeOf(c.shapes, stage.input);
  const y = valueOf(c, stage.output);
  const { g, g2, own } = gradients.gather(stage);
  const masked = own ? g : gradients.gradientOf(stage.output);
  const { sync } = c.fixed;
  const sums = sync
    ? momentsOf(c, stage.norm, sync.sums)
    : c.tape.pooled(`${stage.norm}:sums`, perChannelBytes(shape.channels).sums);
  const coefficients = coefficientsOf(c, stage);
  const words = batchInWords(c, shape);
  const size = dimensions(shape);
  const reduction = {
    g,
    g2: g2 ?? 0,
    // Only the mask is taken from it.
    y: stage.relu ? y : 0,
    yHalo: y.halo,
    z,
    coefficients,
    masked,
    ...size,
    relu: Number(stage.relu),
    sums,
    accumulate: ({ from }: ImageRange) => Number(from > 0),
  };
  c.runs.images('backward', stage.label, words, 'batchNormBackwardReduce', reduction, { adds: true });
  // The sums over the whole shard have to be complete.
  c.runs.flush();
  if (sync) c.tape.cut();
  const dzHalo = gradients.haloFor(stage.input);
  const dz = gradients.gradientOf(stage.input, dzHalo);
  c.runs.images('backward', stage.label, words, 'batchNormBackwardApply', {
    masked,
    z,
    coefficients,
    sums: sync ? momentsOf(c, stage.norm, sync.batchSums) : sums,
    ownSums: sums,
    pixels: normalisedPixelsOf(c, shape),
    dz,
    dzHalo,
    ...size,
    dGamma: c.parameters.gradient(stage.norm, 'gamma'),
    dBeta: c.parameters.gradient(stage.norm, 'beta'),
  });
  gradients.add(stage.input, dz);
  if (stage.residual !== null) gradients.add(stage.residual, masked);
}
