/** From stored bytes to the input activation. */
import { activationBytes, defineKernel } from './kernel.ts';
import { writeTensor } from './reference-tensor.ts';

export const imageKernels = {
  /**
   * Sample n of y from image `image` of `bytes` u8 `[..][H][W][C]`: the crop is shifted by (dy, dx), then
   * flipped: out[h][w][c] = table[c][src[h + dy][(flip ? W-1-w : w) + dx][c]], or 0 outside the image.
   * table f32 `[C][256]` holds the normalised value of each byte. Writes that sample's halo, no other sample.
   */
  loadImage: defineKernel({
    parameters: ['bytes', 'image', 'y', 'yHalo', 'n', 'H', 'W', 'C', 'dy', 'dx', 'flip', 'table'],
    group: 'data movement',
    flops: () => 0,
    bytes: (a) => a.H * a.W * a.C + activationBytes(1, a.H, a.W, a.C, a.yHalo),
    reference: ({ values, bytes }, a) => {
      const address = a.y + activationBytes(a.n, a.H, a.W, a.C, a.yHalo);
      writeTensor(values, { ...a, N: 1, address, halo: a.yHalo }, (_n, h, w, c) => {
        const y = h + a.dy;
        const x = (a.flip ? a.W - 1 - w : w) + a.dx;
        if (y < 0 || y >= a.H || x < 0 || x >= a.W) return 0;
        const byte = bytes[a.bytes + ((a.image * a.H + y) * a.W + x) * a.C + c];
        return values[a.table / 4 + c * 256 + byte];
      });
    },
  }),
};
