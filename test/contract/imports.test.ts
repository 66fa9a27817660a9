/** Which way imports go: scripts, test -> coordinator -> worker -> shared, and no sockets or threads below. */
import { readFile } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { dirname, join, relative } from 'node:path';
import test from 'ava';
import { importsOf, repositoryRoot, sources } from '../helpers/source-files.ts';

type Workspace = 'shared' | 'worker' | 'coordinator' | 'scripts' | 'test';

/** Workspaces that each may import, itself by relative paths aside. */
const allowed: Readonly<Record<Workspace, readonly string[]>> = {
  shared: [],
  worker: ['shared'],
  coordinator: ['shared', 'worker'],
  scripts: ['shared', 'worker', 'coordinator'],
  test: ['shared', 'worker', 'coordinator', 'scripts'],
};

const workspaceOf = (path: string): Workspace => path.split('/')[0] as Workspace;

test('imports are read in every form', (t) => {
  const text = [
    "import a from 'a';",
    "import {\n  b,\n  type B,\n} from 'b';",
    "export { c } from 'c';",
    "import 'd';",
    // With a space here, so that this file does not import it.
    "const e = await import ('e');".replace(' (', '('),
    "import type { F } from 'f';",
    "// import x from 'x';",
    "/* import y from 'y'; */",
  ].join('\n');
  t.deepEqual(importsOf(text).toSorted(), ['a', 'b', 'c', 'd', 'e', 'f']);
});

test('imports go one way only', (t) => {
  const wrong: string[] = [];
  let seen = 0;
  for (const { path, text } of sources) {
    const own = workspaceOf(path);
    for (const from of importsOf(text)) {
      const named = /^@lockstep\/([^/]+)\//.exec(from)?.[1];
      if (named !== undefined) {
        seen++;
        if (!allowed[own].includes(named)) wrong.push(`${path} imports ${from}`);
      } else if (from.startsWith('@lockstep/')) {
        wrong.push(`${path} imports a whole package, ${from}`);
      }
      if (!from.startsWith('.')) continue;
      const target = relative(repositoryRoot, join(repositoryRoot, dirname(path), from));
      if (workspaceOf(target) !== own) wrong.push(`${path} reaches into another workspace: ${from}`);
    }
  }
  t.deepEqual(wrong, []);
  t.true(seen > 100, 'imports between workspaces were read');
});

test('relative imports name their file with its ending', (t) => {
  const wrong = sources
    .filter(({ path }) => !path.includes('/kernels/wasm/'))
    .flatMap(({ path, text }) =>
      importsOf(text)
        .filter((from) => from.startsWith('.') || from.startsWith('@lockstep/'))
        .filter((from) => !/\.(ts|js|mjs|json|wasm)$/.test(from))
        .map((from) => `${path} imports ${from}`),
    );
  t.deepEqual(wrong, []);
});

test('shared needs no file system, sockets, threads or processes', (t) => {
  // They only compute.
  const harmless = ['node:crypto', 'node:zlib'];
  const wrong = sources
    .filter(({ path }) => path.startsWith('shared/src/'))
    .flatMap(({ path, text }) =>
      importsOf(text)
        .filter((from) => from.startsWith('node:') && !harmless.includes(from))
        .map((from) => `${path} imports ${from}`),
    );
  t.deepEqual(wrong, []);
});

test('no network in ranks: sockets and arithmetic share no thread', (t) => {
  const wrong = sources
    .filter(({ path }) => path.startsWith('worker/src/rank/'))
    .flatMap(({ path, text }) =>
      importsOf(text)
        .filter((from) => /^(node:(net|http|https|http2|tls|dgram)|ws)$/.test(from))
        .map((from) => `${path} imports ${from}`),
    );
  t.deepEqual(wrong, []);
});

/** Packages that a workspace's manifest names. */
async function packagesOf(workspace: string): Promise<Set<string>> {
  const path = join(repositoryRoot, workspace, 'package.json');
  const manifest = JSON.parse(await readFile(path, 'utf8')) as Partial<
    Record<string, Record<string, string>>
  >;
  const groups = ['dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies'];
  return new Set(groups.flatMap((group) => Object.keys(manifest[group] ?? {})));
}

test('every package that a workspace imports is in its own package.json', async (t) => {
  const wrong = new Set<string>();
  const workspaces = Object.keys(allowed) as Workspace[];
  const packages = await Promise.all(workspaces.map(packagesOf));
  for (const [i, workspace] of workspaces.entries()) {
    // Tests may also use what the code they test uses.
    const known = workspace === 'test' ? new Set(packages.flatMap((set) => [...set])) : packages[i];
    for (const { path, text } of sources.filter((source) => workspaceOf(source.path) === workspace)) {
      if (path.includes('/kernels/wasm/')) continue;
      for (const from of importsOf(text)) {
        if (from.startsWith('.') || isBuiltin(from)) continue;
        const name = from
          .split('/')
          .slice(0, from.startsWith('@') ? 2 : 1)
          .join('/');
        if (!known?.has(name)) wrong.add(`${path} imports ${name}`);
      }
    }
  }
  t.deepEqual([...wrong], []);
});
