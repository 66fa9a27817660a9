/** `lockstep join URL`: this machine becomes a node. */
import { availableParallelism, hostname } from 'node:os';
import { LockstepError } from '@lockstep/shared/base/errors.ts';
import type { Command } from 'commander';
import { interruptible } from '../interruption.ts';
import { nodeDisplay } from '../terminal/node-display.ts';
import { standardOutput } from '../terminal/output.ts';
import { addJsonFlag, integerFrom, secondsFrom, threadLimit } from './options.ts';
import { addTokenFlags, givenToken, readTextFile, type TokenFlags } from './token-source.ts';

interface JoinFlags extends TokenFlags {
  readonly threads?: number;
  readonly data?: string;
  readonly ca?: string;
  readonly name?: string;
  readonly patience: number;
  readonly json?: boolean;
}

/** Adds the command to the program. */
export function registerJoin(program: Command): void {
  const command = program
    .command('join')
    .description('compute for a coordinator')
    .argument('<url>', 'address of the coordinator, for example ws://10.0.0.1:7070')
    .option('--threads <n>', 'threads that compute (default: all cores)', integerFrom(1, threadLimit))
    .option('--data <path>', 'take the data set from a cache folder, or from its official files or archive')
    .option('--ca <file>', "certificate (PEM) that the coordinator's is signed by")
    .option('--name <name>', "this node's name (default: the machine's)")
    .option('--patience <s>', 'seconds after which an unreachable coordinator is given up', secondsFrom, 300);
  addTokenFlags(command, 'the token of the run');
  addJsonFlag(command).action(async (url: string, flags: JoinFlags) => {
    process.exitCode = await runJoin(url, flags, program.version() ?? '0');
  });
}

async function runJoin(address: string, flags: JoinFlags, version: string): Promise<number> {
  const url = checkUrl(address);
  const output = standardOutput();
  const { listen, end } = nodeDisplay(output, flags.json === true);
  const token = await givenToken(flags);
  const ca = flags.ca === undefined ? null : await readTextFile(flags.ca, 'the certificate');
  const interruption = interruptible((cause) => {
    listen({ type: 'notice', text: `${cause}: the node leaves; once more ends it at once.` });
  });
  try {
    const { join } = await import('@lockstep/worker/node/join.ts');
    const result = await join(
      {
        url,
        token,
        ca,
        version,
        name: (flags.name ?? hostname()).slice(0, 128) || 'node',
        threads: flags.threads ?? availableParallelism(),
        dataPath: flags.data ?? null,
        patience: flags.patience,
        signal: interruption.signal,
      },
      listen,
    );
    listen(result);
    return result.interrupted ? (interruption.exitCode() ?? 0) : 0;
  } finally {
    end();
    interruption.dispose();
  }
}

function checkUrl(text: string): string {
  const url = URL.parse(text);
  if (url !== null && (url.protocol === 'ws:' || url.protocol === 'wss:') && url.hostname !== '')
    return url.href;
  throw new LockstepError(
    'USAGE',
    `'${text.slice(0, 200)}' is no address of a coordinator.`,
    'Allowed: ws://HOST:PORT, or wss://HOST:PORT when it has a certificate.',
    { url: text },
  );
}
