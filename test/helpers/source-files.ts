/** The project's own source files, for contracts on how they are written. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from './command-line.ts';

export { repositoryRoot };

export interface SourceFile {
  /** From the root of the repository: `shared/src/base/errors.ts`. */
  readonly path: string;
  readonly text: string;
}

/** Every TypeScript and JavaScript file of the workspaces; AssemblyScript included, generated files not. */
export const sources: readonly SourceFile[] = globSync(
  '{shared,worker,coordinator,scripts,test}/**/*.{ts,js,mjs}',
  {
    cwd: repositoryRoot,
    exclude: (name) => /(^|\/)(node_modules|build|coverage)(\/|$)/.test(String(name)),
  },
)
  .toSorted()
  .map((path) => ({ path, text: readFileSync(join(repositoryRoot, path), 'utf8') }));

/** What a file imports, re-exports or loads: static and dynamic imports with a literal name. */
export function importsOf(text: string): string[] {
  const code = withoutComments(text);
  const statements = code.matchAll(/^\s*(?:import|export)\b[^;'"`]*?from\s*['"]([^'"]+)['"]/gm);
  const bare = code.matchAll(/^\s*import\s*['"]([^'"]+)['"]/gm);
  const dynamic = code.matchAll(/\bimport\(\s*['"]([^'"]+)['"]/g);
  return [...statements, ...bare, ...dynamic].map((match) => match[1] as string);
}

/** The code of a file: comments become spaces, line by line, so that positions stay. */
export function withoutComments(text: string): string {
  return text
    .replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, ' '))
    .replaceAll(/(^|\s)\/\/.*$/gm, '$1');
}
