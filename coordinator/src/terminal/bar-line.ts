/** One line with a bar in it, laid out for the width there is. Pure. */

/** A piece of text beside the bar; when the line is too long, the highest `rank` goes first. */
export interface BarPart {
  readonly text: string;
  readonly rank: number;
}

const narrowest = 10;
const widest = 32;

/** Eighths of a block, so that a bar of 10 characters still shows every percent. */
const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** A bar of `width` characters, filled to `share` (0 to 1). */
export function drawBar(share: number, width: number): string {
  const bounded = Math.min(1, Math.max(0, Number.isFinite(share) ? share : 0));
  const filled = Math.round(bounded * width * 8);
  const full = '█'.repeat(Math.floor(filled / 8)) + (eighths[filled % 8] ?? '');
  return full.padEnd(width, '░');
}

/**
 * Label, bar and parts in one line that is shorter than `columns`: the bar shrinks to 10 characters
 * first, then parts are left out.
 */
export function barLine(label: string, share: number, parts: readonly BarPart[], columns: number): string {
  const room = columns - 1;
  let kept = [...parts];
  const textWidth = () => label.length + 2 + kept.reduce((sum, part) => sum + part.text.length + 2, 0);
  while (kept.length > 0 && textWidth() + narrowest > room) {
    const last = Math.max(...kept.map((part) => part.rank));
    kept = kept.filter((part) => part.rank !== last);
  }
  const width = Math.max(1, Math.min(widest, room - textWidth()));
  const line = [label, drawBar(share, width), ...kept.map((part) => part.text)].join('  ');
  return line.slice(0, Math.max(1, room));
}
