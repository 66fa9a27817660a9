/** One running `lockstep`: its JSON lines as they come, its whole output in a file, its end. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createWriteStream, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { createInterface } from 'node:readline';
import { binary, repositoryRoot } from './command-line.ts';

/** A line of `--json`. */
export type JsonLine = Readonly<Record<string, unknown>> & { readonly type: string };

export interface ProcessOptions {
  /** For messages, and the name of the log. */
  readonly name: string;
  readonly args: readonly string[];
  /** Where `<name>.log` goes. */
  readonly folder: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Put in front of the command: `['ip', 'netns', 'exec', 'one']`. */
  readonly prefix?: readonly string[];
}

export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

interface Waiter {
  readonly check: () => boolean;
  readonly fail: () => void;
}

/** Lines of standard error that an error message quotes. */
const quotedLines = 6;

/** Children that still run; ended with this process, whatever ends it. */
const running = new Set<LockstepProcess>();
process.once('exit', endLeftovers);

/** Ends every child that still runs: after a test that has failed nobody else would, and ava would wait for them. */
export function endLeftovers(): void {
  for (const child of running) child.kill('SIGKILL');
}

export class LockstepProcess {
  readonly name: string;
  readonly logPath: string;
  readonly events: JsonLine[] = [];
  /** Lines of standard output that are no JSON object: `--json` promises that there are none. */
  readonly foreignLines: string[] = [];
  readonly ended: Promise<ProcessEnd>;
  /** Null while it runs. */
  end: ProcessEnd | null = null;
  private readonly child: ChildProcessByStdio<null, Readable, Readable>;
  private readonly log: WriteStream;
  private readonly listeners = new Set<(event: JsonLine) => void>();
  private readonly waiters = new Set<Waiter>();
  private readonly errors: string[] = [];

  constructor({ name, args, folder, env, prefix = [] }: ProcessOptions) {
    this.name = name;
    this.logPath = join(folder, `${name}.log`);
    this.log = createWriteStream(this.logPath, { flags: 'a' });
    const [file = process.execPath, ...rest] = [...prefix, process.execPath, binary, ...args];
    this.log.write(`# ${args.join(' ')}\n`);
    this.child = spawn(file, rest, {
      cwd: repositoryRoot,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(this);
    createInterface({ input: this.child.stdout }).on('line', (line) => this.takeLine(line));
    createInterface({ input: this.child.stderr }).on('line', (line) => this.takeError(line));
    const { promise, resolve } = Promise.withResolvers<ProcessEnd>();
    this.ended = promise;
    this.child.once('error', (error) => this.takeError(error.message));
    this.child.once('close', (code, signal) => {
      running.delete(this);
      this.end = { code, signal };
      this.log.end(`# ended: code ${code}, signal ${signal}\n`);
      this.settle();
      resolve(this.end);
    });
  }

  get pid(): number {
    const { pid } = this.child;
    if (pid === undefined) throw new Error(`${this.name} was never started: ${this.errors.join('; ')}`);
    return pid;
  }

  /** Sends a signal to this process alone; nothing happens when it has ended. */
  kill(signal: NodeJS.Signals): void {
    if (this.end === null) this.child.kill(signal);
  }

  /** Calls back with every later event. */
  listen(listener: (event: JsonLine) => void): void {
    this.listeners.add(listener);
  }

  /** The newest event of a type. */
  last(type: string): JsonLine | undefined {
    return this.events.findLast((event) => event.type === type);
  }

  /**
   * The first event, past or to come, that the predicate accepts.
   *
   * @throws Error when the process ends first, or after `seconds`; names the log
   */
  async waitFor(what: string, accepts: (event: JsonLine) => boolean, seconds: number): Promise<JsonLine> {
    let seen = 0;
    let found: JsonLine | undefined;
    const look = (): boolean => {
      while (found === undefined && seen < this.events.length) {
        const event = this.events[seen++] as JsonLine;
        if (accepts(event)) found = event;
      }
      return found !== undefined;
    };
    await this.until(what, look, seconds);
    return found as unknown as JsonLine;
  }

  /** Waits for a condition on the events; checked after each one. @throws Error as `waitFor` */
  until(what: string, condition: () => boolean, seconds: number): Promise<void> {
    if (condition()) return Promise.resolve();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const finish = (error: Error | null) => {
      clearTimeout(timer);
      this.waiters.delete(waiter);
      if (error) reject(error);
      else resolve();
    };
    const timer = setTimeout(() => finish(this.trouble(`no ${what} within ${seconds} s`)), seconds * 1000);
    const waiter: Waiter = {
      check: () => {
        if (!condition()) return false;
        finish(null);
        return true;
      },
      fail: () => finish(this.trouble(`ended before ${what}`)),
    };
    this.waiters.add(waiter);
    if (this.end !== null) waiter.fail();
    return promise;
  }

  /** Asks it to end, and ends it after `grace` seconds: a hang, on the slowest machine. */
  async stop(signal: NodeJS.Signals = 'SIGINT', grace = 60): Promise<ProcessEnd> {
    this.kill('SIGCONT');
    this.kill(signal);
    const timer = setTimeout(() => this.kill('SIGKILL'), grace * 1000);
    return this.ended.finally(() => clearTimeout(timer));
  }

  /** An error that quotes the process's last words. */
  trouble(what: string): Error {
    const how = this.end === null ? '' : ` (code ${this.end.code}, signal ${this.end.signal})`;
    const last = this.events.at(-1);
    const words = [
      `${this.name}: ${what}${how}`,
      ...(last === undefined ? [] : [`last event: ${JSON.stringify(last).slice(0, 400)}`]),
      ...this.errors.slice(-quotedLines).map((line) => `stderr: ${line}`),
      `log: ${this.logPath}`,
    ];
    return new Error(words.join('\n  '));
  }

  private takeLine(line: string): void {
    this.log.write(`${line}\n`);
    const event = parseLine(line);
    if (event === null) {
      this.foreignLines.push(line);
      return;
    }
    this.events.push(event);
    for (const listener of this.listeners) listener(event);
    for (const waiter of this.waiters) waiter.check();
  }

  private takeError(line: string): void {
    this.log.write(`stderr: ${line}\n`);
    this.errors.push(line);
  }

  /** The process has ended: whoever waits gets what there is, or an error. */
  private settle(): void {
    for (const waiter of this.waiters) if (!waiter.check()) waiter.fail();
  }
}

/** A JSON object with a type; null for anything else. */
export function parseLine(line: string): JsonLine | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
      ? (value as JsonLine)
      : null;
  } catch {
    return null;
  }
}
