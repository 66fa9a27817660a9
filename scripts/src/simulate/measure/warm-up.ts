/** Bytes that go each way before any count: code is compiled, buffers have found their sizes. */
export const warmUpBytes = 64 * 2 ** 20;
