/**
 * Sizes of a Winograd convolution of 3x3 filters, and which layers should use it: what follows from the shape
 * alone.
 *
 * The sizes repeat those in `wasm/winograd-tiles.ts` and the passes there; they serve both widths.
 */
import { type ConvolutionShape, outputSize } from './convolution-geometry.ts';
import { channelStride } from './kernel.ts';

/** A 3x3 convolution: of stride 1 with 0 <= pad <= 2, or of stride 2 with pad 1. */
export interface WinogradShape {
  readonly N: number;
  readonly H: number;
  readonly W: number;
  readonly IC: number;
  readonly OC: number;
  readonly stride: number;
  readonly pad: number;
}

/** How an image is cut into tiles: along one axis, the pixels that a tile yields and is made from, and its elements. */
interface Tiling {
  readonly outputs: number;
  readonly inputs: number;
  readonly elements: number;
}

const plain: Tiling = { outputs: 4, inputs: 6, elements: 6 };
const down: Tiling = { outputs: 4, inputs: 9, elements: 9 };
const up: Tiling = { outputs: 8, inputs: 5, elements: 9 };

/** Elements of a transformed filter along one axis, and in all. */
const filtersAlong = 6;
const filterElements = filtersAlong ** 2;
const transformBytes = 20736;

/** The wider of both register tiles. */
const panelColumns = 16;

/** Bytes of a plane: an odd number of cache lines. */
function planeBytes(bytes: number): number {
  const lines = Math.ceil(bytes / 64);
  return 64 * (lines + (lines % 2 === 0 ? 1 : 0));
}

/** Bytes of one transformed input tile in its plane. */
function tileBytes(channels: number): number {
  const bytes = 32 * Math.ceil(channels / 8);
  return bytes < 512 || (bytes & 64) !== 0 ? bytes : bytes + 64;
}

function edgeBytes({ inputs }: Tiling, channels: number): number {
  return Math.max(4 * inputs ** 2 * channelStride(channels), 4096) + 128;
}

/** Tiles that cover N images. */
function tileCount({ outputs }: Tiling, N: number, height: number, width: number): number {
  return N * Math.ceil(height / outputs) * Math.ceil(width / outputs);
}

/** Two planes of 8 columns may be 64 bytes longer than one of 16. */
function panelPlaneBytes(rows: number): number {
  return 2 * planeBytes(rows * 2 * panelColumns);
}

/** Bytes of all transformed filters: what every call goes through, be they kept or transformed anew. */
export function winogradFilterBytes(depth: number, columns: number): number {
  const padded = Math.ceil(columns / panelColumns) * panelColumns;
  return 4 * filterElements * channelStride(depth) * padded;
}

/** Whether packing needs all taps at once, for one of the two ways at least, because filters are kept transformed. */
export function packsWhole(IC: number, OC: number): boolean {
  return keepsTransformed(IC, OC) || keepsTransformed(OC, IC);
}

/** Whether packed filters are kept transformed, and not transformed anew for every block of tiles. */
function keepsTransformed(depth: number, columns: number): boolean {
  return winogradFilterBytes(depth, columns) <= 2 ** 22;
}

/** The weights laid out in panels; where they are kept transformed, that, and the former as scratch. */
function packedBytes(depth: number, columns: number): number {
  const panels = Math.ceil(columns / panelColumns);
  const raw = 4 * 9 * channelStride(depth) * panels * panelColumns;
  if (!keepsTransformed(depth, columns)) return raw;
  return (panels * filterElements + 3 * filtersAlong) * panelPlaneBytes(channelStride(depth)) + raw;
}

/** Bytes of the filters packed by `winogradPackForward`, its scratch included. */
export function winogradPackedBytes(IC: number, OC: number): number {
  return packedBytes(IC, OC);
}

/** Bytes of the filters packed by `winogradPackBackwardData`, its scratch included. */
export function winogradPackedBackwardDataBytes(IC: number, OC: number): number {
  return packedBytes(OC, IC);
}

/** Scratch of a correlation from `depth` to `columns` channels whose output has `tiles` tiles. */
function correlationScratchBytes(tiling: Tiling, tiles: number, depth: number, columns: number): number {
  const kept = keepsTransformed(depth, columns);
  const elements = tiling.elements ** 2;
  const blockBytes = kept ? 307200 : 4915200;
  const fitting = 6 * Math.floor(blockBytes / (4 * elements * (channelStride(depth) + 16)) / 6);
  const block = Math.min(tiles, Math.max(24, fitting));
  // Register tiles are up to three rows higher than what is left for them.
  const rows = 4 * Math.ceil(block / 4);
  const planes = planeBytes(rows * tileBytes(depth)) + planeBytes(rows * 4 * panelColumns);
  const group = tiles <= 32 ? Math.min(64, channelStride(depth)) : channelStride(depth);
  const filters = kept ? 0 : 4 * filtersAlong * panelPlaneBytes(group);
  return transformBytes + edgeBytes(tiling, depth) + elements * planes + filters;
}

function outputTiles(s: WinogradShape): number {
  const [OH, OW] = [outputSize(s.H, 3, s.stride, s.pad), outputSize(s.W, 3, s.stride, s.pad)];
  return tileCount(plain, s.N, OH, OW);
}

