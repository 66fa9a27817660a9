/** comlink ships its Node adapter without usable types. */
declare module 'comlink/dist/esm/node-adapter.mjs' {
  import type { MessagePort } from 'node:worker_threads';
  import type { Endpoint } from 'comlink';

  /** Makes a worker_threads port look like the DOM's. */
  export default function nodeEndpoint(port: MessagePort): Endpoint;
}
