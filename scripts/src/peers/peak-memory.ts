/** The largest resident memory that this process has had. */
import { readFileSync } from 'node:fs';

/**
 * Bytes. VmHWM belongs to this program alone; the resource usage may still hold the figure of the parent from
 * before this program was loaded.
 */
export function peakMemory(): number {
  try {
    const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
    if (line) return Number(line[1]) * 1024;
  } catch {
    // No /proc: not Linux.
  }
  return process.resourceUsage().maxRSS * 1024;
}
