/** How a node comes to a workplace for a run: the ranks it has, if they were made for the same run, or new ones. */
import type { Limits } from '@lockstep/shared/protocol/limits.ts';
import type { CoordinatorMessage } from '@lockstep/shared/protocol/messages.ts';
import type { Machine } from './fingerprints.ts';
import type { NodeListener } from './node-events.ts';
import { obtainDataset } from './obtain-dataset.ts';
import { type Agreement, openWorkplace, type Workplace } from './workplace.ts';

export interface Preparation {
  readonly welcome: CoordinatorMessage<'welcome'>;
  readonly agreement: Agreement;
  readonly machine: Machine;
  readonly threads: number;
  readonly dataPath: string | null;
  readonly limits: Limits;
  readonly listen: NodeListener;
  readonly fetchChunk: (hash: string, offset: number, length: number) => Promise<Uint8Array>;
  /** Raised: the connection is gone, nobody waits for it. */
  readonly signal: AbortSignal;
}

/** Whether the ranks of the connection before can go on: same recipe, same data. */
export function suits(
  kept: Workplace | null,
  { welcome, agreement }: Pick<Preparation, 'welcome' | 'agreement'>,
): boolean {
  const { train, test } = agreement.terms.splits;
  return (
    kept?.recipeSha256 === welcome.recipeSha256 &&
    kept.dataset.train.sha256 === train.sha256 &&
    kept.dataset.test.sha256 === test.sha256
  );
}

/** Fetches the data and starts ranks. @returns null when the connection ended meanwhile */
export async function prepareWorkplace(preparation: Preparation): Promise<Workplace | null> {
  const { welcome, agreement, machine, threads, dataPath, limits, listen, fetchChunk, signal } = preparation;
  const { dataset: description } = welcome;
  const dataset = await obtainDataset({
    description,
    terms: agreement.terms,
    dataPath,
    window: limits.dataRequestsInFlight,
    fetchChunk,
    onProgress: (split, doneBytes, totalBytes) =>
      listen({ type: 'data-progress', dataset: description.name, split, doneBytes, totalBytes }),
    signal,
  });
  if (signal.aborted) return null;
  const opened = await openWorkplace(agreement.recipe, dataset, threads, machine);
  if (!signal.aborted) return opened;
  // Nobody else knows of these ranks: they would outlive the node.
  await opened.host.pool.close();
  return null;
}
