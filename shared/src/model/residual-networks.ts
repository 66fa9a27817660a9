/** Residual networks: He et al., "Deep residual learning for image recognition", 2015. */
import { imagesName, type Layer, type Model } from './spec.ts';
import type { ModelOptions } from './zoo.ts';

type Body = Omit<Model, 'images' | 'classes' | 'name'>;

/** Appends layers and keeps the name of the last one. */
class Trunk {
  readonly layers: Layer[] = [];
  last = imagesName;
  channels: number;

  constructor(channels: number) {
    this.channels = channels;
  }

  push(layer: Layer): void {
    this.layers.push(layer);
    this.last = layer.name;
  }

  /** Convolution without bias, batch-norm, and a ReLU unless told otherwise. */
  unit(name: string, input: string, filters: number, kernel: number, stride: number, relu = true): void {
    const pad = (kernel - 1) >> 1;
    this.push({
      kind: 'convolution',
      name: `${name}.conv`,
      input,
      filters,
      kernel,
      stride,
      pad,
      bias: false,
    });
    this.push({ kind: 'batch-norm', name: `${name}.norm`, input: this.last });
    if (relu) this.push({ kind: 'relu', name: `${name}.relu`, input: this.last });
  }

  /** Two 3x3 units and a shortcut; figure 2 of the paper. */
  basicBlock(name: string, filters: number, stride: number, shortcut: 'A' | 'B'): void {
    const input = this.last;
    const changesShape = stride !== 1 || filters !== this.channels;
    let other = input;
    this.unit(`${name}.1`, input, filters, 3, stride);
    this.unit(`${name}.2`, this.last, filters, 3, 1, false);
    const main = this.last;
    if (changesShape) {
      if (shortcut === 'A') {
        this.push({ kind: 'shortcut', name: `${name}.shortcut`, input, filters, stride });
      } else {
        this.unit(`${name}.shortcut`, input, filters, 1, stride, false);
      }
      other = this.last;
    }
    this.push({ kind: 'add', name: `${name}.add`, input: main, other });
    this.push({ kind: 'relu', name: `${name}.out`, input: this.last });
    this.channels = filters;
  }

  head(classes: number): void {
    this.push({ kind: 'global-average-pool', name: 'pool', input: this.last });
    this.push({ kind: 'dense', name: 'logits', input: this.last, units: classes, bias: true });
  }
}

/** Section 4.2: 6n+2 layers of 16, 32 and 64 channels for small images. */
export function cifarResidualNetwork(depth: number, options: ModelOptions): Body {
  const blocks = (depth - 2) / 6;
  const trunk = new Trunk(16);
  trunk.unit('stem', imagesName, 16, 3, 1);
  [16, 32, 64].forEach((filters, stage) => {
    for (let block = 0; block < blocks; block++) {
      const stride = stage > 0 && block === 0 ? 2 : 1;
      trunk.basicBlock(`stage${stage + 1}.block${block + 1}`, filters, stride, options.shortcut);
    }
  });
  trunk.head(options.classes);
  return { title: `ResNet-${depth} (He et al. 2015, section 4.2)`, layers: trunk.layers };
}

/**
 * Table 1: 64 to 512 channels, two blocks each. Images below 64x64 get a 3x3 stem without pooling, as is
 * usual for CIFAR; larger ones the paper's 7x7 stem and 3x3 max pooling. Shortcuts are convolutions (B), as
 * everybody trains it.
 */
export function residualNetwork18(options: ModelOptions): Body {
  const trunk = new Trunk(64);
  if (options.images.height < 64) {
    trunk.unit('stem', imagesName, 64, 3, 1);
  } else {
    trunk.unit('stem', imagesName, 64, 7, 2);
    trunk.push({ kind: 'max-pool', name: 'stem.pool', input: trunk.last, kernel: 3, stride: 2, pad: 1 });
  }
  [64, 128, 256, 512].forEach((filters, stage) => {
    for (let block = 0; block < 2; block++) {
      const stride = stage > 0 && block === 0 ? 2 : 1;
      trunk.basicBlock(`stage${stage + 1}.block${block + 1}`, filters, stride, 'B');
    }
  });
  trunk.head(options.classes);
  return { title: 'ResNet-18 (He et al. 2015, table 1)', layers: trunk.layers };
}
