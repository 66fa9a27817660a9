/** Command lines of real runs on synthetic data that are measured: a coordinator that only reduces, its nodes, threads. */
import { fileURLToPath } from 'node:url';
import type { Command } from '../../peers/line-process.ts';

export interface MeasuredRun {
  readonly model: string;
  readonly batch: number;
  readonly shards: number;
  readonly steps: number;
  /** Where the run writes. */
  readonly folder: string;
}

const binary = fileURLToPath(new URL('../../../../coordinator/bin/lockstep.js', import.meta.url));
/** Tokens are for strangers. */
const env = { LOCKSTEP_TOKEN: undefined };

/** As many threads of one process. */
export function threadsCommand(run: MeasuredRun, threads: number): Command {
  return command('train', ['--threads', String(threads), '--no-baseline', ...flagsOf(run)]);
}

/** A coordinator of so many nodes, which computes nothing itself. */
export function coordinatorCommand(run: MeasuredRun, nodes: number): Command {
  const cluster = ['--threads', '0', '--min-nodes', String(nodes), '--listen', '127.0.0.1:0'];
  return command('coordinator', [...cluster, ...flagsOf(run)]);
}

/** A node of one thread. */
export function nodeCommand(url: string, index: number): Command {
  return command('join', [url, '--threads', '1', '--name', `node-${index}`, '--json']);
}

/** Checkpoints at the end of an epoch only. */
function flagsOf({ model, batch, shards, steps, folder }: MeasuredRun): string[] {
  return [
    ['--model', model, '--dataset', 'synthetic', '--batch-size', String(batch), '--shards', String(shards)],
    ['--steps', String(steps), '--no-evaluate', '--out', folder, '--json'],
    ['--checkpoint-seconds', '100000', '--seed', '1'],
  ].flat();
}

function command(name: string, flags: readonly string[]): Command {
  return { file: process.execPath, args: [binary, name, ...flags], env };
}
