/** A checkout of the repository whose code is loaded into this process, beside that of others. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { BuildName } from '@lockstep/shared/kernels/build-name.ts';
import type { KernelInstance } from '@lockstep/shared/kernels/instance.ts';
import type { Program } from '@lockstep/shared/model/program.ts';
import { placeWeights } from '@lockstep/shared/model/weight-units.ts';

/** What is measured. */
export interface Workload {
  readonly model: string;
  readonly images: number;
  readonly build: BuildName;
}

/** A program and the kernels that run it, bound to a memory of their own. */
export interface Prepared {
  readonly program: Program;
  readonly kernels: KernelInstance;
  readonly memory: WebAssembly.Memory;
}

/** The parts of a checkout that a shard needs, as they are named in this one. */
interface Parts {
  readonly compile: typeof import('@lockstep/shared/model/compile.ts');
  readonly recipe: typeof import('@lockstep/shared/recipe.ts');
  readonly shape: typeof import('@lockstep/worker/rank/run-shape.ts');
  readonly instance: typeof import('@lockstep/shared/kernels/instance.ts');
  readonly initialisation: typeof import('@lockstep/shared/model/initialisation.ts');
}

const pageBytes = 65_536;
/** Images of the models' usual data set. */
const pixels = { height: 32, width: 32, channels: 3, classes: Array.from({ length: 10 }, (_, i) => `${i}`) };

const tooOld =
  'the checkout is of a version before weights were packed in units, and packs them in another way';

export class Checkout {
  readonly path: string;
  private readonly parts: Parts;
  private readonly module: WebAssembly.Module;

  private constructor(path: string, parts: Parts, module: WebAssembly.Module) {
    this.path = path;
    this.parts = parts;
    this.module = module;
  }

  /**
   * Loads code and compiled kernels of the checkout at `path`.
   *
   * @throws Error where there is no checkout with its kernels built, or one too old to have the same parts
   */
  static async load(path: string, build: BuildName): Promise<Checkout> {
    const at = resolve(path);
    const load = (file: string) => import(pathToFileURL(`${at}/${file}`).href);
    try {
      const parts = {
        compile: await load('shared/src/model/compile.ts'),
        recipe: await load('shared/src/recipe.ts'),
        shape: await load('worker/src/rank/run-shape.ts'),
        instance: await load('shared/src/kernels/instance.ts'),
        initialisation: await load('shared/src/model/initialisation.ts'),
      };
      const bytes = await readFile(`${at}/shared/build/${build}.wasm`);
      return new Checkout(at, parts, await WebAssembly.compile(new Uint8Array(bytes)));
    } catch (cause) {
      throw new Error(
        `${path} is no checkout that can be compared: it needs \`npm ci\`, which builds its kernels.`,
        {
          cause,
        },
      );
    }
  }

  /** A shard of that many images in a memory of its own: weights as at step 0, random pixels, labels 0. */
  prepare({ model: name, images }: Workload): Prepared {
    const { compile, recipe: recipes, shape, instance, initialisation } = this.parts;
    const recipe = recipes.parseRecipe({ model: name, dataset: 'synthetic' });
    const model = shape.modelFor(recipe, pixels);
    const program = compile.compileProgram(model, 'train', images, shape.compileOptionsOf(recipe));
    const pages = Math.ceil(program.arenaBytes / pageBytes);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const { layout, input } = program;
    const kernels = instance.instantiateKernels(this.module, memory);
    const weights = initialisation.initialise(layout, 1, new Float32Array(layout.totalCount));
    if (!program.prepare.every((unit) => 'steps' in unit)) throw new Error(tooOld);
    const whole = new Float32Array(memory.buffer);
    for (const unit of program.prepare) {
      placeWeights(unit, weights, whole);
      for (const { call } of unit.steps) kernels[call.kernel](...call.values);
    }
    const row = pixels.width + 2 * input.imagesHalo;
    const floats = images * (pixels.height + 2 * input.imagesHalo) * row * 4;
    const x = new Float32Array(memory.buffer, input.images, floats);
    for (let i = 0; i < floats; i++) x[i] = Math.sin(i * i);
    return { program, kernels, memory };
  }
}
