import { buildNames } from '@lockstep/shared/kernels/build-name.ts';
import test from 'ava';
import fc from 'fast-check';
import { checkCalls, type NamedCall, flags, noise, seeds, runCalls } from '../../helpers/kernel-check.ts';
import { KernelHarness, type TestBuffer } from '../../helpers/kernel-harness.ts';

const f = Math.fround;
const steps = 5;

/** Buffers of one run: two sets that updates go back and forth between, and a gradient for every step. */
function buffers(n: number, seed: number) {
  const harness = new KernelHarness();
  const set = (first: boolean) => ({
    w: harness.buffer('f32', n, first ? noise(seed) : () => 77),
    m: harness.buffer('f32', n, first ? () => 0 : () => 77),
    v: harness.buffer('f32', n, first ? () => 0 : () => 77),
  });
  const sets = [set(true), set(false)] as const;
  const gradients = Array.from({ length: steps }, (_, t) => harness.buffer('f32', n, noise(seed + 1 + t)));
  return { harness, sets, gradients };
}

type Buffers = ReturnType<typeof buffers>;

function inAndOut({ sets }: Buffers, t: number) {
  const [from, to] = [sets[t % 2 === 0 ? 0 : 1], sets[t % 2 === 0 ? 1 : 0]];
  const places = { w: from.w.offset, m: from.m.offset, wOut: to.w.offset, mOut: to.m.offset };
  return { places, second: { v: from.v.offset, vOut: to.v.offset } };
}

const gradientScale = f(0.125);
const lr = f(0.01);
const adam = { beta1: f(0.9), beta2: f(0.999), epsilon: f(1e-8), weightDecay: f(0.1) };

const adamCalls = (made: Buffers, n: number, decoupled: number) =>
  made.gradients.map((g, t) => {
    const { places, second } = inAndOut(made, t);
    const corrections = {
      correction1: f(1 - adam.beta1 ** (t + 1)),
      correction2: f(1 - adam.beta2 ** (t + 1)),
    };
    const named = {
      ...places,
      ...second,
      g: g.offset,
      n,
      gradientScale,
      lr,
      ...adam,
      ...corrections,
      decoupled,
    };
    return ['adamUpdate', named] as const;
  });

const sgdCalls = (made: Buffers, n: number, nesterov: number, momentum: number) =>
  made.gradients.map((g, t) => {
    const { places } = inAndOut(made, t);
    const named = { ...places, g: g.offset, n, gradientScale, lr, momentum, nesterov, weightDecay: f(0.1) };
    return ['sgdUpdate', named] as const;
  });

const sizes = fc.integer({ min: 0, max: 70 });

test('Adam and AdamW agree with the reference over several steps', (t) => {
  fc.assert(
    fc.property(sizes, flags, seeds, (n, decoupled, seed) => {
      const made = buffers(n, seed);
      const last = made.sets[1];
      checkCalls(made.harness, adamCalls(made, n, decoupled), [
        { name: 'w', buffer: last.w, tolerance: 2e-6, floor: 0.1 },
        { name: 'm', buffer: last.m, tolerance: 1e-6, floor: 0.01 },
        { name: 'v', buffer: last.v, tolerance: 1e-6, floor: 1e-6 },
      ]);
    }),
    { includeErrorInReport: true },
  );
  t.pass();
});

test('SGD agrees with the reference over several steps', (t) => {
  fc.assert(
    fc.property(sizes, flags, fc.constantFrom(0, f(0.9)), seeds, (n, nesterov, momentum, seed) => {
      const made = buffers(n, seed);
      checkCalls(made.harness, sgdCalls(made, n, nesterov, momentum), [
        { name: 'w', buffer: made.sets[1].w, tolerance: 1e-6, floor: 0.1 },
        { name: 'm', buffer: made.sets[1].m, tolerance: 1e-6, floor: 0.1 },
      ]);
    }),
    { includeErrorInReport: true },
  );
  t.pass();
});

/** A parameter on its own, written from the papers: the independent formula. */
function papersAdam(w0: number, gradients: readonly number[], decoupled: boolean): number {
  let [w, m, v] = [w0, 0, 0];
  gradients.forEach((raw, k) => {
    const g = raw * gradientScale + (decoupled ? 0 : adam.weightDecay * w);
    if (decoupled) w -= lr * adam.weightDecay * w;
    m += (1 - adam.beta1) * (g - m);
    v += (1 - adam.beta2) * (g * g - v);
    const mHat = m / (1 - adam.beta1 ** (k + 1));
    const vHat = v / (1 - adam.beta2 ** (k + 1));
    w -= (lr * mHat) / (Math.sqrt(vHat) + adam.epsilon);
  });
  return w;
}

/** torch.optim.SGD, whose first momentum is the first gradient. */
function torchSgd(w0: number, gradients: readonly number[], momentum: number, nesterov: boolean): number {
  let w = w0;
  let buffer: number | undefined;
  for (const raw of gradients) {
    const g = raw * gradientScale + f(0.1) * w;
    buffer = buffer === undefined ? g : momentum * buffer + g;
    w -= lr * (nesterov ? g + momentum * buffer : buffer);
  }
  return w;
}

test('both follow their published formulas', (t) => {
  const n = 21;
  const at = (b: TestBuffer, i: number): number => b.data[i] as number;
  for (const flag of [0, 1]) {
    const made = buffers(n, 3);
    const gradientsOf = (i: number): number[] => made.gradients.map((g) => at(g, i));
    for (const build of buildNames) {
      const adams = runCalls(made.harness, build, adamCalls(made, n, flag)).read(made.sets[1].w);
      const sgds = runCalls(made.harness, build, sgdCalls(made, n, flag, f(0.9))).read(made.sets[1].w);
      for (let i = 0; i < n; i++) {
        const w = at(made.sets[0].w, i);
        t.true(Math.abs((adams[i] as number) - papersAdam(w, gradientsOf(i), flag === 1)) < 1e-6);
        t.true(Math.abs((sgds[i] as number) - torchSgd(w, gradientsOf(i), f(0.9), flag === 1)) < 1e-6);
      }
    }
  }
});

test('an element has the same bits wherever the slices are cut', (t) => {
  const n = 37;
  const made = buffers(n, 11);
  const last = made.sets[1];
  for (const [name, named] of [
    adamCalls(made, n, 0)[0],
    adamCalls(made, n, 1)[0],
    sgdCalls(made, n, 1, f(0.9))[0],
  ] as const) {
    // Every pointer of the slice [from, to) moves by 4*from bytes.
    const pointers = new Set(['w', 'g', 'm', 'v', 'wOut', 'mOut', 'vOut']);
    const slice = (from: number, to: number): NamedCall => {
      const moved = Object.entries(named).map(([key, x]) => [key, pointers.has(key) ? x + 4 * from : x]);
      return [name, { ...Object.fromEntries(moved), n: to - from }] as unknown as NamedCall;
    };
    const cuts = [0, 1, 6, 17, 20, 37];
    const slices = cuts.slice(1).map((to, k) => slice(cuts[k] as number, to));
    for (const build of buildNames) {
      const whole = runCalls(made.harness, build, [slice(0, n)]).read(last.w);
      t.deepEqual(runCalls(made.harness, build, slices).read(last.w), whole);
    }
  }
});
