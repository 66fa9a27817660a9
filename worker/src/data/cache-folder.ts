/** Where data sets live on this machine. */
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

/**
 * The cache folder: `LOCKSTEP_CACHE`, else `$XDG_CACHE_HOME/lockstep`, else `~/.cache/lockstep`.
 *
 * @param environment for tests; a relative XDG_CACHE_HOME is ignored, as its specification demands
 */
export function cacheFolder(
  environment: Readonly<Record<string, string | undefined>> = process.env,
  home: string = homedir(),
): string {
  const own = environment['LOCKSTEP_CACHE'];
  if (own !== undefined && own !== '') return resolve(own);
  const xdg = environment['XDG_CACHE_HOME'];
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, 'lockstep');
  return join(home, '.cache', 'lockstep');
}

/** The folder with the canonical files of one data set. */
export function datasetFolder(cache: string, name: string): string {
  return join(cache, 'datasets', name);
}

/** The folder for tarballs under way. */
export function downloadFolder(cache: string): string {
  return join(cache, 'downloads');
}
