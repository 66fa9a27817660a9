/** Random models: any graph of layers that is valid, for properties of the compiler. */
import { inferShapes } from '@lockstep/shared/model/shapes.ts';
import { type ImageShape, imagesName, type Layer, type Model } from '@lockstep/shared/model/spec.ts';
import fc from 'fast-check';
import { add, convolution, model, norm, pool, relu, shortcut } from './test-models.ts';

/** One layer to be: its kind, which earlier values it reads, and a number that decides its sizes. */
type Draft = readonly [kind: number, from: number, other: number, size: number];

const classes = 3;

/** Models of up to 9 layers, with sums, shortcuts and values that many layers read. */
export function randomModelsOn(smallest: number, largest: number): fc.Arbitrary<Model> {
  const size = fc.integer({ min: smallest, max: largest });
  const draft = fc.tuple(fc.nat(9), fc.nat(99), fc.nat(99), fc.nat(99));
  const drafts = fc.array(draft, { minLength: 1, maxLength: 8 });
  return fc
    .record({ height: size, width: size, channels: fc.integer({ min: 1, max: 5 }), drafts })
    .map(({ drafts: chosen, ...images }) => grow(images, chosen));
}

/** Such models on tiny images. */
export const randomModels: fc.Arbitrary<Model> = randomModelsOn(2, 6);

function grow(images: ImageShape, drafts: readonly Draft[]): Model {
  const layers: Layer[] = [];
  const shapeOfName = (name: string): ImageShape => {
    if (name === imagesName) return images;
    return shapesOf(images, layers).get(name) as ImageShape;
  };
  drafts.forEach((draft, i) => {
    const names = [imagesName, ...layers.map(({ name }) => name)];
    // Late layers are likelier, so that graphs are deep, but any value may be read again.
    const from = Math.min(names.length - 1, Math.floor(names.length * Math.sqrt(draft[1] / 100)));
    const layer = draftLayer(`l${i}`, draft, names[from] as string, names, shapeOfName);
    if (layer && isPossible(images, [...layers, layer])) layers.push(layer);
  });
  // Every value that nobody reads ends in the logits.
  const read = new Set(layers.flatMap((l) => (l.kind === 'add' ? [l.input, l.other] : [l.input])));
  const loose = layers.filter(({ name }) => !read.has(name)).map(({ name }) => name);
  const ends = loose.length > 0 ? loose : [imagesName];
  ends.forEach((name, i) => {
    const flat: Layer = { kind: i % 2 ? 'flatten' : 'global-average-pool', name: `flat${i}`, input: name };
    layers.push(flat, {
      kind: 'dense',
      name: `dense${i}`,
      input: flat.name,
      units: classes,
      bias: i % 2 === 0,
    });
    if (i > 0) layers.push(add(`logits${i}`, i === 1 ? 'dense0' : `logits${i - 1}`, `dense${i}`));
  });
  return model('random', images, classes, layers);
}

function draftLayer(
  name: string,
  [kind, , second, size]: Draft,
  input: string,
  names: readonly string[],
  shapeOfName: (name: string) => ImageShape,
): Layer | null {
  const kernel = 1 + (size % 3);
  const stride = 1 + (size % 2);
  switch (kind) {
    case 0:
      return relu(name, input);
    case 1:
      return norm(name, input);
    case 2: {
      const [h, t] = [shapeOfName(input), (n: string) => shapeOfName(n)];
      const same = names.filter((n) => JSON.stringify(t(n)) === JSON.stringify(h));
      return add(name, input, same[second % same.length] as string);
    }
    case 3:
      return shortcut(name, input, shapeOfName(input).channels + (second % 3), stride);
    case 4:
      return pool('average-pool', name, input, [kernel, stride, second % kernel]);
    case 5:
      return pool('max-pool', name, input, [kernel, stride, second % kernel]);
    default: {
      const filters = 1 + (second % 6);
      const pad = kind % 2 === 0 ? (kernel - 1) >> 1 : second % kernel;
      return convolution(name, input, filters, kernel, { stride, pad, bias: kind > 7 });
    }
  }
}

function shapesOf(images: ImageShape, layers: readonly Layer[]): ReadonlyMap<string, ImageShape> {
  const last = layers.at(-1)?.name ?? imagesName;
  const closed: Layer[] = [
    { kind: 'global-average-pool', name: 'closing pool', input: last },
    { kind: 'dense', name: 'closing', input: 'closing pool', units: classes, bias: true },
  ];
  return inferShapes(model('draft', images, classes, [...layers, ...closed]));
}

/** Valid shapes, and no convolution that pads what has no halo: such models are refused. */
function isPossible(images: ImageShape, layers: readonly Layer[]): boolean {
  const kinds = new Map(layers.map((layer) => [layer.name, layer.kind]));
  const last = layers.at(-1);
  if (last?.kind === 'convolution' && last.pad > 0 && kinds.get(last.input) === 'shortcut') return false;
  try {
    shapesOf(images, layers);
    return true;
  } catch {
    return false;
  }
}
