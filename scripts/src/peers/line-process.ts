/** A child process that is talked to line by line, one question at a time. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  /** Added to this process's environment; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Characters of standard error that are kept to explain an early end. */
const keptErrors = 2000;

interface Waiter {
  readonly resolve: (line: string) => void;
  readonly reject: (reason: Error) => void;
}

export class LineProcess {
  private readonly child: ChildProcessByStdio<Writable, Readable, Readable>;
  private readonly lines: string[] = [];
  private readonly ended: Promise<void>;
  private waiter: Waiter | null = null;
  private end: string | null = null;
  private errors = '';

  constructor({ file, args, env }: Command) {
    this.child = spawn(file, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
    this.child.stderr.on('data', (chunk) => (this.errors = (this.errors + String(chunk)).slice(-keptErrors)));
    // A child that ended no longer reads: its end is reported, not the broken pipe.
    this.child.stdin.on('error', () => {});
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      if (this.waiter) this.waiter.resolve(line);
      else this.lines.push(line);
      this.waiter = null;
    });
    const done = Promise.withResolvers<void>();
    this.ended = done.promise;
    const finish = (end: string) => {
      this.end ??= end;
      this.waiter?.reject(new Error(this.end));
      this.waiter = null;
      done.resolve();
    };
    this.child.once('error', (error) => finish(error.message));
    this.child.once('close', (code, signal) => finish(endInWords(code, signal, this.errors)));
  }

  /** Of the process; 0 when it could not be started. */
  get id(): number {
    return this.child.pid ?? 0;
  }

  /** Sends a signal, unless the process is gone or was never started. */
  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  send(line: string): void {
    this.child.stdin.write(`${line}\n`);
  }

  /** The next line that the child writes. Rejects when it ends first or takes longer than `limit` seconds. */
  async nextLine(limit: number): Promise<string> {
    const line = this.lines.shift();
    if (line !== undefined) return line;
    if (this.end !== null) throw new Error(this.end);
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    this.waiter = { resolve, reject };
    const timer = setTimeout(() => {
      this.waiter = null;
      reject(new Error(`no answer within ${limit} s`));
    }, limit * 1000);
    return promise.finally(() => clearTimeout(timer));
  }

  /** Closes the child's standard input, which ends it; kills it when it has not ended after `grace` seconds. */
  async stop(grace = 10): Promise<void> {
    this.child.stdin.end();
    const timer = setTimeout(() => this.child.kill('SIGKILL'), grace * 1000);
    await this.ended;
    clearTimeout(timer);
  }
}

/** Pure: why a child is gone; the last line of its errors says most. */
export function endInWords(code: number | null, signal: string | null, errors: string): string {
  const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
  const last = errors
    .split('\n')
    .map((line) => line.trim())
    .findLast((line) => line !== '');
  return last === undefined ? `it ended with ${how}` : `it ended with ${how}: ${last.slice(0, 300)}`;
}
