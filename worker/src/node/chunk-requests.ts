/** Pieces of the dataset that a node has asked for and that have not come. */

export class ChunkRequests {
  private readonly waiting = new Map<string, PromiseWithResolvers<Uint8Array>>();

  /** @returns the piece when it comes; it has to be asked for by the caller */
  expect(hash: string, offset: number): Promise<Uint8Array> {
    const chunk = Promise.withResolvers<Uint8Array>();
    this.waiting.set(keyOf(hash, offset), chunk);
    return chunk.promise;
  }

  arrive(hash: string, offset: number, bytes: Uint8Array): void {
    const key = keyOf(hash, offset);
    this.waiting.get(key)?.resolve(bytes);
    this.waiting.delete(key);
  }

  /** Nothing comes any more. */
  abandon(reason: Error): void {
    for (const chunk of this.waiting.values()) chunk.reject(reason);
  }
}

function keyOf(hash: string, offset: number): string {
  return `${hash} ${offset}`;
}
