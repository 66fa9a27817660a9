/** `lockstep coordinator [recipe.json] --listen HOST:PORT`: the same run, computed by whoever joins. */
import { availableParallelism } from 'node:os';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import { limitsWith } from '@lockstep/shared/protocol/limits.ts';
import type { Command } from 'commander';
import { isLoopback, parseListenAddress } from '../cluster/listen-address.ts';
import { decideToken } from '../cluster/token.ts';
import { eventLog } from '../metrics/event-log.ts';
import { type FlagValues, integerFrom, secondsFrom, threadLimit } from './options.ts';
import { addRunFlags, type RunFlags, runRecipe } from './run-command.ts';
import { addTokenFlags, givenToken, type TokenFlags } from './token-source.ts';

interface CoordinatorFlags extends RunFlags, TokenFlags {
  readonly listen: string;
  readonly threads?: number;
  readonly minNodes: number;
  readonly heartbeatSeconds: number;
  readonly checkWeightsEvery: number;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

/** Adds the command to the program. */
export function registerCoordinator(program: Command): void {
  const command = program
    .command('coordinator')
    .description('train a model with nodes that join')
    .option('--listen <host:port>', 'where nodes dial in; port 0 takes a free one', '127.0.0.1:7070')
    .option(
      '--threads <n>',
      'own threads that compute; 0: none; one still reduces (default: all cores)',
      integerFrom(0, threadLimit),
    )
    .option('--min-nodes <n>', 'nodes to wait for before the first step', integerFrom(0, 1024), 0)
    .option('--heartbeat-seconds <s>', 'silence after which a node counts as lost', secondsFrom, 2)
    .option(
      '--check-weights-every <commits>',
      'compare the weights of all nodes every so many commits; 0: never',
      integerFrom(0, 1e9),
      50,
    )
    .option('--tls-cert <file>', 'certificate (PEM): serves wss')
    .option('--tls-key <file>', 'private key (PEM) of the certificate');
  addTokenFlags(command, 'what a node must know to join');
  addRunFlags(command).action(async (file: string | undefined, values: FlagValues) => {
    process.exitCode = await runCoordinator(file ?? null, values as CoordinatorFlags & FlagValues);
  });
}

async function runCoordinator(file: string | null, flags: CoordinatorFlags & FlagValues): Promise<number> {
  const address = parseListenAddress(flags.listen);
  const token = decideToken(await givenToken(flags), isLoopback(address.host));
  const { tlsCert, tlsKey } = flags;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new LockstepError('USAGE', 'Only one of --tls-cert and --tls-key was given.', 'Give both.');
  }
  const threads = flags.threads ?? availableParallelism();
  const silence = Math.max(20, Math.round(1000 * flags.heartbeatSeconds));
  const limits = limitsWith({ silence, heartbeatEvery: Math.max(10, Math.round(silence / 4)) });
  return runRecipe(file, flags, {
    threads: Math.max(1, threads),
    // It would measure this machine while nodes wait.
    baseline: false,
    prepare: async (listen, runDirectory) => {
      const { clusterWorkforce } = await import('../cluster/cluster.ts');
      const { readCertificate } = await import('../cluster/listener.ts');
      const certificate =
        tlsCert === undefined || tlsKey === undefined ? null : await readCertificate(tlsCert, tlsKey);
      const options = {
        address,
        certificate,
        token,
        limits,
        minNodes: flags.minNodes,
        computes: threads > 0,
        hashEvery: flags.checkWeightsEvery,
      };
      return { workforce: clusterWorkforce(options, listen), log: eventLog(runDirectory, listen) };
    },
  });
}
