/**
 * Sizes of a Winograd convolution F(4x4, 3x3), and which layers should use it: what follows from the shape
 * alone.
 *
 * The sizes repeat those in `wasm/winograd-tiles.ts` and the passes there; they serve both widths.
 */
import { type ConvolutionShape, outputSize } from './convolution-geometry.ts';
import { channelStride } from './kernel.ts';

/** A 3x3 convolution of stride 1, with 0 <= pad <= 2. */
export interface WinogradShape {
  readonly N: number;
  readonly H: number;
  readonly W: number;
  readonly IC: number;
  readonly OC: number;
  readonly pad: number;
}

/** Elements of a transformed tile of 6 x 6. */
const elements = 36;
const transformBytes = 9216;

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

function edgeBytes(channels: number): number {
  return Math.max(4 * elements * channelStride(channels), 2304) + 128;
}

/** Tiles of 4 x 4 pixels that cover N images. */
function tileCount(N: number, height: number, width: number): number {
  return N * Math.ceil(height / 4) * Math.ceil(width / 4);
}

/** Two planes of 8 columns may be 64 bytes longer than one of 16. */
function panelPlaneBytes(rows: number): number {
  return 2 * planeBytes(rows * 2 * panelColumns);
}

/** Bytes of all transformed filters: what every call goes through, be they kept or transformed anew. */
export function winogradFilterBytes(depth: number, columns: number): number {
  const padded = Math.ceil(columns / panelColumns) * panelColumns;
  return 4 * elements * channelStride(depth) * padded;
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
  return panels * elements * panelPlaneBytes(channelStride(depth)) + raw + transformBytes;
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
function correlationScratchBytes(tiles: number, depth: number, columns: number): number {
  const kept = keepsTransformed(depth, columns);
  const blockBytes = kept ? 307200 : 4915200;
  const fitting = 6 * Math.floor(blockBytes / (4 * elements * (channelStride(depth) + 16)) / 6);
  const block = Math.min(tiles, Math.max(24, fitting));
  const filters = kept ? 0 : panelPlaneBytes(channelStride(depth));
  const planes = planeBytes(block * tileBytes(depth)) + planeBytes(block * 4 * panelColumns) + filters;
  return transformBytes + edgeBytes(depth) + elements * planes;
}

/** Scratch of one `winogradForward`, in bytes: the transformed inputs and products of a block of tiles. */
export function winogradScratchBytes(s: WinogradShape): number {
  const [OH, OW] = [outputSize(s.H, 3, 1, s.pad), outputSize(s.W, 3, 1, s.pad)];
  return correlationScratchBytes(tileCount(s.N, OH, OW), s.IC, s.OC);
}

/** Scratch of one `winogradBackwardData`, in bytes. */
export function winogradBackwardDataScratchBytes(s: WinogradShape): number {
  return correlationScratchBytes(tileCount(s.N, s.H, s.W), s.OC, s.IC);
}

/**
 * Scratch of one `winogradBackwardWeights`, in bytes: the transformed inputs of a block of tiles and a panel
 * of transformed gradients; of the transformed weights' gradient a panel if one block holds all tiles, else
 * all of it.
 */
export function winogradBackwardWeightsScratchBytes(s: WinogradShape): number {
  const tiles = tileCount(s.N, outputSize(s.H, 3, 1, s.pad), outputSize(s.W, 3, 1, s.pad));
  const panels = Math.ceil(s.OC / panelColumns);
  const single = tiles <= Math.max(128, panels * panelColumns);
  const block = single ? tiles : 96;
  const planes = planeBytes(block * tileBytes(s.IC)) + planeBytes(block * 4 * panelColumns);
  const gradients = (single ? 1 : panels) * panelPlaneBytes(channelStride(s.IC));
  return transformBytes + 384 + edgeBytes(s.IC) + 64 + elements * (planes + gradients);
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
 */
export function usesWinograd(s: ConvolutionShape, pass: ConvolutionPass = 'forward'): boolean {
  const suitable = s.KH === 3 && s.KW === 3 && s.stride === 1 && s.pad <= 2 && Math.min(s.IC, s.OC) >= 8;
  if (!suitable) return false;
  const height = pass === 'backwardData' ? s.H : outputSize(s.H, 3, 1, s.pad);
  const width = pass === 'backwardData' ? s.W : outputSize(s.W, 3, 1, s.pad);
  const tiles = tileCount(s.N, height, width);
  const covered = (s.N * height * width) / (16 * tiles);
  return pass === 'backwardWeights' ? tiles >= 8 && covered >= 0.45 : tiles >= 4 && covered >= 0.35;
}
