/** Turns what the file system says into errors that tell the user what to do. */
import { LockstepError } from '@lockstep/shared/base/errors.ts';

/** No room: the disk, the quota, or the limit on the size of one file (`ulimit -f`). */
const noRoom = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);
const noAccess = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG', 'EEXIST', 'EIO']);

/** Whether a system's code means that there is no room. */
export function isNoRoom(code: string): boolean {
  return noRoom.has(code);
}

/** The system's code of an error (`ENOENT`), or an empty string. */
export function systemCode(thrown: unknown): string {
  if (thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string') return thrown.code;
  return '';
}

/** Bytes as a figure for people: `176.3 MB`. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

export function diskFull(folder: string, bytesNeeded: number, cause?: unknown): LockstepError {
  return new LockstepError(
    'DISK_FULL',
    `There is no room for ${megabytes(bytesNeeded)} in ${folder}.`,
    'Free some space there, or set LOCKSTEP_CACHE to a folder on another disk.',
    { folder, bytesNeeded, system: systemCode(cause) },
    cause,
  );
}

/**
 * What a failed write means. An error that is already a LockstepError, or is none of the file system's,
 * comes back as it is.
 *
 * @param bytesNeeded what the whole operation writes, in bytes
 */
export function writeTrouble(thrown: unknown, folder: string, bytesNeeded: number): unknown {
  if (thrown instanceof LockstepError) return thrown;
  const code = systemCode(thrown);
  if (isNoRoom(code)) return diskFull(folder, bytesNeeded, thrown);
  if (!noAccess.has(code)) return thrown;
  return new LockstepError(
    'FILE_UNWRITABLE',
    `The cache folder ${folder} cannot be written (${code}).`,
    'Make it writable, or set LOCKSTEP_CACHE to a folder that is.',
    { folder, system: code },
    thrown,
  );
}

/** What a failed read of a file that ought to be there means. */
export function readTrouble(thrown: unknown, path: string): unknown {
  const code = systemCode(thrown);
  if (thrown instanceof LockstepError || code === '') return thrown;
  return new LockstepError(
    'FILE_UNREADABLE',
    `${path} cannot be read (${code}).`,
    'Check that it exists and that you may read it.',
    { path, system: code },
    thrown,
  );
}
