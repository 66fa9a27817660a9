/** How files are named and written. */
import { basename } from 'node:path';
import test from 'ava';
import { sources, withoutComments } from '../helpers/source-files.ts';

const code = sources.filter(({ path }) => !path.endsWith('.d.ts'));

/** Paths of the files for which something holds. */
const pathsOf = (holds: (path: string, text: string) => boolean): string[] =>
  sources.filter(({ path, text }) => holds(path, text)).map(({ path }) => path);

test('sources were found', (t) => {
  t.true(sources.length > 150);
  for (const workspace of ['shared', 'worker', 'coordinator', 'scripts', 'test']) {
    t.true(
      code.some(({ path }) => path.startsWith(`${workspace}/`)),
      workspace,
    );
  }
});

test('nobody imports through an index', (t) => {
  t.deepEqual(
    pathsOf((path) => /^index\.[mc]?[tj]s$/.test(basename(path))),
    [],
  );
});

test('no file is longer than 300 lines, no kernel than 400', (t) => {
  const long = sources
    .map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }))
    .filter(({ path, lines }) => lines > (path.includes('/kernels/wasm/') ? 400 : 300));
  t.deepEqual(long, []);
});

test('names are kebab-case', (t) => {
  const names = (path: string) => path.split('/').every((part) => /^[a-z0-9]+([.-][a-z0-9]+)*$/.test(part));
  t.deepEqual(
    pathsOf((path) => !names(path)),
    [],
  );
});

test('every file but a test says in its first line what it is', (t) => {
  // A test file is a list of sentences already.
  const opens = (text: string) => /^(#![^\n]*\n)?\s*(\/\*\*?|\/\/)\s*\S?/.test(text);
  t.deepEqual(
    pathsOf((path, text) => !path.endsWith('.test.ts') && !opens(text)),
    [],
  );
});

/** Code lines in which a pattern occurs, outside of comments, strings and patterns. */
function occurrences(pattern: RegExp, of = code): string[] {
  return of.flatMap(({ path, text }) =>
    withoutComments(text)
      .split('\n')
      .flatMap((line, i) => {
        const bare = line.replaceAll(
          /'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`|\/(?:[^/\\\s]|\\.)+\//g,
          "''",
        );
        return pattern.test(bare) ? [`${path}:${i + 1}: ${line.trim()}`] : [];
      }),
  );
}

test("no type is 'any'", (t) => {
  const typed = /[:<|&,(]\s*any\b\s*[>;,)=|&[\]]|\bas any\b|\bany\[\]|:\s*any\s*$/;
  for (const line of ['let x: any;', 'f(a: any, b)', '<any>x', 'Map<string, any>', 'x as any', 'any[]']) {
    t.regex(line, typed);
  }
  t.deepEqual(
    occurrences(
      typed,
      code.filter(({ path }) => path.endsWith('.ts')),
    ),
    [],
  );
});

test('no compiler error is switched off', (t) => {
  const switches = /@ts-(ignore|nocheck|expect-error)/;
  t.deepEqual(
    pathsOf(
      (path, text) =>
        switches.test(text) && !path.includes('/kernels/wasm/') && path !== 'test/contract/files.test.ts',
    ),
    [],
  );
});

test('no test is skipped or runs alone', (t) => {
  const tests = code.filter(({ path }) => path.endsWith('.test.ts'));
  t.true(tests.length > 30);
  t.deepEqual(occurrences(/\b(test|t|serial)\.(skip|only|failing|todo)\b/, tests), []);
  t.deepEqual(occurrences(/\.(skip|only|failing|todo)\(/, tests), []);
});

test('no path of this or that machine', (t) => {
  const machine = /['"`]\/(home|Users|root|work)\/[a-z]{2}/;
  t.deepEqual(
    pathsOf((path, text) => machine.test(text) && path !== 'test/contract/files.test.ts'),
    [],
  );
});

test('kernels keep no state: no variable at the top of a file of kernels', (t) => {
  const kernels = sources.filter(({ path }) => path.includes('/kernels/wasm/'));
  t.true(kernels.length > 10);
  t.deepEqual(occurrences(/^(export )?(let|var) /, kernels), []);
  // Memory comes from outside: nothing allocates.
  t.deepEqual(occurrences(/\bnew [A-Z]|\bheap\.alloc|\b__new\b|\bmemory\.grow\b/, kernels), []);
});
