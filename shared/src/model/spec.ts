/**
 * Models as data: a list of layers in an order in which every layer comes after its inputs. The compiler
 * turns it into a program; nothing here computes.
 */

/** What every layer has: its own name, and the name of the layer (or `images`) that it reads. */
interface Named {
  readonly name: string;
  readonly input: string;
}

/** 2-D convolution (cross-correlation) with a square kernel. */
export interface ConvolutionLayer extends Named {
  readonly kind: 'convolution';
  readonly filters: number;
  readonly kernel: number;
  readonly stride: number;
  /** Zero padding on each side, below `kernel`. */
  readonly pad: number;
  readonly bias: boolean;
}

/** Ioffe & Szegedy 2015. */
export interface BatchNormLayer extends Named {
  readonly kind: 'batch-norm';
}

export interface ReluLayer extends Named {
  readonly kind: 'relu';
}

/** Elementwise sum of two layers of the same shape: the residual connection. */
export interface AddLayer extends Named {
  readonly kind: 'add';
  readonly other: string;
}

export interface PoolLayer extends Named {
  readonly kind: 'max-pool' | 'average-pool';
  readonly kernel: number;
  readonly stride: number;
  readonly pad: number;
}

export interface GlobalAveragePoolLayer extends Named {
  readonly kind: 'global-average-pool';
}

export interface FlattenLayer extends Named {
  readonly kind: 'flatten';
}

export interface DenseLayer extends Named {
  readonly kind: 'dense';
  readonly units: number;
  readonly bias: boolean;
}

/** Shortcut option A of He et al. 2015: subsample by `stride`, append zero channels up to `filters`. */
export interface ShortcutLayer extends Named {
  readonly kind: 'shortcut';
  readonly filters: number;
  readonly stride: number;
}

export type Layer =
  | ConvolutionLayer
  | BatchNormLayer
  | ReluLayer
  | AddLayer
  | PoolLayer
  | GlobalAveragePoolLayer
  | FlattenLayer
  | DenseLayer
  | ShortcutLayer;

/** Height, width and channels of one image of an activation. */
export interface ImageShape {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** The name by which layers read the input images. */
export const imagesName = 'images';

export interface Model {
  readonly name: string;
  /** For people: `ResNet-20 (He et al. 2015)`. */
  readonly title: string;
  readonly images: ImageShape;
  readonly classes: number;
  /** The last layer gives the logits: one per class. */
  readonly layers: readonly Layer[];
}
