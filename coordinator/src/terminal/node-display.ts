/** What a person sees of a node: one line for each thing that happens, a bar while data comes. */
import type { NodeEvent, NodeListener } from '@lockstep/worker/node/node-events.ts';
import { asBytes, asDuration, inThousands } from './format.ts';
import { writeJsonLine } from './json-lines.ts';
import type { Output } from './output.ts';
import { ProgressBar } from './progress-bar.ts';

export interface NodeDisplay {
  readonly listen: NodeListener;
  readonly end: () => void;
}

export function nodeDisplay(output: Output, json: boolean): NodeDisplay {
  if (json) return { listen: (event) => writeJsonLine(output, event), end: () => undefined };
  const bar = new ProgressBar(output);
  const listen: NodeListener = (event) => {
    if (event.type !== 'data-progress') {
      bar.clear();
      output.write(`${nodeLine(event)}\n`);
    } else if (output.isTty) {
      const { dataset, split, doneBytes, totalBytes } = event;
      bar.show({
        label: `${dataset}: fetching ${split}`,
        done: doneBytes,
        total: totalBytes,
        parts: [{ text: `${asBytes(doneBytes)} of ${asBytes(totalBytes)}`, rank: 0 }],
      });
    }
  };
  return { listen, end: () => bar.clear() };
}

/** An event in one line. Pure. */
export function nodeLine(event: Exclude<NodeEvent, { type: 'data-progress' }>): string {
  switch (event.type) {
    case 'connecting':
      return `connecting to ${event.url}`;
    case 'joined':
      return `joined as node ${event.node} (${event.name}): ${event.model} on ${event.dataset}, recipe ${event.recipeSha256.slice(0, 12)}`;
    case 'ready':
      return `ready with ${event.ranks} ${event.ranks === 1 ? 'thread' : 'threads'} after ${asDuration(event.seconds)}`;
    case 'reconnecting':
      return `not connected: ${event.reason}; trying again in ${asDuration(event.milliseconds / 1000)}`;
    case 'notice':
      return event.text;
    case 'working':
      return `step ${event.step}: ${inThousands(event.shards)} shards, ${inThousands(event.samples)} samples so far`;
    case 'result':
      return `done: ${event.reason}; ${inThousands(event.shards)} shards, ${inThousands(event.samples)} samples in ${asDuration(event.seconds)}`;
  }
}
