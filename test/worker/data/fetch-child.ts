/** A process that fetches the small CIFAR fixture: CACHE URL INTEGRITY. Prints the result or the error's code. */
import { asLockstepError } from '@lockstep/shared/base/errors.ts';
import { fetchEntry } from '@lockstep/worker/data/fetch-dataset.ts';
import { cifarFixture } from './fixtures.ts';
import { registryOf } from './tarball-server.ts';

const [cacheDirectory = '', url = '', integrity = ''] = process.argv.slice(2);
try {
  const registry = registryOf({ url, integrity });
  const { fetched } = await fetchEntry(cifarFixture().entry, { cacheDirectory, registry });
  console.log(JSON.stringify({ fetched }));
} catch (thrown) {
  const { code, message, values } = asLockstepError(thrown);
  console.log(JSON.stringify({ code, message, values }));
}
