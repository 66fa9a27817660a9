/** Hosts that are network namespaces of this machine, joined by one virtual cable. Linux and root only. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Host {
  readonly namespace: string;
  readonly address: string;
  readonly device: string;
  /** Put in front of a command that is to run on this host. */
  readonly prefix: readonly string[];
}

export interface TwoHosts {
  readonly hosts: readonly [Host, Host];
  /** Takes everything away again; processes in there must have ended. */
  close(): Promise<void>;
}

/** A command that failed, and what it said. */
export interface Refusal {
  readonly command: string;
  readonly message: string;
}

/** Runs a command for at most ten seconds. @returns null when it worked */
export async function tryCommand(file: string, ...args: string[]): Promise<Refusal | null> {
  try {
    await run(file, args, { timeout: 10_000 });
    return null;
  } catch (thrown) {
    const stderr = thrown instanceof Error && 'stderr' in thrown ? String(thrown.stderr).trim() : '';
    const message = stderr || (thrown instanceof Error ? thrown.message : String(thrown));
    return { command: [file, ...args].join(' '), message };
  }
}

/** 192.0.2.0/24 is for documentation: no network that this machine is in has it, and the namespaces see no other. */
const addresses = ['192.0.2.1', '192.0.2.2'] as const;

/** Makes two hosts and the cable. @returns the first command that this machine does not allow, when there is one */
export async function makeTwoHosts(): Promise<TwoHosts | Refusal> {
  const name = `lkst${process.pid}`;
  const hosts = [0, 1].map((i): Host => {
    const namespace = `${name}-${i}`;
    return {
      namespace,
      address: addresses[i] as string,
      device: `${name}v${i}`,
      prefix: ['ip', 'netns', 'exec', namespace],
    };
  }) as [Host, Host];
  const [one, two] = hosts;
  const close = async () => {
    // The cable goes with the namespaces.
    for (const { namespace } of hosts) await tryCommand('ip', 'netns', 'delete', namespace);
  };
  const cable = ['type', 'veth', 'peer', 'name', two.device, 'netns', two.namespace];
  const commands = [
    ...hosts.map(({ namespace }) => ['netns', 'add', namespace]),
    ['-n', one.namespace, 'link', 'add', one.device, ...cable],
    ...hosts.flatMap(({ namespace, address, device }) => [
      ['-n', namespace, 'address', 'add', `${address}/24`, 'dev', device],
      ['-n', namespace, 'link', 'set', device, 'up'],
      ['-n', namespace, 'link', 'set', 'lo', 'up'],
    ]),
  ];
  for (const args of commands) {
    const refusal = await tryCommand('ip', ...args);
    if (refusal !== null) {
      await close();
      return refusal;
    }
  }
  return { hosts, close };
}

/** Delays and loses packets that leave a host. @returns why this machine cannot, or null */
export function disturb({ namespace, device }: Host, delay: string, loss: string): Promise<Refusal | null> {
  const netem = ['root', 'netem', 'delay', delay, 'loss', loss];
  return tryCommand('ip', 'netns', 'exec', namespace, 'tc', 'qdisc', 'add', 'dev', device, ...netem);
}
