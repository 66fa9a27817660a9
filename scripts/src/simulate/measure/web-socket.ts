/** The WebSocket library that the coordinator uses: the measurement is worth nothing with another one. */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type * as Library from 'ws';

const manifest = fileURLToPath(new URL('../../../../coordinator/package.json', import.meta.url));
const library = createRequire(manifest)('ws') as typeof Library;

export const { WebSocketServer } = library;

/** Bytes that go each way before any count: code is compiled, buffers have found their sizes. */
export const warmUpBytes = 64 * 2 ** 20;
