/** Numbers as people read them. All pure. */

/** `269 722`: digits in threes, set apart by a narrow gap that a copy keeps. */
export function inThousands(value: number): string {
  return String(Math.round(value)).replaceAll(/\B(?=(\d{3})+$)/g, ' ');
}

/** `87.52 %`; a dash for what was not measured. */
export function inPercent(share: number | null): string {
  return share === null ? '-' : `${(share * 100).toFixed(2)} %`;
}

/** Images per second: `5 321`, `53.2` or `0.14`: three figures at least. */
export function asRate(value: number | null): string {
  if (value === null) return '-';
  if (value >= 1000) return inThousands(value);
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
}

/** `1.2345`; a dash for what was not measured. */
export function asLoss(value: number | null): string {
  return value === null ? '-' : value.toFixed(4);
}

/** Seconds as `8.2 s`, `3 min 05 s`, `2 h 07 min`. */
export function asDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '-';
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (value: number) => String(value).padStart(2, '0');
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  const minutes = Math.round(whole / 60);
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

/** Bytes as `512 B`, `35.2 MiB`. */
export function asBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
