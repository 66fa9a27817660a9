/** comlink ships its Node adapter without usable types; the root's tsconfig points here for them. */
import type { MessagePort } from 'node:worker_threads';
import type { Endpoint } from 'comlink';

/** Makes a worker_threads port look like the DOM's. */
export default function nodeEndpoint(port: MessagePort): Endpoint;
