/** Processor time of this process, and of others where the system tells (Linux). */
import { readFile } from 'node:fs/promises';

/** Ticks a second of `/proc/PID/stat`: fixed on all Linux systems that Node runs on. */
const ticks = 100;

/** Seconds of all threads of this process so far. */
export function processorSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Seconds of all threads of these processes; null where that is not to be had. */
export async function processSeconds(ids: readonly number[]): Promise<number | null> {
  try {
    const texts = await Promise.all(ids.map((id) => readFile(`/proc/${id}/stat`, 'utf8')));
    return texts.reduce((sum, text) => sum + secondsOf(text), 0);
  } catch {
    return null;
  }
}

/** Pure: user and system time; the command's name in front of them may hold anything, but ends at the last bracket. */
export function secondsOf(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticks;
}
