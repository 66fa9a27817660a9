/**
 * Sizes of a Winograd convolution F(4x4, 3x3), and which layers should use it: what follows from the shape alone.
 *
 * The sizes repeat those in `wasm/winograd-tiles.ts` and the passes there; they serve both widths.
 */
import { outputSize } from './convolution-geometry.ts';
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
const patchBytes = 9 * 512;

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
  return Math.max(4 * elements * channelStride(channels), 1024) + 128;
}

/** Tiles of 4 x 4 pixels that cover N images. */
function tileCount(N: number, height: number, width: number): number {
  return N * Math.ceil(height / 4) * Math.ceil(width / 4);
}

/** Two planes of 8 columns may be 64 bytes longer than one of 16. */
function panelPlaneBytes(rows: number): number {
  return 2 * planeBytes(rows * 2 * panelColumns);
}

function packedBytes(depth: number, columns: number): number {
  const panels = Math.ceil(columns / panelColumns);
  return panels * elements * panelPlaneBytes(channelStride(depth)) + transformBytes + patchBytes;
}

/** Bytes of the filters packed by `winogradPackForward`, its scratch included. */
export function winogradPackedBytes(IC: number, OC: number): number {
  return packedBytes(IC, OC);
}

/** Bytes of the filters packed by `winogradPackBackwardData`, its scratch included. */
export function winogradPackedBackwardDataBytes(IC: number, OC: number): number {
  return packedBytes(OC, IC);
}

/** Scratch of a correlation of `depth` channels whose output has `tiles` tiles. */
function correlationScratchBytes(tiles: number, depth: number): number {
  const fitting = Math.floor(Math.floor(614400 / (4 * elements * (channelStride(depth) + 16))) / 6) * 6;
  const block = Math.min(tiles, Math.max(24, fitting));
  const planes = planeBytes(block * tileBytes(depth)) + planeBytes(block * 4 * panelColumns);
  return transformBytes + edgeBytes(depth) + elements * planes;
}

/** Scratch of one `winogradForward`, in bytes: the transformed inputs and products of a block of tiles. */
export function winogradScratchBytes(s: WinogradShape): number {
  const [OH, OW] = [outputSize(s.H, 3, 1, s.pad), outputSize(s.W, 3, 1, s.pad)];
  return correlationScratchBytes(tileCount(s.N, OH, OW), s.IC);
}

/** Scratch of one `winogradBackwardData`, in bytes. */
export function winogradBackwardDataScratchBytes(s: WinogradShape): number {
  return correlationScratchBytes(tileCount(s.N, s.H, s.W), s.OC);
}

/**
 * Scratch of one `winogradBackwardWeights`, in bytes: the transformed inputs of a block of tiles and a panel of
 * transformed gradients; of the transformed weights' gradient a panel if one block holds all tiles, else all of it.
 */
export function winogradBackwardWeightsScratchBytes(s: WinogradShape): number {
  const tiles = tileCount(s.N, outputSize(s.H, 3, 1, s.pad), outputSize(s.W, 3, 1, s.pad));
  const panels = Math.ceil(s.OC / panelColumns);
  const single = tiles <= Math.max(128, panels * panelColumns);
  const block = single ? tiles : 96;
  const planes = planeBytes(block * tileBytes(s.IC)) + planeBytes(block * 4 * panelColumns);
  const gradients = (single ? 1 : panels) * panelPlaneBytes(channelStride(s.IC));
  return transformBytes + 384 + edgeBytes(Math.max(s.IC, s.OC)) + 64 + elements * (planes + gradients);
}

/** Whether a layer of this shape should use the Winograd kernels. */
export function usesWinograd(
  s: WinogradShape & { readonly KH: number; readonly KW: number; readonly stride: number },
): boolean {
  return s.KH === 3 && s.KW === 3 && s.stride === 1 && s.pad <= 2 && s.IC >= 16 && s.OC >= 16;
}
