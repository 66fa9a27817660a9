/**
 * A process with one thread behind a `ThreadApi` and nothing else to stay for: asks twice at once, and prints both
 * answers if it lives to hear them.
 */
import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort, Worker, workerData } from 'node:worker_threads';
import { exposeOn, ThreadApi } from '@lockstep/worker/rank/thread-port.ts';

const api = {
  async answerAfter(milliseconds: number): Promise<number> {
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    return milliseconds;
  },
};

const given = workerData as MessagePort | null;
if (given) {
  exposeOn(given, api);
} else {
  const { port1, port2 } = new MessageChannel();
  const worker = new Worker(fileURLToPath(import.meta.url), { workerData: port2, transferList: [port2] });
  worker.unref();
  const remote = new ThreadApi<typeof api>(port1);
  const ask = (milliseconds: number) => remote.call((thread) => thread.answerAfter(milliseconds));
  const answers = await Promise.all([ask(0), ask(300)]);
  process.stdout.write(answers.join(' '));
  await worker.terminate();
  const late = await ask(0).catch((error: unknown) => String(error));
  process.stdout.write(`, then ${late}`);
}
