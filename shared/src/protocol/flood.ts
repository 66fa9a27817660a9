/** A token bucket, time as an argument: so many messages at once, so many a second after that. */

export interface Bucket {
  readonly tokens: number;
  /** Milliseconds of the caller's clock. */
  readonly at: number;
}

/** The bucket after one more message; null when it is empty: a flood. */
export function takeToken(bucket: Bucket, perSecond: number, burst: number, now: number): Bucket | null {
  // A clock that goes back refills nothing.
  const elapsed = Math.max(0, now - bucket.at);
  const tokens = Math.min(burst, bucket.tokens + (elapsed / 1000) * perSecond);
  return tokens < 1 ? null : { tokens: tokens - 1, at: Math.max(now, bucket.at) };
}