/** Tiles of the output of one image. */
export function winogradTilesOfImage(s: WinogradShape): number {
  return outputTiles({ ...s, N: 1 });
}

/** Scratch of one `winogradForward`, in bytes: the transformed inputs and products of a block of tiles. */
export function winogradScratchBytes(s: WinogradShape): number {
  return correlationScratchBytes(s.stride === 2 ? down : plain, outputTiles(s), s.IC, s.OC);
}

/** Scratch of one `winogradBackwardData`, in bytes. */
export function winogradBackwardDataScratchBytes(s: WinogradShape): number {
  const tiling = s.stride === 2 ? up : plain;
  return correlationScratchBytes(tiling, tileCount(tiling, s.N, s.H, s.W), s.OC, s.IC);
}

/** How `winogradBackwardWeights` sums the tiles of a call. */
function summation(s: WinogradShape, goesOn: boolean) {
  const tiles = outputTiles(s);
  const panels = Math.ceil(s.OC / panelColumns);
  // One block holds all tiles.
  const single = !goesOn && tiles <= Math.max(128, panels * panelColumns);
  const channels = single && tiles <= 32 ? Math.min(48, s.IC) : s.IC;
  return {
    block: single ? tiles : Math.min(tiles, 96),
    matrices: single ? filtersAlong : filterElements * panels,
    matrixBytes: panelPlaneBytes(channelStride(channels)),
  };
}

/**
 * Sums of one `winogradBackwardWeights`, in bytes: of the transformed weights' gradient a row of a panel if one block
 * holds all tiles, else all of it.
 *
 * @param goesOn whether the sum goes on from call to call, N being the most images of one of them
 */
export function winogradSumsBytes(s: WinogradShape, goesOn = false): number {
  const { matrices, matrixBytes } = summation(s, goesOn);
  return matrices * matrixBytes;
}

/**
 * Scratch of one `winogradBackwardWeights`, in bytes: the transformed inputs of a block of tiles, a panel of transformed
 * gradients and a panel half-transformed.
 */
export function winogradBackwardWeightsScratchBytes(s: WinogradShape, goesOn = false): number {
  const tiling = s.stride === 2 ? down : plain;
  const { block, matrixBytes } = summation(s, goesOn);
  const planes = planeBytes(block * tileBytes(s.IC)) + planeBytes(block * 4 * panelColumns);
  const half = 3 * filtersAlong * matrixBytes;
  return transformBytes + edgeBytes(tiling, s.IC) + tiling.elements ** 2 * planes + half;
}

/** The passes of a convolution, each of which may use its own kernels. */
export type ConvolutionPass = 'forward' | 'backwardData' | 'backwardWeights';

/**
 * Whether a pass of a convolution is faster with the Winograd kernels: a function of the shape alone, since
 * the choice changes rounding. From ratios to the direct kernels measured on one thread of a Zen 4, for 8 to
 * 512 channels, images of 2 x 2 to 32 x 32, N of 1 to 32:
 *
 * - 3x3, stride 1, at least 8 channels on both sides: 1.3 at 8, 1.8 to 2.2 at 16, 2.2 to 3.4 from 32 on;
 * - tiles mostly inside the image: at a quarter covered (2 x 2) the weights' gradient is slower, at 0.39 (5 x 5) equal;
 * - a few tiles at least, or transforming the filters costs more than the products save.
 *
 * Stride 2: see `stridedGain`.
 */
export function usesWinograd(s: ConvolutionShape, pass: ConvolutionPass = 'forward'): boolean {
  const isStrided = s.stride === 2 && s.pad === 1;
  if (s.KH !== 3 || s.KW !== 3 || !(isStrided || (s.stride === 1 && s.pad <= 2))) return false;
  if (Math.min(s.IC, s.OC) < 8) return false;
  const tiling = isStrided && pass === 'backwardData' ? up : plain;
  const height = pass === 'backwardData' ? s.H : outputSize(s.H, 3, s.stride, s.pad);
  const width = pass === 'backwardData' ? s.W : outputSize(s.W, 3, s.stride, s.pad);
  const tiles = tileCount(tiling, s.N, height, width);
  const covered = (s.N * height * width) / (tiling.outputs ** 2 * tiles);
  if (isStrided) return tiles >= 16 && stridedGain(covered, s) >= 0.65;
  return pass === 'backwardWeights' ? tiles >= 8 && covered >= 0.45 : tiles >= 4 && covered >= 0.35;
}

/**
 * What stride 2 gains, without unit: 144 products become 81 where tiles are covered, and the transforms cost as much as
 * eight channels would. Measured on one thread of a Zen 5, N = 16, 256-bit and 128-bit vectors: 16 -> 32 channels (0.57) 0.9
 * to 1.2 times as fast as the direct kernels, 64 -> 64 on 28 x 28 pixels (0.62) 0.9, 128 -> 256 on 14 x 14 (0.70) 1.1 to 1.2,
 * 32 -> 64 on 16 x 16 (0.73) 1.3 to 1.9, more channels 1.1 to 2.0.
 */
function stridedGain(covered: number, { IC, OC }: ConvolutionShape): number {
  const channels = (IC * OC) / (IC + OC);
  return (covered * channels) / (channels + 8);
}
